//! Every command and every role: who may, who may not, and why. The lists here are the contract's, not the code's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;

use haat_server::live::table::COMMANDS;
use serde_json::{Value, json};
use support::{Client, World, live::product, token};

/// Whoever has joined, and over HTTP whoever has a token.
const AUDIENCE: &[&str] = &["reaction:send"];
/// The same, guests aside.
const MEMBERS: &[&str] = &["chat:send", "question:ask", "question:upvote", "poll:vote", "drop:claim", "wheel:spin"];
/// The stream's supplier, and services.
const SUPPLIER: &[&str] = &[
    "stream:start",
    "stream:update",
    "stream:end",
    "product:put",
    "product:remove",
    "product:pin",
    "product:unpin",
    "drop:open",
    "drop:close",
    "drop:confirm",
    "drop:release",
    "wheel:open",
    "wheel:close",
    "poll:open",
    "poll:close",
];
/// Its moderators too.
const STAFF: &[&str] = &[
    "question:answer",
    "question:hide",
    "notice:send",
    "chat:delete",
    "chat:pin",
    "chat:unpin",
    "chat:mode",
    "chat:approve",
    "chat:reject",
    "user:mute",
    "user:unmute",
    "user:ban",
    "user:unban",
    "words:set",
    "stream:stats",
];
/// Everybody.
const ALL: &[&str] = &["stream:history", "stream:join", "stream:leave", "auth:refresh"];

/// A body that is well formed, and changes nothing that matters here.
fn body(command: &str) -> Value {
    let price = json!({ "amount": 1, "currency": "INR" });
    match command {
        "chat:send" | "question:ask" | "notice:send" => json!({ "text": "hi" }),
        "reaction:send" => json!({ "kind": "heart" }),
        "poll:vote" => json!({ "poll": "none", "option": 0 }),
        "product:put" => json!({ "product": product("p1") }),
        "product:remove" | "product:pin" => json!({ "product": "none" }),
        "drop:open" => json!({ "drop": { "id": "d1", "product": "none", "price": price, "stock": 1 } }),
        "drop:close" | "drop:claim" => json!({ "drop": "none" }),
        "drop:confirm" | "drop:release" => json!({ "drop": "none", "claim": "none" }),
        "wheel:open" => json!({ "wheel": { "id": "w1", "title": "W", "prizes": [] } }),
        "wheel:close" | "wheel:spin" => json!({ "wheel": "none" }),
        "poll:open" => json!({ "poll": { "id": "p1", "question": "Q", "options": [] } }),
        "poll:close" => json!({ "poll": "none" }),
        "question:upvote" | "question:answer" | "question:hide" => json!({ "question": "none" }),
        "chat:delete" | "chat:pin" | "chat:unpin" | "chat:approve" | "chat:reject" => json!({ "message": "none" }),
        "user:mute" | "user:ban" | "user:unmute" | "user:unban" => json!({ "user": "stranger" }),
        "words:set" => json!({ "words": [], "action": "mask" }),
        "auth:refresh" => json!({ "token": "x" }),
        _ => json!({}),
    }
}

/// What keeps somebody from a command before anything else does.
fn refusal(code: &str) -> bool {
    ["unauthorized", "forbidden", "not_joined", "banned"].contains(&code)
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Guest,
    Stranger,
    Viewer,
    OtherSupplier,
    OtherModerator,
    OtherService,
    Moderator,
    Supplier,
    Service,
}

/// What keeps the asker from the command, as the contract has it.
fn wanted(asker: Asker, command: &str, http: bool) -> Option<&'static str> {
    use Asker::*;
    let staff = match asker {
        Moderator => STAFF.contains(&command),
        Supplier | Service => STAFF.contains(&command) || SUPPLIER.contains(&command),
        _ => false,
    };
    if ALL.contains(&command) || staff {
        return None;
    }
    if STAFF.contains(&command) || SUPPLIER.contains(&command) {
        return Some(if asker == Guest { "unauthorized" } else { "forbidden" });
    }
    match asker {
        Guest if MEMBERS.contains(&command) => Some("unauthorized"),
        Stranger | OtherService if !http => Some("not_joined"),
        _ => None,
    }
}

#[test]
fn every_command_is_in_one_list() {
    let lists = [ALL, AUDIENCE, MEMBERS, SUPPLIER, STAFF].concat();
    let (listed, known): (BTreeSet<&str>, BTreeSet<&str>) =
        (lists.iter().copied().collect(), COMMANDS.iter().map(|command| command.name).collect());
    assert_eq!(listed, known);
    assert_eq!(lists.len(), listed.len(), "each of them once");
}

async fn check(asker: Asker, client: &mut Client) {
    for command in [AUDIENCE, MEMBERS, SUPPLIER, STAFF].concat() {
        // Ends are looked at elsewhere, since nothing follows them.
        if command == "stream:end" && wanted(asker, command, false).is_none() {
            continue;
        }
        let mut body = body(command);
        body["stream"] = json!("main");
        let reply = client.call(command, &body).await;
        let code = reply["error"]["code"].as_str().unwrap_or("ok");
        match wanted(asker, command, false) {
            Some(wanted) => assert_eq!(code, wanted, "{asker:?} {command}: {reply}"),
            None => assert!(!refusal(code), "{asker:?} {command}: {reply}"),
        }
    }
}

#[tokio::test]
async fn every_role_may_what_the_contract_says_on_sockets() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut guest = world.guest().await;
    guest.join("main").await;
    check(Asker::Guest, &mut guest).await;
    check(Asker::Stranger, &mut world.user("stranger-2").await).await;
    check(Asker::Viewer, &mut world.viewer("ana").await).await;
    for (asker, role) in [(Asker::OtherSupplier, "supplier"), (Asker::OtherModerator, "moderator")] {
        let auth = json!({ "token": token(&format!("other-{role}"), role, &["other"]) });
        let mut other = Client::connect(world.address, &auth).await;
        other.join("main").await;
        check(asker, &mut other).await;
    }
    let auth = json!({ "token": token("other-shop", "service", &["other"]) });
    check(Asker::OtherService, &mut Client::connect(world.address, &auth).await).await;
    check(Asker::Moderator, &mut world.member("mod", "moderator").await).await;
    // A service need not join.
    let auth = json!({ "token": token("shop", "service", &["main"]) });
    check(Asker::Service, &mut Client::connect(world.address, &auth).await).await;
    check(Asker::Supplier, &mut host).await;
    host.ok("stream:end", json!({})).await;
}

#[tokio::test]
async fn every_role_may_what_the_contract_says_over_http() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    let askers = [
        (Asker::Viewer, token("ana", "viewer", &[])),
        (Asker::Stranger, token("bo", "viewer", &[])),
        (Asker::OtherSupplier, token("rival", "supplier", &["other"])),
        (Asker::OtherModerator, token("guard", "moderator", &["other"])),
        (Asker::OtherService, token("other-shop", "service", &["other"])),
        (Asker::Moderator, token("mod", "moderator", &["main"])),
        (Asker::Supplier, token("supplier", "supplier", &["main"])),
        (Asker::Service, token("shop", "service", &["main"])),
    ];
    for command in [AUDIENCE, MEMBERS, SUPPLIER, STAFF].concat() {
        let path = format!("/v1/commands/{command}");
        let mut body = body(command);
        body["stream"] = json!("main");
        let nobody = world.post(&path, None, &body).await;
        assert_eq!((nobody.status, nobody.code()), (401, "unauthorized".to_owned()), "{command}");
        for (asker, token) in &askers {
            if command == "stream:end" && wanted(*asker, command, true).is_none() {
                continue;
            }
            let reply = world.post(&path, Some(token), &body).await;
            let code = reply.json()["error"]["code"].as_str().unwrap_or("ok").to_owned();
            match wanted(*asker, command, true) {
                Some(wanted) => assert_eq!(code, wanted, "{asker:?} {command}: {reply:?}"),
                None => assert!(!refusal(&code), "{asker:?} {command}: {reply:?}"),
            }
        }
    }
}

#[tokio::test]
async fn after_the_end_only_a_few_commands_answer() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    host.ok("stream:end", json!({})).await;
    for command in [AUDIENCE, MEMBERS, SUPPLIER, STAFF].concat() {
        if ["stream:start", "stream:stats"].contains(&command) {
            continue;
        }
        assert_eq!(host.code(command, body(command)).await, "ended", "{command}");
    }
    host.ok("stream:history", json!({})).await;
    host.ok("stream:stats", json!({})).await;
    host.join("main").await;
    host.ok("stream:leave", json!({})).await;
    host.ok("stream:start", json!({})).await;
}

/// The codes that clients can meet, each from where it is due. `internal` is a fault of the server, and has no recipe.
#[tokio::test]
async fn every_error_code_is_reached() {
    let world = World::start(&[("HAAT_LIMITS_CHAT_PER_SECOND", "0.001"), ("HAAT_LIMITS_CHAT_BURST", "2")]).await;
    let mut host = world.host().await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    let mut seen = BTreeSet::new();
    let mut guest = world.guest().await;
    seen.insert(guest.code("reaction:send", json!({ "kind": "heart" })).await);
    guest.join("main").await;
    seen.insert(guest.code("chat:send", json!({ "text": "hi" })).await);
    let mut ana = world.viewer("ana").await;
    seen.insert(ana.code("notice:send", json!({ "text": "hi" })).await);
    seen.insert(ana.code("no:such", json!({})).await);
    seen.insert(ana.code("reaction:send", json!({ "kind": "heart", "count": 51 })).await);
    seen.insert(host.code("stream:start", json!({})).await);
    ana.say("main", "one").await;
    ana.say("main", "two").await;
    seen.insert(ana.code("chat:send", json!({ "text": "three" })).await);
    host.ok("user:mute", json!({ "user": "bo" })).await;
    let mut bo = world.viewer("bo").await;
    seen.insert(bo.code("chat:send", json!({ "text": "hi" })).await);
    host.ok("user:ban", json!({ "user": "bo" })).await;
    seen.insert(bo.code("stream:join", json!({})).await);
    let mut chi = world.viewer("chi").await;
    host.ok("chat:mode", json!({ "slowSeconds": 600 })).await;
    chi.next("chat:mode").await;
    chi.say("main", "one").await;
    seen.insert(chi.code("chat:send", json!({ "text": "two" })).await);
    let mut dev = world.viewer("dev").await;
    for mode in [json!({ "membersOnly": true }), json!({ "paused": true })] {
        host.ok("chat:mode", mode).await;
        dev.next("chat:mode").await;
        seen.insert(dev.code("question:ask", json!({ "text": "two" })).await);
    }
    host.ok("chat:mode", json!({ "membersOnly": false, "paused": false })).await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "reject" })).await;
    let mut eva = world.viewer("eva").await;
    seen.insert(eva.code("chat:send", json!({ "text": "spam" })).await);
    seen.insert(eva.code("chat:send", json!({ "text": "x".repeat(501) })).await);
    let drop = json!({ "id": "d1", "product": "saree", "price": { "amount": 1, "currency": "INR" }, "stock": 1 });
    host.ok("drop:open", json!({ "drop": drop })).await;
    ana.ok("drop:claim", json!({ "drop": "d1" })).await;
    seen.insert(ana.code("drop:claim", json!({ "drop": "d1" })).await);
    seen.insert(eva.code("drop:claim", json!({ "drop": "d1" })).await);
    host.ok("drop:close", json!({ "drop": "d1" })).await;
    seen.insert(eva.code("drop:claim", json!({ "drop": "d1" })).await);
    world.engine.set_available(false);
    seen.insert(host.code("notice:send", json!({ "text": "hi" })).await);
    world.engine.set_available(true);
    host.ok("stream:end", json!({})).await;
    seen.insert(host.code("notice:send", json!({ "text": "hi" })).await);
    let all = haat_server::live::reject::Code::ALL.iter().map(|code| code.as_str().to_owned());
    let missing: Vec<String> = all.filter(|code| !seen.contains(code)).collect();
    assert_eq!(missing, ["internal"]);
}
