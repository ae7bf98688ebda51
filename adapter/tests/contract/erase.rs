//! Erased text is gone; the entry that held it stays counted.

use haat_adapter::{Append, LogRead};

use super::fleet::{Fleet, at, chat, seqs, set};

async fn three_and_a_deletion(fleet: &Fleet) {
    for text in ["one", "two", "three"] {
        fleet.append(chat("spring", text)).await;
    }
    fleet.append(Append { erase: vec![2], event: "chat:deleted".to_owned(), ..chat("spring", "gone") }).await;
}

pub(crate) async fn takes_text_out_of_history(fleet: Fleet) {
    three_and_a_deletion(&fleet).await;
    let history = fleet.store().history("spring", "chat:message", None, 2).await.unwrap();
    assert_eq!(seqs(&history), [1, 3]);
    let snapshot = fleet.store().snapshot("spring", "chat:message", 10).await.unwrap().unwrap();
    assert_eq!(seqs(&snapshot.history), [1, 3]);
}

pub(crate) async fn keeps_the_number_and_the_name_for_replay(fleet: Fleet) {
    let first = fleet.append(set("spring", "title", Some("1"))).await;
    fleet.append(chat("spring", "two")).await;
    fleet.append(Append { erase: vec![1, 2], ..chat("spring", "gone") }).await;
    let LogRead::Entries(entries) = fleet.store().read("spring", at(&first, 0), 10).await.unwrap() else {
        panic!("the log is there")
    };
    assert_eq!(seqs(&entries), [1, 2, 3]);
    assert_eq!((&*entries[0].event, &*entries[0].data), ("stream:updated", "null"));
    assert_eq!((&*entries[1].event, &*entries[1].data), ("chat:message", "null"));
    assert_eq!((&entries[0].set, entries[0].clock), (&first.set, first.clock));
}

pub(crate) async fn ignores_numbers_that_are_not_there(fleet: Fleet) {
    let entry = fleet.append(Append { erase: vec![0, 1, 2, u64::MAX], ..chat("spring", "one") }).await;
    let history = fleet.store().history("spring", "chat:message", None, 10).await;
    assert_eq!(history, Ok(vec![entry]));
}
