//! Notes are for gateways only: they change without an entry in the log.

use haat_adapter::{Happening, Note, Noted, Notes, StoreError};

use super::sale::{STREAM, Sale};

fn note(key: &str, text: Option<&str>) -> Note {
    Note {
        stream: STREAM.to_owned(),
        book: "sanctions".to_owned(),
        key: key.to_owned(),
        text: text.map(str::to_owned),
        ..Note::default()
    }
}

async fn read(sale: &Sale) -> Vec<(String, String)> {
    let Notes { notes, .. } = sale.markets[2].notes(STREAM, "sanctions").await.unwrap();
    notes.into_iter().map(|(key, text)| (key.to_string(), text.to_string())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

pub(crate) async fn are_read_back(sale: Sale) {
    let sale = sale.open().await;
    assert_eq!(sale.market().notes(STREAM, "sanctions").await, Ok(Notes::default()));
    assert_eq!(sale.market().note(note("b", Some("1"))).await, Ok(Noted::Done(1)));
    assert_eq!(sale.market().note(note("a", Some("2"))).await, Ok(Noted::Done(2)));
    assert_eq!(read(&sale).await, pairs(&[("a", "2"), ("b", "1")]));
    assert_eq!(sale.market().notes(STREAM, "other").await, Ok(Notes::default()));
    let snapshot = sale.fleet.store().snapshot(STREAM, "", 0).await.unwrap().unwrap();
    assert_eq!((snapshot.position.seq, snapshot.fields.len()), (1, 1), "nobody else sees them");
}

pub(crate) async fn are_replaced_and_taken_out(sale: Sale) {
    let sale = sale.open().await;
    for text in [Some("1"), Some("2")] {
        sale.market().note(note("a", text)).await.unwrap();
    }
    assert_eq!(read(&sale).await, pairs(&[("a", "2")]));
    assert_eq!(sale.market().note(note("a", None)).await, Ok(Noted::Done(3)));
    assert_eq!(sale.market().note(note("never", None)).await, Ok(Noted::Done(4)));
    assert_eq!(read(&sale).await, []);
}

pub(crate) async fn are_forgotten_in_time(sale: Sale) {
    let sale = sale.open().await;
    let until = Some(sale.market().now() + 5_000);
    sale.market().note(Note { until, ..note("a", Some("1")) }).await.unwrap();
    sale.market().note(note("b", Some("2"))).await.unwrap();
    assert_eq!(read(&sale).await.len(), 2);
    sale.pass(5.5).await;
    assert_eq!(read(&sale).await, pairs(&[("b", "2")]));
    let absent = Note { was: Some(None), ..note("a", Some("3")) };
    assert!(matches!(sale.market().note(absent).await, Ok(Noted::Done(_))));
}

pub(crate) async fn are_written_where_another_one_stands(sale: Sale) {
    let sale = sale.open().await;
    let on = |was: Option<&str>, text| Note { was: Some(was.map(str::to_owned)), ..note("a", text) };
    assert_eq!(sale.market().note(on(Some("1"), Some("2"))).await, Ok(Noted::Differs(None)));
    assert_eq!(sale.market().note(on(None, Some("1"))).await, Ok(Noted::Done(1)));
    assert_eq!(sale.market().note(on(None, Some("2"))).await, Ok(Noted::Differs(Some("1".into()))));
    assert_eq!(sale.market().note(on(Some("1"), Some("2"))).await, Ok(Noted::Done(2)));
    assert_eq!(sale.market().note(on(Some("2"), None)).await, Ok(Noted::Done(3)));
    assert_eq!(read(&sale).await, []);
}

pub(crate) async fn count_the_changes_of_a_book(sale: Sale) {
    let sale = sale.open().await;
    sale.market().note(note("a", Some("1"))).await.unwrap();
    sale.market().note(Note { book: "held".to_owned(), ..note("a", Some("1")) }).await.unwrap();
    sale.market().note(note("a", Some("1"))).await.unwrap();
    let counters = sale.counters().await;
    assert_eq!((counters["book.sanctions"], counters["book.held"]), (2, 1));
    assert_eq!(sale.market().notes(STREAM, "sanctions").await.unwrap().revision, 2);
}

pub(crate) async fn are_recorded(sale: Sale) {
    let sale = sale.open().await;
    let record = Happening {
        kind: "user:ban".to_owned(),
        by: r#"{"id":"mod"}"#.to_owned(),
        data: r#"{"user":"ana"}"#.to_owned(),
    };
    let banned = Note { record: Some(record), was: Some(None), ..note("a", Some("1")) };
    sale.market().note(banned.clone()).await.unwrap();
    assert_eq!(sale.market().note(banned).await, Ok(Noted::Differs(Some("1".into()))));
    let records = sale.records("user:ban").await;
    assert_eq!(records.len(), 1);
    assert_eq!((&*records[0].by, &*records[0].data), (r#"{"id":"mod"}"#, r#"{"user":"ana"}"#));
}

pub(crate) async fn need_a_stream(sale: Sale) {
    let noted = sale.market().note(note("a", Some("1"))).await;
    assert!(matches!(noted, Err(StoreError::Conflict(_))), "{noted:?}");
}
