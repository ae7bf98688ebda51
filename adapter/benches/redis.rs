//! What the Redis engine costs: `cargo bench -p haat-adapter --bench redis`. It starts a `redis-server` of its own, prints
//! figures and judges none; run it alone on the machine. `-- --short` only shows that it runs, `-- --json <file>` writes
//! down the appends per second, and what the way through Redis adds to the embedded engine's in the same run.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "it is run by hand")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use haat_adapter::{
    Adapter, Append, Broadcast, Check, Counter, Entry, Event, Flags, Health, Inbound, Once, Reply, Request, Share,
    Store, Target, memory,
    redis::{Engine, NodePeers, RedisSettings},
};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

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

/// A gateway that says when an entry has come.
struct Arrivals(mpsc::UnboundedSender<Instant>);

impl Inbound for Arrivals {
    fn wants(&self, _: &str, _: &str) -> bool {
        true
    }
    fn deliver(&self, _: Broadcast) {}
    fn entry(&self, _: Arc<Entry>) {
        let _ = self.0.send(Instant::now());
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

/// The way of a message through the log: from its append to its arrival at the gateway that appended it, one at a time. Median
/// and 99th percentile in ms.
async fn log_path(engine: &str) -> (f64, f64) {
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let arrivals: Arc<dyn Inbound> = Arc::new(Arrivals(sender));
    let inbound: Weak<dyn Inbound> = Arc::downgrade(&arrivals);
    let room = "stream:spring-sale-0";
    let (_server, _adapter, store): (_, Arc<dyn Adapter>, Arc<dyn Store>) = if engine == "redis" {
        let server = support::Server::start();
        let settings = RedisSettings { node_peers: NodePeers::Never, ..RedisSettings::new(server.url()) };
        let engine = Engine::connect(settings, inbound).unwrap();
        assert_eq!(engine.up(Duration::from_secs(10)).await, Health::Up);
        engine.interest("/", room, true);
        engine.settle().await;
        (Some(server), engine.clone(), engine)
    } else {
        let engine = memory::Engine::new(memory::Limits::default());
        let adapter = engine.attach("gateway", inbound);
        adapter.interest("/", room, true);
        (None, adapter, engine)
    };
    let count = many(20_000);
    let mut latencies = Vec::with_capacity(count as usize);
    for number in 0..count {
        let append = chat(0, number);
        let began = Instant::now();
        store.append(append).await.unwrap();
        latencies.push(arrived.recv().await.unwrap().duration_since(began));
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    println!(
        "{:<46} {:>11}   median {:>7.3} ms   p99 {:>7.3} ms",
        format!("log path, {engine}"),
        "",
        at(0.5),
        at(0.99)
    );
    (at(0.5), at(0.99))
}

/// Appends with so many under way at one time; the rate, and the median and 99th percentile of the latency.
async fn appends(engine: &Arc<Engine>, count: u64, under_way: usize, what: &str) -> f64 {
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
    rate
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The time that scripts took Redis since this was asked last, for each of so many appends, in us.
fn script_time(server: &support::Server, what: &str, appends: u64) -> f64 {
    let stats: String = server.command("INFO commandstats");
    server.command::<()>("CONFIG RESETSTAT");
    let scripts = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).unwrap_or_default();
    let spent = scripts.split(',').find_map(|part| part.strip_prefix("usec=")?.parse::<f64>().ok()).unwrap_or_default();
    let each = spent / appends as f64;
    println!("{what:<46} {each:>9.1} us");
    each
}

/// The time that an exchange of a lively stream's numbers takes Redis, by how many gateways share the stream, in us. A gateway
/// exchanges those of all its streams in one go.
async fn exchanges(server: &support::Server, engine: &Arc<Engine>) -> serde_json::Map<String, serde_json::Value> {
    const SHARED: u64 = 50;
    let mut each = serde_json::Map::new();
    for gateways in [1, 10, 100] {
        let share = |round: u64, stream: u64| Share {
            stream: format!("shared-by-{gateways}-{stream}"),
            viewers: 1_000 + (round + stream) % 10,
            add: vec![Counter { name: "reactions.heart".to_owned(), value: 3 }],
            ..Share::default()
        };
        let rounds = many(1_000);
        for round in 0..gateways + rounds {
            if round == gateways {
                server.command::<()>("CONFIG RESETSTAT");
            }
            let shares = (0..SHARED).map(|stream| share(round, stream)).collect();
            let totals = engine.sync(&(round % gateways).to_string(), Duration::from_secs(10), shares).await;
            assert!(totals.iter().all(Result::is_ok));
        }
        let what = format!("an exchange, {gateways} gateways, for redis");
        each.insert(gateways.to_string(), json!(script_time(server, &what, rounds * SHARED)));
    }
    each
}

/// Where the figures are written to, if they are.
fn json_file() -> Option<String> {
    std::env::args().skip_while(|argument| argument != "--json").nth(1)
}

async fn measure() {
    let (embedded, redis) = (log_path("embedded").await, log_path("redis").await);
    println!("{:<46} {:>11}   median {:>7.3} ms", "log path, added by redis", "", redis.0 - embedded.0);
    let server = support::Server::start();
    let (engine, counting) = gateway(&server, NodePeers::Never).await;
    appends(&engine, many(10_000), 1, "append, one at a time").await;
    let alone = script_time(&server, "an append alone, as redis counts its time", many(10_000));
    let mut rates = serde_json::Map::new();
    for under_way in [16, 256, 2_048] {
        let rate = appends(&engine, many(100_000), under_way, &format!("append, {under_way} under way")).await;
        rates.insert(under_way.to_string(), json!(rate));
    }
    let among_others = script_time(&server, "an append among others", many(300_000));
    let exchanges = exchanges(&server, &engine).await;
    if let Some(file) = json_file() {
        let path = |(p50, p99): (f64, f64)| json!({ "p50_ms": p50, "p99_ms": p99 });
        let figures = json!({
            "tool": "cargo bench -p haat-adapter --bench redis",
            "version": env!("CARGO_PKG_VERSION"),
            "command": std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "scenario": "log",
            "result": {
                "appends_per_second_by_under_way": rates,
                "redis_us_per_append": { "alone": alone, "among_others": among_others },
                "redis_us_per_exchange_by_gateways": exchanges,
                "log_path": { "embedded": path(embedded), "redis": path(redis) },
                "added_median_ms": redis.0 - embedded.0,
            },
        });
        std::fs::write(&file, format!("{figures:#}\n")).unwrap();
    }
    until("every entry comes back", || counting.entries.load(Ordering::Relaxed) == many(310_000)).await;

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
            ..Share::default()
        };
        (0..1_000).map(share).collect()
    };
    let sync = async |shares| {
        let totals = engine.sync("0", Duration::from_secs(10), shares).await;
        assert!(totals.iter().all(Result::is_ok));
    };
    sync(shares(100)).await;
    let started = Instant::now();
    const SYNCS: u32 = 50;
    for _ in 0..SYNCS {
        sync(shares(1)).await;
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
