//! What gateways say to each other.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};

/// An event as it crosses gateways: the JSON array of its name and arguments, and the binary attachments that
/// its placeholders (`{"_placeholder":true,"num":n}`) stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// JSON array, the event's name first: `["chat:message",{…}]`.
    pub args: String,
    /// The bytes of placeholder 0, 1, …
    pub attachments: Vec<Bytes>,
}

/// Who gets a broadcast: every socket that is in one of `rooms` (none named: the whole namespace) and in none of
/// `except`, once. A socket's own id is a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The namespace, `/` or `/name`.
    pub namespace: String,
    /// Union of these rooms; empty means all sockets of the namespace.
    pub rooms: Vec<String>,
    /// Sockets in any of these are left out.
    pub except: Vec<String>,
}

/// How a broadcast is delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Dropped for a connection that cannot be written to at once.
    pub volatile: bool,
}

/// An event for the sockets of [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Who gets it.
    pub target: Target,
    /// How it is delivered.
    pub flags: Flags,
    /// What they get.
    pub event: Event,
}

/// A question to, or an order for, the other gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// List the sockets of the target. Answer: one JSON object per socket.
    FetchSockets(Target),
    /// Put the sockets of the target into rooms. No answer.
    Join(Target, Vec<String>),
    /// Take the sockets of the target out of rooms. No answer.
    Leave(Target, Vec<String>),
    /// Disconnect the sockets of the target from the namespace; `close` also closes their connection. No answer.
    Disconnect {
        /// Whose sockets.
        target: Target,
        /// Close the connection below as well.
        close: bool,
    },
    /// An event between servers. With `ack` each answers one JSON value.
    ServerSideEmit {
        /// The namespace it is for.
        namespace: String,
        /// JSON array, the event's name first.
        args: String,
        /// Whether an answer is wanted.
        ack: bool,
    },
    /// An event whose receivers acknowledge. Each gateway answers with its clients' first ack arguments.
    BroadcastAck(Broadcast),
}

impl Request {
    /// Whether it is a question: an order has no answer, and nobody waits for one.
    pub fn is_answered(&self) -> bool {
        match self {
            Self::FetchSockets(_) | Self::BroadcastAck(_) => true,
            Self::Join(..) | Self::Leave(..) | Self::Disconnect { .. } => false,
            Self::ServerSideEmit { ack, .. } => *ack,
        }
    }
}

/// One socket, as `fetchSockets` lists it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    /// Socket id, 20 characters.
    pub id: String,
    /// The rooms it is in, its own id among them.
    pub rooms: Vec<String>,
    /// Handshake as Node's server shows it.
    pub handshake: serde_json::Value,
    /// The application's data.
    pub data: serde_json::Value,
}

/// The answers of the gateways that were asked, one JSON array of values each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replies {
    /// One per gateway that answered.
    pub answers: Vec<Vec<serde_json::Value>>,
}

/// Where an answer goes, and until when. Dropped unanswered, this gateway counts as one that did not answer; the asker goes
/// on waiting for the others, until its deadline.
#[derive(Debug)]
pub struct Reply {
    answers: mpsc::Sender<Vec<serde_json::Value>>,
    progress: Option<mpsc::Sender<Progress>>,
    deadline: Instant,
}

/// What can be told of a [`Request::BroadcastAck`] before everybody has answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// So many clients were asked.
    Receivers(usize),
    /// One of them has answered.
    Ack(serde_json::Value),
}

/// How long an asker waits who does not say.
const PATIENCE: Duration = Duration::from_secs(4);

impl Reply {
    /// Makes a reply that sends into `answers`. Its deadline is in 4 s.
    pub fn new(answers: mpsc::Sender<Vec<serde_json::Value>>) -> Self {
        Self { answers, progress: None, deadline: Instant::now() + PATIENCE }
    }

    /// The same for an asker who wants to hear of answers as they come.
    #[must_use]
    pub fn telling(self, progress: mpsc::Sender<Progress>) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Tells how many clients were asked. Say it once; if nobody wants to hear it, it need not be said.
    pub fn receivers(&self, count: usize) {
        if let Some(progress) = &self.progress {
            let _ = progress.try_send(Progress::Receivers(count));
        }
    }

    /// Tells one client's answer.
    ///
    /// # Errors
    /// The value, which nobody has heard: it belongs to what is [sent](Self::send) in the end.
    pub fn ack(&self, value: serde_json::Value) -> Result<(), serde_json::Value> {
        let Some(progress) = &self.progress else { return Err(value) };
        progress.try_send(Progress::Ack(value)).map_err(|error| match error {
            TrySendError::Full(Progress::Ack(value)) | TrySendError::Closed(Progress::Ack(value)) => value,
            _ => serde_json::Value::Null,
        })
    }

    /// The same with this deadline.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline, ..self }
    }

    /// When the asker gives up. Say before that what there is to say: half an answer is better than none.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sends the answer, or what of it was not told before. An asker that has gone away is no error.
    pub fn send(self, values: Vec<serde_json::Value>) {
        let _ = self.answers.try_send(values);
    }
}
