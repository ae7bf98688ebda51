//! The beginning of an Engine.IO session: the open packet, and who is turned away.

mod support;

use serde_json::{Value, json};
use support::{
    World,
    echo::{ENGINE_IO, Echo, SOCKET_IO},
    polling::sid_of,
    wire::{Seen, Wire, ask},
};

fn open_packet(text: &str) -> Value {
    let json = text.strip_prefix('0').expect("an open packet");
    serde_json::from_str(json).expect("an open packet is JSON")
}

#[tokio::test]
async fn an_open_packet_says_how_the_session_is_kept() {
    let echo = Echo::with(|settings| {
        settings.ping_interval = std::time::Duration::from_millis(1500);
        settings.ping_timeout = std::time::Duration::from_secs(7);
        settings.max_payload = 4321;
    });
    for base in [ENGINE_IO, SOCKET_IO] {
        let polling = ask(echo.address, "GET", &format!("{base}polling"), "").await;
        assert_eq!(polling.status, 200);
        assert_eq!(polling.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(polling.header("cache-control"), Some("no-store"));
        let mut socket = Wire::socket(echo.address, &format!("{base}websocket")).await;
        let socket = socket.text().await;
        for (open, upgrades) in [(polling.body, json!(["websocket"])), (socket, json!([]))] {
            let mut packet = open_packet(&open);
            let sid = packet["sid"].take();
            assert!(sid.as_str().is_some_and(|sid| sid.len() >= 20), "{open}");
            assert_eq!(
                packet,
                json!({ "sid": null, "upgrades": upgrades, "pingInterval": 1500, "pingTimeout": 7000, "maxPayload": 4321 })
            );
        }
    }
}

#[tokio::test]
async fn sids_are_not_used_twice_and_name_their_session_alone() {
    let echo = Echo::start();
    let mut sids = std::collections::HashSet::new();
    for _ in 0..50 {
        let open = ask(echo.address, "GET", &format!("{ENGINE_IO}polling"), "").await.body;
        let sid = sid_of(&open);
        let target = format!("{ENGINE_IO}polling&sid={sid}");
        assert_eq!(ask(echo.address, "POST", &target, &format!("4{sid}")).await.body, "ok");
        sids.insert(sid);
    }
    assert_eq!(sids.len(), 50);
    for sid in sids {
        let target = format!("{ENGINE_IO}polling&sid={sid}");
        assert_eq!(ask(echo.address, "GET", &target, "").await.body, format!("4{sid}"));
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_with_a_code() {
    let echo = Echo::start();
    let cases = [
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=carrier-pigeon", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=04&transport=polling", 5, "Unsupported protocol version"),
    ];
    for path in ["/engine.io/", "/socket.io/"] {
        for (method, query, code, message) in cases {
            let answer = ask(echo.address, method, &format!("{path}?{query}"), "").await;
            assert_eq!(answer.status, 400, "{method} {query}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {query}");
            assert_eq!(answer.body, format!(r#"{{"code":{code},"message":"{message}"}}"#), "{method} {query}");
        }
    }
}

#[tokio::test]
async fn a_websocket_that_is_refused_gets_a_text_and_no_upgrade() {
    let echo = Echo::start();
    let cases = [
        ("EIO=4&transport=carrier-pigeon", "Transport unknown"),
        ("EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
        ("transport=websocket", "Unsupported protocol version"),
    ];
    for (query, message) in cases {
        let mut wire = Wire::connect(echo.address).await;
        let answer = wire.upgrade(&format!("/engine.io/?{query}")).await;
        assert_eq!((answer.status, &*answer.body), (400, message), "{query}");
        assert_eq!(answer.header("connection"), Some("close"), "{query}");
        assert_eq!(wire.rest().await, b"", "{query}");
    }
}

#[tokio::test]
async fn an_upgrade_that_names_polling_is_closed_at_once() {
    let echo = Echo::start();
    let mut wire = Wire::socket(echo.address, &format!("{ENGINE_IO}polling")).await;
    assert_eq!(wire.frame().await, Seen::Close(None));
    assert_eq!(wire.frame().await, Seen::End);
}

#[tokio::test]
async fn only_the_beginning_of_a_path_is_compared_its_slash_included() {
    let world = World::start(&[("HAAT_ENGINE_PATH", "/live/")]).await;
    for (path, status) in [("/live/", 200), ("/live/deeper", 200), ("/live", 404), ("/socket.io/", 404), ("/", 404)] {
        let answer = ask(world.address, "GET", &format!("{path}?EIO=4&transport=polling"), "").await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn without_polling_there_is_only_websocket() {
    let world = World::start(&[("HAAT_ENGINE_POLLING", "false")]).await;
    let answer = ask(world.address, "GET", &format!("{SOCKET_IO}polling"), "").await;
    assert_eq!((answer.status, &*answer.body), (400, r#"{"code":0,"message":"Transport unknown"}"#));
    let mut wire = Wire::socket(world.address, &format!("{SOCKET_IO}websocket")).await;
    assert_eq!(open_packet(&wire.text().await)["upgrades"], json!([]));
}

#[tokio::test]
async fn pages_of_other_hosts_are_turned_away_unless_they_are_named() {
    let world = World::start(&[("HAAT_ORIGINS", "https://shop.example")]).await;
    let from = async |origin: &str| {
        let mut wire = Wire::connect(world.address).await;
        let request = format!("GET {SOCKET_IO}polling HTTP/1.1\r\nHost: haat.example\r\nOrigin: {origin}\r\n\r\n");
        wire.write(request.as_bytes()).await;
        wire.answer().await
    };
    for origin in ["https://shop.example", "https://haat.example", "http://haat.example"] {
        let answer = from(origin).await;
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    for origin in ["https://shop.example.evil.tld", "http://shop.example", "null"] {
        let answer = from(origin).await;
        assert_eq!((answer.status, &*answer.body), (403, r#"{"code":4,"message":"Forbidden"}"#), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}
