//! What the claims of a token must be. Nothing is guessed: a claim of the wrong type refuses the token.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    AuthError,
    identity::{Identity, Role, Streams, User},
};

/// Characters of a user id.
const ID_CHARS: usize = 128;
/// Characters of a display name.
const NAME_CHARS: usize = 64;
/// The last second of the year 9999: no token is meant to hold longer, and every clock can show it.
const LAST_SECOND: u64 = 253_402_300_799;

/// What is checked beside the claims themselves.
pub(super) struct Terms {
    pub(super) audience: Option<Box<str>>,
    pub(super) issuer: Option<Box<str>>,
    /// In seconds.
    pub(super) leeway: u64,
}

/// The claims, as they are written.
#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    sub: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    streams: Option<&'a RawValue>,
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Option<&'a RawValue>,
    #[serde(borrow)]
    iat: Option<&'a RawValue>,
    #[serde(borrow)]
    aud: Option<&'a RawValue>,
    #[serde(borrow)]
    iss: Option<&'a RawValue>,
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

impl Texts<'_> {
    fn as_slice(&self) -> &[Cow<'_, str>] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl Payload<'_> {
    /// Whom the claims name, if they hold `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The first claim that does not.
    pub(super) fn identity(&self, terms: &Terms, now: u64) -> Result<Identity, AuthError> {
        let expires = self.check_times(terms.leeway, now)?;
        self.check_terms(terms)?;
        let role = match claim::<Cow<'_, str>>("role", self.role)? {
            Some(role) => role.parse().map_err(|()| AuthError::Claim("role"))?,
            None => Role::Viewer,
        };
        let expires = Some(UNIX_EPOCH + Duration::from_secs(expires));
        Ok(Identity { user: self.user()?, role, streams: self.streams()?, guest: false, expires })
    }

    fn check_times(&self, leeway: u64, now: u64) -> Result<u64, AuthError> {
        let expires: u64 = claim("exp", self.exp)?.ok_or(AuthError::Claim("exp"))?;
        if expires > LAST_SECOND {
            return Err(AuthError::Claim("exp"));
        }
        if expires.saturating_add(leeway) <= now {
            return Err(AuthError::Expired);
        }
        for (name, raw) in [("nbf", self.nbf), ("iat", self.iat)] {
            if claim::<u64>(name, raw)?.is_some_and(|time| time > now.saturating_add(leeway)) {
                return Err(AuthError::Early);
            }
        }
        Ok(expires)
    }

    fn check_terms(&self, terms: &Terms) -> Result<(), AuthError> {
        if let Some(issuer) = &terms.issuer {
            let named: Option<Cow<'_, str>> = claim("iss", self.iss)?;
            if named.as_deref() != Some(issuer) {
                return Err(AuthError::Issuer);
            }
        }
        if let Some(audience) = &terms.audience {
            let named: Option<Texts<'_>> = claim("aud", self.aud)?;
            if !named.is_some_and(|named| named.as_slice().iter().any(|one| **one == **audience)) {
                return Err(AuthError::Audience);
            }
        }
        Ok(())
    }

    fn user(&self) -> Result<User, AuthError> {
        let id: Cow<'_, str> = claim("sub", self.sub)?.ok_or(AuthError::Claim("sub"))?;
        if !(1..=ID_CHARS).contains(&id.chars().count()) || id.chars().any(char::is_control) {
            return Err(AuthError::Claim("sub"));
        }
        let name: Option<Cow<'_, str>> = claim("name", self.name)?;
        if name.as_ref().is_some_and(|name| name.chars().count() > NAME_CHARS) {
            return Err(AuthError::Claim("name"));
        }
        let id: Arc<str> = id.into();
        let names = [name.as_deref().unwrap_or_default(), &id, "?"].map(shown);
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        // Most tokens without a name have an id that can be shown as it is; it is then kept once.
        let name = if *name == *id { id.clone() } else { name.into() };
        Ok(User { id, name })
    }

    fn streams(&self) -> Result<Streams, AuthError> {
        let bad = AuthError::Claim("streams");
        match claim("streams", self.streams)? {
            None => Ok(Streams::List(Box::default())),
            Some(Texts::One(text)) => (text == "*").then_some(Streams::All).ok_or(bad),
            Some(Texts::Many(list)) if list.iter().any(|id| id == "*") => Ok(Streams::All),
            Some(Texts::Many(list)) if list.iter().all(|id| is_stream(id)) => {
                Ok(Streams::List(list.into_iter().map(|id| id.into_owned().into_boxed_str()).collect()))
            }
            Some(Texts::Many(_)) => Err(bad),
        }
    }
}

fn claim<'a, T: Deserialize<'a>>(name: &'static str, raw: Option<&'a RawValue>) -> Result<Option<T>, AuthError> {
    raw.map(|raw| serde_json::from_str(raw.get())).transpose().map_err(|_| AuthError::Claim(name))
}

/// A name without what would break a line, or turn the text around that it stands in.
fn shown(name: &str) -> String {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let kept: String = name.chars().filter(|c| !turns(*c) && !breaks(*c)).take(NAME_CHARS).collect();
    kept.trim().to_owned()
}

fn is_stream(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
