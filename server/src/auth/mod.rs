//! Who a token says somebody is. Nothing in a token counts before its signature is checked, and only a key that the
//! operator gave can check it: nothing here may fetch a key, take one from a token, or let a token choose how it is checked.
//!
//! - [`Verifier`]: from a token to an [`Identity`]
//! - `key`: the operator's keys, each for exactly one algorithm; `payload`: what the claims must be
//! - `mint`: makes tokens for development and tests

mod identity;
mod key;
mod mint;
mod payload;
#[cfg(test)]
mod tests;
mod verifier;

use std::{fmt, time::Duration};

pub use identity::{Identity, Role, Streams, User};
pub use mint::{Claims, MintError, mint};
pub use verifier::Verifier;

/// The shortest HS256 secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// How tokens are checked. The default has no key, which [`Verifier::new`] refuses.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The keys of those who make tokens.
    pub keys: Vec<KeySource>,
    /// What `aud` has to be or contain; by default `aud` is not looked at.
    pub audience: Option<String>,
    /// What `iss` has to be; by default `iss` is not looked at.
    pub issuer: Option<String>,
    /// How far clocks may differ, in whole seconds; default 30 s.
    pub leeway: Duration,
    /// Whether those without a token are let in; default yes.
    pub guests: bool,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self { keys: Vec::new(), audience: None, issuer: None, leeway: Duration::from_secs(30), guests: true }
    }
}

/// Keys to check tokens with. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A secret for HS256, used as it is; at least [`SECRET_BYTES`].
    Secret(Vec<u8>),
    /// One public key as PEM: RSA of 2,048 to 4,096 bits (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    Pem {
        /// The content of the file.
        text: String,
    },
    /// A JSON Web Key Set of such public keys. Keys of it for other purposes are left out.
    Jwks {
        /// The content of the file.
        text: String,
    },
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(***)",
            Self::Pem { .. } => "Pem(***)",
            Self::Jwks { .. } => "Jwks(***)",
        })
    }
}

/// Why keys cannot be used. The messages say how to mend it and hold nothing of the keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthSetupError {
    /// There is none.
    #[error("there is no key to check tokens with")]
    NoKey,
    /// A secret is shorter than [`SECRET_BYTES`].
    #[error("the secret has {0} bytes, it needs at least 32")]
    ShortSecret(usize),
    /// It is half of a secret that a server must not have.
    #[error("this is a private key; give only its public half (openssl pkey -pubout)")]
    Private,
    /// It is not one public key as PEM.
    #[error("the PEM key cannot be used: {0}")]
    Pem(&'static str),
    /// It is not a key set, or has nothing to check tokens with.
    #[error("the key set cannot be used: {0}")]
    Jwks(String),
}

/// Why a token is refused. The messages may be shown to anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none, and guests are not let in.
    #[error("a token is required")]
    Missing,
    /// It has more than 8 KiB.
    #[error("the token is too long")]
    TooLong,
    /// It does not have the form of a signed JWT.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// Its header asks for an extension (`crit`); there is none.
    #[error("the token needs an extension that is not supported")]
    Critical,
    /// There is no key for its algorithm.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// It names a key that is not there.
    #[error("the token's key is not known")]
    UnknownKey,
    /// None of the keys made its signature.
    #[error("the token's signature is not valid")]
    Signature,
    /// Its time is over: the client needs a new one.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// It was made for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It was made by somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// A claim is missing or is not what it must be.
    #[error("the token's claim {0} is missing or not valid")]
    Claim(&'static str),
}

impl AuthError {
    /// A fixed word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLong => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::Critical => "token_critical",
            Self::Algorithm => "token_algorithm",
            Self::UnknownKey => "token_unknown_key",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::Early => "token_early",
            Self::Audience => "token_audience",
            Self::Issuer => "token_issuer",
            Self::Claim(_) => "token_claim",
        }
    }
}
