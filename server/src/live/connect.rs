//! Coming in: who a connection is, for how long, and how many of one user there may be. It must never say more about a bad
//! token than that it is no good.

use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use haat_protocol::{Id, socket};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{
    Live, Order,
    agenda::Due,
    audience::shift,
    body::Body,
    command::{Call, Reply},
    offset::Offset,
    reject::{Code, Reject, json},
    staff_room, user_room,
    visitor::{Fate, Joined, Visitor},
};
use crate::{
    auth::{AuthError, Identity, Role},
    close::CloseReason,
    hub::mailbox::Mail,
    room::At,
};

/// From the expiry of a token to the end of a connection that sends no other.
const GRACE: Duration = Duration::from_secs(30);
/// Tokens that hold longer are looked at again after this time.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// What a client says of a session that it had.
#[derive(Debug)]
pub(super) struct Former {
    /// The session's secret.
    pub pid: Id,
    /// The last entry that it has seen, if it has seen any.
    pub offset: Option<Offset>,
}

impl Former {
    /// `None`: there was no session, or what is said of it makes no sense.
    fn of(auth: &Body<'_>) -> Option<Self> {
        let pid = Id::parse(&auth.optional::<String>("pid", "").ok()??)?;
        let offset = match auth.optional::<String>("offset", "").ok()? {
            Some(offset) => Some(Offset::parse(&offset)?),
            None => None,
        };
        Some(Self { pid, offset })
    }
}

impl Live {
    /// A client wants in.
    pub(super) fn connecting(self: &Rc<Self>, at: At, auth: &str) {
        let identity = Body::parse(auth)
            .map_err(|_| AuthError::Malformed)
            .and_then(|auth| Ok((self.identify(&auth)?, Former::of(&auth))));
        match identity {
            Err(error) => {
                crate::metrics::refused("connect", error.label());
                let reject = unauthorized(error);
                // Node's clients read `message`, programs `data`.
                let code = reject.code.as_str();
                let error =
                    format!(r#"{{"message":"{code}","data":{{"code":"{code}","message":{}}}}}"#, json(&reject.message));
                self.rooms.refuse(at, &error);
            }
            Ok((identity, Some(former))) if self.shared.recovery_on() && at.namespace == 0 && !self.draining.get() => {
                let live = self.clone();
                self.begin(async move {
                    match live.recover(at, &identity, former).await {
                        true => metrics::counter!("haat_recoveries_total", "outcome" => "recovered").increment(1),
                        false => {
                            metrics::counter!("haat_recoveries_total", "outcome" => "fresh").increment(1);
                            live.welcome(at, identity);
                        }
                    }
                });
            }
            Ok((identity, _)) => self.welcome(at, identity),
        }
    }

    fn identify(&self, auth: &Body<'_>) -> Result<Rc<Identity>, AuthError> {
        let token = match auth.raw("token") {
            None | Some("null") => None,
            Some(_) => Some(auth.get::<String>("token", "a text").map_err(|_| AuthError::Malformed)?),
        };
        self.shared.verifier.admit(token.as_deref()).map(Rc::new)
    }

    /// Lets a client in as somebody new.
    fn welcome(self: &Rc<Self>, at: At, identity: Rc<Identity>) {
        let sid = self.rooms.with(at.key, |session| session.socket(at.namespace).map(|socket| socket.id));
        let Some(Some(sid)) = sid else { return };
        let pid = if self.shared.recovery_on() && at.namespace == 0 { Id::random().ok() } else { None };
        let visitor = Rc::new(Visitor::new(identity, sid, pid));
        if self.rooms.accept(at, sid, pid, Some(visitor.clone()), &[]) {
            self.settle(at, &visitor);
        }
    }

    /// What every socket gets that was accepted.
    pub(super) fn settle(self: &Rc<Self>, at: At, visitor: &Rc<Visitor>) {
        let identity = visitor.identity();
        self.rooms.join(at, &user_room(&identity.user.id));
        self.arm(at, visitor);
        self.show_outage(at);
        if !identity.is_guest() {
            let limit = self.shared.limits.user_connections;
            if let Some((shard, sid)) =
                self.shared.presence.enter(&identity.user.id, (self.rooms.shard, visitor.sid), limit)
            {
                let _ = self.rooms.hub.send(shard, Mail::App(Box::new(Order::Evict(sid))));
            }
        }
        self.save(at, visitor);
    }

    /// A socket is gone.
    pub(super) fn farewell(self: &Rc<Self>, at: At, visitor: &Rc<Visitor>, rooms: Vec<Rc<str>>, reason: CloseReason) {
        self.agenda.strike(&visitor.token);
        let identity = visitor.identity();
        if !identity.is_guest() {
            self.shared.presence.leave(&identity.user.id, visitor.sid);
        }
        for joined in visitor.joined() {
            shift(self, &joined.view, &identity.user.id, joined.viewer, false);
        }
        let replaced = *visitor.fate.borrow() == Fate::Replaced || reason == CloseReason::Replaced;
        let fate = match (replaced, reason.row().recoverable) {
            (true, _) => Fate::Replaced,
            (false, true) => Fate::Dropped(rooms),
            (false, false) => Fate::Left,
        };
        *visitor.fate.borrow_mut() = fate;
        if reason == CloseReason::SlowConsumer {
            visitor.slow.set(visitor.slow.get().again(self.shared.now()));
        }
        self.save(at, visitor);
    }

    /// A connection of this user has become one too many: its client is told to stay away.
    pub(super) fn evict(self: &Rc<Self>, sid: Id) {
        let Some(at) = self.rooms.by_id(sid) else { return };
        if let Some(left) = self.rooms.leave_namespace(at) {
            self.rooms.emit(at.key, &socket::disconnect(self.rooms.hub.namespace_name(at.namespace)));
            self.gone(at, left, CloseReason::ServerLeft);
        }
    }

    // --- tokens that expire ---

    fn arm(&self, at: At, visitor: &Visitor) {
        let Some(expires) = visitor.identity().expires else { return };
        let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
        self.agenda.note_in(&visitor.token, Instant::now() + left.min(FAR), Due::Expiry(at, expires));
    }

    /// A token expires, or was far from it and is looked at again.
    pub(super) fn expire(&self, at: At, expires: SystemTime) {
        let Some(visitor) = self.rooms.data::<Visitor>(at) else { return };
        if visitor.identity().expires != Some(expires) {
            return;
        }
        if expires > SystemTime::now() {
            return self.arm(at, &visitor);
        }
        let namespace = self.rooms.hub.namespace_name(at.namespace);
        self.rooms.emit(at.key, &socket::event_pieces(namespace, &[r#"["token:expired",{}]"#]));
        self.agenda.note_in(&visitor.token, Instant::now() + GRACE, Due::Close(at, expires));
    }

    /// The time to send another token is over.
    pub(super) fn close_expired(&self, at: At, expires: SystemTime) {
        let identity = self.rooms.data::<Visitor>(at).map(|visitor| visitor.identity());
        if identity.is_some_and(|identity| identity.expires == Some(expires)) {
            self.rooms.close(at.key, CloseReason::TokenExpired);
        }
    }
}

fn unauthorized(error: AuthError) -> Reject {
    Reject::new(Code::Unauthorized, error.to_string())
}

/// `auth:refresh`: another token of the same user. What it allows holds from now on.
pub(super) async fn refresh(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let token: String = body.get("token", "a token")?;
    let (at, visitor) = call.socket()?;
    let before = visitor.identity();
    let identity = call.live.shared.verifier.verify(&token).map(Rc::new).map_err(unauthorized)?;
    if before.is_guest() || before.user.id != identity.user.id {
        return Err(Reject::new(Code::Unauthorized, "the token is another user's"));
    }
    *visitor.identity.borrow_mut() = identity.clone();
    for joined in visitor.joined() {
        let stream = joined.view.stream.clone();
        let viewer = call.live.seat(at, &stream, &identity);
        shift(&call.live, &joined.view, &identity.user.id, joined.viewer, viewer);
        visitor.enter(Joined { viewer, ..joined });
    }
    call.live.arm(at, &visitor);
    Ok(Reply::default())
}

impl Live {
    /// Puts a socket of a stream among its staff, or takes it out. Says whether it is an ordinary viewer.
    pub(super) fn seat(&self, at: At, stream: &str, identity: &Identity) -> bool {
        let viewer = identity.role_in(stream) == Role::Viewer;
        let room = staff_room(stream);
        if viewer {
            self.rooms.leave(at, &room);
        } else {
            self.rooms.join(at, &room);
        }
        viewer
    }
}

/// A shard and a socket on it.
type Seat = (u8, Id);

/// The connections of each user on this gateway, oldest first. Only touched when one comes or goes.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<FxHashMap<Box<str>, VecDeque<Seat>>>);

impl Presence {
    /// One more. Returns the oldest if there are more than `limit` now; 0 is no limit.
    fn enter(&self, user: &str, seat: Seat, limit: usize) -> Option<Seat> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seats = users.entry(user.into()).or_default();
        seats.push_back(seat);
        if limit > 0 && seats.len() > limit { seats.pop_front() } else { None }
    }

    fn leave(&self, user: &str, sid: Id) {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seats) = users.get_mut(user) else { return };
        if let Some(place) = seats.iter().position(|seat| seat.1 == sid) {
            seats.remove(place);
        }
        if seats.is_empty() {
            users.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_connection_of_a_user_gives_way() {
        let presence = Presence::default();
        let ids: Vec<Id> = (0..4).map(|_| Id::random().unwrap()).collect();
        assert_eq!(presence.enter("a", (0, ids[0]), 2), None);
        assert_eq!(presence.enter("a", (1, ids[1]), 2), None);
        assert_eq!(presence.enter("b", (0, ids[2]), 2), None);
        assert_eq!(presence.enter("a", (0, ids[3]), 2), Some((0, ids[0])));
        presence.leave("a", ids[0]);
        presence.leave("a", ids[1]);
        presence.leave("a", ids[3]);
        presence.leave("b", ids[2]);
        assert!(presence.0.lock().unwrap().is_empty());
    }
}
