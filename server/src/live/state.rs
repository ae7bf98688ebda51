//! The text of a `StreamState`. Fields come as JSON text and leave as JSON text, because a join of ten thousand viewers
//! composes it ten thousand times: it must never be parsed more often than its fields change.
//!
//! Most members are one field each. Drops, wheels, polls and questions are a field each of their own, named
//! `<kind>.<id>`, whose text begins with `{"at":…`; what changes by itself in them (units left, votes) is not in the
//! field but among the fleet's counters, and written behind it.

use std::fmt::Write;

use haat_adapter::{Counter, Totals, market};
use serde::{Deserialize, de::IgnoredAny};

use super::reject::json;

/// The chat's mode until somebody changes it.
pub(super) const DEFAULT_MODE: &str = r#"{"slowSeconds":0,"membersOnly":false,"paused":false}"#;

/// Prefix of the counters of reactions.
pub(super) const REACTIONS: &str = "reactions.";

/// What has a list in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Drop,
    Wheel,
    Poll,
    Question,
}

impl Kind {
    /// In the order of the contract.
    const ALL: [Self; 4] = [Self::Drop, Self::Wheel, Self::Poll, Self::Question];

    /// Its name: of fields and of members of events.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Wheel => "wheel",
            Self::Poll => "poll",
            Self::Question => "question",
        }
    }

    /// The field of the one with this id.
    pub(super) fn field(self, id: &str) -> String {
        format!("{}.{id}", self.name())
    }

    fn of(field: &str) -> Option<Self> {
        let (name, _) = field.split_once('.')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What was taken under one opening of a thing.
pub(super) fn pool(field: &str, at: u64) -> String {
    format!("{field}@{at}")
}

/// A drop, wheel, poll or question, as far as all of them are alike.
#[derive(Debug)]
pub(super) struct Item {
    pub kind: Kind,
    pub id: Box<str>,
    /// See [`pool`].
    pub pool: Box<str>,
    /// As the field says it.
    pub status: Box<str>,
    /// When it has to be opened or closed.
    pub due: Option<u64>,
    /// Units may come back.
    pub holds: bool,
    /// Votes that the field shows.
    pub votes: u64,
    at: u64,
    /// The field's text without the last brace.
    head: Box<str>,
    numbers: Numbers,
}

/// What is written behind the field of an item, and the counters that it comes from.
#[derive(Debug)]
enum Numbers {
    Left { stock: u64, sold: Box<str> },
    Tally { options: Box<[Box<str>]>, votes: Box<str> },
    Votes(Box<str>),
    Spins(Box<str>),
}

/// What is read of a field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    at: u64,
    id: String,
    status: String,
    stock: Option<u64>,
    options: Option<Vec<IgnoredAny>>,
    opens_at: Option<u64>,
    ends_at: Option<u64>,
    hold_ms: Option<u64>,
    votes: Option<u64>,
}

impl Item {
    /// The item of a field; `None` if the field is none.
    pub(super) fn of(field: &str, text: &str) -> Option<Self> {
        let kind = Kind::of(field)?;
        let seen: Seen = serde_json::from_str(text).ok()?;
        let pool = pool(field, seen.at);
        let numbers = match kind {
            Kind::Drop => Numbers::Left { stock: seen.stock?, sold: market::sold(&pool).into() },
            Kind::Wheel => Numbers::Spins(market::sold(&pool).into()),
            Kind::Poll => {
                let options = 0..seen.options?.len();
                let options = options.map(|option| market::tally(&pool, option).into()).collect();
                Numbers::Tally { options, votes: market::votes(&pool).into() }
            }
            Kind::Question => Numbers::Votes(market::votes(&pool).into()),
        };
        let due = match &*seen.status {
            "scheduled" => seen.opens_at,
            "open" => seen.ends_at,
            _ => None,
        };
        Some(Self {
            kind,
            id: seen.id.into(),
            pool: pool.into(),
            due,
            holds: seen.hold_ms.is_some(),
            votes: seen.votes.unwrap_or(0),
            at: seen.at,
            head: head(kind, text).into(),
            status: seen.status.into(),
            numbers,
        })
    }

    /// When it was opened or asked.
    pub(super) fn opened(&self) -> u64 {
        self.at
    }

    /// Units that are left, for a drop.
    pub(super) fn left(&self, totals: &Totals) -> Option<u64> {
        match &self.numbers {
            Numbers::Left { stock, sold } => Some(stock.saturating_sub(value(totals, sold))),
            _ => None,
        }
    }

    /// Votes for each option and in all, for a poll or question.
    pub(super) fn votes(&self, totals: &Totals) -> Option<(Vec<u64>, u64)> {
        match &self.numbers {
            Numbers::Tally { options, votes } => {
                let tally = options.iter().map(|option| value(totals, option)).collect();
                Some((tally, value(totals, votes)))
            }
            Numbers::Votes(votes) => Some((Vec::new(), value(totals, votes))),
            Numbers::Left { .. } | Numbers::Spins(_) => None,
        }
    }

    /// The counters that are its own.
    pub(super) fn counters(&self) -> Vec<String> {
        match &self.numbers {
            Numbers::Left { sold, .. } => vec![sold.to_string(), market::returned(&self.pool)],
            Numbers::Tally { options, votes } => options.iter().chain([votes]).map(|name| name.to_string()).collect(),
            Numbers::Votes(name) | Numbers::Spins(name) => vec![name.to_string()],
        }
    }

    /// Its JSON object.
    pub(super) fn text(&self, totals: &Totals) -> String {
        let mut out = String::from(&*self.head);
        let _ = match &self.numbers {
            Numbers::Left { stock, sold } => {
                write!(out, r#","left":{}"#, stock.saturating_sub(value(totals, sold)))
            }
            Numbers::Tally { options, votes } => {
                let tally: Vec<u64> = options.iter().map(|option| value(totals, option)).collect();
                write!(out, r#","tally":{},"votes":{}"#, json(&tally), value(totals, votes))
            }
            Numbers::Votes(votes) => write!(out, r#","votes":{}"#, value(totals, votes)),
            Numbers::Spins(spins) => write!(out, r#","spins":{}"#, value(totals, spins)),
        };
        out.push('}');
        out
    }
}

/// A field's text up to where its numbers are written. A question's field ends with the votes that it showed last.
fn head(kind: Kind, text: &str) -> &str {
    let text = text.strip_suffix('}').unwrap_or(text);
    match kind {
        Kind::Question => text.rsplit_once(r#","votes":"#).map_or(text, |(head, _)| head),
        _ => text,
    }
}

/// What a counter stands at.
pub(super) fn value(totals: &Totals, name: &str) -> u64 {
    let place = totals.counters.binary_search_by(|counter| (*counter.name).cmp(name));
    place.ok().and_then(|place| totals.counters.get(place)).map_or(0, |counter| counter.value)
}

/// The counters of reactions, by kind.
pub(super) fn reactions(totals: &Totals) -> impl Iterator<Item = (&str, u64)> {
    let reaction = |counter: &'_ Counter| counter.name.starts_with(REACTIONS);
    let reactions =
        totals.counters.iter().skip_while(move |counter| !reaction(counter)).take_while(move |c| reaction(c));
    reactions.filter_map(|counter| Some((counter.name.strip_prefix(REACTIONS)?, counter.value)))
}

/// A JSON object of numbers.
pub(super) fn numbers<'a>(numbers: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut out = String::from("{");
    for (place, (name, value)) in numbers.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{}:{value}", json(name));
    }
    out.push('}');
    out
}

/// The part of a state that only changes with its fields, on both sides of the part that always changes.
#[derive(Debug)]
pub(super) struct Outline {
    head: Box<str>,
    tail: Box<str>,
    settings: Option<Box<str>>,
    /// By kind, then by the time of their opening.
    pub(super) items: Box<[Item]>,
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
    /// The outline of `stream`, whose fields are these: names and JSON texts.
    pub(super) fn new<'a>(stream: &str, fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let field = |name: &str| fields.clone().find(|field| field.0 == name).map(|field| field.1);
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
        for (name, default) in singles {
            let _ = write!(tail, r#","{name}":{}"#, field(name).unwrap_or(default));
        }
        let mut items: Vec<Item> = fields.clone().filter_map(|(name, text)| Item::of(name, text)).collect();
        items.sort_by(|one, other| (one.kind, one.at, &one.id).cmp(&(other.kind, other.at, &other.id)));
        let settings = field("settings").map(Into::into);
        Self { head: head.into(), tail: tail.into(), settings, items: items.into() }
    }

    /// The state in two pieces, between which its `seq` belongs.
    pub(super) fn pieces(&self, moment: Moment<'_>) -> [String; 2] {
        let Moment { now, epoch, viewers, totals } = moment;
        let Self { head, tail, .. } = self;
        let mut after = format!(r#","viewers":{viewers},"reactions":{}{tail}"#, numbers(reactions(totals)));
        for kind in Kind::ALL {
            let _ = write!(after, r#","{}s":["#, kind.name());
            for (place, item) in self.items.iter().filter(|item| item.kind == kind).enumerate() {
                after.push_str(if place == 0 { "" } else { "," });
                after.push_str(&item.text(totals));
            }
            after.push(']');
        }
        if let Some(settings) = &self.settings {
            let _ = write!(after, r#","settings":{settings}"#);
        }
        after.push('}');
        [format!(r#"{head},"now":{now},"epoch":"{epoch}","seq":"#), after]
    }

    /// The whole state at `seq`.
    pub(super) fn text(&self, moment: Moment<'_>, seq: u64) -> String {
        let [before, after] = self.pieces(moment);
        format!("{before}{seq}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: &str, value: u64) -> Counter {
        Counter { name: name.to_owned(), value }
    }

    #[test]
    fn a_state_has_every_member_in_order() {
        let fields = [
            ("title", r#""A \"sale\"""#),
            ("status", r#""live""#),
            ("startedAt", "5"),
            ("products", r#"[{"id":"a"}]"#),
            ("revision", "9"),
        ];
        let outline = Outline::new("main", fields.into_iter());
        let counters = vec![counter("messages", 9), counter("reactions.fire", 2), counter("reactions.heart", 3)];
        let totals = Totals { counters, ..Totals::default() };
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

    #[test]
    fn lists_are_in_the_order_of_opening_with_their_numbers() {
        let fields = [
            ("drop.a", r#"{"at":9,"id":"a","stock":5,"status":"open"}"#),
            ("drop.b", r#"{"at":10,"id":"b","stock":5,"status":"scheduled","opensAt":20,"endsAt":30}"#),
            ("drop.c", r#"{"at":8,"id":"c","stock":5,"status":"closed","endsAt":9}"#),
            ("poll.p", r#"{"at":1,"id":"p","options":["x","y"],"status":"open","endsAt":7}"#),
            ("question.q", r#"{"at":1,"id":"q","status":"open","votes":3}"#),
            ("wheel.w", r#"{"at":1,"id":"w","status":"open"}"#),
            ("other.x", r#"{"at":1,"id":"x","status":"open"}"#),
        ];
        let counters = vec![
            counter("sold.drop.a@9", 2),
            counter("sold.wheel.w@1", 6),
            counter("tally.poll.p@1.1", 4),
            counter("votes.poll.p@1", 4),
            counter("votes.question.q@1", 7),
        ];
        let totals = Totals { counters, ..Totals::default() };
        let outline = Outline::new("main", fields.into_iter());
        let [_, text] = outline.pieces(Moment { now: 0, epoch: "", viewers: 0, totals: &totals });
        let lists = concat!(
            r#","drops":[{"at":8,"id":"c","stock":5,"status":"closed","endsAt":9,"left":5},"#,
            r#"{"at":9,"id":"a","stock":5,"status":"open","left":3},"#,
            r#"{"at":10,"id":"b","stock":5,"status":"scheduled","opensAt":20,"endsAt":30,"left":5}],"#,
            r#""wheels":[{"at":1,"id":"w","status":"open","spins":6}],"#,
            r#""polls":[{"at":1,"id":"p","options":["x","y"],"status":"open","endsAt":7,"tally":[0,4],"votes":4}],"#,
            r#""questions":[{"at":1,"id":"q","status":"open","votes":7}]}"#
        );
        assert!(text.ends_with(lists), "{text}");
        let due: Vec<Option<u64>> = outline.items.iter().map(|item| item.due).collect();
        assert_eq!(due, [None, None, Some(20), None, Some(7), None]);
        assert_eq!(outline.items[1].counters(), ["sold.drop.a@9", "returned.drop.a@9"]);
    }
}
