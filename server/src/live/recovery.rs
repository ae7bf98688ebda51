//! Coming back: a connection that breaks and returns, here or on another gateway, goes on as the same session. It gets what
//! it missed, in order and once, and then what comes; or it is told that it is new. Nothing in between: it must never
//! recover a part.
//!
//! ```text
//! the saved session ── its user is the one who asks?
//!        │ for each of its streams: the view here has had all that the client has had? (else wait for it)
//!        │                          everything between the client's position and the view's is at hand? (else read)
//!        ▼ in one step, so that nothing can come in between:
//! old connection closed ─ missed entries queued ─ CONNECT reply ─ into the rooms: the next entry is the view's next
//! ```

use std::{rc::Rc, time::Duration};

use haat_adapter::{LogRead, Position, Request, SavedSession, SessionRoom, StoreError};
use haat_protocol::{Frame, Id};
use tokio::time::Instant;

use super::{
    Live, Order,
    agenda::Due,
    audience::shift,
    body::is_id,
    connect::Former,
    offset::{Offset, frame_of},
    reject::Code,
    view::{Delivery, View, is_erased},
    visitor::{Fate, Joined, Saving, Slow, Visitor},
};
use crate::{auth::Identity, close::CloseReason, hub::mailbox::Mail, room::At};

/// Entries that a session may have missed. One that missed more is better off with a new state.
const MAX_MISSED: usize = 4096;
/// Bytes of them.
const MAX_MISSED_BYTES: usize = 4 << 20;
/// Entries that are read at a time.
const PAGE: usize = 500;
/// How long a view may take to reach what the client has seen elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a store that does not answer is asked again.
const OUTAGE: Duration = Duration::from_secs(5);
/// How often it is.
const AGAIN: Duration = Duration::from_millis(200);
/// A session of a living connection is saved again after this time.
const RENEW: Duration = Duration::from_secs(600);
/// A recovered session is saved again after this time: its old connection may have saved it last.
const CONFIRM: Duration = Duration::from_secs(5);
/// After this time a saving that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long other gateways may take to hear that a session has moved.
const NOTICE: Duration = Duration::from_secs(1);
/// The event between servers that says so.
pub(super) const REPLACED: &str = "haat:replaced";

/// What a session is owed of one stream.
struct Owed {
    view: Rc<View>,
    /// What its join reply showed.
    joined: Position,
    /// Entries up to this clock it has had, whatever their number.
    clock: u64,
    /// Up to here the missed entries are in `missed`.
    seq: u64,
    missed: Vec<Delivery>,
}

/// Why a session is not recovered.
enum No {
    /// It cannot be.
    Lost,
    /// The store does not say.
    Unknown,
}

impl From<StoreError> for No {
    fn from(_: StoreError) -> Self {
        Self::Unknown
    }
}

impl Live {
    /// Brings a session back. `false`: it cannot be, and nothing was done.
    pub(super) async fn recover(self: &Rc<Self>, at: At, identity: &Rc<Identity>, former: Former) -> bool {
        let end = Instant::now() + OUTAGE;
        loop {
            match self.try_recover(at, identity, &former).await {
                Ok(()) => return true,
                // A gateway that dies often takes the store with it, which is back a moment later.
                Err(No::Unknown) if Instant::now() < end && !self.is_cut_off() => tokio::time::sleep(AGAIN).await,
                Err(_) => return false,
            }
        }
    }

    async fn try_recover(self: &Rc<Self>, at: At, identity: &Rc<Identity>, former: &Former) -> Result<(), No> {
        let saved = self.shared.store.session(former.pid).await?.ok_or(No::Lost)?;
        let identity = owner(identity, &saved).ok_or(No::Lost)?;
        let sid = Id::parse(&saved.sid).ok_or(No::Lost)?;
        if Slow(saved.slow.0, saved.slow.1).too_often(self.shared.now()) {
            return Err(No::Lost);
        }
        let (mut owed, mut banned) = (Vec::new(), Vec::new());
        for room in &saved.rooms {
            if let Some(stream) = stream_of(room) {
                let view = self.views.ready(stream).await.map_err(|reject| match reject.code {
                    Code::Unavailable => No::Unknown,
                    _ => No::Lost,
                })?;
                // A stream that the user is banned from is not recovered with the rest.
                if self.admits(&view, &identity).is_ok() {
                    owed.push(self.owed(view, room, former.offset.as_ref()).await?);
                } else {
                    banned.push(view);
                }
            }
        }
        while let Some(place) = self.first_short(&mut owed)? {
            let Some(short) = owed.get_mut(place) else { break };
            self.read(short).await?;
        }
        // From here on nothing waits: the views stand still.
        self.resume(at, sid, former.pid, identity, &saved, owed);
        banned.iter().for_each(|view| self.tell_banned(at, view));
        Ok(())
    }

    /// Where the missed entries of a stream begin, on a view that has had everything that the client has had.
    async fn owed(self: &Rc<Self>, view: Rc<View>, room: &SessionRoom, offset: Option<&Offset>) -> Result<Owed, No> {
        let joined = Position { epoch: room.epoch.as_str().into(), seq: room.seq };
        if view.position().epoch != joined.epoch {
            return Err(No::Lost);
        }
        let mut owed = Owed { view, seq: joined.seq, joined, clock: 0, missed: Vec::new() };
        match offset {
            // The last thing that the client has seen is of this stream, and says exactly where it stands; in an earlier
            // life of the log it was seen before the join that the session knows of.
            Some(offset) if *offset.stream == *owed.view.stream => {
                let same_life = offset.position.epoch == owed.joined.epoch;
                owed.seq = if same_life { owed.seq.max(offset.position.seq) } else { owed.seq };
            }
            // It is of another stream: the clock says what of this one came before it.
            Some(offset) => owed.clock = offset.clock,
            None => {}
        }
        self.reach(&owed).await?;
        if owed.clock > 0 {
            owed.seq = self.before_clock(&owed).await?;
        }
        Ok(owed)
    }

    /// Waits until the view has had what the client has had. A client that comes from a faster gateway would otherwise get
    /// the difference twice.
    async fn reach(self: &Rc<Self>, owed: &Owed) -> Result<(), No> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            let Position { epoch, seq } = owed.view.position();
            let behind = seq < owed.seq;
            if epoch != owed.joined.epoch || Instant::now() > deadline {
                return Err(No::Lost);
            }
            if !behind && owed.view.clock() >= owed.clock {
                return Ok(());
            }
            // A position that the log never reached is refused here.
            match self.shared.store.read(&owed.view.stream, Position { epoch, seq: seq.max(owed.seq) }, 1).await {
                // What comes next is later than anything that the client has had.
                Ok(LogRead::Entries(next)) if !behind && next.first().is_none_or(|next| next.clock > owed.clock) => {
                    return Ok(());
                }
                Ok(LogRead::Entries(_)) => {}
                Ok(LogRead::Gone(_)) => return Err(No::Lost),
                Err(error) => return Err(error.into()),
            }
            self.views.verify(&owed.view);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// A position from which on nothing is missing that is later than the clock, and not much that is earlier.
    async fn before_clock(&self, owed: &Owed) -> Result<u64, No> {
        let Position { epoch, seq: head } = owed.view.position();
        let mut span = PAGE as u64;
        loop {
            let start = head.saturating_sub(span).max(owed.joined.seq);
            if start == owed.joined.seq {
                return Ok(start);
            }
            let after = Position { epoch: epoch.clone(), seq: start };
            match self.shared.store.read(&owed.view.stream, after, 1).await {
                Ok(LogRead::Entries(next)) if next.first().is_none_or(|entry| entry.clock <= owed.clock) => {
                    return Ok(start);
                }
                Ok(LogRead::Entries(_)) => span *= 4,
                Ok(LogRead::Gone(_)) => return Err(No::Lost),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Completes what the views have kept. The place of the first stream whose missed entries have to be read; `None`: all
    /// are at hand, up to where the views stand at this moment.
    fn first_short(&self, owed: &mut [Owed]) -> Result<Option<usize>, No> {
        let (mut entries, mut bytes) = (0, 0);
        for (place, owed) in owed.iter_mut().enumerate() {
            let position = owed.view.position();
            if position.epoch != owed.joined.epoch {
                return Err(No::Lost);
            }
            if owed.seq < position.seq {
                match owed.view.after(owed.seq) {
                    Some(rest) => owed.take(rest),
                    None => return Ok(Some(place)),
                }
            }
            // What was read further than the view has come will be delivered by it.
            owed.missed.retain(|(entry, _)| entry.position.seq <= position.seq);
            owed.seq = owed.seq.min(position.seq);
            entries += owed.missed.len();
            bytes += owed.missed.iter().map(|(_, frame)| frame.bytes().len()).sum::<usize>();
        }
        if entries > MAX_MISSED || bytes > MAX_MISSED_BYTES { Err(No::Lost) } else { Ok(None) }
    }

    async fn read(&self, owed: &mut Owed) -> Result<(), No> {
        let after = Position { epoch: owed.joined.epoch.clone(), seq: owed.seq };
        let LogRead::Entries(entries) = self.shared.store.read(&owed.view.stream, after, PAGE).await? else {
            return Err(No::Lost);
        };
        if entries.is_empty() || owed.missed.len() > MAX_MISSED {
            return Err(No::Lost);
        }
        let recovery = self.shared.recovery_on();
        owed.take(entries.into_iter().map(|entry| {
            let frame = frame_of(&entry, recovery);
            (entry, frame)
        }));
        Ok(())
    }

    /// The session goes on, on this connection.
    fn resume(
        self: &Rc<Self>,
        at: At,
        sid: Id,
        pid: Id,
        identity: Rc<Identity>,
        saved: &SavedSession,
        owed: Vec<Owed>,
    ) {
        let waits = |session: &mut crate::room::session::Session| {
            session.is_open() && session.socket(at.namespace).is_some_and(|socket| !socket.joined)
        };
        if self.rooms.with(at.key, waits) != Some(true) {
            return;
        }
        self.announce(sid);
        // Somebody may have been banned while this was read.
        let (owed, banned): (Vec<Owed>, Vec<Owed>) =
            owed.into_iter().partition(|owed| self.admits(&owed.view, &identity).is_ok());
        let visitor = Rc::new(Visitor::new(identity.clone(), sid, Some(pid)));
        visitor.slow.set(Slow(saved.slow.0, saved.slow.1));
        let mut missed: Vec<&Delivery> = owed.iter().flat_map(|owed| &owed.missed).collect();
        missed.sort_by_key(|(entry, _)| entry.clock);
        let frames: Vec<Frame> =
            missed.iter().filter(|(entry, _)| !is_erased(entry)).map(|(_, frame)| frame.clone()).collect();
        self.rooms.accept(at, sid, Some(pid), Some(visitor.clone()), &frames);
        for Owed { view, joined, .. } in owed {
            self.rooms.join(at, &view.room);
            let viewer = self.seat(at, &view.stream, &identity);
            shift(self, &view, &identity.user.id, false, viewer);
            if viewer {
                self.moved(&view.stream, &saved.gateway);
            } else {
                // In no log: what came meanwhile would wait for nobody.
                self.show_held(at, &view.stream);
            }
            self.show_numbers(at, &view);
            visitor.enter(Joined { view, position: joined, viewer });
        }
        for room in saved.rooms.iter().filter(|room| room.epoch.is_empty()) {
            self.rooms.join(at, &room.room);
        }
        self.settle(at, &visitor);
        banned.iter().for_each(|owed| self.tell_banned(at, &owed.view));
        self.agenda.note(Instant::now() + CONFIRM, Due::Save(at));
    }

    /// Ends the old connection of a session, wherever it still seems to live.
    fn announce(self: &Rc<Self>, sid: Id) {
        self.replace(sid);
        for shard in (0..self.rooms.hub.shards()).filter_map(|shard| u8::try_from(shard).ok()) {
            if shard != self.rooms.shard {
                let _ = self.rooms.hub.send(shard, Mail::App(Box::new(Order::Replace(sid))));
            }
        }
        let live = self.clone();
        self.begin(async move {
            let args = format!(r#"["{REPLACED}","{sid}"]"#);
            let notice = Request::ServerSideEmit { namespace: "/".to_owned(), args, ack: false };
            let _ = live.shared.adapter.request(notice, NOTICE).await;
        });
    }

    /// The session of this socket goes on elsewhere.
    pub(super) fn replace(self: &Rc<Self>, sid: Id) {
        let Some(at) = self.rooms.by_id(sid) else { return };
        if let Some(visitor) = self.rooms.data::<Visitor>(at) {
            *visitor.fate.borrow_mut() = Fate::Replaced;
        }
        if let Some(left) = self.rooms.leave_namespace(at) {
            self.gone(at, left, CloseReason::Replaced);
        }
        self.rooms.close(at.key, CloseReason::Replaced);
    }

    // --- saving ---

    /// Saves a session as it is now. Savings of one session never overtake each other; several that are due become one.
    pub(super) fn save(self: &Rc<Self>, at: At, visitor: &Rc<Visitor>) {
        let Some(pid) = visitor.pid else { return };
        if visitor.saving.get() != Saving::Idle {
            return visitor.saving.set(Saving::Again);
        }
        visitor.saving.set(Saving::Busy);
        let (live, visitor) = (self.clone(), visitor.clone());
        self.begin(async move {
            while let Some((session, ttl)) = live.image(at, &visitor) {
                let saved = live.shared.store.save_session(pid, session, ttl).await;
                if visitor.saving.replace(Saving::Busy) == Saving::Again {
                    continue;
                }
                if *visitor.fate.borrow() == Fate::Alive && !visitor.noted.replace(true) {
                    let again = if saved.is_ok() { RENEW } else { RETRY };
                    live.agenda.note(Instant::now() + again, Due::Save(at));
                }
                break;
            }
            visitor.saving.set(Saving::Idle);
        });
    }

    /// What is to be saved of a session, and for how long; `None`: it is another connection's now.
    fn image(&self, at: At, visitor: &Visitor) -> Option<(Option<SavedSession>, Duration)> {
        let (rooms, ttl, gateway) = match &*visitor.fate.borrow() {
            Fate::Alive => (self.rooms.rooms_of(at), self.shared.recovery + 2 * RENEW, self.shared.name.clone()),
            Fate::Dropped(rooms) => (rooms.clone(), self.shared.recovery, String::new()),
            Fate::Left => return Some((None, Duration::ZERO)),
            Fate::Replaced => return None,
        };
        let joined = visitor.joined();
        let mut saved: Vec<SessionRoom> = Vec::with_capacity(rooms.len());
        for room in rooms.iter().filter(|room| !room.starts_with("user:") && !room.starts_with("staff:")) {
            match joined.iter().find(|joined| *joined.view.room == **room) {
                Some(Joined { position, .. }) => {
                    saved.push(SessionRoom {
                        room: room.to_string(),
                        epoch: position.epoch.to_string(),
                        seq: position.seq,
                    });
                }
                None => saved.push(SessionRoom { room: room.to_string(), ..SessionRoom::default() }),
            }
        }
        let session = SavedSession {
            sid: visitor.sid.to_string(),
            namespace: "/".to_owned(),
            user: owner_text(&visitor.identity()),
            gateway,
            slow: (visitor.slow.get().0, visitor.slow.get().1),
            rooms: saved,
        };
        Some((Some(session), ttl))
    }
}

impl Owed {
    fn take(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        for (entry, frame) in deliveries {
            self.seq = entry.position.seq;
            if entry.clock > self.clock {
                self.missed.push((entry, frame));
            }
        }
    }
}

/// Whose session it is, as it is saved. A guest is nobody else, even if somebody's id looks like a guest's.
fn owner_text(identity: &Identity) -> String {
    let kind = if identity.is_guest() { "guest" } else { "user" };
    format!("{kind}/{}", identity.user.id)
}

/// Who comes back, if the session is theirs. A guest is known by nothing but the session itself.
fn owner(identity: &Rc<Identity>, saved: &SavedSession) -> Option<Rc<Identity>> {
    if saved.namespace != "/" {
        return None;
    }
    if identity.is_guest() {
        let id = saved.user.strip_prefix("guest/")?;
        return Some(Rc::new(Identity::guest_again(id)));
    }
    (owner_text(identity) == saved.user).then(|| identity.clone())
}

/// The stream whose room it is, for one that has a log position.
fn stream_of(room: &SessionRoom) -> Option<&str> {
    let stream = room.room.strip_prefix("stream:").filter(|stream| is_id(stream))?;
    (!room.epoch.is_empty()).then_some(stream)
}
