//! Sessions that may come back, packed small: there is one for every connection, and hardly any is ever read.

use std::{collections::BTreeSet, time::Duration};

use haat_protocol::Id;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::{SavedSession, SessionRoom};

/// How many expired sessions one call clears away: enough to keep up, and few, so that no call pays for all.
const CLEARED_AT_ONCE: usize = 16;

/// Tenths of a second since the engine started. A session lives up to one longer than asked.
type Tenths = u32;

/// The saved sessions, until they expire.
#[derive(Debug)]
pub(super) struct Sessions {
    started: Instant,
    saved: FxHashMap<Id, Saved>,
    by_expiry: BTreeSet<(Tenths, Id)>,
}

#[derive(Debug)]
struct Saved {
    expires: Tenths,
    packed: Box<[u8]>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), saved: FxHashMap::default(), by_expiry: BTreeSet::new() }
    }

    /// Saves what [`pack`] made, in place of what was there, and at most `bound` in all.
    pub(super) fn save(&mut self, pid: Id, packed: Box<[u8]>, now: Instant, ttl: Duration, bound: usize) {
        let age = now.saturating_duration_since(self.started);
        let expires = Tenths::try_from(age.saturating_add(ttl).as_millis().div_ceil(100)).unwrap_or(Tenths::MAX);
        if let Some(old) = self.saved.insert(pid, Saved { expires, packed }) {
            self.by_expiry.remove(&(old.expires, pid));
        }
        self.by_expiry.insert((expires, pid));
        self.clear_expired(now);
        while self.saved.len() > bound {
            self.forget_first();
        }
    }

    pub(super) fn forget(&mut self, pid: Id, now: Instant) {
        if let Some(old) = self.saved.remove(&pid) {
            self.by_expiry.remove(&(old.expires, pid));
        }
        self.clear_expired(now);
    }

    pub(super) fn get(&self, pid: Id, now: Instant) -> Option<SavedSession> {
        let saved = self.saved.get(&pid).filter(|saved| self.tenths(now) < saved.expires)?;
        unpack(&saved.packed)
    }

    pub(super) fn clear(&mut self) {
        self.saved.clear();
        self.by_expiry.clear();
    }

    fn clear_expired(&mut self, now: Instant) {
        let now = self.tenths(now);
        for _ in 0..CLEARED_AT_ONCE {
            match self.by_expiry.first() {
                Some((expires, _)) if *expires <= now => self.forget_first(),
                _ => break,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, pid)) = self.by_expiry.pop_first() {
            self.saved.remove(&pid);
        }
    }

    fn tenths(&self, now: Instant) -> Tenths {
        Tenths::try_from(now.saturating_duration_since(self.started).as_millis() / 100).unwrap_or(Tenths::MAX)
    }
}

/// A session as bytes: each text and each number behind the other, lengths and numbers in groups of 7 bits.
pub(super) fn pack(session: &SavedSession) -> Box<[u8]> {
    let mut packed = Vec::with_capacity(128);
    put_text(&mut packed, &session.sid);
    put_text(&mut packed, &session.namespace);
    put_text(&mut packed, &session.user);
    put_text(&mut packed, &session.gateway);
    put_number(&mut packed, session.slow.0.into());
    put_number(&mut packed, session.slow.1);
    put_number(&mut packed, session.rooms.len() as u64);
    for room in &session.rooms {
        put_text(&mut packed, &room.room);
        put_text(&mut packed, &room.epoch);
        put_number(&mut packed, room.seq);
    }
    packed.as_slice().into()
}

/// The session that was [`pack`]ed. `None` for anything else.
fn unpack(mut packed: &[u8]) -> Option<SavedSession> {
    let packed = &mut packed;
    let (sid, namespace) = (take_text(packed)?, take_text(packed)?);
    let (user, gateway) = (take_text(packed)?, take_text(packed)?);
    let slow = (u8::try_from(take_number(packed)?).ok()?, take_number(packed)?);
    let mut rooms = Vec::new();
    for _ in 0..take_number(packed)? {
        rooms.push(SessionRoom { room: take_text(packed)?, epoch: take_text(packed)?, seq: take_number(packed)? });
    }
    packed.is_empty().then_some(SavedSession { sid, namespace, user, gateway, slow, rooms })
}

fn put_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn put_text(packed: &mut Vec<u8>, text: &str) {
    put_number(packed, text.len() as u64);
    packed.extend_from_slice(text.as_bytes());
}

fn take_number(packed: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = packed.split_first()?;
        *packed = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_text(packed: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_number(packed)?).ok()?;
    let (text, rest) = packed.split_at_checked(length)?;
    *packed = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpacks_what_was_packed(
            slow: (u8, u64),
            texts in proptest::array::uniform4(".{0,40}"),
            rooms in proptest::collection::vec((".{0,200}", ".{0,16}", any::<u64>()), 0..5),
        ) {
            let [sid, namespace, user, gateway] = texts;
            let rooms = rooms.into_iter().map(|(room, epoch, seq)| SessionRoom { room, epoch, seq }).collect();
            let session = SavedSession { sid, namespace, user, gateway, slow, rooms };
            prop_assert_eq!(unpack(&pack(&session)), Some(session));
        }

        #[test]
        fn refuses_what_is_cut_off(cut in 1usize..40, seq: u64) {
            let room = SessionRoom { room: "stream:spring".to_owned(), epoch: "aBcD_-12".to_owned(), seq };
            let session = SavedSession { rooms: vec![room], ..SavedSession::default() };
            let packed = pack(&session);
            let kept = packed.len().saturating_sub(cut);
            prop_assert_eq!(unpack(&packed[..kept]), None);
        }

        #[test]
        fn takes_any_bytes(bytes: Vec<u8>) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn lets_go_of_expired_sessions_as_new_ones_come() {
        let (mut sessions, start, ttl) = (Sessions::new(), Instant::now(), Duration::from_secs(10));
        let mut save = |now| sessions.save(Id::random().unwrap(), Box::default(), now, ttl, usize::MAX);
        (0..1_000).for_each(|_| save(start));
        (0..100).for_each(|_| save(start + 2 * ttl));
        assert_eq!((sessions.saved.len(), sessions.by_expiry.len()), (100, 100));
    }

    #[test]
    fn a_session_of_two_rooms_is_small() {
        let room = |room: &str| SessionRoom { room: room.to_owned(), epoch: "aBcD_-12".to_owned(), seq: 12_345 };
        let session = SavedSession {
            sid: "aBcDeFgHiJkLmNoPqRsT".to_owned(),
            namespace: "/".to_owned(),
            user: "customer-0123456789".to_owned(),
            gateway: "aBcDeFgHiJkLmNoPqRsT".to_owned(),
            slow: (0, 0),
            rooms: vec![room("stream:spring-sale-2026"), room("user:customer-0123456789")],
        };
        assert_eq!(pack(&session).len(), 138);
    }
}
