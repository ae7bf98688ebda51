//! A gateway that another one asks answers for its clients: with all that the question carries, for those who stay, and before
//! the asker gives up.

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use haat_adapter::{
    Adapter, Broadcast, Entry, Event, Flags, Inbound, Reply, Request, RequestError, Target, memory::Gateway,
};
use serde_json::{Value, json};
use support::{
    World, patiently,
    wire::{Seen, Wire},
};

/// No test waits for it.
const LONG: Duration = Duration::from_secs(600);

/// A gateway without clients.
struct Asker {
    adapter: Arc<Gateway>,
    _inbound: Arc<dyn Inbound>,
}

struct Deaf;

impl Inbound for Deaf {
    fn wants(&self, _namespace: &str, _room: &str) -> bool {
        false
    }

    fn deliver(&self, _broadcast: Broadcast) {}

    fn entry(&self, _entry: Arc<Entry>) {}

    fn serve(&self, _request: Request, reply: Reply) {
        reply.send(Vec::new());
    }
}

impl Asker {
    fn beside(world: &World) -> Self {
        let inbound: Arc<dyn Inbound> = Arc::new(Deaf);
        Self { adapter: world.engine.attach("asker", Arc::downgrade(&inbound)), _inbound: inbound }
    }

    /// Asks all clients, and gives what the other gateway said.
    fn ask(
        &self,
        args: &Value,
        attachments: Vec<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Vec<Value>>, RequestError>> + use<> {
        let target = Target { namespace: "/".to_owned(), ..Target::default() };
        let event = Event { args: args.to_string(), attachments };
        let request = Request::BroadcastAck(Broadcast { target, flags: Flags::default(), event });
        let adapter = self.adapter.clone();
        async move { adapter.request(request, timeout).await.map(|replies| replies.answers) }
    }
}

/// A guest in the main namespace.
async fn guest(world: &World) -> Wire {
    let mut wire = Wire::socket(world.address, "/socket.io/?EIO=4&transport=websocket").await;
    assert!(wire.text().await.starts_with("0{"));
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
    wire
}

#[tokio::test]
async fn the_bytes_of_a_question_reach_the_clients() {
    let world = World::start(&[]).await;
    let asker = Asker::beside(&world);
    let mut client = guest(&world).await;
    let question = json!(["look", { "_placeholder": true, "num": 0 }]);
    let answers = tokio::spawn(asker.ask(&question, vec![Bytes::from_static(&[1, 2, 3])], LONG));
    assert_eq!(client.text().await, r#"451-0["look",{"_placeholder":true,"num":0}]"#);
    assert_eq!(client.frame().await, Seen::Binary(vec![1, 2, 3]));
    client.say("430[7]").await;
    assert_eq!(patiently("answer", answers).await.unwrap().unwrap(), [[json!(7)]]);
}

#[tokio::test]
async fn one_who_leaves_takes_nobodys_answer_along() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let asker = Asker::beside(&world);
    let (mut stays, mut leaves, mut breaks) = (guest(&world).await, guest(&world).await, guest(&world).await);
    let answers = tokio::spawn(asker.ask(&json!(["who"]), Vec::new(), LONG));
    for client in [&mut stays, &mut leaves, &mut breaks] {
        assert_eq!(client.text().await, r#"420["who"]"#);
    }
    stays.say(r#"430["me"]"#).await;
    leaves.say("41").await;
    breaks.reset();
    assert_eq!(patiently("answer", answers).await.unwrap().unwrap(), [[json!("me")]]);
}

#[tokio::test]
async fn one_who_is_silent_keeps_nobodys_answer_back() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let asker = Asker::beside(&world);
    let (mut answers, mut silent) = (guest(&world).await, guest(&world).await);
    let asked = tokio::spawn(asker.ask(&json!(["who"]), Vec::new(), Duration::from_secs(3)));
    for client in [&mut answers, &mut silent] {
        assert_eq!(client.text().await, r#"420["who"]"#);
    }
    answers.say(r#"430["me"]"#).await;
    assert_eq!(patiently("answer", asked).await.unwrap().unwrap(), [[json!("me")]]);
    // Too late, and no harm.
    silent.say(r#"430["me too"]"#).await;
    let again = tokio::spawn(asker.ask(&json!(["again"]), Vec::new(), LONG));
    for client in [&mut answers, &mut silent] {
        assert_eq!(client.text().await, r#"421["again"]"#);
        client.say("431[1]").await;
    }
    assert_eq!(patiently("answer", again).await.unwrap().unwrap(), [[json!(1), json!(1)]]);
}
