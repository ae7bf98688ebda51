//! What becomes due in streams without anybody asking for it: openings and closings at their time, units that come back,
//! votes that are told of. Every gateway with a view of the stream does it, on one of its shards; each step is checked
//! against the state, so the first one counts and the others find that there is nothing to do.

use std::{rc::Rc, time::Duration};

use tokio::time::MissedTickBehavior;

use super::{
    Live, drop, poll, question,
    reject::{Code, Reject},
    state::{Item, Kind},
    view::View,
    wheel,
};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(200);
/// Ticks between two looks at what has no time of its own.
const SLOW: u64 = 5;
/// Nobody did it by a command.
const NOBODY: &str = "null";

/// Does what is due, for as long as the shard lives.
pub(super) async fn keep_time(live: Rc<Live>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    loop {
        tick.tick().await;
        number += 1;
        for view in live.views.all() {
            let slow = number.is_multiple_of(SLOW);
            if view.is_loaded()
                && !view.is_ended()
                && live.leads(&view)
                && live.has_work(&view, slow)
                && view.begin_work()
            {
                let live = live.clone();
                tokio::task::spawn_local(async move {
                    live.work(&view, slow).await;
                    view.end_work();
                });
            }
        }
    }
}

impl Live {
    /// Whether this shard does what is due in a stream, rather than another one of this gateway.
    fn leads(&self, view: &View) -> bool {
        let shards = self.rooms.hub.directory.shards(0, &view.room);
        shards.trailing_zeros() == u32::from(self.rooms.shard)
    }

    fn has_work(&self, view: &View, slow: bool) -> bool {
        let now = self.shared.now();
        let totals = view.totals();
        view.outline().items.iter().any(|item| {
            let votes =
                item.kind == Kind::Question && item.votes(&totals).is_some_and(|(_, votes)| votes != item.votes);
            item.due.is_some_and(|due| due <= now) || slow && (votes || item.holds)
        })
    }

    async fn work(self: &Rc<Self>, view: &View, slow: bool) {
        let now = self.shared.now();
        for item in &view.outline().items {
            if item.due.is_some_and(|due| due <= now) {
                let done = match &*item.status {
                    "scheduled" => drop::open_due(self, &view.stream, &item.id, NOBODY.to_owned(), now).await,
                    _ => self.close_item(view, item, NOBODY.to_owned(), Some(now)).await,
                };
                if let Err(error) = done {
                    // Mostly another gateway was faster, and its event is on its way.
                    tracing::debug!(stream = %view.stream, item = %item.id, %error.message, "nothing was closed");
                }
            }
        }
        if slow {
            for item in view.outline().items.iter().filter(|item| item.holds) {
                let _ = self.shared.market.tend(&view.stream, &item.pool).await;
            }
            question::tell_votes(self, view).await;
        }
    }

    async fn close_item(self: &Rc<Self>, view: &View, item: &Item, by: String, due: Option<u64>) -> Result<(), Reject> {
        let (stream, id) = (&*view.stream, &*item.id);
        match item.kind {
            Kind::Poll => poll::close_it(self, stream, id, by, due).await.map(std::mem::drop),
            Kind::Drop => drop::close_it(self, stream, id, by, due).await.map(std::mem::drop),
            Kind::Wheel => wheel::close_it(self, stream, id, by, due).await.map(std::mem::drop),
            Kind::Question => Ok(()),
        }
    }

    /// Closes all that is open, because the stream ends.
    ///
    /// # Errors
    /// Something may be open still.
    pub(super) async fn close_all(self: &Rc<Self>, view: &View, by: &str) -> Result<(), Reject> {
        let snapshot = self.shared.store.snapshot(&view.stream, "", 0).await?.unwrap_or_default();
        let items = snapshot.fields.iter().filter_map(|(name, text)| Item::of(name, text));
        for item in items.filter(|item| *item.status != *"closed") {
            match self.close_item(view, &item, by.to_owned(), None).await {
                // What somebody else has closed is closed.
                Ok(()) | Err(Reject { code: Code::Closed | Code::NotFound, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
