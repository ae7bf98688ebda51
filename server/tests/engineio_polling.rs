//! Long polling: what is queued leaves in order, one request of each kind at a time, whatever connection brings them.

mod support;

use support::{
    echo::{ENGINE_IO, Echo},
    patiently,
    polling::{Polling, UNKNOWN, sid_of},
    wire::{Wire, ask},
};

#[tokio::test]
async fn packets_come_back_as_they_were_sent() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    for body in ["4hello", "4", "4ünïcödé ☃ 🎉", "4a\x1e4b\x1e4c", "4text\x1ebAQIDBA==\x1e4more\x1eb"] {
        session.send(body).await;
        assert_eq!(session.receive().await, body);
    }
}

#[tokio::test]
async fn everything_that_is_queued_leaves_in_one_body() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    for number in 0..100 {
        session.send(&format!("4{number}")).await;
    }
    let all: Vec<String> = (0..100).map(|number| format!("4{number}")).collect();
    assert_eq!(session.receive().await, all.join("\x1e"));
}

#[tokio::test]
async fn a_get_waits_until_there_is_something() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut waiting = session.wait().await;
    session.send("4at last").await;
    let answer = waiting.answer().await;
    assert_eq!(answer.body, "4at last");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_post_is_answered_with_ok() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let answer = session.post("4hello").await;
    assert_eq!((answer.status, &*answer.body), (200, "ok"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.header("content-length"), Some("2"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn one_connection_carries_many_requests_of_many_sessions() {
    // The sessions live on all shards, the connection on one.
    let echo = Echo::start();
    let mut wire = Wire::connect(echo.address).await;
    let mut targets = Vec::new();
    for _ in 0..8 {
        targets.push(Polling::open(echo.address, ENGINE_IO).await.target);
        let open = wire.ask("GET", &format!("{ENGINE_IO}polling"), "").await;
        targets.push(format!("{ENGINE_IO}polling&sid={}", sid_of(&open.body)));
    }
    for round in 0..3 {
        for (number, target) in targets.iter().enumerate() {
            let text = format!("4{round}/{number}");
            assert_eq!(wire.ask("POST", target, &text).await.body, "ok");
            assert_eq!(wire.ask("GET", target, "").await.body, text);
        }
    }
}

#[tokio::test]
async fn requests_in_one_piece_are_answered_in_order() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut wire = Wire::connect(echo.address).await;
    let target = &session.target;
    let post = format!("POST {target} HTTP/1.1\r\nHost: haat\r\nContent-Length: 2\r\n\r\n4a");
    let get = format!("GET {target} HTTP/1.1\r\nHost: haat\r\n\r\n");
    wire.write([post.as_str(), &get, &post, &get].concat().as_bytes()).await;
    for body in ["ok", "4a", "ok", "4a"] {
        assert_eq!(wire.answer().await.body, body);
    }
}

#[tokio::test]
async fn a_body_may_come_in_chunks_and_slowly() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut wire = Wire::connect(echo.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nTransfer-Encoding: chunked\r\n\r\n", session.target);
    for piece in [head.as_str(), "3\r\n4ab", "\r\n2", "\r\ncd\r\n", "0\r\n\r\n"] {
        wire.write(piece.as_bytes()).await;
    }
    assert_eq!(wire.answer().await.body, "ok");
    assert_eq!(session.receive().await, "4abcd");
}

#[tokio::test]
async fn a_second_get_ends_the_session_and_the_first_is_told() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut first = session.wait().await;
    let second = session.get().await;
    assert_eq!((second.status, &*second.body), (400, ""));
    assert_eq!(first.answer().await.body, "1");
    session.forgotten().await;
}

#[tokio::test]
async fn a_second_post_ends_the_session() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut first = Wire::connect(echo.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nContent-Length: 100\r\n\r\n4unfinished", session.target);
    first.write(head.as_bytes()).await;
    // The first may be on its way still; one of the others meets it.
    let second = async {
        loop {
            let answer = session.post("6").await;
            if answer.body != "ok" {
                return answer;
            }
        }
    };
    let second = patiently("an overlap", second).await;
    assert_eq!((second.status, &*second.body), (400, ""));
    session.forgotten().await;
}

/// Waits until the session is not known any more, and does not help it along: a second GET would end it as well.
async fn ends_by_itself(session: &Polling) {
    patiently("end of the session", async { while session.post("6").await.body != UNKNOWN {} }).await;
}

#[tokio::test]
async fn a_get_that_is_given_up_ends_the_session() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    session.wait().await.hang_up();
    ends_by_itself(&session).await;
}

#[tokio::test]
async fn a_get_whose_connection_is_reset_ends_the_session() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    session.wait().await.reset();
    ends_by_itself(&session).await;
}

#[tokio::test]
async fn what_is_no_packet_ends_the_session_and_what_came_before_it_counts() {
    let echo = Echo::start();
    // A close packet does not come along with messages: the official client would keep them for its next connection.
    for (body, told) in [("abc", "1"), ("", "1"), ("2", "1"), ("4good\x1ex", "4good"), ("4good\x1e", "4good")] {
        let session = Polling::open(echo.address, ENGINE_IO).await;
        let mut waiting = session.wait().await;
        session.post(body).await;
        assert_eq!(waiting.answer().await.body, told, "{body}");
        session.forgotten().await;
    }
}

#[tokio::test]
async fn bytes_as_a_body_end_the_session() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    let mut wire = Wire::connect(echo.address).await;
    let head = "Host: haat\r\nContent-Type: application/octet-stream\r\nContent-Length: 2";
    wire.write(format!("POST {} HTTP/1.1\r\n{head}\r\n\r\n4a", session.target).as_bytes()).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, &*answer.body), (400, ""));
    session.forgotten().await;
}

#[tokio::test]
async fn other_methods_do_not_disturb_the_session() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    for method in ["PUT", "DELETE", "PATCH"] {
        assert_eq!(ask(echo.address, method, &session.target, "").await.status, 405, "{method}");
    }
    session.send("4still here").await;
    assert_eq!(session.receive().await, "4still here");
}

#[tokio::test]
async fn packets_of_an_upgrade_mean_nothing_outside_of_one() {
    let echo = Echo::start();
    let session = Polling::open(echo.address, ENGINE_IO).await;
    session.send("0\x1e3\x1e5\x1e6\x1e3probe").await;
    session.send("4still here").await;
    assert_eq!(session.receive().await, "4still here");
}
