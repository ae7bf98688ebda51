//! [`Hooks`]: wakes those who send what the ledger tells to other servers. It only ever wakes: whoever is woken reads the
//! ledger, and finds the same if nobody had.

use std::sync::Arc;

use tokio::sync::mpsc;

/// Streams that wait to be looked at. One that does not fit is found by the next look at all of them.
const QUEUE: usize = 1_024;

/// The senders of a gateway.
#[derive(Debug, Default)]
pub struct Hooks(Vec<mpsc::Sender<Arc<str>>>);

/// Where the streams arrive that have something to tell.
pub type Woken = mpsc::Receiver<Arc<str>>;

impl Hooks {
    /// Wakes as many senders.
    pub fn new(count: usize) -> (Self, Vec<Woken>) {
        let (senders, woken) = (0..count).map(|_| mpsc::channel(QUEUE)).unzip();
        (Self(senders), woken)
    }

    /// A stream's ledger has something new.
    pub(super) fn wake(&self, stream: &Arc<str>) {
        for sender in &self.0 {
            let _ = sender.try_send(stream.clone());
        }
    }
}
