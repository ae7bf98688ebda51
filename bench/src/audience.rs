//! The rooms of a run with their viewers and publishers: who sits where, and whether everyone got everything.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::crowd::{self, Seat};
use crate::driver::Driver;
use crate::order::{Faults, Order};
use crate::progress::Progress;
use crate::publisher::{Lane, Publishers, Voice};
use crate::stamp;
use crate::target::{Target, Who};

/// Options that say how many watch and what they are told.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct AudienceArgs {
    /// Rooms
    #[arg(long, default_value_t = 1)]
    pub(crate) rooms: usize,
    /// Connections in each room, its publishers among them
    #[arg(long, default_value_t = 1000)]
    pub(crate) viewers: usize,
    /// Connections of each room that publish, in turn
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Bytes of a published text
    #[arg(long, default_value_t = 200)]
    pub(crate) text_bytes: usize,
    /// Viewers whose every message is checked and timed: `all`, or a number spread evenly over all rooms.
    /// The others are counted. Default: all in fanout, 16 (at least one in each room) in saturate
    #[arg(long)]
    pub(crate) check: Option<Check>,
    /// Publishers are connections of their own, outside of the room
    #[arg(long)]
    pub(crate) publishers_apart: bool,
}

/// How many viewers are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Check {
    /// Every viewer.
    All,
    /// So many, spread evenly.
    Some(usize),
}

impl std::str::FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Some).map_err(|_| "`all` or a number".to_owned()),
        }
    }
}

/// Everyone of a run, connected.
#[derive(Debug)]
pub(crate) struct Audience {
    rooms: usize,
    viewers: usize,
    check: Check,
    ids: Vec<usize>,
    others: Vec<usize>,
    starts: Vec<Vec<u32>>,
    /// Who publishes.
    pub(crate) publishers: Publishers,
}

/// What the viewers got.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// Deliveries that were due: messages times viewers of their room.
    pub(crate) expected: u64,
    /// Deliveries that came.
    pub(crate) delivered: u64,
    /// Viewers whose count is not what was published to their room.
    pub(crate) viewers_wrong: u64,
    /// Viewers whose connection is gone.
    pub(crate) viewers_gone: u64,
    /// Viewers of which every message was checked.
    pub(crate) viewers_checked: u64,
    /// What was wrong with the messages of the checked viewers.
    pub(crate) faults: Faults,
    /// Checked viewers that saw another order than the first of their room.
    pub(crate) orders_differ: u64,
    /// Mean bytes of a delivered frame.
    pub(crate) frame_bytes: f64,
}

impl Verdict {
    /// Whether every viewer got every message once and in order.
    pub(crate) fn clean(&self) -> bool {
        self.delivered == self.expected
            && self.viewers_wrong + self.viewers_gone + self.orders_differ == 0
            && self.faults.none()
    }

    /// Deliveries that are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.expected.saturating_sub(self.delivered)
    }
}

impl Audience {
    /// Sets up the rooms and lets everyone in.
    ///
    /// # Errors
    /// If anyone is not let in.
    pub(crate) fn gather(
        driver: &mut Driver,
        target: &Target,
        args: &AudienceArgs,
        check: Check,
        (at_once, patience): (usize, Duration),
        progress: &mut Progress,
    ) -> anyhow::Result<Self> {
        check_sizes(args)?;
        crowd::set_up(driver, target, args.rooms, patience, progress)?;
        let mut audience = Self {
            rooms: args.rooms,
            viewers: args.viewers,
            check: args.check.unwrap_or(check),
            ids: Vec::new(),
            others: Vec::new(),
            starts: Vec::new(),
            publishers: Publishers::new(lanes(target, args)?, args.text_bytes),
        };
        audience.seat(driver, target, args, (at_once, patience), progress)?;
        Ok(audience)
    }

    /// Connects everyone, anew if they were connected; the numbers of messages go on.
    ///
    /// # Errors
    /// If anyone is not let in.
    pub(crate) fn seat(
        &mut self,
        driver: &mut Driver,
        target: &Target,
        args: &AudienceArgs,
        (at_once, patience): (usize, Duration),
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        for id in self.ids.drain(..).chain(self.others.drain(..)) {
            driver.drop_client(id);
        }
        while driver.next().is_some() {}
        let inside = !args.publishers_apart && target.limit.is_none();
        let mut seats = Vec::new();
        for room in 0..args.rooms {
            for number in 0..args.viewers {
                seats.push(Seat {
                    who: match inside && number < args.publishers {
                        true => Who::Publisher,
                        false => Who::Viewer,
                    },
                    joining: Some(room),
                });
            }
        }
        let apart = match (inside, target.limit.is_some()) {
            (true, _) => 0,
            // The limit server has one connection over which everything is published.
            (false, true) => 1,
            (false, false) => args.rooms * args.publishers,
        };
        seats.resize(seats.len() + apart, Seat { who: Who::Publisher, joining: None });
        let dialed = crowd::dial(driver, target, &seats, at_once, patience, progress)?;
        dialed.all()?;
        let ids: Vec<usize> = dialed.ids.into_iter().flatten().collect();
        let (viewers, others) = ids.split_at((args.rooms * args.viewers).min(ids.len()));
        for room in 0..args.rooms {
            let clients: Vec<usize> = (0..args.publishers)
                .filter_map(|number| match (inside, target.limit.is_some()) {
                    (true, _) => viewers.get(room * args.viewers + number),
                    (false, true) => others.first(),
                    (false, false) => others.get(room * args.publishers + number),
                })
                .copied()
                .collect();
            self.publishers.move_to(room, &clients);
        }
        self.ids = viewers.to_vec();
        self.others = others.to_vec();
        Ok(())
    }

    /// Viewers of one room.
    pub(crate) fn viewers(&self) -> usize {
        self.viewers
    }

    /// Rooms.
    pub(crate) fn rooms(&self) -> usize {
        self.rooms
    }

    /// Begins a count: what comes from now on is judged by [`Audience::judge`].
    pub(crate) fn begin(&mut self, driver: &mut Driver) {
        self.starts = (0..self.rooms).map(|room| self.publishers.next_numbers(room)).collect();
        let voices = self.starts.first().map_or(0, Vec::len);
        for (seat, id) in self.ids.iter().enumerate() {
            let room = seat / self.viewers;
            let checked = self.is_checked(seat);
            if let Some(client) = driver.client(*id) {
                client.deliveries = 0;
                client.bytes = 0;
                client.order = checked.then(|| {
                    let first = (room * voices) as u32;
                    Box::new(Order::new(first, self.starts[room].clone()))
                });
            }
        }
        driver.sight.delivered = 0;
        driver.sight.last_delivery_ns = 0;
        driver.sight.worst_ns = 0;
        driver.sight.errors = 0;
        driver.sight.first_error = None;
        driver.sight.latency.reset();
    }

    /// Deliveries due since [`Audience::begin`].
    pub(crate) fn expected(&self) -> u64 {
        let messages: u64 = (0..self.rooms).map(|room| self.published(room)).sum();
        messages * self.viewers as u64
    }

    /// Judges what came since [`Audience::begin`].
    pub(crate) fn judge(&self, driver: &mut Driver) -> Verdict {
        let mut verdict = Verdict { expected: self.expected(), ..Verdict::default() };
        let mut bytes = 0;
        for room in 0..self.rooms {
            let published = self.published(room);
            let sent = self.publishers.next_numbers(room);
            let mut trace = None;
            for id in &self.ids[room * self.viewers..(room + 1) * self.viewers] {
                let Some(client) = driver.client(*id) else {
                    verdict.viewers_gone += 1;
                    continue;
                };
                verdict.delivered += client.deliveries;
                verdict.viewers_wrong += u64::from(client.deliveries != published);
                bytes += client.bytes;
                if let Some(order) = &client.order {
                    verdict.viewers_checked += 1;
                    verdict.faults.add(order.faults(&sent));
                    let first = *trace.get_or_insert(order.trace());
                    verdict.orders_differ += u64::from(first != order.trace());
                }
            }
        }
        if verdict.delivered > 0 {
            verdict.frame_bytes = bytes as f64 / verdict.delivered as f64;
        }
        verdict
    }

    fn published(&self, room: usize) -> u64 {
        let now = self.publishers.next_numbers(room);
        let start = self.starts.get(room).map_or(&[][..], Vec::as_slice);
        now.iter().zip(start).map(|(now, start)| u64::from(now.wrapping_sub(*start))).sum()
    }

    /// Spread evenly, because a server serves its viewers in some order: the first and the last of each round count.
    fn is_checked(&self, seat: usize) -> bool {
        let count = match self.check {
            Check::All => return true,
            Check::Some(0) => return false,
            Check::Some(count) => count.div_ceil(self.rooms).min(self.viewers),
        };
        is_picked(seat % self.viewers, self.viewers, count)
    }
}

/// Whether `seat` is one of `count` picked evenly from `seats`, the first and (if two or more) the last among them.
fn is_picked(seat: usize, seats: usize, count: usize) -> bool {
    if count >= seats {
        return true;
    }
    if count <= 1 {
        return count == 1 && seat == seats / 2;
    }
    let span = seats - 1;
    let gaps = count - 1;
    let nearest = (seat * gaps + span / 2) / span;
    (nearest * span + gaps / 2) / gaps == seat
}

fn lanes(target: &Target, args: &AudienceArgs) -> anyhow::Result<Vec<Lane>> {
    (0..args.rooms)
        .map(|room| {
            let voices = (0..args.publishers).map(|number| {
                let (before, after) =
                    target.publish_around(room * args.viewers + number, room).context("publishing")?;
                Ok(Voice { client: usize::MAX, before, after, seq: 0 })
            });
            Ok(Lane { voices: voices.collect::<anyhow::Result<_>>()? })
        })
        .collect()
}

fn check_sizes(args: &AudienceArgs) -> anyhow::Result<()> {
    if args.rooms == 0 || args.viewers == 0 || args.publishers == 0 {
        bail!("rooms, viewers and publishers must be at least 1");
    }
    if args.publishers > args.viewers && !args.publishers_apart {
        bail!("the publishers of a room are among its viewers: more viewers are needed");
    }
    if args.rooms * args.publishers >= stamp::MAX_PUBLISHERS as usize {
        bail!("too many publishers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picked_viewers_are_spread_from_the_first_to_the_last() {
        for (seats, count) in [(1000, 16), (50, 1), (50, 2), (7, 3), (5, 9), (10, 9)] {
            let picked: Vec<_> = (0..seats).filter(|seat| is_picked(*seat, seats, count)).collect();
            assert_eq!(picked.len(), count.min(seats), "{seats} {count}");
            if count > 1 {
                assert_eq!(picked.first(), Some(&0));
                assert_eq!(picked.last(), Some(&(seats - 1)));
            }
        }
    }

    #[test]
    fn check_is_all_or_a_number() {
        assert_eq!("all".parse(), Ok(Check::All));
        assert_eq!("12".parse(), Ok(Check::Some(12)));
        assert!("most".parse::<Check>().is_err());
    }
}
