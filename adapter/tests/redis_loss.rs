//! A Redis that comes back with an older state: what it has sold since is not sold again.

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

use std::{sync::Arc, time::Duration};

use fleet::set;
use gateway::{Gateway, unavailable, until};
use haat_adapter::{
    Adapter, Append, Check, Claim, Claimed, Market, Share, Spin, Spun, Store, StoreError, Terms,
    redis::{RedisSettings, Times},
};
use sale::{STREAM, requested, spin};
use support::{
    Server,
    proxy::{Proxy, Way},
};

/// A drop, as the state has it.
const DROP: &str = r#"{"at":1,"id":"saree","note":"\"status\":\"open\"","status":"open"}"#;
/// The same when nobody knows any more what was sold of it.
const PAUSED: &str = r#"{"at":1,"id":"saree","note":"\"status\":\"open\"","status":"paused"}"#;
/// Units of the drop.
const STOCK: u64 = 10;

/// Longer than any gateway needs to connect again.
const REASSERT: Duration = Duration::from_secs(8);

fn settings(url: String) -> RedisSettings {
    RedisSettings { times: Times { reassert: REASSERT, ..Times::default() }, ..RedisSettings::new(url) }
}

/// A claim that holds as long as the drop is open.
fn of_open_drop(number: u64) -> Claim {
    Claim {
        checks: vec![Check::Is("drop.saree".to_owned(), Some(DROP.to_owned()))],
        terms: Terms { stock: STOCK, per_user: 1, ..Terms::default() },
        ..requested(&format!("user {number}"), &format!("c{number}"), "mine")
    }
}

async fn open(gateway: &Gateway) {
    for (name, text) in [
        ("status", r#""live""#),
        ("drop.saree", DROP),
        ("drop.soon", r#"{"status":"scheduled"}"#),
        ("drop.over", r#"{"status":"closed"}"#),
        ("wheel.gold", r#"{"status":"open"}"#),
        ("poll.size", r#"{"status":"open"}"#),
    ] {
        gateway.engine.append(set(STREAM, name, Some(text))).await.unwrap();
    }
}

async fn granted(gateway: &Gateway, number: u64) {
    let claimed = gateway.engine.claim(of_open_drop(number)).await;
    assert!(matches!(claimed, Ok(Claimed::New(_))), "{number}: {claimed:?}");
}

async fn field(gateway: &Gateway, name: &str) -> Option<Arc<str>> {
    let snapshot = gateway.engine.snapshot(STREAM, "", 0).await.unwrap().unwrap();
    snapshot.fields.into_iter().find(|(known, _)| **known == *name).map(|(_, text)| text)
}

async fn epoch(gateway: &Gateway) -> Arc<str> {
    gateway.engine.snapshot(STREAM, "", 0).await.unwrap().unwrap().position.epoch
}

async fn is_paused(gateway: &Gateway) {
    for (name, text) in [
        ("status", r#""live""#),
        ("drop.saree", PAUSED),
        ("drop.soon", r#"{"status":"paused"}"#),
        ("drop.over", r#"{"status":"closed"}"#),
        ("wheel.gold", r#"{"status":"paused"}"#),
        ("poll.size", r#"{"status":"open"}"#),
    ] {
        assert_eq!(field(gateway, name).await.as_deref(), Some(text), "{name}");
    }
}

/// Claims until there is a definite answer.
async fn decided(gateway: &Gateway, claim: Claim) -> Result<Claimed, StoreError> {
    let started = std::time::Instant::now();
    loop {
        match gateway.engine.claim(claim.clone()).await {
            Err(StoreError::Unavailable(_)) if started.elapsed() < 4 * REASSERT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

redis_test!(
    /// The log is as long as it was: only the sale is behind. And the gateway that knows of it is the last one to come back.
    pauses_drops_of_which_acknowledged_claims_are_lost,
    async || {
        let mut server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let (near, far) =
            (Gateway::start(settings(server.url())).await, Gateway::start(settings(proxy.url())).await);
        open(&near).await;
        for number in 0..4 {
            granted(&far, number).await;
        }
        server.command::<()>("SAVE");
        for number in 4..STOCK {
            granted(&far, number).await;
        }
        let before = epoch(&near).await;

        proxy.set(Way::Swallow, Way::Swallow);
        server.kill();
        server.start_again();
        near.up().await;
        // It knows of nothing that is missing, but that others may.
        assert!(unavailable(near.engine.claim(of_open_drop(100)).await).contains("another than before"));
        assert_eq!(epoch(&near).await, before);
        proxy.set(Way::Pass, Way::Pass);
        far.up().await;
        assert_eq!(far.engine.stats().rewound, 1);
        for gateway in [&near, &far] {
            is_paused(gateway).await;
            assert_ne!(epoch(gateway).await, before);
            for number in 101..120 {
                let claimed = decided(gateway, of_open_drop(number)).await;
                assert_eq!(claimed, Err(StoreError::Conflict("drop.saree".to_owned())));
            }
        }
        // Whoever was granted a unit that Redis still knows of is told so.
        assert!(matches!(decided(&near, of_open_drop(1)).await, Ok(Claimed::Repeat(_))));
        assert_eq!(near.engine.grants(STREAM, &of_open_drop(1).pool).await.unwrap().len(), 4);
    }
);

redis_test!(
    /// A gateway knows what others have sold too, if it has viewers.
    pauses_drops_of_which_claims_of_others_are_lost,
    async || {
        let mut server = Server::start();
        let (one, other) =
            (Gateway::start(settings(server.url())).await, Gateway::start(settings(server.url())).await);
        open(&one).await;
        granted(&one, 0).await;
        server.command::<()>("SAVE");
        granted(&one, 1).await;
        let share = Share { stream: STREAM.to_owned(), viewers: 1, ..Share::default() };
        other.engine.sync("other", REASSERT, vec![share]).await.remove(0).unwrap();
        // Whoever has sold it is gone for good.
        one.engine.close().await;
        drop(one);
        server.kill();
        server.start_again();
        other.up().await;
        is_paused(&other).await;
        assert_eq!(decided(&other, of_open_drop(2)).await, Err(StoreError::Conflict("drop.saree".to_owned())));
    }
);

redis_test!(sells_on_when_nothing_is_lost, async || {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let times = Times { reassert: Duration::from_secs(1), ..Times::default() };
    let gateway = Gateway::start(RedisSettings { times, ..RedisSettings::new(server.url()) }).await;
    open(&gateway).await;
    granted(&gateway, 0).await;
    let before = epoch(&gateway).await;
    server.kill();
    server.start_again();
    gateway.up().await;
    assert!(matches!(decided(&gateway, of_open_drop(0)).await, Ok(Claimed::Repeat(_))));
    granted(&gateway, 1).await;
    assert_eq!(epoch(&gateway).await, before);
    assert_eq!(field(&gateway, "drop.saree").await.as_deref(), Some(DROP));
});

redis_test!(a_lost_connection_alone_stops_no_sale, async || {
    let server = Server::start();
    let gateway = Gateway::start(settings(server.url())).await;
    open(&gateway).await;
    let before = gateway.engine.stats().connections.0;
    let mut asking = server.connection();
    let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut asking);
    until("a new connection", || gateway.engine.stats().connections.0 > before).await;
    gateway.up().await;
    granted(&gateway, 0).await;
});

redis_test!(
    /// Nobody has connected anew: it shows in the step itself.
    notices_a_lost_sale_at_the_next_step,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(settings(server.url())).await;
        let lose = || server.command::<()>("DEL haat:{spring}:takers");
        open(&gateway).await;
        granted(&gateway, 0).await;
        lose();
        let claimed = gateway.engine.claim(of_open_drop(1)).await;
        assert_eq!(claimed, Err(StoreError::Conflict("drop.saree".to_owned())));
        is_paused(&gateway).await;

        // The supplier opens it again, and it is lost again.
        gateway.engine.append(set(STREAM, "drop.saree", Some(DROP))).await.unwrap();
        granted(&gateway, 2).await;
        lose();
        let open = vec![Check::Is("drop.saree".to_owned(), Some(DROP.to_owned()))];
        let spun = gateway.engine.spin(Spin { checks: open, ..spin("ana", "s1", &[7]) }).await;
        assert_eq!(spun, Err(StoreError::Conflict("drop.saree".to_owned())));
        is_paused(&gateway).await;
    }
);

redis_test!(counts_spins_and_what_becomes_of_claims_as_steps, async || {
    let server = Server::start();
    let gateway = Gateway::start(settings(server.url())).await;
    open(&gateway).await;
    let steps = || server.command::<u64>("HGET haat:{spring}:takers v");
    granted(&gateway, 0).await;
    assert_eq!(steps(), 1);
    assert!(matches!(gateway.engine.spin(spin("ana", "s1", &[7])).await, Ok(Spun::New(_))));
    assert_eq!(steps(), 2);
    let settle = |confirm| haat_adapter::Settle {
        stream: STREAM.to_owned(),
        pool: "drop.saree@".to_owned(),
        id: "c0".to_owned(),
        confirm,
        by: "null".to_owned(),
    };
    Market::settle(&*gateway.engine, settle(true)).await.unwrap();
    assert_eq!(steps(), 2, "it was final before");
    Market::settle(&*gateway.engine, settle(false)).await.unwrap();
    assert_eq!(steps(), 3);
    granted(&gateway, 1).await;
    assert_eq!(steps(), 4);
});

redis_test!(
    /// An append that is the first one to notice must not hide it from those who come after it.
    pauses_when_an_append_finds_entries_missing,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(settings(server.url())).await;
        open(&gateway).await;
        server.command::<()>("HSET haat:{spring}:meta seq 1");
        let edit = Append {
            checks: vec![Check::Is("drop.saree".to_owned(), Some(DROP.to_owned()))],
            ..set(STREAM, "title", Some(r#""Spring""#))
        };
        let refused = gateway.engine.append(edit).await;
        assert_eq!(refused, Err(StoreError::Conflict("drop.saree".to_owned())));
        is_paused(&gateway).await;
        gateway.insist_on(STREAM, "on").await;
    }
);

redis_test!(
    /// Another gateway has gone on from what was left: there is more than ever, but it is not the same.
    notices_entries_that_were_overtaken,
    async || {
        let mut server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let (near, far) =
            (Gateway::start(settings(server.url())).await, Gateway::start(settings(proxy.url())).await);
        open(&near).await;
        server.command::<()>("SAVE");
        for text in ["lost", "lost too"] {
            far.insist_on(STREAM, text).await;
        }
        let before = epoch(&far).await;
        proxy.set(Way::Swallow, Way::Swallow);
        server.kill();
        server.start_again();
        for number in 0..5 {
            near.insist_on(STREAM, &format!("instead {number}")).await;
        }
        assert_eq!(epoch(&near).await, before, "nothing is missing that it knows of");
        proxy.set(Way::Pass, Way::Pass);
        far.up().await;
        assert_ne!(epoch(&far).await, before);
        assert_eq!(far.engine.stats().rewound, 1);
        is_paused(&near).await;
    }
);

redis_test!(
    /// The same of a sale, of which the log tells nothing.
    notices_a_grant_that_was_overtaken,
    async || {
        let mut server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let times = Times { reassert: Duration::from_millis(100), ..Times::default() };
        let settings = |url| RedisSettings { times: times.clone(), ..RedisSettings::new(url) };
        let (near, far) =
            (Gateway::start(settings(server.url())).await, Gateway::start(settings(proxy.url())).await);
        open(&near).await;
        server.command::<()>("SAVE");
        granted(&far, 0).await;
        let before = epoch(&far).await;
        proxy.set(Way::Swallow, Way::Swallow);
        server.kill();
        server.start_again();
        for number in 1..4 {
            assert!(matches!(decided(&near, of_open_drop(number)).await, Ok(Claimed::New(_))));
        }
        proxy.set(Way::Pass, Way::Pass);
        far.up().await;
        assert_ne!(epoch(&far).await, before);
        is_paused(&near).await;
    }
);
