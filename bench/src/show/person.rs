//! One who is at the show: the session, as the official client keeps it, and what was asked and not yet answered.

use std::collections::VecDeque;

/// Where a person is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Not at the show.
    Out,
    /// A connection is being made; CONNECT is not answered.
    Dialing,
    /// Connected; the join is not answered.
    Joining,
    /// Watches.
    In,
    /// The connection is gone; it is dialled again soon.
    Away,
    /// Says goodbye.
    Leaving,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The cue that it belongs to; `None`: a join, which people do by themselves.
    pub(crate) cue: Option<usize>,
    /// The event, as it is sent.
    pub(crate) event: String,
    /// What the client calls it, so that it can be repeated.
    pub(crate) request: String,
    /// Which of the things that viewers said it is.
    pub(crate) said: Option<usize>,
    /// Taps, units or spins that it is about.
    pub(crate) count: u64,
    /// How often it was sent.
    pub(crate) tries: u32,
}

/// A viewer, or the supplier.
#[derive(Debug)]
pub(crate) struct Person {
    /// The user's id.
    pub(crate) user: String,
    /// The token.
    pub(crate) token: String,
    /// Which of the addresses is dialled next.
    pub(crate) address: usize,
    /// Number of the connection.
    pub(crate) client: Option<usize>,
    /// Where the person is.
    pub(crate) phase: Phase,
    /// Since when, nanoseconds.
    pub(crate) since_ns: u64,
    /// The session's private id.
    pub(crate) pid: Option<String>,
    /// The last argument of the last event that ended in a text.
    pub(crate) offset: Option<String>,
    /// The epoch that was joined.
    pub(crate) epoch: String,
    /// Whether the stream was joined in this session.
    pub(crate) joined: bool,
    /// Whether the person is one of those inside.
    pub(crate) counted: bool,
    /// Dials since the last that succeeded.
    pub(crate) tries: u32,
    /// When the connection was lost, nanoseconds.
    pub(crate) lost_ns: u64,
    /// Requests under way, each with the number of its acknowledgement.
    pub(crate) asked: Vec<(u64, Asked)>,
    /// Requests to be sent once the person is back.
    pub(crate) again: VecDeque<Asked>,
}

impl Person {
    /// Somebody who is not there yet.
    pub(crate) fn new(user: String, token: String, address: usize) -> Self {
        Self {
            user,
            token,
            address,
            client: None,
            phase: Phase::Out,
            since_ns: 0,
            pid: None,
            offset: None,
            epoch: String::new(),
            joined: false,
            counted: false,
            tries: 0,
            lost_ns: 0,
            asked: Vec::new(),
            again: VecDeque::new(),
        }
    }

    /// Whether the person watches, or will again.
    pub(crate) fn is_inside(&self) -> bool {
        self.joined && self.phase != Phase::Leaving
    }

    /// CONNECT's payload: the token, and what a client names that comes back.
    pub(crate) fn auth(&self) -> String {
        let mut auth = format!(r#"{{"token":"{}""#, self.token);
        if let Some(pid) = &self.pid {
            auth.push_str(&format!(r#","pid":{}"#, serde_json::Value::from(pid.as_str())));
        }
        if let Some(offset) = self.offset.as_ref().filter(|_| self.pid.is_some()) {
            auth.push_str(&format!(r#","offset":{}"#, serde_json::Value::from(offset.as_str())));
        }
        auth.push('}');
        auth
    }
}

/// How long the official client waits before it dials again, milliseconds: 1 s, doubled each time up to 5 s, give or take
/// half. `chance` is from 0 to 1.
pub(crate) fn pause_ms(tries: u32, chance: f64) -> f64 {
    let whole = f64::from(1_000_u32.saturating_mul(1 << tries.min(10)));
    // As the client does it: the bound is for what comes of both.
    (whole * (0.5 + chance)).min(5_000.0)
}
