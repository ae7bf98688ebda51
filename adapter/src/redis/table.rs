//! What this gateway listens to: our own list, which is replayed on every new connection. Redis and its client keep one
//! too, and both lose it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::wire::{Channel, Manner};

/// Channels of one command.
pub(super) const BATCH: usize = 500;

/// The channels, and which of them Redis has confirmed.
#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
    /// Something is to be subscribed.
    pub(super) changed: Notify,
    /// Something was confirmed.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    listed: HashMap<Channel, Listed>,
    /// To be subscribed, the first come first. May name what is not wanted any more.
    absent: VecDeque<Channel>,
    /// Not wanted any more, the first left first. May name what is wanted again.
    left: VecDeque<(Instant, Channel)>,
    /// Taken away while Redis knew of them.
    taken: Vec<Channel>,
    waiting: usize,
}

#[derive(Debug)]
struct Listed {
    confirmed: bool,
    /// Nobody wants it since then.
    left: Option<Instant>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock leaves it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants the channel.
    pub(super) fn want(&self, channel: Channel) {
        let mut inner = self.lock();
        if let Some(listed) = inner.listed.get_mut(&channel) {
            listed.left = None;
            return;
        }
        inner.listed.insert(channel.clone(), Listed { confirmed: false, left: None });
        inner.absent.push_back(channel);
        inner.waiting += 1;
        drop(inner);
        self.changed.notify_one();
    }

    /// Nobody wants it any more. It is kept for a while: whoever comes back soon costs nothing.
    pub(super) fn leave(&self, channel: Channel) {
        let now = Instant::now();
        let mut inner = self.lock();
        if let Some(listed) = inner.listed.get_mut(&channel)
            && listed.left.is_none()
        {
            listed.left = Some(now);
            inner.left.push_back((now, channel));
        }
    }

    /// Channels to subscribe, all in the same manner.
    pub(super) fn next_absent(&self) -> Vec<Channel> {
        let mut inner = self.lock();
        let mut batch: Vec<Channel> = Vec::new();
        while let Some(channel) = inner.absent.pop_front() {
            if batch.first().is_some_and(|first| first.manner != channel.manner) || batch.len() == BATCH {
                inner.absent.push_front(channel);
                break;
            }
            if inner.listed.get(&channel).is_some_and(|listed| !listed.confirmed) {
                batch.push(channel);
            }
        }
        batch
    }

    /// Redis has confirmed them.
    pub(super) fn confirm(&self, channels: &[Channel]) {
        let mut inner = self.lock();
        for channel in channels {
            if let Some(listed) = inner.listed.get_mut(channel)
                && !std::mem::replace(&mut listed.confirmed, true)
            {
                inner.waiting -= 1;
            }
        }
        drop(inner);
        self.settled.notify_waiters();
    }

    /// Channels that nobody has wanted for `linger`, or that were taken away, all in the same manner. They are listed no more.
    pub(super) fn next_left(&self, linger: Duration) -> Vec<Channel> {
        let now = Instant::now();
        let mut inner = self.lock();
        let mut batch: Vec<Channel> = Vec::new();
        while let Some(channel) = inner.taken.pop() {
            if batch.first().is_some_and(|first| first.manner != channel.manner) || batch.len() == BATCH {
                inner.taken.push(channel);
                return batch;
            }
            // It may have come back.
            if !inner.listed.contains_key(&channel) {
                batch.push(channel);
            }
        }
        if !batch.is_empty() {
            return batch;
        }
        while let Some((left, channel)) = inner.left.pop_front() {
            let other = batch.first().is_some_and(|first| first.manner != channel.manner);
            if other || batch.len() == BATCH || now.saturating_duration_since(left) < linger {
                inner.left.push_front((left, channel));
                break;
            }
            // It may have been wanted again, and left again later.
            if inner.listed.get(&channel).is_some_and(|listed| listed.left == Some(left))
                && let Some(listed) = inner.listed.remove(&channel)
            {
                if listed.confirmed {
                    batch.push(channel);
                } else {
                    inner.waiting -= 1;
                }
            }
        }
        batch
    }

    /// The connection is gone, and with it every subscription. What is still wanted is to be subscribed again, the ways
    /// that others count us by first.
    pub(super) fn reset(&self, first: &[Channel]) {
        let mut inner = self.lock();
        inner.left.clear();
        inner.taken.clear();
        inner.listed.retain(|_, listed| listed.left.is_none());
        inner.listed.values_mut().for_each(|listed| listed.confirmed = false);
        inner.waiting = inner.listed.len();
        let mut absent: Vec<_> = inner.listed.keys().cloned().collect();
        absent.sort_by_key(|channel| (!first.contains(channel), channel.manner));
        inner.absent = absent.into();
    }

    /// Redis has ended a subscription that is still wanted.
    pub(super) fn lose(&self, channel: Channel) {
        let mut inner = self.lock();
        if let Some(listed) = inner.listed.get_mut(&channel)
            && std::mem::replace(&mut listed.confirmed, false)
        {
            inner.waiting += 1;
            inner.absent.push_back(channel);
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// What Redis has not confirmed is tried again.
    pub(super) fn retry(&self) {
        let mut inner = self.lock();
        if inner.waiting == 0 {
            return;
        }
        let absent = inner.listed.iter().filter(|(_, listed)| !listed.confirmed).map(|(channel, _)| channel.clone());
        inner.absent = absent.collect();
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes channels off the list, and gives those that are still wanted.
    pub(super) fn take(&self, which: impl Fn(&Channel) -> bool) -> Vec<Channel> {
        let mut inner = self.lock();
        let taken: Vec<Channel> = inner.listed.keys().filter(|channel| which(channel)).cloned().collect();
        let mut wanted = Vec::with_capacity(taken.len());
        for channel in taken {
            let Some(listed) = inner.listed.remove(&channel) else { continue };
            if listed.confirmed {
                inner.taken.push(channel.clone());
            } else {
                inner.waiting -= 1;
            }
            if listed.left.is_none() {
                wanted.push(channel);
            }
        }
        drop(inner);
        self.settled.notify_waiters();
        self.changed.notify_one();
        wanted
    }

    /// Whether all that is listed is confirmed.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().waiting == 0
    }

    /// Whether Redis has confirmed it.
    pub(super) fn is_confirmed(&self, manner: Manner, name: &str) -> bool {
        self.lock().listed.get(&Channel::new(manner, name)).is_some_and(|listed| listed.confirmed)
    }

    /// Whether it is on the list.
    pub(super) fn lists(&self, manner: Manner, name: &str) -> bool {
        self.lock().listed.contains_key(&Channel::new(manner, name))
    }

    /// How many are listed.
    pub(super) fn len(&self) -> usize {
        self.lock().listed.len()
    }

    /// Waits until all that is listed is confirmed.
    pub(super) async fn settle(&self) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.is_settled() {
                return;
            }
            settled.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_secs(2);

    fn plain(name: &str) -> Channel {
        Channel::new(Manner::Plain, name)
    }

    fn subscribe(table: &Table) -> Vec<Channel> {
        let batch = table.next_absent();
        table.confirm(&batch);
        batch
    }

    #[tokio::test(start_paused = true)]
    async fn lists_each_channel_once() {
        let table = Table::default();
        table.want(plain("a"));
        table.want(plain("a"));
        table.want(plain("b"));
        assert_eq!(subscribe(&table), [plain("a"), plain("b")]);
        assert!(table.next_absent().is_empty() && table.is_confirmed(Manner::Plain, "a"));
        table.settle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_for_a_while_what_was_left() {
        let table = Table::default();
        table.want(plain("a"));
        table.want(plain("b"));
        subscribe(&table);
        table.leave(plain("a"));
        table.leave(plain("b"));
        tokio::time::advance(LINGER / 2).await;
        assert!(table.next_left(LINGER).is_empty());
        table.want(plain("a"));
        table.leave(plain("a"));
        tokio::time::advance(LINGER / 2).await;
        assert_eq!(table.next_left(LINGER), [plain("b")]);
        tokio::time::advance(LINGER / 2).await;
        assert_eq!(table.next_left(LINGER), [plain("a")]);
        assert_eq!(table.len(), 0);
        table.want(plain("a"));
        assert_eq!(subscribe(&table), [plain("a")]);
    }

    #[tokio::test(start_paused = true)]
    async fn never_leaves_what_was_never_confirmed() {
        let table = Table::default();
        table.want(plain("a"));
        table.leave(plain("a"));
        tokio::time::advance(LINGER).await;
        assert!(table.next_left(LINGER).is_empty() && table.next_absent().is_empty());
        table.settle().await;
    }

    #[test]
    fn batches_by_manner_and_number() {
        let table = Table::default();
        for index in 0..=BATCH {
            table.want(plain(&index.to_string()));
        }
        table.want(Channel::new(Manner::Pattern, "p"));
        assert_eq!(subscribe(&table).len(), BATCH);
        assert_eq!(subscribe(&table).len(), 1);
        assert_eq!(subscribe(&table), [Channel::new(Manner::Pattern, "p")]);
        assert!(subscribe(&table).is_empty());
    }

    #[test]
    fn starts_again_with_what_is_wanted() {
        let table = Table::default();
        for name in ["a", "b", "c", "first"] {
            table.want(plain(name));
        }
        subscribe(&table);
        table.leave(plain("b"));
        table.reset(&[plain("first")]);
        let mut batch = subscribe(&table);
        assert_eq!(batch.remove(0), plain("first"));
        batch.sort();
        assert_eq!(batch, [plain("a"), plain("c")]);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_away_what_belongs_elsewhere() {
        let (here, there) = (Table::default(), Table::default());
        ["a", "b", "c"].iter().for_each(|name| here.want(plain(name)));
        subscribe(&here);
        here.leave(plain("b"));
        here.want(plain("d"));
        let mut moving = here.take(|channel| *channel.name != *"c");
        moving.sort();
        // Nobody wants b any more.
        assert_eq!(moving, [plain("a"), plain("d")]);
        moving.into_iter().for_each(|channel| there.want(channel));
        assert_eq!(subscribe(&there).len(), 2);
        // Redis knows of a and b here; that a came back costs nothing.
        here.want(plain("a"));
        assert_eq!(here.next_left(LINGER), [plain("b")]);
        assert!(here.next_left(LINGER).is_empty() && here.is_confirmed(Manner::Plain, "c"));
        assert_eq!(subscribe(&here), [plain("a")]);
        assert!(here.is_settled() && there.is_settled());
    }

    #[test]
    fn tries_again_what_was_lost_or_refused() {
        let table = Table::default();
        ["a", "b"].iter().for_each(|name| table.want(plain(name)));
        // The second was refused.
        assert_eq!(table.next_absent().len(), 2);
        table.confirm(&[plain("a")]);
        assert!(table.next_absent().is_empty() && !table.is_settled());
        table.retry();
        assert_eq!(subscribe(&table), [plain("b")]);
        table.lose(plain("a"));
        table.lose(plain("a"));
        table.lose(plain("unknown"));
        assert!(!table.is_settled() && !table.is_confirmed(Manner::Plain, "a"));
        assert_eq!(subscribe(&table), [plain("a")]);
        assert!(table.is_settled());
    }
}
