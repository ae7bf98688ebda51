//! All viewers of a stream see one order, with `seq` rising by one.

mod support;

use serde_json::json;
use support::World;

#[tokio::test]
async fn four_senders_are_seen_in_one_order_by_everybody() {
    let world = World::start(&[("HAAT_SHARDS", "4")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut viewers = Vec::new();
    for _ in 0..6 {
        let mut viewer = world.guest().await;
        viewer.join("main").await;
        viewers.push(viewer);
    }
    let mut senders = Vec::new();
    for number in 0..4 {
        let mut sender = world.user(&format!("sender-{number}")).await;
        sender.join("main").await;
        senders.push(tokio::spawn(async move {
            for turn in 0..50 {
                sender.say("main", &format!("{number}/{turn}")).await;
            }
            sender
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    let first = viewers[0].chats(200).await;
    let seqs: Vec<u64> = first.iter().map(|chat| chat.0).collect();
    let start = seqs[0];
    assert_eq!(seqs, (start..start + 200).collect::<Vec<_>>());
    for viewer in &mut viewers[1..] {
        assert_eq!(viewer.chats(200).await, first);
    }
}

#[tokio::test]
async fn a_late_joiner_has_the_history_and_then_what_follows() {
    let world = World::start(&[]).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    for number in 0..5 {
        supplier.say("main", &format!("early {number}")).await;
    }
    let mut late = world.guest().await;
    let reply = late.join("main").await;
    let history: Vec<&str> =
        reply["history"].as_array().unwrap().iter().map(|chat| chat["text"].as_str().unwrap()).collect();
    assert_eq!(history, ["early 0", "early 1", "early 2", "early 3", "early 4"]);
    let seen = reply["state"]["seq"].as_u64().unwrap();
    supplier.call("chat:send", &json!({ "stream": "main", "text": "later" })).await;
    let next = late.chats(1).await;
    assert_eq!((next[0].0, &*next[0].1), (seen + 1, "later"));
}
