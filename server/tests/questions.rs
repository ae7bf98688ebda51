//! Questions of viewers, the support of others, and what staff make of them.

mod support;

use haat_adapter::{LogRead, Position, Store};
use serde_json::{Value, json};
use support::World;

#[tokio::test]
async fn a_question_is_asked_supported_and_answered() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut ana = world.viewer("ana").await;
    let asked = ana.ok("question:ask", json!({ "text": " Is it cotton? " })).await["question"].clone();
    assert_eq!(
        (&asked["text"], &asked["user"]["id"], &asked["votes"], &asked["status"]),
        (&json!("Is it cotton?"), &json!("ana"), &json!(0), &json!("open"))
    );
    let told = host.next("question:asked").await;
    assert_eq!((&told["question"], told["seq"].is_u64()), (&asked, true));
    let id = &asked["id"];

    for (user, votes) in [("bo", 1), ("chi", 2)] {
        let mut viewer = world.viewer(user).await;
        let question = viewer.ok("question:upvote", json!({ "question": id })).await["question"].clone();
        assert_eq!((&question["votes"], &question["text"]), (&json!(votes), &asked["text"]));
        assert_eq!(viewer.code("question:upvote", json!({ "question": id })).await, "conflict");
    }
    let updated = host.until("question:updated", |updated| updated["question"]["votes"] == 2).await;
    assert_eq!((&updated["question"]["text"], updated["seq"].is_u64()), (&asked["text"], true));

    host.ok("question:answer", json!({ "question": id, "text": "Yes, all of it." })).await;
    let answered = ana.until("question:updated", |updated| updated["question"]["status"] == "answered").await;
    let question = &answered["question"];
    assert_eq!((&question["answer"], &question["votes"]), (&json!("Yes, all of it."), &json!(2)));
    assert_eq!(ana.code("question:upvote", json!({ "question": id })).await, "closed");
    let state = world.guest().await.join("main").await["state"]["questions"].clone();
    assert_eq!((&state[0]["answer"], &state[0]["votes"], &state[0]["id"]), (&question["answer"], &json!(2), id));
}

#[tokio::test]
async fn a_crowd_that_votes_is_no_crowd_of_messages() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let id = world.viewer("ana").await.ok("question:ask", json!({ "text": "When?" })).await["question"]["id"].clone();
    for number in 0..40 {
        world.viewer(&format!("user-{number}")).await.ok("question:upvote", json!({ "question": id })).await;
    }
    host.until("question:updated", |updated| updated["question"]["votes"] == 40).await;
    let read = world.engine.read("main", Position::default(), 1_000).await.unwrap();
    let LogRead::Entries(entries) = read else { panic!("{read:?}") };
    let updates = entries.iter().filter(|entry| &*entry.event == "question:updated").count();
    assert!(updates < 15, "{updates} messages of 40 votes");
}

#[tokio::test]
async fn a_hidden_question_is_gone_from_state_and_log() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut ana = world.viewer("ana").await;
    let id = ana.ok("question:ask", json!({ "text": "call 555-0100" })).await["question"]["id"].clone();
    let other = ana.ok("question:ask", json!({ "text": "What size?" })).await["question"]["id"].clone();
    world.viewer("bo").await.ok("question:upvote", json!({ "question": id })).await;
    host.until("question:updated", |updated| updated["question"]["votes"] == 1).await;
    host.ok("question:hide", json!({ "question": id })).await;
    let hidden = ana.until("question:updated", |updated| updated["question"]["status"] == "hidden").await;
    assert_eq!(hidden["question"], json!({ "id": id, "status": "hidden" }));
    let state = world.guest().await.join("main").await["state"]["questions"].clone();
    assert_eq!((state.as_array().map(Vec::len), &state[0]["id"]), (Some(1), &other));
    let read = world.engine.read("main", Position::default(), 1_000).await.unwrap();
    let LogRead::Entries(entries) = read else { panic!("{read:?}") };
    assert!(entries.iter().all(|entry| !entry.data.contains("555-0100")), "{entries:?}");
    for command in ["question:hide", "question:answer"] {
        assert_eq!(host.code(command, json!({ "question": id })).await, "not_found");
    }
    assert_eq!(ana.code("question:upvote", json!({ "question": id })).await, "not_found");
}

#[tokio::test]
async fn questions_follow_the_rules_of_the_chat() {
    let world = World::start(&[("HAAT_LIMITS_CHAT_PER_SECOND", "0.001"), ("HAAT_LIMITS_CHAT_BURST", "3")]).await;
    let mut host = world.host().await;
    let mut ana = world.viewer("ana").await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    assert_eq!(ana.code("question:ask", json!({ "text": "spam?" })).await, "rejected");
    host.ok("user:mute", json!({ "user": "ana" })).await;
    assert_eq!(ana.code("question:ask", json!({ "text": "May I?" })).await, "muted");
    host.ok("user:unmute", json!({ "user": "ana" })).await;
    ana.until("user:muted", |muted| muted["until"].is_u64()).await;
    ana.ok("question:ask", json!({ "text": "May I?" })).await;
    let error = ana.error("question:ask", json!({ "text": "And now?" })).await;
    assert_eq!((&error["code"], error["retryAfterMs"].is_u64()), (&json!("rate_limited"), true));
    let mut bo = world.viewer("bo").await;
    host.ok("chat:mode", json!({ "paused": true })).await;
    bo.until("chat:mode", |mode| mode["paused"] == true).await;
    assert_eq!(bo.code("question:ask", json!({ "text": "May I?" })).await, "paused");
}

#[tokio::test]
async fn many_open_questions_keep_others_out_until_some_are_answered() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut first = Value::Null;
    for number in 0..200 {
        let asked = host.ok("question:ask", json!({ "text": format!("Question {number}") })).await;
        first = if number == 0 { asked["question"]["id"].clone() } else { first };
    }
    host.until("question:asked", |asked| asked["question"]["text"] == "Question 199").await;
    assert_eq!(host.code("question:ask", json!({ "text": "One more" })).await, "limit_reached");
    host.ok("question:answer", json!({ "question": first })).await;
    host.until("question:updated", |updated| updated["question"]["id"] == first).await;
    host.ok("question:ask", json!({ "text": "One more" })).await;
    let state = world.guest().await.join("main").await["state"]["questions"].clone();
    let ids: Vec<&Value> = state.as_array().unwrap().iter().map(|question| &question["id"]).collect();
    assert!(ids.len() == 200 && !ids.contains(&&first));
}

#[tokio::test]
async fn bad_questions_are_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let table = [
        ("question:ask", json!({}), "bad_request"),
        ("question:ask", json!({ "text": "\u{200b}" }), "bad_request"),
        ("question:ask", json!({ "text": ["hi"] }), "bad_request"),
        ("question:ask", json!({ "text": "x".repeat(501) }), "too_large"),
        ("question:upvote", json!({}), "bad_request"),
        ("question:upvote", json!({ "question": "../x" }), "bad_request"),
        ("question:upvote", json!({ "question": "none" }), "not_found"),
        ("question:answer", json!({ "question": "none" }), "not_found"),
        ("question:answer", json!({ "question": "none", "text": "" }), "bad_request"),
        ("question:hide", json!({ "question": 5 }), "bad_request"),
    ];
    for (command, body, code) in table {
        assert_eq!(host.code(command, body.clone()).await, code, "{command} {body}");
    }
}
