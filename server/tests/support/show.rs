//! A show that goes on while things fail: a stream, viewers who watch it, and senders who never stop talking.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Fleet,
    checker::Checker,
    crowd::{Acked, Client, Route, Seen},
    until,
};
use crate::support::PATIENCE;

/// The stream of the show.
pub const STREAM: &str = "main";
/// From one thing that a sender says to the next.
const PAUSE: Duration = Duration::from_millis(50);

/// A show under way.
pub struct Show {
    pub supplier: Client,
    pub viewers: Vec<Client>,
    talk: Vec<JoinHandle<(Client, Vec<Acked>)>>,
    stop: watch::Sender<bool>,
}

/// What came of it.
pub struct Ended {
    pub supplier: Client,
    pub viewers: Vec<Client>,
    pub senders: Vec<Client>,
    pub acked: Vec<Acked>,
}

/// A supplier who has started the stream.
pub async fn supplier(route: &Route) -> Client {
    let supplier = Client::supplier(route, &[STREAM]);
    let reply = supplier.call("stream:start", json!({ "stream": STREAM, "title": "Sale" })).await;
    assert_eq!(reply.as_ref().map(|reply| &reply["ok"]), Some(&json!(true)), "{reply:?}");
    supplier.joined(1).await;
    supplier
}

impl Show {
    /// Begins with so many viewers and senders on each of the routes, who all watch before anybody speaks.
    pub async fn begin(routes: &[Route], viewers: usize, senders: usize) -> Self {
        let supplier = supplier(&routes[0]).await;
        let people = |kind: &'static str, count: usize| {
            let places = (0..count).flat_map(|number| routes.iter().enumerate().map(move |route| (number, route)));
            places
                .map(|(number, (place, route))| Client::start(&format!("{kind} {place}.{number}"), route, &[STREAM]))
                .collect::<Vec<_>>()
        };
        let (viewers, senders) = (people("viewer", viewers), people("sender", senders));
        for client in viewers.iter().chain(&senders) {
            client.joined(1).await;
        }
        let (stop, stopped) = watch::channel(false);
        let talk = senders.into_iter().map(|sender| tokio::spawn(talk(sender, stopped.clone())));
        Self { supplier, viewers, talk: talk.collect(), stop }
    }

    /// Waits until every viewer has seen something that was said after this moment, and says how long that took.
    pub async fn flows(&self, bound: Duration) -> Duration {
        let since = Instant::now();
        let flows = |client: &Client| {
            client.look(|log| {
                let later = log.iter().rev().take_while(|line| line.at > since);
                later.filter(|line| matches!(line.seen, Seen::Message { .. })).count() > 2
            })
        };
        until("messages flow to everybody", bound, || self.viewers.iter().all(flows)).await
    }

    /// Ends the talk.
    pub async fn end(self) -> Ended {
        self.stop.send_replace(true);
        let said = futures::future::try_join_all(self.talk).await.unwrap();
        let (senders, acked): (Vec<Client>, Vec<Vec<Acked>>) = said.into_iter().unzip();
        Ended { supplier: self.supplier, viewers: self.viewers, senders, acked: acked.concat() }
    }
}

impl Ended {
    pub fn everybody(&self) -> impl Iterator<Item = &Client> {
        [&self.supplier].into_iter().chain(&self.viewers).chain(&self.senders)
    }

    /// Waits until everybody has everything that Redis has, and compares what they saw. What was acknowledged since `since`
    /// has to be there.
    pub async fn compare(&self, fleet: &Fleet, since: Option<Instant>) -> Checker {
        let log = fleet.log(STREAM);
        let end = Some((log.epoch.clone(), log.seq));
        let mut checker = Checker::default();
        for client in self.everybody() {
            until(&format!("{} has everything", client.name), PATIENCE, || client.position(STREAM) == end).await;
            checker.client(&client.name, &client.log());
        }
        checker.log(STREAM, &log);
        let acked: Vec<Acked> =
            self.acked.iter().filter(|ack| since.is_none_or(|since| ack.at > since)).cloned().collect();
        checker.acked(STREAM, &log, &acked);
        checker
    }
}

/// Says one thing after the other until told to stop, each until it is acknowledged.
async fn talk(client: Client, stop: watch::Receiver<bool>) -> (Client, Vec<Acked>) {
    let mut acked = Vec::new();
    while !*stop.borrow() {
        let text = format!("{} says {}", client.name, acked.len());
        acked.push(client.say(STREAM, &text, 2 * PATIENCE).await.expect("an answer"));
        tokio::time::sleep(PAUSE).await;
    }
    (client, acked)
}

/// How many events of this name a client has seen.
pub fn events(client: &Client, event: &str) -> usize {
    client.count(|seen| matches!(seen, Seen::Event { name, .. } if name == event))
}

/// Times that a client lost its connection.
pub fn losses(client: &Client) -> usize {
    client.count(|seen| *seen == Seen::Lost)
}

/// Times that a client was told that messages are lost.
pub fn resets(client: &Client) -> usize {
    client.count(|seen| matches!(seen, Seen::Reset { .. }))
}
