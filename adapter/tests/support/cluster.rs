//! A Redis Cluster of three masters for tests, on free ports of the loopback interface.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Server, free_port};

/// Masters.
pub(crate) const MASTERS: usize = 3;
/// Slots.
const SLOTS: u16 = 16_384;
/// The longest that servers may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three masters, and whoever joins them.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let servers: Vec<_> = (0..MASTERS).map(|_| Self::server()).collect();
        let share = SLOTS / MASTERS as u16;
        for (number, server) in (0..).zip(&servers) {
            let last = if usize::from(number) == MASTERS - 1 { SLOTS - 1 } else { (number + 1) * share - 1 };
            server.command::<()>(&format!("CLUSTER ADDSLOTSRANGE {} {last}", number * share));
            server.command::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
        }
        let cluster = Self { servers };
        for server in cluster.servers.iter().skip(1) {
            cluster.meet(server);
        }
        cluster.agree();
        cluster
    }

    /// A server that belongs to no cluster yet.
    fn server() -> Server {
        let bus = free_port().to_string();
        Server::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1500",
            "--cluster-require-full-coverage",
            "no",
            "--cluster-allow-pubsubshard-when-down",
            "no",
            "--repl-diskless-sync-delay",
            "0",
        ])
    }

    fn meet(&self, server: &Server) {
        let info: String = self.servers[0].command("CLUSTER NODES");
        let me = info.lines().find(|line| line.contains("myself")).expect("it knows itself");
        let bus = me.split_whitespace().nth(1).and_then(|place| place.split(['@', ',']).nth(1)).expect("it has a bus");
        server.command::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", self.servers[0].port));
    }

    /// Adds a replica of a master, and waits until it follows.
    pub(crate) fn add_replica(&mut self, of: usize) -> usize {
        let server = Self::server();
        self.meet(&server);
        let master: String = self.servers[of].command("CLUSTER MYID");
        until("the replica knows its master", || server.command::<String>("CLUSTER NODES").contains(&master));
        server.command::<()>(&format!("CLUSTER REPLICATE {master}"));
        until("the replica follows", || server.command::<String>("INFO replication").contains("master_link_status:up"));
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Waits until all servers see the same.
    pub(crate) fn agree(&self) {
        until("the cluster is well", || {
            self.servers.iter().all(|server| {
                let info: String = server.command("CLUSTER INFO");
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{}", self.servers.len()))
            })
        });
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Which master has the slot of a key, by its place.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let slot: u16 = self.servers[0].command(&format!("CLUSTER KEYSLOT {key}"));
        self.owner_of(slot)
    }

    /// Which master has a slot, by its place.
    pub(crate) fn owner_of(&self, slot: u16) -> usize {
        let has = |server: &Server| {
            let nodes: String = server.command("CLUSTER NODES");
            let me = nodes.lines().find(|line| line.contains("myself")).expect("it knows itself").to_owned();
            let ranges = me.split_whitespace().skip(8).filter(|word| !word.starts_with('['));
            ranges.map(range).any(|(first, last)| (first..=last).contains(&slot))
        };
        self.servers.iter().position(has).expect("somebody has the slot")
    }

    /// Forgets everything.
    pub(crate) fn flush(&self) {
        self.servers.iter().for_each(|server| server.command::<()>("FLUSHALL"));
    }

    /// Moves a slot and its keys, one after the other, as an operator's tool does; `half_way` is called while some keys are
    /// there and some here.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize, mut half_way: impl FnMut()) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let [source_id, target_id]: [String; 2] = [source.command("CLUSTER MYID"), target.command("CLUSTER MYID")];
        target.command::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source_id}"));
        source.command::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}"));
        let mut moved = 0;
        loop {
            let keys: Vec<String> = source.command(&format!("CLUSTER GETKEYSINSLOT {slot} 1"));
            let Some(key) = keys.first() else { break };
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(target.port).arg(key).arg(0).arg(5_000);
            migrate.exec(&mut source.connection()).expect("a key can move");
            moved += 1;
            if moved == 1 {
                half_way();
            }
        }
        for server in [target, source] {
            server.command::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target_id}"));
        }
        for server in self.servers.iter().take(MASTERS) {
            // The others hear of it anyway.
            let mut command = redis::cmd("CLUSTER");
            let _ = command.arg("SETSLOT").arg(slot).arg("NODE").arg(&target_id).exec(&mut server.connection());
        }
    }
}

fn range(word: &str) -> (u16, u16) {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    (first.parse().expect("a slot"), last.parse().expect("a slot"))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}
