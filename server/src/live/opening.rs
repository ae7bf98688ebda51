//! What drops, wheels and polls have in common: they are opened under an id that is theirs for the stream's life in the
//! state, end at a time of the server's clock, and stay in the state for a while after that.

use std::{rc::Rc, sync::Arc};

use haat_adapter::{Check, Entry, StoreError, Totals};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Live,
    body::Body,
    command::{Call, Reply, ended},
    edit::State,
    reject::{Code, Reject, json},
    state::{Item, Kind},
};

/// Things of one kind in a stream's state. The oldest that is closed makes room for a new one.
const MAX_ITEMS: usize = 20;
/// The longest time for which something is open, in ms.
const MAX_DURATION: u64 = 7 * 24 * 3600 * 1000;
/// Readings of a thing that changes at the same time.
const ATTEMPTS: usize = 4;

/// How long something is to be open.
///
/// # Errors
/// `bad_request`
pub(super) fn duration(field: &str, ms: Option<u64>) -> Result<Option<u64>, Reject> {
    match ms {
        Some(ms) if ms == 0 || ms > MAX_DURATION => {
            Err(Reject::field(&format!("{field}.durationMs"), &format!("1 to {MAX_DURATION} ms")))
        }
        ms => Ok(ms),
    }
}

/// The object of a command's body that describes what is to be opened.
///
/// # Errors
/// `bad_request`
pub(super) fn described<T: DeserializeOwned>(body: &Body<'_>, kind: Kind) -> Result<T, Reject> {
    let name = kind.name();
    let text = body.raw(name).ok_or_else(|| Reject::field(name, &format!("a {name}")))?;
    serde_json::from_str(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default();
        Reject::field(name, &format!("a {name}: {problem}"))
    })
}

/// Writes a new thing into the state. One with this id must not be there, unless it is paused: then this takes its place,
/// and what was taken of it before does not count. Returns the counters that nobody needs any more.
///
/// # Errors
/// `conflict`, `limit_reached`
pub(super) fn place(state: &mut State, kind: Kind, id: &str, text: &str) -> Result<Vec<String>, Reject> {
    let items = state.items(kind);
    let mut forget = Vec::new();
    match items.iter().find(|item| *item.id == *id) {
        Some(item) if *item.status == *"paused" => forget.extend(item.counters()),
        Some(_) => return Err(Reject::new(Code::Conflict, format!("there is a {} with this id", kind.name()))),
        None if items.len() >= MAX_ITEMS => {
            let oldest = items.iter().find(|item| *item.status == *"closed");
            let oldest = oldest.ok_or_else(|| {
                Reject::new(Code::LimitReached, format!("more than {MAX_ITEMS} {}s are open", kind.name()))
            })?;
            forget.extend(oldest.counters());
            state.remove(&kind.field(&oldest.id));
        }
        None => {}
    }
    state.set(&kind.field(id), text);
    Ok(forget)
}

/// The text of a thing with another status.
pub(super) fn with_status(text: &str, status: &str) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    *value.get_mut("status")? = status.into();
    Some(json(&value))
}

/// A thing that is to be closed: its text, and that with the status `closed`.
///
/// # Errors
/// `not_found`, `closed`; also if it is only to be closed at its end, and that has not come.
pub(super) fn closing(state: &State, kind: Kind, id: &str, due: Option<u64>) -> Result<(Item, String), Reject> {
    let field = kind.field(id);
    let text = state.get(&field).ok_or_else(|| Reject::not_found(kind.name()))?;
    let item = Item::of(&field, text).ok_or_else(|| Reject::not_found(kind.name()))?;
    if *item.status == *"closed" || due.is_some_and(|now| item.due.is_none_or(|due| now < due)) {
        return Err(Reject::new(Code::Closed, format!("the {} is closed", kind.name())));
    }
    let closed = with_status(text, "closed").ok_or_else(|| Reject::not_found(kind.name()))?;
    Ok((item, closed))
}

/// What a command answers that has opened, closed or changed something: that thing, as the event shows it.
pub(super) fn shown(entry: &Entry, kind: Kind) -> Reply {
    let name = kind.name();
    let thing = Body::parse(&entry.data).ok().and_then(|event| event.raw(name).map(str::to_owned));
    Reply(format!(r#""{name}":{}"#, thing.as_deref().unwrap_or("null")))
}

/// A new thing as everybody is shown it.
pub(super) fn fresh(kind: Kind, id: &str, text: &str) -> String {
    Item::of(&kind.field(id), text).map_or_else(|| text.to_owned(), |item| item.text(&Totals::default()))
}

/// The id of a thing, as a command names it.
///
/// # Errors
/// `bad_request`
pub(super) fn named(call: &Call, kind: Kind) -> Result<String, Reject> {
    Body::parse(&call.body)?.id(kind.name())
}

/// A thing, and the state under which a step on it may be taken.
pub(super) struct Thing<T> {
    /// What its field says.
    pub value: T,
    /// See [`super::state::pool`].
    pub pool: String,
    /// Its field's text.
    pub text: Arc<str>,
    /// They hold while the field says so.
    pub checks: Vec<Check>,
}

impl<T: DeserializeOwned> Thing<T> {
    /// The thing of a field; `None` if it is none.
    fn of(field: &str, text: Arc<str>) -> Option<Self> {
        let checks = vec![
            Check::Is(field.to_owned(), Some(text.to_string())),
            Check::IsNot("status".to_owned(), Some("\"ended\"".to_owned())),
        ];
        let pool = Item::of(field, &text)?.pool.into();
        Some(Self { value: serde_json::from_str(&text).ok()?, pool, text, checks })
    }
}

/// Takes a step on a thing, with what this shard knows of it; again with what the store says, if that is something else.
///
/// # Errors
/// `not_found`, `ended`, `conflict`; and what the step says.
pub(super) async fn take<T: DeserializeOwned + 'static, R>(
    call: &Call,
    kind: Kind,
    id: &str,
    step: impl AsyncFn(Rc<Thing<T>>) -> Result<Option<R>, Reject>,
) -> Result<R, Reject> {
    let (view, field) = (call.view()?, kind.field(id));
    for attempt in 0..ATTEMPTS {
        let known = if attempt == 0 { view.understand(&field, |text| Thing::of(&field, text)) } else { None };
        let thing = match known {
            Some(known) => known,
            None => {
                let text = read(&call.live, &call.stream, &field).await?;
                let thing = text.and_then(|text| Thing::of(&field, text));
                Rc::new(thing.ok_or_else(|| Reject::not_found(kind.name()))?)
            }
        };
        if let Some(done) = step(thing).await? {
            return Ok(done);
        }
    }
    Err(Reject::new(Code::Conflict, "others change it at the same time"))
}

/// What a step on a thing came to: `None` if the thing is another by now.
///
/// # Errors
/// The store's.
pub(super) fn stale<R>(result: Result<R, StoreError>) -> Result<Option<R>, Reject> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A field as the store has it. A stream that the store has lost is written back first.
///
/// # Errors
/// `ended`, `unavailable`
async fn read(live: &Rc<Live>, stream: &str, field: &str) -> Result<Option<Arc<str>>, Reject> {
    let mut snapshot = live.shared.store.snapshot(stream, "", 0).await?;
    if snapshot.is_none()
        && let Some(view) = live.views.known(stream)
    {
        live.views.restore(&view).await?;
        live.views.verify(&view);
        snapshot = live.shared.store.snapshot(stream, "", 0).await?;
    }
    let fields = snapshot.unwrap_or_default().fields;
    let get = |name: &str| fields.iter().find(|(known, _)| **known == *name).map(|(_, text)| text.clone());
    if get("status").as_deref() == Some("\"ended\"") {
        return Err(ended());
    }
    Ok(get(field))
}
