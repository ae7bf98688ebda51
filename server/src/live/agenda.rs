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

/// Things that are due, by time.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: RefCell<BTreeMap<(Instant, u64), Due>>,
    number: Cell<u64>,
    changed: Notify,
}

impl Agenda {
    /// Notes what is due at `when`.
    pub(super) fn note(&self, when: Instant, due: Due) {
        let number = self.number.get() + 1;
        self.number.set(number);
        let mut entries = self.entries.borrow_mut();
        entries.insert((when, number), due);
        if entries.first_key_value().is_some_and(|(first, _)| *first == (when, number)) {
            self.changed.notify_one();
        }
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
