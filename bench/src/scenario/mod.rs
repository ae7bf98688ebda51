//! The scenarios: each answers one question about a server, and returns what it found.

pub(crate) mod bystander;
pub(crate) mod churn;
pub(crate) mod claims;
pub(crate) mod compare;
pub(crate) mod fanout;
pub(crate) mod fleet;
pub(crate) mod idle;
pub(crate) mod sale;
pub(crate) mod saturate;
pub(crate) mod taps;
pub(crate) mod ticks;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::progress::Progress;

/// What every scenario is given beside its options.
#[derive(Debug)]
pub(crate) struct Run {
    /// Set by a signal: the scenario ends with an error.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Says what is going on.
    pub(crate) progress: Progress,
}
