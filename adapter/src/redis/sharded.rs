//! The wire of @socket.io/redis-adapter 8.x, its sharded mode: `SPUBLISH` and `SSUBSCRIBE`, everything as JSON, or as msgpack
//! where it holds bytes. Node gateways speak it with `subscriptionMode: "dynamic"`, which is their default.
//!
//! | channel | carries | subscribed |
//! |---|---|---|
//! | `<prefix>#<ns>#` | questions, orders, broadcasts to none or several rooms, or to one socket; its subscribers are the gateways | always, once |
//! | `<prefix>#<ns>#<uid>#` | answers to this gateway, and nothing else | always |
//! | `<prefix>#<ns>#<room>#` | broadcasts to one room | while the room has members here |
//!
//! What haat adds is for haat only, and Node ignores it: `values` in an answer to an event between servers that is not
//! exactly one value.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    LOG_UID,
    wire::{
        Asker, Channel, Form, Heard, Manner, Message, Name, Opts, Packet, Unclear, Wire, check_event,
        check_server_event, event_name, names_json, only_room, opts_json, present, quoted, split, text_of,
    },
};
use crate::{
    Broadcast, Flags, Request, Target,
    cluster::Answer,
    msgpack::{self, Binary, Marked, Part, from_json},
};

/// Types of messages.
mod kind {
    /// Those of other adapters: a gateway comes, lives, and goes.
    pub(super) const COMES: u64 = 1;
    pub(super) const LIVES: u64 = 2;
    pub(super) const GOES: u64 = 13;

    pub(super) const BROADCAST: u64 = 3;
    pub(super) const JOIN: u64 = 4;
    pub(super) const LEAVE: u64 = 5;
    pub(super) const DISCONNECT: u64 = 6;
    pub(super) const FETCH: u64 = 7;
    pub(super) const SOCKETS: u64 = 8;
    pub(super) const EVENT: u64 = 9;
    pub(super) const SAID: u64 = 10;
    pub(super) const RECEIVERS: u64 = 11;
    pub(super) const ACK: u64 = 12;
}

/// The sharded wire.
#[derive(Debug)]
pub(super) struct Sharded {
    prefix: String,
    namespaces: Vec<String>,
    uid: String,
}

impl Sharded {
    pub(super) fn new(prefix: &str, namespaces: &[String], uid: &str) -> Self {
        Self { prefix: prefix.to_owned(), namespaces: namespaces.to_vec(), uid: uid.to_owned() }
    }

    fn main(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    fn private(&self, namespace: &str, uid: &str) -> String {
        format!("{}{uid}#", self.main(namespace))
    }

    fn said(&self, Asker { namespace, uid, .. }: &Asker, kind: u64, said: &Answered<'_>) -> Message {
        // One who gives no name hears answers where everybody does.
        let channel = uid.as_deref().map_or_else(|| self.main(namespace), |uid| self.private(namespace, uid));
        // What was parsed from JSON can be written as JSON.
        let data = serde_json::to_string(said).unwrap_or_default();
        Message { channel, payload: self.text(kind, &data, namespace).into_bytes() }
    }

    /// The text of a message.
    fn text(&self, kind: u64, data: &str, namespace: &str) -> String {
        format!(r#"{{"type":{kind},"data":{data},"uid":{},"nsp":{}}}"#, quoted(&self.uid), quoted(namespace))
    }

    /// An event for sockets, whose receivers acknowledge if it has an id.
    fn event(&self, id: Option<&str>, Broadcast { target, flags, event }: &Broadcast) -> Result<Vec<u8>, Unclear> {
        check_event(&event.args)?;
        let id = id.map(|id| format!(r#","requestId":{}"#, quoted(id))).unwrap_or_default();
        let opts = opts_json(target, Some(*flags));
        let data = format!(r#"{{"packet":{{"type":2,"data":{}}}{id},"opts":{opts}}}"#, event.args);
        let text = self.text(kind::BROADCAST, &data, &target.namespace);
        if event.attachments.is_empty() {
            return bounded(text.into_bytes());
        }
        let mut payload = Vec::with_capacity(text.len());
        from_json(&mut payload, &text, &event.attachments)?;
        Ok(payload)
    }
}

/// The same bound for both forms.
fn bounded(payload: Vec<u8>) -> Result<Vec<u8>, Unclear> {
    if payload.len() > msgpack::MAX_BYTES { Err(msgpack::Error::TooLarge.into()) } else { Ok(payload) }
}

impl Wire for Sharded {
    fn manner(&self) -> Manner {
        Manner::Shard
    }

    fn fixed(&self, namespace: &str) -> Vec<Channel> {
        [self.main(namespace), self.private(namespace, &self.uid)].map(|name| Channel::new(Manner::Shard, name)).into()
    }

    fn room(&self, namespace: &str, room: &str) -> Channel {
        Channel::new(Manner::Shard, format!("{}{room}#", self.main(namespace)))
    }

    fn private_rooms(&self, _: &str) -> Option<Channel> {
        None
    }

    fn broadcast(&self, broadcast: &Broadcast) -> Result<Message, Unclear> {
        let payload = self.event(None, broadcast)?;
        let main = self.main(&broadcast.target.namespace);
        let channel = match only_room(&broadcast.target) {
            Some(room) => format!("{main}{room}#"),
            None => main,
        };
        Ok(Message { channel, payload })
    }

    fn request(&self, id: &str, request: &Request) -> Result<Message, Unclear> {
        let opts = |target: &Target| opts_json(target, Some(Flags::default()));
        let (namespace, kind, data) = match request {
            Request::FetchSockets(target) => {
                let data = format!(r#"{{"opts":{},"requestId":{}}}"#, opts(target), quoted(id));
                (&target.namespace, kind::FETCH, data)
            }
            Request::Join(target, rooms) | Request::Leave(target, rooms) => {
                let kind = if matches!(request, Request::Join(..)) { kind::JOIN } else { kind::LEAVE };
                let mut data = format!(r#"{{"opts":{},"rooms":"#, opts(target));
                names_json(&mut data, rooms);
                data.push('}');
                (&target.namespace, kind, data)
            }
            Request::Disconnect { target, close } => {
                let data = format!(r#"{{"opts":{},"close":{close}}}"#, opts(target));
                (&target.namespace, kind::DISCONNECT, data)
            }
            Request::ServerSideEmit { namespace, args, ack } => {
                check_server_event(args)?;
                let id = if *ack { format!(r#""requestId":{},"#, quoted(id)) } else { String::new() };
                (namespace, kind::EVENT, format!(r#"{{{id}"packet":{args}}}"#))
            }
            Request::BroadcastAck(broadcast) => {
                let channel = self.main(&broadcast.target.namespace);
                return Ok(Message { channel, payload: self.event(Some(id), broadcast)? });
            }
        };
        let payload = bounded(self.text(kind, &data, namespace).into_bytes())?;
        Ok(Message { channel: self.main(namespace), payload })
    }

    fn receivers(&self, asker: &Asker, count: usize) -> Message {
        let said = Answered { request_id: &asker.id, client_count: Some(count), ..Answered::default() };
        self.said(asker, kind::RECEIVERS, &said)
    }

    fn ack(&self, asker: &Asker, value: Value) -> Option<Message> {
        let said = Answered { request_id: &asker.id, packet: Some(value), ..Answered::default() };
        Some(self.said(asker, kind::ACK, &said))
    }

    fn answer(&self, asker: &Asker, values: Vec<Value>) -> Vec<Message> {
        let said = Answered { request_id: &asker.id, ..Answered::default() };
        match asker.form {
            Form::Acks => {
                let receivers = self.receivers(asker, values.len());
                let acks = values.into_iter().filter_map(|value| self.ack(asker, value));
                std::iter::once(receivers).chain(acks).collect()
            }
            Form::Event => {
                let first = values.first().cloned().unwrap_or_default();
                let values = (values.len() != 1).then_some(values);
                vec![self.said(asker, kind::SAID, &Answered { packet: Some(first), values, ..said })]
            }
            // Nobody can ask for anything else on this wire.
            Form::Sockets | Form::Ids | Form::Rooms | Form::Done => {
                vec![self.said(asker, kind::SOCKETS, &Answered { sockets: Some(values), ..said })]
            }
        }
    }

    fn entry(&self, room: &str, event: &str, data: &[String]) -> Result<(String, Marked), Unclear> {
        check_event(&format!("[{},{}]", quoted(event), data.join("1")))?;
        let target = Target { namespace: "/".to_owned(), rooms: vec![room.to_owned()], except: Vec::new() };
        let opts = opts_json(&target, Some(Flags::default()));
        let mut parts = Vec::with_capacity(2 * data.len() + 1);
        let begin = format!(r#"{{"type":{},"data":{{"packet":{{"type":2,"data":[{},"#, kind::BROADCAST, quoted(event));
        let end = format!(r#"]}},"opts":{opts}}},"uid":"{LOG_UID}","nsp":"/"}}"#);
        parts.push(Part::Bytes(begin.into_bytes()));
        for (index, piece) in data.iter().enumerate() {
            if index > 0 {
                parts.push(Part::Digits);
            }
            parts.push(Part::Bytes(piece.clone().into_bytes()));
        }
        parts.push(Part::Bytes(end.into_bytes()));
        Ok((format!("{}{room}#", self.main("/")), parts))
    }

    fn hear(&self, channel: &str, payload: &[u8], wants: &dyn Fn(&str, &str) -> bool) -> Result<Heard, Unclear> {
        let Some((namespace, to)) = split(channel, &self.prefix, &self.namespaces) else { return Ok(Heard::Nothing) };
        let to = to.strip_suffix('#');
        let own = to == Some(&self.uid);
        if !own && to.is_some_and(|room| !wants(namespace, room)) {
            return Ok(Heard::Nothing);
        }
        let (text, attachments) = text_of(payload, Binary::Attach)?;
        let outer: Outer<'_> = serde_json::from_str(&text)?;
        if outer.uid.as_ref().is_some_and(|Name(uid)| *uid == self.uid || uid == LOG_UID) {
            return Ok(Heard::Nothing);
        }
        let kind = outer.kind.ok_or(Unclear::Shape("a message of no type"))?;
        match kind {
            kind::COMES | kind::LIVES | kind::GOES => return Ok(Heard::Nothing),
            kind::SOCKETS | kind::SAID | kind::RECEIVERS | kind::ACK => return hear_answer(kind, payload),
            // What is for all is not said to one.
            _ if own || outer.nsp.as_deref() != Some(namespace) => return Ok(Heard::Nothing),
            _ => {}
        }
        let heard = ForAll { kind, namespace, outer: &outer, payload, attachments };
        match kind {
            kind::BROADCAST => heard.broadcast(wants),
            kind::EVENT => heard.event(),
            kind::JOIN | kind::LEAVE | kind::DISCONNECT | kind::FETCH => heard.order(),
            _ => Err(Unclear::Shape("a message of an unknown type")),
        }
    }
}

/// A message for all, whose meaning is looked for.
struct ForAll<'a> {
    kind: u64,
    namespace: &'a str,
    outer: &'a Outer<'a>,
    payload: &'a [u8],
    attachments: Vec<Bytes>,
}

impl ForAll<'_> {
    fn data(&self) -> Result<&str, Unclear> {
        self.outer.data.map(RawValue::get).ok_or(Unclear::Shape("a message of nothing"))
    }

    fn asker(&self, id: Option<Name>, form: Form) -> Option<Asker> {
        let uid = self.outer.uid.clone().map(|Name(uid)| uid);
        id.map(|Name(id)| Asker { namespace: self.namespace.to_owned(), id, uid, form })
    }

    fn broadcast(mut self, wants: &dyn Fn(&str, &str) -> bool) -> Result<Heard, Unclear> {
        let attachments = std::mem::take(&mut self.attachments);
        let asked: Asked<Packet<'_>> = serde_json::from_str(self.data()?)?;
        let event = asked.packet.ok_or(Unclear::Shape("an event of nothing"))?.event(attachments)?;
        let opts = asked.opts.ok_or(Unclear::Shape("an event for nobody"))?;
        let broadcast = Broadcast { flags: opts.flags(), target: opts.target(self.namespace), event };
        if let Some(asker) = self.asker(asked.request_id, Form::Acks) {
            return Ok(Heard::Request(Request::BroadcastAck(broadcast), Some(asker)));
        }
        let rooms = &broadcast.target.rooms;
        let wanted = rooms.is_empty() || rooms.iter().any(|room| wants(self.namespace, room));
        Ok(if wanted { Heard::Broadcast(broadcast) } else { Heard::Nothing })
    }

    /// Between servers an event is text, whatever it carries.
    fn event(&self) -> Result<Heard, Unclear> {
        let spelt = if self.attachments.is_empty() { None } else { Some(text_of(self.payload, Binary::Spell)?.0) };
        let again: Option<Outer<'_>> = spelt.as_deref().map(serde_json::from_str).transpose()?;
        let data = again.and_then(|outer| outer.data).map_or_else(|| self.data(), |data| Ok(data.get()))?;
        let asked: Asked<&RawValue> = serde_json::from_str(data)?;
        let args = asked.packet.ok_or(Unclear::Shape("an event of nothing"))?.get();
        event_name(args)?;
        let asker = self.asker(asked.request_id, Form::Event);
        let (namespace, args, ack) = (self.namespace.to_owned(), args.to_owned(), asker.is_some());
        Ok(Heard::Request(Request::ServerSideEmit { namespace, args, ack }, asker))
    }

    fn order(&self) -> Result<Heard, Unclear> {
        let asked: Asked<&RawValue> = serde_json::from_str(self.data()?)?;
        let target = asked.opts.ok_or(Unclear::Shape("an order for nobody"))?.target(self.namespace);
        let rooms = asked.rooms.into_iter().flatten().map(|Name(room)| room).collect();
        let order = match self.kind {
            kind::JOIN => Request::Join(target, rooms),
            kind::LEAVE => Request::Leave(target, rooms),
            kind::DISCONNECT => Request::Disconnect { target, close: asked.close.unwrap_or(false) },
            _ => {
                // A question without an id could not be answered.
                let asker = self.asker(asked.request_id, Form::Sockets);
                let question = |asker| Heard::Request(Request::FetchSockets(target), Some(asker));
                return Ok(asker.map_or(Heard::Nothing, question));
            }
        };
        Ok(Heard::Request(order, None))
    }
}

fn hear_answer(kind: u64, payload: &[u8]) -> Result<Heard, Unclear> {
    let (text, _) = text_of(payload, Binary::Spell)?;
    let outer: Outer<'_> = serde_json::from_str(&text)?;
    let data = outer.data.ok_or(Unclear::Shape("an answer of nothing"))?.get();
    let heard: HeardSaid = serde_json::from_str(data)?;
    let Name(id) = heard.request_id.ok_or(Unclear::Shape("an answer to no question"))?;
    let gateway = outer.uid.map(|Name(uid)| uid);
    let answer = Answer { gateway, ..Answer::default() };
    let answer = match kind {
        kind::SOCKETS => Answer { sockets: heard.sockets, ..answer },
        kind::RECEIVERS => Answer { receivers: heard.client_count, ..answer },
        kind::ACK => Answer { ack: Some(heard.packet.unwrap_or_default()), ..answer },
        _ => Answer { values: heard.values.or_else(|| heard.packet.map(|said| vec![said])), ..answer },
    };
    Ok(Heard::Answer(id, answer))
}

/// What is around every message.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(rename = "type")]
    kind: Option<u64>,
    uid: Option<Name>,
    nsp: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What is asked or ordered.
#[derive(Deserialize)]
struct Asked<P> {
    #[serde(rename = "requestId")]
    request_id: Option<Name>,
    opts: Option<Opts>,
    rooms: Option<Vec<Name>>,
    close: Option<bool>,
    packet: Option<P>,
}

/// An answer as it is written.
#[derive(Default, Clone, Serialize)]
struct Answered<'a> {
    #[serde(rename = "requestId")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<Vec<Value>>,
    #[serde(rename = "clientCount", skip_serializing_if = "Option::is_none")]
    client_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Value>>,
}

/// An answer as it is read.
#[derive(Deserialize)]
struct HeardSaid {
    #[serde(rename = "requestId")]
    request_id: Option<Name>,
    sockets: Option<Vec<Value>>,
    #[serde(rename = "clientCount")]
    client_count: Option<usize>,
    #[serde(default, deserialize_with = "present")]
    packet: Option<Value>,
    values: Option<Vec<Value>>,
}
