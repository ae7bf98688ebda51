//! A gateway that drains serves whom it has until their turn comes, and takes nobody new.

mod support;

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use support::{
    World, patiently,
    polling::sid_of,
    wire::{Answer, Wire},
};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
/// Nobody's turn comes while a test runs.
const LONG: Duration = Duration::from_secs(600);

async fn get(address: SocketAddr, target: &str) -> Answer {
    Wire::connect(address).await.ask("GET", target, "").await
}

#[tokio::test]
async fn one_who_has_only_just_come_is_told_and_served_on() {
    let world = World::start(&[]).await;
    let mut client = world.guest().await;
    let drain = tokio::spawn(world.server.drain(LONG));
    let event = client.event("server:draining").await;
    assert_eq!(event, [json!({ "reconnectWithinMs": 480_000 })]);
    assert_eq!(client.call("no:such", &json!({})).await["error"]["code"], "not_found");
    client.drop_connection().await;
    patiently("end of the drain", drain).await.unwrap();
}

#[tokio::test]
async fn a_client_that_polls_is_told_and_served_on() {
    let world = World::start(&[]).await;
    let address = world.address;
    let session = format!("{POLLING}&sid={}", sid_of(&get(address, POLLING).await.body));
    let post = async |packets: &str| Wire::connect(address).await.ask("POST", &session, packets).await.body;
    assert_eq!(post("40").await, "ok");
    assert!(get(address, &session).await.body.starts_with("40{"));
    let drain = tokio::spawn(world.server.drain(LONG));
    assert!(get(address, &session).await.body.contains("server:draining"));
    assert_eq!(post(r#"420["no:such",{}]"#).await, "ok");
    assert!(get(address, &session).await.body.starts_with(r#"430[{"ok":false,"#));
    assert_eq!(post("1").await, "ok");
    patiently("end of the drain", drain).await.unwrap();
}

#[tokio::test]
async fn nobody_new_is_let_in_not_even_on_a_connection_that_was_there() {
    // One shard: what one client was told, all of it know.
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let address = world.address;
    let mut held = world.guest().await;
    let (mut first, mut second) = (Wire::connect(address).await, Wire::connect(address).await);
    for wire in [&mut first, &mut second] {
        assert_eq!(wire.ask("GET", "/nothing-here", "").await.status, 404);
    }
    let drain = tokio::spawn(world.server.drain(LONG));
    held.event("server:draining").await;
    assert_eq!(first.ask("GET", POLLING, "").await.status, 503);
    assert_eq!(second.upgrade(SOCKET).await.status, 503);
    assert_eq!(Wire::connect(address).await.upgrade(SOCKET).await.status, 503);
    held.drop_connection().await;
    patiently("end of the drain", drain).await.unwrap();
}

#[tokio::test]
async fn all_are_closed_within_the_grace_with_the_code_of_a_restart() {
    let world = World::start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.guest().await);
    }
    let drain = tokio::spawn(world.server.drain(Duration::from_secs(2)));
    for client in &mut clients {
        client.event("server:draining").await;
        assert_eq!(client.closed().await, 1012);
    }
    patiently("end of the drain", drain).await.unwrap();
}
