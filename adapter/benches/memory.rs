//! What the embedded engine costs: `cargo bench -p haat-adapter`. It prints figures and judges none.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is run by hand")]

use std::{
    future::Future,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use haat_adapter::{
    Append, Broadcast, Entry, Inbound, Once, Position, Reply, Request, SavedSession, SessionRoom, Share, Store,
    memory::{Engine, Limits},
};
use haat_protocol::Id;

/// A gateway that only counts.
#[derive(Default)]
struct Counting(AtomicU64);

impl Inbound for Counting {
    fn wants(&self, _: &str, _: &str) -> bool {
        true
    }
    fn deliver(&self, _: Broadcast) {}
    fn entry(&self, entry: Arc<Entry>) {
        self.0.fetch_add(entry.position.seq, Ordering::Relaxed);
    }
    fn serve(&self, _: Request, _: Reply) {}
}

/// The value of a future that is ready at once, as all of the engine's are.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the embedded engine never waits"),
    }
}

fn chat(stream: usize, once: Option<Once>) -> Append {
    let text = "x".repeat(230);
    Append {
        stream: format!("spring-sale-{stream}"),
        event: "chat:message".to_owned(),
        data: vec![format!(r#"{{"stream":"spring-sale-{stream}","seq":"#), format!(r#","id":"m","text":"{text}"}}"#)],
        once,
        ..Append::default()
    }
}

fn measure(what: &str, count: usize, mut step: impl FnMut(usize)) {
    (0..count / 10).for_each(&mut step);
    let started = Instant::now();
    (0..count).for_each(&mut step);
    println!("{what:<60} {:>8.0} ns", started.elapsed().as_nanos() as f64 / count as f64);
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn sessions() {
    const SESSIONS: u64 = 200_000;
    let engine = Engine::new(Limits::default());
    let session = |user: u64| {
        let room = |room: String| SessionRoom { room, epoch: "aBcD_-12".to_owned(), seq: 12_345 };
        SavedSession {
            sid: "aBcDeFgHiJkLmNoPqRsT".to_owned(),
            namespace: "/".to_owned(),
            user: format!("customer-{user:010}"),
            gateway: "aBcDeFgHiJkLmNoPqRsT".to_owned(),
            slow: (0, 0),
            rooms: vec![room("stream:spring-sale-2026".to_owned()), room(format!("user:customer-{user:010}"))],
        }
    };
    let before = resident();
    let started = Instant::now();
    for user in 0..SESSIONS {
        now(engine.save_session(Id::random().unwrap(), Some(session(user)), Duration::from_secs(120))).unwrap();
    }
    let each = started.elapsed().as_nanos() as f64 / SESSIONS as f64;
    println!("{:<60} {each:>8.0} ns", "save a session, its making included");
    println!("{:<60} {:>8} bytes", "a saved session of two rooms", (resident() - before) / SESSIONS);
}

fn main() {
    sessions();

    let engine = Engine::new(Limits::default());
    let gateways = [Arc::new(Counting::default()), Arc::new(Counting::default())];
    for (index, gateway) in gateways.iter().enumerate() {
        let inbound = Arc::downgrade(gateway);
        engine.attach(&index.to_string(), inbound);
    }
    let ready = |with_once: bool| {
        let appends = (0..220_000).map(move |index| {
            let once = Once { key: format!("customer-1:{index}"), ttl: Duration::from_secs(300) };
            Some(chat(index % 10, with_once.then_some(once)))
        });
        appends.collect::<Vec<_>>()
    };
    let mut appends = ready(false);
    let mut next = appends.iter_mut();
    measure("append 300 bytes, two gateways", 200_000, |_| {
        black_box(now(engine.append(next.next().and_then(Option::take).unwrap()))).unwrap();
    });
    let mut appends = ready(true);
    let mut next = appends.iter_mut();
    measure("the same with a key", 200_000, |_| {
        black_box(now(engine.append(next.next().and_then(Option::take).unwrap()))).unwrap();
    });
    let head = now(engine.snapshot("spring-sale-1", "chat:message", 0)).unwrap().unwrap().position;
    measure("snapshot with 50 entries of history", 100_000, |_| {
        black_box(now(engine.snapshot("spring-sale-1", "chat:message", 50))).unwrap();
    });
    measure("read the last 100 entries", 100_000, |_| {
        let after = Position { seq: head.seq - 100, ..head.clone() };
        black_box(now(engine.read("spring-sale-1", after, 1_000))).unwrap();
    });
    let crowd = |stream: usize, users: usize| Share {
        stream: format!("spring-sale-{stream}"),
        viewers: 100,
        users: (0..users).map(|user| format!("customer-{user}")).collect(),
        ..Share::default()
    };
    let shares: Vec<_> = (0..1_000).map(|stream| crowd(stream, 1_000)).collect();
    now(engine.sync("0", Duration::from_secs(10), shares));
    measure("sync 1,000 streams of estimated crowds", 200, |_| {
        let shares = (0..1_000).map(|stream| crowd(stream, 1)).collect();
        black_box(now(engine.sync("0", Duration::from_secs(10), shares)));
    });
    assert!(gateways.iter().all(|gateway| gateway.0.load(Ordering::Relaxed) > 0));
}
