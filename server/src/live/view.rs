//! [`View`]: what a shard knows of a stream. Pure data and the steps on it: it must never wait, and never write to a client.
//!
//! ```text
//! Loading   no state yet; entries that arrive are held
//!    │ load
//! Ready  ◄──────────────┐   the next entry is applied and delivered, an older one dropped
//!    │ a gap, a new life │ settled
//! Filling ──────────────┘   entries are held until what is missing before them was delivered
//! ```

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use haat_adapter::{Entry, Position, Snapshot, Totals};
use haat_protocol::Frame;
use serde::Deserialize;
use tokio::{sync::oneshot, time::Instant};

use super::{
    reject::Reject,
    sanction::Moderation,
    state::{Moment, Outline},
    stats::Rate,
};

/// Chat messages that are kept for joins and history.
pub const HISTORY: usize = 200;
/// The event whose entries are the history.
pub const MESSAGE: &str = "chat:message";
/// The event that takes a message out of it.
const DELETED: &str = "chat:deleted";
/// Entries that are kept for sessions that come back soon.
const RECENT_ENTRIES: usize = 512;
/// Fields of which is kept what was read of them.
const UNDERSTOOD: usize = 256;
/// Bytes of their frames.
const RECENT_BYTES: usize = 256 * 1024;
/// Entries that wait until an earlier one is there. More are dropped, and read from the log afterwards.
const HELD_ENTRIES: usize = 1024;

/// An entry and what clients get of it.
pub type Delivery = (Arc<Entry>, Frame);
/// What somebody who waits for a view is told.
pub type Loaded = Result<(), Reject>;

/// What becomes of an entry that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is the next one, and was applied: give it to the members.
    Deliver,
    /// Everybody has had it.
    Known,
    /// It waits for earlier ones, which are being fetched.
    Held,
    /// It waits, and the first of those that are missing before it has to be fetched: begin.
    Gap,
}

/// A stream, as one shard knows it.
#[derive(Debug)]
pub struct View {
    /// The stream's id.
    pub stream: Arc<str>,
    /// The room of its viewers.
    pub room: Box<str>,
    /// Viewers of this shard.
    pub viewers: Cell<u32>,
    /// How fast messages come.
    pub(super) rate: RefCell<Rate>,
    moderation: RefCell<Rc<Moderation>>,
    reading: Cell<Reading>,
    /// What is due in it is being done.
    working: Cell<bool>,
    understood: RefCell<Understood>,
    inner: RefCell<Inner>,
}

/// What was read of fields, by their names, with the texts that it was read of.
type Understood = HashMap<Box<str>, (Arc<str>, Rc<dyn Any>)>;

/// Whether the moderation is being read, and is to be read once more.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    busy: bool,
    wanted: bool,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    position: Position,
    clock: u64,
    fields: BTreeMap<Arc<str>, Arc<str>>,
    outline: Option<Rc<Outline>>,
    /// The newest entries of all events, without a hole, the last one at `position`.
    recent: VecDeque<Delivery>,
    recent_bytes: usize,
    /// The newest messages.
    history: VecDeque<Arc<Entry>>,
    /// There are no older messages than those.
    complete: bool,
    held: VecDeque<Delivery>,
    /// Not everything that should be held is.
    overflowed: bool,
    totals: Arc<Totals>,
    last_heard: Instant,
}

#[derive(Debug)]
enum Phase {
    Loading(Vec<oneshot::Sender<Loaded>>),
    Ready,
    Filling,
}

impl View {
    /// A view that knows nothing yet.
    pub fn new(stream: Arc<str>, room: String) -> Self {
        let inner = Inner {
            phase: Phase::Loading(Vec::new()),
            position: Position::default(),
            clock: 0,
            fields: BTreeMap::new(),
            outline: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            history: VecDeque::new(),
            complete: false,
            held: VecDeque::new(),
            overflowed: false,
            totals: Arc::default(),
            last_heard: Instant::now(),
        };
        Self {
            stream,
            room: room.into(),
            viewers: Cell::new(0),
            rate: RefCell::default(),
            moderation: RefCell::default(),
            reading: Cell::default(),
            working: Cell::default(),
            understood: RefCell::default(),
            inner: RefCell::new(inner),
        }
    }

    // --- entries ---

    /// Waits until the view is loaded; `None` if it is.
    pub fn wait(&self) -> Option<oneshot::Receiver<Loaded>> {
        let Phase::Loading(waiting) = &mut self.inner.borrow_mut().phase else { return None };
        let (sender, receiver) = oneshot::channel();
        waiting.push(sender);
        Some(receiver)
    }

    /// Takes an entry that has arrived.
    pub fn receive(&self, entry: Arc<Entry>, frame: Frame) -> Receipt {
        let mut inner = self.inner.borrow_mut();
        inner.last_heard = Instant::now();
        if !matches!(inner.phase, Phase::Ready) {
            inner.hold((entry, frame));
            return Receipt::Held;
        }
        match inner.place(&entry.position) {
            Place::Next => {
                inner.apply(&entry, &frame);
                Receipt::Deliver
            }
            Place::Known => Receipt::Known,
            Place::Later | Place::Elsewhere => {
                inner.hold((entry, frame));
                inner.phase = Phase::Filling;
                Receipt::Gap
            }
        }
    }

    /// Applies an entry that was fetched, if it is the next one. Says whether it was.
    pub fn advance(&self, entry: &Arc<Entry>, frame: &Frame) -> bool {
        let mut inner = self.inner.borrow_mut();
        let next = inner.place(&entry.position) == Place::Next;
        if next {
            inner.apply(entry, frame);
        }
        next
    }

    /// Applies the first of the held entries if it is the next one, and returns it. Drops those that everybody has had.
    pub fn next_held(&self) -> Option<Delivery> {
        let mut inner = self.inner.borrow_mut();
        while let Some((entry, _)) = inner.held.front() {
            match inner.place(&entry.position) {
                Place::Next => {
                    let delivery = inner.held.pop_front();
                    if let Some((entry, frame)) = &delivery {
                        inner.apply(entry, frame);
                    }
                    return delivery;
                }
                Place::Known => drop(inner.held.pop_front()),
                Place::Later | Place::Elsewhere => return None,
            }
        }
        None
    }

    /// Makes the view ready again if nothing is held, and nothing was dropped that should be. Says whether it is.
    pub fn settle(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let settled = inner.held.is_empty() && !std::mem::take(&mut inner.overflowed);
        if settled && matches!(inner.phase, Phase::Filling) {
            inner.held.shrink_to(0);
            inner.phase = Phase::Ready;
        }
        settled
    }

    /// Forgets held entries of other lives of the log, and those with a hole before them that nothing fills.
    pub fn forget_held(&self) {
        self.inner.borrow_mut().held.clear();
    }

    /// Begins to fill without an entry that shows the gap. Says whether nothing is being fetched already.
    pub fn begin_fill(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let ready = matches!(inner.phase, Phase::Ready);
        if ready {
            inner.phase = Phase::Filling;
        }
        ready
    }

    /// Takes the state of a moment in place of what was known. Returns who waited for it.
    pub fn load(&self, snapshot: Snapshot) -> Vec<oneshot::Sender<Loaded>> {
        let mut inner = self.inner.borrow_mut();
        let Snapshot { position, clock, fields, history } = snapshot;
        inner.complete = history.len() < HISTORY;
        inner.history = history.into();
        inner.fields = fields.into_iter().collect();
        inner.outline = None;
        inner.recent.clear();
        inner.recent_bytes = 0;
        let epoch = position.epoch.clone();
        inner.held.retain(|(entry, _)| entry.position.epoch == epoch);
        inner.position = position;
        inner.clock = clock;
        inner.last_heard = Instant::now();
        match std::mem::replace(&mut inner.phase, Phase::Filling) {
            Phase::Loading(waiting) => waiting,
            Phase::Ready | Phase::Filling => Vec::new(),
        }
    }

    /// Gives up loading. Returns who waited.
    pub fn fail(&self) -> Vec<oneshot::Sender<Loaded>> {
        match &mut self.inner.borrow_mut().phase {
            Phase::Loading(waiting) => std::mem::take(waiting),
            Phase::Ready | Phase::Filling => Vec::new(),
        }
    }

    /// When an entry arrived last, or it was asked for one.
    pub fn last_heard(&self) -> Instant {
        self.inner.borrow().last_heard
    }

    /// It was asked whether there is something newer.
    pub fn heard(&self) {
        self.inner.borrow_mut().last_heard = Instant::now();
    }

    // --- what is known ---

    /// The last entry that the members have had.
    pub fn position(&self) -> Position {
        self.inner.borrow().position.clone()
    }

    /// The clock of that entry.
    pub fn clock(&self) -> u64 {
        self.inner.borrow().clock
    }

    /// The JSON text of a state field.
    pub fn field(&self, name: &str) -> Option<Arc<str>> {
        self.inner.borrow().fields.get(name).cloned()
    }

    /// What a field means, read again only when it has another text; `read` gets the text.
    pub(super) fn understand<T: 'static>(&self, name: &str, read: impl FnOnce(Arc<str>) -> Option<T>) -> Option<Rc<T>> {
        let text = self.inner.borrow().fields.get(name).cloned()?;
        let known =
            self.understood.borrow().get(name).filter(|(of, _)| Arc::ptr_eq(of, &text)).map(|(_, it)| it.clone());
        if let Some(known) = known.and_then(|known| known.downcast().ok()) {
            return Some(known);
        }
        let it = Rc::new(read(text.clone())?);
        let mut understood = self.understood.borrow_mut();
        if understood.len() >= UNDERSTOOD {
            understood.clear();
        }
        understood.insert(name.into(), (text, it.clone()));
        Some(it)
    }

    /// All state fields.
    pub fn fields(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let inner = self.inner.borrow();
        inner.fields.iter().map(|(name, text)| (name.clone(), text.clone())).collect()
    }

    /// The stream is over.
    pub fn is_ended(&self) -> bool {
        self.inner.borrow().fields.get("status").is_some_and(|status| &**status == "\"ended\"")
    }

    /// It knows the stream's state.
    pub fn is_loaded(&self) -> bool {
        !matches!(self.inner.borrow().phase, Phase::Loading(_))
    }

    /// What the state is composed of.
    pub(super) fn outline(&self) -> Rc<Outline> {
        self.inner.borrow_mut().outline(&self.stream)
    }

    /// The stream's state at this time, and the position that it shows.
    pub fn state(&self, now: u64) -> (String, Position) {
        let mut inner = self.inner.borrow_mut();
        let outline = inner.outline(&self.stream);
        let Inner { position, totals, .. } = &*inner;
        let moment = Moment { now, epoch: &position.epoch, viewers: self.audience(totals), totals };
        (outline.text(moment, position.seq), position.clone())
    }

    /// Viewers by these totals. Those of this shard are among them, even if they have not been counted yet.
    pub fn audience(&self, totals: &Totals) -> u64 {
        totals.viewers.max(u64::from(self.viewers.get()))
    }

    /// Takes new totals, and returns those before.
    pub fn count(&self, totals: Arc<Totals>) -> Arc<Totals> {
        std::mem::replace(&mut self.inner.borrow_mut().totals, totals)
    }

    /// The fleet's totals.
    pub fn totals(&self) -> Arc<Totals> {
        self.inner.borrow().totals.clone()
    }

    /// Begins to do what is due. Says whether nobody is at it.
    pub(super) fn begin_work(&self) -> bool {
        !self.working.replace(true)
    }

    /// Ends it.
    pub(super) fn end_work(&self) {
        self.working.set(false);
    }

    // --- moderation ---

    /// What is known of the stream's moderation.
    pub(super) fn moderation(&self) -> Rc<Moderation> {
        self.moderation.borrow().clone()
    }

    /// Takes what was read of it, and returns what was known.
    pub(super) fn set_moderation(&self, moderation: Rc<Moderation>) -> Rc<Moderation> {
        self.moderation.replace(moderation)
    }

    /// It is to be read again. Says whether nobody is reading it: begin.
    pub(super) fn begin_moderation(&self) -> bool {
        let Reading { busy, .. } = self.reading.replace(Reading { busy: true, wanted: true });
        !busy
    }

    /// Whether it has to be read now; if not, nobody is reading it any more.
    pub(super) fn moderation_due(&self) -> bool {
        let Reading { wanted, .. } = self.reading.get();
        self.reading.set(Reading { busy: wanted, wanted: false });
        wanted
    }

    /// It could not be read.
    pub(super) fn end_moderation(&self) {
        self.reading.set(Reading::default());
    }

    // --- messages ---

    /// The newest `count` messages, oldest first, as a JSON array.
    pub fn newest(&self, count: usize) -> String {
        let inner = self.inner.borrow();
        list(inner.history.iter().skip(inner.history.len().saturating_sub(count)))
    }

    /// The newest `limit` messages before `seq`, oldest first, as a JSON array; `None` if the log has more of them.
    pub fn before(&self, seq: Option<u64>, limit: usize) -> Option<String> {
        let inner = self.inner.borrow();
        let before = seq.unwrap_or(u64::MAX);
        let end = inner.history.partition_point(|entry| entry.position.seq < before);
        if end < limit && !inner.complete {
            return None;
        }
        Some(list(inner.history.range(end.saturating_sub(limit)..end)))
    }

    /// The message of this id, if it is among the newest.
    pub fn message(&self, id: &str) -> Option<Arc<Entry>> {
        let inner = self.inner.borrow();
        inner.history.iter().rev().find(|entry| is_message(entry, id)).cloned()
    }

    /// The entries after `seq` up to the present position; `None` if the view has not kept them all.
    pub fn after(&self, seq: u64) -> Option<Vec<Delivery>> {
        let inner = self.inner.borrow();
        if seq >= inner.position.seq {
            return Some(Vec::new());
        }
        let first = inner.recent.front()?.0.position.seq;
        let known = usize::try_from(seq.checked_add(1)?.checked_sub(first)?).ok()?;
        Some(inner.recent.range(known.min(inner.recent.len())..).cloned().collect())
    }
}

/// Where an entry belongs, seen from a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Known,
    Next,
    Later,
    Elsewhere,
}

impl Inner {
    fn place(&self, position: &Position) -> Place {
        if position.epoch != self.position.epoch {
            return Place::Elsewhere;
        }
        match position.seq.checked_sub(self.position.seq) {
            None | Some(0) => Place::Known,
            Some(1) => Place::Next,
            Some(_) => Place::Later,
        }
    }

    fn hold(&mut self, delivery: Delivery) {
        if self.held.len() < HELD_ENTRIES {
            self.held.push_back(delivery);
        } else {
            self.overflowed = true;
        }
    }

    fn apply(&mut self, entry: &Arc<Entry>, frame: &Frame) {
        self.position = entry.position.clone();
        self.clock = entry.clock;
        if !entry.set.is_empty() {
            self.outline = None;
        }
        for (name, text) in &entry.set {
            match text {
                Some(text) => drop(self.fields.insert(name.clone(), text.clone())),
                None => drop(self.fields.remove(name)),
            }
        }
        match &*entry.event {
            MESSAGE if is_erased(entry) => {}
            MESSAGE => {
                self.history.push_back(entry.clone());
                if self.history.len() > HISTORY {
                    self.history.pop_front();
                    self.complete = false;
                }
            }
            DELETED => self.delete(entry),
            _ => {}
        }
        self.recent_bytes += frame.bytes().len();
        self.recent.push_back((entry.clone(), frame.clone()));
        while self.recent.len() > RECENT_ENTRIES || self.recent_bytes > RECENT_BYTES {
            let Some((_, frame)) = self.recent.pop_front() else { break };
            self.recent_bytes -= frame.bytes().len();
        }
    }

    /// A deleted text is not shown to anybody any more, whichever way they ask.
    fn delete(&mut self, entry: &Entry) {
        #[derive(Deserialize)]
        struct Deleted {
            message: String,
        }
        let Ok(Deleted { message }) = serde_json::from_str(&entry.data) else { return };
        self.history.retain(|entry| !is_message(entry, &message));
        for (entry, _) in self.recent.iter_mut().filter(|(entry, _)| is_message(entry, &message)) {
            let erased = Entry { data: "null".into(), ..(**entry).clone() };
            *entry = Arc::new(erased);
        }
    }

    fn outline(&mut self, stream: &str) -> Rc<Outline> {
        let fields = &self.fields;
        let make = || Rc::new(Outline::new(stream, fields.iter().map(|(name, text)| (&**name, &**text))));
        self.outline.get_or_insert_with(make).clone()
    }
}

/// The entry's text was taken out of the log; only its place is left.
pub fn is_erased(entry: &Entry) -> bool {
    &*entry.data == "null"
}

/// Whether it is the message of this id.
pub fn is_message(entry: &Entry, id: &str) -> bool {
    let rest = entry.data.strip_prefix(r#"{"id":""#).and_then(|rest| rest.strip_prefix(id));
    &*entry.event == MESSAGE && rest.is_some_and(|rest| rest.starts_with('"'))
}

/// The data of entries as a JSON array.
pub fn list<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> String {
    let mut out = String::from("[");
    for entry in entries {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&entry.data);
    }
    out.push(']');
    out
}
