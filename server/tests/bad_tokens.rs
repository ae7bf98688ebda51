//! Tokens that open nothing. Rows are named after the catalogue of bad input (BP17 to BP23). After each of them innocent
//! viewers go on as before.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use support::{
    Client, SECRET, World,
    innocents::Innocents,
    now, token, token_until,
    wire::{Wire, text},
};

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("fixtures/keys/", $name))
    };
}

const JWKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/jwks.json");

fn encode(part: impl ToString) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn signed(header: &Value, payload: impl ToString, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token with this header and payload, signed with the secret of the tests.
fn hs256(header: &Value, payload: impl ToString) -> String {
    signed(header, payload, &EncodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256)
}

/// Claims that are good but for these; `null` takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({ "sub": "asha", "exp": now() + 3600 });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn with(changes: Value) -> String {
    hs256(&json!({ "alg": "HS256" }), claims(changes))
}

/// Each token is refused, for a reason that says this, and the connection may try again.
async fn check_all(world: &World, rows: Vec<(String, String, &str)>) {
    let mut innocents = Innocents::watch(world).await;
    for (row, token, reason) in rows {
        let mut wire = Wire::session(world.address).await;
        wire.send(text(&format!("40{}", json!({ "token": token })))).await;
        let refused = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
        let refused: Value =
            serde_json::from_str(refused.strip_prefix("44").unwrap_or_else(|| panic!("{row}: {refused}"))).unwrap();
        assert_eq!(
            (&refused["message"], &refused["data"]["code"]),
            (&json!("unauthorized"), &json!("unauthorized")),
            "{row}"
        );
        let message = refused["data"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{row}: {message}");
        assert!(message.len() < 100, "{row}: nothing of the token is said");
        wire.send(text("40")).await;
        let guest = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
        assert!(guest.starts_with("40{"), "{row}: {guest}");
        innocents.unharmed(&row).await;
    }
}

#[tokio::test]
async fn tokens_do_not_choose_how_they_are_checked() {
    let world = World::start(&[("HAAT_AUTH_JWKS_FILE", JWKS)]).await;
    let good = claims(json!({}));
    let mut rows = Vec::new();
    for algorithm in
        ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "PS256", "RS512", "ES384", "hs256", "HS256 ", "foo"]
    {
        let header = json!({ "alg": algorithm });
        let unsigned = format!("{}.{}.", encode(&header), encode(&good));
        rows.push((format!("BP17 {algorithm:?}, not signed"), unsigned, "algorithm"));
        rows.push((format!("BP17 {algorithm:?}"), hs256(&header, &good), "algorithm"));
    }
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA"] {
        let unsigned = format!("{}.{}.", encode(json!({ "alg": algorithm })), encode(&good));
        rows.push((format!("BP17 {algorithm}, not signed"), unsigned, "signature"));
    }
    for public in
        [key!("rsa.public.pem"), key!("rsa.public.pem").trim_end(), key!("p256.public.pem"), key!("jwks.json")]
    {
        let key = EncodingKey::from_secret(public.as_bytes());
        let token = signed(&json!({ "alg": "HS256" }), &good, &key, Algorithm::HS256);
        rows.push(("BP17 a public key for a secret".to_owned(), token, "signature"));
    }
    for crit in [json!(["exp"]), json!([]), json!(null), json!("b64")] {
        rows.push((format!("BP17 crit {crit}"), hs256(&json!({ "alg": "HS256", "crit": crit }), &good), "extension"));
    }
    let rsa = EncodingKey::from_rsa_pem(key!("rsa.private.pem").as_bytes()).unwrap();
    let other = EncodingKey::from_rsa_pem(key!("rsa-other.private.pem").as_bytes()).unwrap();
    let kids = [
        "../../../../etc/passwd",
        "/dev/null",
        "https://attacker.example/key",
        "' OR '1'='1",
        "rsa-1\0",
        "RSA-1",
        "",
        &"k".repeat(4000),
    ];
    for kid in kids {
        let token = signed(&json!({ "alg": "RS256", "kid": kid }), &good, &rsa, Algorithm::RS256);
        rows.push((format!("BP20 kid {kid:.40}"), token, "key is not known"));
    }
    for kid in [json!(5), json!([]), json!({ "x": 1 })] {
        rows.push((
            format!("BP20 kid {kid}"),
            signed(&json!({ "alg": "RS256", "kid": kid }), &good, &rsa, Algorithm::RS256),
            "JWT",
        ));
    }
    rows.push((
        "BP20 another key's name".to_owned(),
        signed(&json!({ "alg": "RS256", "kid": "rsa-2" }), &good, &rsa, Algorithm::RS256),
        "signature",
    ));
    let set: Value = serde_json::from_str(key!("jwks.json")).unwrap();
    let carried = json!({
        "alg": "RS256",
        "kid": "rsa-1",
        "jwk": set["keys"][1],
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/cert.pem",
        "x5c": ["AAAA"],
    });
    rows.push(("BP20 a key in the token".to_owned(), signed(&carried, &good, &other, Algorithm::RS256), "signature"));
    check_all(&world, rows).await;
    let auth = json!({ "token": signed(&carried, &good, &rsa, Algorithm::RS256) });
    assert!(Client::connect(world.address, &auth).await.accepted, "BP20 what a header holds beside is not looked at");
}

#[tokio::test]
async fn claims_that_are_none() {
    let world = World::start(&[("HAAT_AUTH_AUDIENCE", "haat"), ("HAAT_AUTH_ISSUER", "https://login.example")]).await;
    // The innocents' tokens are made without these two, so they have to be guests here.
    let good = |changes: Value| {
        let mut all = json!({ "aud": "haat", "iss": "https://login.example" });
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        with(all)
    };
    let now = now();
    let rows = vec![
        ("BP18 expired", json!({ "exp": now - 3600 }), "expired"),
        ("BP18 expired in 1970", json!({ "exp": 0 }), "expired"),
        ("BP18 not yet", json!({ "nbf": now + 3600 }), "not valid yet"),
        ("BP18 made in an hour", json!({ "iat": now + 3600 }), "not valid yet"),
        ("BP18 exp as a text", json!({ "exp": (now + 3600).to_string() }), "claim exp"),
        ("BP18 nbf as a text", json!({ "nbf": "0" }), "claim nbf"),
        ("BP18 iat as a text", json!({ "iat": "0" }), "claim iat"),
        ("BP18 no exp", json!({ "exp": null }), "claim exp"),
        ("BP18 exp of 2^63", json!({ "exp": 1_u64 << 63 }), "claim exp"),
        ("BP18 exp of 2^64 - 1", json!({ "exp": u64::MAX }), "claim exp"),
        ("BP18 exp with a fraction", json!({ "exp": now as f64 + 3600.5 }), "claim exp"),
        ("BP18 exp below 0", json!({ "exp": -1 }), "claim exp"),
        ("BP18 exp in a list", json!({ "exp": [now + 3600] }), "claim exp"),
        ("BP18 exp as an object", json!({ "exp": { "toString": "x" } }), "claim exp"),
        ("BP18 exp true", json!({ "exp": true }), "claim exp"),
        ("BP18 nbf below 0", json!({ "nbf": -1 }), "claim nbf"),
        ("BP18 nbf of 2^64 - 1", json!({ "nbf": u64::MAX }), "not valid yet"),
        ("BP19 no aud", json!({ "aud": null }), "audience"),
        ("BP19 another aud", json!({ "aud": "haat2" }), "audience"),
        ("BP19 an empty list of aud", json!({ "aud": [] }), "audience"),
        ("BP19 a list without aud", json!({ "aud": ["a", "haat "] }), "audience"),
        ("BP19 a list in a list of aud", json!({ "aud": [["haat"]] }), "claim aud"),
        ("BP19 no iss", json!({ "iss": null }), "issuer"),
        ("BP19 another iss", json!({ "iss": "https://login.example/" }), "issuer"),
        ("BP19 a list of iss", json!({ "iss": ["https://login.example"] }), "claim iss"),
        ("BP19 no sub", json!({ "sub": null }), "claim sub"),
        ("BP19 an empty sub", json!({ "sub": "" }), "claim sub"),
        ("BP19 a number for sub", json!({ "sub": 5 }), "claim sub"),
        ("BP19 a long sub", json!({ "sub": "s".repeat(129) }), "claim sub"),
        ("BP19 a line end in sub", json!({ "sub": "asha\n{\"level\":\"error\"}" }), "claim sub"),
        ("BP19 a zero in sub", json!({ "sub": "asha\0" }), "claim sub"),
        ("BP19 a long name", json!({ "name": "n".repeat(65) }), "claim name"),
        ("BP19 a number for a name", json!({ "name": 5 }), "claim name"),
        ("BP19 an unknown role", json!({ "role": "admin" }), "claim role"),
        ("BP19 a list of roles", json!({ "role": ["supplier"] }), "claim role"),
        ("BP19 a role in capitals", json!({ "role": "Supplier" }), "claim role"),
        ("BP19 streams as a text", json!({ "streams": "main" }), "claim streams"),
        ("BP19 a stream that is none", json!({ "streams": ["main", "a b"] }), "claim streams"),
        ("BP19 a number among streams", json!({ "streams": ["main", 5] }), "claim streams"),
    ];
    let mut guests = Vec::new();
    for _ in 0..2 {
        guests.push(world.guest().await);
    }
    for (row, changes, reason) in rows {
        let client = Client::connect(world.address, &json!({ "token": good(changes) })).await;
        assert!(!client.accepted, "{row}: {:?}", client.connected);
        let message = client.connected["data"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{row}: {message}");
        for guest in &mut guests {
            let reply = guest.call("stream:history", &json!({ "stream": "main" })).await;
            assert_eq!(reply["error"]["code"], "not_found", "{row}: others go on");
        }
    }
    for (row, changes) in [
        ("BP19 a list with aud", json!({ "aud": ["shop", "haat"] })),
        ("BP18 within the leeway", json!({ "exp": now - 5, "nbf": now + 5, "iat": now + 5 })),
        ("BP19 a sub of 128 characters", json!({ "sub": "स".repeat(128) })),
    ] {
        let client = Client::connect(world.address, &json!({ "token": good(changes) })).await;
        assert!(client.accepted, "{row}: {:?}", client.connected);
    }
}

#[tokio::test]
async fn texts_that_are_no_tokens() {
    let world = World::start(&[]).await;
    let good = with(json!({}));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let mut rows: Vec<(String, String, &str)> = [
        "",
        ".",
        "..",
        "...",
        "asha",
        &format!("{header}.{payload}"),
        &format!("{good}."),
        &format!("{good}.x"),
        &format!(".{good}"),
        &format!("{header}.{payload}.{payload}.{signature}"),
        &format!("{}.a.b.c.d", encode(json!({ "alg": "dir", "enc": "A256GCM" }))),
        &format!("{header}=.{payload}.{signature}"),
        &format!("{header}\n.{payload}.{signature}"),
        &format!("!{header}.{payload}.{signature}"),
        &format!(" {good}"),
        &format!("Bearer {good}"),
        &format!("{}.{payload}.{signature}", encode("[]")),
        &format!("{}.{payload}.{signature}", encode("{}")),
        &format!("{}.{payload}.{signature}", encode("{\"alg\":\"HS256\",\"alg\":\"none\"}")),
        &format!("{}.{payload}.{signature}", encode("[".repeat(3000))),
        &hs256(&json!({ "alg": "HS256" }), "[]"),
        &hs256(&json!({ "alg": "HS256" }), "not JSON"),
        &hs256(&json!({ "alg": "HS256" }), "[".repeat(3000)),
        &hs256(&json!({ "alg": "HS256" }), claims(json!({})).to_string().replace('{', "{\"sub\":\"ravi\",")),
    ]
    .into_iter()
    .map(|token| (format!("BP21 {token:.60}"), token.to_owned(), "JWT"))
    .collect();
    for (row, bad) in [
        ("no signature", String::new()),
        ("half a signature", signature[..20].to_owned()),
        ("more than a signature", format!("{signature}AAAA")),
        ("padding", format!("{signature}=")),
        ("another alphabet", format!("{}+/", &signature[..41])),
    ] {
        rows.push((format!("BP21 {row}"), format!("{header}.{payload}.{bad}"), "signature"));
    }
    rows.push(("BP21 60 KiB".to_owned(), "t".repeat(61_440), "too long"));
    rows.push(("BP21 60 KiB with a good beginning".to_owned(), format!("{good}{}", "A".repeat(60_000)), "too long"));
    rows.push(("BP21 large claims".to_owned(), with(json!({ "x": "y".repeat(40_000) })), "too long"));
    check_all(&world, rows).await;

    let row = "BP21 a token in the query";
    let mut wire =
        Wire::socket(world.address, &format!("/socket.io/?EIO=4&transport=websocket&token={good}&auth={good}")).await;
    wire.told().await.unwrap();
    wire.send(text("40")).await;
    assert!(wire.told().await.unwrap().starts_with("40{"), "{row}");
    let answer = wire.call(1, r#"["chat:send",{"stream":"main","text":"x"}]"#).await;
    assert_eq!(answer["error"]["code"], "unauthorized", "{row} is not looked at: {answer}");
}

#[tokio::test]
async fn names_are_data() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let _supplier = world.supplier(&["main"]).await;
    for (sub, name, shown) in [
        ("__proto__", "__proto__", "__proto__"),
        ("constructor", "<b onclick=alert(1)>", "<b onclick=alert(1)>"),
        ("stream:main", "\u{202e}evil", "evil"),
        ("*", "a\nb", "ab"),
        ("guest-AAAAAAAAAAAA", "Guest AAAA", "Guest AAAA"),
        ("user:asha", "\u{1f600}\u{200d}", "\u{1f600}\u{200d}"),
    ] {
        let row = format!("BS15 the user {sub:?}");
        let auth = json!({ "token": with(json!({ "sub": sub, "name": name })) });
        let mut client = Client::connect(world.address, &auth).await;
        let joined = client.join("main").await;
        assert_eq!(joined["me"], json!({ "id": sub, "name": shown, "role": "viewer" }), "{row}");
        let message = client.say("main", "hello").await;
        assert_eq!(message["user"], json!({ "id": sub, "name": shown, "role": "viewer" }), "{row}");
        innocents.unharmed(&row).await;
    }
}

#[tokio::test]
async fn without_guests_a_token_is_needed() {
    let world = World::start(&[("HAAT_GUESTS", "false")]).await;
    for auth in [json!({}), json!({ "token": null }), json!({ "tokens": "x" }), json!({ "auth": { "token": "x" } })] {
        let client = Client::connect(world.address, &auth).await;
        assert!(!client.accepted, "{auth}");
        assert_eq!(client.connected["data"]["code"], "unauthorized", "{auth}: {:?}", client.connected);
    }
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    assert!(Client::connect(world.address, &auth).await.accepted);
}

#[tokio::test]
async fn a_session_does_not_come_back_without_its_token() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let _supplier = world.supplier(&["main"]).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let mut client = Client::connect(world.address, &auth).await;
    client.join("main").await;
    client.say("main", "hello").await;
    let offset = client.chats(1).await.remove(0).2;
    let (sid, pid) = (client.connected["sid"].clone(), client.connected["pid"].clone());
    client.drop_connection().await;
    for (row, token) in [
        ("BP22 an expired token", json!(token_until("asha", "viewer", &[], now() - 3600))),
        ("BP22 a forged token", json!(format!("{}x", token("asha", "viewer", &[])))),
        ("BP22 a token that is none", json!(5)),
    ] {
        let auth = json!({ "token": token, "pid": pid, "offset": offset });
        let client = Client::connect(world.address, &auth).await;
        assert!(!client.accepted, "{row}");
        assert_eq!(client.connected["data"]["code"], "unauthorized", "{row}");
        assert!(client.events.is_empty(), "{row}");
        innocents.unharmed(row).await;
    }
    let auth = json!({ "token": token("asha", "viewer", &[]), "pid": pid, "offset": offset });
    assert_eq!(Client::connect(world.address, &auth).await.connected["sid"], sid, "BP22 with a good one it does");
}

#[tokio::test]
async fn a_token_is_not_for_everybody() {
    let world = World::start(&[("HAAT_LIMITS_USER_CONNECTIONS", "5")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BP23 one token on 50 connections";
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let mut wires = Vec::new();
    for _ in 0..50 {
        wires.push(Wire::connected(world.address, &auth).await);
    }
    let kept = wires.split_off(45);
    for (number, mut wire) in wires.into_iter().enumerate() {
        assert_eq!(wire.told().await.as_deref(), Some("41"), "{row}: {number} is told to stay away");
    }
    for mut wire in kept {
        assert_eq!(wire.call(1, r#"["nothing",{}]"#).await["error"]["code"], "not_found", "{row}: the newest stay");
    }
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn refreshing_changes_nobody_into_another() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let _supplier = world.supplier(&["main"]).await;
    let mut asha = Client::connect(world.address, &json!({ "token": token("asha", "viewer", &[]) })).await;
    asha.join("main").await;
    for (row, body, code) in [
        ("no token", json!({}), "bad_request"),
        ("null", json!({ "token": null }), "bad_request"),
        ("a number", json!({ "token": 5 }), "bad_request"),
        ("an empty text", json!({ "token": "" }), "unauthorized"),
        ("garbage", json!({ "token": "a.b.c" }), "unauthorized"),
        ("60 KiB", json!({ "token": "t".repeat(60_000) }), "unauthorized"),
        ("an expired token", json!({ "token": token_until("asha", "viewer", &[], now() - 3600) }), "unauthorized"),
        (
            "not signed",
            json!({ "token": format!("{}.{}.", encode(json!({ "alg": "none" })), encode(claims(json!({})))) }),
            "unauthorized",
        ),
        ("another user's", json!({ "token": token("ravi", "supplier", &["main"]) }), "unauthorized"),
        ("a user of a like name", json!({ "token": token("Asha", "supplier", &["main"]) }), "unauthorized"),
    ] {
        let row = format!("auth:refresh with {row}");
        let reply = asha.call("auth:refresh", &body).await;
        assert_eq!((&reply["ok"], &reply["error"]["code"]), (&json!(false), &json!(code)), "{row}: {reply}");
        assert_eq!(asha.say("main", "still me").await["user"]["id"], "asha", "{row}");
        let reply = asha.call("stream:update", &json!({ "stream": "main", "title": "Mine" })).await;
        assert_eq!(reply["error"]["code"], "forbidden", "{row}");
        innocents.unharmed(&row).await;
    }
    let mut guest = world.guest().await;
    let reply = guest.call("auth:refresh", &json!({ "token": token("asha", "viewer", &[]) })).await;
    assert_eq!(reply["error"]["code"], "unauthorized", "auth:refresh of a guest: {reply}");

    let row = "BP18 a token that expires while it is in use";
    let mut soon =
        Client::connect(world.address, &json!({ "token": token_until("soon", "viewer", &[], now() + 1) })).await;
    soon.join("main").await;
    soon.event("token:expired").await;
    assert_eq!(soon.call("auth:refresh", &json!({ "token": token("soon", "viewer", &[]) })).await["ok"], true, "{row}");
    soon.say("main", "here again").await;
    innocents.unharmed(row).await;
}
