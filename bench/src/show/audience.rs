//! The number of viewers: soon after it has changed, everybody is told the right one.

use std::collections::HashMap;

use super::checker::{Complaints, Promise};

/// Seconds after a kill within which the count has to be right again.
const AFTER_KILL: f64 = 30.0;
/// How long it has to stay right after that, before it counts as right, milliseconds. At first it is right because nobody
/// has noticed yet.
const STEADY: f64 = 5_000.0;

/// What everybody was told.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    watchers: HashMap<usize, Watcher>,
    /// How many of them see the expected number, and are there.
    right: usize,
    viewers: u64,
    pending: Option<Pending>,
    settled: Vec<(bool, f64)>,
}

#[derive(Debug, Default)]
struct Watcher {
    count: Option<u64>,
    there: bool,
}

/// A number that is waited for.
#[derive(Debug)]
struct Pending {
    since: f64,
    within: f64,
    steady: f64,
    kill: bool,
    right_since: Option<f64>,
}

impl Audience {
    fn change(&mut self, who: usize, at: f64, change: impl FnOnce(&mut Watcher)) {
        let viewers = self.viewers;
        let right = |watcher: &Watcher| watcher.there && watcher.count == Some(viewers);
        let watcher = self.watchers.entry(who).or_default();
        let before = right(watcher);
        change(watcher);
        let after = right(watcher);
        self.right = self.right + usize::from(after) - usize::from(before);
        self.look(at);
    }

    fn look(&mut self, at: f64) {
        let all = self.right == self.watchers.len();
        if let Some(pending) = &mut self.pending {
            pending.right_since = if all { pending.right_since.or(Some(at)) } else { None };
        }
    }

    /// CONNECT was answered.
    pub(super) fn connected(&mut self, who: usize, recovered: bool, at: f64) {
        if recovered {
            self.change(who, at, |watcher| watcher.there = true);
        }
    }

    /// The stream was joined.
    pub(super) fn joined(&mut self, who: usize, at: f64) {
        self.change(who, at, |watcher| watcher.there = true);
    }

    /// A count came.
    pub(super) fn count(&mut self, who: usize, viewers: u64, at: f64) {
        self.change(who, at, |watcher| watcher.count = Some(viewers));
    }

    /// A connection broke. Its count cannot be right until it is back.
    pub(super) fn lost(&mut self, who: usize, at: f64) {
        if self.watchers.contains_key(&who) {
            self.change(who, at, |watcher| watcher.there = false);
        }
    }

    /// The show was left.
    pub(super) fn left(&mut self, who: usize, at: f64) {
        if self.watchers.contains_key(&who) {
            self.change(who, at, |watcher| watcher.there = false);
            self.watchers.remove(&who);
            self.look(at);
        }
    }

    /// So many there are from now on.
    pub(super) fn expect(&mut self, viewers: u64, within: f64, at: f64, wrong: &mut Complaints) {
        self.wait(viewers, within, false, at, wrong);
    }

    /// A gateway was killed; its viewers come back elsewhere.
    pub(super) fn killed(&mut self, at: f64, wrong: &mut Complaints) {
        self.wait(self.viewers, AFTER_KILL, true, at, wrong);
    }

    fn wait(&mut self, viewers: u64, within: f64, kill: bool, at: f64, wrong: &mut Complaints) {
        self.settle(at, wrong);
        self.viewers = viewers;
        self.right = self.watchers.values().filter(|watcher| watcher.there && watcher.count == Some(viewers)).count();
        let steady = if kill { STEADY } else { 0.0 };
        self.pending = Some(Pending { since: at, within: within * 1e3, steady, kill, right_since: None });
        self.look(at);
    }

    /// Whether nothing is waited for any more at this time.
    pub(crate) fn is_settled(&self, at: f64) -> bool {
        self.pending.as_ref().is_none_or(|pending| {
            let right = pending.right_since.is_some_and(|since| at - since >= pending.steady);
            right || at - pending.since > pending.within
        })
    }

    /// What is waited for has come by now, or it is too late, or there was no time to see it.
    pub(super) fn settle(&mut self, at: f64, wrong: &mut Complaints) {
        let Some(pending) = self.pending.take() else { return };
        let deadline = pending.since + pending.within;
        match pending.right_since {
            Some(right) if right <= deadline => self.settled.push((pending.kill, right - pending.since)),
            _ if at < deadline => {}
            _ => {
                let (right, all, viewers) = (self.right, self.watchers.len(), self.viewers);
                let mut told: Vec<_> = self.watchers.values().map(|watcher| watcher.count.unwrap_or(0)).collect();
                told.sort_unstable();
                wrong.add(Promise::Viewers, at, None, || {
                    format!(
                        "{viewers} viewers, but after {:.0} s only {right} of {all} are told so; the others {} to {}",
                        pending.within / 1e3,
                        told.first().copied().unwrap_or(0),
                        told.last().copied().unwrap_or(0)
                    )
                });
            }
        }
    }

    /// What was looked at.
    pub(super) fn detail(&self) -> (bool, String) {
        let slowest = |kill: bool| {
            self.settled
                .iter()
                .filter(|(by_kill, _)| *by_kill == kill)
                .map(|(_, ms)| *ms)
                .fold(None, |most, ms| Some(f64::max(most.unwrap_or(0.0), ms)))
        };
        let mut text = match slowest(false) {
            Some(ms) => format!("right {:.1} s after a change", ms / 1e3),
            None => "no change was waited for".to_owned(),
        };
        if let Some(ms) = slowest(true) {
            text.push_str(&format!(", {:.1} s after the kill", ms / 1e3));
        }
        (!self.settled.is_empty(), text)
    }
}
