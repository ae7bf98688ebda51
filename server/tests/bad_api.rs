//! Requests to the HTTP API that nobody should send. Rows are named after the catalogue of bad input (BA1 to BA3, BA5, BA6 and BA8;
//! BA4 is in `bad_private`, BA7 with the webhooks). After each of them innocent viewers go on as before.
//!
//! The contract decides: unknown members of a body are ignored, and a claim may come without a name of its own.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use support::{
    World,
    http::{Response, raw, send},
    innocents::Innocents,
    live::product,
    token,
    wire::{Wire, request},
};

async fn shop(world: &World) {
    world.done("stream:start", json!({})).await;
    world.done("product:put", json!({ "product": product("saree") })).await;
    let price = json!({ "amount": 100, "currency": "INR" });
    let drop = json!({ "id": "d1", "product": "saree", "price": price, "stock": 50, "perUser": 9 });
    world.done("drop:open", json!({ "drop": drop })).await;
}

/// A command with further headers.
async fn post(world: &World, command: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let bearer = format!("Bearer {}", token("ana", "viewer", &[]));
    let mut all = vec![("Authorization", &*bearer), ("Content-Type", "application/json")];
    all.extend(headers);
    send(world.address, "POST", &format!("/v1/commands/{command}"), &all, &body.to_string()).await
}

#[tokio::test]
async fn keys_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let body = json!({ "rooms": ["stream:main"], "event": "x", "data": 1 });
    let good = token("shop", "service", &["*"]);
    let (cut, longer) = (good[..good.len() - 1].to_owned(), format!("{good}A"));
    for wrong in ["x", "", "null", &cut, &longer, &"x".repeat(60_000)] {
        let reply = world.post("/v1/broadcast", Some(wrong), &body).await;
        // A head that is too long is refused before anybody looks at it.
        assert!([401, 429, 431].contains(&reply.status), "BA1 {wrong:.20}: {reply:?}");
        innocents.unharmed("BA1").await;
    }
    assert_eq!(world.post("/v1/broadcast", None, &body).await.status, 401, "BA1");
    let in_query = format!("/v1/broadcast?token={good}&access_token={good}");
    assert_eq!(world.post(&in_query, None, &body).await.status, 401, "BA1: never in the address");
    for role in ["viewer", "supplier", "moderator"] {
        let reply = world.post("/v1/broadcast", Some(&token("x", role, &["*"])), &body).await;
        assert_eq!((reply.status, reply.code()), (403, "forbidden".to_owned()), "BA1 {role}");
    }
    assert_eq!(world.post("/v1/broadcast", Some(&good), &body).await.status, 200, "BA1: and the good one is let in");
    innocents.unharmed("BA1").await;
}

#[tokio::test]
async fn bodies_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let bearer = format!("Bearer {}", token("ana", "viewer", &[]));
    let of = async |kind: &str, body: &str| {
        let headers = [("Authorization", &*bearer), ("Content-Type", kind)];
        send(world.address, "POST", "/v1/commands/chat:send", &headers, body).await
    };
    let good = r#"{"stream":"main","text":"x"}"#;
    assert_eq!(of("text/xml", good).await.status, 415, "BA2");
    assert_eq!(of("application/json", "{\"stream\":").await.status, 400, "BA2");
    assert_eq!(of("application/json", r#"{"stream":"main","text":"x","more":[{}]}"#).await.status, 200, "BA2");
    let large = format!(r#"{{"stream":"main","text":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(of("application/json", &large).await.status, 413, "BA2");
    // There are no batches: a list is no object, however long.
    let batch = format!("[{}]", vec![good; 1_000].join(","));
    assert_eq!(of("application/json", &batch).await.status, 400, "BA2");
    innocents.unharmed("BA2").await;
}

#[tokio::test]
async fn bodies_that_never_end() {
    let world = World::start(&[("HAAT_ENGINE_MESSAGE_TIMEOUT_SECONDS", "0.5")]).await;
    let mut innocents = Innocents::watch(&world).await;
    for target in ["/v1/commands/chat:send", "/v1/broadcast", "/v1/streams"] {
        let mut wire = Wire::connect(world.address).await;
        wire.send(request("POST", target, &[("Content-Length", "100")], "")).await;
        wire.send("{").await;
        assert_eq!(wire.answer().await.status, 408, "BA2 {target}");
        assert!(wire.rest().await.is_empty(), "BA2 {target}: closed");
    }
    innocents.unharmed("BA2").await;
}

#[tokio::test]
async fn names_that_are_used_again() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let claim = json!({ "stream": "main", "drop": "d1" });
    let key = [("Idempotency-Key", "order-1")];
    let first = post(&world, "drop:claim", &key, &claim).await;
    assert_eq!(first.status, 200, "BA3 {first:?}");
    for _ in 0..3 {
        assert_eq!(post(&world, "drop:claim", &key, &claim).await.json(), first.json(), "BA3: the same answer");
    }
    let named = json!({ "stream": "main", "drop": "d1", "requestId": "order-1" });
    assert_eq!(post(&world, "drop:claim", &[], &named).await.json(), first.json(), "BA3: it is the requestId");
    assert_eq!(post(&world, "drop:claim", &key, &named).await.json(), first.json(), "BA3");
    let other = json!({ "stream": "main", "drop": "d1", "quantity": 2 });
    let reply = post(&world, "drop:claim", &key, &other).await;
    assert_eq!((reply.status, reply.code()), (409, "conflict".to_owned()), "BA3: another body");
    let long = "k".repeat(10_000);
    for key in ["", &long, &"k".repeat(65), "schlüssel"] {
        let reply = post(&world, "drop:claim", &[("Idempotency-Key", key)], &claim).await;
        assert!([400, 431].contains(&reply.status), "BA3 {key:.20}: {reply:?}");
    }
    for keys in [&[("Idempotency-Key", "a"), ("Idempotency-Key", "b")][..], &[("Idempotency-Key", "other")]] {
        let reply = post(&world, "drop:claim", keys, &named).await;
        assert_eq!((reply.status, reply.code()), (400, "bad_request".to_owned()), "BA3: two names");
    }
    let plain = post(&world, "drop:claim", &[], &claim).await.json();
    assert_ne!(plain["claim"]["id"], first.json()["claim"]["id"], "BA3: without a name it is another claim");
    // Messages have such a name as well; what has none does not look at it.
    let said = [("Idempotency-Key", "say-1")];
    let text = json!({ "stream": "main", "text": "once" });
    let one = post(&world, "chat:send", &said, &text).await.json();
    assert_eq!(post(&world, "chat:send", &said, &text).await.json(), one, "BA3");
    let empty = post(&world, "drop:claim", &key, &json!({})).await;
    assert_eq!(empty.code(), "bad_request", "BA3: a name alone is no claim");
    assert_eq!(post(&world, "reaction:send", &said, &json!({ "stream": "main", "kind": "heart" })).await.status, 200);
    innocents.unharmed("BA3").await;
}

#[tokio::test]
async fn lines_that_break_out() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let evil =
        ["main%0d%0aX-Evil:%201", "main%0aSet-Cookie:%20a=b", "%1b%5b31mred", "%0a%7b%22level%22:%22error%22%7d"];
    for stream in evil {
        for path in ["", "/history", "/ledger"] {
            let reply = world.get(&format!("/v1/streams/{stream}{path}"), None).await;
            assert!([401, 404].contains(&reply.status), "BA5 {stream}{path}: {reply:?}");
            assert!(
                !reply.headers.contains_key("x-evil") && !reply.headers.contains_key("set-cookie"),
                "BA5 {reply:?}"
            );
            assert!(!reply.text.contains('\u{1b}') && !reply.text.contains('\n'), "BA5 {reply:?}");
        }
    }
    let service = token("shop", "service", &["*"]);
    let body = json!({ "rooms": ["stream:main\r\nX: y"], "event": "x" });
    assert_eq!(world.post("/v1/broadcast", Some(&service), &body).await.status, 400, "BA5");
    innocents.unharmed("BA5").await;
}

#[tokio::test]
async fn headers_that_mean_nothing_here() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let many = format!("bytes=0-0{}", ",0-0".repeat(1_000));
    let odd: [&[(&str, &str)]; 6] = [
        &[("Range", "bytes=0-10")],
        &[("Range", &many)],
        &[("If-None-Match", "*"), ("If-Modified-Since", "Thu, 01 Jan 2099 00:00:00 GMT")],
        &[("If-Match", "\"x\"")],
        &[("Accept-Encoding", "gzip;q=1,deflate;q=1,br;q=1,zstd;q=1,*;q=0")],
        &[("Accept", "text/html"), ("TE", "trailers")],
    ];
    for headers in odd {
        let reply = send(world.address, "GET", "/v1/streams/main", headers, "").await;
        assert_eq!((reply.status, reply.json()["state"]["id"].as_str()), (200, Some("main")), "BA6 {headers:?}");
        assert!(!reply.headers.contains_key("content-encoding"), "BA6 {reply:?}");
    }
    let bearer = token("ana", "viewer", &[]);
    let body = r#"{"stream":"main","text":"x"}"#;
    for _ in 0..50 {
        let request = format!(
            "POST /v1/commands/chat:send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Authorization: Bearer {bearer}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = raw(world.address, request.as_bytes()).await;
        assert!([100, 200].contains(&reply.status), "BA6 {reply:?}");
    }
    innocents.unharmed("BA6").await;
}

#[tokio::test]
async fn names_are_no_labels() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    shop(&world).await;
    let series = async || {
        let metrics = send(world.server.private_address(), "GET", "/metrics", &[], "").await.text;
        let lines: Vec<String> = metrics
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap_or_default().0.to_owned())
            .collect();
        lines
    };
    let ana = token("ana", "viewer", &[]);
    for number in 0..100 {
        let odd = format!("odd-name-{number}");
        world.get(&format!("/v1/streams/{odd}"), Some(&ana)).await;
        world.post(&format!("/v1/commands/{odd}"), Some(&ana), &json!({ "stream": odd, "drop": odd })).await;
        world.command(&token(&odd, "viewer", &[]), "drop:claim", json!({ "drop": odd, "requestId": odd })).await;
    }
    let after = series().await;
    assert!(!after.is_empty() && after.iter().all(|line| !line.contains("odd-name")), "BA8 {after:?}");
    innocents.unharmed("BA8").await;
}
