//! A step that cannot be done whole is not begun: a key of another type among those that it needs leaves all others as they
//! were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/sale.rs"]
mod sale;
mod support;

use std::collections::BTreeMap;

use fleet::set;
use gateway::{Gateway, unavailable};
use haat_adapter::{Market, Store, redis::RedisSettings};
use sale::{POOL, STREAM, held, requested, spin};
use support::Server;

/// All that there is, by key.
fn everything(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let keys: Vec<String> = server.command("KEYS haat:*");
    keys.into_iter().map(|key| (key.clone(), server.command(&format!("DUMP {key}")))).collect()
}

/// Puts something of another type in the place of a key, and what was there back again at the end.
async fn with_another_type(server: &Server, key: &str, step: impl AsyncFn() -> String) {
    server.command::<i64>("DEL kept");
    server.command::<i64>(&format!("COPY {key} kept"));
    server.command::<i64>(&format!("DEL {key}"));
    // None of ours is a set.
    server.command::<()>(&format!("SADD {key} planted"));
    let before = everything(server);
    let why = step().await;
    assert!(why.contains("WRONGTYPE"), "{key}: {why}");
    assert!(everything(server) == before, "{key}: a part was done");
    server.command::<i64>(&format!("DEL {key}"));
    server.command::<i64>(&format!("COPY kept {key}"));
}

async fn open(gateway: &Gateway) {
    for (name, text) in [("status", r#""live""#), ("drop.saree", r#"{"status":"open"}"#)] {
        gateway.engine.append(set(STREAM, name, Some(text))).await.unwrap();
    }
}

redis_test!(a_claim, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    open(&gateway).await;
    gateway.engine.claim(held("ana", "c1", 60_000)).await.unwrap();
    let pool = format!("grants:{POOL}");
    for (number, part) in ["meta", "counts", "ledger", "takers", "grants", "holds", &pool].into_iter().enumerate() {
        let claim = async || {
            let id = format!("d{number}");
            unavailable(gateway.engine.claim(requested("bo", &id, &id)).await)
        };
        with_another_type(&server, &format!("haat:{{{STREAM}}}:{part}"), claim).await;
    }
    gateway.engine.claim(requested("bo", "c2", "mine")).await.unwrap();
});

redis_test!(a_spin, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    open(&gateway).await;
    gateway.engine.spin(spin("ana", "s1", &[7])).await.unwrap();
    let parts = ["meta", "counts", "ledger", "takers", "log"].map(|part| format!("haat:{{{STREAM}}}:{part}"));
    for key in parts.into_iter().chain(["haat:clock".to_owned()]) {
        let spin = async || unavailable(gateway.engine.spin(spin("bo", "s2", &[7])).await);
        with_another_type(&server, &key, spin).await;
    }
    gateway.engine.spin(spin("bo", "s3", &[7])).await.unwrap();
});

redis_test!(
    /// Else the stream would have a new epoch, by which nobody finds out any more that something was lost, and its drops would
    /// be open still.
    an_epoch_that_begins,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        open(&gateway).await;
        gateway.engine.claim(requested("ana", "c1", "mine")).await.unwrap();
        server.command::<()>(&format!("DEL haat:{{{STREAM}}}:takers"));
        let claim = async || unavailable(gateway.engine.claim(requested("bo", "c2", "mine")).await);
        with_another_type(&server, "haat:clock", claim).await;
        with_another_type(&server, &format!("haat:{{{STREAM}}}:fields"), claim).await;
        gateway.engine.claim(requested("bo", "c3", "mine")).await.unwrap();
        let snapshot = gateway.engine.snapshot(STREAM, "", 0).await.unwrap().unwrap();
        let drop = snapshot.fields.iter().find(|(name, _)| &**name == "drop.saree");
        assert_eq!(drop.map(|(_, text)| &**text), Some(r#"{"status":"paused"}"#));
        assert_eq!(gateway.engine.stats().rewound, 0, "it was noticed in the step");
    }
);
