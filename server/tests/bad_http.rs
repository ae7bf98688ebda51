//! Requests that no client makes. Rows are named after the catalogue of bad input (BH). After each of them innocent
//! viewers go on as before.
//!
//! Where the contract and the wire reference decide otherwise than the catalogue, they win: no origin is as good as a
//! good one, with or without a token (BH7), and a refused upgrade is always 400.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use support::{
    World,
    echo::SOCKET_IO,
    innocents::Innocents,
    patiently,
    polling::Polling,
    wire::{UPGRADE, Wire, answer_to, frame, get, handshake, request, text},
};

/// What a request must come to.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// This status.
    Status(u16),
    /// Engine.IO's error with this code, over HTTP.
    Engine(u8),
    /// The same, in answer to an upgrade: always 400, and closed.
    Refused(&'static str),
    /// An error of the client, or no answer; closed in either case.
    Closed,
    /// A WebSocket without extensions, and with this subprotocol.
    Socket(Option<&'static str>),
}

use Want::{Closed, Engine, Refused, Socket, Status};

async fn check(world: &World, row: &str, bytes: &[u8], want: Want) {
    let mut wire = Wire::connect(world.address).await;
    let sent = async {
        wire.send(bytes).await;
        wire.answer_or_end().await
    };
    let answer = patiently(row, sent).await;
    if let Closed = want {
        if let Some(answer) = answer {
            assert!((400..500).contains(&answer.status), "{row}: {answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{row}: {answer:?}");
        }
        assert!(wire.rest().await.is_empty(), "{row}: nothing more");
        return;
    }
    let answer = answer.unwrap_or_else(|| panic!("{row}: no answer"));
    match want {
        Status(status) => assert_eq!(answer.status, status, "{row}: {answer:?}"),
        Engine(code) => {
            assert_eq!(answer.status, if code == 4 { 403 } else { 400 }, "{row}: {answer:?}");
            assert!(answer.body.starts_with(&format!(r#"{{"code":{code},"message":""#)), "{row}: {answer:?}");
        }
        Refused(message) => {
            assert_eq!((answer.status, answer.body.as_str()), (400, message), "{row}: {answer:?}");
            assert!(wire.rest().await.is_empty(), "{row}: closed");
        }
        Socket(subprotocol) => {
            assert_eq!(answer.status, 101, "{row}: {answer:?}");
            assert_eq!(answer.header("sec-websocket-extensions"), None, "{row}");
            assert_eq!(answer.header("sec-websocket-protocol"), subprotocol, "{row}");
            let open = wire.told().await.unwrap_or_default();
            assert!(open.starts_with("0{"), "{row}: {open}");
        }
        Closed => {}
    }
    assert!(!answer.body.contains("the secret of the tests"), "{row}: {answer:?}");
}

async fn check_all(world: &World, rows: Vec<(&str, Vec<u8>, Want)>) {
    let mut innocents = Innocents::watch(world).await;
    for (row, bytes, want) in rows {
        check(world, row, &bytes, want).await;
        innocents.unharmed(row).await;
    }
}

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const OPEN_SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

fn plain(method: &str, target: &str) -> Vec<u8> {
    request(method, target, &[], "").into_bytes()
}

fn with(target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    request("GET", target, headers, "").into_bytes()
}

/// A handshake with other or further headers; an empty value takes one away.
fn upgrade(target: &str, changes: &[(&str, &str)]) -> Vec<u8> {
    let kept = UPGRADE.into_iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    let added = changes.iter().copied().filter(|(_, value)| !value.is_empty());
    let headers: Vec<(&str, &str)> = kept.chain(added).collect();
    with(target, &headers)
}

fn head_of(bytes: usize, target: &str) -> Vec<u8> {
    let bare = with(target, &[("X", "")]).len();
    with(target, &[("X", &"x".repeat(bytes - bare))])
}

fn headers(count: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count - 1).map(|number| format!("X-{number}")).collect();
    let lines: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    with(OPEN, &lines)
}

#[tokio::test]
async fn heads_that_never_end() {
    let world = World::start(&[("HAAT_ENGINE_HANDSHAKE_TIMEOUT_SECONDS", "1")]).await;
    let mut innocents = Innocents::watch(&world).await;
    for (row, first) in [
        ("BH1 nothing at all", &b""[..]),
        ("BH1 no end", b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: haat.example\r\n"),
        ("BH1 no end, not ours", b"GET / HTTP/1.1\r\nHost: haat.example\r\n"),
        ("BH1 no end, an upgrade", &handshake("/socket.io/?EIO=4&transport=websocket").as_bytes()[..120]),
    ] {
        let mut wire = Wire::connect(world.address).await;
        wire.send(first).await;
        assert!(wire.rest().await.is_empty(), "{row}");
        innocents.unharmed(row).await;
    }

    let row = "BH1 byte by byte";
    let mut wire = Wire::connect(world.address).await;
    let endless = std::iter::once("GET / HTTP/1.1\r\nX: ".to_owned()).chain((0..).map(|_| "x".to_owned()));
    let mut sent = 0;
    for piece in endless {
        wire.send(&piece).await;
        sent += 1;
        assert!(sent < 2000, "{row}: still read after {sent} pieces");
        if tokio::time::timeout(std::time::Duration::from_millis(20), wire.next()).await.is_ok() {
            break;
        }
    }
    innocents.unharmed(row).await;

    let row = "BH1 no end of the second request";
    let mut wire = Wire::connect(world.address).await;
    wire.send(plain("GET", "/")).await;
    assert_eq!(wire.answer().await.status, 404, "{row}");
    wire.send("GET / HTTP/1.1\r\nHost: haat.example\r\n").await;
    assert!(wire.rest().await.is_empty(), "{row}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let world = World::start(&[]).await;
    let rows = vec![
        ("BH2 8 KiB is the most", head_of(8192, OPEN), Status(200)),
        ("BH2 more than 8 KiB", head_of(8193, OPEN), Status(431)),
        ("BH2 more than 8 KiB, not ours", head_of(9000, "/"), Status(431)),
        ("BH2 more than 8 KiB in an upgrade", upgrade(OPEN_SOCKET, &[("X", &"x".repeat(8192))]), Status(431)),
        ("BH2 15 KiB", head_of(15 * 1024, OPEN), Status(431)),
        ("BH2 64 headers", headers(64), Status(200)),
        ("BH2 65 headers", headers(65), Status(431)),
        ("BH2 300 headers", headers(300), Status(431)),
        ("BH5 a URI of 16 KiB", plain("GET", &format!("{OPEN}&t={}", "t".repeat(16 * 1024))), Status(414)),
    ];
    check_all(&world, rows).await;

    let mut innocents = Innocents::watch(&world).await;
    let row = "BH2 2,000 headers";
    let answer = String::from_utf8(flood(&world, &headers(2000)).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{row}: {answer}");
    innocents.unharmed(row).await;

    let row = "BH2 a header without end";
    let mut wire = Wire::connect(world.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: haat.example\r\nX: ").await;
    let answer = wire.send_and_read_until_refused(&[b'x'; 8192]).await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{row}: {:?}", String::from_utf8_lossy(&answer));
    innocents.unharmed(row).await;

    let row = "BH2 more than 8 KiB in a second request";
    let mut wire = Wire::connect(world.address).await;
    wire.send(plain("GET", "/")).await;
    assert_eq!(wire.answer().await.status, 404, "{row}");
    wire.send(head_of(9000, "/")).await;
    assert_eq!(wire.answer().await.status, 431, "{row}");
    innocents.unharmed(row).await;
}

/// Sends more than the server reads, and returns what it answers meanwhile.
async fn flood(world: &World, bytes: &[u8]) -> Vec<u8> {
    let mut wire = Wire::connect(world.address).await;
    wire.send(bytes).await;
    wire.rest().await
}

#[tokio::test]
async fn messages_whose_length_is_not_clear() {
    let world = World::start(&[]).await;
    let mut rows = Vec::new();
    for (place, head) in [
        ("the socket path", "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nHost: haat.example\r\n"),
        ("another path", "POST / HTTP/1.1\r\nHost: haat.example\r\n"),
    ] {
        for (what, lines, body) in [
            ("a length and chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "1\r\n6\r\n0\r\n\r\n"),
            ("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "1\r\n6\r\n0\r\n\r\n"),
            ("two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n", "66"),
            ("one length twice", "Content-Length: 1\r\nContent-Length: 1\r\n", "6"),
            ("a list of lengths", "Content-Length: 1, 1\r\n", "6"),
            ("a length below 0", "Content-Length: -1\r\n", "6"),
            ("a length of 2^64", "Content-Length: 18446744073709551616\r\n", "6"),
            ("a length in hex", "Content-Length: 0x1\r\n", "6"),
            ("a length with a sign", "Content-Length: +1\r\n", "6"),
            ("an unknown coding", "Transfer-Encoding: gzip\r\n", "6"),
            ("chunked, then another coding", "Transfer-Encoding: chunked, gzip\r\n", "6"),
            ("a space before the colon", "Content-Length : 1\r\n", "6"),
            ("a folded line", "X: 1\r\n 2\r\n", ""),
        ] {
            rows.push((format!("BH3 {what}, {place}"), format!("{head}{lines}\r\n{body}").into_bytes(), Closed));
        }
    }
    for (what, lines) in [
        ("a length in an upgrade", ("Content-Length", "5")),
        ("chunks in an upgrade", ("Transfer-Encoding", "chunked")),
    ] {
        rows.push((format!("BH3 {what}"), upgrade(OPEN_SOCKET, &[lines]), Closed));
    }
    check_all(&world, rows.iter().map(|(row, bytes, want)| (row.as_str(), bytes.clone(), *want)).collect()).await;

    let mut innocents = Innocents::watch(&world).await;
    for (row, chunks) in [
        ("BH3 a chunk size that is none", "zz\r\n6\r\n0\r\n\r\n"),
        ("BH3 a chunk size below 0", "-1\r\n6\r\n0\r\n\r\n"),
        ("BH3 a chunk size above 64 bits", "fffffffffffffffff\r\n6\r\n0\r\n\r\n"),
        ("BH3 a chunk without its end", "1\r\n66\r\n0\r\n\r\n"),
    ] {
        let poller = Polling::open(world.address, SOCKET_IO).await;
        let mut wire = Wire::connect(world.address).await;
        wire.send(request("POST", &poller.target, &[("Transfer-Encoding", "chunked")], "")).await;
        wire.send(chunks).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{row}: {answer:?}");
        assert!(wire.rest().await.is_empty(), "{row}: closed");
        assert!(!poller.is_known().await, "{row}: the session ends");
        innocents.unharmed(row).await;
    }
}

#[tokio::test]
async fn what_is_no_request() {
    let world = World::start(&[]).await;
    // A TLS 1.3 ClientHello begins like this.
    let tls = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[0xa5; 600]].concat();
    let text = |text: &str| text.as_bytes().to_vec();
    let rows = vec![
        ("BH4 HTTP/0.9", text("GET /\r\n\r\n"), Closed),
        ("BH4 HTTP/2 with prior knowledge", text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Closed),
        ("BH4 HTTP/2.0 in a request", text("GET / HTTP/2.0\r\nHost: haat.example\r\n\r\n"), Closed),
        ("BH4 HTTP/9", text("GET / HTTP/9\r\nHost: haat.example\r\n\r\n"), Closed),
        ("BH4 TLS", tls, Closed),
        ("BH4 garbage", text("\u{1}\u{2}\u{3} what is this\r\n\r\n"), Closed),
        ("BH4 zeros", vec![0; 4096], Closed),
        ("BH4 a zero in a header", text("GET / HTTP/1.1\r\nHost: haat.example\r\nX: a\0b\r\n\r\n"), Closed),
        ("BH4 a zero in the target", text("GET /\0 HTTP/1.1\r\nHost: haat.example\r\n\r\n"), Closed),
        ("BH4 a bare CR in a header", text("GET / HTTP/1.1\r\nHost: haat.example\r\nX: a\rb\r\n\r\n"), Closed),
        ("BH4 a header without a name", text("GET / HTTP/1.1\r\nHost: haat.example\r\n: b\r\n\r\n"), Closed),
        ("BH4 no version", text("GET /socket.io/\r\nHost: haat.example\r\n\r\n"), Closed),
    ];
    check_all(&world, rows).await;
}

#[tokio::test]
async fn hosts_and_targets_that_are_none() {
    let folder = std::env::temp_dir().join(format!("haat-bad-http-{}", std::process::id()));
    let pages = folder.join("pages");
    std::fs::create_dir_all(&pages).unwrap();
    std::fs::write(pages.join("index.html"), "the page").unwrap();
    std::fs::write(folder.join("secret.txt"), "the secret of the tests").unwrap();
    let world = World::start(&[("HAAT_DEMO", pages.to_str().unwrap())]).await;
    assert_eq!(get(world.address, "/index.html").await.body, "the page");

    let mut rows = Vec::new();
    for (what, target, more) in [
        ("polling", OPEN, String::new()),
        ("a page", "/index.html", String::new()),
        ("an upgrade", OPEN_SOCKET, UPGRADE.map(|(name, value)| format!("{name}: {value}\r\n")).concat()),
    ] {
        for (host, lines) in [
            ("no host", ""),
            ("two hosts", "Host: haat.example\r\nHost: haat.example\r\n"),
            ("a host with a space", "Host: haat example\r\n"),
            ("a host with a path", "Host: haat.example/x\r\n"),
            ("a host with a user", "Host: asha@haat.example\r\n"),
            ("half an address", "Host: [::1\r\n"),
            ("a port that is none", "Host: haat.example:abc\r\n"),
            ("a list of hosts", "Host: haat.example, evil.example\r\n"),
        ] {
            let bytes = format!("GET {target} HTTP/1.1\r\n{lines}{more}\r\n").into_bytes();
            rows.push((format!("BH5 {host}, {what}"), bytes, Closed));
        }
    }
    let secret = "secret.txt";
    for target in [
        format!("http://haat.example{OPEN}"),
        format!("http://evil.example{OPEN}"),
        format!("/{OPEN}"),
        format!("//{secret}"),
        format!("/../{secret}"),
        format!("/./../{secret}"),
        format!("/%2e%2e/{secret}"),
        format!("/%2e%2e%2f{secret}"),
        format!("/..%2f{secret}"),
        format!("/..%5c{secret}"),
        format!("/..\\{secret}"),
        format!("/x/../../{secret}"),
        format!("/{}", folder.join(secret).display()),
        "/index.html%00.png".to_owned(),
        "/%00".to_owned(),
        "/%".to_owned(),
        "/%ff%fe".to_owned(),
        "/socket.io".to_owned(),
        "/socket%2eio/?EIO=4&transport=polling".to_owned(),
        "/Socket.io/?EIO=4&transport=polling".to_owned(),
        "/.".to_owned() + "." + "/socket.io/?EIO=4&transport=polling",
    ] {
        rows.push((format!("BH5 {target}"), plain("GET", &target), Status(404)));
    }
    // One target is no path at all, and `http` says so.
    rows.push(("BH5 no path".to_owned(), plain("GET", "index.html"), Closed));
    rows.push((
        "BH5 only the beginning of a path counts".to_owned(),
        plain("GET", "/socket.io/../../secret.txt"),
        Engine(0),
    ));
    check_all(&world, rows.iter().map(|(row, bytes, want)| (row.as_str(), bytes.clone(), *want)).collect()).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn websocket_handshakes_that_are_none() {
    let world = World::start(&[]).await;
    let key = "Sec-WebSocket-Key";
    let twice = format!("dGhlIHNhbXBsZSBub25jZQ==\r\n{key}: dGhlIHNhbXBsZSBub25jZQ==");
    let old = String::from_utf8(upgrade(OPEN_SOCKET, &[])).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let posted = String::from_utf8(upgrade(OPEN_SOCKET, &[])).unwrap().replace("GET ", "POST ");
    let poller = Polling::open(world.address, SOCKET_IO).await;
    let taken = String::from_utf8(upgrade(&poller.upgrade, &[])).unwrap();
    let protocols = format!("b{}x", " ".repeat(7000));
    let rows = vec![
        ("BH6 no Connection", upgrade(OPEN_SOCKET, &[("Connection", "")]), Status(400)),
        ("BH6 Connection: close", upgrade(OPEN_SOCKET, &[("Connection", "close")]), Status(400)),
        ("BH6 no key", upgrade(OPEN_SOCKET, &[(key, "")]), Status(400)),
        ("BH6 a key of 15 bytes", upgrade(OPEN_SOCKET, &[(key, "dGhlIHNhbXBsZSBub25j")]), Status(400)),
        ("BH6 a key of 17 bytes", upgrade(OPEN_SOCKET, &[(key, "dGhlIHNhbXBsZSBub25jZSE=")]), Status(400)),
        ("BH6 a key that is not base64", upgrade(OPEN_SOCKET, &[(key, "!GhlIHNhbXBsZSBub25jZQ==")]), Status(400)),
        ("BH6 two keys", upgrade(OPEN_SOCKET, &[(key, &twice)]), Status(400)),
        ("BH6 version 8", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Version", "8")]), Status(426)),
        ("BH6 no version", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Version", "")]), Status(426)),
        ("BH6 HTTP/1.0", old.into_bytes(), Status(400)),
        ("BH6 a POST", posted.into_bytes(), Refused("Bad handshake method")),
        ("BH6 a POST to a session", taken.replace("GET ", "POST ").into_bytes(), Refused("Bad request")),
        ("BH6 another protocol", upgrade(OPEN_SOCKET, &[("Upgrade", "h2c")]), Engine(3)),
        ("BH8 spaces in a subprotocol", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Protocol", &protocols)]), Socket(None)),
        ("BH8 the first subprotocol", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Protocol", "a, b")]), Socket(Some("a"))),
        ("BH8 no subprotocol", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Protocol", ", ,")]), Socket(None)),
        (
            "BH8 an unknown extension",
            upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Extensions", "constructor")]),
            Socket(None),
        ),
        (
            "BH8 many parameters",
            upgrade(
                OPEN_SOCKET,
                &[(
                    "Sec-WebSocket-Extensions",
                    &format!("permessage-deflate{}", "; server_no_context_takeover".repeat(250)),
                )],
            ),
            Socket(None),
        ),
        (
            "BH8 1,000 parameters",
            upgrade(
                OPEN_SOCKET,
                &[(
                    "Sec-WebSocket-Extensions",
                    &format!("permessage-deflate{}", "; server_no_context_takeover".repeat(1000)),
                )],
            ),
            Status(431),
        ),
    ];
    check_all(&world, rows).await;
    assert!(poller.is_known().await);

    for (row, first) in [("the first request", false), ("a later request", true)] {
        let mut wire = Wire::connect(world.address).await;
        if first {
            wire.send(plain("GET", "/")).await;
            wire.answer().await;
        }
        wire.send(upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Version", "8")])).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")), "BH6 {row}");
    }
}

/// The same refusals on a connection that hyper reads: a proxy keeps one open for several clients.
#[tokio::test]
async fn websocket_handshakes_that_are_none_on_a_connection_in_use() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let poller = Polling::open(world.address, SOCKET_IO).await;
    let taken = String::from_utf8(upgrade(&poller.upgrade, &[])).unwrap();
    for (row, bytes, status, body) in [
        ("BH6 no key", upgrade(OPEN_SOCKET, &[("Sec-WebSocket-Key", "")]), 400, ""),
        ("BH6 a body", upgrade(OPEN_SOCKET, &[("Content-Length", "5")]), 400, ""),
        ("BH6 a POST to a session", taken.replace("GET ", "POST ").into_bytes(), 400, "Bad request"),
        ("BH7 a foreign origin", upgrade(OPEN_SOCKET, &[("Origin", "https://evil.example")]), 400, "Forbidden"),
        ("BE3 no session", upgrade(&format!("{OPEN_SOCKET}&sid=nope"), &[]), 400, "Session ID unknown"),
    ] {
        let mut wire = Wire::connect(world.address).await;
        wire.send(plain("GET", "/")).await;
        assert_eq!(wire.answer().await.status, 404, "{row}");
        wire.send(bytes).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{row}: {answer:?}");
        assert!(wire.rest().await.is_empty(), "{row}: closed");
        innocents.unharmed(row).await;
    }
    assert!(poller.is_known().await);
}

#[tokio::test]
async fn origins_that_are_not_allowed() {
    let world = World::start(&[("HAAT_ORIGINS", "https://shop.example")]).await;
    // Native apps send no origin. The contract lets them watch as guests, with or without a token.
    let absent = vec![
        ("BH7 no origin, polling", with(OPEN, &[]), Status(200)),
        ("BH7 no origin, an upgrade", upgrade(OPEN_SOCKET, &[]), Socket(None)),
    ];
    check_all(&world, absent).await;
    let mut rows = Vec::new();
    let twice = "https://shop.example\r\nOrigin: https://evil.example";
    for (origin, polling, upgraded) in [
        ("https://shop.example", Status(200), Socket(None)),
        ("https://haat.example", Status(200), Socket(None)),
        ("null", Engine(4), Refused("Forbidden")),
        ("https://shop.example.evil.tld", Engine(4), Refused("Forbidden")),
        ("https://evil.tld/shop.example", Engine(4), Refused("Forbidden")),
        ("https://haat.example.evil.tld", Engine(4), Refused("Forbidden")),
        ("https://haat.example:8443", Engine(4), Refused("Forbidden")),
        ("https://asha@haat.example", Engine(4), Refused("Forbidden")),
        ("http://shop.example", Engine(4), Refused("Forbidden")),
        ("https://shop.example https://evil.example", Engine(4), Refused("Forbidden")),
        ("https://shop.example, https://evil.example", Engine(4), Refused("Forbidden")),
        ("*", Engine(4), Refused("Forbidden")),
        ("file://", Engine(4), Refused("Forbidden")),
        ("https://sh\u{f6}p.example", Engine(3), Refused("Bad request")),
        (twice, Engine(3), Refused("Bad request")),
        ("https://shop\u{1}.example", Closed, Closed),
    ] {
        rows.push((format!("BH7 {origin:?}, polling"), with(OPEN, &[("Origin", origin)]), polling));
        rows.push((format!("BH7 {origin:?}, an upgrade"), upgrade(OPEN_SOCKET, &[("Origin", origin)]), upgraded));
    }
    check_all(&world, rows.iter().map(|(row, bytes, want)| (row.as_str(), bytes.clone(), *want)).collect()).await;
}

#[tokio::test]
async fn foreign_pages_are_not_told_that_they_may() {
    let world = World::start(&[("HAAT_ORIGINS", "https://shop.example")]).await;
    let mut innocents = Innocents::watch(&world).await;
    let long = "x".repeat(7000);
    for target in [OPEN, "/socket.io/?EIO=4", "/socket.io/", "/socket.io/?EIO=4&transport=polling&sid=nope"] {
        for (origin, allowed) in [
            ("https://shop.example", true),
            ("https://evil.example", false),
            ("null", false),
            ("https://shop.example.evil.tld", false),
        ] {
            for method in ["OPTIONS", "GET", "POST"] {
                let row = format!("BH11 {method} {target} from {origin}");
                let more = [
                    ("Origin", origin),
                    ("Access-Control-Request-Method", "POST"),
                    ("Access-Control-Request-Headers", &long),
                ];
                let answer = answer_to(world.address, request(method, target, &more, "")).await.unwrap();
                let told = answer.header("access-control-allow-origin");
                assert_eq!(told, allowed.then_some(origin), "{row}: {answer:?}");
                assert_eq!(answer.header("access-control-allow-credentials"), None, "{row}");
                assert_eq!(answer.status == 204, allowed && method == "OPTIONS", "{row}: {answer:?}");
                if !allowed {
                    assert_eq!(answer.header("access-control-allow-headers"), None, "{row}");
                    assert_eq!(answer.header("access-control-allow-methods"), None, "{row}");
                }
                innocents.unharmed(&row).await;
            }
        }
    }
    let row = "BH11 asked for 8 KiB of headers";
    let more = [("Origin", "https://shop.example"), ("Access-Control-Request-Headers", &"x".repeat(8192))];
    assert_eq!(answer_to(world.address, request("OPTIONS", OPEN, &more, "")).await.unwrap().status, 431, "{row}");
    let row = "BH11 a preflight of nobody";
    let answer = answer_to(world.address, request("OPTIONS", OPEN, &[], "")).await.unwrap();
    assert_eq!((answer.status, answer.body.contains(r#""code":2"#)), (400, true), "{row}: {answer:?}");
    innocents.unharmed(row).await;
}

#[tokio::test]
async fn what_comes_right_behind_the_upgrade() {
    let world = World::start(&[]).await;
    let mut innocents = Innocents::watch(&world).await;
    let request = handshake("/socket.io/?EIO=4&transport=websocket").into_bytes();
    let connect = text("40");
    for cut in 0..=connect.len() {
        let row = format!("BH9 {cut} bytes of a frame behind the request");
        let mut wire = Wire::connect(world.address).await;
        wire.send([&request, &connect[..cut]].concat()).await;
        assert_eq!(wire.answer().await.status, 101, "{row}");
        wire.send(&connect[cut..]).await;
        assert!(wire.told().await.unwrap().starts_with("0{"), "{row}");
        assert!(wire.told().await.unwrap().starts_with("40{"), "{row}");
    }
    let row = "BH9 a bad frame behind the request";
    let mut wire = Wire::connect(world.address).await;
    wire.send([request.clone(), frame(0xc1, b"40")].concat()).await;
    assert_eq!(wire.answer().await.status, 101, "{row}");
    assert_eq!(wire.closed().await, 1002, "{row}");
    innocents.unharmed(row).await;

    let row = "BH9 a reset between the request and the answer";
    for cut in [0, 1, 40, request.len() - 1, request.len()] {
        for _ in 0..20 {
            let mut wire = Wire::connect(world.address).await;
            wire.send(&request[..cut]).await;
            wire.reset();
        }
    }
    innocents.unharmed(row).await;
    let only_innocents = async {
        while sessions(&world).await != innocents.count() as u64 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    patiently("end of all sessions but the innocents'", only_innocents).await;
}

async fn sessions(world: &World) -> u64 {
    let body = get(world.server.private_address(), "/debug/connections").await.body;
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["sessions"].as_u64().unwrap()
}

#[tokio::test]
async fn methods_that_a_session_does_not_know() {
    let world = World::start(&[]).await;
    let poller = Polling::connected(world.address, &json!({})).await;
    let mut rows = Vec::new();
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "BREW"] {
        rows.push((format!("BH10 {method} of a session"), plain(method, &poller.target), Status(405)));
        rows.push((format!("BH10 {method} without a session"), plain(method, OPEN), Status(400)));
    }
    rows.push(("BH10 PUT of no session".to_owned(), plain("PUT", &format!("{OPEN}&sid=nope")), Engine(1)));
    let last = if poller.sid.ends_with('A') { "B" } else { "A" };
    let other = format!("{OPEN}&sid={}{last}", &poller.sid[..poller.sid.len() - 1]);
    rows.push(("BH10 PUT of a session that there is not".to_owned(), plain("PUT", &other), Engine(1)));
    rows.push(("BH10 a handshake by POST".to_owned(), plain("POST", OPEN), Engine(2)));
    rows.push(("BH10 a handshake by PUT".to_owned(), plain("PUT", OPEN), Engine(2)));
    check_all(&world, rows.iter().map(|(row, bytes, want)| (row.as_str(), bytes.clone(), *want)).collect()).await;
    let answer = answer_to(world.address, plain("PUT", &poller.target)).await.unwrap();
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    let mut wire = Wire::connect(world.address).await;
    wire.send(request("HEAD", &poller.target, &[("Connection", "close")], "")).await;
    let answer = String::from_utf8(wire.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("\r\n\r\n"), "BH10 HEAD: {answer}");
    assert_eq!(poller.post(r#"420["nothing",{}]"#).await.body, "ok");
    assert!(poller.get().await.body.starts_with("430["), "the session is unharmed");
}

#[tokio::test]
async fn forwarded_addresses_are_believed_of_proxies_only() {
    let limits = [("HAAT_LIMITS_ADDRESS_HANDSHAKES", "0.001"), ("HAAT_LIMITS_ADDRESS_HANDSHAKES_BURST", "30")];
    let forged: String = (0..400).map(|number| format!("10.0.{}.{},", number / 250, number % 250)).collect();
    let lists = [forged.as_str(), "192.0.2.1, not an address", "192.0.2.7"];

    let world = World::start(&limits).await;
    let mut innocents = Innocents::watch(&world).await;
    let from = |hops: &str| request("GET", OPEN, &[("X-Forwarded-For", hops)], "");
    let mut last = 0;
    for attempt in 0..40 {
        last =
            answer_to(world.address, from(&format!("192.0.2.{attempt}, {}", lists[attempt % 3]))).await.unwrap().status;
    }
    assert_eq!(last, 429, "BH12 whatever it says, it is one address");
    let answer = answer_to(world.address, from("192.0.2.99")).await.unwrap();
    assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()), "BH12 {answer:?}");
    let row = "BH12 an upgrade";
    check(&world, row, &upgrade(OPEN_SOCKET, &[("X-Forwarded-For", "192.0.2.98")]), Status(429)).await;
    innocents.unharmed(row).await;

    let behind = [&limits[..], &[("HAAT_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")]].concat();
    let world = World::start(&behind).await;
    for _ in 0..30 {
        assert_eq!(answer_to(world.address, from("192.0.2.1, 198.51.100.1, 10.1.1.1")).await.unwrap().status, 200);
    }
    for (row, hops, status) in [
        ("BH12 the last hop that is no proxy counts", "192.0.2.77, 198.51.100.1, 10.1.1.1", 429),
        ("BH12 what a client writes before it does not", "198.51.100.2, 198.51.100.1", 429),
        ("BH12 another client is another", "198.51.100.1, 198.51.100.2", 200),
        ("BH12 beyond a word nothing is read", "198.51.100.1, proxy, 10.1.1.1", 200),
    ] {
        assert_eq!(answer_to(world.address, from(hops)).await.unwrap().status, status, "{row}");
    }
}

#[tokio::test]
async fn connections_that_ask_for_nothing() {
    let world =
        World::start(&[("HAAT_LIMITS_ADDRESS_CONNECTIONS", "20"), ("HAAT_ENGINE_HANDSHAKE_TIMEOUT_SECONDS", "1")])
            .await;
    let mut innocents = Innocents::watch(&world).await;
    let row = "BH13 idle connections";
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(Wire::connect(world.address).await);
    }
    innocents.unharmed(row).await;
    for wire in &mut idle {
        assert!(wire.rest().await.is_empty(), "{row}: closed without a word");
    }
    innocents.unharmed(row).await;
    let mut late = Wire::session(world.address).await;
    late.send(text("40")).await;
    assert!(late.told().await.unwrap().starts_with("40{"), "{row}: there is room again");
}
