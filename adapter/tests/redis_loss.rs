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
    Adapter, Append, Check, Claim, Claimed, Market, Settle, Settled, Share, Spin, Spun, Store, StoreError, Terms,
    redis::{RedisSettings, Times},
};
use sale::{STREAM, held, requested, spin, stake};
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
        let last = gateway.insist_on(STREAM, "the last one").await.clock;
        server.command::<()>("HSET haat:{spring}:meta seq 1");
        server.command::<()>("SET haat:clock 1");
        let edit = Append {
            checks: vec![Check::Is("drop.saree".to_owned(), Some(DROP.to_owned()))],
            ..set(STREAM, "title", Some(r#""Spring""#))
        };
        let refused = gateway.engine.append(edit).await;
        assert_eq!(refused, Err(StoreError::Conflict("drop.saree".to_owned())));
        is_paused(&gateway).await;
        let clock = gateway.engine.snapshot(STREAM, "", 0).await.unwrap().unwrap().clock;
        assert!(clock > last, "{clock} is a moment that was named before {last}");
        gateway.insist_on(STREAM, "on").await;
    }
);

/// Settings of gateways that sell again soon after Redis has started again.
fn hasty(url: String) -> RedisSettings {
    RedisSettings { times: Times { reassert: Duration::from_millis(100), ..Times::default() }, ..settings(url) }
}

/// Two gateways, one of which does something that Redis loses; then the other one does as much. What the first one finds
/// when it comes back.
async fn overtaken(
    kept: impl AsyncFn(&Gateway),
    lost: impl AsyncFn(&Gateway),
    instead: impl AsyncFn(&Gateway),
) -> bool {
    let mut server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let (near, far) = (Gateway::start(hasty(server.url())).await, Gateway::start(hasty(proxy.url())).await);
    open(&near).await;
    kept(&far).await;
    server.command::<()>("SAVE");
    lost(&far).await;
    let before = epoch(&far).await;
    proxy.set(Way::Swallow, Way::Swallow);
    server.kill();
    server.start_again();
    near.up().await;
    instead(&near).await;
    assert_eq!(epoch(&near).await, before, "nothing is missing that it knows of");
    proxy.set(Way::Pass, Way::Pass);
    far.up().await;
    let is_noticed = epoch(&far).await != before;
    assert_eq!(far.engine.stats().rewound, u64::from(is_noticed));
    if is_noticed {
        is_paused(&near).await;
    }
    is_noticed
}

redis_test!(
    /// Another gateway has gone on from what was left: there is more than ever, but it is not the same.
    notices_entries_that_were_overtaken,
    async || {
        let lost = async |far: &Gateway| {
            for text in ["lost", "lost too"] {
                far.insist_on(STREAM, text).await;
            }
        };
        let instead = async |near: &Gateway| {
            for number in 0..5 {
                near.insist_on(STREAM, &format!("instead {number}")).await;
            }
        };
        assert!(overtaken(async |_| (), lost, instead).await);
    }
);

/// Three grants.
async fn sell(gateway: &Gateway) {
    for number in 1..4 {
        assert!(matches!(decided(gateway, of_open_drop(number)).await, Ok(Claimed::New(_))));
    }
}

redis_test!(
    /// The same of a sale, of which the log tells nothing.
    notices_a_grant_that_was_overtaken,
    async || assert!(overtaken(async |_| (), async |far| granted(far, 0).await, sell).await)
);

/// Turns a wheel on which nothing is left, until there is a definite answer.
async fn in_vain(gateway: &Gateway, user: &str, id: &str) {
    let started = std::time::Instant::now();
    let spin = Spin { prizes: vec![stake("a", 1, Some(0))], ..spin(user, id, &[7, 7]) };
    loop {
        match gateway.engine.spin(spin.clone()).await {
            Err(StoreError::Unavailable(_)) if started.elapsed() < 4 * REASSERT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Spun::New(turn)) => return assert_eq!(turn.prize, None),
            other => panic!("{other:?}"),
        }
    }
}

async fn settled(gateway: &Gateway, id: &str, confirm: bool) {
    let settle = Settle {
        stream: STREAM.to_owned(),
        pool: "drop.saree@".to_owned(),
        id: id.to_owned(),
        confirm,
        by: "null".to_owned(),
    };
    let settled = Market::settle(&*gateway.engine, settle).await;
    assert!(matches!(settled, Ok(Settled::Done(_, false))), "{settled:?}");
}

redis_test!(
    /// A turn at a wheel that won nothing is no grant, and leaves nothing in the log.
    notices_a_turn_without_a_prize_that_was_overtaken,
    async || {
        let lost = async |far: &Gateway| in_vain(far, "ana", "s1").await;
        let instead = async |near: &Gateway| {
            for user in ["bo", "chi", "dev"] {
                in_vain(near, user, user).await;
            }
        };
        assert!(overtaken(async |_| (), lost, instead).await);
    }
);

redis_test!(
    /// Of turns it is the user's own that count, not how many there are.
    takes_no_turn_for_lost_that_is_there,
    async || {
        let kept = async |far: &Gateway| in_vain(far, "ana", "s1").await;
        let instead = async |near: &Gateway| {
            for user in ["bo", "chi", "dev"] {
                in_vain(near, user, user).await;
            }
        };
        assert!(!overtaken(kept, async |_| (), instead).await);
    }
);

redis_test!(
    /// The grant is there, but nobody knows any more that it was confirmed: its units would go back.
    notices_a_settlement_that_was_overtaken,
    async || {
        let kept = async |far: &Gateway| {
            let held = far.engine.claim(held("ana", "c0", 600_000)).await;
            assert!(matches!(held, Ok(Claimed::New(_))), "{held:?}");
        };
        let lost = async |far: &Gateway| settled(far, "c0", true).await;
        assert!(overtaken(kept, lost, sell).await);
    }
);

/// The gateway connects anew, and has held against Redis what it knows.
async fn anew(gateway: &Gateway, server: &Server) {
    let made = gateway.engine.stats().connections.0;
    let mut asking = server.connection();
    let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut asking);
    until("a new connection", || gateway.engine.stats().connections.0 > made).await;
    gateway.up().await;
    // Nothing is appended before it has.
    gateway.insist_on(STREAM, &format!("connection {made}")).await;
}

redis_test!(
    /// What became of a grant is known by what may have become of it since.
    knows_what_can_become_of_a_grant,
    async || {
        let server = Server::start();
        let (one, other) =
            (Gateway::start(settings(server.url())).await, Gateway::start(settings(server.url())).await);
        open(&one).await;
        let packed = |id: &str| server.command::<Vec<u8>>(&format!("HGET haat:{{spring}}:grants {id}"));
        let plant = |id: &str, packed: &[u8]| {
            let mut set = redis::cmd("HSET");
            set.arg("haat:{spring}:grants").arg(id).arg(packed).exec(&mut server.connection()).unwrap();
        };
        let hold = async |id: &str, ms| {
            let terms = Terms { stock: STOCK, per_user: STOCK, hold: Some(ms), ..Terms::default() };
            let claimed = one.engine.claim(Claim { terms, ..held("ana", id, ms) }).await;
            assert!(matches!(claimed, Ok(Claimed::New(_))), "{claimed:?}");
        };
        let is_noticed = async || {
            let before = one.engine.stats().rewound;
            anew(&one, &server).await;
            one.engine.stats().rewound > before
        };
        hold("gone", 1).await;
        let first = packed("gone");
        let started = std::time::Instant::now();
        while packed("gone") == first {
            other.engine.tend(STREAM, sale::POOL).await.unwrap();
            assert!(started.elapsed() < REASSERT, "it does not run out");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let run_out = packed("gone");

        hold("c1", 600_000).await;
        let was_held = packed("c1");
        settled(&one, "c1", true).await;
        let was_final = packed("c1");
        assert!(!is_noticed().await, "final, as it was made");
        // It has connected anew as well.
        other.insist_on(STREAM, "other").await;
        settled(&other, "c1", false).await;
        // It would notice what is planted too, and first.
        other.engine.close().await;
        drop(other);
        let was_released = packed("c1");
        assert!(!is_noticed().await, "final, and given back since");
        plant("c1", &run_out);
        assert!(is_noticed().await, "final, and it runs out");

        for (given, what) in [(&was_held, "held"), (&was_final, "final"), (&run_out, "it ran out")] {
            let id = format!("c{}", what.len());
            hold(&id, 600_000).await;
            settled(&one, &id, false).await;
            plant(&id, &was_released);
            assert!(!is_noticed().await, "given back, as it was made");
            plant(&id, given);
            assert!(is_noticed().await, "given back, and {what}");
        }
    }
);

redis_test!(
    /// BR9: what cannot be read tells nothing, and keeps no gateway from its Redis.
    connects_where_what_it_knows_is_damaged,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(settings(server.url())).await;
        open(&gateway).await;
        let plant = |key: &str, name: &str, value: &[u8]| {
            let mut set = redis::cmd("HSET");
            set.arg(format!("haat:{{spring}}:{key}")).arg(name).arg(value).exec(&mut server.connection()).unwrap();
        };
        granted(&gateway, 0).await;
        let grants: Vec<String> = server.command("HKEYS haat:{spring}:grants");
        let [grant] = &grants[..] else { panic!("{grants:?}") };
        // No byte of MessagePack, the beginning of a text, a number, and a list of nothing.
        for damaged in [&b"\xc1"[..], b"\xd9", b"\x05", b"\x90"] {
            plant("grants", grant, damaged);
            anew(&gateway, &server).await;
        }
        in_vain(&gateway, "ana", "s1").await;
        let takers: Vec<String> = server.command("HKEYS haat:{spring}:takers");
        let turns = takers.iter().filter(|name| name.starts_with("u:") && name.contains("wheel"));
        turns.for_each(|name| plant("takers", name, b"many"));
        assert!(takers.iter().any(|name| name.starts_with("u:") && name.contains("wheel")), "{takers:?}");
        anew(&gateway, &server).await;
        assert_eq!(gateway.engine.stats().rewound, 0);
    }
);

redis_test!(
    /// What is lost is lost once: it is not missed again in the epoch that tells of it.
    tells_of_a_loss_once,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(settings(server.url())).await;
        open(&gateway).await;
        granted(&gateway, 0).await;
        server.command::<()>("DEL haat:{spring}:grants");
        anew(&gateway, &server).await;
        assert_eq!(gateway.engine.stats().rewound, 1);
        // As every gateway with viewers does.
        let share = Share { stream: STREAM.to_owned(), viewers: 1, ..Share::default() };
        gateway.engine.sync("gateway", REASSERT, vec![share]).await.remove(0).unwrap();
        let after = epoch(&gateway).await;
        anew(&gateway, &server).await;
        assert_eq!(epoch(&gateway).await, after);
        assert_eq!(gateway.engine.stats().rewound, 1);
    }
);
