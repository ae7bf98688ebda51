//! A broadcast reaches the other gateways that have somebody for it.
//!
//! That something did *not* arrive is read off a later broadcast that did: nothing overtakes.

use bytes::Bytes;
use haat_adapter::{Broadcast, Flags};

use super::fleet::{Fleet, event, target, to_room};

pub(crate) async fn reaches_the_other_gateways_that_want_it(fleet: Fleet) {
    for gateway in &fleet.gateways {
        gateway.join("/", "all");
    }
    fleet.gateways[1].join("/", "red");
    fleet.gateways[2].join("/shop", "red");
    let (red, all) = (to_room("red", "for red"), to_room("all", "for all"));
    for broadcast in [&red, &all] {
        assert_eq!(fleet.gateways[0].adapter.broadcast(broadcast.clone()), Ok(()));
    }
    // Rooms of a Cluster are at different masters: what is for two of them has no order.
    let mut heard = fleet.gateways[1].heard.broadcasts(2).await;
    heard.sort_unstable_by(|one, other| one.event.args.cmp(&other.event.args));
    assert_eq!(heard, [all.clone(), red]);
    assert_eq!(fleet.gateways[2].heard.broadcasts(1).await, std::slice::from_ref(&all));
    // Broadcasts of two gateways have no order but the one that one of them waits for.
    let back = to_room("all", "back");
    fleet.gateways[1].adapter.broadcast(back.clone()).unwrap();
    assert_eq!(fleet.gateways[2].heard.broadcasts(2).await, [all, back.clone()]);
    assert_eq!(fleet.gateways[0].heard.broadcasts(1).await, [back]);
}

pub(crate) async fn without_rooms_reaches_all_others(fleet: Fleet) {
    let everyone = Broadcast { target: target(&[]), ..to_room("", "for everyone") };
    fleet.gateways[2].adapter.broadcast(everyone.clone()).unwrap();
    for gateway in &fleet.gateways[..2] {
        assert_eq!(gateway.heard.broadcasts(1).await, std::slice::from_ref(&everyone));
    }
}

pub(crate) async fn carries_bytes_and_exceptions(fleet: Fleet) {
    fleet.gateways[1].join("/", "red");
    let mut broadcast = Broadcast { flags: Flags { volatile: true }, ..to_room("red", "") };
    broadcast.target = target(&["blue", "red"]);
    broadcast.target.except = vec!["aBcDeFgHiJkLmNoPqRsT".to_owned()];
    broadcast.event = event("with bytes");
    broadcast.event.args = r#"["photo",{"_placeholder":true,"num":0},"añá"]"#.to_owned();
    broadcast.event.attachments = vec![Bytes::from_static(&[0, 255, 30, 10])];
    fleet.gateways[0].adapter.broadcast(broadcast.clone()).unwrap();
    assert_eq!(fleet.gateways[1].heard.broadcasts(1).await, [broadcast]);
}

pub(crate) async fn keeps_its_order(fleet: Fleet) {
    fleet.gateways[1].join("/", "red");
    let sent: Vec<_> = (0..500).map(|index| to_room("red", &index.to_string())).collect();
    for broadcast in &sent {
        fleet.gateways[0].adapter.broadcast(broadcast.clone()).unwrap();
    }
    assert_eq!(fleet.gateways[1].heard.broadcasts(sent.len()).await, sent);
}
