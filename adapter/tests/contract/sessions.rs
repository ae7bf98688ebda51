//! A session comes back wherever its connection does.

use std::time::Duration;

use haat_adapter::{SavedSession, SessionRoom};
use haat_protocol::Id;

use super::fleet::Fleet;

/// Some of it passes for real: there is time left for a busy machine.
const TTL: Duration = Duration::from_secs(6);

fn session(user: &str) -> SavedSession {
    let room = |room: &str, epoch: &str, seq| SessionRoom { room: room.to_owned(), epoch: epoch.to_owned(), seq };
    SavedSession {
        sid: "aBcDeFgHiJkLmNoPqRsT".to_owned(),
        namespace: "/".to_owned(),
        user: user.to_owned(),
        gateway: "gateway-0".to_owned(),
        slow: (2, 1_795_661_088_771),
        rooms: vec![room("stream:spring", "aB_-1234", u64::MAX), room("user:añá", "", 0)],
    }
}

pub(crate) async fn come_back_on_any_gateway(fleet: Fleet) {
    let (pid, other) = (Id::random().unwrap(), Id::random().unwrap());
    fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
    for gateway in &fleet.gateways {
        assert_eq!(gateway.store.session(pid).await, Ok(Some(session("ana"))));
        assert_eq!(gateway.store.session(other).await, Ok(None));
    }
}

pub(crate) async fn stay_after_they_were_read(fleet: Fleet) {
    let pid = Id::random().unwrap();
    fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
    for _ in 0..3 {
        assert_eq!(fleet.store().session(pid).await, Ok(Some(session("ana"))));
    }
}

pub(crate) async fn are_replaced(fleet: Fleet) {
    let pid = Id::random().unwrap();
    fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
    let empty = SavedSession::default();
    fleet.gateways[1].store.save_session(pid, Some(empty.clone()), TTL).await.unwrap();
    assert_eq!(fleet.store().session(pid).await, Ok(Some(empty)));
}

pub(crate) async fn are_forgotten(fleet: Fleet) {
    let pid = Id::random().unwrap();
    fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
    fleet.gateways[1].store.save_session(pid, None, TTL).await.unwrap();
    assert_eq!(fleet.store().session(pid).await, Ok(None));
    assert_eq!(fleet.store().save_session(pid, None, TTL).await, Ok(()));
}

pub(crate) async fn expire(fleet: Fleet) {
    let pid = Id::random().unwrap();
    fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
    (fleet.pass)(TTL / 4).await;
    assert_eq!(fleet.store().session(pid).await, Ok(Some(session("ana"))));
    (fleet.pass)(TTL).await;
    assert_eq!(fleet.store().session(pid).await, Ok(None));
}

pub(crate) async fn live_on_when_saved_again(fleet: Fleet) {
    let pid = Id::random().unwrap();
    for _ in 0..3 {
        fleet.store().save_session(pid, Some(session("ana")), TTL).await.unwrap();
        (fleet.pass)(2 * TTL / 5).await;
    }
    assert_eq!(fleet.store().session(pid).await, Ok(Some(session("ana"))));
}
