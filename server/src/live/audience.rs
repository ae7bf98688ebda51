//! Who is watching, and whatever else is only counted: each shard tells how many viewers it has and what it has counted,
//! one task per gateway adds it up, exchanges it with the fleet in one round trip for all streams, and gives the totals
//! back. It must never cost more for more viewers: a crowd that comes and goes, or taps, makes at most four exchanges a
//! second.
//!
//! ```text
//! shard: Tally ── Report ──> audience() ── Store::sync ──> the fleet
//!    ▲                           │
//!    └────────── Fleet ──────────┘   what has changed, to the members
//! ```

use std::{
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
    rc::Rc,
    sync::{Arc, PoisonError},
    time::Duration,
};

use haat_adapter::{Counter, Share, Totals};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{Live, Shared, state::value, stats::MESSAGES, view::View, visitor::Visitor};
use crate::{
    hub::mailbox::{LocalTarget, Mail},
    metrics,
};

/// Viewers of a gateway that was not heard of for so long count no more.
const LEASE: Duration = Duration::from_secs(15);
/// How often a stream is exchanged that nothing has changed in here.
const REFRESH: Duration = Duration::from_secs(1);
/// Streams of one exchange.
const BATCH: usize = 500;
/// Reports that wait for the gateway's task.
const REPORTS: usize = 4096;
/// Counters of one stream that a gateway adds to at once.
const NAMES: usize = 64;
/// User ids of one report, and ids that are remembered per stream. What is beyond is only missing from an estimate.
const USERS: usize = 10_000;
/// See [`USERS`].
const SEEN: usize = 100_000;

/// What a shard tells of a stream.
#[derive(Debug)]
pub(super) struct Report {
    shard: u8,
    stream: Arc<str>,
    /// `None`: the shard has nobody there any more and wants no totals.
    viewers: Option<u32>,
    counted: Counted,
}

/// What a shard has seen since its last report.
#[derive(Debug, Default)]
struct Counted {
    users: Vec<Box<str>>,
    /// The fleet has lost what was reported before.
    again: bool,
    /// Gateways whose viewers have come here, and how many.
    moved: Sums,
    /// What is to be added to counters.
    sums: Sums,
}

/// Names and a number for each: a handful of them, see [`NAMES`].
#[derive(Debug, Default)]
struct Sums(Vec<(Box<str>, u64)>);

impl Sums {
    fn add(&mut self, name: &str, value: u64) {
        let count = self.0.len();
        match self.0.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, sum)) => *sum = sum.saturating_add(value),
            None if count < NAMES => self.0.push((name.into(), value)),
            None => {}
        }
    }

    fn add_all(&mut self, other: &Sums) {
        other.0.iter().for_each(|(name, value)| self.add(name, *value));
    }
}

/// Where reports arrive.
pub(super) type Reports = mpsc::Receiver<Report>;

/// Totals of streams, for a shard that has members of them.
#[derive(Debug)]
pub(super) struct Fleet(Vec<(Arc<str>, Arc<Totals>)>);

/// The way of reports.
pub(super) fn reports() -> (mpsc::Sender<Report>, Reports) {
    mpsc::channel(REPORTS)
}

/// What a shard has not reported yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    dirty: RefCell<FxHashMap<Arc<str>, Counted>>,
    scheduled: Cell<bool>,
}

impl Live {
    /// The audience of a stream has changed on this shard; `user` is a viewer who has come.
    pub(super) fn tally(&self, stream: &Arc<str>, user: Option<&str>) {
        let mut dirty = self.tally.dirty.borrow_mut();
        let Counted { users, .. } = dirty.entry(stream.clone()).or_default();
        if users.len() < USERS {
            users.extend(user.map(Into::into));
        }
        drop(dirty);
        self.schedule_report();
    }

    /// A viewer of a stream has come back here whom another gateway counted, and may be unable to count off.
    pub(super) fn moved(&self, stream: &Arc<str>, gateway: &str) {
        if !gateway.is_empty() && *gateway != *self.shared.name {
            self.tally.dirty.borrow_mut().entry(stream.clone()).or_default().moved.add(gateway, 1);
            self.schedule_report();
        }
    }

    /// The fleet has lost who watches a stream: all of them are told again.
    pub(super) fn recount(&self, view: &View) {
        let target = LocalTarget { rooms: vec![view.room.clone()], ..LocalTarget::default() };
        let visitors = self.rooms.select(&target).into_iter().filter_map(|at| self.rooms.data::<Visitor>(at));
        let watches = |visitor: &Visitor| {
            visitor.joined().iter().any(|joined| joined.viewer && joined.view.stream == view.stream)
        };
        let users = visitors.filter(|visitor| watches(visitor)).map(|visitor| (&*visitor.identity().user.id).into());
        let mut dirty = self.tally.dirty.borrow_mut();
        let counted = dirty.entry(view.stream.clone()).or_default();
        counted.again = true;
        counted.users.extend(users.take(USERS));
        drop(dirty);
        self.schedule_report();
    }

    /// Adds to a counter of a stream, with the next report.
    pub(super) fn count(&self, stream: &Arc<str>, name: &str, value: u64) {
        self.tally.dirty.borrow_mut().entry(stream.clone()).or_default().sums.add(name, value);
        self.schedule_report();
    }

    fn schedule_report(&self) {
        let Some(live) = self.me.upgrade().filter(|_| !self.tally.scheduled.replace(true)) else { return };
        tokio::task::spawn_local(async move {
            tokio::time::sleep(live.shared.state_interval).await;
            live.tally.scheduled.set(false);
            live.report();
        });
    }

    fn report(&self) {
        let dirty = std::mem::take(&mut *self.tally.dirty.borrow_mut());
        for (stream, counted) in dirty {
            let viewers = self.views.get(&stream).map(|view| view.viewers.get());
            let report = Report { shard: self.rooms.shard, stream, viewers, counted };
            if let Err(mpsc::error::TrySendError::Full(report)) = self.shared.reports.try_send(report) {
                let mut dirty = self.tally.dirty.borrow_mut();
                let counted = dirty.entry(report.stream).or_default();
                counted.users.extend(report.counted.users);
                counted.again |= report.counted.again;
                counted.moved.add_all(&report.counted.moved);
                counted.sums.add_all(&report.counted.sums);
                drop(dirty);
                self.schedule_report();
            }
        }
    }

    /// New totals of streams that have members here.
    pub(super) fn counted(self: &Rc<Self>, fleet: Fleet) {
        for (stream, totals) in fleet.0 {
            let Some(view) = self.views.known(&stream) else { continue };
            view.rate.borrow_mut().note(Instant::now(), value(&totals, MESSAGES));
            let before = view.count(totals.clone());
            self.spread(&view, &before, &totals);
            self.check_moderation(&view);
        }
    }
}

/// A stream that has members on this gateway.
#[derive(Debug, Default)]
struct Hall {
    shards: FxHashMap<u8, u32>,
    /// Not reported to the fleet yet.
    users: Vec<String>,
    /// See `users`.
    moved: Sums,
    /// Not added yet.
    sums: Sums,
    /// Reported, and not known to have been heard: it is told again as it was.
    parcel: Option<Parcel>,
    /// Reported, by hash.
    seen: FxHashSet<u64>,
    changed: bool,
    /// Others have changed something at the last exchange, and probably do so at present.
    lively: bool,
    exchanged: Option<Instant>,
    /// What the shards were told last; `None`: one of them was told nothing yet.
    told: Option<Arc<Totals>>,
}

/// What a gateway adds in one go, under a number by which the store adds it once.
#[derive(Debug)]
struct Parcel {
    number: u64,
    moved: Sums,
    sums: Sums,
}

impl Hall {
    fn take(&mut self, report: Report) {
        let Report { shard, viewers, counted: Counted { users, again, moved, sums }, .. } = report;
        let before = match viewers {
            Some(viewers) => self.shards.insert(shard, viewers),
            None => self.shards.remove(&shard),
        };
        if before.is_none() {
            self.told = None;
        }
        self.changed |= before != viewers || !moved.0.is_empty() || !sums.0.is_empty();
        self.moved.add_all(&moved);
        self.sums.add_all(&sums);
        if again {
            self.seen.clear();
        }
        for user in users {
            let mut hasher = FxHasher::default();
            user.hash(&mut hasher);
            if self.seen.len() >= SEEN {
                self.seen.clear();
            }
            if self.seen.insert(hasher.finish()) && self.users.len() < USERS {
                self.users.push(user.into());
                self.changed = true;
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.changed || self.lively || self.exchanged.is_none_or(|at| now.duration_since(at) >= REFRESH)
    }

    fn viewers(&self) -> u64 {
        self.shards.values().map(|viewers| u64::from(*viewers)).sum()
    }

    /// What the fleet is told; `number` counts the parcels of this gateway.
    fn share(&mut self, stream: &str, number: &mut u64) -> Share {
        self.changed = false;
        if self.parcel.is_none() && !(self.moved.0.is_empty() && self.sums.0.is_empty()) {
            *number += 1;
            let (moved, sums) = (std::mem::take(&mut self.moved), std::mem::take(&mut self.sums));
            self.parcel = Some(Parcel { number: *number, moved, sums });
        }
        let share = Share {
            stream: stream.to_owned(),
            viewers: self.viewers(),
            users: std::mem::take(&mut self.users),
            ..Share::default()
        };
        let Some(Parcel { number, moved, sums }) = &self.parcel else { return share };
        Share {
            number: *number,
            moved: moved.0.iter().map(|(gateway, count)| (gateway.to_string(), *count)).collect(),
            add: sums.0.iter().map(|(name, value)| Counter { name: name.to_string(), value: *value }).collect(),
            ..share
        }
    }

    /// The fleet has heard it.
    fn heard(&mut self) {
        self.parcel = None;
        self.changed |= !(self.moved.0.is_empty() && self.sums.0.is_empty());
    }

    /// It may not have, and is told again.
    fn unheard(&mut self, users: Vec<String>) {
        self.users = users;
        self.changed = true;
    }
}

/// Exchanges the numbers of viewers with the fleet, for as long as it is polled. There is one per gateway.
pub async fn audience(shared: Arc<Shared>) {
    let inbox = shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut reports) = inbox else { return };
    let mut halls = FxHashMap::<Arc<str>, Hall>::default();
    let mut number = 0;
    let mut tick = tokio::time::interval(shared.state_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => exchange(&shared, &mut halls, &mut number).await,
            Some(report) = reports.recv() => halls.entry(report.stream.clone()).or_default().take(report),
        }
    }
}

async fn exchange(shared: &Shared, halls: &mut FxHashMap<Arc<str>, Hall>, number: &mut u64) {
    let now = Instant::now();
    metrics::audience(halls.len(), halls.values().map(Hall::viewers).sum());
    let due: Vec<Arc<str>> =
        halls.iter().filter(|(_, hall)| hall.is_due(now)).map(|(stream, _)| stream.clone()).collect();
    let mut mails = FxHashMap::<u8, Vec<(Arc<str>, Arc<Totals>)>>::default();
    for batch in due.chunks(BATCH) {
        let shares: Vec<Share> =
            batch.iter().filter_map(|stream| halls.get_mut(stream).map(|hall| hall.share(stream, number))).collect();
        let asked = Instant::now();
        let totals = shared.store.sync(&shared.name, LEASE, shares.clone()).await;
        for ((stream, share), totals) in batch.iter().zip(shares).zip(totals) {
            let Some(hall) = halls.get_mut(stream) else { continue };
            let Ok(totals) = totals else {
                // The last numbers stay until there are newer ones.
                hall.unheard(share.users);
                continue;
            };
            hall.heard();
            shared.sold_out.heard(stream, &totals, asked);
            hall.exchanged = Some(now);
            hall.lively = hall.told.as_deref() != Some(&totals);
            if hall.shards.is_empty() && !hall.changed {
                halls.remove(stream);
            } else if hall.lively {
                let totals = Arc::new(totals);
                hall.told = Some(totals.clone());
                for shard in hall.shards.keys() {
                    mails.entry(*shard).or_default().push((stream.clone(), totals.clone()));
                }
            }
        }
    }
    for (shard, fleet) in mails {
        let streams: Vec<Arc<str>> = fleet.iter().map(|(stream, _)| stream.clone()).collect();
        if shared.hub.send(shard, Mail::App(Box::new(Fleet(fleet)))).is_err() {
            for stream in streams {
                if let Some(hall) = halls.get_mut(&stream) {
                    hall.told = None;
                }
            }
        }
    }
}

/// What a viewer's coming or going means for the numbers of its shard.
pub(super) fn shift(live: &Rc<Live>, view: &View, user: &str, before: bool, after: bool) {
    match (before, after) {
        (false, true) => view.viewers.set(view.viewers.get() + 1),
        (true, false) => view.viewers.set(view.viewers.get().saturating_sub(1)),
        _ => {}
    }
    live.tally(&view.stream, (after && !before).then_some(user));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(shard: u8, viewers: Option<u32>, users: &[&str]) -> Report {
        let users = users.iter().map(|user| (*user).into()).collect();
        let counted = Counted { users, ..Counted::default() };
        Report { shard, stream: "main".into(), viewers, counted }
    }

    #[test]
    fn shards_add_up_and_users_are_told_once() {
        let mut hall = Hall::default();
        hall.take(report(0, Some(2), &["a", "b"]));
        hall.take(report(1, Some(3), &["b", "c"]));
        assert!(hall.changed);
        let share = hall.share("main", &mut 0);
        assert_eq!((share.viewers, share.users), (5, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        hall.exchanged = Some(Instant::now());
        assert!(!hall.is_due(Instant::now()));
        hall.take(report(1, Some(3), &["a"]));
        assert!(!hall.is_due(Instant::now()), "nothing new");
        hall.take(report(1, None, &[]));
        assert!(hall.is_due(Instant::now()));
        assert_eq!(hall.share("main", &mut 0).viewers, 2);
    }

    #[test]
    fn who_has_moved_is_told_once() {
        let mut hall = Hall::default();
        for shard in 0..2 {
            let mut report = report(shard, Some(2), &[]);
            report.counted.moved.add("gateway-0", 1);
            report.counted.moved.add("gateway-1", 2);
            hall.take(report);
        }
        let moved = [("gateway-0".to_owned(), 2), ("gateway-1".to_owned(), 4)];
        assert_eq!(hall.share("main", &mut 0).moved, moved);
        hall.heard();
        assert_eq!(hall.share("main", &mut 0).moved, []);
    }

    #[test]
    fn what_shards_count_is_added_up_and_told_once() {
        let mut hall = Hall::default();
        for shard in 0..2 {
            let mut report = report(shard, Some(1), &[]);
            report.counted.sums.add("reactions.heart", 3);
            report.counted.sums.add("reactions.heart", 4);
            report.counted.sums.add("messages", 1);
            hall.take(report);
        }
        let add = hall.share("main", &mut 0).add;
        let counter = |name: &str, value| Counter { name: name.to_owned(), value };
        assert_eq!(add, [counter("reactions.heart", 14), counter("messages", 2)]);
        hall.heard();
        assert_eq!(hall.share("main", &mut 0).add, []);
    }

    #[test]
    fn what_may_not_have_been_heard_is_told_again_as_it_was() {
        let (mut hall, mut number) = (Hall::default(), 7);
        let taps = |count| {
            let mut report = report(0, Some(1), &["a"]);
            report.counted.sums.add("reactions.heart", count);
            report
        };
        hall.take(taps(3));
        let first = hall.share("main", &mut number);
        assert_eq!((first.number, first.add[0].value, first.users.len()), (8, 3, 1));
        hall.unheard(first.users.clone());
        // What came meanwhile is told under the next number, not under that one.
        hall.take(taps(4));
        assert_eq!(hall.share("main", &mut number), first);
        hall.heard();
        assert!(hall.is_due(Instant::now()));
        let next = hall.share("main", &mut number);
        assert_eq!((next.number, next.add[0].value, next.users.len()), (9, 4, 0));
        hall.heard();
        assert_eq!(hall.share("main", &mut number).number, 0);
    }
}
