//! [`Views`]: the streams that a shard has members of, kept in step with the log. Every entry reaches the members through
//! here, once and in order; where one is missing it is fetched first, and where it cannot be had the members are told.
//!
//! A view holds its stream's room for as long as it lives, so that entries arrive from before the first member's state was
//! read until a while after the last member left.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hasher, RandomState},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use haat_adapter::{Append, Check, Entry, LogRead, Note, Position, StoreError, new_epoch};
use haat_protocol::{Frame, socket};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{
    Shared,
    offset::frame_of,
    reject::{Reject, json},
    sanction::{BOOK, Moderation},
    state::{Kind, Moment, Outline},
    stream_room,
    view::{HISTORY, Loaded, MESSAGE, Receipt, View, is_erased},
};
use crate::room::Rooms;

/// How long a view outlives its last member: viewers who reload a page find it.
const GRACE: Duration = Duration::from_secs(10);
/// A stream that was silent for so long is asked whether something was lost.
const QUIET: Duration = Duration::from_secs(4);
/// Entries that are fetched at a time.
const PAGE: usize = 500;
/// Readings without progress until entries that wait for what nobody has are dropped.
const PATIENCE: u32 = 4;

/// The views of a shard.
pub struct Views {
    rooms: Rc<Rooms>,
    shared: Arc<Shared>,
    map: RefCell<FxHashMap<Arc<str>, Known>>,
    /// Views of streams whose log has begun a new life.
    reborn: RefCell<Vec<Rc<View>>>,
}

struct Known {
    view: Rc<View>,
    unused_since: Option<Instant>,
}

impl Views {
    /// None yet.
    pub fn new(rooms: Rc<Rooms>, shared: Arc<Shared>) -> Self {
        Self { rooms, shared, map: RefCell::default(), reborn: RefCell::default() }
    }

    /// The view of a stream, if there is one, loaded or not.
    pub fn get(&self, stream: &str) -> Option<Rc<View>> {
        self.map.borrow().get(stream).map(|known| known.view.clone())
    }

    /// The view of a stream, if it is loaded.
    pub fn known(&self, stream: &str) -> Option<Rc<View>> {
        self.get(stream).filter(|view| view.is_loaded())
    }

    /// All views.
    pub fn all(&self) -> Vec<Rc<View>> {
        self.map.borrow().values().map(|known| known.view.clone()).collect()
    }

    /// The view of a stream, loaded.
    ///
    /// # Errors
    /// `not_found` if there is no such stream, `unavailable` if the store does not say.
    pub async fn ready(self: &Rc<Self>, stream: &str) -> Result<Rc<View>, Reject> {
        let view = match self.get(stream) {
            Some(view) => view,
            None if self.exists(stream).await? => self.open(stream),
            None => return Err(Reject::not_found("stream")),
        };
        match view.wait() {
            None => Ok(view),
            Some(loaded) => loaded.await.unwrap_or_else(|_| Err(Reject::unavailable())).map(|()| view),
        }
    }

    /// Whether there is such a stream.
    ///
    /// # Errors
    /// `unavailable`
    pub async fn exists(&self, stream: &str) -> Result<bool, Reject> {
        if self.map.borrow().contains_key(stream) {
            return Ok(true);
        }
        // The default position is the beginning of a log, and no stream is without an entry.
        let read = self.shared.store.read(stream, Position::default(), 1).await?;
        Ok(!matches!(read, LogRead::Entries(entries) if entries.is_empty()))
    }

    fn open(self: &Rc<Self>, stream: &str) -> Rc<View> {
        if let Some(view) = self.get(stream) {
            return view;
        }
        let view = Rc::new(View::new(stream.into(), stream_room(stream)));
        self.map.borrow_mut().insert(view.stream.clone(), Known { view: view.clone(), unused_since: None });
        // Held before the state is read: whatever is appended from here on arrives, and waits.
        self.rooms.hold(0, &view.room);
        let (views, loading) = (self.clone(), view.clone());
        tokio::task::spawn_local(async move { views.load(&loading).await });
        view
    }

    async fn load(&self, view: &Rc<View>) {
        let shared = &self.shared;
        let loaded = tokio::join!(
            shared.store.snapshot(&view.stream, MESSAGE, HISTORY),
            shared.market.notes(&view.stream, BOOK),
            shared.totals(&view.stream),
        );
        let told: Loaded = match loaded {
            // Nobody is let in before it is known who may not.
            (Ok(Some(snapshot)), Ok(book), Ok(totals)) => {
                view.set_moderation(Rc::new(Moderation::of(book)));
                view.count(Arc::new(totals));
                for waiting in view.load(snapshot) {
                    let _ = waiting.send(Ok(()));
                }
                return self.catch_up(view).await;
            }
            (Ok(None), ..) => Err(Reject::not_found("stream")),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => Err(error.into()),
        };
        self.close(view);
        for waiting in view.fail() {
            let _ = waiting.send(told.clone());
        }
    }

    fn close(&self, view: &View) {
        if self.map.borrow_mut().remove(&view.stream).is_some() {
            self.rooms.release(0, &view.room);
        }
    }

    /// An entry of a stream has arrived.
    pub fn entry(self: &Rc<Self>, entry: Arc<Entry>, frame: Frame) {
        let Some(view) = self.get(&entry.stream) else { return };
        match view.receive(entry.clone(), frame.clone()) {
            Receipt::Deliver => self.deliver(&view, &entry, &frame),
            Receipt::Known | Receipt::Held => {}
            Receipt::Gap => self.start_fill(view),
        }
    }

    fn deliver(&self, view: &Rc<View>, entry: &Entry, frame: &Frame) {
        if !is_erased(entry) {
            self.rooms.broadcast(0, &view.room, frame);
        }
        if *entry.event == *"stream:started" {
            // Whoever stayed since the show before is a viewer of this one too.
            self.reborn.borrow_mut().push(view.clone());
        }
    }

    fn deliver_held(&self, view: &Rc<View>) -> bool {
        let mut progress = false;
        while let Some((entry, frame)) = view.next_held() {
            self.deliver(view, &entry, &frame);
            progress = true;
        }
        progress
    }

    // --- what is missing ---

    /// The stream may have moved on, or been lost, without this shard noticing: looks it up.
    pub fn verify(self: &Rc<Self>, view: &Rc<View>) {
        if view.begin_fill() {
            self.start_fill(view.clone());
        }
    }

    fn start_fill(self: &Rc<Self>, view: Rc<View>) {
        metrics::counter!("haat_stream_gaps_total").increment(1);
        let views = self.clone();
        tokio::task::spawn_local(async move { views.fill(&view).await });
    }

    async fn catch_up(&self, view: &Rc<View>) {
        self.deliver_held(view);
        if !view.settle() {
            self.fill(view).await;
        }
    }

    /// Fetches and delivers what is missing, then what waited for it, until nothing does.
    async fn fill(&self, view: &Rc<View>) {
        let mut backoff = Backoff::default();
        let mut idle = 0;
        while self.get(&view.stream).is_some_and(|current| Rc::ptr_eq(&current, view)) {
            match self.shared.store.read(&view.stream, view.position(), PAGE).await {
                Ok(LogRead::Entries(entries)) => {
                    let mut progress = false;
                    for entry in &entries {
                        let frame = frame_of(entry, self.shared.recovery_on());
                        if view.advance(entry, &frame) {
                            self.deliver(view, entry, &frame);
                            progress = true;
                        }
                    }
                    progress |= self.deliver_held(view);
                    if entries.len() < PAGE && view.settle() {
                        return;
                    }
                    idle = if progress { 0 } else { idle + 1 };
                    if idle >= PATIENCE {
                        view.forget_held();
                    }
                    if !progress {
                        backoff.wait().await;
                    }
                }
                Ok(LogRead::Gone(present)) => self.reset(view, &present).await,
                Err(_) => backoff.wait().await,
            }
        }
    }

    /// What is missing cannot be had any more. The members are told, once, and the view goes on from the present state.
    async fn reset(&self, view: &Rc<View>, present: &Position) {
        let trimmed = present.epoch == view.position().epoch;
        let mut backoff = Backoff::default();
        let snapshot = loop {
            match self.shared.store.snapshot(&view.stream, MESSAGE, HISTORY).await {
                Ok(Some(snapshot)) => break snapshot,
                Ok(None) => drop(self.restore(view).await),
                Err(_) => {}
            }
            backoff.wait().await;
        };
        tracing::warn!(stream = %view.stream, trimmed, "entries of a stream are lost");
        metrics::counter!("haat_stream_resets_total").increment(1);
        let reason = if trimmed { "trimmed" } else { "lost" };
        let event = format!(
            r#"["stream:reset",{{"stream":"{}","epoch":{},"reason":"{reason}"}}]"#,
            view.stream,
            json(&snapshot.position.epoch)
        );
        self.rooms.broadcast(0, &view.room, &socket::event_pieces("/", &[&event]));
        for waiting in view.load(snapshot) {
            let _ = waiting.send(Ok(()));
        }
        if !trimmed {
            self.reborn.borrow_mut().push(view.clone());
        }
    }

    /// The views of streams whose viewers are to be told again: their log has begun a new life since the last call, and
    /// whatever else the store knew of them may be gone as well; or a show has begun, which is counted anew.
    pub fn reborn(&self) -> Vec<Rc<View>> {
        self.reborn.take()
    }

    /// The store has lost the stream; this shard still knows its state, and writes it back. What was on sale is paused:
    /// nobody knows what was sold of it.
    ///
    /// # Errors
    /// Whatever the store says; that somebody else was faster is none.
    pub async fn restore(&self, view: &View) -> Result<(), StoreError> {
        let fields: Vec<(Arc<str>, Arc<str>)> = view
            .fields()
            .into_iter()
            .map(|(name, text)| paused(&name, &text).map_or((name.clone(), text), |text| (name, text)))
            .collect();
        let totals = view.totals();
        let epoch = new_epoch()?;
        let moment = Moment { now: self.shared.now(), epoch: &epoch, viewers: totals.viewers, totals: &totals };
        let outline = Outline::new(&view.stream, fields.iter().map(|(name, text)| (&**name, &**text)));
        let [before, after] = outline.pieces(moment);
        let append = Append {
            stream: view.stream.to_string(),
            epoch: Some(epoch.clone()),
            event: "stream:updated".to_owned(),
            data: vec![
                format!(r#"{{"stream":"{}","seq":"#, view.stream),
                format!(r#","state":{before}"#),
                format!("{after}}}"),
            ],
            set: fields.iter().map(|(name, text)| (name.to_string(), Some(vec![text.to_string()]))).collect(),
            checks: vec![Check::Is("status".to_owned(), None)],
            record: Some("null".to_owned()),
            ..Append::default()
        };
        match self.shared.store.append(append).await {
            Ok(_) => self.restore_moderation(view).await,
            Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whoever was banned stays so.
    async fn restore_moderation(&self, view: &View) -> Result<(), StoreError> {
        for (key, text) in &view.moderation().notes {
            let note = Note {
                stream: view.stream.to_string(),
                book: BOOK.to_owned(),
                key: key.to_string(),
                text: Some(text.to_string()),
                was: Some(None),
                ..Note::default()
            };
            self.shared.market.note(note).await?;
        }
        Ok(())
    }

    // --- now and then ---

    /// Looks after streams that are silent, and lets go of those that nobody has used for a while, which it returns. Call
    /// it about once a second.
    pub fn sweep(self: &Rc<Self>) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut quiet = Vec::new();
        let mut unused = Vec::new();
        for known in self.map.borrow_mut().values_mut() {
            // The map has one reference; members, and commands under way, have the others.
            let used = Rc::strong_count(&known.view) > 1 || self.rooms.count(0, &known.view.room) > 0;
            let since = if used { None } else { Some(known.unused_since.unwrap_or(now)) };
            known.unused_since = since;
            if since.is_some_and(|since| now.duration_since(since) >= GRACE) {
                unused.push(known.view.clone());
            } else if now.duration_since(known.view.last_heard()) >= QUIET {
                quiet.push(known.view.clone());
            }
        }
        for view in quiet {
            view.heard();
            let views = self.clone();
            tokio::task::spawn_local(async move { views.look(&view).await });
        }
        unused
            .into_iter()
            .map(|view| {
                self.close(&view);
                view.stream.clone()
            })
            .collect()
    }

    /// Asks whether something came after the last entry: one that was lost shows no gap until the next one comes.
    async fn look(self: &Rc<Self>, view: &Rc<View>) {
        let before = view.position();
        let read = self.shared.store.read(&view.stream, before.clone(), 1).await;
        let behind = match read {
            Ok(LogRead::Entries(entries)) => !entries.is_empty(),
            Ok(LogRead::Gone(_)) => true,
            Err(_) => false,
        };
        if behind && view.position() == before {
            self.verify(view);
        }
    }
}

/// The text of a field that sells or gives away something, with its status `paused`; `None` for all others.
fn paused(name: &str, text: &str) -> Option<Arc<str>> {
    let sells = [Kind::Drop, Kind::Wheel].iter().any(|kind| name.starts_with(&kind.field("")));
    let mut value: serde_json::Value = serde_json::from_str(text).ok().filter(|_| sells)?;
    let status = value.get_mut("status").filter(|status| *status == "open" || *status == "scheduled")?;
    *status = "paused".into();
    Some(json(&value).into())
}

/// Waits longer each time, and never in step with others.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl Backoff {
    const MAX: Duration = Duration::from_secs(2);

    async fn wait(&mut self) {
        let random = RandomState::new().build_hasher().finish();
        let share = 0.5 + (random >> 11) as f64 / (1_u64 << 54) as f64;
        tokio::time::sleep(self.0.mul_f64(share)).await;
        self.0 = (self.0 * 2).min(Self::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_sale_is_paused_and_nothing_else() {
        let table = [
            ("drop.a", r#"{"at":1,"id":"a","status":"open"}"#, Some(r#"{"at":1,"id":"a","status":"paused"}"#)),
            ("wheel.a", r#"{"at":1,"status":"scheduled","x":1}"#, Some(r#"{"at":1,"status":"paused","x":1}"#)),
            ("drop.a", r#"{"at":1,"id":"a","status":"closed"}"#, None),
            ("poll.a", r#"{"at":1,"id":"a","status":"open"}"#, None),
            ("status", r#""live""#, None),
        ];
        for (name, text, wanted) in table {
            assert_eq!(paused(name, text).as_deref(), wanted, "{name} {text}");
        }
    }
}
