//! What the gateway says of itself, on stderr. It never waits for who reads that: lines that nobody takes are dropped, and
//! counted.

use std::{backtrace::Backtrace, sync::OnceLock};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use crate::config::{Config, LogFormat};

/// Lines that wait for their reader, at most.
const WAITING: usize = 4096;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The log. When it is dropped, it waits for its last lines to be taken, though not for much more than a second.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Log {
    _writer: WorkerGuard,
}

/// Starts logging as configured. Panics are told in the same way.
pub fn begin(config: &Config) -> Log {
    let (lines, writer) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log").finish(std::io::stderr());
    let _ = DROPPED.set(lines.error_counter());
    let filter = tracing_subscriber::EnvFilter::new(&config.log.filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // Fails only if an application that embeds this library has its own.
    let _ = if config.log.format == LogFormat::Json { builder.json().try_init() } else { builder.try_init() };
    std::panic::set_hook(Box::new(|panic| tracing::error!(backtrace = %Backtrace::capture(), "{panic}")));
    Log { _writer: writer }
}

/// Lines that were dropped so far.
pub fn dropped() -> u64 {
    DROPPED.get().map_or(0, |counter| u64::try_from(counter.dropped_lines()).unwrap_or(u64::MAX))
}
