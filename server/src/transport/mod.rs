//! Bytes in and out of one connection. Knows no rooms and no Socket.IO.
//!
//! - [`reader`]: WebSocket reading, with the memory of an idle connection in mind
//! - [`outbox`]: what is queued for a connection that is behind
//! - [`heartbeat`]: the pings of all sessions of a shard

pub mod heartbeat;
pub mod outbox;
pub mod reader;

/// Names a session on its shard. A slot is used again, the generation tells its sessions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// Slot.
    pub index: u32,
    /// Which session of that slot.
    pub generation: u32,
}

impl SessionKey {
    /// The session of `index` with this `generation`.
    pub fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }
}
