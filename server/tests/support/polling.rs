//! A session that polls, each request on a connection of its own.

use std::net::SocketAddr;

use serde_json::Value;

use super::{
    echo::SOCKET_IO,
    patiently,
    wire::{Answer, Wire, answer_to, ask, get, request},
};

/// The session.
pub struct Polling {
    pub address: SocketAddr,
    pub sid: String,
    /// Where its requests go.
    pub target: String,
    /// Where its WebSocket goes.
    pub upgrade: String,
}

impl Polling {
    /// Opens one; `base` is a target up to the name of the transport.
    pub async fn open(address: SocketAddr, base: &str) -> Self {
        let answer = get(address, &format!("{base}polling")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::of(address, base, &sid_of(&answer.body))
    }

    /// One that has joined the main namespace.
    pub async fn connected(address: SocketAddr, auth: &Value) -> Self {
        let session = Self::open(address, SOCKET_IO).await;
        session.send(&format!("40{auth}")).await;
        let reply = session.receive().await;
        assert!(reply.starts_with("40{"), "{reply}");
        session
    }

    /// One that is said to have this `sid`.
    pub fn of(address: SocketAddr, base: &str, sid: &str) -> Self {
        let target = |transport| format!("{base}{transport}&sid={sid}");
        Self { address, sid: sid.to_owned(), target: target("polling"), upgrade: target("websocket") }
    }

    pub async fn get(&self) -> Answer {
        get(self.address, &self.target).await
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
        let pair = request("POST", &self.target, &[], "6") + &request("GET", &self.target, &[], "");
        wire.write(pair.as_bytes()).await;
        assert_eq!(wire.answer().await.body, "ok");
        self.send("6").await;
        wire
    }

    /// Waits until the session is not known any more.
    pub async fn forgotten(&self) {
        patiently("end of the session", async { while self.get().await.body != UNKNOWN {} }).await;
    }

    /// Whether the gateway still knows the session.
    pub async fn is_known(&self) -> bool {
        // A PUT changes nothing: it is refused with or without a session, but not in the same way.
        let answer = answer_to(self.address, request("PUT", &self.target, &[], "")).await.expect("an answer");
        answer.status != 400
    }
}

/// What a request of a session that there is not is answered.
pub const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// The `sid` of an open packet.
pub fn sid_of(open: &str) -> String {
    let json = open.strip_prefix('0').unwrap_or_else(|| panic!("{open} is no open packet"));
    let open: Value = serde_json::from_str(json).expect("an open packet is JSON");
    open["sid"].as_str().expect("a sid").to_owned()
}
