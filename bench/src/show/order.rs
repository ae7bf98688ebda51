//! Messages: every watcher has each number of the log once, from where it came in to the end, and all see the same ones.

use std::collections::{HashMap, HashSet};

use super::checker::{Complaints, Promise};

/// Gaps that are remembered per watcher, so that a late message can be told from a doubled one.
const MAX_GAPS: usize = 4_096;

/// Who is where in the log.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    watchers: HashMap<usize, Watcher>,
    logs: HashMap<String, Vec<Option<u64>>>,
    delivered: u64,
}

/// One who watches.
#[derive(Debug, Default)]
struct Watcher {
    /// The epoch, and the last number seen.
    place: Option<(String, u64)>,
    /// A reset came, and no join yet: any place is good.
    adrift: bool,
    missing: HashSet<u64>,
}

impl Orders {
    /// CONNECT was answered.
    pub(super) fn connected(&mut self, who: usize, recovered: bool) {
        let watcher = self.watchers.entry(who).or_default();
        if !recovered {
            *watcher = Watcher::default();
        }
    }

    /// The stream was joined.
    pub(super) fn joined(&mut self, who: usize, epoch: &str, seq: u64, at: f64, wrong: &mut Complaints) {
        let watcher = self.watchers.entry(who).or_default();
        if let Some((old, last)) = watcher.place.as_ref().filter(|_| !watcher.adrift)
            && (old != epoch || *last != seq)
        {
            wrong.add(Promise::Messages, at, Some(who), || {
                format!("was at {last} of {old}, and joined at {seq} of {epoch}")
            });
        }
        *watcher = Watcher { place: Some((epoch.to_owned(), seq)), ..Watcher::default() };
    }

    /// `stream:reset`
    pub(super) fn reset(&mut self, who: usize) {
        *self.watchers.entry(who).or_default() = Watcher { adrift: true, ..Watcher::default() };
    }

    /// The show was left.
    pub(super) fn left(&mut self, who: usize) {
        self.watchers.remove(&who);
    }

    /// A message came.
    pub(super) fn message(&mut self, who: usize, epoch: &str, seq: u64, digest: u64, at: f64, wrong: &mut Complaints) {
        self.delivered += 1;
        if !self.logs.contains_key(epoch) {
            self.logs.insert(epoch.to_owned(), Vec::new());
        }
        if let Some(log) = self.logs.get_mut(epoch) {
            let index = usize::try_from(seq).unwrap_or(usize::MAX).min(100_000_000);
            if log.len() <= index {
                log.resize(index + 1, None);
            }
            if *log[index].get_or_insert(digest) != digest {
                wrong.add(Promise::Messages, at, Some(who), || format!("saw another {seq} of {epoch} than others"));
            }
        }
        let watcher = self.watchers.entry(who).or_default();
        match &mut watcher.place {
            None if watcher.adrift => watcher.place = Some((epoch.to_owned(), seq)),
            None => wrong.add(Promise::Messages, at, Some(who), || format!("got {seq} before it joined")),
            Some((now, last)) if now != epoch => {
                wrong.add(Promise::Messages, at, Some(who), || {
                    format!("got {seq} of {epoch} at {last} of {now}, without a reset")
                });
                watcher.place = Some((epoch.to_owned(), seq));
            }
            Some((_, last)) if seq == *last + 1 => *last = seq,
            Some((_, last)) if seq > *last => {
                wrong.add(Promise::Messages, at, Some(who), || format!("got {seq} after {last}"));
                let room = MAX_GAPS.saturating_sub(watcher.missing.len());
                watcher.missing.extend((*last + 1..seq).take(room));
                *last = seq;
            }
            Some((_, last)) => {
                let late = watcher.missing.remove(&seq);
                let how = if late { "late" } else { "twice" };
                wrong.add(Promise::Messages, at, Some(who), || format!("got {seq} {how}, at {last}"));
            }
        }
    }

    /// Whether everybody who watches is where the first of them all is.
    pub(crate) fn all_there(&self) -> bool {
        self.watchers.values().all(|watcher| match &watcher.place {
            Some((epoch, seq)) => *seq == self.head(epoch),
            None => true,
        })
    }

    fn head(&self, epoch: &str) -> u64 {
        let seen = self.logs.get(epoch).map_or(0, |log| log.len().saturating_sub(1) as u64);
        let places = self.watchers.values().filter_map(|watcher| watcher.place.as_ref());
        // One may have joined at a place that nobody else has reached.
        places.filter(|(other, _)| other == epoch).map(|(_, seq)| *seq).fold(seen, u64::max)
    }

    /// Nothing comes any more: whoever is still there has everything.
    pub(super) fn end(&mut self, at: f64, wrong: &mut Complaints) {
        let epochs: HashMap<&String, u64> = self.logs.keys().map(|epoch| (epoch, self.head(epoch))).collect();
        for (who, watcher) in &self.watchers {
            let Some((epoch, seq)) = &watcher.place else { continue };
            let head = epochs.get(epoch).copied().unwrap_or(*seq);
            if *seq < head {
                wrong.add(Promise::Messages, at, Some(*who), || format!("ends at {seq} of {head}"));
            }
        }
    }

    /// What was looked at.
    pub(super) fn detail(&self) -> (bool, String) {
        let messages: usize = self.logs.values().map(|log| log.iter().flatten().count()).sum();
        (self.delivered > 0, format!("{messages} messages, {} deliveries", self.delivered))
    }
}
