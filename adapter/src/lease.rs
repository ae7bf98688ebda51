//! [`GatewayLease`]: how gateways know of each other.

/// A gateway that other gateways can reach. See [`Store::gateways`](crate::Store::gateways).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GatewayLease {
    /// Its number in session ids; chosen at random at its start, so that no two that live share one.
    pub number: u32,
    /// Its name for people.
    pub name: String,
    /// Where other gateways reach it, `host:port`. Not for clients.
    pub address: String,
}
