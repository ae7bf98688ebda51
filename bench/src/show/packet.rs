//! What a viewer's client is told, read far enough for the journal.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A packet of the server.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// CONNECT was answered.
    Connect {
        /// The session's private id; none where recovery is off.
        pid: Option<String>,
    },
    /// A message: an event with a place in the log.
    Message(Message<'a>),
    /// The newest number of something.
    State(State),
    /// `stream:reset`
    Reset,
    /// Another event.
    Other {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// An acknowledgement.
    Ack {
        /// Of which request.
        id: u64,
        /// The reply.
        reply: Value,
    },
    /// Nothing that can be read.
    Strange,
}

/// A message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Its event.
    pub(crate) name: Cow<'a, str>,
    /// Its number.
    pub(crate) seq: u64,
    /// The epoch of its log, if it says so.
    pub(crate) epoch: Option<String>,
    /// What a client that comes back names.
    pub(crate) offset: Option<String>,
    /// The same for the same bytes.
    pub(crate) digest: u64,
    /// Its object.
    pub(crate) data: &'a str,
    /// The text of a chat message.
    pub(crate) text: Option<Cow<'a, str>>,
}

/// A state event.
#[derive(Debug)]
pub(crate) enum State {
    /// How many viewers.
    Viewers(u64),
    /// How many taps.
    Taps(u64),
    /// Of a drop or poll.
    About(String),
}

#[derive(Deserialize)]
struct Connected {
    pid: Option<String>,
}

#[derive(Deserialize)]
struct Head<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl<'a> Packet<'a> {
    /// Reads a packet without its engine's digit.
    pub(crate) fn read(text: &'a [u8]) -> Self {
        Self::parse(text).unwrap_or(Self::Strange)
    }

    fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.as_bytes().first()? {
            b'0' => {
                let Connected { pid } = serde_json::from_str(&text[1..]).ok()?;
                Some(Self::Connect { pid })
            }
            b'2' => event(text),
            b'3' => {
                let body = text.find('[')?;
                let id = text[1..body].parse().ok()?;
                let reply = serde_json::from_str::<Vec<Value>>(&text[body..]).ok()?.into_iter().next();
                Some(Self::Ack { id, reply: reply.unwrap_or_default() })
            }
            _ => None,
        }
    }
}

fn event(text: &str) -> Option<Packet<'_>> {
    let args: Vec<&RawValue> = serde_json::from_str(&text[1..]).ok()?;
    let name: Cow<'_, str> = serde_json::from_str(args.first()?.get()).ok()?;
    let data = args.get(1).map_or("null", |data| data.get());
    let state = match &*name {
        "viewers" => State::Viewers(serde_json::from_str::<Value>(data).ok()?.get("count")?.as_u64()?),
        "reactions" => {
            let body: Value = serde_json::from_str(data).ok()?;
            State::Taps(body.get("totals")?.as_object()?.values().filter_map(Value::as_u64).sum())
        }
        "drop:stock" | "poll:tally" => {
            let body: Value = serde_json::from_str(data).ok()?;
            let id = body.get("drop").or(body.get("poll"))?.as_str()?;
            State::About(format!("{name} {id}"))
        }
        "stream:reset" => return Some(Packet::Reset),
        _ => return message(name, data, &args, text),
    };
    Some(Packet::State(state))
}

fn message<'a>(name: Cow<'a, str>, data: &'a str, args: &[&RawValue], text: &str) -> Option<Packet<'a>> {
    let Head { seq, text: said } = serde_json::from_str(data).unwrap_or(Head { seq: None, text: None });
    let Some(seq) = seq else { return Some(Packet::Other { name }) };
    let offset: Option<String> = args.get(2).and_then(|last| serde_json::from_str(last.get()).ok());
    let epoch = offset.as_ref().and_then(|offset| offset.split(':').nth(1)).map(str::to_owned);
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    Some(Packet::Message(Message { name, seq, epoch, offset, digest: hasher.finish(), data, text: said }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_state_and_answers_are_told_apart() {
        let Packet::Message(message) =
            Packet::read(br#"2["chat:message",{"id":"a","stream":"s","seq":7,"text":"how \"seq\":9"},"s:e1:7:99"]"#)
        else {
            panic!("a message")
        };
        assert_eq!((message.seq, message.epoch.as_deref()), (7, Some("e1")));
        assert_eq!(message.offset.as_deref(), Some("s:e1:7:99"));
        assert_eq!(message.text.as_deref(), Some(r#"how "seq":9"#));
        let taps = Packet::read(br#"2["reactions",{"stream":"s","totals":{"heart":3,"fire":4},"added":{}}]"#);
        assert!(matches!(taps, Packet::State(State::Taps(7))));
        assert!(matches!(Packet::read(br#"2["user:muted",{"stream":"s"}]"#), Packet::Other { .. }));
        let Packet::Ack { id, reply } = Packet::read(br#"312[{"ok":true}]"#) else { panic!("an ack") };
        assert_eq!((id, &reply["ok"]), (12, &Value::Bool(true)));
        assert!(matches!(Packet::read(br#"0{"sid":"a","pid":"b"}"#), Packet::Connect { pid: Some(_) }));
        assert!(matches!(Packet::read(b"2[1"), Packet::Strange));
    }
}
