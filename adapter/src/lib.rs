//! What haat gateways share.
//!
//! Traits, and the engines that implement them:
//!
//! - [`Adapter`] carries broadcasts and questions between gateways, at most once, as Socket.IO's adapters do.
//! - [`Store`] holds what a fleet must agree on: each stream's log and state, sessions that may come back,
//!   the counters of the audience, and which gateways there are. Every method is one atomic step.
//! - [`Market`] decides what happens in a live sale: claims, spins, votes, moderation, and the ledger of it all.
//! - [`Inbound`] is what a gateway gives to both: where a peer's message or a log entry arrives.
//!
//! | module | holds |
//! |---|---|
//! | [`memory`] | the embedded engine: one process, no Redis, the same semantics |
//! | [`crate::redis`] | the engine on Redis, its keys and channels, its scripts; the wire of Node's adapters |
//! | [`market`] | what a sale asks for and is answered |
//! | [`msgpack`] | how events cross Redis |
//! | `message`, `store`, `lease` | what broadcasts, logs and leases are made of |
//! | `cluster` | questions to other gateways, and who has answered |
//!
//! Both engines pass the same cases, `tests/contract`: read them to see what a method promises, and add one there before
//! you change it.
//!
//! This crate never sees a socket and never encodes for a client: an event crosses it as JSON text
//! plus attachments, and the gateway encodes it once for its own viewers.

mod cluster;
mod lease;
pub mod market;
pub mod memory;
mod message;
pub mod msgpack;
pub mod redis;
mod store;

use std::time::Duration;

use futures::future::BoxFuture;

pub use lease::GatewayLease;
pub use market::{
    Claim, Claimed, Grant, GrantState, Happening, Market, Note, Noted, Notes, RETURN_DELAY, ReadAs, Record, Refusal,
    Settle, Settled, Spin, Spun, Stake, Terms, Turn, Vote, Voted,
};
pub use message::{Broadcast, Event, Flags, Peer, Progress, Replies, Reply, Request, Target};
pub use store::{
    Append, Appended, Check, Counter, Entry, LogRead, Once, Pace, Position, SavedSession, SessionRoom, Share, Snapshot,
    Store, StoreError, Totals, new_epoch,
};

/// Carries broadcasts and questions between gateways. It never touches local sockets and never blocks the caller.
pub trait Adapter: Send + Sync + 'static {
    /// Queues `broadcast` for every *other* gateway. The caller has already served its own members.
    ///
    /// # Errors
    /// [`QueueFull`] when the outgoing queue is full; the other gateways do not get this broadcast.
    fn broadcast(&self, broadcast: Broadcast) -> Result<(), QueueFull>;

    /// Asks the other gateways, and collects their answers for at most `timeout` from this call. The question leaves at the
    /// call, in order with broadcasts, whether or not the future is polled. An order ([`Request::is_answered`] says which are)
    /// is answered at once with no [`Replies`].
    ///
    /// # Errors
    /// [`RequestError`] names how many gateways answered in time, and holds what they said.
    fn request(&self, request: Request, timeout: Duration) -> BoxFuture<'_, Result<Replies, RequestError>>;

    /// Tells that the first local member of `room` arrived (`wanted`) or that the last one left.
    fn interest(&self, namespace: &str, room: &str, wanted: bool);

    /// Whether messages of this adapter and its store arrive at present.
    fn health(&self) -> Health;

    /// Flushes what is queued and stops. Idempotent.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What an engine calls when something arrives for this gateway. Implemented once, by the gateway.
///
/// The calls are made in order, from one thread at a time per engine. They must be quick and must not block. They must not call
/// back into the engine, not even by dropping the last reference to it: the embedded one makes them under its locks, and would
/// wait for itself. Hand over to a queue of your own.
pub trait Inbound: Send + Sync + 'static {
    /// A cheap check on the name alone, before anything is decoded: has this gateway a member of `room`?
    fn wants(&self, namespace: &str, room: &str) -> bool;

    /// A broadcast of another gateway, for the members here.
    fn deliver(&self, broadcast: Broadcast);

    /// An entry of a stream's log. Engines deliver the entries of one stream in the order of `seq`, to the
    /// gateway that appended them as to every other; an engine may lose entries, and the gateway then sees a gap.
    fn entry(&self, entry: std::sync::Arc<Entry>);

    /// A question of another gateway; answer with [`Reply::send`].
    fn serve(&self, request: Request, reply: Reply);
}

/// The state of an engine's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Messages flow.
    Up,
    /// They do not, and why.
    Down(String),
    /// Something of the engine has broken down that nothing but a new process mends, and what.
    Broken(String),
}

/// The outgoing queue is full; nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the adapter's outgoing queue is full")]
pub struct QueueFull;

/// Not every gateway answered in time.
#[derive(Debug, thiserror::Error)]
#[error("{} of {expected} gateways answered in time", .partial.answers.len())]
pub struct RequestError {
    /// How many gateways were asked.
    pub expected: usize,
    /// The answers that did come.
    pub partial: Replies,
}
