//! Messages that wait for a moderator. Each is a note that staff are told of, and that changes hands once: it is approved
//! or rejected, never both. An approved message is in the log before its note says that it is done, so an approval that
//! breaks off can be given again.

use std::{rc::Rc, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haat_adapter::{Append, Happening, Note, Noted, Once};
use haat_protocol::socket;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Live,
    chat::{Message, append_to, standing},
    command::{Call, Reply},
    reject::{Code, Reject, json},
    staff::message_id,
    staff_room,
    stats::MESSAGES,
    view::MESSAGE,
};
use crate::room::At;

/// The book of held messages.
const BOOK: &str = "held";
/// How long a message waits, in ms.
const PATIENCE: u64 = 24 * 3600 * 1000;
/// How long it is known what became of one.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Held messages that staff get when they join.
const SHOWN: usize = 100;

/// A held message, as it is noted.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    state: Fate,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    message: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fate {
    Held,
    Approved,
    Rejected,
}

/// The id of a message that a client has named; the same name gets the same id, so that nothing is held twice.
fn id_of(stream: &str, user: &str, client_id: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [stream, user, client_id] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let text = URL_SAFE_NO_PAD.encode(hasher.finalize());
    format!("m{}", text.get(..20).unwrap_or(&text))
}

/// Holds a message back, and tells the staff.
pub(super) async fn hold(call: &Call, mut message: Message<'_>, client_id: Option<&str>) -> Result<Reply, Reject> {
    if let Some(client_id) = client_id {
        message.id = id_of(&call.stream, &call.caller.identity.user.id, client_id);
    }
    let object = message.without_seq(&call.stream);
    let value: Value = serde_json::from_str(&object).map_err(|_| Reject::new(Code::Internal, "no object"))?;
    let told = format!(r#"{{"stream":"{}","message":{object}}}"#, call.stream);
    let note = Note {
        stream: call.stream.to_string(),
        book: BOOK.to_owned(),
        key: message.id.clone(),
        text: Some(json(&Held { state: Fate::Held, message: value })),
        until: Some(call.live.shared.now() + PATIENCE),
        was: Some(None),
        record: Some(Happening { kind: "chat:held".to_owned(), by: call.by(), data: told.clone() }),
    };
    if let Noted::Done(_) = call.live.shared.market.note(note).await? {
        call.live.shared.hooks.wake(&call.stream);
        call.live.shared.tell(&staff_room(&call.stream), &format!(r#"["chat:held",{told}]"#));
    }
    Ok(Reply(r#""held":true"#.to_owned()))
}

impl Live {
    /// Shows a member of the staff what waits for them.
    pub(super) fn show_held(self: &Rc<Self>, at: At, stream: &Arc<str>) {
        let (live, stream) = (self.clone(), stream.clone());
        // Not begun at once: it comes behind the answer to the join.
        tokio::task::spawn_local(async move {
            let Ok(book) = live.shared.market.notes(&stream, BOOK).await else { return };
            let held = book.notes.iter().filter_map(|(_, text)| serde_json::from_str::<Held>(text).ok());
            let held: Vec<Value> = held.filter(|held| held.state == Fate::Held).map(|held| held.message).collect();
            for message in held.iter().skip(held.len().saturating_sub(SHOWN)) {
                let text = format!(r#"["chat:held",{{"stream":"{stream}","message":{}}}]"#, json(message));
                live.rooms.emit(at.key, &socket::event_pieces("/", &[&text]));
            }
        });
    }
}

/// The held message that a command names, and its note's text.
async fn find(call: &Call) -> Result<(String, Arc<str>, Held), Reject> {
    let id = message_id(call)?;
    let book = call.live.shared.market.notes(&call.stream, BOOK).await?;
    let text = book.notes.iter().find(|(key, _)| **key == *id).map(|(_, text)| text.clone());
    let held = text.as_ref().and_then(|text| serde_json::from_str::<Held>(text).ok());
    match (text, held) {
        (Some(text), Some(held)) if held.state != Fate::Rejected => Ok((id, text, held)),
        _ => Err(Reject::not_found("message")),
    }
}

/// Gives the note another state, if nobody was faster.
async fn decide(call: &Call, id: &str, was: &str, held: &Held, until: u64, command: &str) -> Result<(), Reject> {
    let note = Note {
        stream: call.stream.to_string(),
        book: BOOK.to_owned(),
        key: id.to_owned(),
        text: Some(json(held)),
        until: Some(until),
        was: Some(Some(was.to_owned())),
        record: Some(Happening {
            kind: command.to_owned(),
            by: call.by(),
            data: format!(r#"{{"message":{}}}"#, json(id)),
        }),
    };
    match call.live.shared.market.note(note).await? {
        Noted::Done(_) => Ok(()),
        Noted::Differs(_) => Err(Reject::new(Code::Conflict, "somebody else has decided")),
    }
}

/// `chat:approve`: the message is sent now. Doing it again changes nothing.
pub(super) async fn approve(call: Call) -> Result<Reply, Reject> {
    let (id, text, mut held) = find(&call).await?;
    let now = call.live.shared.now();
    let remembered = now + u64::try_from(REMEMBERED.as_millis()).unwrap_or(0);
    if held.state == Fate::Held {
        held.state = Fate::Approved;
        decide(&call, &id, &text, &held, remembered, "chat:approve").await?;
    }
    let Value::Object(mut message) = held.message else { return Err(Reject::not_found("message")) };
    let by = message.get("user").map_or_else(|| "null".to_owned(), json);
    message.retain(|name, _| name != "id" && name != "stream");
    message.insert("at".to_owned(), now.into());
    let append = Append {
        stream: call.stream.to_string(),
        event: MESSAGE.to_owned(),
        data: vec![
            format!(r#"{{"id":{},"stream":"{}","seq":"#, json(&id), call.stream),
            format!(",{}", tail(&message)),
        ],
        checks: standing(),
        once: Some(Once { key: format!("held:{id}"), ttl: REMEMBERED }),
        record: Some(by),
        ..Append::default()
    };
    if append_to(&call, append).await?.1 {
        call.live.count(&call.stream, MESSAGES, 1);
    }
    Ok(Reply::default())
}

/// A JSON object without its first brace.
fn tail(object: &Map<String, Value>) -> String {
    let text = json(object);
    text.strip_prefix('{').unwrap_or(&text).to_owned()
}

/// `chat:reject`: the message is not sent. One that was approved before is `conflict`.
pub(super) async fn reject(call: Call) -> Result<Reply, Reject> {
    let (id, text, held) = find(&call).await?;
    if held.state == Fate::Approved {
        return Err(Reject::new(Code::Conflict, "the message was approved"));
    }
    let until = call.live.shared.now() + u64::try_from(REMEMBERED.as_millis()).unwrap_or(0);
    let rejected = Held { state: Fate::Rejected, message: Value::Null };
    decide(&call, &id, &text, &rejected, until, "chat:reject").await?;
    Ok(Reply::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_id_and_no_other() {
        let id = id_of("main", "ana", "1");
        assert_eq!((id.len(), id.starts_with('m')), (21, true));
        assert_eq!(id, id_of("main", "ana", "1"));
        for other in [id_of("main", "an", "a1"), id_of("mainana", "", "1"), id_of("main", "ana", "2")] {
            assert_ne!(id, other);
        }
    }
}
