//! [`Till`]: how sales reach a server. Where replicas have to confirm them ([`Ledger::wait_replicas`](super::Ledger)), they
//! have a connection of their own: `WAIT` keeps everything else that the connection is asked from being answered.
//!
//! ```text
//!   claim, spin ──► queue ──► all that wait, and one WAIT ──► redis ──► answers
//! ```
//!
//! One batch is under way at a time; what comes meanwhile is the next one. If too few replicas have it by then, nobody gets
//! an answer: what was done is done, and whoever asks again under the same name hears of it.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Value, cmd};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};

use super::{
    Core,
    fault::{Fault, Remedy},
    link::Link,
    node::Node,
    store::milliseconds,
};

/// Sales that wait for the next batch. One more is refused at once.
const QUEUE: usize = 4096;
/// Sales of one batch.
const BATCH: usize = 256;

/// Where sales wait.
#[derive(Debug)]
pub(super) struct Till {
    pub(super) link: Arc<Link>,
    /// How long a sale may take.
    patience: Duration,
    queue: mpsc::Sender<Order>,
    waiting: Mutex<mpsc::Receiver<Order>>,
}

/// A sale that waits.
#[derive(Debug)]
struct Order {
    command: Cmd,
    /// The server is about to get its slot.
    asking: bool,
    answer: oneshot::Sender<Result<Value, Fault>>,
}

impl Till {
    pub(super) fn new(link: Link, patience: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self { link: Arc::new(link), patience, queue, waiting: Mutex::new(waiting) }
    }

    /// Makes a sale, and waits until replicas have it.
    pub(super) async fn run(&self, command: &Cmd, asking: bool) -> Result<Value, Fault> {
        let (answer, answered) = oneshot::channel();
        let order = Order { command: command.clone(), asking, answer };
        self.queue.try_send(order).map_err(|_| Fault::new(Remedy::Wait, "too many sales wait for redis"))?;
        match timeout(self.patience, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Fault::new(Remedy::Wait, "the gateway has left this server")),
            Err(_) => Err(Fault::new(Remedy::Unsure, "no answer in time")),
        }
    }

    /// Takes sales there, for ever.
    pub(super) async fn serve(self: Arc<Self>, core: Arc<Core>) {
        let (replicas, patience) = (core.settings.ledger.wait_replicas, self.patience / 2);
        let mut waiting = self.waiting.lock().await;
        let mut orders = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut orders, BATCH).await > 0 {
            // Whoever has given up needs no answer, and the sale was not made.
            orders.retain(|order: &Order| !order.answer.is_closed());
            let answers = self.sell(&orders, replicas, patience).await;
            if answers.iter().any(|answer| matches!(answer, Err(Fault { remedy: Remedy::Unsure, .. }))) {
                core.counters.unconfirmed.add(orders.len() as u64);
            }
            for (order, answer) in orders.drain(..).zip(answers) {
                let _ = order.answer.send(answer);
            }
        }
    }

    async fn sell(&self, orders: &[Order], replicas: u16, patience: Duration) -> Vec<Result<Value, Fault>> {
        let mut batch = redis::pipe();
        for order in orders {
            if order.asking {
                batch.cmd("ASKING");
            }
            batch.add_command(order.command.clone());
        }
        batch.add_command(cmd("WAIT").arg(replicas).arg(milliseconds(patience).max(1)).take());
        let mut answers = match self.link.run_all(&batch).await {
            Ok(answers) => answers,
            Err(fault) => return vec![Err(fault); orders.len()],
        };
        let unsure = match answers.pop() {
            Some(Ok(Value::Int(have))) if have >= i64::from(replicas) => None,
            Some(Ok(Value::Int(have))) => Some(format!("{have} of {replicas} replicas have it")),
            Some(Err(fault)) => Some(fault.text),
            _ => Some(Fault::nonsense("WAIT").text),
        };
        let mut answers = answers.into_iter();
        let each = orders.iter().map(|order| {
            if order.asking {
                answers.next();
            }
            let answer = answers.next().unwrap_or_else(|| Err(Fault::nonsense("a sale")));
            match (answer, &unsure) {
                // It was not made.
                (Err(fault), _) => Err(fault),
                (Ok(_), Some(why)) => Err(Fault::new(Remedy::Unsure, why)),
                (answer, None) => answer,
            }
        });
        each.collect()
    }
}

/// By which way something goes to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Whatever is answered at once.
    Straight,
    /// What sells or gives away something. It waits for replicas, if it has to; and while it is not sure that the server has all
    /// that was sold, it is refused.
    Till,
}

impl Node {
    /// Sends a command, and waits for its answer no longer than one may take; `asking` if the server is about to get its slot.
    pub(super) async fn send(&self, way: Way, command: &Cmd, asking: bool) -> Result<Value, Fault> {
        match (way, &self.till) {
            (Way::Till, _) if !self.is_sure() => Err(Fault::new(
                Remedy::Wait,
                "redis is another than before: other gateways may know of sales that it has lost",
            )),
            (Way::Till, Some(till)) => till.run(command, asking).await,
            _ if asking => self.commands.ask(command).await,
            _ => self.commands.run(command).await,
        }
    }
}
