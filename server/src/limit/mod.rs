//! How much may come in. Nothing here knows what it limits, waits, or holds more than its bounds; what is switched off
//! costs nothing.
//!
//! - [`Bucket`]: how often, for one connection
//! - [`Keyed`]: how often, for each of many keys, shared by all shards; [`Limiters`] are those of the application
//! - [`Admission`]: how many connections, and how often from one address

mod admission;
mod bucket;
mod keyed;

use std::sync::Arc;

use crate::config::Limits;

pub use admission::{Admission, Admitted, Full, block_of};
pub use bucket::Bucket;
pub use keyed::Keyed;

/// The limits that all connections of a key share.
#[derive(Debug)]
pub struct Limiters {
    /// Chat messages, by user.
    pub chat: Keyed<Arc<str>>,
    /// Taps that come without a connection, by user.
    pub reactions: Keyed<Arc<str>>,
}

impl Limiters {
    /// With these limits.
    pub fn new(limits: &Limits) -> Self {
        Self { chat: Keyed::new(limits.chat), reactions: Keyed::new(limits.reactions) }
    }
}
