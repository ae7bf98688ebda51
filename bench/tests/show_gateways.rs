//! A rehearsal against a gateway that does not do its part goes on or ends, and says why.

#![allow(clippy::unwrap_used)]

mod fake;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;

use fake::{receive, send};
use serde_json::{Value, json};

/// What a gateway does with connection `number` when this packet comes; an error ends the connection.
type Habit = fn(number: usize, packet: &str) -> io::Result<Vec<String>>;

/// The shortest show that has viewers.
const SHOW: &str = r#"{"at": 0, "event": "stream:start", "body": {"title": "Sale"}}
{"at": 0, "event": "audience", "share": 1}
{"at": 0.5, "event": "stream:end"}
"#;

/// What a good gateway says: everybody is let in, and every request is accepted.
fn good(number: usize, packet: &str) -> Vec<String> {
    let name = |place: usize| packet.split('"').nth(place).unwrap_or_default();
    let ack = packet.strip_prefix("42").map(|rest| rest.split('[').next().unwrap_or_default());
    match (packet.starts_with("40"), ack) {
        (true, _) => vec![format!(r#"40{{"sid":"s{number}","pid":"p{number}"}}"#)],
        (_, Some(ack)) if name(1) == "stream:join" => {
            vec![format!(r#"43{ack}[{{"ok":true,"state":{{"epoch":"e","seq":0,"viewers":1}}}}]"#)]
        }
        (_, Some(ack)) => vec![format!(r#"43{ack}[{{"ok":true}}]"#)],
        _ => vec![],
    }
}

fn hang_up<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

fn gateway(habit: Habit) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            thread::spawn(move || serve(stream, number, habit));
        }
    });
    address
}

fn serve(mut stream: TcpStream, number: usize, habit: Habit) -> io::Result<()> {
    fake::upgrade(&mut stream)?;
    loop {
        let packet = receive(&mut stream)?;
        for reply in habit(number, &packet)? {
            send(&mut stream, &reply)?;
        }
    }
}

fn rehearse(name: &str, address: SocketAddr, patience: &str) -> (Output, Value) {
    let path = |kind: &str| std::env::temp_dir().join(format!("haat-bench-{}-{name}.{kind}", std::process::id()));
    let (show, result) = (path("jsonl"), path("json"));
    std::fs::write(&show, SHOW).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_haat-bench"))
        .args(["show", "--quiet", "--viewers", "1", "--secret", "a secret of the tests, thirty-two bytes or more"])
        .args(["--url", &format!("http://{address}"), "--patience", patience, "--show"])
        .arg(&show)
        .arg("--json")
        .arg(&result)
        .output()
        .unwrap();
    let found = std::fs::read_to_string(&result).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    std::fs::remove_file(&show).unwrap();
    let _ = std::fs::remove_file(&result);
    (output, found["result"].clone())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rehearsal is not played, and this is the reason.
fn is_not_played(name: &str, address: SocketAddr, patience: &str, why: &str) {
    let (output, _) = rehearse(name, address, patience);
    assert_eq!(output.status.code(), Some(2), "{name}: {}", said(&output));
    assert!(said(&output).contains(why), "{name}: {}", said(&output));
}

#[test]
fn one_whose_connection_breaks_at_the_join_comes_back() {
    // The first connection is the supplier's.
    let address = gateway(|number, packet| match packet.contains("stream:join") && number == 0 {
        true => hang_up(),
        false => Ok(good(number, packet)),
    });
    let (output, found) = rehearse("join", address, "3");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(found["played"]["sent"], json!({ "stream:start": 1, "stream:end": 1 }));
}

#[test]
fn who_never_comes_back_does_not_hold_the_end() {
    // The second connection is the viewer's, and breaks behind the first ping; later ones are not let in.
    let address = gateway(|number, packet| match (number, packet) {
        (0, _) => Ok(good(number, packet)),
        (1, "3") => hang_up(),
        (1, packet) if packet.contains("stream:join") => Ok([good(number, packet), vec!["2".to_owned()]].concat()),
        (1, _) => Ok(good(number, packet)),
        _ => hang_up(),
    });
    let (output, found) = rehearse("away", address, "3");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let findings = found["verdict"]["findings"].as_array().unwrap();
    let recovery = findings.iter().find(|finding| finding["promise"] == "recovery").unwrap();
    assert_eq!(recovery["kept"], json!(false));
    assert_eq!(found["played"]["sent"]["stream:end"], json!(1));
}

#[test]
fn a_gateway_that_is_not_there_is_named_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    is_not_played("refused", address, "3", "Connection refused");
}

#[test]
fn a_token_that_is_refused_ends_it_at_once() {
    let address = gateway(|_, _| Ok(vec![r#"44{"message":"unauthorized"}"#.to_owned()]));
    is_not_played("token", address, "3600", "unauthorized");
}

#[test]
fn a_cue_that_is_never_answered_is_named() {
    let address = gateway(|number, packet| match packet.contains("stream:start") {
        true => Ok(vec![]),
        false => Ok(good(number, packet)),
    });
    is_not_played("silent", address, "3", "line 1: stream:start is not answered");
}
