//! Makes tokens for development and tests. It must not make one that the server would refuse for its claims.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::{
    AuthError, AuthSettings, KeySource, SECRET_BYTES,
    payload::{Payload, Terms},
};

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id, 1 to 128 characters.
    pub sub: String,
    /// The user's name, at most 64 characters; default `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `viewer`, `supplier`, `moderator` or `service`.
    pub role: String,
    /// Streams that the role holds for; `*` is all of them.
    #[serde(default)]
    pub streams: Vec<String>,
    /// When the token expires, in seconds since 1970.
    pub exp: u64,
}

/// Why a token is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The secret is shorter than [`SECRET_BYTES`], or there is none.
    #[error("tokens are signed with a secret of at least 32 bytes")]
    Secret,
    /// The server would not accept it.
    #[error(transparent)]
    Claims(#[from] AuthError),
    /// The signature was not made.
    #[error("the token could not be signed")]
    Signing,
}

#[derive(Serialize)]
struct Issued<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

/// A token with these claims, signed with HS256.
///
/// # Errors
/// The secret is too short, or the server would not accept the claims. An `exp` of the past is no error.
pub fn mint(secret: &[u8], claims: &Claims) -> Result<String, MintError> {
    sign(secret, &Issued { claims, aud: None, iss: None })
}

impl AuthSettings {
    /// A token with these claims that these settings accept: signed with their first secret, for their audience.
    ///
    /// # Errors
    /// There is no secret, or the claims would not be accepted. An `exp` of the past is no error.
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        let secret = self.keys.iter().find_map(|key| match key {
            KeySource::Secret(secret) => Some(secret),
            KeySource::Pem { .. } | KeySource::Jwks { .. } => None,
        });
        let issued = Issued { claims, aud: self.audience.as_deref(), iss: self.issuer.as_deref() };
        sign(secret.ok_or(MintError::Secret)?, &issued)
    }
}

fn sign(secret: &[u8], issued: &Issued<'_>) -> Result<String, MintError> {
    if secret.len() < SECRET_BYTES {
        return Err(MintError::Secret);
    }
    let text = serde_json::to_string(issued).map_err(|_| MintError::Signing)?;
    let payload: Payload<'_> = serde_json::from_str(&text).map_err(|_| MintError::Signing)?;
    payload.identity(&Terms { audience: None, issuer: None, leeway: 0 }, 0)?;
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), issued, &EncodingKey::from_secret(secret))
        .map_err(|_| MintError::Signing)
}
