//! The [`Store`] on Redis. Each method is one script, or one command: what is atomic in Redis is all that is.
//!
//! A write that is not answered in time may have been done: [`StoreError::Unavailable`] says that the outcome is not known,
//! and the key of [`Append::once`] finds out. While there is no connection nothing waits: the answer comes at once.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use haat_protocol::Id;
use redis::{Cmd, FromRedisValue, Pipeline, Value, aio::MultiplexedConnection};

use super::{
    Core, Engine,
    fault::{Fault, Remedy},
    node::Node,
    record,
    scripts::Script,
    seen::{Known, Steps},
    till::Way,
};
use crate::{
    Append, Appended, Counter, Entry, GatewayLease, LogRead, Position, SavedSession, Share, Snapshot, Store,
    StoreError, Totals, new_epoch,
};

/// Up to this many different users are counted exactly.
const EXACT: usize = 512;
/// The longest that a lease or a key may last.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Seconds.
const DAY: u64 = 24 * 60 * 60;
/// Gateways that others can reach. One more is [`StoreError::TooLarge`].
const MOST_GATEWAYS: usize = 1024;
/// Streams that are settled in one go.
const SETTLED: usize = 500;

/// Whether it is a stream's id: 1 to 64 characters of `A-Za-z0-9_-`. Others have no place in a key.
pub(super) fn is_stream(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX)
}

/// Days since 1970.
pub(super) fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY
}

/// A value that has to be of a kind.
pub(super) fn value<T: FromRedisValue>(answer: Value, what: &str) -> Result<T, StoreError> {
    redis::from_redis_value(answer).map_err(|_| Fault::nonsense(what).into())
}

impl Core {
    /// Runs a script; sends it whole if Redis has forgotten it.
    pub(super) async fn script(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Fault> {
        self.script_by(Way::Straight, script, keys, arguments).await
    }

    /// The same, by this way.
    pub(super) async fn script_by(
        &self,
        way: Way,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Fault> {
        let command = |whole| {
            let mut command = script.command(keys.len(), whole);
            keys.iter().for_each(|key| {
                command.arg(key);
            });
            arguments(&mut command);
            command
        };
        let key = keys.first().copied().unwrap_or_default();
        match self.run_by(way, key, &command(false)).await {
            Err(Fault { remedy: Remedy::Reload, .. }) => {
                self.counters.reloaded.add(1);
                self.run_by(way, key, &command(true)).await
            }
            answer => answer,
        }
    }

    // --- a new connection ---

    /// Loads the scripts, and looks whether Redis still has what it had shown. Nothing is appended before that is known.
    pub(super) async fn prepare(&self, node: &Arc<Node>, connection: &MultiplexedConnection) -> Result<(), Fault> {
        let mut connection = connection.clone();
        each(&mut connection, &self.scripts.load()).await?;
        // Who may not ask counts as one who was told of another server.
        let info = connection.send_packed_command(redis::cmd("INFO").arg("server")).await?;
        let info: String = redis::from_redis_value(info).unwrap_or_default();
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
        let is_new = node.meet(run.trim(), self.settings.times.reassert);
        if is_new && self.guarded {
            warn_of_lone_master(&mut connection).await?;
        }
        let asked = Instant::now();
        let time = each(&mut connection, redis::pipe().cmd("TIME")).await?.pop();
        if let Some((seconds, micros)) = time.and_then(|time| redis::from_redis_value::<(u64, u64)>(time).ok()) {
            self.hands.set(seconds.saturating_mul(1000) + micros / 1000, asked);
        }
        let mut seen = self.seen.all();
        seen.retain(|known| self.servers.owns(node, &self.names.key(&known.stream, "meta")));
        for streams in seen.chunks(SETTLED) {
            let mut commands = redis::pipe();
            for Known { stream, furthest, entry, sale, grant, turn } in streams {
                let epoch = new_epoch().map_err(|error| Fault::new(Remedy::None, error.to_string()))?;
                let mut command = self.scripts.settle.command(6, false);
                command.arg(self.names.key(stream, "meta")).arg(self.names.key(stream, "fields"));
                command.arg(self.names.clock(stream)).arg(self.names.key(stream, "takers"));
                command.arg(self.names.key(stream, "log")).arg(self.names.key(stream, "grants"));
                command.arg(&*furthest.epoch).arg(furthest.seq).arg(&*sale.epoch).arg(sale.count).arg(&*epoch);
                command.arg(entry.0).arg(entry.1);
                let (id, state) = grant.as_ref().map_or(("", ""), |grant| (&*grant.id, grant.state));
                command.arg(id).arg(state);
                let turn = turn.as_ref().map_or(("", "", 0), |turn| (&*turn.pool, &*turn.user, turn.number));
                command.arg(turn.0).arg(turn.1).arg(turn.2);
                commands.add_command(command);
            }
            let mut rewound = 0;
            for (answer, Known { stream, .. }) in all(&mut connection, &commands).await?.into_iter().zip(streams) {
                match answer {
                    Ok(answer) => rewound += usize::from(answer == Value::Int(1)),
                    // Nothing can be done with this stream. That is no reason to be without the others.
                    Err(fault) if fault.text.contains("WRONGTYPE") => {
                        tracing::warn!(%stream, why = %fault, "a stream's keys are of another type");
                    }
                    Err(fault) => return Err(fault),
                }
            }
            if rewound > 0 {
                tracing::warn!(streams = rewound, "redis has lost entries that it had acknowledged");
                self.counters.rewound.add(rewound as u64);
            }
        }
        Ok(())
    }

    fn index(&self) -> String {
        format!("{}:streams", self.names.prefix)
    }

    fn session_key(&self, pid: Id) -> String {
        format!("{}:session:{pid}", self.names.prefix)
    }

    // --- the list of streams ---

    /// Puts a stream into the list of streams. If that fails, the next append does it.
    pub(super) async fn list(&self, stream: &str) {
        let index = self.index();
        let mut command = redis::cmd("ZADD");
        command.arg(&index).arg(today()).arg(stream);
        let listed = self.run(&index, &command).await.is_ok();
        self.seen.set_indexed(stream, listed);
    }

    async fn streams(&self) -> Result<Vec<String>, StoreError> {
        // A stream was listed on the last day that it was given an expiry on.
        let oldest = today().saturating_sub(self.settings.times.retain.as_secs() / DAY + 1);
        let index = self.index();
        let mut old = redis::cmd("ZREMRANGEBYSCORE");
        old.arg(&index).arg("-inf").arg(format!("({oldest}"));
        self.run(&index, &old).await?;
        let listed = self.run(&index, redis::cmd("ZRANGE").arg(&index).arg(0).arg(-1)).await?;
        let listed: Vec<String> = value(listed, "a list")?;
        let mut existing = Vec::with_capacity(listed.len());
        for streams in listed.chunks(SETTLED) {
            let exists = |stream: &String| {
                let meta = self.names.key(stream, "meta");
                (meta.clone(), redis::cmd("EXISTS").arg(meta).take())
            };
            let commands: Vec<_> = streams.iter().map(exists).collect();
            for (stream, exists) in streams.iter().zip(self.run_all(&commands).await) {
                if exists? == Value::Int(1) {
                    existing.push(stream.clone());
                }
            }
        }
        Ok(existing)
    }

    // --- reading ---

    async fn snapshot(&self, stream: &str, event: &str, history: usize) -> Result<Option<Snapshot>, StoreError> {
        if !is_stream(stream) {
            return Ok(None);
        }
        let keys = ["meta", "fields", "log"].map(|part| self.names.key(stream, part));
        let [meta, fields, log] = &keys;
        let limit = history.min(self.settings.limits.log_entries);
        let answer = self
            .script(&self.scripts.snapshot, &[meta, fields, log, &self.names.clock(stream)], |command| {
                command.arg(record::event_prefix(event)).arg(limit);
            })
            .await?;
        type Answer = Option<(String, u64, u64, Vec<(String, String)>, Vec<Vec<u8>>)>;
        let Some((epoch, seq, clock, fields, records)) = value::<Answer>(answer, "a snapshot")? else {
            return Ok(None);
        };
        let position = Position { epoch: epoch.into(), seq };
        self.seen.note(stream, &position);
        let mut fields: Vec<(Arc<str>, Arc<str>)> =
            fields.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        fields.sort_unstable();
        let history = self.entries(stream, &position.epoch, &records);
        Ok(Some(Snapshot { position, clock, fields, history }))
    }

    async fn read(&self, stream: &str, after: Position, limit: usize) -> Result<LogRead, StoreError> {
        let unknown = || {
            let gone = after.seq > 0;
            if gone { LogRead::Gone(Position::default()) } else { LogRead::Entries(Vec::new()) }
        };
        if !is_stream(stream) {
            return Ok(unknown());
        }
        let keys = ["meta", "log"].map(|part| self.names.key(stream, part));
        let [meta, log] = &keys;
        let answer = self
            .script(&self.scripts.read, &[meta, log], |command| {
                command.arg(&*after.epoch).arg(after.seq).arg(limit.min(self.settings.limits.log_entries));
            })
            .await?;
        type Answer = Option<(String, u64, Option<Vec<Vec<u8>>>)>;
        let Some((epoch, seq, records)) = value::<Answer>(answer, "a reading")? else {
            return Ok(unknown());
        };
        let present = Position { epoch: epoch.into(), seq };
        let Some(records) = records else {
            self.seen.note(stream, &present);
            return Ok(LogRead::Gone(present));
        };
        let name: Arc<str> = stream.into();
        let entry = |(record, seq): (&Vec<u8>, u64)| {
            self.entry(&name, &present.epoch, record).filter(|entry| entry.position.seq == seq)
        };
        let entries: Option<Vec<_>> = records.iter().zip(after.seq + 1..).map(entry).collect();
        if let Some(last) = entries.as_ref().and_then(|entries| entries.last()) {
            self.seen.note_entry(last);
        }
        // One that cannot be read is as good as gone: whoever waited for it would wait for ever.
        Ok(entries.map_or(LogRead::Gone(present), LogRead::Entries))
    }

    async fn history(
        &self,
        stream: &str,
        event: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, StoreError> {
        if !is_stream(stream) || limit == 0 {
            return Ok(Vec::new());
        }
        let keys = ["meta", "log"].map(|part| self.names.key(stream, part));
        let [meta, log] = &keys;
        let before = before.map(|before| before.to_string()).unwrap_or_default();
        let limit = limit.min(self.settings.limits.log_entries);
        let answer = self
            .script(&self.scripts.history, &[meta, log], |command| {
                command.arg(record::event_prefix(event)).arg(&before).arg(limit);
            })
            .await?;
        let answer = value::<Option<(String, Vec<Vec<u8>>)>>(answer, "a history")?;
        Ok(answer.map(|(epoch, records)| self.entries(stream, &epoch.into(), &records)).unwrap_or_default())
    }

    /// The entries of records that lie in a log. One that cannot be read is left out.
    fn entries(&self, stream: &str, epoch: &Arc<str>, records: &[Vec<u8>]) -> Vec<Arc<Entry>> {
        let stream: Arc<str> = stream.into();
        records.iter().filter_map(|record| self.entry(&stream, epoch, record)).collect()
    }

    fn entry(&self, stream: &Arc<str>, epoch: &Arc<str>, record: &[u8]) -> Option<Arc<Entry>> {
        let entry = record::entry(stream, record, Some(epoch));
        let unclear = |error: &record::BadRecord| {
            tracing::debug!(%stream, %error, "an entry of a log cannot be read");
            self.counters.unclear.add(1);
        };
        entry.inspect_err(unclear).ok().map(Arc::new)
    }

    // --- audience ---

    async fn sync(&self, gateway: &str, lease: Duration, shares: Vec<Share>) -> Vec<Result<Totals, StoreError>> {
        let asked = Instant::now();
        let known = shares.iter().filter(|share| is_stream(&share.stream));
        let share =
            |share: &Share| (self.names.key(&share.stream, "audience"), self.share(gateway, lease, share, false));
        let commands: Vec<_> = known.map(share).collect();
        let mut answers = self.run_all(&commands).await.into_iter();
        let mut totals = Vec::with_capacity(shares.len());
        for share in &shares {
            if !is_stream(&share.stream) {
                totals.push(Ok(Totals::default()));
                continue;
            }
            let answer = answers.next().unwrap_or_else(|| Err(Fault::nonsense("a share")));
            let answer = match answer {
                Err(Fault { remedy: Remedy::Reload, .. }) => {
                    self.counters.reloaded.add(1);
                    let key = self.names.key(&share.stream, "audience");
                    self.run(&key, &self.share(gateway, lease, share, true)).await
                }
                answer => answer,
            };
            let of_stream = answer.map_err(Into::into).and_then(totals_of).map(|(steps, time, totals)| {
                self.hands.set(time, asked);
                // A stream without a sale need not be remembered.
                if steps.count > 0 {
                    self.seen.note_sale(&share.stream, &steps);
                }
                totals
            });
            totals.push(of_stream);
        }
        totals
    }

    fn share(&self, gateway: &str, lease: Duration, share: &Share, whole: bool) -> Cmd {
        let limits = &self.settings.limits;
        let mut command = self.scripts.sync.command(7, whole);
        for part in ["audience", "users", "crowd", "counts", "meta", "takers", "leases"] {
            command.arg(self.names.key(&share.stream, part));
        }
        let add = share.add.iter().filter(|counter| counter.name.len() <= limits.name_bytes);
        command.arg(gateway).arg(milliseconds(lease)).arg(share.viewers);
        command.arg(limits.counters).arg(milliseconds(self.settings.times.retain)).arg(EXACT);
        command.arg(share.users.len()).arg(add.clone().count()).arg(share.moved.len()).arg(share.number);
        share.users.iter().for_each(|user| {
            command.arg(user);
        });
        add.for_each(|counter| {
            command.arg(&counter.name).arg(counter.value);
        });
        share.moved.iter().for_each(|(gateway, count)| {
            command.arg(gateway).arg(count);
        });
        command
    }

    // --- sessions ---

    async fn save(&self, pid: Id, session: Option<SavedSession>, ttl: Duration) -> Result<(), StoreError> {
        let key = self.session_key(pid);
        let command = match session {
            None => redis::cmd("DEL").arg(&key).take(),
            Some(session) => {
                let text = serde_json::to_string(&session).map_err(|error| too_large(error.to_string()))?;
                if text.len() > self.settings.limits.session_bytes {
                    let bound = self.settings.limits.session_bytes;
                    return Err(too_large(format!("a session of more than {bound} bytes")));
                }
                redis::cmd("SET").arg(&key).arg(text).arg("PX").arg(milliseconds(ttl).max(1)).take()
            }
        };
        self.run(&key, &command).await.map(drop).map_err(Into::into)
    }

    async fn session(&self, pid: Id) -> Result<Option<SavedSession>, StoreError> {
        let key = self.session_key(pid);
        let answer = self.run(&key, redis::cmd("GET").arg(&key)).await?;
        let text: Option<String> = value(answer, "a session")?;
        // One that cannot be read is as good as none.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    // --- gateways ---

    async fn gateways(&self, me: &GatewayLease, ttl: Duration) -> Result<Vec<GatewayLease>, StoreError> {
        let limits = &self.settings.limits;
        if me.name.len().max(me.address.len()) > limits.name_bytes {
            return Err(too_large(format!("a name of more than {} bytes", limits.name_bytes)));
        }
        let lease = serde_json::to_string(me).map_err(|error| too_large(error.to_string()))?;
        // Less than a millisecond is not nothing.
        let ttl = if ttl.is_zero() { 0 } else { milliseconds(ttl).max(1) };
        let answer = self
            .script(&self.scripts.gateways, &[&format!("{}:gateways", self.names.prefix)], |command| {
                command.arg(me.number).arg(&lease).arg(ttl).arg(MOST_GATEWAYS);
            })
            .await?;
        let Some(leases) = value::<Option<Vec<String>>>(answer, "the gateways")? else {
            return Err(too_large(format!("more than {MOST_GATEWAYS} gateways")));
        };
        // One that cannot be read is as good as none.
        let mut leases: Vec<GatewayLease> =
            leases.iter().filter_map(|lease| serde_json::from_str(lease).ok()).collect();
        leases.sort_unstable_by_key(|lease| lease.number);
        Ok(leases)
    }
}

/// How far the sale is, the time, and the totals.
fn totals_of(answer: Value) -> Result<(Steps, u64, Totals), StoreError> {
    let what = "a share";
    let words: Vec<String> = value(answer, what)?;
    let number = |word: Option<&String>| -> Result<u64, StoreError> {
        word.and_then(|word| word.parse().ok()).ok_or_else(|| Fault::nonsense(what).into())
    };
    let mut totals = Totals {
        viewers: number(words.get(3))?,
        peak: number(words.get(4))?,
        unique: number(words.get(5))?,
        counters: Vec::with_capacity(words.len() / 2),
    };
    for pair in words.get(6..).unwrap_or_default().chunks_exact(2) {
        totals.counters.push(Counter { name: pair[0].clone(), value: number(pair.get(1))? });
    }
    totals.counters.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let epoch = words.first().map_or("", String::as_str);
    let steps = Steps { epoch: epoch.into(), count: number(words.get(1))? };
    Ok((steps, number(words.get(2))?, totals))
}

pub(super) fn too_large(what: String) -> StoreError {
    StoreError::TooLarge(what)
}

/// A master that Sentinels may replace behind its back takes writes all the same, unless it is told not to when nobody
/// follows it.
async fn warn_of_lone_master(connection: &mut MultiplexedConnection) -> Result<(), Fault> {
    let info = connection.send_packed_command(redis::cmd("INFO").arg("replication")).await?;
    let info: String = redis::from_redis_value(info).unwrap_or_default();
    // It says how many good replicas it has only where it needs some.
    if info.contains("role:master") && !info.contains("min_slaves_good_slaves:") {
        tracing::warn!("a master that is cut off from the sentinels will take what is lost: set min-replicas-to-write");
    }
    Ok(())
}

/// Sends commands on a connection that nobody else uses yet.
async fn all(connection: &mut MultiplexedConnection, commands: &Pipeline) -> Result<Vec<Result<Value, Fault>>, Fault> {
    let answers = connection.send_packed_commands(commands, 0, commands.len()).await?;
    let each = |answer| match answer {
        Value::ServerError(error) => Err(Fault::from(error)),
        answer => Ok(answer),
    };
    Ok(answers.into_iter().map(each).collect())
}

/// The same. One that fails is a failure of all.
async fn each(connection: &mut MultiplexedConnection, commands: &Pipeline) -> Result<Vec<Value>, Fault> {
    all(connection, commands).await?.into_iter().collect()
}

impl Store for Engine {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, StoreError>> {
        Box::pin(self.core.clone().append(append))
    }

    fn snapshot<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        history: usize,
    ) -> BoxFuture<'a, Result<Option<Snapshot>, StoreError>> {
        Box::pin(self.core.snapshot(stream, event, history))
    }

    fn read<'a>(
        &'a self,
        stream: &'a str,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'a, Result<LogRead, StoreError>> {
        Box::pin(self.core.read(stream, after, limit))
    }

    fn history<'a>(
        &'a self,
        stream: &'a str,
        event: &'a str,
        before: Option<u64>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Arc<Entry>>, StoreError>> {
        Box::pin(self.core.history(stream, event, before, limit))
    }

    fn sync<'a>(
        &'a self,
        gateway: &'a str,
        lease: Duration,
        shares: Vec<Share>,
    ) -> BoxFuture<'a, Vec<Result<Totals, StoreError>>> {
        Box::pin(self.core.sync(gateway, lease, shares))
    }

    fn streams(&self) -> BoxFuture<'_, Result<Vec<String>, StoreError>> {
        Box::pin(self.core.streams())
    }

    fn save_session(
        &self,
        pid: Id,
        session: Option<SavedSession>,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.core.save(pid, session, ttl))
    }

    fn session(&self, pid: Id) -> BoxFuture<'_, Result<Option<SavedSession>, StoreError>> {
        Box::pin(self.core.session(pid))
    }

    fn gateways<'a>(
        &'a self,
        me: &'a GatewayLease,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Vec<GatewayLease>, StoreError>> {
        Box::pin(self.core.gateways(me, ttl))
    }
}
