//! Five thousand claims of two thousand users for a hundred units, through two gateways: never one too many.
//!
//! `HAAT_SEED` repeats a run; the seed is printed when one fails.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use fleet::Fleet;
use haat_adapter::{
    Market,
    memory::{Engine, Limits},
};
use serde_json::json;
use support::{Client, World, fire, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_twice() {
    let seed = fire::seed();
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    fire::open(&mut host).await;
    let answers = fire::storm([one.address, other.address], seed).await;
    let ledger = engine.ledger("main", "", 100_000).await.unwrap();
    let claims = ledger.iter().filter(|record| &*record.kind == "claim").map(|record| record.data.to_string());
    fire::check(&claims.collect::<Vec<_>>(), &answers);
    fire::close(&mut host).await;
}

/// Two processes on one Redis, whose ledger is read as an order system would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_twice_on_redis() {
    let Some(fleet) = Fleet::start().await else { return };
    let seed = fire::seed();
    let gateways = fleet.gateways(2, &[]).await;
    let auth = json!({ "token": token("supplier", "supplier", &["main"]) });
    let mut host = Client::connect(gateways[0].public, &auth).await;
    let started = host.call("stream:start", &json!({ "stream": "main", "title": "Sale" })).await;
    assert_eq!(started["ok"], true, "{started}");
    host.join("main").await;
    fire::open(&mut host).await;
    let answers = fire::storm([gateways[0].public, gateways[1].public], seed).await;

    type Records = Vec<(String, Vec<(String, String)>)>;
    let mut range = redis::cmd("XRANGE");
    range.arg("haat:{main}:ledger").arg("-").arg("+");
    let records: Records = range.query(&mut fleet.redis.connection()).unwrap();
    let field = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone()).unwrap()
    };
    let claims = records.iter().filter(|(_, fields)| field(fields, "kind") == "claim");
    fire::check(&claims.map(|(_, fields)| field(fields, "data")).collect::<Vec<_>>(), &answers);
    fire::close(&mut host).await;
}
