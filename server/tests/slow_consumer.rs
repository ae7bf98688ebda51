//! A client that does not read is closed, and nobody else waits for it.

mod support;

use serde_json::json;
use support::{Client, World, patiently, wire::Wire};

/// Numbers are counted for the whole process: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is queued for a viewer is little, so that a test needs not send much.
const SMALL: &[(&str, &str)] = &[
    ("HAAT_SHARDS", "1"),
    ("HAAT_ENGINE_MAX_PAYLOAD_BYTES", "16384"),
    ("HAAT_OUTBOX_SEND_BUFFER_BYTES", "4096"),
    ("HAAT_OUTBOX_MAX_BYTES", "65536"),
];

/// A server with little room in its queues, one who talks and one who listens.
async fn scene(variables: &[(&str, &str)]) -> (World, Client, Client) {
    let world = World::start(&[SMALL, variables].concat()).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let mut healthy = world.guest().await;
    healthy.join("main").await;
    (world, supplier, healthy)
}

async fn closed(world: &World) -> f64 {
    world.metric("haat_sessions_closed_total", "slow_consumer").await
}

/// Says something, which a viewer then hears, until `enough`.
async fn talk(sender: &mut Client, listener: &mut Client, mut enough: impl AsyncFnMut() -> bool) -> usize {
    let text = "x".repeat(400);
    let mut said = 0;
    let talk = async {
        while !enough().await {
            let message = sender.say("main", &text).await;
            // Whoever is healthy has each message before the next is sent: nobody waits for the slow one.
            let heard = listener.event("chat:message").await;
            assert_eq!(heard[0], message);
            said += 1;
        }
    };
    patiently("end of the talk", talk).await;
    said
}

#[tokio::test]
async fn too_many_bytes_in_its_queue_close_it_and_others_go_on() {
    let _alone = ALONE.lock().await;
    let (world, mut supplier, mut healthy) = scene(&[]).await;
    let before = closed(&world).await;
    let mut slow = Wire::narrow_viewer(world.address, "main").await;
    let said = talk(&mut supplier, &mut healthy, async || closed(&world).await > before).await;
    let message = supplier.say("main", &"x".repeat(400)).await.to_string();
    healthy.event("chat:message").await;
    assert!(said * message.len() > 65_536, "{said} messages are less than its queue holds");
    // What had left before still arrives, and then the connection ends.
    assert!(!slow.rest().await.is_empty());
    assert_eq!(closed(&world).await, before + 1.0);
    supplier.say("main", "to whom it may concern").await;
    assert_eq!(healthy.event("chat:message").await[0]["text"], "to whom it may concern");
}

#[tokio::test]
async fn too_many_frames_in_its_queue_close_it() {
    let _alone = ALONE.lock().await;
    let (world, mut supplier, mut healthy) =
        scene(&[("HAAT_OUTBOX_MAX_BYTES", "10000000"), ("HAAT_OUTBOX_MAX_FRAMES", "20")]).await;
    let before = closed(&world).await;
    let mut slow = Wire::narrow_viewer(world.address, "main").await;
    talk(&mut supplier, &mut healthy, async || closed(&world).await > before).await;
    slow.rest().await;
}

#[tokio::test]
async fn a_message_that_waits_too_long_closes_it_though_nothing_more_comes() {
    let _alone = ALONE.lock().await;
    let (world, mut supplier, mut healthy) = scene(&[("HAAT_OUTBOX_MAX_AGE_SECONDS", "0.2")]).await;
    let before = closed(&world).await;
    let mut slow = Wire::narrow_viewer(world.address, "main").await;
    // More than the two sockets take, less than the queue does.
    let mut left = 60;
    talk(&mut supplier, &mut healthy, async || {
        left -= 1;
        left == 0
    })
    .await;
    patiently("end of the slow one", async { while closed(&world).await <= before {} }).await;
    slow.rest().await;
}

#[tokio::test]
async fn one_that_was_too_slow_comes_back_and_has_what_it_missed() {
    let _alone = ALONE.lock().await;
    let (world, mut supplier, mut healthy) = scene(&[]).await;
    let mut slow = Client::connect(world.address, &json!({})).await;
    let pid = slow.connected["pid"].clone();
    let sid = slow.connected["sid"].clone();
    let seen = slow.join("main").await["state"]["seq"].as_u64().unwrap();
    let before = closed(&world).await;
    let said = talk(&mut supplier, &mut healthy, async || closed(&world).await > before).await;
    slow.drop_connection().await;
    let mut back = Client::connect(world.address, &json!({ "pid": pid })).await;
    assert_eq!((&back.connected["sid"], &back.connected["pid"]), (&sid, &pid));
    let seqs: Vec<u64> = back.chats(said).await.iter().map(|chat| chat.0).collect();
    assert_eq!(seqs, (seen + 1..=seen + said as u64).collect::<Vec<u64>>());
}

/// It would come back to more than it can read, and be closed again, for ever.
#[tokio::test]
async fn one_that_is_too_slow_again_and_again_begins_anew() {
    let _alone = ALONE.lock().await;
    let (world, mut supplier, mut healthy) = scene(&[]).await;
    let mut slow = Client::connect(world.address, &json!({})).await;
    let (sid, pid) = (slow.connected["sid"].clone(), slow.connected["pid"].clone());
    slow.join("main").await;
    let mut returns = 0;
    loop {
        let before = closed(&world).await;
        talk(&mut supplier, &mut healthy, async || closed(&world).await > before).await;
        slow.drop_connection().await;
        slow = Client::connect(world.address, &json!({ "pid": pid })).await;
        if slow.connected["sid"] != sid {
            break;
        }
        returns += 1;
        // More than two, if it took more than a minute.
        assert!(returns < 20, "it comes back for ever");
    }
    assert!(returns >= 2, "only the third time is one too many");
    slow.join("main").await;
    supplier.say("main", "now").await;
    assert_eq!(slow.chats(1).await[0].1, "now");
}
