//! Packets with placeholders, so that any Socket.IO server can be measured.
//!
//! Values are put in as they are: the generator makes them of letters, digits and `-` only.

use thiserror::Error;

/// A parsed template: JSON with `{room}`, `{text}`, `{user}`, `{n}` and `{token}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// What fills a template.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Values<'a> {
    /// Name of the room.
    pub(crate) room: &'a str,
    /// Text of a message.
    pub(crate) text: &'a str,
    /// Name of the user.
    pub(crate) user: &'a str,
    /// Number of the connection.
    pub(crate) n: usize,
    /// The user's token.
    pub(crate) token: &'a str,
}

/// A template that no packet can be made of.
#[derive(Debug, Error)]
pub(crate) enum TemplateError {
    /// Not JSON once filled.
    #[error("template {template}: {source}")]
    Json {
        /// As it was given.
        template: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An event must be an array that begins with its name.
    #[error("template {0}: an event is an array that begins with its name")]
    NotAnEvent(String),
    /// CONNECT's payload must be an object.
    #[error("template {0}: auth is an object")]
    NotAnObject(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Room,
    Text,
    User,
    N,
    Token,
}

const NAMES: [(&str, Part); 5] = [
    ("{room}", Part::Room),
    ("{text}", Part::Text),
    ("{user}", Part::User),
    ("{n}", Part::N),
    ("{token}", Part::Token),
];

impl Template {
    /// A template that is not looked at.
    pub(crate) fn raw(template: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let hit = NAMES
                .iter()
                .filter_map(|(name, part)| rest.find(name).map(|at| (at, name.len(), part)))
                .min_by_key(|(at, ..)| *at);
            let (at, len, part) = match hit {
                Some((at, len, part)) => (at, len, Some(part)),
                None => (rest.len(), 0, None),
            };
            if at > 0 {
                parts.push(Part::Literal(rest[..at].to_owned()));
            }
            parts.extend(part.cloned());
            rest = &rest[at + len..];
        }
        Self { parts }
    }

    /// A template of an event: `["name", …]`.
    ///
    /// # Errors
    /// [`TemplateError`] if it is not an event once filled.
    pub(crate) fn event(template: &str) -> Result<Self, TemplateError> {
        let parsed = Self::raw(template);
        match parsed.check(template)? {
            serde_json::Value::Array(items) if items.first().is_some_and(|v| v.is_string()) => Ok(parsed),
            _ => Err(TemplateError::NotAnEvent(template.to_owned())),
        }
    }

    /// A template of CONNECT's payload: an object.
    ///
    /// # Errors
    /// [`TemplateError`] if it is not an object once filled.
    pub(crate) fn auth(template: &str) -> Result<Self, TemplateError> {
        let parsed = Self::raw(template);
        match parsed.check(template)? {
            serde_json::Value::Object(_) => Ok(parsed),
            _ => Err(TemplateError::NotAnObject(template.to_owned())),
        }
    }

    /// The template with its placeholders filled.
    pub(crate) fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Room => out.push_str(values.room),
                Part::Text => out.push_str(values.text),
                Part::User => out.push_str(values.user),
                Part::N => out.push_str(&values.n.to_string()),
                Part::Token => out.push_str(values.token),
            }
        }
        out
    }

    /// What stands before and behind the first `{text}`, the rest filled; `None` without `{text}`.
    pub(crate) fn around_text(&self, values: &Values<'_>) -> Option<(String, String)> {
        let at = self.parts.iter().position(|part| *part == Part::Text)?;
        let half = |parts: &[Part]| Self { parts: parts.to_vec() }.fill(values);
        Some((half(&self.parts[..at]), half(&self.parts[at + 1..])))
    }

    /// Whether a token is wanted.
    pub(crate) fn wants_token(&self) -> bool {
        self.parts.contains(&Part::Token)
    }

    fn check(&self, template: &str) -> Result<serde_json::Value, TemplateError> {
        let filled = self.fill(&Values { room: "r", text: "t", user: "u", n: 0, token: "k" });
        serde_json::from_str(&filled).map_err(|source| TemplateError::Json { template: template.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> = Values { room: "r1", text: "hello", user: "u9", n: 9, token: "a.b.c" };

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        let template =
            Template::event(r#"["chat:send",{"stream":"{room}","text":"{text}","by":"{user}","n":{n}}]"#).unwrap();
        assert_eq!(template.fill(&VALUES), r#"["chat:send",{"stream":"r1","text":"hello","by":"u9","n":9}]"#);
        let auth = Template::auth(r#"{"token":"{token}"}"#).unwrap();
        assert_eq!(auth.fill(&VALUES), r#"{"token":"a.b.c"}"#);
        assert!(auth.wants_token());
        assert!(!template.wants_token());
    }

    #[test]
    fn the_halves_around_the_text_make_the_whole() {
        let template = Template::event(r#"["say","{room}","{text}",{"n":{n}}]"#).unwrap();
        let (before, after) = template.around_text(&VALUES).unwrap();
        assert_eq!(format!("{before}hello{after}"), template.fill(&VALUES));
        assert!(Template::raw("{room}").around_text(&VALUES).is_none());
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(matches!(Template::event(r#"{"a":1}"#), Err(TemplateError::NotAnEvent(_))));
        assert!(matches!(Template::event("[1]"), Err(TemplateError::NotAnEvent(_))));
        assert!(matches!(Template::event(r#"["join","#), Err(TemplateError::Json { .. })));
        assert!(matches!(Template::auth("[]"), Err(TemplateError::NotAnObject(_))));
    }
}
