//! Events and acks in both directions, with and without bytes.

mod support;

use support::{
    echo::{Echo, SOCKET_IO},
    polling::Polling,
    wire::{Seen, Wire},
};

/// A connection that has come into a namespace: `""`, or `"/custom,"`.
async fn joined(echo: &Echo, namespace: &str) -> Wire {
    let mut wire = Wire::socket(echo.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire.say(&format!("40{namespace}")).await;
    assert!(wire.text().await.starts_with("40"));
    assert!(wire.text().await.starts_with("42"));
    wire
}

#[tokio::test]
async fn arguments_come_back_as_they_were_sent() {
    let echo = Echo::start();
    for namespace in ["", "/custom,"] {
        let mut socket = joined(&echo, namespace).await;
        for args in [
            "",
            ",1",
            ",1,-2.5e3,\"ünïcödé ☃ 🎉\",null,true,[],{}",
            r#",{"deep":{"deeper":[{"a":"b"},[[]]]}}"#,
            r#",{"_placeholder":true,"num":0}"#,
        ] {
            socket.say(&format!(r#"42{namespace}["message"{args}]"#)).await;
            assert_eq!(socket.text().await, format!(r#"42{namespace}["message-back"{args}]"#));
        }
    }
}

#[tokio::test]
async fn an_ack_has_the_id_that_was_asked_for() {
    let echo = Echo::start();
    for namespace in ["", "/custom,"] {
        let mut socket = joined(&echo, namespace).await;
        for (id, args) in [("0", ""), ("7", ",1"), ("456", r#","text",{"a":[]}"#), ("9007199254740991", ",null")] {
            socket.say(&format!(r#"42{namespace}{id}["message-with-ack"{args}]"#)).await;
            let args = args.strip_prefix(',').unwrap_or_default();
            assert_eq!(socket.text().await, format!("43{namespace}{id}[{args}]"));
        }
    }
}

#[tokio::test]
async fn bytes_follow_their_packet() {
    let echo = Echo::start();
    for namespace in ["", "/custom,"] {
        let mut socket = joined(&echo, namespace).await;
        let args = r#"{"_placeholder":true,"num":0},{"list":["x",{"_placeholder":true,"num":1}]}"#;
        socket.say(&format!(r#"452-{namespace}["message",{args}]"#)).await;
        socket.say_bytes(b"first").await;
        socket.say_bytes(b"").await;
        assert_eq!(socket.text().await, format!(r#"452-{namespace}["message-back",{args}]"#));
        assert_eq!(socket.frame().await, Seen::Binary(b"first".to_vec()));
        assert_eq!(socket.frame().await, Seen::Binary(Vec::new()));
        socket.say(&format!(r#"451-{namespace}8["message-with-ack",{{"_placeholder":true,"num":0}}]"#)).await;
        socket.say_bytes(&[1, 2, 3]).await;
        assert_eq!(socket.text().await, format!(r#"461-{namespace}8[{{"_placeholder":true,"num":0}}]"#));
        assert_eq!(socket.frame().await, Seen::Binary(vec![1, 2, 3]));
    }
}

#[tokio::test]
async fn bytes_are_base64_over_polling_in_one_body_or_in_several() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, SOCKET_IO).await;
    session.send("40").await;
    assert!(session.receive().await.starts_with("40{"));
    let packet = r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let back = r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    session.send(&format!("{packet}\x1ebAQI=\x1ebAw==")).await;
    assert_eq!(session.receive().await, format!("{back}\x1ebAQI=\x1ebAw=="));
    for body in [packet, "bAQI=", "bAw=="] {
        session.send(body).await;
    }
    assert_eq!(session.receive().await, format!("{back}\x1ebAQI=\x1ebAw=="));
}

#[tokio::test]
async fn a_ping_may_come_between_a_packet_and_its_bytes() {
    let echo = Echo::with(|settings| settings.ping_interval = std::time::Duration::from_millis(100));
    let mut socket = joined(&echo, "").await;
    socket.say(r#"451-["message",{"_placeholder":true,"num":0}]"#).await;
    assert_eq!(socket.text().await, "2");
    socket.say("3").await;
    socket.say_bytes(b"late").await;
    loop {
        match socket.frame().await {
            Seen::Text(text) if text == "2" => socket.say("3").await,
            Seen::Text(text) => assert_eq!(text, r#"451-["message-back",{"_placeholder":true,"num":0}]"#),
            bytes => break assert_eq!(bytes, Seen::Binary(b"late".to_vec())),
        }
    }
}

#[tokio::test]
async fn the_server_counts_its_questions_and_takes_one_answer_to_each() {
    let echo = Echo::start();
    for namespace in ["", "/custom,"] {
        let mut socket = joined(&echo, namespace).await;
        for id in 0..3 {
            socket.say(&format!(r#"42{namespace}["ask",{id}]"#)).await;
            assert_eq!(socket.text().await, format!(r#"42{namespace}{id}["question",{id}]"#));
        }
        // In any order, and only the first counts. Nobody asked for 9.
        for answer in [r#"9["nobody"]"#, r#"2["two"]"#, r#"0["zero",{"more":1}]"#, r#"0["again"]"#, "1[]"] {
            socket.say(&format!("43{namespace}{answer}")).await;
        }
        for args in [r#","two""#, r#","zero",{"more":1}"#, ""] {
            assert_eq!(socket.text().await, format!(r#"42{namespace}["answer"{args}]"#));
        }
        socket.say(&format!(r#"42{namespace}["message"]"#)).await;
        assert_eq!(socket.text().await, format!(r#"42{namespace}["message-back"]"#));
    }
}

#[tokio::test]
async fn what_is_no_packet_closes_the_connection() {
    let echo = Echo::start();
    for packet in [
        "4",
        "49",
        "4abc",
        "42{}",
        "42[]x",
        "42[\"message\"",
        "42[{}]",
        "42[\"connect\"]",
        "42[\"disconnecting\"]",
        "43[]",
        "431{}",
        "45[\"message\"]",
        "45-[\"message\"]",
        "451[\"message\"]",
        "4511-[\"message\"]",
        "44{}",
    ] {
        let mut socket = joined(&echo, "").await;
        socket.say(packet).await;
        // An ack without an id is ignored, everything else is the end.
        if packet == "43[]" {
            socket.say("42[\"message\"]").await;
            assert_eq!(socket.text().await, r#"42["message-back"]"#);
            continue;
        }
        assert_eq!(socket.frame().await, Seen::Close(None), "{packet}");
    }
}

#[tokio::test]
async fn bytes_without_a_packet_close_the_connection() {
    let echo = Echo::start();
    let mut socket = joined(&echo, "").await;
    socket.say_bytes(b"what for?").await;
    assert_eq!(socket.frame().await, Seen::Close(None));
}

#[tokio::test]
async fn another_packet_in_place_of_bytes_closes_the_connection() {
    let echo = Echo::start();
    let mut socket = joined(&echo, "").await;
    socket.say(r#"451-["message",{"_placeholder":true,"num":0}]"#).await;
    socket.say(r#"42["message"]"#).await;
    assert_eq!(socket.frame().await, Seen::Close(None));
}

#[tokio::test]
async fn a_volatile_event_reaches_a_poll_that_waits_and_no_other() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, SOCKET_IO).await;
    session.send("40").await;
    assert!(session.receive().await.starts_with("40{"));
    let mut waiting = session.wait().await;
    session.send(r#"42["volatile",1]"#).await;
    assert_eq!(waiting.answer().await.body, r#"42["volatile-back",1]"#);
    session.send("42[\"volatile\",2]\x1e42[\"message\",3]").await;
    assert_eq!(session.receive().await, r#"42["message-back",3]"#);
}
