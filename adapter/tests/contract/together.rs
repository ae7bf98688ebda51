//! Appends of one gateway that are made at once stand in the order in which they were made, and each sees what those before it
//! have done, whether the engine takes them one by one or together.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use haat_adapter::{Append, Appended, Check, LogRead, Pace, StoreError};

use super::fleet::{Fleet, LOG_ENTRIES, at, chat, chat_data, new, once, repeat, seqs, set};

async fn at_once(fleet: &Fleet, appends: impl IntoIterator<Item = Append>) -> Vec<Result<Appended, StoreError>> {
    join_all(appends.into_iter().map(|append| fleet.store().append(append))).await
}

fn title(text: Option<&str>) -> Vec<Check> {
    vec![Check::Is("title".to_owned(), text.map(ToOwned::to_owned))]
}

pub(crate) async fn stand_in_the_order_in_which_they_are_made(fleet: Fleet) {
    const MADE: usize = 700;
    fleet.watch("spring");
    let made: Vec<Append> = (0..MADE).map(|number| chat("spring", &number.to_string())).collect();
    let entries: Vec<_> = at_once(&fleet, made).await.into_iter().map(new).collect();
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(&*entry.data, chat_data("spring", number as u64 + 1, &number.to_string()));
    }
    assert!(entries.is_sorted_by(|one, next| one.clock < next.clock), "the clock rises");
    assert_eq!(fleet.gateways[2].heard.entries("spring", MADE).await, entries);
}

pub(crate) async fn leave_the_newest_in_a_log_that_is_full(fleet: Fleet) {
    let entries: Vec<_> = at_once(&fleet, (0..3 * LOG_ENTRIES).map(|number| chat("spring", &number.to_string())))
        .await
        .into_iter()
        .map(new)
        .collect();
    let kept = entries.len() - LOG_ENTRIES;
    let read = fleet.store().read("spring", at(&entries[0], kept as u64), 2 * LOG_ENTRIES).await.unwrap();
    assert_eq!(read, LogRead::Entries(entries[kept..].to_vec()));
    let gone = fleet.store().read("spring", at(&entries[0], kept as u64 - 1), 1).await.unwrap();
    assert!(matches!(gone, LogRead::Gone(_)), "{gone:?}");
}

pub(crate) async fn see_the_state_that_those_before_have_left(fleet: Fleet) {
    let checked = |checks| Append { checks, ..chat("spring", "hi") };
    let outcomes = at_once(
        &fleet,
        [
            chat("spring", "first"),
            checked(title(None)),
            Append { checks: title(None), ..set("spring", "title", Some("1")) },
            Append { checks: title(None), ..set("spring", "title", Some("2")) },
            checked(title(Some("1"))),
            set("spring", "title", None),
            checked(title(Some("1"))),
            checked(title(None)),
            set("spring", "title", Some("3")),
        ],
    )
    .await;
    let numbers = outcomes.into_iter().map(|outcome| match outcome {
        Ok(Appended::New(entry)) => Some(entry.position.seq),
        Err(StoreError::Conflict(field)) if field == "title" => None,
        other => panic!("{other:?}"),
    });
    let expected = [Some(1), Some(2), Some(3), None, Some(4), Some(5), None, Some(6), Some(7)];
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    let snapshot = fleet.store().snapshot("spring", "", 0).await.unwrap().unwrap();
    assert_eq!(snapshot.fields, [("title".into(), "3".into())]);
}

pub(crate) async fn know_the_repetition_of_one_before(fleet: Fleet) {
    let append = |key, text| Append { once: once(key), ..chat("spring", text) };
    let outcomes = at_once(
        &fleet,
        [append("a", "one"), append("b", "two"), append("b", "again"), append("c", "three"), append("b", "again")],
    )
    .await;
    let mut outcomes = outcomes.into_iter();
    let mut next = || outcomes.next().unwrap();
    let (_, two) = (new(next()), new(next()));
    assert_eq!(repeat(next()), two);
    assert_eq!(new(next()).position.seq, 3);
    assert_eq!(repeat(next()), two);
}

pub(crate) async fn keep_their_distance_from_one_before(fleet: Fleet) {
    let paced = |key: &str| {
        let pace = Some(Pace { key: key.to_owned(), interval: Duration::from_secs(10) });
        Append { pace, ..chat("spring", "hi") }
    };
    let outcomes = at_once(&fleet, [chat("spring", "first"), paced("ana"), paced("bo"), paced("ana")]).await;
    assert!(matches!(outcomes[..3], [Ok(_), Ok(_), Ok(_)]), "{outcomes:?}");
    assert!(matches!(outcomes[3], Err(StoreError::TooSoon(_))), "{outcomes:?}");
}

pub(crate) async fn erase_what_stands_right_before(fleet: Fleet) {
    let made = [
        chat("spring", "one"),
        chat("spring", "two"),
        chat("spring", "three"),
        Append { erase: vec![2, 4], event: "chat:deleted".to_owned(), ..chat("spring", "gone") },
        chat("spring", "five"),
        Append { erase: vec![5], event: "chat:deleted".to_owned(), ..chat("spring", "gone") },
        chat("spring", "seven"),
    ];
    let entries: Vec<Arc<_>> = at_once(&fleet, made).await.into_iter().map(new).collect();
    let history = fleet.store().history("spring", "chat:message", None, 10).await.unwrap();
    assert_eq!(seqs(&history), [1, 3, 7]);
    let LogRead::Entries(all) = fleet.store().read("spring", at(&entries[0], 0), 10).await.unwrap() else {
        panic!("the log is there")
    };
    assert_eq!(seqs(&all), Vec::from_iter(1..=7));
    assert_eq!((&*all[1].data, &*all[3].data), ("null", &*entries[3].data), "one cannot erase itself");
}
