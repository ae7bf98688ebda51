//! Engine.IO on a WebSocket: one packet per message.

mod support;

use support::{
    echo::{ENGINE_IO, Echo},
    polling::Polling,
    wire::{Seen, Wire, frame, text},
};

async fn open(echo: &Echo) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{ENGINE_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire
}

#[tokio::test]
async fn texts_and_bytes_come_back_as_they_were_sent() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    for text in ["4hello", "4", "4ünïcödé ☃ 🎉", "4with\x1eseparator\0"] {
        socket.say(text).await;
        assert_eq!(socket.text().await, text);
    }
    for bytes in [&b"\x01\x02\x03"[..], b"", b"4", &[0xff; 300]] {
        socket.say_bytes(bytes).await;
        assert_eq!(socket.frame().await, Seen::Binary(bytes.to_vec()));
    }
}

#[tokio::test]
async fn messages_of_every_length_of_header_come_whole() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    for length in [124, 125, 126, 65_534, 65_535, 65_536, 900_000] {
        let text = format!("4{}", "x".repeat(length - 1));
        socket.say(&text).await;
        assert_eq!(socket.text().await, text, "{length}");
    }
}

#[tokio::test]
async fn a_text_that_begins_with_b_is_bytes() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    socket.say("bAQIDBA==").await;
    assert_eq!(socket.frame().await, Seen::Binary(vec![1, 2, 3, 4]));
}

#[tokio::test]
async fn a_message_may_come_in_fragments_with_pings_between_them() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    let bytes = [frame(0x01, b"4he"), frame(0x89, b"!"), frame(0x00, b"l"), frame(0x80, b"lo")].concat();
    for byte in bytes {
        socket.write(&[byte]).await;
    }
    assert_eq!(socket.pong().await, b"!");
    assert_eq!(socket.text().await, "4hello");
}

#[tokio::test]
async fn messages_that_come_together_are_answered_in_order() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    let all: Vec<String> = (0..1000).map(|number| format!("4{number}")).collect();
    socket.write(&all.iter().flat_map(|message| text(message)).collect::<Vec<u8>>()).await;
    for text in all {
        assert_eq!(socket.text().await, text);
    }
}

#[tokio::test]
async fn what_may_come_behind_the_request_may_come_with_it() {
    let echo = Echo::start();
    let mut wire = Wire::connect(echo.address).await;
    let request = format!(
        "GET {ENGINE_IO}websocket HTTP/1.1\r\nHost: haat\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    wire.write(&[request.as_bytes(), &text("4early")].concat()).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    assert!(wire.text().await.starts_with("0{"));
    assert_eq!(wire.text().await, "4early");
}

#[tokio::test]
async fn what_is_no_packet_closes_it() {
    let echo = Echo::start();
    for text in ["", "abc", "2", "2probe"] {
        let mut socket = open(&echo).await;
        socket.say(text).await;
        assert_eq!(socket.frame().await, Seen::Close(None), "{text}");
        assert_eq!(socket.frame().await, Seen::End, "{text}");
    }
}

#[tokio::test]
async fn packets_of_an_upgrade_mean_nothing_outside_of_one() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    for text in ["0", "3", "5", "6", "3probe", "4still here"] {
        socket.say(text).await;
    }
    assert_eq!(socket.text().await, "4still here");
}

#[tokio::test]
async fn a_connection_that_served_requests_can_become_one() {
    // Proxies keep connections open for whoever comes next.
    let echo = Echo::start();
    for _ in 0..8 {
        let mut wire = Wire::connect(echo.address).await;
        assert_eq!(wire.ask("GET", "/elsewhere", "").await.status, 404);
        assert_eq!(wire.upgrade(&format!("{ENGINE_IO}websocket")).await.status, 101);
        assert!(wire.text().await.starts_with("0{"));
        wire.say("4hello").await;
        assert_eq!(wire.text().await, "4hello");
    }
}

#[tokio::test]
async fn a_connection_that_polled_can_take_over_its_session_from_any_shard() {
    let echo = Echo::start();
    for _ in 0..8 {
        let session = Polling::open(echo.address, ENGINE_IO).await;
        let mut wire = Wire::connect(echo.address).await;
        session.send("4queued").await;
        assert_eq!(wire.ask("GET", &session.target, "").await.body, "4queued");
        assert_eq!(wire.upgrade(&session.upgrade).await.status, 101);
        wire.say("2probe").await;
        assert_eq!(wire.text().await, "3probe");
        wire.say("5").await;
        wire.say("4hello").await;
        assert_eq!(wire.text().await, "4hello");
    }
}
