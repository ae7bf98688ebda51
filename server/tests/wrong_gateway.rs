//! A polling request that lands on another gateway than its session's is answered as if it had not.

mod support;

use serde_json::{Value, json};
use support::{
    World,
    pair::{POLLING, Pair, Session, count},
    patiently,
    polling::UNKNOWN,
    wire::{Answer, Wire, get},
};

/// Requests that came by a hop and were believed.
const TAKEN: &str = r#"haat_hops_taken_total{outcome="believed"}"#;

#[tokio::test]
async fn a_session_polls_wherever_it_likes() {
    let Pair { a, b } = Pair::start(&[]).await;
    for (home, away) in [(&a, &b), (&b, &a)] {
        let session = Session::open(home.address).await;
        assert_eq!(session.post(away.address, "40").await.body, "ok");
        let joined = session.get(away.address).await;
        assert!(joined.status == 200 && joined.body.starts_with("40{"), "{joined:?}");
        assert_eq!(session.post(home.address, r#"420["no:such",{}]"#).await.body, "ok");
        assert!(session.get(away.address).await.body.starts_with(r#"430[{"ok":false"#));
        assert_eq!(session.post(away.address, r#"421["no:such",{}]"#).await.body, "ok");
        assert!(session.get(home.address).await.body.starts_with(r#"431[{"ok":false"#));
        assert_eq!(session.post(away.address, "1").await.body, "ok");
        session.gone(away.address).await;
        assert_eq!(session.post(away.address, "40").await.status, 400);
    }
}

#[tokio::test]
async fn the_answer_is_the_owners_to_the_byte() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::open(a.address).await;
    let pairs = [
        (session.post(a.address, "40").await, session.post(b.address, "3").await),
        (session.get(a.address).await, {
            let session = Session::open(a.address).await;
            session.post(a.address, "40").await;
            session.get(b.address).await
        }),
        (get(a.address, "/socket.io/?EIO=4&transport=polling&sid=x").await, {
            session.post(b.address, "1").await;
            session.gone(b.address).await;
            session.get(b.address).await
        }),
    ];
    // Ids and dates differ, and their lengths do not.
    let shape = |answer: &Answer| {
        let head = answer.head.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned);
        let mut head: Vec<String> = head.collect();
        head.sort();
        (head, answer.body.len())
    };
    for (near, far) in pairs {
        assert_eq!(shape(&near), shape(&far));
    }
}

#[tokio::test]
async fn a_poll_that_waits_elsewhere_gets_what_comes() {
    let Pair { a, b } = Pair::start(&[]).await;
    let mut supplier = b.supplier(&["main"]).await;
    supplier.join("main").await;
    let session = Session::connect(a.address).await;
    session.post(b.address, r#"420["stream:join",{"stream":"main"}]"#).await;
    assert!(session.get(b.address).await.body.contains(r#"430[{"ok":true"#));
    for number in 0..3 {
        let address = [a.address, b.address][number % 2];
        let target = session.target();
        let polling = tokio::spawn(async move { get(address, &target).await.body });
        supplier.say("main", &format!("message {number}")).await;
        let mut body = patiently("message", polling).await.unwrap();
        while !body.contains("chat:message") {
            body = session.get(address).await.body;
        }
        assert!(body.contains(&format!("message {number}")), "{body}");
    }
}

#[tokio::test]
async fn one_connection_carries_sessions_of_every_gateway() {
    let Pair { a, b } = Pair::start(&[]).await;
    let mut wire = Wire::connect(b.address).await;
    let mut sessions = Vec::new();
    for number in 0..6 {
        sessions.push(Session::open([a.address, b.address][number % 2]).await);
    }
    for (number, session) in sessions.iter().enumerate() {
        assert_eq!(wire.ask("POST", &session.target(), "40").await.body, "ok");
        assert!(wire.ask("GET", &session.target(), "").await.body.starts_with("40{"), "session {number}");
    }
    for (number, session) in sessions.iter().enumerate().rev() {
        let event = format!(r#"42{number}["no:such",{{}}]"#);
        assert_eq!(wire.ask("POST", &session.target(), &event).await.body, "ok");
        assert!(wire.ask("GET", &session.target(), "").await.body.starts_with(&format!("43{number}[")));
    }
}

#[tokio::test]
async fn many_sessions_poll_at_once() {
    let Pair { a, b } = Pair::start(&[]).await;
    let clients = (0..50).map(|number| {
        let (home, away) = if number % 2 == 0 { (a.address, b.address) } else { (b.address, a.address) };
        tokio::spawn(async move {
            let session = Session::connect(home).await;
            for turn in 0..10 {
                session.post(away, &format!(r#"42{turn}["no:such",{{"number":{number}}}]"#)).await;
                assert!(session.get(away).await.body.starts_with(&format!("43{turn}[")));
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        patiently("client", client).await.unwrap();
    }
}

#[tokio::test]
async fn what_breaks_the_rules_breaks_them_elsewhere_too() {
    let Pair { a, b } = Pair::start(&[]).await;
    // Two polls at once: the second is refused, and the first told that the session is over.
    let session = Session::connect(a.address).await;
    let mut first = Wire::connect(b.address).await;
    first.request("GET", &session.target(), "").await;
    let mut second = Wire::connect(b.address).await;
    second.request("GET", &session.target(), "").await;
    let mut answers = [first.answer().await, second.answer().await];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!((answers[0].status, &*answers[0].body), (200, "1"));
    assert_eq!((answers[1].status, &*answers[1].body), (400, ""));
    assert_eq!(answers[1].header("connection"), Some("close"));
    // Bytes that are announced as such, and text that is none.
    let session = Session::connect(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nContent-Length: 2\r\n", session.target());
    wire.write(format!("{head}Content-Type: application/octet-stream\r\n\r\n40").as_bytes()).await;
    assert_eq!(wire.answer().await.status, 400);
    session.gone(a.address).await;
    let session = Session::connect(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nContent-Length: 2\r\n\r\n", session.target());
    wire.write(&[head.as_bytes(), b"4\xff"].concat()).await;
    assert_eq!(wire.answer().await.status, 400);
    session.gone(a.address).await;
    // What is neither GET nor POST.
    let session = Session::connect(a.address).await;
    assert_eq!(Wire::connect(b.address).await.ask("PUT", &session.target(), "").await.status, 405);
    assert_eq!(session.post(a.address, "1").await.body, "ok");
}

#[tokio::test]
async fn one_who_hangs_up_while_polling_elsewhere_is_gone() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let before = count(&a, TAKEN).await;
    let mut wire = Wire::connect(b.address).await;
    wire.request("GET", &session.target(), "").await;
    patiently("request to be passed on", async { while count(&a, TAKEN).await == before {} }).await;
    wire.hang_up();
    patiently("end of the session", async { while session.post(a.address, "3").await.status == 200 {} }).await;
}

#[tokio::test]
async fn a_post_that_breaks_off_elsewhere_ends_the_session() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nContent-Length: 10\r\n\r\n4", session.target());
    let before = count(&a, TAKEN).await;
    let mut wire = Wire::connect(b.address).await;
    wire.write(head.as_bytes()).await;
    patiently("request to be passed on", async { while count(&a, TAKEN).await == before {} }).await;
    wire.hang_up();
    // A poll of a session that goes on would wait.
    session.gone(a.address).await;
}

#[tokio::test]
async fn a_post_for_a_session_that_is_gone_need_not_come() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    session.post(a.address, "1").await;
    session.gone(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nContent-Length: 60000\r\n\r\n4", session.target());
    wire.write(head.as_bytes()).await;
    assert_eq!(wire.answer().await.body, UNKNOWN);
}

#[tokio::test]
async fn a_gateway_that_drains_waits_for_the_polls_that_pass_through() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let before = count(&a, TAKEN).await;
    let mut wire = Wire::connect(b.address).await;
    wire.request("GET", &session.target(), "").await;
    patiently("request to be passed on", async { while count(&a, TAKEN).await == before {} }).await;
    let drain = tokio::spawn(b.server.drain(support::PATIENCE * 10));
    let told = async { while get(b.address, POLLING).await.status != 503 {} };
    patiently("drain", told).await;
    assert!(!drain.is_finished());
    session.post(a.address, r#"420["no:such",{}]"#).await;
    assert!(wire.answer().await.body.starts_with("430["));
    patiently("end of the drain", drain).await.unwrap();
    assert_eq!(session.post(a.address, "1").await.body, "ok");
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_where_it_comes_in() {
    let Pair { a, b } = Pair::start(&[("HAAT_ENGINE_MAX_PAYLOAD_BYTES", "1024")]).await;
    let session = Session::connect(a.address).await;
    let empty = r#"420["no:such",{"text":""}]"#;
    let exact = empty.replace(r#""""#, &format!(r#""{}""#, "x".repeat(1024 - empty.len())));
    assert_eq!(session.post(b.address, &exact).await.body, "ok");
    assert!(session.get(b.address).await.body.starts_with("430["));
    assert_eq!(session.post(b.address, &format!("{exact} ")).await.status, 413);
    assert_eq!(session.post(b.address, r#"421["no:such",{}]"#).await.body, "ok");
    assert!(session.get(b.address).await.body.starts_with("431["), "the session goes on");
    // One that does not say how long it is.
    let mut wire = Wire::connect(b.address).await;
    let head = format!("POST {} HTTP/1.1\r\nHost: haat\r\nTransfer-Encoding: chunked\r\n\r\n", session.target());
    wire.write(format!("{head}401\r\n{exact} \r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(wire.answer().await.status, 413);
}

#[tokio::test]
async fn a_page_of_another_origin_is_answered_once() {
    let origins = [("HAAT_ORIGINS", "https://shop.example")];
    let Pair { a, b } = Pair::start(&origins).await;
    let ask = async |world: &World, session: &Session, origin: &str, method: &str| {
        let mut wire = Wire::connect(world.address).await;
        let target = session.target();
        wire.write(format!("{method} {target} HTTP/1.1\r\nHost: haat\r\nOrigin: {origin}\r\n\r\n").as_bytes()).await;
        wire.answer().await
    };
    let count = |answer: &Answer, name: &str| {
        answer.head.lines().filter(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:"))).count()
    };
    let session = Session::open(a.address).await;
    session.post(b.address, "40").await;
    let answer = ask(&b, &session, "https://shop.example", "GET").await;
    assert!(answer.status == 200 && answer.body.starts_with("40{"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!((count(&answer, "access-control-allow-origin"), count(&answer, "vary")), (1, 1));
    let preflight = ask(&b, &session, "https://shop.example", "OPTIONS").await;
    assert_eq!((preflight.status, count(&preflight, "access-control-allow-origin")), (204, 1));
    let refused = ask(&b, &session, "https://evil.example", "GET").await;
    assert_eq!((refused.status, count(&refused, "access-control-allow-origin")), (403, 0));
    // An error is an answer too.
    session.post(a.address, "1").await;
    session.gone(b.address).await;
    let gone = ask(&b, &session, "https://shop.example", "GET").await;
    assert_eq!((gone.status, count(&gone, "access-control-allow-origin")), (400, 1));
    let body: Value = serde_json::from_str(&gone.body).unwrap();
    assert_eq!(body, json!({ "code": 1, "message": "Session ID unknown" }));
}

#[tokio::test]
async fn the_owner_decides_on_origins_too() {
    let Pair { a, b } = Pair::differing(&[], &[("HAAT_ORIGINS", "*")]).await;
    let session = Session::connect(a.address).await;
    let mut wire = Wire::connect(b.address).await;
    let target = session.target();
    wire.write(format!("GET {target} HTTP/1.1\r\nHost: haat\r\nOrigin: https://evil.example\r\n\r\n").as_bytes()).await;
    assert_eq!(wire.answer().await.status, 403);
}

#[tokio::test]
async fn an_owner_that_drains_is_still_found() {
    let Pair { a, b } = Pair::start(&[]).await;
    let session = Session::connect(a.address).await;
    let drain = tokio::spawn(a.server.drain(support::PATIENCE * 10));
    let told = async { while !session.get(b.address).await.body.contains("server:draining") {} };
    patiently("notice", told).await;
    assert_eq!(session.post(b.address, r#"420["no:such",{}]"#).await.body, "ok");
    assert!(session.get(b.address).await.body.starts_with("430["));
    session.post(b.address, "1").await;
    patiently("end of the drain", drain).await.unwrap();
    assert_eq!(session.get(b.address).await.body, UNKNOWN);
}
