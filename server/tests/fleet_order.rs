//! Gateways of one fleet are one server: what anybody says on any of them, everybody sees in one order.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{ops::Range, time::Duration};

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

/// Says these numbers, one after the other.
async fn say_all(client: Client, stream: &'static str, numbers: Range<usize>) -> (Client, Vec<Acked>) {
    let mut acked = Vec::new();
    for number in numbers {
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
    let said = senders.into_iter().map(|sender| tokio::spawn(say_all(sender, "main", 0..50)));
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

/// Messages of others that have reached a gateway. Those that it sends to itself show that everything before has arrived.
async fn received(gateway: &Gateway) -> f64 {
    let own = async || gateway.metrics().await[r#"haat_redis_received_total{kind="own"}"#];
    let before = own().await;
    while own().await < before + 2.0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.metrics().await[r#"haat_redis_received_total{kind="message"}"#]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_gets_nothing_of_streams_that_nobody_there_watches() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let _supplier = supplier(&gateways[0], &["main", "other"]).await;
    let client =
        |name: &str, place: usize, stream| Client::start(name, &Route::to([gateways[place].public]), &[stream]);
    let (loud, quiet) = (client("loud", 0, "main"), client("quiet", 1, "other"));
    loud.joined(1).await;
    quiet.joined(1).await;
    let channels = async || gateways[1].metric("haat_redis_channels").await;
    let (before, listened) = (received(&gateways[1]).await, channels().await);
    let (loud, _) = say_all(loud, "main", 0..100).await;
    assert_eq!(received(&gateways[1]).await, before, "nobody there watches");

    let guest = client("guest", 1, "main");
    guest.joined(1).await;
    let (loud, _) = say_all(loud, "main", 100..200).await;
    assert!(received(&gateways[1]).await > before, "now somebody does");
    let everything = Some((fleet.log("main").epoch, 201));
    fleet::until("the guest has everything", PATIENCE, || guest.position("main") == everything).await;
    guest.leave().await;
    fleet::until_async("the stream is left for good", PATIENCE, async || channels().await == listened).await;
    let before = received(&gateways[1]).await;
    say_all(loud, "main", 200..300).await;
    assert_eq!(received(&gateways[1]).await, before, "nobody there watches any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_shows_how_its_way_to_redis_is() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateway = fleet.gateway(&[]).await;
    let _supplier = supplier(&gateway, &["main"]).await;
    received(&gateway).await;
    let metrics = gateway.metrics().await;
    let one = |name: &str| metrics.get(name).copied().unwrap_or_else(|| panic!("there is no {name}"));
    assert_eq!(one("haat_redis_up"), 1.0);
    assert_eq!(one(r#"haat_redis_connections_total{link="commands"}"#), 1.0);
    assert_eq!(one(r#"haat_redis_connections_total{link="listener"}"#), 1.0);
    assert!((0.0..4.0).contains(&one("haat_redis_silence_seconds")));
    for reason in ["unclear", "unasked", "unserved", "unspeakable", "queue_full", "stale", "failed"] {
        assert_eq!(one(&format!(r#"haat_redis_dropped_total{{reason="{reason}"}}"#)), 0.0);
    }
    for name in ["haat_redis_deaf_total", "haat_redis_rewound_streams_total", "haat_redis_queued_messages"] {
        assert_eq!(one(name), 0.0);
    }
    let () = fleet.redis.command("CLIENT KILL TYPE pubsub");
    fleet::until_async("a new connection", PATIENCE, async || {
        gateway.metric(r#"haat_redis_connections_total"#).await == 3.0
    })
    .await;
    received(&gateway).await;
    assert_eq!(gateway.metric("haat_redis_up").await, 1.0);
}
