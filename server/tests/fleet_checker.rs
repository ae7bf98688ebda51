//! The outside checker of the fleet's tests complains of everything that it is there for.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::time::Instant;

use fleet::{
    checker::{Checker, Kept, Log},
    crowd::{Acked, Line, Seen},
};

fn joined(epoch: &str, seq: u64) -> Seen {
    Seen::Joined { stream: "s".to_owned(), epoch: epoch.to_owned(), seq }
}

fn message(epoch: &str, seq: u64) -> Seen {
    Seen::Message { stream: "s".to_owned(), epoch: epoch.to_owned(), seq, digest: seq, text: None }
}

fn reset(epoch: &str) -> Seen {
    Seen::Reset { stream: "s".to_owned(), epoch: epoch.to_owned() }
}

fn connected(sid: &str, recovered: bool) -> Seen {
    Seen::Connected { sid: sid.to_owned(), recovered, gateway: ([127, 0, 0, 1], 1).into() }
}

fn log(epoch: &str, seqs: &[u64]) -> Log {
    let kept = |seq: &u64| Kept { seq: *seq, digest: *seq, id: Some(format!("m{seq}")), text: Some(format!("t{seq}")) };
    let entries: Vec<Kept> = seqs.iter().map(kept).collect();
    Log { epoch: epoch.to_owned(), seq: seqs.last().copied().unwrap_or_default(), entries }
}

fn checked(seen: &[Seen]) -> Checker {
    let mut checker = Checker::default();
    let lines: Vec<Line> = seen.iter().map(|seen| Line { at: Instant::now(), seen: seen.clone() }).collect();
    checker.client("asha", &lines);
    checker
}

fn complaints(seen: &[Seen]) -> usize {
    checked(seen).wrong.len()
}

#[test]
fn it_is_content_with_what_a_client_may_see() {
    let start = [connected("a", false), joined("x", 3)];
    let good: [&[Seen]; 6] = [
        &[message("x", 4), message("x", 5), joined("x", 5), message("x", 6)],
        &[Seen::Lost, connected("a", true), message("x", 4)],
        &[Seen::Lost, connected("b", false), joined("x", 9), message("x", 10)],
        &[reset("y"), joined("y", 1), message("y", 2)],
        &[reset("y"), message("y", 2), joined("y", 2), message("y", 3)],
        &[reset("y"), message("y", 2), Seen::Lost, connected("a", true), message("y", 3)],
    ];
    for rest in good {
        let checker = checked(&[&start, rest].concat());
        assert!(checker.wrong.is_empty(), "{rest:?}: {:?}", checker.wrong);
    }
}

#[test]
fn it_complains_of_everything_else() {
    let start = [connected("a", false), joined("x", 3)];
    let bad: [&[Seen]; 12] = [
        &[message("x", 5)],
        &[message("x", 3)],
        &[message("x", 4), message("x", 4)],
        &[message("y", 4)],
        &[message("x", 4), joined("x", 5)],
        &[joined("y", 4)],
        &[Seen::Lost, connected("a", true), message("x", 5)],
        &[Seen::Lost, connected("b", true)],
        &[Seen::Lost, connected("b", false), message("x", 4)],
        &[reset("y"), message("z", 1)],
        &[reset("y"), joined("x", 3)],
        &[reset("y"), reset("y")],
    ];
    for rest in bad {
        assert!(complaints(&[&start, rest].concat()) > 0, "{rest:?}");
    }
    assert!(complaints(&[connected("a", false), message("x", 1)]) > 0);
}

#[test]
fn it_compares_clients_with_each_other_and_with_redis() {
    let seen = [connected("a", false), joined("x", 1), message("x", 2), message("x", 3)];
    let against = |log: &Log| {
        let mut checker = checked(&seen);
        checker.log("s", log);
        checker.wrong.len()
    };
    assert_eq!(against(&log("x", &[1, 2, 3])), 0);
    assert!(against(&log("x", &[1, 2, 3, 4])) > 0, "the client lacks the last one");
    assert!(against(&log("x", &[1, 3])) > 0, "redis has a hole");
    assert!(against(&log("y", &[1, 2, 3])) > 0, "redis is in another life");
    let mut other = log("x", &[1, 2, 3]);
    other.entries[1].digest = 99;
    assert!(against(&other) > 0, "redis has another message");

    let mut checker = checked(&seen);
    let mut forged = seen.to_vec();
    forged[2] = Seen::Message { stream: "s".to_owned(), epoch: "x".to_owned(), seq: 2, digest: 7, text: None };
    let lines: Vec<Line> = forged.into_iter().map(|seen| Line { at: Instant::now(), seen }).collect();
    checker.client("ravi", &lines);
    assert!(!checker.wrong.is_empty(), "two clients saw different messages");
}

#[test]
fn it_finds_what_was_acknowledged() {
    let ack = |seq: u64, text: &str| Acked {
        at: Instant::now(),
        stream: "s".to_owned(),
        id: format!("m{seq}"),
        seq,
        text: text.to_owned(),
    };
    let against = |log: &Log, acked: &[Acked]| {
        let mut checker = Checker::default();
        checker.acked("s", log, acked);
        checker.wrong.len()
    };
    let kept = log("x", &[1, 2]);
    assert_eq!(against(&kept, &[ack(1, "t1"), ack(2, "t2")]), 0);
    assert!(against(&kept, &[ack(3, "t3")]) > 0, "it is not there");
    assert!(against(&kept, &[ack(2, "t1")]) > 0, "it has another place");
    let mut twice = log("x", &[1, 2]);
    twice.entries[1].text = Some("t1".to_owned());
    assert!(against(&twice, &[ack(1, "t1")]) > 0, "it is there twice");
}
