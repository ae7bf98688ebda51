//! Numbers that change by themselves, as the viewers of a shard are told of them: only the newest counts, and a slow
//! connection skips to it. It must never say anything that has not changed.

use haat_adapter::Totals;
use haat_protocol::{Frame, socket};

use super::{
    Live,
    reject::json,
    state::{Item, REACTIONS, numbers, reactions, value},
    view::View,
};
use crate::room::{At, state_class};

impl Live {
    /// Tells the members of a stream what has changed in its numbers.
    pub(super) fn spread(&self, view: &View, before: &Totals, after: &Totals) {
        if before.viewers != after.viewers {
            self.rooms.broadcast(0, &view.room, &viewers_frame(view, after.viewers));
        }
        let added = reactions(after).filter_map(|(kind, count)| {
            let old = value(before, &format!("{}{kind}", REACTIONS));
            // A count that fell began again from nothing: the store has lost the old one.
            let added = count.checked_sub(old).unwrap_or(count);
            (added > 0).then_some((kind, added))
        });
        let mut added = added.peekable();
        if added.peek().is_some() {
            let members = format!(r#""totals":{},"added":{}"#, numbers(reactions(after)), numbers(added));
            self.state_event(view, "reactions", "reactions", &members);
        }
        for item in &view.outline().items {
            self.spread_item(view, item, before, after);
        }
    }

    fn spread_item(&self, view: &View, item: &Item, before: &Totals, after: &Totals) {
        let id = &item.id;
        if let Some(left) = item.left(after).filter(|left| item.left(before) != Some(*left)) {
            self.state_event(view, "drop:stock", id, &format!(r#""drop":"{id}","left":{left}"#));
        }
        if let Some((tally, votes)) = item.votes(after).filter(|_| item.votes(after) != item.votes(before))
            && !tally.is_empty()
        {
            let members = format!(r#""poll":"{id}","tally":{},"votes":{votes}"#, json(&tally));
            self.state_event(view, "poll:tally", id, &members);
        }
    }

    fn state_event(&self, view: &View, event: &str, about: &str, members: &str) {
        self.rooms.broadcast(0, &view.room, &state_frame(view, event, about, members));
    }

    /// Tells a socket that has come back how many viewers there are: what it was told last may be long ago, and nobody
    /// says it again before it changes.
    pub(super) fn show_viewers(&self, at: At, view: &View) {
        let count = view.totals().viewers.max(u64::from(view.viewers.get()));
        self.rooms.emit(at.key, &viewers_frame(view, count));
    }
}

fn viewers_frame(view: &View, count: u64) -> Frame {
    state_frame(view, "viewers", "viewers", &format!(r#""count":{count}"#))
}

fn state_frame(view: &View, event: &str, about: &str, members: &str) -> Frame {
    let text = format!(r#"["{event}",{{"stream":"{}",{members}}}]"#, view.stream);
    let class = state_class(&view.stream, &format!("{event}/{about}"));
    socket::event_pieces("/", &[&text]).class_as(class)
}
