//! [`Reader`]: WebSocket bytes of one client into messages, by tungstenite.
//!
//! Ten thousand viewers are silent most of the time, and a WebSocket that has received only whole messages is in the
//! same state whoever it belongs to. So a connection owns a tungstenite context only while a message is half received;
//! otherwise it borrows the shard's spare one for the length of a read. What tells the two apart is `Scan`, which
//! follows the frame headers and sees where each ends; it also counts fragments, which tungstenite does not bound.
//!
//! The reader never touches a socket: bytes come in as a slice, and answers of the protocol (pong, close) are handed out
//! in their order among the messages.

use std::{
    cell::RefCell,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::{
    Error, Message as WebSocketMessage,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use crate::close::CloseReason;

/// Fragments of one message are on average at least this long, measured by the largest message: 1,024 of them for 64 KiB.
const LEAST_FRAGMENT: usize = 64;
/// Fragments that are allowed however small the largest message is.
const LEAST_FRAGMENTS: usize = 1024;
/// Pings, pongs and close frames: so many at once, and so many a second after that.
const CONTROL_BURST: u32 = 100;
const CONTROL_PER_SECOND: u32 = 20;
/// First capacity of a context's buffer, and the most it reads at once.
const READ_BUFFER: usize = 8 * 1024;

/// A message of the client.
#[derive(Debug)]
pub enum Received<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Bytes),
    /// What the protocol answers to a control frame that came before: whole frames, to be sent as they are.
    Answer(Vec<u8>),
}

/// A [`Received`] that is kept.
#[derive(Debug)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// See [`Received::Answer`].
    Answer(Vec<u8>),
}

impl Message {
    /// Keeps it.
    pub fn of(received: Received<'_>) -> Self {
        match received {
            Received::Text(text) => Self::Text(text.to_owned()),
            Received::Binary(bytes) => Self::Binary(bytes),
            Received::Answer(frames) => Self::Answer(frames),
        }
    }

    /// As it was received.
    pub fn received(&self) -> Received<'_> {
        match self {
            Self::Text(text) => Received::Text(text),
            Self::Binary(bytes) => Received::Binary(bytes.clone()),
            Self::Answer(frames) => Received::Answer(frames.clone()),
        }
    }
}

/// The reading side of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    partial: Option<Box<Partial>>,
    control: Control,
}

/// What a shard lends to its readers.
#[derive(Debug)]
pub struct Lender {
    config: WebSocketConfig,
    max_fragments: usize,
    timeout: Duration,
    spare: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    context: WebSocketContext,
    scan: Scan,
    /// When the message must be complete.
    due: Instant,
}

impl Lender {
    /// Messages above `max_payload` bytes are refused, and so are those that take longer than `timeout` to arrive.
    pub fn new(max_payload: usize, timeout: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(READ_BUFFER)
            .max_message_size(Some(max_payload))
            .max_frame_size(Some(max_payload));
        let max_fragments = (max_payload / LEAST_FRAGMENT).max(LEAST_FRAGMENTS);
        Self { config, max_fragments, timeout, spare: None }
    }

    fn lend(&mut self, now: Instant) -> Box<Partial> {
        self.spare.take().unwrap_or_else(|| {
            let context = WebSocketContext::new(Role::Server, Some(self.config));
            Box::new(Partial { context, scan: Scan::default(), due: now })
        })
    }
}

impl Reader {
    /// When the message that is being received must be complete.
    pub fn deadline(&self) -> Option<Instant> {
        self.partial.as_ref().map(|partial| partial.due)
    }

    /// Takes bytes of the client, and gives `handle` each message that they complete, and the protocol's answers.
    ///
    /// # Errors
    /// The reason why the connection is to be closed: that of `handle`, a violation, or `SocketClosed`: a close frame of
    /// the client, which has been answered.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        lender: &RefCell<Lender>,
        now: Instant,
        mut handle: impl FnMut(Received<'_>) -> Result<(), CloseReason>,
    ) -> Result<(), CloseReason> {
        let Lender { max_fragments, timeout, .. } = *lender.borrow();
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => {
                let mut spare = lender.borrow_mut().lend(now);
                spare.due = now + timeout;
                spare
            }
        };
        partial.scan.advance(chunk, max_fragments)?;
        let mut wire = Wire { chunk, out: Vec::new() };
        loop {
            let read = partial.context.read(&mut wire);
            if !wire.out.is_empty() {
                handle(Received::Answer(std::mem::take(&mut wire.out)))?;
            }
            match read {
                Ok(WebSocketMessage::Text(text)) => handle(Received::Text(&text))?,
                Ok(WebSocketMessage::Binary(bytes)) => handle(Received::Binary(bytes))?,
                Ok(WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_)) => {
                    self.control.take(now)?;
                    continue;
                }
                Ok(WebSocketMessage::Close(_)) => {
                    // Writes the answering close frame; its error only says that this is the end.
                    let _ = partial.context.flush(&mut wire);
                    handle(Received::Answer(wire.out))?;
                    return Err(CloseReason::SocketClosed);
                }
                Ok(WebSocketMessage::Frame(_)) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(reason(&error)),
            }
            partial.due = now + timeout;
        }
        if partial.scan.is_between_messages() {
            lender.borrow_mut().spare.get_or_insert(partial);
        } else {
            self.partial = Some(partial);
        }
        Ok(())
    }
}

fn reason(error: &Error) -> CloseReason {
    match error {
        Error::Utf8(_) => CloseReason::InvalidText,
        Error::Capacity(_) => CloseReason::TooLarge,
        Error::Protocol(_) => CloseReason::WebSocketProtocol,
        Error::ConnectionClosed | Error::AlreadyClosed => CloseReason::TransportClose,
        _ => CloseReason::TransportError,
    }
}

/// The slice as a stream: its end is not the end of the connection.
struct Wire<'a> {
    chunk: &'a [u8],
    out: Vec<u8>,
}

impl io::Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.chunk.read(buffer) }
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Follows frame headers, so as to know whether a message is half received. It judges only what tungstenite does not: the
/// number of fragments, and lengths in more bytes than they need.
#[derive(Debug, Default, Clone, Copy)]
struct Scan {
    head: [u8; 14],
    have: u8,
    rest: u64,
    fragments: usize,
    in_message: bool,
}

impl Scan {
    fn advance(&mut self, mut chunk: &[u8], max_fragments: usize) -> Result<(), CloseReason> {
        while let Some((&byte, rest)) = chunk.split_first() {
            if self.rest > 0 {
                let skip = usize::try_from(self.rest).unwrap_or(usize::MAX).min(chunk.len());
                self.rest -= skip as u64;
                chunk = chunk.get(skip..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.head.get_mut(usize::from(self.have)) {
                *slot = byte;
            }
            self.have += 1;
            chunk = rest;
            if self.have >= 2 && self.have == self.header_len() {
                self.frame(max_fragments)?;
            }
        }
        Ok(())
    }

    fn header_len(&self) -> u8 {
        let [_, second, ..] = self.head;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    fn frame(&mut self, max_fragments: usize) -> Result<(), CloseReason> {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        self.have = 0;
        let (length, least) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), 126),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 0x1_0000),
            short => (u64::from(short), 0),
        };
        if length < least {
            return Err(CloseReason::WebSocketProtocol);
        }
        self.rest = length;
        let is_control = first & 0x08 != 0;
        if !is_control {
            self.fragments = if self.in_message { self.fragments + 1 } else { 1 };
            self.in_message = first & 0x80 == 0;
            if self.fragments > max_fragments {
                return Err(CloseReason::Abuse);
            }
        }
        Ok(())
    }

    fn is_between_messages(&self) -> bool {
        self.rest == 0 && self.have == 0 && !self.in_message
    }
}

/// A token bucket in eight bytes, for control frames.
#[derive(Debug, Default)]
struct Control {
    since: Option<Instant>,
    used: u32,
}

impl Control {
    fn take(&mut self, now: Instant) -> Result<(), CloseReason> {
        let since = *self.since.get_or_insert(now);
        let refill = u32::try_from(now.saturating_duration_since(since).as_secs()).unwrap_or(u32::MAX);
        if refill > 0 {
            self.used = self.used.saturating_sub(refill.saturating_mul(CONTROL_PER_SECOND));
            self.since = Some(now);
        }
        self.used += 1;
        if self.used > CONTROL_BURST { Err(CloseReason::Abuse) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A masked client frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let mut out = vec![first];
        match payload.len() {
            len @ 0..=125 => out.push(0x80 | len as u8),
            len @ 126..=0xffff => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    #[derive(Default)]
    struct Client {
        reader: Reader,
        got: Vec<Vec<u8>>,
        out: Vec<u8>,
    }

    impl Client {
        fn feed(&mut self, lender: &RefCell<Lender>, chunk: &[u8]) -> Result<(), CloseReason> {
            let Self { reader, got, out } = self;
            reader.feed(chunk, lender, Instant::now(), |message| {
                match message {
                    Received::Text(text) => got.push(text.as_bytes().to_vec()),
                    Received::Binary(bytes) => got.push(bytes.to_vec()),
                    Received::Answer(bytes) => out.extend(bytes),
                }
                Ok(())
            })
        }
    }

    #[test]
    fn an_idle_connection_owns_no_context() {
        let lender = RefCell::new(Lender::new(1000, TIMEOUT));
        let mut client = Client::default();
        client.feed(&lender, &frame(0x81, b"hello")).unwrap();
        assert!(client.reader.partial.is_none());
        client.feed(&lender, &frame(0x81, b"hello")[..4]).unwrap();
        assert!(client.reader.partial.is_some());
        client.feed(&lender, &frame(0x81, b"hello")[4..]).unwrap();
        assert!(client.reader.partial.is_none());
        client.feed(&lender, &frame(0x01, b"frag")).unwrap();
        assert!(client.reader.partial.is_some(), "between the fragments of a message");
        assert_eq!(client.got, [b"hello", b"hello"]);
    }

    proptest! {
        /// Two clients that share a lender, each cut at random places, never see a byte of each other.
        #[test]
        fn messages_survive_any_cut(
            words in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..20),
            cuts in prop::collection::vec(1usize..40, 1..200),
        ) {
            let lender = RefCell::new(Lender::new(100_000, TIMEOUT));
            let mut clients = [Client::default(), Client::default()];
            let mut expected = [Vec::new(), Vec::new()];
            let mut streams = [Vec::new(), Vec::new()];
            for (index, (split, payload)) in words.iter().enumerate() {
                let side = index % 2;
                expected[side].push(payload.clone());
                if *split {
                    let middle = payload.len() / 2;
                    streams[side].extend(frame(0x02, &payload[..middle]));
                    streams[side].extend(frame(0x89, b"ping between"));
                    streams[side].extend(frame(0x80, &payload[middle..]));
                } else {
                    streams[side].extend(frame(0x82, payload));
                }
            }
            let mut offsets = [0, 0];
            for (turn, cut) in cuts.iter().cycle().enumerate() {
                let side = turn % 2;
                let end = (offsets[side] + cut).min(streams[side].len());
                clients[side].feed(&lender, &streams[side][offsets[side]..end]).unwrap();
                offsets[side] = end;
                if offsets[0] == streams[0].len() && offsets[1] == streams[1].len() {
                    break;
                }
            }
            for side in 0..2 {
                prop_assert_eq!(&clients[side].got, &expected[side]);
                prop_assert!(clients[side].reader.partial.is_none());
            }
        }

        #[test]
        fn no_bytes_panic(chunk in prop::collection::vec(any::<u8>(), 0..400)) {
            let lender = RefCell::new(Lender::new(1000, TIMEOUT));
            let _ = Client::default().feed(&lender, &chunk);
        }
    }

    #[test]
    fn violations_close_with_their_reason() {
        let unmasked = vec![0x81, 0x01, b'x'];
        let cases: [(&str, Vec<u8>, CloseReason); 11] = [
            ("unmasked", unmasked, CloseReason::WebSocketProtocol),
            ("125 in 16 bits", vec![0x82, 0xfe, 0, 125, 1, 2, 3, 4], CloseReason::WebSocketProtocol),
            (
                "65,535 in 64 bits",
                vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4],
                CloseReason::WebSocketProtocol,
            ),
            ("rsv1", frame(0xc1, b"x"), CloseReason::WebSocketProtocol),
            ("opcode 3", frame(0x83, b"x"), CloseReason::WebSocketProtocol),
            ("opcode b", frame(0x8b, b"x"), CloseReason::WebSocketProtocol),
            ("fragmented ping", frame(0x09, b"x"), CloseReason::WebSocketProtocol),
            ("continuation of nothing", frame(0x80, b"x"), CloseReason::WebSocketProtocol),
            ("not UTF-8", frame(0x81, b"\xc0\xaf"), CloseReason::InvalidText),
            ("too long", frame(0x81, &[b'x'; 1001]), CloseReason::TooLarge),
            ("2^63 - 1 long", [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat(), CloseReason::TooLarge),
        ];
        for (name, bytes, reason) in cases {
            let lender = RefCell::new(Lender::new(1000, TIMEOUT));
            assert_eq!(Client::default().feed(&lender, &bytes), Err(reason), "{name}");
        }
    }

    #[test]
    fn a_flood_of_fragments_or_pings_is_abuse() {
        let lender = RefCell::new(Lender::new(65_536, TIMEOUT));
        let mut fragments = frame(0x01, b"");
        (0..1024).for_each(|_| fragments.extend(frame(0x00, b"")));
        assert_eq!(Client::default().feed(&lender, &fragments), Err(CloseReason::Abuse));
        let pings: Vec<u8> = (0..=CONTROL_BURST).flat_map(|_| frame(0x89, b"")).collect();
        assert_eq!(Client::default().feed(&lender, &pings), Err(CloseReason::Abuse));
    }

    #[test]
    fn a_close_is_answered_in_kind() {
        let lender = RefCell::new(Lender::new(1000, TIMEOUT));
        let mut client = Client::default();
        let result = client.feed(&lender, &frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!(result, Err(CloseReason::SocketClosed));
        assert_eq!(client.out, [0x88, 2, 0x03, 0xe8]);
        assert!(lender.borrow().spare.is_none(), "a context that has closed is not lent again");
    }
}
