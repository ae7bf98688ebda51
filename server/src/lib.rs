//! The haat gateway.
//!
//! ```text
//! {transport, hub} <- room <- live <- {link, shard <- edge <- gateway} <- server <- main
//! config, auth, limit, fleet, close, metrics: leaves
//! ```
//!
//! An arrow is "is used by"; nothing points the other way.

pub mod api;
pub mod auth;
pub mod close;
pub mod config;
pub mod edge;
pub mod fleet;
pub mod gateway;
pub mod hub;
pub mod limit;
pub mod link;
pub mod live;
pub mod metrics;
pub mod room;
pub mod server;
pub mod shard;
pub mod transport;
