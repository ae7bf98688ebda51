//! The haat gateway.
//!
//! ```text
//! {transport, hub} <- room <- live <- {link, shard <- edge <- gateway} <- server <- main
//! config, auth, limit, fleet, close, metrics, log: leaves
//! ```
//!
//! An arrow is "is used by"; nothing points the other way.
//!
//! | module | holds |
//! |---|---|
//! | [`guide`] | how haat is used, run and moved to: the guides |
//! | [`server`] | everything that runs, put together from a configuration |
//! | [`gateway`] | the threads: shards, listeners, what other gateways say; and how they end |
//! | [`edge`] | from a TCP connection to a session |
//! | [`shard`] | one thread with its connections |
//! | [`transport`] | bytes of one connection: reading, heartbeat, and what waits to be written |
//! | [`room`] | who is in which room of a shard, and how a broadcast reaches them |
//! | [`hub`] | the way between threads |
//! | [`live`] | what happens inside a stream: the commands |
//! | [`api`] | HTTP: the API, webhooks, metrics and health |
//! | [`fleet`] | the other gateways, to pass requests on to |
//! | [`link`] | what is known of the way to Redis |
//! | [`auth`], [`config`], [`limit`], [`close`], [`metrics`], [`log`] | who, as what is set, how often, why it ended, how much, and in words |
//!
//! To follow a message: [`edge::accept`] lets a client in, [`transport`] reads its text, [`shard`] hands the event to
//! [`live::command`], a handler such as `live::chat` appends it to the log (`haat_adapter::Store::append`), the engine gives it
//! back to [`gateway`], [`hub`] brings it to each shard with members, [`live::views`] puts it in order, and [`room`] writes it
//! to everybody. To add a command: a row in [`live::table`], a handler, a test in `tests/`.

pub mod api;
pub mod auth;
pub mod close;
pub mod config;
pub mod edge;
pub mod fleet;
pub mod gateway;
pub mod guide;
pub mod hub;
pub mod limit;
pub mod link;
pub mod live;
pub mod log;
pub mod metrics;
pub mod room;
pub mod server;
pub mod shard;
pub mod standing;
pub mod transport;
