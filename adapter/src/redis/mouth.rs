//! What is published, in the order in which it was said, of each server for itself. The queue is bounded; what Redis could not take in time is dropped
//! and counted: a broadcast is delivered at most once, and an old one is worse than none.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use redis::Value;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use super::{
    Core,
    fault::{Fault, Remedy},
    node::Node,
    wire::{Manner, Message, count_command, publish_command},
};
use crate::QueueFull;

/// Messages that wait.
const MESSAGES: usize = 8_192;
/// Bytes of them.
const BYTES: usize = 16 << 20;
/// Messages that leave in one go.
const BATCH: usize = 256;
/// How often a message follows its channel to another server.
const MOVES: u32 = 3;
/// How soon it is tried again while Redis is away.
const RETRY: Duration = Duration::from_millis(20);

/// Something to be published.
#[derive(Debug)]
pub(super) struct Out {
    message: Message,
    /// A question: who is asked has to be counted.
    question: Option<String>,
    since: Instant,
    /// How often it has gone elsewhere.
    moves: u32,
}

/// The queue, as those see it who put something in.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Out>,
    /// For whoever speaks.
    out: Mutex<Option<mpsc::Receiver<Out>>>,
    /// Messages that are neither published nor dropped yet.
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    emptied: Notify,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        let (queue, out) = mpsc::channel(MESSAGES);
        let out = Mutex::new(Some(out));
        Self { queue, out, waiting: AtomicUsize::new(0), bytes: AtomicUsize::new(0), emptied: Notify::new() }
    }

    /// How many wait, and their bytes.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Waits until nothing waits.
    pub(super) async fn flush(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.waiting.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn put(&self, out: Out) -> Result<(), Out> {
        let size = out.message.payload.len();
        if self.bytes.fetch_add(size, Ordering::SeqCst) + size > BYTES {
            self.bytes.fetch_sub(size, Ordering::SeqCst);
            return Err(out);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.queue.try_send(out).map_err(|refused| {
            self.settle(1, size);
            refused.into_inner()
        })
    }

    fn settle(&self, messages: usize, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.waiting.fetch_sub(messages, Ordering::SeqCst) == messages {
            self.emptied.notify_waiters();
        }
    }
}

impl Core {
    /// Publishes a message after those that were said before.
    pub(super) fn say(&self, message: Message) -> Result<(), QueueFull> {
        self.put(Out { message, question: None, since: Instant::now(), moves: 0 })
    }

    /// Publishes a question, and counts who is asked.
    pub(super) fn ask(&self, message: Message, id: String) -> Result<(), QueueFull> {
        self.put(Out { message, question: Some(id), since: Instant::now(), moves: 0 })
    }

    fn put(&self, out: Out) -> Result<(), QueueFull> {
        if self.closed.load(Ordering::SeqCst) {
            // Nobody is there to say it to.
            self.give_up(out);
            return Ok(());
        }
        let Ok(node) = self.servers.of(&out.message.channel) else {
            // No server would take it. That is as if it had been lost on its way.
            self.counters.failed.add(1);
            self.give_up(out);
            return Ok(());
        };
        node.outgoing.put(out).map_err(|out| {
            self.counters.queue_full.add(1);
            self.give_up(out);
            QueueFull
        })
    }

    /// Nobody will answer.
    fn give_up(&self, out: Out) {
        if let Some(id) = out.question {
            self.questions.fail(&id, self.pulse.others().max(1));
        }
    }

    /// Publishes on a server; gives back what it sends elsewhere.
    async fn publish(&self, node: &Node, batch: &mut Vec<Out>) -> Result<Vec<Out>, Fault> {
        let manner = self.wire.manner();
        let mut commands = redis::pipe();
        let mut counts = Vec::new();
        for Out { message, question, .. } in &*batch {
            if question.is_some() && self.counts_everywhere() {
                counts.push(self.listeners(&message.channel).await);
            } else if question.is_some() {
                // Whoever listens when the question leaves is asked.
                commands.cmd("PUBSUB").arg(count_command(manner)).arg(&message.channel);
            }
            commands.cmd(publish_command(manner)).arg(&message.channel).arg(&message.payload);
        }
        let mut answers = node.commands.run_all(&commands).await?.into_iter();
        let (mut counts, mut elsewhere) = (counts.into_iter(), Vec::new());
        for out in batch.drain(..) {
            let listeners = match &out.question {
                Some(_) if self.counts_everywhere() => counts.next().flatten(),
                Some(_) => answers.next().and_then(Result::ok).as_ref().and_then(count),
                None => None,
            };
            match answers.next() {
                Some(Ok(_)) => {
                    self.counters.spoken.add(1);
                    match (&out.question, listeners) {
                        (Some(id), Some(listeners)) => self.questions.expect(id, listeners.saturating_sub(1)),
                        _ => self.give_up(out),
                    }
                }
                Some(Err(fault)) if fault.remedy == Remedy::Moved && out.moves < MOVES && self.servers.is_cluster() => {
                    self.servers.learn(&out.message.channel, &fault);
                    elsewhere.push(Out { moves: out.moves + 1, ..out });
                }
                _ => {
                    self.counters.failed.add(1);
                    self.give_up(out);
                }
            }
        }
        Ok(elsewhere)
    }

    /// In a Cluster everybody hears what is published with `PUBLISH`, on whatever server they listen.
    fn counts_everywhere(&self) -> bool {
        self.servers.is_cluster() && self.wire.manner() != Manner::Shard
    }

    /// How many listen to a channel.
    pub(super) async fn listeners(&self, channel: &str) -> Option<usize> {
        let mut command = redis::cmd("PUBSUB");
        command.arg(count_command(self.wire.manner())).arg(channel);
        if !self.counts_everywhere() {
            return self.run(channel, &command).await.ok().as_ref().and_then(count);
        }
        let nodes = self.servers.all();
        let counts = join_all(nodes.iter().map(async |node| node.commands.run(&command).await)).await;
        counts.into_iter().map(|answer| answer.ok().as_ref().and_then(count)).sum()
    }
}

/// The number of `PUBSUB NUMSUB` of one channel.
pub(super) fn count(answer: &Value) -> Option<usize> {
    match answer {
        Value::Array(pair) => match pair.as_slice() {
            [_, Value::Int(count)] => usize::try_from(*count).ok(),
            _ => None,
        },
        Value::Map(pairs) => match pairs.as_slice() {
            [(_, Value::Int(count))] => usize::try_from(*count).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Publishes what is put into the queue of a server, for ever.
pub(super) async fn speak(core: Arc<Core>, node: Arc<Node>) {
    let outgoing = &node.outgoing;
    let queue = outgoing.out.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut queue) = queue else { return };
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let bytes = |batch: &[Out]| batch.iter().map(|out| out.message.payload.len()).sum::<usize>();
        loop {
            let stale = core.settings.times.stale;
            let (fresh, old): (Vec<_>, Vec<_>) = batch.drain(..).partition(|out| out.since.elapsed() < stale);
            core.counters.stale.add(old.len() as u64);
            outgoing.settle(old.len(), bytes(&old));
            old.into_iter().for_each(|out| core.give_up(out));
            batch = fresh;
            if batch.is_empty() {
                break;
            }
            let (count, size) = (batch.len(), bytes(&batch));
            match core.publish(&node, &mut batch).await {
                Ok(elsewhere) => {
                    outgoing.settle(count, size);
                    // One whose queue is full was counted.
                    elsewhere.into_iter().for_each(|out| {
                        let _ = core.put(out);
                    });
                    break;
                }
                // Nothing was sent.
                Err(fault) if fault.remedy == Remedy::Wait => sleep(RETRY).await,
                // It may have been sent, and at most once is what was promised.
                Err(_) => {
                    core.counters.failed.add(batch.len() as u64);
                    batch.drain(..).for_each(|out| core.give_up(out));
                    outgoing.settle(count, size);
                    break;
                }
            }
        }
    }
}
