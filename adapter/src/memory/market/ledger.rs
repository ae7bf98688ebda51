//! What happened in a stream's sale, in order. It lets go of the oldest only.

use std::{collections::VecDeque, sync::Arc};

use super::super::Limits;
use crate::Record;

/// The place of a record: the time and a number that tells those of one millisecond apart.
type Place = (u64, u64);

/// The newest records of a stream.
#[derive(Debug, Default)]
pub(in super::super) struct Ledger {
    records: VecDeque<(Place, Record)>,
    last: Place,
    bytes: usize,
}

impl Ledger {
    /// Adds a record.
    pub(in super::super) fn push(&mut self, time: u64, kind: &str, by: &str, data: Arc<str>, limits: &Limits) {
        // The place rises even if the time does not.
        self.last = if time > self.last.0 { (time, 0) } else { (self.last.0, self.last.1 + 1) };
        let (time, number) = self.last;
        let record = Record { id: format!("{time}-{number}").into(), kind: kind.into(), by: by.into(), data };
        self.bytes += bytes(&record);
        self.records.push_back((self.last, record));
        while self.records.len() > limits.ledger_records || self.bytes > limits.ledger_bytes {
            let Some((_, oldest)) = self.records.pop_front() else { break };
            self.bytes -= bytes(&oldest);
        }
    }

    /// See [`Market::ledger`](crate::Market::ledger). A place that makes no sense is before all others.
    pub(in super::super) fn after(&self, after: &str, limit: usize) -> Vec<Record> {
        let start = match place(after) {
            Some(place) => self.records.partition_point(|(known, _)| *known <= place),
            None => 0,
        };
        self.records.range(start..).take(limit).map(|(_, record)| record.clone()).collect()
    }
}

fn place(text: &str) -> Option<Place> {
    let (time, number) = text.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

fn bytes(record: &Record) -> usize {
    record.data.len() + record.by.len() + record.kind.len()
}
