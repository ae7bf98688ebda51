//! A small show on a real fleet: two gateways on a real Redis, one of them killed in the middle of a drop.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says why it was left out")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// The gateway's program, which is built beside the one under test; built now if only this package was.
fn gateway() -> PathBuf {
    let bench = Path::new(env!("CARGO_BIN_EXE_haat-bench"));
    let program = bench.with_file_name("haat");
    if !program.is_file() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let built = Command::new(env!("CARGO")).args(["build", "--bin", "haat"]).current_dir(root).status();
        assert!(built.unwrap().success() && program.is_file(), "{} cannot be built", program.display());
    }
    program
}

#[test]
fn a_show_with_a_kill_keeps_every_promise() {
    let redis = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if redis.is_err() {
        eprintln!("skipped: redis-server is not installed (.ci/redis installs it)");
        return;
    }
    let path = |kind: &str| std::env::temp_dir().join(format!("haat-bench-show-{}.{kind}", std::process::id()));
    let (result, journal) = (path("json"), path("jsonl"));
    let output = Command::new(env!("CARGO_BIN_EXE_haat-bench"))
        .args(["show", "--quiet", "--gateways", "2", "--redis", "--viewers", "60", "--speed", "10"])
        .args(["--price-per-core-hour", "0.04", "--audience", "1000000", "--server-bin"])
        .arg(gateway())
        .arg("--journal")
        .arg(&journal)
        .arg("--json")
        .arg(&result)
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");

    let found: Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    let found = &found["result"];
    for finding in found["verdict"]["findings"].as_array().unwrap() {
        assert_eq!(finding["kept"], json!(true), "every promise has something that shows it: {said}");
    }
    let played = &found["played"];
    assert_eq!(played["killed"], json!(true));
    assert_eq!(played["lost"], json!([30, 30]), "half of the viewers were on the killed gateway: {said}");
    assert_eq!(played["metered"], json!(2));
    assert!(played["bill"]["viewers_per_core_busiest"].as_f64().unwrap() > 0.0);
    assert!(played["bill"]["cost_per_1000_viewer_hours"].as_f64().unwrap() > 0.0);
    assert!(played["bill"]["fleet"]["gateways"].as_u64().unwrap() > 1);

    // What was seen, less one message that one viewer saw.
    let lines = std::fs::read_to_string(&journal).unwrap();
    let is_message = |line: &&str| line.contains(r#""who":7,"saw":"message""#);
    let (place, _) = lines.lines().enumerate().filter(|(_, line)| is_message(line)).nth(100).unwrap();
    let less: String =
        lines.lines().enumerate().filter(|(at, _)| *at != place).fold(String::new(), |mut text, (_, line)| {
            text.push_str(line);
            text.push('\n');
            text
        });
    for (text, status) in [(&lines, 0), (&less, 1)] {
        std::fs::write(&journal, text).unwrap();
        let checked =
            Command::new(env!("CARGO_BIN_EXE_haat-bench")).args(["show", "--check"]).arg(&journal).output().unwrap();
        assert_eq!(checked.status.code(), Some(status), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    std::fs::remove_file(&journal).unwrap();
    std::fs::remove_file(&result).unwrap();
}
