//! [`Verifier`]: from a token to an identity.
//!
//! ```text
//! length ─ three parts ─ header ─ keys of its algorithm and kid ─ signature ─ claims
//! ```
//!
//! The order matters: what comes before the signature is an attacker's, so it only chooses among the operator's keys.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{
    AuthError, AuthSettings, AuthSetupError,
    identity::Identity,
    key::{self, Key},
    payload::{Payload, Terms},
};

/// Bytes of a token.
const TOKEN_BYTES: usize = 8 * 1024;
/// Keys that are tried for a token that names none.
const TRIES: usize = 8;

/// Checks tokens. One is shared by all shards.
pub struct Verifier {
    keys: Box<[Key]>,
    terms: Terms,
    guests: bool,
}

/// The part of a header that counts. Keys and their addresses in it (`jwk`, `jku`, `x5u`) are never looked at.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

impl Verifier {
    /// Checks tokens with these keys.
    ///
    /// # Errors
    /// A key cannot be used, or there is none.
    pub fn new(settings: &AuthSettings) -> Result<Self, AuthSetupError> {
        let terms = Terms {
            audience: settings.audience.as_deref().map(Into::into),
            issuer: settings.issuer.as_deref().map(Into::into),
            leeway: settings.leeway.as_secs(),
        };
        Ok(Self { keys: key::read(&settings.keys)?, terms, guests: settings.guests })
    }

    /// Whether those without a token are let in.
    pub fn guests(&self) -> bool {
        self.guests
    }

    /// Whom a token names, or a new guest if there is none and guests are let in.
    ///
    /// # Errors
    /// The token is refused, or missing.
    pub fn admit(&self, token: Option<&str>) -> Result<Identity, AuthError> {
        match token {
            Some(token) => self.verify(token),
            None if self.guests => Ok(Identity::guest()),
            None => Err(AuthError::Missing),
        }
    }

    /// Whom a token names.
    ///
    /// # Errors
    /// It is refused.
    pub fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        self.verify_at(token, SystemTime::now())
    }

    /// Whom a token names, at this time.
    ///
    /// # Errors
    /// It is refused.
    pub fn verify_at(&self, token: &str, now: SystemTime) -> Result<Identity, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
        if payload.contains('.') {
            return Err(AuthError::Malformed);
        }
        self.check_signature(&decode(header)?, message, signature)?;
        let payload = decode(payload)?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).map_err(|_| AuthError::Malformed)?;
        // A clock before 1970 is broken; to it, every token has expired.
        let now = now.duration_since(UNIX_EPOCH).map_or(u64::MAX, |since| since.as_secs());
        payload.identity(&self.terms, now)
    }

    fn check_signature(&self, header: &[u8], message: &str, signature: &str) -> Result<(), AuthError> {
        let header: Header<'_> = serde_json::from_slice(header).map_err(|_| AuthError::Malformed)?;
        if header.crit {
            return Err(AuthError::Critical);
        }
        let mut fitting = self.keys.iter().filter(|key| key.is_for(&header.alg)).peekable();
        fitting.peek().ok_or(AuthError::Algorithm)?;
        let mut meant = fitting.filter(|key| key.is_meant(header.kid.as_deref())).take(TRIES).peekable();
        meant.peek().ok_or(AuthError::UnknownKey)?;
        if meant.any(|key| key.has_signed(message, signature)) { Ok(()) } else { Err(AuthError::Signature) }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)
}

/// Whether a member is there, even as `null`.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}
