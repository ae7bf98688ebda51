//! Reaches any shard of the gateway from any thread.
//!
//! - [`directory`]: which shards hold members of a room
//! - [`mailbox`]: what is sent to them

pub mod directory;
pub mod mailbox;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use haat_adapter::Entry;
use haat_protocol::{Frame, Id};
use tokio::sync::mpsc;

use directory::{Directory, ShardMask};
use mailbox::{LocalTarget, Mail};

/// All shards of a gateway.
#[derive(Debug)]
pub struct Hub {
    /// Names of the namespaces; their place is their number.
    namespaces: Box<[Box<str>]>,
    /// Rooms and their shards.
    pub directory: Directory,
    shards: Box<[mpsc::Sender<Mail>]>,
    dropped: AtomicU64,
    /// Sessions of all shards.
    sessions: Box<[AtomicU64]>,
    /// What passes through to another gateway: polls, and WebSockets.
    passing: [AtomicU64; 2],
}

/// What passes through to another gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// A long-polling request.
    Poll,
    /// A WebSocket.
    Socket,
}

/// Counts what passes through as long as it does.
#[derive(Debug)]
#[must_use = "dropping it ends the passage"]
pub struct Passage {
    hub: Arc<Hub>,
    what: Passing,
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.hub.passing[self.what as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shard is thousands of messages behind; the mail was dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxFull;

impl Hub {
    /// A hub over the mailboxes of all shards.
    pub fn new(namespaces: &[&str], shards: Vec<mpsc::Sender<Mail>>) -> Self {
        Self {
            namespaces: namespaces.iter().map(|name| (*name).into()).collect(),
            directory: Directory::new(namespaces.len()),
            sessions: shards.iter().map(|_| AtomicU64::new(0)).collect(),
            shards: shards.into(),
            dropped: AtomicU64::new(0),
            passing: Default::default(),
        }
    }

    /// The number of a namespace.
    pub fn namespace(&self, name: &str) -> Option<u8> {
        self.namespaces.iter().position(|known| **known == *name).and_then(|place| u8::try_from(place).ok())
    }

    /// The name of a namespace.
    pub fn namespace_name(&self, number: u8) -> &str {
        self.namespaces.get(usize::from(number)).map_or("/", |name| name)
    }

    /// How many namespaces there are.
    pub fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Whether every shard lives. One that has ended serves neither its connections nor the streams that are its own.
    pub fn is_whole(&self) -> bool {
        self.shards.iter().all(|shard| !shard.is_closed())
    }

    /// Mail that was dropped because a mailbox was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sessions of the gateway.
    pub fn sessions(&self) -> u64 {
        self.sessions.iter().map(|sessions| sessions.load(Ordering::Relaxed)).sum()
    }

    /// Sessions of one shard.
    pub fn sessions_of(&self, shard: u8) -> u64 {
        self.sessions.get(usize::from(shard)).map_or(0, |sessions| sessions.load(Ordering::Relaxed))
    }

    /// What passes through this gateway to a session on another.
    pub fn passing(&self, what: Passing) -> u64 {
        self.passing[what as usize].load(Ordering::Relaxed)
    }

    /// One more, until the passage is dropped.
    pub fn pass(self: &Arc<Self>, what: Passing) -> Passage {
        self.passing[what as usize].fetch_add(1, Ordering::Relaxed);
        Passage { hub: self.clone(), what }
    }

    /// A shard tells how many sessions it has.
    pub fn set_sessions(&self, shard: u8, count: usize) {
        if let Some(sessions) = self.sessions.get(usize::from(shard)) {
            sessions.store(count as u64, Ordering::Relaxed);
        }
    }

    /// Mail that waits in the mailbox of `shard`.
    pub fn depth(&self, shard: u8) -> usize {
        self.shards.get(usize::from(shard)).map_or(0, |shard| shard.max_capacity() - shard.capacity())
    }

    /// Sends to one shard.
    ///
    /// # Errors
    /// [`MailboxFull`]; it was counted.
    pub fn send(&self, shard: u8, mail: Mail) -> Result<(), MailboxFull> {
        let sent = self.shards.get(usize::from(shard)).is_some_and(|shard| shard.try_send(mail).is_ok());
        if sent {
            return Ok(());
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        Err(MailboxFull)
    }

    /// Sends to one shard, waiting for room in its mailbox. Returns at once if the shard has ended.
    pub async fn send_wait(&self, shard: u8, mail: Mail) {
        if let Some(shard) = self.shards.get(usize::from(shard)) {
            let _ = shard.send(mail).await;
        }
    }

    /// Sends to every shard.
    pub fn send_all(&self, mut mail: impl FnMut() -> Mail) {
        for shard in 0..self.shards.len() {
            let _ = self.send(u8::try_from(shard).unwrap_or(u8::MAX), mail());
        }
    }

    /// Gives an encoded event to the members of `target` on this gateway. Shards without any are not woken.
    pub fn broadcast(&self, target: LocalTarget, frame: Frame) {
        let mask = self.reach(&target);
        if mask == 0 {
            return;
        }
        let target = Arc::new(target);
        self.each(mask, || Mail::Broadcast(target.clone(), frame.clone()));
    }

    /// Gives an entry of a log to the shards that hold members of `room` of the main namespace.
    pub fn entry(&self, room: &str, entry: &Arc<Entry>, frame: &Frame) {
        self.each(self.directory.shards(0, room), || Mail::Entry(entry.clone(), frame.clone()));
    }

    /// The shards that may hold receivers of `target`.
    pub fn reach(&self, target: &LocalTarget) -> ShardMask {
        let all = u64::MAX.checked_shr(64 - u32::try_from(self.shards.len()).unwrap_or(64)).unwrap_or(0);
        if target.rooms.is_empty() {
            return all;
        }
        target.rooms.iter().fold(0, |mask, room| {
            let known = self.directory.shards(target.namespace, room);
            // The room of a single socket is in no directory: thousands of them would fill it, and few are ever used.
            mask | if known == 0 && Id::parse(room).is_some() { all } else { known }
        })
    }

    fn each(&self, mut mask: ShardMask, mail: impl Fn() -> Mail) {
        while mask != 0 {
            let shard = u8::try_from(mask.trailing_zeros()).unwrap_or(u8::MAX);
            mask &= mask - 1;
            let _ = self.send(shard, mail());
        }
    }
}
