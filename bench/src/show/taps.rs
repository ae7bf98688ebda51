//! Taps: what was accepted is counted, no more and no less.
//!
//! A gateway adds up taps and gives them to the fleet four times a second; one that is killed takes the last of them with
//! it. That much may be missing, and is said.

use std::collections::HashMap;

use super::checker::{Complaints, Promise};

/// Taps that were accepted so shortly before a gateway was killed may not have left it, milliseconds.
const MAY_BE_GONE: f64 = 1_000.0;
/// A connection that is lost so soon after a kill is lost by it, milliseconds.
const BY_KILL: f64 = 10_000.0;

/// What was tapped and what was counted.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    accepted: u64,
    counted: u64,
    may_be_gone: u64,
    may_be_more: u64,
    last: HashMap<usize, Vec<(f64, u64)>>,
    killed: Option<f64>,
}

impl Taps {
    /// Taps were accepted.
    pub(super) fn tapped(&mut self, who: usize, taps: u64, at: f64) {
        self.accepted += taps;
        let last = self.last.entry(who).or_default();
        last.retain(|(then, _)| at - then < MAY_BE_GONE);
        last.push((at, taps));
    }

    /// The server says how many there are.
    pub(super) fn totals(&mut self, taps: u64) {
        self.counted = self.counted.max(taps);
    }

    /// Taps were sent that are never answered.
    pub(super) fn unanswered(&mut self, taps: u64) {
        self.may_be_more += taps;
    }

    /// A gateway was killed.
    pub(super) fn killed(&mut self, at: f64) {
        self.killed = Some(at);
    }

    /// A connection broke.
    pub(super) fn lost(&mut self, who: usize, at: f64) {
        let Some(killed) = self.killed.filter(|killed| at - killed < BY_KILL) else { return };
        let last = self.last.remove(&who).unwrap_or_default();
        let taps = last.iter().filter(|(then, _)| killed - then < MAY_BE_GONE).map(|(_, taps)| *taps);
        self.may_be_gone += taps.sum::<u64>();
    }

    /// Whether everything that was accepted is counted.
    pub(crate) fn all_counted(&self) -> bool {
        self.counted >= self.accepted
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, at: f64, wrong: &mut Complaints) {
        let (least, most) = (self.accepted - self.may_be_gone.min(self.accepted), self.accepted + self.may_be_more);
        if self.counted < least || self.counted > most {
            let (counted, accepted) = (self.counted, self.accepted);
            wrong.add(Promise::Taps, at, None, || {
                format!("{counted} counted of {accepted} accepted; {least} to {most} would be right")
            });
        }
    }

    /// What was looked at.
    pub(super) fn detail(&self) -> (bool, String) {
        let mut text = format!("{} counted of {} accepted", self.counted, self.accepted);
        if self.may_be_gone > 0 {
            text.push_str(&format!("; {} were accepted in the killed gateway's last second", self.may_be_gone));
        }
        if self.may_be_more > 0 {
            text.push_str(&format!("; {} were never answered", self.may_be_more));
        }
        (self.accepted > 0, text)
    }
}
