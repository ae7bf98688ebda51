//! Sales that nobody should be able to cheat. Rows are named after the catalogue of bad input (BP6, BP7, BP11 to BP16). After each of
//! them innocent viewers go on as before.
//!
//! The contract decides on codes: what the catalogue calls bad_qty is `bad_request` with the field's name, not_open and
//! unknown are `closed` and `not_found`, a key that is used for something else is `conflict`.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use haat_adapter::{
    Market,
    memory::{Engine, Limits},
};
use serde_json::{Value, json};
use support::{Client, World, innocents::Innocents, live::product};

fn drop_of(id: &str, stock: u64) -> Value {
    let price = json!({ "amount": 100, "currency": "INR" });
    json!({ "id": id, "product": "saree", "price": price, "stock": stock, "perUser": 3 })
}

fn wheel_of(prizes: Value) -> Value {
    json!({ "wheel": { "id": "w1", "title": "W", "prizes": prizes } })
}

fn prize(id: &str, weight: Value) -> Value {
    json!({ "id": id, "label": id, "weight": weight })
}

/// A supplier with something to sell.
async fn shop(world: &World) -> Client {
    let mut host = world.host().await;
    host.ok("product:put", json!({ "product": product("saree") })).await;
    host
}

/// Each must fail with this code, and a `bad_request` must name the field.
async fn fail(row: &str, client: &mut Client, command: &str, bodies: Vec<Value>, code: &str, field: &str) {
    for body in bodies {
        let error = client.error(command, body.clone()).await;
        assert_eq!(error["code"], code, "{row}: {body:.200}: {error}");
        assert!(error["message"].as_str().unwrap().contains(field), "{row}: {body:.200}: {error}");
    }
}

#[tokio::test]
async fn words_that_hide() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    host.ok("words:set", json!({ "words": ["scam", "ठगी"], "action": "reject" })).await;
    let mut ana = world.viewer("ana").await;
    let caught = [
        "scam",
        "SCAM!",
        "what a ＳＣＡＭ",
        "s\u{200b}c\u{200b}a\u{200b}m",
        "sc\u{200d}am",
        "sc\u{ad}am",
        "𝓼𝓬𝓪𝓶",
        "ठगी है",
        "ठ\u{200d}गी",
    ];
    for text in caught {
        assert_eq!(ana.code("chat:send", json!({ "text": text })).await, "rejected", "BP6 {text:?}");
    }
    // Whole words, literally: other letters are other words, and moderators see to them.
    for text in ["scammer", "s c a m", "5cam", "ѕсаm", "ठगीरा"] {
        ana.say("main", text).await;
    }
    innocents.unharmed("BP6").await;
}

#[tokio::test]
async fn crowds_that_say_the_same() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    let mut crowd = Vec::new();
    for number in 0..20 {
        crowd.push(world.viewer(&format!("fan-{number}")).await);
    }
    let link = "call +91 98765 43210, https://evil.example/<script>";
    for fan in &mut crowd {
        // Plain text to everybody, whatever is in it.
        assert_eq!(fan.say("main", link).await["text"], link, "BP7");
    }
    host.ok("chat:mode", json!({ "slowSeconds": 600 })).await;
    for fan in &mut crowd {
        fan.next("chat:mode").await;
        fan.say("main", "once more").await;
        assert_eq!(fan.code("chat:send", json!({ "text": link })).await, "slow_mode", "BP7");
    }
    host.ok("words:set", json!({ "words": ["evil"], "action": "hold" })).await;
    let reply = host.ok("chat:send", json!({ "text": "staff say what they like: evil" })).await;
    assert_eq!(reply["held"], Value::Null, "BP7");
    innocents.unharmed("BP7").await;
}

#[tokio::test]
async fn quantities_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    host.ok("drop:open", json!({ "drop": drop_of("d1", 5) })).await;
    let mut ana = world.viewer("ana").await;
    let wrong =
        ["0", "-1", "1.5", "\"1\"", "1e3", "null", "9007199254740992", "18446744073709551616", "[1]", "true", "1e400"];
    for quantity in wrong {
        // As text: not every number of these survives a JSON library.
        let event = format!(r#"["drop:claim",{{"stream":"main","drop":"d1","quantity":{quantity}}}]"#);
        ana.send_text(&format!("42777{event}")).await;
        let error = ana.answer(777).await["error"].clone();
        assert_eq!(error["code"], "bad_request", "BP11 {quantity}: {error}");
    }
    assert_eq!(ana.code("drop:claim", json!({ "drop": "d1", "quantity": 4 })).await, "limit_reached", "BP11");
    assert_eq!(
        ana.ok("drop:claim", json!({ "drop": "d1", "quantity": 3 })).await["left"],
        2,
        "BP11: nothing was taken before"
    );
    innocents.unharmed("BP11").await;
}

#[tokio::test]
async fn stocks_that_are_none_or_change() {
    let engine = Engine::new(Limits::default());
    let (world, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    let with = |stock: Value| {
        let mut drop = drop_of("d1", 1);
        drop["stock"] = stock;
        json!({ "drop": drop })
    };
    let wrong = [json!(-1), json!(0), json!(1e12), json!(1_000_000_000_001_u64), json!(2.5), json!("5"), json!(null)];
    fail("BP12", &mut host, "drop:open", wrong.map(with).to_vec(), "bad_request", "drop").await;
    // Two open the same drop at once, on two gateways: one of them does.
    let mut rival = other.member("supplier", "supplier").await;
    let [small, large] = [2, 9].map(|stock| with_stream(&with(json!(stock))));
    let (one, two) = tokio::join!(host.call("drop:open", &small), rival.call("drop:open", &large));
    let opened: Vec<&Value> = [&one, &two].into_iter().filter(|reply| reply["ok"] == true).collect();
    assert_eq!(opened.len(), 1, "BP12: {one} {two}");
    let refused = if one["ok"] == true { &two } else { &one };
    assert_eq!(refused["error"]["code"], "conflict", "BP12");
    let stock = opened[0]["drop"]["stock"].as_u64().unwrap();
    // In the midst of a sale its terms do not change: another stock is another drop.
    let mut ana = world.viewer("ana").await;
    ana.ok("drop:claim", json!({ "drop": "d1", "quantity": 2 })).await;
    fail("BP12", &mut host, "drop:open", vec![with(json!(1)), with(json!(100))], "conflict", "drop").await;
    let closed = host.ok("drop:close", json!({ "drop": "d1" })).await["drop"].clone();
    assert_eq!(
        (&closed["stock"], &closed["left"]),
        (&json!(stock), &json!(stock - 2)),
        "BP12: it closes at what is sold"
    );
    assert_eq!(host.code("drop:close", json!({ "drop": "d1" })).await, "closed", "BP12");
    innocents.unharmed("BP12").await;
}

fn with_stream(body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = json!("main");
    body
}

#[tokio::test]
async fn claims_at_the_wrong_time_or_place() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    let mut soon = drop_of("soon", 1);
    soon["opensAt"] = json!((support::now() + 3600) * 1000);
    host.ok("drop:open", json!({ "drop": soon })).await;
    host.ok("drop:open", json!({ "drop": drop_of("over", 1) })).await;
    host.ok("drop:close", json!({ "drop": "over" })).await;
    let mut ana = world.viewer("ana").await;
    for (drop, code) in [("soon", "closed"), ("over", "closed"), ("none", "not_found"), ("__proto__", "not_found")] {
        assert_eq!(ana.code("drop:claim", json!({ "drop": drop })).await, code, "BP13 {drop}");
    }
    let early = ana.error("drop:claim", json!({ "drop": "soon" })).await;
    assert!(early["retryAfterMs"].as_u64().is_some_and(|after| after > 3_000_000), "BP13 {early}");
    // A drop of another stream is none of this one.
    let mut other = world.supplier(&["other"]).await;
    for (command, body) in
        [("product:put", json!({ "product": product("saree") })), ("drop:open", json!({ "drop": drop_of("there", 1) }))]
    {
        let mut body = body;
        body["stream"] = json!("other");
        assert_eq!(other.call(command, &body).await["ok"], true);
    }
    assert_eq!(ana.code("drop:claim", json!({ "drop": "there" })).await, "not_found", "BP13");
    assert_eq!(ana.code("drop:claim", json!({ "stream": "other", "drop": "there" })).await, "not_joined", "BP13");
    host.ok("drop:open", json!({ "drop": drop_of("lost", 1) })).await;
    ana.until("drop:opened", |event| event["drop"]["id"] == "lost").await;
    innocents.unharmed("BP13").await;
    // Whatever is lost is lost to the innocent as well.
    world.engine.lose_data();
    assert_eq!(ana.code("drop:claim", json!({ "drop": "lost" })).await, "paused", "BP13");
}

#[tokio::test]
async fn claims_that_are_repeated() {
    let engine = Engine::new(Limits::default());
    let (world, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    for id in ["d1", "d2"] {
        host.ok("drop:open", json!({ "drop": drop_of(id, 50) })).await;
    }
    let (mut here, mut also, mut there) =
        (world.viewer("ana").await, world.viewer("ana").await, other.viewer("ana").await);
    let body = with_stream(&json!({ "drop": "d1", "requestId": "r1" }));
    let mut sent = Vec::new();
    for _ in 0..100 {
        sent.push((
            here.send("drop:claim", &body).await,
            also.send("drop:claim", &body).await,
            there.send("drop:claim", &body).await,
        ));
    }
    let first = here.answer(sent[0].0).await;
    assert_eq!(first["ok"], true, "BP14 {first}");
    for (place, (one, two, three)) in sent.into_iter().enumerate() {
        let answers = [(place > 0, one, &mut here), (true, two, &mut also), (true, three, &mut there)];
        for (due, id, client) in answers {
            if due {
                assert_eq!(client.answer(id).await, first, "BP14: the same answer, wherever it was asked for");
            }
        }
    }
    assert_eq!(
        here.code("drop:claim", json!({ "drop": "d1", "requestId": "r1", "quantity": 2 })).await,
        "conflict",
        "BP14"
    );
    // Names are the user's own, and the drop's.
    let mut bo = other.viewer("bo").await;
    for (client, drop) in [(&mut bo, "d1"), (&mut here, "d2")] {
        let claim = client.ok("drop:claim", json!({ "drop": drop, "requestId": "r1" })).await;
        assert_ne!(claim["claim"]["id"], first["claim"]["id"], "BP14");
    }
    let ledger = engine.ledger("main", "", 1_000).await.unwrap();
    assert_eq!(ledger.iter().filter(|record| &*record.kind == "claim").count(), 3, "BP14");
    innocents.unharmed("BP14").await;
}

#[tokio::test]
async fn spins_that_are_repeated_or_forged() {
    let engine = Engine::new(Limits::default());
    let (world, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    host.ok("wheel:open", wheel_of(json!([prize("a", json!(1)), prize("b", json!(1))]))).await;
    let (mut here, mut there) = (world.viewer("ana").await, other.viewer("ana").await);
    // Twice at once, without a name: one of them spins.
    let body = with_stream(
        &json!({ "wheel": "w1", "requestId": "r1", "prize": "a", "seed": "00", "draw": 1, "user": "bo", "turn": 9 }),
    );
    let (one, two) = tokio::join!(here.call("wheel:spin", &body), there.call("wheel:spin", &body));
    assert_eq!((&one, &one["ok"]), (&two, &json!(true)), "BP15");
    assert_eq!(one["spinsLeft"], 0, "BP15");
    for client in [&mut here, &mut there] {
        for body in [json!({ "wheel": "w1" }), json!({ "wheel": "w1", "requestId": "r2" })] {
            assert_eq!(client.code("wheel:spin", body).await, "limit_reached", "BP15");
        }
    }
    // Somebody else's name of a spin, or its id, is nothing.
    let mut bo = other.viewer("bo").await;
    let mine = bo.ok("wheel:spin", json!({ "wheel": "w1", "requestId": one["spin"]["id"] })).await;
    assert_ne!(mine["spin"]["id"], one["spin"]["id"], "BP15");
    let ledger = engine.ledger("main", "", 1_000).await.unwrap();
    let spins: Vec<Value> = ledger
        .iter()
        .filter(|record| &*record.kind == "spin")
        .map(|record| serde_json::from_str(&record.data).unwrap())
        .collect();
    assert_eq!(
        spins.iter().map(|spin| &spin["user"]).collect::<Vec<_>>(),
        ["ana", "bo"],
        "BP15: the server's values win"
    );
    innocents.unharmed("BP15").await;
}

#[tokio::test]
async fn wheels_that_are_none() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let mut host = shop(&world).await;
    let one = |weight: Value| wheel_of(json!([prize("a", weight)]));
    let many: Vec<Value> = (0..10_000).map(|number| prize(&format!("p{number}"), json!(1))).collect();
    let some: Vec<Value> = (0..51).map(|number| prize(&format!("p{number}"), json!(1))).collect();
    let mut bodies: Vec<Value> =
        [json!(-1), json!(null), json!("NaN"), json!(0), json!(0.5), json!(9_007_199_254_740_993_u64), json!(1e300)]
            .map(one)
            .to_vec();
    bodies.push(wheel_of(json!(some)));
    bodies.push(wheel_of(json!([{ "id": "a", "label": "A", "weight": 1, "stock": -1 }])));
    fail("BP16", &mut host, "wheel:open", bodies, "bad_request", "wheel").await;
    // So long a list does not even come in: the connection ends, and nobody else's.
    let mut flood = world.member("mod", "moderator").await;
    flood.send_text(&format!("421{}", json!(["wheel:open", with_stream(&wheel_of(json!(many)))]))).await;
    flood.closed().await;
    assert_eq!(host.join("main").await["state"]["wheels"], json!([]), "BP16: nothing was opened");
    innocents.unharmed("BP16").await;
}
