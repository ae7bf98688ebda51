//! [`Link`]: one connection to Redis that comes back. Its keeper never ends while the engine lives, whatever happens to the
//! connection, and whatever is wrong on the other side; nobody who uses it ever waits for it to come back.
//!
//! ```text
//!          ┌───────────────────────── wait, longer each time, with jitter ◄─┐
//!          ▼                                                                │
//!   dial ──► greet ──► up: tend, and probe every second ──► lost ───────────┤
//!      └─ failed ─┴─ failed ────────────────────────────────────────────────┘
//! ```
//!
//! A probe is a `PING` with a number in it: it has to come back, and with that number. Anything else means that answers and
//! questions do not belong together any more (the client takes an unasked `sunsubscribe` for the answer to whatever it
//! asked first), and the connection is of no use. So is one to a server that is no master any more.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use metrics::Histogram;
use redis::{Cmd, Pipeline, PushInfo, PushKind, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    backoff::Backoff,
    dial::{Dialer, check_role},
    fault::{Fault, Remedy},
    settings::Times,
    slots::Address,
};

/// Commands that wait for their answers at one time. One more is refused at once: it would wait for longer than it may.
const IN_FLIGHT: usize = 16_384;
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// How often the same trouble is told.
const QUIET: Duration = Duration::from_secs(10);

/// What is done with a connection beside sending commands.
pub(super) trait Keeper: Send + Sync + 'static {
    /// Something that Redis sends of its own accord. Called on the connection's task.
    fn hear(&self, push: PushInfo);

    /// Prepares a new connection. It is used only when this succeeds.
    fn greet<'a>(&'a self, connection: &'a MultiplexedConnection) -> BoxFuture<'a, Result<(), Fault>>;

    /// Works on the connection while it lives. It is given up when this ends.
    fn tend<'a>(&'a self, connection: &'a MultiplexedConnection) -> BoxFuture<'a, Fault>;

    /// The connection is gone.
    fn lost(&self);
}

/// One connection that comes back.
#[derive(Debug)]
pub(super) struct Link {
    name: String,
    dialer: Arc<Dialer>,
    times: Times,
    line: RwLock<Option<MultiplexedConnection>>,
    state: watch::Sender<State>,
    in_flight: Semaphore,
    /// Somebody doubts that the connection works: probe it.
    doubt: Notify,
    /// The connection is to be given up, whether it works or not.
    give_up: Notify,
    /// Connections made so far; what arrives of an earlier one is not heard.
    made: AtomicU64,
    /// How long answers take.
    answers: Histogram,
}

/// A life of the connection, which ends with whoever waits for its end.
struct Life(JoinHandle<Fault>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection that was made.
struct Connected {
    connection: MultiplexedConnection,
    /// It is gone.
    lost: Arc<Notify>,
    /// What the Sentinels had named.
    named: Option<Address>,
}

/// Whether there is a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Since then.
    Up(Instant),
    /// And why.
    Down(String),
}

impl Link {
    pub(super) fn new(name: String, dialer: Arc<Dialer>, times: Times) -> Self {
        Self {
            name,
            dialer,
            times,
            line: RwLock::new(None),
            state: watch::Sender::new(State::Down("not connected yet".to_owned())),
            in_flight: Semaphore::new(IN_FLIGHT),
            doubt: Notify::new(),
            give_up: Notify::new(),
            made: AtomicU64::new(0),
            answers: metrics::histogram!("haat_redis_answer_seconds"),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Connections made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// Nobody uses the connection any more. Its keeper has to have ended.
    pub(super) fn hang_up(&self) {
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Probes the connection at once: somebody doubts that it works.
    pub(super) fn check(&self) {
        self.doubt.notify_one();
    }

    /// Gives the connection up and makes a new one.
    pub(super) fn renew(&self) {
        self.give_up.notify_one();
    }

    // --- commands ---

    /// Sends a command, and waits for its answer no longer than one may take.
    pub(super) async fn run(&self, command: &Cmd) -> Result<Value, Fault> {
        let mut line = self.judge(self.line())?;
        let _place = self.judge(self.place())?;
        let asked = Instant::now();
        let answer = line.send_packed_command(command).await.map_err(Fault::from);
        self.answers.record(asked.elapsed().as_secs_f64());
        self.judge(answer.and_then(|value| match value {
            Value::ServerError(error) => Err(error.into()),
            value => Ok(value),
        }))
    }

    /// Sends commands in one go. Each has an answer of its own, and may fail alone.
    pub(super) async fn run_all(&self, commands: &Pipeline) -> Result<Vec<Result<Value, Fault>>, Fault> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut line = self.judge(self.line())?;
        let _place = self.judge(self.place())?;
        let asked = Instant::now();
        let answers = line.send_packed_commands(commands, 0, commands.len()).await.map_err(Fault::from);
        self.answers.record(asked.elapsed().as_secs_f64());
        let each = |value| match value {
            Value::ServerError(error) => self.judge(Err(error.into())),
            value => Ok(value),
        };
        Ok(self.judge(answers)?.into_iter().map(each).collect())
    }

    /// Sends a command to a server that is about to get its slot.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Fault> {
        let mut commands = redis::pipe();
        commands.cmd("ASKING").add_command(command.clone());
        self.run_all(&commands).await?.pop().unwrap_or_else(|| Err(Fault::nonsense("a command")))
    }

    fn line(&self) -> Result<MultiplexedConnection, Fault> {
        let line = self.line.read().unwrap_or_else(PoisonError::into_inner).clone();
        line.ok_or_else(|| match &*self.state.borrow() {
            State::Down(why) => Fault::new(Remedy::Wait, why),
            State::Up(_) => Fault::new(Remedy::Wait, "not connected"),
        })
    }

    fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Fault> {
        self.in_flight.try_acquire().map_err(|_| Fault::new(Remedy::Wait, "too many commands wait for redis"))
    }

    fn judge<T>(&self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault) = &outcome {
            fault.count();
        }
        match outcome.as_ref().map_err(|fault| fault.remedy) {
            Err(Remedy::Move) => self.give_up.notify_one(),
            Err(Remedy::Probe | Remedy::Reconnect) => self.doubt.notify_one(),
            // The connection is as good as it was.
            Err(_) | Ok(_) => {}
        }
        outcome
    }

    // --- the connection ---

    /// Keeps the link. Never ends.
    pub(super) async fn keep(self: Arc<Self>, keeper: Arc<dyn Keeper>) {
        let mut backoff = Backoff::new(self.times.backoff, self.times.backoff_max);
        let mut told = None;
        loop {
            let began = Instant::now();
            // A task of its own: whatever panics in there ends the connection, and not its keeper.
            let (link, with) = (self.clone(), keeper.clone());
            let mut life = Life(tokio::spawn(async move { link.live(&with).await }));
            let ended = (&mut life.0).await;
            self.hang_up();
            keeper.lost();
            let fault = ended.unwrap_or_else(|error| Fault::new(Remedy::Reconnect, error.to_string()));
            if told.is_none_or(|told: Instant| told.elapsed() >= QUIET) {
                told = Some(Instant::now());
                tracing::warn!(link = self.name.as_str(), why = %fault, "redis is not connected");
            }
            self.state.send_replace(State::Down(fault.text));
            if began.elapsed() >= GOOD {
                backoff.reset();
            }
            sleep(backoff.next()).await;
        }
    }

    /// One life of the connection, and why it ended.
    async fn live(self: &Arc<Self>, keeper: &Arc<dyn Keeper>) -> Fault {
        match self.connect(keeper).await {
            Err(fault) => fault,
            Ok(Connected { connection, lost, named }) => {
                self.state.send_replace(State::Up(Instant::now()));
                tracing::info!(link = self.name.as_str(), "redis is connected");
                tokio::select! {
                    () = lost.notified() => Fault::new(Remedy::Reconnect, "the connection was closed"),
                    () = self.give_up.notified() => Fault::new(Remedy::Reconnect, "the connection was given up"),
                    fault = keeper.tend(&connection) => fault,
                    () = self.dialer.until_replaced(named) => Fault::new(Remedy::Reconnect, "there is another master"),
                    fault = self.probe(connection.clone()) => fault,
                }
            }
        }
    }

    async fn connect(self: &Arc<Self>, keeper: &Arc<dyn Keeper>) -> Result<Connected, Fault> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = Arc::new(Notify::new());
        let (link, with, closed) = (Arc::downgrade(self), keeper.clone(), lost.clone());
        let hear = move |push: PushInfo| {
            match push.kind {
                PushKind::Disconnection => closed.notify_one(),
                _ if link.upgrade().is_some_and(|link| link.made() == number) => with.hear(push),
                _ => {}
            }
            Ok(())
        };
        let (connection, named) = self.dialer.dial(hear).await?;
        keeper.greet(&connection).await?;
        *self.line.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(Connected { connection, lost, named })
    }

    async fn probe(&self, mut connection: MultiplexedConnection) -> Fault {
        let mut number: u64 = 0;
        loop {
            tokio::select! {
                () = sleep(self.times.probe) => {}
                () = self.doubt.notified() => {}
            }
            number += 1;
            let number = number.to_string();
            match connection.send_packed_command(cmd("PING").arg(&number)).await {
                Ok(Value::BulkString(answer)) if answer == number.as_bytes() => {}
                // A busy server answers nothing else, but it answers.
                Ok(Value::ServerError(error)) if is_busy(error.code()) => continue,
                Ok(Value::ServerError(error)) => return error.into(),
                Ok(_) => return Fault::new(Remedy::Reconnect, "answers are out of step"),
                Err(error) => return Fault::new(Remedy::Reconnect, format!("no answer to a probe: {error}")),
            }
            match check_role(&mut connection).await {
                Err(fault) if !is_busy(fault.text.split(' ').next().unwrap_or_default()) => return fault,
                _ => {}
            }
        }
    }
}

/// Whether an error says that the server is busy with something else.
fn is_busy(code: &str) -> bool {
    matches!(code, "BUSY" | "LOADING" | "MISCONF")
}
