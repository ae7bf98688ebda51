//! The entries of one stream that are still there. It never has a hole: entries leave only at the old end.

use std::{collections::VecDeque, sync::Arc};

use super::Limits;
use crate::Entry;

/// What an erased entry's `data` is.
const ERASED: &str = "null";

/// The newest entries of a stream, numbered without a gap up to `head`.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Arc<Entry>>,
    head: u64,
    bytes: usize,
}

impl Log {
    /// The last entry's number, 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Adds the entry that follows `head`, and trims.
    pub(super) fn push(&mut self, entry: Arc<Entry>, limits: &Limits) {
        self.head = entry.position.seq;
        self.bytes += text_bytes(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > limits.log_entries || self.bytes > limits.log_bytes {
            match self.entries.pop_front() {
                Some(oldest) => self.bytes -= text_bytes(&oldest),
                None => break,
            }
        }
    }

    /// Blanks the entry, if it is there.
    pub(super) fn erase(&mut self, seq: u64) {
        let Some(entry) = self.index(seq).and_then(|index| self.entries.get_mut(index)) else { return };
        self.bytes -= text_bytes(entry);
        *entry = Arc::new(Entry { data: ERASED.into(), ..(**entry).clone() });
        self.bytes += text_bytes(entry);
    }

    /// The entries after `seq`, oldest first. `None`: not all of them are there, or `seq` is past the end.
    pub(super) fn after(&self, seq: u64, limit: usize) -> Option<Vec<Arc<Entry>>> {
        if seq == self.head {
            return Some(Vec::new());
        }
        let from = self.index(seq.checked_add(1)?)?;
        Some(self.entries.range(from..).take(limit).cloned().collect())
    }

    /// The newest entries named `event` below `before` that are not erased, oldest first.
    pub(super) fn named(&self, event: &str, before: Option<u64>, limit: usize) -> Vec<Arc<Entry>> {
        let end = match before {
            Some(before) if before <= self.head => self.index(before).unwrap_or(0),
            _ => self.entries.len(),
        };
        let found = self.entries.range(..end).rev().filter(|entry| *entry.event == *event && *entry.data != *ERASED);
        let mut found: Vec<_> = found.take(limit).cloned().collect();
        found.reverse();
        found
    }

    fn index(&self, seq: u64) -> Option<usize> {
        let first = self.head + 1 - self.entries.len() as u64;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

/// The bytes that an entry counts for.
pub(super) fn text_bytes(entry: &Entry) -> usize {
    let fields: usize = entry.set.iter().filter_map(|(_, text)| text.as_ref()).map(|text| text.len()).sum();
    entry.data.len() + fields
}
