//! What the Redis engine costs: `cargo bench -p haat-adapter --bench redis`. It starts a `redis-server` of its own, prints
//! figures and judges none; run it alone on the machine. `-- --short` only shows that it runs.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "it is run by hand")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use haat_adapter::{
    Adapter, Append, Broadcast, Check, Counter, Entry, Event, Flags, Health, Inbound, Once, Reply, Request, Share,
    Store, Target,
    redis::{Engine, NodePeers, RedisSettings},
};
use tokio::sync::Semaphore;

/// A gateway that only counts.
#[derive(Default)]
struct Counting {
    entries: AtomicU64,
    broadcasts: AtomicU64,
}

impl Inbound for Counting {
    fn wants(&self, _: &str, _: &str) -> bool {
        true
    }
    fn deliver(&self, _: Broadcast) {
        self.broadcasts.fetch_add(1, Ordering::Relaxed);
    }
    fn entry(&self, _: Arc<Entry>) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }
    fn serve(&self, _: Request, _: Reply) {}
}

const STREAMS: usize = 10;

/// So many, or a hundredth of it.
fn many(count: u64) -> u64 {
    if std::env::args().any(|argument| argument == "--short") { count / 100 } else { count }
}

fn chat(stream: usize, number: u64) -> Append {
    let text = "x".repeat(230);
    Append {
        stream: format!("spring-sale-{}", stream % STREAMS),
        event: "chat:message".to_owned(),
        data: vec![
            format!(r#"{{"id":"m{number}","stream":"spring-sale-{stream}","seq":"#),
            format!(r#","text":"{text}"}}"#),
        ],
        checks: vec![Check::IsNot("status".to_owned(), Some("\"ended\"".to_owned()))],
        once: Some(Once { key: format!("customer:{number}"), ttl: Duration::from_secs(60) }),
        ..Append::default()
    }
}

async fn gateway(server: &support::Server, node_peers: NodePeers) -> (Arc<Engine>, Arc<Counting>) {
    let counting = Arc::new(Counting::default());
    let inbound: Arc<dyn Inbound> = counting.clone();
    let settings = RedisSettings { node_peers, ..RedisSettings::new(server.url()) };
    let engine = Engine::connect(settings, Arc::downgrade(&inbound)).unwrap();
    assert_eq!(engine.up(Duration::from_secs(10)).await, Health::Up);
    for stream in 0..STREAMS {
        engine.interest("/", &format!("stream:spring-sale-{stream}"), true);
    }
    engine.interest("/", "red", true);
    engine.settle().await;
    (engine, counting)
}

/// Appends with so many under way at one time; the rate, and the median and 99th percentile of the latency.
async fn appends(engine: &Arc<Engine>, count: u64, under_way: usize, what: &str) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let places = Arc::new(Semaphore::new(under_way));
    let mut tasks = Vec::with_capacity(count as usize);
    let started = Instant::now();
    for index in 0..count {
        let place = places.clone().acquire_owned().await.unwrap();
        let engine = engine.clone();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        tasks.push(tokio::spawn(async move {
            let began = Instant::now();
            engine.append(chat(index as usize, number)).await.unwrap();
            drop(place);
            began.elapsed()
        }));
    }
    let mut latencies = Vec::with_capacity(tasks.len());
    for task in tasks {
        latencies.push(task.await.unwrap());
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    println!("{what:<46} {rate:>9.0}/s   median {:>7.3} ms   p99 {:>7.3} ms", at(0.5), at(0.99));
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn measure() {
    let server = support::Server::start();
    let (engine, counting) = gateway(&server, NodePeers::Never).await;
    appends(&engine, many(2_000), 1, "append, one at a time").await;
    for under_way in [16, 256, 2_048] {
        appends(&engine, many(100_000), under_way, &format!("append, {under_way} under way")).await;
    }
    until("every entry comes back", || counting.entries.load(Ordering::Relaxed) == many(302_000)).await;

    let (other, heard) = gateway(&server, NodePeers::Never).await;
    appends(&engine, many(100_000), 256, "append, 256 under way, two gateways").await;
    until("the other hears all", || heard.entries.load(Ordering::Relaxed) >= many(100_000)).await;
    let (node, _) = gateway(&server, NodePeers::Always).await;
    appends(&node, many(100_000), 256, "append, 256 under way, in Node's form as well").await;
    node.close().await;

    let broadcasts = many(100_000);
    let text = "x".repeat(200);
    let started = Instant::now();
    let mut full = 0_u64;
    for _ in 0..broadcasts {
        let broadcast = Broadcast {
            target: Target { namespace: "/".to_owned(), rooms: vec!["red".to_owned()], except: vec![] },
            flags: Flags::default(),
            event: Event { args: format!(r#"["note","{text}"]"#), attachments: vec![] },
        };
        while other.broadcast(broadcast.clone()).is_err() {
            full += 1;
            tokio::task::yield_now().await;
        }
    }
    until("every broadcast arrives", || counting.broadcasts.load(Ordering::Relaxed) >= broadcasts).await;
    let rate = broadcasts as f64 / started.elapsed().as_secs_f64();
    println!("{:<46} {rate:>9.0}/s   the queue was full {full} times", "broadcast to another gateway");

    let shares = |users: usize| -> Vec<Share> {
        let share = |stream: usize| Share {
            stream: format!("spring-sale-{stream}"),
            viewers: 100,
            users: (0..users).map(|user| format!("customer-{stream}-{user}")).collect(),
            add: vec![Counter { name: "reactions.heart".to_owned(), value: 3 }],
            moved: Vec::new(),
        };
        (0..1_000).map(share).collect()
    };
    engine.sync("0", Duration::from_secs(10), shares(100)).await.unwrap();
    let started = Instant::now();
    const SYNCS: u32 = 50;
    for _ in 0..SYNCS {
        engine.sync("0", Duration::from_secs(10), shares(1)).await.unwrap();
    }
    println!("{:<46} {:>9.3} ms", "sync of 1,000 streams", (started.elapsed() / SYNCS).as_secs_f64() * 1e3);
    let started = Instant::now();
    for _ in 0..1_000 {
        engine.snapshot("spring-sale-1", "chat:message", 50).await.unwrap().unwrap();
    }
    println!("{:<46} {:>9.3} ms", "snapshot with 50 entries", started.elapsed().as_secs_f64());
}

fn main() {
    if !support::is_there() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(measure()).await.unwrap() });
}
