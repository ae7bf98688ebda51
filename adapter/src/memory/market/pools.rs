//! Units that users have taken. A unit is never in two hands: it is added to the pool's sum in the step that grants it, and
//! leaves the sum in one step with the grant.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    super::{Limits, streams::Stream},
    Stall, fill,
};
use crate::{
    Claim, Claimed, Counter, Grant, GrantState, RETURN_DELAY, Refusal, Settle, Settled, StoreError,
    market::{CLAIMS, returned, sold},
};

/// All grants of a stream, by their id.
pub(super) type Grants = HashMap<Arc<str>, Granted>;

/// What was taken under one opening: units, spins or votes.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Units that are out.
    pub(super) taken: u64,
    /// What each user has.
    pub(super) users: HashMap<Box<str>, u64>,
    /// What users' own names of what they did stand for.
    pub(super) requests: HashMap<(Box<str>, Box<str>), Arc<str>>,
    /// Grants that may still come back, by the time at which they stop to stand.
    holds: BTreeSet<(u64, Arc<str>)>,
    /// All grants, or spins.
    pub(super) ids: Vec<Arc<str>>,
}

/// A grant, and what it takes to undo it.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) grant: Grant,
    pool: Box<str>,
    worth: Vec<Counter>,
    /// It was given back, rather than its hold run out.
    released: bool,
}

impl Stream {
    /// See [`Market::claim`](crate::Market::claim).
    pub(super) fn claim(&mut self, claim: &Claim, time: u64, limits: &Limits) -> Result<Claimed, StoreError> {
        if let Some(known) = self.stall.known_grant(claim) {
            let same = known.quantity == claim.quantity;
            return Ok(if same { Claimed::Repeat(known) } else { Claimed::Refused(Refusal::Mismatch) });
        }
        self.check(&claim.checks)?;
        let terms = &claim.terms;
        if let Some(opens) = terms.opens.filter(|opens| time < *opens) {
            return Ok(Claimed::Refused(Refusal::Early(opens)));
        }
        if terms.ends.is_some_and(|ends| time >= ends) {
            return Ok(Claimed::Refused(Refusal::Late));
        }
        self.stall.sweep(&claim.pool, time, limits);
        self.stall.check_room(limits)?;
        Ok(self.stall.grant(claim, time, limits))
    }
}

impl Stall {
    fn known_grant(&self, claim: &Claim) -> Option<Grant> {
        let request = (claim.user.as_str().into(), claim.request.as_deref()?.into());
        let id = self.pools.get(&*claim.pool)?.requests.get(&request)?;
        self.grants.get(id).map(|granted| granted.grant.clone())
    }

    fn grant(&mut self, claim: &Claim, time: u64, limits: &Limits) -> Claimed {
        let Claim { terms, quantity, .. } = claim;
        let pool = self.pools.entry(claim.pool.as_str().into()).or_default();
        let had = pool.users.get(&*claim.user).copied().unwrap_or(0);
        let share = terms.per_user.saturating_sub(had);
        if *quantity > share {
            return Claimed::Refused(Refusal::Limit(share));
        }
        let left = terms.stock.saturating_sub(pool.taken);
        if *quantity > left {
            return Claimed::Refused(Refusal::SoldOut(left));
        }
        let id: Arc<str> = claim.id.as_str().into();
        let until = terms.hold.map(|hold| time.saturating_add(hold));
        let grant = Grant {
            id: id.clone(),
            user: claim.user.as_str().into(),
            request: claim.request.as_deref().map(Into::into),
            quantity: *quantity,
            text: fill(&claim.data, std::iter::repeat(&*time.to_string())),
            left: left - quantity,
            state: until.map_or(GrantState::Final, GrantState::Held),
        };
        pool.taken += quantity;
        pool.users.insert(claim.user.as_str().into(), had + quantity);
        pool.holds.extend(until.map(|until| (until, id.clone())));
        if let Some(request) = &claim.request {
            pool.requests.insert((claim.user.as_str().into(), request.as_str().into()), id.clone());
        }
        pool.ids.push(id.clone());
        self.takers += 1;
        self.counts.add(&sold(&claim.pool), *quantity);
        self.counts.add(CLAIMS, 1);
        if until.is_none() {
            self.counts.add_all(&claim.worth);
        }
        self.ledger.push(time, "claim", &claim.by, grant.text.clone(), limits);
        let pool = claim.pool.as_str().into();
        self.grants.insert(id, Granted { grant: grant.clone(), pool, worth: claim.worth.clone(), released: false });
        Claimed::New(grant)
    }

    /// See [`Market::settle`](crate::Market::settle).
    pub(super) fn settle(&mut self, settle: &Settle, time: u64, limits: &Limits) -> Settled {
        let Some(granted) = self.grants.get_mut(&*settle.id).filter(|granted| granted.pool.starts_with(&*settle.pool))
        else {
            return Settled::Unknown;
        };
        let stands = match granted.grant.state {
            GrantState::Held(until) => time < until,
            GrantState::Final => true,
            GrantState::Returned => false,
        };
        match (settle.confirm, stands, granted.grant.state) {
            (true, false, _) => return Settled::Over,
            (true, true, GrantState::Final) | (false, false, _) => {
                let grant = Grant {
                    state: if stands { GrantState::Final } else { GrantState::Returned },
                    ..granted.grant.clone()
                };
                return Settled::Done(grant, true);
            }
            _ => {}
        }
        let (pool, id, worth) = (granted.pool.clone(), granted.grant.id.clone(), granted.worth.clone());
        let was = std::mem::replace(
            &mut granted.grant.state,
            if settle.confirm { GrantState::Final } else { GrantState::Returned },
        );
        granted.released = !settle.confirm;
        let grant = granted.grant.clone();
        let holds = self.pools.get_mut(&pool).map(|pool| &mut pool.holds);
        if let Some(holds) = holds {
            if let GrantState::Held(until) = was {
                holds.remove(&(until, id.clone()));
            }
            if !settle.confirm {
                holds.insert((time, id));
            }
        }
        match (settle.confirm, was) {
            (true, _) => self.counts.add_all(&worth),
            (false, GrantState::Final) => worth.iter().for_each(|worth| self.counts.take(&worth.name, worth.value)),
            (false, _) => {}
        }
        if !settle.confirm {
            self.counts.add(&returned(&pool), 1);
        }
        let kind = if settle.confirm { "confirm" } else { "release" };
        self.ledger.push(time, kind, &settle.by, grant.text.clone(), limits);
        Settled::Done(grant, false)
    }

    /// Takes back what stopped to stand [`RETURN_DELAY`] ago.
    pub(super) fn sweep(&mut self, name: &str, time: u64, limits: &Limits) {
        let delay = u64::try_from(RETURN_DELAY.as_millis()).unwrap_or(u64::MAX);
        let Some(pool) = self.pools.get_mut(name) else { return };
        while pool.holds.first().is_some_and(|(until, _)| until.saturating_add(delay) <= time) {
            let Some(granted) = pool.holds.pop_first().and_then(|(_, id)| self.grants.get_mut(&id)) else { continue };
            let Grant { quantity, user, text, .. } = &granted.grant;
            pool.taken = pool.taken.saturating_sub(*quantity);
            if let Some(had) = pool.users.get_mut(&**user) {
                *had = had.saturating_sub(*quantity);
            }
            self.counts.take(&sold(name), *quantity);
            self.counts.take(CLAIMS, 1);
            if !granted.released {
                self.counts.add(&returned(name), 1);
                self.ledger.push(time, "expire", "null", text.clone(), limits);
            }
            granted.grant.state = GrantState::Returned;
        }
    }

    /// See [`Market::grants`](crate::Market::grants).
    pub(super) fn grants_of(&self, pool: &str) -> Vec<Grant> {
        let ids = self.pools.get(pool).into_iter().flat_map(|pool| &pool.ids);
        ids.filter_map(|id| self.grants.get(id)).map(|granted| granted.grant.clone()).collect()
    }
}
