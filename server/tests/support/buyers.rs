//! Users who want an answer: each asks at one gateway, and whenever that is gone or does not know, asks the same again at
//! another one, under the same name, until the answer is definite.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::{fire::scatter, token};

/// How long a user goes on asking.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one answer may take; then it is asked for elsewhere.
const ANSWER: Duration = Duration::from_secs(10);
/// The wait before one asks again.
const AGAIN: Duration = Duration::from_millis(100);
/// Users who ask at the same time.
const TASKS: u64 = 48;

/// A command, and the name that its user gave it.
pub type Command = (&'static str, String, Value);

/// What came of all of them.
pub struct Told {
    /// User, request, and the definite answer.
    pub answers: Vec<(String, String, Value)>,
    /// Commands that were asked for again.
    pub again: usize,
}

/// All commands of all users, begun at these gateways. `good` rises with every answer that is no error.
pub async fn storm(
    users: Vec<(u64, Vec<Command>)>,
    gateways: &[SocketAddr],
    seed: u64,
    good: &Arc<watch::Sender<u64>>,
) -> Told {
    let mut queues: Vec<Vec<(u64, Vec<Command>)>> = (0..TASKS).map(|_| Vec::new()).collect();
    for (user, commands) in users {
        queues[(scatter(seed, user) % TASKS) as usize].push((user, commands));
    }
    let again = Arc::<AtomicUsize>::default();
    let tasks: Vec<_> = queues
        .into_iter()
        .enumerate()
        .map(|(task, mut queue)| {
            // The order that a seed stands for, whatever collected them.
            queue.sort_by_key(|(user, _)| scatter(seed, *user));
            let (gateways, good, again) = (gateways.to_vec(), good.clone(), again.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for (user, commands) in queue {
                    let at = task + user as usize;
                    let buyer =
                        Buyer { name: format!("user-{user}"), gateways: gateways.clone(), at, again: again.clone() };
                    answers.extend(buyer.ask(commands, &good).await);
                }
                answers
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    Told { answers, again: again.load(Ordering::Relaxed) }
}

struct Buyer {
    name: String,
    gateways: Vec<SocketAddr>,
    at: usize,
    again: Arc<AtomicUsize>,
}

type Line = WebSocketStream<TcpStream>;

impl Buyer {
    async fn ask(mut self, commands: Vec<Command>, good: &watch::Sender<u64>) -> Vec<(String, String, Value)> {
        let begun = Instant::now();
        let mut answers: Vec<Option<Value>> = vec![None; commands.len()];
        while answers.iter().any(Option::is_none) {
            assert!(begun.elapsed() < PATIENCE, "{} is not answered", self.name);
            if self.try_all(&commands, &mut answers, good).await.is_none() {
                self.again.fetch_add(1, Ordering::Relaxed);
                self.at += 1;
                tokio::time::sleep(AGAIN).await;
            }
        }
        let answered = commands.into_iter().zip(answers.into_iter().flatten());
        answered.map(|((_, request, _), answer)| (self.name.clone(), request, answer)).collect()
    }

    /// Asks for all that is not answered, over one connection. `None`: not all of it was.
    async fn try_all(
        &self,
        commands: &[Command],
        answers: &mut [Option<Value>],
        good: &watch::Sender<u64>,
    ) -> Option<()> {
        let mut line = timeout(ANSWER, self.open()).await.ok()??;
        for (place, (command, _, body)) in commands.iter().enumerate().filter(|(place, _)| answers[*place].is_none()) {
            line.send(Message::text(format!("42{place}{}", json!([command, body])))).await.ok()?;
        }
        while answers.iter().any(Option::is_none) {
            let (place, answer) = timeout(ANSWER, next_answer(&mut line)).await.ok()??;
            // Whoever is told so finds out by asking again.
            if ["unavailable", "not_joined"].contains(&answer["error"]["code"].as_str().unwrap_or_default()) {
                return None;
            }
            if answer["ok"] == true {
                good.send_modify(|count| *count += 1);
            }
            answers[place] = Some(answer);
        }
        Some(())
    }

    /// A connection that has joined.
    async fn open(&self) -> Option<Line> {
        let address = self.gateways[self.at % self.gateways.len()];
        let stream = TcpStream::connect(address).await.ok()?;
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (mut line, _) = client_async(url, stream).await.ok()?;
        let auth = json!({ "token": token(&self.name, "viewer", &[]) });
        line.send(Message::text(format!("40{auth}"))).await.ok()?;
        let join = json!(["stream:join", { "stream": "main", "history": 0 }]);
        line.send(Message::text(format!("42999{join}"))).await.ok()?;
        let (_, answer) = next_answer(&mut line).await?;
        (answer["ok"] == true).then_some(line)
    }
}

/// The next answer, and the number of what it answers. `None`: the connection is gone, or was never accepted.
async fn next_answer(line: &mut Line) -> Option<(usize, Value)> {
    loop {
        let Message::Text(text) = line.next().await?.ok()? else { return None };
        if text == "2" {
            line.send(Message::text("3")).await.ok()?;
        }
        if text.starts_with("44") {
            return None;
        }
        if let Some((number, answer)) = text.strip_prefix("43").and_then(|ack| ack.split_once('[')) {
            let answer = answer.strip_suffix(']').unwrap_or_default();
            return Some((number.parse().ok()?, serde_json::from_str(answer).ok()?));
        }
    }
}
