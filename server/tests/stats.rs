//! How a stream goes, for those who run it.

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::{Value, json};
use support::{Client, World, live::product, token};

async fn until(host: &mut Client, holds: impl Fn(&Value) -> bool) -> Value {
    support::patiently("the numbers", async {
        loop {
            let stats = host.ok("stream:stats", json!({})).await["stats"].clone();
            if holds(&stats) {
                return stats;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_numbers_are_those_of_all_gateways() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let before = host.ok("stream:stats", json!({})).await["stats"].clone();
    let keys: Vec<&String> = before.as_object().unwrap().keys().collect();
    let wanted = [
        "viewers",
        "peakViewers",
        "uniqueViewers",
        "messages",
        "messagesPerSecond",
        "reactions",
        "claims",
        "revenue",
        "spins",
    ];
    assert_eq!(keys, wanted);

    let (mut ana, mut bo) = (one.viewer("ana").await, other.viewer("bo").await);
    let chi = other.viewer("chi").await;
    let same = one.viewer("ana").await;
    until(&mut host, |stats| stats["viewers"] == 4).await;
    chi.drop_connection().await;
    same.drop_connection().await;
    for number in 0..5 {
        ana.say("main", &number.to_string()).await;
        bo.say("main", &number.to_string()).await;
    }
    ana.ok("chat:send", json!({ "text": "once", "clientId": "1" })).await;
    ana.ok("chat:send", json!({ "text": "once", "clientId": "1" })).await;
    bo.ok("reaction:send", json!({ "kind": "heart", "count": 9 })).await;
    let stats =
        until(&mut host, |stats| stats["messages"] == 11 && stats["viewers"] == 2 && stats["reactions"] == 9).await;
    assert_eq!((&stats["peakViewers"], &stats["uniqueViewers"]), (&json!(4), &json!(3)));
    assert!(stats["messagesPerSecond"].as_f64().is_some_and(|rate| rate > 0.0), "{stats}");
    assert_eq!((&stats["claims"], &stats["revenue"], &stats["spins"]), (&json!(0), &json!([]), &json!(0)));
    assert_eq!(ana.code("stream:stats", json!({})).await, "forbidden");
    let (path, service) = ("/v1/streams/main/stats", token("shop", "service", &["main"]));
    let read = one.get(path, Some(&service)).await;
    assert_eq!((read.status, &read.json()["stats"]["messages"]), (200, &json!(11)), "over HTTP it is the same");
    let (other_shop, viewer) = (token("shop", "service", &["other"]), token("ana", "viewer", &[]));
    for (token, status) in [(Some(&*other_shop), 403), (Some(&*viewer), 403), (None, 401)] {
        assert_eq!(one.get(path, token).await.status, status);
    }
    assert_eq!(one.get("/v1/streams/none/stats", Some(&token("shop", "service", &["*"]))).await.status, 404);
    host.ok("stream:end", json!({})).await;
    assert_eq!(host.ok("stream:stats", json!({})).await["stats"]["messages"], 11, "after the end as well");
}

#[tokio::test]
async fn another_show_of_a_stream_has_its_own_numbers() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let (mut ana, mut bo) = (one.viewer("ana").await, other.viewer("bo").await);
    let chi = other.viewer("chi").await;
    ana.say("main", "of the first show").await;
    bo.ok("reaction:send", json!({ "kind": "heart", "count": 9 })).await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    let drop = json!({ "id": "d1", "product": "saree", "price": { "amount": 100, "currency": "INR" }, "stock": 5 });
    host.ok("drop:open", json!({ "drop": drop })).await;
    ana.ok("drop:claim", json!({ "drop": "d1" })).await;
    until(&mut host, |stats| {
        let of_audience = stats["peakViewers"] == 3 && stats["uniqueViewers"] == 3 && stats["reactions"] == 9;
        of_audience && stats["claims"] == 1 && stats["messages"] == 1
    })
    .await;
    chi.drop_connection().await;
    until(&mut host, |stats| stats["viewers"] == 2).await;
    host.ok("stream:end", json!({})).await;
    let last = until(&mut host, |_| true).await;
    assert_eq!((&last["peakViewers"], &last["claims"]), (&json!(3), &json!(1)), "they stay until the next one begins");

    let state = host.ok("stream:start", json!({})).await["state"].clone();
    assert_eq!((&state["status"], &state["reactions"]), (&json!("live"), &json!({})));
    let stats = until(&mut host, |stats| stats["uniqueViewers"] == 2).await;
    for (name, value) in [("viewers", 2), ("peakViewers", 2), ("messages", 0), ("reactions", 0), ("claims", 0)] {
        assert_eq!(stats[name], value, "{name}: who stayed is there, and nothing else");
    }
    assert_eq!(stats["revenue"], json!([]));
    bo.ok("reaction:send", json!({ "kind": "heart", "count": 4 })).await;
    ana.say("main", "of the second show").await;
    until(&mut host, |stats| stats["reactions"] == 4 && stats["messages"] == 1).await;
    assert_eq!(host.ok("stream:stats", json!({})).await["stats"]["peakViewers"], 2);
}
