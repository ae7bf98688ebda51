//! What only the embedded engine does: its bounds, who is on its bus, and the faults that it plays on demand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "shared with the contract, which uses all of it")]
#[path = "contract/fleet.rs"]
mod fleet;

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use fleet::{Manner, Recorder, at, chat, chat_data, new, once, repeat, seqs, set, target, to_room};
use futures::FutureExt;
use haat_adapter::{
    Adapter, Append, Broadcast, Counter, Entry, GatewayLease, Health, Inbound, LogRead, Position, Replies, Reply,
    Request, SavedSession, Share, Store, StoreError,
    memory::{Engine, Gateway, Limits},
};
use haat_protocol::Id;

fn attach(engine: &Arc<Engine>, name: &str) -> (Arc<Gateway>, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let inbound = Arc::downgrade(&recorder);
    (engine.attach(name, inbound), recorder)
}

fn lease(number: u32) -> GatewayLease {
    GatewayLease { number, name: "gateway".to_owned(), address: "127.0.0.1:9091".to_owned() }
}

/// The numbers of the entries that the gateway has got.
async fn heard_by(recorder: &Recorder) -> Vec<u64> {
    recorder.until(|_| true, |heard| seqs(&heard.entries)).await
}

fn question() -> Request {
    Request::FetchSockets(target(&[]))
}

async fn ask(gateway: &Gateway) -> (usize, usize) {
    match gateway.request(question(), Duration::from_secs(10)).await {
        Ok(Replies { answers }) => (answers.len(), answers.len()),
        Err(error) => (error.expected, error.partial.answers.len()),
    }
}

// Bounds.

#[tokio::test]
async fn trims_the_log_by_entries() {
    let engine = Engine::new(Limits { log_entries: 3, ..Limits::default() });
    let mut last = None;
    for text in ["1", "2", "3", "4", "5"] {
        last = Some(new(engine.append(chat("spring", text)).await));
    }
    let last = last.unwrap();
    assert_eq!(seqs(&engine.history("spring", "chat:message", None, 10).await.unwrap()), [3, 4, 5]);
    assert_eq!(engine.read("spring", at(&last, 1), 10).await, Ok(LogRead::Gone(last.position.clone())));
    let LogRead::Entries(entries) = engine.read("spring", at(&last, 2), 10).await.unwrap() else { panic!("kept") };
    assert_eq!(seqs(&entries), [3, 4, 5]);
}

#[tokio::test]
async fn trims_the_log_by_bytes() {
    let size = chat_data("spring", 1, "0123456789").len();
    let engine = Engine::new(Limits { log_bytes: 3 * size, ..Limits::default() });
    for _ in 0..5 {
        new(engine.append(chat("spring", "0123456789")).await);
    }
    assert_eq!(seqs(&engine.history("spring", "chat:message", None, 10).await.unwrap()), [3, 4, 5]);
    // An erased entry's bytes are free again.
    new(engine.append(Append { erase: vec![4, 5], data: vec!["{}".to_owned()], ..chat("spring", "") }).await);
    new(engine.append(chat("spring", "0123456789")).await);
    assert_eq!(seqs(&engine.history("spring", "chat:message", None, 10).await.unwrap()), [3, 6, 7]);
}

#[tokio::test]
async fn refuses_what_is_too_large_and_changes_nothing() {
    let limits = Limits { field_bytes: 10, fields: 2, log_bytes: 100, name_bytes: 16, streams: 1, ..Limits::default() };
    let engine = Engine::new(limits);
    let (_adapter, recorder) = attach(&engine, "gateway-0");
    new(engine.append(set("spring", "a", Some("1"))).await);
    new(engine.append(set("spring", "b", Some("2"))).await);
    let before = engine.snapshot("spring", "chat:message", 10).await;
    let both = |first: &str, second: &str, text: Option<&str>| {
        let mut append = set("spring", first, Some("1"));
        append.set.extend(set("spring", second, text).set);
        append
    };
    for append in [
        set("spring", "a", Some("01234567890")),
        set("spring", "c", Some("1")),
        both("c", "d", None),
        set("spring", "a-name-too-long!!", None),
        chat("spring", &"x".repeat(100)),
        chat("summer", "one stream too many"),
        chat("a-name-too-long!!", ""),
        Append { event: "a-name-too-long!!".to_owned(), ..chat("spring", "") },
        Append { once: once("a-name-too-long!!"), ..chat("spring", "") },
    ] {
        let refused = engine.append(append.clone()).await;
        assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{append:?}: {refused:?}");
        assert_eq!(engine.snapshot("spring", "chat:message", 10).await, before);
        assert_eq!(heard_by(&recorder).await, [1, 2]);
    }
    // Exactly at the bounds is allowed.
    new(engine.append(set("spring", "a", Some("0123456789"))).await);
    let room = 100 - chat_data("spring", 4, "").len();
    new(engine.append(chat("spring", &"x".repeat(room))).await);
    // At the bound, one field may take another's place, and the fields that are there may change.
    new(engine.append(both("c", "a", None)).await);
    new(engine.append(both("c", "b", Some("3"))).await);
    assert_eq!(engine.streams().await, Ok(vec!["spring".to_owned()]));
}

#[tokio::test]
async fn holds_so_many_gateways_and_no_more() {
    let engine = Engine::new(Limits { gateways: 1, name_bytes: 16, ..Limits::default() });
    assert_eq!(engine.gateways(&lease(1), Duration::MAX).await, Ok(vec![lease(1)]));
    assert!(matches!(engine.gateways(&lease(2), Duration::MAX).await, Err(StoreError::TooLarge(_))));
    let long = GatewayLease { name: "a-name-too-long!!".to_owned(), ..lease(1) };
    assert!(matches!(engine.gateways(&long, Duration::MAX).await, Err(StoreError::TooLarge(_))));
    assert_eq!(engine.gateways(&lease(2), Duration::ZERO).await, Ok(vec![lease(1)]));
    assert_eq!(engine.gateways(&lease(1), Duration::MAX).await, Ok(vec![lease(1)]));
    assert_eq!(engine.gateways(&lease(1), Duration::ZERO).await, Ok(vec![]));
    assert_eq!(engine.gateways(&lease(2), Duration::MAX).await, Ok(vec![lease(2)]));
}

#[tokio::test]
async fn forgets_the_once_key_that_expires_first() {
    let engine = Engine::new(Limits { once_keys: 2, ..Limits::default() });
    let keyed = |key: &str, ttl| {
        let once = once(key).map(|once| haat_adapter::Once { ttl: Duration::from_secs(ttl), ..once });
        Append { once, ..chat("spring", key) }
    };
    new(engine.append(keyed("claim", 3_000)).await);
    new(engine.append(keyed("chat", 300)).await);
    new(engine.append(keyed("more", 300)).await);
    repeat(engine.append(keyed("claim", 3_000)).await);
    repeat(engine.append(keyed("more", 300)).await);
    new(engine.append(keyed("chat", 300)).await);
}

#[tokio::test(start_paused = true)]
async fn forgets_the_session_that_expires_first() {
    let engine = Engine::new(Limits { sessions: 2, ..Limits::default() });
    let pids: Vec<_> = (0..3).map(|_| Id::random().unwrap()).collect();
    for (pid, ttl) in pids.iter().zip([100, 10, 50]) {
        let ttl = Duration::from_secs(ttl);
        engine.save_session(*pid, Some(SavedSession::default()), ttl).await.unwrap();
    }
    assert_eq!(engine.session(pids[0]).await, Ok(Some(SavedSession::default())));
    assert_eq!(engine.session(pids[1]).await, Ok(None));
    assert_eq!(engine.session(pids[2]).await, Ok(Some(SavedSession::default())));
}

#[tokio::test]
async fn refuses_a_session_that_is_too_large() {
    let engine = Engine::new(Limits { session_bytes: 100, ..Limits::default() });
    let pid = Id::random().unwrap();
    let session = |bytes| Some(SavedSession { user: "u".repeat(bytes), ..SavedSession::default() });
    let ttl = Duration::from_secs(100);
    engine.save_session(pid, session(50), ttl).await.unwrap();
    let refused = engine.save_session(pid, session(100), ttl).await;
    assert!(matches!(refused, Err(StoreError::TooLarge(_))), "{refused:?}");
    assert_eq!(engine.session(pid).await, Ok(session(50)));
}

#[tokio::test]
async fn keeps_only_so_many_counters_and_audiences() {
    let engine = Engine::new(Limits { counters: 2, streams: 1, ..Limits::default() });
    let add = |names: &[&str]| names.iter().map(|name| Counter { name: (*name).to_owned(), value: u64::MAX }).collect();
    let share = |stream: &str| Share {
        stream: stream.to_owned(),
        viewers: 1,
        add: add(&["a", "b", "c", "a"]),
        ..Share::default()
    };
    let totals = engine.sync("gateway-0", Duration::MAX, vec![share("spring"), share("summer")]).await;
    let totals: Vec<_> = totals.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        totals[0].counters,
        [Counter { name: "a".into(), value: u64::MAX }, Counter { name: "b".into(), value: u64::MAX }]
    );
    assert_eq!((totals[0].viewers, totals[1].viewers), (1, 0));
}

#[tokio::test]
async fn takes_the_longest_times() {
    let engine = Engine::new(Limits::default());
    let forever = Some(haat_adapter::Once { key: "1".to_owned(), ttl: Duration::MAX });
    new(engine.append(Append { once: forever.clone(), ..chat("spring", "one") }).await);
    repeat(engine.append(Append { once: forever, ..chat("spring", "one") }).await);
    let pid = Id::random().unwrap();
    engine.save_session(pid, Some(SavedSession::default()), Duration::MAX).await.unwrap();
    assert_eq!(engine.session(pid).await, Ok(Some(SavedSession::default())));
    let (asker, _heard) = attach(&engine, "gateway-0");
    assert_eq!(asker.request(question(), Duration::MAX).await.unwrap(), Replies::default());
}

// Who is on the bus.

#[tokio::test]
async fn a_closed_gateway_neither_hears_nor_is_heard() {
    let engine = Engine::new(Limits::default());
    let (leaving, left_behind) = attach(&engine, "gateway-0");
    let (staying, heard) = attach(&engine, "gateway-1");
    assert_eq!(leaving.health(), Health::Up);
    leaving.close().await;
    assert_eq!(leaving.health(), Health::Down("closed".to_owned()));

    new(engine.append(chat("spring", "one")).await);
    staying.broadcast(Broadcast { target: target(&[]), ..to_room("", "hi") }).unwrap();
    leaving.broadcast(Broadcast { target: target(&[]), ..to_room("", "hi") }).unwrap();
    assert_eq!(ask(&staying).await, (0, 0));
    assert_eq!(ask(&leaving).await, (0, 0));
    for (recorder, entries) in [(left_behind, 0), (heard, 1)] {
        let counts =
            recorder.until(|_| true, |heard| (heard.entries.len(), heard.broadcasts.len(), heard.requests.len()));
        assert_eq!(counts.await, (entries, 0, 0));
    }
}

#[tokio::test]
async fn a_dropped_gateway_is_gone() {
    let engine = Engine::new(Limits::default());
    let (_adapter, dropped) = attach(&engine, "gateway-0");
    let (asker, _heard) = attach(&engine, "gateway-1");
    drop(dropped);
    assert_eq!(ask(&asker).await, (0, 0));
    new(engine.append(chat("spring", "one")).await);
}

#[tokio::test]
async fn a_gateway_may_attach_again_under_its_name() {
    let engine = Engine::new(Limits::default());
    let (first, _heard) = attach(&engine, "gateway-0");
    let (_second, heard) = attach(&engine, "gateway-0");
    first.close().await;
    new(engine.append(chat("spring", "one")).await);
    assert_eq!(heard_by(&heard).await, [1]);
}

/// Holds its adapter and its store, as a real gateway does, and uses both when it is dropped. Its last owner lets go of it
/// while it is called, so that the engine is left with it.
#[derive(Default)]
struct Leaving {
    links: OnceLock<(Arc<Gateway>, Arc<Engine>)>,
    owner: Mutex<Option<Arc<Leaving>>>,
    closed: OnceLock<std::sync::mpsc::Sender<()>>,
}

impl Leaving {
    fn leave(&self) {
        let owner = self.owner.lock().unwrap().take();
        drop(owner);
    }
}

impl Inbound for Leaving {
    fn wants(&self, _: &str, _: &str) -> bool {
        true
    }
    fn deliver(&self, _: Broadcast) {
        self.leave();
    }
    fn entry(&self, _: Arc<Entry>) {
        self.leave();
    }
    fn serve(&self, _: Request, _: Reply) {
        self.leave();
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let (Some((adapter, engine)), Some(closed)) = (self.links.get(), self.closed.get()) {
            drop(adapter.close());
            let _ = engine.append(chat("spring", "left")).now_or_never();
            let _ = closed.send(());
        }
    }
}

/// Were the last reference dropped under a lock, closing would wait for that lock for ever.
#[test]
fn a_gateway_may_be_dropped_while_it_is_called() {
    let calls: [fn(&Engine, &Gateway); 3] = [
        |engine, _| drop(engine.append(chat("spring", "one")).now_or_never()),
        |_, gateway| gateway.broadcast(to_room("red", "hi")).unwrap(),
        |_, gateway| drop(gateway.request(question(), Duration::from_secs(1))),
    ];
    for call in calls {
        let engine = Engine::new(Limits::default());
        let leaving = Arc::new(Leaving::default());
        let inbound = Arc::downgrade(&leaving);
        let links = (engine.attach("leaving", inbound), engine.clone());
        assert!(leaving.links.set(links).is_ok());
        let (closed, is_closed) = std::sync::mpsc::channel();
        leaving.closed.set(closed).unwrap();
        *leaving.owner.lock().unwrap() = Some(leaving.clone());
        drop(leaving);
        std::thread::spawn(move || {
            let (sender, _heard) = attach(&engine, "sender");
            call(&engine, &sender);
        });
        is_closed.recv_timeout(Duration::from_secs(20)).expect("the gateway is dropped, and its closing ends");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_ends_early_when_every_reply_is_dropped() {
    let engine = Engine::new(Limits::default());
    let (asker, _asker) = attach(&engine, "gateway-0");
    let (_one, drops) = attach(&engine, "gateway-1");
    let (_two, answers) = attach(&engine, "gateway-2");
    *drops.manner.lock().unwrap() = Manner::Drops;
    *answers.manner.lock().unwrap() = Manner::Answers(vec![]);
    let started = tokio::time::Instant::now();
    assert_eq!(ask(&asker).await, (2, 1));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_question_leaves_at_the_call_and_its_time_counts_from_there() {
    let engine = Engine::new(Limits::default());
    let (asker, _asker) = attach(&engine, "gateway-0");
    let (_keeps, keeps) = attach(&engine, "gateway-1");
    let asked = asker.request(question(), Duration::from_secs(10));
    assert_eq!(keeps.requests(1).await, [question()]);
    tokio::time::advance(Duration::from_secs(10)).await;
    let called = tokio::time::Instant::now();
    assert_eq!(asked.await.unwrap_err().expected, 1);
    assert!(called.elapsed() < Duration::from_secs(1));
}

/// A gateway whose code fails must not take the others down.
#[tokio::test]
async fn a_gateway_that_panics_leaves_the_engine_working() {
    #[derive(Default)]
    struct Fails(Mutex<u32>);
    impl Inbound for Fails {
        fn wants(&self, _: &str, _: &str) -> bool {
            true
        }
        fn deliver(&self, _: Broadcast) {}
        fn entry(&self, _: Arc<Entry>) {
            *self.0.lock().unwrap() += 1;
            panic!("on purpose");
        }
        fn serve(&self, _: Request, _: Reply) {}
    }
    let engine = Engine::new(Limits::default());
    let fails = Arc::new(Fails::default());
    let inbound = Arc::downgrade(&fails);
    let adapter = engine.attach("fails", inbound);
    let appending = engine.clone();
    assert!(tokio::spawn(async move { appending.append(chat("spring", "one")).await }).await.is_err());
    adapter.close().await;
    assert_eq!(new(engine.append(chat("spring", "two")).await).position.seq, 2);
}

// Faults on demand.

#[tokio::test]
async fn drops_the_next_entries_of_one_gateway() {
    let engine = Engine::new(Limits::default());
    let (_one, one) = attach(&engine, "gateway-0");
    let (_two, two) = attach(&engine, "gateway-1");
    new(engine.append(chat("spring", "one")).await);
    engine.drop_next_entries(2, "gateway-1");
    for text in ["two", "three", "four"] {
        new(engine.append(chat("spring", text)).await);
    }
    assert_eq!(heard_by(&one).await, [1, 2, 3, 4]);
    assert_eq!(heard_by(&two).await, [1, 4]);
}

#[tokio::test]
async fn loses_everything_but_the_clock() {
    let engine = Engine::new(Limits::default());
    let pid = Id::random().unwrap();
    let append = || Append { once: once("1"), ..chat("spring", "one") };
    let before = new(engine.append(append()).await);
    engine.save_session(pid, Some(SavedSession::default()), Duration::from_secs(100)).await.unwrap();
    let share = || vec![Share { stream: "spring".to_owned(), viewers: 1, ..Share::default() }];
    engine.sync("gateway-0", Duration::from_secs(100), share()).await.remove(0).unwrap();
    engine.lose_data();
    assert_eq!(engine.streams().await, Ok(vec![]));
    assert_eq!(engine.session(pid).await, Ok(None));
    assert_eq!(engine.sync("gateway-1", Duration::from_secs(100), share()).await.remove(0).unwrap().peak, 1);
    let after = new(engine.append(append()).await);
    assert_eq!(after.position.seq, 1);
    assert!(after.clock > before.clock);
}

#[tokio::test]
async fn is_unavailable_on_demand() {
    let engine = Engine::new(Limits::default());
    let (sender, _sender) = attach(&engine, "gateway-0");
    let (_two, heard) = attach(&engine, "gateway-1");
    *heard.manner.lock().unwrap() = Manner::Answers(vec![]);
    new(engine.append(chat("spring", "one")).await);
    engine.set_available(false);
    assert_eq!(sender.health(), Health::Down("switched off".to_owned()));

    let pid = Id::random().unwrap();
    let down = StoreError::Unavailable("switched off".to_owned());
    assert_eq!(engine.append(chat("spring", "two")).await, Err(down.clone()));
    assert_eq!(engine.snapshot("spring", "chat:message", 1).await, Err(down.clone()));
    assert_eq!(engine.read("spring", Position::default(), 1).await, Err(down.clone()));
    assert_eq!(engine.history("spring", "chat:message", None, 1).await, Err(down.clone()));
    let shares = vec![Share::default(), Share::default()];
    assert_eq!(engine.sync("gateway-0", Duration::ZERO, shares).await, [Err(down.clone()), Err(down.clone())]);
    assert_eq!(engine.streams().await, Err(down.clone()));
    assert_eq!(engine.save_session(pid, None, Duration::ZERO).await, Err(down.clone()));
    assert_eq!(engine.session(pid).await, Err(down.clone()));
    assert_eq!(engine.gateways(&lease(1), Duration::ZERO).await, Err(down));
    assert_eq!(sender.broadcast(Broadcast { target: target(&[]), ..to_room("", "lost") }), Ok(()));
    assert_eq!(ask(&sender).await, (1, 0));

    engine.set_available(true);
    assert_eq!(sender.health(), Health::Up);
    assert_eq!(new(engine.append(chat("spring", "three")).await).position.seq, 2);
    assert_eq!(ask(&sender).await, (1, 1));
    let counts = heard.until(|_| true, |heard| (heard.entries.len(), heard.broadcasts.len(), heard.requests.len()));
    assert_eq!(counts.await, (2, 0, 1));
}
