//! HTTP beside the sockets.
//!
//! - [`private`]: metrics and health, on a listener of their own
//! - [`site`]: the demo pages

pub mod private;
pub mod site;
