//! Packets of a client, whatever carries them: Engine.IO below, Socket.IO above.
//!
//! An `Err` of these methods is the reason why the connection has to be closed; the caller does it, and drops the rest
//! of what came with it.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use haat_protocol::{
    Id,
    engine::{self, Packet as EnginePacket},
    error::DecodeError,
    packet::{Body, Packet},
    socket,
};

use super::Shard;
use crate::{
    close::CloseReason,
    metrics,
    room::{At, app::Raw},
    transport::SessionKey,
};

/// CONNECTs to namespaces that do not exist, until the connection is closed.
const MAX_STRANGERS: u8 = 3;

impl Shard {
    /// A text message of a WebSocket: one Engine.IO packet.
    pub(super) fn receive_text(self: &Rc<Self>, key: SessionKey, text: &str) -> Result<(), CloseReason> {
        let packet = engine::decode(text).map_err(|_| CloseReason::ParseError)?;
        self.receive(key, packet)
    }

    /// A binary message of a WebSocket.
    pub(super) fn receive_binary(self: &Rc<Self>, key: SessionKey, bytes: Bytes) -> Result<(), CloseReason> {
        self.receive(key, EnginePacket::Binary(bytes))
    }

    /// One Engine.IO packet of an established transport.
    pub(super) fn receive(self: &Rc<Self>, key: SessionKey, packet: EnginePacket<'_>) -> Result<(), CloseReason> {
        if !self.rooms.with(key, |session| session.is_open()).unwrap_or(false) {
            return Ok(());
        }
        if !matches!(packet, EnginePacket::Pong(_)) {
            self.extend_pong(key);
        }
        let raw = self.rooms.with(key, |session| session.raw).unwrap_or(false);
        match packet {
            EnginePacket::Message(text) if raw => self.app.raw(key, Raw::Text(text)),
            EnginePacket::Binary(bytes) if raw => self.app.raw(key, Raw::Binary(bytes)),
            EnginePacket::Message(text) => {
                let decoded = self.rooms.with(key, |session| session.decoder.text(text));
                if let Some(Ok(None)) = decoded {
                    self.expect_attachments(key);
                }
                return self.decoded(key, text, decoded);
            }
            EnginePacket::Binary(bytes) => {
                let decoded = self.rooms.with(key, |session| session.decoder.binary(bytes));
                return self.decoded(key, "", decoded);
            }
            EnginePacket::Pong(_) => self.pong(key),
            // A client of Engine.IO 4 does not ping.
            EnginePacket::Ping(_) => return Err(CloseReason::TransportError),
            EnginePacket::Close => return Err(CloseReason::TransportClose),
            EnginePacket::Open | EnginePacket::Upgrade | EnginePacket::Noop => metrics::refused("engine", "ignored"),
        }
        Ok(())
    }

    fn decoded(
        self: &Rc<Self>,
        key: SessionKey,
        text: &str,
        decoded: Option<Result<Option<Packet<'_>>, DecodeError>>,
    ) -> Result<(), CloseReason> {
        match decoded {
            Some(Ok(Some(packet))) => self.packet(key, packet),
            Some(Ok(None)) | None => Ok(()),
            Some(Err(DecodeError::Rejected { id, reason })) => {
                let Some(head) = socket::head(text) else { return Err(CloseReason::BadPacket) };
                let namespace = self.rooms.hub.namespace(head.namespace);
                let at = namespace.map(|namespace| At { key, namespace });
                let Some(at) = at.filter(|at| self.rooms.id(*at).is_some()) else {
                    return Err(CloseReason::BadPacket);
                };
                self.app.rejected(at, id, head.event.as_deref().unwrap_or_default(), reason);
                Ok(())
            }
            Some(Err(_)) => Err(CloseReason::BadPacket),
        }
    }

    fn packet(self: &Rc<Self>, key: SessionKey, packet: Packet<'_>) -> Result<(), CloseReason> {
        let Some(namespace) = self.rooms.hub.namespace(&packet.namespace) else {
            return self.stranger(key, &packet);
        };
        let at = At { key, namespace };
        if let Body::Connect { auth } = &packet.body {
            return self.connect(at, auth);
        }
        if self.rooms.id(at).is_none() {
            return Err(CloseReason::BadPacket);
        }
        match packet.body {
            Body::Event(event) => self.app.event(at, event),
            Body::Ack(ack) => match ack.id.and_then(|id| self.rooms.answered(at, id)) {
                Some(handle) => handle(Ok(&ack.args)),
                None => metrics::refused("socket", "ignored"),
            },
            Body::Disconnect => {
                if let Some(left) = self.rooms.leave_namespace(at) {
                    self.app.disconnected(at, left, CloseReason::ClientLeft);
                }
            }
            Body::Connect { .. } | Body::ConnectError => return Err(CloseReason::BadPacket),
        }
        Ok(())
    }

    fn connect(self: &Rc<Self>, at: At, auth: &str) -> Result<(), CloseReason> {
        let Ok(id) = Id::random() else { return Err(CloseReason::Forced) };
        let limit = self.settings.max_namespaces;
        let room = self.rooms.with(at.key, |session| {
            limit == 0 || session.sockets.len() < limit && session.socket(at.namespace).is_none()
        });
        if room != Some(true) {
            return Err(CloseReason::BadPacket);
        }
        self.rooms.begin(at, id);
        self.app.connect(at, auth);
        Ok(())
    }

    /// A packet for a namespace that does not exist.
    fn stranger(self: &Rc<Self>, key: SessionKey, packet: &Packet<'_>) -> Result<(), CloseReason> {
        if !matches!(packet.body, Body::Connect { .. }) {
            return Err(CloseReason::BadPacket);
        }
        let strangers = self.rooms.with(key, |session| {
            session.strangers += 1;
            session.strangers
        });
        if strangers.is_none_or(|count| count >= MAX_STRANGERS) {
            return Err(CloseReason::BadPacket);
        }
        metrics::refused("connect", "namespace");
        let error = r#"{"message":"Invalid namespace"}"#;
        self.rooms.emit(key, &socket::connect_error(&packet.namespace, error));
        Ok(())
    }

    /// A packet announced attachments; they have to come.
    fn expect_attachments(&self, key: SessionKey) {
        self.rooms.with(key, |session| {
            let noted = &mut session.attachments_due;
            self.schedule(|heartbeat| heartbeat.expect_attachments(Instant::now(), key, noted));
        });
    }

    // --- heartbeat ---

    fn pong(&self, key: SessionKey) {
        let next = self.rooms.with(key, |session| {
            let was_waiting = std::mem::take(&mut session.beat.waiting);
            was_waiting.then(|| {
                session.beat.number += 1;
                session.beat.number
            })
        });
        if let Some(Some(beat)) = next {
            self.schedule(|heartbeat| heartbeat.schedule_ping(Instant::now(), key, beat));
        }
    }

    /// The first packet that comes while a pong is due shows that the client lives: it gets the whole timeout again, once.
    fn extend_pong(&self, key: SessionKey) {
        let extended = self.rooms.with(key, |session| {
            let beat = &mut session.beat;
            (beat.waiting && !std::mem::replace(&mut beat.extended, true)).then(|| {
                beat.number += 1;
                beat.number
            })
        });
        if let Some(Some(beat)) = extended {
            self.schedule(|heartbeat| heartbeat.expect_pong(Instant::now(), key, beat));
        }
    }
}
