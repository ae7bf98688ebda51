//! A snapshot shows one moment of a stream.

use haat_adapter::Append;

use super::fleet::{Fleet, chat, seqs, set};

pub(crate) async fn is_nothing_before_the_stream_exists(fleet: Fleet) {
    fleet.append(chat("summer", "hi")).await;
    assert_eq!(fleet.store().snapshot("spring", "chat:message", 10).await, Ok(None));
}

pub(crate) async fn holds_position_fields_and_history(fleet: Fleet) {
    for text in ["one", "two", "three"] {
        fleet.append(chat("spring", text)).await;
    }
    fleet.append(set("spring", "title", Some("1"))).await;
    let last = fleet.append(set("spring", "notice", Some("2"))).await;
    let snapshot = fleet.gateways[1].store.snapshot("spring", "chat:message", 2).await.unwrap().unwrap();
    assert_eq!(snapshot.position, last.position);
    assert_eq!(snapshot.fields, [("notice".into(), "2".into()), ("title".into(), "1".into())]);
    assert_eq!(seqs(&snapshot.history), [2, 3]);
    let none = fleet.store().snapshot("spring", "chat:message", 0).await.unwrap().unwrap();
    assert_eq!(none.history, vec![]);
}

pub(crate) async fn is_of_one_moment(fleet: Fleet) {
    const APPENDS: u64 = 500;
    let append = || {
        let count = Some(vec![String::new(), String::new()]);
        Append { set: vec![("count".to_owned(), count)], ..chat("spring", "hi") }
    };
    fleet.append(append()).await;
    let (runtime, store) = (tokio::runtime::Handle::current(), fleet.gateways[0].store.clone());
    let appending = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            for _ in 1..APPENDS {
                store.append(append()).await.unwrap();
            }
        });
    });
    loop {
        let snapshot = fleet.gateways[1].store.snapshot("spring", "chat:message", 1).await.unwrap().unwrap();
        let seq = snapshot.position.seq;
        assert_eq!(snapshot.fields, [("count".into(), seq.to_string().into())]);
        assert_eq!(seqs(&snapshot.history), [seq]);
        if seq == APPENDS {
            break;
        }
        tokio::task::yield_now().await;
    }
    appending.await.expect("no thread fails");
}

pub(crate) async fn shares_its_clock_with_the_entries(fleet: Fleet) {
    let before = fleet.append(chat("spring", "one")).await;
    let snapshot = fleet.store().snapshot("spring", "chat:message", 1).await.unwrap().unwrap();
    let after = fleet.append(chat("spring", "two")).await;
    assert!(before.clock <= snapshot.clock && snapshot.clock < after.clock);
}
