//! msgpack as Node's adapters write it (notepack.io, @msgpack/msgpack), to and from JSON text, without a tree between them.
//!
//! An event crosses this crate as JSON text plus attachments, and Redis as msgpack: [`to_json`] and [`from_json`] are the
//! two ways. Whatever comes out of Redis may be damaged or hostile: nothing here allocates what a length merely claims,
//! descends further than [`MAX_DEPTH`], or panics.
//!
//! | JSON text | msgpack |
//! |---|---|
//! | number | the smallest integer form; a fraction, or more than 64 bits: float64 |
//! | placeholder `{"_placeholder":true,"num":n}` | the bytes of attachment n |
//! | text of a date, `"2023-11-14T22:13:20.123Z"` | timestamp, one way only: a text stays a text |
//! | `null` | nil; undefined, NaN and the infinities become it, one way only |

mod date;
mod read;
mod write;

pub(crate) use read::quote;
pub use read::{Binary, to_json};
pub use write::{Marked, Part, from_json, from_pieces};

/// Most bytes of one message, either way.
pub const MAX_BYTES: usize = 1 << 20;

/// How deep arrays and maps may be nested.
pub const MAX_DEPTH: usize = 32;

/// Most attachments of one event: official clients drop the connection at more.
pub const MAX_ATTACHMENTS: usize = 10;

/// Why it cannot be read or written. The message is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends before its last value does.
    #[error("it is cut short")]
    Truncated,
    /// There is more behind the value.
    #[error("there is more behind it")]
    Trailing,
    /// It is more than [`MAX_BYTES`].
    #[error("it is more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("it is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// It has more than [`MAX_ATTACHMENTS`] attachments.
    #[error("it has more than {MAX_ATTACHMENTS} attachments")]
    TooManyAttachments,
    /// It is not what it should be.
    #[error("{0}")]
    Invalid(&'static str),
}

#[cfg(test)]
mod tests;
