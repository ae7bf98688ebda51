//! What the two wires have in common: names, the neutral meaning of what arrives, and the pieces of a message that both
//! spell alike. A [`Wire`] is pure: it makes and reads bytes, and never touches a connection.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, value::RawValue};

use crate::{
    Broadcast, Event, Flags, Request, Target,
    cluster::Answer,
    msgpack::{self, Marked},
};

/// Event names that make an official client drop its connection.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// How a channel is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Manner {
    /// `SUBSCRIBE`
    Plain,
    /// `PSUBSCRIBE`
    Pattern,
    /// `SSUBSCRIBE`
    Shard,
}

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Channel {
    pub(super) manner: Manner,
    pub(super) name: Box<str>,
}

impl Channel {
    pub(super) fn new(manner: Manner, name: impl Into<Box<str>>) -> Self {
        Self { manner, name: name.into() }
    }
}

/// Something to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) channel: String,
    pub(super) payload: Vec<u8>,
}

/// Who asked, and what for: all that an answer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) namespace: String,
    /// The question.
    pub(super) id: String,
    /// The gateway.
    pub(super) uid: Option<String>,
    pub(super) form: Form,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A list of sockets.
    Sockets,
    /// A list of their ids.
    Ids,
    /// All rooms that they are in.
    Rooms,
    /// What the listeners of an event say.
    Event,
    /// The number of receivers, and what each of them says.
    Acks,
    /// That it was done; only by the gateway that has the socket.
    Done,
}

/// What a message means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// Nothing for this gateway: its own, or for a namespace or rooms that nobody here is in.
    Nothing,
    /// An event for sockets.
    Broadcast(Broadcast),
    /// A question, or an order if nobody asks.
    Request(Request, Option<Asker>),
    /// An answer to the question of this id.
    Answer(String, Answer),
}

/// A message that cannot be understood. It is dropped and counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    #[error(transparent)]
    Msgpack(#[from] msgpack::Error),
    #[error("{0}")]
    Json(String),
    #[error("{0}")]
    Shape(&'static str),
}

impl From<serde_json::Error> for Unclear {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// One way of saying things between gateways, through Redis.
pub(super) trait Wire: fmt::Debug + Send + Sync {
    /// The command that publishes, and how is subscribed to what it publishes.
    fn manner(&self) -> Manner;

    /// The channels of a namespace that a gateway listens to as long as it runs. Other gateways are counted by the first.
    fn fixed(&self, namespace: &str) -> Vec<Channel>;

    /// The channel of what is for one room only.
    fn room(&self, namespace: &str, room: &str) -> Channel;

    /// A pattern of all rooms that are named as sockets are, if peers use channels for them.
    fn private_rooms(&self, namespace: &str) -> Option<Channel>;

    /// An event for the sockets of other gateways.
    fn broadcast(&self, broadcast: &Broadcast) -> Result<Message, Unclear>;

    /// A question or an order to other gateways.
    fn request(&self, id: &str, request: &Request) -> Result<Message, Unclear>;

    /// How many clients were asked for acks.
    fn receivers(&self, asker: &Asker, count: usize) -> Message;

    /// A client's ack; `None` if it cannot be said.
    fn ack(&self, asker: &Asker, value: Value) -> Option<Message>;

    /// An answer; `values` are what [`Reply`](crate::Reply) was given. Of acks each is a message, after how many there are.
    fn answer(&self, asker: &Asker, values: Vec<Value>) -> Vec<Message>;

    /// What a log entry is to peers that know of no log, an event for the room of its stream: a channel, and a message in
    /// which the engine writes the entry's number.
    fn entry(&self, room: &str, event: &str, data: &[String]) -> Result<(String, Marked), Unclear>;

    /// Reads a message. `wants` tells whether a room has members here; it is asked before anything is decoded where the
    /// channel names the room.
    fn hear(&self, channel: &str, payload: &[u8], wants: &dyn Fn(&str, &str) -> bool) -> Result<Heard, Unclear>;
}

/// The command that publishes in a manner.
pub(super) fn publish_command(manner: Manner) -> &'static str {
    if manner == Manner::Shard { "SPUBLISH" } else { "PUBLISH" }
}

/// The command that counts the subscribers of a channel.
pub(super) fn count_command(manner: Manner) -> &'static str {
    if manner == Manner::Shard { "SHARDNUMSUB" } else { "NUMSUB" }
}

/// A name that may come as a number: rooms, ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Name, E> {
                Ok(Name(number.to_string()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Name, E> {
                Ok(Name(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Name, E> {
                Ok(Name(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Whose sockets, and how.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Opts {
    rooms: Option<Vec<Name>>,
    except: Option<Vec<Name>>,
    flags: Option<RawFlags>,
}

#[derive(Debug, Default, Deserialize)]
struct RawFlags {
    volatile: Option<Value>,
}

impl Opts {
    pub(super) fn rooms(names: Option<Vec<Name>>) -> Self {
        Self { rooms: names, ..Self::default() }
    }

    pub(super) fn target(self, namespace: &str) -> Target {
        let names = |names: Option<Vec<Name>>| names.unwrap_or_default().into_iter().map(|Name(name)| name).collect();
        Target { namespace: namespace.to_owned(), rooms: names(self.rooms), except: names(self.except) }
    }

    pub(super) fn flags(&self) -> Flags {
        let volatile = self.flags.as_ref().and_then(|flags| flags.volatile.as_ref());
        Flags { volatile: volatile == Some(&Value::Bool(true)) }
    }
}

/// A packet between gateways: an event, whatever it carries.
#[derive(Debug, Deserialize)]
pub(super) struct Packet<'a> {
    #[serde(rename = "type")]
    kind: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    pub(super) nsp: Option<String>,
}

impl Packet<'_> {
    const EVENT: u64 = 2;

    pub(super) fn event(&self, attachments: Vec<Bytes>) -> Result<Event, Unclear> {
        if self.kind != Some(Self::EVENT) {
            return Err(Unclear::Shape("not an event"));
        }
        let args = self.data.map(RawValue::get).ok_or(Unclear::Shape("an event of nothing"))?;
        check_event(args)?;
        Ok(Event { args: args.to_owned(), attachments })
    }
}

/// Whether clients and other servers survive this event.
pub(super) fn check_event(args: &str) -> Result<(), Unclear> {
    let name = event_name(args)?;
    if RESERVED.contains(&&*name) { Err(Unclear::Shape("a reserved event")) } else { Ok(()) }
}

/// Whether other servers survive this event between them.
pub(super) fn check_server_event(args: &str) -> Result<(), Unclear> {
    match &*event_name(args)? {
        // The first ends a Node process that has no listener for it; Node refuses to send the others.
        "error" | "connect" | "connection" | "new_namespace" => Err(Unclear::Shape("a reserved event")),
        _ => Ok(()),
    }
}

/// The name of an event, from its arguments. A number is a name too.
pub(super) fn event_name(args: &str) -> Result<String, Unclear> {
    struct First;
    impl<'de> de::Visitor<'de> for First {
        type Value = Name;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array that begins with a name")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Name, A::Error> {
            let name = items.next_element()?.ok_or_else(|| de::Error::custom("an empty array"))?;
            while items.next_element::<de::IgnoredAny>()?.is_some() {}
            Ok(name)
        }
    }
    let mut json = serde_json::Deserializer::from_str(args);
    let Name(name) = de::Deserializer::deserialize_seq(&mut json, First)?;
    json.end()?;
    Ok(name)
}

/// The JSON text of a target and the way of delivery, as both wires write it.
pub(super) fn opts_json(target: &Target, flags: Option<Flags>) -> String {
    let mut json = String::with_capacity(64);
    json.push_str("{\"rooms\":");
    names_json(&mut json, &target.rooms);
    json.push_str(",\"except\":");
    names_json(&mut json, &target.except);
    match flags {
        Some(Flags { volatile: true }) => json.push_str(",\"flags\":{\"volatile\":true}}"),
        Some(Flags { volatile: false }) => json.push_str(",\"flags\":{}}"),
        None => json.push('}'),
    }
    json
}

/// The JSON text of a list of names.
pub(super) fn names_json(json: &mut String, names: &[String]) {
    json.push('[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        msgpack::quote(json, name);
    }
    json.push(']');
}

/// The JSON text of a text.
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    msgpack::quote(&mut json, text);
    json
}

/// The channel of a broadcast: the namespace's, or that of the only room. A room that is named as sockets are has none of
/// its own between haat gateways: there are thousands of them, and hardly any is ever used.
pub(super) fn only_room(target: &Target) -> Option<&str> {
    match &*target.rooms {
        [room] if !is_private(room) => Some(room),
        _ => None,
    }
}

/// Named as sockets are: 20 characters, as Node counts them.
pub(super) fn is_private(room: &str) -> bool {
    const SOCKET_ID: usize = 20;
    room.len() >= SOCKET_ID && room.encode_utf16().count() == SOCKET_ID
}

/// The namespace and what is behind it, of a channel `<prefix>#<namespace>#<rest>`.
pub(super) fn split<'a, 'b>(channel: &'a str, prefix: &str, namespaces: &'b [String]) -> Option<(&'b str, &'a str)> {
    let rest = channel.strip_prefix(prefix)?.strip_prefix('#')?;
    namespaces.iter().find_map(|namespace| {
        let rest = rest.strip_prefix(namespace.as_str())?.strip_prefix('#')?;
        Some((namespace.as_str(), rest))
    })
}

/// The JSON text of a message, whichever of the two it is.
pub(super) fn text_of(payload: &[u8], binary: msgpack::Binary) -> Result<(String, Vec<Bytes>), Unclear> {
    if payload.first() != Some(&b'{') {
        return Ok(msgpack::to_json(payload, binary)?);
    }
    if payload.len() > msgpack::MAX_BYTES {
        return Err(msgpack::Error::TooLarge.into());
    }
    let text = std::str::from_utf8(payload).map_err(|_| Unclear::Shape("a text that is not UTF-8"))?;
    Ok((text.to_owned(), Vec::new()))
}

/// `null` is a value here, and not the absence of one.
pub(super) fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
