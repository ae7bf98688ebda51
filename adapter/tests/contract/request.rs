//! A question goes to every other gateway, and its asker learns who did not answer.

use std::time::Duration;

use haat_adapter::{Replies, Request};
use serde_json::{Value, json};

use super::fleet::{Fleet, Manner, target, to_room};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(500);

fn question() -> Request {
    Request::FetchSockets(target(&["red"]))
}

fn answer(fleet: &Fleet, gateway: usize, manner: Manner) {
    *fleet.gateways[gateway].heard.manner.lock().unwrap() = manner;
}

fn sorted(replies: Replies) -> Vec<Vec<Value>> {
    let mut answers = replies.answers;
    answers.sort_by_key(Vec::len);
    answers
}

pub(crate) async fn collects_the_answer_of_every_other_gateway(fleet: Fleet) {
    answer(&fleet, 1, Manner::Answers(vec![json!({"id": "a"}), json!(1)]));
    answer(&fleet, 2, Manner::Answers(vec![]));
    let requests = [
        question(),
        Request::BroadcastAck(to_room("red", "hi")),
        Request::ServerSideEmit { namespace: "/".to_owned(), args: r#"["ping"]"#.to_owned(), ack: true },
    ];
    for request in &requests {
        let replies = fleet.gateways[0].adapter.request(request.clone(), LONG).await.unwrap();
        assert_eq!(sorted(replies), [vec![], vec![json!({"id": "a"}), json!(1)]]);
    }
    for gateway in &fleet.gateways[1..] {
        assert_eq!(gateway.heard.requests(3).await, requests);
    }
    let asker = fleet.gateways[0].heard.until(|_| true, |heard| heard.requests.len()).await;
    assert_eq!(asker, 0);
}

pub(crate) async fn names_those_that_did_not_answer_in_time(fleet: Fleet) {
    answer(&fleet, 1, Manner::Answers(vec![json!(1)]));
    answer(&fleet, 2, Manner::Keeps);
    let started = tokio::time::Instant::now();
    let error = fleet.gateways[0].adapter.request(question(), SHORT).await.unwrap_err();
    assert!(started.elapsed() >= SHORT);
    assert_eq!((error.expected, error.partial.answers.clone()), (2, vec![vec![json!(1)]]));
    assert_eq!(error.to_string(), "1 of 2 gateways answered in time");
}

pub(crate) async fn counts_a_dropped_reply_as_no_answer(fleet: Fleet) {
    answer(&fleet, 1, Manner::Drops);
    answer(&fleet, 2, Manner::Answers(vec![json!(2)]));
    let error = fleet.gateways[0].adapter.request(question(), SHORT).await.unwrap_err();
    assert_eq!((error.expected, error.partial.answers), (2, vec![vec![json!(2)]]));
}

pub(crate) async fn that_orders_returns_at_once(fleet: Fleet) {
    let orders = [
        Request::Join(target(&["red"]), vec!["blue".to_owned()]),
        Request::Leave(target(&["red"]), vec!["blue".to_owned()]),
        Request::Disconnect { target: target(&["red"]), close: true },
        Request::ServerSideEmit { namespace: "/".to_owned(), args: r#"["ping"]"#.to_owned(), ack: false },
    ];
    let started = tokio::time::Instant::now();
    for order in &orders {
        assert_eq!(fleet.gateways[0].adapter.request(order.clone(), LONG).await.unwrap(), Replies::default());
    }
    assert!(started.elapsed() < LONG);
    for gateway in &fleet.gateways[1..] {
        assert_eq!(gateway.heard.requests(4).await, orders);
    }
}

pub(crate) async fn reaches_nobody_alone(fleet: Fleet) {
    for gateway in &fleet.gateways[1..] {
        gateway.adapter.close().await;
        gateway.adapter.close().await;
    }
    let replies = fleet.gateways[0].adapter.request(question(), LONG).await.unwrap();
    assert_eq!(replies, Replies::default());
}
