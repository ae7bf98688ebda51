//! A prize is chosen by the number that the gateway brings, and given as often as there is one.

use std::sync::Arc;

use haat_adapter::{
    Refusal, Spin, Spun,
    market::{SPINS, sold},
};

use super::sale::{STREAM, Sale, conflict, never, spin, stake};

fn prize(id: &str) -> Option<Arc<str>> {
    Some(format!(r#"{{"id":"{id}"}}"#).into())
}

pub(crate) async fn draw_by_number_and_weight(sale: Sale) {
    let sale = sale.open().await;
    for (number, (draw, wins)) in [(0, "a"), (1, "b"), (2, "b"), (3, "a"), ((1 << 53) - 1, "b")].into_iter().enumerate()
    {
        let turn = sale.turn(spin(&format!("user-{number}"), &format!("s{number}"), &[draw])).await;
        assert_eq!((turn.prize, turn.turn), (prize(wins), 1), "draw {draw}");
    }
}

pub(crate) async fn skip_what_is_given_away(sale: Sale) {
    let sale = sale.open().await;
    let mut won = Vec::new();
    for number in 0..4 {
        won.push(sale.turn(spin(&format!("user-{number}"), &format!("s{number}"), &[0])).await.prize);
    }
    assert_eq!(won, [prize("a"), prize("a"), prize("b"), prize("b")]);
}

pub(crate) async fn give_nothing_when_nothing_is_left(sale: Sale) {
    let sale = sale.open().await;
    let last = |user: &str, id: &str| Spin {
        prizes: vec![stake("a", 1, Some(1)), stake("never", 0, None)],
        ..spin(user, id, &[5])
    };
    assert_eq!(sale.turn(last("ana", "s1")).await.prize, prize("a"));
    assert_eq!(sale.turn(last("bo", "s2")).await.prize, None);
    assert_eq!(sale.counter(SPINS).await, 2);
}

pub(crate) async fn end_with_the_turns(sale: Sale) {
    let sale = sale.open().await;
    assert_eq!(sale.turn(spin("ana", "s1", &[1, 1])).await.turn, 1);
    assert_eq!(sale.turn(spin("ana", "s2", &[1, 1])).await.turn, 2);
    assert_eq!(sale.spin(spin("ana", "s3", &[1, 1])).await, Spun::Refused(Refusal::Limit(0)));
    assert_eq!(sale.turn(spin("bo", "s4", &[1, 1])).await.turn, 1);
    let other = Spin { pool: "wheel.other@1".to_owned(), ..spin("ana", "s5", &[1]) };
    assert_eq!(sale.turn(other).await.turn, 1);
    assert_eq!(sale.spin(spin("chi", "s6", &[])).await, Spun::Refused(Refusal::Limit(0)));
}

pub(crate) async fn take_the_number_of_the_turn(sale: Sale) {
    let sale = sale.open().await;
    let mut won = Vec::new();
    for id in ["s1", "s2", "s3"] {
        won.push(sale.turn(spin("ana", id, &[1, 0, 2])).await.prize);
    }
    assert_eq!(won, [prize("b"), prize("a"), prize("b")]);
}

pub(crate) async fn repeat_the_first_answer(sale: Sale) {
    let sale = sale.open().await;
    let requested = |id: &str, draw| Spin { request: Some("r1".to_owned()), ..spin("ana", id, &[draw]) };
    let first = sale.turn(requested("s1", 0)).await;
    for market in &sale.markets {
        let again = Spin { checks: never(), ..requested("s9", 1) };
        assert_eq!(market.spin(again).await.unwrap(), Spun::Repeat(first.clone()));
    }
    let other = Spin { user: "bo".to_owned(), ..requested("s2", 1) };
    assert_eq!(sale.turn(other).await.prize, prize("b"));
    let counters = (sale.counter(SPINS).await, sale.counter(&sold("wheel.lucky@1")).await);
    assert_eq!((counters, sale.records("spin").await.len()), ((2, 2), 2));
}

pub(crate) async fn are_refused_outside_their_time(sale: Sale) {
    let sale = sale.open().await;
    let ends = Some(sale.market().now() + 10_000);
    sale.turn(Spin { ends, ..spin("ana", "s1", &[0]) }).await;
    assert_eq!(sale.market().spin(Spin { checks: never(), ..spin("bo", "s2", &[0]) }).await, conflict("status"));
    sale.pass(10.5).await;
    assert_eq!(sale.spin(Spin { ends, ..spin("bo", "s3", &[0]) }).await, Spun::Refused(Refusal::Late));
    assert!(sale.market().spin(Spin { stream: "nowhere".to_owned(), ..spin("bo", "s4", &[0]) }).await.is_err());
}

pub(crate) async fn tell_of_a_prize(sale: Sale) {
    let sale = sale.open().await;
    sale.turn(Spin { prizes: vec![stake("a", 1, Some(0))], ..spin("ana", "s1", &[0]) }).await;
    sale.turn(spin("bo", "s2", &[0])).await;
    for gateway in &sale.fleet.gateways {
        let entries = gateway.heard.entries(STREAM, 2).await;
        assert_eq!(entries.len(), 2, "only a prize is told of");
        assert_eq!((&*entries[1].event, &*entries[1].data), ("wheel:won", r#"{"seq":2,"prize":{"id":"a"}}"#));
    }
}

pub(crate) async fn are_recorded(sale: Sale) {
    let sale = sale.open().await;
    sale.turn(spin("ana", "s1", &[0])).await;
    sale.turn(Spin { prizes: Vec::new(), ..spin("bo", "s2", &[0]) }).await;
    let records = sale.records("spin").await;
    assert_eq!(records.len(), 2);
    assert_eq!(&*records[0].by, r#"{"id":"ana"}"#);
    assert!(records[0].data.starts_with(r#"{"turn":1,"prize":{"id":"a"},"at":1"#), "{:?}", records[0]);
    assert!(records[1].data.starts_with(r#"{"turn":1,"prize":null,"at":1"#), "{:?}", records[1]);
}

pub(crate) async fn of_many_threads_give_exactly_the_stock(sale: Sale) {
    let sale = sale.open().await;
    let runtime = tokio::runtime::Handle::current();
    let tries = (0..8_usize).map(|thread| {
        let (runtime, market) = (runtime.clone(), sale.markets[thread % sale.markets.len()].clone());
        tokio::task::spawn_blocking(move || {
            let mut won = [0_u64; 3];
            for number in 0..40_u64 {
                let user = format!("user-{}", number % 20);
                let spin = Spin {
                    prizes: vec![stake("a", 1, Some(7)), stake("b", 3, Some(11))],
                    ..spin(&user, &format!("s{thread}-{number}"), &[number, number + 1])
                };
                if let Spun::New(turn) = runtime.block_on(market.spin(spin)).unwrap() {
                    let place = match turn.prize.as_deref() {
                        Some(prize) if prize.contains("\"a\"") => 0,
                        Some(_) => 1,
                        None => 2,
                    };
                    won[place] += 1;
                }
            }
            won
        })
    });
    let mut all = [0; 3];
    for won in tries.collect::<Vec<_>>() {
        won.await.unwrap().iter().zip(&mut all).for_each(|(won, all)| *all += won);
    }
    assert_eq!(all, [7, 11, 22], "twenty users have two turns each");
}
