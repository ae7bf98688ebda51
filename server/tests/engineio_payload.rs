//! `maxPayload`: what is longer is refused, what is exactly as long is not.

mod support;

use support::{
    echo::{ENGINE_IO, Echo},
    polling::Polling,
    wire::{Seen, Wire, frame},
};

const MOST: usize = 2000;

fn echo() -> Echo {
    Echo::with(|settings| settings.max_payload = MOST)
}

fn packet(length: usize) -> String {
    format!("4{}", "x".repeat(length - 1))
}

#[tokio::test]
async fn a_post_that_is_too_long_is_dropped_and_the_session_goes_on() {
    let echo = echo();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let answer = session.post(&packet(MOST + 1)).await;
    assert_eq!((answer.status, &*answer.body), (413, ""));
    session.send(&packet(MOST)).await;
    assert_eq!(session.receive().await, packet(MOST));
}

#[tokio::test]
async fn a_chunked_post_that_becomes_too_long_is_dropped_too() {
    let echo = echo();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut wire = Wire::connect(echo.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nTransfer-Encoding: chunked\r\n\r\n", session.target);
    wire.write(head.as_bytes()).await;
    wire.write(format!("{:x}\r\n{}\r\n", MOST, packet(MOST)).as_bytes()).await;
    wire.write(b"1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 413);
    session.send("4still here").await;
    assert_eq!(session.receive().await, "4still here");
}

#[tokio::test]
async fn the_length_of_a_post_is_its_bytes() {
    let echo = echo();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let text = format!("4{}", "☃".repeat(MOST / 3 + 1));
    assert!(text.chars().count() < MOST && text.len() > MOST);
    assert_eq!(session.post(&text).await.status, 413);
}

#[tokio::test]
async fn a_message_that_is_too_long_closes_the_websocket_with_a_code() {
    let echo = echo();
    for opcode in [1, 2] {
        let mut socket = Wire::socket(echo.address, &format!("{ENGINE_IO}websocket")).await;
        assert!(socket.text().await.starts_with("0{"));
        socket.write(&frame(0x80 | opcode, packet(MOST).as_bytes())).await;
        assert!(matches!(socket.frame().await, Seen::Text(_) | Seen::Binary(_)), "exactly as long");
        socket.write(&frame(0x80 | opcode, packet(MOST + 1).as_bytes())).await;
        assert_eq!(socket.frame().await, Seen::Close(Some(1009)));
        assert_eq!(socket.frame().await, Seen::End);
    }
}
