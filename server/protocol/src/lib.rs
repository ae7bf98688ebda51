//! Engine.IO v4 and Socket.IO v5: bytes to packets and back.
//!
//! For everything that puts these protocols on a connection. It must never wait, read a clock or know a connection:
//! what comes in is untrusted, so every function is linear in its input, keeps nothing but what [`socket::Decoder`]
//! documents, and answers bad input with a [`DecodeError`].
//!
//! ```text
//!   in:  polling body ──payload::decode──┐
//!        WebSocket text ──engine::decode─┴─> engine::Packet ── Message ──> Decoder::text ──┬─> packet::Packet
//!        WebSocket binary ─────────────────────────────────── Binary ──> Decoder::binary ──┘
//!
//!   out: socket::event, ack, … ──> Frame ── bytes ───────────────> WebSocket
//!        engine::ping, Open, … ──┘      └── payload::encode ─────> polling body
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`engine`] | Engine.IO packets: handshake, heartbeat, message |
//! | [`payload`] | long-polling bodies, which are many packets |
//! | [`socket`] | Socket.IO packets: encoders, and the decoder with its binary assembly |
//! | [`packet`] | what the Socket.IO decoder gives |
//! | [`frame`] | an outgoing message, encoded once for all who get it |
//! | [`sid`] | what sessions and sockets are called |
//! | [`error`] | what can be wrong with input, and what to do about it |
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::string_slice)
)]

pub mod engine;
pub mod error;
pub mod frame;
mod json;
pub mod packet;
pub mod payload;
mod placeholder;
pub mod sid;
pub mod socket;

pub use error::{DecodeError, Rejection};
pub use frame::{Class, Frame, Part};
pub use sid::{Id, SessionId};
