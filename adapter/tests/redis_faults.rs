//! What a gateway promises while Redis, or the way to it, is not well. Times are generous conditions; the shorter ones that
//! are aimed at stand beside them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use std::time::{Duration, Instant};

use fleet::{chat, chat_data, new, once, seqs, to_room};
use gateway::{Gateway, LONG, unavailable, until};
use haat_adapter::{
    Adapter, Append, Health, LogRead, Position, QueueFull, Request, Store, StoreError, redis::RedisSettings,
};
use support::{
    Server,
    proxy::{Proxy, Way},
};

/// A command's time, and some more for a busy machine.
const COMMAND: Duration = Duration::from_secs(10);

redis_test!(is_down_within_seconds_of_a_black_hole_and_comes_back, async || {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let (near, far) =
        (Gateway::start(RedisSettings::new(server.url())).await, Gateway::start(RedisSettings::new(proxy.url())).await);
    far.watch("spring").await;
    near.insist("before").await;
    far.hears("before").await;
    for (up, down) in [(Way::Swallow, Way::Swallow), (Way::Pass, Way::Swallow), (Way::Swallow, Way::Pass)] {
        proxy.set(up, down);
        // Aimed at: 5 s.
        assert!(far.down().await < Duration::from_secs(15));
        let started = Instant::now();
        unavailable(far.say("lost").await);
        unavailable(far.engine.read("spring", Position::default(), 10).await);
        assert!(started.elapsed() < 2 * COMMAND);
        let text = format!("meanwhile {up:?} {down:?}");
        near.insist(&text).await;
        proxy.set(Way::Pass, Way::Pass);
        far.up().await;
        // It was published while nobody here heard it; the newest entry shows the gap.
        far.hears(&text).await;
        assert_eq!(new(far.say("again").await).position.epoch, near.insist("before").await.position.epoch);
    }
});

redis_test!(answers_at_once_while_there_is_no_connection, async || {
    let mut server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    server.kill();
    gateway.down().await;
    let started = Instant::now();
    for _ in 0..1_000 {
        unavailable(gateway.say("hi").await);
    }
    // If each waited for its time, it would take half an hour.
    assert!(started.elapsed() < 4 * COMMAND, "{:?}", started.elapsed());
    assert!(gateway.engine.request(Request::FetchSockets(fleet::target(&[])), LONG).await.is_err());
});

redis_test!(starts_without_redis_and_finds_it_later, async || {
    let mut server = Server::start();
    server.kill();
    let gateway = Gateway::new(RedisSettings::new(server.url()));
    gateway.heard.join("/", "stream:spring");
    gateway.engine.interest("/", "stream:spring", true);
    assert!(matches!(gateway.engine.up(Duration::from_millis(300)).await, Health::Down(_)));
    server.start_again();
    gateway.up().await;
    gateway.insist("hi").await;
    gateway.hears("hi").await;
});

redis_test!(hears_again_after_every_kill, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.watch("spring").await;
    const KILLS: u64 = 10;
    for round in 0..KILLS {
        let kind = if round % 2 == 0 { "pubsub" } else { "normal" };
        let before = gateway.engine.stats().connections;
        // The connection that asks for it is of the kind, too.
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes").exec(&mut asking);
        until("a new connection", || gateway.engine.stats().connections != before).await;
        gateway.up().await;
        let text = format!("round {round}");
        gateway.insist(&text).await;
        gateway.hears(&text).await;
    }
    let (commands, listener) = gateway.engine.stats().connections;
    assert!(commands + listener <= 2 + 2 * KILLS, "{commands} and {listener} connections");
    // What arrived has one order, and nothing came twice.
    let numbers = gateway.heard.until(|_| true, |heard| seqs(&heard.entries)).await;
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
});

redis_test!(begins_another_epoch_on_a_redis_that_came_back_empty, async || {
    let mut server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.watch("spring").await;
    let before = gateway.insist("before").await;
    server.kill();
    server.start_again();
    gateway.up().await;
    assert_eq!(gateway.engine.snapshot("spring", "chat:message", 1).await, Ok(None));
    assert_eq!(gateway.engine.streams().await, Ok(vec![]));
    let after = gateway.insist("after").await;
    assert_eq!(after.position.seq, 1);
    assert_ne!(after.position.epoch, before.position.epoch);
    assert!(after.clock > before.clock, "{} after {}", after.clock, before.clock);
    gateway.hears("after").await;
    assert_eq!(gateway.engine.streams().await, Ok(vec!["spring".to_owned()]));
    let gone = gateway.engine.read("spring", before.position.clone(), 10).await;
    assert_eq!(gone, Ok(LogRead::Gone(after.position.clone())));
});

redis_test!(goes_on_where_it_was_on_a_redis_that_came_back_whole, async || {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    let before = gateway.insist("before").await;
    server.kill();
    server.start_again();
    gateway.up().await;
    let after = gateway.insist("after").await;
    assert_eq!((after.position.seq, &after.position.epoch), (2, &before.position.epoch));
    assert_eq!(gateway.engine.stats().rewound, 0);
});

redis_test!(
    /// A power cut took the last entries, which clients have seen: their numbers must not name others.
    begins_another_epoch_when_acknowledged_entries_are_missing,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.watch("spring").await;
        for text in ["one", "two", "three"] {
            gateway.insist(text).await;
        }
        let third = gateway.insist("three").await;
        let rewind = || {
            server.command::<()>("HSET haat:{spring}:meta seq 1");
            server.command::<()>("LTRIM haat:{spring}:log 0 0");
        };
        // Found by the append that follows.
        rewind();
        let other = new(gateway.say("other").await);
        assert_eq!(other.position.seq, 2);
        assert_ne!(other.position.epoch, third.position.epoch);
        gateway.hears("other").await;
        let gone = gateway.engine.read("spring", third.position.clone(), 10).await;
        assert_eq!(gone, Ok(LogRead::Gone(other.position.clone())));
        // Found by the connection that is made after a restart.
        rewind();
        let before = gateway.engine.stats().connections;
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut asking);
        until("a new connection", || gateway.engine.stats().connections.0 > before.0).await;
        gateway.up().await;
        assert_eq!(gateway.engine.stats().rewound, 1);
        let snapshot = gateway.engine.snapshot("spring", "chat:message", 10).await.unwrap().unwrap();
        assert_ne!(snapshot.position.epoch, other.position.epoch);
        // What is left is there, in the new epoch.
        assert_eq!(seqs(&snapshot.history), [1]);
        assert_eq!(snapshot.history[0].position.epoch, snapshot.position.epoch);
        assert!(snapshot.clock > third.clock);
    }
);

redis_test!(waits_for_a_frozen_redis_no_longer_than_for_any, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.watch("spring").await;
    gateway.insist("before").await;
    let mut asking = server.connection();
    let freeze = std::thread::spawn(move || redis::cmd("DEBUG").arg("SLEEP").arg(10).exec(&mut asking));
    // Many at once: they neither pile up nor wait longer.
    let waiting: Vec<_> = (0..500)
        .map(|_| {
            let engine = gateway.engine.clone();
            tokio::spawn(async move { engine.append(chat("spring", "frozen")).await })
        })
        .collect();
    let mut refused = 0;
    for answer in waiting {
        refused += usize::from(answer.await.unwrap().is_err());
    }
    assert!(refused > 0, "redis was not frozen");
    assert!(!freeze.is_finished(), "they waited for redis");
    gateway.down().await;
    freeze.join().unwrap().unwrap();
    gateway.up().await;
    gateway.insist("after").await;
    gateway.hears("after").await;
    let (commands, listener) = gateway.engine.stats().connections;
    assert!(commands + listener <= 20, "{commands} and {listener} connections");
});

redis_test!(passes_on_every_refusal_of_redis_and_goes_on, async || {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let gateway = Gateway::start(RedisSettings::new(proxy.url())).await;
    gateway.insist("before").await;
    let errors = [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "READONLY You can't write against a read only replica.",
        "MOVED 866 127.0.0.1:1",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOAUTH Authentication required.",
        "CLUSTERDOWN The cluster is down",
        "NOREPLICAS Not enough good replicas to write.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "MASTERDOWN Link with MASTER is down",
        "ERR something else",
    ];
    for error in errors {
        let started = Instant::now();
        let code = error.split(' ').next().unwrap();
        // A probe may be answered in its place; then it is tried again.
        loop {
            gateway.up().await;
            proxy.answer_with(error, 1);
            if let Err(StoreError::Unavailable(why)) = gateway.say("refused").await
                && why.contains(code)
            {
                break;
            }
            assert!(started.elapsed() < LONG, "{error} never came through");
        }
        gateway.insist(&format!("after {code}")).await;
    }
    let (commands, _) = gateway.engine.stats().connections;
    // No error is answered by connecting again and again.
    assert!(commands <= 3 * errors.len() as u64, "{commands} connections");
});

redis_test!(loads_a_script_that_redis_has_forgotten, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.insist("before").await;
    server.command::<()>("SCRIPT FLUSH");
    assert_eq!(new(gateway.say("after").await).position.seq, 2);
    server.command::<()>("SCRIPT FLUSH");
    let share = haat_adapter::Share { stream: "spring".to_owned(), viewers: 3, ..Default::default() };
    let totals = gateway.engine.sync("g", LONG, vec![share.clone(), share]).await;
    assert_eq!(totals.into_iter().map(|totals| totals.unwrap().viewers).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(gateway.engine.stats().reloaded, 3);
});

redis_test!(says_what_redis_says_when_its_memory_is_full, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    let before = gateway.insist("before").await;
    server.command::<()>("CONFIG SET maxmemory 1");
    assert!(unavailable(gateway.say("full").await).contains("OOM"));
    server.command::<()>("CONFIG SET maxmemory 0");
    let after = new(gateway.say("after").await);
    assert_eq!((after.position.seq, &after.position.epoch), (2, &before.position.epoch));
});

redis_test!(
    /// Nothing of an append is done if a part of it cannot be.
    changes_nothing_where_a_key_is_of_another_type,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.insist("before").await;
        for part in ["meta", "fields", "log", "once:key"] {
            let key = format!("haat:{{spring}}:{part}");
            server.command::<i64>("DEL kept");
            server.command::<i64>(&format!("COPY {key} kept"));
            server.command::<i64>(&format!("DEL {key}"));
            server.command::<()>(&format!("ZADD {key} 1 planted"));
            let set = vec![("title".to_owned(), Some(vec!["1".to_owned()]))];
            let append = Append { set, once: once("key"), ..chat("spring", "planted") };
            let why = unavailable(gateway.engine.append(append).await);
            assert!(why.contains("WRONGTYPE"), "{part}: {why}");
            server.command::<i64>(&format!("DEL {key}"));
            if part != "once:key" {
                server.command::<i64>(&format!("COPY kept {key}"));
            }
        }
        let snapshot = gateway.engine.snapshot("spring", "chat:message", 10).await.unwrap().unwrap();
        assert_eq!((snapshot.position.seq, snapshot.fields, snapshot.history.len()), (1, vec![], 1));
        assert_eq!(new(gateway.say("after").await).position.seq, 2);
    }
);

redis_test!(delivers_no_entry_that_was_damaged_on_its_way, async || {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let (near, far) =
        (Gateway::start(RedisSettings::new(server.url())).await, Gateway::start(RedisSettings::new(proxy.url())).await);
    far.watch("spring").await;
    near.insist("whole").await;
    far.hears("whole").await;
    proxy.damage("fragile");
    near.insist("fragile").await;
    until("the damage", || proxy.has_damaged() && far.engine.stats().unclear == 1).await;
    near.insist("after").await;
    far.hears("after").await;
    let heard = far.heard.until(|_| true, |heard| seqs(&heard.entries)).await;
    // The gateway sees the gap, and reads what is missing.
    assert_eq!(heard, [1, 3]);
    let LogRead::Entries(missing) =
        far.engine.read("spring", Position { seq: 1, ..near.insist("after").await.position.clone() }, 1).await.unwrap()
    else {
        panic!("the log is there")
    };
    assert_eq!(&*missing[0].data, chat_data("spring", 2, "fragile"));
});

redis_test!(survives_connections_that_end_anywhere, async || {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let gateway = Gateway::start(RedisSettings::new(proxy.url())).await;
    gateway.watch("spring").await;
    for bytes in [1, 7, 50, 333, 1_500] {
        proxy.cut_after(Some(bytes));
        proxy.cut();
        gateway.down().await;
        unavailable(gateway.say("lost").await);
        proxy.cut_after(None);
        proxy.cut();
        gateway.up().await;
        let text = format!("after {bytes}");
        gateway.insist(&text).await;
        gateway.hears(&text).await;
    }
});

redis_test!(finds_redis_again_after_refused_dials, async || {
    let server = Server::start();
    let proxy = Proxy::start(server.port).await;
    let gateway = Gateway::start(RedisSettings::new(proxy.url())).await;
    gateway.watch("spring").await;
    proxy.refuse(true);
    proxy.cut();
    gateway.down().await;
    let dials = proxy.accepted();
    until("some refused dials", || proxy.accepted() >= dials + 6).await;
    proxy.refuse(false);
    gateway.up().await;
    gateway.insist("after").await;
    gateway.hears("after").await;
});

redis_test!(
    /// Two connections that both work, to two servers: what is said on one is not heard on the other.
    connects_anew_when_it_does_not_hear_itself,
    async || {
        let (server, other) = (Server::start(), Server::start());
        let proxy = Proxy::start(server.port).await;
        let gateway = Gateway::start(RedisSettings::new(proxy.url())).await;
        gateway.watch("spring").await;
        // Only the connection that listens comes back to another server.
        proxy.lead_to(other.port);
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").exec(&mut asking);
        until("it is found deaf", || gateway.engine.stats().deaf >= 1).await;
        gateway.up().await;
        gateway.insist("after").await;
        gateway.hears("after").await;
    }
);

redis_test!(bounds_what_waits_to_be_published, async || {
    let mut server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    server.kill();
    gateway.down().await;
    let mut full = false;
    for index in 0..100_000 {
        full |= gateway.engine.broadcast(to_room("red", &index.to_string())) == Err(QueueFull);
        if full {
            break;
        }
    }
    assert!(full, "the queue has no bound");
    let (messages, bytes) = gateway.engine.stats().queued;
    assert!(messages > 0 && bytes < 32 << 20, "{messages} messages of {bytes} bytes");
    // What is too old is worth nothing any more.
    until("the queue is empty", || gateway.engine.stats().queued == (0, 0)).await;
    assert!(gateway.engine.stats().stale > 0);
    server.start_again();
    gateway.up().await;
});

redis_test!(drops_and_counts_what_makes_no_sense_on_every_channel, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    gateway.watch("spring").await;
    gateway.join("red").await;
    let channels =
        ["socket.io#/#", "socket.io#/#red#", "socket.io-request#/#", "socket.io-response#/#", "haat:{spring}:live/0"];
    let garbage: [&[u8]; 6] =
        [b"", b"\xc1", b"garbage", b"2 a record of the future\n", &[0xdd, 0xff, 0xff, 0xff, 0xff], &[0x91; 5_000]];
    let mut connection = server.connection();
    for channel in channels {
        for payload in garbage {
            redis::cmd("PUBLISH").arg(channel).arg(payload).exec(&mut connection).unwrap();
        }
    }
    redis::cmd("PUBLISH").arg("socket.io#/#").arg(vec![0xc0_u8; 2 << 20]).exec(&mut connection).unwrap();
    let expected = (channels.len() * garbage.len()) as u64 + 1;
    until("all of it is counted", || gateway.engine.stats().unclear >= expected).await;
    gateway.insist("after").await;
    gateway.hears("after").await;
    let heard = gateway.heard.until(|_| true, |heard| (heard.broadcasts.len(), heard.requests.len())).await;
    assert_eq!(heard, (0, 0));
});

redis_test!(counts_answers_that_nobody_waits_for, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings::new(server.url())).await;
    for index in 0..100 {
        server.command::<i64>(&format!("PUBLISH socket.io-response#/# {{\"requestId\":\"{index}\",\"sockets\":[]}}"));
    }
    until("they are counted", || gateway.engine.stats().unasked == 100).await;
});
