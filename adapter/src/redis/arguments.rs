//! What scripts are told, in the order in which they read it.

use redis::Cmd;

use super::{
    Core,
    record::Body,
    store::{milliseconds, today},
    wire::publish_command,
};
use crate::{Append, Check, Position, msgpack::Part};

/// What an append's script is told.
pub(super) struct Written<'a> {
    pub(super) append: &'a Append,
    pub(super) seen: &'a Position,
    pub(super) epoch: &'a str,
    pub(super) body: &'a Body,
    pub(super) peers: &'a Option<(String, Vec<Part>)>,
}

impl Core {
    pub(super) fn append_arguments(&self, command: &mut Cmd, written: &Written<'_>) {
        let Written { append, seen, epoch, body, peers } = written;
        let limits = &self.settings.limits;
        let once = append.once.as_ref().map_or(0, |once| milliseconds(once.ttl).max(1));
        command.arg(&*seen.epoch).arg(seen.seq).arg(epoch).arg(once);
        command.arg(limits.log_entries).arg(limits.log_bytes).arg(limits.fields);
        command.arg(milliseconds(self.settings.times.retain));
        command.arg(publish_command(self.wire.manner())).arg(self.names.live(&append.stream));
        command.arg(&body.about).arg(&body.text);
        command.arg(peers.as_ref().map_or("", |(channel, _)| channel));
        // A field may be named twice: the last one counts.
        let mut set: Vec<&(String, Option<Vec<String>>)> = Vec::with_capacity(append.set.len());
        for field in append.set.iter().rev() {
            if !set.iter().any(|(name, _)| *name == field.0) {
                set.push(field);
            }
        }
        let parts = peers.as_ref().map_or(0, |(_, parts)| parts.len());
        command.arg(append.checks.len()).arg(set.len()).arg(append.erase.len()).arg(parts);
        command.arg(today());
        command.arg(append.pace.as_ref().map_or(0, |pace| milliseconds(pace.interval)));
        let gaps = if append.fill.iter().any(Option::is_some) { append.data.len().saturating_sub(1) } else { 0 };
        command.arg(gaps).arg(append.forget.len());
        command.arg(u8::from(append.record.is_some())).arg(append.record.as_deref().unwrap_or_default());
        command.arg(limits.ledger_records).arg(&append.event);
        check_arguments(command, &append.checks);
        for (name, pieces) in set {
            let pieces = pieces.as_deref().unwrap_or_default();
            command.arg(name).arg(pieces.len());
            pieces.iter().for_each(|piece| {
                command.arg(piece);
            });
        }
        for gap in 0..gaps {
            command.arg(append.fill.get(gap).and_then(Option::as_deref).unwrap_or_default());
        }
        append.erase.iter().for_each(|seq| {
            command.arg(seq);
        });
        append.forget.iter().for_each(|name| {
            command.arg(name);
        });
        part_arguments(command, peers.iter().flat_map(|(_, parts)| parts));
    }
}

/// Checks: name, operator, text.
pub(super) fn check_arguments(command: &mut Cmd, checks: &[Check]) {
    for check in checks {
        let (name, operator, text) = match check {
            Check::Is(name, Some(text)) => (name, "is", text.as_str()),
            Check::Is(name, None) => (name, "absent", ""),
            Check::IsNot(name, Some(text)) => (name, "is-not", text.as_str()),
            Check::IsNot(name, None) => (name, "present", ""),
        };
        command.arg(name).arg(operator).arg(text);
    }
}

/// The parts of a message to peers that know of no log.
pub(super) fn part_arguments<'a>(command: &mut Cmd, parts: impl IntoIterator<Item = &'a Part>) {
    for part in parts {
        match part {
            Part::Bytes(bytes) => command.arg([b"b", bytes.as_slice()].concat()),
            Part::Digits => command.arg("d"),
            Part::Number => command.arg("n"),
            Part::TextHead(bytes, times) => command.arg(format!("t{bytes} {times}")),
        };
    }
}
