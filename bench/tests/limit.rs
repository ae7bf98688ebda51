//! The scenarios against the limit server, as a user runs them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

fn bench(args: &[&str], json: &str) -> (Option<i32>, serde_json::Value) {
    let path = std::env::temp_dir().join(format!("haat-bench-{}-{json}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_haat-bench"))
        .args(args)
        .args(["--quiet", "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {said}"));
    std::fs::remove_file(&path).unwrap();
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

#[test]
fn every_delivery_of_a_fanout_is_accounted_for() {
    for variant in ["each", "tick"] {
        let (status, found) = bench(
            &[
                "fanout",
                "--limit",
                variant,
                "--rooms",
                "3",
                "--viewers",
                "7",
                "--publishers",
                "2",
                "--rate",
                "50",
                "--seconds",
                "0.2",
                "--warmup",
                "0",
                "--frame-bytes",
                "333",
            ],
            variant,
        );
        let load = &found["result"]["load"];
        assert_eq!(status, Some(0), "{found:#}");
        assert_eq!(load["published"], 30);
        assert_eq!(load["verdict"]["expected"], 210);
        assert_eq!(load["verdict"]["delivered"], 210);
        assert_eq!(load["verdict"]["viewers_checked"], 21);
        assert_eq!(load["verdict"]["frame_bytes"], 333.0);
        assert_eq!(load["latency"]["count"], 210);
    }
}

#[test]
fn saturate_reports_each_step() {
    let (status, found) = bench(
        &[
            "saturate",
            "--limit",
            "tick",
            "--viewers",
            "20",
            "--start",
            "400",
            "--step-seconds",
            "0.2",
            "--p99-ms",
            "5000",
            "--max-steps",
            "2",
        ],
        "steps",
    );
    assert_eq!(status, Some(0), "{found:#}");
    let result = &found["result"];
    assert_eq!(result["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!(result["steps"][0]["load"]["published"], 4);
    assert_eq!(result["steps"][0]["load"]["verdict"]["viewers_checked"], 16);
    assert!(result["best_step"].is_number());
}
