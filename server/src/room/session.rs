//! [`Session`]: one client, as its shard holds it.

use std::{any::Any, net::IpAddr, rc::Rc, time::Instant};

use haat_protocol::{Id, SessionId, socket::Decoder};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::{net::TcpStream, sync::oneshot};

use crate::{close::CloseReason, transport::outbox::Outbox};

/// What carries a session at present.
#[derive(Debug)]
pub enum Carrier {
    /// A WebSocket, whose task reads it.
    WebSocket(Rc<TcpStream>),
    /// Long polling.
    Polling(Box<Polling>),
}

/// The state of a session that polls.
#[derive(Debug)]
pub struct Polling {
    /// The secret that its requests name.
    pub sid: SessionId,
    /// The GET that waits for something to send.
    pub parked: Option<oneshot::Sender<String>>,
    /// A POST is being received.
    pub posting: bool,
    /// A WebSocket has been opened to take over; another one is turned away.
    pub candidate: bool,
    /// It is probing: a waiting or new GET is answered with a noop, so that it returns.
    pub probing: bool,
}

/// A socket: the session's membership of one namespace.
pub struct Socket {
    /// Which namespace.
    pub namespace: u8,
    /// The CONNECT reply has been sent.
    pub joined: bool,
    /// Public id; also a room.
    pub id: Id,
    /// What the application keeps with it.
    pub data: Option<Rc<dyn Any>>,
    /// Answers that are due to events of ours.
    pub acks: Option<Box<Acks>>,
}

/// What is done with the answer to an event: its arguments as a JSON array, or the reason why there is none. It is dropped
/// uncalled when its socket goes away, in the midst of the rooms' work: dropping it must not call into them.
pub type AckHandler = Box<dyn FnOnce(Result<&str, CloseReason>)>;

/// Events of ours that wait for an answer.
#[derive(Default)]
pub struct Acks {
    /// The next event's id.
    pub next: u64,
    /// Handlers by id.
    pub waiting: FxHashMap<u64, AckHandler>,
}

/// Answers that one socket may owe us. More are not asked for: the oldest question is given up.
pub const MAX_ACKS: usize = 256;

/// A session's place in a room.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// Room slot.
    pub room: u32,
    /// Place among the room's members.
    pub place: u32,
    /// The number of the next frame that it wants of the room's tick.
    pub seen: u32,
}

/// Heartbeat of a session.
#[derive(Debug, Default, Clone, Copy)]
pub struct Beat {
    /// Counts pings and pongs; older deadlines than the present beat do not hold any more.
    pub number: u32,
    /// A pong is due.
    pub waiting: bool,
    /// The deadline of this pong has been moved once, because other packets came.
    pub extended: bool,
}

/// One client.
pub struct Session {
    /// Tells this session from earlier ones of its slot.
    pub generation: u32,
    /// What carries it.
    pub carrier: Carrier,
    /// The name under which it polled before it moved to a WebSocket.
    pub polled_as: Option<Box<SessionId>>,
    /// A raw Engine.IO session carries no Socket.IO packets.
    pub raw: bool,
    /// On the list of sessions to flush.
    pub queued: bool,
    /// The socket takes nothing at present, and a task waits until it does.
    pub blocked: bool,
    /// It ends when its queue is written.
    pub closing: Option<CloseReason>,
    /// A CONNECT was accepted once: the connect deadline is off.
    pub connected: bool,
    /// CONNECTs to namespaces that do not exist.
    pub strangers: u8,
    /// Its heartbeat.
    pub beat: Beat,
    /// What it could not take at once.
    pub outbox: Option<Box<Outbox>>,
    /// Its sockets, mostly one.
    pub sockets: SmallVec<[Socket; 1]>,
    /// The rooms that they are in.
    pub rooms: Vec<Membership>,
    /// The last broadcast that it was given one by one.
    pub last_broadcast: u64,
    /// Binary packets in the making.
    pub decoder: Decoder,
    /// By when the attachments must come that it announced last.
    pub attachments_due: Option<Instant>,
    /// The client's address.
    pub address: IpAddr,
    /// Held as long as the session lives; counts it against the limits.
    pub admission: Option<Box<dyn Any>>,
}

impl Session {
    /// A new session without sockets.
    pub fn new(generation: u32, carrier: Carrier, raw: bool, address: IpAddr, admission: Option<Box<dyn Any>>) -> Self {
        Self {
            generation,
            carrier,
            polled_as: None,
            raw,
            queued: false,
            blocked: false,
            closing: None,
            connected: false,
            strangers: 0,
            beat: Beat::default(),
            outbox: None,
            sockets: SmallVec::new(),
            rooms: Vec::new(),
            last_broadcast: 0,
            decoder: Decoder::default(),
            attachments_due: None,
            address,
            admission,
        }
    }

    /// The socket of `namespace`.
    pub fn socket(&self, namespace: u8) -> Option<&Socket> {
        self.sockets.iter().find(|socket| socket.namespace == namespace)
    }

    /// See [`socket`](Self::socket).
    pub fn socket_mut(&mut self, namespace: u8) -> Option<&mut Socket> {
        self.sockets.iter_mut().find(|socket| socket.namespace == namespace)
    }

    /// Nothing of it waits in a queue.
    pub fn is_clear(&self) -> bool {
        self.outbox.as_ref().is_none_or(|outbox| outbox.is_empty())
    }

    /// Whether frames can be queued for it.
    pub fn is_open(&self) -> bool {
        self.closing.is_none()
    }
}
