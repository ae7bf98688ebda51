//! [`DecodeError`]: what was wrong with a client's bytes. It must never carry the bytes themselves: they may be long,
//! secret, or made to be logged.

use thiserror::Error;

/// Why input was not decoded. All but [`Rejected`](DecodeError::Rejected) mean that the peer does not speak the
/// protocol: close the session, send nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DecodeError {
    /// A packet without a single character; an empty polling body is one. Close: `parse error`.
    #[error("empty packet")]
    EmptyPacket,
    /// The first character is no packet type of Engine.IO, or of Socket.IO. Close: `parse error`.
    #[error("unknown packet type")]
    UnknownType,
    /// What follows `b` is not base64. Close: `parse error`.
    #[error("bad base64")]
    BadBase64,
    /// A polling body holds more packets than the caller allows. Those before it were good. Close: `parse error`.
    #[error("too many packets in one body")]
    TooManyPackets,
    /// The attachment count is not digits and a dash, or above [`MAX_ATTACHMENTS`](crate::socket::MAX_ATTACHMENTS).
    /// Close.
    #[error("bad attachment count")]
    BadAttachmentCount,
    /// A namespace name longer than [`MAX_NAMESPACE`](crate::socket::MAX_NAMESPACE), which nobody can have joined. Close.
    #[error("namespace name too long")]
    LongNamespace,
    /// An id above [`MAX_ID`](crate::socket::MAX_ID), or a space where an id may stand. Close.
    #[error("bad ack id")]
    BadId,
    /// The payload is not JSON, missing, or not what the type of packet asks for. Close.
    #[error("bad payload")]
    BadPayload,
    /// The event's name is one that the protocol keeps for itself, such as `disconnect`. Close.
    #[error("reserved event name")]
    ReservedName,
    /// The placeholders do not stand for each announced attachment exactly once. Close.
    #[error("bad placeholder")]
    BadPlaceholder,
    /// A text while attachments are due. Close.
    #[error("text while attachments are due")]
    UnexpectedText,
    /// A binary message while none is due. Close.
    #[error("binary message while none is due")]
    UnexpectedBinary,
    /// The attachments of one packet are together larger than the decoder's limit. Close.
    #[error("attachments too large")]
    TooManyBytes,
    /// A CONNECT or an ACK nested deeper, or of more values, than an event may be. Close: there is nobody to answer.
    #[error("payload too complex")]
    TooComplex,
    /// A well-formed event that is not taken. Keep the session, and answer: an ack with the error if there is an `id`,
    /// the error event if there is none. [`head`](crate::socket::head) says in which namespace.
    #[error("event rejected: {reason}")]
    Rejected {
        /// The ack that the sender waits for.
        id: Option<u64>,
        /// What to tell it.
        reason: Rejection,
    },
}

/// Why a well-formed event is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// Nested deeper than [`MAX_DEPTH`](crate::socket::MAX_DEPTH). Answer that the payload is bad.
    #[error("nested too deep")]
    TooDeep,
    /// More values than [`MAX_VALUES`](crate::socket::MAX_VALUES). Answer that the payload is bad.
    #[error("too many values")]
    TooManyValues,
    /// Text with half a surrogate pair, which is no text in UTF-8. An emoji cut in two by a length limit makes it, so
    /// ordinary users send it. Answer that the text is bad.
    #[error("lone surrogate in a text")]
    BadText,
}

impl DecodeError {
    /// Whether the session has to be closed. If not, the sender gets an answer and the session goes on.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Self::Rejected { .. })
    }

    /// The ack id to answer to, if the error can be answered at all and the sender asked for an answer.
    pub fn id(self) -> Option<u64> {
        match self {
            Self::Rejected { id, .. } => id,
            _ => None,
        }
    }

    /// A fixed word for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::EmptyPacket => "empty_packet",
            Self::UnknownType => "unknown_type",
            Self::BadBase64 => "bad_base64",
            Self::TooManyPackets => "too_many_packets",
            Self::BadAttachmentCount => "bad_attachment_count",
            Self::LongNamespace => "long_namespace",
            Self::BadId => "bad_id",
            Self::BadPayload => "bad_payload",
            Self::ReservedName => "reserved_name",
            Self::BadPlaceholder => "bad_placeholder",
            Self::UnexpectedText => "unexpected_text",
            Self::UnexpectedBinary => "unexpected_binary",
            Self::TooManyBytes => "too_many_bytes",
            Self::TooComplex => "too_complex",
            Self::Rejected { reason: Rejection::TooDeep, .. } => "too_deep",
            Self::Rejected { reason: Rejection::TooManyValues, .. } => "too_many_values",
            Self::Rejected { reason: Rejection::BadText, .. } => "bad_text",
        }
    }
}
