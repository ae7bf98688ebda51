//! A grant that is held goes back unless it is confirmed in time, and never before everybody can know.

use haat_adapter::{Claim, Claimed, GrantState, Market, Refusal, Settle, Settled, market::returned};

use super::sale::{POOL, STREAM, Sale, claim, held, requested};

fn settle(id: &str, confirm: bool) -> Settle {
    Settle {
        stream: STREAM.to_owned(),
        pool: "drop.saree@".to_owned(),
        id: id.to_owned(),
        confirm,
        by: r#"{"id":"orders"}"#.to_owned(),
    }
}

async fn done(market: &dyn Market, settle: Settle) -> (GrantState, bool) {
    match market.settle(settle).await.unwrap() {
        Settled::Done(grant, repeated) => (grant.state, repeated),
        other => panic!("not done: {other:?}"),
    }
}

pub(crate) async fn run_out(sale: Sale) {
    let sale = sale.open().await;
    let before = sale.market().now();
    let grant = sale.granted(held("ana", "c1", 5_000)).await;
    let GrantState::Held(until) = grant.state else { panic!("not held: {grant:?}") };
    let after = sale.market().now();
    assert!((before + 4_500..=after + 5_500).contains(&until), "{until} {before}");
    sale.granted(Claim { quantity: 2, ..held("bo", "c2", 60_000) }).await;
    assert_eq!(sale.refused(held("chi", "c3", 5_000)).await, Refusal::SoldOut(0));
    sale.pass(7.5).await;
    assert_eq!(sale.granted(held("chi", "c4", 5_000)).await.left, 0);
    let expired = sale.records("expire").await;
    assert_eq!((expired.len(), &*expired[0].by, &expired[0].data), (1, "null", &grant.text));
    assert_eq!(sale.counter("claims").await, 2);
    // The share comes back with the unit.
    sale.pass(7.5).await;
    sale.granted(held("ana", "c5", 5_000)).await;
}

pub(crate) async fn are_confirmed(sale: Sale) {
    let sale = sale.open().await;
    let grant = sale.granted(Claim { quantity: 2, ..held("ana", "c1", 5_000) }).await;
    assert_eq!(done(&*sale.markets[1], settle("c1", true)).await, (GrantState::Final, false));
    sale.pass(10.0).await;
    assert_eq!(sale.refused(Claim { quantity: 2, ..held("bo", "c2", 5_000) }).await, Refusal::SoldOut(1));
    let records = sale.records("confirm").await;
    assert_eq!((records.len(), &*records[0].by, &records[0].data), (1, r#"{"id":"orders"}"#, &grant.text));
    assert_eq!(sale.records("expire").await, []);
}

pub(crate) async fn cannot_be_confirmed_too_late(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 5_000)).await;
    sale.pass(5.5).await;
    assert_eq!(sale.market().settle(settle("c1", true)).await, Ok(Settled::Over));
    assert_eq!(done(sale.market(), settle("c1", false)).await, (GrantState::Returned, true));
    sale.pass(5.0).await;
    sale.market().tend(STREAM, POOL).await.unwrap();
    assert_eq!(sale.market().settle(settle("c1", true)).await, Ok(Settled::Over));
    assert_eq!(sale.records("confirm").await, []);
}

pub(crate) async fn are_released(sale: Sale) {
    let sale = sale.open().await;
    let grant = sale.granted(Claim { quantity: 2, ..held("ana", "c1", 60_000) }).await;
    assert_eq!(done(&*sale.markets[2], settle("c1", false)).await, (GrantState::Returned, false));
    assert_eq!(sale.market().settle(settle("c1", true)).await, Ok(Settled::Over));
    sale.pass(2.5).await;
    assert_eq!(sale.granted(Claim { quantity: 2, ..held("ana", "c2", 60_000) }).await.left, 1);
    let records = sale.records("release").await;
    assert_eq!((records.len(), &*records[0].by, &records[0].data), (1, r#"{"id":"orders"}"#, &grant.text));
    assert_eq!(sale.records("expire").await, []);
}

pub(crate) async fn are_released_even_when_final(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(claim("ana", "c1")).await;
    assert_eq!(sale.counter("revenue.INR").await, 100);
    assert_eq!(done(sale.market(), settle("c1", false)).await, (GrantState::Returned, false));
    assert_eq!(sale.counter("revenue.INR").await, 0);
    sale.pass(2.5).await;
    assert_eq!(sale.granted(claim("ana", "c2")).await.left, 2);
}

pub(crate) async fn answer_a_repetition(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 60_000)).await;
    sale.granted(held("bo", "c2", 60_000)).await;
    for repeated in [false, true, true] {
        assert_eq!(done(sale.market(), settle("c1", true)).await, (GrantState::Final, repeated));
        assert_eq!(done(sale.market(), settle("c2", false)).await, (GrantState::Returned, repeated));
    }
    let counters = sale.counters().await;
    assert_eq!((counters["revenue.INR"], counters[&returned(POOL)]), (100, 1));
    sale.pass(2.5).await;
    sale.market().tend(STREAM, POOL).await.unwrap();
    assert_eq!(done(sale.market(), settle("c2", false)).await, (GrantState::Returned, true));
    assert_eq!(sale.counter(&haat_adapter::market::sold(POOL)).await, 1);
    // A claim's own repetition still gets the first answer.
    let first = sale.granted(Claim { terms: held("", "", 60_000).terms, ..requested("chi", "c3", "r1") }).await;
    done(sale.market(), settle("c3", false)).await;
    let Claimed::Repeat(again) = sale.claim(requested("chi", "c4", "r1")).await else { panic!("not a repetition") };
    assert_eq!((again.id, again.text, again.left), (first.id, first.text, first.left));
}

pub(crate) async fn do_not_know_other_pools(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 60_000)).await;
    let other = Settle { pool: "drop.other@".to_owned(), ..settle("c1", true) };
    assert_eq!(sale.market().settle(other).await, Ok(Settled::Unknown));
    assert_eq!(sale.market().settle(settle("c9", true)).await, Ok(Settled::Unknown));
    let nowhere = Settle { stream: "nowhere".to_owned(), ..settle("c1", true) };
    assert!(sale.market().settle(nowhere).await.is_err());
}

/// A gateway that has heard nothing for the delay asks; until then it may say that all is gone.
pub(crate) async fn come_back_no_sooner_than_everybody_can_know(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 5_000)).await;
    sale.granted(Claim { quantity: 2, ..claim("bo", "c2") }).await;
    assert_eq!(sale.counter(&returned(POOL)).await, 0);
    done(sale.market(), settle("c2", false)).await;
    assert_eq!(sale.counter(&returned(POOL)).await, 1, "it is told at once");
    assert_eq!(sale.refused(claim("chi", "c3")).await, Refusal::SoldOut(0));
    sale.pass(2.5).await;
    sale.granted(Claim { quantity: 2, ..claim("chi", "c4") }).await;
    // The hold of the first one runs out at 5 s, and its unit can be had at 7 s.
    assert_eq!(sale.refused(claim("dev", "c5")).await, Refusal::SoldOut(0));
    sale.pass(5.0).await;
    sale.granted(claim("dev", "c6")).await;
    assert_eq!(sale.counter(&returned(POOL)).await, 2);
}

pub(crate) async fn come_back_without_a_claim(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 1_000)).await;
    sale.pass(3.5).await;
    assert_eq!(sale.counter(&haat_adapter::market::sold(POOL)).await, 1);
    sale.markets[1].tend(STREAM, POOL).await.unwrap();
    assert_eq!(sale.counter(&haat_adapter::market::sold(POOL)).await, 0);
    assert_eq!(sale.markets[1].tend(STREAM, "drop.other@1").await, Ok(()));
    assert_eq!(sale.markets[1].tend("nowhere", POOL).await, Ok(()));
}

pub(crate) async fn count_their_worth_when_they_are_final(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(held("ana", "c1", 60_000)).await;
    sale.granted(held("bo", "c2", 60_000)).await;
    assert_eq!(sale.counters().await.get("revenue.INR"), None);
    done(sale.market(), settle("c1", true)).await;
    done(sale.market(), settle("c2", false)).await;
    assert_eq!(sale.counter("revenue.INR").await, 100);
    done(sale.market(), settle("c1", false)).await;
    assert_eq!(sale.counter("revenue.INR").await, 0);
}
