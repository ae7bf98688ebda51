//! Nobody reads the log any more: the gateway goes on, and ends when it is told to. What it cannot say it counts.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::net::SocketAddr;

use fleet::{
    Fleet,
    crowd::Route,
    show::{Show, losses},
    until, until_async,
};
use support::PATIENCE;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Connections that end with a line in the log, one after the other.
async fn chatter(gateway: SocketAddr) {
    for _ in 0..100 {
        let Ok(mut stream) = TcpStream::connect(gateway).await else { continue };
        let _ = stream.write_all(b"\0\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_goes_on_while_nobody_reads_the_log() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateway = fleet.gateway(&[("HAAT_LOG_FILTER", "debug")]).await;
    let show = Show::begin(&[Route::to([gateway.public])], 4, 2).await;
    gateway.read_log(false);
    let is_full = until_async("lines are dropped", 3 * PATIENCE, async || {
        futures::future::join_all([chatter(gateway.public), chatter(gateway.public)]).await;
        gateway.metric("haat_log_dropped_total").await > 0.0
    });
    timeout(3 * PATIENCE, is_full).await.expect("the gateway does not wait for who reads its log");
    show.flows(PATIENCE).await;
    let ended = show.end().await;
    assert!(ended.everybody().all(|client| losses(client) == 0), "somebody was thrown out");
    ended.compare(&fleet, None).await.content();
    drop(ended);
    gateway.signal("TERM");
    assert!(gateway.ended(PATIENCE).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_of_a_gateway_are_read() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateway = fleet.gateway(&[]).await;
    gateway.signal("TERM");
    assert!(gateway.ended(PATIENCE).await.success());
    until("it says that it has stopped", PATIENCE, || gateway.has_said("gateway has stopped")).await;
}
