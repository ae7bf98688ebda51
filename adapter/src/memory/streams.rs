//! Every stream, and the one step that an append is. It changes nothing before everything was checked.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Limits,
    log::{Log, text_bytes},
    market::Stall,
    once::{OnceKeys, full_key},
};
use crate::{Append, Appended, Check, Entry, LogRead, Pace, Position, Snapshot, StoreError, new_epoch};

/// Names of events that are kept to be shared by all their entries. There are some dozens; more are simply not shared.
const SHARED_EVENT_NAMES: usize = 256;

type Fields = BTreeMap<Arc<str>, Arc<str>>;

/// All streams. One lock guards them, so that `clock` orders them all.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_name: HashMap<Arc<str>, Stream>,
    once: OnceKeys,
    clock: u64,
    events: HashSet<Arc<str>>,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    name: Arc<str>,
    epoch: Arc<str>,
    log: Log,
    fields: Fields,
    pub(super) stall: Stall,
}

impl Streams {
    /// See [`Store::append`](crate::Store::append). The caller publishes a new entry before it lets go of the lock.
    pub(super) fn append(
        &mut self,
        append: Append,
        (now, time): (Instant, u64),
        limits: &Limits,
    ) -> Result<Appended, StoreError> {
        check_names(&append, limits)?;
        let once = append.once.as_ref().map(|once| (full_key(&append.stream, &once.key), once.ttl));
        if let Some(entry) = once.as_ref().and_then(|(key, _)| self.once.get(key, now)) {
            return Ok(Appended::Repeat(Arc::clone(entry)));
        }
        let entry = self.write(&append, time, limits)?;
        if let Some((key, ttl)) = once {
            self.once.insert(key, Arc::clone(&entry), now, ttl, limits.once_keys);
        }
        Ok(Appended::New(entry))
    }

    /// Appends what is no repetition. The caller publishes the entry before it lets go of the lock.
    pub(super) fn write(&mut self, append: &Append, time: u64, limits: &Limits) -> Result<Arc<Entry>, StoreError> {
        let count = self.by_name.len();
        let mut created = None;
        let stream = match self.by_name.get_mut(&*append.stream) {
            Some(stream) => stream,
            None => created.insert(Stream::new(&append.stream, append.epoch.clone())?),
        };
        stream.check(&append.checks)?;
        if let Some(Err(wait)) = append.pace.as_ref().map(|pace| stream.stall.pace(&pace.key, time)) {
            return Err(StoreError::TooSoon(Duration::from_millis(wait)));
        }
        check_field_count(&append.set, &stream.fields, limits)?;
        let event = shared(&mut self.events, &append.event);
        let entry = Arc::new(stream.next_entry(append, event, self.clock + 1));
        check_sizes(&entry, limits)?;
        let is_new = stream.log.head() == 0;
        if is_new && count >= limits.streams {
            return Err(StoreError::TooLarge(format!("more than {} streams", limits.streams)));
        }

        self.clock = entry.clock;
        stream.apply(append, &entry, time, limits);
        if let Some(stream) = created {
            self.by_name.insert(Arc::clone(&stream.name), stream);
        }
        Ok(entry)
    }

    /// Takes a step on a stream.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if there is no such stream; and what the step says.
    pub(super) fn with<T>(
        &mut self,
        stream: &str,
        step: impl FnOnce(&mut Stream) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        step(self.by_name.get_mut(stream).ok_or_else(|| StoreError::Conflict("stream".to_owned()))?)
    }

    /// What a stream sells, if there is such a stream.
    pub(super) fn stall(&self, stream: &str) -> Option<&Stall> {
        self.by_name.get(stream).map(|stream| &stream.stall)
    }

    /// See [`stall`](Self::stall).
    pub(super) fn stall_mut(&mut self, stream: &str) -> Option<&mut Stall> {
        self.by_name.get_mut(stream).map(|stream| &mut stream.stall)
    }

    /// See [`Store::snapshot`](crate::Store::snapshot).
    pub(super) fn snapshot(&self, stream: &str, event: &str, history: usize) -> Option<Snapshot> {
        let stream = self.by_name.get(stream)?;
        let fields = stream.fields.iter().map(|(name, text)| (Arc::clone(name), Arc::clone(text))).collect();
        let history = stream.log.named(event, None, history);
        Some(Snapshot { position: stream.position(), clock: self.clock, fields, history })
    }

    /// See [`Store::read`](crate::Store::read).
    pub(super) fn read(&self, stream: &str, after: &Position, limit: usize) -> LogRead {
        let Some(stream) = self.by_name.get(stream) else {
            let gone = after.seq > 0;
            return if gone { LogRead::Gone(Position::default()) } else { LogRead::Entries(Vec::new()) };
        };
        let same_life = after.epoch == stream.epoch || *after == Position::default();
        let entries = if same_life { stream.log.after(after.seq, limit) } else { None };
        entries.map_or_else(|| LogRead::Gone(stream.position()), LogRead::Entries)
    }

    /// See [`Store::history`](crate::Store::history).
    pub(super) fn history(&self, stream: &str, event: &str, before: Option<u64>, limit: usize) -> Vec<Arc<Entry>> {
        self.by_name.get(stream).map(|stream| stream.log.named(event, before, limit)).unwrap_or_default()
    }

    /// See [`Store::streams`](crate::Store::streams).
    pub(super) fn names(&self) -> Vec<String> {
        self.by_name.keys().map(|name| name.to_string()).collect()
    }

    /// Forgets everything but the clock, which must not run backwards while entries of before may still be on their way.
    pub(super) fn clear(&mut self) {
        *self = Self { clock: self.clock, ..Self::default() };
    }
}

impl Stream {
    fn new(name: &str, epoch: Option<Arc<str>>) -> Result<Self, StoreError> {
        let epoch = epoch.map_or_else(new_epoch, Ok)?;
        let (log, fields, stall) = Default::default();
        Ok(Self { name: name.into(), epoch, log, fields, stall })
    }

    /// Whether the state is as expected.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] names the field that is not.
    pub(super) fn check(&self, checks: &[Check]) -> Result<(), StoreError> {
        check_state(checks, &self.fields)
    }

    fn position(&self) -> Position {
        Position { epoch: Arc::clone(&self.epoch), seq: self.log.head() }
    }

    fn next_entry(&self, append: &Append, event: Arc<str>, clock: u64) -> Entry {
        let seq = self.log.head() + 1;
        let digits = seq.to_string();
        let set = append.set.iter().map(|(name, text)| {
            let name =
                self.fields.get_key_value(&**name).map_or_else(|| name.as_str().into(), |(name, _)| Arc::clone(name));
            (name, text.as_ref().map(|pieces| pieces.join(&digits).into()))
        });
        Entry {
            stream: Arc::clone(&self.name),
            position: Position { epoch: Arc::clone(&self.epoch), seq },
            clock,
            event,
            data: self.data(append, &digits).into(),
            set: set.collect(),
        }
    }

    fn data(&self, append: &Append, digits: &str) -> String {
        if append.fill.is_empty() {
            return append.data.join(digits);
        }
        let mut text = String::new();
        for (place, piece) in append.data.iter().enumerate() {
            match place.checked_sub(1).map(|gap| append.fill.get(gap)) {
                None => {}
                Some(Some(Some(name))) => text.push_str(&self.stall.counts.get(name).to_string()),
                Some(_) => text.push_str(digits),
            }
            text.push_str(piece);
        }
        text
    }

    fn apply(&mut self, append: &Append, entry: &Arc<Entry>, time: u64, limits: &Limits) {
        append.erase.iter().for_each(|seq| self.log.erase(*seq));
        for (name, text) in &entry.set {
            match text {
                Some(text) => self.fields.insert(Arc::clone(name), Arc::clone(text)),
                None => self.fields.remove(name),
            };
        }
        self.log.push(Arc::clone(entry), limits);
        if let Some(Pace { key, interval }) = &append.pace {
            self.stall.paced(key, time, u64::try_from(interval.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(by) = &append.record {
            self.stall.ledger.push(time, &entry.event, by, Arc::clone(&entry.data), limits);
        }
        self.stall.counts.forget(&append.forget);
    }
}

fn shared(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(shared) = names.get(name) {
        return Arc::clone(shared);
    }
    let new: Arc<str> = name.into();
    if names.len() < SHARED_EVENT_NAMES {
        names.insert(Arc::clone(&new));
    }
    new
}

fn check_names(append: &Append, limits: &Limits) -> Result<(), StoreError> {
    let key = append.once.iter().map(|once| &once.key).chain(append.pace.iter().map(|pace| &pace.key));
    let mut names =
        [&append.stream, &append.event].into_iter().chain(key).chain(append.set.iter().map(|(name, _)| name));
    if names.any(|name| name.len() > limits.name_bytes) {
        return Err(StoreError::TooLarge(format!("a name of more than {} bytes", limits.name_bytes)));
    }
    Ok(())
}

fn check_state(checks: &[Check], fields: &Fields) -> Result<(), StoreError> {
    for check in checks {
        let (name, holds) = match check {
            Check::Is(name, text) => (name, fields.get(&**name).map(|text| &**text) == text.as_deref()),
            Check::IsNot(name, text) => (name, fields.get(&**name).map(|text| &**text) != text.as_deref()),
        };
        if !holds {
            return Err(StoreError::Conflict(name.clone()));
        }
    }
    Ok(())
}

fn check_field_count(
    set: &[(String, Option<Vec<String>>)],
    fields: &Fields,
    limits: &Limits,
) -> Result<(), StoreError> {
    // A field may be named twice: the last one counts.
    let after: BTreeMap<&str, bool> = set.iter().map(|(name, text)| (name.as_str(), text.is_some())).collect();
    let added = after.iter().filter(|(name, present)| **present && !fields.contains_key(**name)).count();
    let removed = after.iter().filter(|(name, present)| !**present && fields.contains_key(**name)).count();
    if fields.len() + added - removed > limits.fields {
        return Err(StoreError::TooLarge(format!("more than {} state fields", limits.fields)));
    }
    Ok(())
}

fn check_sizes(entry: &Entry, limits: &Limits) -> Result<(), StoreError> {
    let field = entry.set.iter().find(|(_, text)| text.as_ref().is_some_and(|text| text.len() > limits.field_bytes));
    if let Some((name, _)) = field {
        return Err(StoreError::TooLarge(format!("state field {name:?} of more than {} bytes", limits.field_bytes)));
    }
    if text_bytes(entry) > limits.log_bytes {
        return Err(StoreError::TooLarge(format!("an entry of more than {} bytes", limits.log_bytes)));
    }
    Ok(())
}
