//! The life of a stream, and who is in it. A join reply must never be out of step with what follows it: the state is read,
//! the room entered and the reply queued in one step.

use std::sync::Arc;

use super::{
    audience::shift,
    body::Body,
    chat::{Author, PAGE},
    command::{Call, Reply, ended},
    edit::{Event, State, edit_any},
    product::catalogue,
    reject::{Code, Reject, json},
    state::{DEFAULT_MODE, Kind, Moment, Outline, REACTIONS},
    text::clean,
    visitor::Joined,
};
use crate::auth::Role;

/// Messages of a join reply.
const MAX_HISTORY: u64 = 200;
/// Characters of a title.
const MAX_TITLE: usize = 200;
/// Times that what is open is closed before a stream is not ended.
const ATTEMPTS: u32 = 4;
/// Bytes of a stream's settings.
const MAX_SETTINGS: usize = 8 * 1024;

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
        view.state(live.shared.now())
    };
    debug_assert_eq!(position, view.position(), "nothing waits in a join");
    live.save(at, &visitor);
    if !viewer {
        live.show_held(at, &call.stream);
    }
    let user = &identity.user;
    let me = json(&Author { id: &user.id, name: &user.name, role: call.role().as_str() });
    Ok(Reply(format!(r#""state":{state},"me":{me},"history":{}"#, view.newest(history))))
}

/// `stream:leave`
pub(super) async fn leave(call: Call) -> Result<Reply, Reject> {
    let (at, visitor) = call.socket()?;
    if call.live.leave_stream(at, &visitor, &call.stream) {
        Ok(Reply::default())
    } else {
        Err(Reject::new(Code::NotJoined, "the stream was not joined"))
    }
}

/// `stream:start`: a stream that had ended has another show, with numbers of its own.
pub(super) async fn start(call: Call) -> Result<Reply, Reject> {
    let given = Given::read(&call)?;
    change(&call, "stream:started", |state| {
        if state.is("status", "\"live\"") {
            return Err(Reject::new(Code::Conflict, "the stream is live already"));
        }
        let anew = state.is("status", "\"ended\"");
        given.apply(state);
        state.set("status", "\"live\"");
        state.set("startedAt", &call.live.shared.now().to_string());
        state.remove("endedAt");
        Ok(Event { anew, ..Event::default() })
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
        Ok(Event::default())
    })
    .await
}

/// `stream:end`: what is open is closed first. Nothing can be closed afterwards: a wheel would keep its seed for ever.
pub(super) async fn end(call: Call) -> Result<Reply, Reject> {
    let view = call.view()?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        call.live.close_all(&view, &call.by()).await?;
        let mut opened = false;
        let ended = change(&call, "stream:ended", |state| {
            if state.is("status", "\"ended\"") {
                return Err(ended());
            }
            opened = is_open(state);
            if opened {
                return Err(Reject::new(Code::Conflict, "others open something at the same time"));
            }
            state.set("status", "\"ended\"");
            state.set("endedAt", &call.live.shared.now().to_string());
            Ok(Event::default())
        });
        match ended.await {
            Err(_) if opened && attempt < ATTEMPTS => {}
            ended => return ended,
        }
    }
}

/// Whether there is something in the stream that has to be closed.
fn is_open(state: &State) -> bool {
    let kinds = [Kind::Drop, Kind::Wheel, Kind::Poll];
    kinds.into_iter().any(|kind| state.items(kind).iter().any(|item| *item.status != *"closed"))
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

/// Changes what there is, and shows the whole of it to everybody. `change` leaves name and data of its event to that.
async fn change(
    call: &Call,
    name: &'static str,
    mut change: impl FnMut(&mut State) -> Result<Event, Reject>,
) -> Result<Reply, Reject> {
    let view = call.live.views.get(&call.stream);
    let mut totals = view.as_ref().map(|view| (*view.totals()).clone()).unwrap_or_default();
    let viewers = view.map_or(0, |view| view.audience(&totals));
    let now = || call.live.shared.now();
    let edited = edit_any(&call.live, &call.stream, Some(call.by()), async |state| {
        let event = change(state)?;
        if event.anew {
            totals.counters.retain(|counter| !counter.name.starts_with(REACTIONS));
        }
        let outline = Outline::new(&call.stream, state.all());
        let [before, after] = outline.pieces(Moment { now: now(), epoch: &state.epoch, viewers, totals: &totals });
        let data = vec![
            format!(r#"{{"stream":"{}","seq":"#, call.stream),
            format!(r#","state":{before}"#),
            format!("{after}}}"),
        ];
        Ok(Event { name, data, ..event })
    });
    let (entry, state) = edited.await?;
    call.live.shared.hooks.wake(&call.stream);
    let moment = Moment { now: now(), epoch: &entry.position.epoch, viewers, totals: &totals };
    let outline = Outline::new(&call.stream, state.all());
    Ok(Reply(format!(r#""state":{}"#, outline.text(moment, entry.position.seq))))
}
