//! What staff do with what was said: delete it, pin it, slow it down; and what they say to everybody. A deleted text must
//! not be shown to anybody again; what a reply has quoted of it stays with the reply, which can be deleted too.

use std::{sync::Arc, time::Duration};

use haat_adapter::{Entry, Once};
use serde::{Deserialize, Serialize};

use super::{
    body::Body,
    command::{Call, Reply},
    edit::{Event, State, edit, edit_looking},
    reject::{Code, Reject, json},
    text::clean,
    view::{MESSAGE, View, is_message},
};
use crate::auth::Identity;

/// Most seconds between two messages of one user.
const MAX_SLOW: u64 = 3600;
/// Characters of a notice.
const MAX_NOTICE: usize = 500;
/// Messages that are looked through at a time for an old one.
const PAGE: usize = 500;
/// How long a second deletion of the same message is recognised.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Who may say something, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mode {
    /// Seconds between two messages of one user.
    pub slow_seconds: u64,
    /// Only those whose token names the stream.
    pub members_only: bool,
    /// Nobody.
    pub paused: bool,
}

impl Mode {
    /// The mode of a stream.
    pub(super) fn of(view: &View) -> Self {
        view.field("mode").and_then(|mode| serde_json::from_str(&mode).ok()).unwrap_or_default()
    }

    /// Whether a viewer may say something.
    ///
    /// # Errors
    /// `paused`, `members_only`
    pub(super) fn admits(&self, stream: &str, viewer: &Identity) -> Result<(), Reject> {
        if self.paused {
            return Err(Reject::new(Code::Paused, "the chat is paused"));
        }
        if self.members_only && !viewer.streams.contains(stream) {
            return Err(Reject::new(Code::MembersOnly, "the chat is for members"));
        }
        Ok(())
    }
}

/// `chat:mode`: what is not named stays as it is.
pub(super) async fn mode(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let slow = body.optional::<u64>("slowSeconds", "a whole number of seconds")?;
    if slow.is_some_and(|slow| slow > MAX_SLOW) {
        return Err(Reject::field("slowSeconds", &format!("0 to {MAX_SLOW} seconds")));
    }
    let members = body.optional::<bool>("membersOnly", "true or false")?;
    let paused = body.optional::<bool>("paused", "true or false")?;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        let before: Mode = state.get("mode").and_then(|mode| serde_json::from_str(mode).ok()).unwrap_or_default();
        let mode = Mode {
            slow_seconds: slow.unwrap_or(before.slow_seconds),
            members_only: members.unwrap_or(before.members_only),
            paused: paused.unwrap_or(before.paused),
        };
        let text = json(&mode);
        state.set("mode", &text);
        let members = text.trim_start_matches('{').trim_end_matches('}');
        Ok(Event::new("chat:mode", &call.stream, members))
    })
    .await?;
    Ok(Reply::default())
}

/// `notice:send`
pub(super) async fn notice(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let text = json(&clean("text", &body.get::<String>("text", "a text")?, MAX_NOTICE)?);
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        state.set("notice", &text);
        Ok(Event::new("notice", &call.stream, &format!(r#""text":{text}"#)))
    })
    .await?;
    Ok(Reply::default())
}

/// `chat:delete`
pub(super) async fn delete(call: Call) -> Result<Reply, Reject> {
    let id = message_id(&call)?;
    let found = find(&call, &id).await?.position.clone();
    let user = &call.caller.identity.user;
    let by = format!(r#"{{"id":{},"name":{}}}"#, json(&user.id), json(&user.name));
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        if pinned(state).as_deref() == Some(&*id) {
            state.remove("pinnedMessage");
        }
        let event = Event::new("chat:deleted", &call.stream, &format!(r#""message":{},"by":{by}"#, json(&id)));
        let once = Some(Once { key: format!("delete:{id}"), ttl: REMEMBERED });
        // A number of another life of the log is another entry's now.
        let erase = if found.epoch == state.epoch { vec![found.seq] } else { Vec::new() };
        Ok(Event { erase, once, ..event })
    })
    .await?;
    Ok(Reply::default())
}

/// `chat:pin`: in place of what was pinned before. What was found may be deleted at the same time, or has been by another
/// gateway: it has to be in the log still once the state was read. Whoever deletes it after that changes the state.
pub(super) async fn pin(call: Call) -> Result<Reply, Reject> {
    let id = message_id(&call)?;
    let found = find(&call, &id).await?;
    edit_looking(&call.live, &call.stream, Some(call.by()), async |state| {
        let next = Some(found.position.seq + 1);
        let newest = call.live.shared.store.history(&call.stream, MESSAGE, next, 1).await?;
        if newest.last().is_none_or(|entry| entry.position != found.position) {
            return Err(Reject::not_found("message"));
        }
        state.set("pinnedMessage", &found.data);
        Ok(Event::new("chat:pinned", &call.stream, &format!(r#""message":{}"#, found.data)))
    })
    .await?;
    Ok(Reply::default())
}

/// `chat:unpin`: of a message that is not pinned `not_found`.
pub(super) async fn unpin(call: Call) -> Result<Reply, Reject> {
    let id = message_id(&call)?;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        if pinned(state).as_deref() != Some(&*id) {
            return Err(Reject::not_found("message"));
        }
        state.remove("pinnedMessage");
        Ok(Event::new("chat:pinned", &call.stream, r#""message":null"#))
    })
    .await?;
    Ok(Reply::default())
}

/// The id of a message, as a command names it.
pub(super) fn message_id(call: &Call) -> Result<String, Reject> {
    Body::parse(&call.body)?.get("message", "the id of a message")
}

fn pinned(state: &State) -> Option<String> {
    #[derive(Deserialize)]
    struct Pinned {
        id: String,
    }
    serde_json::from_str::<Pinned>(state.get("pinnedMessage")?).ok().map(|pinned| pinned.id)
}

/// A message of the stream, however old, if the log still has it.
async fn find(call: &Call, id: &str) -> Result<Arc<Entry>, Reject> {
    let view = call.view()?;
    if let Some(entry) = view.message(id) {
        return Ok(entry);
    }
    // Newer than the view, or older than what it keeps.
    let mut before = None;
    loop {
        let page = call.live.shared.store.history(&call.stream, MESSAGE, before, PAGE).await?;
        if let Some(entry) = page.iter().find(|entry| is_message(entry, id)) {
            return Ok(entry.clone());
        }
        match page.first() {
            Some(first) if page.len() == PAGE => before = Some(first.position.seq),
            _ => return Err(Reject::not_found("message")),
        }
    }
}
