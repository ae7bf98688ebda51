//! Messages: every watcher has each number of the log once, from where it came in to the end, and all see the same ones.

use std::collections::{HashMap, HashSet};

use super::checker::{Complaints, Promise};

/// Gaps that are remembered per watcher, so that a late message can be told from a doubled one.
const MAX_GAPS: usize = 4_096;

/// Who is where in the log.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    watchers: HashMap<usize, Watcher>,
    /// By epoch.
    logs: HashMap<String, Log>,
    /// What viewers said and was accepted: who, and where.
    accepted: HashMap<u64, (usize, String, u64)>,
    delivered: u64,
}

/// What was seen of one epoch.
#[derive(Debug, Default)]
struct Log {
    /// The last number.
    head: u64,
    /// What each number stands for.
    digests: HashMap<u64, u64>,
    /// The number of what was said.
    said: HashMap<u64, u64>,
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

    /// A message came; `said` is which of the things that viewers said.
    pub(super) fn message(
        &mut self,
        who: usize,
        (epoch, seq): (&str, u64),
        digest: u64,
        said: Option<u64>,
        at: f64,
        wrong: &mut Complaints,
    ) {
        self.delivered += 1;
        let log = self.log(epoch);
        log.head = log.head.max(seq);
        if *log.digests.entry(seq).or_insert(digest) != digest {
            wrong.add(Promise::Messages, at, Some(who), || format!("saw another {seq} of {epoch} than others"));
        }
        if let Some(said) = said {
            let first = *log.said.entry(said).or_insert(seq);
            if first != seq {
                wrong.add(Promise::Messages, at, Some(who), || {
                    format!("what was said once, #{said}, came as {first} and as {seq} of {epoch}")
                });
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

    /// What somebody said was accepted, at this place.
    pub(super) fn said(&mut self, who: usize, (epoch, seq): (&str, u64), said: u64, at: f64, wrong: &mut Complaints) {
        let place = (who, epoch.to_owned(), seq);
        let first = self.accepted.entry(said).or_insert_with(|| place.clone());
        if *first != place {
            wrong.add(Promise::Messages, at, Some(who), || {
                format!("#{said} was accepted as {} of {}, and as {seq} of {epoch}", first.2, first.1)
            });
        }
    }

    fn log(&mut self, epoch: &str) -> &mut Log {
        self.logs.entry(epoch.to_owned()).or_default()
    }

    /// Whether everybody who watches is where the first of them all is, and what was accepted has come.
    pub(crate) fn all_there(&self) -> bool {
        let heads = self.heads();
        let is_there = |watcher: &Watcher| {
            watcher.place.as_ref().is_none_or(|(epoch, seq)| heads.get(epoch.as_str()).is_none_or(|head| seq >= head))
        };
        self.watchers.values().all(is_there)
    }

    /// The last number of each epoch that there is, by all that is known.
    fn heads(&self) -> HashMap<&str, u64> {
        let seen = self.logs.iter().map(|(epoch, log)| (epoch, log.head));
        // One may have joined at a place that nobody else has reached.
        let joined = self.watchers.values().filter_map(|watcher| watcher.place.as_ref());
        let accepted = self.accepted.values().map(|(_, epoch, seq)| (epoch, *seq));
        let mut heads = HashMap::new();
        for (epoch, seq) in seen.chain(joined.map(|(epoch, seq)| (epoch, *seq))).chain(accepted) {
            let head: &mut u64 = heads.entry(epoch.as_str()).or_default();
            *head = seq.max(*head);
        }
        heads
    }

    /// Nothing comes any more: whoever is still there has everything, and what was accepted has come. If resets are allowed,
    /// an epoch that everybody has left may have lost something.
    pub(super) fn end(&self, resets_allowed: bool, at: f64, wrong: &mut Complaints) {
        let heads = self.heads();
        let mut present = HashSet::new();
        for (who, watcher) in &self.watchers {
            let Some((epoch, seq)) = &watcher.place else { continue };
            present.insert(epoch.as_str());
            let head = heads.get(epoch.as_str()).copied().unwrap_or(*seq);
            if *seq < head {
                wrong.add(Promise::Messages, at, Some(*who), || format!("ends at {seq} of {head}"));
            }
        }
        for (said, (who, epoch, seq)) in &self.accepted {
            let is_it =
                |log: &Log| log.digests.contains_key(seq) && log.said.get(said).is_none_or(|place| place == seq);
            let came = self.logs.get(epoch).is_some_and(is_it);
            if !came && (!resets_allowed || present.contains(epoch.as_str())) {
                wrong.add(Promise::Messages, at, Some(*who), || {
                    format!("said #{said}, which was accepted as {seq} of {epoch}, and never came there")
                });
            }
        }
    }

    /// What was looked at.
    pub(super) fn detail(&self) -> (bool, String) {
        let messages: usize = self.logs.values().map(|log| log.digests.len()).sum();
        (self.delivered > 0, format!("{messages} messages, {} deliveries", self.delivered))
    }
}
