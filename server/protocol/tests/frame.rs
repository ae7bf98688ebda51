//! A frame's bytes are complete WebSocket frames, and its parts are what is in them.

use std::time::Duration;

use bytes::Bytes;
use haat_protocol::{Class, Frame, Part, SessionId, engine, socket};

#[test]
fn the_header_has_the_shortest_form_of_the_length() {
    for (length, header) in [
        (0, vec![0x81, 0]),
        (125, vec![0x81, 125]),
        (126, vec![0x81, 126, 0, 126]),
        (0xffff, vec![0x81, 126, 0xff, 0xff]),
        (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let text = "x".repeat(length);
        let frame = Frame::text(&[&text]);
        assert_eq!(frame.bytes()[..], [header, text.clone().into_bytes()].concat(), "{length} bytes");
        assert_eq!(frame.parts().collect::<Vec<_>>(), [Part::Text(&text)], "{length} bytes");
    }
}

#[test]
fn attachments_follow_the_text_in_their_order() {
    let long = vec![7; 300];
    let attachments = [Bytes::from_static(&[0x81, 0]), Bytes::new(), Bytes::from(long.clone())];
    let frame = Frame::with_attachments(&["45", "3-"], &attachments);
    let bytes = [b"\x81\x04453-\x82\x02\x81\x00\x82\x00\x82\x7e\x01\x2c".as_slice(), &long].concat();
    assert_eq!(frame.bytes()[..], bytes);
    let parts: Vec<_> = frame.parts().collect();
    assert_eq!(parts, [Part::Text("453-"), Part::Binary(&[0x81, 0]), Part::Binary(&[]), Part::Binary(&long)]);
}

#[test]
fn binary_stays_binary_even_if_it_is_text() {
    let frame = Frame::binary(b"4hello");
    assert_eq!(frame.bytes()[..], *b"\x82\x064hello");
    assert_eq!(frame.parts().collect::<Vec<_>>(), [Part::Binary(b"4hello")]);
}

#[test]
fn the_class_is_not_on_the_wire() {
    let frame = Frame::text(&["2"]);
    assert_eq!(frame.class(), Class::Reliable);
    let volatile = frame.clone().class_as(Class::Volatile);
    assert_eq!((volatile.class(), volatile.bytes()), (Class::Volatile, frame.bytes()));
}

#[test]
fn engine_packets_are_what_clients_wait_for() {
    for (frame, text) in
        [(engine::ping(), "2"), (engine::pong_probe(), "3probe"), (engine::noop(), "6"), (engine::close(), "1")]
    {
        assert_eq!(frame.bytes(), Frame::text(&[text]).bytes());
        assert_eq!(frame.parts().collect::<Vec<_>>(), [Part::Text(text)]);
    }
}

#[test]
fn the_open_packet_has_its_keys_in_the_recorded_order() {
    let sid = SessionId::parse("Z6M2PuLREaV7ua02AAAX01234567").unwrap();
    let mut open = engine::Open {
        sid: &sid,
        upgrades: true,
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_millis(20_000),
        max_payload: 1_000_000,
    };
    let rest = r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    let text = format!(r#"0{{"sid":"Z6M2PuLREaV7ua02AAAX01234567","upgrades":["websocket"],{rest}"#);
    assert_eq!(open.frame().parts().collect::<Vec<_>>(), [Part::Text(&text)]);
    open.upgrades = false;
    let text = format!(r#"0{{"sid":"Z6M2PuLREaV7ua02AAAX01234567","upgrades":[],{rest}"#);
    assert_eq!(open.frame().parts().collect::<Vec<_>>(), [Part::Text(&text)]);
}

#[test]
fn ack_ids_are_written_in_full() {
    for id in [0, 9, 10, 1_234_567_890, socket::MAX_ID, u64::MAX] {
        let text = format!("43/a,{id}[]");
        assert_eq!(socket::ack("/a", id, "[]", &[]).parts().collect::<Vec<_>>(), [Part::Text(&text)]);
    }
}
