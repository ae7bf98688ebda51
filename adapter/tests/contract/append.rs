//! An append is one step: number, log, fields, publication.

use std::collections::HashSet;

use haat_adapter::{Append, Snapshot};

use super::fleet::{Fleet, chat, chat_data, seqs, set};

pub(crate) async fn counts_each_stream_from_one(fleet: Fleet) {
    for seq in 1..=3 {
        for stream in ["spring", "summer"] {
            let entry = fleet.append(chat(stream, "hi")).await;
            assert_eq!((&*entry.stream, entry.position.seq), (stream, seq));
        }
    }
}

pub(crate) async fn writes_the_number_between_the_pieces(fleet: Fleet) {
    fleet.append(chat("spring", "one")).await;
    let pieces = |pieces: &[&str]| pieces.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>();
    let append = Append {
        data: pieces(&[r#"{"seq":"#, r#","again":"#, "}"]),
        set: vec![
            ("pinned".to_owned(), Some(pieces(&[r#"{"at":"#, "}"]))),
            ("title".to_owned(), Some(pieces(&[r#""Spring""#]))),
        ],
        ..chat("spring", "")
    };
    let entry = fleet.append(append).await;
    assert_eq!(&*entry.data, r#"{"seq":2,"again":2}"#);
    assert_eq!(entry.set[0].1.as_deref(), Some(r#"{"at":2}"#));
    assert_eq!(entry.set[1].1.as_deref(), Some(r#""Spring""#));
}

pub(crate) async fn reaches_every_gateway(fleet: Fleet) {
    fleet.watch("spring");
    let from_first = fleet.append(chat("spring", "one")).await;
    let from_last = super::fleet::new(fleet.gateways[2].store.append(chat("spring", "two")).await);
    assert_eq!(&*from_first.data, chat_data("spring", 1, "one"));
    for gateway in &fleet.gateways {
        assert_eq!(gateway.heard.entries("spring", 2).await, [from_first.clone(), from_last.clone()]);
    }
}

pub(crate) async fn changes_fields_with_the_entry(fleet: Fleet) {
    fleet.watch("spring");
    fleet.append(set("spring", "title", Some(r#""Spring""#))).await;
    fleet.append(set("spring", "title", Some(r#""Summer""#))).await;
    let heard = fleet.gateways[1].heard.entries("spring", 2).await;
    assert_eq!(heard[1].set, [("title".into(), Some(r#""Summer""#.into()))]);
    let snapshot = snapshot(&fleet).await;
    assert_eq!(snapshot.fields, [("title".into(), r#""Summer""#.into())]);
}

pub(crate) async fn removes_fields(fleet: Fleet) {
    fleet.append(set("spring", "title", Some("1"))).await;
    let entry = fleet.append(set("spring", "title", None)).await;
    assert_eq!(entry.set, [("title".into(), None)]);
    assert_eq!(snapshot(&fleet).await.fields, vec![]);
    fleet.append(set("spring", "never", None)).await;
    assert_eq!(snapshot(&fleet).await.position.seq, 3);
}

pub(crate) async fn lists_the_streams_that_exist(fleet: Fleet) {
    assert_eq!(fleet.store().streams().await, Ok(vec![]));
    for stream in ["spring", "summer", "spring"] {
        fleet.append(chat(stream, "hi")).await;
    }
    let streams = fleet.gateways[2].store.streams().await.unwrap();
    assert_eq!(streams.len(), 2);
    assert_eq!(HashSet::from_iter(streams), HashSet::from(["spring".to_owned(), "summer".to_owned()]));
}

pub(crate) async fn starts_another_epoch_after_losing_its_data(fleet: Fleet) {
    fleet.watch("spring");
    fleet.append(set("spring", "title", Some("1"))).await;
    let before = fleet.append(chat("spring", "two")).await;
    (fleet.lose_data)().await;
    assert_eq!(fleet.store().snapshot("spring", "chat:message", 10).await, Ok(None));
    let after = fleet.append(chat("spring", "three")).await;
    assert_eq!(after.position.seq, 1);
    assert_ne!(after.position.epoch, before.position.epoch);
    assert!((1..=16).contains(&after.position.epoch.len()));
    assert_eq!(seqs(&fleet.gateways[2].heard.entries("spring", 3).await), [1, 2, 1]);
    assert_eq!(snapshot(&fleet).await.fields, vec![]);
}

pub(crate) async fn begins_the_epoch_that_it_names(fleet: Fleet) {
    fleet.watch("spring");
    let begins = |epoch: &str| Append { epoch: Some(epoch.into()), ..chat("spring", "hi") };
    let first = fleet.append(begins("aBcD_-12")).await;
    let second = fleet.append(begins("too-late")).await;
    for (entry, seq) in [(&first, 1), (&second, 2)] {
        assert_eq!((&*entry.position.epoch, entry.position.seq), ("aBcD_-12", seq));
    }
    assert_eq!(fleet.gateways[1].heard.entries("spring", 2).await, [first, second]);
    assert_eq!(&*snapshot(&fleet).await.position.epoch, "aBcD_-12");
}

async fn snapshot(fleet: &Fleet) -> Snapshot {
    fleet.store().snapshot("spring", "chat:message", 10).await.unwrap().expect("the stream exists")
}
