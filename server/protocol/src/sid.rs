//! Identifiers: what a session, a socket and a recoverable session are called. They must never come from anything but
//! the system's random source: who can guess one can take what it names.

use std::{cell::RefCell, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A Socket.IO socket id or `pid`: 20 characters of `A-Za-z0-9_-`, 120 random bits.
///
/// The length matters: Node's sharded adapter tells a socket's private room from others by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 20]);

impl Id {
    /// A new one, from the system's random source.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut raw = [0; 15];
        fill(&mut raw)?;
        Ok(Self(encode(&raw)))
    }

    /// The id that `text` spells; `None` if it does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; 20] = text.as_bytes().try_into().ok()?;
        id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).then_some(Self(id))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

/// An Engine.IO session id: 28 characters of `A-Za-z0-9_-`. Whoever has it can post to the session, so it holds 128
/// random bits and never appears in a Socket.IO packet. It also says where the session lives, so that a request which
/// lands elsewhere can be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 28]);

impl SessionId {
    /// A new one, for a session on this shard of this gateway.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random(gateway: u32, shard: u8) -> Result<Self, getrandom::Error> {
        let mut raw = [0; 21];
        let (place, random) = raw.split_at_mut(5);
        let [a, b, c, d] = gateway.to_be_bytes();
        place.copy_from_slice(&[a, b, c, d, shard]);
        fill(random)?;
        Ok(Self(encode(&raw)))
    }

    /// The id that `text` spells; `None` if it does not have the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let id: [u8; 28] = text.as_bytes().try_into().ok()?;
        decode(&id)?;
        Some(Self(id))
    }

    /// The gateway and the shard that hold the session.
    pub fn place(&self) -> (u32, u8) {
        match decode(&self.0) {
            Some([a, b, c, d, shard, ..]) => (u32::from_be_bytes([a, b, c, d]), shard),
            None => (0, 0),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

/// Random bytes of the system that this thread has fetched, and how many of them are used up. Asking for each id alone
/// would be a system call, three for a client that connects.
struct Pool {
    bytes: [u8; POOL],
    used: usize,
}

const POOL: usize = 1024;

thread_local! {
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL }) };
}

/// Fills a short buffer with bytes that nobody gets a second time.
fn fill(out: &mut [u8]) -> Result<(), getrandom::Error> {
    RANDOM.with_borrow_mut(|Pool { bytes, used }| {
        if bytes.len() - *used < out.len() {
            getrandom::fill(bytes)?;
            *used = 0;
        }
        let end = *used + out.len();
        if let Some(taken) = bytes.get_mut(*used..end) {
            out.copy_from_slice(taken);
            // What is given out is not kept.
            taken.fill(0);
        }
        *used = end;
        Ok(())
    })
}

fn encode<const N: usize>(raw: &[u8]) -> [u8; N] {
    let mut out = [b'A'; N];
    // Both lengths are multiples of three bytes, so the text fills `out` exactly.
    let _ = URL_SAFE_NO_PAD.encode_slice(raw, &mut out);
    out
}

fn decode(id: &[u8; 28]) -> Option<[u8; 21]> {
    let mut raw = [0; 21];
    URL_SAFE_NO_PAD.decode_slice(id, &mut raw).ok()?;
    Some(raw)
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shows only where the session lives: the rest is a secret.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gateway, shard) = self.place();
        write!(f, "{gateway:08x}/{shard}")
    }
}
