//! A server in this process, and clients that see the bytes.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod buyers;
pub mod echo;
pub mod fire;
pub mod http;
pub mod innocents;
pub mod live;
pub mod pair;
pub mod polling;
pub mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{SinkExt, StreamExt};
use haat_adapter::memory::{Engine, Limits};
use haat_server::{
    auth::{self, Claims},
    config::{Config, Layers},
    server::Server,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

pub const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// How long anything may take before a test fails. Never how long something must take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server and the engine behind it.
pub struct World {
    pub server: Server,
    pub engine: Arc<Engine>,
    pub address: SocketAddr,
}

impl World {
    /// A server with limits off, and these variables set.
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::join(&Engine::new(Limits::default()), variables).await
    }

    /// A server on an engine that others share.
    pub async fn join(engine: &Arc<Engine>, variables: &[(&str, &str)]) -> Self {
        let config = config(variables);
        let server = Server::join(config, engine).await.expect("a server");
        let address = server.address();
        Self { server, engine: engine.clone(), address }
    }

    /// A number of `/metrics`: the sum over its labels, those that hold `label`. All servers of this process add to it.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let answer = wire::ask(self.server.private_address(), "GET", "/metrics", "").await;
        let lines = answer.body.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A connected client with a token for this user.
    pub async fn user(&self, sub: &str) -> Client {
        Client::connect(self.address, &json!({ "token": token(sub, "viewer", &[]) })).await
    }

    /// A connected client without a token.
    pub async fn guest(&self) -> Client {
        Client::connect(self.address, &json!({})).await
    }

    /// A connected supplier of the streams, who has started them.
    pub async fn supplier(&self, streams: &[&str]) -> Client {
        let token = token("supplier", "supplier", streams);
        let mut client = Client::connect(self.address, &json!({ "token": token })).await;
        for stream in streams {
            let reply = client.call("stream:start", &json!({ "stream": stream, "title": "Sale" })).await;
            assert_eq!(reply["ok"], true, "{reply}");
        }
        client
    }
}

/// A configuration for a test: free ports, limits off.
pub fn config(variables: &[(&str, &str)]) -> Config {
    let off = [
        ("HAAT_LISTEN", "127.0.0.1:0"),
        ("HAAT_PRIVATE_LISTEN", "127.0.0.1:0"),
        ("HAAT_AUTH_SECRET", SECRET),
        ("HAAT_SHARDS", "2"),
        ("HAAT_LIMITS_ADDRESS_HANDSHAKES", "0"),
        ("HAAT_LIMITS_EVENTS_PER_SECOND", "0"),
        ("HAAT_LIMITS_CHAT_PER_SECOND", "0"),
        ("HAAT_LIMITS_JOINS_PER_SECOND", "0"),
        ("HAAT_LIMITS_STAFF_PER_SECOND", "0"),
        ("HAAT_LIMITS_REACTIONS_PER_SECOND", "0"),
        ("HAAT_LIMITS_USER_CONNECTIONS", "0"),
    ];
    let all: BTreeMap<String, String> =
        off.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let layers = Layers { file: None, variables: all.into_iter().collect(), flags: Vec::new(), dev: false };
    layers.load().unwrap_or_else(|mistakes| panic!("{mistakes}")).config
}

/// A token that is valid for an hour.
pub fn token(sub: &str, role: &str, streams: &[&str]) -> String {
    token_until(sub, role, streams, now() + 3600)
}

/// A token that expires at this time.
pub fn token_until(sub: &str, role: &str, streams: &[&str], exp: u64) -> String {
    let streams = streams.iter().map(|stream| (*stream).to_owned()).collect();
    let claims = Claims { sub: sub.to_owned(), name: None, role: role.to_owned(), streams, exp };
    auth::mint(SECRET.as_bytes(), &claims).expect("a token")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Waits, but not for ever.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

/// A Socket.IO client on a WebSocket of its own.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// What the CONNECT was answered: `sid`, `pid`; or `message`, `data`.
    pub connected: Value,
    /// Whether the CONNECT was accepted.
    pub accepted: bool,
    /// Events in the order in which they came, those before the CONNECT answer among them: name and arguments.
    pub events: VecDeque<Vec<Value>>,
    acks: Vec<(u64, Value)>,
    next: u64,
}

impl Client {
    /// Connects, whatever the answer is.
    pub async fn connect(address: SocketAddr, auth: &Value) -> Self {
        let mut client = Self::open(address).await;
        client.send_text(&format!("40{auth}")).await;
        while client.connected.is_null() {
            client.step().await.expect("an answer to CONNECT");
        }
        client
    }

    /// Opens a WebSocket and reads the open packet.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = client_async(url, stream).await.expect("a WebSocket");
        let (connected, events, acks) = (Value::Null, VecDeque::new(), Vec::new());
        let mut client = Self { socket, connected, accepted: false, events, acks, next: 0 };
        let open = client.receive().await.expect("an open packet");
        assert!(open.starts_with("0{"), "{open}");
        client
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("to send");
    }

    /// The next text of the server, pings answered. `None`: it has closed.
    pub async fn receive(&mut self) -> Option<String> {
        loop {
            match patiently("message", self.socket.next()).await? {
                Ok(Message::Text(text)) if text == "2" => self.send_text("3").await,
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Takes in one packet. `None`: the connection is closed.
    pub async fn step(&mut self) -> Option<()> {
        let text = self.receive().await?;
        let json_at = text.find(['{', '[']).unwrap_or(text.len());
        let (head, json) = text.split_at(json_at);
        let value: Value = serde_json::from_str(json).unwrap_or(Value::Null);
        match head.get(..2) {
            Some("40") => (self.connected, self.accepted) = (value, true),
            Some("44") => (self.connected, self.accepted) = (value, false),
            Some("42") => self.events.push_back(value.as_array().expect("an event is an array").clone()),
            Some("43") => self.acks.push((head[2..].parse().expect("an ack id"), value[0].clone())),
            _ => panic!("unexpected packet {text}"),
        }
        Some(())
    }

    /// Sends an event and returns its ack id.
    pub async fn send(&mut self, event: &str, body: &Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send_text(&format!("42{id}{}", json!([event, body]))).await;
        id
    }

    /// The answer to an event.
    pub async fn answer(&mut self, id: u64) -> Value {
        loop {
            if let Some(place) = self.acks.iter().position(|(got, _)| *got == id) {
                return self.acks.remove(place).1;
            }
            self.step().await.expect("an answer");
        }
    }

    /// Sends an event and waits for its answer.
    pub async fn call(&mut self, event: &str, body: &Value) -> Value {
        let id = self.send(event, body).await;
        self.answer(id).await
    }

    /// Joins a stream, which must succeed.
    pub async fn join(&mut self, stream: &str) -> Value {
        let reply = self.call("stream:join", &json!({ "stream": stream })).await;
        assert_eq!(reply["ok"], true, "{reply}");
        reply
    }

    /// Says something, which must succeed; returns the message.
    pub async fn say(&mut self, stream: &str, text: &str) -> Value {
        let reply = self.call("chat:send", &json!({ "stream": stream, "text": text })).await;
        assert_eq!(reply["ok"], true, "{reply}");
        reply["message"].clone()
    }

    /// The arguments of the next event of this name; others before it are dropped.
    pub async fn event(&mut self, name: &str) -> Vec<Value> {
        loop {
            while let Some(mut event) = self.events.pop_front() {
                let is_it = event.first().is_some_and(|first| first == name);
                if is_it {
                    event.remove(0);
                    return event;
                }
            }
            self.step().await.unwrap_or_else(|| panic!("the connection closed before {name}"));
        }
    }

    /// The next `count` chat messages' `seq`, `text` and recovery offset.
    pub async fn chats(&mut self, count: usize) -> Vec<(u64, String, String)> {
        let mut chats = Vec::new();
        while chats.len() < count {
            let args = self.event("chat:message").await;
            let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
            chats.push((args[0]["seq"].as_u64().expect("a seq"), text(args[0].get("text")), text(args.get(1))));
        }
        chats
    }

    /// Hangs up without a word.
    pub async fn drop_connection(self) {
        drop(self.socket);
    }

    /// Waits until the server closes, and returns the close code: 1005 for none, 1006 for no close frame.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match patiently("close", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Close(None))) => return 1005,
                None | Some(Err(_)) => return 1006,
                Some(Ok(_)) => {}
            }
        }
    }
}

/// Writes bytes on a new connection, and returns all that comes back until the server closes or goes silent with `quiet`.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut out = Vec::new();
    let _ = patiently("end of the connection", stream.read_to_end(&mut out)).await;
    out
}
