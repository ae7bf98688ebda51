//! HTTP beside the sockets.
//!
//! - [`v1`]: the API
//! - [`private`]: metrics and health, on a listener of their own
//! - [`site`]: the demo pages

pub mod private;
pub mod site;
pub mod v1;
