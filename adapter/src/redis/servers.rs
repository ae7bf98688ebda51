//! Who has what: the one server, or the masters of a Cluster, each with its part of the slots.
//!
//! A Cluster is looked at every few seconds, and at once when something does not fit: a connection is lost, a server says
//! that it has a slot no more, a subscription ends unasked. What is listened to moves with its slot; the newest entries are
//! fetched then, as after any subscription, so that what was published meanwhile shows as a gap.
//!
//! Commands follow `MOVED` and `ASK` at once. They are sent again only where Redis says that it did not do them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use futures::future::join_all;
use redis::{Cmd, Pipeline, Value};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Core,
    dial::Dialer,
    fault::{Fault, Remedy},
    node::Node,
    slots::{self, Address, Layout, Master, SLOTS, slot},
    table::Table,
    till::Way,
    wire::{Channel, Manner},
};

/// How often a Cluster is looked at in which everything is in its place.
const CALM: Duration = Duration::from_secs(5);
/// The same while something is not.
const UNEASY: Duration = Duration::from_millis(250);
/// The least time between two looks.
const APART: Duration = Duration::from_millis(50);
/// How soon a command is sent again whose keys are on the move.
const AGAIN: Duration = Duration::from_millis(10);
/// In place of a master's number: nobody has the slot.
const NOBODY: u16 = u16::MAX;

/// All servers.
#[derive(Debug)]
pub(super) struct Servers {
    map: RwLock<Map>,
    /// Of channels whose slot nobody has at present.
    homeless: Table,
    is_cluster: bool,
    doubt: Notify,
    /// How often it was looked.
    looked: watch::Sender<u64>,
    /// Why nothing was found, last time.
    why: Mutex<String>,
}

#[derive(Debug, Default)]
struct Map {
    /// Those that have slots come first.
    nodes: Vec<Arc<Node>>,
    /// How many have slots.
    serving: usize,
    /// Empty if there is only one server.
    owners: Vec<u16>,
    /// Where commands for a slot go until the next look: somebody has said so.
    hints: HashMap<u16, Arc<Node>>,
    layout: Layout,
}

impl Map {
    fn owner(&self, name: &str) -> Option<&Arc<Node>> {
        if self.owners.is_empty() { self.nodes.first() } else { self.owner_of(slot(name)) }
    }

    fn owner_of(&self, slot: u16) -> Option<&Arc<Node>> {
        self.owners.get(usize::from(slot)).and_then(|owner| self.nodes.get(usize::from(*owner)))
    }

    fn at(&self, host: &str, port: u16) -> Option<&Arc<Node>> {
        let is = |master: &&Master| {
            master.address.1 == port && (master.address.0 == host || master.hostname.as_deref() == Some(host))
        };
        let address = &self.layout.masters.iter().find(is)?.address;
        self.nodes.iter().find(|node| node.address.as_ref() == Some(address))
    }
}

impl Servers {
    /// One server, wherever it is.
    pub(super) fn one(node: Arc<Node>) -> Self {
        Self::new(Map { nodes: vec![node], serving: 1, ..Map::default() }, false)
    }

    /// The masters of a Cluster, of which nothing is known yet.
    pub(super) fn cluster() -> Self {
        Self::new(Map { owners: vec![NOBODY; SLOTS], ..Map::default() }, true)
    }

    fn new(map: Map, is_cluster: bool) -> Self {
        Self {
            map: RwLock::new(map),
            homeless: Table::default(),
            is_cluster,
            doubt: Notify::new(),
            looked: watch::Sender::new(0),
            why: Mutex::new("not connected yet".to_owned()),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    fn map(&self) -> RwLockReadGuard<'_, Map> {
        // Nothing that is done under the lock leaves it half changed.
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Node>> {
        self.map().nodes.clone()
    }

    /// Those that have something.
    pub(super) fn serving(&self) -> Vec<Arc<Node>> {
        let map = self.map();
        map.nodes.iter().take(map.serving).cloned().collect()
    }

    /// Whoever has a key or publishes on a channel at present.
    ///
    /// # Errors
    /// A [`Fault`] if nobody does.
    pub(super) fn of(&self, name: &str) -> Result<Arc<Node>, Fault> {
        let map = self.map();
        let hint = if map.hints.is_empty() { None } else { map.hints.get(&slot(name)) };
        hint.or_else(|| map.owner(name)).cloned().ok_or_else(|| self.nobody(&map))
    }

    fn nobody(&self, map: &Map) -> Fault {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let why = if map.nodes.is_empty() { why.as_str() } else { "no server of the cluster has the slot" };
        Fault::new(Remedy::Wait, why)
    }

    /// Whether a key is a server's.
    pub(super) fn owns(&self, node: &Arc<Node>, key: &str) -> bool {
        self.map().owner(key).is_some_and(|owner| Arc::ptr_eq(owner, node))
    }

    /// The list in which a channel belongs.
    pub(super) fn table<T>(&self, channel: &str, with: impl FnOnce(&Table) -> T) -> T {
        let map = self.map();
        with(map.owner(channel).map_or(&self.homeless, |node| &node.table))
    }

    /// Whether a channel is listened to.
    pub(super) fn listens(&self, manner: Manner, channel: &str) -> bool {
        self.table(channel, |table| table.is_confirmed(manner, channel))
    }

    /// Whether a channel is on the list.
    pub(super) fn lists(&self, manner: Manner, channel: &str) -> bool {
        self.table(channel, |table| table.lists(manner, channel))
    }

    /// Waits until all that is listed is confirmed.
    pub(super) async fn settle(&self) {
        loop {
            let nodes = self.all();
            self.homeless.settle().await;
            for node in &nodes {
                node.table.settle().await;
            }
            // A channel may have moved meanwhile.
            if self.homeless.is_settled() && self.all().iter().all(|node| node.table.is_settled()) {
                return;
            }
        }
    }

    /// Why nothing flows; `None`: it does. In a Cluster most of the masters are enough: the streams of the others are
    /// unavailable, which is no reason to turn everybody away.
    pub(super) fn trouble(&self, deaf: Duration) -> Option<String> {
        let map = self.map();
        let trouble: Vec<_> = map.nodes.iter().take(map.serving).filter_map(|node| node.trouble(deaf)).collect();
        let most = map.serving > 0 && trouble.len() * 2 < map.serving;
        if most { None } else { Some(trouble.into_iter().next().unwrap_or_else(|| self.nobody(&map).text)) }
    }

    /// Whether a Cluster was found before.
    pub(super) fn has_looked(&self) -> bool {
        *self.looked.borrow() > 0
    }

    /// Something does not fit: look again.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// A server has said with `MOVED` who has the slot of a name.
    pub(super) fn learn(&self, name: &str, fault: &Fault) {
        self.doubt();
        if let Some(node) = self.named(fault) {
            self.map.write().unwrap_or_else(PoisonError::into_inner).hints.insert(slot(name), node);
        }
    }

    /// Where a command goes instead that was answered with `MOVED` or `ASK`.
    async fn elsewhere(&self, key: &str, fault: &Fault, patience: Duration) -> Result<Arc<Node>, Fault> {
        let mut looked = self.looked.subscribe();
        if fault.remedy == Remedy::Moved {
            self.learn(key, fault);
        }
        if let Some(node) = self.named(fault) {
            return Ok(node);
        }
        self.doubt();
        // One that is not known here.
        let _ = timeout(patience, looked.changed()).await;
        match self.named(fault) {
            Some(node) => Ok(node),
            None if fault.remedy == Remedy::Moved => self.of(key),
            None => Err(fault.clone()),
        }
    }

    /// The server that `MOVED <slot> <host>:<port>` names.
    fn named(&self, fault: &Fault) -> Option<Arc<Node>> {
        let (host, port) = fault.text.split_whitespace().last()?.rsplit_once(':')?;
        self.map().at(host, port.parse().ok()?).cloned()
    }

    /// Everything is in its place.
    fn is_calm(&self) -> bool {
        let map = self.map();
        let settled =
            self.homeless.is_settled() && map.nodes.iter().all(|node| node.is_up() && node.table.is_settled());
        settled && map.hints.is_empty() && !map.owners.contains(&NOBODY)
    }

    /// Takes over how a Cluster looks now: `make` makes what we have to do with a master that is new. Channels go where
    /// their slots are.
    fn apply(&self, layout: Layout, canary: &Channel, make: impl Fn(&Address) -> Option<Arc<Node>>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.hints.clear();
        if map.layout == layout {
            // What was refused may be taken now.
            return map.nodes.iter().for_each(|node| node.table.retry());
        }
        let (mut serving, mut idle, mut owners) = (Vec::new(), Vec::new(), vec![NOBODY; SLOTS]);
        for (index, master) in layout.masters.iter().enumerate() {
            let slots: Vec<_> = layout.owners.iter().filter(|(_, _, owner)| *owner == index).collect();
            if slots.is_empty() && master.failed {
                // It is to be a replica, or nobody.
                continue;
            }
            let known = map.nodes.iter().find(|node| node.address.as_ref() == Some(&master.address)).cloned();
            let Some(node) = known.or_else(|| make(&master.address)) else { continue };
            if slots.is_empty() {
                idle.push(node);
                continue;
            }
            let number = u16::try_from(serving.len()).unwrap_or(NOBODY);
            for (first, last, _) in slots {
                owners[usize::from(*first)..=usize::from(*last)].fill(number);
            }
            serving.push(node);
        }
        let count = serving.len();
        let before = std::mem::replace(&mut map.nodes, serving.into_iter().chain(idle).collect());
        (map.serving, map.owners, map.layout) = (count, owners, layout);
        map.nodes.iter().for_each(|node| move_canary(&map, node, canary));
        let lost = before.iter().filter(|node| !map.nodes.iter().any(|kept| Arc::ptr_eq(kept, node)));
        let tables = map.nodes.iter().chain(lost).map(|node| &node.table).chain([&self.homeless]);
        let home = |channel: &Channel| map.owner(&channel.name).map_or(&self.homeless, |node| &node.table);
        for table in tables {
            table.take(|channel| !std::ptr::eq(home(channel), table)).into_iter().for_each(|channel| {
                home(&channel).want(channel);
            });
            table.retry();
        }
    }

    /// What the masters say of the Cluster; whoever is known is asked if none of them answers.
    async fn views(&self, dialer: &Dialer, seeds: &[Address]) -> Vec<Vec<Master>> {
        let nodes = self.all();
        let view = |text: &str, host: &str| slots::masters(text, host, dialer.speaks_tls());
        let asked = join_all(nodes.iter().filter(|node| node.commands.is_up()).map(async |node| {
            let answer = node.commands.run(redis::cmd("CLUSTER").arg("NODES")).await.ok()?;
            let text: String = redis::from_redis_value(answer).ok()?;
            Some(view(&text, node.address.as_ref().map_or("", |(host, _)| host)))
        }));
        let views: Vec<_> = asked.await.into_iter().flatten().collect();
        if !views.is_empty() {
            return views;
        }
        let known = nodes.iter().filter_map(|node| node.address.clone());
        let addresses: Vec<_> = seeds.iter().cloned().chain(known).collect();
        let asked = join_all(addresses.iter().map(|address| dialer.ask_about_cluster(address))).await;
        let mut views = Vec::new();
        for (answer, (host, _)) in asked.into_iter().zip(&addresses) {
            match answer {
                Ok(text) => views.push(view(&text, host)),
                Err(fault) => *self.why.lock().unwrap_or_else(PoisonError::into_inner) = fault.text,
            }
        }
        views
    }
}

/// Each server has a channel of its own on which the gateway listens to itself; in a Cluster its name is chosen for a slot
/// that the server has.
fn move_canary(map: &Map, node: &Arc<Node>, canary: &Channel) {
    let is_here = |name: &str| map.owner(name).is_some_and(|owner| Arc::ptr_eq(owner, node));
    let before = node.canary();
    if is_here(&before) && before != canary.name {
        return;
    }
    node.table.take(|channel| channel.name == before);
    let mut names = (0..4 * SLOTS).map(|number| format!("{}:{{{number}}}", canary.name));
    if let Some(name) = names.find(|name| is_here(name)) {
        node.set_canary(&name);
        node.table.want(Channel::new(canary.manner, name));
    }
}

/// Tasks that end with whoever holds this.
pub(super) struct Tended(pub(super) Vec<JoinHandle<()>>);

impl Drop for Tended {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Looks at a Cluster, for ever.
pub(super) async fn look(core: Arc<Core>, dialer: Dialer, seeds: Vec<Address>) {
    let servers = &core.servers;
    let mut tended = HashMap::<Address, Tended>::new();
    loop {
        let views = servers.views(&dialer, &seeds).await;
        if !views.is_empty() {
            let layout = slots::layout(&views);
            servers.apply(layout, &core.canary(), |address| core.node(&dialer, address));
            let nodes = servers.all();
            tended.retain(|address, _| nodes.iter().any(|node| node.address.as_ref() == Some(address)));
            for node in nodes {
                let Some(address) = node.address.clone() else { continue };
                tended.entry(address).or_insert_with(|| core.tend(&node));
            }
        }
        servers.looked.send_modify(|looked| *looked += 1);
        sleep(APART).await;
        let rest = if servers.is_calm() { CALM } else { UNEASY };
        let _ = timeout(rest, servers.doubt.notified()).await;
    }
}

impl Core {
    /// Sends a command to whoever has the key, and waits for its answer no longer than one may take.
    pub(super) async fn run(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
        self.run_by(Way::Straight, key, command).await
    }

    /// The same, by this way.
    pub(super) async fn run_by(&self, way: Way, key: &str, command: &Cmd) -> Result<Value, Fault> {
        let answer = self.servers.of(key)?.send(way, command, false).await;
        self.follow(way, key, command, answer).await
    }

    /// Sends commands, each to whoever has its key, those of one server in one go. Each may fail alone.
    pub(super) async fn run_all(&self, commands: &[(String, Cmd)]) -> Vec<Result<Value, Fault>> {
        let mut answers: Vec<Result<Value, Fault>> = Vec::with_capacity(commands.len());
        let mut batches: Vec<(Arc<Node>, Pipeline, Vec<usize>)> = Vec::new();
        for (place, (key, command)) in commands.iter().enumerate() {
            let node = self.servers.of(key);
            answers.push(node.as_ref().map(|_| Value::Nil).map_err(Clone::clone));
            let Ok(node) = node else { continue };
            match batches.iter_mut().find(|(known, ..)| Arc::ptr_eq(known, &node)) {
                Some((_, pipeline, places)) => {
                    pipeline.add_command(command.clone());
                    places.push(place);
                }
                None => {
                    let mut pipeline = redis::pipe();
                    pipeline.add_command(command.clone());
                    batches.push((node, pipeline, vec![place]));
                }
            }
        }
        let all = join_all(batches.iter().map(|(node, pipeline, _)| node.commands.run_all(pipeline))).await;
        for (answered, (_, _, places)) in all.into_iter().zip(&batches) {
            let each = answered.unwrap_or_else(|fault| vec![Err(fault); places.len()]);
            for (answer, place) in each.into_iter().zip(places) {
                answers[*place] = answer;
            }
        }
        for ((key, command), answer) in commands.iter().zip(&mut answers) {
            let answered = std::mem::replace(answer, Ok(Value::Nil));
            *answer = self.follow(Way::Straight, key, command, answered).await;
        }
        answers
    }

    /// Sends a command again, to whoever Redis says, if it says so.
    async fn follow(&self, way: Way, key: &str, command: &Cmd, answer: Result<Value, Fault>) -> Result<Value, Fault> {
        let mut fault = match answer {
            Err(fault) if self.servers.is_cluster() => fault,
            answer => return answer,
        };
        // Nobody waits for longer than a command may take: the reason is to reach them before.
        let patience = self.settings.times.command * 3 / 4;
        let end = Instant::now() + patience;
        loop {
            let answer = match fault.remedy {
                Remedy::Moved | Remedy::Ask => {
                    let node = self.servers.elsewhere(key, &fault, patience).await?;
                    node.send(way, command, fault.remedy == Remedy::Ask).await
                }
                Remedy::Again => {
                    sleep(AGAIN).await;
                    self.servers.of(key)?.send(way, command, false).await
                }
                _ => return Err(fault),
            };
            match answer {
                Err(next) if Instant::now() < end => fault = next,
                answer => return answer,
            }
        }
    }
}
