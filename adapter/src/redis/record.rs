//! A log entry as bytes: what lies in the log, and what is published to haat gateways.
//!
//! ```text
//! 1 <epoch> <seq> <clock> <bytes of the first part> <its check sum> <check sum of the second>\n<first part><second part>
//! ```
//!
//! The gateway makes both parts, and the check sums, before it knows the number; Redis puts the line before them and never
//! looks inside, but for [`Append::record`](crate::Append::record). The first part is the event's name and the changed fields, the second the event's data, which an erased
//! entry lacks (its check sum is `-`). Both are lists of `<bytes>:<text>`. Texts are kept in pieces, between each two of
//! which the reader writes the number.
//!
//! Where values other than the number belong between the pieces of the data, the line is
//!
//! ```text
//! 2 <epoch> <seq> <clock> <values> <bytes of the first part> <its check sum> <check sum of the second>\n
//! ```
//!
//! with commas between the values, and `-` for the number.
//!
//! Another version is a form that this gateway does not know. Whoever changes the form changes the version, and
//! reads the one before.

use std::{fmt::Write, sync::Arc};

use crate::{Entry, Position};

/// What an erased entry's `data` is.
const ERASED: &str = "null";

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    #[error("it has a form that is not known here")]
    Version,
    #[error("it is damaged")]
    Damaged,
}

/// A record without what only Redis knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// The end of the first line.
    pub(super) about: String,
    /// Both parts.
    pub(super) text: String,
}

/// The parts of an entry that is to be appended.
pub(super) fn body(event: &str, set: &[(String, Option<Vec<String>>)], data: &[String]) -> Body {
    let size = |pieces: &[String]| pieces.iter().map(|piece| piece.len() + 8).sum::<usize>();
    let fields: usize = set.iter().map(|(name, pieces)| name.len() + 16 + pieces.as_deref().map_or(0, size)).sum();
    let mut text = String::with_capacity(event.len() + fields + size(data) + 16);
    push(&mut text, event);
    for (name, pieces) in set {
        push(&mut text, name);
        match pieces {
            None => push(&mut text, "-"),
            Some(pieces) => {
                push(&mut text, &pieces.len().to_string());
                pieces.iter().for_each(|piece| push(&mut text, piece));
            }
        }
    }
    let first = text.len();
    data.iter().for_each(|piece| push(&mut text, piece));
    let (head, tail) = text.split_at(first);
    let about = format!("{first} {:08x} {:08x}", crc32fast::hash(head.as_bytes()), crc32fast::hash(tail.as_bytes()));
    Body { about, text }
}

/// What the first part of an event's records begins with.
pub(super) fn event_prefix(event: &str) -> String {
    let mut text = String::with_capacity(event.len() + 8);
    push(&mut text, event);
    text
}

fn push(out: &mut String, text: &str) {
    // A `String` takes everything.
    let _ = write!(out, "{}:", text.len());
    out.push_str(text);
}

/// The entry of a record. `epoch` replaces the one that it was written with: a log may have been given another since.
pub(super) fn entry(stream: &Arc<str>, record: &[u8], epoch: Option<&Arc<str>>) -> Result<Entry, BadRecord> {
    let line = record.iter().position(|byte| *byte == b'\n').ok_or(BadRecord::Damaged)?;
    let (head, body) = record.split_at_checked(line).ok_or(BadRecord::Damaged)?;
    let head = std::str::from_utf8(head).map_err(|_| BadRecord::Damaged)?;
    let body = body.get(1..).unwrap_or_default();
    let mut words = head.split(' ');
    let mut word = || words.next().ok_or(BadRecord::Damaged);
    let has_values = match word()? {
        "1" => false,
        "2" => true,
        _ => return Err(BadRecord::Version),
    };
    let (written, seq, clock) = (word()?, number(word()?)?, number(word()?)?);
    let values: Vec<Option<&str>> = if has_values { word()?.split(',').map(value).collect() } else { Vec::new() };
    let first = number(word()?)?;
    let (first_sum, second_sum) = (word()?, word()?);
    let is_epoch = (1..=16).contains(&written.len());
    if words.next().is_some() || !is_epoch || seq == 0 {
        return Err(BadRecord::Damaged);
    }
    let first = usize::try_from(first).map_err(|_| BadRecord::Damaged)?;
    let (mut first, mut second) = body.split_at_checked(first).ok_or(BadRecord::Damaged)?;
    check(first, first_sum)?;
    let digits = seq.to_string();
    let event: Arc<str> = take(&mut first)?.into();
    let mut set: Vec<(Arc<str>, Option<Arc<str>>)> = Vec::new();
    while !first.is_empty() {
        let name: Arc<str> = take(&mut first)?.into();
        let text = match take(&mut first)? {
            "-" => None,
            count => Some(join(&mut first, Some(number(count)?), &[], &digits)?),
        };
        set.push((name, text));
    }
    let data = if second_sum == "-" && second.is_empty() {
        ERASED.into()
    } else {
        check(second, second_sum)?;
        join(&mut second, None, &values, &digits)?
    };
    let epoch = epoch.cloned().unwrap_or_else(|| written.into());
    Ok(Entry { stream: stream.clone(), position: Position { epoch, seq }, clock, event, data, set })
}

fn number(word: &str) -> Result<u64, BadRecord> {
    word.parse().map_err(|_| BadRecord::Damaged)
}

fn check(part: &[u8], sum: &str) -> Result<(), BadRecord> {
    let sum = u32::from_str_radix(sum, 16).map_err(|_| BadRecord::Damaged)?;
    if crc32fast::hash(part) == sum { Ok(()) } else { Err(BadRecord::Damaged) }
}

/// The next text of a part.
fn take<'a>(part: &mut &'a [u8]) -> Result<&'a str, BadRecord> {
    let colon = part.iter().take(8).position(|byte| *byte == b':').ok_or(BadRecord::Damaged)?;
    let (length, rest) = part.split_at(colon);
    let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()).ok_or(BadRecord::Damaged)?;
    let (text, rest) = rest.get(1..).and_then(|rest| rest.split_at_checked(length)).ok_or(BadRecord::Damaged)?;
    *part = rest;
    std::str::from_utf8(text).map_err(|_| BadRecord::Damaged)
}

/// A value as Redis writes it down: `-` for the number.
pub(super) fn value(text: &str) -> Option<&str> {
    Some(text).filter(|text| *text != "-")
}

/// The next texts of a part, `count` of them or all, with the values between them, or else the number.
fn join(part: &mut &[u8], count: Option<u64>, values: &[Option<&str>], digits: &str) -> Result<Arc<str>, BadRecord> {
    let mut text = String::with_capacity(part.len());
    let mut joined = 0;
    let mut values = values.iter();
    while count.map_or(!part.is_empty(), |count| joined < count) {
        if joined > 0 {
            text.push_str(values.next().copied().flatten().unwrap_or(digits));
        }
        text.push_str(take(part)?);
        joined += 1;
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(head: &str, body: &Body) -> Vec<u8> {
        format!("{head} {}\n{}", body.about, body.text).into_bytes()
    }

    fn pieces(pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|piece| (*piece).to_owned()).collect()
    }

    fn sample() -> Vec<u8> {
        let set = [("title".to_owned(), Some(pieces(&["\"T", "\""]))), ("gone".to_owned(), None)];
        record("1 ep-_8 42 1700000000000000", &body("chat:message", &set, &pieces(&["{\"seq\":", ",\"t\":\"añá\"}"])))
    }

    #[test]
    fn comes_back_as_it_went() {
        let stream: Arc<str> = "spring".into();
        let entry = entry(&stream, &sample(), None).unwrap();
        assert_eq!((&*entry.position.epoch, entry.position.seq, entry.clock), ("ep-_8", 42, 1_700_000_000_000_000));
        assert_eq!((&*entry.event, &*entry.data), ("chat:message", r#"{"seq":42,"t":"añá"}"#));
        assert_eq!(entry.set, [("title".into(), Some(r#""T42""#.into())), ("gone".into(), None)]);
        let again = super::entry(&stream, &sample(), Some(&"other".into())).unwrap();
        assert_eq!(&*again.position.epoch, "other");
    }

    #[test]
    fn begins_with_its_event() {
        let body = body("chat:message", &[], &pieces(&["{}"]));
        assert!(body.text.starts_with(&event_prefix("chat:message")));
        assert!(!body.text.starts_with(&event_prefix("chat")));
    }

    #[test]
    fn shows_values_in_place_of_the_number() {
        let body = body("poll:closed", &[("f".to_owned(), Some(pieces(&["[", "]"])))], &pieces(&["{", ",", ",", "}"]));
        let entry = entry(&"s".into(), &record("2 e 42 7 -,0,15", &body), None).unwrap();
        assert_eq!((&*entry.data, &entry.set[0].1), ("{42,0,15}", &Some("[42]".into())));
        let short = super::entry(&"s".into(), &record("2 e 42 7 -", &body), None).unwrap();
        assert_eq!(&*short.data, "{42,42,42}");
        assert_eq!(super::entry(&"s".into(), &record("2 e 42 7", &body), None), Err(BadRecord::Damaged));
    }

    #[test]
    fn shows_an_erased_entry_without_its_data() {
        let Body { about, text } = body("chat:message", &[("f".to_owned(), None)], &pieces(&["{}"]));
        let first: usize = about.split(' ').next().unwrap().parse().unwrap();
        let about = about.rsplit_once(' ').unwrap().0;
        let record = format!("1 e 1 1 {about} -\n{}", &text[..first]);
        let entry = entry(&"s".into(), record.as_bytes(), None).unwrap();
        assert_eq!((&*entry.event, &*entry.data, entry.set.len()), ("chat:message", "null", 1));
    }

    #[test]
    fn knows_a_form_of_the_future_from_a_damaged_one() {
        let stream: Arc<str> = "s".into();
        assert_eq!(entry(&stream, b"3 whatever\n", None), Err(BadRecord::Version));
        for record in ["", "\n", "1\n", "1 e 1 1 0 0\n", "1 e 0 1 0 00000000 00000000\n", "1  1 1 0 00000000 -\n"] {
            assert!(entry(&stream, record.as_bytes(), None).is_err(), "{record:?}");
        }
    }

    /// Any single bit of the parts; the line before them heals itself, see the gateway's gaps.
    #[test]
    fn notices_damage() {
        let (stream, good): (Arc<str>, _) = ("s".into(), sample());
        let parts = good.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for at in parts..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(entry(&stream, &bad, None), Err(BadRecord::Damaged), "bit {bit} of byte {at}");
            }
        }
        for length in 0..good.len() {
            assert!(entry(&stream, &good[..length], None).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes: Vec<u8>) {
            let _ = entry(&"s".into(), &bytes, None);
        }

        #[test]
        fn carries_any_text(
            event in ".{0,20}",
            set in proptest::collection::vec((".{0,8}", proptest::option::of(proptest::collection::vec(".{0,20}", 1..4))), 0..4),
            data in proptest::collection::vec(".{0,40}", 1..4),
            seq in 1u64..,
        ) {
            let entry = entry(&"s".into(), &record(&format!("1 e {seq} 7"), &body(&event, &set, &data)), None).unwrap();
            let digits = seq.to_string();
            prop_assert_eq!((&*entry.event, entry.data.to_string()), (&*event, data.join(&digits)));
            let set: Vec<_> = set
                .into_iter()
                .map(|(name, text)| (name.as_str().into(), text.map(|text| text.join(&digits).as_str().into())))
                .collect();
            prop_assert_eq!(entry.set, set);
        }
    }
}
