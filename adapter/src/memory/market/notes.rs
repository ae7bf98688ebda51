//! What only gateways see, in books of a stream, and how far the readers of its ledger have come.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{super::Limits, Stall};
use crate::{Note, Noted, Notes, ReadAs, StoreError, market::book};

/// Books by name, and their notes.
pub(super) type Books = HashMap<Box<str>, BTreeMap<Arc<str>, Written>>;
/// Readers by name.
pub(super) type Readers = HashMap<Box<str>, Reader>;

/// Readers of one ledger.
const READERS: usize = 64;

/// A note, until it is forgotten.
#[derive(Debug)]
pub(super) struct Written {
    text: Arc<str>,
    until: Option<u64>,
}

impl Written {
    fn holds(&self, time: u64) -> bool {
        self.until.is_none_or(|until| time < until)
    }
}

/// Who reads the ledger, until when, and how far it has been read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    owner: Box<str>,
    until: u64,
    position: String,
}

impl Stall {
    /// See [`Market::note`](crate::Market::note).
    pub(super) fn note(&mut self, note: &Note, time: u64, limits: &Limits) -> Result<Noted, StoreError> {
        let size = note.key.len().max(note.book.len());
        if size > limits.name_bytes || note.text.as_ref().is_some_and(|text| text.len() > limits.field_bytes) {
            return Err(StoreError::TooLarge("a note that is too long".to_owned()));
        }
        let notes = self.books.entry(note.book.as_str().into()).or_default();
        let known = notes.get(&*note.key).filter(|written| written.holds(time)).map(|written| written.text.clone());
        if note.was.as_ref().is_some_and(|was| was.as_deref() != known.as_deref()) {
            return Ok(Noted::Differs(known));
        }
        match &note.text {
            Some(text) => {
                if notes.len() >= limits.notes && !notes.contains_key(&*note.key) {
                    notes.retain(|_, written| written.holds(time));
                }
                if notes.len() >= limits.notes && !notes.contains_key(&*note.key) {
                    return Err(StoreError::TooLarge(format!("more than {} notes", limits.notes)));
                }
                notes.insert(note.key.as_str().into(), Written { text: text.as_str().into(), until: note.until });
            }
            None => drop(notes.remove(&*note.key)),
        }
        if let Some(record) = &note.record {
            self.ledger.push(time, &record.kind, &record.by, record.data.as_str().into(), limits);
        }
        Ok(Noted::Done(self.counts.add(&book(&note.book), 1)))
    }

    /// See [`Market::notes`](crate::Market::notes).
    pub(super) fn notes(&self, name: &str, time: u64) -> Notes {
        let notes = self.books.get(name).into_iter().flatten().filter(|(_, written)| written.holds(time));
        Notes {
            revision: self.counts.get(&book(name)),
            notes: notes.map(|(key, written)| (key.clone(), written.text.clone())).collect(),
        }
    }

    /// See [`Market::read_as`](crate::Market::read_as).
    pub(super) fn read_as(&mut self, read: &ReadAs<'_>, time: u64) -> Option<String> {
        if self.readers.len() >= READERS && !self.readers.contains_key(read.reader) {
            return None;
        }
        let reader = self.readers.entry(read.reader.into()).or_default();
        if *reader.owner != *read.owner && time < reader.until {
            return None;
        }
        reader.owner = read.owner.into();
        reader.until = time.saturating_add(u64::try_from(read.ttl.as_millis()).unwrap_or(u64::MAX));
        let before = reader.position.clone();
        if let Some(position) = read.advance {
            reader.position = position.to_owned();
        }
        Some(before)
    }
}
