//! The engine has lost everything: viewers are told once, before anything later, and the stream goes on in a new life.

mod support;

use haat_adapter::{
    Market, Store,
    memory::{Engine, Limits},
};
use serde_json::{Value, json};
use support::{Client, World};

/// The names of the stream's events up to the next one of this name, and that one's object.
async fn until(client: &mut Client, wanted: &str) -> (Vec<String>, Value) {
    let mut names = Vec::new();
    loop {
        while let Some(event) = client.events.pop_front() {
            let name = event[0].as_str().unwrap_or_default().to_owned();
            if name != "viewers" {
                names.push(name.clone());
            }
            if name == wanted {
                return (names, event[1].clone());
            }
        }
        client.step().await.expect("the connection stays");
    }
}

#[tokio::test]
async fn everybody_is_told_once_and_the_stream_keeps_its_state() {
    let engine = Engine::new(Limits::default());
    let (here, there) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut supplier = here.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut viewers = Vec::new();
    let mut epoch = Value::Null;
    for world in [&here, &there, &here, &there] {
        let mut viewer = world.user(&format!("viewer-{}", viewers.len())).await;
        epoch = viewer.join("main").await["state"]["epoch"].clone();
        viewers.push(viewer);
    }
    for number in 0..5 {
        supplier.say("main", &format!("{number}")).await;
    }
    for viewer in &mut viewers {
        viewer.chats(5).await;
    }

    engine.lose_data();
    supplier.say("main", "after").await;
    for viewer in &mut viewers {
        let (names, reset) = until(viewer, "stream:reset").await;
        assert_eq!(names, ["stream:reset"], "nothing later comes before it");
        assert_eq!((&reset["stream"], &reset["reason"]), (&json!("main"), &json!("lost")));
        assert_ne!(reset["epoch"], epoch);
        let state = viewer.join("main").await["state"].clone();
        assert_eq!(state["epoch"], reset["epoch"]);
        assert_eq!((&state["title"], &state["status"]), (&json!("Sale"), &json!("live")));
    }
    // And it goes on, without another word of it.
    let last = supplier.say("main", "the last").await;
    for viewer in &mut viewers {
        while until(viewer, "chat:message").await.1 != last {}
        let history = viewer.call("stream:history", &json!({ "stream": "main" })).await;
        let texts: Vec<&Value> = history["messages"].as_array().unwrap().iter().map(|chat| &chat["text"]).collect();
        assert_eq!(texts, ["after", "the last"]);
        assert!(viewer.events.iter().all(|event| event[0] != "stream:reset"));
    }
}

#[tokio::test]
async fn a_session_from_before_does_not_come_back_as_one() {
    let world = World::start(&[]).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut viewer = world.guest().await;
    viewer.join("main").await;
    let auth = json!({ "pid": viewer.connected["pid"] });
    let sid = viewer.connected["sid"].clone();
    viewer.drop_connection().await;
    world.engine.lose_data();
    supplier.say("main", "after").await;
    let mut viewer = Client::connect(world.address, &auth).await;
    assert_ne!(viewer.connected["sid"], sid);
    assert_eq!(viewer.join("main").await["history"][0]["text"], "after");
}

/// What the first record of this kind in the stream's ledger shows as the state's epoch, and the epoch that there is.
async fn epochs(world: &World, kind: &str) -> (Value, Value) {
    let snapshot = world.engine.snapshot("main", "", 0).await.expect("it answers").expect("the stream is there");
    let records = world.engine.ledger("main", "", 100).await.expect("it answers");
    let record = records.iter().find(|record| *record.kind == *kind).expect("it was recorded");
    let data: Value = serde_json::from_str(&record.data).expect("JSON");
    (data["state"]["epoch"].clone(), json!(&*snapshot.position.epoch))
}

#[tokio::test]
async fn what_begins_an_epoch_shows_it() {
    let world = World::start(&[]).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let (shown, first) = epochs(&world, "stream:started").await;
    assert_eq!(shown, first);
    world.engine.lose_data();
    supplier.say("main", "after").await;
    let (shown, second) = epochs(&world, "stream:updated").await;
    assert_eq!(shown, second);
    assert_ne!(first, second);
}
