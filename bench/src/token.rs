//! Tokens that the server under test accepts: HS256 JWTs with the claims of haat.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Seconds until a token expires: longer than any run.
const LIFETIME_SECONDS: u64 = 24 * 3600;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    /// Watches and chats.
    Viewer,
    /// Runs every stream.
    Supplier,
}

/// Makes tokens from the server's secret.
pub(crate) struct Mint {
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    name: &'a str,
    role: Permission,
    streams: [&'static str; 1],
    exp: u64,
}

impl Mint {
    /// A mint for this HS256 secret, taken as it is.
    pub(crate) fn new(secret: &str) -> Self {
        Self { key: EncodingKey::from_secret(secret.as_bytes()) }
    }

    /// A token for this user, valid for a day.
    ///
    /// # Errors
    /// If the library cannot sign.
    pub(crate) fn token(&self, user: &str, role: Permission) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let claims = Claims { sub: user, name: user, role, streams: ["*"], exp: now.as_secs() + LIFETIME_SECONDS };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).context("signing a token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode};

    #[test]
    fn a_token_verifies_with_its_secret_only() {
        let secret = "0123456789abcdef0123456789abcdef";
        let token = Mint::new(secret).token("u7", Permission::Supplier).unwrap();
        let validation = Validation::new(Algorithm::HS256);
        let good = DecodingKey::from_secret(secret.as_bytes());
        let claims = decode::<serde_json::Value>(&token, &good, &validation).unwrap().claims;
        assert_eq!(claims["sub"], "u7");
        assert_eq!(claims["role"], "supplier");
        assert_eq!(claims["streams"][0], "*");
        let bad = DecodingKey::from_secret(b"another");
        assert!(decode::<serde_json::Value>(&token, &bad, &validation).is_err());
    }
}
