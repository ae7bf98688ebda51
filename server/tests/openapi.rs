//! The description of the HTTP API against a running server: whatever it promises is so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{World, live::product, token};

/// What is wrong with a value, by the part of JSON Schema that the description uses.
fn faults(document: &Value, schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    if let Some(target) = schema["$ref"].as_str() {
        return faults(document, &document[0].pointer(&target[1..]).unwrap().clone(), value, path, out);
    }
    let mut fault = |what: String| out.push(format!("{path}: {what}: {value}"));
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        fault(format!("is not {constant}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        fault(format!("is none of {words:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        name => panic!("type {name}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        fault(format!("is no {types:?}"));
    }
    if let Some(minimum) = schema["minimum"].as_u64()
        && value.as_u64().is_none_or(|value| value < minimum)
    {
        fault(format!("is below {minimum}"));
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let fits = options.iter().any(|option| {
            let mut inner = Vec::new();
            faults(document, option, value, path, &mut inner);
            inner.is_empty()
        });
        if !fits {
            fault("fits nothing".to_owned());
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            out.push(format!("{path}: {name} is missing: {value}"));
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            faults(document, schema, value, &format!("{path}.{name}"), out);
        }
    }
    if let (Some(schema), Some(values)) = (schema.get("items"), value.as_array()) {
        for (place, value) in values.iter().enumerate() {
            faults(document, schema, value, &format!("{path}[{place}]"), out);
        }
    }
}

fn assert_fits(document: &Value, schema: &Value, value: &Value, what: &str) {
    let mut out = Vec::new();
    faults(&json!([document]), schema, value, what, &mut out);
    assert!(out.is_empty(), "{out:#?}");
}

fn answer_schema(operation: &Value) -> &Value {
    &operation["responses"]["200"]["content"]["application/json"]["schema"]
}

/// A sale in which every command is done once, in this order. `$` stands for what an earlier answer held there.
fn sale() -> Vec<(&'static str, Value)> {
    let price = json!({ "amount": 100, "currency": "INR" });
    let drop = json!({ "id": "d1", "product": "saree", "price": price, "stock": 5 });
    let wheel = json!({ "id": "w1", "title": "W", "prizes": [{ "id": "a", "label": "A", "weight": 1, "stock": 3 }] });
    let poll = json!({ "id": "p1", "question": "Q", "options": ["a", "b"] });
    vec![
        ("stream:update", json!({ "title": "Soon", "settings": { "a": 1 } })),
        ("stream:start", json!({ "products": [product("saree")] })),
        ("product:put", json!({ "product": product("kurta") })),
        ("product:remove", json!({ "product": "kurta" })),
        ("product:pin", json!({ "product": "saree" })),
        ("chat:send", json!({ "text": "hello", "clientId": "c1" })),
        ("chat:pin", json!({ "message": "$/message/id" })),
        ("stream:history", json!({ "limit": 5 })),
        ("notice:send", json!({ "text": "hi" })),
        ("drop:open", json!({ "drop": drop })),
        ("drop:claim", json!({ "drop": "d1", "quantity": 1, "requestId": "r" })),
        ("drop:confirm", json!({ "drop": "d1", "claim": "$/claim/id" })),
        ("drop:release", json!({ "drop": "d1", "claim": "$/claim/id" })),
        ("wheel:open", json!({ "wheel": wheel })),
        ("wheel:spin", json!({ "wheel": "w1", "requestId": "r" })),
        ("poll:open", json!({ "poll": poll })),
        ("poll:vote", json!({ "poll": "p1", "option": 1 })),
        ("question:ask", json!({ "text": "why?" })),
        ("question:upvote", json!({ "question": "$/question/id" })),
        ("reaction:send", json!({ "kind": "heart", "count": 3 })),
        ("stream:stats", json!({})),
        ("STATE", json!({})),
        ("question:answer", json!({ "question": "$/question/id", "text": "so" })),
        ("question:hide", json!({ "question": "$/question/id" })),
        ("drop:close", json!({ "drop": "d1" })),
        ("wheel:close", json!({ "wheel": "w1" })),
        ("poll:close", json!({ "poll": "p1" })),
        ("chat:unpin", json!({ "message": "$/message/id" })),
        ("chat:delete", json!({ "message": "$/message/id" })),
        ("product:unpin", json!({})),
        ("chat:mode", json!({ "slowSeconds": 0, "membersOnly": false, "paused": false })),
        ("user:mute", json!({ "user": "ana", "seconds": 60, "reason": "x" })),
        ("user:unmute", json!({ "user": "ana" })),
        ("user:ban", json!({ "user": "ana" })),
        ("user:unban", json!({ "user": "ana" })),
        ("words:set", json!({ "words": ["spam"], "action": "hold" })),
        ("HOLD", json!({})),
        ("chat:approve", json!({ "message": "$/held" })),
        ("HOLD", json!({})),
        ("chat:reject", json!({ "message": "$/held" })),
        ("STATE", json!({})),
        ("stream:end", json!({})),
    ]
}

#[tokio::test]
async fn every_command_is_as_it_is_described() {
    let world = World::start(&[]).await;
    let document = world.get("/v1/openapi.json", None).await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let service = token("shop", "service", &["main"]);
    let (mut memory, mut done) = (json!({}), BTreeSet::new());
    for (command, mut body) in sale() {
        if command == "HOLD" {
            let held = world.command(&token("bo", "viewer", &[]), "chat:send", json!({ "text": "spam" })).await.json();
            assert_eq!(held["held"], true);
            let book = haat_adapter::Market::notes(&*world.engine, "main", "held").await.unwrap();
            let waiting = book.notes.iter().find(|(_, text)| text.contains(r#""state":"held""#)).unwrap();
            memory["held"] = json!(&*waiting.0);
            continue;
        }
        if command == "STATE" {
            let state = world.get("/v1/streams/main", None).await.json();
            assert_fits(&document, answer_schema(&document["paths"]["/v1/streams/{stream}"]["get"]), &state, "state");
            continue;
        }
        let operation = document["paths"][format!("/v1/commands/{command}")]["post"].clone();
        assert!(operation.is_object(), "{command} is not described");
        body["stream"] = json!("main");
        for value in body.as_object_mut().unwrap().values_mut() {
            if let Some(place) = value.as_str().and_then(|text| text.strip_prefix('$')) {
                *value = memory.pointer(place).unwrap().clone();
            }
        }
        let takes = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_fits(&document, takes, &body, command);
        for name in body.as_object().unwrap().keys() {
            assert!(takes["properties"].get(name).is_some(), "{command} does not describe {name}");
        }
        // What must be there must be there, and the error names it.
        for name in takes["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
            let mut short = body.clone();
            short.as_object_mut().unwrap().remove(name);
            let path = format!("/v1/commands/{command}");
            let reply = world.post(&path, Some(&service), &short).await;
            assert_eq!((reply.status, reply.code()), (400, "bad_request".to_owned()), "{command} without {name}");
            assert!(reply.text.contains(&format!("\\\"{name}")), "{command} without {name}: {reply:?}");
            assert_fits(&document, &document["components"]["schemas"]["Error"], &reply.json(), command);
        }
        // And the rest need not.
        let reply = world.command(&service, command, body).await;
        assert_eq!(reply.status, 200, "{command}: {reply:?}");
        let reply = reply.json();
        assert_fits(&document, answer_schema(&operation), &reply, command);
        for (name, value) in reply.as_object().unwrap() {
            assert!(answer_schema(&operation)["properties"].get(name).is_some(), "{command} does not describe {name}");
            memory[name] = value.clone();
        }
        done.insert(command);
    }
    let described = document["paths"].as_object().unwrap().keys().filter_map(|path| path.strip_prefix("/v1/commands/"));
    assert_eq!(done, described.collect(), "every command is tried");
}

#[tokio::test]
async fn every_address_is_as_it_is_described() {
    let world = World::start(&[]).await;
    world.done("stream:start", json!({})).await;
    world.done("chat:send", json!({ "text": "hi" })).await;
    let document = world.get("/v1/openapi.json", None).await.json();
    let service = token("shop", "service", &["*"]);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let real = path.replace("{stream}", "main");
            let reply = match &**method {
                "get" => world.get(&real, Some(&service)).await,
                "post" if path == "/v1/broadcast" => {
                    world.post(&real, Some(&service), &json!({ "rooms": ["stream:main"], "event": "x" })).await
                }
                "post" => {
                    let reply = world.post(&real, Some(&service), &json!({})).await;
                    assert_eq!(reply.status, 400, "{path}: a command without a stream");
                    continue;
                }
                method => panic!("{method}"),
            };
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            assert_fits(&document, answer_schema(operation), &reply.json(), path);
            let other = if &**method == "get" { "POST" } else { "GET" };
            let reply = support::http::send(world.address, other, &real, &[], "").await;
            assert_eq!(reply.status, 405, "{other} {path}");
        }
    }
}
