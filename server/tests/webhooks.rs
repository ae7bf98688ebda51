//! Webhooks: signed, retried, at least once, and never to an address that is not configured.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[path = "support/shop.rs"]
mod shop;
mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{Router, routing::post};
use haat_adapter::memory::{Engine, Limits};
use haat_server::api::webhook::sign;
use http::StatusCode;
use serde_json::{Value, json};
use shop::{HOOK_SECRET, Shop, events, variables};
use support::{World, live::product};

/// A sale with one of everything that is told.
async fn sell(world: &World) {
    let mut host = world.host().await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    let drop = json!({ "id": "d1", "product": "saree", "price": { "amount": 100, "currency": "INR" }, "stock": 2 });
    host.ok("drop:open", json!({ "drop": drop })).await;
    let mut ana = world.viewer("ana").await;
    ana.ok("drop:claim", json!({ "drop": "d1", "requestId": "r" })).await;
    ana.ok("drop:claim", json!({ "drop": "d1", "requestId": "r" })).await;
    let wheel = json!({ "id": "w1", "title": "W", "prizes": [{ "id": "a", "label": "A", "weight": 1, "stock": 1 }] });
    host.ok("wheel:open", json!({ "wheel": wheel })).await;
    ana.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    world.viewer("bo").await.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    ana.ok("chat:send", json!({ "text": "spam" })).await;
    ana.say("main", "nobody is told of this").await;
    host.ok("stream:end", json!({})).await;
}

const TOLD: [&str; 5] = ["stream:started", "claim", "win", "chat:held", "stream:ended"];

#[tokio::test]
async fn what_happens_is_told_once_in_order_and_signed() {
    let (shop, url) = Shop::open(204).await;
    let world = World::start(&variables(&url)).await;
    sell(&world).await;
    let told = shop.until(|told| told.len() >= TOLD.len()).await;
    assert_eq!(events(&told), TOLD);
    let mut ids = Vec::new();
    for (headers, body) in &told {
        let header = |name: &str| headers[name].to_str().unwrap();
        let signature = sign(HOOK_SECRET, header("haat-timestamp"), body);
        assert_eq!(header("haat-signature"), format!("v1={signature}"));
        assert!(header("haat-timestamp").parse::<u64>().unwrap().abs_diff(support::now()) < 60);
        assert_eq!(header("content-type"), "application/json");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body["event"], &body["stream"]), (&json!(header("haat-event")), &json!("main")));
        assert_eq!(body["id"], header("haat-delivery"));
        ids.push(body["id"].clone());
    }
    let claim: Value = serde_json::from_str(&told[1].1).unwrap();
    assert_eq!((&claim["data"]["drop"], &claim["by"]["id"]), (&json!("d1"), &json!("ana")));
    ids.dedup();
    assert_eq!(ids.len(), TOLD.len());
}

#[tokio::test]
async fn what_was_not_taken_is_told_again_and_nothing_before_it() {
    let (shop, url) = Shop::open(500).await;
    let world = World::start(&variables(&url)).await;
    sell(&world).await;
    shop.until(|told| told.len() >= 2).await;
    shop.answer(200);
    let told = shop.until(|told| events(told).last().is_some_and(|last| last == "stream:ended")).await;
    let mut seen = events(&told);
    assert!(seen.iter().filter(|event| *event == "stream:started").count() >= 3, "{seen:?}");
    seen.dedup();
    assert_eq!(seen, TOLD, "each is repeated until it is taken, and in order");
    let mut bodies = BTreeMap::<String, String>::new();
    for (headers, body) in &told {
        let id = headers["haat-delivery"].to_str().unwrap().to_owned();
        assert_eq!(bodies.entry(id).or_insert_with(|| body.clone()), body, "every try says the same");
    }
}

#[tokio::test]
async fn another_gateway_goes_on_where_one_has_stopped() {
    let engine = Engine::new(Limits::default());
    let (shop, url) = Shop::open(503).await;
    let first = World::join(&engine, &variables(&url)).await;
    sell(&first).await;
    shop.until(|told| !told.is_empty()).await;
    first.server.stop().await;
    shop.answer(200);
    let second = World::join(&engine, &variables(&url)).await;
    let told = shop.until(|told| events(told).last().is_some_and(|last| last == "stream:ended")).await;
    let mut seen = events(&told);
    seen.dedup();
    assert_eq!(seen, TOLD);
    second.server.stop().await;
    // What was taken is not told again by a third.
    let before = shop.told().len();
    let third = World::join(&engine, &variables(&url)).await;
    third.done("stream:start", json!({ "stream": "later" })).await;
    let told = shop.until(|told| told.len() > before).await;
    let later: Value = serde_json::from_str(&told[before].1).unwrap();
    assert_eq!((&later["stream"], told.len()), (&json!("later"), before + 1));
}

/// As if it had not been there for so long.
#[tokio::test]
async fn what_is_a_day_old_is_given_up_and_counted() {
    const SKIPPED: &str = "haat_webhook_skipped_total";
    let engine = Engine::new(Limits::default());
    let first = World::join(&engine, &[]).await;
    sell(&first).await;
    first.server.stop().await;
    engine.pass(std::time::Duration::from_secs(25 * 3600));
    let (shop, url) = Shop::open(200).await;
    let second = World::join(&engine, &variables(&url)).await;
    support::patiently("they are given up", async { while second.metric(SKIPPED, r#"server="0""#).await == 0.0 {} })
        .await;
    second.done("stream:start", json!({})).await;
    let told = shop.until(|told| !told.is_empty()).await;
    assert_eq!(events(&told), ["stream:started"], "only what is new");
    assert_eq!(second.metric(SKIPPED, r#"server="0""#).await, TOLD.len() as f64);
}

#[tokio::test]
async fn each_server_is_told_by_itself() {
    let ((deaf, one), (shop, other)) = (Shop::open(404).await, Shop::open(200).await);
    let urls = format!("{one},{other}");
    let world = World::start(&variables(&urls)).await;
    sell(&world).await;
    let told = shop.until(|told| told.len() >= TOLD.len()).await;
    assert_eq!(events(&told), TOLD, "one that does not listen holds up nobody else");
    deaf.until(|told| !told.is_empty()).await;
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let (elsewhere, target) = Shop::open(200).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let tries = Arc::new(AtomicU16::new(0));
    let counted = tries.clone();
    let redirect = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let target = target.clone();
        async move { (StatusCode::TEMPORARY_REDIRECT, [("location", target)]) }
    };
    let router = Router::new().route("/hook", post(redirect));
    tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    let world = World::start(&variables(&url)).await;
    world.done("stream:start", json!({ "title": "http://169.254.169.254/" })).await;
    support::patiently("a second try", async {
        while tries.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(elsewhere.told().is_empty(), "an answer's address is not followed");
}

#[test]
fn webhooks_need_a_secret() {
    use haat_server::config::Layers;
    let variables = vec![
        ("HAAT_WEBHOOKS_URLS".to_owned(), "https://shop.example/hook".to_owned()),
        ("HAAT_AUTH_SECRET".to_owned(), support::SECRET.to_owned()),
    ];
    let layers = Layers { variables, ..Layers::default() };
    let mistakes = layers.load().err().unwrap().to_string();
    assert!(mistakes.starts_with("webhooks.secret:"), "{mistakes}");
}
