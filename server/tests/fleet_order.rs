//! Gateways of one fleet are one server: what anybody says on any of them, everybody sees in one order.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use fleet::{
    Fleet, Gateway,
    checker::Checker,
    crowd::{Acked, Client, Route},
};
use serde_json::json;
use support::PATIENCE;

/// A supplier who has started the streams.
async fn supplier(gateway: &Gateway, streams: &[&str]) -> Client {
    let supplier = Client::supplier(&Route::to([gateway.public]), streams);
    for stream in streams {
        let reply = supplier.call("stream:start", json!({ "stream": stream, "title": "Sale" })).await;
        assert_eq!(reply.as_ref().map(|reply| &reply["ok"]), Some(&json!(true)), "{reply:?}");
    }
    supplier
}

/// Says so many things, one after the other.
async fn say_all(client: Client, stream: &'static str, count: usize) -> (Client, Vec<Acked>) {
    let mut acked = Vec::new();
    for number in 0..count {
        let text = format!("{} {number}", client.name);
        acked.push(client.say(stream, &text, PATIENCE).await.expect("an answer"));
    }
    (client, acked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_senders_on_two_gateways_are_seen_in_one_order() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let _supplier = supplier(&gateways[0], &["main"]).await;
    let client = |name: String, place: usize| Client::start(&name, &Route::to([gateways[place % 2].public]), &["main"]);
    let viewers: Vec<Client> = (0..6).map(|number| client(format!("viewer {number}"), number)).collect();
    let senders: Vec<Client> = (0..4).map(|number| client(format!("sender {number}"), number)).collect();
    for client in viewers.iter().chain(&senders) {
        client.joined(1).await;
    }
    let said = senders.into_iter().map(|sender| tokio::spawn(say_all(sender, "main", 50)));
    let said: Vec<(Client, Vec<Acked>)> = futures::future::try_join_all(said).await.unwrap();
    let log = fleet.log("main");
    let (senders, acked): (Vec<Client>, Vec<Vec<Acked>>) = said.into_iter().unzip();
    let mut checker = Checker::default();
    for client in viewers.iter().chain(&senders) {
        let there = || client.position("main").is_some_and(|(_, seq)| seq == log.seq);
        fleet::until("everybody has everything", PATIENCE, there).await;
        checker.client(&client.name, &client.log());
    }
    checker.log("main", &log);
    checker.acked("main", &log, &acked.concat());
    assert_eq!(checker.messages, 10 * 200);
    checker.content();
}
