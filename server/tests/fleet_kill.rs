//! A gateway that is killed takes nobody's session with it: its viewers go on, on another one, as if nothing had been.

#![allow(clippy::print_stderr, reason = "figures")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use fleet::{
    Fleet, Gateway,
    checker::{Checker, Log, first},
    crowd::{Acked, Client, Route, Seen},
};
use serde_json::json;
use support::{PATIENCE, token};

/// Clients of the test with the crowd.
const CROWD: usize = 200;
/// 99 of 100 clients are back after this time.
const BACK: Duration = Duration::from_secs(10);
/// Viewers of a gateway that was killed are not counted any more after this time.
const GHOSTS: Duration = Duration::from_secs(30);
/// Who leaves is not counted any more after this time.
const GONE: Duration = Duration::from_secs(5);

/// A supplier who has started the stream.
async fn supplier(gateway: &Gateway) -> Client {
    let supplier = Client::supplier(&Route::to([gateway.public]), &["main"]);
    let reply = supplier.call("stream:start", json!({ "stream": "main", "title": "Sale" })).await;
    assert_eq!(reply.as_ref().map(|reply| &reply["ok"]), Some(&json!(true)), "{reply:?}");
    supplier
}

/// Says something every `pause` until told to stop, and has each of it acknowledged.
async fn chat(client: Client, pause: Duration, stop: tokio::sync::watch::Receiver<bool>) -> (Client, Vec<Acked>) {
    let mut acked = Vec::new();
    while !*stop.borrow() {
        let text = format!("{} {}", client.name, acked.len());
        acked.push(client.say("main", &text, PATIENCE).await.expect("an answer"));
        tokio::time::sleep(pause).await;
    }
    (client, acked)
}

/// Waits until all of them have everything, and compares what they saw.
async fn compare(clients: &[Client], log: &Log) -> Checker {
    let mut checker = Checker::default();
    for client in clients {
        let there = || client.position("main").is_some_and(|(_, seq)| seq == log.seq);
        fleet::until(&format!("{} has everything", client.name), PATIENCE, there).await;
        checker.client(&client.name, &client.log());
    }
    checker.log("main", log);
    checker
}

fn is_connected_to(gateway: SocketAddr) -> impl Fn(&Seen) -> bool {
    move |seen| matches!(seen, Seen::Connected { gateway: to, .. } if *to == gateway)
}

/// The number of viewers that a client was told last.
fn viewers(client: &Client) -> Option<u64> {
    client.last("viewers")?["count"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_goes_on_elsewhere_when_its_gateway_is_killed() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateways = fleet.gateways(2, &[]).await;
    let both = [gateways[0].public, gateways[1].public];
    let _supplier = supplier(&gateways[1]).await;
    let route = Route::to(both);
    let mut clients: Vec<Client> =
        (0..CROWD).map(|number| Client::start(&format!("viewer {number}"), &route, &["main"])).collect();
    let senders: Vec<Client> =
        (0..4).map(|number| Client::start(&format!("sender {number}"), &route, &["main"])).collect();
    for client in clients.iter().chain(&senders) {
        client.joined(1).await;
    }
    let total = (CROWD + senders.len()) as u64;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let talk =
        senders.into_iter().map(|sender| tokio::spawn(chat(sender, Duration::from_millis(100), stopped.clone())));
    let talk: Vec<_> = talk.collect();
    fleet::until("everybody is counted", PATIENCE, || viewers(&clients[0]) == Some(total)).await;

    route.lead_to([both[1]]);
    let orphans: Vec<&Client> = clients.iter().filter(|client| client.count(is_connected_to(both[0])) > 0).collect();
    assert!(orphans.len() > CROWD / 3, "{} of {CROWD} clients on the gateway that is killed", orphans.len());
    let killed = Instant::now();
    gateways[0].kill();
    let back = |client: &Client| client.look(|log| first(log, killed, is_connected_to(both[1])));
    let enough = orphans.len() * 99 / 100;
    let took = fleet::until("99 of 100 are back", BACK, || {
        orphans.iter().filter(|client| back(client).is_some()).count() >= enough
    })
    .await;
    fleet::until("all are back", PATIENCE, || orphans.iter().all(|client| back(client).is_some())).await;
    let ghosts = GHOSTS.saturating_sub(killed.elapsed());
    fleet::until("ghosts are gone", ghosts, || clients.iter().all(|client| viewers(client) == Some(total))).await;
    let exact = killed.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.send_replace(true);
    let said: Vec<(Client, Vec<Acked>)> = futures::future::try_join_all(talk).await.unwrap();
    let (senders, acked): (Vec<Client>, Vec<Vec<Acked>>) = said.into_iter().unzip();
    let orphans = orphans.len();
    clients.extend(senders);
    let log = fleet.log("main");
    let mut checker = compare(&clients, &log).await;
    checker.acked("main", &log, &acked.concat());
    for client in &clients {
        let fresh = client.count(|seen| matches!(seen, Seen::Connected { recovered: false, .. }));
        assert_eq!(fresh, 1, "{} began anew", client.name);
    }
    let (peak, unique): (u64, u64) = fleet.redis.command("HMGET haat:{main}:audience p u");
    assert_eq!((peak, unique), (total, total), "nobody was ever there twice");
    eprintln!(
        "{orphans} orphans, 99% back after {took:?}, counted right after {exact:?}, {} said",
        acked.concat().len()
    );
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_is_not_counted_any_more() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let _supplier = supplier(&gateways[0]).await;
    let mut clients: Vec<Client> = (0..10)
        .map(|number| {
            let gateway = gateways[number % 2].public;
            Client::start(&format!("viewer {number}"), &Route::to([gateway]), &["main"])
        })
        .collect();
    fleet::until("all are counted", PATIENCE, || clients.iter().all(|client| viewers(client) == Some(10))).await;
    for client in clients.split_off(4) {
        client.leave().await;
    }
    let took = fleet::until("four are counted", GONE, || clients.iter().all(|client| viewers(client) == Some(4))).await;
    eprintln!("counted right {took:?} after six have left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_comes_back_to_its_own_user_only() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateways = fleet.gateways(2, &[]).await;
    let supplier = supplier(&gateways[1]).await;
    let (first, second) = (gateways[0].public, gateways[1].public);
    let mut asha = support::Client::connect(first, &json!({ "token": token("asha", "viewer", &[]) })).await;
    asha.join("main").await;
    let session = asha.connected.clone();
    supplier.call("stream:update", json!({ "stream": "main", "title": "Missed" })).await.expect("an answer");
    let offset = asha.event("stream:updated").await.pop().expect("an offset");
    gateways[0].kill();
    supplier.call("stream:update", json!({ "stream": "main", "title": "Missed too" })).await.expect("an answer");

    let back = |auth: serde_json::Value| {
        let (mut auth, pid, offset) = (auth, session["pid"].clone(), offset.clone());
        (auth["pid"], auth["offset"]) = (pid, offset);
        async move { support::Client::connect(second, &auth).await }
    };
    let old = support::now() - 3600;
    let strangers = [
        json!({ "token": token("ravi", "viewer", &[]) }),
        json!({ "token": token("ravi", "supplier", &["*"]) }),
        json!({}),
        json!({ "token": null }),
        json!({ "token": support::token_until("asha", "viewer", &[], old) }),
        json!({ "token": "asha" }),
    ];
    for auth in strangers {
        let client = back(auth.clone()).await;
        assert_ne!(client.connected["pid"], session["pid"], "{auth}");
        assert_ne!(client.connected["sid"], session["sid"], "{auth}");
        assert!(client.events.is_empty(), "{auth}: {:?}", client.events);
    }
    // And after all that it is still there for her.
    let mut asha = back(json!({ "token": token("asha", "viewer", &[]) })).await;
    assert_eq!((&asha.connected["pid"], &asha.connected["sid"]), (&session["pid"], &session["sid"]));
    let missed = asha.event("stream:updated").await;
    assert_eq!(missed[0]["state"]["title"], "Missed too");
    let said = support::Client::say(&mut asha, "main", "I am back").await;
    assert_eq!(asha.event("chat:message").await[0]["id"], said["id"]);
}
