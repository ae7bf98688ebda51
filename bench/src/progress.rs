//! The line on stderr that says what is going on: rewritten in place on a terminal, one a second otherwise.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Says what is going on, at most once a second.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
    terminal: bool,
    last: Option<Instant>,
    dirty: bool,
}

impl Progress {
    /// Silent if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), last: None, dirty: false }
    }

    /// Says `line` if the last one is a second old.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.quiet || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let line = line();
        // A closed stderr must not end a measurement.
        let _ = if self.terminal {
            self.dirty = true;
            write!(io::stderr(), "\r\x1b[2K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }

    /// Says `line` in any case and keeps it.
    pub(crate) fn note(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        let clear = if std::mem::take(&mut self.dirty) { "\r\x1b[2K" } else { "" };
        let _ = writeln!(io::stderr(), "{clear}{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.dirty {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}
