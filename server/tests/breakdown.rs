//! A fault of the server costs one connection, or else its shard; and it is seen. One that is busy is told what all are told.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    any::Any,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haat_adapter::Entry;
use haat_protocol::{Frame, error::Rejection, packet::Event};
use haat_server::{
    close::CloseReason,
    gateway::{Gateway, Plan},
    hub::mailbox::Mail,
    room::{
        At, Rooms,
        app::{App, Left},
    },
};
use serde_json::json;
use support::{
    echo::{Echo, plan},
    patiently,
    wire::Wire,
};
use tokio::{sync::Notify, task::JoinHandle};

/// An echo that breaks down when it is told to.
struct Fragile {
    rooms: Rc<Rooms>,
    echo: Rc<dyn App>,
    told: Arc<AtomicBool>,
    /// Ends a task that should go on for ever.
    over: Rc<Notify>,
}

impl App for Fragile {
    fn event(&self, at: At, event: Event<'_>) {
        match &*event.name {
            "break" => panic!("in the task of a connection, as the test wants it"),
            "break a task" => self.over.notify_one(),
            "break all" => self.rooms.hub.send(self.rooms.shard, Mail::App(Box::new(()))).unwrap(),
            _ => self.echo.event(at, event),
        }
    }

    fn mail(&self, mail: Box<dyn Any + Send>) {
        match mail.downcast::<Duration>() {
            Ok(busy) => std::thread::sleep(*busy),
            Err(_) => panic!("in a task of the shard, as the test wants it"),
        }
    }

    fn standing(&self) -> Vec<JoinHandle<()>> {
        let over = self.over.clone();
        vec![tokio::task::spawn_local(async move { over.notified().await })]
    }

    fn draining(&self, _: Duration) {
        self.told.store(true, Ordering::SeqCst);
    }

    fn connect(&self, at: At, auth: &str) {
        self.echo.connect(at, auth);
    }

    fn rejected(&self, _: At, _: Option<u64>, _: &str, _: Rejection) {}
    fn disconnected(&self, _: At, _: Left, _: CloseReason) {}
    fn entry(&self, _: Arc<Entry>, _: Frame) {}
}

/// One shard of it. It says whether it was told that the gateway drains.
fn fragile(plan: &mut Plan) -> Arc<AtomicBool> {
    plan.shards = 1;
    let (echo, told) = (plan.app.clone(), Arc::<AtomicBool>::default());
    let flag = told.clone();
    plan.app = Arc::new(move |rooms| {
        Rc::new(Fragile { echo: echo(rooms.clone()), rooms, told: flag.clone(), over: Rc::default() })
    });
    told
}

async fn connected(world: &Echo) -> Wire {
    let mut wire = Wire::connected(world.address, &json!({})).await;
    assert!(wire.text().await.starts_with(r#"42["auth""#));
    wire
}

#[tokio::test]
async fn one_connection_breaks_and_the_others_go_on() {
    let world = Echo::of(|plan| drop(fragile(plan)));
    let (mut broken, mut other) = (connected(&world).await, connected(&world).await);
    broken.say(r#"42["break"]"#).await;
    assert_eq!(broken.closed().await, 1011);
    other.say(r#"42["message",1]"#).await;
    assert_eq!(other.text().await, r#"42["message-back",1]"#);
    connected(&world).await;
    assert!(world.gateway.is_whole());
}

#[tokio::test]
async fn a_shard_that_has_ended_lets_its_clients_go_and_is_seen() {
    for event in ["break all", "break a task"] {
        ends_by(event).await;
    }
}

async fn ends_by(event: &str) {
    let world = Echo::of(|plan| drop(fragile(plan)));
    assert!(world.gateway.is_whole());
    let (mut one, mut other) = (connected(&world).await, connected(&world).await);
    one.say(&format!(r#"42["{event}"]"#)).await;
    for wire in [&mut one, &mut other] {
        wire.rest().await;
    }
    patiently("the shard to end", async {
        while world.gateway.is_whole() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_whose_mailbox_is_full_is_told_of_the_drain() {
    let mut plan = plan();
    plan.mailbox = 1;
    let told = fragile(&mut plan);
    let (hub, mailboxes) = Gateway::hub(&plan);
    let gateway = Gateway::start(&plan, hub.clone(), mailboxes, Arc::new(|_, _, _| {})).expect("a gateway");
    let mut wire = Wire::connected(gateway.address(), &json!({})).await;
    while hub.send(0, Mail::App(Box::new(Duration::from_millis(200)))).is_ok() {}
    gateway.drain(Duration::from_secs(5)).await;
    assert!(told.load(Ordering::SeqCst));
    assert_eq!(wire.closed().await, 1012);
}
