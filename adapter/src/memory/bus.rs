//! The gateways of one process, joined. It calls them one at a time, under its lock, and keeps none of them alive.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{Engine, lock};
use crate::{Adapter, Broadcast, Entry, Health, Inbound, QueueFull, Replies, Reply, Request, RequestError, Target};

/// The gateways that a call reaches. The last reference to one may be among them, and dropping it runs the gateway's own
/// code: declare it before the engine's locks are taken, so that it is dropped after them.
pub(super) type Called = Vec<Arc<dyn Inbound>>;

/// The attached gateways, in the order of arrival.
#[derive(Default)]
pub(super) struct Bus {
    members: Vec<Member>,
    attached: u64,
}

struct Member {
    id: u64,
    name: Box<str>,
    inbound: Weak<dyn Inbound>,
    skip_entries: u64,
}

impl Bus {
    pub(super) fn attach(&mut self, name: &str, inbound: Weak<dyn Inbound>) -> u64 {
        self.attached += 1;
        self.members.push(Member { id: self.attached, name: name.into(), inbound, skip_entries: 0 });
        self.attached
    }

    pub(super) fn skip_entries(&mut self, count: u64, name: &str) {
        for member in self.members.iter_mut().filter(|member| *member.name == *name) {
            member.skip_entries = count;
        }
    }

    /// Gives `entry` to every gateway.
    pub(super) fn publish(&mut self, entry: &Arc<Entry>, called: &mut Called) {
        self.members.retain_mut(|member| {
            let Some(inbound) = member.inbound.upgrade() else { return false };
            called.push(Arc::clone(&inbound));
            if member.skip_entries > 0 {
                member.skip_entries -= 1;
            } else {
                inbound.entry(Arc::clone(entry));
            }
            true
        });
    }

    fn detach(&mut self, id: u64) {
        self.members.retain(|member| member.id != id);
    }

    /// The live gateways but `id`; none if `id` itself is not attached any more.
    fn others(&mut self, id: u64) -> Called {
        let mut others = Called::with_capacity(self.members.len());
        if self.members.iter().any(|member| member.id == id) {
            self.members.retain(|member| {
                member.id == id || member.inbound.upgrade().map(|inbound| others.push(inbound)).is_some()
            });
        }
        others
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.name)).finish()
    }
}

/// One gateway's end of the bus.
#[derive(Debug)]
pub struct Gateway {
    engine: Arc<Engine>,
    id: u64,
    closed: AtomicBool,
}

impl Gateway {
    pub(super) fn new(engine: Arc<Engine>, id: u64) -> Self {
        Self { engine, id, closed: AtomicBool::new(false) }
    }

    /// Runs `act` on the other gateways, alone on the bus; the flag says whether anything gets through at present.
    fn reach<T>(&self, act: impl FnOnce(&[Arc<dyn Inbound>], bool) -> T) -> T {
        let others;
        let mut bus = lock(&self.engine.bus);
        others = bus.others(self.id);
        act(&others, self.engine.is_available())
    }
}

impl Adapter for Gateway {
    /// Delivered when this returns. Never full.
    fn broadcast(&self, broadcast: Broadcast) -> Result<(), QueueFull> {
        self.reach(|others, available| {
            for inbound in others.iter().filter(|inbound| available && wants(&***inbound, &broadcast.target)) {
                inbound.deliver(broadcast.clone());
            }
        });
        Ok(())
    }

    fn request(&self, request: Request, timeout: Duration) -> BoxFuture<'_, Result<Replies, RequestError>> {
        let deadline = Instant::now() + timeout.min(LONGEST_WAIT);
        let asked = self.reach(|others, available| {
            let expected = others.len();
            if !available && expected > 0 {
                return Err(RequestError { expected, partial: Replies::default() });
            }
            let (answers, answered) = mpsc::channel(expected.max(1));
            for inbound in others {
                inbound.serve(request.clone(), Reply::new(answers.clone()).until(deadline));
            }
            Ok((answered, expected))
        });
        match asked {
            Ok((answered, expected)) if request.is_answered() => Box::pin(collect(answered, expected, deadline)),
            Ok(_) => Box::pin(ready(Ok(Replies::default()))),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    /// Does nothing: the engine asks [`Inbound::wants`] each time.
    fn interest(&self, _namespace: &str, _room: &str, _wanted: bool) {}

    fn health(&self) -> Health {
        if self.closed.load(Ordering::SeqCst) {
            return Health::Down("closed".to_owned());
        }
        if self.engine.is_available() { Health::Up } else { Health::Down("switched off".to_owned()) }
    }

    /// Leaves the bus: nothing arrives any more when this returns, and what is sent goes nowhere.
    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::SeqCst);
        lock(&self.engine.bus).detach(self.id);
        Box::pin(ready(()))
    }
}

/// A deadline has to be a moment that the clock can name.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

fn wants(inbound: &dyn Inbound, target: &Target) -> bool {
    target.rooms.is_empty() || target.rooms.iter().any(|room| inbound.wants(&target.namespace, room))
}

async fn collect(
    mut answered: mpsc::Receiver<Vec<Value>>,
    expected: usize,
    deadline: Instant,
) -> Result<Replies, RequestError> {
    let mut answers = Vec::new();
    while answers.len() < expected {
        match timeout_at(deadline, answered.recv()).await {
            Ok(Some(answer)) => answers.push(answer),
            // Every reply was sent or dropped, or time is up: nobody else will answer.
            Ok(None) | Err(_) => return Err(RequestError { expected, partial: Replies { answers } }),
        }
    }
    Ok(Replies { answers })
}
