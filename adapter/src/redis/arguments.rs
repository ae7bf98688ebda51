//! What several scripts are told, and say, in the same words.

use redis::Cmd;

use super::fault::Fault;
use crate::{Check, StoreError, msgpack::Part};

/// A check: name, operator, text.
pub(super) fn check_words(check: &Check) -> (&str, &'static str, &str) {
    match check {
        Check::Is(name, Some(text)) => (name, "is", text),
        Check::Is(name, None) => (name, "absent", ""),
        Check::IsNot(name, Some(text)) => (name, "is-not", text),
        Check::IsNot(name, None) => (name, "present", ""),
    }
}

/// Checks, one behind the other.
pub(super) fn check_arguments(command: &mut Cmd, checks: &[Check]) {
    for check in checks {
        let (name, operator, text) = check_words(check);
        command.arg(name).arg(operator).arg(text);
    }
}

/// The error that a check is which does not hold; they are counted from 1.
pub(super) fn failed(checks: &[Check], number: usize) -> StoreError {
    match number.checked_sub(1).and_then(|place| checks.get(place)) {
        Some(Check::Is(name, _) | Check::IsNot(name, _)) => StoreError::Conflict(name.clone()),
        None => Fault::nonsense("a check").into(),
    }
}

/// A part of a message to peers that know of no log.
pub(super) fn part_word(command: &mut Cmd, part: &Part) {
    match part {
        Part::Bytes(bytes) => command.arg([b"b", bytes.as_slice()].concat()),
        Part::Digits => command.arg("d"),
        Part::Number => command.arg("n"),
        Part::TextHead(bytes, times) => command.arg(format!("t{bytes} {times}")),
    };
}
