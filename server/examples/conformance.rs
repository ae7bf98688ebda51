//! A gateway with the settings and handlers that the official Engine.IO v4 and Socket.IO v5 protocol suites expect, on
//! port 3000 (or the one given): `cargo run --example conformance`. Socket.IO under `/socket.io/`, a raw Engine.IO echo
//! under `/engine.io/`; recovery is off, so that the CONNECT answer holds `sid` alone.

use std::{any::Any, net::SocketAddr, process::ExitCode, rc::Rc, sync::Arc, time::Duration};

use haat_adapter::Entry;
use haat_protocol::{Frame, error::Rejection, packet::Event, socket};
use haat_server::{
    close::CloseReason,
    config::Origins,
    edge::{Doors, Endpoint},
    gateway::{Gateway, Plan},
    limit::Admission,
    room::{
        At, Rooms,
        app::{App, Left, Raw},
    },
    shard::Settings,
    transport::{SessionKey, outbox::Bounds},
};

struct Echo {
    rooms: Rc<Rooms>,
}

impl Echo {
    fn emit(&self, at: At, args: &str, attachments: &[bytes::Bytes]) {
        let namespace = self.rooms.hub.namespace_name(at.namespace);
        self.rooms.emit(at.key, &socket::event(namespace, None, args, attachments));
    }
}

/// The JSON array `args` without its first element.
fn rest(args: &str) -> String {
    let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(args).unwrap_or_default();
    values.iter().skip(1).map(|value| value.get()).collect::<Vec<_>>().join(",")
}

impl App for Echo {
    fn connect(&self, at: At, auth: &str) {
        let Some(id) = haat_protocol::Id::random().ok() else { return };
        self.rooms.accept(at, id, None, None, &[]);
        self.emit(at, &format!(r#"["auth",{auth}]"#), &[]);
    }

    fn event(&self, at: At, event: Event<'_>) {
        let args = rest(&event.args);
        match (&*event.name, event.id) {
            ("message", _) if args.is_empty() => self.emit(at, r#"["message-back"]"#, &event.attachments),
            ("message", _) => self.emit(at, &format!(r#"["message-back",{args}]"#), &event.attachments),
            ("message-with-ack", Some(id)) => {
                let namespace = self.rooms.hub.namespace_name(at.namespace);
                self.rooms.emit(at.key, &socket::ack(namespace, id, &format!("[{args}]"), &event.attachments));
            }
            _ => {}
        }
    }

    fn raw(&self, key: SessionKey, message: Raw<'_>) {
        let frame = match message {
            Raw::Text(text) => Frame::text(&["4", text]),
            Raw::Binary(bytes) => Frame::binary(&bytes),
        };
        self.rooms.emit(key, &frame);
    }

    fn rejected(&self, _: At, _: Option<u64>, _: &str, _: Rejection) {}
    fn disconnected(&self, _: At, _: Left, _: CloseReason) {}
    fn entry(&self, _: Arc<Entry>, _: Frame) {}
    fn mail(&self, _: Box<dyn Any + Send>) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000);
    let endpoint = |path: &str, raw| Endpoint { path: path.to_owned(), raw };
    let plan = Plan {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        shards: 2,
        mailbox: 8192,
        namespaces: vec!["/", "/custom"],
        settings: Settings {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(1),
            message_timeout: Duration::from_secs(30),
            max_payload: 1_000_000,
            max_namespaces: 4,
            polling: true,
            tick: Duration::ZERO,
            gateway: 1,
        },
        bounds: Bounds { max_bytes: 16 << 20, max_frames: 4096, max_age: Duration::from_secs(10) },
        send_buffer: 256 * 1024,
        doors: Doors {
            endpoints: Arc::new([endpoint("/socket.io/", false), endpoint("/engine.io/", true)]),
            origins: Origins::Any,
            admission: Arc::new(Admission::unlimited()),
            trusted: Arc::new([]),
            head_timeout: Duration::from_secs(5),
            site: axum::Router::new(),
        },
        app: Arc::new(|rooms| Rc::new(Echo { rooms })),
    };
    let (hub, mailboxes) = Gateway::hub(&plan);
    match Gateway::start(&plan, hub, mailboxes, Arc::new(|_, _, _| {})) {
        Ok(gateway) => {
            let _ = tokio::signal::ctrl_c().await;
            gateway.stop().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "no gateway");
            ExitCode::FAILURE
        }
    }
}
