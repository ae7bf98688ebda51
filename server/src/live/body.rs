//! [`Body`]: the object that a command carries. It must never take a field for granted: every getter says which field is
//! missing or wrong, and what it must be.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use serde::{
    Deserialize, Deserializer as _,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    reject::{Code, Reject},
    text::truncate,
};

/// Most characters of a stream's id, and of the ids of things in it.
const MAX_ID: usize = 64;

/// The members of a JSON object, each as its text. No name comes twice: it would mean one thing here and another to
/// whoever reads the first of them.
#[derive(Debug)]
pub struct Body<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Body<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// `bad_request` if the text is anything else.
    pub fn parse(text: &'a str) -> Result<Self, Reject> {
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json.deserialize_map(Members).map_err(|_| Self::wrong())?;
        json.end().map_err(|_| Self::wrong())?;
        let body = Self(members);
        match body.repeated() {
            Some(name) => Err(Reject::new(Code::BadRequest, format!("\"{}\" is given twice", truncate(name, MAX_ID)))),
            None => Ok(body),
        }
    }

    /// A name that comes twice. There may be thousands of names.
    fn repeated(&self) -> Option<&str> {
        let mut names: SmallVec<[&str; 8]> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.array_windows().find(|[one, next]| one == next).map(|[name, _]| *name)
    }

    fn wrong() -> Reject {
        Reject::new(Code::BadRequest, "a command takes one object")
    }

    /// The JSON text of a member.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| value.get())
    }

    /// A member that must be there; `wanted` says what it must be.
    ///
    /// # Errors
    /// `bad_request`
    pub fn get<T: DeserializeOwned>(&self, name: &str, wanted: &str) -> Result<T, Reject> {
        self.optional(name, wanted)?.ok_or_else(|| Reject::field(name, wanted))
    }

    /// A member that may be left out.
    ///
    /// # Errors
    /// `bad_request` if it is there and wrong; `null` is wrong too.
    pub fn optional<T: DeserializeOwned>(&self, name: &str, wanted: &str) -> Result<Option<T>, Reject> {
        let Some(text) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|_| Reject::field(name, wanted))
    }

    /// An integer; above the range it is clamped, left out it is `default`.
    ///
    /// # Errors
    /// `bad_request` if it is no integer, or below the range.
    pub fn clamped(&self, name: &str, range: RangeInclusive<u64>, default: u64) -> Result<usize, Reject> {
        let wanted = "a whole number";
        let value = self.optional::<u64>(name, wanted)?.unwrap_or(default);
        if value < *range.start() {
            return Err(Reject::field(name, &format!("at least {}", range.start())));
        }
        Ok(usize::try_from(value.min(*range.end())).unwrap_or(usize::MAX))
    }

    /// An id: 1 to 64 characters of `A-Za-z0-9_-`.
    ///
    /// # Errors
    /// `bad_request`
    pub fn id(&self, name: &str) -> Result<String, Reject> {
        let wanted = "an id: 1 to 64 of A-Z a-z 0-9 _ -";
        let id: String = self.get(name, wanted)?;
        if is_id(&id) { Ok(id) } else { Err(Reject::field(name, wanted)) }
    }
}

/// Whether a text has the form of the id of a stream, or of something in it.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

struct Members;

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(4);
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field() {
        let body = Body::parse(r#"{"stream":"a b","count":1.5,"text":null,"n":"1"}"#).unwrap();
        let message = |reject: Reject| (reject.code, reject.message.into_owned());
        let bad = |text: &str| (Code::BadRequest, text.to_owned());
        assert_eq!(
            message(body.id("stream").unwrap_err()),
            bad("\"stream\" must be an id: 1 to 64 of A-Z a-z 0-9 _ -")
        );
        assert_eq!(message(body.clamped("count", 0..=9, 1).unwrap_err()), bad("\"count\" must be a whole number"));
        assert_eq!(message(body.optional::<String>("text", "a text").unwrap_err()), bad("\"text\" must be a text"));
        assert_eq!(message(body.get::<u64>("n", "a number").unwrap_err()), bad("\"n\" must be a number"));
        assert_eq!(message(body.get::<u64>("none", "a number").unwrap_err()), bad("\"none\" must be a number"));
    }

    #[test]
    fn only_one_object_is_a_body() {
        for text in ["", "null", "[]", "1", "\"a\"", "{", "{} {}", "{\"a\":1,}", "{\"a\":\"\\ud800\"}x"] {
            assert!(Body::parse(text).is_err(), "{text}");
        }
        assert!(Body::parse(" {} ").is_ok());
    }

    #[test]
    fn no_member_comes_twice_and_names_may_be_escaped() {
        for text in [r#"{"a":1,"b":2,"a":1}"#, r#"{"te\u0078t":"a","text":"b","more":[{}]}"#, r#"{"":1,"":1}"#] {
            assert!(Body::parse(text).is_err(), "{text}");
        }
        let body = Body::parse(r#"{"te\u0078t":"a"}"#).unwrap();
        assert_eq!(body.get::<String>("text", "").unwrap(), "a");
    }

    #[test]
    fn large_numbers_are_clamped_and_negative_ones_are_wrong() {
        let body = Body::parse(r#"{"a":500,"b":-1,"c":0}"#).unwrap();
        assert_eq!(body.clamped("a", 0..=200, 50).unwrap(), 200);
        assert!(body.clamped("b", 0..=200, 50).is_err());
        assert!(body.clamped("c", 1..=200, 50).is_err());
        assert_eq!(body.clamped("d", 0..=200, 50).unwrap(), 50);
    }
}
