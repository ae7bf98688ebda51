//! What the cases of a live sale run on: gateways with the market that they share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use haat_adapter::{
    Append, Check, Claim, Claimed, Counter, Entry, Grant, Market, Record, Refusal, Share, Spin, Spun, Stake,
    StoreError, Terms, Turn,
};

use super::fleet::{Fleet, set};

/// The stream of the cases. It is there from the beginning.
pub(crate) const STREAM: &str = "spring";
/// The pool of the cases.
pub(crate) const POOL: &str = "drop.saree@1";

/// A fleet and its market, one handle for each gateway.
pub(crate) struct Sale {
    pub(crate) fleet: Fleet,
    pub(crate) markets: Vec<Arc<dyn Market>>,
}

impl Sale {
    /// Makes the stream.
    pub(crate) async fn open(self) -> Self {
        self.fleet.watch(STREAM);
        self.fleet.append(set(STREAM, "status", Some(r#""live""#))).await;
        self
    }

    pub(crate) fn market(&self) -> &dyn Market {
        &*self.markets[0]
    }

    pub(crate) async fn append(&self, append: Append) -> Arc<Entry> {
        self.fleet.append(append).await
    }

    /// Claims, and expects that no engine is at fault.
    pub(crate) async fn claim(&self, claim: Claim) -> Claimed {
        self.market().claim(claim).await.expect("an answer")
    }

    /// Claims, and expects a new grant.
    pub(crate) async fn granted(&self, claim: Claim) -> Grant {
        match self.claim(claim).await {
            Claimed::New(grant) => grant,
            other => panic!("not a new grant: {other:?}"),
        }
    }

    /// Claims, and expects a refusal.
    pub(crate) async fn refused(&self, claim: Claim) -> Refusal {
        match self.claim(claim).await {
            Claimed::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Spins, and expects that no engine is at fault.
    pub(crate) async fn spin(&self, spin: Spin) -> Spun {
        self.market().spin(spin).await.expect("an answer")
    }

    /// Spins, and expects a new turn.
    pub(crate) async fn turn(&self, spin: Spin) -> Turn {
        match self.spin(spin).await {
            Spun::New(turn) => turn,
            other => panic!("not a new turn: {other:?}"),
        }
    }

    /// What the counters stand at, on the last gateway.
    pub(crate) async fn counters(&self) -> BTreeMap<String, u64> {
        let gateway = self.fleet.gateways.last().expect("a gateway");
        let share = Share { stream: STREAM.to_owned(), ..Share::default() };
        let totals = gateway.store.sync(&gateway.name, Duration::from_secs(3), vec![share]).await.remove(0).unwrap();
        let sorted = totals.counters.is_sorted_by_key(|counter| counter.name.clone());
        assert!(sorted, "{:?}", totals.counters);
        totals.counters.into_iter().map(|Counter { name, value }| (name, value)).collect()
    }

    /// What one counter stands at.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        self.counters().await.get(name).copied().unwrap_or(0)
    }

    /// All records of a kind.
    pub(crate) async fn records(&self, kind: &str) -> Vec<Record> {
        let all = self.markets[1].ledger(STREAM, "", 10_000).await.unwrap();
        all.into_iter().filter(|record| *record.kind == *kind).collect()
    }

    /// Waits while the engine's time passes.
    pub(crate) async fn pass(&self, seconds: f64) {
        (self.fleet.pass)(Duration::from_secs_f64(seconds)).await;
    }
}

/// A claim of one unit.
pub(crate) fn claim(user: &str, id: &str) -> Claim {
    Claim {
        stream: STREAM.to_owned(),
        pool: POOL.to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
        quantity: 1,
        terms: Terms { stock: 3, per_user: 2, ..Terms::default() },
        by: format!(r#"{{"id":"{user}"}}"#),
        data: vec![format!(r#"{{"id":"{id}","at":"#), "}".to_owned()],
        worth: vec![Counter { name: "revenue.INR".to_owned(), value: 100 }],
        ..Claim::default()
    }
}

/// The same under the user's own name for it.
pub(crate) fn requested(user: &str, id: &str, request: &str) -> Claim {
    Claim { request: Some(request.to_owned()), ..claim(user, id) }
}

/// A claim that is held for so long.
pub(crate) fn held(user: &str, id: &str, hold: u64) -> Claim {
    let terms = Terms { hold: Some(hold), ..claim(user, id).terms };
    Claim { terms, ..claim(user, id) }
}

/// A prize.
pub(crate) fn stake(id: &str, weight: u64, stock: Option<u64>) -> Stake {
    Stake { id: id.to_owned(), weight, stock, text: format!(r#"{{"id":"{id}"}}"#) }
}

/// A spin of a wheel with two prizes: `a` for the draw 0, twice, and `b` for 1 and 2.
pub(crate) fn spin(user: &str, id: &str, draws: &[u64]) -> Spin {
    let pieces = |pieces: &[&str]| pieces.iter().map(|piece| (*piece).to_owned()).collect();
    Spin {
        stream: STREAM.to_owned(),
        pool: "wheel.lucky@1".to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
        prizes: vec![stake("a", 1, Some(2)), stake("b", 2, None)],
        draws: draws.to_vec(),
        by: format!(r#"{{"id":"{user}"}}"#),
        data: pieces(&[r#"{"turn":"#, r#","prize":"#, r#","at":"#, "}"]),
        event: "wheel:won".to_owned(),
        won: pieces(&[r#"{"seq":"#, r#","prize":"#, "}"]),
        ..Spin::default()
    }
}

/// A check that fails.
pub(crate) fn never() -> Vec<Check> {
    vec![Check::Is("status".to_owned(), Some("another".to_owned()))]
}

/// The error that a failed check is.
pub(crate) fn conflict<T>(field: &str) -> Result<T, StoreError> {
    Err(StoreError::Conflict(field.to_owned()))
}
