//! [`App`]: what a gateway does with sockets and their events. The rooms know nothing of it; the shard calls it.

use std::{any::Any, rc::Rc, sync::Arc};

use bytes::Bytes;
use haat_adapter::Entry;
use haat_protocol::{Frame, Id, error::Rejection, packet::Event};
use tokio::task::JoinHandle;

use super::At;
use crate::{close::CloseReason, transport::SessionKey};

/// One per shard. Its methods are called on the shard's thread, are short and never wait: slow work is spawned.
pub trait App: 'static {
    /// A client asks to join a namespace that exists, with the text of a JSON object. Answer, now or later, with
    /// [`Rooms::accept`](super::Rooms::accept) or [`Rooms::refuse`](super::Rooms::refuse).
    fn connect(&self, at: At, auth: &str);

    /// An event of a socket that has joined.
    fn event(&self, at: At, event: Event<'_>);

    /// An event that is well formed but not taken, with its ack id and its name as far as it can be read. The session
    /// goes on.
    fn rejected(&self, at: At, id: Option<u64>, event: &str, why: Rejection);

    /// A socket that had joined is gone; `left` is what it was.
    fn disconnected(&self, at: At, left: Left, reason: CloseReason);

    /// An entry of a stream's log that has a member on this shard; `frame` is what clients get of it.
    fn entry(&self, entry: Arc<Entry>, frame: Frame);

    /// Something that the application sent to itself from another thread.
    fn mail(&self, mail: Box<dyn Any + Send>);

    /// A message of a raw Engine.IO session.
    fn raw(&self, _key: SessionKey, _message: Raw<'_>) {}

    /// Its tasks that go on for ever, once. Without one of them the shard is of no use, and ends.
    fn standing(&self) -> Vec<JoinHandle<()>> {
        Vec::new()
    }

    /// Whether something that a client has asked for is still under way: its connection should not close before the answer.
    fn is_busy(&self, _key: SessionKey) -> bool {
        false
    }

    /// The gateway drains: all connections of this shard close within `within`.
    fn draining(&self, _within: std::time::Duration) {}
}

/// A message of a raw Engine.IO session.
#[derive(Debug)]
pub enum Raw<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(Bytes),
}

/// An event between servers, for the applications of all shards: the JSON array of its name and arguments.
#[derive(Debug)]
pub struct ServerEvent(pub String);

/// A socket that is gone.
pub struct Left {
    /// Its id.
    pub id: Id,
    /// The application's data.
    pub data: Option<Rc<dyn Any>>,
    /// The rooms that it was in, its own aside.
    pub rooms: Vec<Rc<str>>,
}
