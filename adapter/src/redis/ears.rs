//! What arrives: the channel's name first, then the meaning, then the gateway. It also keeps the list of what is listened to
//! true on every new connection.
//!
//! After a stream's channel is confirmed, the newest entry of its log is fetched and delivered as if it had just arrived:
//! whatever was published before the confirmation shows as a gap then, and the gateway reads it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use redis::{PushInfo, PushKind, ServerError, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep},
};

use super::{
    Core,
    fault::{Fault, Remedy},
    link::{Keeper, State},
    node::Node,
    record,
    seen::Source,
    table::BATCH,
    wire::{Asker, Channel, Form, Heard, Manner},
};
use crate::{Entry, Progress, Reply, Request};

/// Questions that are answered at one time. One more is dropped: its asker waits in vain.
const SERVING: usize = 1024;
/// Acks of one question that wait to be published. Further ones are told in the end.
const ACKS: usize = 256;
/// How long clients may take to acknowledge.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked for channels that nobody wants any more.
const TIDY: Duration = Duration::from_millis(500);
/// How soon the newest entries are tried again when Redis did not say.
const RETRY: Duration = Duration::from_millis(50);

/// Streams whose newest entry is to be fetched.
#[derive(Debug, Default)]
pub(super) struct Pokes {
    streams: Mutex<HashSet<Box<str>>>,
    some: Notify,
}

impl Pokes {
    pub(super) fn put<'a>(&self, streams: impl Iterator<Item = &'a str>) {
        let mut waiting = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(streams.map(Into::into));
        drop(waiting);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<Box<str>> {
        let mut waiting = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let some: Vec<_> = waiting.iter().take(BATCH).cloned().collect();
        some.iter().for_each(|stream| {
            waiting.remove(stream);
        });
        some
    }
}

/// Who keeps the connection that listens.
pub(super) struct Ears {
    core: Arc<Core>,
    node: Arc<Node>,
    serving: Arc<Semaphore>,
}

impl Ears {
    pub(super) fn new(core: Arc<Core>, node: Arc<Node>) -> Self {
        Self { core, node, serving: Arc::new(Semaphore::new(SERVING)) }
    }
}

impl Keeper for Ears {
    fn hear(&self, PushInfo { kind, data }: PushInfo) {
        let mut data = data.into_iter().map(|value| match value {
            Value::BulkString(bytes) => bytes,
            _ => Vec::new(),
        });
        let mut next = || data.next().unwrap_or_default();
        let (channel, by_pattern) = match kind {
            PushKind::Message | PushKind::SMessage => (next(), false),
            PushKind::PMessage => {
                next();
                (next(), true)
            }
            PushKind::SSubscribe => return self.confirmed_shard_channel(&next()),
            PushKind::SUnsubscribe => return self.lost_shard_channel(&next()),
            _ => return,
        };
        let payload = next();
        self.core.counters.heard.add(1);
        match std::str::from_utf8(&channel) {
            // A pattern may name what is listened to by its name as well.
            Ok(channel) if by_pattern && self.core.servers.listens(Manner::Plain, channel) => {}
            Ok(channel) => self.message(channel, &payload),
            Err(_) => self.core.counters.unclear.add(1),
        }
    }

    fn greet<'a>(&'a self, connection: &'a MultiplexedConnection) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.node.table.reset(&self.core.fixed());
            self.subscribe(connection).await
        })
    }

    fn tend<'a>(&'a self, connection: &'a MultiplexedConnection) -> BoxFuture<'a, Fault> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    () = self.node.table.changed.notified() => {}
                    () = sleep(TIDY) => {}
                }
                let done = async {
                    self.subscribe(connection).await?;
                    self.unsubscribe(connection).await
                };
                if let Err(fault) = done.await {
                    return fault;
                }
            }
        })
    }

    fn lost(&self) {
        self.node.table.reset(&[]);
        self.core.servers.doubt();
    }
}

impl Ears {
    async fn subscribe(&self, connection: &MultiplexedConnection) -> Result<(), Fault> {
        loop {
            let batch = self.node.table.next_absent();
            let Some(manner) = batch.first().map(|first| first.manner) else { return Ok(()) };
            let mut connection = connection.clone();
            match manner {
                Manner::Plain => connection.subscribe(names(&batch)).await?,
                Manner::Pattern => connection.psubscribe(names(&batch)).await?,
                Manner::Shard => {
                    let done = self.one_by_one(&mut connection, Shard::Subscribe, &names(&batch)).await?;
                    if done.contains(&false) {
                        // Their slots are elsewhere. They stay on the list, and move with it.
                        self.core.servers.doubt();
                    }
                    continue;
                }
            }
            self.confirmed(&batch);
        }
    }

    fn confirmed(&self, channels: &[Channel]) {
        self.node.table.confirm(channels);
        self.node.pokes.put(channels.iter().filter_map(|channel| self.core.names.stream_of(&channel.name)));
    }

    /// Confirmations are taken as they arrive: right behind one, Redis may end the subscription again.
    fn confirmed_shard_channel(&self, channel: &[u8]) {
        let channel = String::from_utf8_lossy(channel);
        self.confirmed(&[Channel::new(Manner::Shard, channel.as_ref())]);
    }

    async fn unsubscribe(&self, connection: &MultiplexedConnection) -> Result<(), Fault> {
        loop {
            let batch = self.node.table.next_left(self.core.settings.times.linger);
            let Some(first) = batch.first() else { return Ok(()) };
            let (manner, names) = (first.manner, names(&batch));
            let mut connection = connection.clone();
            match manner {
                Manner::Plain => connection.unsubscribe(&names).await?,
                Manner::Pattern => connection.punsubscribe(&names).await?,
                Manner::Shard => drop(self.one_by_one(&mut connection, Shard::Unsubscribe, &names).await?),
            }
            let streams = names.into_iter().filter_map(|name| self.core.names.stream_of(name));
            // Those that are listened to elsewhere have only moved.
            let left = streams.filter(|stream| !self.core.servers.lists(manner, &self.core.names.live(stream)));
            left.for_each(|stream| self.core.seen.forget_delivered(stream));
        }
    }

    /// Each in a command of its own: Redis confirms each, and the client expects one answer to a command. Says which were done;
    /// the slots of the others are not here.
    async fn one_by_one(
        &self,
        connection: &mut MultiplexedConnection,
        what: Shard,
        names: &[&str],
    ) -> Result<Vec<bool>, Fault> {
        let (command, confirmation) = match what {
            Shard::Subscribe => ("SSUBSCRIBE", PushKind::SSubscribe),
            Shard::Unsubscribe => ("SUNSUBSCRIBE", PushKind::SUnsubscribe),
        };
        let mut commands = redis::pipe();
        for name in names {
            commands.cmd(command).arg(name);
        }
        let answers = connection.send_packed_commands(&commands, 0, names.len()).await?;
        let done = |(answer, name): (Value, &&str)| match answer {
            Value::Push { kind, data } if kind == confirmation && is_of(&data, name) => Ok(true),
            Value::ServerError(error) if self.core.servers.is_cluster() && is_elsewhere(&error) => Ok(false),
            Value::ServerError(error) => Err(error.into()),
            _ => Err(Fault::new(Remedy::Reconnect, "answers are out of step")),
        };
        answers.into_iter().zip(names).map(done).collect()
    }

    /// Redis has ended a subscription. If nobody asked for it, the channel's slot has moved to another server. The client
    /// takes it for the answer to whatever it has asked last: it is to be seen whether answers are still in step.
    fn lost_shard_channel(&self, channel: &[u8]) {
        let channel = String::from_utf8_lossy(channel);
        if self.node.table.is_confirmed(Manner::Shard, &channel) {
            self.core.counters.moved.add(1);
            self.node.table.lose(Channel::new(Manner::Shard, channel.as_ref()));
            self.node.listener.check();
            self.core.servers.doubt();
        }
    }

    fn message(&self, channel: &str, payload: &[u8]) {
        let core = &self.core;
        if let Some(stream) = core.names.stream_of(channel) {
            return match record::entry(&stream.into(), payload, None) {
                Ok(entry) => core.deliver(entry, Source::Channel),
                Err(error) => core.unclear(channel, &error),
            };
        }
        if channel.starts_with(&core.names.canary) {
            core.counters.own.add(1);
            return self.node.hear_itself(payload);
        }
        let wants = |namespace: &str, room: &str| core.inbound(|inbound| inbound.wants(namespace, room)) == Some(true);
        match core.wire.hear(channel, payload, &wants) {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Broadcast(broadcast)) => drop(core.inbound(|inbound| inbound.deliver(broadcast))),
            Ok(Heard::Request(request, asker)) => self.serve(request, asker),
            Ok(Heard::Answer(id, answer)) => {
                if !core.questions.answer(&id, answer) {
                    core.counters.unasked.add(1);
                }
            }
            Err(error) => core.unclear(channel, &error),
        }
    }

    fn serve(&self, request: Request, asker: Option<Asker>) {
        let Some(asker) = asker else {
            // Nobody listens for an answer to an order.
            let (nowhere, _) = mpsc::channel(1);
            self.core.inbound(|inbound| inbound.serve(request, Reply::new(nowhere)));
            return;
        };
        let Ok(place) = self.serving.clone().try_acquire_owned() else {
            return self.core.counters.unserved.add(1);
        };
        tokio::spawn(answer(self.core.clone(), request, asker, place));
    }
}

/// Answers a question, once the gateway does.
async fn answer(core: Arc<Core>, request: Request, asker: Asker, _place: OwnedSemaphorePermit) {
    let ask = async |request: Request| {
        let (reply, mut answer) = mpsc::channel(1);
        core.inbound(|inbound| inbound.serve(request, Reply::new(reply)))?;
        answer.recv().await
    };
    if asker.form == Form::Acks {
        return tell_acks(core, request, asker).await;
    }
    let values = if asker.form == Form::Done {
        // Only the gateway that has the socket may say that it was done.
        let (Request::Join(target, _) | Request::Leave(target, _)) = &request else { return };
        let found = ask(Request::FetchSockets(target.clone())).await;
        if found.is_none_or(|found| found.is_empty()) {
            return;
        }
        // An order has no answer.
        let (nowhere, _) = mpsc::channel(1);
        core.inbound(|inbound| inbound.serve(request, Reply::new(nowhere)));
        Vec::new()
    } else {
        let Some(values) = ask(request).await else { return };
        values
    };
    for message in core.wire.answer(&asker, values) {
        // The queue is full: the asker waits in vain, and that was counted.
        let _ = core.say(message);
    }
}

/// Tells how many clients were asked, and each of their answers as it comes, as Node does: what came before the asker lost
/// patience is his.
async fn tell_acks(core: Arc<Core>, request: Request, asker: Asker) {
    let (reply, mut rest) = mpsc::channel(1);
    let (telling, mut told) = mpsc::channel(ACKS);
    let reply = Reply::new(reply).until(Instant::now() + ACK_WAIT).telling(telling);
    if core.inbound(|inbound| inbound.serve(request, reply)).is_none() {
        return;
    }
    // The queue is full: the asker waits in vain, and that was counted.
    let say = |message| {
        let _ = core.say(message);
    };
    let (mut counted, mut acks) = (false, 0);
    // Nothing more is told once the rest is there.
    while let Some(progress) = told.recv().await {
        match progress {
            Progress::Receivers(count) => {
                counted = true;
                say(core.wire.receivers(&asker, count));
            }
            Progress::Ack(value) => {
                acks += 1;
                core.wire.ack(&asker, value).into_iter().for_each(say);
            }
        }
    }
    let Some(rest) = rest.recv().await else { return };
    if !counted {
        say(core.wire.receivers(&asker, acks + rest.len()));
    }
    rest.into_iter().filter_map(|value| core.wire.ack(&asker, value)).for_each(say);
}

fn names(channels: &[Channel]) -> Vec<&str> {
    channels.iter().map(|channel| &*channel.name).collect()
}

/// What is done with channels one by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shard {
    Subscribe,
    Unsubscribe,
}

/// Whether a server says that it has no such slot.
fn is_elsewhere(error: &ServerError) -> bool {
    matches!(error.code(), "MOVED" | "CLUSTERDOWN")
}

fn is_of(confirmation: &[Value], name: &str) -> bool {
    matches!(confirmation.first(), Some(Value::BulkString(channel)) if channel == name.as_bytes())
}

impl Core {
    /// Gives an entry to the gateway, unless it has had it.
    fn deliver(&self, entry: Entry, from: Source) {
        if self.seen.deliver(&entry, from) {
            self.inbound(|inbound| inbound.entry(Arc::new(entry)));
        }
    }

    fn unclear(&self, channel: &str, error: &dyn std::fmt::Display) {
        self.counters.unclear.add(1);
        tracing::debug!(channel, %error, "a message is not clear");
    }

    async fn newest(&self, streams: &[Box<str>]) -> Result<(), Fault> {
        let mut commands = Vec::with_capacity(2 * streams.len());
        for stream in streams {
            let (meta, log) = (self.names.key(stream, "meta"), self.names.key(stream, "log"));
            let (epoch, newest) = (cmd("HGET").arg(&meta).arg("epoch").take(), cmd("LINDEX").arg(&log).arg(-1).take());
            commands.extend([(meta, epoch), (log, newest)]);
        }
        let answers = self.run_all(&commands).await;
        let mut outcome = Ok(());
        for (stream, answers) in streams.iter().zip(answers.chunks_exact(2)) {
            let (epoch, record) = match answers {
                [Ok(Value::BulkString(epoch)), Ok(Value::BulkString(record))] => (epoch, record),
                // A refusal is an answer.
                [Err(fault), _] | [_, Err(fault)] if fault.remedy != Remedy::None => {
                    outcome = Err(fault.clone());
                    continue;
                }
                // There is no such stream, or it has no such form.
                _ => continue,
            };
            let epoch = String::from_utf8_lossy(epoch).as_ref().into();
            match record::entry(&stream.as_ref().into(), record, Some(&epoch)) {
                Ok(entry) => self.deliver(entry, Source::Log),
                Err(error) => self.unclear(stream, &error),
            }
        }
        outcome
    }

    /// Whether the channel of a stream is listened to.
    pub(super) fn listens(&self, stream: &str) -> bool {
        self.servers.listens(self.wire.manner(), &self.names.live(stream))
    }
}

/// Fetches the newest entries of streams whose channels a server has confirmed, for ever.
pub(super) async fn poke(core: Arc<Core>, node: Arc<Node>) {
    let mut commands = node.commands.state();
    loop {
        let streams = node.pokes.take();
        if streams.is_empty() {
            node.pokes.some.notified().await;
            continue;
        }
        let _ = commands.wait_for(|state| matches!(state, State::Up(_))).await;
        if core.newest(&streams).await.is_err() {
            node.pokes.put(streams.iter().map(AsRef::as_ref).filter(|stream| core.listens(stream)));
            sleep(RETRY).await;
        }
    }
}
