//! Drops and wheels: what was granted, against what there was, and against the ledger.

use std::collections::HashMap;

use super::checker::{Complaints, Promise};

/// All drops and wheels of the show, and the ledger.
#[derive(Debug, Default)]
pub(crate) struct Sales {
    drops: HashMap<String, Drop>,
    wheels: HashMap<String, Wheel>,
    /// Records by the id of the claim or spin.
    records: HashMap<String, u64>,
    ledger_read: bool,
}

/// One drop.
#[derive(Debug, Default)]
struct Drop {
    stock: u64,
    per_user: u64,
    granted: u64,
    users: HashMap<usize, u64>,
    grants: Grants,
    unanswered: u64,
    sold: Option<u64>,
}

/// One wheel.
#[derive(Debug, Default)]
struct Wheel {
    spins_per_user: u64,
    stock: HashMap<String, Option<u64>>,
    given: HashMap<String, u64>,
    spun: u64,
    users: HashMap<usize, u64>,
    grants: Grants,
    unanswered: u64,
    spins: Option<u64>,
}

/// Grants by their id and by the request that they answer.
#[derive(Debug, Default)]
struct Grants {
    by_id: HashMap<String, (usize, String, String)>,
    by_request: HashMap<(usize, String), String>,
    repeats: u64,
}

impl Grants {
    /// Takes note of a grant; false if it is the repetition of one. `what` is what was granted.
    fn take(&mut self, who: usize, (request, id): (&str, &str), what: &str, wrong: impl FnOnce(String)) -> bool {
        if let Some(known) = self.by_id.get(id) {
            self.repeats += 1;
            if *known != (who, request.to_owned(), what.to_owned()) {
                wrong(format!("grant {id} was given a second time, for another request"));
            }
            return false;
        }
        if let Some(other) = self.by_request.insert((who, request.to_owned()), id.to_owned()) {
            wrong(format!("request {request} was granted twice: {other} and {id}"));
        }
        self.by_id.insert(id.to_owned(), (who, request.to_owned(), what.to_owned()));
        true
    }

    /// A request was refused. What it says if it had been granted before.
    fn refused(&self, who: usize, (request, code): (&str, &str)) -> Option<String> {
        let id = self.by_request.get(&(who, request.to_owned()))?;
        Some(format!("request {request} was granted as {id}, and refused when it was repeated: {code}"))
    }
}

impl Sales {
    /// A drop is opened.
    pub(super) fn drop(&mut self, id: &str, stock: u64, per_user: u64) {
        self.drops.insert(id.to_owned(), Drop { stock, per_user, ..Drop::default() });
    }

    /// A wheel is opened.
    pub(super) fn wheel(&mut self, id: &str, spins_per_user: u64, prizes: &[(String, Option<u64>)]) {
        let stock = prizes.iter().cloned().collect();
        self.wheels.insert(id.to_owned(), Wheel { spins_per_user, stock, ..Wheel::default() });
    }

    /// A claim was granted.
    pub(super) fn claimed(
        &mut self,
        who: usize,
        id: &str,
        (request, claim): (&str, &str),
        quantity: u64,
        at: f64,
        wrong: &mut Complaints,
    ) {
        let drop = self.drops.entry(id.to_owned()).or_default();
        let mut complain = |what: String| wrong.add(Promise::Drops, at, Some(who), || what);
        if !drop.grants.take(who, (request, claim), &quantity.to_string(), &mut complain) {
            return;
        }
        drop.granted += quantity;
        let share = drop.users.entry(who).or_default();
        *share += quantity;
        if *share > drop.per_user {
            complain(format!("got {share} of drop {id}, where a share is {}", drop.per_user));
        }
        if drop.granted > drop.stock {
            complain(format!("{} of drop {id} are granted, of a stock of {}", drop.granted, drop.stock));
        }
    }

    /// A spin was granted.
    pub(super) fn spun(
        &mut self,
        who: usize,
        id: &str,
        (request, spin): (&str, &str),
        prize: Option<&str>,
        at: f64,
        wrong: &mut Complaints,
    ) {
        let wheel = self.wheels.entry(id.to_owned()).or_default();
        let mut complain = |what: String| wrong.add(Promise::Wheels, at, Some(who), || what);
        if !wheel.grants.take(who, (request, spin), prize.unwrap_or("nothing"), &mut complain) {
            return;
        }
        wheel.spun += 1;
        let share = wheel.users.entry(who).or_default();
        *share += 1;
        if *share > wheel.spins_per_user {
            complain(format!("spun wheel {id} {share} times, of {}", wheel.spins_per_user));
        }
        let Some(prize) = prize else { return };
        let given = wheel.given.entry(prize.to_owned()).or_default();
        *given += 1;
        match wheel.stock.get(prize) {
            Some(None) => {}
            Some(Some(stock)) if *given <= *stock => {}
            Some(Some(stock)) => complain(format!("{given} of prize {prize} are given, of {stock}")),
            None => complain(format!("wheel {id} has no prize {prize}")),
        }
    }

    /// A claim was refused.
    pub(super) fn claim_refused(&mut self, who: usize, id: &str, of: (&str, &str), at: f64, wrong: &mut Complaints) {
        if let Some(what) = self.drops.get(id).and_then(|drop| drop.grants.refused(who, of)) {
            wrong.add(Promise::Drops, at, Some(who), || what);
        }
    }

    /// A spin was refused.
    pub(super) fn spin_refused(&mut self, who: usize, id: &str, of: (&str, &str), at: f64, wrong: &mut Complaints) {
        if let Some(what) = self.wheels.get(id).and_then(|wheel| wheel.grants.refused(who, of)) {
            wrong.add(Promise::Wheels, at, Some(who), || what);
        }
    }

    /// A drop was closed: so many were sold.
    pub(super) fn sold(&mut self, id: &str, sold: u64) {
        self.drops.entry(id.to_owned()).or_default().sold = Some(sold);
    }

    /// A wheel was closed: so often it turned.
    pub(super) fn turned(&mut self, id: &str, spins: u64) {
        self.wheels.entry(id.to_owned()).or_default().spins = Some(spins);
    }

    /// So many units were claimed, and never answered.
    pub(super) fn claim_unanswered(&mut self, id: &str, quantity: u64) {
        self.drops.entry(id.to_owned()).or_default().unanswered += quantity;
    }

    /// A spin was never answered.
    pub(super) fn spin_unanswered(&mut self, id: &str) {
        self.wheels.entry(id.to_owned()).or_default().unanswered += 1;
    }

    /// The ledger has a record of this claim or spin.
    pub(super) fn record(&mut self, id: &str, at: f64, wrong: &mut Complaints) {
        let records = self.records.entry(id.to_owned()).or_default();
        *records += 1;
        if *records > 1 {
            wrong.add(Promise::Ledger, at, None, || format!("the ledger has {id} more than once"));
        }
    }

    /// The whole ledger was read.
    pub(super) fn ledger_read(&mut self) {
        self.ledger_read = true;
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, at: f64, wrong: &mut Complaints) {
        for (id, drop) in &self.drops {
            compare(("drop", id), drop.sold, drop.granted, drop.unanswered, |what| {
                wrong.add(Promise::Drops, at, None, || what);
            });
        }
        for (id, wheel) in &self.wheels {
            compare(("wheel", id), wheel.spins, wheel.spun, wheel.unanswered, |what| {
                wrong.add(Promise::Wheels, at, None, || what);
            });
        }
        if !self.ledger_read {
            return;
        }
        for id in self.grants().filter(|id| !self.records.contains_key(*id)) {
            wrong.add(Promise::Ledger, at, None, || format!("the ledger lacks {id}, which was granted"));
        }
        let (records, granted) = (self.records.len() as u64, self.grants().count() as u64);
        let unanswered: u64 = self.drops.values().map(|drop| drop.unanswered).sum::<u64>()
            + self.wheels.values().map(|wheel| wheel.unanswered).sum::<u64>();
        if records > granted + unanswered {
            wrong.add(Promise::Ledger, at, None, || format!("the ledger has {records} grants, viewers {granted}"));
        }
    }

    fn grants(&self) -> impl Iterator<Item = &String> {
        let drops = self.drops.values().flat_map(|drop| drop.grants.by_id.keys());
        drops.chain(self.wheels.values().flat_map(|wheel| wheel.grants.by_id.keys()))
    }

    /// What was looked at.
    pub(super) fn drops_detail(&self) -> (bool, String) {
        let sum = |of: fn(&Drop) -> u64| self.drops.values().map(of).sum::<u64>();
        let (granted, stock) = (sum(|drop| drop.granted), sum(|drop| drop.stock));
        let repeats = sum(|drop| drop.grants.repeats);
        let closed = sum(|drop| u64::from(drop.sold.is_some()));
        let text = format!("{granted} granted of {stock}, {repeats} repeated and the same, {closed} closings");
        (!self.drops.is_empty(), text)
    }

    /// What was looked at.
    pub(super) fn wheels_detail(&self) -> (bool, String) {
        let sum = |of: fn(&Wheel) -> u64| self.wheels.values().map(of).sum::<u64>();
        let (spun, given) = (sum(|wheel| wheel.spun), sum(|wheel| wheel.given.values().sum()));
        let repeats = sum(|wheel| wheel.grants.repeats);
        let closed = sum(|wheel| u64::from(wheel.spins.is_some()));
        let text = format!("{spun} spins, {given} prizes, {repeats} repeated and the same, {closed} closings");
        (!self.wheels.is_empty(), text)
    }

    /// What was looked at.
    pub(super) fn ledger_detail(&self) -> (bool, String) {
        (self.ledger_read, format!("{} records, {} grants", self.records.len(), self.grants().count()))
    }
}

/// What was said at the closing is what was granted, and at most what was never answered besides.
fn compare((kind, id): (&str, &str), said: Option<u64>, granted: u64, unanswered: u64, wrong: impl FnOnce(String)) {
    if let Some(said) = said
        && !(granted..=granted + unanswered).contains(&said)
    {
        wrong(format!("{kind} {id} was closed at {said}, but {granted} were granted ({unanswered} never answered)"));
    }
}
