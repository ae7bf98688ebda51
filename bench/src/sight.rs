//! What all connections see together while they read: deliveries counted and timed, errors of the server.

use hdrhistogram::Histogram;

use crate::order::Order;
use crate::stamp::Finder;

/// Longest latency that is told apart, nanoseconds.
const LONGEST_NS: u64 = 60_000_000_000;

/// A histogram for latencies in nanoseconds: from 1 µs to 60 s, three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, LONGEST_NS, 3).expect("the bounds are constants in range")
}

/// What all connections share while they read.
#[derive(Debug)]
pub(crate) struct Sight {
    /// How a delivery begins: `42["chat:message"`.
    pub(crate) delivery: Vec<u8>,
    /// How an error event begins; empty if the server has none.
    pub(crate) error: Vec<u8>,
    /// Generator's clock when the socket was read, nanoseconds.
    pub(crate) now_ns: u64,
    /// Deliveries of all connections.
    pub(crate) delivered: u64,
    /// When the last delivery was read.
    pub(crate) last_delivery_ns: u64,
    /// Error events of all connections.
    pub(crate) errors: u64,
    /// The first error event.
    pub(crate) first_error: Option<String>,
    /// From due to read, of the checked viewers, nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Largest latency since it was last set to 0.
    pub(crate) worst_ns: u64,
    finder: Finder,
}

impl Sight {
    /// Nothing seen yet of a server with these event names; an empty one is of none.
    pub(crate) fn new(event: &str, error_event: &str) -> Self {
        Self {
            delivery: format!("42[\"{event}\"").into_bytes(),
            error: match error_event {
                "" => Vec::new(),
                name => format!("2[\"{name}\"").into_bytes(),
            },
            now_ns: 0,
            delivered: 0,
            last_delivery_ns: 0,
            errors: 0,
            first_error: None,
            latency: latencies(),
            worst_ns: 0,
            finder: Finder::new(),
        }
    }

    /// Checks and times a delivery to a viewer who is checked.
    #[inline]
    pub(crate) fn check(&mut self, order: &mut Order, payload: &[u8]) {
        match self.finder.find(payload) {
            Some(stamp) => {
                order.delivered(stamp.publisher, stamp.seq);
                let latency_ns = self.now_ns.saturating_sub(stamp.due_ns);
                self.worst_ns = self.worst_ns.max(latency_ns);
                self.latency.saturating_record(latency_ns);
            }
            None => order.unstamped(),
        }
    }
}
