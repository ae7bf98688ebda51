//! [`Decoder`]: Socket.IO packets from a client's messages. It must never hold more than one packet, nor more than the
//! bytes it was given a limit for.

use std::borrow::Cow;

use bytes::Bytes;

use super::{DEFAULT_MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS, MAX_DEPTH, MAX_ID, MAX_NAMESPACE, MAX_VALUES};
use crate::error::{DecodeError, Rejection};
use crate::json::{self, Outline};
use crate::packet::{Ack, Body, Event, Packet};
use crate::placeholder;

/// The messages of one connection in, packets out. One per connection; 16 bytes while no attachment is due.
///
/// After a [fatal](DecodeError::is_fatal) error it has forgotten what it held, and the connection is to be closed.
#[derive(Debug)]
pub struct Decoder {
    pending: Option<Box<Pending>>,
    max_bytes: u32,
}

/// A packet whose attachments are still coming.
#[derive(Debug)]
struct Pending {
    /// A rejected event is held as well: the sender, who does not know yet, sends the attachments anyway.
    packet: Result<Packet<'static>, DecodeError>,
    attachments: Vec<Bytes>,
    due: u8,
    left_bytes: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_ATTACHMENT_BYTES)
    }
}

impl Decoder {
    /// One that takes at most `max_bytes` of attachments in one packet.
    pub fn new(max_bytes: usize) -> Self {
        Self { pending: None, max_bytes: u32::try_from(max_bytes).unwrap_or(u32::MAX) }
    }

    /// Takes a text message, the Engine.IO digit cut off. `None`: its attachments come first.
    ///
    /// # Errors
    /// It is no packet that a client may send now, or an event that is [rejected](DecodeError::Rejected).
    pub fn text<'a>(&mut self, text: &'a str) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.pending.take().is_some() {
            return Err(DecodeError::UnexpectedText);
        }
        let header = Header::parse(text)?;
        let packet = header.packet();
        let Some(count) = header.attachments else { return packet.map(Some) };
        match &packet {
            Err(error) if error.is_fatal() => return Err(*error),
            Ok(_) if !placeholder::fit(header.payload, count) => return Err(DecodeError::BadPlaceholder),
            _ if count == 0 => return packet.map(Some),
            _ => {}
        }
        self.pending = Some(Box::new(Pending {
            packet: packet.map(Packet::into_owned),
            attachments: Vec::new(),
            due: count,
            left_bytes: self.max_bytes as usize,
        }));
        Ok(None)
    }

    /// Takes a binary message. `None`: more attachments are due.
    ///
    /// # Errors
    /// No attachment is due, they are too large, or it completes an event that is
    /// [rejected](DecodeError::Rejected).
    pub fn binary(&mut self, bytes: Bytes) -> Result<Option<Packet<'static>>, DecodeError> {
        let mut pending = self.pending.take().ok_or(DecodeError::UnexpectedBinary)?;
        pending.left_bytes = pending.left_bytes.checked_sub(bytes.len()).ok_or(DecodeError::TooManyBytes)?;
        pending.due = pending.due.saturating_sub(1);
        if pending.packet.is_ok() {
            pending.attachments.push(bytes);
        }
        if pending.due > 0 {
            self.pending = Some(pending);
            return Ok(None);
        }
        let Pending { packet, attachments: received, .. } = *pending;
        let mut packet = packet?;
        if let Body::Event(Event { attachments, .. }) | Body::Ack(Ack { attachments, .. }) = &mut packet.body {
            *attachments = received;
        }
        Ok(Some(packet))
    }

    /// Whether attachments are due. A client that keeps one waiting for them holds memory, so give it a deadline.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }
}

/// Where a packet belongs: enough to answer one that was [rejected](DecodeError::Rejected).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// `/` or `/name`.
    pub namespace: &'a str,
    /// The event's name, if it is an event and the name can be read.
    pub event: Option<Cow<'a, str>>,
}

/// Reads the head of a text message, the Engine.IO digit cut off; `None` if it is no packet.
pub fn head(text: &str) -> Option<Head<'_>> {
    let header = Header::parse(text).ok()?;
    let event = match header.kind {
        Kind::Event => json::array(header.payload).and_then(|args| name(args.first?).ok()?.ok()),
        _ => None,
    };
    Some(Head { namespace: header.namespace, event })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

/// A packet's text, taken apart.
#[derive(Debug)]
struct Header<'a> {
    kind: Kind,
    /// Set if the type is a binary one.
    attachments: Option<u8>,
    namespace: &'a str,
    id: Option<u64>,
    /// Without the white space around it.
    payload: &'a str,
}

impl<'a> Header<'a> {
    fn parse(text: &'a str) -> Result<Self, DecodeError> {
        let mut chars = text.chars();
        let (kind, binary) = match chars.next().ok_or(DecodeError::EmptyPacket)? {
            '0' => (Kind::Connect, false),
            '1' => (Kind::Disconnect, false),
            '2' => (Kind::Event, false),
            '3' => (Kind::Ack, false),
            '4' => (Kind::ConnectError, false),
            '5' => (Kind::Event, true),
            '6' => (Kind::Ack, true),
            _ => return Err(DecodeError::UnknownType),
        };
        let rest = chars.as_str();
        let (attachments, rest) = if binary { split_count(rest)? } else { (None, rest) };
        let (namespace, rest) = match rest {
            named if named.starts_with('/') => named.split_once(',').unwrap_or((named, "")),
            main => ("/", main),
        };
        if namespace.len() > MAX_NAMESPACE && kind != Kind::Connect {
            return Err(DecodeError::LongNamespace);
        }
        let (id, rest) = split_id(rest)?;
        Ok(Self { kind, attachments, namespace, id, payload: json::trim(rest) })
    }

    /// The packet, its attachments still missing.
    fn packet(&self) -> Result<Packet<'a>, DecodeError> {
        let body = match self.kind {
            Kind::Connect => Body::Connect { auth: Cow::Borrowed(self.auth()?) },
            Kind::Disconnect if self.payload.is_empty() => Body::Disconnect,
            Kind::Disconnect => return Err(DecodeError::BadPayload),
            Kind::Event => Body::Event(self.event()?),
            Kind::Ack => Body::Ack(self.ack()?),
            Kind::ConnectError => Body::ConnectError,
        };
        Ok(Packet { namespace: Cow::Borrowed(self.namespace), body })
    }

    fn auth(&self) -> Result<&'a str, DecodeError> {
        if self.payload.is_empty() {
            return Ok("{}");
        }
        if !json::is_object(self.payload) {
            return Err(DecodeError::BadPayload);
        }
        self.check_size(Outline::of(self.payload)).map_err(|_| DecodeError::TooComplex)?;
        Ok(self.payload)
    }

    fn event(&self) -> Result<Event<'a>, DecodeError> {
        let args = json::array(self.payload).ok_or(DecodeError::BadPayload)?;
        let name = name(args.first.ok_or(DecodeError::BadPayload)?)?;
        if let Ok(name) = &name
            && is_reserved(name)
        {
            return Err(DecodeError::ReservedName);
        }
        let outline = Outline::of(self.payload);
        let checked = self.check_size(outline).and_then(|()| json::check_text(self.payload, outline));
        match checked.and(name) {
            Ok(name) => Ok(Event {
                id: self.id,
                name,
                args: Cow::Borrowed(self.payload),
                first: args.second.map(Cow::Borrowed),
                attachments: Vec::new(),
            }),
            Err(reason) => Err(DecodeError::Rejected { id: self.id, reason }),
        }
    }

    fn ack(&self) -> Result<Ack<'a>, DecodeError> {
        let args = if self.payload.is_empty() { "[]" } else { self.payload };
        json::array(args).ok_or(DecodeError::BadPayload)?;
        self.check_size(Outline::of(args)).map_err(|_| DecodeError::TooComplex)?;
        Ok(Ack { id: self.id, args: Cow::Borrowed(args), attachments: Vec::new() })
    }

    fn check_size(&self, outline: Outline) -> Result<(), Rejection> {
        json::check_size(self.payload, outline, MAX_DEPTH, MAX_VALUES)
    }
}

/// Cuts off the attachment count and its dash.
fn split_count(text: &str) -> Result<(Option<u8>, &str), DecodeError> {
    let (digits, rest) = text.split_once('-').ok_or(DecodeError::BadAttachmentCount)?;
    match number(digits) {
        Some(count) if count <= u64::from(MAX_ATTACHMENTS) => Ok((u8::try_from(count).ok(), rest)),
        _ => Err(DecodeError::BadAttachmentCount),
    }
}

/// Cuts off the id. White space there is refused, though JSON may have it in front: the reference reads it as id 0, so
/// the sender would wait for an answer that we do not know of.
fn split_id(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    if json::is_indented(text) {
        return Err(DecodeError::BadId);
    }
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.split_at_checked(len) {
        Some((digits, rest)) if len > 0 => match number(digits) {
            Some(id) if id <= MAX_ID => Ok((Some(id), rest)),
            _ => Err(DecodeError::BadId),
        },
        _ => Ok((None, text)),
    }
}

/// The number that one or more ASCII digits spell, leading zeros allowed.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The name that the JSON of an event's first element gives it.
fn name(json: &str) -> Result<Result<Cow<'_, str>, Rejection>, DecodeError> {
    match json.as_bytes().first() {
        Some(b'"') => json::string(json).ok_or(DecodeError::BadPayload),
        Some(b'-' | b'0'..=b'9') => Ok(Ok(Cow::Borrowed(json))),
        _ => Err(DecodeError::BadPayload),
    }
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "connect" | "connect_error" | "disconnect" | "disconnecting" | "newListener" | "removeListener")
}
