//! How a stream goes, for those who run it.

use std::{collections::VecDeque, fmt::Write, time::Duration};

use haat_adapter::{
    Totals,
    market::{CLAIMS, SPINS},
};
use tokio::time::Instant;

use super::{
    command::{Call, Reply},
    reject::{Reject, json},
    state::{reactions, value},
};

/// The counter of chat messages.
pub(super) const MESSAGES: &str = "messages";
/// Prefix of the counters of what was sold, by currency.
pub(super) const REVENUE: &str = "revenue.";

/// Over which time a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);
/// A shorter time than this says nothing.
const LEAST: Duration = Duration::from_secs(1);

/// The counters that begin again with another show.
pub(super) fn of_show(totals: Totals) -> impl Iterator<Item = String> {
    let names = totals.counters.into_iter().map(|counter| counter.name);
    names.filter(|name| [CLAIMS, SPINS].contains(&&**name) || name.starts_with(REVENUE))
}

/// How fast a counter rises.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// The counter stands at this.
    pub(super) fn note(&mut self, now: Instant, value: u64) {
        if self.0.back().is_some_and(|(_, last)| value < *last) {
            // The store has lost it.
            self.0.clear();
        }
        if self.0.back().is_none_or(|(_, last)| value > *last) {
            self.0.push_back((now, value));
        }
        // One that is too old says where the window began.
        while self.0.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// By how much it rises in a second.
    pub(super) fn per_second(&self, now: Instant) -> f64 {
        let (Some((first, from)), Some((_, to))) = (self.0.front(), self.0.back()) else { return 0.0 };
        let span = now.duration_since(*first).clamp(LEAST, WINDOW);
        (to - from) as f64 / span.as_secs_f64()
    }
}

/// `stream:stats`
pub(super) async fn stats(call: Call) -> Result<Reply, Reject> {
    let view = call.view()?;
    let totals = call.live.shared.totals(&call.stream).await?;
    let now = Instant::now();
    let rate = {
        let mut rate = view.rate.borrow_mut();
        rate.note(now, value(&totals, MESSAGES));
        rate.per_second(now)
    };
    let mut revenue = String::from("[");
    let currencies =
        totals.counters.iter().filter_map(|counter| Some((counter.name.strip_prefix(REVENUE)?, counter.value)));
    for (currency, amount) in currencies.filter(|(_, amount)| *amount > 0) {
        let comma = if revenue.len() > 1 { "," } else { "" };
        let _ = write!(revenue, r#"{comma}{{"amount":{amount},"currency":{}}}"#, json(currency));
    }
    revenue.push(']');
    let reactions: u64 = reactions(&totals).map(|(_, count)| count).sum();
    Ok(Reply(format!(
        r#""stats":{{"viewers":{},"peakViewers":{},"uniqueViewers":{},"messages":{},"messagesPerSecond":{:.1},"reactions":{reactions},"claims":{},"revenue":{revenue},"spins":{}}}"#,
        totals.viewers,
        totals.peak,
        totals.unique,
        value(&totals, MESSAGES),
        rate,
        value(&totals, CLAIMS),
        value(&totals, SPINS),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_looks_back_over_ten_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(rate.per_second(start), 0.0);
        rate.note(start, 100);
        assert_eq!(rate.per_second(start), 0.0, "what was before is not counted");
        (1..=10).for_each(|second| rate.note(at(second), 100 + 5 * second));
        assert_eq!(rate.per_second(at(10)), 5.0);
        rate.note(at(20), 150);
        assert_eq!(rate.per_second(at(20)), 0.0);
        rate.note(at(21), 180);
        assert_eq!(rate.per_second(at(21)), 3.0);
        rate.note(at(22), 4);
        assert_eq!(rate.per_second(at(22)), 0.0, "lost and begun again");
    }
}
