//! Leaving a namespace, by the client and by the server.

mod support;

use support::{
    World,
    echo::{Echo, SOCKET_IO},
    wire::{Seen, Wire},
};

/// A connection that has come into both namespaces.
async fn both(echo: &Echo) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    for connect in ["40", "40/custom"] {
        wire.say(connect).await;
        assert!(wire.text().await.starts_with(connect));
        assert!(wire.text().await.starts_with("42"));
    }
    wire
}

#[tokio::test]
async fn whoever_leaves_one_namespace_stays_in_the_other() {
    let echo = Echo::start();
    for (leave, stay) in [("41", "/custom,"), ("41/custom,", ""), ("41/custom", "")] {
        let mut socket = both(&echo).await;
        socket.say(leave).await;
        socket.say(&format!(r#"42{stay}["message"]"#)).await;
        assert_eq!(socket.text().await, format!(r#"42{stay}["message-back"]"#));
    }
}

#[tokio::test]
async fn whoever_has_left_has_nothing_more_to_say_there() {
    let echo = Echo::start();
    let mut socket = both(&echo).await;
    socket.say("41").await;
    socket.say(r#"42["message"]"#).await;
    assert_eq!(socket.frame().await, Seen::Close(None));
}

#[tokio::test]
async fn one_may_come_back_on_the_same_connection_as_somebody_new() {
    let echo = Echo::start();
    let mut socket = Wire::socket(echo.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(socket.text().await.starts_with("0{"));
    let mut sids = std::collections::HashSet::new();
    for _ in 0..3 {
        socket.say("40").await;
        sids.insert(socket.text().await);
        assert_eq!(socket.text().await, r#"42["auth",{}]"#);
        socket.say("41").await;
    }
    assert_eq!(sids.len(), 3);
}

#[tokio::test]
async fn one_connection_too_many_of_a_user_sends_the_oldest_away_for_good() {
    let world = World::start(&[("HAAT_LIMITS_USER_CONNECTIONS", "2"), ("HAAT_SHARDS", "4")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut asha = Vec::new();
    for _ in 0..2 {
        asha.push(world.user("asha").await);
    }
    // Neither others nor guests are counted among them.
    let mut ravi = world.user("ravi").await;
    let mut guests = Vec::new();
    for _ in 0..3 {
        guests.push(world.guest().await);
    }
    asha.push(world.user("asha").await);
    // A DISCONNECT packet: the official client does not come back after it.
    assert_eq!(asha.remove(0).receive().await.as_deref(), Some("41"));
    for client in asha.iter_mut().chain([&mut ravi]).chain(&mut guests) {
        client.join("main").await;
    }
}
