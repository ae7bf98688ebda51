//! Appends of one key keep their distance.

use std::time::Duration;

use haat_adapter::{Append, Pace, StoreError};

use super::{
    fleet::{chat, once, repeat},
    sale::{STREAM, Sale, never},
};

fn paced(key: &str) -> Append {
    let pace = Some(Pace { key: key.to_owned(), interval: Duration::from_secs(10) });
    Append { pace, ..chat(STREAM, "hi") }
}

pub(crate) async fn keeps_appends_of_one_key_apart(sale: Sale) {
    let sale = sale.open().await;
    sale.append(paced("ana")).await;
    sale.append(paced("bo")).await;
    sale.append(chat(STREAM, "no pace")).await;
    sale.pass(3.0).await;
    let Err(StoreError::TooSoon(wait)) = sale.fleet.gateways[1].store.append(paced("ana")).await else {
        panic!("it was let through")
    };
    assert!(wait <= Duration::from_secs(7) && wait > Duration::ZERO, "{wait:?}");
    sale.pass(7.5).await;
    assert_eq!(sale.append(paced("ana")).await.position.seq, 5, "what was refused has no number");
}

pub(crate) async fn is_not_used_up_by_what_is_refused(sale: Sale) {
    let sale = sale.open().await;
    let refused = sale.fleet.store().append(Append { checks: never(), ..paced("ana") }).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    sale.append(paced("ana")).await;
    sale.pass(5.0).await;
    assert!(matches!(sale.fleet.store().append(paced("ana")).await, Err(StoreError::TooSoon(_))));
    sale.pass(5.5).await;
    sale.append(paced("ana")).await;
}

pub(crate) async fn does_not_touch_a_repetition(sale: Sale) {
    let sale = sale.open().await;
    let append = || Append { once: once("ana:1"), ..paced("ana") };
    let first = sale.append(append()).await;
    assert_eq!(repeat(sale.fleet.store().append(append()).await), first);
}
