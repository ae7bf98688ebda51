//! What may go wrong with a command, and what is done about it: one table for every error that Redis has.

use redis::{ErrorKind, RedisError, ServerError};

use crate::StoreError;

/// A command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Fault {
    pub(super) remedy: Remedy,
    pub(super) text: String,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: Redis works, and has refused. The command was not done.
    None,
    /// Wait: there is no connection, or too much waits already. The command was not sent.
    Wait,
    /// Send the script itself: Redis does not know it. The command was not done.
    Reload,
    /// Send it to the server that has the slot now, which the text names. The command was not done.
    Moved,
    /// Send it once to the server that the slot is on its way to, which the text names. The command was not done.
    Ask,
    /// Send it again in a moment. The command was not done.
    Again,
    /// Look for a better server: this one has no say, or does not know us any more. The command was not done.
    Move,
    /// Nothing: it was done, but may be lost again. To repeat it tells.
    Unsure,
    /// Probe the connection: there was no answer in time. Whether the command was done is not known.
    Probe,
    /// Connect again. Whether the command was done is not known.
    Reconnect,
}

impl Remedy {
    /// What has happened, as it is counted.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::None => "refused",
            Self::Wait => "unsent",
            Self::Reload => "script",
            Self::Moved => "moved",
            Self::Ask => "ask",
            Self::Again => "again",
            Self::Move => "demoted",
            Self::Unsure => "unconfirmed",
            Self::Probe => "timeout",
            Self::Reconnect => "lost",
        }
    }
}

impl Fault {
    pub(super) fn new(remedy: Remedy, text: impl Into<String>) -> Self {
        Self { remedy, text: text.into() }
    }

    /// Shows in the metrics that there was one.
    pub(super) fn count(&self) {
        metrics::counter!("haat_redis_faults_total", "fault" => self.remedy.label()).increment(1);
    }

    /// An answer that makes no sense.
    pub(super) fn nonsense(what: &str) -> Self {
        Self::new(Remedy::None, format!("redis gave a senseless answer to {what}"))
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        let remedy = match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => remedy_of(error.code().unwrap_or_default()),
            ErrorKind::AuthenticationFailed => Remedy::Move,
            ErrorKind::Io if error.is_timeout() => Remedy::Probe,
            _ => Remedy::Reconnect,
        };
        Self { remedy, text }
    }
}

impl From<ServerError> for Fault {
    fn from(error: ServerError) -> Self {
        let remedy = remedy_of(error.code());
        let details = error.details().unwrap_or_default();
        Self { remedy, text: format!("{} {details}", error.code()) }
    }
}

/// What the code of an error reply calls for.
fn remedy_of(code: &str) -> Remedy {
    match code {
        "NOSCRIPT" => Remedy::Reload,
        "MOVED" => Remedy::Moved,
        "ASK" => Remedy::Ask,
        // Some keys of the command have moved already, others have not.
        "TRYAGAIN" => Remedy::Again,
        // A replica, or a server that has lost its master.
        "READONLY" | "MASTERDOWN" => Remedy::Move,
        // The password was changed, or the user.
        "NOAUTH" | "WRONGPASS" => Remedy::Move,
        // Those that pass with time: LOADING, BUSY, OOM, MISCONF, NOREPLICAS, CLUSTERDOWN. And those that call for
        // an operator: NOPERM, WRONGTYPE, CROSSSLOT, ERR. A new connection would be no better.
        _ => Remedy::None,
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.text)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn reply(line: &str) -> Fault {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap() {
            redis::Value::ServerError(error) => {
                let fault = Fault::from(error.clone());
                assert_eq!(fault.remedy, Fault::from(RedisError::from(error)).remedy, "{line}");
                fault
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn has_a_remedy_for_every_error() {
        let cases = [
            (Remedy::Reload, "NOSCRIPT No matching script. Please use EVAL."),
            (Remedy::Move, "READONLY You can't write against a read only replica."),
            (Remedy::Move, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
            (Remedy::Move, "NOAUTH Authentication required."),
            (Remedy::Move, "WRONGPASS invalid username-password pair or user is disabled."),
            (Remedy::None, "LOADING Redis is loading the dataset in memory"),
            (Remedy::None, "BUSY Redis is busy running a script."),
            (Remedy::None, "OOM command not allowed when used memory > 'maxmemory'."),
            (Remedy::None, "MISCONF Redis is configured to save RDB snapshots"),
            (Remedy::None, "NOREPLICAS Not enough good replicas to write."),
            (Remedy::None, "CLUSTERDOWN Hash slot not served"),
            (Remedy::Moved, "MOVED 866 127.0.0.1:7001"),
            (Remedy::Ask, "ASK 866 127.0.0.1:7001"),
            (Remedy::Again, "TRYAGAIN Multiple keys request during rehashing of slot"),
            (Remedy::None, "NOPERM this user has no permissions"),
            (Remedy::None, "WRONGTYPE Operation against a key holding the wrong kind of value"),
            (Remedy::None, "ERR unknown command"),
            (Remedy::None, "NEVERHEARDOF it"),
        ];
        for (remedy, line) in cases {
            let fault = reply(line);
            assert_eq!((fault.remedy, fault.text.as_str()), (remedy, line));
        }
    }

    #[test]
    fn tells_a_late_answer_from_a_lost_connection() {
        let io = |kind| Fault::from(RedisError::from(io::Error::from(kind))).remedy;
        assert_eq!(io(io::ErrorKind::TimedOut), Remedy::Probe);
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionRefused, io::ErrorKind::UnexpectedEof] {
            assert_eq!(io(kind), Remedy::Reconnect);
        }
        assert_eq!(Fault::from(RedisError::from((ErrorKind::Parse, "garbage"))).remedy, Remedy::Reconnect);
    }
}
