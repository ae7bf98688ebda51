//! [`Reject`]: why a command was not done, as the client is told. It must never carry anything that only operators may
//! know: its message goes out as it is.

use std::{borrow::Cow, time::Duration};

use haat_adapter::StoreError;
use serde::Serialize;

/// All error codes that a client can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field is missing, ill-typed or outside its range; the message names it.
    BadRequest,
    /// Nobody is signed in, or the token is no good.
    Unauthorized,
    /// The role does not allow it.
    Forbidden,
    /// No such command, stream or thing in it.
    NotFound,
    /// The connection has not joined the stream.
    NotJoined,
    /// The state has changed, or it was done before.
    Conflict,
    /// Too fast; `retryAfterMs` says when to try again.
    RateLimited,
    /// The user may not speak here at present.
    Muted,
    /// The user may not be here.
    Banned,
    /// The chat is slowed down.
    SlowMode,
    /// The chat is for members.
    MembersOnly,
    /// It is paused.
    Paused,
    /// The words are not allowed.
    Rejected,
    /// The stream has ended.
    Ended,
    /// The sale, wheel or poll is closed.
    Closed,
    /// Nothing is left.
    SoldOut,
    /// The user has had their share.
    LimitReached,
    /// The text or list is too long.
    TooLarge,
    /// The outcome is not known; the same request id finds out.
    Unavailable,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NotJoined,
        Self::Conflict,
        Self::RateLimited,
        Self::Muted,
        Self::Banned,
        Self::SlowMode,
        Self::MembersOnly,
        Self::Paused,
        Self::Rejected,
        Self::Ended,
        Self::Closed,
        Self::SoldOut,
        Self::LimitReached,
        Self::TooLarge,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Its text on the wire, and the HTTP status of an answer with it.
    const fn row(self) -> (&'static str, u16) {
        match self {
            Self::BadRequest => ("bad_request", 400),
            Self::Unauthorized => ("unauthorized", 401),
            Self::Forbidden => ("forbidden", 403),
            Self::NotFound => ("not_found", 404),
            Self::NotJoined => ("not_joined", 409),
            Self::Conflict => ("conflict", 409),
            Self::RateLimited => ("rate_limited", 429),
            Self::Muted => ("muted", 403),
            Self::Banned => ("banned", 403),
            Self::SlowMode => ("slow_mode", 429),
            Self::MembersOnly => ("members_only", 403),
            Self::Paused => ("paused", 403),
            Self::Rejected => ("rejected", 422),
            Self::Ended => ("ended", 409),
            Self::Closed => ("closed", 409),
            Self::SoldOut => ("sold_out", 409),
            Self::LimitReached => ("limit_reached", 409),
            Self::TooLarge => ("too_large", 413),
            Self::Unavailable => ("unavailable", 503),
            Self::Internal => ("internal", 500),
        }
    }

    /// Its text on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status of an answer with it.
    pub const fn status(self) -> u16 {
        self.row().1
    }
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// What programs read.
    pub code: Code,
    /// What people read.
    pub message: Cow<'static, str>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Reject {
    /// A reject without a time to try again.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// A field is missing or wrong; `wanted` says what it must be.
    pub fn field(name: &str, wanted: &str) -> Self {
        Self::new(Code::BadRequest, format!("\"{name}\" must be {wanted}"))
    }

    /// There is no such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Too fast.
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self { code: Code::RateLimited, message: "too many requests".into(), retry_after: Some(retry_after) }
    }

    /// The store did not answer.
    pub fn unavailable() -> Self {
        Self::new(Code::Unavailable, "the outcome is not known, try again")
    }

    /// The JSON object `{code, message, retryAfterMs?}`.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Error<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after_ms: Option<u64>,
        }
        // A client that waits for a part of a millisecond less would be too early again.
        let retry_after_ms =
            self.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
        json(&Error { code: self.code.as_str(), message: &self.message, retry_after_ms })
    }
}

impl From<StoreError> for Reject {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) => Self::new(Code::Conflict, "the state has changed meanwhile"),
            StoreError::Unavailable(_) => Self::unavailable(),
            StoreError::TooSoon(wait) => {
                Self { code: Code::SlowMode, message: "the chat is slowed down".into(), retry_after: Some(wait) }
            }
            StoreError::TooLarge(_) => Self::new(Code::TooLarge, "the stream cannot hold that much"),
        }
    }
}

/// The JSON text of plain data: structs, texts, numbers and lists of them.
pub fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("plain data with textual keys always has a JSON text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_are_those_of_the_contract() {
        let table = [
            (400, "bad_request"),
            (401, "unauthorized"),
            (403, "forbidden muted banned members_only paused"),
            (404, "not_found"),
            (409, "not_joined conflict ended closed sold_out limit_reached"),
            (413, "too_large"),
            (422, "rejected"),
            (429, "rate_limited slow_mode"),
            (500, "internal"),
            (503, "unavailable"),
        ];
        let mut seen = 0;
        for (status, names) in table {
            for name in names.split(' ') {
                let code = Code::ALL.into_iter().find(|code| code.as_str() == name);
                assert_eq!(code.map(Code::status), Some(status), "{name}");
                seen += 1;
            }
        }
        assert_eq!(seen, Code::ALL.len());
    }

    #[test]
    fn an_error_is_an_object_with_the_time_to_wait() {
        let reject = Reject::rate_limited(Duration::from_millis(250));
        assert_eq!(reject.json(), r#"{"code":"rate_limited","message":"too many requests","retryAfterMs":251}"#);
        let reject = Reject::field("text", "a text");
        assert_eq!(reject.json(), r#"{"code":"bad_request","message":"\"text\" must be a text"}"#);
    }
}
