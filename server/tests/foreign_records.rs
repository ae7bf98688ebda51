//! Whoever reads a ledger goes on behind what somebody else has put there, however much it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/shop.rs"]
mod shop;
mod support;

use fleet::{Fleet, Gateway};
use serde_json::{Value, json};
use shop::{Shop, events, variables};
use support::{Client, http, live::product, token};

/// More than any reader takes at a time.
const MANY: usize = 2_100;

/// Puts records into the ledger of `main` that no gateway has written.
fn plant(fleet: &Fleet) {
    let forms: [&[(&str, &[u8])]; 12] = [
        &[("order", b"17")],
        &[("kind", b"claim")],
        &[("kind", b"claim"), ("by", b"null")],
        &[("kind", b"claim"), ("data", b"{}")],
        &[("by", b"null"), ("data", b"{}")],
        &[("kind", b"claim"), ("by", b"null"), ("data", b"{")],
        &[("kind", b"claim"), ("by", b"null"), ("data", b"17")],
        &[("kind", b"claim"), ("by", b"nobody"), ("data", b"{}")],
        &[("kind", b"claim"), ("by", b""), ("data", b"")],
        &[("kind", b"stream:ended"), ("by", b"null"), ("data", b"{},\"event\":\"claim\"")],
        &[("kind", b"claim"), ("by", b"null"), ("data", b"{\"\xff\":1}")],
        &[("\u{0}", b"\xff\xfe\xfd")],
    ];
    let mut records = redis::pipe();
    for form in forms.iter().cycle().take(MANY) {
        records.cmd("XADD").arg("haat:{main}:ledger").arg("*").arg(form).ignore();
    }
    records.exec(&mut fleet.redis.connection()).unwrap();
}

async fn supplier(gateway: &Gateway) -> Client {
    let mut host = Client::connect(gateway.public, &json!({ "token": token("s", "supplier", &["main"]) })).await;
    host.ok("stream:start", json!({ "title": "Sale", "products": [product("saree")] })).await;
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_go_on() {
    let Some(fleet) = Fleet::start().await else { return };
    let (shop, url) = Shop::open(204).await;
    let gateway = fleet.gateway(&variables(&url)).await;
    let mut host = supplier(&gateway).await;
    shop.until(|told| told.len() == 1).await;
    plant(&fleet);
    host.ok("stream:end", json!({})).await;
    let told = shop.until(|told| told.len() >= 2).await;
    assert_eq!(events(&told), ["stream:started", "stream:ended"]);
    let passed = async || gateway.metric("haat_webhook_foreign_records_total").await == MANY as f64;
    fleet::until_async("all of them are counted", support::PATIENCE, passed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_http_api_go_on() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateway = fleet.gateway(&[]).await;
    let mut host = supplier(&gateway).await;
    plant(&fleet);
    host.ok("stream:end", json!({})).await;
    let bearer = format!("Bearer {}", token("shop", "service", &["main"]));
    let (mut records, mut after) = (Vec::<Value>::new(), String::new());
    loop {
        let path = format!("/v1/streams/main/ledger?limit=1000&after={after}");
        let page = http::send(gateway.public, "GET", &path, &[("Authorization", &bearer)], "").await.json();
        let some = page["records"].as_array().unwrap();
        if some.is_empty() {
            break;
        }
        records.extend(some.iter().cloned());
        after = page["next"].as_str().unwrap().to_owned();
    }
    let foreign = |record: &&Value| {
        (&record["kind"], &record["by"], &record["data"]) == (&json!("foreign"), &Value::Null, &json!({}))
    };
    assert_eq!(records.iter().filter(foreign).count(), MANY, "named, and nothing of them is shown");
    let own: Vec<&str> =
        records.iter().filter(|record| !foreign(record)).filter_map(|record| record["kind"].as_str()).collect();
    assert_eq!(own, ["stream:started", "stream:ended"]);
}
