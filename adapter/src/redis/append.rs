//! Appends. Those of one stream that wait together are written in one step.

use std::{future::Future, sync::Arc, time::Duration};

use redis::{Cmd, Value};

use super::{
    Core,
    arguments::{check_words, failed, part_word},
    desk::{Desk, Errand},
    fault::{Fault, Remedy},
    record::{self, Body},
    store::{is_stream, milliseconds, today, too_large, value},
    wire::publish_command,
};
use crate::{Append, Appended, Entry, Position, StoreError, msgpack::Part, new_epoch};

/// An append that waits, with its bytes.
#[derive(Debug)]
pub(super) struct Written {
    append: Append,
    body: Body,
    peers: Option<(String, Vec<Part>)>,
}

impl Errand for Written {
    /// The stream.
    type Place = String;
    type Answer = Appended;

    /// What one sends first stands first.
    const STEPS: usize = 1;

    fn desk(core: &Core) -> &Desk<Self> {
        &core.appends
    }

    fn place(&self) -> String {
        self.append.stream.clone()
    }

    fn bytes(&self) -> usize {
        // What a script can take in its hands is bounded too: each of these counts as a few words.
        let Append { checks, set, erase, forget, fill, .. } = &self.append;
        let lists = checks.len() + set.len() + erase.len() + forget.len() + fill.len();
        self.body.text.len() + 64 * lists
    }

    fn is_like(&self, _: &Self) -> bool {
        true
    }

    fn do_all(
        core: &Core,
        appends: &[&Self],
    ) -> impl Future<Output = Result<Vec<Result<Appended, StoreError>>, StoreError>> + Send {
        core.append_all(appends)
    }
}

impl Core {
    /// See [`Store::append`](crate::Store::append).
    pub(super) async fn append(self: Arc<Self>, append: Append) -> Result<Appended, StoreError> {
        self.check(&append)?;
        let body = record::body(&append.event, &append.set, &append.data);
        if body.text.len() > self.settings.limits.entry_bytes {
            return Err(too_large(format!("an entry of more than {} bytes", self.settings.limits.entry_bytes)));
        }
        let peers = self.for_peers(&append.stream, &append.event, &append.data);
        self.run_errand(Written { append, body, peers }).await
    }

    async fn append_all(&self, appends: &[&Written]) -> Result<Vec<Result<Appended, StoreError>>, StoreError> {
        let Some(first) = appends.first() else { return Ok(Vec::new()) };
        let stream = &first.append.stream;
        let seen = self.seen.furthest(stream);
        let epoch = appends.iter().find_map(|written| written.append.epoch.clone()).map_or_else(new_epoch, Ok)?;
        let limits = &self.settings.limits;
        let keys = self.append_keys(stream, appends);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let peers = appends.iter().find_map(|written| written.peers.as_ref()).map_or("", |(channel, _)| channel);
        let answer = self
            .script(&self.scripts.append, &keys, |command| {
                command.arg(&*seen.epoch).arg(seen.seq).arg(&*epoch).arg(limits.log_entries).arg(limits.log_bytes);
                command.arg(milliseconds(self.settings.times.retain)).arg(today());
                command.arg(publish_command(self.wire.manner())).arg(self.names.live(stream)).arg(peers);
                command.arg(limits.fields).arg(limits.ledger_records).arg(appends.len());
                appends.iter().for_each(|written| written.words(command));
            })
            .await?;
        let mut answers = value::<Vec<Value>>(answer, "appends")?.into_iter();
        let epoch: String = value(answers.next().unwrap_or(Value::Nil), "appends")?;
        let first_today: u8 = value(answers.next().unwrap_or(Value::Nil), "appends")?;
        let epoch: Arc<str> = epoch.into();
        let each = |(written, said): (&&Written, Value)| self.appended(&written.append, &epoch, said);
        let appended: Vec<_> = appends.iter().zip(answers).map(each).collect();
        let new = appended.iter().rev().find_map(|appended| match appended {
            Ok(Appended::New(entry)) => Some(entry),
            _ => None,
        });
        if let Some(entry) = new {
            self.seen.note_entry(entry);
            if first_today == 1 || self.seen.needs_index(stream) {
                self.list(stream).await;
            }
        }
        Ok(appended)
    }

    /// The keys of a step: those of the stream, and those of `once`, `pace` and `anew` in the order in which the script reads
    /// of them.
    fn append_keys(&self, stream: &str, appends: &[&Written]) -> Vec<String> {
        let mut keys: Vec<String> = ["meta", "fields", "log"].map(|part| self.names.key(stream, part)).into();
        keys.push(self.names.clock(stream));
        keys.extend(["counts", "ledger"].map(|part| self.names.key(stream, part)));
        for Written { append, .. } in appends {
            keys.extend(append.once.iter().map(|once| self.names.key(stream, &format!("once:{}", once.key))));
            keys.extend(pace(append).map(|(key, _)| self.names.key(stream, &format!("pace:{key}"))));
            let audience = if append.anew { &["audience", "users", "crowd"][..] } else { &[] };
            keys.extend(audience.iter().map(|part| self.names.key(stream, part)));
        }
        keys
    }

    /// What became of an append.
    fn appended(&self, append: &Append, epoch: &Arc<str>, said: Value) -> Result<Appended, StoreError> {
        let nonsense = || StoreError::from(Fault::nonsense("an append"));
        let Value::BulkString(said) = said else { return Err(nonsense()) };
        let (kind, rest) = said.split_first().ok_or_else(nonsense)?;
        let number = || std::str::from_utf8(rest).ok().and_then(|digits| digits.parse::<u64>().ok());
        match kind {
            b'N' => Ok(Appended::New(Arc::new(new_entry(append, epoch, rest).ok_or_else(nonsense)?))),
            b'R' => {
                let entry = record::entry(&append.stream.as_str().into(), rest, None);
                let entry = entry.map_err(|error| Fault::new(Remedy::None, format!("a kept entry: {error}")))?;
                Ok(Appended::Repeat(Arc::new(entry)))
            }
            b'C' => {
                let number = number().and_then(|number| usize::try_from(number).ok());
                Err(failed(&append.checks, number.ok_or_else(nonsense)?))
            }
            b'P' => Err(StoreError::TooSoon(Duration::from_millis(number().ok_or_else(nonsense)?))),
            b'F' => Err(too_large(format!("more than {} state fields", self.settings.limits.fields))),
            _ => Err(nonsense()),
        }
    }

    /// The form of an entry for gateways that know of no log, if there are any: a channel and a message.
    pub(super) fn for_peers(&self, stream: &str, event: &str, data: &[String]) -> Option<(String, Vec<Part>)> {
        if !self.pulse.has_node_peers() {
            return None;
        }
        let room = format!("stream:{stream}");
        let entry = self.wire.entry(&room, event, data);
        entry
            .inspect_err(|error| {
                self.counters.unspeakable.add(1);
                tracing::debug!(%error, "an entry cannot be told to Node gateways");
            })
            .ok()
    }

    /// The bounds that can be told without Redis.
    fn check(&self, append: &Append) -> Result<(), StoreError> {
        let limits = &self.settings.limits;
        if !is_stream(&append.stream) {
            return Err(too_large("a stream's id has 1 to 64 characters of A-Z a-z 0-9 _ -".to_owned()));
        }
        let key = append.once.iter().map(|once| &once.key).chain(append.pace.iter().map(|pace| &pace.key));
        let mut names = [&append.event].into_iter().chain(key).chain(append.set.iter().map(|(name, _)| name));
        if names.any(|name| name.len() > limits.name_bytes) {
            return Err(too_large(format!("a name of more than {} bytes", limits.name_bytes)));
        }
        let size = |pieces: &[String]| pieces.iter().map(String::len).sum::<usize>();
        let large = |text: &Option<Vec<String>>| text.as_deref().is_some_and(|text| size(text) > limits.field_bytes);
        match append.set.iter().find(|(_, text)| large(text)) {
            Some((name, _)) => {
                Err(too_large(format!("state field {name:?} of more than {} bytes", limits.field_bytes)))
            }
            None => Ok(()),
        }
    }
}

impl Written {
    /// What the script is told of it, see `read_entry` there.
    fn words(&self, command: &mut Cmd) {
        let Self { append, body, peers } = self;
        command.arg(&body.about).arg(&body.text);
        if let Some(once) = &append.once {
            command.arg("once").arg(milliseconds(once.ttl).max(1));
        }
        for check in &append.checks {
            let (name, operator, text) = check_words(check);
            command.arg("check").arg(name).arg(operator).arg(text);
        }
        if let Some(by) = &append.record {
            command.arg("record").arg(by).arg(&append.event);
        }
        // A field may be named twice: the last one counts.
        for (place, (name, pieces)) in append.set.iter().enumerate() {
            if append.set.iter().skip(place + 1).all(|(later, _)| later != name) {
                let pieces = pieces.as_deref().unwrap_or_default();
                command.arg("set").arg(name).arg(pieces.len()).arg(pieces);
            }
        }
        if let Some((_, interval)) = pace(append) {
            command.arg("pace").arg(interval);
        }
        if append.anew {
            command.arg("anew");
        }
        if append.fill.iter().any(Option::is_some) {
            for gap in 0..append.data.len().saturating_sub(1) {
                command.arg("fill").arg(append.fill.get(gap).and_then(Option::as_deref).unwrap_or_default());
            }
        }
        append.erase.iter().for_each(|seq| {
            command.arg("erase").arg(seq);
        });
        append.forget.iter().for_each(|name| {
            command.arg("forget").arg(name);
        });
        for part in peers.iter().flat_map(|(_, parts)| parts) {
            part_word(command.arg("part"), part);
        }
        command.arg(".");
    }
}

/// Key and interval (ms) of an append that is to keep its distance.
fn pace(append: &Append) -> Option<(&str, u64)> {
    let pace = append.pace.as_ref().map(|pace| (pace.key.as_str(), milliseconds(pace.interval)));
    pace.filter(|(_, interval)| *interval > 0)
}

/// The entry that an append made, from `<seq> <clock>` and the values of its gaps.
fn new_entry(append: &Append, epoch: &Arc<str>, answer: &[u8]) -> Option<Entry> {
    let mut words = std::str::from_utf8(answer).ok()?.split(' ');
    let (digits, clock) = (words.next()?, words.next()?);
    let mut data = String::new();
    for (place, piece) in append.data.iter().enumerate() {
        if place > 0 {
            data.push_str(words.next().and_then(record::value).unwrap_or(digits));
        }
        data.push_str(piece);
    }
    let set = append
        .set
        .iter()
        .map(|(name, pieces)| (name.as_str().into(), pieces.as_ref().map(|pieces| pieces.join(digits).into())));
    Some(Entry {
        stream: append.stream.as_str().into(),
        position: Position { epoch: epoch.clone(), seq: digits.parse().ok()? },
        clock: clock.parse().ok()?,
        event: append.event.as_str().into(),
        data: data.into(),
        set: set.collect(),
    })
}
