//! HTTP/1.1 and WebSocket as bytes: nothing stands between the test and what the server wrote.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::patiently;

/// A connection, and what was read of it and not yet looked at.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An HTTP answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The head as it came, with the empty line at its end.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A WebSocket frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame's code; `None` for an empty one.
    Close(Option<u16>),
    /// The connection ended.
    End,
}

impl Seen {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self { stream, read: Vec::new() }
    }

    /// A WebSocket at this target, its handshake done.
    pub async fn socket(address: SocketAddr, target: &str) -> Self {
        let mut wire = Self::connect(address).await;
        let answer = wire.upgrade(target).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// Asks for a WebSocket.
    pub async fn upgrade(&mut self, target: &str) -> Answer {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: haat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.write(request.as_bytes()).await;
        self.answer().await
    }

    /// Sends a request, and reads its answer.
    pub async fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.request(method, target, body).await;
        self.answer().await
    }

    /// Sends a request.
    pub async fn request(&mut self, method: &str, target: &str, body: &str) {
        let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let kind = if method == "POST" { "Content-Type: text/plain;charset=UTF-8\r\n" } else { "" };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: haat\r\n{kind}{length}\r\n{body}");
        self.write(request.as_bytes()).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        patiently("room to write", self.stream.write_all(bytes)).await.expect("to write");
    }

    /// Reads an answer with a `Content-Length`, or without a body.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await, "the connection ended in the head of an answer: {:?}", self.read);
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended in the body of {answer:?}");
        }
        answer.body = String::from_utf8(self.read.drain(..length).collect()).expect("a body is text");
        answer
    }

    /// The next frame, and the end of the connection as one.
    pub async fn frame(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.buffered_frame() {
                return seen;
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half a frame: {:?}", self.read);
                return Seen::End;
            }
        }
    }

    fn buffered_frame(&mut self) -> Option<Seen> {
        let (first, second) = (*self.read.first()?, *self.read.get(1)?);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        assert_eq!(first & 0xf0, 0x80, "whole messages, no extension");
        let (length, start) = match second {
            126 => (usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(self.read.get(2..10)?.try_into().unwrap()) as usize, 10),
            short => (usize::from(short), 2),
        };
        let payload = self.read.get(start..start + length)?.to_vec();
        self.read.drain(..start + length);
        Some(match first & 0x0f {
            1 => Seen::Text(String::from_utf8(payload).expect("text is UTF-8")),
            2 => Seen::Binary(payload),
            10 => Seen::Pong(payload),
            8 => Seen::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            other => panic!("unexpected opcode {other}"),
        })
    }

    /// The next text, which must be one.
    pub async fn text(&mut self) -> String {
        match self.frame().await {
            Seen::Text(text) => text,
            other => panic!("{other:?} instead of a text"),
        }
    }

    /// The next frame as a pong of WebSocket, and its payload.
    pub async fn pong(&mut self) -> Vec<u8> {
        match self.frame().await {
            Seen::Pong(payload) => payload,
            other => panic!("{other:?} instead of a pong"),
        }
    }

    /// Sends a text message.
    pub async fn say(&mut self, text: &str) {
        self.write(&client_frame(1, text.as_bytes())).await;
    }

    /// Sends a binary message.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.write(&client_frame(2, bytes)).await;
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads until the server closes, and forgets it.
    pub async fn gone(&mut self) {
        self.rest().await;
    }

    /// Hangs up.
    pub fn hang_up(self) {
        drop(self.stream);
    }

    /// Hangs up with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("to set a linger of nothing");
        drop(self.stream);
    }

    /// Says whether more has come.
    async fn more(&mut self) -> bool {
        // A reset is an end as well.
        patiently("bytes", self.stream.read_buf(&mut self.read)).await.is_ok_and(|count| count > 0)
    }
}

/// A frame of a client, masked with zeros, which is a mask as good as any.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        middle @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// The `sid` of an open packet.
pub fn sid_of(open: &str) -> String {
    let json = open.strip_prefix('0').unwrap_or_else(|| panic!("{open} is no open packet"));
    let open: serde_json::Value = serde_json::from_str(json).expect("an open packet is JSON");
    open["sid"].as_str().expect("a sid").to_owned()
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    Wire::connect(address).await.ask(method, target, body).await
}

/// A session that polls, each request on a connection of its own.
pub struct Polling {
    pub address: SocketAddr,
    /// Where its requests go.
    pub target: String,
    /// Where its WebSocket goes.
    pub upgrade: String,
}

impl Polling {
    /// Opens one; `base` is a target up to the name of the transport.
    pub async fn open(address: SocketAddr, base: &str) -> Self {
        let open = ask(address, "GET", &format!("{base}polling"), "").await;
        let sid = sid_of(&open.body);
        let target = |transport| format!("{base}{transport}&sid={sid}");
        Self { address, target: target("polling"), upgrade: target("websocket") }
    }

    pub async fn get(&self) -> Answer {
        ask(self.address, "GET", &self.target, "").await
    }

    pub async fn post(&self, packets: &str) -> Answer {
        ask(self.address, "POST", &self.target, packets).await
    }

    /// The next body, which must come with 200.
    pub async fn receive(&self) -> String {
        let answer = self.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Packets that must be taken.
    pub async fn send(&self, packets: &str) {
        let answer = self.post(packets).await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"), "{packets}");
    }

    /// A GET that waits. It has come behind a POST on one connection, which goes to the session's shard; once that is
    /// answered, and one more, the shard has taken the GET.
    pub async fn wait(&self) -> Wire {
        let mut wire = Wire::connect(self.address).await;
        let target = &self.target;
        let post = format!("POST {target} HTTP/1.1\r\nHost: haat\r\nContent-Length: 1\r\n\r\n6");
        let get = format!("GET {target} HTTP/1.1\r\nHost: haat\r\n\r\n");
        wire.write([post, get].concat().as_bytes()).await;
        assert_eq!(wire.answer().await.body, "ok");
        self.send("6").await;
        wire
    }

    /// Waits until the session is not known any more.
    pub async fn forgotten(&self) {
        patiently("end of the session", async { while self.get().await.body != UNKNOWN {} }).await;
    }
}

/// What a request of a session that there is not is answered.
pub const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

impl Wire {
    /// A WebSocket of a guest who has joined a stream, on a socket that takes little: once it is not read any more, the
    /// server soon has to queue.
    pub async fn narrow_viewer(address: SocketAddr, stream: &str) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("to set a size");
        let stream_of = socket.connect(address).await.expect("a connection");
        let mut wire = Self { stream: stream_of, read: Vec::new() };
        assert_eq!(wire.upgrade("/socket.io/?EIO=4&transport=websocket").await.status, 101);
        assert!(wire.text().await.starts_with("0{"));
        wire.say("40").await;
        assert!(wire.text().await.starts_with("40{"));
        wire.say(&format!(r#"420["stream:join",{{"stream":"{stream}"}}]"#)).await;
        while !wire.text().await.starts_with(r#"430[{"ok":true"#) {}
        wire
    }
}

impl Wire {
    /// The socket; everything that came was read.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.read.is_empty(), "something was not read");
        self.stream
    }
}
