//! What is published, in the order in which it was said. The queue is bounded; what Redis could not take in time is dropped
//! and counted: a broadcast is delivered at most once, and an old one is worse than none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::Value;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use super::{
    Core,
    fault::Fault,
    wire::{Message, count_command, publish_command},
};
use crate::QueueFull;

/// Messages that wait.
const MESSAGES: usize = 8_192;
/// Bytes of them.
const BYTES: usize = 16 << 20;
/// Messages that leave in one go.
const BATCH: usize = 256;
/// How soon it is tried again while Redis is away.
const RETRY: Duration = Duration::from_millis(20);

/// Something to be published.
#[derive(Debug)]
pub(super) struct Out {
    message: Message,
    /// A question: who is asked has to be counted.
    question: Option<String>,
    since: Instant,
}

/// The queue, as those see it who put something in.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Out>,
    /// Messages that are neither published nor dropped yet.
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    emptied: Notify,
}

impl Outgoing {
    pub(super) fn new() -> (Self, mpsc::Receiver<Out>) {
        let (queue, out) = mpsc::channel(MESSAGES);
        (Self { queue, waiting: AtomicUsize::new(0), bytes: AtomicUsize::new(0), emptied: Notify::new() }, out)
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

    fn put(&self, message: Message, question: Option<String>) -> Result<(), QueueFull> {
        let size = message.payload.len();
        if self.bytes.fetch_add(size, Ordering::SeqCst) + size > BYTES {
            self.bytes.fetch_sub(size, Ordering::SeqCst);
            return Err(QueueFull);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let sent = self.queue.try_send(Out { message, question, since: Instant::now() });
        if sent.is_err() {
            self.settle(1, size);
        }
        sent.map_err(|_| QueueFull)
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
        self.put(message, None)
    }

    /// Publishes a question, and counts who is asked.
    pub(super) fn ask(&self, message: Message, id: String) -> Result<(), QueueFull> {
        self.put(message, Some(id))
    }

    fn put(&self, message: Message, question: Option<String>) -> Result<(), QueueFull> {
        if self.closed.load(Ordering::SeqCst) {
            // Nobody is there to say it to.
            if let Some(id) = question {
                self.questions.fail(&id, self.pulse.others().max(1));
            }
            return Ok(());
        }
        self.outgoing.put(message, question).inspect_err(|_| self.counters.queue_full.add(1))
    }

    /// Nobody will answer.
    fn give_up(&self, out: Out) {
        if let Some(id) = out.question {
            self.questions.fail(&id, self.pulse.others().max(1));
        }
    }

    async fn publish(&self, batch: &[Out]) -> Result<(), Fault> {
        let manner = self.wire.manner();
        let mut commands = redis::pipe();
        for Out { message, question, .. } in batch {
            if question.is_some() {
                // Whoever listens when the question leaves is asked.
                commands.cmd("PUBSUB").arg(count_command(manner)).arg(&message.channel);
            }
            commands.cmd(publish_command(manner)).arg(&message.channel).arg(&message.payload);
        }
        let mut answers = self.commands.run_all(&commands).await?.into_iter();
        for Out { question, .. } in batch {
            let listeners = if question.is_some() { answers.next() } else { None };
            let published = answers.next().is_some_and(|answer| answer.is_ok());
            if published {
                self.counters.spoken.add(1)
            } else {
                self.counters.failed.add(1)
            }
            let Some(id) = question else { continue };
            match listeners.and_then(Result::ok).as_ref().and_then(count).filter(|_| published) {
                Some(listeners) => self.questions.expect(id, listeners.saturating_sub(1)),
                None => self.questions.fail(id, self.pulse.others().max(1)),
            }
        }
        Ok(())
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

/// Publishes what is put into the queue, for ever.
pub(super) async fn speak(core: Arc<Core>, mut queue: mpsc::Receiver<Out>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let bytes = |batch: &[Out]| batch.iter().map(|out| out.message.payload.len()).sum::<usize>();
        loop {
            let stale = core.settings.times.stale;
            let (fresh, old): (Vec<_>, Vec<_>) = batch.drain(..).partition(|out| out.since.elapsed() < stale);
            core.counters.stale.add(old.len() as u64);
            core.outgoing.settle(old.len(), bytes(&old));
            old.into_iter().for_each(|out| core.give_up(out));
            batch = fresh;
            if batch.is_empty() {
                break;
            }
            match core.publish(&batch).await {
                Ok(()) => break,
                // Nothing was sent: there is no connection.
                Err(_) if !core.commands.is_up() => sleep(RETRY).await,
                // It may have been sent, and at most once is what was promised.
                Err(_) => {
                    core.counters.failed.add(batch.len() as u64);
                    let size = bytes(&batch);
                    let count = batch.len();
                    batch.drain(..).for_each(|out| core.give_up(out));
                    core.outgoing.settle(count, size);
                }
            }
        }
        if !batch.is_empty() {
            core.outgoing.settle(batch.len(), bytes(&batch));
            batch.clear();
        }
    }
}
