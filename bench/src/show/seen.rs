//! What is seen of a show from outside, one line each: the journal. The checker knows nothing else.

use serde::{Deserialize, Serialize};

/// The one who runs the show. Everybody else is a viewer, numbered from 1.
pub(crate) const SUPPLIER: usize = 0;

/// Who saw what, and when.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Line {
    /// Milliseconds since the journal began.
    pub(crate) at: f64,
    /// [`SUPPLIER`], or the number of a viewer.
    pub(crate) who: usize,
    /// What.
    #[serde(flatten)]
    pub(crate) seen: Seen,
}

/// What can be seen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "saw", rename_all = "snake_case")]
pub(crate) enum Seen {
    /// CONNECT was answered. Of one that has come back: whether as the session that it was.
    Connected { recovered: bool },
    /// The stream was joined, at this place of its log.
    Joined { epoch: String, seq: u64 },
    /// A message: its place, a number that is the same for the same bytes, and which of the things that viewers said it is.
    Message {
        epoch: String,
        seq: u64,
        digest: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<u64>,
    },
    /// What a viewer said was accepted, at this place.
    Said { epoch: String, seq: u64, said: u64 },
    /// `stream:reset`
    Reset,
    /// A state event: what it is about.
    State { about: String },
    /// How many viewers there are, as the server says.
    Count { viewers: u64 },
    /// Taps that were counted so far, as the server says.
    Totals { taps: u64 },
    /// The connection broke.
    Lost,
    /// The show was left as intended.
    Left,
    /// So many viewers there are really from now on; the count has to be right within so many seconds.
    Audience { viewers: u64, within: f64 },
    /// Viewers begin to come or go.
    Moving,
    /// A gateway was killed; `resets`: messages may be lost by it for good, if viewers are told.
    Killed {
        #[serde(default)]
        resets: bool,
    },
    /// A drop is opened with these terms.
    Drop { drop: String, stock: u64, per_user: u64 },
    /// A wheel is opened with these prizes, each with its stock.
    Wheel { wheel: String, spins_per_user: u64, prizes: Vec<(String, Option<u64>)> },
    /// A claim was granted.
    Claimed { drop: String, request: String, claim: String, quantity: u64 },
    /// A claim was refused for good.
    ClaimRefused { drop: String, request: String, code: String },
    /// A spin was granted.
    Spun { wheel: String, request: String, spin: String, prize: Option<String> },
    /// A spin was refused for good.
    SpinRefused { wheel: String, request: String, code: String },
    /// `drop:closed`
    Sold { drop: String, sold: u64 },
    /// `wheel:closed`
    Turned { wheel: String, spins: u64 },
    /// Taps that were accepted.
    Tapped { taps: u64 },
    /// So many taps were never answered, for good.
    TapsUnanswered { taps: u64 },
    /// So many units were claimed, and never answered.
    ClaimUnanswered { drop: String, quantity: u64 },
    /// A spin was never answered.
    SpinUnanswered { wheel: String },
    /// A record of the ledger: the id of a claim or spin.
    Record { id: String },
    /// The whole ledger was read.
    LedgerRead,
    /// Nothing comes any more.
    End,
}
