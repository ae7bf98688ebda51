//! Long-polling bodies: many Engine.IO packets in one text. It must never decide what a packet means.

use std::iter::FusedIterator;
use std::str::Split;

use crate::engine::{self, Packet};
use crate::error::DecodeError;
use crate::frame::{Frame, Part};

/// Between packets. No JSON encoder leaves it as it is, so it cannot occur inside one.
const SEPARATOR: char = '\u{1e}';

/// The body that carries `frames` in their order, attachments in base64 right behind their text. Empty without frames:
/// such a body is an error for clients, so send [`engine::noop`] instead.
pub fn encode<'a>(frames: impl Iterator<Item = &'a Frame>) -> String {
    let mut body = String::new();
    for part in frames.flat_map(Frame::parts) {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        match part {
            Part::Text(text) => body.push_str(text),
            Part::Binary(bytes) => engine::push_base64(&mut body, bytes),
        }
    }
    body
}

/// The packets of `body`, at most `max_packets` of them. Ends after the first error; the packets before it count.
pub fn decode(body: &str, max_packets: usize) -> Packets<'_> {
    Packets { texts: Some(body.split(SEPARATOR)), left: max_packets }
}

/// What [`decode`] gives.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    /// None once the end or an error has been reached.
    texts: Option<Split<'a, char>>,
    left: usize,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(text) = self.texts.as_mut()?.next() else {
            self.texts = None;
            return None;
        };
        let packet = match self.left.checked_sub(1) {
            None => Err(DecodeError::TooManyPackets),
            Some(left) => {
                self.left = left;
                engine::decode(text)
            }
        };
        if packet.is_err() {
            self.texts = None;
        }
        Some(packet)
    }
}

impl FusedIterator for Packets<'_> {}
