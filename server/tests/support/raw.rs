//! Raw sockets: every byte of a request or a frame is the test's own, and every byte of an answer is seen.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::patiently;

/// A connection of which nobody knows yet what it is.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The code of the server's close frame, once it has come.
    code: u16,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

/// A WebSocket frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Wire {
    pub async fn dial(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.expect("a connection"))
    }

    pub fn on(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), code: 1006 }
    }

    /// A WebSocket for this query, with whatever it opens with still unread.
    pub async fn upgrade(address: SocketAddr, query: &str) -> Self {
        let mut wire = Self::dial(address).await;
        wire.send(handshake(query)).await;
        let answer = wire.answer().await.expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        wire
    }

    /// A new session on a WebSocket, its open packet read.
    pub async fn session(address: SocketAddr) -> Self {
        let mut wire = Self::upgrade(address, "EIO=4&transport=websocket").await;
        let open = wire.text().await.expect("an open packet");
        assert!(open.starts_with("0{"), "{open}");
        wire
    }

    /// A session that has joined the main namespace.
    pub async fn socket(address: SocketAddr, auth: &Value) -> Self {
        let mut wire = Self::session(address).await;
        wire.send(text(&format!("40{auth}"))).await;
        let reply = wire.text().await.expect("an answer to CONNECT");
        assert!(reply.starts_with("40{"), "{reply}");
        wire
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
        let mut all = std::mem::take(&mut self.buffer);
        let reading = async { read.read_to_end(&mut all).await };
        let _ = patiently("end of the connection", async { tokio::join!(sending, reading) }).await;
        all
    }

    /// Says that nothing more comes, and goes on reading.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Hangs up with a reset, as a process that is killed may do.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Reads more. `false`: there is no more.
    async fn fill(&mut self) -> bool {
        let read = patiently("answer", self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(1..))
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next HTTP answer. `None`: the server has closed without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.fill().await => {}
                None if self.buffer.is_empty() => return None,
                None => panic!("half an answer: {:?}", String::from_utf8_lossy(&self.buffer)),
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.buffer.len() < length {
            assert!(self.fill().await, "half a body: {answer:?}");
        }
        answer.body = String::from_utf8(self.buffer.drain(..length).collect()).expect("text");
        Some(answer)
    }

    /// The next frame. `None`: the server has closed.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            let header = match self.buffer.as_slice() {
                [_, short @ 0..=125, ..] => Some((2, usize::from(*short))),
                [_, 126, a, b, ..] => Some((4, usize::from(u16::from_be_bytes([*a, *b])))),
                [_, 127, 0, 0, 0, 0, a, b, c, d, ..] => {
                    Some((10, usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).expect("64 bits")))
                }
                [_, 128..=255, ..] => panic!("a masked frame of the server"),
                _ => None,
            };
            match header {
                Some((start, len)) if self.buffer.len() >= start + len => {
                    let frame: Vec<u8> = self.buffer.drain(..start + len).collect();
                    return Some(Frame { first: frame[0], payload: frame[start..].to_vec() });
                }
                _ if self.fill().await => {}
                _ => return None,
            }
        }
    }

    /// The next text message, pings answered. `None`: the server has closed.
    pub async fn text(&mut self) -> Option<String> {
        loop {
            let frame = self.frame().await?;
            match frame.first {
                0x81 if frame.payload == b"2" => self.send(text("3")).await,
                0x81 => return Some(String::from_utf8(frame.payload).expect("UTF-8")),
                0x88 => return None,
                first => panic!("unexpected frame {first:#x}"),
            }
        }
    }

    /// The next text message that begins with this.
    pub async fn text_with(&mut self, start: &str) -> String {
        loop {
            let text = self.text().await.unwrap_or_else(|| panic!("closed before {start}"));
            if text.starts_with(start) {
                return text;
            }
        }
    }

    /// Sends an event with this ack id, and returns its answer: the session is alive, and has handled what came before.
    pub async fn call(&mut self, id: u64, args: &str) -> Value {
        self.send(text(&format!("42{id}{args}"))).await;
        let reply = self.text_with(&format!("43{id}[")).await;
        let args = &reply[format!("43{id}").len()..];
        serde_json::from_str::<Vec<Value>>(args).expect("an array").swap_remove(0)
    }

    /// Reads until the server closes, and returns the code of its close frame: 1005 for an empty one, 1006 for none.
    /// Whoever stops waiting may ask again.
    pub async fn closed(&mut self) -> u16 {
        while let Some(frame) = self.frame().await {
            if frame.first == 0x88 {
                self.code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
            }
        }
        self.code
    }
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A masked frame of a client.
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
pub fn handshake(query: &str) -> String {
    request("GET", &format!("/socket.io/?{query}"), &UPGRADE, "")
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

/// Sends a request on a connection of its own. `None`: it was closed without an answer.
pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Option<Answer> {
    let mut wire = Wire::dial(address).await;
    wire.send(request).await;
    wire.answer().await
}

/// A GET on a connection of its own.
pub async fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, request("GET", target, &[], "")).await.expect("an answer")
}

/// A session that polls, each request on a connection of its own.
pub struct Poller {
    pub address: SocketAddr,
    pub sid: String,
}

impl Poller {
    pub async fn open(address: SocketAddr) -> Self {
        let answer = get(address, "/socket.io/?EIO=4&transport=polling").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let open: Value = serde_json::from_str(answer.body.strip_prefix('0').expect("an open packet")).expect("JSON");
        Self { address, sid: open["sid"].as_str().expect("a sid").to_owned() }
    }

    /// One that has joined the main namespace.
    pub async fn socket(address: SocketAddr, auth: &Value) -> Self {
        let poller = Self::open(address).await;
        assert_eq!(poller.post(&format!("40{auth}")).await.body, "ok");
        let reply = poller.get().await.body;
        assert!(reply.starts_with("40{"), "{reply}");
        poller
    }

    /// The target of its requests.
    pub fn target(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }

    /// The query of a WebSocket that takes over.
    pub fn upgrade(&self) -> String {
        format!("EIO=4&transport=websocket&sid={}", self.sid)
    }

    pub async fn get(&self) -> Answer {
        get(self.address, &self.target()).await
    }

    pub async fn post(&self, body: &str) -> Answer {
        let headers = if body.is_empty() { &[("Content-Length", "0")][..] } else { &[] };
        ask(self.address, request("POST", &self.target(), headers, body)).await.expect("an answer")
    }

    /// Whether the gateway still knows the session.
    pub async fn is_known(&self) -> bool {
        // A PUT changes nothing: it is refused with or without a session, but not in the same way.
        let answer = ask(self.address, request("PUT", &self.target(), &[], "")).await.expect("an answer");
        answer.status != 400
    }
}
