//! A client may hang up in the moment in which its POST is announced to the shard of its session, before that has agreed.
//! The shard went on waiting for the body, and took the next POST for a second one at the same time.

mod support;

use std::sync::Arc;

use haat_protocol::SessionId;
use haat_server::{
    gateway::Gateway,
    hub::mailbox::{Mail, Poll},
};
use support::{
    echo::{SOCKET_IO, plan},
    patiently,
    polling::sid_of,
    wire::Wire,
};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_post_whose_client_has_hung_up_ends_the_session_at_once() {
    let plan = plan();
    let (hub, mailboxes) = Gateway::hub(&plan);
    let gateway = Gateway::start(&plan, hub.clone(), mailboxes, Arc::new(|_, _, _| {})).unwrap();
    let mut wire = Wire::connect(gateway.address()).await;
    let sid = sid_of(&wire.ask("GET", &format!("{SOCKET_IO}polling"), "").await.body);
    let session = format!("{SOCKET_IO}polling&sid={sid}");
    let sid = SessionId::parse(&sid).unwrap();
    let (answer, hung_up) = oneshot::channel();
    drop(hung_up);
    hub.send(sid.place().1, Mail::Poll(sid, Poll::PostBegin(answer))).unwrap();
    // A poll of a session that goes on would wait.
    let gone = async { while wire.ask("GET", &session, "").await.status == 200 {} };
    patiently("end of the session", gone).await;
    assert_eq!(wire.ask("GET", &session, "").await.body, r#"{"code":1,"message":"Session ID unknown"}"#);
    gateway.stop().await;
}
