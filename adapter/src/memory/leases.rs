//! The gateways that others can reach, as long as they are heard of.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::Limits;
use crate::{GatewayLease, StoreError};

/// The leases, by the gateway's number.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<u32, (GatewayLease, Instant)>);

impl Leases {
    /// See [`Store::gateways`](crate::Store::gateways).
    pub(super) fn renew(
        &mut self,
        me: &GatewayLease,
        now: Instant,
        ttl: Duration,
        limits: &Limits,
    ) -> Result<Vec<GatewayLease>, StoreError> {
        self.0.retain(|_, (_, expires)| now < *expires);
        if ttl.is_zero() {
            self.0.remove(&me.number);
        } else if me.name.len().max(me.address.len()) > limits.name_bytes {
            return Err(StoreError::TooLarge(format!("a name of more than {} bytes", limits.name_bytes)));
        } else if self.0.len() >= limits.gateways && !self.0.contains_key(&me.number) {
            return Err(StoreError::TooLarge(format!("more than {} gateways", limits.gateways)));
        } else {
            self.0.insert(me.number, (me.clone(), now + ttl.min(LONGEST_LEASE)));
        }
        Ok(self.0.values().map(|(lease, _)| lease.clone()).collect())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// An expiry has to be a moment that the clock can name.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
