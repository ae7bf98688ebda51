//! The end of an Engine.IO session, whoever wants it.

mod support;

use serde_json::{Value, json};
use support::{
    World,
    echo::{ENGINE_IO, Echo},
    patiently,
    polling::Polling,
    wire::{Seen, Wire, frame, text},
};

async fn open(echo: &Echo) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{ENGINE_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire
}

#[tokio::test]
async fn a_close_packet_closes_a_websocket() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    socket.say("1").await;
    assert_eq!(socket.frame().await, Seen::Close(None));
    assert_eq!(socket.frame().await, Seen::End);
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    let echo = Echo::start();
    for (payload, answer) in [(&b""[..], None), (&[3, 232], Some(1000)), (&[3, 233, b'b', b'y', b'e'], Some(1001))] {
        let mut socket = open(&echo).await;
        // What was asked before is answered before.
        socket.write(&[text("4last"), frame(0x88, payload)].concat()).await;
        assert_eq!(socket.text().await, "4last");
        assert_eq!(socket.frame().await, Seen::Close(answer));
        assert_eq!(socket.frame().await, Seen::End);
    }
}

#[tokio::test]
async fn a_close_packet_ends_a_session_that_polls() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut waiting = session.wait().await;
    session.send("1").await;
    assert_eq!(waiting.answer().await.body, "6");
    session.forgotten().await;
}

/// The official client hands on what is in a body a moment after it has read it, but closes at a close packet at once. What
/// came with it was then kept for the next connection, where the recovery brought it again: viewers who polled heard a message
/// twice when their gateway drained.
#[tokio::test]
async fn what_is_left_for_a_client_that_polls_comes_before_the_close_packet_and_not_with_it() {
    // So that the session is over here as soon as it goes on there.
    let world = World::start(&[("HAAT_SHARDS", "1")]).await;
    let polling = "/socket.io/?EIO=4&transport=";
    let session = Polling::open(world.address, polling).await;
    session.send("40").await;
    let connected = connect_reply(&session.receive().await);
    session.send(r#"420["no:such",{}]"#).await;
    // It can go on elsewhere once it was saved.
    patiently("recovery", async {
        loop {
            let other = Polling::open(world.address, polling).await;
            other.send(&format!("40{}", json!({ "pid": connected["pid"] }))).await;
            if connect_reply(&other.receive().await)["sid"] == connected["sid"] {
                break;
            }
            other.send("1").await;
        }
    })
    .await;
    let left = session.receive().await;
    assert!(left.starts_with("430[") && !left.contains('\u{1e}'), "{left}");
    assert_eq!(session.receive().await, "1");
    session.forgotten().await;
}

fn connect_reply(packet: &str) -> Value {
    packet.strip_prefix("40").and_then(|reply| serde_json::from_str(reply).ok()).expect("an answer to CONNECT")
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_everybody() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut waiting = session.wait().await;
    let stop = tokio::spawn(echo.gateway.stop());
    assert_eq!(socket.frame().await, Seen::Close(Some(1012)));
    assert_eq!(waiting.answer().await.body, "1");
    patiently("stop", stop).await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_without_a_word_is_gone() {
    let world = World::start(&[]).await;
    let watcher = &mut world.guest().await;
    let _supplier = world.supplier(&["main"]).await;
    watcher.join("main").await;
    let mut other = world.guest().await;
    other.join("main").await;
    while watcher.event("viewers").await[0]["count"] != 2 {}
    other.drop_connection().await;
    while watcher.event("viewers").await[0]["count"] != 1 {}
}
