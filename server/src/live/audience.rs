//! Who is watching: each shard tells how many viewers it has, one task per gateway adds them up, exchanges them with the
//! fleet in one round trip for all streams, and gives the totals back. It must never cost more for more viewers: a crowd
//! that comes and goes makes at most four exchanges a second.
//!
//! ```text
//! shard: Tally ── Report ──> audience() ── Store::sync ──> the fleet
//!    ▲                           │
//!    └────────── Fleet ──────────┘   `viewers` to the members, if the number has changed
//! ```

use std::{
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
    rc::Rc,
    sync::{Arc, PoisonError},
    time::Duration,
};

use haat_adapter::{Share, Store, Totals};
use haat_protocol::{Frame, socket};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{Live, Shared, view::View};
use crate::{
    hub::{Hub, mailbox::Mail},
    room::{At, state_class},
};

/// Viewers of a gateway that was not heard of for so long count no more.
const LEASE: Duration = Duration::from_secs(15);
/// How often a stream is exchanged that nothing has changed in here.
const REFRESH: Duration = Duration::from_secs(1);
/// Streams of one exchange.
const BATCH: usize = 500;
/// Reports that wait for the gateway's task.
const REPORTS: usize = 4096;
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
    moved: Moved,
}

/// Gateways whose viewers have come here, and how many: a handful of names.
#[derive(Debug, Default)]
struct Moved(Vec<(Box<str>, u64)>);

impl Moved {
    fn add(&mut self, gateway: &str, count: u64) {
        match self.0.iter_mut().find(|(known, _)| **known == *gateway) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((gateway.into(), count)),
        }
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
                report.counted.moved.0.iter().for_each(|(gateway, count)| counted.moved.add(gateway, *count));
                drop(dirty);
                self.schedule_report();
            }
        }
    }

    /// Tells a socket that has come back how many viewers there are: what it was told last may be long ago, and nobody
    /// says it again before it changes.
    pub(super) fn show_viewers(&self, at: At, view: &View) {
        let count = view.totals().viewers.max(u64::from(view.viewers.get()));
        self.rooms.emit(at.key, &viewers_frame(&view.stream, count));
    }

    /// New totals of streams that have members here.
    pub(super) fn counted(&self, fleet: Fleet) {
        for (stream, totals) in fleet.0 {
            let Some(view) = self.views.get(&stream) else { continue };
            let viewers = totals.viewers;
            if view.count(totals) {
                self.rooms.broadcast(0, &view.room, &viewers_frame(&stream, viewers));
            }
        }
    }
}

fn viewers_frame(stream: &str, count: u64) -> Frame {
    let event = format!(r#"["viewers",{{"stream":"{stream}","count":{count}}}]"#);
    socket::event_pieces("/", &[&event]).class_as(state_class(stream, "viewers"))
}

/// A stream that has members on this gateway.
#[derive(Debug, Default)]
struct Hall {
    shards: FxHashMap<u8, u32>,
    /// Not reported to the fleet yet.
    users: Vec<String>,
    /// See `users`.
    moved: Moved,
    /// Reported, by hash.
    seen: FxHashSet<u64>,
    changed: bool,
    exchanged: Option<Instant>,
    /// What the shards were told last; `None`: one of them was told nothing yet.
    told: Option<Arc<Totals>>,
}

impl Hall {
    fn take(&mut self, report: Report) {
        let Report { shard, viewers, counted: Counted { users, moved }, .. } = report;
        let before = match viewers {
            Some(viewers) => self.shards.insert(shard, viewers),
            None => self.shards.remove(&shard),
        };
        if before.is_none() {
            self.told = None;
        }
        self.changed |= before != viewers || !moved.0.is_empty();
        moved.0.iter().for_each(|(gateway, count)| self.moved.add(gateway, *count));
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
        self.changed || self.exchanged.is_none_or(|at| now.duration_since(at) >= REFRESH)
    }

    fn share(&mut self, stream: &str) -> Share {
        self.changed = false;
        Share {
            stream: stream.to_owned(),
            viewers: self.shards.values().map(|viewers| u64::from(*viewers)).sum(),
            users: std::mem::take(&mut self.users),
            moved: self.moved.0.drain(..).map(|(gateway, count)| (gateway.into(), count)).collect(),
            add: Vec::new(),
        }
    }
}

/// Exchanges the numbers of viewers with the fleet, for as long as it is polled. There is one per gateway.
pub async fn audience(shared: Arc<Shared>) {
    let inbox = shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut reports) = inbox else { return };
    let mut halls = FxHashMap::<Arc<str>, Hall>::default();
    let mut tick = tokio::time::interval(shared.state_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => exchange(&*shared.store, &shared.hub, &shared.name, &mut halls).await,
            Some(report) = reports.recv() => halls.entry(report.stream.clone()).or_default().take(report),
        }
    }
}

async fn exchange(store: &dyn Store, hub: &Hub, gateway: &str, halls: &mut FxHashMap<Arc<str>, Hall>) {
    let now = Instant::now();
    let due: Vec<Arc<str>> =
        halls.iter().filter(|(_, hall)| hall.is_due(now)).map(|(stream, _)| stream.clone()).collect();
    let mut mails = FxHashMap::<u8, Vec<(Arc<str>, Arc<Totals>)>>::default();
    for batch in due.chunks(BATCH) {
        let shares: Vec<Share> =
            batch.iter().filter_map(|stream| halls.get_mut(stream).map(|hall| hall.share(stream))).collect();
        let Ok(totals) = store.sync(gateway, LEASE, shares.clone()).await else {
            // The last numbers stay until there are newer ones.
            for share in shares {
                if let Some(hall) = halls.get_mut(&*share.stream) {
                    hall.users = share.users;
                    share.moved.iter().for_each(|(gateway, count)| hall.moved.add(gateway, *count));
                    hall.changed = true;
                }
            }
            continue;
        };
        for (stream, totals) in batch.iter().zip(totals) {
            let Some(hall) = halls.get_mut(stream) else { continue };
            hall.exchanged = Some(now);
            if hall.shards.is_empty() {
                halls.remove(stream);
            } else if hall.told.as_deref() != Some(&totals) {
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
        if hub.send(shard, Mail::App(Box::new(Fleet(fleet)))).is_err() {
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
        Report { shard, stream: "main".into(), viewers, counted: Counted { users, moved: Moved::default() } }
    }

    #[test]
    fn shards_add_up_and_users_are_told_once() {
        let mut hall = Hall::default();
        hall.take(report(0, Some(2), &["a", "b"]));
        hall.take(report(1, Some(3), &["b", "c"]));
        assert!(hall.changed);
        let share = hall.share("main");
        assert_eq!((share.viewers, share.users), (5, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        hall.exchanged = Some(Instant::now());
        assert!(!hall.is_due(Instant::now()));
        hall.take(report(1, Some(3), &["a"]));
        assert!(!hall.is_due(Instant::now()), "nothing new");
        hall.take(report(1, None, &[]));
        assert!(hall.is_due(Instant::now()));
        assert_eq!(hall.share("main").viewers, 2);
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
        assert_eq!(hall.share("main").moved, [("gateway-0".to_owned(), 2), ("gateway-1".to_owned(), 4)]);
        assert_eq!(hall.share("main").moved, []);
    }
}
