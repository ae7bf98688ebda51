//! The journal as a file: what everybody saw, for whoever wants to look closer, and to be checked again.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use super::seen::Line;

/// Where the journal goes.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<BufWriter<File>>,
    failed: Option<anyhow::Error>,
}

impl Journal {
    /// Into this file; nowhere if there is none.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| File::create(path).with_context(|| format!("journal {}", path.display()));
        let file = path.map(create).transpose()?.map(BufWriter::new);
        Ok(Self { file, failed: None })
    }

    /// Writes a line. What goes wrong is told by [`Journal::check`].
    pub(crate) fn write(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_writer(&mut *file, line).map_err(anyhow::Error::from);
        if let Err(error) = written.and_then(|()| Ok(file.write_all(b"\n")?)) {
            self.failed.get_or_insert(error);
        }
    }

    /// Whether all of it could be written.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.failed.take().map_or(Ok(()), |error| Err(error.context("writing the journal")))
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn close(&mut self) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().context("writing the journal")?;
        }
        self.check()
    }
}

/// Reads a journal line by line.
///
/// # Errors
/// If it cannot be read, or a line is none.
pub(crate) fn read(path: &Path, mut each: impl FnMut(&Line)) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("journal {}", path.display()))?;
    for (number, text) in BufReader::new(file).lines().enumerate() {
        let line = serde_json::from_str(&text?).with_context(|| format!("line {} of the journal", number + 1))?;
        each(&line);
    }
    Ok(())
}
