//! Questions and orders of other gateways, about the sockets of this shard.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use haat_adapter::{Event, Reply, Request};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Shard;
use crate::{close::CloseReason, hub::mailbox::LocalTarget, room::At};

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
            Request::BroadcastAck(broadcast) => self.ask_all(&sockets, &broadcast.event, reply),
            // Nobody listens to events between servers here; an answer of nothing spares the asker its timeout.
            Request::ServerSideEmit { .. } => reply.send(Vec::new()),
        }
    }

    fn describe(&self, at: At) -> Option<Value> {
        let id = self.rooms.id(at)?;
        let address = self.rooms.with(at.key, |session| session.address)?;
        let mut rooms = vec![id.to_string()];
        rooms.extend(self.rooms.rooms_of(at).iter().map(|room| room.to_string()));
        let handshake = json!({ "address": address.to_string(), "headers": {}, "query": {}, "auth": {} });
        Some(json!({ "id": id.as_str(), "rooms": rooms, "handshake": handshake, "data": {} }))
    }

    /// Tells the first argument of each client's answer. Those who are gone or silent say nothing, and keep nobody back.
    fn ask_all(&self, sockets: &[At], event: &Event, reply: Reply) {
        reply.receivers(sockets.len());
        let answers = Answers::new(reply);
        for at in sockets {
            let answers = answers.clone();
            let handle = move |answer: Result<&str, CloseReason>| {
                let args = answer.ok().and_then(|args| serde_json::from_str::<Vec<Value>>(args).ok());
                if let Some(first) = args.and_then(|args| args.into_iter().next()) {
                    answers.take(first);
                }
            };
            self.rooms.ask(*at, &event.args, &event.attachments, Box::new(handle));
        }
    }
}

/// The answers of many clients: told as they come, where the asker wants that, and the rest sent once: when nobody is left
/// who could add one, or when time is up.
struct Answers {
    values: RefCell<Vec<Value>>,
    reply: RefCell<Option<Reply>>,
    timer: JoinHandle<()>,
}

impl Answers {
    fn new(reply: Reply) -> Rc<Self> {
        Rc::new_cyclic(|answers: &Weak<Self>| {
            let (answers, deadline) = (answers.clone(), reply.deadline());
            let timer = tokio::task::spawn_local(async move {
                tokio::time::sleep_until(deadline).await;
                if let Some(answers) = answers.upgrade() {
                    answers.send();
                }
            });
            Self { values: RefCell::default(), reply: RefCell::new(Some(reply)), timer }
        })
    }

    fn take(&self, value: Value) {
        if let Some(Err(value)) = self.reply.borrow().as_ref().map(|reply| reply.ack(value)) {
            self.values.borrow_mut().push(value);
        }
    }

    fn send(&self) {
        if let Some(reply) = self.reply.take() {
            reply.send(self.values.take());
        }
    }
}

/// Everybody who was asked holds the answers until they have answered or are gone.
impl Drop for Answers {
    fn drop(&mut self) {
        self.send();
        self.timer.abort();
    }
}

fn each(sockets: &[At], rooms: &[String], act: impl Fn(At, &str) -> bool) {
    for at in sockets {
        for room in rooms {
            act(*at, room);
        }
    }
}
