//! Chat: one message into the log, and messages out of it. A message must never be acknowledged before it is in the log.

use std::{sync::Arc, time::Duration};

use haat_adapter::{Append, Appended, Check, Entry, Once, Pace, StoreError};
use haat_protocol::Id;
use serde::{Deserialize, Serialize};

use super::{
    body::Body,
    command::{Call, Reply, ended},
    held::hold,
    reject::{Code, Reject, json},
    staff::Mode,
    stats::MESSAGES,
    text::{clean, truncate},
    view::{MESSAGE, View, list},
    words::Action,
};
use crate::auth::Role;

/// Most characters of a message.
const MAX_TEXT: usize = 500;
/// Characters of a message that a reply to it shows.
const QUOTE: usize = 100;
/// Most characters of a client's own id of a message.
const MAX_CLIENT_ID: usize = 64;
/// How long a message that is sent again is recognised.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Messages that `stream:history` gives at most, and unless it is told otherwise.
const MAX_PAGE: u64 = 200;
/// See [`MAX_PAGE`].
pub(super) const PAGE: u64 = 50;

/// Who wrote a message, as everybody sees it.
#[derive(Debug, Serialize)]
pub(super) struct Author<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub role: &'a str,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub id: String,
    tail: Tail<'a>,
}

/// The part of a message behind its `seq`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tail<'a> {
    at: u64,
    user: Author<'a>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Quote>,
}

impl Message<'_> {
    /// Its JSON object, before it has a number.
    pub(super) fn without_seq(&self, stream: &str) -> String {
        format!(r#"{{"id":"{}","stream":"{stream}",{}"#, self.id, self.rest())
    }

    /// Its JSON object in pieces, between which the `seq` belongs.
    fn pieces(&self, stream: &str) -> Vec<String> {
        vec![format!(r#"{{"id":"{}","stream":"{stream}","seq":"#, self.id), format!(",{}", self.rest())]
    }

    /// The object of the tail without its first brace.
    fn rest(&self) -> String {
        let tail = json(&self.tail);
        tail.strip_prefix('{').unwrap_or(&tail).to_owned()
    }
}

/// What a reply shows of the message that it answers.
#[derive(Debug, Serialize)]
struct Quote {
    id: String,
    name: String,
    text: String,
}

/// `chat:send`
pub(super) async fn send(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let text: String = body.get("text", "a text")?;
    let text = clean("text", &text, MAX_TEXT)?;
    let client_id = client_id(&body)?;
    let view = call.view()?;
    let reply_to = body.optional::<String>("replyTo", "the id of a message")?.map(|id| quote(&view, id)).transpose()?;
    let id = Id::random().map_err(|_| Reject::new(Code::Internal, "no randomness"))?;
    let user = &call.caller.identity.user;
    let author = Author { id: &user.id, name: &user.name, role: call.role().as_str() };
    let (text, held) = screen(&call, &view, text)?;
    let tail = Tail { at: call.live.shared.now(), user: author, text, reply_to };
    let message = Message { id: format!("m{id}"), tail };
    if held {
        return hold(&call, message, client_id.as_deref()).await;
    }
    let slow = if call.role() == Role::Viewer { Mode::of(&view).slow_seconds } else { 0 };
    let append = Append {
        stream: call.stream.to_string(),
        event: MESSAGE.to_owned(),
        data: message.pieces(&call.stream),
        checks: standing(),
        once: client_id.map(|id| Once { key: format!("chat:{}:{id}", user.id), ttl: REMEMBERED }),
        pace: (slow > 0).then(|| Pace { key: format!("chat:{}", user.id), interval: Duration::from_secs(slow) }),
        record: Some(call.by()),
        ..Append::default()
    };
    let (entry, new) = append_to(&call, append).await?;
    if new {
        call.live.count(&call.stream, MESSAGES, 1);
    }
    Ok(Reply(format!(r#""message":{}"#, entry.data)))
}

/// What a user may say here: the text as it is sent, and whether it has to wait for a moderator.
///
/// # Errors
/// `muted`, `paused`, `members_only`, `rejected`
pub(super) fn screen(call: &Call, view: &View, text: String) -> Result<(String, bool), Reject> {
    let identity = &call.caller.identity;
    call.live.hears(view, identity)?;
    if call.role() != Role::Viewer {
        return Ok((text, false));
    }
    Mode::of(view).admits(&call.stream, identity)?;
    let moderation = view.moderation();
    let Some(words) = &moderation.words else { return Ok((text, false)) };
    match words.action {
        Action::Mask => Ok((words.masked(&text).unwrap_or(text), false)),
        Action::Hold => {
            let found = words.found(&text);
            Ok((text, found))
        }
        Action::Reject if words.found(&text) => Err(Reject::new(Code::Rejected, "these words are not allowed here")),
        Action::Reject => Ok((text, false)),
    }
}

/// There is such a stream, and it has not ended.
pub(super) fn standing() -> Vec<Check> {
    let status = || "status".to_owned();
    vec![Check::IsNot(status(), None), Check::IsNot(status(), Some("\"ended\"".to_owned()))]
}

/// Appends what needs the stream to be [`standing`]. Says whether the entry is new.
pub(super) async fn append_to(call: &Call, append: Append) -> Result<(Arc<Entry>, bool), Reject> {
    let store = &call.live.shared.store;
    let view = call.view()?;
    let done = |appended| match appended {
        Appended::New(entry) => (entry, true),
        Appended::Repeat(entry) => (entry, false),
    };
    match store.append(append.clone()).await {
        Ok(appended) => return Ok(done(appended)),
        Err(StoreError::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // The stream has ended a moment ago, or the store has lost it: then it is written back, and the message with it.
    let snapshot = store.snapshot(&call.stream, "", 0).await?.unwrap_or_default();
    match snapshot.fields.iter().find(|(name, _)| &**name == "status") {
        Some((_, status)) if &**status == "\"ended\"" => return Err(ended()),
        // Somebody else has written it back meanwhile.
        Some(_) => {}
        None => call.live.views.restore(&view).await?,
    }
    call.live.views.verify(&view);
    Ok(done(store.append(append).await?))
}

fn client_id(body: &Body<'_>) -> Result<Option<String>, Reject> {
    let wanted = "a text of 1 to 64 characters";
    let id = body.optional::<String>("clientId", wanted)?;
    let good = id.as_ref().is_none_or(|id| !id.is_empty() && id.chars().nth(MAX_CLIENT_ID).is_none());
    if good { Ok(id) } else { Err(Reject::field("clientId", wanted)) }
}

fn quote(view: &View, id: String) -> Result<Quote, Reject> {
    #[derive(Deserialize)]
    struct Message {
        user: User,
        text: String,
    }
    #[derive(Deserialize)]
    struct User {
        name: String,
    }
    let entry = view.message(&id).ok_or_else(|| Reject::not_found("message"))?;
    let Message { user, text } = serde_json::from_str(&entry.data).map_err(|_| Reject::not_found("message"))?;
    Ok(Quote { id, name: user.name, text: truncate(&text, QUOTE).to_owned() })
}

/// `stream:history`
pub(super) async fn history(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let before = body.optional::<u64>("before", "a seq")?;
    let limit = body.clamped("limit", 1..=MAX_PAGE, PAGE)?;
    let messages = match call.view()?.before(before, limit) {
        Some(messages) => messages,
        None => list(call.live.shared.store.history(&call.stream, MESSAGE, before, limit).await?.iter()),
    };
    Ok(Reply(format!(r#""messages":{messages}"#)))
}
