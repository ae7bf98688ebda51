//! The outside checker: it knows only the journal, and says which promises were broken.
//!
//! It must never forgive, and never need the server's help: what it compares are what viewers saw, what they were
//! answered, and what the ledger says.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::audience::Audience;
use super::order::Orders;
use super::pace::Paces;
use super::sale::Sales;
use super::seen::{Line, Seen};
use super::taps::Taps;

/// Complaints about one promise that are kept word for word.
const KEPT: usize = 5;

/// What is promised.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Promise {
    /// Everybody who stayed or came back has every message, once, and all have the same ones in the same order.
    Messages,
    /// Who comes back is the session that it was.
    Recovery,
    /// No messages are lost for good.
    NoReset,
    /// Of a drop never more than its stock is granted, nobody gets more than a share, and each grant exists once.
    Drops,
    /// Of a wheel no prize is given more often than its stock, nobody spins too often, and each spin exists once.
    Wheels,
    /// The ledger holds every grant, once.
    Ledger,
    /// The number of viewers is right soon after it has changed.
    Viewers,
    /// What was tapped is counted.
    Taps,
    /// State is sent at most 4 times a second.
    StatePace,
}

impl Promise {
    /// All of them, as they are shown.
    pub(crate) const ALL: [Self; 9] = [
        Self::Messages,
        Self::Recovery,
        Self::NoReset,
        Self::Drops,
        Self::Wheels,
        Self::Ledger,
        Self::Viewers,
        Self::Taps,
        Self::StatePace,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Messages => "every message, once, in one order",
            Self::Recovery => "who comes back is recovered",
            Self::NoReset => "no messages lost for good",
            Self::Drops => "drops within stock and share",
            Self::Wheels => "prizes within stock, spins within share",
            Self::Ledger => "every grant in the ledger, once",
            Self::Viewers => "viewers counted right",
            Self::Taps => "taps counted",
            Self::StatePace => "state at most 4 times a second",
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Complaint {
    /// Which promise is broken.
    pub(crate) promise: Promise,
    /// When, milliseconds since the journal began.
    pub(crate) at: f64,
    /// About whom, if about one.
    pub(crate) who: Option<usize>,
    /// What is wrong.
    pub(crate) what: String,
}

/// Everything that is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    counts: BTreeMap<Promise, u64>,
    kept: Vec<Complaint>,
}

impl Complaints {
    /// Takes note of a complaint.
    pub(crate) fn add(&mut self, promise: Promise, at: f64, who: Option<usize>, what: impl FnOnce() -> String) {
        let count = self.counts.entry(promise).or_default();
        *count += 1;
        if *count <= KEPT as u64 {
            self.kept.push(Complaint { promise, at, who, what: what() });
        }
    }
}

/// What came of one promise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// Which promise.
    pub(crate) promise: Promise,
    /// Whether it was kept. `None`: the show had nothing that would show it.
    pub(crate) kept: Option<bool>,
    /// Complaints about it.
    pub(crate) complaints: u64,
    /// What was looked at.
    pub(crate) detail: String,
}

/// What came of all promises.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    /// One for each promise.
    pub(crate) findings: Vec<Finding>,
    /// The first complaints about each promise.
    pub(crate) complaints: Vec<Complaint>,
}

impl Verdict {
    /// Whether no promise was broken.
    pub(crate) fn clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.kept != Some(false))
    }
}

/// Reads the journal line by line.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Messages: who is where in the log.
    pub(crate) orders: Orders,
    /// The number of viewers.
    pub(crate) audience: Audience,
    /// Drops and wheels.
    pub(crate) sales: Sales,
    /// Taps.
    pub(crate) taps: Taps,
    paces: Paces,
    complaints: Complaints,
    gone: HashMap<usize, bool>,
    back: u64,
    resets: u64,
    /// Messages may be lost for good, if viewers are told.
    resets_allowed: bool,
    ended: bool,
}

impl Checker {
    /// Reads one line. Lines come in the order of their time.
    pub(crate) fn line(&mut self, line: &Line) {
        let Line { at, who, ref seen } = *line;
        let wrong = &mut self.complaints;
        match seen {
            Seen::Connected { recovered } => {
                if self.gone.insert(who, false) == Some(true) {
                    self.back += 1;
                    if !recovered {
                        wrong.add(Promise::Recovery, at, Some(who), || "came back as somebody new".to_owned());
                    }
                }
                self.orders.connected(who, *recovered);
                self.audience.connected(who, *recovered, at);
            }
            Seen::Joined { epoch, seq } => {
                self.orders.joined(who, epoch, *seq, at, wrong);
                self.audience.joined(who, at);
            }
            Seen::Message { epoch, seq, digest, said } => {
                self.orders.message(who, (epoch, *seq), *digest, *said, at, wrong);
            }
            Seen::Said { epoch, seq, said } => self.orders.said(who, (epoch, *seq), *said, at, wrong),
            Seen::Reset => {
                self.resets += 1;
                if !self.resets_allowed {
                    wrong.add(Promise::NoReset, at, Some(who), || "stream:reset".to_owned());
                }
                self.orders.reset(who);
            }
            Seen::State { about } => self.paces.state(who, about, at, wrong),
            Seen::Count { viewers } => self.audience.count(who, *viewers, at),
            Seen::Totals { taps } => self.taps.totals(*taps),
            Seen::Lost => {
                self.gone.insert(who, true);
                self.audience.lost(who, at);
                self.taps.lost(who, at);
            }
            Seen::Left => {
                self.gone.remove(&who);
                self.orders.left(who);
                self.audience.left(who, at);
            }
            Seen::Audience { viewers, within } => self.audience.expect(*viewers, *within, at, wrong),
            Seen::Moving => self.audience.settle(at, wrong),
            Seen::Killed { resets } => {
                self.resets_allowed |= *resets;
                self.taps.killed(at);
                self.audience.killed(at, wrong);
            }
            Seen::Drop { drop, stock, per_user } => self.sales.drop(drop, *stock, *per_user),
            Seen::Wheel { wheel, spins_per_user, prizes } => self.sales.wheel(wheel, *spins_per_user, prizes),
            Seen::Claimed { drop, request, claim, quantity } => {
                self.sales.claimed(who, drop, (request, claim), *quantity, at, wrong);
            }
            Seen::ClaimRefused { drop, request, code } => {
                self.sales.claim_refused(who, drop, (request, code), at, wrong);
            }
            Seen::SpinRefused { wheel, request, code } => {
                self.sales.spin_refused(who, wheel, (request, code), at, wrong);
            }
            Seen::Spun { wheel, request, spin, prize } => {
                self.sales.spun(who, wheel, (request, spin), prize.as_deref(), at, wrong);
            }
            Seen::Sold { drop, sold } => self.sales.sold(drop, *sold),
            Seen::Turned { wheel, spins } => self.sales.turned(wheel, *spins),
            Seen::Tapped { taps } => self.taps.tapped(who, *taps, at),
            Seen::TapsUnanswered { taps } => self.taps.unanswered(*taps),
            Seen::ClaimUnanswered { drop, quantity } => self.sales.claim_unanswered(drop, *quantity),
            Seen::SpinUnanswered { wheel } => self.sales.spin_unanswered(wheel),
            Seen::Record { id } => self.sales.record(id, at, wrong),
            Seen::LedgerRead => self.sales.ledger_read(),
            Seen::End => self.end(at),
        }
    }

    /// Whether the last line was read, with which the last is judged.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, at: f64) {
        self.ended = true;
        let wrong = &mut self.complaints;
        for (who, _) in self.gone.iter().filter(|(_, gone)| **gone) {
            wrong.add(Promise::Recovery, at, Some(*who), || "never came back".to_owned());
        }
        self.orders.end(self.resets_allowed, at, wrong);
        self.audience.settle(at, wrong);
        self.sales.end(at, wrong);
        self.taps.end(at, wrong);
    }

    /// What came of it.
    pub(crate) fn verdict(&self) -> Verdict {
        let finding = |promise: Promise| {
            let (shown, detail) = match promise {
                Promise::Messages => self.orders.detail(),
                Promise::Recovery => (self.back > 0, format!("{} returns", self.back)),
                Promise::NoReset => (self.orders.detail().0, format!("{} resets", self.resets)),
                Promise::Drops => self.sales.drops_detail(),
                Promise::Wheels => self.sales.wheels_detail(),
                Promise::Ledger => self.sales.ledger_detail(),
                Promise::Viewers => self.audience.detail(),
                Promise::Taps => self.taps.detail(),
                Promise::StatePace => self.paces.detail(),
            };
            let complaints = self.complaints.counts.get(&promise).copied().unwrap_or(0);
            let kept = (shown || complaints > 0).then_some(complaints == 0);
            Finding { promise, kept, complaints, detail }
        };
        Verdict { findings: Promise::ALL.map(finding).into(), complaints: self.complaints.kept.clone() }
    }
}
