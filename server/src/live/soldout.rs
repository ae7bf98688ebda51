//! Pools of which all is gone, as a gateway knows them: it answers for them without asking the store. Whoever has a grant
//! gets it shown again, everybody else is told that all is sold.
//!
//! It must never say so to somebody who has been granted a unit since. A unit can only be granted again after it came
//! back, and then not before [`RETURN_DELAY`](haat_adapter::RETURN_DELAY); so what was known of a pool is forgotten
//!
//! - when the fleet's counters say that a unit came back,
//! - when the counters are older than [`FRESH`], which is shorter than that delay,
//! - before a hold among the grants has run out for so long.

use std::{
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haat_adapter::{Claimed, Grant, GrantState, Refusal, Totals, market::returned};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{Live, state::value};

/// How old the fleet's counters may be.
const FRESH: Duration = Duration::from_millis(1500);
/// For so long after its end a hold cannot have been granted to somebody else, in ms.
const HOLD_MARGIN: u64 = 1_000;
/// A pool of which units may come back is not read again before that.
const PAUSE: Duration = Duration::from_secs(1);
/// Pools that are known at once.
const MAX_POOLS: usize = 256;
/// Grants of a pool that are kept. One with more is always asked for.
const MAX_GRANTS: usize = 200_000;

/// The pools of which all is gone, for all shards of a gateway.
#[derive(Debug, Default)]
pub(super) struct SoldOut(Mutex<Pools>);

/// By stream and pool.
type Pools = FxHashMap<Box<str>, FxHashMap<Box<str>, State>>;
/// Stream and pool.
type Key = (Box<str>, Box<str>);

#[derive(Debug)]
enum State {
    /// Somebody is reading it.
    Learning,
    /// It was read at this time, and units may be had again.
    Open(Instant),
    Known(Known),
}

#[derive(Debug)]
struct Known {
    /// By user and request.
    grants: FxHashMap<Box<str>, FxHashMap<Box<str>, Grant>>,
    /// What the counter stood at before they were read.
    returned: u64,
    /// Until then no hold can have come back.
    until: u64,
    /// When the counters were asked for last that did not say otherwise.
    seen: Instant,
}

impl SoldOut {
    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a claim comes to, if that is known here: by user, request and quantity.
    pub(super) fn answer(
        &self,
        stream: &str,
        pool: &str,
        (user, request, quantity): (&str, Option<&str>, u64),
        now: u64,
    ) -> Option<Claimed> {
        let pools = self.lock();
        let State::Known(known) = pools.get(stream)?.get(pool)? else { return None };
        if known.seen.elapsed() >= FRESH || now >= known.until {
            return None;
        }
        let grant = request.and_then(|request| known.grants.get(user)?.get(request));
        Some(match grant {
            Some(grant) if grant.quantity == quantity => Claimed::Repeat(grant.clone()),
            Some(_) => Claimed::Refused(Refusal::Mismatch),
            None => Claimed::Refused(Refusal::SoldOut(0)),
        })
    }

    /// The fleet's counters of a stream, as they were asked for at this time.
    pub(super) fn heard(&self, stream: &str, totals: &Totals, asked: Instant) {
        let mut pools = self.lock();
        if pools.is_empty() {
            return;
        }
        pools.retain(|of, pools| {
            pools.retain(|pool, state| match state {
                State::Known(known) if **of == *stream => {
                    known.seen = known.seen.max(asked);
                    value(totals, &returned(pool)) == known.returned
                }
                // Nobody counts for its stream here any more.
                State::Known(known) => known.seen.elapsed() < FRESH,
                State::Open(since) => since.elapsed() < PAUSE,
                State::Learning => true,
            });
            !pools.is_empty()
        });
    }

    /// Whether the caller is to read this pool: it is not known, and nobody is reading it.
    fn begin(&self, key: &Key, now: u64) -> bool {
        let mut pools = self.lock();
        let (stream, pool) = key;
        match pools.get(stream).and_then(|pools| pools.get(pool)) {
            Some(State::Learning) => return false,
            Some(State::Open(since)) if since.elapsed() < PAUSE => return false,
            Some(State::Known(known)) if known.seen.elapsed() < FRESH && now < known.until => return false,
            Some(State::Known(_) | State::Open(_)) => {}
            None if pools.values().map(FxHashMap::len).sum::<usize>() >= MAX_POOLS => return false,
            None => {}
        }
        pools.entry(stream.clone()).or_default().insert(pool.clone(), State::Learning);
        true
    }

    fn end(&self, (stream, pool): Key, known: Option<Known>) {
        let state = known.map_or_else(|| State::Open(Instant::now()), State::Known);
        self.lock().entry(stream).or_default().insert(pool, state);
    }
}

impl Known {
    /// What these grants mean for a pool of so many units; `None` if some of them may be had again.
    fn of(grants: Vec<Grant>, stock: u64, returned: u64, seen: Instant) -> Option<Self> {
        let stands = |grant: &&Grant| grant.state != GrantState::Returned;
        let taken: u64 = grants.iter().filter(stands).map(|grant| grant.quantity).sum();
        if taken < stock || grants.len() > MAX_GRANTS {
            return None;
        }
        let holds = grants.iter().filter_map(|grant| match grant.state {
            GrantState::Held(until) => Some(until.saturating_add(HOLD_MARGIN)),
            GrantState::Final | GrantState::Returned => None,
        });
        let until = holds.min().unwrap_or(u64::MAX);
        let mut named = FxHashMap::<Box<str>, FxHashMap<Box<str>, Grant>>::default();
        for grant in grants {
            if let Some(request) = grant.request.as_deref() {
                let (user, request) = (grant.user.as_ref().into(), request.into());
                named.entry(user).or_default().insert(request, grant);
            }
        }
        Some(Self { grants: named, returned, until, seen })
    }
}

impl Live {
    /// All of a pool is gone: learns who has it, so that the store need not be asked again.
    pub(super) fn learn_sold_out(self: &Rc<Self>, stream: &Arc<str>, pool: String, stock: u64) {
        let key: Key = (stream.as_ref().into(), pool.as_str().into());
        if !self.shared.sold_out.begin(&key, self.shared.now()) {
            return;
        }
        let (live, stream) = (self.clone(), stream.clone());
        tokio::task::spawn_local(async move {
            let known = live.read_sold_out(&stream, &pool, stock).await;
            live.shared.sold_out.end(key, known);
        });
    }

    /// Who has what of a pool; `None` if that is not certain, or changes meanwhile.
    async fn read_sold_out(&self, stream: &str, pool: &str, stock: u64) -> Option<Known> {
        let came_back = async || Some(value(&self.shared.totals(stream).await.ok()?, &returned(pool)));
        let before = came_back().await?;
        let grants = self.shared.market.grants(stream, pool).await.ok()?;
        // Many grants take their time to read: only what the counters say now is fresh.
        let seen = Instant::now();
        let same = came_back().await? == before;
        same.then(|| Known::of(grants, stock, before, seen))?
    }
}

#[cfg(test)]
mod tests {
    use haat_adapter::Counter;

    use super::*;

    const POOL: &str = "drop.a@1";

    fn grant(user: &str, request: Option<&str>, state: GrantState) -> Grant {
        Grant {
            id: format!("c-{user}").into(),
            user: user.into(),
            request: request.map(Into::into),
            quantity: 1,
            text: "{}".into(),
            left: 0,
            state,
        }
    }

    fn sold_out(grants: Vec<Grant>) -> SoldOut {
        let registry = SoldOut::default();
        let known = Known::of(grants, 2, 0, Instant::now());
        registry.end(("main".into(), POOL.into()), known);
        registry
    }

    fn two(state: GrantState) -> Vec<Grant> {
        vec![grant("ana", Some("r1"), GrantState::Final), grant("bo", None, state)]
    }

    fn answer(registry: &SoldOut, user: &str, request: Option<&str>, now: u64) -> Option<Claimed> {
        registry.answer("main", POOL, (user, request, 1), now)
    }

    #[tokio::test(start_paused = true)]
    async fn winners_repeat_and_others_are_too_late() {
        let registry = sold_out(two(GrantState::Final));
        assert!(matches!(answer(&registry, "ana", Some("r1"), 0), Some(Claimed::Repeat(_))));
        for (user, request) in [("ana", Some("r2")), ("ana", None), ("bo", Some("r1")), ("chi", None)] {
            assert_eq!(answer(&registry, user, request, 0), Some(Claimed::Refused(Refusal::SoldOut(0))));
        }
        let other = registry.answer("main", POOL, ("ana", Some("r1"), 2), 0);
        assert_eq!(other, Some(Claimed::Refused(Refusal::Mismatch)));
        assert_eq!(registry.answer("other", POOL, ("ana", None, 1), 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_without_fresh_counters() {
        let registry = sold_out(two(GrantState::Final));
        tokio::time::advance(FRESH - Duration::from_millis(1)).await;
        assert!(answer(&registry, "chi", None, 0).is_some());
        registry.heard("main", &Totals::default(), Instant::now());
        tokio::time::advance(FRESH).await;
        assert_eq!(answer(&registry, "chi", None, 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_lifts_it() {
        let registry = sold_out(two(GrantState::Final));
        let counters = vec![Counter { name: returned(POOL), value: 1 }];
        registry.heard("other", &Totals { counters: counters.clone(), ..Totals::default() }, Instant::now());
        assert!(answer(&registry, "chi", None, 0).is_some(), "another stream's counters mean nothing");
        registry.heard("main", &Totals { counters, ..Totals::default() }, Instant::now());
        assert_eq!(answer(&registry, "chi", None, 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_may_have_come_back_lifts_it() {
        let registry = sold_out(two(GrantState::Held(5_000)));
        assert!(answer(&registry, "chi", None, 5_999).is_some());
        assert_eq!(answer(&registry, "chi", None, 6_000), None);
        let delay = u64::try_from(haat_adapter::RETURN_DELAY.as_millis()).unwrap();
        assert!(HOLD_MARGIN < delay && FRESH < haat_adapter::RETURN_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn units_on_their_way_back_are_not_gone() {
        let registry = sold_out(two(GrantState::Returned));
        assert_eq!(answer(&registry, "ana", Some("r1"), 0), None);
        assert!(!registry.begin(&("main".into(), POOL.into()), 0), "it was just read");
        tokio::time::advance(PAUSE).await;
        assert!(registry.begin(&("main".into(), POOL.into()), 0));
        assert!(!registry.begin(&("main".into(), POOL.into()), 0), "one reads it");
    }
}
