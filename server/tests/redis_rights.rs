//! The rights on Redis that the operator's guide names are enough for all that a gateway does: Redis notes whatever it
//! refuses, and refuses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{collections::BTreeSet, path::Path};

use fleet::{Fleet, Gateway, until, until_async};
use serde_json::{Value, json};
use support::{Client, PATIENCE, http, live::product, token};

const GUIDE: &str = include_str!("../guide/operate.md");

/// The words behind the user's name in the guide's `ACL SETUSER`.
fn rights() -> Vec<&'static str> {
    let (_, command) = GUIDE.split_once("ACL SETUSER haat ").expect("the guide names the rights");
    command.split("```").next().unwrap_or_default().split_whitespace().collect()
}

/// Lets a user with those rights in.
fn admit(fleet: &Fleet) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("haat").arg(rights());
    command.exec(&mut fleet.redis.connection()).expect("Redis understands the guide");
}

fn url(fleet: &Fleet) -> String {
    format!("redis://haat:PASSWORD@127.0.0.1:{}", fleet.redis.port)
}

/// What Redis has refused so far.
fn refused(fleet: &Fleet) -> Vec<String> {
    let mut connection = fleet.redis.connection();
    let log: redis::Value = redis::cmd("ACL").arg("LOG").query(&mut connection).unwrap();
    let redis::Value::Array(entries) = log else { panic!("{log:?}") };
    entries.iter().map(|entry| format!("{entry:?}")).collect()
}

async fn connect(gateway: &Gateway, sub: &str, role: &str, streams: &[&str]) -> Client {
    let mut client = Client::connect(gateway.public, &json!({ "token": token(sub, role, streams) })).await;
    if !streams.is_empty() {
        client.ok("stream:start", json!({ "title": "Sale", "products": [product("saree")] })).await;
    }
    client.join("main").await;
    client
}

/// All that a supplier and a viewer do in a show.
async fn show(host: &mut Client, viewer: &mut Client) {
    let said = viewer.ok("chat:send", json!({ "text": "hi", "clientId": "1" })).await["message"]["id"].clone();
    host.ok("chat:mode", json!({ "slowSeconds": 1 })).await;
    viewer.next("chat:mode").await;
    viewer.ok("chat:send", json!({ "text": "slowly" })).await;
    assert_eq!(viewer.code("chat:send", json!({ "text": "again" })).await, "slow_mode");
    host.ok("chat:mode", json!({ "slowSeconds": 0 })).await;
    viewer.next("chat:mode").await;
    viewer.ok("reaction:send", json!({ "kind": "heart" })).await;
    host.ok("chat:pin", json!({ "message": said })).await;
    host.ok("chat:delete", json!({ "message": said })).await;
    host.ok("user:mute", json!({ "user": "bo" })).await;
    host.ok("user:unmute", json!({ "user": "bo" })).await;
    host.ok("words:set", json!({ "words": ["spam"], "action": "hold" })).await;
    // The other gateway hears of the words a moment later.
    let said = async || viewer.ok("chat:send", json!({ "text": "spam" })).await["held"] == true;
    until_async("a message is held", PATIENCE, said).await;
    let held = host.next("chat:held").await["message"]["id"].clone();
    host.ok("chat:approve", json!({ "message": held })).await;
    let question = viewer.ok("question:ask", json!({ "text": "Washable?" })).await["question"]["id"].clone();
    viewer.ok("question:upvote", json!({ "question": question })).await;
    host.ok("question:hide", json!({ "question": question })).await;
    host.ok("poll:open", json!({ "poll": { "id": "p", "question": "Which?", "options": ["red", "blue"] } })).await;
    viewer.ok("poll:vote", json!({ "poll": "p", "option": 0 })).await;
    host.ok("poll:close", json!({ "poll": "p" })).await;
    let prizes = json!([{ "id": "ten", "label": "10%", "weight": 1, "stock": 1 }]);
    host.ok("wheel:open", json!({ "wheel": { "id": "w", "title": "Luck", "prizes": prizes } })).await;
    viewer.ok("wheel:spin", json!({ "wheel": "w", "requestId": "3" })).await;
    viewer.ok("wheel:spin", json!({ "wheel": "w", "requestId": "3" })).await;
    host.ok("wheel:close", json!({ "wheel": "w" })).await;
    let drop = |id: &str, hold: Value| {
        let price = json!({ "amount": 100, "currency": "INR" });
        json!({ "drop": { "id": id, "product": "saree", "price": price, "stock": 1, "perUser": 2, "holdMs": hold } })
    };
    host.ok("drop:open", drop("d", json!(600_000))).await;
    let claim = viewer.ok("drop:claim", json!({ "drop": "d", "requestId": "4" })).await["claim"]["id"].clone();
    // Sold out: the gateway learns who has it.
    assert_eq!(viewer.code("drop:claim", json!({ "drop": "d", "requestId": "5" })).await, "sold_out");
    host.ok("drop:confirm", json!({ "drop": "d", "claim": claim })).await;
    host.ok("drop:release", json!({ "drop": "d", "claim": claim })).await;
    // One that nobody confirms comes back by itself.
    host.ok("drop:open", drop("e", json!(1))).await;
    viewer.ok("drop:claim", json!({ "drop": "e" })).await;
    viewer.until("drop:stock", |stock| stock["drop"] == "e" && stock["left"] == 1).await;
    host.ok("stream:stats", json!({})).await;
}

/// What a backend reads and sends.
async fn ask(gateway: &Gateway) {
    let bearer = format!("Bearer {}", token("shop", "service", &["*"]));
    let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
    for path in ["/v1/streams", "/v1/streams/main", "/v1/streams/main/history?before=3", "/v1/streams/main/ledger"] {
        assert_eq!(http::send(gateway.public, "GET", path, &headers, "").await.status, 200, "{path}");
    }
    let body = json!({ "rooms": ["stream:main"], "event": "order:paid", "data": 1 }).to_string();
    assert_eq!(http::send(gateway.public, "POST", "/v1/broadcast", &headers, &body).await.status, 200);
}

/// Two gateways under these variables do all that there is to do, and Redis refuses nothing.
async fn nothing_is_refused(variables: &[(&str, &str)]) {
    let Some(fleet) = Fleet::start().await else { return };
    admit(&fleet);
    let hooks = [("HAAT_WEBHOOKS_URLS", "http://127.0.0.1:1/hook"), ("HAAT_WEBHOOKS_SECRET", support::SECRET)];
    let variables = [&hooks, variables].concat();
    let one = Gateway::start(&url(&fleet), &variables).await;
    let mut other = Gateway::start(&url(&fleet), &variables).await;
    let mut host = connect(&one, "supplier", "supplier", &["main"]).await;
    let mut viewer = connect(&other, "ana", "viewer", &[]).await;
    // Pings keep a client waiting that hears nothing else.
    tokio::time::timeout(3 * PATIENCE, show(&mut host, &mut viewer)).await.expect("the show comes to its end");
    ask(&other).await;
    viewer.event("order:paid").await;
    // A session that comes back on another gateway is read, and saved again.
    let (pid, offset) = (viewer.connected["pid"].clone(), Value::Null);
    viewer.say("main", "bye").await;
    viewer.drop_connection().await;
    let auth = json!({ "token": token("ana", "viewer", &[]), "pid": pid, "offset": offset });
    let back = Client::connect(one.public, &auth).await;
    assert!(back.accepted);
    host.ok("stream:end", json!({})).await;
    // A gateway that says goodbye.
    other.signal("TERM");
    other.ended(PATIENCE).await;
    let tried = |name: &str| fleet.redis.command::<String>("INFO commandstats").contains(name);
    until("a webhook was tried", PATIENCE, || tried("cmdstat_xrange")).await;
    assert_eq!(refused(&fleet), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_beside_node_needs_no_more() {
    nothing_is_refused(&[("HAAT_REDIS_NODE_PEERS", "always")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharded_fleet_needs_no_more() {
    nothing_is_refused(&[("HAAT_REDIS_MODE", "sharded")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_does_refuse_what_is_not_named() {
    let Some(fleet) = Fleet::start().await else { return };
    admit(&fleet);
    let client = redis::Client::open(url(&fleet)).unwrap();
    let mut connection = client.get_connection().unwrap();
    for words in ["FLUSHALL", "CONFIG GET *", "KEYS *", "GET other", "PUBLISH other x", "SUBSCRIBE other"] {
        let mut command = redis::Cmd::new();
        for word in words.split(' ') {
            command.arg(word);
        }
        let error = command.exec(&mut connection).expect_err(words);
        assert_eq!(error.code(), Some("NOPERM"), "{words}: {error}");
    }
}

/// What no show of two people makes the scripts do is found in their text.
#[test]
fn every_command_of_the_scripts_is_named() {
    let named: BTreeSet<String> = rights().iter().filter_map(|right| right.strip_prefix('+')).map(Into::into).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapter/src/redis/scripts");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in ["call('", "each('"] {
            for command in text.split(call).skip(1).filter_map(|rest| rest.split('\'').next()) {
                assert!(named.contains(&command.to_ascii_lowercase()), "the guide does not name {command}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "the scripts were read");
}
