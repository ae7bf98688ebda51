//! What was recorded of the official server, replayed: haat answers the same, byte for byte but for ids, or it is named
//! here how it differs and why.

mod support;

use std::{any::Any, rc::Rc, sync::Arc, time::Duration};

use haat_adapter::Entry;
use haat_protocol::{Frame, error::Rejection, packet::Event, socket};
use haat_server::{
    close::CloseReason,
    room::{
        At, Rooms,
        app::{App, Left},
    },
};
use serde_json::Value;
use support::{
    echo::{Echo, SOCKET_IO, rest},
    patiently,
    polling::Polling,
    wire::{Answer, Seen, Wire, frame},
};

/// Answers that differ, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("handshake_options", "a preflight is answered whether its origin is allowed or not"),
    ("handshake_duplicate_param", "a parameter that is there twice is as good as a wrong one"),
    ("path_no_trailing_slash", "the other handler has a text of its own"),
    ("put_known_sid", "405 says better than 500 what is wrong"),
    ("delete_known_sid", "see put_known_sid"),
    ("post_bad_sio", "the close packet comes without a noop before it"),
    ("get_gzip", "bodies are not compressed: what is worth it goes over WebSocket"),
    ("jsonp_handshake", "no client of today asks for JSONP"),
    ("cors_handshake", "there is no cookie, and requests need no credentials"),
    ("cors_preflight", "only GET and POST are offered"),
    ("cors_error", "requests need no credentials"),
    ("forbidden", "there is no hook, but the origin that is refused"),
    ("forbidden_default", "see forbidden"),
    ("eio3_allowed", "clients of the old protocol are not served"),
    ("polling_disabled", "in engineio_handshake.rs"),
    ("no_upgrades", "it cannot be switched off"),
    ("ws_eio3", "it is refused before the upgrade"),
    ("ws_other_path", "404 at once"),
    ("ws_close_packet", "a close packet closes, as the protocol has it"),
    ("ws_b64_param", "every client of today takes bytes"),
];

/// Sends `echo` back, and says nothing else.
struct Parrot(Rc<Rooms>);

impl App for Parrot {
    fn connect(&self, at: At, _: &str) {
        let id = haat_protocol::Id::random().expect("randomness");
        self.0.accept(at, id, None, None, &[]);
    }

    fn event(&self, at: At, event: Event<'_>) {
        let namespace = self.0.hub.namespace_name(at.namespace);
        let args = format!(r#"["{}",{}]"#, event.name, rest(&event.args, 1));
        self.0.emit(at.key, &socket::event(namespace, None, &args, &event.attachments));
    }

    fn rejected(&self, _: At, _: Option<u64>, _: &str, _: Rejection) {}
    fn disconnected(&self, _: At, _: Left, _: CloseReason) {}
    fn entry(&self, _: Arc<Entry>, _: Frame) {}
    fn mail(&self, _: Box<dyn Any + Send>) {}
}

/// The server that was recorded.
fn server() -> Echo {
    Echo::of(|plan| {
        plan.namespaces = vec!["/", "/admin"];
        plan.settings.ping_interval = Duration::from_secs(25);
        plan.settings.ping_timeout = Duration::from_secs(20);
        plan.app = Arc::new(|rooms| Rc::new(Parrot(rooms)));
    })
}

fn vectors(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/fixtures/wire/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a fixture");
    let mut whole: Value = serde_json::from_str(&text).expect("JSON");
    let vectors: Vec<Value> = serde_json::from_value(whole["vectors"].take()).expect("a list");
    vectors.into_iter().filter(|vector| !DIFFERENT.iter().any(|(name, _)| vector["name"] == *name)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The text with its ids replaced as in the recording.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["\"sid\":\"", "\"pid\":\""].iter().filter_map(|key| rest.find(key)).min() {
        let (before, value) = rest.split_at(at + 7);
        let end = value.find('"').expect("a text ends");
        out.push_str(before);
        out.push_str(if before.ends_with("\"sid\":\"") { "<sid>" } else { "<pid>" });
        rest = &value[end..];
    }
    out + rest
}

/// `<sid2>` is a `<sid>` like any other.
fn unnumbered(text: &str) -> String {
    let mut out = String::new();
    let mut in_mask = false;
    for char in text.chars() {
        in_mask = (in_mask || char == '<') && char != '>';
        if !(in_mask && char.is_ascii_digit()) {
            out.push(char);
        }
    }
    out
}

fn compare(name: &str, recorded: &Value, answer: &Answer) {
    assert_eq!(Value::from(answer.status), recorded["status"], "{name}: {answer:?}");
    assert_eq!(masked(&answer.body), text(&recorded["body"]), "{name}");
    // A length differs with that of ids, and how it is told is HTTP's business.
    for header in ["content-type", "cache-control"] {
        let recorded = recorded["headers"][header].as_str();
        if recorded.is_some() {
            assert_eq!(answer.header(header), recorded, "{name}: {header}");
        }
    }
}

async fn ask(wire: &mut Wire, input: &Value, sid: &str) -> Answer {
    let target = text(&input["path"]).replace("<sid>", sid);
    let body = text(&input["body"]);
    let kind = input["headers"]["Content-Type"].as_str().map(|kind| format!("Content-Type: {kind}\r\n"));
    let request = format!(
        "{} {target} HTTP/1.1\r\nHost: haat\r\n{}Content-Length: {}\r\n\r\n{body}",
        text(&input["method"]),
        kind.unwrap_or_default(),
        body.len()
    );
    wire.write(request.as_bytes()).await;
    wire.answer().await
}

fn sid_in(session: &Polling) -> &str {
    session.target.rsplit('=').next().expect("a sid")
}

#[tokio::test]
async fn requests_are_answered_as_recorded() {
    let server = server();
    let session = Polling::open(server.address, SOCKET_IO).await;
    let mut replayed = 0;
    for vector in vectors("engineio-http.json") {
        let (name, input, recorded) = (text(&vector["name"]), &vector["input"], &vector["decoded"]);
        if input["path"].is_null() || input["headers"]["Origin"].is_string() {
            continue;
        }
        // What ends a session has one of its own, in a namespace.
        let ends = !vector["after"].is_null();
        let own = Polling::open(server.address, SOCKET_IO).await;
        if ends {
            own.send("40").await;
            own.receive().await;
        }
        let session = if ends { &own } else { &session };
        let answer = ask(&mut Wire::connect(server.address).await, input, sid_in(session)).await;
        compare(name, recorded, &answer);
        if ends && vector["after"]["status"] == 200 {
            compare(name, &vector["after"], &session.get().await);
        } else if ends {
            session.forgotten().await;
        }
        replayed += 1;
    }
    assert_eq!(replayed, 33);
}

#[tokio::test]
async fn messages_are_answered_as_recorded() {
    let server = server();
    let mut replayed = 0;
    for vector in vectors("engineio-ws.json") {
        let (name, recorded) = (text(&vector["name"]), &vector["decoded"]);
        let (Value::Array(input), false) = (&vector["input"], recorded["connection"].is_null()) else { continue };
        if input.iter().any(Value::is_string) {
            continue;
        }
        let mut socket = Wire::socket(server.address, &format!("{SOCKET_IO}websocket")).await;
        assert!(socket.text().await.starts_with("0{"));
        socket.say("40").await;
        assert!(socket.text().await.starts_with("40{"));
        for message in input {
            let frame = match (&message["text"], &message["binary"], &message["text_frame_hex"]) {
                (Value::String(text), ..) => frame(0x81, text.as_bytes()),
                (_, Value::String(hex), _) => frame(0x82, &bytes(hex)),
                (.., hex) => frame(0x81, &bytes(text(hex))),
            };
            socket.write(&frame).await;
        }
        for message in recorded["received"].as_array().expect("a list") {
            let wanted = match &message["text"] {
                Value::String(text) => Seen::text(text),
                _ => Seen::Binary(bytes(text(&message["binary"]))),
            };
            assert_eq!(socket.frame().await, wanted, "{name}");
        }
        if recorded["connection"] == "closed" {
            let code = recorded["ws_close"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            assert_eq!(socket.frame().await, Seen::Close(code.filter(|code| *code != 1005)), "{name}");
        } else {
            socket.say(r#"42["echo","nothing came in between"]"#).await;
            assert_eq!(socket.text().await, r#"42["echo","nothing came in between"]"#, "{name}");
        }
        replayed += 1;
    }
    assert_eq!(replayed, 13);
}

#[tokio::test]
async fn upgrade_requests_are_answered_as_recorded() {
    let server = server();
    let mut replayed = 0;
    for vector in vectors("engineio-ws.json") {
        let (name, input) = (text(&vector["name"]), &vector["input"]);
        let Some(target) = input["upgrade"].as_str() else { continue };
        let mut wire = Wire::connect(server.address).await;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: haat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            text(&input["extra"])
        );
        wire.write(request.as_bytes()).await;
        let recorded = bytes(text(&vector["hex"]));
        let end = recorded.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let (head, body) = recorded.split_at(end);
        let answer = wire.answer().await;
        assert_eq!(answer.head.as_bytes(), head, "{name}");
        match body {
            [0x81, _, open @ ..] => {
                let open = String::from_utf8(open.to_vec()).expect("text");
                assert_eq!(masked(&wire.text().await), masked(&open), "{name}");
            }
            [0x88, 0] => assert_eq!(wire.frame().await, Seen::Close(None), "{name}"),
            refused => assert_eq!(answer.body.as_bytes(), refused, "{name}"),
        }
        replayed += 1;
    }
    assert_eq!(replayed, 6);
}

#[tokio::test]
async fn conversations_go_as_recorded() {
    let server = server();
    let variables = [("HAAT_ENGINE_MAX_PAYLOAD_BYTES", "1000000"), ("HAAT_OUTBOX_MAX_BYTES", "2000000")];
    let world = support::World::start(&variables).await;
    for vector in vectors("socketio-sessions.json") {
        let name = text(&vector["name"]);
        let address = if name.starts_with("recovery") { world.address } else { server.address };
        let mut clients: Vec<(String, Wire)> = Vec::new();
        for step in vector["decoded"].as_array().expect("steps") {
            let who = step["to"].as_str().or(step["from"].as_str());
            let Some(who) = who else { continue };
            if !clients.iter().any(|(name, _)| name == who) {
                let wire = Wire::socket(address, &format!("{SOCKET_IO}websocket")).await;
                clients.push((who.to_owned(), wire));
            }
            let Some((_, wire)) = clients.iter_mut().find(|(name, _)| name == who) else { continue };
            // What the recorded application does by itself, this one does not; there the conversation ends.
            if step["text"] == "41/admin," {
                break;
            }
            match (step["from"].is_string(), step["text"].as_str()) {
                // A token that is none would be refused here.
                (true, Some(text)) => wire.say(&text.replace(r#","token":"t""#, "")).await,
                (false, Some(text)) => assert_eq!(masked(&wire.text().await), unnumbered(text), "{name}"),
                _ => {}
            }
        }
        assert!(!clients.is_empty(), "{name}");
    }
    patiently("stop", world.server.stop()).await;
}

#[test]
fn what_differs_was_recorded() {
    let whole = |file| {
        std::fs::read_to_string(format!("{}/tests/fixtures/wire/{file}", env!("CARGO_MANIFEST_DIR")))
            .expect("a fixture")
    };
    let all = whole("engineio-http.json") + &whole("engineio-ws.json");
    for (name, why) in DIFFERENT {
        assert!(all.contains(&format!("\"name\":\"{name}\"")) && !why.is_empty(), "{name}");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}
