//! An append happens only on the state that it expects.

use haat_adapter::{Append, Appended, Check, StoreError};

use super::fleet::{Fleet, chat, set};

fn is(field: &str, text: Option<&str>) -> Check {
    Check::Is(field.to_owned(), text.map(str::to_owned))
}

fn is_not(field: &str, text: Option<&str>) -> Check {
    Check::IsNot(field.to_owned(), text.map(str::to_owned))
}

/// Whether an append with these checks is done; if not, the field that it names.
async fn outcome(fleet: &Fleet, checks: &[Check]) -> Result<(), String> {
    match fleet.store().append(Append { checks: checks.to_vec(), ..chat("spring", "hi") }).await {
        Ok(Appended::New(_)) => Ok(()),
        Err(StoreError::Conflict(field)) => Err(field),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn hold_for_the_text_a_field_has(fleet: Fleet) {
    fleet.append(set("spring", "status", Some(r#""live""#))).await;
    assert_eq!(outcome(&fleet, &[is("status", Some(r#""live""#))]).await, Ok(()));
    assert_eq!(outcome(&fleet, &[is("status", Some(r#""ended""#))]).await, Err("status".to_owned()));
    assert_eq!(outcome(&fleet, &[is_not("status", Some(r#""ended""#))]).await, Ok(()));
    assert_eq!(outcome(&fleet, &[is_not("status", Some(r#""live""#))]).await, Err("status".to_owned()));
    assert_eq!(outcome(&fleet, &[is("status", Some(r#""live" "#))]).await, Err("status".to_owned()));
}

pub(crate) async fn hold_for_absence_and_presence(fleet: Fleet) {
    fleet.append(set("spring", "status", Some("null"))).await;
    assert_eq!(outcome(&fleet, &[is("other", None)]).await, Ok(()));
    assert_eq!(outcome(&fleet, &[is("status", None)]).await, Err("status".to_owned()));
    assert_eq!(outcome(&fleet, &[is_not("status", None)]).await, Ok(()));
    assert_eq!(outcome(&fleet, &[is_not("other", None)]).await, Err("other".to_owned()));
    assert_eq!(outcome(&fleet, &[is_not("other", Some("1"))]).await, Ok(()));
    assert_eq!(outcome(&fleet, &[is("other", Some("1"))]).await, Err("other".to_owned()));
}

pub(crate) async fn change_nothing_when_they_fail(fleet: Fleet) {
    fleet.watch("spring");
    fleet.append(set("spring", "a", Some("1"))).await;
    let before = fleet.store().snapshot("spring", "chat:message", 10).await;
    let append = Append {
        checks: vec![is("a", Some("1")), is("b", Some("1")), is("a", None)],
        erase: vec![1],
        ..set("spring", "a", Some("2"))
    };
    assert_eq!(fleet.store().append(append).await, Err(StoreError::Conflict("b".to_owned())));
    assert_eq!(fleet.store().snapshot("spring", "chat:message", 10).await, before);
    let next = fleet.append(chat("spring", "next")).await;
    let heard = fleet.gateways[1].heard.entries("spring", 2).await;
    assert_eq!((heard.len(), heard[1].clone(), next.position.seq), (2, next, 2));
}

pub(crate) async fn do_not_create_the_stream_when_they_fail(fleet: Fleet) {
    assert_eq!(outcome(&fleet, &[is_not("status", None)]).await, Err("status".to_owned()));
    assert_eq!(fleet.store().streams().await, Ok(vec![]));
    assert_eq!(outcome(&fleet, &[is("status", None)]).await, Ok(()));
}

pub(crate) async fn let_one_of_many_through(fleet: Fleet) {
    let runtime = tokio::runtime::Handle::current();
    let tries = (0..8).map(|index: usize| {
        let (runtime, store) = (runtime.clone(), fleet.gateways[index % fleet.gateways.len()].store.clone());
        let append = Append { checks: vec![is("taken", None)], ..set("spring", "taken", Some(&index.to_string())) };
        tokio::task::spawn_blocking(move || runtime.block_on(store.append(append)).is_ok())
    });
    let mut done = 0;
    for outcome in tries.collect::<Vec<_>>() {
        done += usize::from(outcome.await.expect("no thread fails"));
    }
    assert_eq!(done, 1);
}
