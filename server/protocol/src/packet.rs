//! What the Socket.IO decoder gives. It must never copy what it can borrow: most packets are read once and dropped.

use std::borrow::Cow;

use bytes::Bytes;

/// A Socket.IO packet. Text borrows from the frame that it was decoded from.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet<'a> {
    /// `/` or `/name`.
    pub namespace: Cow<'a, str>,
    /// What it says.
    pub body: Body<'a>,
}

impl Packet<'_> {
    /// The same packet with texts of its own, to outlive the message that it came in.
    pub fn into_owned(self) -> Packet<'static> {
        Packet { namespace: own(self.namespace), body: self.body.into_owned() }
    }
}

/// What a [`Packet`] says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<'a> {
    /// Wants to join the namespace. `auth` is the text of a JSON object, `{}` when none was sent.
    Connect {
        /// JSON object.
        auth: Cow<'a, str>,
    },
    /// Leaves the namespace.
    Disconnect,
    /// An event.
    Event(Event<'a>),
    /// The answer to an event of ours.
    Ack(Ack<'a>),
    /// Only servers send it; from a client it is a protocol error that the session answers by closing.
    ConnectError,
}

/// An event of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Set if the sender wants an answer, below 2^53.
    pub id: Option<u64>,
    /// Its name; a number's digits if it was a number.
    pub name: Cow<'a, str>,
    /// The whole JSON array, the name first, as it came; placeholders are still in it.
    pub args: Cow<'a, str>,
    /// The JSON text of the first argument after the name, if there is one.
    pub first: Option<Cow<'a, str>>,
    /// The bytes that placeholder 0, 1, … stand for. Each is used exactly once in `args`.
    pub attachments: Vec<Bytes>,
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack<'a> {
    /// The event's id; an answer without one is ignored.
    pub id: Option<u64>,
    /// JSON array of the arguments, placeholders still in it.
    pub args: Cow<'a, str>,
    /// The bytes that placeholder 0, 1, … stand for.
    pub attachments: Vec<Bytes>,
}

impl Body<'_> {
    fn into_owned(self) -> Body<'static> {
        match self {
            Self::Connect { auth } => Body::Connect { auth: own(auth) },
            Self::Disconnect => Body::Disconnect,
            Self::Event(event) => Body::Event(Event {
                id: event.id,
                name: own(event.name),
                args: own(event.args),
                first: event.first.map(own),
                attachments: event.attachments,
            }),
            Self::Ack(ack) => Body::Ack(Ack { id: ack.id, args: own(ack.args), attachments: ack.attachments }),
            Self::ConnectError => Body::ConnectError,
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}
