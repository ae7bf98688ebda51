//! [`Shard`]: one thread of the gateway, its runtime, and everything that it owns.
//!
//! - [`client`]: packets of a client, whatever carries them
//! - [`conn`]: the task of one WebSocket
//! - [`poll`]: long-polling requests
//! - [`serve`]: questions of other gateways
//! - [`tasks`]: flush, heartbeat, mailbox, and once a second the rest

pub mod client;
pub mod conn;
pub mod poll;
pub mod serve;
pub mod tasks;

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use haat_protocol::{Frame, SessionId, engine};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
};

use crate::{
    close::CloseReason,
    metrics::ShardMetrics,
    room::{
        Rooms,
        app::App,
        session::{Carrier, Polling, Session},
    },
    transport::{SessionKey, heartbeat::Heartbeat, reader::Lender},
};

/// How the gateway speaks Engine.IO. The same for all shards.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From a pong to the next ping.
    pub ping_interval: Duration,
    /// From a ping to the end of a session that does not answer.
    pub ping_timeout: Duration,
    /// From an upgrade request to the end of the attempt.
    pub upgrade_timeout: Duration,
    /// From the open packet to the end of a session that has joined no namespace.
    pub connect_timeout: Duration,
    /// From the first byte of a message, or of a POST's body, to its last.
    pub message_timeout: Duration,
    /// Bytes of a message, or of a POST.
    pub max_payload: usize,
    /// Namespaces that one connection may join.
    pub max_namespaces: usize,
    /// Whether long polling is served; without it only WebSocket.
    pub polling: bool,
    /// Least time between two flushes; 0 flushes as soon as there is something.
    pub tick: Duration,
    /// Number of this gateway in session ids.
    pub gateway: u32,
}

/// Bytes that one read takes at most.
const READ_CHUNK: usize = 16 * 1024;
/// How long a closed connection may take to hang up.
const LINGER: Duration = Duration::from_secs(5);
/// How long a polling session that was closed waits for its client to fetch the reason.
const POLLING_LINGER: Duration = Duration::from_secs(30);
/// The same, where the client has closed it: its GET may be on its way, on another connection than the close packet.
const CLOSED_POLLING_LINGER: Duration = Duration::from_secs(2);

/// One thread of the gateway. Lives on it, in an `Rc`.
pub struct Shard {
    /// Sessions and rooms.
    pub rooms: Rc<Rooms>,
    /// What is done with sockets and events.
    pub app: Rc<dyn App>,
    /// How Engine.IO is spoken.
    pub settings: Settings,
    /// What was counted.
    pub metrics: ShardMetrics,
    /// Closes all connections, and lets nobody new in.
    pub draining: Cell<bool>,
    /// Within which time it does, for what is no session.
    pub leaving: watch::Sender<Option<Duration>>,
    heartbeat: RefCell<Heartbeat>,
    /// What the heartbeat task sleeps until.
    armed: Cell<Option<Instant>>,
    /// Wakes it for something that is due before that.
    earlier: Notify,
    /// Polling sessions, and those that began as such.
    polling: RefCell<HashMap<SessionId, SessionKey>>,
    lender: RefCell<Lender>,
    scratch: RefCell<Box<[u8]>>,
    ping: Frame,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(rooms: Rc<Rooms>, app: Rc<dyn App>, settings: Settings) -> Self {
        let heartbeat = Heartbeat::new(settings.ping_interval, settings.ping_timeout, settings.connect_timeout);
        Self {
            metrics: ShardMetrics::new(rooms.shard),
            heartbeat: RefCell::new(heartbeat),
            armed: Cell::new(None),
            earlier: Notify::new(),
            polling: RefCell::default(),
            lender: RefCell::new(Lender::new(settings.max_payload, settings.message_timeout)),
            scratch: RefCell::new(vec![0; READ_CHUNK].into()),
            ping: engine::ping(),
            draining: Cell::new(false),
            leaving: watch::Sender::new(None),
            rooms,
            app,
            settings,
        }
    }

    /// Opens a session on a WebSocket, and returns its open packet, which must be the first frame that is written.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn open_socket(
        &self,
        io: Rc<TcpStream>,
        raw: bool,
        address: IpAddr,
        admission: Option<Box<dyn Any>>,
    ) -> Result<(SessionKey, Frame), getrandom::Error> {
        let sid = SessionId::random(self.settings.gateway, self.rooms.shard)?;
        let key = self.rooms.open(Carrier::WebSocket(io), raw, address, admission);
        self.opened(key, raw);
        Ok((key, self.open_packet(sid, false)))
    }

    /// Opens a session that polls, and returns its open packet.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn open_polling(
        &self,
        raw: bool,
        address: IpAddr,
        admission: Option<Box<dyn Any>>,
    ) -> Result<Frame, getrandom::Error> {
        let sid = SessionId::random(self.settings.gateway, self.rooms.shard)?;
        let polling = Polling { sid, parked: None, posting: false, candidate: false, probing: false };
        let key = self.rooms.open(Carrier::Polling(Box::new(polling)), raw, address, admission);
        self.polling.borrow_mut().insert(sid, key);
        self.opened(key, raw);
        Ok(self.open_packet(sid, true))
    }

    fn open_packet(&self, sid: SessionId, upgrades: bool) -> Frame {
        let Settings { ping_interval, ping_timeout, max_payload, .. } = self.settings;
        engine::Open { sid: &sid, upgrades, ping_interval, ping_timeout, max_payload: max_payload as u64 }.frame()
    }

    fn opened(&self, key: SessionKey, raw: bool) {
        self.metrics.opened();
        let now = Instant::now();
        self.schedule(|heartbeat| {
            heartbeat.schedule_ping(now, key, 0);
            if !raw {
                heartbeat.expect_connect(now, key);
            }
        });
    }

    /// Adds deadlines, and wakes the heartbeat task if one of them is the earliest of all.
    fn schedule(&self, add: impl FnOnce(&mut Heartbeat)) {
        let mut heartbeat = self.heartbeat.borrow_mut();
        add(&mut heartbeat);
        let next = heartbeat.next();
        if self.armed.get().is_none_or(|armed| next.is_some_and(|next| next < armed)) {
            self.earlier.notify_one();
        }
    }

    /// The session that a polling request or an upgrade names.
    pub fn by_sid(&self, sid: SessionId) -> Option<SessionKey> {
        self.polling.borrow().get(&sid).copied()
    }

    /// Begins to end a session; what is queued for it is still written.
    pub fn close(self: &Rc<Self>, key: SessionKey, reason: CloseReason) {
        if !self.rooms.close(key, reason) {
            return;
        }
        let polls = self.rooms.with(key, |session| matches!(session.carrier, Carrier::Polling(_)));
        if polls == Some(true) {
            let shard = self.clone();
            let linger = if reason == CloseReason::TransportClose { CLOSED_POLLING_LINGER } else { POLLING_LINGER };
            tokio::task::spawn_local(async move {
                tokio::time::sleep(linger).await;
                shard.end(key, reason);
            });
        }
    }

    /// Ends a session now: takes it out and tells the application.
    pub fn end(self: &Rc<Self>, key: SessionKey, reason: CloseReason) {
        let Some((session, sockets)) = self.rooms.take(key) else { return };
        let reason = session.closing.unwrap_or(reason);
        self.metrics.closed(reason);
        tracing::debug!(shard = self.rooms.shard, address = %session.address, reason = reason.row().label, "session ended");
        let Session { carrier, polled_as, sockets: rest, admission, .. } = session;
        drop((rest, admission));
        let sid = match &carrier {
            Carrier::WebSocket(_) => polled_as.as_deref(),
            Carrier::Polling(polling) => Some(&polling.sid),
        };
        if let Some(sid) = sid {
            self.polling.borrow_mut().remove(sid);
        }
        if let Carrier::WebSocket(io) = carrier {
            hang_up(&io, reason);
        }
        for (at, left) in sockets {
            self.app.disconnected(at, left, reason);
        }
    }

    /// Makes a polling session a WebSocket one. What is queued leaves on the WebSocket.
    pub fn upgrade(&self, key: SessionKey, io: Rc<TcpStream>) -> bool {
        let switched = self.rooms.with(key, |session| {
            let Carrier::Polling(polling) = &mut session.carrier else { return None };
            if let Some(parked) = polling.parked.take() {
                let _ = parked.send("6".to_owned());
            }
            session.polled_as = Some(Box::new(polling.sid));
            session.carrier = Carrier::WebSocket(io);
            // A pong that was due on the old transport is forgiven.
            session.beat.number += 1;
            session.beat.waiting = false;
            Some(session.beat.number)
        });
        let Some(Some(beat)) = switched else { return false };
        self.schedule(|heartbeat| heartbeat.schedule_ping(Instant::now(), key, beat));
        self.rooms.flush_session(key);
        true
    }
}

/// Closes the sending half, so that what was written arrives, and cuts a client that does not hang up.
fn hang_up(io: &Rc<TcpStream>, reason: CloseReason) {
    if reason == CloseReason::SocketClosed {
        // Closing handshake done: the socket is closed with its last reference.
        return;
    }
    let _ = SockRef::from(&**io).shutdown(std::net::Shutdown::Write);
    if reason == CloseReason::TransportClose {
        // The client has closed; the task of its connection waits for it.
        return;
    }
    let io = Rc::downgrade(io);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(LINGER).await;
        if let Some(io) = io.upgrade() {
            let _ = SockRef::from(&*io).shutdown(std::net::Shutdown::Both);
        }
    });
}
