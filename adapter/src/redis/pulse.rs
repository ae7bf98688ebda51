//! Whether this gateway hears itself. It publishes a number every second, and the number has to come back through its own
//! subscription: two connections that both answer may still lead to two servers, or to one that has forgotten who listens.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Core, NodePeers,
    link::State,
    wire::{Channel, count_command, publish_command},
};
use crate::Health;

/// How often the number is published.
const BEAT: Duration = Duration::from_secs(1);

/// What is known of the fleet, and of this gateway's own ears.
#[derive(Debug)]
pub(super) struct Pulse {
    deaf: Duration,
    node_peers: NodePeers,
    heard: Mutex<Option<Instant>>,
    /// Gateways but this one, of any kind, when they were counted last.
    others: AtomicUsize,
    node: AtomicBool,
}

impl Pulse {
    pub(super) fn new(node_peers: NodePeers, deaf: Duration) -> Self {
        let node = AtomicBool::new(node_peers == NodePeers::Always);
        Self { deaf, node_peers, heard: Mutex::new(None), others: AtomicUsize::new(0), node }
    }

    /// The number has come back.
    pub(super) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Gateways but this one.
    pub(super) fn others(&self) -> usize {
        self.others.load(Ordering::Relaxed)
    }

    /// Whether entries are published in Node's form as well.
    pub(super) fn has_node_peers(&self) -> bool {
        self.node.load(Ordering::Relaxed)
    }

    fn last_heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    pub(super) fn health(&self) -> Health {
        if self.closed.load(Ordering::SeqCst) {
            return Health::Down("closed".to_owned());
        }
        for link in [&self.commands, &self.listener] {
            if let State::Down(why) = &*link.state().borrow() {
                return Health::Down(why.clone());
            }
        }
        match self.pulse.last_heard() {
            Some(heard) if heard.elapsed() <= self.pulse.deaf => Health::Up,
            _ => Health::Down("the gateway does not hear itself".to_owned()),
        }
    }

    /// Both connections are made anew if the gateway has not heard itself for too long since they were.
    fn listen_to_itself(&self) {
        let since = [&self.commands, &self.listener].map(|link| match *link.state().borrow() {
            State::Up(since) => Some(since),
            State::Down(_) => None,
        });
        let [Some(commands), Some(listener)] = since else { return };
        let last = self.pulse.last_heard().max(Some(commands)).max(Some(listener));
        if last.is_some_and(|last| last.elapsed() > self.pulse.deaf) {
            tracing::warn!("the gateway does not hear itself, and connects anew");
            self.counters.deaf.add(1);
            self.commands.renew();
            self.listener.renew();
        }
    }

    async fn count_gateways(&self) {
        let manner = self.wire.manner();
        let mut commands = redis::pipe();
        commands.cmd(publish_command(manner)).arg(&self.names.canary).arg("1");
        for name in self.counted() {
            commands.cmd("PUBSUB").arg(count_command(manner)).arg(&*name);
        }
        let Ok(answers) = self.commands.run_all(&commands).await else { return };
        let counts: Vec<_> = answers.into_iter().skip(1).map(|answer| answer.ok().as_ref().and_then(count)).collect();
        let [Some(servers), Some(gateways)] = counts.as_slice() else { return };
        self.pulse.others.store(servers.saturating_sub(1), Ordering::Relaxed);
        if self.pulse.node_peers == NodePeers::Auto {
            let node = servers > gateways;
            if self.pulse.node.swap(node, Ordering::Relaxed) != node {
                tracing::info!(servers, gateways, "Node gateways have {}", if node { "come" } else { "gone" });
                self.listen_to_private_rooms(node);
            }
        }
    }

    /// The channels by which all gateways, and those of haat, are counted.
    fn counted(&self) -> [Box<str>; 2] {
        let namespace = self.settings.namespaces.first().map_or("/", String::as_str);
        let servers = self.wire.fixed(namespace).into_iter().next().map(|channel| channel.name);
        [servers.unwrap_or_default(), self.names.gateways().into()]
    }

    fn listen_to_private_rooms(&self, wanted: bool) {
        for channel in self.settings.namespaces.iter().filter_map(|namespace| self.wire.private_rooms(namespace)) {
            if wanted { self.table.want(channel) } else { self.table.leave(channel) }
        }
    }
}

fn count(answer: &Value) -> Option<usize> {
    super::mouth::count(answer)
}

/// Beats, for ever.
pub(super) async fn beat(core: Arc<Core>) {
    let mut ticks = interval(BEAT.min(core.pulse.deaf / 4));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut commands, mut listener) = (core.commands.state(), core.listener.state());
    loop {
        // A new connection is tried at once.
        tokio::select! {
            _ = ticks.tick() => {}
            _ = commands.changed() => {}
            _ = listener.changed() => {}
        }
        core.listen_to_itself();
        core.count_gateways().await;
    }
}

/// Waits until Redis counts this gateway no more.
pub(super) async fn until_gone(core: &Core) {
    let manner = core.wire.manner();
    let mine = Channel::new(manner, core.names.canary.as_str());
    loop {
        let mut command = redis::cmd("PUBSUB");
        command.arg(count_command(manner)).arg(&*mine.name);
        match core.commands.run(&command).await.ok().as_ref().and_then(count) {
            Some(0) | None => return,
            Some(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
