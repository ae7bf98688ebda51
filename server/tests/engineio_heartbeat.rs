//! Pings of the server, and what becomes of a session that does not answer them.

mod support;

use std::time::{Duration, Instant};

use support::{
    echo::{ENGINE_IO, Echo},
    polling::Polling,
    wire::{Seen, Wire},
};

const INTERVAL: Duration = Duration::from_millis(100);

/// Pings soon; waits this long for a pong.
fn echo(timeout: Duration) -> Echo {
    Echo::with(|settings| {
        settings.ping_interval = INTERVAL;
        settings.ping_timeout = timeout;
    })
}

async fn open(echo: &Echo) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{ENGINE_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire
}

#[tokio::test]
async fn a_websocket_is_pinged_as_long_as_it_answers() {
    let echo = echo(Duration::from_secs(60));
    let begun = Instant::now();
    let mut socket = open(&echo).await;
    for beats in 1..=5 {
        assert_eq!(socket.text().await, "2");
        assert!(begun.elapsed() >= INTERVAL * beats, "the interval counts from the pong");
        socket.say("3").await;
    }
    socket.say("4still here").await;
    loop {
        match &*socket.text().await {
            "2" => socket.say("3").await,
            text => break assert_eq!(text, "4still here"),
        }
    }
}

#[tokio::test]
async fn a_session_that_polls_is_pinged_as_long_as_it_answers() {
    let echo = echo(Duration::from_secs(60));
    let session = Polling::open(echo.address, ENGINE_IO).await;
    for _ in 0..5 {
        assert_eq!(session.receive().await, "2");
        session.send("3").await;
    }
}

#[tokio::test]
async fn pings_go_out_on_a_busy_connection_too() {
    let echo = echo(Duration::from_secs(60));
    let mut socket = open(&echo).await;
    let mut pings = 0;
    while pings < 3 {
        socket.say("4busy").await;
        loop {
            match &*socket.text().await {
                "2" => {
                    pings += 1;
                    socket.say("3").await;
                }
                text => break assert_eq!(text, "4busy"),
            }
        }
    }
}

#[tokio::test]
async fn a_websocket_without_a_pong_is_closed() {
    let echo = echo(INTERVAL);
    let mut socket = open(&echo).await;
    assert_eq!(socket.text().await, "2");
    assert_eq!(socket.frame().await, Seen::Close(None));
    assert_eq!(socket.frame().await, Seen::End);
}

#[tokio::test]
async fn a_session_that_polls_without_a_pong_is_forgotten() {
    let echo = echo(INTERVAL);
    let session = Polling::open(echo.address, ENGINE_IO).await;
    assert_eq!(session.receive().await, "2");
    session.forgotten().await;
}

#[tokio::test]
async fn what_else_comes_lets_the_pong_be_late_but_once() {
    // Longer than a busy machine leaves a test alone.
    let timeout = Duration::from_secs(2);
    let echo = echo(timeout);
    let mut socket = open(&echo).await;
    assert_eq!(socket.text().await, "2");
    let said = Instant::now();
    // A pong would not be needed if every packet counted: then this would never end.
    let mut closed = false;
    let mut answered = 0;
    while !closed {
        socket.say("4x").await;
        match socket.frame().await {
            Seen::Text(text) => answered += usize::from(text == "4x"),
            other => closed = matches!(other, Seen::Close(_) | Seen::End),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(answered > 0 && said.elapsed() >= timeout, "{answered} in {:?}", said.elapsed());
}

#[tokio::test]
async fn a_pong_that_nobody_asked_for_brings_no_ping() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    for _ in 0..100 {
        socket.say("3").await;
    }
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
}

#[tokio::test]
async fn an_upgraded_session_is_pinged_on_its_websocket() {
    let echo = echo(Duration::from_secs(60));
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut socket = Wire::socket(echo.address, &session.upgrade).await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket.say("5").await;
    for _ in 0..3 {
        assert_eq!(socket.text().await, "2");
        socket.say("3").await;
    }
}
