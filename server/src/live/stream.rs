//! The life of a stream, and who is in it. A join reply must never be out of step with what follows it: the state is read,
//! the room entered and the reply queued in one step.

use std::sync::Arc;

use haat_adapter::{Append, Appended, Check, Entry, Snapshot, StoreError, Totals};

use super::{
    audience::shift,
    body::Body,
    chat::{Author, PAGE},
    command::{Call, Reply, ended},
    product::catalogue,
    reject::{Code, Reject, json},
    state::{DEFAULT_MODE, Moment, Outline, now_ms},
    text::clean,
    visitor::Joined,
};
use crate::auth::Role;

/// Messages of a join reply.
const MAX_HISTORY: u64 = 200;
/// Characters of a title.
const MAX_TITLE: usize = 200;
/// Bytes of a stream's settings.
const MAX_SETTINGS: usize = 8 * 1024;
/// Readings of a state that others change at the same time.
const ATTEMPTS: usize = 5;
/// The field that changes whenever a command of this file changes a stream. A change is only made to the state that was
/// read, so that the state that its event shows is the state that there is.
const REVISION: &str = "revision";

/// `stream:join`
pub(super) async fn join(call: Call) -> Result<Reply, Reject> {
    let history = Body::parse(&call.body)?.clamped("history", 0..=MAX_HISTORY, PAGE)?;
    let view = call.view()?;
    let (at, visitor) = call.socket()?;
    let Call { live, .. } = &call;
    let limit = live.shared.limits.rooms;
    if visitor.view(&call.stream).is_none() && limit > 0 && visitor.count() >= limit {
        return Err(Reject::new(Code::LimitReached, format!("a connection can be in {limit} streams")));
    }
    if !live.rooms.join(at, &view.room) && !live.rooms.is_in(at, &view.room) {
        return Err(Reject::new(Code::Internal, "the connection is gone"));
    }
    let identity = visitor.identity();
    let viewer = live.seat(at, &call.stream, &identity);
    let (state, position) = {
        // Counted first, so that the state that a viewer is shown counts them too.
        let joined = Joined { view: view.clone(), position: view.position(), viewer };
        let before = visitor.enter(joined).is_some_and(|before| before.viewer);
        shift(live, &view, &identity.user.id, before, viewer);
        view.state()
    };
    debug_assert_eq!(position, view.position(), "nothing waits in a join");
    live.save(at, &visitor);
    let user = &identity.user;
    let me = json(&Author { id: &user.id, name: &user.name, role: call.role().as_str() });
    Ok(Reply(format!(r#""state":{state},"me":{me},"history":{}"#, view.newest(history))))
}

/// `stream:leave`
pub(super) async fn leave(call: Call) -> Result<Reply, Reject> {
    let (at, visitor) = call.socket()?;
    let Some(joined) = visitor.leave(&call.stream) else {
        return Err(Reject::new(Code::NotJoined, "the stream was not joined"));
    };
    let Call { live, .. } = &call;
    live.rooms.leave(at, &joined.view.room);
    live.rooms.leave(at, &super::staff_room(&call.stream));
    shift(live, &joined.view, &visitor.identity().user.id, joined.viewer, false);
    live.save(at, &visitor);
    Ok(Reply::default())
}

/// `stream:start`
pub(super) async fn start(call: Call) -> Result<Reply, Reject> {
    let given = Given::read(&call)?;
    change(&call, "stream:started", |state| {
        if state.is("status", "\"live\"") {
            return Err(Reject::new(Code::Conflict, "the stream is live already"));
        }
        given.apply(state);
        state.set("status", "\"live\"");
        state.set("startedAt", &now_ms().to_string());
        state.remove("endedAt");
        Ok(())
    })
    .await
}

/// `stream:update`
pub(super) async fn update(call: Call) -> Result<Reply, Reject> {
    let given = Given::read(&call)?;
    change(&call, "stream:updated", |state| {
        if state.is("status", "\"ended\"") {
            return Err(ended());
        }
        given.apply(state);
        state.default("status", "\"scheduled\"");
        Ok(())
    })
    .await
}

/// `stream:end`
pub(super) async fn end(call: Call) -> Result<Reply, Reject> {
    change(&call, "stream:ended", |state| {
        if state.is("status", "\"ended\"") {
            return Err(ended());
        }
        state.set("status", "\"ended\"");
        state.set("endedAt", &now_ms().to_string());
        Ok(())
    })
    .await
}

/// What a supplier says of a stream, checked.
struct Given {
    stream: Arc<str>,
    title: Option<String>,
    products: Option<String>,
    settings: Option<String>,
    supplier: String,
    /// A service acts for a supplier, and is none.
    owns: bool,
}

impl Given {
    fn read(call: &Call) -> Result<Self, Reject> {
        let body = Body::parse(&call.body)?;
        let title = body.optional::<String>("title", "a text")?;
        let title = title.map(|title| clean("title", &title, MAX_TITLE)).transpose()?;
        let products = body.raw("products").map(catalogue).transpose()?;
        let settings = body.raw("settings");
        if settings.is_some_and(|settings| !settings.starts_with('{')) {
            return Err(Reject::field("settings", "an object"));
        }
        if settings.is_some_and(|settings| settings.len() > MAX_SETTINGS) {
            return Err(Reject::new(Code::TooLarge, format!("\"settings\" are more than {MAX_SETTINGS} bytes")));
        }
        let user = &call.caller.identity.user;
        Ok(Self {
            stream: call.stream.clone(),
            title: title.map(|title| json(&title)),
            products,
            settings: settings.map(str::to_owned),
            supplier: format!(r#"{{"id":{},"name":{}}}"#, json(&user.id), json(&user.name)),
            owns: call.role() == Role::Supplier,
        })
    }

    fn apply(&self, state: &mut State) {
        for (name, value) in [("title", &self.title), ("products", &self.products), ("settings", &self.settings)] {
            if let Some(value) = value {
                state.set(name, value);
            }
        }
        if self.owns {
            state.set("supplier", &self.supplier);
        }
        state.default("supplier", &self.supplier);
        state.default("title", &json(&self.stream));
        state.default("mode", DEFAULT_MODE);
    }
}

/// The state fields of a stream, with what a command changes in them.
struct State {
    fields: Vec<(Arc<str>, Arc<str>)>,
    changes: Vec<(String, Option<Vec<String>>)>,
}

impl State {
    fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| **known == *name).map(|(_, text)| &**text)
    }

    fn is(&self, name: &str, text: &str) -> bool {
        self.get(name) == Some(text)
    }

    fn set(&mut self, name: &str, text: &str) {
        if self.is(name, text) {
            return;
        }
        self.fields.retain(|(known, _)| **known != *name);
        self.fields.push((name.into(), text.into()));
        self.changes.retain(|(known, _)| known != name);
        self.changes.push((name.to_owned(), Some(vec![text.to_owned()])));
    }

    fn default(&mut self, name: &str, text: &str) {
        if self.get(name).is_none() {
            self.set(name, text);
        }
    }

    fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            self.fields.retain(|(known, _)| **known != *name);
            self.changes.retain(|(known, _)| known != name);
            self.changes.push((name.to_owned(), None));
        }
    }
}

/// Reads the state, changes it, and says so to everybody; again, if somebody else changed it meanwhile.
async fn change(call: &Call, event: &str, edit: impl Fn(&mut State) -> Result<(), Reject>) -> Result<Reply, Reject> {
    let view = call.live.views.get(&call.stream);
    let (viewers, totals) = view.map_or_else(Default::default, |view| (u64::from(view.viewers.get()), view.totals()));
    let viewers = viewers.max(totals.viewers);
    for _ in 0..ATTEMPTS {
        let Snapshot { position, fields, .. } =
            call.live.shared.store.snapshot(&call.stream, "", 0).await?.unwrap_or_default();
        let mut state = State { fields, changes: Vec::new() };
        let revision = state.get(REVISION).map(str::to_owned);
        edit(&mut state)?;
        let outline = Outline::new(&call.stream, |name| state.get(name));
        let moment = |epoch| Moment { now: now_ms(), epoch, viewers, totals: &totals };
        let [before, after] = outline.pieces(moment(&position.epoch));
        let mut set = state.changes;
        // The engine writes the event's number between the two pieces: no two changes have the same.
        set.push((REVISION.to_owned(), Some(vec![String::new(), String::new()])));
        let append = Append {
            stream: call.stream.to_string(),
            event: event.to_owned(),
            data: vec![
                format!(r#"{{"stream":"{}","seq":"#, call.stream),
                format!(r#","state":{before}"#),
                format!("{after}}}"),
            ],
            set,
            checks: vec![Check::Is(REVISION.to_owned(), revision)],
            ..Append::default()
        };
        match call.live.shared.store.append(append).await {
            Ok(Appended::New(entry) | Appended::Repeat(entry)) => return Ok(reply(&outline, viewers, &totals, &entry)),
            Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Reject::new(Code::Conflict, "others change the stream at the same time"))
}

fn reply(outline: &Outline, viewers: u64, totals: &Totals, entry: &Entry) -> Reply {
    let moment = Moment { now: now_ms(), epoch: &entry.position.epoch, viewers, totals };
    Reply(format!(r#""state":{}"#, outline.text(moment, entry.position.seq)))
}
