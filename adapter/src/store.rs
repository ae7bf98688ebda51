//! What the gateways of a fleet agree on. See [`Store`].

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use haat_protocol::Id;

use crate::GatewayLease;

/// Characters of a new epoch.
const EPOCH: usize = 8;

/// The state that a fleet shares. Every method is one atomic step, and all engines behave alike
/// (`tests/contract.rs` is run against each).
///
/// A stream is created by its first [`append`](Store::append); reading one that does not exist is not an error.
pub trait Store: Send + Sync + 'static {
    /// Takes the next `seq` of the stream, writes the entry to its log, changes its state fields, and publishes
    /// the entry to every gateway, this one included: all of it, or nothing.
    ///
    /// In this order: a repetition of [`Append::once`] is answered; [`Append::checks`] are tried, then [`Append::pace`]; then the
    /// change is made.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of [`Append::checks`] does not hold, [`StoreError::TooSoon`] for [`Append::pace`], [`StoreError::TooLarge`] when a bound is reached;
    /// nothing has changed then. [`StoreError::Unavailable`].
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, StoreError>>;

    /// The stream's position, state fields and newest `history` entries named `event` (oldest first), all of one moment.
    /// `None` if there is no such stream.
    fn snapshot<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        history: usize,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, StoreError>>;

    /// Entries after `after`, oldest first, at most `limit`; see [`LogRead`] for what happens when some of them are gone.
    /// A position past the end of the log is [`LogRead::Gone`] too: it comes from a life that was lost. The default position
    /// (no epoch, `seq` 0) is the beginning of whatever life there is. Of a stream that does not exist nothing is newer than
    /// `seq` 0, and everything else is gone.
    fn read<'a>(&'a self, stream: &'a str, after: Position, limit: usize)
    -> BoxFuture<'a, Result<LogRead, StoreError>>;

    /// Entries named `event` with `seq` below `before` (`None`: from the newest), at most `limit`, oldest first. Erased and
    /// damaged ones are left out, here and in [`Snapshot::history`].
    fn history<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Entry>>, StoreError>>;

    /// Adds this gateway's share of many streams and reads the totals of the fleet back, in one round trip.
    /// `gateway` owns the viewer leases: they lapse `lease` after the last call that named the stream.
    /// The answers are in the order of `shares`; one stream that fails keeps none of the others from being answered. A share
    /// whose answer did not come is told again as it was, under the same [`Share::number`].
    fn sync<'a>(
        &'a self,
        gateway: &'a str,
        lease: Duration,
        shares: Vec<Share>,
    ) -> BoxFuture<'a, Vec<Result<Totals, StoreError>>>;

    /// The ids of the streams that exist, in no order.
    fn streams(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>>;

    /// Saves a session that may come back under `pid`, for `ttl` from now; `None` forgets it at once.
    fn save_session(
        &self,
        pid: Id,
        session: Option<SavedSession>,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The session saved under `pid`, which stays saved: a recovery that fails half-way can be tried again.
    fn session(&self, pid: Id) -> BoxFuture<'_, Result<Option<SavedSession>, StoreError>>;

    /// Renews the lease of the gateway `me` until `ttl` from now, in place of what it was before, and returns the leases that
    /// are alive, `me` among them, by number. A `ttl` of zero withdraws it.
    fn gateways<'a>(
        &'a self,
        me: &'a GatewayLease,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<GatewayLease>, StoreError>>;
}

/// A point in a stream's log. `seq` counts from 1; 0 is before the first entry. A log that lost its data starts a new
/// `epoch`, and positions of another epoch say nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Position {
    /// Names one life of the log, 1 to 16 characters of `A-Za-z0-9_-`; empty before the stream exists.
    pub epoch: Arc<str>,
    /// The last entry's number.
    pub seq: u64,
}

/// A name for another life of a log: 48 random bits.
///
/// # Errors
/// [`StoreError::Unavailable`]: the system gives no randomness.
pub fn new_epoch() -> Result<Arc<str>, StoreError> {
    let id = Id::random().map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
    Ok(id.as_str().get(..EPOCH).unwrap_or_default().into())
}

/// One entry of a stream's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub stream: Arc<str>,
    /// Where in its log.
    pub position: Position,
    /// A number that rises with every append that the engine orders together (embedded and single Redis: all streams;
    /// Redis Cluster: one stream). It orders entries of different streams.
    pub clock: u64,
    /// The event's name, `chat:message`.
    pub event: Arc<str>,
    /// The event's argument: a JSON object that holds `stream` and `seq`.
    pub data: Arc<str>,
    /// State fields that this entry changed: name and JSON text, `None` for removed.
    pub set: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// What to append. See [`Store::append`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Append {
    /// The stream.
    pub stream: String,
    /// The log's [`Position::epoch`] if this entry begins it, for events that show it; the engine makes up another for `None`.
    pub epoch: Option<Arc<str>>,
    /// The event's name.
    pub event: String,
    /// The event's JSON object in pieces; the engine writes the new `seq` (decimal) between each two. At least one piece.
    pub data: Vec<String>,
    /// Counters of the stream's sale ([`Market`](crate::Market)), in the order of the gaps of `data`: the engine writes
    /// what they stand at, in place of the `seq`, for those that are named. Gaps without one get the `seq`.
    pub fill: Vec<Option<String>>,
    /// State fields to change: name, and JSON text in pieces as `data`; `None` removes the field.
    pub set: Vec<(String, Option<Vec<String>>)>,
    /// Conditions on the state before the change; all must hold.
    pub checks: Vec<Check>,
    /// Makes a repetition return the first entry and change nothing.
    pub once: Option<Once>,
    /// Refuses what comes too soon after something else.
    pub pace: Option<Pace>,
    /// The ledger ([`Market::ledger`](crate::Market::ledger)) gets event and data too, done by whom this JSON text names.
    pub record: Option<String>,
    /// Counters of the stream's sale that nobody needs any more.
    pub forget: Vec<String>,
    /// Counts the audience anew ([`Store::sync`]): peak, users and counters, not those of the sale. Whoever is there is counted
    /// with the next share, and users when they are reported again.
    pub anew: bool,
    /// Entries of the log to blank: their text (`data`) is gone for history and replay, their `seq`, name and `set` stay.
    /// Numbers that are not in the log are no error.
    pub erase: Vec<u64>,
}

/// A condition on a stream's state field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The field's JSON text is exactly this (`None`: the field is absent).
    Is(String, Option<String>),
    /// The field's JSON text is not this (`None`: the field is present).
    IsNot(String, Option<String>),
}

/// Idempotency of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Unique within the stream: user and the client's own id.
    pub key: String,
    /// How long a repetition is recognised.
    pub ttl: Duration,
}

/// A least time between appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Unique within the stream. Appends of the same key keep their distance.
    pub key: String,
    /// From one that is done to the next.
    pub interval: Duration,
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// A new entry.
    New(Arc<Entry>),
    /// [`Append::once`] had been used; this is the entry as it was at that time (even if it has been trimmed or erased since),
    /// and nothing was changed.
    Repeat(Arc<Entry>),
}

/// A stream at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The last entry's position.
    pub position: Position,
    /// The engine's clock at that moment, see [`Entry::clock`].
    pub clock: u64,
    /// State fields: name and JSON text, sorted by name.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
    /// The newest entries of the event that was asked for, oldest first.
    pub history: Vec<Arc<Entry>>,
}

/// What [`Store::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRead {
    /// The entries after the position, without a hole. Erased entries are there, with `data` of `null`. Empty: nothing newer.
    Entries(Vec<Arc<Entry>>),
    /// Some of them cannot be had any more: the log was trimmed, it is another epoch, or they are damaged. The log's present
    /// position.
    Gone(Position),
}

/// A number that a stream counts across the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// `reactions.heart`, `messages`, …
    pub name: String,
    /// What to add; what it stands at.
    pub value: u64,
}

/// One gateway's share of a stream since the last [`Store::sync`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Share {
    /// The stream.
    pub stream: String,
    /// Viewers on this gateway now; the lease is renewed. 0 gives it up.
    pub viewers: u64,
    /// Users not reported before on this gateway, for the count of unique viewers.
    pub users: Vec<String>,
    /// Gateways whose viewers have come here, and how many: they are taken off those shares, which a gateway that still lives
    /// sets right with its next call. So nobody is counted twice whose gateway has died.
    pub moved: Vec<(String, u64)>,
    /// What to add to counters.
    pub add: Vec<Counter>,
    /// Names `moved` and `add`: the same number twice in a row, from the same gateway, does both once. 0 names nothing.
    pub number: u64,
}

/// The fleet's totals of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Viewers on all gateways whose lease is alive.
    pub viewers: u64,
    /// The most there ever were at once, since [`Append::anew`].
    pub peak: u64,
    /// Different users: exact while they are few (a few hundred), then an estimate with a standard error below 1%.
    pub unique: u64,
    /// All counters, those of the stream's sale among them, sorted by name.
    pub counters: Vec<Counter>,
}

/// What a connection needs to come back elsewhere as the same session.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct SavedSession {
    /// Socket id, 20 characters.
    pub sid: String,
    /// The namespace.
    pub namespace: String,
    /// The user it belongs to; only the same user recovers it.
    pub user: String,
    /// The gateway that counts it among its viewers; empty once it does so no more.
    #[serde(default)]
    pub gateway: String,
    /// How often it was too slow, and since when, in ms since 1970.
    #[serde(default, skip_serializing_if = "never")]
    pub slow: (u8, u64),
    /// Rooms and since when.
    pub rooms: Vec<SessionRoom>,
}

fn never((count, _): &(u8, u64)) -> bool {
    *count == 0
}

/// A room of a [`SavedSession`].
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct SessionRoom {
    /// The room.
    pub room: String,
    /// For a stream's room: the epoch and `seq` that the join reply showed; entries after it are owed.
    pub epoch: String,
    /// See `epoch`.
    pub seq: u64,
}

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A check did not hold; nothing changed. Names the field.
    #[error("the state of {0:?} is not what was expected")]
    Conflict(String),
    /// The store cannot be reached or refuses. For writes: whether it was done is not known; repeat with the same
    /// [`Once::key`] to find out.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// [`Append::pace`] asks for so much patience; nothing changed.
    #[error("too soon by {0:?}")]
    TooSoon(Duration),
    /// A bound of the engine was reached; nothing changed.
    #[error("too large: {0}")]
    TooLarge(String),
}
