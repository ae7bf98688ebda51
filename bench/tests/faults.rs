//! A server that loses, doubles or swaps messages, or forgets a join, is found out.

#![allow(clippy::unwrap_used, clippy::panic)]

mod fake;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use fake::{receive, send};

/// What the server does to the message with each number.
type Habit = fn(usize, String, &mut Vec<String>) -> Vec<String>;

/// One Socket.IO connection at a time; `joins` says whether a join is answered.
fn serve(mut stream: TcpStream, joins: bool, habit: Habit) -> std::io::Result<()> {
    fake::upgrade(&mut stream)?;
    let mut number = 0;
    let mut kept = Vec::new();
    loop {
        let packet = receive(&mut stream)?;
        if packet == "40" {
            send(&mut stream, "40{\"sid\":\"y\"}")?;
        } else if packet.starts_with("420[\"join\"") {
            if joins {
                send(&mut stream, "430[]")?;
            }
        } else if let Some(event) = packet.strip_prefix("42[\"say\"") {
            let text = event.split('"').nth(3).unwrap().to_owned();
            for text in habit(number, text, &mut kept) {
                send(&mut stream, &format!("42[\"chat\",\"{text}\"]"))?;
            }
            number += 1;
        }
    }
}

fn server(joins: bool, habit: Habit) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, joins, habit));
        }
    });
    address
}

fn bench(address: SocketAddr, name: &str, args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let path = std::env::temp_dir().join(format!("haat-bench-{}-{name}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_haat-bench"))
        .args(args)
        .args(["--preset", "node", "--quiet", "--patience", "2"])
        .args(["--url", &format!("ws://{address}/"), "--json"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {said}"));
    std::fs::remove_file(&path).unwrap();
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

fn faults(name: &str, habit: Habit) -> (Option<i32>, serde_json::Value) {
    let args = ["fanout", "--viewers", "1", "--rate", "50", "--seconds", "0.2", "--warmup", "0"];
    let (status, found) = bench(server(true, habit), name, &args);
    assert_eq!(found["result"]["load"]["published"], 10);
    (status, found["result"]["load"]["verdict"].clone())
}

#[test]
fn an_honest_server_is_clean() {
    let (status, verdict) = faults("honest", |_, text, _| vec![text]);
    assert_eq!(status, Some(0), "{verdict:#}");
    assert_eq!(verdict["delivered"], 10);
}

#[test]
fn a_lost_message_is_found() {
    let (status, verdict) = faults("lost", |number, text, _| match number {
        4 => vec![],
        _ => vec![text],
    });
    assert_eq!(status, Some(1));
    assert_eq!(verdict["delivered"], 9);
    assert_eq!(verdict["faults"]["lost"], 1);
    assert_eq!(verdict["viewers_wrong"], 1);
}

#[test]
fn a_doubled_message_is_found() {
    let (status, verdict) = faults("doubled", |number, text, _| match number {
        9 => vec![text.clone(), text],
        _ => vec![text],
    });
    assert_eq!(status, Some(1));
    assert_eq!(verdict["delivered"], 11);
    assert_eq!(verdict["faults"]["doubled"], 1);
}

#[test]
fn swapped_messages_are_found() {
    let (status, verdict) = faults("swapped", |number, text, kept| match number {
        4 => {
            kept.push(text);
            vec![]
        }
        5 => vec![text, kept.remove(0)],
        _ => vec![text],
    });
    assert_eq!(status, Some(1));
    assert_eq!(verdict["delivered"], 10);
    assert_eq!(verdict["faults"]["swapped"], 1);
    assert_eq!(verdict["faults"]["lost"], 0);
}

#[test]
fn a_join_without_an_answer_is_lost() {
    let address = server(false, |_, text, _| vec![text]);
    let args = ["idle", "--connections", "3", "--burst", "--settle", "0"];
    let (status, found) = bench(address, "joins", &args);
    assert_eq!(status, Some(1));
    assert_eq!(found["result"]["joins_sent"], 3);
    assert_eq!(found["result"]["joins_lost"], 3);
}
