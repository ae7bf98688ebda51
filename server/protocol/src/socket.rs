//! Socket.IO v5 packets. The encoders make [`Frame`]s with the Engine.IO digit in front; they take JSON as text and must
//! never check it: it comes from serializers of ours, and is written once for thousands of receivers.

mod decode;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::frame::Frame;

pub use decode::{Decoder, Head, head};

/// Most attachments of one packet, either way: official clients drop the connection at more.
pub const MAX_ATTACHMENTS: u8 = 10;

/// Largest ack id, 2^53 − 1: the last one that every JavaScript peer can count to.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// Most bytes of a namespace name, the slash included. A CONNECT may ask for a longer one, and is told that there is no
/// such namespace.
pub const MAX_NAMESPACE: usize = 256;

/// How deep arrays and objects of an event may be nested, the array of its arguments included.
pub const MAX_DEPTH: usize = 32;

/// Most elements and members that the arrays and objects of an event may have together.
pub const MAX_VALUES: usize = 8192;

/// Most bytes that the attachments of one packet may have together, unless the caller sets another limit.
pub const DEFAULT_MAX_ATTACHMENT_BYTES: usize = 1_000_000;

/// An event. `args` is a JSON array, the name first; it holds a placeholder for each of at most [`MAX_ATTACHMENTS`]
/// `attachments`. With an `id` the receiver answers.
pub fn event(namespace: &str, id: Option<u64>, args: &str, attachments: &[Bytes]) -> Frame {
    data("42", "45", namespace, id, args, attachments)
}

/// An event that asks for no answer and carries no bytes; `pieces` laid end to end are its JSON array. One allocation.
pub fn event_pieces(namespace: &str, pieces: &[&str]) -> Frame {
    let mut parts = SmallVec::<[&str; 16]>::from_slice(&["42"]);
    push_namespace(&mut parts, namespace);
    parts.extend_from_slice(pieces);
    Frame::text(&parts)
}

/// The answer to the event `id`. `args` is a JSON array, with a placeholder for each of at most [`MAX_ATTACHMENTS`]
/// `attachments`.
pub fn ack(namespace: &str, id: u64, args: &str, attachments: &[Bytes]) -> Frame {
    data("43", "46", namespace, Some(id), args, attachments)
}

/// The namespace is joined; `data_json` is a JSON object, `{"sid":"…"}`.
pub fn connect(namespace: &str, data_json: &str) -> Frame {
    control("40", namespace, data_json)
}

/// The namespace is refused; `data_json` is a JSON object, `{"message":"…"}`. The connection stays.
pub fn connect_error(namespace: &str, data_json: &str) -> Frame {
    control("44", namespace, data_json)
}

/// The server puts the client out of the namespace. Official clients do not come back after it.
pub fn disconnect(namespace: &str) -> Frame {
    control("41", namespace, "")
}

fn control(kind: &str, namespace: &str, payload: &str) -> Frame {
    let mut parts = SmallVec::<[&str; 4]>::from_slice(&[kind]);
    push_namespace(&mut parts, namespace);
    parts.push(payload);
    Frame::text(&parts)
}

fn data(
    plain: &'static str,
    binary: &'static str,
    namespace: &str,
    id: Option<u64>,
    args: &str,
    attachments: &[Bytes],
) -> Frame {
    let (mut count, mut number) = ([0; DIGITS], [0; DIGITS]);
    let mut parts = SmallVec::<[&str; 8]>::new();
    if attachments.is_empty() {
        parts.push(plain);
    } else {
        parts.extend_from_slice(&[binary, digits(attachments.len() as u64, &mut count), "-"]);
    }
    push_namespace(&mut parts, namespace);
    if let Some(id) = id {
        parts.push(digits(id, &mut number));
    }
    parts.push(args);
    Frame::with_attachments(&parts, attachments)
}

fn push_namespace<'a, const N: usize>(parts: &mut SmallVec<[&'a str; N]>, namespace: &'a str) {
    if namespace != "/" {
        parts.extend_from_slice(&[namespace, ","]);
    }
}

/// Most digits of a `u64`.
const DIGITS: usize = 20;

/// `number` in decimal, written into `buffer` so that a broadcast or an ack needs no allocation for it.
fn digits(mut number: u64, buffer: &mut [u8; DIGITS]) -> &str {
    let mut start = DIGITS;
    for slot in buffer.iter_mut().rev() {
        // The remainder is below ten.
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    buffer.get(start..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
}
