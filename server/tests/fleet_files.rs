//! A gateway that is out of file descriptors lets nobody else in, and goes on with all else: its viewers, its numbers, its
//! way to Redis. It lets people in again as soon as it can.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use fleet::{
    Fleet, Gateway,
    show::{Show, losses},
    until_async,
};
use support::PATIENCE;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

/// Files that the gateway may have open, from the middle of the show on.
const FILES: u64 = 256;
/// It lets people in again within this time. A promise.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the processor is watched.
const AWHILE: Duration = Duration::from_secs(2);

/// Connections that are not closed within a moment, as many as the gateway takes: people who say nothing yet.
async fn occupy(gateway: &Gateway) -> Vec<TcpStream> {
    let mut held = Vec::new();
    until_async("nobody else gets in", PATIENCE, async || {
        let refused = gateway.metrics().await["haat_rejects_total{layer=\"edge\",reason=\"accept\"}"];
        if refused < 10.0 {
            for _ in 0..20 {
                held.push(TcpStream::connect(gateway.public).await.expect("the system takes connections"));
            }
        }
        refused >= 10.0
    })
    .await;
    held
}

/// Whether somebody new is let in, asked until the end of the patience.
async fn lets_in(gateway: SocketAddr, patience: Duration) -> bool {
    let attempt = async {
        loop {
            let stream = TcpStream::connect(gateway).await.expect("the system takes connections");
            let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket");
            if tokio_tungstenite::client_async(url, stream).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(patience, attempt).await.is_ok()
}

/// A show on a gateway that then gets out of files.
async fn crowded(fleet: &Fleet) -> (Gateway, Show, Vec<TcpStream>) {
    // Those who say nothing are not sent away while the test goes on.
    let gateway = fleet.gateway(&[("HAAT_ENGINE_HANDSHAKE_TIMEOUT_SECONDS", "60")]).await;
    let show = Show::begin(&[fleet::crowd::Route::to([gateway.public])], 4, 2).await;
    gateway.limit_files(FILES);
    let held = occupy(&gateway).await;
    (gateway, show, held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_out_of_files_goes_on_and_lets_people_in_again() {
    let Some(fleet) = Fleet::start().await else { return };
    let (gateway, show, held) = crowded(&fleet).await;

    let (begun, used) = (Instant::now(), gateway.metric("process_cpu_seconds_total").await);
    sleep(AWHILE).await;
    show.flows(PATIENCE).await;
    let used = gateway.metric("process_cpu_seconds_total").await - used;
    assert!(used < begun.elapsed().as_secs_f64() / 2.0, "{used} s of the processor in {:?}", begun.elapsed());
    assert_eq!(gateway.is_ready().await, Some(true));
    assert!(!lets_in(gateway.public, Duration::from_millis(500)).await, "there are files left");

    drop(held);
    assert!(lets_in(gateway.public, AGAIN).await, "nobody is let in");
    let ended = show.end().await;
    assert!(ended.everybody().all(|client| losses(client) == 0), "somebody was thrown out");
    ended.compare(&fleet, None).await.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_out_of_files_finds_redis_again() {
    let Some(fleet) = Fleet::start().await else { return };
    let (gateway, show, _held) = crowded(&fleet).await;
    let made = gateway.metric("haat_redis_connections_total").await;
    let cut: [u64; 2] = ["normal", "pubsub"].map(|kind| fleet.redis.command(&format!("CLIENT KILL TYPE {kind}")));
    assert!(cut.iter().sum::<u64>() > 1, "{cut:?}");
    until_async("it is connected anew", PATIENCE, async || {
        gateway.metric("haat_redis_connections_total").await >= made + 2.0
    })
    .await;
    show.flows(PATIENCE).await;
    let ended = show.end().await;
    assert!(ended.everybody().all(|client| losses(client) == 0), "somebody was thrown out");
    ended.compare(&fleet, None).await.content();
}
