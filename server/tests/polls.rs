//! Polls: a vote for each user, a tally for everybody, an end by the server's clock.

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::{Value, json};
use support::World;

fn poll(id: &str) -> Value {
    json!({ "id": id, "question": "Which colour next?", "options": ["Red", "Blue", "Green"] })
}

#[tokio::test]
async fn votes_of_all_gateways_are_one_tally() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let mut watcher = other.viewer("watcher").await;
    let opened = host.ok("poll:open", json!({ "poll": poll("p1") })).await["poll"].clone();
    assert_eq!((&opened["tally"], &opened["votes"], &opened["status"]), (&json!([0, 0, 0]), &json!(0), &json!("open")));
    let told = watcher.next("poll:opened").await;
    assert_eq!((&told["poll"], told["seq"].is_u64()), (&opened, true));

    for (user, option) in [("a", 1), ("b", 1), ("c", 2)] {
        let world = if user == "b" { &other } else { &one };
        let mut viewer = world.viewer(user).await;
        viewer.ok("poll:vote", json!({ "poll": "p1", "option": option })).await;
        assert_eq!(viewer.code("poll:vote", json!({ "poll": "p1", "option": 0 })).await, "conflict");
    }
    let tally = watcher.until("poll:tally", |tally| tally["votes"] == 3).await;
    assert_eq!((&tally["poll"], &tally["tally"]), (&json!("p1"), &json!([0, 2, 1])));
    assert_eq!(tally["seq"], Value::Null, "a number that changes by itself is no message");
    let late = other.viewer("late").await.join("main").await["state"]["polls"].clone();
    assert_eq!((&late[0]["tally"], &late[0]["votes"]), (&json!([0, 2, 1]), &json!(3)));

    let closed = host.ok("poll:close", json!({ "poll": "p1" })).await["poll"].clone();
    assert_eq!(
        (&closed["tally"], &closed["votes"], &closed["status"]),
        (&json!([0, 2, 1]), &json!(3), &json!("closed"))
    );
    assert_eq!(watcher.next("poll:closed").await["poll"], closed);
    assert_eq!(watcher.code("poll:vote", json!({ "poll": "p1", "option": 0 })).await, "closed");
    assert_eq!(host.code("poll:close", json!({ "poll": "p1" })).await, "closed");
    assert_eq!(host.code("poll:open", json!({ "poll": poll("p1") })).await, "conflict");
}

#[tokio::test]
async fn a_poll_closes_by_itself_once() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[("HAAT_SHARDS", "4")]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let mut watchers = Vec::new();
    for number in 0..4 {
        let world = if number % 2 == 0 { &one } else { &other };
        watchers.push(world.viewer(&format!("w{number}")).await);
    }
    let mut described = poll("p1");
    described["durationMs"] = json!(300);
    let opened = host.ok("poll:open", json!({ "poll": described })).await["poll"].clone();
    assert!(opened["endsAt"].as_u64() > opened["at"].as_u64(), "{opened}");
    watchers[0].ok("poll:vote", json!({ "poll": "p1", "option": 0 })).await;
    let closed = watchers[0].next("poll:closed").await;
    assert_eq!((&closed["poll"]["tally"], &closed["poll"]["status"]), (&json!([1, 0, 0]), &json!("closed")));
    for watcher in &mut watchers[1..] {
        assert_eq!(watcher.next("poll:closed").await, closed);
    }
    assert_eq!(watchers[1].code("poll:vote", json!({ "poll": "p1", "option": 0 })).await, "closed");
    host.say("main", "after").await;
    assert!(watchers[1].drain().await.iter().all(|(name, _)| name != "poll:closed"));
}

#[tokio::test]
async fn the_end_of_a_stream_closes_its_polls() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("poll:open", json!({ "poll": poll("p1") })).await;
    host.ok("stream:end", json!({})).await;
    let closed = viewer.next("poll:closed").await;
    let ended = viewer.next("stream:ended").await;
    assert!(closed["seq"].as_u64() < ended["seq"].as_u64());
    assert_eq!(ended["state"]["polls"][0]["status"], "closed");
    assert_eq!(viewer.code("poll:vote", json!({ "poll": "p1", "option": 0 })).await, "ended");
}

#[tokio::test]
async fn old_polls_make_room_for_new_ones() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    for number in 0..20 {
        host.ok("poll:open", json!({ "poll": poll(&format!("p{number}")) })).await;
    }
    assert_eq!(host.code("poll:open", json!({ "poll": poll("p20") })).await, "limit_reached");
    host.ok("poll:close", json!({ "poll": "p7" })).await;
    host.ok("poll:open", json!({ "poll": poll("p20") })).await;
    let state = world.guest().await.join("main").await["state"].clone();
    let ids: Vec<&str> = state["polls"].as_array().unwrap().iter().map(|poll| poll["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids.contains(&"p7"), ids.last()), (20, false, Some(&"p20")));
}

#[tokio::test]
async fn what_is_no_poll_or_vote_is_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let with = |name: &str, value: Value| {
        let mut poll = poll("p1");
        poll[name] = value;
        json!({ "poll": poll })
    };
    let table = [
        (json!({}), "poll"),
        (json!({ "poll": "p1" }), "poll"),
        (with("id", json!("a b")), "poll.id"),
        (with("question", json!(" ")), "poll.question"),
        (with("options", json!(["one"])), "poll.options"),
        (with("options", json!(["1", "2", "3", "4", "5", "6", "7"])), "poll.options"),
        (with("options", json!(["one", ""])), "poll.options"),
        (with("options", json!("one,two")), "poll"),
        (with("durationMs", json!(0)), "poll.durationMs"),
        (with("durationMs", json!(-5)), "poll"),
        (with("durationMs", json!(1e15)), "poll"),
    ];
    for (body, field) in table {
        let error = host.error("poll:open", body.clone()).await;
        assert_eq!(error["code"], "bad_request", "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{body}: {error}");
    }
    host.ok("poll:open", json!({ "poll": poll("p1") })).await;
    let mut viewer = world.viewer("ana").await;
    for option in [json!(3), json!(-1), json!(0.5), json!("0"), Value::Null] {
        let body = json!({ "poll": "p1", "option": option });
        assert_eq!(viewer.code("poll:vote", body.clone()).await, "bad_request", "{body}");
    }
    assert_eq!(viewer.code("poll:vote", json!({ "poll": "p2", "option": 0 })).await, "not_found");
    assert_eq!(viewer.code("poll:vote", json!({ "poll": { "id": "p1" }, "option": 0 })).await, "bad_request");
    viewer.ok("poll:vote", json!({ "poll": "p1", "option": 2 })).await;
}
