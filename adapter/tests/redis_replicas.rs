//! Sales that replicas have to confirm: what was acknowledged outlives the master.

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
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use fleet::{new, set};
use gateway::{Gateway, unavailable, until};
use haat_adapter::{
    Claim, Claimed, Grant, Market, Refusal, Spun, Store, StoreError, Terms,
    redis::{Ledger, RedisSettings},
};
use sale::{POOL, STREAM, requested, spin};
use support::{Server, sentinel::Guarded};

/// Longer than a failover may take.
const PATIENCE: Duration = Duration::from_secs(90);

fn settings(url: String) -> RedisSettings {
    RedisSettings { ledger: Ledger { wait_replicas: 1 }, ..RedisSettings::new(url) }
}

/// A master and its replica.
fn pair() -> (Server, Server) {
    let master = Server::with(&["--repl-diskless-sync-delay", "0"]);
    let replica = replica_of(&master);
    (master, replica)
}

/// A replica that follows.
fn replica_of(master: &Server) -> Server {
    let place = format!("127.0.0.1 {}", master.port);
    let replica = Server::with(&["--repl-diskless-sync-delay", "0", "--replicaof", &place]);
    let started = Instant::now();
    while !replica.command::<String>("INFO replication").contains("master_link_status:up") {
        assert!(started.elapsed() < PATIENCE, "the replica does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
    replica
}

/// Claims until there is a definite answer.
async fn decided(market: &dyn Market, claim: &Claim) -> Result<Claimed, StoreError> {
    let started = Instant::now();
    loop {
        match market.claim(claim.clone()).await {
            Err(StoreError::Unavailable(_)) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => return answer,
        }
    }
}

redis_test!(answers_a_sale_only_when_a_replica_has_it, async || {
    let (master, replica) = pair();
    let gateway = Gateway::start(settings(master.url())).await;
    gateway.engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
    let first = match gateway.engine.claim(requested("ana", "c1", "r1")).await {
        Ok(Claimed::New(grant)) => grant,
        other => panic!("{other:?}"),
    };
    assert_eq!(gateway.engine.stats().unconfirmed, 0);

    replica.freeze(true);
    let started = Instant::now();
    let why = unavailable(gateway.engine.claim(requested("bo", "c2", "r2")).await);
    assert_eq!(why, "0 of 1 replicas have it");
    // Neither a repetition, nor what is told of all grants, may make it look acknowledged.
    unavailable(gateway.engine.claim(requested("ana", "c9", "r1")).await);
    unavailable(gateway.engine.claim(requested("bo", "c9", "r2")).await);
    unavailable(gateway.engine.grants(STREAM, POOL).await);
    unavailable(gateway.engine.spin(spin("ana", "s1", &[7])).await);
    assert!(gateway.engine.stats().unconfirmed >= 5);
    println!("five unanswered sales took {:?}", started.elapsed());

    replica.freeze(false);
    let again = decided(&*gateway.engine, &requested("bo", "c9", "r2")).await;
    assert!(matches!(&again, Ok(Claimed::Repeat(grant)) if &*grant.id == "c2"), "{again:?}");
    let again = decided(&*gateway.engine, &requested("ana", "c9", "r1")).await;
    assert_eq!(again, Ok(Claimed::Repeat(first)));
    assert_eq!(gateway.engine.grants(STREAM, POOL).await.unwrap().len(), 2);
    assert!(matches!(gateway.engine.spin(spin("bo", "s2", &[7])).await, Ok(Spun::New(_))));
});

redis_test!(
    /// While a sale waits for a replica that does not answer, nothing else does.
    keeps_nobody_else_waiting,
    async || {
        let (master, replica) = pair();
        let gateway = Gateway::start(settings(master.url())).await;
        gateway.watch(STREAM).await;
        gateway.engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
        replica.freeze(true);
        let engine = gateway.engine.clone();
        let sale = tokio::spawn(async move { engine.claim(requested("ana", "c1", "r1")).await });
        let mut said = 0;
        while !sale.is_finished() {
            new(gateway.say(&format!("message {said}")).await);
            said += 1;
        }
        unavailable(sale.await.unwrap());
        assert!(said > 1, "{said} messages while the sale waited");
        replica.freeze(false);
    }
);

redis_test!(takes_the_sales_that_wait_in_one_go, async || {
    let (master, _replica) = pair();
    let gateway = Gateway::start(settings(master.url())).await;
    gateway.engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
    let terms = Terms { stock: 600, per_user: 1, ..Terms::default() };
    let claims = (0..1_000).map(|number| {
        let claim = Claim { terms, ..requested(&format!("user {number}"), &format!("c{number}"), "r") };
        gateway.engine.claim(claim)
    });
    let answers = futures::future::join_all(claims).await;
    let granted = answers.iter().filter(|answer| matches!(answer, Ok(Claimed::New(_)))).count();
    let sold_out = |answer: &&Result<_, _>| matches!(answer, Ok(Claimed::Refused(Refusal::SoldOut(0))));
    assert_eq!((granted, answers.iter().filter(sold_out).count()), (600, 400));
    let stats: String = master.command("INFO commandstats");
    let waits =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_wait:calls=")?.split(',').next()?.parse().ok());
    assert!(waits.is_some_and(|waits: u64| waits < 100), "{waits:?} times");
});

redis_test!(
    /// Two gateways, a crowd that never gives up, and a master that dies in the middle of it.
    loses_no_acknowledged_claim_in_a_failover,
    async || {
        const STOCK: u64 = 100;
        const USERS: usize = 60;
        let mut guarded = Guarded::start();
        let gateways =
            [Gateway::start(settings(guarded.url())).await, Gateway::start(settings(guarded.url())).await];
        gateways[0].engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
        guarded.servers[0].await_replicated();

        // Each user wants three, one at a time, and may have two.
        let terms = Terms { stock: STOCK, per_user: 2, ..Terms::default() };
        let acknowledged = Arc::new(Mutex::new(HashMap::<String, Grant>::new()));
        let users: Vec<_> = (0..USERS)
            .map(|user| {
                let (engine, acknowledged) = (gateways[user % 2].engine.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for number in 0..3 {
                        let id = format!("c{user}-{number}");
                        let claim =
                            Claim { terms, ..requested(&format!("user {user}"), &id, &format!("request {number}")) };
                        match decided(&*engine, &claim).await {
                            Ok(Claimed::New(grant) | Claimed::Repeat(grant)) => {
                                let before = acknowledged.lock().unwrap().insert(id, grant);
                                assert_eq!(before, None);
                            }
                            Ok(Claimed::Refused(Refusal::SoldOut(0) | Refusal::Limit(0))) => {}
                            other => panic!("{other:?}"),
                        }
                        // The master has to die before all is sold.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                })
            })
            .collect();
        until("some have been granted", || acknowledged.lock().unwrap().len() >= 20).await;
        guarded.servers[0].kill();
        let killed = acknowledged.lock().unwrap().len();
        let started = Instant::now();
        while !guarded.has_failed_over() {
            assert!(started.elapsed() < PATIENCE, "nobody takes its place");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Alone, the new master confirms nothing. The old one stays away: started again it would be an empty master for some
        // seconds, which a Sentinel may take for a replica that is worth something.
        let _replica = replica_of(&guarded.servers[1]);
        for user in users {
            user.await.unwrap();
        }
        println!("{killed} claims were acknowledged before the master died, all were after {:?}", started.elapsed());

        let acknowledged = acknowledged.lock().unwrap().clone();
        let there = gateways[1].engine.grants(STREAM, POOL).await.unwrap();
        let there: HashMap<String, Grant> =
            there.into_iter().map(|grant| (grant.id.to_string(), grant)).collect();
        for (id, grant) in &acknowledged {
            assert_eq!(there.get(id), Some(grant), "{id} was acknowledged");
        }
        assert_eq!(there.values().map(|grant| grant.quantity).sum::<u64>(), STOCK);
        let mut shares = HashMap::<&str, u64>::new();
        there.values().for_each(|grant| *shares.entry(&grant.user).or_default() += grant.quantity);
        assert!(shares.values().all(|share| *share <= 2), "{shares:?}");
        let records = gateways[1].engine.ledger(STREAM, "", 10_000).await.unwrap();
        let recorded: Vec<_> = records.iter().filter(|record| *record.kind == *"claim").map(|record| &record.data).collect();
        assert_eq!(recorded.len(), there.len());
        assert_eq!(recorded.iter().collect::<HashSet<_>>().len(), there.len(), "each once");
    }
);
