//! Of a state only the newest counts: a viewer that was blocked gets that one, and every message.

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::{
    Client, World,
    live::product,
    token,
    wire::{Seen, Wire},
};

#[tokio::test]
async fn one_that_was_blocked_skips_to_the_newest_state_and_misses_no_message() {
    let world = World::start(&[("HAAT_SHARDS", "1"), ("HAAT_OUTBOX_SEND_BUFFER_BYTES", "4096")]).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut watcher = world.guest().await;
    watcher.join("main").await;
    let mut slow = Wire::narrow_viewer(world.address, "main").await;
    while watcher.event("viewers").await != [json!({ "stream": "main", "count": 2 })] {}

    // More than the sockets take, less than a queue holds.
    let mut last = Value::Null;
    for number in 0..200 {
        last = supplier.say("main", &format!("{number} {}", "x".repeat(400))).await["seq"].clone();
    }
    let first = last.as_u64().unwrap() - 199;
    let dropped = world.metric("haat_frames_dropped_total", "").await;
    let mut guests = Vec::new();
    for count in 3..8 {
        let mut guest = world.guest().await;
        guest.join("main").await;
        guests.push(guest);
        while watcher.event("viewers").await != [json!({ "stream": "main", "count": count })] {}
    }
    supplier.say("main", "the end").await;

    let (mut seqs, mut counts) = (Vec::new(), Vec::new());
    loop {
        let Seen::Text(text) = slow.frame().await else { panic!("closed") };
        let Some(event) = text.strip_prefix("42") else { continue };
        let event: Vec<Value> = serde_json::from_str(event).unwrap();
        match event[0].as_str() {
            Some("chat:message") => seqs.push(event[1]["seq"].as_u64().unwrap()),
            Some("viewers") => counts.push(event[1]["count"].as_u64().unwrap()),
            _ => {}
        }
        if event[1]["text"] == "the end" {
            break;
        }
    }
    assert_eq!(seqs, (first..=first + 200).collect::<Vec<_>>());
    counts.retain(|count| *count > 2);
    assert_eq!(counts, [7]);
    support::patiently("count of what was dropped", async {
        while world.metric("haat_frames_dropped_total", "").await < dropped + 4.0 {}
    })
    .await;
}

#[tokio::test]
async fn one_that_comes_back_is_told_how_the_numbers_stand() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let viewer = world.viewer("ana").await;
    let poll = json!({ "id": "p1", "question": "Which?", "options": ["Red", "Blue"] });
    host.ok("poll:open", json!({ "poll": poll })).await;
    let price = product("a")["price"].clone();
    host.ok("product:put", json!({ "product": product("a") })).await;
    host.ok("drop:open", json!({ "drop": { "id": "d1", "product": "a", "price": price, "stock": 5 } })).await;
    let pid = viewer.connected["pid"].clone();
    viewer.drop_connection().await;

    let mut other = world.viewer("ben").await;
    other.ok("poll:vote", json!({ "poll": "p1", "option": 1 })).await;
    other.ok("drop:claim", json!({ "drop": "d1", "requestId": "r1" })).await;
    other.ok("reaction:send", json!({ "kind": "heart", "count": 3 })).await;
    support::patiently("the numbers", async {
        loop {
            let state = other.join("main").await["state"].clone();
            let (votes, left) = (&state["polls"][0]["votes"], &state["drops"][0]["left"]);
            if (votes, left, &state["reactions"]["heart"]) == (&json!(1), &json!(4), &json!(3)) {
                break;
            }
        }
    })
    .await;

    let auth = json!({ "token": token("ana", "viewer", &[]), "pid": pid });
    let mut back = Client::connect(world.address, &auth).await;
    assert_eq!(back.connected["pid"], pid, "recovered");
    let events: BTreeMap<_, _> = back.drain().await.into_iter().collect();
    assert_eq!(events["reactions"], json!({ "stream": "main", "totals": { "heart": 3 }, "added": {} }));
    assert_eq!(events["drop:stock"], json!({ "stream": "main", "drop": "d1", "left": 4 }));
    assert_eq!(events["poll:tally"], json!({ "stream": "main", "poll": "p1", "tally": [0, 1], "votes": 1 }));
}
