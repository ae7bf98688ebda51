//! Engine.IO v4 packets, one at a time. It must never look into a message: that is Socket.IO's.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::Frame;
use crate::sid::SessionId;

/// A packet of a client. The texts are what follows the type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Only servers send it; ignored.
    Open,
    /// The client leaves.
    Close,
    /// `probe` opens an upgrade; any other ping from a client breaks the protocol.
    Ping(&'a str),
    /// The answer to a ping.
    Pong(&'a str),
    /// A text message: what [`Decoder::text`](crate::socket::Decoder::text) takes.
    Message(&'a str),
    /// A binary message: what [`Decoder::binary`](crate::socket::Decoder::binary) takes.
    Binary(Bytes),
    /// The upgrade is done; outside of one it is ignored.
    Upgrade,
    /// Only servers send it; ignored.
    Noop,
}

/// Decodes the text of one packet: a WebSocket text message, or one part of a polling body. Binary WebSocket messages
/// are [`Packet::Binary`] as they are and do not come here.
///
/// # Errors
/// No type in front, or bad base64.
pub fn decode(text: &str) -> Result<Packet<'_>, DecodeError> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or(DecodeError::EmptyPacket)?;
    let rest = chars.as_str();
    Ok(match kind {
        '0' => Packet::Open,
        '1' => Packet::Close,
        '2' => Packet::Ping(rest),
        '3' => Packet::Pong(rest),
        '4' => Packet::Message(rest),
        '5' => Packet::Upgrade,
        '6' => Packet::Noop,
        'b' => Packet::Binary(decode_base64(rest)?),
        _ => return Err(DecodeError::UnknownType),
    })
}

/// Padding may be missing, and the last character may hold bits that mean nothing: encoders differ in both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

fn decode_base64(text: &str) -> Result<Bytes, DecodeError> {
    let decoded = if text.contains(['-', '_']) {
        BASE64.decode(text.replace('-', "+").replace('_', "/"))
    } else {
        BASE64.decode(text)
    };
    decoded.map(Bytes::from).map_err(|_| DecodeError::BadBase64)
}

/// Appends the text form of a binary message.
pub(crate) fn push_base64(out: &mut String, bytes: &[u8]) {
    out.push('b');
    BASE64.encode_string(bytes, out);
}

/// The first packet of every session: what the client needs to know of the server.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// The session's name.
    pub sid: &'a SessionId,
    /// Whether the client may go on to WebSocket: true on polling, unless upgrades are off.
    pub upgrades: bool,
    /// Time from one pong to the next ping; sent in milliseconds.
    pub ping_interval: Duration,
    /// How long a pong may take; sent in milliseconds.
    pub ping_timeout: Duration,
    /// Most bytes of a message or polling body that the server takes.
    pub max_payload: u64,
}

impl Open<'_> {
    /// The packet.
    pub fn frame(&self) -> Frame {
        let upgrades = if self.upgrades { r#""websocket""# } else { "" };
        let text = format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.sid.as_str(),
            self.ping_interval.as_millis(),
            self.ping_timeout.as_millis(),
            self.max_payload,
        );
        Frame::text(&[&text])
    }
}

/// Asks whether the client is there. Allocates nothing, like all of the packets below.
pub fn ping() -> Frame {
    Frame::fixed(b"\x81\x012")
}

/// The answer to `2probe`.
pub fn pong_probe() -> Frame {
    Frame::fixed(b"\x81\x063probe")
}

/// Ends a polling request that has nothing to carry.
pub fn noop() -> Frame {
    Frame::fixed(b"\x81\x016")
}

/// Tells a polling client that the session is over.
pub fn close() -> Frame {
    Frame::fixed(b"\x81\x011")
}
