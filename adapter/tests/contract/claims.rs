//! Nothing is sold twice.

use std::collections::HashMap;

use haat_adapter::{Check, Claim, Claimed, GrantState, Refusal, StoreError, Terms, market::sold};

use super::sale::{POOL, STREAM, Sale, claim, conflict, never, requested};

pub(crate) async fn take_from_the_stock(sale: Sale) {
    let sale = sale.open().await;
    let before = sale.market().now();
    let grant = sale.granted(claim("ana", "c1")).await;
    let at: u64 = grant.text.strip_prefix(r#"{"id":"c1","at":"#).unwrap().strip_suffix('}').unwrap().parse().unwrap();
    assert!(at.abs_diff(before) < 500, "{at} {before}");
    assert_eq!((&*grant.id, &*grant.user, grant.quantity, grant.left), ("c1", "ana", 1, 2));
    assert_eq!((grant.state, grant.request), (GrantState::Final, None));
    assert_eq!(sale.granted(Claim { quantity: 2, ..claim("bo", "c2") }).await.left, 0);
}

pub(crate) async fn never_exceed_the_stock(sale: Sale) {
    let sale = sale.open().await;
    for (user, id) in [("ana", "c1"), ("bo", "c2"), ("chi", "c3")] {
        sale.granted(claim(user, id)).await;
    }
    assert_eq!(sale.refused(claim("dev", "c4")).await, Refusal::SoldOut(0));
    assert_eq!(sale.granted(Claim { pool: "drop.other@1".to_owned(), ..claim("dev", "c5") }).await.left, 2);
}

pub(crate) async fn never_exceed_the_share(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(claim("ana", "c1")).await;
    assert_eq!(sale.refused(Claim { quantity: 2, ..claim("ana", "c2") }).await, Refusal::Limit(1));
    sale.granted(claim("ana", "c3")).await;
    assert_eq!(sale.refused(claim("ana", "c4")).await, Refusal::Limit(0), "the share is looked at before the stock");
    sale.granted(claim("bo", "c5")).await;
}

pub(crate) async fn take_all_or_nothing(sale: Sale) {
    let sale = sale.open().await;
    let terms = Terms { stock: 3, per_user: 10, ..Terms::default() };
    sale.granted(Claim { quantity: 2, terms, ..claim("ana", "c1") }).await;
    assert_eq!(sale.refused(Claim { quantity: 2, terms, ..claim("bo", "c2") }).await, Refusal::SoldOut(1));
    assert_eq!(sale.refused(Claim { quantity: u64::MAX, terms, ..claim("bo", "c3") }).await, Refusal::Limit(10));
    sale.granted(Claim { terms, ..claim("bo", "c4") }).await;
}

pub(crate) async fn repeat_the_first_answer(sale: Sale) {
    let sale = sale.open().await;
    let first = sale.granted(requested("ana", "c1", "r1")).await;
    sale.granted(claim("bo", "c2")).await;
    sale.granted(claim("chi", "c3")).await;
    for market in &sale.markets {
        // Even where the state has changed, and all is gone.
        let again = Claim { checks: never(), ..requested("ana", "c9", "r1") };
        assert_eq!(market.claim(again).await.unwrap(), Claimed::Repeat(first.clone()));
    }
    assert_eq!(sale.counter(&sold(POOL)).await, 3);
    assert_eq!(sale.records("claim").await.len(), 3);
    assert_eq!(sale.refused(requested("ana", "c9", "r2")).await, Refusal::SoldOut(0));
}

pub(crate) async fn keep_requests_apart_by_user_and_pool(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(requested("ana", "c1", "r1")).await;
    sale.granted(requested("bo", "c2", "r1")).await;
    sale.granted(Claim { pool: "drop.other@1".to_owned(), ..requested("ana", "c3", "r1") }).await;
    // Names that would be the same text if user and request were merely joined.
    sale.granted(Claim { pool: "drop.third@1".to_owned(), ..requested("a", "c4", "bc") }).await;
    sale.granted(Claim { pool: "drop.third@1".to_owned(), ..requested("ab", "c5", "c") }).await;
}

pub(crate) async fn refuse_another_quantity_under_the_same_name(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(requested("ana", "c1", "r1")).await;
    let other = Claim { quantity: 2, ..requested("ana", "c2", "r1") };
    assert_eq!(sale.refused(other).await, Refusal::Mismatch);
}

pub(crate) async fn are_refused_outside_their_time(sale: Sale) {
    let sale = sale.open().await;
    let opens = sale.market().now() + 10_000;
    let terms = Terms { opens: Some(opens), ends: Some(opens + 10_000), ..claim("", "").terms };
    assert_eq!(sale.refused(Claim { terms, ..claim("ana", "c1") }).await, Refusal::Early(opens));
    sale.pass(11.0).await;
    sale.granted(Claim { terms, ..claim("ana", "c2") }).await;
    sale.pass(10.0).await;
    assert_eq!(sale.refused(Claim { terms, ..claim("ana", "c3") }).await, Refusal::Late);
}

pub(crate) async fn are_made_only_on_the_state_that_is_expected(sale: Sale) {
    let sale = sale.open().await;
    assert_eq!(sale.market().claim(Claim { checks: never(), ..claim("ana", "c1") }).await, conflict("status"));
    let live = vec![Check::Is("status".to_owned(), Some(r#""live""#.to_owned()))];
    assert_eq!(sale.granted(Claim { checks: live, ..claim("ana", "c1") }).await.left, 2);
}

pub(crate) async fn need_a_stream(sale: Sale) {
    let claimed = sale.market().claim(claim("ana", "c1")).await;
    assert!(matches!(claimed, Err(StoreError::Conflict(_))), "{claimed:?}");
    assert_eq!(sale.fleet.store().streams().await, Ok(vec![]));
}

pub(crate) async fn count(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(claim("ana", "c1")).await;
    let worth = claim("bo", "c2").worth.into_iter().map(|worth| haat_adapter::Counter { value: 200, ..worth });
    sale.granted(Claim { quantity: 2, worth: worth.collect(), ..claim("bo", "c2") }).await;
    sale.refused(claim("chi", "c3")).await;
    let counters = sale.counters().await;
    assert_eq!((counters[&sold(POOL)], counters["claims"], counters["revenue.INR"]), (3, 2, 300));
}

pub(crate) async fn are_recorded(sale: Sale) {
    let sale = sale.open().await;
    let grant = sale.granted(claim("ana", "c1")).await;
    let records = sale.records("claim").await;
    assert_eq!(records.len(), 1);
    assert_eq!((&*records[0].by, &records[0].data), (r#"{"id":"ana"}"#, &grant.text));
}

pub(crate) async fn are_listed(sale: Sale) {
    let sale = sale.open().await;
    let one = sale.granted(requested("ana", "c1", "r1")).await;
    let other = sale.granted(claim("bo", "c2")).await;
    sale.granted(Claim { pool: "drop.other@1".to_owned(), ..claim("bo", "c3") }).await;
    let mut grants = sale.markets[2].grants(STREAM, POOL).await.unwrap();
    grants.sort_by_key(|grant| grant.id.clone());
    assert_eq!(grants, [one, other]);
    assert_eq!(sale.market().grants("nowhere", POOL).await.unwrap(), []);
}

pub(crate) async fn are_listed_however_many_they_are(sale: Sale) {
    const MANY: usize = 1_200;
    let sale = sale.open().await;
    let terms = Terms { stock: 5_000, per_user: 5_000, ..Terms::default() };
    let claims = (0..MANY).map(|number| sale.market().claim(Claim { terms, ..claim("ana", &format!("c{number}")) }));
    let claimed = futures::future::try_join_all(claims).await.unwrap();
    let granted = claimed.into_iter().filter_map(|claimed| match claimed {
        Claimed::New(grant) => Some(grant.id),
        _ => None,
    });
    let granted: std::collections::HashSet<_> = granted.collect();
    let listed = sale.market().grants(STREAM, POOL).await.unwrap();
    assert_eq!((granted.len(), listed.len()), (MANY, MANY));
    assert_eq!(listed.into_iter().map(|grant| grant.id).collect::<std::collections::HashSet<_>>(), granted);
}

pub(crate) async fn of_many_threads_sell_exactly_the_stock(sale: Sale) {
    const USERS: usize = 40;
    let sale = sale.open().await;
    let runtime = tokio::runtime::Handle::current();
    let terms = Terms { stock: 30, per_user: 2, ..Terms::default() };
    let tries = (0..8_usize).map(|thread| {
        let (runtime, market) = (runtime.clone(), sale.markets[thread % sale.markets.len()].clone());
        tokio::task::spawn_blocking(move || {
            let mut granted = Vec::new();
            for number in 0..USERS {
                let (user, id) = (format!("user-{}", number % USERS), format!("c{thread}-{number}"));
                let claim = Claim { terms, ..claim(&user, &id) };
                if let Claimed::New(grant) = runtime.block_on(market.claim(claim)).unwrap() {
                    granted.push(grant);
                }
            }
            granted
        })
    });
    let (mut all, mut shares) = (0, HashMap::<String, u64>::new());
    for granted in tries.collect::<Vec<_>>() {
        for grant in granted.await.unwrap() {
            all += grant.quantity;
            *shares.entry(grant.user.to_string()).or_default() += grant.quantity;
        }
    }
    assert_eq!((all, sale.counter(&sold(POOL)).await, sale.records("claim").await.len()), (30, 30, 30));
    assert!(shares.values().all(|share| *share <= 2), "{shares:?}");
}

/// Those that come at the same time may be decided in one step: one after the other all the same.
pub(crate) async fn that_come_together_are_decided_in_their_order(sale: Sale) {
    let sale = sale.open().await;
    let terms = Terms { stock: 40, per_user: 2, ..Terms::default() };
    let claims = (0..150_usize).map(|number| {
        // Every user comes three times, and every third claim is repeated at once.
        let (user, id) = (format!("user-{}", number / 3), format!("c{number}"));
        Claim { terms, request: Some(format!("r{}", number - usize::from(number % 3 == 1))), ..claim(&user, &id) }
    });
    let claims: Vec<Claim> = claims.collect();
    let answers = claims.iter().map(|claim| sale.market().claim(claim.clone()));
    let answers = futures::future::try_join_all(answers).await.unwrap();
    let mut granted = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Claimed::New(grant) => {
                assert_eq!((&*grant.id, grant.left), (&*claims[number].id, 39 - granted.len() as u64));
                granted.push(grant.clone());
            }
            Claimed::Repeat(grant) => assert_eq!((number % 3, Some(grant)), (1, granted.last())),
            Claimed::Refused(refusal) => assert_eq!((*refusal, granted.len()), (Refusal::SoldOut(0), 40), "{number}"),
        }
    }
    assert_eq!(granted.len(), 40);
    let texts: Vec<_> = sale.records("claim").await.into_iter().map(|record| record.data).collect();
    assert_eq!(texts, granted.iter().map(|grant| grant.text.clone()).collect::<Vec<_>>());
    let counters = sale.counters().await;
    assert_eq!((counters[&sold(POOL)], counters["claims"], counters["revenue.INR"]), (40, 40, 4_000));
    let mut listed = sale.markets[1].grants(STREAM, POOL).await.unwrap();
    listed.sort_by_key(|grant| std::cmp::Reverse(grant.left));
    assert_eq!(listed, granted);
}

pub(crate) async fn are_gone_with_the_data(sale: Sale) {
    let sale = sale.open().await;
    sale.granted(requested("ana", "c1", "r1")).await;
    (sale.fleet.lose_data)().await;
    let sale = sale.open().await;
    assert_eq!(sale.market().grants(STREAM, POOL).await.unwrap(), []);
    assert_eq!(sale.granted(requested("ana", "c2", "r1")).await.left, 2);
    assert_eq!(sale.counter("claims").await, 1);
}
