//! [`Directory`]: which shards hold members of a room. The one lock on the way of a message.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// Shards as a set of bits. A gateway has at most 64.
pub type ShardMask = u64;

/// Rooms of all namespaces, and the shards that hold members of each. Read once per broadcast; written when a shard's
/// first member of a room comes or its last one goes.
#[derive(Debug)]
pub struct Directory {
    namespaces: Box<[RwLock<Members>]>,
}

/// The rooms of a namespace, and the shards that hold members of each.
type Members = HashMap<Box<str>, ShardMask>;

impl Directory {
    /// An empty directory of so many namespaces.
    pub fn new(namespaces: usize) -> Self {
        Self { namespaces: (0..namespaces).map(|_| RwLock::default()).collect() }
    }

    /// The shards that hold members of `room`.
    pub fn shards(&self, namespace: u8, room: &str) -> ShardMask {
        let Some(rooms) = self.namespaces.get(usize::from(namespace)) else { return 0 };
        rooms.read().unwrap_or_else(PoisonError::into_inner).get(room).copied().unwrap_or(0)
    }

    /// `shard` has its first member of `room`. Says whether the gateway had none before.
    pub fn enter(&self, namespace: u8, room: &str, shard: u8) -> bool {
        let Some(rooms) = self.namespaces.get(usize::from(namespace)) else { return false };
        let mut rooms = rooms.write().unwrap_or_else(PoisonError::into_inner);
        match rooms.get_mut(room) {
            Some(mask) => {
                let was_empty = *mask == 0;
                *mask |= 1 << shard;
                was_empty
            }
            None => {
                rooms.insert(room.into(), 1 << shard);
                true
            }
        }
    }

    /// `shard` has lost its last member of `room`. Says whether the gateway has none now.
    pub fn exit(&self, namespace: u8, room: &str, shard: u8) -> bool {
        let Some(rooms) = self.namespaces.get(usize::from(namespace)) else { return false };
        let mut rooms = rooms.write().unwrap_or_else(PoisonError::into_inner);
        let Some(mask) = rooms.get_mut(room) else { return false };
        *mask &= !(1 << shard);
        let is_empty = *mask == 0;
        if is_empty {
            rooms.remove(room);
        }
        is_empty
    }

    /// Rooms of all namespaces.
    pub fn len(&self) -> usize {
        self.namespaces.iter().map(|rooms| rooms.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// No room has a member here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_member_change_what_the_gateway_holds() {
        let directory = Directory::new(2);
        assert!(directory.enter(0, "a", 3));
        assert!(!directory.enter(0, "a", 5));
        assert_eq!(directory.shards(0, "a"), 1 << 3 | 1 << 5);
        assert_eq!(directory.shards(1, "a"), 0);
        assert!(!directory.exit(0, "a", 3));
        assert!(directory.exit(0, "a", 5));
        assert!(!directory.exit(0, "a", 5), "a room that is gone is not left again");
        assert!(directory.is_empty());
    }
}
