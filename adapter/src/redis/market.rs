//! The [`Market`] on Redis. Each step is one script over keys of one stream, and the time that it goes by is that of Redis.
//!
//! A step that is not answered in time may have been taken: what has a name of its user's own is repeated under it.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use redis::{Cmd, FromRedisValue, Value};

use super::{
    Core, Engine,
    arguments::{check_arguments, failed, part_word},
    fault::Fault,
    record,
    scripts::Script,
    seen::{LastTurn, Steps},
    store::{is_stream, milliseconds, today, too_large, value},
    till::Way,
    wire::publish_command,
};
use crate::{
    Check, Claim, Claimed, Grant, GrantState, Market, Note, Noted, Notes, Position, RETURN_DELAY, ReadAs, Record,
    Refusal, Settle, Settled, Spin, Spun, StoreError, Turn, Vote, Voted, market::FOREIGN, new_epoch,
};

/// Grants that are read in one step. Everything else waits for it.
const GRANTS: usize = 500;
/// Readers of one ledger.
const READERS: usize = 64;

/// A grant as scripts say it: id, user, request, quantity, text, left, state, until.
pub(super) type Said = (String, String, String, u64, String, u64, String, String);

pub(super) fn grant(said: Said) -> Result<Grant, StoreError> {
    let (id, user, request, quantity, text, left, state, until) = said;
    let state = match (&*state, until.parse()) {
        ("H", Ok(until)) => GrantState::Held(until),
        ("F", _) => GrantState::Final,
        ("R", _) => GrantState::Returned,
        _ => return Err(Fault::nonsense("a grant").into()),
    };
    let request = request.strip_prefix('+').map(Into::into);
    Ok(Grant { id: id.into(), user: user.into(), request, quantity, text: text.into(), left, state })
}

/// A record as haat writes it. What somebody else has put there is named all the same: a page has as many as Redis has said,
/// and whoever reads goes on behind them.
fn recorded(id: Arc<str>, fields: Value) -> Record {
    let own = || {
        let fields: Vec<(String, String)> = redis::from_redis_value(fields).ok()?;
        let field = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map(|(_, text)| Arc::<str>::from(text.as_str()))
        };
        let (kind, by, data) = (field("kind")?, field("by")?, field("data")?);
        // Readers write both into JSON of their own.
        (is_object(&data) && (&*by == "null" || is_object(&by))).then(|| Record { id: id.clone(), kind, by, data })
    };
    own().unwrap_or_else(|| Record { id: id.clone(), kind: FOREIGN.into(), by: "null".into(), data: "{}".into() })
}

/// Whether a text is a JSON object.
fn is_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(super) fn no_stream() -> StoreError {
    StoreError::Conflict("stream".to_owned())
}

/// A text that may be missing, so that an empty one is told from none.
pub(super) fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| format!("+{text}"))
}

pub(super) fn number(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// What a script says: a word, and what belongs to it.
pub(super) struct Answer {
    pub(super) word: String,
    rest: std::vec::IntoIter<Value>,
    what: &'static str,
}

impl Answer {
    pub(super) fn new(said: Value, what: &'static str) -> Result<Self, StoreError> {
        let mut rest = value::<Vec<Value>>(said, what)?.into_iter();
        let word = value(rest.next().unwrap_or(Value::Nil), what)?;
        Ok(Self { word, rest, what })
    }

    pub(super) fn next<T: FromRedisValue>(&mut self) -> Result<T, StoreError> {
        value(self.rest.next().ok_or_else(|| Fault::nonsense(self.what))?, self.what)
    }

    /// What all steps may answer.
    pub(super) fn refused(&mut self, checks: &[Check], takers: usize) -> StoreError {
        match &*self.word {
            "X" => no_stream(),
            "C" => self.next().map_or_else(|error| error, |number| failed(checks, number)),
            "T" => too_large(format!("more than {takers} claims, spins and votes")),
            _ => Fault::nonsense(self.what).into(),
        }
    }
}

impl Core {
    /// Takes a step. All begin with the same keys, `keys` names the others.
    pub(super) async fn step(
        &self,
        way: Way,
        script: &Script,
        stream: &str,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, StoreError> {
        let parts = ["meta", "counts", "ledger", "takers"].iter().chain(keys);
        let keys: Vec<String> = parts
            .map(|part| if *part == "clock" { self.names.clock(stream) } else { self.names.key(stream, part) })
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        Ok(self.script_by(way, script, &keys, arguments).await?)
    }

    /// The same, of a script that answers with a word.
    async fn decide(
        &self,
        (way, script, what): (Way, &Script, &'static str),
        stream: &str,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Answer, StoreError> {
        if !is_stream(stream) {
            return Err(no_stream());
        }
        Answer::new(self.step(way, script, stream, keys, arguments).await?, what)
    }

    /// A script has taken a step: what it says of where the sale is now.
    fn note_step(&self, stream: &str, answer: &mut Answer) -> Result<Arc<str>, StoreError> {
        let epoch: Arc<str> = answer.next::<String>()?.into();
        self.seen.note_sale(stream, &Steps { epoch: epoch.clone(), count: answer.next()? });
        Ok(epoch)
    }

    pub(super) fn check_name(&self, names: &[&str]) -> Result<(), StoreError> {
        let most = self.settings.limits.name_bytes;
        if names.iter().any(|name| name.len() > most) {
            return Err(too_large(format!("a name of more than {most} bytes")));
        }
        Ok(())
    }

    // --- units: claims are at their desk ---

    async fn confirm(&self, settle: Settle) -> Result<Settled, StoreError> {
        let arguments = |command: &mut Cmd| {
            command.arg(&settle.pool).arg(&settle.id).arg(u8::from(settle.confirm)).arg(&settle.by);
            command.arg(self.settings.limits.ledger_records).arg(milliseconds(self.settings.times.retain));
        };
        let script = (Way::Till, &self.scripts.confirm, "a settlement");
        let mut answer = self.decide(script, &settle.stream, &["grants", "holds"], arguments).await?;
        Ok(match &*answer.word {
            "D" => {
                let before: u8 = answer.next()?;
                let grant = grant(answer.next()?)?;
                if before == 0 {
                    self.note_step(&settle.stream, &mut answer)?;
                    self.seen.note_grant(&settle.stream, &grant);
                }
                Settled::Done(grant, before == 1)
            }
            "O" => Settled::Over,
            "U" => Settled::Unknown,
            _ => return Err(answer.refused(&[], 0)),
        })
    }

    async fn tidy(&self, stream: &str) -> Result<(), StoreError> {
        if !is_stream(stream) {
            return Ok(());
        }
        let tended = self.step(Way::Till, &self.scripts.tend, stream, &["grants", "holds"], |command| {
            command.arg(milliseconds(RETURN_DELAY)).arg(self.settings.limits.ledger_records);
        });
        tended.await.map(drop)
    }

    async fn grants(&self, stream: &str, pool: &str) -> Result<Vec<Grant>, StoreError> {
        if !is_stream(stream) {
            return Ok(Vec::new());
        }
        let keys = [&*format!("grants:{pool}"), "grants"];
        let (mut grants, mut from) = (Vec::new(), 0);
        loop {
            let page = self.step(Way::Till, &self.scripts.grants, stream, &keys, |command| {
                command.arg(from).arg(GRANTS).arg(milliseconds(self.settings.times.retain));
            });
            let mut page = value::<Vec<Value>>(page.await?, "the grants")?.into_iter();
            let ids: usize = value(page.next().unwrap_or(Value::Nil), "the grants")?;
            for said in page {
                grants.push(grant(value(said, "a grant")?)?);
            }
            if ids < GRANTS {
                return Ok(grants);
            }
            from += ids;
        }
    }

    // --- spins and votes ---

    async fn spin(&self, spin: Spin) -> Result<Spun, StoreError> {
        self.check_name(&[&spin.pool, &spin.id, &spin.user, spin.request.as_deref().unwrap_or_default()])?;
        let Spin { stream, event, .. } = &spin;
        let epoch = new_epoch()?;
        let (seen, sale) = self.seen.both(stream);
        // What tells of a prize, for each: which it is will be known when it is too late to write it.
        let told = spin.prizes.iter().map(|stake| {
            let mut won = spin.won.iter().cloned();
            let data = [won.next().unwrap_or_default(), won.collect::<Vec<_>>().join(&stake.text)];
            (record::body(event, &[], &data), self.for_peers(stream, event, &data))
        });
        let told: Vec<_> = told.collect();
        let peers = told.iter().find_map(|(_, peers)| peers.as_ref()).map_or("", |(channel, _)| channel);
        let limits = &self.settings.limits;
        let arguments = |command: &mut Cmd| {
            command.arg(&spin.pool).arg(&spin.id).arg(&spin.user).arg(optional(spin.request.as_deref()));
            command.arg(number(spin.ends)).arg(&spin.by);
            command.arg(limits.takers).arg(limits.ledger_records).arg(milliseconds(self.settings.times.retain));
            command.arg(spin.checks.len()).arg(spin.draws.len()).arg(spin.prizes.len());
            (0..4).for_each(|place| {
                command.arg(spin.data.get(place).map_or("", String::as_str));
            });
            command.arg(&*seen.epoch).arg(seen.seq).arg(&*epoch).arg(limits.log_entries).arg(limits.log_bytes);
            command.arg(today()).arg(publish_command(self.wire.manner())).arg(self.names.live(stream)).arg(peers);
            command.arg(&*sale.epoch).arg(sale.count);
            check_arguments(command, &spin.checks);
            command.arg(&spin.draws);
            for (stake, (body, peers)) in spin.prizes.iter().zip(&told) {
                let parts = peers.as_ref().map_or(&[][..], |(_, parts)| parts);
                command.arg(&stake.id).arg(stake.weight).arg(number(stake.stock)).arg(&stake.text);
                command.arg(&body.about).arg(&body.text).arg(parts.len());
                parts.iter().for_each(|part| part_word(command, part));
            }
        };
        let keys = ["fields", "log", "clock"];
        let mut answer = self.decide((Way::Till, &self.scripts.spin, "a spin"), stream, &keys, arguments).await?;
        let prize = |text: String| text.strip_prefix('+').map(Into::into);
        Ok(match &*answer.word {
            "N" => {
                let turn = Turn { id: spin.id.as_str().into(), turn: answer.next()?, prize: prize(answer.next()?) };
                let epoch = self.note_step(stream, &mut answer)?;
                let (pool, user) = (spin.pool.as_str().into(), spin.user.as_str().into());
                self.seen.note_turn(stream, LastTurn { pool, user, number: turn.turn });
                if turn.prize.is_some() {
                    let (first_today, seq): (u8, u64) = (answer.next()?, answer.next()?);
                    self.seen.note(stream, &Position { epoch, seq });
                    if first_today == 1 || self.seen.needs_index(stream) {
                        self.list(stream).await;
                    }
                }
                Spun::New(turn)
            }
            "R" => {
                let id: String = answer.next()?;
                Spun::Repeat(Turn { id: id.into(), turn: answer.next()?, prize: prize(answer.next()?) })
            }
            "L" => Spun::Refused(Refusal::Late),
            "S" => Spun::Refused(Refusal::Limit(0)),
            _ => return Err(answer.refused(&spin.checks, limits.takers)),
        })
    }

    async fn vote(&self, vote: Vote) -> Result<Voted, StoreError> {
        self.check_name(&[&vote.pool, &vote.user])?;
        let takers = self.settings.limits.takers;
        let arguments = |command: &mut Cmd| {
            command.arg(&vote.pool).arg(&vote.user).arg(vote.option).arg(vote.options).arg(number(vote.ends));
            command.arg(takers).arg(milliseconds(self.settings.times.retain)).arg(vote.checks.len());
            check_arguments(command, &vote.checks);
        };
        let mut answer =
            self.decide((Way::Straight, &self.scripts.vote, "a vote"), &vote.stream, &["fields"], arguments).await?;
        Ok(match &*answer.word {
            "N" => Voted::Counted(answer.next()?),
            "B" => Voted::Before(answer.next()?),
            "L" => Voted::Late,
            _ => return Err(answer.refused(&vote.checks, takers)),
        })
    }

    // --- notes ---

    async fn note(&self, note: Note) -> Result<Noted, StoreError> {
        let limits = &self.settings.limits;
        self.check_name(&[&note.book, &note.key])?;
        if note.text.as_ref().is_some_and(|text| text.len() > limits.field_bytes) {
            return Err(too_large(format!("a note of more than {} bytes", limits.field_bytes)));
        }
        let was = note.was.as_ref().map_or_else(|| "*".to_owned(), |was| optional(was.as_deref()));
        let arguments = |command: &mut Cmd| {
            command
                .arg(&note.book)
                .arg(&note.key)
                .arg(optional(note.text.as_deref()))
                .arg(number(note.until))
                .arg(&was);
            command.arg(limits.notes).arg(limits.ledger_records).arg(milliseconds(self.settings.times.retain));
            if let Some(record) = &note.record {
                command.arg(&record.kind).arg(&record.by).arg(&record.data);
            }
        };
        let keys = [&*format!("book:{}", note.book)];
        let mut answer =
            self.decide((Way::Straight, &self.scripts.note, "a note"), &note.stream, &keys, arguments).await?;
        Ok(match &*answer.word {
            "N" => Noted::Done(answer.next()?),
            "D" => Noted::Differs(answer.next::<String>()?.strip_prefix('+').map(Into::into)),
            "T" => return Err(too_large(format!("more than {} notes", limits.notes))),
            _ => return Err(answer.refused(&[], 0)),
        })
    }

    async fn notes(&self, stream: &str, book: &str) -> Result<Notes, StoreError> {
        if !is_stream(stream) {
            return Ok(Notes::default());
        }
        let keys = [&*format!("book:{book}")];
        let answer = self.step(Way::Straight, &self.scripts.notes, stream, &keys, |command| {
            command.arg(book);
        });
        let (revision, notes) = value::<(u64, Vec<(String, String)>)>(answer.await?, "a book")?;
        let mut notes: Vec<(Arc<str>, Arc<str>)> =
            notes.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        notes.sort_unstable();
        Ok(Notes { revision, notes })
    }

    // --- the ledger ---

    async fn ledger(&self, stream: &str, after: &str, limit: usize) -> Result<Vec<Record>, StoreError> {
        if !is_stream(stream) || limit == 0 {
            return Ok(Vec::new());
        }
        let is_place = after.split_once('-').is_some_and(|(time, number)| {
            [time, number].iter().all(|digits| digits.parse::<u64>().is_ok() && !digits.starts_with('+'))
        });
        // A place that makes no sense is before all others.
        let from = if is_place { format!("({after}") } else { "-".to_owned() };
        let mut command = redis::cmd("XRANGE");
        let key = self.names.key(stream, "ledger");
        command.arg(&key).arg(from).arg("+").arg("COUNT");
        command.arg(limit.min(self.settings.limits.ledger_records));
        let answer = match self.run(&key, &command).await {
            // Nothing is behind the last place that there can be.
            Err(fault) if fault.text.contains("start ID") => return Ok(Vec::new()),
            answer => answer?,
        };
        let records: Vec<(String, Value)> = value(answer, "the ledger")?;
        Ok(records.into_iter().map(|(id, fields)| recorded(id.into(), fields)).collect())
    }

    async fn read_as(&self, read: ReadAs<'_>) -> Result<Option<String>, StoreError> {
        if !is_stream(read.stream) {
            return Err(no_stream());
        }
        self.check_name(&[read.reader, read.owner, read.advance.unwrap_or_default()])?;
        let ttl = milliseconds(read.ttl.max(Duration::from_millis(1)));
        let answer = self.step(Way::Straight, &self.scripts.reader, read.stream, &["readers"], |command| {
            command.arg(read.reader).arg(read.owner).arg(ttl).arg(optional(read.advance)).arg(READERS);
            command.arg(milliseconds(self.settings.times.retain));
        });
        match answer.await? {
            Value::Array(_) => Err(no_stream()),
            position => value(position, "a reader"),
        }
    }
}

impl Market for Engine {
    fn now(&self) -> u64 {
        self.core.hands.now()
    }

    fn claim(&self, claim: Claim) -> BoxFuture<'_, Result<Claimed, StoreError>> {
        Box::pin(self.core.clone().claim(claim))
    }

    fn settle(&self, settle: Settle) -> BoxFuture<'_, Result<Settled, StoreError>> {
        Box::pin(self.core.confirm(settle))
    }

    fn tend<'a>(&'a self, stream: &'a str, _pool: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.core.tidy(stream))
    }

    fn grants<'a>(&'a self, stream: &'a str, pool: &'a str) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>> {
        Box::pin(self.core.grants(stream, pool))
    }

    fn spin(&self, spin: Spin) -> BoxFuture<'_, Result<Spun, StoreError>> {
        Box::pin(self.core.spin(spin))
    }

    fn vote(&self, vote: Vote) -> BoxFuture<'_, Result<Voted, StoreError>> {
        Box::pin(self.core.vote(vote))
    }

    fn note(&self, note: Note) -> BoxFuture<'_, Result<Noted, StoreError>> {
        Box::pin(self.core.note(note))
    }

    fn notes<'a>(&'a self, stream: &'a str, book: &'a str) -> BoxFuture<'a, Result<Notes, StoreError>> {
        Box::pin(self.core.notes(stream, book))
    }

    fn ledger<'a>(
        &'a self,
        stream: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(self.core.ledger(stream, after, limit))
    }

    fn read_as<'a>(&'a self, read: ReadAs<'a>) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(self.core.read_as(read))
    }

    fn ledger_key(&self, stream: &str) -> Option<String> {
        is_stream(stream).then(|| self.core.names.key(stream, "ledger"))
    }
}
