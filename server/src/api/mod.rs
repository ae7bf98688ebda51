//! HTTP beside the sockets.
//!
//! - [`v1`]: the API
//! - [`webhook`]: what happens, for other servers
//! - [`private`]: metrics and health, on a listener of their own
//! - [`health`]: what asks it
//! - [`site`]: the demo pages

pub mod health;
pub mod private;
pub mod site;
pub mod v1;
pub mod webhook;
