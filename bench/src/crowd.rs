//! Connects everyone: dials with a bounded number of connections in the making, and counts who was not let in.
//!
//! A connection is settled once its join is acknowledged, or once CONNECT is answered if it joins nothing.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::client::Notice;
use crate::driver::Driver;
use crate::progress::Progress;
use crate::target::{Target, Who};

/// Refusals that are kept word for word.
const KEPT_REASONS: usize = 5;
/// Sockets read between two looks at the notices.
const BATCH: usize = 64;

/// What came of dialling.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Dialed {
    /// Number in the event loop of each connection that is settled.
    #[serde(skip)]
    pub(crate) ids: Vec<Option<usize>>,
    /// Connections asked for.
    pub(crate) asked: usize,
    /// CONNECTs answered.
    pub(crate) connected: usize,
    /// Connections that reached their goal.
    pub(crate) settled: usize,
    /// Connections refused or closed on the way.
    pub(crate) refused: usize,
    /// Connections that were still waiting for an answer when patience ended.
    pub(crate) unanswered: usize,
    /// The first reasons for a refusal.
    pub(crate) reasons: Vec<String>,
    /// Seconds from the first dial to the last settled connection.
    pub(crate) seconds: f64,
}

/// What a connection is dialled for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Whose it is.
    pub(crate) who: Who,
    /// The room it joins at once, if any.
    pub(crate) joining: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Settled,
    Failed,
}

/// Dials one connection per seat; a connection's tag is its seat's number.
///
/// # Errors
/// If a role cannot be made, or the loop fails. Refusals are counted, not errors.
pub(crate) fn dial(
    driver: &mut Driver,
    target: &Target,
    seats: &[Seat],
    at_once: usize,
    patience: Duration,
    progress: &mut Progress,
) -> anyhow::Result<Dialed> {
    let mut dialed = Dialed { ids: vec![None; seats.len()], asked: seats.len(), ..Dialed::default() };
    let mut states = vec![State::Waiting; seats.len()];
    let started_ns = driver.now_ns();
    let patience_ns = patience.as_nanos() as u64;
    let mut moved_ns = started_ns;
    let mut next = 0;
    let mut open = 0;
    while next < seats.len() || open > 0 {
        while next < seats.len() && open < at_once {
            let role = target.role(seats[next].who, next, seats[next].joining)?;
            let source = target.source(next, seats.len());
            match driver.dial(target.address_of(next), source, role, next) {
                Ok(_) => open += 1,
                Err(error) => {
                    states[next] = State::Failed;
                    dialed.refuse(error.to_string());
                }
            }
            next += 1;
        }
        driver.wait_until(driver.now_ns() + 50_000_000)?;
        driver.read_some(BATCH);
        while let Some(heard) = driver.next() {
            let Some(state) = states.get_mut(heard.tag) else {
                continue;
            };
            if *state == State::Failed {
                continue;
            }
            match heard.notice {
                Notice::Connected => {
                    dialed.connected += 1;
                    if seats[heard.tag].joining.is_some() {
                        continue;
                    }
                    *state = State::Settled;
                }
                // Nothing is kept here.
                Notice::Packet { .. } => continue,
                Notice::Acked { refusal: None } => *state = State::Settled,
                Notice::Acked { refusal: Some(reason) } => {
                    dialed.refuse(reason);
                    *state = State::Failed;
                    driver.drop_client(heard.id);
                }
                Notice::Lost(loss) => {
                    if *state == State::Settled {
                        dialed.settled -= 1;
                        open += 1;
                    }
                    dialed.ids[heard.tag] = None;
                    dialed.refuse(loss.to_string());
                    *state = State::Failed;
                }
            }
            if *state == State::Settled {
                dialed.ids[heard.tag] = Some(heard.id);
                dialed.settled += 1;
            }
            open -= 1;
            moved_ns = driver.now_ns();
        }
        progress.say(|| format!("connecting: {} of {}", dialed.settled, seats.len()));
        if driver.now_ns() - moved_ns > patience_ns {
            break;
        }
    }
    dialed.unanswered = open + seats.len() - next;
    dialed.seconds = (moved_ns - started_ns) as f64 / 1e9;
    Ok(dialed)
}

impl Dialed {
    /// Fails unless everyone was let in.
    ///
    /// # Errors
    /// With the counts and the first reason.
    pub(crate) fn all(&self) -> anyhow::Result<()> {
        if self.settled == self.asked {
            return Ok(());
        }
        bail!(
            "{} of {} connections are in, {} refused, {} without an answer; first reason: {}",
            self.settled,
            self.asked,
            self.refused,
            self.unanswered,
            self.reasons.first().map_or("none given", |reason| reason.as_str())
        )
    }

    fn refuse(&mut self, reason: String) {
        self.refused += 1;
        if self.reasons.len() < KEPT_REASONS {
            self.reasons.push(reason);
        }
    }
}

/// Sets up every room through one connection of the supplier, which stays open.
///
/// # Errors
/// If a room is refused or not answered in time.
pub(crate) fn set_up(
    driver: &mut Driver,
    target: &Target,
    rooms: usize,
    patience: Duration,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let Some(setup) = target.setup.as_ref().filter(|_| target.limit.is_none()) else {
        return Ok(());
    };
    let seat = Seat { who: Who::Supplier, joining: None };
    let dialed = dial(driver, target, &[seat], 1, patience, progress)?;
    dialed.all()?;
    let Some(id) = dialed.ids.first().copied().flatten() else {
        bail!("the supplier's connection is gone");
    };
    for room in 0..rooms {
        let event = target.fill(setup, Who::Supplier, 0, room);
        if let Some(client) = driver.client(id) {
            client.push_request(&event);
        }
        driver.flush(id);
        // One after the other: setting up is not what is measured, and limits may be on.
        let deadline_ns = driver.now_ns() + patience.as_nanos() as u64;
        let mut answered = false;
        while !answered {
            driver.wait_until(driver.now_ns() + 50_000_000)?;
            driver.read_some(BATCH);
            while let Some(heard) = driver.next() {
                match heard.notice {
                    Notice::Acked { refusal: None } => answered = true,
                    Notice::Acked { refusal: Some(reason) } => bail!("setting up a room was refused: {reason}"),
                    Notice::Lost(loss) => bail!("setting up a room: {loss}"),
                    Notice::Connected | Notice::Packet { .. } => {}
                }
            }
            if driver.now_ns() > deadline_ns {
                bail!("setting up a room was not answered");
            }
        }
    }
    if let Some(client) = driver.client(id) {
        // Out of the way of seats, whose numbers begin at 0.
        client.tag = usize::MAX;
    }
    Ok(())
}
