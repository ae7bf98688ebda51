//! The bounds of the embedded engine's market.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "shared with the contract, which uses all of it")]
#[path = "contract/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "shared with the contract, which uses all of it")]
#[path = "contract/sale.rs"]
mod sale;

use haat_adapter::{
    Append, Market, Note, ReadAs, Settle, StoreError, Vote,
    memory::{Engine, Limits},
};
use sale::{POOL, STREAM, claim, spin};

async fn engine(limits: Limits) -> std::sync::Arc<Engine> {
    let engine = Engine::new(limits);
    haat_adapter::Store::append(&*engine, fleet::set(STREAM, "status", Some(r#""live""#))).await.unwrap();
    engine
}

async fn say(engine: &Engine, text: &str) {
    let append = Append { record: Some("null".to_owned()), ..fleet::chat(STREAM, text) };
    haat_adapter::Store::append(engine, append).await.unwrap();
}

#[tokio::test]
async fn the_oldest_records_are_trimmed() {
    let engine = engine(Limits { ledger_records: 2, ..Limits::default() }).await;
    for text in ["one", "two", "three"] {
        say(&engine, text).await;
    }
    let records = engine.ledger(STREAM, "", 10).await.unwrap();
    assert!(records.len() == 2 && records[0].data.contains("two"), "{records:?}");
    assert_eq!(engine.ledger(STREAM, &records[0].id, 10).await.unwrap(), records[1..]);
}

#[tokio::test]
async fn the_ledger_is_bounded_in_bytes() {
    let engine = engine(Limits { ledger_bytes: 1_000, ..Limits::default() }).await;
    for _ in 0..5 {
        say(&engine, &"x".repeat(400)).await;
    }
    assert_eq!(engine.ledger(STREAM, "", 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn takers_are_bounded_and_nothing_is_taken_beyond() {
    let engine = engine(Limits { takers: 3, ..Limits::default() }).await;
    engine.claim(claim("ana", "c1")).await.unwrap();
    engine.spin(spin("ana", "s1", &[0])).await.unwrap();
    let vote = |user: &str| Vote {
        stream: STREAM.to_owned(),
        pool: "poll.p@1".to_owned(),
        user: user.to_owned(),
        options: 2,
        ..Vote::default()
    };
    engine.vote(vote("ana")).await.unwrap();
    assert!(matches!(engine.vote(vote("bo")).await, Err(StoreError::TooLarge(_))));
    assert!(matches!(engine.claim(claim("bo", "c2")).await, Err(StoreError::TooLarge(_))));
    assert!(matches!(engine.spin(spin("bo", "s2", &[0])).await, Err(StoreError::TooLarge(_))));
    assert_eq!(engine.grants(STREAM, POOL).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_book_that_is_full_takes_no_new_note() {
    let engine = engine(Limits { notes: 2, ..Limits::default() }).await;
    let note = |key: &str| Note {
        stream: STREAM.to_owned(),
        book: "b".to_owned(),
        key: key.to_owned(),
        text: Some("1".to_owned()),
        ..Note::default()
    };
    engine.note(Note { until: Some(engine.now()), ..note("over") }).await.unwrap();
    engine.note(note("one")).await.unwrap();
    engine.note(note("two")).await.unwrap();
    assert!(matches!(engine.note(note("three")).await, Err(StoreError::TooLarge(_))));
    engine.note(note("two")).await.unwrap();
    let long = Note { text: Some("x".repeat(300 << 10)), ..note("one") };
    assert!(matches!(engine.note(long).await, Err(StoreError::TooLarge(_))));
    assert_eq!(engine.notes(STREAM, "b").await.unwrap().notes.len(), 2);
}

#[tokio::test]
async fn nothing_works_while_it_is_switched_off() {
    let engine = engine(Limits::default()).await;
    engine.set_available(false);
    let settle = Settle { stream: STREAM.to_owned(), ..Settle::default() };
    let read = ReadAs { stream: STREAM, reader: "r", owner: "o", ttl: std::time::Duration::ZERO, advance: None };
    let failures = [
        engine.claim(claim("ana", "c1")).await.err(),
        engine.settle(settle).await.err(),
        engine.tend(STREAM, POOL).await.err(),
        engine.grants(STREAM, POOL).await.err(),
        engine.spin(spin("ana", "s1", &[0])).await.err(),
        engine.vote(Vote::default()).await.err(),
        engine.note(Note::default()).await.err(),
        engine.notes(STREAM, "b").await.err(),
        engine.ledger(STREAM, "", 1).await.err(),
        engine.read_as(read).await.err(),
    ];
    assert!(failures.iter().all(|failure| matches!(failure, Some(StoreError::Unavailable(_)))), "{failures:?}");
    engine.set_available(true);
    assert_eq!(engine.grants(STREAM, POOL).await.unwrap(), []);
}
