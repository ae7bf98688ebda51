//! HTTP/1.1 and WebSocket as bytes: every byte of a request or a frame is the test's own, and every byte of an answer is seen.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{echo::SOCKET_IO, patiently};

/// A connection, and what was read of it and not yet looked at.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    /// The code of the server's close frame, once [`Wire::closed`] has seen it.
    code: u16,
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
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A WebSocket frame of the server, whatever it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// A WebSocket frame as a well-behaved server sends it.
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

/// How a connection begins.
impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.expect("a connection"))
    }

    pub fn on(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new(), code: 1006 }
    }

    /// A WebSocket at this target, its handshake done, with whatever the server begins with still unread.
    pub async fn socket(address: SocketAddr, target: &str) -> Self {
        let mut wire = Self::connect(address).await;
        let answer = wire.upgrade(target).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// A new session on a WebSocket, its open packet read.
    pub async fn session(address: SocketAddr) -> Self {
        let mut wire = Self::socket(address, &format!("{SOCKET_IO}websocket")).await;
        let open = wire.text().await;
        assert!(open.starts_with("0{"), "{open}");
        wire
    }

    /// A session that has joined the main namespace.
    pub async fn connected(address: SocketAddr, auth: &Value) -> Self {
        let mut wire = Self::session(address).await;
        wire.say(&format!("40{auth}")).await;
        let reply = wire.told().await.expect("an answer to CONNECT");
        assert!(reply.starts_with("40{"), "{reply}");
        wire
    }

    /// A WebSocket of a guest who has joined a stream, on a socket that takes little: once it is not read any more, the
    /// server soon has to queue.
    pub async fn narrow_viewer(address: SocketAddr, stream: &str) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("to set a size");
        let mut wire = Self::on(socket.connect(address).await.expect("a connection"));
        assert_eq!(wire.upgrade(&format!("{SOCKET_IO}websocket")).await.status, 101);
        assert!(wire.text().await.starts_with("0{"));
        wire.say("40").await;
        assert!(wire.text().await.starts_with("40{"));
        wire.say(&format!(r#"420["stream:join",{{"stream":"{stream}"}}]"#)).await;
        while !wire.text().await.starts_with(r#"430[{"ok":true"#) {}
        wire
    }

    /// The socket; everything that came was read.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.read.is_empty(), "something was not read");
        self.stream
    }
}

/// What is sent.
impl Wire {
    /// Sends all of it.
    pub async fn write(&mut self, bytes: &[u8]) {
        patiently("room to write", self.stream.write_all(bytes)).await.expect("to write");
    }

    /// Sends all of it, or as much as the server takes: it may have closed before the end.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        let _ = patiently("room to send", sent).await;
    }

    /// Sends for as long as the server takes it. For input that has no end.
    pub async fn send_until_refused(&mut self, chunk: &[u8]) {
        let sending = async { while self.stream.write_all(chunk).await.is_ok() {} };
        patiently("end of the connection", sending).await;
    }

    /// The same, and reads meanwhile.
    pub async fn send_and_read_until_refused(&mut self, chunk: &[u8]) -> Vec<u8> {
        let (mut read, mut write) = self.stream.split();
        let sending = async { while write.write_all(chunk).await.is_ok() {} };
        let mut all = std::mem::take(&mut self.read);
        let reading = async { read.read_to_end(&mut all).await };
        let _ = patiently("end of the connection", async { tokio::join!(sending, reading) }).await;
        all
    }

    /// Sends a text message.
    pub async fn say(&mut self, message: &str) {
        self.write(&text(message)).await;
    }

    /// Sends a binary message.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.write(&frame(0x82, bytes)).await;
    }

    /// Asks for a WebSocket.
    pub async fn upgrade(&mut self, target: &str) -> Answer {
        self.write(handshake(target).as_bytes()).await;
        self.answer().await
    }

    /// Sends a request, and reads its answer.
    pub async fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.request(method, target, body).await;
        self.answer().await
    }

    /// Sends a request.
    pub async fn request(&mut self, method: &str, target: &str, body: &str) {
        let length = body.len().to_string();
        let post = [("Content-Type", "text/plain;charset=UTF-8"), ("Content-Length", &*length)];
        let headers = if method == "POST" { &post[..] } else { &[] };
        self.write((request(method, target, headers, "") + body).as_bytes()).await;
    }

    /// Says that nothing more comes, and goes on reading.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Hangs up.
    pub fn hang_up(self) {
        drop(self.stream);
    }

    /// Hangs up with a reset, as a process that is killed may do.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("to set a linger of nothing");
        drop(self.stream);
    }
}

/// What comes back.
impl Wire {
    /// Reads an answer with a `Content-Length`, or without a body.
    pub async fn answer(&mut self) -> Answer {
        self.answer_or_end().await.expect("an answer before the end of the connection")
    }

    /// The same. `None`: the server has closed without one.
    pub async fn answer_or_end(&mut self) -> Option<Answer> {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.more().await => {}
                None if self.read.is_empty() => return None,
                None => panic!("half an answer: {:?}", String::from_utf8_lossy(&self.read)),
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.read.len() < length {
            assert!(self.more().await, "the connection ended in the body of {answer:?}");
        }
        answer.body = String::from_utf8(self.read.drain(..length).collect()).expect("a body is text");
        Some(answer)
    }

    /// The next frame, whatever it is. `None`: the server has closed, in the middle of one perhaps.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let header = match self.read.as_slice() {
                [_, short @ 0..=125, ..] => Some((2, usize::from(*short))),
                [_, 126, a, b, ..] => Some((4, usize::from(u16::from_be_bytes([*a, *b])))),
                [_, 127, 0, 0, 0, 0, a, b, c, d, ..] => {
                    Some((10, usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).expect("64 bits")))
                }
                [_, 128..=255, ..] => panic!("a server does not mask"),
                _ => None,
            };
            match header {
                Some((start, length)) if self.read.len() >= start + length => {
                    let frame: Vec<u8> = self.read.drain(..start + length).collect();
                    return Some(Frame { first: frame[0], payload: frame[start..].to_vec() });
                }
                _ if self.more().await => {}
                _ => return None,
            }
        }
    }

    /// The next frame of a server that behaves, and the end of the connection as one.
    pub async fn frame(&mut self) -> Seen {
        let Some(Frame { first, payload }) = self.next().await else {
            assert!(self.read.is_empty(), "half a frame: {:?}", self.read);
            return Seen::End;
        };
        match first {
            0x81 => Seen::Text(String::from_utf8(payload).expect("text is UTF-8")),
            0x82 => Seen::Binary(payload),
            0x8a => Seen::Pong(payload),
            0x88 => Seen::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            other => panic!("{other:#x}, but whole messages without an extension are expected"),
        }
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

    /// The next text message, pings of Engine.IO answered. `None`: the server has closed.
    pub async fn told(&mut self) -> Option<String> {
        loop {
            let frame = self.next().await?;
            match frame.first {
                0x81 if frame.payload == b"2" => self.send(text("3")).await,
                0x81 => return Some(String::from_utf8(frame.payload).expect("UTF-8")),
                0x88 => return None,
                first => panic!("unexpected frame {first:#x}"),
            }
        }
    }

    /// The next text message that begins with this.
    pub async fn told_with(&mut self, start: &str) -> String {
        loop {
            let text = self.told().await.unwrap_or_else(|| panic!("closed before {start}"));
            if text.starts_with(start) {
                return text;
            }
        }
    }

    /// Sends an event with this ack id, and returns its answer: the session is alive, and has handled what came before.
    pub async fn call(&mut self, id: u64, args: &str) -> Value {
        self.send(text(&format!("42{id}{args}"))).await;
        let reply = self.told_with(&format!("43{id}[")).await;
        let args = &reply[format!("43{id}").len()..];
        serde_json::from_str::<Vec<Value>>(args).expect("an array").swap_remove(0)
    }

    /// Reads until the server closes, and returns the code of its close frame: 1005 for an empty one, 1006 for none.
    /// Whoever stops waiting may ask again.
    pub async fn closed(&mut self) -> u16 {
        while let Some(frame) = self.next().await {
            if frame.first == 0x88 {
                self.code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            }
        }
        self.code
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Says whether more has come.
    async fn more(&mut self) -> bool {
        // A reset is an end as well.
        patiently("bytes", self.stream.read_buf(&mut self.read)).await.is_ok_and(|count| count > 0)
    }
}

/// A masked frame of a client; the first byte is FIN, the reserved bits and the opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
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
    let mask = [0x21, 0x5a, 0xc3, 0x0f];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A text message of a client.
pub fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// The request that asks for a WebSocket.
pub fn handshake(target: &str) -> String {
    request("GET", target, &UPGRADE, "")
}

/// The headers of a good WebSocket handshake.
pub const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A request with a `Host`, these headers, and a `Content-Length` if there is a body.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut out = format!("{method} {target} HTTP/1.1\r\nHost: haat.example\r\n");
    for (name, value) in headers {
        out += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        out += &format!("Content-Length: {}\r\n", body.len());
    }
    out + "\r\n" + body
}

/// Sends these bytes on a connection of their own. `None`: it was closed without an answer.
pub async fn answer_to(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Answer> {
    let mut wire = Wire::connect(address).await;
    wire.send(bytes).await;
    wire.answer_or_end().await
}

/// One good request on a connection of its own.
pub async fn ask(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    Wire::connect(address).await.ask(method, target, body).await
}

/// A GET on a connection of its own.
pub async fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, "GET", target, "").await
}
