//! Two gateways on one engine are one place.

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::json;
use support::{Client, World, token};

async fn two() -> (World, World) {
    let engine = Engine::new(Limits::default());
    (World::join(&engine, &[]).await, World::join(&engine, &[]).await)
}

#[tokio::test]
async fn viewers_of_both_see_one_order() {
    let (here, there) = two().await;
    let _supplier = here.supplier(&["main"]).await;
    let mut viewers = Vec::new();
    for world in [&here, &there, &here, &there] {
        let mut viewer = world.guest().await;
        viewer.join("main").await;
        viewers.push(viewer);
    }
    let mut senders = tokio::task::JoinSet::new();
    for (number, world) in [&here, &there].into_iter().cycle().take(4).enumerate() {
        let mut sender = world.user(&format!("sender-{number}")).await;
        sender.join("main").await;
        senders.spawn(async move {
            for turn in 0..50 {
                sender.say("main", &format!("{number}/{turn}")).await;
            }
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    let first = viewers[0].chats(200).await;
    assert!(first.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{first:?}");
    for viewer in &mut viewers[1..] {
        assert_eq!(viewer.chats(200).await, first);
    }
}

#[tokio::test]
async fn viewers_of_both_are_counted_together() {
    let (here, there) = two().await;
    let _supplier = here.supplier(&["main"]).await;
    let mut viewers = Vec::new();
    for world in [&here, &there, &there] {
        let mut viewer = world.guest().await;
        viewer.join("main").await;
        viewers.push(viewer);
    }
    for viewer in &mut viewers {
        while viewer.event("viewers").await != [json!({ "stream": "main", "count": 3 })] {}
    }
    viewers.remove(2).drop_connection().await;
    for viewer in &mut viewers {
        while viewer.event("viewers").await != [json!({ "stream": "main", "count": 2 })] {}
    }
}

#[tokio::test]
async fn a_stream_of_one_is_known_to_the_other_and_its_end_too() {
    let (here, there) = two().await;
    let mut supplier = here.supplier(&["main"]).await;
    let mut viewer = there.user("asha").await;
    assert_eq!(viewer.join("main").await["state"]["status"], "live");
    supplier.call("stream:end", &json!({ "stream": "main" })).await;
    assert_eq!(viewer.event("stream:ended").await[0]["state"]["status"], "ended");
    let answer = viewer.call("chat:send", &json!({ "stream": "main", "text": "hello" })).await;
    assert_eq!(answer["error"]["code"], "ended");
}

#[tokio::test]
async fn a_message_that_is_sent_again_elsewhere_is_the_first_one() {
    let (here, there) = two().await;
    let _supplier = here.supplier(&["main"]).await;
    let body = json!({ "stream": "main", "text": "hello", "clientId": "c1" });
    let mut messages = Vec::new();
    for world in [&here, &there] {
        let mut asha = world.user("asha").await;
        asha.join("main").await;
        messages.push(asha.call("chat:send", &body).await["message"].clone());
    }
    assert!(messages[0]["id"].is_string());
    assert_eq!(messages[0], messages[1]);
}

#[tokio::test]
async fn whoever_loses_one_gateway_goes_on_at_the_other() {
    let (here, there) = two().await;
    let mut supplier = there.supplier(&["main"]).await;
    supplier.join("main").await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let mut viewer = Client::connect(here.address, &auth).await;
    let (sid, pid) = (viewer.connected["sid"].clone(), viewer.connected["pid"].clone());
    viewer.join("main").await;
    supplier.say("main", "before").await;
    let seen = viewer.chats(1).await.remove(0);
    viewer.drop_connection().await;
    here.server.stop().await;
    for text in ["one", "two", "three"] {
        supplier.say("main", text).await;
    }
    let mut auth = auth;
    auth["pid"] = pid.clone();
    auth["offset"] = json!(seen.2);
    let mut viewer = Client::connect(there.address, &auth).await;
    assert_eq!(viewer.connected, json!({ "sid": sid, "pid": pid }));
    supplier.say("main", "after").await;
    let texts: Vec<String> = viewer.chats(4).await.into_iter().map(|chat| chat.1).collect();
    assert_eq!(texts, ["one", "two", "three", "after"]);
    assert_eq!(viewer.say("main", "still me").await["user"]["id"], "asha");
}

#[tokio::test]
async fn the_newer_connection_wins_wherever_the_old_one_is() {
    let (here, there) = two().await;
    let _supplier = here.supplier(&["main"]).await;
    let mut old = here.guest().await;
    old.join("main").await;
    let auth = json!({ "pid": old.connected["pid"] });
    let new = Client::connect(there.address, &auth).await;
    assert_eq!(new.connected, old.connected);
    old.closed().await;
}
