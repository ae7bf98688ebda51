//! What viewers are told while their gateway is cut off from the others: what they see may be old, and what they ask for may
//! not be done. They keep their connections; what they missed comes when it is over.

use std::sync::atomic::Ordering;

use haat_protocol::{Frame, socket};

use super::{Live, Shared};
use crate::{hub::mailbox::LocalTarget, room::At};

impl Shared {
    /// The gateway is cut off, or is not any more. The shards look at it once a second.
    pub fn set_cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }
}

impl Live {
    /// Tells everybody, if something has changed.
    pub(super) fn tell_outage(&self) {
        let cut_off = self.shared.cut_off.load(Ordering::Relaxed);
        if self.cut_off.replace(cut_off) != cut_off {
            self.rooms.broadcast_to(&LocalTarget::default(), &degraded(cut_off));
        }
    }

    /// The gateway is cut off, and everybody has been told.
    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    /// Tells somebody who comes while it lasts.
    pub(super) fn show_outage(&self, at: At) {
        if self.is_cut_off() {
            self.rooms.emit(at.key, &degraded(true));
        }
    }
}

fn degraded(cut_off: bool) -> Frame {
    let reason = if cut_off { "\"cut_off\"" } else { "null" };
    let event = format!(r#"["server:degraded",{{"degraded":{cut_off},"reason":{reason}}}]"#);
    socket::event_pieces("/", &[&event])
}
