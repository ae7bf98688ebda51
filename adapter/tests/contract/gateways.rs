//! Gateways know of each other, as long as each says that it is there.

use std::time::Duration;

use haat_adapter::GatewayLease;

use super::fleet::Fleet;

/// Some of it passes for real: there is time left for a busy machine.
const TTL: Duration = Duration::from_secs(6);

fn lease(number: u32) -> GatewayLease {
    GatewayLease { number, name: format!("gateway-{number:08x}"), address: format!("gateway-{number}.example:9091") }
}

/// Renews the lease of `number` from one of the gateways, and gives the numbers of those that are alive.
async fn renew(fleet: &Fleet, gateway: usize, number: u32, ttl: Duration) -> Vec<u32> {
    let living = fleet.gateways[gateway].store.gateways(&lease(number), ttl).await.unwrap();
    living
        .into_iter()
        .map(|living| {
            assert_eq!(living, lease(living.number));
            living.number
        })
        .collect()
}

pub(crate) async fn see_each_other_by_number(fleet: Fleet) {
    assert_eq!(renew(&fleet, 0, u32::MAX, TTL).await, [u32::MAX]);
    assert_eq!(renew(&fleet, 1, 7, TTL).await, [7, u32::MAX]);
    assert_eq!(renew(&fleet, 2, 0, TTL).await, [0, 7, u32::MAX]);
    assert_eq!(renew(&fleet, 0, u32::MAX, TTL).await, [0, 7, u32::MAX]);
}

pub(crate) async fn are_gone_once_withdrawn(fleet: Fleet) {
    renew(&fleet, 0, 1, TTL).await;
    renew(&fleet, 1, 2, TTL).await;
    assert_eq!(renew(&fleet, 0, 1, Duration::ZERO).await, [2]);
    assert_eq!(renew(&fleet, 1, 2, TTL).await, [2]);
    assert_eq!(renew(&fleet, 2, 3, Duration::ZERO).await, [2]);
}

pub(crate) async fn lapse_without_renewal(fleet: Fleet) {
    renew(&fleet, 0, 1, TTL).await;
    renew(&fleet, 1, 2, 3 * TTL).await;
    (fleet.pass)(TTL / 4).await;
    assert_eq!(renew(&fleet, 2, 3, 3 * TTL).await, [1, 2, 3]);
    (fleet.pass)(TTL).await;
    assert_eq!(renew(&fleet, 2, 3, 3 * TTL).await, [2, 3]);
}

pub(crate) async fn live_on_when_renewed(fleet: Fleet) {
    for _ in 0..3 {
        renew(&fleet, 0, 1, TTL).await;
        (fleet.pass)(2 * TTL / 5).await;
    }
    assert_eq!(renew(&fleet, 1, 2, TTL).await, [1, 2]);
}

pub(crate) async fn may_move(fleet: Fleet) {
    renew(&fleet, 0, 1, TTL).await;
    let moved = GatewayLease { address: "[::1]:9".to_owned(), ..lease(1) };
    assert_eq!(fleet.store().gateways(&moved, TTL).await, Ok(vec![moved.clone()]));
    assert_eq!(fleet.gateways[1].store.gateways(&lease(2), TTL).await, Ok(vec![moved, lease(2)]));
}

pub(crate) async fn come_back_after_the_data_was_lost(fleet: Fleet) {
    renew(&fleet, 0, 1, TTL).await;
    (fleet.lose_data)().await;
    assert_eq!(renew(&fleet, 1, 2, TTL).await, [2]);
    assert_eq!(renew(&fleet, 0, 1, TTL).await, [1, 2]);
}
