//! State events: nobody gets one about the same thing more often than 4 times a second.

use std::collections::HashMap;

use super::checker::{Complaints, Promise};

/// Times a second.
const RATE: f64 = 4.0;
/// How many may come at once: a reader that was busy for a moment finds some together, which is not the server's doing.
const DEPTH: f64 = 8.0;

/// How often state came.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    buckets: HashMap<(usize, String), Bucket>,
    events: u64,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    at: f64,
}

impl Paces {
    /// A state event came.
    pub(super) fn state(&mut self, who: usize, about: &str, at: f64, wrong: &mut Complaints) {
        self.events += 1;
        let bucket = self.buckets.entry((who, about.to_owned())).or_insert_with(|| Bucket { level: DEPTH, at });
        bucket.level = (bucket.level + (at - bucket.at) / 1e3 * RATE).min(DEPTH);
        bucket.at = at;
        if bucket.level < 1.0 {
            wrong.add(Promise::StatePace, at, Some(who), || format!("{about} comes too often"));
        } else {
            bucket.level -= 1.0;
        }
    }

    /// What was looked at.
    pub(super) fn detail(&self) -> (bool, String) {
        (self.events > 0, format!("{} state events", self.events))
    }
}
