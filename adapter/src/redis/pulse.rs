//! Whether this gateway hears itself, through each server. It publishes something every second, which has to come back through
//! its own subscription: two connections that both answer may still lead to two servers, or to one that has forgotten who
//! listens. And who else is there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::{join, join_all};
use tokio::time::{sleep, timeout};

use super::{
    Core, NodePeers,
    mouth::count,
    node::Node,
    wire::{count_command, publish_command},
};
use crate::Health;

/// How often something is published.
const BEAT: Duration = Duration::from_secs(1);
/// The same while the gateway does not hear itself everywhere: a new connection is tried at once.
const TRYING: Duration = Duration::from_millis(50);

/// What is known of the fleet, and of this gateway's own ears.
#[derive(Debug)]
pub(super) struct Pulse {
    deaf: Duration,
    node_peers: NodePeers,
    /// Gateways but this one, of any kind, when they were counted last.
    others: AtomicUsize,
    node: AtomicBool,
}

impl Pulse {
    pub(super) fn new(node_peers: NodePeers, deaf: Duration) -> Self {
        let node = AtomicBool::new(node_peers == NodePeers::Always);
        Self { deaf, node_peers, others: AtomicUsize::new(0), node }
    }

    /// Gateways but this one.
    pub(super) fn others(&self) -> usize {
        self.others.load(Ordering::Relaxed)
    }

    /// Whether entries are published in Node's form as well.
    pub(super) fn has_node_peers(&self) -> bool {
        self.node.load(Ordering::Relaxed)
    }
}

impl Core {
    pub(super) fn health(&self) -> Health {
        if self.closed.load(Ordering::SeqCst) {
            return Health::Down("closed".to_owned());
        }
        if let Some(task) = self.broken.get() {
            return Health::Broken(format!("{task} of the way to redis has broken down"));
        }
        self.servers.trouble(self.pulse.deaf).map_or(Health::Up, Health::Down)
    }

    /// Both connections to a server are made anew if the gateway has not heard itself for too long since they were.
    fn listen_to_itself(&self, node: &Node) {
        if node.is_deaf(self.pulse.deaf) {
            tracing::warn!(server = ?node.address, "the gateway does not hear itself, and connects anew");
            self.counters.deaf.add(1);
            node.renew();
            self.servers.doubt();
        }
    }

    async fn say_something(&self, node: &Node) {
        let mut command = redis::cmd(publish_command(self.wire.manner()));
        command.arg(&*node.canary()).arg(node.note());
        // Whether it was heard shows.
        let _ = node.commands.run(&command).await;
    }

    async fn count_gateways(&self) {
        let [servers, gateways] = self.counted();
        let (Some(servers), Some(gateways)) = join(self.listeners(&servers), self.listeners(&gateways)).await else {
            return;
        };
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
            if wanted { self.want(channel) } else { self.leave(channel) }
        }
    }
}

/// Beats, for ever.
pub(super) async fn beat(core: Arc<Core>) {
    let beat = BEAT.min(core.pulse.deaf / 4);
    loop {
        let nodes = core.servers.serving();
        nodes.iter().for_each(|node| core.listen_to_itself(node));
        // One that does not answer must not keep the others waiting.
        let said = join_all(nodes.iter().map(|node| timeout(beat, core.say_something(node))));
        let _ = join(said, timeout(beat, core.count_gateways())).await;
        let trouble = nodes.is_empty() || nodes.iter().any(|node| node.trouble(core.pulse.deaf).is_some());
        sleep(if trouble { TRYING.min(beat) } else { beat }).await;
    }
}

/// Waits until a server counts this gateway no more.
pub(super) async fn until_gone(core: &Core, node: &Node) {
    let mut command = redis::cmd("PUBSUB");
    command.arg(count_command(core.wire.manner())).arg(&*node.canary());
    loop {
        match node.commands.run(&command).await.ok().as_ref().and_then(count) {
            Some(0) | None => return,
            Some(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
