//! The HTTP API: the commands of the sockets, and streams to read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use haat_adapter::memory::{Engine, Limits};
use serde_json::{Value, json};
use support::{
    Client, World,
    http::{raw, send},
    live::product,
    token, token_until,
};

#[tokio::test]
async fn a_backend_runs_a_whole_sale() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let state = one.done("stream:start", json!({ "title": "Evening sale" })).await["state"].clone();
    assert_eq!((&state["status"], &state["title"]), (&json!("live"), &json!("Evening sale")));
    let mut viewer = other.viewer("ana").await;
    one.done("product:put", json!({ "product": product("saree") })).await;
    other.done("product:pin", json!({ "product": "saree" })).await;
    viewer.next("product:pinned").await;
    let drop = json!({
        "id": "d1", "product": "saree", "price": { "amount": 100, "currency": "INR" }, "stock": 5, "holdMs": 600_000,
    });
    // The next command may follow at once, on another gateway.
    one.done("drop:open", json!({ "drop": drop })).await;
    let claim = other.done("drop:claim", json!({ "drop": "d1", "requestId": "o1" })).await;
    assert_eq!(one.done("drop:claim", json!({ "drop": "d1", "requestId": "o1" })).await, claim);
    one.done("drop:confirm", json!({ "drop": "d1", "claim": claim["claim"]["id"] })).await;
    assert_eq!(viewer.next("purchase").await["user"]["name"], "shop");
    let message = one.done("chat:send", json!({ "text": "Thank you!" })).await["message"].clone();
    assert_eq!((&viewer.next("chat:message").await, &message["user"]["role"]), (&message, &json!("service")));
    let history = one.done("stream:history", json!({})).await["messages"].clone();
    assert_eq!(history, json!([message]));
    let stats = other.done("stream:stats", json!({})).await["stats"].clone();
    assert_eq!(stats["revenue"], json!([{ "amount": 100, "currency": "INR" }]));
    one.done("stream:end", json!({})).await;
    assert_eq!(viewer.next("stream:ended").await["state"]["status"], "ended");
}

#[tokio::test]
async fn each_error_has_its_status() {
    let world = World::start(&[]).await;
    let service = token("shop", "service", &["main"]);
    let viewer = token("ana", "viewer", &[]);
    let answer = async |token: &str, command: &str, body: Value| {
        let response = world.command(token, command, body).await;
        (response.status, response.code())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(answer(&service, "stream:history", json!({})).await, is(404, "not_found"));
    world.done("stream:start", json!({})).await;
    assert_eq!(answer(&service, "stream:start", json!({})).await, is(409, "conflict"));
    assert_eq!(answer(&service, "chat:send", json!({})).await, is(400, "bad_request"));
    assert_eq!(answer(&service, "chat:send", json!({ "stream": "a b", "text": "x" })).await, is(400, "bad_request"));
    assert_eq!(answer(&service, "chat:send", json!({ "text": "x".repeat(501) })).await, is(413, "too_large"));
    assert_eq!(answer(&viewer, "notice:send", json!({ "text": "x" })).await, is(403, "forbidden"));
    let elsewhere = token("shop", "service", &["other"]);
    assert_eq!(answer(&elsewhere, "notice:send", json!({ "text": "x" })).await, is(403, "forbidden"));
    for command in ["stream:join", "stream:leave", "auth:refresh", "no:such", "__proto__"] {
        assert_eq!(answer(&service, command, json!({})).await, is(404, "not_found"), "{command}");
    }
    world.done("words:set", json!({ "words": ["spam"], "action": "reject" })).await;
    assert_eq!(answer(&viewer, "chat:send", json!({ "text": "spam" })).await, is(422, "rejected"));
    world.done("chat:mode", json!({ "slowSeconds": 60 })).await;
    world.command(&viewer, "chat:send", json!({ "text": "one" })).await;
    let slow = world.command(&viewer, "chat:send", json!({ "text": "two" })).await;
    assert_eq!((slow.status, slow.code()), is(429, "slow_mode"));
    let wait: u64 = slow.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&wait), "{slow:?}");
    world.done("chat:mode", json!({ "slowSeconds": 0, "membersOnly": true })).await;
    assert_eq!(answer(&viewer, "chat:send", json!({ "text": "x" })).await, is(403, "members_only"));
    world.done("chat:mode", json!({ "paused": true })).await;
    assert_eq!(answer(&viewer, "chat:send", json!({ "text": "x" })).await, is(403, "paused"));
    world.done("user:mute", json!({ "user": "ana", "seconds": 60 })).await;
    assert_eq!(answer(&viewer, "chat:send", json!({ "text": "x" })).await, is(403, "muted"));
    world.done("user:ban", json!({ "user": "ana" })).await;
    assert_eq!(answer(&viewer, "chat:send", json!({ "text": "x" })).await, is(403, "banned"));
    world.engine.set_available(false);
    assert_eq!(answer(&service, "notice:send", json!({ "text": "x" })).await, is(503, "unavailable"));
    world.engine.set_available(true);
    world.done("stream:end", json!({})).await;
    assert_eq!(answer(&service, "notice:send", json!({ "text": "x" })).await, is(409, "ended"));
}

#[tokio::test]
async fn who_shows_no_good_token_does_nothing() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    let body = json!({ "stream": "main", "text": "hi" }).to_string();
    let post =
        async |headers: &[(&str, &str)]| send(world.address, "POST", "/v1/commands/chat:send", headers, &body).await;
    let expired = format!("Bearer {}", token_until("ana", "viewer", &[], support::now() - 3600));
    let good = format!("Bearer {}", token("ana", "viewer", &[]));
    let basic = good.replace("Bearer", "Basic");
    let bad: &[&[(&str, &str)]] = &[
        &[],
        &[("Authorization", "")],
        &[("Authorization", "Bearer")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", "Bearer x.y.z")],
        &[("Authorization", &basic)],
        &[("Authorization", &expired)],
        &[("Authorization", &good), ("Authorization", &good)],
    ];
    for headers in bad {
        let response = post(headers).await;
        assert_eq!((response.status, response.code()), (401, "unauthorized".to_owned()), "{headers:?}");
        assert_eq!(response.headers["www-authenticate"], "Bearer");
    }
    let lower = good.replace("Bearer", "bearer");
    assert_eq!(post(&[("Authorization", &lower)]).await.status, 200);
    let in_query = format!("/v1/commands/chat:send?token={}", token("ana", "viewer", &[]));
    assert_eq!(send(world.address, "POST", &in_query, &[], &body).await.status, 401, "never in the address");
    assert_eq!(world.get("/v1/streams/main/ledger", None).await.status, 401);
}

#[tokio::test]
async fn who_guesses_tokens_is_slowed_down() {
    let world = World::start(&[("HAAT_LIMITS_EVENTS_PER_SECOND", "1000"), ("HAAT_LIMITS_EVENTS_BURST", "1000")]).await;
    world.done("stream:start", json!({})).await;
    let mut statuses = Vec::new();
    for number in 0..15 {
        let guess = format!("{}x{number}", token("ana", "viewer", &[]));
        statuses.push(world.command(&guess, "chat:send", json!({ "text": "hi" })).await.status);
    }
    assert_eq!(
        (statuses[0], statuses.iter().filter(|status| **status == 429).count() >= 4),
        (401, true),
        "{statuses:?}"
    );
    let good = world.command(&token("ana", "viewer", &[]), "chat:send", json!({ "text": "hi" })).await;
    assert_eq!(good.status, 200, "others of that address are not");
}

#[tokio::test]
async fn a_user_asks_only_so_often() {
    let world = World::start(&[("HAAT_LIMITS_EVENTS_PER_SECOND", "0.01"), ("HAAT_LIMITS_EVENTS_BURST", "3")]).await;
    world.done("stream:start", json!({})).await;
    let ana = token("ana", "viewer", &[]);
    for _ in 0..3 {
        assert_eq!(world.command(&ana, "stream:history", json!({})).await.status, 200);
    }
    let limited = world.command(&ana, "stream:history", json!({})).await;
    assert_eq!((limited.status, limited.code()), (429, "rate_limited".to_owned()));
    assert!(limited.headers["retry-after"].parse::<u64>().unwrap() > 0);
    let bo = token("bo", "viewer", &[]);
    assert_eq!(world.command(&bo, "stream:history", json!({})).await.status, 200);
    // Without a token it is the address that counts.
    let anonymous = [0; 4].map(|_| world.get("/v1/streams/main", None));
    let mut statuses = Vec::new();
    for request in anonymous {
        statuses.push(request.await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test]
async fn streams_are_read_by_everybody_where_guests_are_let_in() {
    let world = World::start(&[]).await;
    for stream in ["b", "c", "a"] {
        world.done("stream:start", json!({ "stream": stream, "title": stream.to_uppercase() })).await;
    }
    world.done("stream:end", json!({ "stream": "c" })).await;
    let mut viewer = world.user("ana").await;
    viewer.join("a").await;
    let list = world.get("/v1/streams", None).await.json();
    let titles: Vec<&Value> = list["streams"].as_array().unwrap().iter().map(|stream| &stream["title"]).collect();
    assert_eq!((titles, &list["next"]), (vec![&json!("A"), &json!("B"), &json!("C")], &Value::Null));
    assert_eq!(list["streams"][2]["status"], "ended");
    let page = world.get("/v1/streams?limit=2", None).await.json();
    assert_eq!((page["streams"].as_array().unwrap().len(), &page["next"]), (2, &json!("b")));
    let rest = world.get("/v1/streams?limit=2&after=b", None).await.json();
    assert_eq!((&rest["streams"][0]["id"], &rest["next"]), (&json!("c"), &Value::Null));

    world.done("chat:send", json!({ "stream": "a", "text": "one" })).await;
    world.done("chat:send", json!({ "stream": "a", "text": "two" })).await;
    let read = world.get("/v1/streams/a", None).await.json();
    assert_eq!((&read["state"]["title"], &read["state"]["seq"]), (&json!("A"), &json!(3)));
    assert!(read.as_object().unwrap().contains_key("ledgerKey"), "{read}");
    let history = world.get("/v1/streams/a/history?limit=1", None).await.json();
    assert_eq!(history["messages"][0]["text"], "two");
    let before = history["messages"][0]["seq"].as_u64().unwrap();
    let older = world.get(&format!("/v1/streams/a/history?before={before}"), None).await.json();
    assert_eq!(older["messages"][0]["text"], "one");
    for path in ["/v1/streams/none", "/v1/streams/none/history", "/v1/streams/a%20b", "/v1/nothing", "/v1/streams/a/b"]
    {
        let response = world.get(path, None).await;
        assert_eq!((response.status, response.code()), (404, "not_found".to_owned()), "{path}");
    }
    for path in ["/v1/streams?limit=x", "/v1/streams/a/history?before=-1", "/v1/streams/a/history?limit=1.5"] {
        assert_eq!(world.get(path, None).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn without_guests_reading_needs_a_token() {
    let world = World::start(&[("HAAT_GUESTS", "false")]).await;
    world.done("stream:start", json!({})).await;
    for path in ["/v1/streams", "/v1/streams/main", "/v1/streams/main/history"] {
        assert_eq!(world.get(path, None).await.status, 401, "{path}");
        assert_eq!(world.get(path, Some(&token("ana", "viewer", &[]))).await.status, 200, "{path}");
    }
    assert_eq!(world.get("/v1/openapi.json", None).await.status, 200);
}

#[tokio::test]
async fn the_ledger_is_for_staff_and_read_in_pages() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    for number in 0..5 {
        world.done("chat:send", json!({ "text": number.to_string() })).await;
    }
    let staff = [
        token("s", "supplier", &["main"]),
        token("m", "moderator", &["main"]),
        token("x", "service", &["main"]),
        token("y", "service", &["*"]),
    ];
    for token in &staff {
        assert_eq!(world.get("/v1/streams/main/ledger", Some(token)).await.status, 200);
    }
    for token in [token("ana", "viewer", &["main"]), token("s", "supplier", &["other"])] {
        assert_eq!(world.get("/v1/streams/main/ledger", Some(&token)).await.status, 403);
    }
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let path = format!("/v1/streams/main/ledger?limit=2&after={after}");
        let page = world.get(&path, Some(&staff[0])).await.json();
        let records = page["records"].as_array().unwrap().clone();
        if records.is_empty() {
            assert_eq!(page["next"], after, "where to go on later");
            break;
        }
        after = page["next"].as_str().unwrap().to_owned();
        seen.extend(records);
    }
    let kinds: Vec<&str> = seen.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["stream:started", "chat:message", "chat:message", "chat:message", "chat:message", "chat:message"]
    );
    assert_eq!((&seen[1]["data"]["text"], &seen[1]["by"]["id"]), (&json!("0"), &json!("shop")));
    assert!(
        seen.iter().all(|record| record["at"].as_u64().is_some_and(|at| at.abs_diff(support::now() * 1000) < 60_000))
    );
    for after in ["x", "1", "1-", "-1", "1-2-3", "1-x"] {
        let path = format!("/v1/streams/main/ledger?after={after}");
        assert_eq!(world.get(&path, Some(&staff[0])).await.status, 400, "{after}");
    }
    assert_eq!(world.get("/v1/streams/none/ledger", Some(&staff[3])).await.status, 404);
}

#[tokio::test]
async fn a_broadcast_reaches_rooms_of_all_gateways() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let _host = one.host().await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("bo").await);
    let mut moderator = other.member("mod", "moderator").await;
    let service = token("shop", "service", &["*"]);
    let body = json!({ "rooms": ["stream:main"], "except": ["staff:main"], "event": "flash", "data": { "n": [1] } });
    let reply = one.post("/v1/broadcast", Some(&service), &body).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "ok": true })));
    for client in [&mut here, &mut there] {
        assert_eq!(client.event("flash").await, [json!({ "n": [1] })]);
    }
    let one_user = json!({ "rooms": ["user:bo", "user:mod"], "event": "hello" });
    assert_eq!(one.post("/v1/broadcast", Some(&service), &one_user).await.status, 200);
    for client in [&mut there, &mut moderator] {
        assert_eq!(client.event("hello").await, [Value::Null]);
    }
    assert!(moderator.drain().await.iter().all(|(name, _)| name != "flash"));
    assert!(here.drain().await.iter().all(|(name, _)| name != "hello"));

    let own = token("shop", "service", &["main"]);
    let to = |room: &str| json!({ "rooms": [room], "event": "x" });
    assert_eq!(one.post("/v1/broadcast", Some(&own), &to("stream:main")).await.status, 200);
    for room in ["stream:other", "user:bo", "anything"] {
        assert_eq!(one.post("/v1/broadcast", Some(&own), &to(room)).await.status, 403, "{room}");
    }
    for role in ["viewer", "supplier", "moderator"] {
        let token = token("s", role, &["main"]);
        assert_eq!(one.post("/v1/broadcast", Some(&token), &to("stream:main")).await.status, 403, "{role}");
    }
    let bad = [
        json!({}),
        json!({ "rooms": [], "event": "x" }),
        json!({ "rooms": "stream:main", "event": "x" }),
        json!({ "rooms": [""], "event": "x" }),
        json!({ "rooms": ["a\nb"], "event": "x" }),
        json!({ "rooms": vec!["r"; 65], "event": "x" }),
        json!({ "rooms": ["r"] }),
        json!({ "rooms": ["r"], "event": "" }),
        json!({ "rooms": ["r"], "event": "x".repeat(65) }),
        json!({ "rooms": ["r"], "event": "disconnect" }),
        json!({ "rooms": ["r"], "event": 5 }),
        json!({ "rooms": ["r"], "except": "x", "event": "x" }),
    ];
    for body in bad {
        assert_eq!(one.post("/v1/broadcast", Some(&service), &body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_before_anything_is_done() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    let bearer = format!("Bearer {}", token("shop", "service", &["*"]));
    let post = async |kind: &str, body: &str| {
        let headers = [("Authorization", &*bearer), ("Content-Type", kind)];
        send(world.address, "POST", "/v1/commands/chat:send", &headers, body).await
    };
    let deep = format!(r#"{{"stream":"main","text":"x","more":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let bad = [
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        r#"{"stream":"main","text":"x"}{}"#,
        r#"{"stream":"main","text":"\ud800"}"#,
        r#"{"stream":"main","text":"x",}"#,
        &deep,
    ];
    for body in bad {
        let response = post("application/json", body).await;
        assert_eq!((response.status, response.code()), (400, "bad_request".to_owned()), "{body}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""] {
        let response = post(kind, r#"{"stream":"main","text":"x"}"#).await;
        assert_eq!((response.status, response.code()), (415, "bad_request".to_owned()), "{kind:?}");
    }
    let large = format!(r#"{{"stream":"main","text":"x","more":"{}"}}"#, "x".repeat(70_000));
    let response = post("application/json", &large).await;
    assert_eq!((response.status, response.code()), (413, "too_large".to_owned()));
    assert_eq!(post("application/json; charset=utf-8", r#"{"stream":"main","text":"good"}"#).await.status, 200);
    let messages = world.done("stream:history", json!({})).await["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 1);
    let invalid = [
        b"POST /v1/commands/chat:send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nAuthorization: "
            .as_slice(),
        bearer.as_bytes(),
        b"\r\n\r\n\xff\xfe",
    ]
    .concat();
    assert_eq!(raw(world.address, &invalid).await.status, 400);
    let get = world.get("/v1/commands/chat:send", None).await;
    assert_eq!((get.status, get.code()), (405, "bad_request".to_owned()));
    assert_eq!(send(world.address, "DELETE", "/v1/streams/main", &[], "").await.status, 405);
}

#[tokio::test]
async fn answers_are_json_that_nobody_keeps() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    for path in ["/v1/streams", "/v1/streams/none", "/v1/openapi.json"] {
        let response = world.get(path, None).await;
        let header = |name: &str| response.headers.get(name).map(String::as_str);
        assert_eq!(header("content-type"), Some("application/json"), "{path}");
        assert_eq!((header("cache-control"), header("x-content-type-options")), (Some("no-store"), Some("nosniff")));
    }
}

#[tokio::test]
async fn pages_of_other_origins_ask_only_where_they_may_connect() {
    let world = World::start(&[("HAAT_ORIGINS", "https://shop.example")]).await;
    world.done("stream:start", json!({})).await;
    let ask = async |method: &str, origin: &str| {
        let response = send(world.address, method, "/v1/streams/main", &[("Origin", origin)], "").await;
        (response.status, response.headers.get("access-control-allow-origin").cloned())
    };
    assert_eq!(ask("GET", "https://shop.example").await, (200, Some("https://shop.example".to_owned())));
    assert_eq!(ask("OPTIONS", "https://shop.example").await, (204, Some("https://shop.example".to_owned())));
    assert_eq!(ask("GET", "https://shop.example.evil.tld").await, (200, None));
    assert_eq!(ask("OPTIONS", "null").await, (204, None));
}

#[tokio::test]
async fn what_http_changes_is_seen_on_sockets_in_order() {
    let world = World::start(&[("HAAT_SHARDS", "4")]).await;
    world.done("stream:start", json!({})).await;
    let mut viewer = world.viewer("ana").await;
    let service = token("shop", "service", &["main"]);
    for number in 0..50 {
        let reply = world.command(&service, "chat:send", json!({ "text": number.to_string() })).await;
        assert_eq!(reply.status, 200);
    }
    let texts: Vec<String> = viewer.chats(50).await.into_iter().map(|chat| chat.1).collect();
    assert_eq!(texts, (0..50).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    let mut guest = Client::connect(world.address, &json!({})).await;
    assert_eq!(guest.join("main").await["history"].as_array().unwrap().len(), 50);
}
