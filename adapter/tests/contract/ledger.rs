//! The ledger keeps what it is told, in order, and hands it to one reader at a time.

use std::{sync::Arc, time::Duration};

use haat_adapter::{Append, Market, ReadAs};

use super::{
    fleet::{chat, set},
    sale::{STREAM, Sale, conflict, never},
};

fn recorded(text: &str) -> Append {
    Append { record: Some(r#"{"id":"ana"}"#.to_owned()), ..chat(STREAM, text) }
}

async fn read_as(market: &dyn Market, owner: &str, advance: Option<&str>) -> Option<String> {
    let read = ReadAs { stream: STREAM, reader: "hooks", owner, ttl: Duration::from_secs(5), advance };
    market.read_as(read).await.unwrap()
}

pub(crate) async fn keeps_what_is_to_be_recorded(sale: Sale) {
    let sale = sale.open().await;
    let entry = sale.append(recorded("one")).await;
    let records = sale.records("chat:message").await;
    assert_eq!(records.len(), 1);
    assert_eq!((&*records[0].by, &records[0].data), (r#"{"id":"ana"}"#, &entry.data));
}

pub(crate) async fn leaves_out_what_is_not(sale: Sale) {
    let sale = sale.open().await;
    sale.append(chat(STREAM, "one")).await;
    let failed = sale.fleet.store().append(Append { checks: never(), ..recorded("two") }).await;
    assert!(failed.is_err());
    let once = super::fleet::once("ana:1");
    for _ in 0..2 {
        sale.fleet.store().append(Append { once: once.clone(), ..recorded("three") }).await.unwrap();
    }
    let records = sale.market().ledger(STREAM, "", 100).await.unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
}

pub(crate) async fn is_read_in_pages(sale: Sale) {
    let sale = sale.open().await;
    for number in 0..25 {
        sale.append(recorded(&number.to_string())).await;
    }
    let (mut after, mut seen) = (Arc::<str>::from(""), Vec::new());
    loop {
        let page = sale.markets[2].ledger(STREAM, &after, 10).await.unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = last.id.clone();
        seen.extend(page);
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.iter().enumerate().all(|(place, record)| record.data.contains(&format!(r#""{place}""#))));
    assert_eq!(sale.market().ledger(STREAM, "", 0).await.unwrap(), []);
}

pub(crate) async fn of_an_unknown_stream_is_empty(sale: Sale) {
    assert_eq!(sale.market().ledger("nowhere", "", 10).await.unwrap(), []);
    let read = ReadAs { stream: "nowhere", reader: "hooks", owner: "one", ttl: Duration::from_secs(5), advance: None };
    assert_eq!(sale.market().read_as(read).await, conflict("stream"), "nobody waits for it");
}

pub(crate) async fn is_read_by_one_at_a_time(sale: Sale) {
    let sale = sale.open().await;
    assert_eq!(read_as(&*sale.markets[0], "one", None).await.as_deref(), Some(""));
    assert_eq!(read_as(&*sale.markets[1], "other", None).await, None);
    assert_eq!(read_as(&*sale.markets[1], "other", Some("9-9")).await, None);
    assert_eq!(read_as(&*sale.markets[0], "one", None).await.as_deref(), Some(""));
    let another = ReadAs {
        reader: "orders",
        ..ReadAs { stream: STREAM, reader: "", owner: "other", ttl: Duration::from_secs(5), advance: None }
    };
    assert_eq!(sale.market().read_as(another).await.unwrap().as_deref(), Some(""), "readers do not mind each other");
    sale.pass(5.5).await;
    assert_eq!(read_as(&*sale.markets[1], "other", None).await.as_deref(), Some(""));
    assert_eq!(read_as(&*sale.markets[0], "one", None).await, None);
}

pub(crate) async fn remembers_how_far_it_was_read(sale: Sale) {
    let sale = sale.open().await;
    sale.append(recorded("one")).await;
    let id = sale.records("chat:message").await[0].id.clone();
    read_as(sale.market(), "one", Some(&id)).await;
    assert_eq!(read_as(sale.market(), "one", None).await.as_deref(), Some(&*id));
    sale.pass(5.5).await;
    assert_eq!(read_as(sale.market(), "other", None).await.as_deref(), Some(&*id), "whoever goes on");
}

pub(crate) async fn rises_with_time(sale: Sale) {
    let sale = sale.open().await;
    let before = sale.market().now();
    sale.append(recorded("one")).await;
    sale.pass(2.0).await;
    sale.append(Append { record: Some("null".to_owned()), ..set(STREAM, "title", Some("1")) }).await;
    let after = sale.market().now();
    let records = sale.market().ledger(STREAM, "", 10).await.unwrap();
    let times: Vec<u64> = records.iter().map(|record| record.id.split('-').next().unwrap().parse().unwrap()).collect();
    let known = "what is known here of the engine's time is right to half a second";
    assert!(times[0] + 500 >= before && times[1] <= after + 500, "{times:?} {before} {after}: {known}");
    assert!(times[1] >= times[0] + 2_000, "{times:?}");
}
