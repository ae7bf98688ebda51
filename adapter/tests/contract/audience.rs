//! The audience of a fleet is the sum of what its gateways say.

use std::time::Duration;

use haat_adapter::{Append, Check, Counter, Share, Totals};

use super::fleet::{Fleet, chat};

/// Some of it passes for real: there is time left for a busy machine.
const LEASE: Duration = Duration::from_secs(6);

async fn sync(fleet: &Fleet, gateway: usize, share: Share) -> Totals {
    let gateway = &fleet.gateways[gateway];
    gateway.store.sync(&gateway.name, LEASE, vec![share]).await.remove(0).unwrap()
}

fn share(stream: &str) -> Share {
    Share { stream: stream.to_owned(), ..Share::default() }
}

fn viewers(viewers: u64) -> Share {
    Share { viewers, ..share("spring") }
}

fn users(names: impl IntoIterator<Item = String>) -> Share {
    Share { users: names.into_iter().collect(), ..share("spring") }
}

fn counter(name: &str, value: u64) -> Counter {
    Counter { name: name.to_owned(), value }
}

pub(crate) async fn sums_the_viewers_of_all_gateways(fleet: Fleet) {
    assert_eq!(sync(&fleet, 0, viewers(10)).await.viewers, 10);
    assert_eq!(sync(&fleet, 1, viewers(5)).await.viewers, 15);
    assert_eq!(sync(&fleet, 2, viewers(0)).await.viewers, 15);
    assert_eq!(sync(&fleet, 2, Share { viewers: 7, ..share("summer") }).await.viewers, 7);
}

pub(crate) async fn replaces_a_share_and_gives_it_up_at_zero(fleet: Fleet) {
    sync(&fleet, 0, viewers(10)).await;
    sync(&fleet, 1, viewers(5)).await;
    assert_eq!(sync(&fleet, 0, viewers(3)).await.viewers, 8);
    assert_eq!(sync(&fleet, 0, viewers(0)).await.viewers, 5);
}

pub(crate) async fn lapses_without_renewal(fleet: Fleet) {
    sync(&fleet, 0, viewers(10)).await;
    sync(&fleet, 1, viewers(5)).await;
    (fleet.pass)(LEASE / 4).await;
    assert_eq!(sync(&fleet, 1, viewers(5)).await.viewers, 15);
    (fleet.pass)(LEASE).await;
    assert_eq!(sync(&fleet, 1, viewers(6)).await.viewers, 6);
    assert_eq!(sync(&fleet, 0, viewers(1)).await.viewers, 7);
}

pub(crate) async fn counts_who_moves_once(fleet: Fleet) {
    let moved = |count, from: &str| Share { moved: vec![(from.to_owned(), count)], ..viewers(4) };
    sync(&fleet, 0, viewers(10)).await;
    let totals = sync(&fleet, 1, moved(4, "gateway-0")).await;
    assert_eq!((totals.viewers, totals.peak), (10, 10));
    // Never less than nobody, of a gateway that is not known, and not for longer than the lease.
    let totals = sync(&fleet, 1, moved(4, "gateway-9")).await;
    assert_eq!((totals.viewers, totals.peak), (10, 10));
    assert_eq!(sync(&fleet, 1, moved(100, "gateway-0")).await.viewers, 4);
    // A gateway that lives knows better.
    assert_eq!(sync(&fleet, 0, viewers(9)).await.viewers, 13);
    (fleet.pass)(LEASE / 2).await;
    sync(&fleet, 1, moved(1, "gateway-0")).await;
    (fleet.pass)(LEASE).await;
    assert_eq!(sync(&fleet, 1, viewers(4)).await.viewers, 4);
}

pub(crate) async fn remembers_the_peak(fleet: Fleet) {
    sync(&fleet, 0, viewers(10)).await;
    sync(&fleet, 1, viewers(5)).await;
    sync(&fleet, 0, viewers(2)).await;
    let totals = sync(&fleet, 1, viewers(1)).await;
    assert_eq!((totals.viewers, totals.peak), (3, 15));
}

/// From a few users, and from a crowd.
pub(crate) async fn is_counted_anew(fleet: Fleet) {
    for crowd in [2, 2_000] {
        let users: Vec<String> = (0..crowd).map(|number| format!("user {number}")).collect();
        let add = vec![counter("messages", 7)];
        sync(&fleet, 0, Share { users, add: add.clone(), ..viewers(10) }).await;
        sync(&fleet, 1, viewers(5)).await;
        sync(&fleet, 1, viewers(1)).await;
        let anew = Append { anew: true, ..chat("spring", "again") };
        let refused = Append { checks: vec![Check::Is("status".to_owned(), Some("1".to_owned()))], ..anew.clone() };
        assert!(fleet.store().append(refused).await.is_err());
        let totals = sync(&fleet, 0, viewers(10)).await;
        assert!(totals.unique > 0 && totals.peak == 15 && totals.counters == add, "{totals:?}");
        fleet.append(anew).await;
        let totals = sync(&fleet, 0, viewers(10)).await;
        assert_eq!((totals.viewers, totals.peak, totals.unique, totals.counters), (11, 11, 0, vec![]));
        let totals = sync(&fleet, 0, Share { users: vec!["ana".to_owned()], ..viewers(10) }).await;
        assert_eq!((totals.peak, totals.unique), (11, 1));
    }
}

pub(crate) async fn counts_a_user_of_two_gateways_once(fleet: Fleet) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(sync(&fleet, 0, users(names(&["ana", "bo"]))).await.unique, 2);
    assert_eq!(sync(&fleet, 1, users(names(&["bo", "chi", "chi"]))).await.unique, 3);
    assert_eq!(sync(&fleet, 2, users(names(&[]))).await.unique, 3);
    assert_eq!(sync(&fleet, 2, share("summer")).await.unique, 0);
}

/// The bound is six standard errors: a right engine never fails it.
pub(crate) async fn estimates_a_crowd(fleet: Fleet) {
    const CROWD: u64 = 100_000;
    for block in (0..CROWD).collect::<Vec<_>>().chunks(10_000) {
        sync(&fleet, 0, users(block.iter().map(|user| format!("user-{user}")))).await;
    }
    let unique = sync(&fleet, 1, share("spring")).await.unique;
    let error = (unique as f64 / CROWD as f64 - 1.0).abs();
    assert!(error < 0.05, "{CROWD} were counted as {unique}");
}

pub(crate) async fn adds_counters_up(fleet: Fleet) {
    let add = |counters: &[(&str, u64)]| {
        let add = counters.iter().map(|(name, value)| counter(name, *value)).collect();
        Share { add, ..share("spring") }
    };
    sync(&fleet, 0, add(&[("reactions.like", 1), ("messages", 2)])).await;
    sync(&fleet, 1, add(&[("reactions.heart", 5), ("messages", 3)])).await;
    let totals = sync(&fleet, 2, add(&[])).await;
    let expected = [counter("messages", 5), counter("reactions.heart", 5), counter("reactions.like", 1)];
    assert_eq!(totals.counters, expected);
}

pub(crate) async fn adds_once_what_is_told_again(fleet: Fleet) {
    let told = |number, viewers| Share {
        number,
        viewers,
        add: vec![counter("messages", 3)],
        moved: vec![("gateway-1".to_owned(), 2)],
        ..share("spring")
    };
    let at = |totals: Totals| (totals.viewers, totals.counters.first().map_or(0, |counter| counter.value));
    sync(&fleet, 1, viewers(10)).await;
    assert_eq!(at(sync(&fleet, 0, told(1, 5)).await), (13, 3));
    // What changes by itself is told anew with it.
    assert_eq!(at(sync(&fleet, 0, told(1, 6)).await), (14, 3));
    assert_eq!(at(sync(&fleet, 0, told(2, 6)).await), (12, 6));
    // Also of a gateway whose last viewer has gone.
    assert_eq!(at(sync(&fleet, 0, told(3, 0)).await), (4, 9));
    assert_eq!(at(sync(&fleet, 0, told(3, 0)).await), (4, 9));
    // Another gateway has numbers of its own, and none is no number.
    assert_eq!(at(sync(&fleet, 2, told(3, 0)).await), (2, 12));
    assert_eq!(at(sync(&fleet, 2, told(0, 0)).await), (0, 15));
    assert_eq!(at(sync(&fleet, 2, told(0, 0)).await), (0, 18));
}

pub(crate) async fn answers_in_the_order_of_the_shares(fleet: Fleet) {
    let names = ["summer", "spring", "winter", "autumn"];
    let shares = names.iter().enumerate().map(|(index, name)| Share { viewers: index as u64 + 1, ..share(name) });
    let totals = fleet.store().sync("gateway-0", LEASE, shares.collect()).await;
    assert_eq!(totals.into_iter().map(|totals| totals.unwrap().viewers).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(fleet.store().sync("gateway-0", LEASE, vec![]).await, vec![]);
}

pub(crate) async fn never_creates_a_stream(fleet: Fleet) {
    sync(&fleet, 0, viewers(10)).await;
    assert_eq!(fleet.store().streams().await, Ok(vec![]));
    assert_eq!(fleet.store().snapshot("spring", "chat:message", 1).await, Ok(None));
}
