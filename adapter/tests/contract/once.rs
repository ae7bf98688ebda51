//! A repetition changes nothing and gets the first answer.

use std::{collections::HashSet, time::Duration};

use haat_adapter::{Append, Appended, Check, Once, StoreError};

use super::fleet::{Fleet, LOG_ENTRIES, chat, new, once, repeat, seqs, set};

pub(crate) async fn answers_a_repetition_with_the_first_entry(fleet: Fleet) {
    let first = fleet.append(Append { once: once("ana:1"), ..chat("spring", "one") }).await;
    let again = Append { once: once("ana:1"), ..set("spring", "title", Some("1")) };
    assert_eq!(repeat(fleet.gateways[1].store.append(again).await), first);
    let snapshot = fleet.store().snapshot("spring", "chat:message", 10).await.unwrap().unwrap();
    assert_eq!((snapshot.position, snapshot.fields), (first.position.clone(), vec![]));
    let other = fleet.append(Append { once: once("ana:2"), ..chat("spring", "two") }).await;
    assert_eq!(other.position.seq, 2);
}

pub(crate) async fn publishes_a_repetition_to_nobody(fleet: Fleet) {
    fleet.watch("spring");
    for _ in 0..3 {
        let done = fleet.store().append(Append { once: once("ana:1"), ..chat("spring", "one") }).await;
        assert!(done.is_ok());
    }
    fleet.append(chat("spring", "last")).await;
    for gateway in &fleet.gateways {
        assert_eq!(seqs(&gateway.heard.entries("spring", 2).await), [1, 2]);
    }
}

pub(crate) async fn answers_a_repetition_whose_checks_would_fail_now(fleet: Fleet) {
    let checks = vec![Check::Is("stock".to_owned(), None)];
    let claim = Append { checks, once: once("claim:1"), ..set("spring", "stock", Some("0")) };
    let first = fleet.append(claim.clone()).await;
    assert_eq!(repeat(fleet.store().append(claim).await), first);
}

pub(crate) async fn is_per_stream(fleet: Fleet) {
    fleet.append(Append { once: once("1"), ..chat("spring", "one") }).await;
    fleet.append(Append { once: once("1"), ..chat("summer", "one") }).await;
    // Names that would be the same text if stream and key were merely joined.
    fleet.append(Append { once: once("bc"), ..chat("a", "one") }).await;
    fleet.append(Append { once: once("c"), ..chat("ab", "one") }).await;
}

pub(crate) async fn ends_with_its_time(fleet: Fleet) {
    let append = || {
        let once = Some(Once { key: "ana:1".to_owned(), ttl: Duration::from_secs(5) });
        Append { once, ..chat("spring", "one") }
    };
    fleet.append(append()).await;
    (fleet.pass)(Duration::from_secs(1)).await;
    repeat(fleet.store().append(append()).await);
    (fleet.pass)(Duration::from_millis(4_500)).await;
    assert_eq!(fleet.append(append()).await.position.seq, 2);
    assert_eq!(repeat(fleet.store().append(append()).await).position.seq, 2);
}

pub(crate) async fn outlives_the_trimmed_log(fleet: Fleet) {
    let append = || Append { once: once("ana:1"), ..chat("spring", "one") };
    let first = fleet.append(append()).await;
    for _ in 0..3 * LOG_ENTRIES {
        fleet.append(chat("spring", "more")).await;
    }
    assert_eq!(repeat(fleet.store().append(append()).await), first);
}

pub(crate) async fn lets_one_of_many_through(fleet: Fleet) {
    let runtime = tokio::runtime::Handle::current();
    let tries = (0..8).map(|index: usize| {
        let (runtime, store) = (runtime.clone(), fleet.gateways[index % fleet.gateways.len()].store.clone());
        let append = Append { once: once("ana:1"), ..chat("spring", &index.to_string()) };
        tokio::task::spawn_blocking(move || runtime.block_on(store.append(append)).unwrap())
    });
    let (mut done, mut entries) = (0, HashSet::new());
    for outcome in tries.collect::<Vec<_>>() {
        let (Appended::New(entry) | Appended::Repeat(entry)) = outcome
            .await
            .map(|appended| {
                done += usize::from(matches!(appended, Appended::New(_)));
                appended
            })
            .expect("no thread fails");
        entries.insert(entry.data.to_string());
    }
    assert_eq!((done, entries.len()), (1, 1));
}

pub(crate) async fn is_not_used_up_by_a_failed_check(fleet: Fleet) {
    let checks = vec![Check::IsNot("status".to_owned(), None)];
    let append = Append { checks, once: once("ana:1"), ..chat("spring", "one") };
    let failed = fleet.store().append(append.clone()).await;
    assert_eq!(failed, Err(StoreError::Conflict("status".to_owned())));
    fleet.append(set("spring", "status", Some("1"))).await;
    assert_eq!(new(fleet.store().append(append).await).position.seq, 2);
}
