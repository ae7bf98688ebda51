//! Publishes what is due: stamps each text, and sends all that is due through a connection in one write.
//!
//! It must never skip a message because it is late: it is sent late, with the time at which it was due.

use hdrhistogram::Histogram;

use crate::driver::Driver;
use crate::schedule::Schedule;
use crate::sight;
use crate::stamp::{self, Stamp};

/// Bytes that may wait in one publisher's connection. Above it the server has stopped reading.
const MAX_QUEUED: usize = 32 * 1024 * 1024;
/// Messages published before the viewers are looked at again.
const MAX_AT_ONCE: usize = 4_096;

/// Who publishes to one room, in turn.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The publishers of the room; the first is number `lane * publishers per room`.
    pub(crate) voices: Vec<Voice>,
}

/// One publisher.
#[derive(Debug)]
pub(crate) struct Voice {
    /// Its connection in the event loop.
    pub(crate) client: usize,
    /// What stands before the text, with the packet's digits.
    pub(crate) before: String,
    /// What stands behind the text.
    pub(crate) after: String,
    /// The number of its next message.
    pub(crate) seq: u32,
}

/// All publishers of a run.
#[derive(Debug)]
pub(crate) struct Publishers {
    lanes: Vec<Lane>,
    padding: Vec<u8>,
    dirty: Vec<usize>,
    lag: Histogram<u64>,
}

/// The server does not take what is published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stuck;

impl Publishers {
    /// Publishers of texts of `text_bytes`; a text is never shorter than its stamp.
    pub(crate) fn new(lanes: Vec<Lane>, text_bytes: usize) -> Self {
        let padding = b" we sell what you see and you see what we sell"
            .iter()
            .copied()
            .cycle()
            .take(text_bytes.saturating_sub(stamp::LEN));
        let mut padding: Vec<u8> = padding.collect();
        if let Some(last) = padding.last_mut() {
            // A server may trim.
            *last = b'e';
        }
        Self { lanes, padding, dirty: Vec::new(), lag: sight::latencies() }
    }

    /// Sends what is due by now.
    ///
    /// # Errors
    /// [`Stuck`] if a connection does not take it.
    pub(crate) fn pump(&mut self, driver: &mut Driver, schedule: &mut Schedule) -> Result<(), Stuck> {
        let now_ns = driver.now_ns();
        let rooms = self.lanes.len() as u64;
        let mut stuck = false;
        for _ in 0..MAX_AT_ONCE {
            let Some((number, due_ns)) = schedule.take(now_ns) else {
                break;
            };
            let room = (number % rooms) as usize;
            let lane = &mut self.lanes[room];
            let voices = lane.voices.len();
            let turn = (number / rooms) as usize % voices;
            let voice = &mut lane.voices[turn];
            let stamp = Stamp { publisher: (room * voices + turn) as u32, seq: voice.seq, due_ns };
            voice.seq = voice.seq.wrapping_add(1);
            self.lag.saturating_record(now_ns.saturating_sub(due_ns));
            if let Some(client) = driver.client(voice.client) {
                client.push_text(&[voice.before.as_bytes(), &stamp.write(), &self.padding, voice.after.as_bytes()]);
                stuck |= client.queued_bytes() > MAX_QUEUED;
            }
            if !self.dirty.contains(&voice.client) {
                self.dirty.push(voice.client);
            }
        }
        for id in self.dirty.drain(..) {
            driver.flush(id);
        }
        if stuck { Err(Stuck) } else { Ok(()) }
    }

    /// The numbers that the publishers of a room send next.
    pub(crate) fn next_numbers(&self, room: usize) -> Vec<u32> {
        match self.lanes.get(room) {
            Some(lane) => lane.voices.iter().map(|voice| voice.seq).collect(),
            None => Vec::new(),
        }
    }

    /// Gives a room's publishers other connections; their numbers go on.
    pub(crate) fn move_to(&mut self, room: usize, clients: &[usize]) {
        if let Some(lane) = self.lanes.get_mut(room) {
            for (voice, client) in lane.voices.iter_mut().zip(clients) {
                voice.client = *client;
            }
        }
    }

    /// How late messages left since this was last asked, nanoseconds.
    pub(crate) fn take_lag(&mut self) -> Histogram<u64> {
        std::mem::replace(&mut self.lag, sight::latencies())
    }
}
