//! [`Mail`]: what other threads send to a shard.

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use haat_adapter::{Entry, Reply, Request};
use haat_protocol::{Frame, SessionId};
use tokio::sync::oneshot;

/// A broadcast's receivers, with the namespace looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalTarget {
    /// Which namespace.
    pub namespace: u8,
    /// Union of these rooms; empty means all sockets of the namespace.
    pub rooms: Vec<Box<str>>,
    /// Sockets in any of these are left out.
    pub except: Vec<Box<str>>,
}

/// One message to a shard. All senders together keep the order in which they sent.
#[derive(Debug)]
pub enum Mail {
    /// An event for members of this shard.
    Broadcast(Arc<LocalTarget>, Frame),
    /// An entry of a stream's log, encoded for clients.
    Entry(Arc<Entry>, Frame),
    /// A question about the sockets here.
    Serve(Arc<LocalTarget>, Request, Reply),
    /// A connection whose first request names a session of this shard.
    Connection(Handover),
    /// A long-polling request for a session of this shard.
    Poll(SessionId, Poll),
    /// Something that the application sends to itself.
    App(Box<dyn Any + Send>),
    /// Let nobody new in, and close all connections in slots over this time.
    Drain(Duration),
    /// Close what is left and end the thread.
    Stop,
}

/// A connection that another shard accepted.
#[derive(Debug)]
pub struct Handover {
    /// The socket, of no runtime at present.
    pub stream: std::net::TcpStream,
    /// Who connected.
    pub peer: SocketAddr,
    /// Bytes that were read of it.
    pub read: Vec<u8>,
    /// The WebSocket handshake is done, to upgrade this session; without it `read` begins with a request.
    pub probe: Option<SessionId>,
}

/// A long-polling request. `None` answers that there is no such session.
#[derive(Debug)]
pub enum Poll {
    /// Say whether there is such a session.
    Look(oneshot::Sender<PollAnswer>),
    /// Wait for something to send.
    Get(oneshot::Sender<PollAnswer>),
    /// The head of a POST has come. Its body may be read once this is answered with [`PollAnswer::Ok`].
    PostBegin(oneshot::Sender<PollAnswer>),
    /// The body has come, and is UTF-8.
    PostEnd(String, oneshot::Sender<PollAnswer>),
    /// The body could not be read: the session ends, unless it was only too long.
    PostFailed {
        /// The body was above `maxPayload`: its packets are dropped, the session stays.
        too_large: bool,
    },
    /// The client hung up on the GET that was waiting.
    Aborted,
}

/// What a long-polling request is answered.
#[derive(Debug)]
pub enum PollAnswer {
    /// 200, with this body.
    Body(String),
    /// 200 or permission to go on.
    Ok,
    /// 400 with an empty body: a second GET or POST at the same time.
    Overlap,
    /// 400 with Engine.IO's error 1.
    Unknown,
    /// 400 with Engine.IO's error 3: the session has another transport by now.
    WrongTransport,
    /// Wait here for the body of a GET.
    Wait(oneshot::Receiver<String>),
}
