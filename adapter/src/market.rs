//! What happens in a live sale and must be decided once for the whole fleet: claims, spins, votes, moderation, and the
//! ledger that remembers them. See [`Market`].
//!
//! The steps know nothing of drops, wheels and polls. A gateway reads the terms of one from a state field, hands them over
//! as plain numbers with a [`Check`] on the field's text, and the step is only taken while that text still holds. So an
//! engine compares texts and adds numbers, and every engine decides alike.
//!
//! What was taken under one opening is a *pool*, named `<field>@<opened at>`: the same id opened again is another pool.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{Check, Counter, StoreError};

/// From the moment at which units come back to the one at which they can be had again. In between every gateway hears that
/// they came back, and stops answering that all is gone: see [`returned`].
pub const RETURN_DELAY: Duration = Duration::from_secs(2);

/// The counter of a pool's units that are taken, held ones among them, or of its spins. It falls when units come back.
pub fn sold(pool: &str) -> String {
    format!("sold.{pool}")
}

/// The counter of a pool's claims that came to nothing: it rises with each, [`RETURN_DELAY`] before its units can be had
/// again where they were released, and with it where a hold ran out (whose time everybody knows from the grant).
pub fn returned(pool: &str) -> String {
    format!("returned.{pool}")
}

/// The counter of a poll's votes for one option.
pub fn tally(pool: &str, option: usize) -> String {
    format!("tally.{pool}.{option}")
}

/// The counter of a poll's or question's votes.
pub fn votes(pool: &str) -> String {
    format!("votes.{pool}")
}

/// The counter of the changes of a book of notes.
pub fn book(name: &str) -> String {
    format!("book.{name}")
}

/// The counter of claims that stand.
pub const CLAIMS: &str = "claims";
/// The counter of spins.
pub const SPINS: &str = "spins";
/// The [`kind`](Record::kind) of what somebody else has put into a ledger: nothing of it is shown.
pub const FOREIGN: &str = "foreign";

/// What the gateways of a fleet decide together in a live sale. Every method is one atomic step over keys of one stream,
/// and all engines behave alike (`tests/contract.rs` is run against each).
///
/// Every step that changes something needs the stream to exist; else it is [`StoreError::Conflict`]. The counters that the
/// steps change are among the totals of [`Store::sync`](crate::Store::sync); whatever a step appends to the stream's log is
/// published as by [`Store::append`](crate::Store::append).
pub trait Market: Send + Sync + 'static {
    /// The time that decides openings and closings, in ms since 1970. All gateways of a fleet see the same, but for what a
    /// message takes. It does not follow a wall clock that is set.
    fn now(&self) -> u64;

    /// Takes units of a pool for a user, if there are any left and the user may have them.
    ///
    /// In this order: a repetition of [`Claim::request`] is answered; [`Claim::checks`] are tried; the time is looked at;
    /// units that are due come back; then the user's share and the stock.
    ///
    /// A grant adds its quantity to [`sold`] and one to [`CLAIMS`]; one that is final adds its [`Claim::worth`]; the ledger
    /// gets a record `claim`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`]: nothing has changed. [`StoreError::Unavailable`].
    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, StoreError>>;

    /// Makes a grant final, or gives its units back. Doing it again changes nothing and answers the same.
    ///
    /// The ledger gets a record `confirm` or `release`, with the grant's text. Confirming adds the grant's worth; releasing
    /// takes it back if it was final.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is no such stream. [`StoreError::Unavailable`].
    fn settle(&self, settle: Settle) -> BoxFuture<'_, Result<Settled, StoreError>>;

    /// Takes back the units of holds that ran out [`RETURN_DELAY`] ago. Claims do so too; this is for pools of which nobody
    /// claims.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn tend<'a>(&'a self, stream: &'a str, pool: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// All grants of a pool, in no order. One that is made or changes while they are read may be missing, or be as it was before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn grants<'a>(&'a self, stream: &'a str, pool: &'a str) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>>;

    /// Draws a prize for a user.
    ///
    /// In this order: a repetition of [`Spin::request`] is answered; [`Spin::checks`] are tried; the time is looked at; then
    /// the user's share. The number of the user's turn chooses one of [`Spin::draws`], and that the prize: [`pick`] says how.
    ///
    /// A spin adds one to [`sold`] and to [`SPINS`]; the ledger gets a record `spin`; a prize is published as [`Spin::event`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`]: nothing has changed. [`StoreError::Unavailable`].
    fn spin(&self, spin: Spin) -> BoxFuture<'_, Result<Spun, StoreError>>;

    /// Counts a user's vote, once per pool: adds one to [`tally`] and to [`votes`].
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::TooLarge`]: nothing has changed. [`StoreError::Unavailable`].
    fn vote(&self, vote: Vote) -> BoxFuture<'_, Result<Voted, StoreError>>;

    /// Writes something down that only gateways see, and adds one to the book's counter, see [`book`]. [`Note::record`]
    /// goes into the ledger in the same step.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the book is full: nothing has changed. [`StoreError::Conflict`] if there is no such
    /// stream. [`StoreError::Unavailable`].
    fn note(&self, note: Note) -> BoxFuture<'_, Result<Noted, StoreError>>;

    /// A book of notes, of one moment. One that does not exist is empty.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn notes<'a>(&'a self, stream: &'a str, book: &'a str) -> BoxFuture<'a, Result<Notes, StoreError>>;

    /// Records of the ledger behind `after` (empty: from the oldest that is left), oldest first, at most `limit`. If there are
    /// fewer, nothing is behind them: what somebody else has put there is among them, as [`FOREIGN`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn ledger<'a>(
        &'a self,
        stream: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// Makes `owner` the one who reads the ledger under the name `reader`, for `ttl` from now, unless somebody else is; and
    /// with `advance` remembers how far it has come. The answer is how far it had come (empty: nothing was read), `None` if
    /// somebody else reads.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is no such stream. [`StoreError::Unavailable`].
    fn read_as<'a>(&'a self, read: ReadAs<'a>) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// The key under which others read the ledger; `None` where there is no way in.
    fn ledger_key(&self, stream: &str) -> Option<String>;
}

/// What somebody wants of a pool. See [`Market::claim`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// The stream.
    pub stream: String,
    /// What it is taken of.
    pub pool: String,
    /// What must hold of the stream's state.
    pub checks: Vec<Check>,
    /// The grant's id, unique in the stream.
    pub id: String,
    /// Who wants it.
    pub user: String,
    /// The user's own name for this claim: a repetition, of the same pool and user, gets the first answer.
    pub request: Option<String>,
    /// How many units, at least one.
    pub quantity: u64,
    /// The terms of the pool.
    pub terms: Terms,
    /// The user as JSON, for the ledger.
    pub by: String,
    /// The grant's JSON object in pieces; the engine writes the time (ms) between each two.
    pub data: Vec<String>,
    /// What a final grant adds to counters.
    pub worth: Vec<Counter>,
}

/// The terms of a pool of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Units in all.
    pub stock: u64,
    /// Units that one user may have.
    pub per_user: u64,
    /// From when on they can be had.
    pub opens: Option<u64>,
    /// Until when, exclusively.
    pub ends: Option<u64>,
    /// How long a grant is kept that nobody confirms, in ms; `None`: it is final at once.
    pub hold: Option<u64>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It was granted.
    New(Grant),
    /// It had been granted before, as this.
    Repeat(Grant),
    /// It was not.
    Refused(Refusal),
}

/// Why something is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It begins then.
    Early(u64),
    /// It is over.
    Late,
    /// The user may have so many more.
    Limit(u64),
    /// So many are left.
    SoldOut(u64),
    /// The request's name was used for another quantity.
    Mismatch,
}

/// Units that a user has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: Arc<str>,
    /// Whose it is.
    pub user: Arc<str>,
    /// The name that the user gave it.
    pub request: Option<Arc<str>>,
    /// How many units.
    pub quantity: u64,
    /// Its JSON object, as it was granted.
    pub text: Arc<str>,
    /// How many were left right after it.
    pub left: u64,
    /// Whether it stands.
    pub state: GrantState,
}

/// Whether a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// Until this time, unless it is confirmed before.
    Held(u64),
    /// For good.
    Final,
    /// It does not: its units go, or went, back.
    Returned,
}

/// What is to be done with a grant. See [`Market::settle`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settle {
    /// The stream.
    pub stream: String,
    /// What the name of the grant's pool begins with.
    pub pool: String,
    /// The grant's id.
    pub id: String,
    /// Make it final; else give it back.
    pub confirm: bool,
    /// Who does it, as JSON, for the ledger.
    pub by: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is as asked now. The flag says whether it was so before.
    Done(Grant, bool),
    /// It is over: what did not stand any more cannot be confirmed.
    Over,
    /// There is no such grant.
    Unknown,
}

/// A turn at a wheel. See [`Market::spin`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spin {
    /// The stream.
    pub stream: String,
    /// What it is drawn of.
    pub pool: String,
    /// What must hold of the stream's state.
    pub checks: Vec<Check>,
    /// The spin's id.
    pub id: String,
    /// Who spins.
    pub user: String,
    /// The user's own name for this spin: a repetition, of the same pool and user, gets the first answer.
    pub request: Option<String>,
    /// Until when, exclusively.
    pub ends: Option<u64>,
    /// What there is to win.
    pub prizes: Vec<Stake>,
    /// One number below 2^53 for each turn of the user, the first one first; there are no more turns than numbers.
    pub draws: Vec<u64>,
    /// The user as JSON, for the ledger.
    pub by: String,
    /// The ledger's JSON object in four pieces; the engine writes the turn, the prize and the time (ms) between them.
    pub data: Vec<String>,
    /// The name of the event that tells of a prize.
    pub event: String,
    /// Its JSON object in three pieces; the engine writes the new `seq` and the prize between them.
    pub won: Vec<String>,
}

/// A prize.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stake {
    /// Its id.
    pub id: String,
    /// Its share of the draws, among those of all prizes that are left. At most 2^32.
    pub weight: u64,
    /// How often it can be given; `None`: always.
    pub stock: Option<u64>,
    /// Its JSON object.
    pub text: String,
}

/// What became of a spin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spun {
    /// It was made.
    New(Turn),
    /// It had been made before, as this.
    Repeat(Turn),
    /// It was not.
    Refused(Refusal),
}

/// A spin that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: Arc<str>,
    /// Which of the user's turns it was, from 1.
    pub turn: u64,
    /// The prize's JSON object; `None`: nothing was left.
    pub prize: Option<Arc<str>>,
}

/// The place of the prize that a draw hits: the draw modulo the sum of the weights says where, and prizes that are given
/// away have no weight. `None`: no weight is left.
pub fn pick(draw: u64, weights: impl Iterator<Item = u64> + Clone) -> Option<usize> {
    let sum = weights.clone().fold(0_u64, u64::saturating_add);
    let mut ticket = draw.checked_rem(sum)?;
    for (place, weight) in weights.enumerate() {
        match ticket.checked_sub(weight) {
            Some(rest) => ticket = rest,
            None => return Some(place),
        }
    }
    None
}

/// A vote. See [`Market::vote`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vote {
    /// The stream.
    pub stream: String,
    /// What it is a vote in.
    pub pool: String,
    /// What must hold of the stream's state.
    pub checks: Vec<Check>,
    /// Who votes.
    pub user: String,
    /// For which option, from 0.
    pub option: usize,
    /// How many there are.
    pub options: usize,
    /// Until when, exclusively.
    pub ends: Option<u64>,
}

/// What became of a vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Voted {
    /// It counts; the votes for each option.
    Counted(Vec<u64>),
    /// The user has voted, for this option.
    Before(usize),
    /// It is over.
    Late,
}

/// Something that only gateways see. See [`Market::note`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// The stream.
    pub stream: String,
    /// The book that it is written in.
    pub book: String,
    /// Its name there.
    pub key: String,
    /// The text; `None` takes it out.
    pub text: Option<String>,
    /// When it is forgotten (ms since 1970); `None`: never.
    pub until: Option<u64>,
    /// What must stand there now (inner `None`: nothing); `None`: whatever it is.
    pub was: Option<Option<String>>,
    /// What the ledger gets.
    pub record: Option<Happening>,
}

/// What the ledger is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Happening {
    /// What happened.
    pub kind: String,
    /// Who did it, as JSON.
    pub by: String,
    /// The JSON object.
    pub data: String,
}

/// What became of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// It is written; the book's counter.
    Done(u64),
    /// Something else than [`Note::was`] stands there.
    Differs(Option<Arc<str>>),
}

/// A book of notes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notes {
    /// The book's counter.
    pub revision: u64,
    /// Names and texts, sorted by name.
    pub notes: Vec<(Arc<str>, Arc<str>)>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the ledger, `<ms since 1970>-<number>`; later ones are greater.
    pub id: Arc<str>,
    /// What happened: `claim`, `confirm`, `release`, `expire`, `spin`, or the name of the event or command;
    /// or [`FOREIGN`].
    pub kind: Arc<str>,
    /// Who did it, as JSON; `null`: nobody.
    pub by: Arc<str>,
    /// The JSON object.
    pub data: Arc<str>,
}

/// Reading the ledger in turns with others. See [`Market::read_as`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAs<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What reads.
    pub reader: &'a str,
    /// Who does it now.
    pub owner: &'a str,
    /// How long nobody else does.
    pub ttl: Duration,
    /// The last record that needs not be read again.
    pub advance: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weight_has_its_share_of_the_draws() {
        let hits = |weights: &[u64]| {
            let mut hits = vec![0; weights.len()];
            let sum: u64 = weights.iter().sum();
            (0..sum).filter_map(|draw| pick(draw, weights.iter().copied())).for_each(|place| hits[place] += 1);
            hits
        };
        assert_eq!(hits(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(hits(&[0, 5, 0, 1]), [0, 5, 0, 1]);
        assert_eq!(pick(7, [1, 2, 3].into_iter()), Some(1), "the numbers go round");
        assert_eq!(pick(0, [0, 0].into_iter()), None);
        assert_eq!(pick(0, std::iter::empty()), None);
    }
}
