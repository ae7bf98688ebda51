//! The outside checker: it knows what clients wrote down and what Redis holds, and nothing of any gateway. It says what is
//! wrong; a test fails if it says anything.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde_json::Value;

use super::crowd::{Acked, Line, Seen, digest};

/// What Redis holds of one stream's log, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub epoch: String,
    pub seq: u64,
    pub entries: Vec<Kept>,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Kept {
    pub seq: u64,
    pub digest: u64,
    pub id: Option<String>,
    pub text: Option<String>,
}

impl Log {
    pub fn read(redis: &mut redis::Connection, stream: &str) -> Self {
        let key = |part: &str| format!("haat:{{{stream}}}:{part}");
        let mut commands = redis::pipe();
        commands.atomic().cmd("HMGET").arg(key("meta")).arg("epoch").arg("seq");
        commands.cmd("LRANGE").arg(key("log")).arg(0).arg(-1);
        type Answer = ((Option<String>, Option<u64>), Vec<Vec<u8>>);
        let ((epoch, seq), records): Answer = commands.query(redis).unwrap();
        let entries = records.iter().map(|record| kept(record)).collect();
        Self { epoch: epoch.unwrap_or_default(), seq: seq.unwrap_or_default(), entries }
    }
}

/// Reads a record: `1 <epoch> <seq> <clock> <bytes of the first part> <sum> <sum>\n<first part><second part>`, parts being
/// lists of `<bytes>:<text>`, the event's name the first text, and its data those of the second part with the number
/// between each two.
fn kept(record: &[u8]) -> Kept {
    let line = record.iter().position(|byte| *byte == b'\n').unwrap();
    let words: Vec<&str> = std::str::from_utf8(&record[..line]).unwrap().split(' ').collect();
    let (seq, first): (u64, usize) = (words[2].parse().unwrap(), words[4].parse().unwrap());
    let (first, second) = record[line + 1..].split_at(first);
    let event = texts(first).remove(0);
    let data: Value = serde_json::from_str(&texts(second).join(words[2])).unwrap();
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    Kept { seq, digest: digest(&event, &data), id: text("id"), text: text("text") }
}

fn texts(mut part: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(colon) = part.iter().position(|byte| *byte == b':') {
        let length: usize = std::str::from_utf8(&part[..colon]).unwrap().parse().unwrap();
        let text = &part[colon + 1..colon + 1 + length];
        texts.push(std::str::from_utf8(text).unwrap().to_owned());
        part = &part[colon + 1 + length..];
    }
    texts
}

/// Where a client stands in a stream.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// It has not joined.
    Out,
    /// It was told that messages are lost: whatever comes next in this epoch is next.
    Reset(String),
    /// It has had everything up to here.
    At(String, u64),
}

/// What is wrong, as far as it was looked at.
#[derive(Debug, Default)]
pub struct Checker {
    pub wrong: Vec<String>,
    /// What each message is, by stream, epoch and number.
    order: BTreeMap<(String, String, u64), u64>,
    /// Where each client stood in the end.
    ends: Vec<(String, HashMap<String, Place>)>,
    /// Messages that clients saw.
    pub messages: usize,
}

impl Checker {
    fn complain(&mut self, client: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{client}: {what}"));
    }

    /// One client's log: each stream's numbers rise by one, unless it is told otherwise.
    pub fn client(&mut self, name: &str, log: &[Line]) {
        let mut places: HashMap<String, Place> = HashMap::new();
        let mut own = None::<String>;
        for Line { seen, .. } in log {
            match seen {
                Seen::Connected { sid, recovered: true, .. } => {
                    if own.as_ref() != Some(sid) {
                        self.complain(name, format!("recovered {own:?} as {sid}"));
                    }
                }
                Seen::Connected { sid, recovered: false, .. } => {
                    own = Some(sid.clone());
                    places.clear();
                }
                Seen::Joined { stream, epoch, seq } => {
                    let place = places.insert(stream.clone(), Place::At(epoch.clone(), *seq));
                    match place.unwrap_or(Place::Out) {
                        Place::Out => {}
                        Place::Reset(new) if new == *epoch => {}
                        Place::At(old, had) if old == *epoch && had == *seq => {}
                        before => self.complain(name, format!("joins {stream} at {epoch}/{seq} from {before:?}")),
                    }
                }
                Seen::Message { stream, epoch, seq, digest, .. } => {
                    self.messages += 1;
                    let place = places.insert(stream.clone(), Place::At(epoch.clone(), *seq));
                    match place.unwrap_or(Place::Out) {
                        Place::Reset(new) if new == *epoch => {}
                        Place::At(old, had) if old == *epoch && had + 1 == *seq => {}
                        before => self.complain(name, format!("gets {stream} {epoch}/{seq} at {before:?}")),
                    }
                    self.order(name, stream, epoch, *seq, *digest);
                }
                Seen::Reset { stream, epoch } => {
                    let place = places.insert(stream.clone(), Place::Reset(epoch.clone()));
                    match place.unwrap_or(Place::Out) {
                        Place::At(_, _) => {}
                        before => self.complain(name, format!("is told of {stream}'s loss ({epoch}) at {before:?}")),
                    }
                }
                Seen::Lost | Seen::Refused { .. } | Seen::Event { .. } => {}
            }
        }
        self.ends.push((name.to_owned(), places));
    }

    /// All logs have a place in one order.
    fn order(&mut self, name: &str, stream: &str, epoch: &str, seq: u64, digest: u64) {
        let key = (stream.to_owned(), epoch.to_owned(), seq);
        if *self.order.entry(key).or_insert(digest) != digest {
            self.complain(name, format!("{stream} {epoch}/{seq} is another message than elsewhere"));
        }
    }

    /// What Redis holds is what clients saw, and everybody has had all of it.
    pub fn log(&mut self, stream: &str, log: &Log) {
        let mut next = None;
        for entry in &log.entries {
            if next.is_some_and(|next| next != entry.seq) {
                self.complain("redis", format!("{stream} has {} in place of {next:?}", entry.seq));
            }
            next = Some(entry.seq + 1);
            self.order("redis", stream, &log.epoch, entry.seq, entry.digest);
        }
        if next.is_some_and(|next| next != log.seq + 1) {
            self.complain("redis", format!("{stream} ends at {next:?}, and not at {}", log.seq));
        }
        let end = Place::At(log.epoch.clone(), log.seq);
        for (name, places) in std::mem::take(&mut self.ends) {
            if let Some(place) = places.get(stream).filter(|place| **place != end) {
                self.complain(&name, format!("ends in {stream} at {place:?}, and not at {end:?}"));
            }
            self.ends.push((name, places));
        }
    }

    /// Every acknowledged message is in the log, and no message is in it twice.
    pub fn acked(&mut self, stream: &str, log: &Log, acked: &[Acked]) {
        let mut texts = HashMap::<&str, Vec<&Kept>>::new();
        for entry in &log.entries {
            if let Some(text) = &entry.text {
                texts.entry(text).or_default().push(entry);
            }
        }
        for (text, entries) in &texts {
            if entries.len() > 1 {
                self.complain("redis", format!("{stream} has {text:?} {} times", entries.len()));
            }
        }
        for ack in acked.iter().filter(|ack| ack.stream == stream) {
            let kept = texts.get(&*ack.text).and_then(|entries| entries.first());
            if !kept.is_some_and(|kept| kept.id.as_ref() == Some(&ack.id) && kept.seq == ack.seq) {
                self.complain("redis", format!("{stream} lacks {ack:?}, and has {kept:?}"));
            }
        }
    }

    /// Fails the test if anything is wrong.
    #[track_caller]
    pub fn content(self) {
        let shown: Vec<&String> = self.wrong.iter().take(20).collect();
        assert!(self.wrong.is_empty(), "{} things are wrong: {shown:#?}", self.wrong.len());
        assert!(self.messages > 0, "nobody saw anything");
    }
}

/// The first moment after `since` at which the log has such a line.
pub fn first(log: &[Line], since: Instant, is: impl Fn(&Seen) -> bool) -> Option<Instant> {
    log.iter().find(|line| line.at >= since && is(&line.seen)).map(|line| line.at)
}
