//! Socket.IO that no client speaks. Rows are named after the catalogue of bad input (BS). After each of them innocent
//! viewers go on as before.
//!
//! Where the wire reference decides otherwise than the catalogue, it wins: `/a,b` is a namespace and a payload that is
//! none (BS3), a placeholder in a plain event is data (BS12), and who has left a namespace may not speak in it (BS22).
//! The codes of answers are those of the contract.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::iter;

use serde_json::{Value, json};
use support::{
    Client, World,
    innocents::Innocents,
    token,
    wire::{Wire, frame, text},
};

/// What a packet must come to.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// The connection is closed with an empty close frame, whatever its packets were about.
    Close,
    /// The event with ack id 7 is answered with this error.
    Error(&'static str),
    /// An event without an ack id is answered with this error, for this command.
    Event(&'static str, &'static str),
    /// Nothing.
    Ignored,
}

use Want::{Close, Error, Event, Ignored};

async fn world() -> World {
    World::start(&[("HAAT_SHARDS", "1")]).await
}

async fn check(wire: &mut Wire, row: &str, want: Want) {
    match want {
        Close => return assert_eq!(wire.closed().await, 1005, "{row}"),
        Error(code) => {
            let answer = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
            let answer: Value = serde_json::from_str(answer.strip_prefix("437").expect(row)).unwrap();
            assert_eq!(
                (&answer[0]["ok"], &answer[0]["error"]["code"]),
                (&json!(false), &json!(code)),
                "{row}: {answer}"
            );
        }
        Event(code, command) => {
            let event = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
            let event: Value = serde_json::from_str(event.strip_prefix("42").expect(row)).unwrap();
            assert_eq!(event[0], "error:command", "{row}: {event}");
            assert_eq!((&event[1]["error"]["code"], &event[1]["command"]), (&json!(code), &json!(command)), "{row}");
        }
        Ignored => {}
    }
    wire.send(text(r#"42100["nothing",{}]"#)).await;
    let next = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
    assert!(next.starts_with("43100["), "{row}: {next}");
}

/// Rows for a socket that has joined the main namespace.
async fn check_all(rows: Vec<(&str, Vec<u8>, Want)>) {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    for (row, bytes, want) in rows {
        let mut wire = Wire::connected(world.address, &json!({})).await;
        wire.send(bytes).await;
        check(&mut wire, row, want).await;
        innocents.unharmed(row).await;
    }
}

fn packet(packet: &str) -> Vec<u8> {
    text(&format!("4{packet}"))
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[tokio::test]
async fn packets_that_are_none() {
    let rows = [
        "",
        " ",
        " 2[\"a\"]",
        "7[\"a\"]",
        "8",
        "9{}",
        "x",
        "é",
        "\u{ff12}[\"a\"]",
        "\0",
        "2",
        "27",
        "2{}",
        "2null",
        "2\"a\"",
        "2[]",
        "2[{}]",
        "2[[\"a\"]]",
        "2[{\"toString\":1}]",
        "2[null]",
        "2[true]",
        "2[\"a\"",
        "2[\"a\",]",
        "2[\"a\"]x",
        "2[\"a\"][\"b\"]",
        "2[\"a\"]//",
        "2[\"a\",NaN]",
        "2[\"a\",undefined]",
        "2[\"a\",01]",
        "2[\"a\",+1]",
        "2[\"a\",.5]",
        "2[\"a\",0x10]",
        "2['a']",
        "2[\"a\\x\"]",
        "2[\"a\n\"]",
        "2[\"a\",/* */1]",
        "2\u{feff}[\"a\"]",
        "2[\"a\",1 2]",
        "2[\"a\":1]",
        "2[\"connect\"]",
        "2[\"connect_error\"]",
        "2[\"disconnect\"]",
        "2[\"disconnecting\"]",
        "2[\"newListener\"]",
        "2[\"removeListener\"]",
        "2[\"\\u0063onnect\"]",
        "51-[\"connect\",{\"_placeholder\":true,\"num\":0}]",
        "29007199254740992[\"a\"]",
        "2-1[\"a\"]",
        "21.0[\"a\"]",
        "2 [\"a\"]",
        "2 7[\"a\"]",
        "21e3[\"a\"]",
        "218446744073709551617[\"a\"]",
        "3{}",
        "3[",
        "37{}",
        "3-1[]",
        "4{\"message\":\"x\"}",
        "4",
        "5[\"a\"]",
        "5-[\"a\"]",
        "51e9-[\"a\"]",
        "50x2-[\"a\"]",
        "5 1-[\"a\"]",
        "51.5-[\"a\"]",
        "5-1-[\"a\"]",
        "511-[\"a\"]",
        "51e0-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "5999999999999-[\"a\"]",
        "5\u{661}-[\"a\"]",
        "61[]",
        "611-[]",
        "1{}",
        "1[]",
        "1\"x\"",
        "0",
        "0{}",
        "2/other,[\"a\"]",
        "1/other,",
        "3/other,1[]",
        "4/other,",
        "2/,[]",
    ];
    let mut named = Vec::new();
    for row in rows {
        named.push((format!("BS1, BS2, BS7, BS13, BS14, BS17, BS20, BS22: {row:?}"), packet(row)));
    }
    named.push(("BS17 400 digits".to_owned(), packet(&format!("2{}[\"a\"]", "9".repeat(400)))));
    named.push(("BS19 an ACK that is too deep".to_owned(), packet(&format!("37{}", nested(10_000)))));
    named.push((
        "BS3 an event in a namespace of 10 KiB".to_owned(),
        packet(&format!("2/{},[\"a\"]", "n".repeat(10_240))),
    ));
    check_all(named.iter().map(|(row, bytes)| (row.as_str(), bytes.clone(), Close)).collect()).await;
}

#[tokio::test]
async fn packets_before_connect() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    for first in [
        "2[\"chat:send\",{\"stream\":\"calm\",\"text\":\"x\"}]",
        "27[\"nothing\",{}]",
        "3[]",
        "31[]",
        "1",
        "4{\"message\":\"x\"}",
        "51-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "0[]",
        "0\"x\"",
        "0null",
        "0 1",
        "0true",
        "0{",
        "0{}{}",
        "0{\"a\":1,}",
        "0/a,b",
        "0/,[]",
        &format!("0{{\"a\":{}}}", nested(10_000)),
        &format!("0{{\"a\":[{}]}}", vec!["0"; 9000].join(",")),
    ] {
        let row = format!("BS2, BS5 first of all {first:.60}");
        let mut wire = Wire::session(world.address).await;
        wire.send(packet(first)).await;
        if first.starts_with('5') {
            wire.send(frame(0x82, b"x")).await;
        }
        assert_eq!(wire.closed().await, 1005, "{row}");
        innocents.unharmed(&row).await;
    }
}

#[tokio::test]
async fn connects_that_are_refused() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    let long = format!("/{}", "n".repeat(10_240));
    let names = ["/nope", "/..", "/__proto__", "//", "/nope?token=x", "/ /", "/\u{1f600}", "/%2f", "/\"}", &long];
    for name in names {
        for packets in [format!("0{name},"), format!("0{name}"), format!("0{name},{{\"token\":\"x\"}}")] {
            let row = format!("BS3 {packets:.60}");
            let mut wire = Wire::session(world.address).await;
            for _ in 0..2 {
                wire.send(packet(&packets)).await;
                let refused = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
                assert_eq!(refused, format!("44{name},{{\"message\":\"Invalid namespace\"}}"), "{row}");
            }
            wire.send(packet(&packets)).await;
            assert_eq!(wire.closed().await, 1005, "{row}: the third time it is closed");
        }
        innocents.unharmed(name).await;
    }

    for auth in [
        r#"{"token":""}"#,
        r#"{"token":5}"#,
        r#"{"token":{}}"#,
        r#"{"token":["a"]}"#,
        r#"{"token":true}"#,
        r#"{"token":"a.b.c"}"#,
        r#"{"token":"\ud800"}"#,
        r#"{"token":null,"token":"a.b.c"}"#,
        &format!(r#"{{"token":"{}"}}"#, "t".repeat(60_000)),
    ] {
        let row = format!("BS5 {auth:.60}");
        let mut wire = Wire::session(world.address).await;
        wire.send(packet(&format!("0{auth}"))).await;
        let refused = wire.told().await.unwrap_or_else(|| panic!("{row}: closed"));
        let refused: Value = serde_json::from_str(refused.strip_prefix("44").expect(&row)).unwrap();
        assert_eq!(
            (&refused["message"], &refused["data"]["code"]),
            (&json!("unauthorized"), &json!("unauthorized")),
            "{row}"
        );
        wire.send(packet("0{}")).await;
        assert!(wire.told().await.unwrap().starts_with("40{"), "{row}: it may try again");
        innocents.unharmed(&row).await;
    }
    for auth in
        [json!({ "x": "y".repeat(60_000) }), json!({ "token": null }), json!({ "__proto__": { "role": "supplier" } })]
    {
        let row = format!("BS5 a guest with {auth:.40}");
        let mut wire = Wire::connected(world.address, &auth).await;
        let started = wire.call(1, r#"["stream:start",{"stream":"calm"}]"#).await;
        assert_eq!(started["error"]["code"], "unauthorized", "{row}");
        innocents.unharmed(&row).await;
    }
    let row = "BS4 more CONNECTs than namespaces";
    let mut wire = Wire::session(world.address).await;
    wire.send(packet("0").repeat(1000)).await;
    assert!(wire.told().await.unwrap().starts_with("40{"), "{row}");
    assert_eq!(wire.closed().await, 1005, "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn sessions_that_are_another_ones() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main", "other"]).await;
    for stream in ["main", "other"] {
        supplier.join(stream).await;
    }
    let asha = json!({ "token": token("asha", "viewer", &[]) });
    let ravi = json!({ "token": token("ravi", "viewer", &[]) });
    let mut victim = Client::connect(world.address, &asha).await;
    victim.join("main").await;
    supplier.say("main", "seen").await;
    let offset = victim.chats(1).await.remove(0).2;
    let (sid, pid) = (victim.connected["sid"].clone(), victim.connected["pid"].clone());
    victim.drop_connection().await;
    supplier.say("main", "missed").await;
    let [stream, epoch, seq, clock] = offset.split(':').collect::<Vec<_>>()[..] else { panic!("{offset}") };
    let good = json!(offset);

    let mut rows = vec![
        ("another user".to_owned(), &ravi, pid.clone(), good.clone()),
        ("a guest".to_owned(), &Value::Null, pid.clone(), good.clone()),
        ("the public id for the secret one".to_owned(), &asha, sid.clone(), good.clone()),
        ("a pid of nobody".to_owned(), &asha, json!("AAAAAAAAAAAAAAAAAAAA"), good.clone()),
        (
            "a stream that was not joined".to_owned(),
            &asha,
            pid.clone(),
            json!(format!("nowhere:{epoch}:{seq}:{clock}x")),
        ),
    ];
    for bad in
        [json!(5), json!(null), json!({}), json!([]), json!(""), json!("x".repeat(20)), json!("a".repeat(50_000))]
    {
        rows.push((format!("pid {bad:.40}"), &asha, bad, good.clone()));
    }
    for bad in [
        json!(5),
        json!(null),
        json!({}),
        json!(["$"]),
        json!("$"),
        json!("-"),
        json!("+"),
        json!("(1"),
        json!("1180591620717411303424"),
        json!("1795466794959-0"),
        json!(format!("{stream}:{epoch}:{seq}")),
        json!(format!("{stream}:{epoch}:-1:{clock}")),
        json!(format!("{stream}:{epoch}:1180591620717411303424:{clock}")),
        json!(format!("{stream}:{epoch}:9007199254740993:{clock}")),
        json!(format!("{stream}:{epoch}:{seq}:{clock}:1")),
        json!(format!("../{stream}:{epoch}:{seq}:{clock}")),
        json!(format!("{offset}\u{0}")),
    ] {
        rows.push((format!("offset {bad}"), &asha, pid.clone(), bad));
    }
    for (row, auth, pid, offset) in rows {
        let row = format!("BS6 {row}");
        let mut auth = if auth.is_null() { json!({}) } else { auth.clone() };
        auth["pid"] = pid;
        auth["offset"] = offset;
        let mut client = Client::connect(world.address, &auth).await;
        assert!(client.accepted, "{row}: {:?}", client.connected);
        assert_ne!(client.connected["sid"], sid, "{row}");
        assert!(client.events.is_empty(), "{row}: nothing of the session comes first");
        let answer = client.call("chat:send", &json!({ "stream": "main", "text": "mine?" })).await;
        let code = if auth["token"].is_null() { "unauthorized" } else { "not_joined" };
        assert_eq!(answer["error"]["code"], code, "{row}: it is in no stream");
        assert!(client.events.is_empty(), "{row}");
        innocents.unharmed(&row).await;
    }
    let mut back = asha.clone();
    back["pid"] = pid;
    back["offset"] = good;
    let mut client = Client::connect(world.address, &back).await;
    assert_eq!(client.connected["sid"], sid, "BS6 its owner still has it");
    assert_eq!(client.chats(1).await[0].1, "missed");
}

#[tokio::test]
async fn binary_packets_that_are_none() {
    let ph = |num: &str| format!("{{\"_placeholder\":true,\"num\":{num}}}");
    let one = packet(&format!("51-7[\"nothing\",{}]", ph("0")));
    let bytes = frame(0x82, b"bytes");
    let many = vec![ph("0"); 900].join(",");
    let mut rows = vec![
        ("BS8 no attachments".to_owned(), packet("50-7[\"nothing\",{}]"), Error("not_found")),
        ("BS8 no attachments and no ack".to_owned(), packet("50-[\"e\"]"), Event("bad_request", "e")),
        ("BS9 text while bytes are due".to_owned(), [one.clone(), packet("27[\"nothing\",{}]")].concat(), Close),
        ("BS9 a disconnect while bytes are due".to_owned(), [one.clone(), packet("1")].concat(), Close),
        ("BS9 bytes that are not due".to_owned(), bytes.clone(), Close),
        ("BS9 more bytes than are due".to_owned(), [one.clone(), bytes.clone(), bytes.clone()].concat(), Close),
        ("BS9 bytes for a command".to_owned(), [one.clone(), bytes.clone()].concat(), Error("bad_request")),
        (
            "BS11 one attachment in many places".to_owned(),
            [packet(&format!("51-7[\"nothing\",{many}]")), bytes.clone()].concat(),
            Close,
        ),
        ("BS11 twice".to_owned(), packet(&format!("51-7[\"nothing\",{},{}]", ph("0"), ph("0"))), Close),
        ("BS11 nowhere".to_owned(), packet("51-7[\"nothing\",{}]"), Close),
        (
            "BS12 a placeholder in a plain event is data".to_owned(),
            packet(&format!("27[\"nothing\",{}]", ph("0"))),
            Error("not_found"),
        ),
    ];
    for num in ["-1", "99", "1", "0.5", "\"0\"", "null", "[0]", "{}", "true", "18446744073709551616", "0,\"num\":1"] {
        rows.push((format!("BS10 num {num}"), packet(&format!("51-7[\"nothing\",{}]", ph(num))), Close));
    }
    rows.push(("BS10 no num".to_owned(), packet("51-7[\"nothing\",{\"_placeholder\":true}]"), Close));
    let ten: Vec<String> = (0..10).map(|num| ph(&num.to_string())).collect();
    let ten = [packet(&format!("510-7[\"nothing\",{}]", ten.join(","))), bytes.repeat(10)].concat();
    rows.push(("BS7 ten attachments".to_owned(), ten, Error("bad_request")));
    check_all(rows.iter().map(|(row, bytes, want)| (row.as_str(), bytes.clone(), *want)).collect()).await;
}

#[tokio::test]
async fn attachments_that_never_come() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BS9 attachments that never come";
    let mut wire = Wire::connected(world.address, &json!({})).await;
    wire.send(packet("52-7[\"nothing\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")).await;
    wire.send(frame(0x82, b"the first of two")).await;
    assert_eq!(wire.closed().await, 1005, "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn events_that_are_answered() {
    let name = "x".repeat(10_240);
    let cut = "x".repeat(64);
    let cut: &'static str = cut.leak();
    let emoji = "\u{1f600}".repeat(64);
    let deep = |depth: usize| format!("27[\"nothing\",{}]", nested(depth));
    let nulls = vec!["null"; 13_000].join(",");
    let keys: Vec<String> = (0..5000).map(|number| format!("\"{number}\":0")).collect();
    let few: Vec<String> = (0..900).map(|number| format!("\"k{number}{}\":0", "x".repeat(50))).collect();
    let join = |more: &str| format!("27[\"stream:join\",{{\"stream\":\"nowhere\"{more}}}]");
    let history = |more: &str| format!("27[\"stream:history\",{{\"stream\":\"calm\",{more}}}]");
    let rows = vec![
        ("BS14 error", "27[\"error\",{}]".to_owned(), Error("not_found")),
        ("BS14 error, without an ack", "2[\"error\",{}]".to_owned(), Event("not_found", "error")),
        ("BS15 __proto__", "27[\"__proto__\",{}]".to_owned(), Error("not_found")),
        ("BS15 constructor", "27[\"constructor\",{}]".to_owned(), Error("not_found")),
        ("BS15 hasOwnProperty", "2[\"hasOwnProperty\",{}]".to_owned(), Event("not_found", "hasOwnProperty")),
        ("BS15 as a key", join(",\"__proto__\":{\"stream\":\"calm\"},\"constructor\":1"), Error("not_found")),
        ("BS15 as a stream", "27[\"stream:join\",{\"stream\":\"__proto__\"}]".to_owned(), Error("not_found")),
        ("BS16 10 KiB", format!("27[\"{name}\",{{}}]"), Error("bad_request")),
        ("BS16 10 KiB, without an ack", format!("2[\"{name}\",{{}}]"), Event("bad_request", cut)),
        ("BS16 64 emoji", format!("27[\"{emoji}\",{{}}]"), Error("bad_request")),
        ("BS16 nothing", "27[\"\",{}]".to_owned(), Error("not_found")),
        ("BS16 an emoji", "2[\"\u{1f600}\",{}]".to_owned(), Event("not_found", "\u{1f600}")),
        ("BS16 a line end", "2[\"a\\nb\",{}]".to_owned(), Event("not_found", "a\nb")),
        ("BS16 a number", "27[7,{}]".to_owned(), Error("not_found")),
        ("BS13 no object", "27[\"stream:join\"]".to_owned(), Error("bad_request")),
        ("BS13 a list", "27[\"stream:join\",[]]".to_owned(), Error("bad_request")),
        ("BS13 a text", "27[\"stream:join\",\"main\"]".to_owned(), Error("bad_request")),
        ("BS13 null", "27[\"stream:join\",null]".to_owned(), Error("bad_request")),
        ("BS19 32 deep", deep(31), Error("not_found")),
        ("BS19 33 deep", deep(32), Error("bad_request")),
        ("BS19 10,000 deep", deep(10_000), Error("bad_request")),
        ("BS19 10,000 deep, without an ack", deep(10_000).replacen("27", "2", 1), Event("bad_request", "nothing")),
        ("BS19 13,000 nulls", format!("27[\"nothing\",[{nulls}]]"), Error("bad_request")),
        ("BS21 5,000 keys", format!("27[\"nothing\",{{{}}}]", keys.join(",")), Error("not_found")),
        ("BS21 long keys", format!("27[\"nothing\",{{{}}}]", few.join(",")), Error("not_found")),
        ("BS21 a key of 60 KiB", format!("27[\"nothing\",{{\"{}\":0}}]", "k".repeat(61_440)), Error("not_found")),
        ("BS19 the same key twice", join(",\"stream\":\"calm\""), Error("bad_request")),
        ("BS19 the same key twice, written in another way", join(",\"str\\u0065am\":\"calm\""), Error("bad_request")),
        ("BS19 1e400", history("\"limit\":1e400"), Error("bad_request")),
        ("BS19 -0", history("\"limit\":-0"), Error("bad_request")),
        ("BS19 -1", history("\"limit\":-1"), Error("bad_request")),
        ("BS19 2^64", history("\"before\":18446744073709551616"), Error("bad_request")),
        ("BS19 a fraction", history("\"before\":1.5"), Error("bad_request")),
        ("BS19 half a character", "27[\"nothing\",\"\\ud800\"]".to_owned(), Error("bad_request")),
        ("BS19 half a character in a name", "2[\"\\ud83d\",{}]".to_owned(), Event("bad_request", "")),
        (
            "BS19 the halves in the wrong order",
            "27[\"nothing\",{\"\\ude00\\ud83d\":1}]".to_owned(),
            Error("bad_request"),
        ),
        ("BS18 an answer that nobody wants", "3[]".to_owned(), Ignored),
        ("BS18 an answer to no question", "31[1]".to_owned(), Ignored),
        ("BS18 an answer with a large id", "39007199254740991[]".to_owned(), Ignored),
    ];
    let mut rows: Vec<_> = rows.into_iter().map(|(row, text, want)| (row, packet(&text), want)).collect();
    rows.push(("BS18 10,000 answers", packet("31[1]").repeat(10_000), Ignored));
    check_all(rows).await;
}

#[tokio::test]
async fn who_has_left_is_not_heard() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    let mut supplier = world.supplier(&["main"]).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let join = packet("20[\"stream:join\",{\"stream\":\"main\"}]");
    let say = packet("21[\"chat:send\",{\"stream\":\"main\",\"text\":\"too late\"}]");
    for (row, last) in [
        ("BS22 an event after a DISCONNECT", say.clone()),
        ("BS22 an answer after a DISCONNECT", packet("31[]")),
        ("BS22 two DISCONNECTs", packet("1")),
    ] {
        let mut wire = Wire::connected(world.address, &auth).await;
        wire.send([join.clone(), packet("1"), last].concat()).await;
        assert_eq!(wire.closed().await, 1005, "{row}");
        innocents.unharmed(row).await;
    }
    let history = supplier.call("stream:history", &json!({ "stream": "main" })).await;
    assert_eq!(history["messages"], json!([]));
    let row = "BS22 a DISCONNECT leaves the connection open";
    let mut wire = Wire::connected(world.address, &auth).await;
    wire.send([packet("1"), packet("0")].concat()).await;
    assert!(wire.told().await.unwrap().starts_with("40{"), "{row}");
}

/// A join takes its time where the stream is not loaded. Whoever has left meanwhile has left: the join must not come true
/// for the socket that the same connection has opened since, nor count a viewer for good.
#[tokio::test]
async fn a_join_that_is_overtaken_by_the_end_does_not_happen() {
    let world = world().await;
    let mut innocents = Innocents::watch(&world).await;
    let streams: Vec<String> = (0..8).map(|number| format!("main-{number}")).collect();
    let names: Vec<&str> = streams.iter().map(String::as_str).collect();
    let _supplier = world.supplier(&names).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    let other = json!({ "token": token("ravi", "viewer", &[]) });
    for (stream, again) in streams.iter().zip([true, false].into_iter().cycle()) {
        let row = format!("BS23 {stream}, {}", if again { "and another socket" } else { "and nothing" });
        let join = packet(&format!("20[\"stream:join\",{{\"stream\":\"{stream}\"}}]"));
        let say = packet(&format!("21[\"chat:send\",{{\"stream\":\"{stream}\",\"text\":\"as somebody else\"}}]"));
        let mut wire = Wire::connected(world.address, &auth).await;
        let connect = packet(&format!("0{other}"));
        let batch: Vec<Vec<u8>> =
            [join, say, packet("1")].into_iter().chain(iter::once(connect).filter(|_| again)).collect();
        wire.send(batch.concat()).await;
        let mut late = world.user("late").await;
        if again {
            wire.told_with("40{").await;
            let answer = wire.call(9, &format!("[\"chat:send\",{{\"stream\":\"{stream}\",\"text\":\"x\"}}]")).await;
            assert_eq!(answer["error"]["code"], "not_joined", "{row}");
        }
        let joined = late.join(stream).await;
        assert_eq!(joined["state"]["viewers"], 1, "{row}: only who has just come");
        assert_eq!(joined["history"], json!([]), "{row}");
        late.say(stream, "hello").await;
        if again {
            wire.send(text("42100[\"nothing\",{}]")).await;
            let next = wire.told().await.unwrap();
            assert!(next.starts_with("43100["), "{row}: {next}");
        }
        innocents.unharmed(&row).await;
    }
}
