//! A journal in which a promise is broken is found out: each fault is put into one that is otherwise good.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::{Value, json};

/// A short show with two viewers: chat, a drop of two, a wheel with one prize, taps, a kill that the second one survives.
fn good() -> Vec<Value> {
    let message = |at: f64, who: u64, seq: u64| json!({ "at": at, "who": who, "saw": "message", "epoch": "e", "seq": seq, "digest": seq * 7 });
    let mut lines = vec![json!({ "at": 0, "who": 0, "saw": "moving" })];
    for who in 0..3 {
        lines.push(json!({ "at": 1, "who": who, "saw": "connected", "recovered": false }));
        lines.push(json!({ "at": 2, "who": who, "saw": "joined", "epoch": "e", "seq": 5 }));
        lines.push(json!({ "at": 3, "who": who, "saw": "count", "viewers": 2 }));
        lines.push(json!({ "at": 3, "who": who, "saw": "state", "about": "viewers" }));
    }
    lines.push(json!({ "at": 4, "who": 0, "saw": "audience", "viewers": 2, "within": 5.0 }));
    lines.push(json!({ "at": 5, "who": 0, "saw": "drop", "drop": "d", "stock": 2, "per_user": 1 }));
    lines.push(json!({ "at": 5, "who": 0, "saw": "wheel", "wheel": "w", "spins_per_user": 1, "prizes": [["lamp", 1], ["smile", null]] }));
    for who in 0..3 {
        lines.extend([6, 7, 8].map(|seq| message(seq as f64, who, seq)));
    }
    for line in lines.iter_mut().filter(|line| line["saw"] == "message" && line["seq"] == 7) {
        line["said"] = json!(0);
    }
    lines.push(json!({ "at": 8, "who": 1, "saw": "said", "epoch": "e", "seq": 7, "said": 0 }));
    lines.push(
        json!({ "at": 9, "who": 1, "saw": "claimed", "drop": "d", "request": "r1", "claim": "c1", "quantity": 1 }),
    );
    lines.push(
        json!({ "at": 9, "who": 2, "saw": "claimed", "drop": "d", "request": "r2", "claim": "c2", "quantity": 1 }),
    );
    lines.push(
        json!({ "at": 9, "who": 1, "saw": "claimed", "drop": "d", "request": "r1", "claim": "c1", "quantity": 1 }),
    );
    lines.push(
        json!({ "at": 9, "who": 1, "saw": "spun", "wheel": "w", "request": "r3", "spin": "s1", "prize": "lamp" }),
    );
    lines.push(
        json!({ "at": 9, "who": 2, "saw": "spun", "wheel": "w", "request": "r4", "spin": "s2", "prize": "smile" }),
    );
    lines.push(json!({ "at": 10, "who": 1, "saw": "tapped", "taps": 10 }));
    lines.push(json!({ "at": 300, "who": 0, "saw": "totals", "taps": 10 }));
    lines.push(json!({ "at": 1000, "who": 0, "saw": "killed" }));
    lines.push(json!({ "at": 1001, "who": 2, "saw": "lost" }));
    lines.push(message(1002.0, 0, 9));
    lines.push(message(1002.0, 1, 9));
    lines.push(message(2000.0, 2, 9));
    lines.push(json!({ "at": 2001, "who": 2, "saw": "connected", "recovered": true }));
    lines.push(json!({ "at": 9000, "who": 0, "saw": "sold", "drop": "d", "sold": 2 }));
    lines.push(json!({ "at": 9000, "who": 0, "saw": "turned", "wheel": "w", "spins": 2 }));
    lines.extend(["c1", "c2", "s1", "s2"].map(|id| json!({ "at": 40_000, "who": 0, "saw": "record", "id": id })));
    lines.push(json!({ "at": 40_000, "who": 0, "saw": "ledger_read" }));
    lines.push(json!({ "at": 40_000, "who": 0, "saw": "end" }));
    lines
}

/// The exit status, and the promises that were broken.
fn check(name: &str, lines: &[Value]) -> (Option<i32>, Vec<String>) {
    let folder = std::env::temp_dir();
    let path = |kind: &str| folder.join(format!("haat-bench-{}-{name}.{kind}", std::process::id()));
    let (journal, json) = (path("jsonl"), path("json"));
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&journal, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_haat-bench"))
        .args(["show", "--quiet", "--check"])
        .arg(&journal)
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let found: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    std::fs::remove_file(&journal).unwrap();
    std::fs::remove_file(&json).unwrap();
    let findings = found["result"]["verdict"]["findings"].as_array().unwrap().clone();
    let broken = findings.iter().filter(|finding| finding["kept"] == json!(false));
    let broken = broken.map(|finding| finding["promise"].as_str().unwrap().to_owned()).collect();
    (output.status.code(), broken)
}

/// The exit status of a check that judges nothing, and why.
fn unjudged(name: &str, lines: &[Value]) -> (Option<i32>, String) {
    let journal = std::env::temp_dir().join(format!("haat-bench-{}-{name}.jsonl", std::process::id()));
    std::fs::write(&journal, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_haat-bench")).args(["show", "--check"]).arg(&journal).output().unwrap();
    std::fs::remove_file(&journal).unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The place of a line that has all of these members.
fn place(lines: &[Value], like: &Value) -> usize {
    let is_like = |line: &Value| like.as_object().unwrap().iter().all(|(name, value)| line[name] == *value);
    lines.iter().position(is_like).unwrap()
}

/// A fault in the good journal breaks this promise, and no other.
fn breaks(name: &str, promise: &str, fault: impl FnOnce(&mut Vec<Value>)) {
    let mut lines = good();
    fault(&mut lines);
    assert_eq!(check(name, &lines), (Some(1), vec![promise.to_owned()]), "{name}");
}

fn message(who: u64, seq: u64) -> Value {
    json!({ "who": who, "saw": "message", "seq": seq })
}

#[test]
fn a_good_journal_is_clean() {
    assert_eq!(check("good", &good()), (Some(0), vec![]));
}

#[test]
fn a_journal_that_breaks_off_is_not_judged() {
    let lines = good();
    for count in [0, 1, lines.len() - 1] {
        let (status, why) = unjudged(&format!("half-{count}"), &lines[..count]);
        assert_eq!(status, Some(2), "{count} lines: {why}");
        assert!(why.contains("has no end"), "{why}");
    }
}

#[test]
fn a_drop_and_a_wheel_of_one_name_are_told_apart() {
    let mut lines = good();
    lines.retain(|line| line["spin"] != "s2" && line["id"] != "s2");
    for line in lines.iter_mut().filter(|line| line["wheel"] == "w") {
        line["wheel"] = json!("d");
    }
    let turned = place(&lines, &json!({ "saw": "turned" }));
    lines[turned]["spins"] = json!(1);
    assert_eq!(check("one-name", &lines), (Some(0), vec![]));
}

#[test]
fn what_was_accepted_and_never_came_is_found() {
    breaks("accepted", "messages", |lines| {
        let at = place(lines, &json!({ "saw": "killed" }));
        lines.insert(at, json!({ "at": 900, "who": 2, "saw": "said", "epoch": "e", "seq": 10, "said": 1 }));
    });
    breaks("accepted-elsewhere", "messages", |lines| {
        let at = place(lines, &json!({ "saw": "said" }));
        lines[at]["seq"] = json!(8);
    });
}

#[test]
fn what_was_said_once_and_came_twice_is_found() {
    breaks("said-twice", "messages", |lines| {
        for line in lines.iter_mut().filter(|line| line["saw"] == "message" && line["seq"] == 9) {
            line["said"] = json!(0);
        }
    });
}

#[test]
fn a_grant_that_is_refused_when_it_is_repeated_is_found() {
    breaks("claim-refused", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "killed" }));
        let refused =
            json!({ "at": 900, "who": 1, "saw": "claim_refused", "drop": "d", "request": "r1", "code": "sold_out" });
        lines.insert(at, refused);
    });
    breaks("spin-refused", "wheels", |lines| {
        let at = place(lines, &json!({ "saw": "killed" }));
        let refused = json!({ "at": 900, "who": 1, "saw": "spin_refused", "wheel": "w", "request": "r3", "code": "limit_reached" });
        lines.insert(at, refused);
    });
}

#[test]
fn a_lost_message_is_found() {
    breaks("lost", "messages", |lines| drop(lines.remove(place(lines, &message(1, 7)))));
    breaks("lost-last", "messages", |lines| drop(lines.remove(place(lines, &message(1, 9)))));
    breaks("lost-first", "messages", |lines| drop(lines.remove(place(lines, &message(2, 6)))));
    breaks("lost-in-recovery", "messages", |lines| drop(lines.remove(place(lines, &message(2, 9)))));
}

#[test]
fn a_doubled_message_is_found() {
    breaks("doubled", "messages", |lines| {
        let at = place(lines, &message(2, 9));
        lines.insert(at + 2, lines[at].clone());
    });
}

#[test]
fn reordered_messages_are_found() {
    breaks("reordered", "messages", |lines| {
        let at = place(lines, &message(1, 6));
        lines.swap(at, at + 1);
    });
}

#[test]
fn another_message_under_the_same_number_is_found() {
    breaks("another", "messages", |lines| {
        let at = place(lines, &message(2, 8));
        lines[at]["digest"] = json!(1);
    });
}

#[test]
fn a_new_epoch_without_a_reset_is_found() {
    breaks("epoch", "messages", |lines| {
        let at = place(lines, &message(1, 9));
        lines[at]["epoch"] = json!("f");
    });
}

#[test]
fn a_reset_is_found() {
    breaks("reset", "no_reset", |lines| {
        let at = place(lines, &message(1, 9));
        lines.insert(at, json!({ "at": 1001, "who": 1, "saw": "reset" }));
    });
}

#[test]
fn a_reset_is_allowed_behind_a_kill_that_says_so() {
    let with_reset = |before: &Value| {
        let mut lines = good();
        let killed = place(&lines, &json!({ "saw": "killed" }));
        lines[killed]["resets"] = json!(true);
        let at = place(&lines, before);
        lines.insert(at, json!({ "at": 1000, "who": 1, "saw": "reset" }));
        lines
    };
    assert_eq!(check("allowed", &with_reset(&message(1, 9))), (Some(0), vec![]));
    let early = with_reset(&json!({ "saw": "killed" }));
    assert_eq!(check("early", &early), (Some(1), vec!["no_reset".to_owned()]));
}

#[test]
fn one_who_is_not_recovered_is_found() {
    breaks("new", "recovery", |lines| {
        let back = place(lines, &json!({ "who": 2, "saw": "connected", "recovered": true }));
        lines[back]["recovered"] = json!(false);
        lines.insert(back + 1, json!({ "at": 2002, "who": 2, "saw": "joined", "epoch": "e", "seq": 9 }));
    });
}

#[test]
fn an_oversold_drop_is_found() {
    breaks("oversold", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "drop" }));
        lines[at]["stock"] = json!(1);
    });
    breaks("share", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "claimed", "claim": "c2" }));
        lines[at]["who"] = json!(1);
    });
}

#[test]
fn a_claim_that_was_granted_twice_is_found() {
    // The repetition of a request got a grant of its own.
    breaks("twice", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "claimed", "claim": "c2" }));
        lines[at]["request"] = json!("r1");
        lines[at]["who"] = json!(1);
        let terms = place(lines, &json!({ "saw": "drop" }));
        lines[terms]["per_user"] = json!(2);
    });
    // Two users got the same grant.
    breaks("shared", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "claimed", "claim": "c1" }));
        let mut other = lines[at].clone();
        (other["who"], other["request"]) = (json!(2), json!("r9"));
        lines.insert(at + 1, other);
    });
    breaks("closing", "drops", |lines| {
        let at = place(lines, &json!({ "saw": "sold" }));
        lines[at]["sold"] = json!(3);
    });
}

#[test]
fn a_prize_beyond_its_stock_is_found() {
    breaks("prize", "wheels", |lines| {
        let at = place(lines, &json!({ "saw": "spun", "spin": "s2" }));
        lines[at]["prize"] = json!("lamp");
    });
    breaks("spins", "wheels", |lines| {
        let at = place(lines, &json!({ "saw": "spun", "spin": "s2" }));
        lines[at]["who"] = json!(1);
    });
}

#[test]
fn a_ledger_that_lacks_or_doubles_a_grant_is_found() {
    breaks("lacks", "ledger", |lines| drop(lines.remove(place(lines, &json!({ "saw": "record", "id": "c2" })))));
    breaks("doubles", "ledger", |lines| {
        let at = place(lines, &json!({ "saw": "record", "id": "s1" }));
        lines.insert(at, lines[at].clone());
    });
    breaks("more", "ledger", |lines| {
        let at = place(lines, &json!({ "saw": "record", "id": "s1" }));
        lines.insert(at, json!({ "at": 40_000, "who": 0, "saw": "record", "id": "c9" }));
    });
}

#[test]
fn a_wrong_number_of_viewers_is_found() {
    breaks("count", "viewers", |lines| {
        let at = place(lines, &json!({ "who": 2, "saw": "count" }));
        lines[at]["viewers"] = json!(1);
    });
    breaks("count-after-kill", "viewers", |lines| {
        let at = place(lines, &json!({ "saw": "sold" }));
        lines.insert(at, json!({ "at": 9000, "who": 2, "saw": "count", "viewers": 3 }));
    });
}

#[test]
fn uncounted_taps_are_found() {
    breaks("taps", "taps", |lines| {
        let at = place(lines, &json!({ "saw": "totals" }));
        lines[at]["taps"] = json!(9);
    });
    breaks("more-taps", "taps", |lines| {
        let at = place(lines, &json!({ "saw": "totals" }));
        lines[at]["taps"] = json!(11);
    });
}

#[test]
fn state_that_comes_too_often_is_found() {
    breaks("pace", "state_pace", |lines| {
        let at = place(lines, &json!({ "saw": "killed" }));
        for number in 0..20 {
            let line = json!({ "at": 400 + number * 20, "who": 1, "saw": "state", "about": "drop:stock d" });
            lines.insert(at + number, line);
        }
    });
}
