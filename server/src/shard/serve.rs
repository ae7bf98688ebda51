//! Questions and orders of other gateways, about the sockets of this shard.

use std::rc::Rc;

use haat_adapter::{Reply, Request};
use haat_protocol::socket;
use serde_json::json;

use super::Shard;
use crate::{hub::mailbox::LocalTarget, room::At};

impl Shard {
    /// Does what `request` asks with the sockets of `target`, and answers it if it wants an answer.
    pub(super) fn serve(self: &Rc<Self>, target: &LocalTarget, request: Request, reply: Reply) {
        let sockets = self.rooms.select(target);
        match request {
            Request::FetchSockets(_) => {
                let peers = sockets.iter().filter_map(|at| self.describe(*at));
                reply.send(peers.collect());
            }
            Request::Join(_, rooms) => each(&sockets, &rooms, |at, room| self.rooms.join(at, room)),
            Request::Leave(_, rooms) => each(&sockets, &rooms, |at, room| self.rooms.leave(at, room)),
            Request::Disconnect { close, .. } => {
                for at in sockets {
                    self.disconnect(at, close);
                }
            }
            Request::BroadcastAck(broadcast) => self.ask_all(&sockets, &broadcast.event.args, reply),
            // Nobody listens to events between servers here; an answer of nothing spares the asker its timeout.
            Request::ServerSideEmit { .. } => reply.send(Vec::new()),
        }
    }

    fn describe(&self, at: At) -> Option<serde_json::Value> {
        let id = self.rooms.id(at)?;
        let address = self.rooms.with(at.key, |session| session.address)?;
        let mut rooms = vec![id.to_string()];
        rooms.extend(self.rooms.rooms_of(at).iter().map(|room| room.to_string()));
        let handshake = json!({ "address": address.to_string(), "headers": {}, "query": {}, "auth": {} });
        Some(json!({ "id": id.as_str(), "rooms": rooms, "handshake": handshake, "data": {} }))
    }

    /// Collects the first argument of each client's answer. Sockets that are gone before they answer count as silent.
    fn ask_all(&self, sockets: &[At], args: &str, reply: Reply) {
        let pending = Rc::new(std::cell::RefCell::new((sockets.len(), Vec::new(), Some(reply))));
        let finish = |pending: &std::cell::RefCell<(usize, Vec<serde_json::Value>, Option<Reply>)>| {
            let mut pending = pending.borrow_mut();
            let answers = std::mem::take(&mut pending.1);
            if let Some(reply) = pending.2.take() {
                reply.send(answers);
            }
        };
        if sockets.is_empty() {
            return finish(&pending);
        }
        for at in sockets {
            let pending = pending.clone();
            let handle = Box::new(move |answer: Result<&str, _>| {
                let first = answer.ok().and_then(|args| serde_json::from_str::<Vec<serde_json::Value>>(args).ok());
                let mut state = pending.borrow_mut();
                state.0 -= 1;
                if let Some(first) = first.and_then(|args| args.into_iter().next()) {
                    state.1.push(first);
                }
                let done = state.0 == 0;
                drop(state);
                if done {
                    finish(&pending);
                }
            });
            self.rooms.ask(*at, args, handle);
        }
    }
}

fn each(sockets: &[At], rooms: &[String], act: impl Fn(At, &str) -> bool) {
    for at in sockets {
        for room in rooms {
            act(*at, room);
        }
    }
}

/// The frame of an event that comes from elsewhere, for the clients here.
pub fn frame_of(namespace: &str, event: &haat_adapter::Event) -> haat_protocol::Frame {
    socket::event(namespace, None, &event.args, &event.attachments)
}
