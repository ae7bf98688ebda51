//! Identifiers have the form that peers expect, and give nothing away.

use haat_protocol::{Id, SessionId};

#[test]
fn a_socket_id_has_twenty_characters_and_reads_back() {
    let id = Id::random().unwrap();
    assert_eq!(id.as_str().len(), 20);
    assert_eq!(Id::parse(id.as_str()), Some(id));
    assert_ne!(Id::random().unwrap(), id);
}

#[test]
fn a_session_id_says_where_it_lives() {
    for (gateway, shard) in [(0, 0), (1, 2), (0xdead_beef, 7), (u32::MAX, u8::MAX)] {
        let id = SessionId::random(gateway, shard).unwrap();
        assert_eq!(id.as_str().len(), 28);
        let read = SessionId::parse(id.as_str()).unwrap();
        assert_eq!((read, read.place()), (id, (gateway, shard)));
        assert_ne!(SessionId::random(gateway, shard).unwrap(), id);
    }
}

#[test]
fn what_is_no_id_is_not_read_as_one() {
    assert!(Id::parse(&"a".repeat(20)).is_some() && SessionId::parse(&"a".repeat(28)).is_some());
    for length in [0, 1, 19, 21, 27, 29, 10_000] {
        let text = "a".repeat(length);
        assert!(Id::parse(&text).is_none() && SessionId::parse(&text).is_none(), "{length} characters");
    }
    for bad in ["+", "/", "=", "\0", " ", "é", "\u{1e}", "#", "{"] {
        for length in [20, 28] {
            let rest = "a".repeat(length - bad.len());
            for text in [format!("{bad}{rest}"), format!("{rest}{bad}")] {
                assert!(Id::parse(&text).is_none() && SessionId::parse(&text).is_none(), "{text:?}");
            }
        }
    }
}

#[test]
fn a_session_id_is_not_shown() {
    let id = SessionId::random(0x12, 3).unwrap();
    assert_eq!(format!("{id:?}"), "00000012/3");
}

/// Random bytes are fetched for many ids at once: none may be given out twice, on one thread or on two.
#[test]
fn no_id_comes_twice() {
    let make = || (0..5_000).map(|_| Id::random().unwrap()).collect::<Vec<_>>();
    let other = std::thread::spawn(make);
    let mut ids = make();
    ids.extend(other.join().unwrap());
    let sessions = (0..5_000).map(|_| SessionId::random(0, 0).unwrap());
    assert_eq!(sessions.collect::<std::collections::HashSet<_>>().len(), 5_000);
    assert_eq!(ids.into_iter().collect::<std::collections::HashSet<_>>().len(), 10_000);
}
