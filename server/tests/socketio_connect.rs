//! Coming into a namespace.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    echo::{Echo, SOCKET_IO},
    polling::Polling,
    wire::{Seen, Wire},
};

async fn open(echo: &Echo) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire
}

/// The `sid` of an answer to CONNECT that begins with this.
fn sid(text: &str, head: &str) -> String {
    let answer: Value = serde_json::from_str(text.strip_prefix(head).expect("an answer")).expect("a JSON object");
    let sid = answer["sid"].as_str().expect("a sid").to_owned();
    assert_eq!(answer, json!({ "sid": sid }));
    assert_eq!(sid.len(), 20);
    sid
}

#[tokio::test]
async fn the_answer_comes_first_and_what_was_sent_is_seen() {
    let echo = Echo::start();
    let payloads = [("", "{}"), ("{}", "{}"), (r#"{"token":"abc","n":{"a":[1]}}"#, r#"{"token":"abc","n":{"a":[1]}}"#)];
    for (namespace, comma) in [("", ""), ("/custom", ",")] {
        for (payload, seen) in payloads {
            let mut socket = open(&echo).await;
            socket.say(&format!("40{namespace}{comma}{payload}")).await;
            sid(&socket.text().await, &format!("40{namespace}{comma}"));
            assert_eq!(socket.text().await, format!(r#"42{namespace}{comma}["auth",{seen}]"#));
        }
    }
}

#[tokio::test]
async fn it_is_the_same_over_polling() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, SOCKET_IO).await;
    session.send("40/custom,{\"a\":1}").await;
    let body = session.receive().await;
    let (answer, event) = body.split_once('\x1e').unwrap();
    sid(answer, "40/custom,");
    assert_eq!(event, r#"42/custom,["auth",{"a":1}]"#);
}

#[tokio::test]
async fn namespaces_have_sids_of_their_own() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    let mut sids = std::collections::HashSet::new();
    for (connect, answer) in [("40", "40"), ("40/custom", "40/custom,")] {
        socket.say(connect).await;
        sids.insert(sid(&socket.text().await, answer));
        socket.text().await;
    }
    assert_eq!(sids.len(), 2);
}

#[tokio::test]
async fn an_unknown_namespace_is_an_error_and_the_connection_stays() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    socket.say("40/nowhere,{}").await;
    assert_eq!(socket.text().await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    socket.say("40").await;
    sid(&socket.text().await, "40");
}

#[tokio::test]
async fn what_is_sent_must_be_an_object() {
    let echo = Echo::start();
    for payload in ["[]", "[{}]", "\"text\"", "-1", "null", "{", "abc", "{}{}"] {
        let mut socket = open(&echo).await;
        socket.say(&format!("40{payload}")).await;
        assert_eq!(socket.frame().await, Seen::Close(None), "{payload}");
    }
}

#[tokio::test]
async fn one_cannot_come_twice() {
    let echo = Echo::start();
    let mut socket = open(&echo).await;
    socket.say("40").await;
    sid(&socket.text().await, "40");
    socket.text().await;
    socket.say("40").await;
    assert_eq!(socket.frame().await, Seen::Close(None));
}

#[tokio::test]
async fn whoever_has_not_come_has_nothing_to_say() {
    let echo = Echo::start();
    for packet in ["42[\"message\",1]", "42/custom,[\"message\",1]", "41", "430[]", "44{}"] {
        let mut socket = open(&echo).await;
        socket.say(packet).await;
        assert_eq!(socket.frame().await, Seen::Close(None), "{packet}");
    }
}

#[tokio::test]
async fn whoever_does_not_come_in_time_is_closed() {
    let echo = Echo::with(|settings| settings.connect_timeout = Duration::from_millis(100));
    let mut socket = open(&echo).await;
    assert_eq!(socket.frame().await, Seen::Close(None));
    let session = Polling::open(echo.address, SOCKET_IO).await;
    session.forgotten().await;
}

#[tokio::test]
async fn an_unknown_namespace_gives_no_more_time() {
    let echo = Echo::with(|settings| settings.connect_timeout = Duration::from_millis(100));
    let mut socket = open(&echo).await;
    socket.say("40/nowhere,").await;
    assert_eq!(socket.text().await, r#"44/nowhere,{"message":"Invalid namespace"}"#);
    assert_eq!(socket.frame().await, Seen::Close(None));
}

#[tokio::test]
async fn whoever_has_come_may_stay_even_in_no_namespace() {
    let connect_timeout = Duration::from_millis(100);
    let echo = Echo::with(|settings| settings.connect_timeout = connect_timeout);
    let mut socket = open(&echo).await;
    socket.say("40").await;
    socket.text().await;
    socket.text().await;
    socket.say("41").await;
    tokio::time::sleep(2 * connect_timeout).await;
    socket.say("40").await;
    sid(&socket.text().await, "40");
}
