//! Limits: what is too much is answered with when to try again, and 0 switches a limit off.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, World, token};

/// So slow that nothing comes back while a test runs.
const SLOW: &str = "0.01";

/// Sends the command so often, all at once, and returns the answers' error codes; `ok` for none.
async fn codes(client: &mut Client, command: &str, body: &Value, times: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..times {
        ids.push(client.send(command, body).await);
    }
    let mut codes = Vec::new();
    for id in ids {
        let answer = client.answer(id).await;
        if answer["error"]["code"] == "rate_limited" {
            let after = answer["error"]["retryAfterMs"].as_u64().expect("when to try again");
            assert!((1..=1_000_000).contains(&after), "{answer}");
        }
        codes.push(answer["error"]["code"].as_str().unwrap_or("ok").to_owned());
    }
    codes
}

fn split(passed: &str, most: usize, times: usize) -> Vec<String> {
    (0..times).map(|number| if number < most { passed } else { "rate_limited" }.to_owned()).collect()
}

#[tokio::test]
async fn a_connection_sends_so_many_events() {
    let world = World::start(&[("HAAT_LIMITS_EVENTS_PER_SECOND", SLOW), ("HAAT_LIMITS_EVENTS_BURST", "3")]).await;
    let mut asha = world.user("asha").await;
    assert_eq!(codes(&mut asha, "no:such", &json!({}), 5).await, split("not_found", 3, 5));
    // Each connection has its own, and it was not closed.
    let mut again = world.user("asha").await;
    assert_eq!(codes(&mut again, "no:such", &json!({}), 5).await, split("not_found", 3, 5));
    assert_eq!(codes(&mut asha, "no:such", &json!({}), 1).await, ["rate_limited"]);
}

#[tokio::test]
async fn what_is_no_command_counts_as_one() {
    let world = World::start(&[("HAAT_LIMITS_EVENTS_PER_SECOND", SLOW), ("HAAT_LIMITS_EVENTS_BURST", "3")]).await;
    let mut asha = world.user("asha").await;
    for _ in 0..5 {
        asha.send_text(r#"42["no:object"]"#).await;
    }
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(asha.event("error:command").await[0]["error"]["code"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes, split("bad_request", 3, 5));
}

#[tokio::test]
async fn a_user_says_so_much_on_all_connections() {
    let world = World::start(&[("HAAT_LIMITS_CHAT_PER_SECOND", SLOW), ("HAAT_LIMITS_CHAT_BURST", "4")]).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let (mut one, mut two) = (world.user("asha").await, world.user("asha").await);
    let mut ravi = world.user("ravi").await;
    for client in [&mut one, &mut two, &mut ravi] {
        client.join("main").await;
    }
    let body = json!({ "stream": "main", "text": "hello" });
    assert_eq!(codes(&mut one, "chat:send", &body, 3).await, split("ok", 3, 3));
    assert_eq!(codes(&mut two, "chat:send", &body, 3).await, split("ok", 1, 3));
    assert_eq!(codes(&mut ravi, "chat:send", &body, 5).await, split("ok", 4, 5));
    // Staff are not slowed down as viewers are.
    assert_eq!(codes(&mut supplier, "chat:send", &body, 10).await, split("ok", 10, 10));
}

#[tokio::test]
async fn a_connection_joins_so_often() {
    let world = World::start(&[("HAAT_LIMITS_JOINS_PER_SECOND", SLOW), ("HAAT_LIMITS_JOINS_BURST", "2")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut asha = world.user("asha").await;
    assert_eq!(codes(&mut asha, "stream:join", &json!({ "stream": "main" }), 4).await, split("ok", 2, 4));
    // Other commands go on.
    assert_eq!(codes(&mut asha, "stream:history", &json!({ "stream": "main" }), 4).await, split("ok", 4, 4));
}

#[tokio::test]
async fn a_user_taps_no_faster_over_http() {
    let world =
        World::start(&[("HAAT_LIMITS_REACTIONS_PER_SECOND", SLOW), ("HAAT_LIMITS_REACTIONS_BURST", "60")]).await;
    let _supplier = world.supplier(&["main"]).await;
    let taps = json!({ "kind": "heart", "count": 40 });
    let (asha, ravi) = (token("asha", "viewer", &[]), token("ravi", "viewer", &[]));
    assert_eq!(world.command(&asha, "reaction:send", taps.clone()).await.status, 200);
    assert_eq!(world.command(&asha, "reaction:send", taps.clone()).await.status, 429, "20 are left");
    assert_eq!(world.command(&asha, "reaction:send", json!({ "kind": "heart", "count": 20 })).await.status, 200);
    assert_eq!(world.command(&ravi, "reaction:send", taps.clone()).await.status, 200, "another user's are others");
    // A service tells of the taps of many.
    for _ in 0..3 {
        world.done("reaction:send", taps.clone()).await;
    }
}

#[tokio::test]
async fn staff_have_a_limit_of_their_own() {
    let slow = [
        ("HAAT_LIMITS_STAFF_PER_SECOND", SLOW),
        ("HAAT_LIMITS_STAFF_BURST", "5"),
        ("HAAT_LIMITS_EVENTS_PER_SECOND", SLOW),
        ("HAAT_LIMITS_EVENTS_BURST", "1"),
    ];
    let world = World::start(&slow).await;
    let staff = token("meera", "supplier", &["main"]);
    let mut supplier = Client::connect(world.address, &json!({ "token": staff })).await;
    assert_eq!(codes(&mut supplier, "no:such", &json!({}), 7).await, split("not_found", 5, 7));
}

#[tokio::test]
async fn a_connection_is_in_so_many_streams() {
    let world = World::start(&[("HAAT_LIMITS_ROOMS", "2")]).await;
    let _supplier = world.supplier(&["a", "b", "c"]).await;
    let mut asha = world.user("asha").await;
    asha.join("a").await;
    asha.join("b").await;
    asha.join("b").await;
    assert_eq!(asha.call("stream:join", &json!({ "stream": "c" })).await["error"]["code"], "limit_reached");
    assert_eq!(asha.call("stream:leave", &json!({ "stream": "a" })).await["ok"], true);
    asha.join("c").await;
}

#[tokio::test]
async fn whoever_waits_as_long_as_told_may_go_on() {
    let world = World::start(&[("HAAT_LIMITS_EVENTS_PER_SECOND", "5"), ("HAAT_LIMITS_EVENTS_BURST", "1")]).await;
    let mut asha = world.user("asha").await;
    // The first may find the bucket full again by the time of the second: then the third is refused, or the fourth …
    let refused = loop {
        let answer = asha.call("no:such", &json!({})).await;
        if answer["error"]["code"] == "rate_limited" {
            break answer;
        }
    };
    let after = refused["error"]["retryAfterMs"].as_u64().unwrap();
    assert!(after <= 201, "{refused}");
    tokio::time::sleep(Duration::from_millis(after)).await;
    assert_eq!(asha.call("no:such", &json!({})).await["error"]["code"], "not_found");
}

#[tokio::test]
async fn nothing_is_limited_that_is_switched_off() {
    // As the servers of all other tests are.
    let world = World::start(&[]).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut asha = world.user("asha").await;
    for (command, body) in [
        ("stream:join", json!({ "stream": "main", "history": 0 })),
        ("chat:send", json!({ "stream": "main", "text": "hello" })),
        ("stream:history", json!({ "stream": "main", "limit": 1 })),
    ] {
        assert_eq!(codes(&mut asha, command, &body, 300).await, split("ok", 300, 300));
    }
}
