//! The text of a `StreamState`. It must never be parsed here: fields come as JSON text and leave as JSON text, because a
//! join of ten thousand viewers composes it ten thousand times.

use std::fmt::Write;

use haat_adapter::Totals;

use super::reject::json;

/// Lists that are empty until something opens, in the order of the contract.
const LISTS: [&str; 4] = ["drops", "wheels", "polls", "questions"];

/// The chat's mode until somebody changes it.
pub(super) const DEFAULT_MODE: &str = r#"{"slowSeconds":0,"membersOnly":false,"paused":false}"#;

/// Prefix of the counters of reactions.
const REACTIONS: &str = "reactions.";

/// The part of a state that only changes with its fields, on both sides of the part that always changes.
#[derive(Debug)]
pub(super) struct Outline {
    head: Box<str>,
    tail: Box<str>,
}

/// The part that always changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// Server time in ms since 1970.
    pub now: u64,
    /// The log's epoch.
    pub epoch: &'a str,
    /// Viewers of the fleet.
    pub viewers: u64,
    /// Counters of the fleet.
    pub totals: &'a Totals,
}

impl Outline {
    /// The outline of `stream`; `field` gives the JSON text of a state field.
    pub(super) fn new<'a>(stream: &str, field: impl Fn(&str) -> Option<&'a str>) -> Self {
        let mut head = format!(r#"{{"id":"{stream}""#);
        for (name, default) in [("title", "\"\""), ("supplier", "null"), ("status", "\"scheduled\"")] {
            let _ = write!(head, r#","{name}":{}"#, field(name).unwrap_or(default));
        }
        for name in ["startedAt", "endedAt"] {
            if let Some(text) = field(name) {
                let _ = write!(head, r#","{name}":{text}"#);
            }
        }
        let mut tail = String::new();
        let singles = [
            ("products", "[]"),
            ("pinnedProduct", "null"),
            ("pinnedMessage", "null"),
            ("notice", "null"),
            ("mode", DEFAULT_MODE),
        ];
        for (name, default) in singles.into_iter().chain(LISTS.map(|name| (name, "[]"))) {
            let _ = write!(tail, r#","{name}":{}"#, field(name).unwrap_or(default));
        }
        if let Some(settings) = field("settings") {
            let _ = write!(tail, r#","settings":{settings}"#);
        }
        tail.push('}');
        Self { head: head.into(), tail: tail.into() }
    }

    /// The state in two pieces, between which its `seq` belongs.
    pub(super) fn pieces(&self, moment: Moment<'_>) -> [String; 2] {
        let Moment { now, epoch, viewers, totals } = moment;
        let Self { head, tail } = self;
        let mut after = format!(r#","viewers":{viewers},"reactions":{{"#);
        let kinds =
            totals.counters.iter().filter_map(|counter| Some((counter.name.strip_prefix(REACTIONS)?, counter.value)));
        for (place, (kind, count)) in kinds.enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let _ = write!(after, "{comma}{}:{count}", json(&kind));
        }
        let _ = write!(after, "}}{tail}");
        [format!(r#"{head},"now":{now},"epoch":"{epoch}","seq":"#), after]
    }

    /// The whole state at `seq`.
    pub(super) fn text(&self, moment: Moment<'_>, seq: u64) -> String {
        let [before, after] = self.pieces(moment);
        format!("{before}{seq}{after}")
    }
}

/// Server time in ms since 1970.
pub(super) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use haat_adapter::Counter;

    use super::*;

    #[test]
    fn a_state_has_every_member_in_order() {
        let fields = [
            ("title", r#""A \"sale\"""#),
            ("status", r#""live""#),
            ("startedAt", "5"),
            ("products", r#"[{"id":"a"}]"#),
        ];
        let outline = Outline::new("main", |name| fields.iter().find(|field| field.0 == name).map(|field| field.1));
        let counter = |name: &str, value| Counter { name: name.to_owned(), value };
        let totals = Totals {
            counters: vec![counter("messages", 9), counter("reactions.fire", 2), counter("reactions.heart", 3)],
            ..Totals::default()
        };
        let text = outline.text(Moment { now: 10, epoch: "e", viewers: 4, totals: &totals }, 7);
        assert_eq!(
            text,
            concat!(
                r#"{"id":"main","title":"A \"sale\"","supplier":null,"status":"live","startedAt":5,"now":10,"epoch":"e","#,
                r#""seq":7,"viewers":4,"reactions":{"fire":2,"heart":3},"products":[{"id":"a"}],"pinnedProduct":null,"#,
                r#""pinnedMessage":null,"notice":null,"mode":{"slowSeconds":0,"membersOnly":false,"paused":false},"#,
                r#""drops":[],"wheels":[],"polls":[],"questions":[]}"#
            )
        );
    }
}
