//! What staff do about what is said and who says it, on every gateway.

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::{Value, json};
use support::{Client, World, token};

#[tokio::test]
async fn a_deleted_message_is_shown_to_nobody_any_more() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    let message = viewer.say("main", "buy my coins").await;
    host.ok("chat:pin", json!({ "message": message["id"] })).await;
    assert_eq!(viewer.next("chat:pinned").await["message"]["text"], "buy my coins");
    host.ok("chat:delete", json!({ "message": message["id"] })).await;
    let deleted = viewer.next("chat:deleted").await;
    assert_eq!((&deleted["message"], &deleted["by"]["id"]), (&message["id"], &json!("supplier")));
    assert!(deleted["seq"].as_u64() > message["seq"].as_u64());

    let late = world.guest().await.join("main").await;
    assert_eq!((&late["history"], &late["state"]["pinnedMessage"]), (&json!([]), &Value::Null));
    assert_eq!(host.ok("stream:history", json!({})).await["messages"], json!([]));
    assert_eq!(host.code("chat:delete", json!({ "message": message["id"] })).await, "not_found");
    assert_eq!(host.code("chat:pin", json!({ "message": message["id"] })).await, "not_found");
}

#[tokio::test]
async fn a_message_that_is_older_than_what_a_gateway_keeps_is_found() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let first = host.say("main", "first").await;
    for number in 0..250 {
        host.say("main", &number.to_string()).await;
    }
    host.ok("chat:pin", json!({ "message": first["id"] })).await;
    assert_eq!(host.next("chat:pinned").await["message"]["text"], "first");
    host.ok("chat:unpin", json!({ "message": first["id"] })).await;
    assert_eq!(host.next("chat:pinned").await["message"], Value::Null);
    assert_eq!(host.code("chat:unpin", json!({ "message": first["id"] })).await, "not_found");
    host.ok("chat:delete", json!({ "message": first["id"] })).await;
    assert_eq!(host.code("chat:delete", json!({ "message": "m-no-such" })).await, "not_found");
}

#[tokio::test]
async fn two_moderators_who_delete_the_same_message_tell_of_it_once() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let message = host.say("main", "spam").await;
    let (mut first, mut second) = (one.member("m1", "moderator").await, other.member("m2", "moderator").await);
    let body = json!({ "stream": "main", "message": message["id"] });
    let (ask_first, ask_second) = (first.send("chat:delete", &body).await, second.send("chat:delete", &body).await);
    let (first, second) = (first.answer(ask_first).await, second.answer(ask_second).await);
    for reply in [first, second] {
        assert!(reply["ok"] == true || reply["error"]["code"] == "not_found", "{reply}");
    }
    host.say("main", "later").await;
    let seen = host.drain().await;
    assert_eq!(seen.iter().filter(|(name, _)| name == "chat:deleted").count(), 1, "{seen:?}");
}

/// As if another gateway had deleted it, and this one had not heard of it yet.
#[tokio::test]
async fn a_message_that_is_deleted_elsewhere_is_not_pinned_here() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let (spam, other) = (host.say("main", "spam").await, host.say("main", "other").await);
    let append = haat_adapter::Append {
        stream: "main".to_owned(),
        event: "unheard".to_owned(),
        data: vec![r#"{"stream":"main","seq":"#.to_owned(), "}".to_owned()],
        erase: vec![spam["seq"].as_u64().unwrap()],
        ..haat_adapter::Append::default()
    };
    haat_adapter::Store::append(&*world.engine, append).await.unwrap();
    assert_eq!(host.code("chat:pin", json!({ "message": spam["id"] })).await, "not_found");
    host.ok("chat:pin", json!({ "message": other["id"] })).await;
}

#[tokio::test]
async fn the_chat_is_slowed_down_for_viewers_on_all_gateways_together() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    host.ok("chat:mode", json!({ "slowSeconds": 3600 })).await;
    for client in [&mut here, &mut there] {
        let mode = client.next("chat:mode").await;
        assert_eq!((&mode["slowSeconds"], &mode["paused"]), (&json!(3600), &json!(false)));
    }
    let said = here.ok("chat:send", json!({ "text": "hello", "clientId": "1" })).await;
    let error = there.error("chat:send", json!({ "text": "hello again" })).await;
    assert_eq!(error["code"], "slow_mode");
    assert!(error["retryAfterMs"].as_u64().is_some_and(|wait| wait > 3_500_000), "{error}");
    let again = there.ok("chat:send", json!({ "text": "hello", "clientId": "1" })).await;
    assert_eq!(again["message"], said["message"], "a repetition is no second message");
    other.viewer("bo").await.say("main", "others may").await;
    for _ in 0..3 {
        host.say("main", "staff may").await;
    }
    assert_eq!(other.guest().await.join("main").await["state"]["mode"]["slowSeconds"], 3600);
    host.ok("chat:mode", json!({ "slowSeconds": 0 })).await;
    there.until("chat:mode", |mode| mode["slowSeconds"] == 0).await;
    there.say("main", "free again").await;
}

#[tokio::test]
async fn a_chat_for_members_takes_those_whose_token_names_the_stream() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    let auth = json!({ "token": token("bo", "viewer", &["main"]) });
    let mut member = Client::connect(world.address, &auth).await;
    member.join("main").await;
    host.ok("chat:mode", json!({ "membersOnly": true })).await;
    viewer.next("chat:mode").await;
    assert_eq!(viewer.code("chat:send", json!({ "text": "hi" })).await, "members_only");
    member.next("chat:mode").await;
    member.say("main", "hi").await;
    host.ok("chat:mode", json!({ "paused": true })).await;
    let mode = member.next("chat:mode").await;
    assert_eq!((&mode["membersOnly"], &mode["paused"]), (&json!(true), &json!(true)), "what is not named stays");
    assert_eq!(member.code("chat:send", json!({ "text": "hi" })).await, "paused");
    host.say("main", "staff may").await;
}

#[tokio::test]
async fn a_muted_user_is_told_and_heard_again_later() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    let mut bo = other.viewer("bo").await;
    host.ok("user:mute", json!({ "user": "ana", "seconds": 600, "reason": "too loud" })).await;
    for client in [&mut here, &mut there] {
        let muted = client.next("user:muted").await;
        assert_eq!((&muted["stream"], &muted["reason"]), (&json!("main"), &json!("too loud")));
        assert!(muted["until"].as_u64().is_some_and(|until| until / 1000 >= support::now() + 590), "{muted}");
        let error = client.error("chat:send", json!({ "text": "hi" })).await;
        assert_eq!(error["code"], "muted");
        assert!(error["retryAfterMs"].as_u64().is_some_and(|wait| wait > 590_000), "{error}");
    }
    bo.say("main", "hi").await;
    assert!(bo.drain().await.iter().all(|(name, _)| name != "user:muted"), "only the user is told");
    // A new connection does not help.
    assert_eq!(other.viewer("ana").await.code("chat:send", json!({ "text": "hi" })).await, "muted");
    host.ok("user:unmute", json!({ "user": "ana" })).await;
    let lifted = there.next("user:muted").await;
    assert!(lifted["until"].as_u64().is_some_and(|until| until / 1000 <= support::now() + 1), "{lifted}");
    there.say("main", "hi").await;
    assert_eq!(host.code("user:unmute", json!({ "user": "ana" })).await, "not_found");
    assert_eq!(host.code("user:unban", json!({ "user": "ana" })).await, "not_found");
}

#[tokio::test]
async fn a_mute_ends_by_itself() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("user:mute", json!({ "user": "ana", "seconds": 1 })).await;
    let error = viewer.error("chat:send", json!({ "text": "hi" })).await;
    let wait = error["retryAfterMs"].as_u64().expect("a time to wait");
    assert!(wait <= 1_001, "{error}");
    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    viewer.say("main", "hi").await;
}

#[tokio::test]
async fn a_banned_user_is_out_on_every_gateway_and_through_recovery() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let mut second = one.supplier(&["second"]).await;
    second.join("second").await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    there.join("second").await;
    // One whose connection broke before.
    let lost = other.viewer("ana").await;
    let pid = lost.connected["pid"].clone();
    lost.drop_connection().await;

    host.ok("user:ban", json!({ "user": "ana", "reason": "spam" })).await;
    for client in [&mut here, &mut there] {
        let banned = client.next("user:banned").await;
        assert_eq!((&banned["until"], &banned["reason"]), (&Value::Null, &json!("spam")));
        for command in ["chat:send", "stream:join", "stream:history"] {
            assert_eq!(client.code(command, json!({ "text": "hi" })).await, "banned", "{command}");
        }
    }
    host.say("main", "they are gone").await;
    second.say("second", "still here").await;
    let chats = there.chats(1).await;
    assert_eq!(chats[0].1, "still here", "nothing of the stream, and other streams are untouched");

    let auth = json!({ "token": token("ana", "viewer", &[]), "pid": pid });
    let mut back = Client::connect(other.address, &auth).await;
    assert_eq!(back.connected["pid"], pid, "the session is the same");
    assert_eq!(back.next("user:banned").await["reason"], "spam", "and is told what it missed of it");
    assert_eq!(back.code("chat:send", json!({ "text": "hi" })).await, "banned");
    host.say("main", "for others").await;
    back.join("second").await;
    second.say("second", "again").await;
    assert_eq!(back.chats(1).await[0].1, "again");

    host.ok("user:unban", json!({ "user": "ana" })).await;
    there.until_ok("stream:join").await;
    there.say("main", "hi").await;
}

impl Client {
    /// Repeats a command in `main` until it succeeds: other gateways may be told of a change a moment later.
    async fn until_ok(&mut self, command: &str) {
        support::patiently(command, async {
            while self.call(command, &json!({ "stream": "main" })).await["ok"] != true {}
        })
        .await;
    }
}

#[tokio::test]
async fn sanctions_reach_users_that_the_stream_has_not_seen_and_guests() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    host.ok("user:ban", json!({ "user": "stranger" })).await;
    let mut stranger = world.user("stranger").await;
    assert_eq!(stranger.code("stream:join", json!({})).await, "banned");
    let mut guest = world.guest().await;
    let me = guest.join("main").await["me"]["id"].clone();
    host.ok("user:ban", json!({ "user": me })).await;
    guest.next("user:banned").await;
    assert_eq!(guest.code("stream:join", json!({})).await, "banned");
}

#[tokio::test]
async fn neither_oneself_nor_the_supplier_can_be_sanctioned() {
    let world = World::start(&[]).await;
    let _host = world.host().await;
    let mut moderator = world.member("mod", "moderator").await;
    let mut other = world.member("mod-2", "moderator").await;
    for command in ["user:ban", "user:mute"] {
        assert_eq!(moderator.code(command, json!({ "user": "mod" })).await, "forbidden");
        assert_eq!(moderator.code(command, json!({ "user": "supplier" })).await, "forbidden");
    }
    moderator.ok("user:ban", json!({ "user": "mod-2" })).await;
    other.next("user:banned").await;
    assert_eq!(other.code("user:unban", json!({ "user": "mod-2" })).await, "banned");
}

/// As if another gateway had noted it, and its notice had been lost. A ban holds everywhere within 2 s; what a viewer gets
/// tells it here, and no clock.
async fn note_ban(engine: &Engine, user: &str) {
    let note = haat_adapter::Note {
        stream: "main".to_owned(),
        book: "moderation".to_owned(),
        key: format!("ban:{user}"),
        text: Some(r#"{"until":null}"#.to_owned()),
        ..haat_adapter::Note::default()
    };
    haat_adapter::Market::note(engine, note).await.expect("the store is there");
}

#[tokio::test]
async fn a_gateway_that_missed_the_notice_hears_of_a_ban_all_the_same() {
    let engine = Engine::new(Limits::default());
    let world = World::join(&engine, &[]).await;
    let _host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    note_ban(&engine, "ana").await;
    viewer.next("user:banned").await;
    assert_eq!(viewer.code("stream:join", json!({})).await, "banned");
}

/// The same where nobody watches on a socket: requests keep the stream known there.
#[tokio::test]
async fn a_gateway_that_only_serves_requests_hears_of_a_ban_too() {
    let engine = Engine::new(Limits::default());
    let world = World::join(&engine, &[]).await;
    world.done("stream:start", json!({})).await;
    let ana = token("ana", "viewer", &[]);
    assert_eq!(world.command(&ana, "stream:history", json!({})).await.status, 200);
    note_ban(&engine, "ana").await;
    support::patiently("the ban", async {
        while world.command(&ana, "stream:history", json!({})).await.status != 403 {}
    })
    .await;
}

#[tokio::test]
async fn a_ban_outlives_the_data_of_the_store() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("user:ban", json!({ "user": "ana" })).await;
    viewer.next("user:banned").await;
    world.engine.lose_data();
    host.say("main", "it goes on").await;
    let book = haat_adapter::Market::notes(&*world.engine, "main", "moderation").await.unwrap();
    assert_eq!(book.notes.len(), 1, "{book:?}");
    assert_eq!(viewer.code("stream:join", json!({})).await, "banned");
}

#[tokio::test]
async fn words_are_refused_or_masked_but_never_for_staff() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("words:set", json!({ "words": ["spam", "बुरा"], "action": "reject" })).await;
    assert_eq!(viewer.code("chat:send", json!({ "text": "SPAM for you" })).await, "rejected");
    assert_eq!(viewer.code("chat:send", json!({ "text": "वह बुरा है" })).await, "rejected");
    viewer.say("main", "spammers are no match").await;
    host.say("main", "spam from staff").await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "mask" })).await;
    assert_eq!(viewer.say("main", "more Spam here").await["text"], "more **** here");
    assert_eq!(viewer.say("main", "वह बुरा है").await["text"], "वह बुरा है", "the new list is the whole list");
    host.ok("words:set", json!({ "words": [], "action": "reject" })).await;
    assert_eq!(viewer.say("main", "spam").await["text"], "spam");
}

#[tokio::test]
async fn a_held_message_waits_for_staff() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let mut moderator = other.member("mod", "moderator").await;
    let mut viewer = one.viewer("ana").await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    for _ in 0..2 {
        let reply = viewer.ok("chat:send", json!({ "text": "is it spam?", "clientId": "1" })).await;
        assert_eq!((&reply["held"], &reply["message"]), (&json!(true), &Value::Null));
    }
    let held = moderator.next("chat:held").await;
    assert_eq!((&held["message"]["text"], &held["message"]["user"]["id"]), (&json!("is it spam?"), &json!("ana")));
    assert_eq!(held["message"]["seq"], Value::Null);
    assert_eq!(host.next("chat:held").await, held);
    let mut late = one.member("mod-2", "moderator").await;
    assert_eq!(late.next("chat:held").await, held, "who joins later is shown what waits");

    let id = &held["message"]["id"];
    moderator.ok("chat:approve", json!({ "message": id })).await;
    let message = viewer.next("chat:message").await;
    assert_eq!((&message["text"], &message["id"], &message["user"]["id"]), (&json!("is it spam?"), id, &json!("ana")));
    moderator.ok("chat:approve", json!({ "message": id })).await;
    assert_eq!(host.code("chat:reject", json!({ "message": id })).await, "conflict");
    // Neither the repetition of the command nor that of the message sends it twice.
    viewer.ok("chat:send", json!({ "text": "is it spam?", "clientId": "1" })).await;
    host.say("main", "next").await;
    assert_eq!(viewer.chats(1).await[0].1, "next");
    assert!(host.drain().await.iter().all(|(name, _)| name != "chat:held"));
}

#[tokio::test]
async fn staff_who_come_back_see_what_was_held_meanwhile() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    let moderator = world.member("mo", "moderator").await;
    let pid = moderator.connected["pid"].clone();
    moderator.drop_connection().await;
    let mut viewer = world.viewer("ana").await;
    assert_eq!(viewer.ok("chat:send", json!({ "text": "spam" })).await["held"], true);
    let auth = json!({ "token": token("mo", "moderator", &["main"]), "pid": pid });
    let mut back = Client::connect(world.address, &auth).await;
    assert_eq!(back.connected["pid"], pid, "the session is the same");
    let held = back.next("chat:held").await;
    assert_eq!(held["message"]["text"], "spam");
    back.ok("chat:approve", json!({ "message": held["message"]["id"] })).await;
}

#[tokio::test]
async fn a_rejected_message_is_gone() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    viewer.ok("chat:send", json!({ "text": "spam" })).await;
    let id = host.next("chat:held").await["message"]["id"].clone();
    host.ok("chat:reject", json!({ "message": id })).await;
    assert_eq!(host.code("chat:approve", json!({ "message": id })).await, "not_found");
    assert_eq!(host.code("chat:reject", json!({ "message": id })).await, "not_found");
    assert_eq!(host.code("chat:approve", json!({ "message": "m-none" })).await, "not_found");
    host.say("main", "next").await;
    assert_eq!(viewer.chats(1).await[0].1, "next");
    assert!(viewer.drain().await.iter().all(|(name, _)| name != "chat:held"), "viewers are not told");
}

#[tokio::test]
async fn what_staff_do_is_in_the_ledger() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut moderator = world.member("mod", "moderator").await;
    let message = moderator.say("main", "one").await;
    moderator.ok("chat:delete", json!({ "message": message["id"] })).await;
    moderator.ok("user:ban", json!({ "user": "ana", "reason": "spam" })).await;
    moderator.ok("user:unban", json!({ "user": "ana" })).await;
    moderator.ok("chat:mode", json!({ "paused": true })).await;
    host.ok("words:set", json!({ "words": ["x"], "action": "mask" })).await;
    let ledger = haat_adapter::Market::ledger(&*world.engine, "main", "", 100).await.unwrap();
    let seen: Vec<(&str, Value)> = ledger
        .iter()
        .map(|record| (&*record.kind, serde_json::from_str::<Value>(&record.by).unwrap()["id"].clone()))
        .collect();
    let (by_host, by_mod) = (json!("supplier"), json!("mod"));
    let wanted = [
        ("stream:started", &by_host),
        ("chat:message", &by_mod),
        ("chat:deleted", &by_mod),
        ("user:ban", &by_mod),
        ("user:unban", &by_mod),
        ("chat:mode", &by_mod),
        ("words:set", &by_host),
    ];
    let wanted: Vec<(&str, Value)> = wanted.iter().map(|(kind, by)| (*kind, (*by).clone())).collect();
    assert_eq!(seen, wanted);
    let ban: Value = serde_json::from_str(&ledger[3].data).unwrap();
    assert_eq!((&ban["user"], &ban["reason"]), (&json!("ana"), &json!("spam")));
}

#[tokio::test]
async fn bad_moderation_is_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let long = "x".repeat(200);
    let table = [
        ("chat:mode", json!({ "slowSeconds": -1 }), "bad_request", "slowSeconds"),
        ("chat:mode", json!({ "slowSeconds": 1.5 }), "bad_request", "slowSeconds"),
        ("chat:mode", json!({ "slowSeconds": 3601 }), "bad_request", "slowSeconds"),
        ("chat:mode", json!({ "paused": "yes" }), "bad_request", "paused"),
        ("chat:mode", json!({ "membersOnly": null }), "bad_request", "membersOnly"),
        ("chat:delete", json!({}), "bad_request", "message"),
        ("chat:delete", json!({ "message": 5 }), "bad_request", "message"),
        ("user:mute", json!({}), "bad_request", "user"),
        ("user:mute", json!({ "user": "" }), "bad_request", "user"),
        ("user:mute", json!({ "user": long }), "bad_request", "user"),
        ("user:mute", json!({ "user": "a\nb" }), "bad_request", "user"),
        ("user:mute", json!({ "user": "a", "seconds": 0 }), "bad_request", "seconds"),
        ("user:mute", json!({ "user": "a", "seconds": 1e12 }), "bad_request", "seconds"),
        ("user:ban", json!({ "user": "a", "seconds": "60" }), "bad_request", "seconds"),
        ("user:ban", json!({ "user": "a", "reason": "x".repeat(201) }), "too_large", "reason"),
        ("words:set", json!({ "action": "mask" }), "bad_request", "words"),
        ("words:set", json!({ "words": "spam", "action": "mask" }), "bad_request", "words"),
        ("words:set", json!({ "words": [5], "action": "mask" }), "bad_request", "words"),
        ("words:set", json!({ "words": [" "], "action": "mask" }), "bad_request", "words"),
        ("words:set", json!({ "words": ["x".repeat(65)], "action": "mask" }), "too_large", "words"),
        ("words:set", json!({ "words": vec!["x"; 1001], "action": "mask" }), "too_large", "words"),
        ("words:set", json!({ "words": ["x"], "action": "burn" }), "bad_request", "action"),
        ("words:set", json!({ "words": ["x"] }), "bad_request", "action"),
        ("notice:send", json!({ "text": " " }), "bad_request", "text"),
        ("notice:send", json!({ "text": "x".repeat(501) }), "too_large", "text"),
    ];
    for (command, body, code, field) in table {
        let error = host.error(command, body.clone()).await;
        assert_eq!(error["code"], code, "{command} {body}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{command} {body}: {error}");
    }
    assert_eq!(host.join("main").await["state"]["mode"]["paused"], false, "nothing has changed");
}

#[tokio::test]
async fn a_notice_is_seen_by_all_and_by_those_who_come_later() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut viewer = world.viewer("ana").await;
    host.ok("notice:send", json!({ "text": " Back in five minutes " })).await;
    let notice = viewer.next("notice").await;
    assert_eq!((&notice["text"], &notice["stream"]), (&json!("Back in five minutes"), &json!("main")));
    assert!(notice["seq"].is_u64());
    assert_eq!(world.guest().await.join("main").await["state"]["notice"], "Back in five minutes");
}
