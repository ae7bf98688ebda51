//! While the engine does not answer nobody is cut off, nothing is confirmed, and everything goes on afterwards.

mod support;

use serde_json::json;
use support::{Client, World, token, wire};

async fn ready(world: &World) -> u16 {
    wire::ask(world.server.private_address(), "GET", "/readyz", "").await.status
}

#[tokio::test]
async fn commands_say_unavailable_and_connections_stay() {
    // One shard: what one connection was told of a stream, all of them are.
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let mut supplier = world.supplier(&["main", "other"]).await;
    supplier.join("main").await;
    let mut viewer = world.user("asha").await;
    viewer.join("main").await;
    supplier.say("main", "before").await;
    viewer.chats(1).await;
    assert_eq!(ready(&world).await, 200);

    world.engine.set_available(false);
    assert_eq!(ready(&world).await, 503);
    let body = json!({ "stream": "main", "text": "during", "clientId": "c1" });
    for (command, body) in [
        ("chat:send", &body),
        ("stream:join", &json!({ "stream": "other" })),
        ("stream:history", &json!({ "stream": "main", "before": 1 })),
    ] {
        let answer = viewer.call(command, body).await;
        let code = &answer["error"]["code"];
        // What is known here is answered.
        assert!(code == "unavailable" || command == "stream:history" && answer["ok"] == true, "{command}: {answer}");
    }
    let answer = supplier.call("stream:update", &json!({ "stream": "main", "title": "During" })).await;
    assert_eq!(answer["error"]["code"], "unavailable");
    // Whoever comes now is let in, and sees what is known.
    let mut late = world.guest().await;
    assert_eq!(late.join("main").await["state"]["status"], "live");

    world.engine.set_available(true);
    assert_eq!(ready(&world).await, 200);
    // What was not confirmed was not done: the same id says so now.
    let first = viewer.call("chat:send", &body).await;
    assert_eq!(first["ok"], true);
    assert_eq!(viewer.call("chat:send", &body).await, first);
    for client in [&mut viewer, &mut late] {
        assert_eq!(client.chats(1).await[0].1, "during");
    }
    viewer.join("other").await;
}

#[tokio::test]
async fn a_session_that_returns_meanwhile_is_new_and_can_join_what_is_known() {
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let mut viewer = Client::connect(world.address, &auth).await;
    viewer.join("main").await;
    let mut again = auth.clone();
    again["pid"] = viewer.connected["pid"].clone();
    world.engine.set_available(false);
    let sid = viewer.connected["sid"].clone();
    viewer.drop_connection().await;
    let mut viewer = Client::connect(world.address, &again).await;
    assert!(viewer.accepted);
    assert_ne!(viewer.connected["sid"], sid);
    viewer.join("main").await;
    world.engine.set_available(true);
    viewer.say("main", "back").await;
    assert_eq!(viewer.chats(1).await[0].1, "back");
}
