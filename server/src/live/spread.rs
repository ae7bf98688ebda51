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
            self.rooms.broadcast(0, &view.room, &reactions_frame(view, &members));
        }
        for item in &view.outline().items {
            if item.left(before) != item.left(after) {
                stock_frame(view, item, after).iter().for_each(|frame| self.rooms.broadcast(0, &view.room, frame));
            }
            if item.votes(before) != item.votes(after) {
                tally_frame(view, item, after).iter().for_each(|frame| self.rooms.broadcast(0, &view.room, frame));
            }
        }
    }

    /// Tells a socket that has come back how the numbers stand: what it was told last may be long ago, and nobody says it
    /// again before it changes.
    pub(super) fn show_numbers(&self, at: At, view: &View) {
        let totals = view.totals();
        self.rooms.emit(at.key, &viewers_frame(view, view.audience(&totals)));
        if reactions(&totals).next().is_some() {
            let members = format!(r#""totals":{},"added":{{}}"#, numbers(reactions(&totals)));
            self.rooms.emit(at.key, &reactions_frame(view, &members));
        }
        for item in &view.outline().items {
            let frames = [stock_frame(view, item, &totals), tally_frame(view, item, &totals)];
            frames.iter().flatten().for_each(|frame| self.rooms.emit(at.key, frame));
        }
    }
}

fn reactions_frame(view: &View, members: &str) -> Frame {
    state_frame(view, "reactions", "reactions", members)
}

/// What is left of a drop, if that is one.
fn stock_frame(view: &View, item: &Item, totals: &Totals) -> Option<Frame> {
    let (id, left) = (&item.id, item.left(totals)?);
    Some(state_frame(view, "drop:stock", id, &format!(r#""drop":"{id}","left":{left}"#)))
}

/// How a poll stands, if that is one that somebody has voted in.
fn tally_frame(view: &View, item: &Item, totals: &Totals) -> Option<Frame> {
    let (id, (tally, votes)) = (&item.id, item.votes(totals)?);
    let members = format!(r#""poll":"{id}","tally":{},"votes":{votes}"#, json(&tally));
    (!tally.is_empty()).then(|| state_frame(view, "poll:tally", id, &members))
}

fn viewers_frame(view: &View, count: u64) -> Frame {
    state_frame(view, "viewers", "viewers", &format!(r#""count":{count}"#))
}

fn state_frame(view: &View, event: &str, about: &str, members: &str) -> Frame {
    let text = format!(r#"["{event}",{{"stream":"{}",{members}}}]"#, view.stream);
    let class = state_class(&view.stream, &format!("{event}/{about}"));
    socket::event_pieces("/", &[&text]).class_as(class)
}
