//! A new version goes out while the show goes on: gateways are replaced one after the other, and nobody misses anything.

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
    crowd::{Client, Route, Seen},
    redis_server::proxy::{Proxy, Way},
    show::{STREAM, Show, events, resets, supplier},
    until,
};
use serde_json::json;
use support::PATIENCE;

/// How long a gateway may take to move its clients away.
const DRAIN: Duration = Duration::from_secs(5);

/// Where clients are connected at present.
fn place(client: &Client) -> Option<SocketAddr> {
    client.look(|log| {
        log.iter().rev().find_map(|line| match &line.seen {
            Seen::Connected { gateway, .. } => Some(Some(*gateway)),
            Seen::Lost => Some(None),
            _ => None,
        })
    })?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_deploy_is_not_noticed() {
    let Some(fleet) = Fleet::start().await else { return };
    let variables = [("HAAT_DRAIN_SECONDS", "5")];
    let mut gateways = fleet.gateways(3, &variables).await;
    let addresses = |gateways: &[Gateway]| gateways.iter().map(|gateway| gateway.public).collect::<Vec<_>>();
    let route = Route::to(addresses(&gateways));
    let show = Show::begin(std::slice::from_ref(&route), 60, 6).await;
    show.flows(PATIENCE).await;
    let mut drains = Vec::new();
    for _ in 0..3 {
        let mut old = gateways.remove(0);
        gateways.push(fleet.gateway(&variables).await);
        // The load balancer takes its time: it leads to the old one until that has ended.
        route.lead_to(addresses(&gateways).into_iter().chain([old.public]));
        let begun = Instant::now();
        old.signal("TERM");
        old.until_ready(false, PATIENCE).await;
        let told = |client: &&Client| place(client) != Some(old.public) || events(client, "server:draining") > 0;
        until("its clients are told", PATIENCE, || show.viewers.iter().all(|client| told(&client))).await;
        // Sooner than one that takes the time it has by default.
        let status = old.ended(DRAIN + PATIENCE).await;
        route.lead_to(addresses(&gateways));
        drains.push(begun.elapsed());
        assert_eq!(status.code(), Some(0));
        let here = addresses(&gateways);
        let elsewhere = |client: &Client| place(client).is_some_and(|place| here.contains(&place));
        until("everybody is elsewhere", PATIENCE, || show.viewers.iter().all(elsewhere)).await;
    }
    show.flows(PATIENCE).await;
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        let fresh = client.count(|seen| matches!(seen, Seen::Connected { recovered: false, .. }));
        assert_eq!((fresh, resets(client)), (1, 0), "{} began anew", client.name);
    }
    let moves: usize =
        ended.everybody().map(|client| client.count(|seen| matches!(seen, Seen::Connected { .. })) - 1).sum();
    let lost = ended.senders.iter().flat_map(Client::answers).filter(|(code, _)| code.as_deref() == Some("lost"));
    eprintln!("{} answers lost", lost.count());
    eprintln!("drains took {drains:?}, {moves} moves, {} said", ended.acked.len());
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_is_answered_before_the_goodbye() {
    let Some(fleet) = Fleet::start().await else { return };
    let proxy = Proxy::start(fleet.redis.port).await;
    // The first of ten clients has its turn after a tenth of the time, which is sooner than Redis is given up.
    let mut gateway = Gateway::start(&proxy.url(), &[("HAAT_DRAIN_SECONDS", "10"), ("HAAT_SHARDS", "1")]).await;
    let route = Route::to([gateway.public]);
    let first = supplier(&route).await;
    let others: Vec<Client> = (0..9).map(|number| Client::start(&format!("{number}"), &route, &[STREAM])).collect();
    for client in &others {
        client.joined(1).await;
    }
    proxy.set(Way::Swallow, Way::Swallow);
    let body = json!({ "stream": STREAM, "text": "Am I heard?" });
    let (answer, ()) = tokio::join!(first.call("chat:send", body), async { gateway.signal("TERM") });
    assert_eq!(answer.expect("an answer")["error"]["code"], "unavailable");
    assert_eq!(gateway.ended(PATIENCE).await.code(), Some(0));
}
