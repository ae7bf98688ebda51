//! [`Agenda`]: what is to be done with a shard's sockets later on, in one ordered list. A timer of its own for every
//! connection would cost more than all that is known of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::SystemTime,
};

use tokio::{sync::Notify, time::Instant};

use crate::room::At;

/// Something that is due. A socket may be gone by then, and its token may be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The socket's token expires at this time; it may have another by now.
    Expiry(At, SystemTime),
    /// The time to send another token than the one that expired then is over.
    Close(At, SystemTime),
    /// Its session has to be saved again, before it is forgotten.
    Save(At),
}

/// When something is due, and a number that nothing else has.
type Entry = (Instant, u64);

/// Where it is kept what is noted of one matter, so that there is never more than one entry of it.
#[derive(Debug, Default)]
pub(super) struct Slot(Cell<Option<Entry>>);

/// Things that are due, by time.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: RefCell<BTreeMap<Entry, Due>>,
    number: Cell<u64>,
    changed: Notify,
}

impl Agenda {
    /// Notes what is due at `when`.
    pub(super) fn note(&self, when: Instant, due: Due) {
        self.add(when, due);
    }

    /// The same, in place of what the slot stands for. Else a client that sends token after token would fill the list.
    pub(super) fn note_in(&self, slot: &Slot, when: Instant, due: Due) {
        self.strike(slot);
        slot.0.set(Some(self.add(when, due)));
    }

    /// Takes out what the slot stands for.
    pub(super) fn strike(&self, slot: &Slot) {
        if let Some(entry) = slot.0.take() {
            self.entries.borrow_mut().remove(&entry);
        }
    }

    fn add(&self, when: Instant, due: Due) -> Entry {
        let number = self.number.get() + 1;
        self.number.set(number);
        let mut entries = self.entries.borrow_mut();
        entries.insert((when, number), due);
        if entries.first_key_value().is_some_and(|(first, _)| *first == (when, number)) {
            self.changed.notify_one();
        }
        (when, number)
    }

    /// Waits for the next thing that is due.
    pub(super) async fn next(&self) -> Due {
        loop {
            let first = self.entries.borrow().first_key_value().map(|((when, _), _)| *when);
            let Some(when) = first else {
                self.changed.notified().await;
                continue;
            };
            if when > Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(when) => {}
                    () = self.changed.notified() => {}
                }
                continue;
            }
            if let Some((_, due)) = self.entries.borrow_mut().pop_first() {
                return due;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::SessionKey;

    fn save(number: u32) -> Due {
        Due::Save(At { key: SessionKey::new(number, 0), namespace: 0 })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_noted_in_a_slot_takes_the_place_of_what_was() {
        let (agenda, slot, start) = (Agenda::default(), Slot::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        (1..=1_000).for_each(|number| agenda.note_in(&slot, after(5_000 - u64::from(number)), save(number)));
        agenda.note(after(4_500), save(0));
        assert_eq!(agenda.entries.borrow().len(), 2);
        assert_eq!((agenda.next().await, Instant::now()), (save(1_000), after(4_000)));
        // What has come is not there any more to be struck out.
        agenda.strike(&slot);
        assert_eq!((agenda.next().await, Instant::now()), (save(0), after(4_500)));
        agenda.note_in(&slot, after(6_000), save(1));
        agenda.strike(&slot);
        assert!(agenda.entries.borrow().is_empty());
    }
}
