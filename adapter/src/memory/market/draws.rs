//! Spins and votes: what a user may do so many times, and what came of it.

use std::sync::Arc;

use super::{
    super::{
        Limits,
        streams::{Stream, Streams},
    },
    fill,
};
use crate::{
    Append, Entry, Refusal, Spin, Spun, StoreError, Turn, Vote, Voted,
    market::{SPINS, pick, sold, tally, votes},
};

/// What a pool calls the prize of this id among what it gave away. No user's id holds a line feed.
fn given(prize: &str) -> String {
    format!("\n{prize}")
}

impl Streams {
    /// See [`Market::spin`](crate::Market::spin). The entry tells of a prize; the caller publishes it.
    pub(super) fn spin(
        &mut self,
        spin: &Spin,
        time: u64,
        limits: &Limits,
    ) -> Result<(Spun, Option<Arc<Entry>>), StoreError> {
        let (spun, prize) = self.with(&spin.stream, |stream| stream.spin(spin, time, limits))?;
        let Some(prize) = prize else { return Ok((spun, None)) };
        // The seq is written between the first two pieces, the prize is known by now.
        let mut won = spin.won.iter();
        let mut data = vec![won.next().cloned().unwrap_or_default()];
        let rest: Vec<String> = won.cloned().collect();
        data.push(rest.join(&prize));
        let append = Append { stream: spin.stream.clone(), event: spin.event.clone(), data, ..Append::default() };
        let entry = self.write(&append, time, limits)?;
        Ok((spun, Some(entry)))
    }
}

impl Stream {
    /// Makes a spin. Returns the prize of a new one, for the event that tells of it.
    fn spin(&mut self, spin: &Spin, time: u64, limits: &Limits) -> Result<(Spun, Option<Arc<str>>), StoreError> {
        let request = spin.request.as_deref().map(|request| (spin.user.as_str().into(), request.into()));
        let known = request.as_ref().and_then(|request| {
            let id = self.stall.pools.get(&*spin.pool)?.requests.get(request)?;
            self.stall.turns.get(id).cloned()
        });
        if let Some(turn) = known {
            return Ok((Spun::Repeat(turn), None));
        }
        self.check(&spin.checks)?;
        if spin.ends.is_some_and(|ends| time >= ends) {
            return Ok((Spun::Refused(Refusal::Late), None));
        }
        self.stall.check_room(limits)?;
        let pool = self.stall.pools.entry(spin.pool.as_str().into()).or_default();
        let had = pool.users.get(&*spin.user).copied().unwrap_or(0);
        let Some(draw) = usize::try_from(had).ok().and_then(|had| spin.draws.get(had)) else {
            return Ok((Spun::Refused(Refusal::Limit(0)), None));
        };
        let weights = spin.prizes.iter().map(|prize| {
            let given = pool.users.get(&*given(&prize.id)).copied().unwrap_or(0);
            if prize.stock.is_some_and(|stock| given >= stock) { 0 } else { prize.weight }
        });
        let prize = pick(*draw, weights).and_then(|place| spin.prizes.get(place));
        if let Some(prize) = prize {
            *pool.users.entry(given(&prize.id).into()).or_default() += 1;
        }
        pool.users.insert(spin.user.as_str().into(), had + 1);
        let id: Arc<str> = spin.id.as_str().into();
        if let Some(request) = request {
            pool.requests.insert(request, id.clone());
        }
        let prize: Option<Arc<str>> = prize.map(|prize| prize.text.as_str().into());
        let turn = Turn { id: id.clone(), turn: had + 1, prize: prize.clone() };
        let values = [turn.turn.to_string(), prize.as_deref().unwrap_or("null").to_owned(), time.to_string()];
        let data = fill(&spin.data, values.iter().map(String::as_str));
        self.stall.ledger.push(time, "spin", &spin.by, data, limits);
        self.stall.counts.add(&sold(&spin.pool), 1);
        self.stall.counts.add(SPINS, 1);
        self.stall.takers += 1;
        self.stall.turns.insert(id, turn.clone());
        Ok((Spun::New(turn), prize))
    }

    /// See [`Market::vote`](crate::Market::vote).
    pub(super) fn vote(&mut self, vote: &Vote, time: u64, limits: &Limits) -> Result<Voted, StoreError> {
        self.check(&vote.checks)?;
        if vote.ends.is_some_and(|ends| time >= ends) {
            return Ok(Voted::Late);
        }
        self.stall.check_room(limits)?;
        let pool = self.stall.pools.entry(vote.pool.as_str().into()).or_default();
        if let Some(before) = pool.users.get(&*vote.user) {
            return Ok(Voted::Before(usize::try_from(*before).unwrap_or(usize::MAX)));
        }
        pool.users.insert(vote.user.as_str().into(), vote.option as u64);
        self.stall.takers += 1;
        self.stall.counts.add(&tally(&vote.pool, vote.option), 1);
        self.stall.counts.add(&votes(&vote.pool), 1);
        let counts = &self.stall.counts;
        Ok(Voted::Counted((0..vote.options).map(|option| counts.get(&tally(&vote.pool, option))).collect()))
    }
}
