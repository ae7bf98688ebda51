//! What was said, backwards page by page.

use haat_adapter::Append;

use super::fleet::{Fleet, chat, seqs};

/// Chat at 1, 2, 4, 5, 7, 8, …: every third entry is something else.
async fn mixed(fleet: &Fleet, count: u64) {
    for seq in 1..=count {
        let event = if seq % 3 == 0 { "notice" } else { "chat:message" };
        fleet.append(Append { event: event.to_owned(), ..chat("spring", "hi") }).await;
    }
}

async fn page(fleet: &Fleet, event: &str, before: Option<u64>, limit: usize) -> Vec<u64> {
    seqs(&fleet.gateways[1].store.history("spring", event, before, limit).await.unwrap())
}

pub(crate) async fn gives_the_newest_oldest_first(fleet: Fleet) {
    mixed(&fleet, 9).await;
    assert_eq!(page(&fleet, "chat:message", None, 3).await, [5, 7, 8]);
    assert!(page(&fleet, "chat:message", None, 0).await.is_empty());
}

pub(crate) async fn leaves_other_events_out(fleet: Fleet) {
    mixed(&fleet, 9).await;
    assert_eq!(page(&fleet, "notice", None, 10).await, [3, 6, 9]);
    assert!(page(&fleet, "chat", None, 10).await.is_empty());
}

pub(crate) async fn pages_back_to_the_beginning(fleet: Fleet) {
    mixed(&fleet, 9).await;
    assert_eq!(page(&fleet, "chat:message", Some(9), 2).await, [7, 8]);
    assert_eq!(page(&fleet, "chat:message", Some(7), 2).await, [4, 5]);
    assert_eq!(page(&fleet, "chat:message", Some(4), 2).await, [1, 2]);
    assert!(page(&fleet, "chat:message", Some(1), 2).await.is_empty());
    assert!(page(&fleet, "chat:message", Some(0), 2).await.is_empty());
    assert_eq!(page(&fleet, "chat:message", Some(u64::MAX), 1).await, [8]);
}

pub(crate) async fn of_an_unknown_stream_is_empty(fleet: Fleet) {
    assert!(page(&fleet, "chat:message", None, 10).await.is_empty());
}
