//! Engine.IO v4 and Socket.IO v5: bytes to packets and back.
#![allow(missing_docs)]
pub mod engine;
pub mod frame;
pub mod packet;
pub mod sid;
pub mod socket;
pub use frame::{Class, Frame, Part};
pub use sid::{Id, SessionId};
