//! What holds for every input. A failure prints the smallest input that shows it, and the seed to get it again.
#![allow(clippy::panic, clippy::unwrap_used)]

use bytes::Bytes;
use haat_protocol::packet::{Ack, Body, Event};
use haat_protocol::socket::{self, Decoder};
use haat_protocol::{DecodeError, Frame, Id, Part, SessionId, engine, payload};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

/// JSON of the shapes that applications send.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[^,]{1,20}"]
}

/// Texts that look like packets, or nearly.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r#"[0-7b ]?[0-9]{0,3}-?(/[a-z]{0,3},)?[0-9]{0,3}[\[{]{0,2}["a,:\\ud8c0\]}\[{_ ]{0,30}[\]}]{0,2}"#,
        (any_namespace(), any::<Option<u64>>(), any_json(), 0..12_u8, any::<bool>()).prop_map(
            |(namespace, id, json, count, binary)| {
                let count = if binary { format!("5{count}-") } else { "2".to_owned() };
                let id = id.map(|id| id.to_string()).unwrap_or_default();
                format!("{count}{namespace},{id}[\"a\",{json}]")
            }
        ),
    ]
}

/// The messages of a frame, as a WebSocket peer takes them from its bytes.
fn unframe(mut bytes: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let mut messages = Vec::new();
    while let [opcode, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (u16::from_be_bytes(rest[..2].try_into().unwrap()) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (*short as usize, rest),
        };
        assert!(matches!(opcode, 0x81 | 0x82), "opcode {opcode:#x}");
        messages.push((*opcode == 0x82, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    messages
}

/// Puts the messages of a frame through both decoders, as a connection would.
fn decode(frame: &Frame) -> Option<Body<'static>> {
    let mut decoder = Decoder::default();
    let mut last = None;
    for part in frame.parts() {
        assert!(last.is_none(), "the packet was complete before its last message");
        let packet = match part {
            Part::Text(text) => match engine::decode(text).unwrap() {
                engine::Packet::Message(text) => decoder.text(text).unwrap(),
                other => panic!("no message: {other:?}"),
            },
            Part::Binary(bytes) => decoder.binary(Bytes::copy_from_slice(bytes)).unwrap(),
        };
        last = packet.map(|packet| packet.into_owned().body);
    }
    last
}

proptest! {
    #[test]
    fn no_text_makes_a_decoder_panic(text in any_text()) {
        let _ = engine::decode(&text);
        let _ = socket::head(&text);
        let _ = Decoder::default().text(&text);
        let _ = (Id::parse(&text), SessionId::parse(&text).map(|id| id.place()));
        prop_assert!(payload::decode(&text, 8).count() <= 9);
    }

    #[test]
    fn a_decoder_waits_only_after_it_said_so(
        messages in vec(prop_oneof![any_text().prop_map(Ok), any_bytes().prop_map(Err)], 0..12),
    ) {
        let mut decoder = Decoder::new(500);
        for message in &messages {
            let packet = match message {
                Ok(text) => decoder.text(text).map(|packet| packet.is_some()),
                Err(bytes) => decoder.binary(bytes.clone()).map(|packet| packet.is_some()),
            };
            prop_assert_eq!(decoder.is_waiting(), packet == Ok(false));
        }
    }

    #[test]
    fn what_is_taken_is_json_and_what_is_json_is_not_fatal(json in any_json(), damage in any::<(u16, char)>()) {
        let whole = format!("2[\"a\",{json}]");
        let taken = Decoder::default().text(&whole).unwrap().unwrap();
        let Body::Event(event) = taken.body else { panic!("no event: {taken:?}") };
        prop_assert_eq!(event.first.as_deref().map(str::to_owned), Some(json.to_string()));

        // One character put in somewhere.
        let mut chars: Vec<char> = whole.chars().collect();
        chars.insert(1 + damage.0 as usize % (chars.len() - 1), damage.1);
        let damaged: String = chars.into_iter().collect();
        let taken = Decoder::default().text(&damaged);
        if let Ok(Some(packet)) = &taken
            && let Body::Event(event) = &packet.body
        {
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(&event.args).unwrap();
            prop_assert_eq!(event.first.as_deref(), items.get(1).map(|item| item.get()));
        }
        if let Ok(Value::Array(items)) = serde_json::from_str(&damaged[1..])
            && items[0].is_string()
        {
            prop_assert!(matches!(taken, Ok(Some(_)) | Err(DecodeError::BadId)), "{} gave {:?}", damaged, taken);
        }
    }

    #[test]
    fn an_event_reads_back(
        namespace in any_namespace(),
        id in proptest::option::of(0..=socket::MAX_ID),
        name in "[a-z:]{0,12}x",
        argument in any_json(),
        attachments in vec(any_bytes(), 0..=10),
        order in any::<u64>(),
    ) {
        // The places of the attachments are shuffled: they are found by number, not by place.
        let mut places: Vec<usize> = (0..attachments.len()).collect();
        places.sort_by_key(|place| order.rotate_left(*place as u32 * 7) ^ *place as u64);
        let mut args = vec![json!(name), argument.clone()];
        args.extend(places.iter().map(|place| json!({ "in": [{ "_placeholder": true, "num": place }] })));
        let args = Value::from(args).to_string();

        let frame = socket::event(&namespace, id, &args, &attachments);
        let read = decode(&frame);
        let event = Event { id, name: name.into(), args: args.into(), first: Some(argument.to_string().into()), attachments };
        prop_assert_eq!(read, Some(Body::Event(event)));
    }

    #[test]
    fn an_ack_reads_back(
        namespace in any_namespace(),
        id in 0..=socket::MAX_ID,
        attachments in vec(any_bytes(), 0..=10),
    ) {
        let places = (0..attachments.len()).map(|place| json!({ "_placeholder": true, "num": place }));
        let args = Value::from_iter(places).to_string();
        let frame = socket::ack(&namespace, id, &args, &attachments);
        let read = decode(&frame);
        prop_assert_eq!(read, Some(Body::Ack(Ack { id: Some(id), args: args.into(), attachments })));
    }

    #[test]
    fn pieces_make_the_same_frame_as_the_whole(namespace in any_namespace(), json in any_json(), cuts in vec(any::<u16>(), 0..20)) {
        let args = json!(["a", json]).to_string();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| args.floor_char_boundary(*cut as usize % args.len())).collect();
        cuts.extend([0, args.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|cut| &args[cut[0]..cut[1]]).collect();
        let whole = socket::event(&namespace, None, &args, &[]);
        let pieced = socket::event_pieces(&namespace, &pieces);
        prop_assert_eq!(pieced.bytes(), whole.bytes());
    }

    #[test]
    fn a_frame_is_the_same_on_websocket_and_polling(
        frames in vec((any::<String>(), vec(any_bytes(), 0..4)), 1..6),
    ) {
        // A text of ours never holds the separator: JSON escapes it.
        let frames: Vec<Frame> = frames
            .iter()
            .map(|(text, attachments)| Frame::with_attachments(&["4", &text.replace('\u{1e}', "")], attachments))
            .collect();
        let body = payload::encode(frames.iter());
        let polled: Vec<(bool, Vec<u8>)> = payload::decode(&body, 64)
            .map(|packet| match packet.unwrap() {
                engine::Packet::Message(text) => (false, format!("4{text}").into_bytes()),
                engine::Packet::Binary(bytes) => (true, bytes.to_vec()),
                other => panic!("neither text nor binary: {other:?}"),
            })
            .collect();
        let sent: Vec<(bool, Vec<u8>)> = frames.iter().flat_map(|frame| unframe(frame.bytes())).collect();
        prop_assert_eq!(polled, sent);
    }
}
