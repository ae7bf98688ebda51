//! Entries that do not reach a gateway are fetched: its viewers miss nothing and see no other order.

mod support;

use haat_adapter::memory::{Engine, Limits};
use support::World;

#[tokio::test]
async fn entries_that_are_lost_on_the_way_are_fetched_before_later_ones() {
    let engine = Engine::new(Limits::default());
    let (here, there) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut supplier = here.supplier(&["main"]).await;
    supplier.join("main").await;
    let (mut near, mut far) = (here.guest().await, there.guest().await);
    near.join("main").await;
    far.join("main").await;
    let mut said = 0;
    for lost in [1, 3, 700] {
        engine.drop_next_entries(lost, there.server.name());
        for _ in 0..lost + 5 {
            supplier.say("main", &format!("{said}")).await;
            said += 1;
        }
    }
    let heard = near.chats(said).await;
    assert!(heard.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    assert_eq!(far.chats(said).await, heard);
}

#[tokio::test]
async fn the_last_entry_is_noticed_too_though_nothing_follows_it() {
    let engine = Engine::new(Limits::default());
    let (here, there) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut supplier = here.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut far = there.guest().await;
    far.join("main").await;
    engine.drop_next_entries(2, there.server.name());
    supplier.say("main", "one").await;
    supplier.say("main", "two").await;
    let texts: Vec<String> = far.chats(2).await.into_iter().map(|chat| chat.1).collect();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn a_gap_that_the_log_cannot_fill_is_told_once() {
    let engine = Engine::new(Limits { log_entries: 16, ..Limits::default() });
    let (here, there) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut supplier = here.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut far = there.guest().await;
    let epoch = far.join("main").await["state"]["epoch"].clone();
    engine.drop_next_entries(40, there.server.name());
    for number in 0..40 {
        supplier.say("main", &format!("{number}")).await;
    }
    let reset = far.event("stream:reset").await;
    assert_eq!((&reset[0]["reason"], &reset[0]["epoch"]), (&"trimmed".into(), &epoch));
    let last = far.join("main").await["state"]["seq"].as_u64().unwrap();
    supplier.say("main", "and on").await;
    let next = far.chats(1).await;
    assert_eq!((next[0].0, &*next[0].1), (last + 1, "and on"));
    assert!(far.events.iter().all(|event| event[0] != "stream:reset"));
}
