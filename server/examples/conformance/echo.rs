//! The gateway that the protocol suites expect, and what its tests ask of it besides.

use std::{any::Any, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use haat_adapter::Entry;
use haat_protocol::{Class, Frame, error::Rejection, packet::Event, socket};
use haat_server::{
    close::CloseReason,
    config::Origins,
    edge::{Doors, Endpoint},
    gateway::{Gateway, Plan, StartError},
    limit::Admission,
    room::{
        At, Rooms,
        app::{App, Left, Raw},
    },
    shard::Settings,
    transport::{SessionKey, outbox::Bounds},
};

/// What happens with events:
///
/// | event of the client | answer |
/// |---|---|
/// | `message`, any arguments | event `message-back` with the same |
/// | `message-with-ack` | an ack with the same arguments |
/// | `ask` | event `question` with the same arguments, which asks for an ack; what comes of it is event `answer` |
/// | `volatile` | event `volatile-back` with the same arguments, if the connection takes it at once |
///
/// Whoever joins `/` or `/custom` gets event `auth` with what it sent.
pub struct Echo {
    rooms: Rc<Rooms>,
}

impl Echo {
    fn emit(&self, at: At, name: &str, args: &str, attachments: &[bytes::Bytes]) {
        self.rooms.emit(at.key, &self.event(at, name, args, attachments));
    }

    fn event(&self, at: At, name: &str, args: &str, attachments: &[bytes::Bytes]) -> Frame {
        let comma = if args.is_empty() { "" } else { "," };
        let namespace = self.rooms.hub.namespace_name(at.namespace);
        socket::event(namespace, None, &format!(r#"["{name}"{comma}{args}]"#), attachments)
    }
}

/// The JSON array `args` without its brackets and its first `skip` elements.
pub fn rest(args: &str, skip: usize) -> String {
    let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(args).unwrap_or_default();
    values.iter().skip(skip).map(|value| value.get()).collect::<Vec<_>>().join(",")
}

impl App for Echo {
    fn connect(&self, at: At, auth: &str) {
        let Some(id) = haat_protocol::Id::random().ok() else { return };
        self.rooms.accept(at, id, None, None, &[]);
        self.emit(at, "auth", auth, &[]);
    }

    fn event(&self, at: At, event: Event<'_>) {
        let args = rest(&event.args, 1);
        match (&*event.name, event.id) {
            ("message", _) => self.emit(at, "message-back", &args, &event.attachments),
            ("message-with-ack", Some(id)) => {
                let namespace = self.rooms.hub.namespace_name(at.namespace);
                self.rooms.emit(at.key, &socket::ack(namespace, id, &format!("[{args}]"), &event.attachments));
            }
            ("ask", _) => {
                let comma = if args.is_empty() { "" } else { "," };
                let asker = Self { rooms: self.rooms.clone() };
                let answered = move |answer: Result<&str, CloseReason>| {
                    if let Ok(args) = answer {
                        asker.emit(at, "answer", &rest(args, 0), &[]);
                    }
                };
                self.rooms.ask(at, &format!(r#"["question"{comma}{args}]"#), &event.attachments, Box::new(answered));
            }
            ("volatile", _) => {
                let frame = self.event(at, "volatile-back", &args, &event.attachments);
                self.rooms.emit(at.key, &frame.class_as(Class::Volatile));
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

/// Socket.IO under `/socket.io/`, a raw Engine.IO echo under `/engine.io/`; port 0 lets the system choose.
pub fn plan(port: u16) -> Plan {
    let endpoint = |path: &str, raw| Endpoint { path: path.to_owned(), raw };
    Plan {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        peer: None,
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
            fleet: None,
        },
        app: Arc::new(|rooms| Rc::new(Echo { rooms })),
    }
}

/// Runs a plan.
///
/// # Errors
/// It cannot listen, or has no threads.
pub fn start(plan: &Plan) -> Result<Gateway, StartError> {
    let (hub, mailboxes) = Gateway::hub(plan);
    Gateway::start(plan, hub, mailboxes, Arc::new(|_, _, _| {}))
}
