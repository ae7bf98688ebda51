//! The clock of a gateway is set by an hour while it runs. Nobody is thrown out, and what has an end ends when it was to: times
//! are those of Redis, and waits go by a clock that nobody sets.

#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{path::Path, time::Duration};

use fleet::{
    Fleet, Gateway,
    crowd::Route,
    show::{STREAM, Show, losses, resets},
    until, until_async,
};
use serde_json::{Value, json};
use support::PATIENCE;

/// Where Debian's package `libfaketime` has what sets the clock of one process.
const LIBRARIES: [&str; 2] = ["x86_64", "aarch64"];
/// Many heartbeats, and longer than the gateway or its clients go without one.
const AWHILE: Duration = Duration::from_secs(6);

/// When the drop ends, as a gateway tells somebody who comes.
async fn ends_at(gateway: &Gateway) -> Value {
    let mut viewer = support::Client::connect(gateway.public, &json!({})).await;
    viewer.join(STREAM).await["state"]["drops"][0]["endsAt"].take()
}

async fn set_by(offset: &str) {
    let Some(fleet) = Fleet::start().await else { return };
    let library = LIBRARIES.map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"));
    let Some(library) = library.iter().find(|library| Path::new(library).exists()) else {
        return eprintln!("skipped: there is no libfaketime, which sets the clock of one process");
    };
    let file = std::env::temp_dir().join(format!("haat-clock-{}", std::process::id()));
    // All at once, since the gateway looks at it all the time.
    let set = |offset: &str| {
        let new = file.with_extension("new");
        std::fs::write(&new, offset).and_then(|()| std::fs::rename(new, &file)).expect("a file");
    };
    set("+0");
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("a path of characters")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("HAAT_ENGINE_PING_INTERVAL_SECONDS", "1"),
        ("HAAT_ENGINE_PING_TIMEOUT_SECONDS", "4"),
    ];
    let (gateway, other) = (fleet.gateway(&variables).await, fleet.gateway(&[]).await);
    let show = Show::begin(&[Route::to([gateway.public])], 4, 2).await;
    let price = json!({ "amount": 100, "currency": "INR" });
    let product = json!({ "id": "saree", "title": "Saree", "price": price });
    let drop = json!({ "id": "d", "product": "saree", "price": price, "stock": 5, "durationMs": 600_000 });
    for (command, body) in [
        ("product:put", json!({ "stream": STREAM, "product": product })),
        ("drop:open", json!({ "stream": STREAM, "drop": drop })),
    ] {
        let reply = show.supplier.call(command, body).await.expect("an answer");
        assert_eq!(reply["ok"], true, "{reply}");
    }
    let before = ends_at(&gateway).await;
    assert!(before.is_u64(), "{before}");

    set(offset);
    until_async("it sees that its clock is wrong", PATIENCE, async || {
        gateway.metric("haat_redis_clock_ahead_seconds").await.abs() > 3_000.0
    })
    .await;
    tokio::time::sleep(AWHILE).await;
    show.flows(PATIENCE).await;
    assert_eq!((ends_at(&gateway).await, ends_at(&other).await), (before.clone(), before));
    let claimed = show.viewers[0].call("drop:claim", json!({ "stream": STREAM, "drop": "d", "requestId": "r" })).await;
    assert_eq!(claimed.as_ref().map(|reply| &reply["ok"]), Some(&json!(true)), "{claimed:?}");
    until("it says so", PATIENCE, || gateway.has_said("the clock of this machine is ahead of Redis, or behind")).await;
    let timeouts = gateway.metrics().await["haat_sessions_closed_total{reason=\"ping_timeout\"}"];
    assert!(timeouts == 0.0, "{timeouts} clients were given up");
    let ended = show.end().await;
    assert!(ended.everybody().all(|client| (losses(client), resets(client)) == (0, 0)), "somebody was thrown out");
    ended.compare(&fleet, None).await.content();
    let _ = std::fs::remove_file(file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_forward_throws_nobody_out() {
    set_by("+3600").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_throws_nobody_out() {
    set_by("-3600").await;
}
