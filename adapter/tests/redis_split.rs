//! A network split: the old master and one gateway on this side, the Sentinels, the replica and the other gateways on that
//! one. What is confirmed on this side is kept, or whoever was told of it is told that it is lost.

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

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use fleet::set;
use gateway::{Gateway, LONG, unavailable, until};
use haat_adapter::{
    Appended, Claimed, Entry, Grant, Market, Store, StoreError,
    redis::{Ledger, RedisSettings},
};
use sale::{POOL, STREAM, requested};
use support::{
    Server,
    proxy::{Proxy, Way},
    sentinel::{self, Guarded},
};

/// Where this side's connections come from.
const HERE: [u8; 4] = [127, 0, 0, 1];

/// What can be split.
struct Net {
    guarded: Guarded,
    /// Everybody's way to the master.
    master: Proxy,
    /// This side's ways to the Sentinels.
    sentinels: Vec<Proxy>,
}

impl Net {
    async fn start() -> Self {
        let server = Guarded::master();
        let master = Proxy::start(server.port).await;
        let port = master.port;
        let guarded = tokio::task::spawn_blocking(move || Guarded::around(server, port)).await.unwrap();
        let mut sentinels = Vec::new();
        for port in guarded.sentinels() {
            sentinels.push(Proxy::start(port).await);
        }
        Self { guarded, master, sentinels }
    }

    /// A gateway on this side.
    async fn here(&self, settings: impl Fn(String) -> RedisSettings) -> Gateway {
        let ports: Vec<u16> = self.sentinels.iter().map(|proxy| proxy.port).collect();
        Gateway::start(settings(sentinel::url(&ports))).await
    }

    /// A gateway on that side. It still finds the old master, but follows the Sentinels.
    async fn there(&self, settings: impl Fn(String) -> RedisSettings) -> Gateway {
        Gateway::start(settings(self.guarded.url())).await
    }

    fn split(&self) {
        self.master.only(Some(IpAddr::from(HERE)));
        self.sentinels.iter().for_each(|proxy| proxy.set(Way::Swallow, Way::Swallow));
    }

    fn heal(&self) {
        self.master.only(None);
        self.sentinels.iter().for_each(|proxy| proxy.set(Way::Pass, Way::Pass));
    }

    /// All that the new master has of the stream.
    async fn history(&self, gateway: &Gateway) -> Vec<Arc<Entry>> {
        gateway.engine.history(STREAM, "chat:message", None, 4_096).await.unwrap()
    }
}

fn granted(claimed: Result<Claimed, StoreError>) -> Grant {
    match claimed {
        Ok(Claimed::New(grant) | Claimed::Repeat(grant)) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

redis_test!(
    /// F11, with what the guide calls for: `min-replicas-to-write`, and replicas that confirm sales.
    confirms_nothing_on_the_side_without_replicas,
    async || {
        let net = Net::start().await;
        for setting in ["min-replicas-to-write 1", "min-replicas-max-lag 1"] {
            net.guarded.servers[0].command::<()>(&format!("CONFIG SET {setting}"));
        }
        let settings = |url| RedisSettings { ledger: Ledger { wait_replicas: 1 }, ..RedisSettings::new(url) };
        let (here, there) = (net.here(settings).await, net.there(settings).await);
        here.watch(STREAM).await;
        here.engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
        let before = here.insist("before").await;
        // Confirmed: the replica has it, and all that was before it.
        let mut kept = vec![granted(here.engine.claim(requested("ana", "c1", "r")).await)];

        net.split();
        let split = Instant::now();
        unavailable(here.engine.claim(requested("bo", "c2", "r")).await);
        let mut said = Vec::new();
        // The master finds out by itself that nobody follows it any more.
        let refused = loop {
            match here.say(&format!("here {}", said.len())).await {
                Ok(Appended::New(entry)) => said.push(entry),
                Err(StoreError::Unavailable(why)) if why.contains("NOREPLICAS") => break split.elapsed(),
                Err(StoreError::Unavailable(_)) => {}
                other => panic!("{other:?}"),
            }
            assert!(split.elapsed() < LONG, "nobody refuses");
        };
        println!("refused {refused:?} after the split, {} were said until then", said.len());
        let refuses = async || {
            unavailable(here.say("refused").await);
            unavailable(here.engine.claim(requested("chi", "c3", "r")).await);
        };
        while !net.guarded.has_failed_over() {
            refuses().await;
            assert!(split.elapsed() < LONG, "nobody takes its place");
        }
        let _replica = Server::with(&[
            "--repl-diskless-sync-delay",
            "0",
            "--replicaof",
            &format!("127.0.0.1 {}", net.guarded.servers[1].port),
        ]);
        there.insist("there").await;
        refuses().await;
        let claimed = loop {
            match there.engine.claim(requested("dev", "c4", "r")).await {
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                claimed => break granted(claimed),
            }
            assert!(split.elapsed() < 2 * LONG, "nobody sells");
        };
        kept.push(claimed);
        refuses().await;

        net.heal();
        here.hears("there").await;
        let after = here.insist("after").await;
        here.hears("after").await;
        let history = net.history(&here).await;
        let lost = said.iter().filter(|entry| !history.contains(entry)).count();
        assert!(lost == 0 || after.position.epoch != before.position.epoch, "{lost} are lost, and nobody was told");
        let there = loop {
            match here.engine.grants(STREAM, POOL).await {
                Ok(grants) => break grants,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        for grant in kept {
            assert!(there.contains(&grant), "{grant:?} was confirmed");
        }
    }
);

redis_test!(
    /// F11 without it: the old master takes whatever this side says, and it is lost. Nobody believes that it was kept, however
    /// much was said on the other side meanwhile.
    tells_of_what_was_said_on_the_side_that_lost,
    async || {
        let net = Net::start().await;
        let (here, there) = (net.here(RedisSettings::new).await, net.there(RedisSettings::new).await);
        here.watch(STREAM).await;
        let before = here.insist("before").await;
        // Nothing may block here: the proxies run on this thread too.
        until("the replica has it", || net.guarded.servers[1].command::<u64>("LLEN haat:{spring}:log") == 1).await;

        let made = there.engine.stats().connections;
        net.split();
        let mut said = vec![here.insist("here").await];
        until("another master is named", || net.guarded.has_failed_over()).await;
        said.push(here.insist("here too").await);
        until("that side has gone to it", || {
            let now = there.engine.stats().connections;
            now.0 > made.0 && now.1 > made.1
        })
        .await;
        for number in 0..10 {
            there.insist(&format!("there {number}")).await;
        }
        net.heal();
        here.hears("there 9").await;
        let after = here.insist("after").await;
        let history = net.history(&here).await;
        assert!(said.iter().all(|entry| !history.contains(entry)), "they are lost");
        assert_ne!(after.position.epoch, before.position.epoch);
        assert_eq!(here.engine.stats().rewound, 1);
        assert_eq!(history.last(), Some(&after));
    }
);
