//! A fleet of real processes behind a load balancer that gives every request to the next gateway: nobody notices.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{collections::HashSet, net::SocketAddr};

use fleet::{Fleet, Gateway};
use haat_protocol::SessionId;
use serde_json::{Value, json};
use support::{
    pair::{Session, balancer},
    patiently,
    polling::UNKNOWN,
    token,
    wire::Wire,
};

async fn in_front_of(gateways: &[Gateway]) -> SocketAddr {
    balancer(gateways.iter().map(|gateway| gateway.public).collect()).await
}

/// A client that polls, and keeps what it hears.
struct Poller {
    session: Session,
    address: SocketAddr,
    heard: Vec<String>,
    next: u64,
}

impl Poller {
    async fn start(address: SocketAddr, auth: &Value) -> Self {
        let mut poller = Self { session: Session::open(address).await, address, heard: Vec::new(), next: 0 };
        assert_eq!(poller.session.post(address, &format!("40{auth}")).await.body, "ok");
        poller.until("40").await;
        poller
    }

    /// Polls until a packet begins so, and gives the rest of it.
    async fn until(&mut self, start: &str) -> String {
        loop {
            if let Some(packet) = self.heard.iter().find_map(|packet| packet.strip_prefix(start)) {
                return packet.to_owned();
            }
            self.poll().await;
        }
    }

    async fn poll(&mut self) {
        let answer = patiently("answer", self.session.get(self.address)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for packet in answer.body.split('\u{1e}') {
            if packet == "2" {
                assert_eq!(self.session.post(self.address, "3").await.body, "ok");
            }
            self.heard.push(packet.to_owned());
        }
    }

    async fn call(&mut self, event: &str, body: &Value) -> Value {
        let id = self.next;
        self.next += 1;
        let packet = format!("42{id}{}", json!([event, body]));
        assert_eq!(self.session.post(self.address, &packet).await.body, "ok");
        let answer: Value = serde_json::from_str(&self.until(&format!("43{id}")).await).expect("JSON");
        assert_eq!(answer[0]["ok"], true, "{event}: {answer}");
        answer
    }

    /// Goes on as a WebSocket, as the official client does it: it probes while it polls.
    async fn upgrade(mut self) -> (Wire, Vec<String>) {
        let mut wire = Wire::socket(self.address, &self.session.upgrade()).await;
        wire.say("2probe").await;
        assert_eq!(wire.text().await, "3probe");
        self.until("6").await;
        wire.say("5").await;
        (wire, self.heard)
    }
}

/// The texts of the chat messages among these packets.
fn texts(packets: &[String]) -> Vec<String> {
    let chats = packets.iter().filter_map(|packet| packet.strip_prefix(r#"42["chat:message","#));
    chats
        .map(|chat| {
            let (chat, _) = chat.rsplit_once(',').expect("an offset behind it");
            serde_json::from_str::<Value>(chat).expect("JSON")["text"].as_str().expect("a text").to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_has_everything_once_and_in_order() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(3, &[]).await;
    let address = in_front_of(&gateways).await;
    let mut supplier = Poller::start(address, &json!({ "token": token("supplier", "supplier", &["main"]) })).await;
    supplier.call("stream:start", &json!({ "stream": "main", "title": "Sale" })).await;
    supplier.call("stream:join", &json!({ "stream": "main" })).await;
    let mut viewers = Vec::new();
    for _ in 0..9 {
        let mut viewer = Poller::start(address, &json!({})).await;
        viewer.call("stream:join", &json!({ "stream": "main" })).await;
        viewers.push(viewer);
    }
    let homes: HashSet<u32> =
        viewers.iter().map(|viewer| SessionId::parse(&viewer.session.sid).unwrap().place().0).collect();
    assert!(homes.len() > 1, "the sessions live on several gateways");
    let chatter = tokio::spawn(async move {
        for number in 0..60 {
            supplier.call("chat:send", &json!({ "stream": "main", "text": number.to_string() })).await;
        }
    });
    let viewers = viewers.into_iter().enumerate().map(|(number, mut viewer)| {
        tokio::spawn(async move {
            // Two of three upgrade, at different moments; the others go on polling.
            let polled = if number % 3 == 0 { 60 } else { 5 * number };
            while texts(&viewer.heard).len() < polled {
                viewer.poll().await;
            }
            if polled == 60 {
                return texts(&viewer.heard);
            }
            let (mut wire, mut heard) = viewer.upgrade().await;
            while texts(&heard).len() < 60 {
                let text = wire.text().await;
                if text == "2" {
                    wire.say("3").await;
                }
                heard.push(text);
            }
            texts(&heard)
        })
    });
    let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    for viewer in viewers.collect::<Vec<_>>() {
        assert_eq!(patiently("everything", viewer).await.unwrap(), expected);
    }
    chatter.await.unwrap();
    let mut passed_on = 0.0;
    for gateway in &gateways {
        passed_on += gateway.metric("haat_hops_total").await;
    }
    assert!(passed_on > 100.0, "{passed_on}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_gateway_that_was_killed_are_gone_and_the_others_are_not() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateways = fleet.gateways(3, &[]).await;
    let address = in_front_of(&gateways).await;
    let mut sessions = Vec::new();
    for gateway in &gateways {
        sessions.push(Session::connect(gateway.public).await);
    }
    for session in &sessions {
        assert_eq!(session.post(address, "3").await.body, "ok");
    }
    gateways.remove(0).kill();
    for gateway in &gateways {
        for answer in [sessions[0].post(gateway.public, "3").await, sessions[0].get(gateway.public).await] {
            assert_eq!((answer.status, &*answer.body), (400, UNKNOWN));
        }
        assert_eq!(sessions[1].post(gateway.public, "3").await.body, "ok");
        assert_eq!(sessions[2].post(gateway.public, "3").await.body, "ok");
    }
    // One who comes later is found as well.
    let new = fleet.gateway(&[]).await;
    let session = Session::connect(new.public).await;
    for gateway in &gateways {
        assert_eq!(session.post(gateway.public, "3").await.body, "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_found_while_redis_is_away() {
    let Some(mut fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let session = Session::connect(gateways[0].public).await;
    assert_eq!(session.post(gateways[1].public, "3").await.body, "ok");
    fleet.redis.kill();
    for _ in 0..3 {
        assert_eq!(session.post(gateways[1].public, "3").await.body, "ok");
    }
}
