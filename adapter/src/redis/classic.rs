//! The wire of @socket.io/redis-adapter 8.x, its classic mode: `PUBLISH` and `SUBSCRIBE`, broadcasts as msgpack, questions
//! and answers as JSON. Node gateways and the Redis emitter speak it.
//!
//! | channel | carries | subscribed |
//! |---|---|---|
//! | `<prefix>-request#<ns>#` | questions and orders; its plain subscribers are the gateways | always, once |
//! | `<prefix>-response#<ns>#`, `<prefix>-response#<ns>#<uid>#` | answers to anybody, to this gateway | always |
//! | `<prefix>#<ns>#` | broadcasts to none or several rooms, or to one socket | always |
//! | `<prefix>#<ns>#<room>#` | broadcasts to one room | while the room has members here |
//!
//! What haat adds is for haat only, and Node ignores it: `uid` in answers about receivers, `values` in an answer to an event
//! between servers that is not exactly one value. A broadcast to a single socket goes to the channel of all, where Node
//! hears it as well; Node itself uses the room's channel for it, hence [`Wire::private_rooms`].

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
    Broadcast, Request, Target,
    cluster::Answer,
    msgpack::{Binary, Marked, from_json, from_pieces, to_json},
};

/// Types of requests and answers.
mod kind {
    pub(super) const SOCKETS: u64 = 0;
    pub(super) const ALL_ROOMS: u64 = 1;
    pub(super) const JOIN: u64 = 2;
    pub(super) const LEAVE: u64 = 3;
    pub(super) const DISCONNECT: u64 = 4;
    pub(super) const FETCH: u64 = 5;
    pub(super) const EVENT: u64 = 6;
    pub(super) const BROADCAST: u64 = 7;
    pub(super) const RECEIVERS: u64 = 8;
    pub(super) const ACK: u64 = 9;
}

/// The classic wire.
#[derive(Debug)]
pub(super) struct Classic {
    prefix: String,
    namespaces: Vec<String>,
    uid: String,
}

impl Classic {
    pub(super) fn new(prefix: &str, namespaces: &[String], uid: &str) -> Self {
        Self { prefix: prefix.to_owned(), namespaces: namespaces.to_vec(), uid: uid.to_owned() }
    }

    fn requests(&self, namespace: &str) -> String {
        format!("{}-request#{namespace}#", self.prefix)
    }

    fn responses(&self, namespace: &str, uid: Option<&str>) -> String {
        let shared = format!("{}-response#{namespace}#", self.prefix);
        match uid {
            Some(uid) => format!("{shared}{uid}#"),
            None => shared,
        }
    }

    /// An answer that is JSON.
    fn said(&self, asker: &Asker, said: &Said<'_>) -> Message {
        // What was parsed from JSON can be written as JSON.
        let payload = serde_json::to_vec(said).unwrap_or_default();
        Message { channel: self.responses(&asker.namespace, asker.uid.as_deref()), payload }
    }

    fn broadcasts(&self, target: &Target) -> String {
        let shared = format!("{}#{}#", self.prefix, target.namespace);
        match only_room(target) {
            Some(room) => format!("{shared}{room}#"),
            None => shared,
        }
    }
}

impl Wire for Classic {
    fn manner(&self) -> Manner {
        Manner::Plain
    }

    fn fixed(&self, namespace: &str) -> Vec<Channel> {
        [
            self.requests(namespace),
            self.responses(namespace, None),
            self.responses(namespace, Some(&self.uid)),
            format!("{}#{namespace}#", self.prefix),
        ]
        .map(|name| Channel::new(Manner::Plain, name))
        .into()
    }

    fn room(&self, namespace: &str, room: &str) -> Channel {
        Channel::new(Manner::Plain, format!("{}#{namespace}#{room}#", self.prefix))
    }

    fn private_rooms(&self, namespace: &str) -> Option<Channel> {
        let literal = format!("{}#{namespace}#", self.prefix);
        let mut pattern = String::with_capacity(literal.len() + 24);
        for character in literal.chars() {
            if matches!(character, '*' | '?' | '[' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push_str(&"?".repeat(20));
        pattern.push('#');
        Some(Channel::new(Manner::Pattern, pattern))
    }

    fn broadcast(&self, Broadcast { target, flags, event }: &Broadcast) -> Result<Message, Unclear> {
        check_event(&event.args)?;
        let json = format!(
            r#"[{},{{"type":2,"data":{},"nsp":{}}},{}]"#,
            quoted(&self.uid),
            event.args,
            quoted(&target.namespace),
            opts_json(target, Some(*flags))
        );
        let mut payload = Vec::with_capacity(json.len());
        from_json(&mut payload, &json, &event.attachments)?;
        Ok(Message { channel: self.broadcasts(target), payload })
    }

    fn request(&self, id: &str, request: &Request) -> Result<Message, Unclear> {
        let (uid, id) = (quoted(&self.uid), quoted(id));
        let (namespace, json) = match request {
            Request::FetchSockets(target) => {
                let opts = opts_json(target, None);
                (&target.namespace, format!(r#"{{"uid":{uid},"requestId":{id},"type":{},"opts":{opts}}}"#, kind::FETCH))
            }
            Request::Join(target, rooms) | Request::Leave(target, rooms) => {
                let kind = if matches!(request, Request::Join(..)) { kind::JOIN } else { kind::LEAVE };
                let mut json = format!(r#"{{"uid":{uid},"type":{kind},"opts":{},"rooms":"#, opts_json(target, None));
                names_json(&mut json, rooms);
                json.push('}');
                (&target.namespace, json)
            }
            Request::Disconnect { target, close } => {
                let opts = opts_json(target, None);
                let json = format!(r#"{{"uid":{uid},"type":{},"opts":{opts},"close":{close}}}"#, kind::DISCONNECT);
                (&target.namespace, json)
            }
            Request::ServerSideEmit { namespace, args, ack } => {
                check_server_event(args)?;
                let id = if *ack { format!(r#""requestId":{id},"#) } else { String::new() };
                (namespace, format!(r#"{{"uid":{uid},{id}"type":{},"data":{args}}}"#, kind::EVENT))
            }
            Request::BroadcastAck(Broadcast { target, flags, event }) => {
                check_event(&event.args)?;
                let json = format!(
                    r#"{{"uid":{uid},"requestId":{id},"type":{},"packet":{{"type":2,"data":{},"nsp":{}}},"opts":{}}}"#,
                    kind::BROADCAST,
                    event.args,
                    quoted(&target.namespace),
                    opts_json(target, Some(*flags))
                );
                let mut payload = Vec::with_capacity(json.len());
                from_json(&mut payload, &json, &event.attachments)?;
                return Ok(Message { channel: self.requests(&target.namespace), payload });
            }
        };
        Ok(Message { channel: self.requests(namespace), payload: json.into_bytes() })
    }

    fn receivers(&self, asker: &Asker, count: usize) -> Message {
        let uid = Some(self.uid.as_str());
        self.said(
            asker,
            &Said {
                kind: Some(kind::RECEIVERS),
                client_count: Some(count),
                uid,
                request_id: &asker.id,
                ..Said::default()
            },
        )
    }

    fn ack(&self, asker: &Asker, value: Value) -> Option<Message> {
        let (id, uid) = (quoted(&asker.id), quoted(&self.uid));
        let text = format!(r#"{{"type":{},"requestId":{id},"packet":{value},"uid":{uid}}}"#, kind::ACK);
        let mut payload = Vec::with_capacity(text.len());
        // One that is too large is as good as one that never came.
        from_json(&mut payload, &text, &[]).ok()?;
        Some(Message { channel: self.responses(&asker.namespace, asker.uid.as_deref()), payload })
    }

    fn answer(&self, asker: &Asker, values: Vec<Value>) -> Vec<Message> {
        let said = Said { request_id: &asker.id, ..Said::default() };
        let field = |field: &str| values.iter().filter_map(|value| value.get(field).cloned()).collect::<Vec<_>>();
        let said = match asker.form {
            Form::Sockets => Said { sockets: Some(values), ..said },
            Form::Ids => Said { sockets: Some(field("id")), ..said },
            Form::Rooms => {
                let mut rooms = Vec::new();
                let all = field("rooms").into_iter().filter_map(|rooms| rooms.as_array().cloned()).flatten();
                all.for_each(|room| {
                    if !rooms.contains(&room) {
                        rooms.push(room)
                    }
                });
                Said { rooms: Some(rooms), ..said }
            }
            Form::Event => {
                let first = values.first().cloned().unwrap_or_default();
                let values = (values.len() != 1).then_some(values);
                Said { kind: Some(kind::EVENT), data: Some(first), values, ..said }
            }
            Form::Done => said,
            Form::Acks => {
                let receivers = self.receivers(asker, values.len());
                let acks = values.into_iter().filter_map(|value| self.ack(asker, value));
                return std::iter::once(receivers).chain(acks).collect();
            }
        };
        vec![self.said(asker, &said)]
    }

    fn entry(&self, room: &str, event: &str, data: &[String]) -> Result<(String, Marked), Unclear> {
        let target = Target { namespace: "/".to_owned(), rooms: vec![room.to_owned()], except: Vec::new() };
        let begin = format!(r#"["{LOG_UID}",{{"type":2,"data":[{},"#, quoted(event));
        let end = format!(r#"],"nsp":"/"}},{}]"#, opts_json(&target, Some(Default::default())));
        let mut pieces = data.to_vec();
        if let Some(first) = pieces.first_mut() {
            first.insert_str(0, &begin);
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(&end);
        }
        Ok((format!("{}#/#{room}#", self.prefix), from_pieces(&[], &pieces, &[])?))
    }

    fn hear(&self, channel: &str, payload: &[u8], wants: &dyn Fn(&str, &str) -> bool) -> Result<Heard, Unclear> {
        if let Some((namespace, room)) = split(channel, &self.prefix, &self.namespaces) {
            let room = room.strip_suffix('#');
            if room.is_some_and(|room| !wants(namespace, room)) {
                return Ok(Heard::Nothing);
            }
            return self.hear_broadcast(namespace, payload, wants);
        }
        if let Some((namespace, "")) = split(channel, &format!("{}-request", self.prefix), &self.namespaces) {
            return self.hear_request(namespace, payload);
        }
        if let Some((_, to)) = split(channel, &format!("{}-response", self.prefix), &self.namespaces)
            && (to.is_empty() || to.strip_suffix('#') == Some(&self.uid))
        {
            return hear_answer(payload);
        }
        Ok(Heard::Nothing)
    }
}

impl Classic {
    fn hear_broadcast(
        &self,
        namespace: &str,
        payload: &[u8],
        wants: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Heard, Unclear> {
        let (text, attachments) = to_json(payload, Binary::Attach)?;
        let (uid, packet, opts): (Option<Name>, Packet<'_>, Opts) = serde_json::from_str(&text)?;
        let own = uid.is_some_and(|Name(uid)| uid == self.uid || uid == LOG_UID);
        if own || packet.nsp.as_deref().is_some_and(|nsp| nsp != namespace) {
            return Ok(Heard::Nothing);
        }
        let event = packet.event(attachments)?;
        let flags = opts.flags();
        let target = opts.target(namespace);
        if !target.rooms.is_empty() && !target.rooms.iter().any(|room| wants(namespace, room)) {
            return Ok(Heard::Nothing);
        }
        Ok(Heard::Broadcast(Broadcast { target, flags, event }))
    }

    fn hear_request(&self, namespace: &str, payload: &[u8]) -> Result<Heard, Unclear> {
        let (text, attachments) = text_of(payload, Binary::Attach)?;
        let asked: Asked<'_> = serde_json::from_str(&text)?;
        let own = asked.uid.as_ref().is_some_and(|Name(uid)| *uid == self.uid);
        if own || asked.packet.as_ref().is_some_and(|packet| packet.nsp.as_deref().unwrap_or("/") != namespace) {
            return Ok(Heard::Nothing);
        }
        let kind = asked.kind.ok_or(Unclear::Shape("a request of no type"))?;
        let asker = |form| {
            let uid = asked.uid.clone().map(|Name(uid)| uid);
            asked.request_id.clone().map(|Name(id)| Asker { namespace: namespace.to_owned(), id, uid, form })
        };
        let names = |names: Option<Vec<Name>>| names.unwrap_or_default().into_iter().map(|Name(name)| name).collect();
        // A question without an id could not be answered.
        let question = |request, asker: Option<Asker>| {
            Ok(asker.map_or(Heard::Nothing, |asker| Heard::Request(request, Some(asker))))
        };
        match kind {
            kind::SOCKETS => {
                let asker = asker(Form::Ids);
                question(Request::FetchSockets(Opts::rooms(asked.rooms).target(namespace)), asker)
            }
            kind::ALL_ROOMS => {
                let asker = asker(Form::Rooms);
                question(Request::FetchSockets(Opts::default().target(namespace)), asker)
            }
            kind::FETCH => {
                let asker = asker(Form::Sockets);
                let opts = asked.opts.ok_or(Unclear::Shape("a question about nobody"))?;
                question(Request::FetchSockets(opts.target(namespace)), asker)
            }
            kind::JOIN | kind::LEAVE => {
                // In the old form one socket goes into one room, and the gateway that has it says so.
                let (asker, rooms) = match &asked.room {
                    Some(Name(room)) => (asker(Form::Done), vec![room.clone()]),
                    None => (None, names(asked.rooms)),
                };
                let opts = match (asked.sid, asked.opts) {
                    (Some(sid), _) => Opts::rooms(Some(vec![sid])),
                    (None, Some(opts)) => opts,
                    (None, None) => return Err(Unclear::Shape("an order for nobody")),
                };
                let order = if kind == kind::JOIN { Request::Join } else { Request::Leave };
                Ok(Heard::Request(order(opts.target(namespace), rooms), asker))
            }
            kind::DISCONNECT => {
                let opts = asked.opts.ok_or(Unclear::Shape("an order for nobody"))?;
                let close = asked.close.unwrap_or(false);
                Ok(Heard::Request(Request::Disconnect { target: opts.target(namespace), close }, None))
            }
            kind::EVENT => {
                let spelt = if attachments.is_empty() { None } else { Some(to_json(payload, Binary::Spell)?.0) };
                let again: Option<Asked<'_>> = spelt.as_deref().map(serde_json::from_str).transpose()?;
                let data = again.map_or(asked.data, |asked| asked.data).ok_or(Unclear::Shape("an event of nothing"))?;
                event_name(data.get())?;
                let asker = asker(Form::Event);
                let (namespace, args) = (namespace.to_owned(), data.get().to_owned());
                Ok(Heard::Request(Request::ServerSideEmit { namespace, args, ack: asker.is_some() }, asker))
            }
            kind::BROADCAST => {
                let asker = asker(Form::Acks);
                let event = asked.packet.ok_or(Unclear::Shape("an event of nothing"))?.event(attachments)?;
                let opts = asked.opts.unwrap_or_default();
                let flags = opts.flags();
                question(Request::BroadcastAck(Broadcast { target: opts.target(namespace), flags, event }), asker)
            }
            _ => Err(Unclear::Shape("a request of an unknown type")),
        }
    }
}

fn hear_answer(payload: &[u8]) -> Result<Heard, Unclear> {
    let (text, _) = text_of(payload, Binary::Spell)?;
    let heard: HeardSaid = serde_json::from_str(&text)?;
    let Name(id) = heard.request_id.ok_or(Unclear::Shape("an answer to no question"))?;
    let is = |kind| heard.kind == Some(kind);
    let receivers = if is(kind::RECEIVERS) { heard.client_count } else { None };
    let ack = is(kind::ACK).then(|| heard.packet.unwrap_or_default());
    let values = heard.values.or_else(|| heard.data.map(|data| vec![data]));
    let gateway = heard.uid.map(|Name(uid)| uid);
    Ok(Heard::Answer(id, Answer { gateway, sockets: heard.sockets, values, receivers, ack }))
}

#[derive(Deserialize)]
struct Asked<'a> {
    uid: Option<Name>,
    #[serde(rename = "requestId")]
    request_id: Option<Name>,
    #[serde(rename = "type")]
    kind: Option<u64>,
    opts: Option<Opts>,
    rooms: Option<Vec<Name>>,
    sid: Option<Name>,
    room: Option<Name>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<Packet<'a>>,
}

/// An answer as it is written.
#[derive(Default, Serialize)]
struct Said<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<u64>,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(rename = "clientCount", skip_serializing_if = "Option::is_none")]
    client_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

/// An answer as it is read.
#[derive(Deserialize)]
struct HeardSaid {
    #[serde(rename = "type")]
    kind: Option<u64>,
    #[serde(rename = "requestId")]
    request_id: Option<Name>,
    sockets: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    #[serde(rename = "clientCount")]
    client_count: Option<usize>,
    packet: Option<Value>,
    values: Option<Vec<Value>>,
    uid: Option<Name>,
}
