//! Taps are added up in the gateway: they cost no call of the store, and are spread as numbers.

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::{Value, json};
use support::World;

#[tokio::test]
async fn taps_of_all_gateways_add_up() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let _host = one.host().await;
    let mut watcher = other.viewer("watcher").await;
    let (mut ana, mut guest) = (one.viewer("ana").await, other.guest().await);
    guest.join("main").await;
    assert_eq!(ana.ok("reaction:send", json!({ "kind": "heart" })).await["accepted"], 1);
    assert_eq!(ana.ok("reaction:send", json!({ "kind": "heart", "count": 50 })).await["accepted"], 50);
    assert_eq!(guest.ok("reaction:send", json!({ "kind": "fire", "count": 7 })).await["accepted"], 7);
    let (mut hearts, mut fires) = (0, 0);
    let last = watcher
        .until("reactions", |reactions| {
            hearts += reactions["added"]["heart"].as_u64().unwrap_or(0);
            fires += reactions["added"]["fire"].as_u64().unwrap_or(0);
            (hearts, fires) == (51, 7)
        })
        .await;
    assert_eq!((&last["totals"], &last["seq"]), (&json!({ "fire": 7, "heart": 51 }), &Value::Null));
    let state = other.viewer("late").await.join("main").await["state"].clone();
    assert_eq!(state["reactions"], json!({ "fire": 7, "heart": 51 }));
}

#[tokio::test]
async fn taps_are_spread_at_most_four_times_a_second() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let mut watcher = world.viewer("watcher").await;
    let mut ana = world.viewer("ana").await;
    let started = std::time::Instant::now();
    let tapping = async {
        for _ in 0..300 {
            ana.ok("reaction:send", json!({ "kind": "like" })).await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let mut events = 0;
    let watching = async {
        loop {
            events += 1;
            if watcher.next("reactions").await["totals"]["like"] == 300 {
                break;
            }
        }
    };
    tokio::join!(tapping, watching);
    // The slower this goes, the more may come.
    let most = started.elapsed().as_millis() / 250 + 2;
    assert!(u128::from(events as u32) <= most, "{events} events in {:?}", started.elapsed());
}

#[tokio::test]
async fn a_tap_needs_no_store() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let mut ana = world.viewer("ana").await;
    world.engine.set_available(false);
    assert_eq!(ana.ok("reaction:send", json!({ "kind": "wow", "count": 3 })).await["accepted"], 3);
    world.engine.set_available(true);
    assert_eq!(ana.next("reactions").await["totals"], json!({ "wow": 3 }), "they are kept until the store is back");
}

#[tokio::test]
async fn kinds_are_those_of_the_configuration() {
    let world = World::start(&[("HAAT_REACTIONS", "heart,diya")]).await;
    let _host = world.host().await;
    let mut ana = world.viewer("ana").await;
    ana.ok("reaction:send", json!({ "kind": "diya" })).await;
    let error = ana.error("reaction:send", json!({ "kind": "like" })).await;
    assert_eq!(error["code"], "bad_request");
    assert!(error["message"].as_str().unwrap().contains("heart, diya"), "{error}");
}

#[tokio::test]
async fn bad_taps_are_refused_and_others_must_join_first() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let mut ana = world.user("ana").await;
    assert_eq!(ana.code("reaction:send", json!({ "kind": "heart" })).await, "not_joined");
    ana.join("main").await;
    for (body, field) in [
        (json!({}), "kind"),
        (json!({ "kind": 5 }), "kind"),
        (json!({ "kind": "__proto__" }), "kind"),
        (json!({ "kind": "heart", "count": 0 }), "count"),
        (json!({ "kind": "heart", "count": 51 }), "count"),
        (json!({ "kind": "heart", "count": -1 }), "count"),
        (json!({ "kind": "heart", "count": 1.5 }), "count"),
        (json!({ "kind": "heart", "count": "1" }), "count"),
        (json!({ "kind": "heart", "count": null }), "count"),
    ] {
        let error = ana.error("reaction:send", body.clone()).await;
        assert_eq!(error["code"], "bad_request", "{body}");
        assert!(error["message"].as_str().unwrap().contains(field), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_connection_taps_only_so_fast() {
    let limits = [("HAAT_LIMITS_REACTIONS_PER_SECOND", "0.001"), ("HAAT_LIMITS_REACTIONS_BURST", "60")];
    let world = World::start(&limits).await;
    let _host = world.host().await;
    let mut ana = world.viewer("ana").await;
    ana.ok("reaction:send", json!({ "kind": "heart", "count": 50 })).await;
    let error = ana.error("reaction:send", json!({ "kind": "heart", "count": 50 })).await;
    assert_eq!((&error["code"], error["retryAfterMs"].is_u64()), (&json!("rate_limited"), true));
    ana.ok("reaction:send", json!({ "kind": "heart", "count": 10 })).await;
    world.viewer("bo").await.ok("reaction:send", json!({ "kind": "heart", "count": 50 })).await;
}
