//! What the server emitted first arrives first: broadcasts to rooms and answers to one connection, mixed.

mod support;

use std::{any::Any, rc::Rc, sync::Arc};

use haat_adapter::Entry;
use haat_protocol::{Frame, error::Rejection, packet::Event, socket};
use haat_server::{
    close::CloseReason,
    room::{
        At, Rooms,
        app::{App, Left},
    },
};
use support::{
    echo::{Echo, SOCKET_IO},
    polling::Polling,
    wire::Wire,
};

/// Everybody is in the rooms `a` and `b`. Event `mix` sends numbers: to the one who asks, to `a`, and to `b`.
struct Mixer(Rc<Rooms>);

const ROUNDS: usize = 12;

impl Mixer {
    fn number(number: usize) -> Frame {
        socket::event_pieces("/", &[&format!("[\"n\",{number}]")])
    }
}

impl App for Mixer {
    fn connect(&self, at: At, _: &str) {
        let id = haat_protocol::Id::random().expect("randomness");
        self.0.accept(at, id, None, None, &[]);
        self.0.join(at, "a");
        self.0.join(at, "b");
    }

    fn event(&self, at: At, event: Event<'_>) {
        if event.name != "mix" {
            return;
        }
        for number in 0..ROUNDS {
            match number % 4 {
                0 => self.0.broadcast(0, "a", &Self::number(number)),
                2 => self.0.broadcast(0, "b", &Self::number(number)),
                _ => self.0.emit(at.key, &Self::number(number)),
            }
        }
        if let Some(id) = event.id {
            self.0.emit(at.key, &socket::ack("/", id, "[]", &[]));
        }
        self.0.broadcast(0, "a", &Self::number(ROUNDS));
    }

    fn rejected(&self, _: At, _: Option<u64>, _: &str, _: Rejection) {}
    fn disconnected(&self, _: At, _: Left, _: CloseReason) {}
    fn entry(&self, _: Arc<Entry>, _: Frame) {}
    fn mail(&self, _: Box<dyn Any + Send>) {}
}

fn server() -> Echo {
    Echo::of(|plan| {
        plan.shards = 1;
        plan.app = Arc::new(|rooms| Rc::new(Mixer(rooms)));
    })
}

/// What the one who asks gets, and what others get.
fn wanted() -> (Vec<String>, Vec<String>) {
    let numbers = (0..ROUNDS).map(|number| format!("42[\"n\",{number}]"));
    let mut asker: Vec<String> = numbers.clone().collect();
    asker.push("437[]".to_owned());
    let mut other: Vec<String> = numbers.step_by(2).collect();
    for all in [&mut asker, &mut other] {
        all.push(format!("42[\"n\",{ROUNDS}]"));
    }
    (asker, other)
}

async fn joined(server: &Echo) -> Wire {
    let mut wire = Wire::socket(server.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
    wire
}

#[tokio::test]
async fn on_websockets() {
    let server = server();
    let (mut asker, mut other) = (joined(&server).await, joined(&server).await);
    let (to_asker, to_other) = wanted();
    for _ in 0..50 {
        asker.say("427[\"mix\"]").await;
        for text in &to_asker {
            assert_eq!(&asker.text().await, text);
        }
        for text in &to_other {
            assert_eq!(&other.text().await, text);
        }
    }
}

#[tokio::test]
async fn over_polling() {
    let server = server();
    let (asker, other) =
        (Polling::open(server.address, SOCKET_IO).await, Polling::open(server.address, SOCKET_IO).await);
    for session in [&asker, &other] {
        session.send("40").await;
        assert!(session.receive().await.starts_with("40{"));
    }
    let (to_asker, to_other) = wanted();
    for _ in 0..10 {
        asker.send("427[\"mix\"]").await;
        assert_eq!(asker.receive().await, to_asker.join("\x1e"));
        assert_eq!(other.receive().await, to_other.join("\x1e"));
    }
}
