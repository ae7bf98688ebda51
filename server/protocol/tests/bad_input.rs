//! Input that no official client sends: what is refused, what is answered, and what is taken all the same.
#![allow(clippy::panic)]

use std::borrow::Cow;

use bytes::Bytes;
use haat_protocol::DecodeError::{self, *};
use haat_protocol::engine::{self, Packet as Engine};
use haat_protocol::packet::{Ack, Body, Event};
use haat_protocol::socket::{Decoder, Head, MAX_DEPTH, MAX_ID, MAX_NAMESPACE, MAX_VALUES, head};
use haat_protocol::{Rejection, payload};

fn error(text: &str) -> DecodeError {
    match Decoder::default().text(text) {
        Err(error) => error,
        taken => panic!("{text:?} was taken: {taken:?}"),
    }
}

fn event(text: &str) -> Event<'_> {
    match Decoder::default().text(text).map(|packet| packet.map(|packet| packet.body)) {
        Ok(Some(Body::Event(event))) => event,
        other => panic!("{text:?} is no event: {other:?}"),
    }
}

#[test]
fn the_connection_is_closed_for_what_is_no_packet() {
    let cases: &[(&str, DecodeError)] = &[
        ("", EmptyPacket),
        (" ", UnknownType),
        (" 2[\"a\"]", UnknownType),
        ("7[\"a\"]", UnknownType),
        ("é", UnknownType),
        ("２[\"a\"]", UnknownType),
        ("0[]", BadPayload),
        ("0null", BadPayload),
        ("0{}{}", BadPayload),
        ("0{\"a\":1,}", BadPayload),
        ("1{}", BadPayload),
        ("1/admin,[]", BadPayload),
        ("2", BadPayload),
        ("2/admin", BadPayload),
        ("27", BadPayload),
        ("2[]", BadPayload),
        ("2{}", BadPayload),
        ("2[null]", BadPayload),
        ("2[true]", BadPayload),
        ("2[{}]", BadPayload),
        ("2[[\"a\"]]", BadPayload),
        ("2[\"a\"]x", BadPayload),
        ("2[\"a\"][]", BadPayload),
        ("2[\"a\",]", BadPayload),
        ("2[\"a\"", BadPayload),
        ("2[\"a\",NaN]", BadPayload),
        ("2[\"a\",01]", BadPayload),
        ("2[\"a\"]//", BadPayload),
        ("2[\"\n\"]", BadPayload),
        ("2[\"\\x\"]", BadPayload),
        ("2\u{feff}[\"a\"]", BadPayload),
        ("2-1[\"a\"]", BadPayload),
        ("21.0[\"a\"]", BadPayload),
        ("2[\"disconnecting\"]", ReservedName),
        ("2[\"\\u0063onnect\"]", ReservedName),
        ("2 [\"a\"]", BadId),
        ("2\t[\"a\"]", BadId),
        ("29007199254740992[\"a\"]", BadId),
        ("218446744073709551616[\"a\"]", BadId),
        ("3{}", BadPayload),
        ("3[1", BadPayload),
        ("5[\"a\"]", BadAttachmentCount),
        ("5-[\"a\"]", BadAttachmentCount),
        ("51[\"a\"]", BadAttachmentCount),
        ("51e9-[\"a\"]", BadAttachmentCount),
        ("50x2-[\"a\"]", BadAttachmentCount),
        ("5 1-[\"a\"]", BadAttachmentCount),
        ("5+1-[\"a\"]", BadAttachmentCount),
        ("51.5-[\"a\"]", BadAttachmentCount),
        ("5-1-[\"a\"]", BadAttachmentCount),
        ("511-[\"a\"]", BadAttachmentCount),
        ("599999999999999999999-[\"a\"]", BadAttachmentCount),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), *expected, "{text:?}");
        assert!(expected.is_fatal());
    }
    assert_eq!(error(&format!("2{}[\"a\"]", "9".repeat(400))), BadId);
}

#[test]
fn numbers_may_have_zeros_in_front() {
    assert_eq!(event("2007[\"a\"]").id, Some(7));
    assert_eq!(event(&format!("2{MAX_ID}[\"a\"]")).id, Some(MAX_ID));
    assert_eq!(Decoder::default().text(r#"5001-["a",{"_placeholder":true,"num":0}]"#), Ok(None));
}

#[test]
fn white_space_belongs_to_the_json() {
    let event = event("2/a,7 \r\n[ \"a\" ,\t{ } , 1 ] \n");
    assert_eq!((event.id, event.args.as_ref()), (Some(7), "[ \"a\" ,\t{ } , 1 ]"));
    assert_eq!((event.name.as_ref(), event.first.as_deref()), ("a", Some("{ }")));
}

#[test]
fn a_plain_event_is_borrowed() {
    let event = event(r#"2["chat:send",{"text":"नमस्ते \n 😀"},1]"#);
    assert!(matches!(event.args, Cow::Borrowed(_)));
    assert!(matches!(event.name, Cow::Borrowed("chat:send")));
    assert!(matches!(event.first, Some(Cow::Borrowed(r#"{"text":"नमस्ते \n 😀"}"#))));
}

#[test]
fn any_name_that_is_not_reserved_is_taken() {
    for (json, name) in [
        (r#""""#, ""),
        (r#""error""#, "error"),
        (r#""__proto__""#, "__proto__"),
        (r#""a\nb""#, "a\nb"),
        (r#""\ud83d\ude00""#, "😀"),
        (r#"",[{""#, ",[{"),
        ("7", "7"),
        ("-1.5e3", "-1.5e3"),
    ] {
        let text = format!("2[{json}]");
        let event = event(&text);
        assert_eq!((event.name.as_ref(), event.first), (name, None), "{text}");
    }
    let long = "x".repeat(10_000);
    assert_eq!(event(&format!("2[\"{long}\"]")).name, long);
}

#[test]
fn an_event_is_answered_if_it_has_half_a_surrogate_pair() {
    for json in [
        r#"["a","\ud800"]"#,
        r#"["a","\uDFFF"]"#,
        r#"["a","\udbff"]"#,
        r#"["a","\udc00"]"#,
        r#"["a","\ud83d\ud83d\ude00"]"#,
        r#"["a","\ud83d \ude00"]"#,
        r#"["a","\ud83d\n"]"#,
        r#"["a",{"\udc00":1}]"#,
        r#"["\ud800"]"#,
    ] {
        let rejected = Rejected { id: Some(3), reason: Rejection::BadText };
        assert_eq!(error(&format!("23{json}")), rejected, "{json}");
        assert!(!rejected.is_fatal());
    }
    for json in [
        r#"["a","\ud83d\ude00"]"#,
        r#"["a","\ud800\udc00\udbff\udfff"]"#,
        r#"["a","\\ud800"]"#,
        r#"["a","\\\\ud800"]"#,
        r#"["a","\u0000\u001e"]"#,
    ] {
        assert_eq!(event(&format!("2{json}")).args, json);
    }
}

#[test]
fn an_event_is_answered_if_it_is_too_deep() {
    let nested = |depth: usize| format!("27[\"a\",{}{}]", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(event(&nested(MAX_DEPTH)).name, "a");
    for depth in [MAX_DEPTH + 1, 200, 100_000] {
        assert_eq!(error(&nested(depth)), Rejected { id: Some(7), reason: Rejection::TooDeep }, "{depth}");
    }
    // Brackets in a text are no depth.
    assert_eq!(event(&format!("2[\"a\",\"\\\"{}\"]", "[{".repeat(1000))).name, "a");
}

#[test]
fn an_event_is_answered_if_it_has_too_many_values() {
    let rejected = Rejected { id: None, reason: Rejection::TooManyValues };
    let list = |values: usize| format!("2[\"a\"{}]", ",null".repeat(values - 1));
    assert_eq!(event(&list(MAX_VALUES)).name, "a");
    assert_eq!(error(&list(MAX_VALUES + 1)), rejected);
    // The name, the object, and its members.
    let object = |members: usize| format!("2[\"a\",{{\"k\":0{}}}]", ",\"k\":0".repeat(members - 1));
    assert_eq!(event(&object(MAX_VALUES - 2)).name, "a");
    assert_eq!(error(&object(MAX_VALUES - 1)), rejected);
    // Commas in a text are no values.
    assert_eq!(event(&format!("2[\"a\",\"{}\"]", ",".repeat(2 * MAX_VALUES))).name, "a");
    // Nor are empty arrays more than one each.
    assert_eq!(event(&format!("2[\"a\"{}]", ",[]".repeat(MAX_VALUES - 1))).name, "a");
}

#[test]
fn the_connection_is_closed_if_what_cannot_be_answered_is_too_deep() {
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(error(&format!("3{nested}")), TooComplex);
    assert_eq!(error(&format!("0{{\"a\":{nested}}}")), TooComplex);
}

#[test]
fn a_rejected_event_says_where_the_answer_goes() {
    let text = r#"2/admin,7["chat:send","\ud800"]"#;
    assert_eq!(error(text).id(), Some(7));
    assert_eq!(head(text), Some(Head { namespace: "/admin", event: Some(Cow::Borrowed("chat:send")) }));
    assert_eq!(head(r#"2["\ud800"]"#), Some(Head { namespace: "/", event: None }));
    assert_eq!(head("x"), None);
}

#[test]
fn only_a_connect_may_name_a_long_namespace() {
    let name = format!("/{}", "n".repeat(MAX_NAMESPACE));
    assert_eq!(error(&format!("2{name},[\"a\"]")), LongNamespace);
    assert_eq!(error(&format!("1{name}")), LongNamespace);
    let text = format!("0{name},{{}}");
    let packet = Decoder::default().text(&text).unwrap().unwrap();
    assert_eq!(packet.namespace, name);
}

#[test]
fn numbers_beyond_every_type_are_text_to_us() {
    let text = r#"2["a",1e400,-0,18446744073709551616]"#;
    assert_eq!(event(text).first.as_deref(), Some("1e400"));
}

#[test]
fn placeholders_in_a_plain_event_are_data() {
    let event = event(r#"2["a",{"_placeholder":true,"num":0}]"#);
    assert_eq!(event.attachments, Vec::<Bytes>::new());
}

#[test]
fn placeholders_stand_for_each_attachment_once() {
    for args in [
        r#"["a"]"#,
        r#"["a",{"_placeholder":true}]"#,
        r#"["a",{"_placeholder":true,"num":0}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":2}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":-1}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1.0}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":"1"}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":[1]}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":18446744073709551617}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":1,"num":1}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":"true","num":1}]"#,
        // Further members are lost to receivers, so a placeholder among them would be too.
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1,"more":1}]"#,
        r#"["a",{"_placeholder":true,"num":0,"in":{"_placeholder":true,"num":1}}]"#,
        r#"["a",{"in":{},"_placeholder":true,"num":1},{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        r#"["a",{"_placeholder":true,"num":0,"num":1},{"_placeholder":true,"num":1}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]"#,
    ] {
        assert_eq!(error(&format!("52-{args}")), BadPlaceholder, "{args}");
    }
    for args in [
        r#"["a",{"_placeholder":true,"num":1},{"num":0,"_placeholder":true}]"#,
        r#"["a",[{"b":{ "_placeholder" : true , "num" : 0 }}],{"c":[{"_placeholder":true,"num":1}]}]"#,
        r#"["a",{"_placeh\u006flder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":false,"num":7}]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"{\"_placeholder\":true}"]"#,
        r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"x":"_placeholder","y":true}]"#,
    ] {
        assert_eq!(Decoder::default().text(&format!("52-{args}")), Ok(None), "{args}");
    }
}

#[test]
fn no_attachments_leave_nothing_due() {
    let mut decoder = Decoder::default();
    assert!(decoder.text(r#"50-["e"]"#).unwrap().is_some());
    assert!(!decoder.is_waiting());
    assert!(decoder.text(r#"2["f"]"#).unwrap().is_some());
    assert_eq!(error(r#"50-["e",{"_placeholder":true,"num":0}]"#), BadPlaceholder);
}

const ONE: &str = r#"51-["a",{"_placeholder":true,"num":0}]"#;

#[test]
fn attachments_come_right_after_their_text_and_only_then() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.binary(Bytes::new()), Err(UnexpectedBinary));
    assert_eq!(decoder.text(ONE), Ok(None));
    assert!(decoder.is_waiting());
    assert_eq!(decoder.text(r#"2["b"]"#), Err(UnexpectedText));
    assert!(!decoder.is_waiting(), "after an error nothing is held");
    assert_eq!(decoder.text(ONE), Ok(None));
    assert!(decoder.binary(Bytes::from_static(b"x")).unwrap().is_some());
    assert_eq!(decoder.binary(Bytes::new()), Err(UnexpectedBinary));
}

#[test]
fn attachments_are_together_within_the_limit() {
    let two = r#"62-7[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
    let mut decoder = Decoder::new(10);
    assert_eq!(decoder.text(two), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(b"12345")), Ok(None));
    let packet = decoder.binary(Bytes::from_static(b"67890")).unwrap().unwrap();
    let Body::Ack(Ack { id, attachments, .. }) = packet.body else { panic!("no ack: {packet:?}") };
    assert_eq!((id, attachments.concat()), (Some(7), b"1234567890".to_vec()));

    assert_eq!(decoder.text(two), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(b"12345")), Ok(None));
    assert_eq!(decoder.binary(Bytes::from_static(b"678901")), Err(TooManyBytes));
    assert!(!decoder.is_waiting());
}

#[test]
fn the_attachments_of_a_rejected_event_are_passed_over() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.text(r#"51-4["a",{"_placeholder":true,"num":0},"\ud800"]"#), Ok(None));
    let rejected = Rejected { id: Some(4), reason: Rejection::BadText };
    assert_eq!(decoder.binary(Bytes::from_static(b"x")), Err(rejected));
    assert!(decoder.text(r#"2["b"]"#).unwrap().is_some(), "the session goes on");
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 16);
    assert!(size_of::<DecodeError>() <= 24);
}

#[test]
fn engine_packets_have_a_type_and_good_base64() {
    for text in ["7", "x", "é", " 4", "\u{feff}4", "\0"] {
        assert_eq!(engine::decode(text), Err(UnknownType), "{text:?}");
    }
    assert_eq!(engine::decode(""), Err(EmptyPacket));
    for text in ["b=", "b====", "bA", "bA===", "bAQ=", "bAQ===", "bAQ==A", "bA Q=", "bAQ\n", "b!", "bé", "bAQI-\u{0}"]
    {
        let expected = if text == "bAQ=" { Ok(Engine::Binary(Bytes::from_static(&[1]))) } else { Err(BadBase64) };
        assert_eq!(engine::decode(text), expected, "{text:?}");
    }
    for text in ["bAQ==", "bAQ", "bAR=="] {
        assert_eq!(engine::decode(text), Ok(Engine::Binary(Bytes::from_static(&[1]))), "{text:?}");
    }
    assert_eq!(engine::decode("b-_+/"), Ok(Engine::Binary(Bytes::from_static(&[0xfb, 0xff, 0xbf]))));
    assert_eq!(engine::decode("2probe"), Ok(Engine::Ping("probe")));
    assert_eq!(engine::decode("5x"), Ok(Engine::Upgrade));
}

#[test]
fn a_body_of_separators_ends_at_the_first() {
    let body = "\u{1e}".repeat(65_536);
    assert_eq!(payload::decode(&body, 64).collect::<Vec<_>>(), [Err(EmptyPacket)]);
    let body = ["6"; 100_000].join("\u{1e}");
    let packets: Vec<_> = payload::decode(&body, 64).collect();
    assert_eq!((packets.len(), packets.last()), (65, Some(&Err(TooManyPackets))));
}
