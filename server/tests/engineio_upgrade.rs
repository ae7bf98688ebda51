//! Polling, then WebSocket: nothing is lost, and nothing changes places, whatever comes in one piece.

mod support;

use serde_json::Value;
use support::{
    echo::{ENGINE_IO, Echo, SOCKET_IO},
    polling::{Polling, UNKNOWN},
    wire::{Seen, Wire, ask, frame, text},
};

/// A polling session: where its requests go, and where its WebSocket does.
async fn open(echo: &Echo, base: &str) -> (String, String) {
    let Polling { target, upgrade, .. } = Polling::open(echo.address, base).await;
    (target, upgrade)
}

/// A WebSocket that has probed.
async fn probed(echo: &Echo, target: &str) -> Wire {
    let mut socket = Wire::socket(echo.address, target).await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

#[tokio::test]
async fn what_comes_in_one_piece_with_the_upgrade_is_served_in_order() {
    let echo = Echo::start();
    let (_, target) = open(&echo, ENGINE_IO).await;
    let mut socket = probed(&echo, &target).await;
    let mut piece = text("5");
    piece.extend(text("4first"));
    piece.extend(frame(0x82, b"\x01\x02"));
    piece.extend(text("4second"));
    let third = text("4third");
    piece.extend(&third[..5]);
    socket.write(&piece).await;
    assert_eq!(socket.text().await, "4first");
    assert_eq!(socket.frame().await, Seen::Binary(vec![1, 2]));
    assert_eq!(socket.text().await, "4second");
    socket.write(&third[5..]).await;
    assert_eq!(socket.text().await, "4third");
}

#[tokio::test]
async fn a_binary_event_right_behind_the_upgrade_is_one_event() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, SOCKET_IO).await;
    ask(echo.address, "POST", &polls, "40").await;
    let connected = ask(echo.address, "GET", &polls, "").await;
    assert!(connected.body.starts_with("40{"), "{connected:?}");
    let mut socket = probed(&echo, &target).await;
    let event = br#"451-["message",{"_placeholder":true,"num":0}]"#;
    let piece = [text("5"), frame(0x81, event), frame(0x82, b"bytes")].concat();
    socket.write(&piece).await;
    assert_eq!(socket.text().await, r#"451-["message-back",{"_placeholder":true,"num":0}]"#);
    assert_eq!(socket.frame().await, Seen::Binary(b"bytes".to_vec()));
}

#[tokio::test]
async fn a_close_right_behind_the_upgrade_ends_the_session() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, ENGINE_IO).await;
    let mut socket = probed(&echo, &target).await;
    socket.write(&[text("5"), frame(0x88, &1000_u16.to_be_bytes())].concat()).await;
    assert_eq!(socket.frame().await, Seen::Close(Some(1000)));
    assert_eq!(socket.frame().await, Seen::End);
    let after = ask(echo.address, "GET", &polls, "").await;
    assert_eq!((after.status, &*after.body), (400, UNKNOWN));
}

#[tokio::test]
async fn what_is_said_while_it_upgrades_leaves_on_the_websocket() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, ENGINE_IO).await;
    let mut socket = probed(&echo, &target).await;
    // A GET of a session that probes returns, with a noop if there is nothing else.
    assert_eq!(ask(echo.address, "GET", &polls, "").await.body, "6");
    for text in ["4a", "4b\x1e4c"] {
        assert_eq!(ask(echo.address, "POST", &polls, text).await.body, "ok");
    }
    socket.say("5").await;
    for text in ["4a", "4b", "4c"] {
        assert_eq!(socket.text().await, text);
    }
}

#[tokio::test]
async fn a_poll_that_waits_returns_when_the_websocket_has_probed() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, ENGINE_IO).await;
    let mut waiting = Wire::connect(echo.address).await;
    waiting.request("GET", &polls, "").await;
    let mut socket = probed(&echo, &target).await;
    assert_eq!(waiting.answer().await.body, "6");
    socket.say("5").await;
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
}

#[tokio::test]
async fn after_the_upgrade_polls_are_refused_and_the_session_lives() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, ENGINE_IO).await;
    let mut socket = probed(&echo, &target).await;
    socket.say("5").await;
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    for (method, body) in [("GET", ""), ("POST", "4x")] {
        let answer = ask(echo.address, method, &polls, body).await;
        assert_eq!((answer.status, &*answer.body), (400, r#"{"code":3,"message":"Bad request"}"#));
    }
    socket.say("4still here").await;
    assert_eq!(socket.text().await, "4still here");
}

#[tokio::test]
async fn a_second_websocket_is_turned_away_before_and_after_the_upgrade() {
    let echo = Echo::start();
    let (_, target) = open(&echo, ENGINE_IO).await;
    let mut socket = probed(&echo, &target).await;
    let mut second = Wire::socket(echo.address, &target).await;
    assert_eq!(second.frame().await, Seen::Close(None));
    socket.say("5").await;
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    let mut third = Wire::socket(echo.address, &target).await;
    assert_eq!(third.frame().await, Seen::Close(None));
    socket.say("4still here").await;
    assert_eq!(socket.text().await, "4still here");
}

#[tokio::test]
async fn a_websocket_that_says_something_else_first_is_closed_and_polling_goes_on() {
    let echo = Echo::start();
    let (polls, target) = open(&echo, ENGINE_IO).await;
    for first in ["4hello", "2", "3probe", "1"] {
        let mut socket = Wire::socket(echo.address, &target).await;
        socket.say(first).await;
        assert_eq!(socket.frame().await, Seen::Close(None), "{first}");
    }
    let post = ask(echo.address, "POST", &polls, "4still polling").await;
    assert_eq!(post.body, "ok");
    assert_eq!(ask(echo.address, "GET", &polls, "").await.body, "4still polling");
}

#[tokio::test]
async fn an_upgrade_that_is_given_up_can_be_tried_again() {
    let echo = Echo::with(|settings| settings.upgrade_timeout = std::time::Duration::from_millis(300));
    let (polls, target) = open(&echo, ENGINE_IO).await;
    // Hangs up after the probe.
    probed(&echo, &target).await.hang_up();
    // Says nothing any more. The first one may still be noticed.
    let mut silent = loop {
        let mut socket = Wire::socket(echo.address, &target).await;
        socket.say("2probe").await;
        match socket.frame().await {
            Seen::Text(text) if text == "3probe" => break socket,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!(silent.frame().await, Seen::Close(None));
    ask(echo.address, "POST", &polls, "4queued").await;
    let mut socket = probed(&echo, &target).await;
    socket.say("5").await;
    assert_eq!(socket.text().await, "4queued");
}

#[tokio::test]
async fn the_open_packet_of_a_websocket_offers_no_upgrade() {
    let echo = Echo::start();
    let mut socket = Wire::socket(echo.address, &format!("{SOCKET_IO}websocket")).await;
    let open: Value = serde_json::from_str(socket.text().await.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], Value::Array(Vec::new()));
}
