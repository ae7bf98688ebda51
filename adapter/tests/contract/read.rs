//! Replay is complete, or says that it cannot be.

use std::sync::Arc;

use haat_adapter::{Entry, LogRead, Position};

use super::fleet::{Fleet, LOG_ENTRIES, at, chat, seqs};

async fn appended(fleet: &Fleet, count: usize) -> Vec<Arc<Entry>> {
    let mut entries = Vec::new();
    for index in 0..count {
        entries.push(fleet.append(chat("spring", &index.to_string())).await);
    }
    entries
}

async fn read(fleet: &Fleet, after: Position, limit: usize) -> LogRead {
    fleet.gateways[1].store.read("spring", after, limit).await.unwrap()
}

pub(crate) async fn gives_what_came_after(fleet: Fleet) {
    let entries = appended(&fleet, 5).await;
    for after in 0..5 {
        let expected = entries[after..].to_vec();
        assert_eq!(read(&fleet, at(&entries[0], after as u64), 10).await, LogRead::Entries(expected));
    }
}

pub(crate) async fn stops_at_the_limit(fleet: Fleet) {
    let entries = appended(&fleet, 5).await;
    assert_eq!(read(&fleet, at(&entries[0], 1), 2).await, LogRead::Entries(entries[1..3].to_vec()));
}

pub(crate) async fn is_empty_at_the_end(fleet: Fleet) {
    let entries = appended(&fleet, 5).await;
    assert_eq!(read(&fleet, entries[4].position.clone(), 10).await, LogRead::Entries(vec![]));
}

pub(crate) async fn starts_at_the_beginning_without_a_position(fleet: Fleet) {
    let entries = appended(&fleet, 5).await;
    assert_eq!(read(&fleet, Position::default(), 10).await, LogRead::Entries(entries));
}

pub(crate) async fn is_gone_when_the_log_was_trimmed(fleet: Fleet) {
    let entries = appended(&fleet, 3 * LOG_ENTRIES).await;
    let head = entries[entries.len() - 1].position.clone();
    assert_eq!(read(&fleet, at(&entries[0], 0), 10).await, LogRead::Gone(head.clone()));
    assert_eq!(read(&fleet, at(&entries[0], 1), 10).await, LogRead::Gone(head.clone()));
    assert_eq!(read(&fleet, Position::default(), 10).await, LogRead::Gone(head.clone()));
    // What the log is meant to keep is all there.
    let kept = head.seq - LOG_ENTRIES as u64;
    let LogRead::Entries(kept_entries) = read(&fleet, at(&entries[0], kept), 2 * LOG_ENTRIES).await else {
        panic!("too much was trimmed")
    };
    assert_eq!(seqs(&kept_entries), Vec::from_iter(kept + 1..=head.seq));
}

pub(crate) async fn is_gone_in_another_epoch(fleet: Fleet) {
    let before = appended(&fleet, 5).await;
    (fleet.lose_data)().await;
    let after = appended(&fleet, 5).await;
    for seq in [0, 3, 5, 6] {
        assert_eq!(read(&fleet, at(&before[0], seq), 10).await, LogRead::Gone(after[4].position.clone()));
    }
    let other = Position { epoch: "x".into(), seq: 3 };
    assert_eq!(read(&fleet, other, 10).await, LogRead::Gone(after[4].position.clone()));
}

pub(crate) async fn is_gone_past_the_end(fleet: Fleet) {
    let entries = appended(&fleet, 5).await;
    for seq in [6, u64::MAX] {
        assert_eq!(read(&fleet, at(&entries[0], seq), 10).await, LogRead::Gone(entries[4].position.clone()));
    }
}

pub(crate) async fn of_an_unknown_stream_is_empty_or_gone(fleet: Fleet) {
    assert_eq!(read(&fleet, Position::default(), 10).await, LogRead::Entries(vec![]));
    let position = Position { epoch: "abcd".into(), seq: 1 };
    assert_eq!(read(&fleet, position, 10).await, LogRead::Gone(Position::default()));
}
