//! Long-polling requests, on the shard that holds the session.

use std::rc::Rc;

use haat_protocol::{SessionId, payload};
use tokio::sync::oneshot;

use super::Shard;
use crate::{
    close::CloseReason,
    hub::mailbox::{Poll, PollAnswer},
    room::session::{Carrier, Polling},
    transport::SessionKey,
};

/// Packets of one POST.
const MAX_PACKETS: usize = 64;

impl Shard {
    /// Serves one request.
    pub fn poll(self: &Rc<Self>, sid: SessionId, request: Poll) {
        let key = self.by_sid(sid);
        match request {
            Poll::Look(answer) => drop(answer.send(key.map_or(PollAnswer::Unknown, |_| PollAnswer::Ok))),
            Poll::Get(answer) => drop(answer.send(key.map_or(PollAnswer::Unknown, |key| self.get(key)))),
            Poll::PostBegin(answer) => {
                let told = answer.send(key.map_or(PollAnswer::Unknown, |key| self.post_begin(key)));
                // Its client has hung up meanwhile: nobody will say how it ends.
                if let (Err(PollAnswer::Ok), Some(key)) = (told, key) {
                    self.post_failed(key, false);
                }
            }
            Poll::PostEnd(body, answer) => {
                let Some(key) = key else { return drop(answer.send(PollAnswer::Unknown)) };
                // Answered first: Node does, and the client may send its next POST while this one is worked on.
                drop(answer.send(PollAnswer::Ok));
                self.post_end(key, &body);
            }
            Poll::PostFailed { too_large } => {
                if let Some(key) = key {
                    self.post_failed(key, too_large);
                }
            }
            Poll::Aborted => {
                if let Some(key) = key
                    && self.polling_state(key, |_| ()).is_some()
                {
                    self.end(key, CloseReason::TransportError);
                }
            }
        }
    }

    fn polling_state<R>(&self, key: SessionKey, look: impl FnOnce(&mut Polling) -> R) -> Option<R> {
        self.rooms.with(key, |session| match &mut session.carrier {
            Carrier::Polling(polling) => Some(look(polling)),
            Carrier::WebSocket(_) => None,
        })?
    }

    fn get(self: &Rc<Self>, key: SessionKey) -> PollAnswer {
        if self.polling_state(key, |_| ()).is_none() {
            return PollAnswer::WrongTransport;
        }
        let (answer, body) = oneshot::channel();
        if self.rooms.park(key, answer).is_err() {
            self.give_up(key, CloseReason::TransportError);
            return PollAnswer::Overlap;
        }
        PollAnswer::Wait(body)
    }

    fn post_begin(self: &Rc<Self>, key: SessionKey) -> PollAnswer {
        match self.polling_state(key, |polling| std::mem::replace(&mut polling.posting, true)) {
            None => PollAnswer::WrongTransport,
            Some(false) => PollAnswer::Ok,
            Some(true) => {
                self.give_up(key, CloseReason::TransportError);
                PollAnswer::Overlap
            }
        }
    }

    fn post_failed(self: &Rc<Self>, key: SessionKey, too_large: bool) {
        self.polling_state(key, |polling| polling.posting = false);
        if !too_large {
            self.give_up(key, CloseReason::TransportError);
        }
    }

    fn post_end(self: &Rc<Self>, key: SessionKey, body: &str) {
        self.polling_state(key, |polling| polling.posting = false);
        for packet in payload::decode(body, MAX_PACKETS) {
            let received = packet.map_err(|_| CloseReason::ParseError).and_then(|packet| self.receive(key, packet));
            let Err(reason) = received else { continue };
            return match reason {
                CloseReason::BadPacket | CloseReason::TransportClose => self.close(key, reason),
                // A client that speaks no Engine.IO will not understand the reason.
                _ => self.give_up(key, reason),
            };
        }
    }
}
