//! Placeholder.
pub mod close;
