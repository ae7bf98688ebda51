//! Commands that nobody should issue. Rows are named after the catalogue of bad input (BP). After each of them innocent
//! viewers go on as before.
//!
//! The contract decides on codes and fields: what is not known in an object is ignored (BP9), everybody may join every
//! stream (BP2), and a stream's id is one of 1 to 64 characters (BP1).
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;

use serde_json::{Value, json};
use support::{Client, World, innocents::Innocents, token};

/// Sends so many events, these again and again, and returns the answers. It does not wait for each answer, nor leave them
/// all unread: the server would cut it off.
async fn flood(client: &mut Client, events: &[(&str, Value)], count: usize) -> Vec<Value> {
    let mut answers = Vec::new();
    let mut events = events.iter().cycle().take(count).peekable();
    while events.peek().is_some() {
        let mut ids = Vec::new();
        for (event, body) in events.by_ref().take(50) {
            ids.push(client.send(event, body).await);
        }
        for id in ids {
            answers.push(client.answer(id).await);
        }
    }
    answers
}

/// People of all kinds, each with a connection, in a stream `main`.
struct Cast(HashMap<&'static str, Client>);

impl Cast {
    async fn gather(world: &World) -> Self {
        let mut supplier = world.supplier(&["main"]).await;
        supplier.join("main").await;
        let mut cast = HashMap::from([("supplier", supplier)]);
        for (name, role, streams) in [
            ("asha", "viewer", &[][..]),
            ("star", "viewer", &["*"]),
            ("moderator", "moderator", &["main"]),
            ("elsewhere", "supplier", &["other", "mai", "mainx", "Main"]),
            ("nowhere", "supplier", &[]),
            ("service", "service", &["main"]),
            ("service-elsewhere", "service", &["other"]),
        ] {
            let auth = json!({ "token": token(name, role, streams) });
            let mut client = Client::connect(world.address, &auth).await;
            client.join("main").await;
            cast.insert(name, client);
        }
        let mut guest = world.guest().await;
        guest.join("main").await;
        cast.insert("guest", guest);
        cast.insert("outside", world.user("outside").await);
        Self(cast)
    }

    async fn call(&mut self, who: &str, command: &str, body: &Value) -> Value {
        self.0.get_mut(who).unwrap_or_else(|| panic!("nobody is {who}")).call(command, body).await
    }

    /// Issues a command that must fail with this code. A `bad_request` must name the field.
    async fn fails(&mut self, row: &str, who: &str, command: &str, body: &Value, code: &str, field: &str) {
        let row = format!("{row}: {who}: {command} {body:.100}");
        let reply = self.call(who, command, body).await;
        assert_eq!((&reply["ok"], &reply["error"]["code"]), (&json!(false), &json!(code)), "{row}: {reply}");
        let message = reply["error"]["message"].as_str().unwrap_or_else(|| panic!("{row}: {reply}"));
        assert!(message.contains(field), "{row}: {message}");
    }
}

const COMMANDS: [&str; 7] =
    ["stream:join", "stream:leave", "stream:history", "stream:start", "stream:update", "stream:end", "chat:send"];

#[tokio::test]
async fn streams_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let auth = json!({ "token": token("all", "supplier", &["*"]) });
    let mut cast = Cast::gather(&world).await;
    let all = Client::connect(world.address, &auth).await;
    let sid = all.connected["sid"].clone();
    cast.0.insert("all", all);
    let long = "s".repeat(65);
    let endless = "s".repeat(10_240);
    let ids = [
        "",
        &long,
        &endless,
        "*",
        "?",
        "[",
        "#",
        "{}",
        "{main}",
        " ",
        "main ",
        "ma in",
        "main\n",
        "main\0",
        "..",
        "../main",
        "main/x",
        "user:asha",
        "stream:main",
        "staff:main",
        "main:e:1",
        "ma\u{131}n",
        "\u{1f600}",
        "नमस्ते",
        "main\u{200b}",
        "%6dain",
        "main,other",
    ];
    let not_texts = [json!(5), json!(null), json!(true), json!(["main"]), json!({ "id": "main" }), json!(1.5)];
    let wrong: Vec<Value> = ids.iter().map(|id| json!(id)).chain(not_texts).collect();
    for command in COMMANDS {
        for stream in &wrong {
            cast.fails("BP1", "all", command, &json!({ "stream": stream, "text": "x" }), "bad_request", "\"stream\"")
                .await;
        }
        cast.fails("BP1", "all", command, &json!({ "text": "x" }), "bad_request", "\"stream\"").await;
        innocents.unharmed(command).await;
    }
    // Another connection's id has the form of a stream's: it names nothing all the same.
    for command in ["stream:join", "stream:leave", "stream:history", "stream:end", "chat:send"] {
        for stream in [&sid, &json!("nowhere"), &json!("Main"), &json!("__proto__")] {
            cast.fails("BP1", "all", command, &json!({ "stream": stream, "text": "x" }), "not_found", "stream").await;
        }
        innocents.unharmed(command).await;
    }
    cast.fails("BP1", "asha", "stream:nothing", &json!({ "stream": "main" }), "not_found", "command").await;
}

#[tokio::test]
async fn joins_have_limits() {
    let world = World::start(&[
        ("HAAT_LIMITS_ROOMS", "16"),
        ("HAAT_LIMITS_JOINS_PER_SECOND", "0.001"),
        ("HAAT_LIMITS_JOINS_BURST", "40"),
    ])
    .await;
    let mut innocents = Innocents::watch(&world).await;
    let streams: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = streams.iter().map(String::as_str).collect();
    let _supplier = world.supplier(&names).await;
    let mut asha = world.user("asha").await;
    let row = "BP2 a seventeenth stream";
    for stream in &streams[..16] {
        asha.join(stream).await;
    }
    for stream in &streams[16..] {
        let reply = asha.call("stream:join", &json!({ "stream": stream })).await;
        assert_eq!(reply["error"]["code"], "limit_reached", "{row}: {reply}");
    }
    asha.join("s3").await;
    asha.call("stream:leave", &json!({ "stream": "s3" })).await;
    asha.join("s16").await;
    innocents.unharmed(row).await;

    let row = "BP2 joins without end";
    let stream = json!({ "stream": "s0" });
    let events = [("stream:join", stream.clone()), ("stream:leave", stream)];
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    for reply in flood(&mut asha, &events, 2000).await {
        let code = reply["error"]["code"].as_str().unwrap_or("ok").to_owned();
        if code == "rate_limited" {
            assert!(reply["error"]["retryAfterMs"].as_u64().is_some_and(|after| after > 0), "{row}: {reply}");
        }
        *outcomes.entry(code).or_default() += 1;
    }
    // 22 of the 40 are gone: 16, 4 that were refused, and 2.
    let expected = [("ok", 36), ("rate_limited", 982), ("not_joined", 982)];
    assert_eq!(outcomes, expected.map(|(code, count)| (code.to_owned(), count)).into(), "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn texts_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut cast = Cast::gather(&world).await;
    let (five, six) = ("क".repeat(500), "क".repeat(501));
    let body = |text: &Value| json!({ "stream": "main", "text": text });
    for text in [
        "",
        " ",
        "\n\t ",
        "\u{200b}\u{200b}",
        "\u{200d}",
        "\u{feff}",
        "\u{202e}",
        "\u{3164}",
        "\u{301}",
        "\0\0",
        "\u{7}",
    ] {
        cast.fails("BP3", "asha", "chat:send", &body(&json!(text)), "bad_request", "\"text\"").await;
    }
    for text in [json!(null), json!(5), json!(true), json!(["x"]), json!({ "toString": "x" })] {
        cast.fails("BP3", "asha", "chat:send", &body(&text), "bad_request", "\"text\"").await;
    }
    cast.fails("BP3", "asha", "chat:send", &json!({ "stream": "main" }), "bad_request", "\"text\"").await;
    for text in [&six, &"x".repeat(501), &"x".repeat(3072), &"x".repeat(64_000), &"\u{1f600}".repeat(501)] {
        cast.fails("BP3", "asha", "chat:send", &body(&json!(text)), "too_large", "\"text\"").await;
    }
    innocents.unharmed("BP3").await;
    let reply = cast.call("asha", "chat:send", &body(&json!(format!("  {five}\n")))).await;
    assert_eq!(reply["message"]["text"], json!(five), "BP3 500 characters are not too many");

    for (field, value, code) in [
        ("clientId", json!(""), "bad_request"),
        ("clientId", json!("c".repeat(65)), "bad_request"),
        ("clientId", json!(5), "bad_request"),
        ("clientId", json!(null), "bad_request"),
        ("replyTo", json!(5), "bad_request"),
        ("replyTo", json!({ "id": "x" }), "bad_request"),
        ("replyTo", json!("nothing"), "not_found"),
        ("replyTo", json!(""), "not_found"),
        ("replyTo", json!("r".repeat(10_240)), "not_found"),
    ] {
        let mut body = body(&json!("hello"));
        body[field] = value;
        let names = if code == "bad_request" { field } else { "message" };
        cast.fails("BP3", "asha", "chat:send", &body, code, names).await;
    }
    for (field, value) in [
        ("limit", json!(0)),
        ("limit", json!(-1)),
        ("limit", json!(1.5)),
        ("limit", json!("1")),
        ("limit", json!(null)),
        ("before", json!(-1)),
        ("before", json!(1.5)),
        ("before", json!("1")),
        ("before", json!([])),
    ] {
        let body = json!({ "stream": "main", field: value });
        cast.fails("BP3", "asha", "stream:history", &body, "bad_request", field).await;
    }
    for history in [json!(-1), json!(0.5), json!("5"), json!(null), json!([])] {
        let body = json!({ "stream": "main", "history": history });
        cast.fails("BP3", "asha", "stream:join", &body, "bad_request", "history").await;
    }
    for (limit, before) in [(json!(1_000_000), json!(u64::MAX)), (json!(u64::MAX), json!(9_007_199_254_740_993_u64))] {
        let body = json!({ "stream": "main", "limit": limit, "before": before });
        let reply = cast.call("asha", "stream:history", &body).await;
        assert_eq!(reply["messages"].as_array().map(Vec::len), Some(1), "BP3 too much is clamped: {reply}");
    }
    innocents.unharmed("BP3").await;
}

#[tokio::test]
async fn texts_that_are_strange_reach_everybody_as_text() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut cast = Cast::gather(&world).await;
    let tower = format!("z{}", "\u{335}".repeat(40));
    let cut = format!("z{}", "\u{335}".repeat(8));
    for (row, text, shown) in [
        ("BP4 a tower of marks", &*tower, &*cut),
        ("BP4 an override", "safe\u{202e}gpj.exe", "safegpj.exe"),
        ("BP4 an isolate that is not closed", "open \u{2067}never", "open never"),
        ("BP4 tags", "a\u{e0041}\u{e0042}b", "ab"),
        ("BP4 a byte order mark", "a\u{feff}b", "ab"),
        ("BP4 controls", "a\u{0}b\u{1b}[31mc\u{85}d", "ab[31mcd"),
        ("BP4 a line separator", "a\u{2028}b", "a b"),
        ("BP4 Hindi", "क्‍या क्षत्रिय र्‍य", "क्‍या क्षत्रिय र्‍य"),
        ("BP4 Tamil", "ஸ்ரீ க்ஷ வணக்கம்", "ஸ்ரீ க்ஷ வணக்கம்"),
        ("BP4 Malayalam", "അവന്‍ ന്‍റെ", "അവന്‍ ന്‍റെ"),
        ("BP4 Urdu", "می‌خواہم بِسْمِ", "می‌خواہم بِسْمِ"),
        ("BP4 a family", "👩‍👩‍👧‍👦 👍🏽", "👩‍👩‍👧‍👦 👍🏽"),
        ("BP5 a script", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("BP5 an image", "<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("BP5 a link", "javascript:alert(1)", "javascript:alert(1)"),
        ("BP5 CDATA", "]]>&lt;&#x3c;", "]]>&lt;&#x3c;"),
        ("BP5 templates", "${7*7} {{7*7}} #{7*7} <%= 7 %>", "${7*7} {{7*7}} #{7*7} <%= 7 %>"),
        ("BP5 SQL", "' OR 1=1; DROP TABLE users; --", "' OR 1=1; DROP TABLE users; --"),
        ("BP5 a formula", "=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("BP5 JSON", r#""}],"seq":9,{"\u0022"#, r#""}],"seq":9,{"\u0022"#),
        ("BP5 a packet", "42[\"chat:message\",{}]", "42[\"chat:message\",{}]"),
        ("BP5 a separator", "a\u{1e}41\u{1e}b", "a41b"),
        ("BP5 a placeholder", r#"{"_placeholder":true,"num":0}"#, r#"{"_placeholder":true,"num":0}"#),
        ("BP5 a log line", "a\r\n{\"level\":\"error\"}", "a{\"level\":\"error\"}"),
    ] {
        let sent = json!({ "stream": "main", "text": text });
        let reply = cast.call("asha", "chat:send", &sent).await;
        assert_eq!(reply["message"]["text"], json!(shown), "{row}: {reply}");
        let seen = cast.0.get_mut("guest").unwrap().chats(1).await.remove(0);
        assert_eq!(seen.1, shown, "{row}");
        let history = cast.call("outside", "stream:history", &json!({ "stream": "main", "limit": 1 })).await;
        assert_eq!(history["messages"], json!([reply["message"]]), "{row}");
        let answered = json!({ "stream": "main", "text": "yes", "replyTo": reply["message"]["id"] });
        let reply = cast.call("moderator", "chat:send", &answered).await;
        assert_eq!(reply["message"]["replyTo"]["text"], json!(shown), "{row}: {reply}");
        cast.0.get_mut("guest").unwrap().chats(1).await;
        innocents.unharmed(row).await;
    }
}

#[tokio::test]
async fn what_one_may_not_say_of_a_message_is_not_heard() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut cast = Cast::gather(&world).await;
    let forged = json!({
        "stream": "main",
        "text": "hello",
        "id": "m1",
        "seq": 999,
        "at": 0,
        "ts": 0,
        "role": "supplier",
        "user": { "id": "supplier", "name": "Supplier", "role": "supplier" },
        "name": "Supplier",
        "room": "staff:main",
        "rooms": ["user:ravi"],
        "streams": ["*"],
        "event": "stream:ended",
        "held": true,
        "__proto__": { "role": "supplier" },
    });
    let row = "BP9 a message with forged fields";
    let honest = json!({ "stream": "main", "text": "hello" });
    let first = cast.call("asha", "chat:send", &honest).await["message"].clone();
    let second = cast.call("asha", "chat:send", &forged).await["message"].clone();
    let names = |message: &Value| message.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&second), "{row}");
    assert_eq!(second["user"], json!({ "id": "asha", "name": "asha", "role": "viewer" }), "{row}");
    assert_eq!(second["seq"].as_u64(), first["seq"].as_u64().map(|seq| seq + 1), "{row}");
    assert!(second["at"].as_u64() >= first["at"].as_u64(), "{row}");
    assert_ne!(second["id"], json!("m1"), "{row}");
    let row = "BP9 another stream than the one that was joined";
    cast.fails(row, "outside", "chat:send", &honest, "not_joined", "join").await;
    innocents.unharmed(row).await;

    let row = "BP9 a stream with forged fields";
    let forged = json!({
        "stream": "main",
        "title": "Sale",
        "id": "other",
        "status": "ended",
        "seq": 5,
        "epoch": "e",
        "viewers": 1_000_000,
        "reactions": { "heart": 9 },
        "supplier": { "id": "asha", "name": "Asha" },
        "startedAt": 1,
        "pinnedMessage": { "text": "x" },
        "drops": [{ "id": "d" }],
        "revision": "x",
    });
    let reply = cast.call("supplier", "stream:update", &forged).await;
    let state = &reply["state"];
    assert_eq!(
        (&state["id"], &state["status"], &state["supplier"]["id"], &state["reactions"], &state["drops"]),
        (&json!("main"), &json!("live"), &json!("supplier"), &json!({}), &json!([])),
        "{row}: {reply}"
    );
    assert!(state["viewers"].as_u64() < Some(100) && state["startedAt"].as_u64() > Some(1), "{row}: {reply}");
    assert_eq!(state["pinnedMessage"], Value::Null, "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn only_the_supplier_runs_a_stream() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut cast = Cast::gather(&world).await;
    let people = [
        ("guest", "unauthorized"),
        ("asha", "forbidden"),
        // A viewer of all streams is a viewer.
        ("star", "forbidden"),
        ("outside", "forbidden"),
        ("moderator", "forbidden"),
        ("elsewhere", "forbidden"),
        ("nowhere", "forbidden"),
        ("service-elsewhere", "forbidden"),
    ];
    for command in ["stream:start", "stream:update", "stream:end"] {
        for (who, code) in people {
            for stream in ["main", "new"] {
                let body = json!({ "stream": stream, "title": "Mine", "role": "supplier" });
                cast.fails("BP10", who, command, &body, code, "").await;
            }
        }
        innocents.unharmed(command).await;
    }
    cast.fails("BP10", "guest", "chat:send", &json!({ "stream": "main", "text": "x" }), "unauthorized", "").await;
    let state = cast.call("asha", "stream:join", &json!({ "stream": "main" })).await["state"].clone();
    assert_eq!((&state["title"], &state["status"]), (&json!("Sale"), &json!("live")));
    cast.fails("BP10", "outside", "stream:join", &json!({ "stream": "new" }), "not_found", "stream").await;

    for (title, code) in [
        (json!(5), "bad_request"),
        (json!(null), "bad_request"),
        (json!(""), "bad_request"),
        (json!("\u{200b}"), "bad_request"),
        (json!("t".repeat(201)), "too_large"),
    ] {
        let body = json!({ "stream": "main", "title": title });
        cast.fails("BP10", "supplier", "stream:update", &body, code, "\"title\"").await;
    }
    for (settings, code) in
        [(json!(5), "bad_request"), (json!([]), "bad_request"), (json!({ "x": "y".repeat(9000) }), "too_large")]
    {
        let body = json!({ "stream": "main", "settings": settings });
        cast.fails("BP10", "supplier", "stream:update", &body, code, "\"settings\"").await;
    }
    for products in [json!(5), json!({}), json!([5]), json!([{}]), json!(null)] {
        let body = json!({ "stream": "main", "products": products });
        cast.fails("BP10", "supplier", "stream:update", &body, "bad_request", "\"products\"").await;
    }
    cast.fails("BP10", "supplier", "stream:start", &json!({ "stream": "main" }), "conflict", "").await;
    innocents.unharmed("BP10").await;

    for who in ["service", "supplier"] {
        let reply = cast.call(who, "stream:update", &json!({ "stream": "main", "title": who })).await;
        assert_eq!(reply["state"]["title"], json!(who), "BP10 {who} may: {reply}");
    }
    assert_eq!(cast.call("supplier", "stream:end", &json!({ "stream": "main" })).await["ok"], true);
    for (who, command) in
        [("asha", "chat:send"), ("supplier", "chat:send"), ("supplier", "stream:end"), ("service", "stream:update")]
    {
        let body = json!({ "stream": "main", "text": "x", "title": "x" });
        cast.fails("BP10 after the end", who, command, &body, "ended", "").await;
    }
    innocents.unharmed("BP10 after the end").await;
}

#[tokio::test]
async fn floods_of_chat_are_told_to_wait() {
    let world = World::start(&[("HAAT_LIMITS_CHAT_PER_SECOND", "0.001"), ("HAAT_LIMITS_CHAT_BURST", "12")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    supplier.join("main").await;
    let row = "BP8 1,000 chat messages";
    let mut asha = world.user("asha").await;
    asha.join("main").await;
    let message = ("chat:send", json!({ "stream": "main", "text": "again" }));
    let mut said = 0;
    for reply in flood(&mut asha, &[message], 1000).await {
        if reply["ok"] == true {
            said += 1;
        } else {
            assert_eq!(reply["error"]["code"], "rate_limited", "{row}: {reply}");
            assert!(reply["error"]["retryAfterMs"].as_u64().is_some_and(|after| after > 0), "{row}: {reply}");
        }
    }
    assert_eq!(said, 12, "{row}");
    innocents.unharmed(row).await;
    let mut again = world.user("asha").await;
    again.join("main").await;
    let reply = again.call("chat:send", &json!({ "stream": "main", "text": "from here?" })).await;
    assert_eq!(reply["error"]["code"], "rate_limited", "{row}: a user has one limit on all connections");
    for number in 0..20 {
        supplier.say("main", &format!("the supplier is not a viewer {number}")).await;
    }
    let mut ravi = world.user("ravi").await;
    ravi.join("main").await;
    ravi.say("main", "others go on").await;
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn floods_of_events_are_told_to_wait() {
    let limits = [
        ("HAAT_LIMITS_EVENTS_PER_SECOND", "0.001"),
        ("HAAT_LIMITS_EVENTS_BURST", "30"),
        ("HAAT_LIMITS_STAFF_PER_SECOND", "0.001"),
        ("HAAT_LIMITS_STAFF_BURST", "60"),
    ];
    let world = World::start(&limits).await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BP8 events of all kinds";
    let long = "x".repeat(100);
    let events = [
        ("stream:history", json!({ "stream": "calm" })),
        ("nothing", json!({})),
        ("chat:send", json!({ "stream": "*" })),
        ("stream:start", json!({ "stream": "calm" })),
        (&*long, json!({})),
        ("stream:join", json!([])),
        ("nothing", json!("\u{1f600}")),
    ];
    for (auth, most) in [
        (json!({}), 30),
        (json!({ "token": token("asha", "viewer", &[]) }), 30),
        (json!({ "token": token("staff", "moderator", &["main"]) }), 60),
    ] {
        let mut client = Client::connect(world.address, &auth).await;
        let mut taken = 0;
        for reply in flood(&mut client, &events, 1000).await {
            if reply["error"]["code"] == "rate_limited" {
                assert!(reply["error"]["retryAfterMs"].as_u64().is_some_and(|after| after > 0), "{row}: {reply}");
            } else {
                taken += 1;
            }
        }
        assert_eq!(taken, most, "{row}, {auth}");
        innocents.unharmed(row).await;
    }
    let mut other = world.guest().await;
    let reply = other.call("stream:history", &json!({ "stream": "calm" })).await;
    assert_eq!(reply["ok"], true, "{row}: each connection has its own");
}
