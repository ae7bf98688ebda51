//! Just enough JSON to check a payload and find its parts without building values. It must never read numbers or texts
//! as anything but text: what they mean is the application's business.
//!
//! serde_json checks the grammar. All other functions here take JSON that it has found to be valid.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Rejection;

/// The texts of the first two elements of an array.
#[derive(Debug, Default)]
pub(crate) struct Array<'a> {
    pub(crate) first: Option<&'a str>,
    pub(crate) second: Option<&'a str>,
}

/// Checks a whole text; `None` if it is not exactly one JSON array.
pub(crate) fn array(text: &str) -> Option<Array<'_>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let array = json.deserialize_seq(Elements).ok()?;
    json.end().ok()?;
    Some(array)
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Array<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Array<'de>, A::Error> {
        let Some(first) = seq.next_element::<&RawValue>()? else { return Ok(Array::default()) };
        let second = seq.next_element::<&RawValue>()?;
        if second.is_some() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(Array { first: Some(first.get()), second: second.map(RawValue::get) })
    }
}

/// Whether a whole text is exactly one JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Without the white space around it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// Whether it starts with white space.
pub(crate) fn is_indented(text: &str) -> bool {
    text.starts_with([' ', '\t', '\n', '\r'])
}

/// What the text of a JSON string says; `None` if it is not a string.
///
/// # Errors
/// It has half a surrogate pair.
pub(crate) fn string(text: &str) -> Option<Result<Cow<'_, str>, Rejection>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Ok(Cow::Borrowed(inner)));
    }
    // The grammar is known to be right, so only a lone surrogate can still fail.
    Some(serde_json::from_str(text).map(Cow::Owned).map_err(|_| Rejection::BadText))
}

/// How large a text is, seen from outside: never less than the truth, and cheap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outline {
    /// Brackets and braces that open, those inside strings included.
    opens: usize,
    commas: usize,
    escapes: bool,
}

impl Outline {
    pub(crate) fn of(json: &str) -> Self {
        let mut outline = Self { opens: 0, commas: 0, escapes: false };
        // Counting in bytes, in blocks that cannot overflow one, is what lets the compiler use vector instructions.
        for block in json.as_bytes().chunks(255) {
            let (mut opens, mut commas, mut escapes) = (0_u8, 0_u8, 0_u8);
            for &byte in block {
                opens = opens.wrapping_add(u8::from((byte == b'[') | (byte == b'{')));
                commas = commas.wrapping_add(u8::from(byte == b','));
                escapes |= u8::from(byte == b'\\');
            }
            outline.opens += usize::from(opens);
            outline.commas += usize::from(commas);
            outline.escapes |= escapes != 0;
        }
        outline
    }
}

/// Whether `json` stays within both limits. Each element of an array and each member of an object is a value.
///
/// # Errors
/// Which limit it breaks.
pub(crate) fn check_size(json: &str, outline: Outline, max_depth: usize, max_values: usize) -> Result<(), Rejection> {
    if outline.opens <= max_depth && outline.opens + outline.commas <= max_values {
        return Ok(());
    }
    let (mut depth, mut values) = (0_usize, 0_usize);
    let mut after_open = false;
    for token in Tokens::of(json) {
        // A comma announces one value; the first value of an array or object has none in front.
        values += usize::from(token == Token::Comma) + usize::from(after_open && token != Token::Close);
        after_open = matches!(token, Token::Open { .. });
        match token {
            Token::Open { .. } => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max_depth {
            return Err(Rejection::TooDeep);
        }
        if values > max_values {
            return Err(Rejection::TooManyValues);
        }
    }
    Ok(())
}

/// Whether every `\u` escape is a character or half of a pair.
///
/// # Errors
/// [`Rejection::BadText`]
pub(crate) fn check_text(json: &str, outline: Outline) -> Result<(), Rejection> {
    if !outline.escapes {
        return Ok(());
    }
    let mut rest = json;
    // In valid JSON a backslash always starts an escape, and only occurs in strings.
    while let Some((_, escape)) = rest.split_once('\\') {
        rest = match unicode_escape(escape) {
            None => skip(escape, 1),
            Some((0xd800..=0xdbff, after)) => match after.strip_prefix('\\').and_then(unicode_escape) {
                Some((0xdc00..=0xdfff, after)) => after,
                _ => return Err(Rejection::BadText),
            },
            Some((0xdc00..=0xdfff, _)) => return Err(Rejection::BadText),
            Some((_, after)) => after,
        };
    }
    Ok(())
}

/// The number of `uXXXX`, and what follows it.
fn unicode_escape(text: &str) -> Option<(u16, &str)> {
    let digits = text.strip_prefix('u')?;
    let (digits, rest) = digits.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

fn skip(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

/// A piece of valid JSON. Colons are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// An array or an object begins.
    Open {
        object: bool,
    },
    /// It ends.
    Close,
    Comma,
    /// A key, text, number or word, as it is written.
    Scalar(&'a str),
}

/// The pieces of valid JSON in their order. On anything else they are wrong, but they do end.
pub(crate) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(json: &'a str) -> Self {
        Self { rest: json }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ':']);
        let token = match self.rest.as_bytes().first()? {
            b'[' => Token::Open { object: false },
            b'{' => Token::Open { object: true },
            b']' | b'}' => Token::Close,
            b',' => Token::Comma,
            b'"' => return Some(Token::Scalar(self.take(string_len(self.rest)))),
            _ => {
                let ends = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':' | b',' | b']' | b'}');
                let len = self.rest.bytes().position(ends).unwrap_or(self.rest.len());
                return Some(Token::Scalar(self.take(len)));
            }
        };
        self.take(1);
        Some(token)
    }
}

/// Bytes of the string that `text` starts with, both quotes counted.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn values(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.len() + items.iter().map(values).sum::<usize>(),
            Value::Object(members) => members.len() + members.values().map(values).sum::<usize>(),
            _ => 0,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = r#"["\\,:\[\]{} a\n\u{1F600}]{0,6}"#;
        let leaf = prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), text.prop_map(Value::from)];
        leaf.prop_recursive(6, 40, 5, move |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                vec((text, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn size_is_that_of_the_value(json in any_json(), indented in any::<bool>()) {
            let text = if indented { serde_json::to_string_pretty(&json).unwrap() } else { json.to_string() };
            let outline = Outline::of(&text);
            let (depth, values) = (depth(&json), values(&json));
            prop_assert_eq!(check_size(&text, outline, depth, values), Ok(()));
            if let Some(less) = depth.checked_sub(1) {
                prop_assert_eq!(check_size(&text, outline, less, usize::MAX), Err(Rejection::TooDeep));
            }
            if let Some(less) = values.checked_sub(1) {
                prop_assert_eq!(check_size(&text, outline, usize::MAX, less), Err(Rejection::TooManyValues));
            }
        }

        #[test]
        fn an_outline_counts_every_byte(opens in 0..1100_usize, commas in 0..1100_usize, escape in any::<bool>()) {
            let text = format!("{}{}{}", "[".repeat(opens), ",".repeat(commas), if escape { "\\" } else { "" });
            let outline = Outline::of(&text);
            prop_assert_eq!((outline.opens, outline.commas, outline.escapes), (opens, commas, escape));
        }

        /// serde_json, which does not say why it refuses a text, refuses these escapes for surrogates only.
        #[test]
        fn text_is_refused_where_serde_json_refuses_it(escapes in vec(
            prop_oneof![
                Just(r"\ud83d"), Just(r"\ude00"), Just(r"\uD800"), Just(r"\uDFFF"), Just(r"\u0041"), Just(r"\ue000"),
                Just(r"\\"), Just(r#"\""#), Just(r"\n"), Just("u"), Just("d800"), Just("é"),
            ],
            0..8,
        )) {
            let text = format!("[\"{}\"]", escapes.concat());
            prop_assert!(array(&text).is_some(), "{} is not valid", text);
            let taken = serde_json::from_str::<Value>(&text).is_ok();
            prop_assert_eq!(check_text(&text, Outline::of(&text)).is_ok(), taken, "{}", text);
        }

        #[test]
        fn tokens_are_all_of_the_text(json in any_json()) {
            let text = json.to_string();
            let spell = |token| match token {
                Token::Open { object } => if object { "{" } else { "[" }.to_owned(),
                Token::Close => "]".to_owned(),
                Token::Comma => ",".to_owned(),
                Token::Scalar(scalar) => scalar.to_owned(),
            };
            let rebuilt: String = Tokens::of(&text).map(spell).collect();
            // Colons and the kind of a closing bracket are not in the tokens; count what is.
            prop_assert_eq!(rebuilt.len() + colons(&json), text.len());
        }

        #[test]
        fn tokens_end_on_any_text(text in any::<String>()) {
            prop_assert!(Tokens::of(&text).count() <= text.len());
        }
    }

    fn colons(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(colons).sum(),
            Value::Object(members) => members.len() + members.values().map(colons).sum::<usize>(),
            _ => 0,
        }
    }
}
