//! A gateway on a Redis Cluster: streams spread over the masters, slots move, masters die.

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
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fleet::{Manner, chat, new, seqs, set, target, to_room};
use gateway::{Gateway, LONG, unavailable, until};
use haat_adapter::{
    Adapter, Claim, Claimed, Health, LogRead, Market, Position, Refusal, Request, Store, StoreError, Terms,
    redis::{Mode, RedisSettings},
};
use sale::{POOL, STREAM, requested};
use serde_json::json;
use support::cluster::{Cluster, MASTERS};

fn at(cluster: &Cluster) -> RedisSettings {
    RedisSettings::new(cluster.url())
}

/// A key of a stream, as the README names them for a Cluster.
fn key(stream: &str, part: &str) -> String {
    format!("haat:{{socket.io#/#stream:{stream}#}}:{part}")
}

/// A stream of each master, by its place.
fn streams(cluster: &Cluster) -> Vec<String> {
    let name = |master: usize| {
        (0..).map(|number| format!("stream-{number}")).find(|name| cluster.owner(&key(name, "meta")) == master).unwrap()
    };
    (0..MASTERS).map(name).collect()
}

redis_test!(spreads_streams_and_keeps_each_in_one_slot, async || {
    let cluster = Cluster::start();
    let gateway = Gateway::start(at(&cluster)).await;
    let streams = streams(&cluster);
    for stream in &streams {
        gateway.watch(stream).await;
        new(gateway.engine.append(chat(stream, "hi")).await);
        gateway.heard.entries(stream, 1).await;
    }
    for (master, stream) in cluster.servers.iter().zip(&streams) {
        for part in ["meta", "log", "clock"] {
            assert_eq!(master.command::<i64>(&format!("EXISTS {}", key(stream, part))), 1, "{part}");
        }
        let channels: Vec<String> = master.command("PUBSUB SHARDCHANNELS");
        for channel in [key(stream, "live/0"), format!("socket.io#/#stream:{stream}#")] {
            assert!(channels.contains(&channel), "{channel} in {channels:?}");
        }
        assert!(channels.iter().any(|channel| channel.starts_with("haat:canary:")), "{channels:?}");
    }
    let mut listed = gateway.engine.streams().await.unwrap();
    listed.sort();
    let mut expected = streams.clone();
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(gateway.engine.stats().servers, (MASTERS, MASTERS));
    gateway.engine.close().await;
    for master in &cluster.servers {
        assert_eq!(master.command::<Vec<String>>("PUBSUB SHARDCHANNELS"), Vec::<String>::new());
    }
});

redis_test!(finds_the_cluster_by_any_of_its_servers, async || {
    let cluster = Cluster::start();
    let url = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", cluster.servers[1].port);
    let gateway = Gateway::start(RedisSettings::new(url)).await;
    gateway.watch("spring").await;
    gateway.insist("hi").await;
    gateway.hears("hi").await;

    let lone = support::Server::start();
    let url = format!("redis+cluster://127.0.0.1:{}", lone.port);
    let refused = Gateway::new(RedisSettings::new(url));
    let Health::Down(why) = refused.engine.up(Duration::from_secs(1)).await else { panic!("that is no cluster") };
    assert!(why.contains("cluster"), "{why}");
    let why = unavailable(refused.say("nowhere").await);
    assert!(why.contains("cluster"), "{why}");
});

redis_test!(
    /// A slot moves while several gateways append to its stream and listen to it: every entry is in the log once, and every
    /// gateway hears of the newest, so that it sees what it has missed.
    loses_nothing_silently_while_a_slot_moves,
    async || {
        let cluster = Arc::new(Cluster::start());
        let writer = Arc::new(Gateway::start(at(&cluster)).await);
        let reader = Gateway::start(at(&cluster)).await;
        writer.watch("spring").await;
        reader.watch("spring").await;
        writer.insist("before").await;
        let meta = key("spring", "meta");
        let slot: u16 = cluster.servers[0].command(&format!("CLUSTER KEYSLOT {meta}"));
        let done = Arc::new(AtomicBool::new(false));
        let appending = {
            let (writer, done) = (writer.clone(), done.clone());
            tokio::spawn(async move {
                let mut count = 0;
                while !done.load(Ordering::SeqCst) {
                    count += 1;
                    writer.insist(&format!("under load {count}")).await;
                }
                count
            })
        };
        let moving = cluster.clone();
        let moved = tokio::task::spawn_blocking(move || {
            for _ in 0..2 {
                let from = moving.owner_of(slot);
                moving.move_slot(slot, from, (from + 1) % MASTERS, || {});
            }
        });
        moved.await.unwrap();
        done.store(true, Ordering::SeqCst);
        let count = appending.await.unwrap();
        let last = writer.insist("after").await;
        // One before, and one after.
        assert_eq!(last.position.seq, count + 2);
        for gateway in [&*writer, &reader] {
            gateway.hears("after").await;
            let heard = gateway.heard.until(|_| true, |heard| seqs(&heard.entries)).await;
            assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
        }
        let beginning = Position { epoch: last.position.epoch.clone(), seq: 0 };
        let LogRead::Entries(all) = reader.engine.read("spring", beginning, 10_000).await.unwrap() else {
            panic!("the log is there")
        };
        assert_eq!(seqs(&all), Vec::from_iter(1..=last.position.seq));
        assert!(reader.engine.stats().moved + writer.engine.stats().moved > 0, "no subscription has moved");
        assert_eq!(reader.engine.health(), Health::Up);
        // The channels are where the slot is, and nowhere else.
        let owner = cluster.owner_of(slot);
        for (place, master) in cluster.servers.iter().enumerate() {
            let channels: Vec<String> = master.command("PUBSUB SHARDCHANNELS");
            assert_eq!(channels.contains(&key("spring", "live/0")), place == owner, "master {place}");
        }
    }
);

redis_test!(
    /// While a slot is on its way, Redis refuses what touches keys here and there, and says so: nothing is done, and nobody
    /// believes that it was.
    answers_unavailable_while_a_slot_is_half_way,
    async || {
        let cluster = Arc::new(Cluster::start());
        let gateway = Arc::new(Gateway::start(at(&cluster)).await);
        gateway.watch("spring").await;
        let before = gateway.insist("before").await;
        let slot: u16 = cluster.servers[0].command(&format!("CLUSTER KEYSLOT {}", key("spring", "meta")));
        let (runtime, within, moving) = (tokio::runtime::Handle::current(), gateway.clone(), cluster.clone());
        let moved = tokio::task::spawn_blocking(move || {
            let from = moving.owner_of(slot);
            moving.move_slot(slot, from, (from + 1) % MASTERS, || {
                runtime.block_on(async {
                    let started = Instant::now();
                    let why = unavailable(within.say("half way").await);
                    assert!(why.contains("TRYAGAIN") || why.contains("ASK"), "{why}");
                    assert!(started.elapsed() < LONG);
                    // Other streams go on.
                    let other = ["a", "b", "c"].map(|stream| within.insist_on(stream, "meanwhile"));
                    futures::future::join_all(other).await;
                });
            });
        });
        moved.await.unwrap();
        let after = gateway.insist("after").await;
        assert_eq!(after.position, Position { seq: before.position.seq + 1, ..before.position.clone() });
        gateway.hears("after").await;
    }
);

redis_test!(
    /// A slot is on its way and back while a crowd takes what there is: exactly that is given, and nothing that was
    /// acknowledged is lost.
    sells_exactly_the_stock_while_a_slot_moves,
    async || {
        const STOCK: u64 = 60;
        let cluster = Arc::new(Cluster::start());
        let gateways = [Gateway::start(at(&cluster)).await, Gateway::start(at(&cluster)).await];
        gateways[0].engine.append(set(STREAM, "status", Some(r#""live""#))).await.unwrap();
        let slot: u16 = cluster.servers[0].command(&format!("CLUSTER KEYSLOT {}", key(STREAM, "meta")));
        let moved = Arc::new(AtomicBool::new(false));
        let terms = Terms { stock: STOCK, per_user: STOCK, ..Terms::default() };
        let users: Vec<_> = (0..8)
            .map(|user| {
                let (engine, moved) = (gateways[user % 2].engine.clone(), moved.clone());
                tokio::spawn(async move {
                    let (mut granted, mut number) = (Vec::new(), 0);
                    // Some is left for after the move.
                    while number < 20 || !moved.load(Ordering::SeqCst) {
                        let id = format!("c{user}-{number}");
                        let claim = Claim { terms, ..requested(&format!("user {user}"), &id, &id) };
                        match engine.claim(claim).await {
                            Ok(Claimed::New(grant) | Claimed::Repeat(grant)) => granted.push(grant),
                            Ok(Claimed::Refused(Refusal::SoldOut(0))) => {}
                            Err(StoreError::Unavailable(_)) => continue,
                            other => panic!("{other:?}"),
                        }
                        number += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    granted
                })
            })
            .collect();
        let moving = cluster.clone();
        let way = tokio::task::spawn_blocking(move || {
            for _ in 0..2 {
                let from = moving.owner_of(slot);
                moving.move_slot(slot, from, (from + 1) % MASTERS, || {});
            }
        });
        way.await.unwrap();
        moved.store(true, Ordering::SeqCst);
        let mut granted = Vec::new();
        for user in users {
            granted.extend(user.await.unwrap());
        }
        granted.sort_unstable_by_key(|grant| grant.id.clone());
        let mut there = gateways[1].engine.grants(STREAM, POOL).await.unwrap();
        there.sort_unstable_by_key(|grant| grant.id.clone());
        assert_eq!(granted, there);
        assert_eq!(there.len() as u64, STOCK);
        let records = gateways[0].engine.ledger(STREAM, "", 10_000).await.unwrap();
        assert_eq!(records.iter().filter(|record| *record.kind == *"claim").count() as u64, STOCK);
        assert_eq!(gateways[0].engine.stats().rewound + gateways[1].engine.stats().rewound, 0);
    }
);

redis_test!(goes_on_with_the_other_masters_when_one_dies, async || {
    let mut cluster = Cluster::start();
    let gateway = Gateway::start(at(&cluster)).await;
    let streams = streams(&cluster);
    for stream in &streams {
        gateway.watch(stream).await;
        gateway.insist_on(stream, "before").await;
    }
    cluster.servers[0].kill();
    until("it is noticed", || gateway.engine.stats().servers.1 < MASTERS).await;
    let started = Instant::now();
    for round in 0..20 {
        for (place, stream) in streams.iter().enumerate() {
            let appended = gateway.engine.append(chat(stream, &format!("round {round}"))).await;
            if place == 0 {
                unavailable(appended);
            } else {
                new(appended);
            }
        }
    }
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
    for stream in &streams[1..] {
        gateway.heard.entries(stream, 21).await;
    }
    // Nobody has to go because of it.
    assert_eq!(gateway.engine.health(), Health::Up);
    gateway.engine.broadcast(to_room("elsewhere", "x")).unwrap();

    cluster.servers[0].start_again();
    let back = gateway.insist_on(&streams[0], "back").await;
    // It kept nothing.
    assert_eq!(back.position.seq, 1);
    gateway.hears("back").await;
});

redis_test!(follows_to_the_replica_of_a_master_that_dies, async || {
    let mut cluster = Cluster::start();
    cluster.add_replica(0);
    cluster.agree();
    let gateway = Gateway::start(at(&cluster)).await;
    let stream = streams(&cluster).swap_remove(0);
    gateway.watch(&stream).await;
    let before = gateway.insist_on(&stream, "before").await;
    cluster.servers[0].await_replicated();
    cluster.servers[0].kill();
    let after = gateway.insist_on(&stream, "after").await;
    assert_eq!((after.position.seq, &after.position.epoch), (2, &before.position.epoch));
    gateway.hears("after").await;
    // Who comes back is a replica now, and is left alone.
    cluster.servers[0].start_again();
    until("it follows", || cluster.servers[0].command::<String>("INFO replication").contains("master_link_status:up"))
        .await;
    gateway.insist_on(&stream, "later").await;
    gateway.hears("later").await;
    until("everything is in its place", || gateway.engine.stats().servers == (MASTERS, MASTERS)).await;
});

redis_test!(asks_and_tells_in_both_modes, async || {
    let cluster = Cluster::start();
    for mode in [Mode::Sharded, Mode::Classic] {
        let channel_prefix = format!("{mode:?}").to_lowercase();
        let settings = || RedisSettings {
            mode: Some(mode),
            prefix: format!("haat-{channel_prefix}"),
            channel_prefix: channel_prefix.clone(),
            ..at(&cluster)
        };
        let (one, other) = (Gateway::start(settings()).await, Gateway::start(settings()).await);
        *other.heard.manner.lock().unwrap() = Manner::Answers(vec![json!({"id": "x"})]);
        for room in ["red", "blue", "green", "user:7"] {
            other.join(room).await;
            one.engine.broadcast(to_room(room, "hi")).unwrap();
        }
        one.engine.broadcast(to_room("aBcDeFgHiJkLmNoPqRsT", "private")).unwrap();
        other.heard.broadcasts(4).await;
        let replies = one.engine.request(Request::FetchSockets(target(&["red"])), LONG).await.unwrap();
        assert_eq!(replies.answers, [vec![json!({"id": "x"})]]);
        other.engine.close().await;
        let alone = one.engine.request(Request::FetchSockets(target(&["red"])), LONG).await.unwrap();
        assert!(alone.answers.is_empty());
    }
});
