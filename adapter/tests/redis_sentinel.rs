//! A gateway on a master that Sentinels watch: it goes where they say, and believes nobody who is no master any more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use std::time::{Duration, Instant};

use fleet::{new, to_room};
use gateway::{Gateway, LONG, until};
use haat_adapter::{
    Adapter, Health, Store,
    redis::{RedisSettings, Times},
};
use support::{Server, sentinel::Guarded};

redis_test!(follows_the_master_when_it_dies, async || {
    let mut guarded = Guarded::start();
    let (one, other) = (
        Gateway::start(RedisSettings::new(guarded.url())).await,
        Gateway::start(RedisSettings::new(guarded.url())).await,
    );
    for gateway in [&one, &other] {
        gateway.watch("spring").await;
        gateway.join("red").await;
    }
    let before = one.insist("before").await;
    guarded.servers[0].await_replicated();
    let mut listened: Vec<String> = guarded.servers[0].command("PUBSUB CHANNELS");
    listened.retain(|channel| !channel.starts_with("__sentinel__"));
    listened.sort();
    let dials = one.engine.stats().connections;

    guarded.servers[0].kill();
    let killed = Instant::now();
    let after = one.insist("after").await;
    println!("appended {:?} after the master was killed", killed.elapsed());
    for gateway in [&one, &other] {
        gateway.hears("after").await;
        gateway.up().await;
        gateway.engine.settle().await;
    }
    println!("heard {:?} after the master was killed", killed.elapsed());
    assert_eq!((after.position.seq, &after.position.epoch), (2, &before.position.epoch));
    // Whoever was named at first was dead.
    let dialed = one.engine.stats().connections;
    assert!(dialed.0 > dials.0 + 1 && dialed.1 > dials.1 + 1, "{dials:?} then {dialed:?}");
    // Everything is listened to again.
    let mut again: Vec<String> = guarded.servers[1].command("PUBSUB CHANNELS");
    again.retain(|channel| !channel.starts_with("__sentinel__"));
    again.sort();
    assert_eq!(again, listened);
    one.engine.broadcast(to_room("red", "hi")).unwrap();
    other.heard.broadcasts(1).await;
});

redis_test!(
    /// A frozen master does not know that another has taken its place. When it goes on, it acknowledges what is lost as soon
    /// as it hears of that. Its own silence must not be what the gateway goes by: a short one is not noticed.
    leaves_a_frozen_master_as_soon_as_another_is_named,
    async || {
        let guarded = Guarded::start();
        let day = Duration::from_secs(24 * 60 * 60);
        let times = Times { command: LONG, probe: day, deaf: day, ..Times::default() };
        let gateway = Gateway::start(RedisSettings { times, ..RedisSettings::new(guarded.url()) }).await;
        gateway.watch("spring").await;
        gateway.insist("before").await;
        guarded.servers[0].await_replicated();
        let before = gateway.engine.stats().connections;

        guarded.servers[0].freeze(true);
        until("another master is named", || guarded.has_failed_over()).await;
        let named = Instant::now();
        until("the frozen one is left", || {
            let now = gateway.engine.stats().connections;
            now.0 > before.0 && now.1 > before.1
        })
        .await;
        println!("left {:?} after another master was named", named.elapsed());
        let mut kept = vec![gateway.insist("meanwhile").await];
        guarded.servers[0].freeze(false);
        // It takes the old one some seconds to hear that it is a replica.
        let mut number = 0;
        // It closes all connections at that moment.
        let is_replica = || {
            let client = redis::Client::open(guarded.servers[0].url()).unwrap();
            let role = client.get_connection().and_then(|mut connection| redis::cmd("ROLE").query(&mut connection));
            role.is_ok_and(|role: Vec<redis::Value>| role[0] != redis::Value::BulkString(b"master".to_vec()))
        };
        let started = Instant::now();
        while !is_replica() {
            assert!(started.elapsed() < LONG, "it never hears of it");
            number += 1;
            kept.push(gateway.insist(&format!("after {number}")).await);
            // All of them have to fit into the log.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kept.push(gateway.insist("last").await);
        gateway.hears("last").await;
        let all = gateway.engine.history("spring", "chat:message", None, 4_096).await.unwrap();
        // What was acknowledged is there.
        for entry in kept {
            assert!(all.contains(&entry), "{entry:?} was acknowledged, and is lost");
        }
    }
);

redis_test!(leaves_a_server_that_is_no_master_any_more, async || {
    let (server, other) = (Server::start(), Server::start());
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.watch("spring").await;
    let before = new(gateway.say("before").await);
    server.command::<()>(&format!("REPLICAOF 127.0.0.1 {}", other.port));
    gateway.down().await;
    until("it says why", || matches!(gateway.engine.health(), Health::Down(why) if why.contains("replica"))).await;
    server.command::<()>("REPLICAOF NO ONE");
    gateway.up().await;
    let after = gateway.insist("after").await;
    assert!(after.position != before.position);
    gateway.hears("after").await;
});
