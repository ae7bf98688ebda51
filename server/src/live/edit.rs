//! Changing a stream: its state is read, changed, and appended with the event that tells of it; again, if somebody else
//! was faster. A change is only made to the state that was read, so that what its event shows is the state that there is.

use std::{rc::Rc, sync::Arc};

use haat_adapter::{Append, Appended, Check, Entry, Once, Snapshot, StoreError, new_epoch};

use super::{
    Live,
    command::ended,
    reject::{Code, Reject},
    state::{Item, Kind},
    stats::of_show,
};

/// Readings of a state that others change at the same time.
const ATTEMPTS: usize = 8;
/// The field that changes with every change of the others.
pub(super) const REVISION: &str = "revision";

/// Fields of a stream, with what is changed in them.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The log's epoch.
    pub epoch: Arc<str>,
    fields: Vec<(Arc<str>, Arc<str>)>,
    changes: Vec<(String, Option<Vec<String>>)>,
}

impl State {
    /// The JSON text of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| **known == *name).map(|(_, text)| &**text)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.fields.iter().map(|(name, text)| (&**name, &**text))
    }

    /// The things of a kind, in the order of their opening.
    pub(super) fn items(&self, kind: Kind) -> Vec<Item> {
        let mut items: Vec<(u64, Item)> = self
            .all()
            .filter_map(|(name, text)| Item::of(name, text))
            .filter(|item| item.kind == kind)
            .map(|item| (item.opened(), item))
            .collect();
        items.sort_by_key(|(at, _)| *at);
        items.into_iter().map(|(_, item)| item).collect()
    }

    pub(super) fn is(&self, name: &str, text: &str) -> bool {
        self.get(name) == Some(text)
    }

    pub(super) fn set(&mut self, name: &str, text: &str) {
        if !self.is(name, text) {
            self.write(name, vec![text.to_owned()]);
        }
    }

    /// Sets a field to pieces, between which the engine writes the event's `seq`.
    pub(super) fn write(&mut self, name: &str, pieces: Vec<String>) {
        self.fields.retain(|(known, _)| **known != *name);
        self.fields.push((name.into(), pieces.join("0").into()));
        self.changes.retain(|(known, _)| known != name);
        self.changes.push((name.to_owned(), Some(pieces)));
    }

    pub(super) fn default(&mut self, name: &str, text: &str) {
        if self.get(name).is_none() {
            self.set(name, text);
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            self.fields.retain(|(known, _)| **known != *name);
            self.changes.retain(|(known, _)| known != name);
            self.changes.push((name.to_owned(), None));
        }
    }
}

/// What tells of a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    pub name: &'static str,
    /// See [`Append::data`].
    pub data: Vec<String>,
    /// See [`Append::fill`].
    pub fill: Vec<Option<String>>,
    /// See [`Append::erase`].
    pub erase: Vec<u64>,
    /// See [`Append::forget`].
    pub forget: Vec<String>,
    /// See [`Append::once`].
    pub once: Option<Once>,
    /// See [`Append::anew`]. The numbers of the show are forgotten too.
    pub anew: bool,
}

impl Event {
    /// An event of a stream with these members: `"notice":null`.
    pub(super) fn new(name: &'static str, stream: &str, members: &str) -> Self {
        let data = vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(",{members}}}")];
        Self { name, data, ..Self::default() }
    }
}

/// Changes a stream that there is and that has not ended. `by` is who does it, as JSON, for the ledger; `None` leaves the
/// ledger out of it.
///
/// # Errors
/// Whatever `change` says; `ended`, `not_found`, `conflict`, `unavailable`.
pub(super) async fn edit(
    live: &Rc<Live>,
    stream: &str,
    by: Option<String>,
    mut change: impl FnMut(&mut State) -> Result<Event, Reject>,
) -> Result<Arc<Entry>, Reject> {
    edit_looking(live, stream, by, async |state| change(state)).await
}

/// The same, for a change that has to look at something else than the state. What it sees still holds when the change is
/// made, if whoever changes that changes the state too.
///
/// # Errors
/// As [`edit`].
pub(super) async fn edit_looking(
    live: &Rc<Live>,
    stream: &str,
    by: Option<String>,
    mut change: impl AsyncFnMut(&mut State) -> Result<Event, Reject>,
) -> Result<Arc<Entry>, Reject> {
    let checked = async |state: &mut State| match state.get("status") {
        None => Err(Reject::not_found("stream")),
        Some("\"ended\"") => Err(ended()),
        Some(_) => change(state).await,
    };
    edit_any(live, stream, by, checked).await.map(|(entry, _)| entry)
}

/// Changes a stream, whatever it is. Returns the state after the change as well.
///
/// # Errors
/// Whatever `change` says; `conflict`, `unavailable`.
pub(super) async fn edit_any(
    live: &Rc<Live>,
    stream: &str,
    by: Option<String>,
    mut change: impl AsyncFnMut(&mut State) -> Result<Event, Reject>,
) -> Result<(Arc<Entry>, State), Reject> {
    let store = &live.shared.store;
    for _ in 0..ATTEMPTS {
        let snapshot = match store.snapshot(stream, "", 0).await? {
            Some(snapshot) => snapshot,
            None => match live.views.known(stream) {
                // The store has lost it, and this shard has not.
                Some(view) => {
                    live.views.restore(&view).await?;
                    continue;
                }
                None => Snapshot::default(),
            },
        };
        let Snapshot { position, fields, .. } = snapshot;
        // A stream that is not there yet begins with this entry, which may show how.
        let begins = if position.seq == 0 { Some(new_epoch()?) } else { None };
        let epoch = begins.clone().unwrap_or(position.epoch);
        let mut state = State { epoch, fields, changes: Vec::new() };
        let revision = state.get(REVISION).map(str::to_owned);
        let Event { name, data, fill, erase, mut forget, once, anew } = change(&mut state).await?;
        if anew {
            forget.extend(of_show(live.shared.totals(stream).await?));
        }
        let mut set = state.changes.clone();
        // The engine writes the event's number between the two pieces: no two changes have the same.
        set.push((REVISION.to_owned(), Some(vec![String::new(), String::new()])));
        let append = Append {
            stream: stream.to_owned(),
            epoch: begins,
            event: name.to_owned(),
            data,
            set,
            checks: vec![Check::Is(REVISION.to_owned(), revision)],
            fill,
            erase,
            forget,
            once,
            anew,
            record: by.clone(),
            ..Append::default()
        };
        match store.append(append).await {
            Ok(Appended::New(entry) | Appended::Repeat(entry)) => return Ok((entry, state)),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Reject::new(Code::Conflict, "others change the stream at the same time"))
}
