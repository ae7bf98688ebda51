//! [`Frame`]: an outgoing message, encoded once for all who get it.
//!
//! A server's WebSocket frames are not masked, so the bytes of a message are the same for every receiver. A `Frame`
//! holds exactly these bytes, and remembers where the payload of each WebSocket message lies in them, so that a
//! long-polling client can be served from the same allocation. It must never change once it is made.

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

/// How a frame is treated on a connection that cannot take it at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Class {
    /// Queued: every one counts.
    #[default]
    Reliable,
    /// Queued, but only the newest of a key: it takes the place of the older one.
    State(u64),
    /// Dropped.
    Volatile,
}

/// A Socket.IO or Engine.IO packet, with its attachments, as the bytes of complete WebSocket frames. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Bytes,
    spans: SmallVec<[Span; 1]>,
    class: Class,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    binary: bool,
}

/// The payload of one WebSocket message of a [`Frame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text with its Engine.IO digit: `42["hello"]`.
    Text(&'a str),
    /// A binary message: the bytes alone.
    Binary(&'a [u8]),
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

impl Frame {
    /// One text message made of `pieces`, laid end to end.
    pub fn text(pieces: &[&str]) -> Self {
        Self::build(pieces, &[])
    }

    /// A text message followed by binary ones; nothing of the connection gets between them.
    pub fn with_attachments(pieces: &[&str], attachments: &[Bytes]) -> Self {
        Self::build(pieces, attachments)
    }

    /// One binary message.
    pub fn binary(payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(message_len(payload.len()));
        let span = push_message(&mut out, BINARY, payload.len(), |out| out.extend_from_slice(payload));
        Self { bytes: out.into(), spans: smallvec![span], class: Class::Reliable }
    }

    /// A WebSocket close frame with this payload: nothing, or a code in two bytes. It has no part for polling clients.
    pub fn close(payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(message_len(payload.len()));
        push_message(&mut out, CLOSE, payload.len(), |out| out.extend_from_slice(payload));
        Self { bytes: out.into(), spans: SmallVec::new(), class: Class::Reliable }
    }

    /// Bytes of whole WebSocket frames that were made elsewhere. They have no part for polling clients.
    pub fn raw(bytes: Bytes) -> Self {
        Self { bytes, spans: SmallVec::new(), class: Class::Reliable }
    }

    /// A text message whose frame is known: at most 125 bytes behind a header of two.
    pub(crate) fn fixed(frame: &'static [u8]) -> Self {
        let span = Span { start: 2, end: offset(frame.len()), binary: false };
        Self { bytes: Bytes::from_static(frame), spans: smallvec![span], class: Class::Reliable }
    }

    fn build(pieces: &[&str], attachments: &[Bytes]) -> Self {
        let text_len = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let total = attachments.iter().map(|bytes| message_len(bytes.len())).sum::<usize>() + message_len(text_len);
        // Exactly as much as needed: `Bytes` takes over a full vector without a second allocation.
        let mut out = Vec::with_capacity(total);
        let mut spans = smallvec![push_message(&mut out, TEXT, text_len, |out| {
            for piece in pieces {
                out.extend_from_slice(piece.as_bytes());
            }
        })];
        for bytes in attachments {
            spans.push(push_message(&mut out, BINARY, bytes.len(), |out| out.extend_from_slice(bytes)));
        }
        Self { bytes: out.into(), spans, class: Class::Reliable }
    }

    /// The same frame in another class.
    #[must_use]
    pub fn class_as(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// How it is treated on a slow connection.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Complete WebSocket frames, ready for the socket.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The payloads, in order: the text, then its attachments.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.spans.iter().map(|span| {
            let payload = self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default();
            match std::str::from_utf8(payload) {
                Ok(text) if !span.binary => Part::Text(text),
                _ => Part::Binary(payload),
            }
        })
    }
}

/// Bytes of a message with its header.
fn message_len(payload: usize) -> usize {
    let header = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    header + payload
}

fn push_message(out: &mut Vec<u8>, opcode: u8, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> Span {
    out.push(opcode);
    if let Ok(short @ 0..=125) = u8::try_from(len) {
        out.push(short);
    } else if let Ok(medium) = u16::try_from(len) {
        out.push(126);
        out.extend_from_slice(&medium.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
    let start = out.len();
    write(out);
    Span { start: offset(start), end: offset(out.len()), binary: opcode == BINARY }
}

/// Messages are far below 4 GiB: `maxPayload` and the adapter's limit bound what can get here. One that is not has an
/// empty payload for polling clients rather than a wrong one.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
