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
    Fleet,
    checker::first,
    crowd::{Client, Route, Seen},
    show::{STREAM, Show, losses, resets, supplier},
    until, until_async,
};
use serde_json::json;
use support::{PATIENCE, token};

/// Clients of the test with the crowd.
const CROWD: usize = 200;
/// 99 of 100 clients are back after this time. This and the next two are promises.
const BACK: Duration = Duration::from_secs(10);
/// Viewers of a gateway that was killed are not counted any more after this time.
const GHOSTS: Duration = Duration::from_secs(30);
/// Who leaves is not counted any more after this time.
const GONE: Duration = Duration::from_secs(5);
/// How long something goes on after it has failed.
const AWHILE: Duration = Duration::from_secs(2);

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
    let (dies, lives) = (Route::to([both[0]]), Route::to([both[1]]));
    let show = Show::begin(&[lives.clone(), dies.clone()], CROWD / 2, 2).await;
    let total = CROWD as u64 + 4;
    let count = || show.viewers.iter().all(|client| viewers(client) == Some(total));
    until("everybody is counted", PATIENCE, count).await;

    let orphans: Vec<&Client> =
        show.viewers.iter().filter(|client| client.count(is_connected_to(both[0])) > 0).collect();
    assert_eq!(orphans.len(), CROWD / 2);
    dies.lead_to([both[1]]);
    let killed = Instant::now();
    gateways[0].kill();
    let back = |client: &Client| client.look(|log| first(log, killed, is_connected_to(both[1])));
    let enough = orphans.len() * 99 / 100;
    let most = || orphans.iter().filter(|client| back(client).is_some()).count() >= enough;
    let took = until("99 of 100 are back", BACK, most).await;
    until("all are back", PATIENCE, || orphans.iter().all(|client| back(client).is_some())).await;
    until("ghosts are gone", GHOSTS.saturating_sub(killed.elapsed()), count).await;
    let exact = killed.elapsed();
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        let fresh = client.count(|seen| matches!(seen, Seen::Connected { recovered: false, .. }));
        assert_eq!((fresh, resets(client)), (1, 0), "{} began anew", client.name);
    }
    let (peak, unique): (u64, u64) = fleet.redis.command("HMGET haat:{main}:audience p u");
    assert_eq!((peak, unique), (total, total), "nobody was ever there twice");
    eprintln!("99% back after {took:?}, counted right after {exact:?}, {} said", ended.acked.len());
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_a_gateway_that_dies_while_redis_is_away() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateways = fleet.gateways(2, &[]).await;
    let both = [gateways[0].public, gateways[1].public];
    let (dies, lives) = (Route::to([both[0]]), Route::to([both[1]]));
    let show = Show::begin(&[lives, dies.clone()], 10, 1).await;
    show.flows(PATIENCE).await;
    let mut redis = fleet.redis.connection();
    let sleep = std::thread::spawn(move || redis::cmd("DEBUG").arg("SLEEP").arg("2.5").exec(&mut redis));
    dies.lead_to([both[1]]);
    gateways[0].kill();
    show.flows(PATIENCE).await;
    sleep.join().unwrap().unwrap();
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        let fresh = client.count(|seen| matches!(seen, Seen::Connected { recovered: false, .. }));
        assert_eq!((fresh, resets(client)), (1, 0), "{} began anew", client.name);
    }
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_is_not_counted_any_more() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let _supplier = supplier(&Route::to([gateways[0].public])).await;
    let mut clients: Vec<Client> = (0..10)
        .map(|number| {
            let gateway = gateways[number % 2].public;
            Client::start(&format!("viewer {number}"), &Route::to([gateway]), &["main"])
        })
        .collect();
    until("all are counted", PATIENCE, || clients.iter().all(|client| viewers(client) == Some(10))).await;
    for client in clients.split_off(4) {
        client.leave().await;
    }
    let took = until("four are counted", GONE, || clients.iter().all(|client| viewers(client) == Some(4))).await;
    eprintln!("counted right {took:?} after six have left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_comes_back_to_its_own_user_only() {
    let Some(fleet) = Fleet::start().await else { return };
    let mut gateways = fleet.gateways(2, &[]).await;
    let supplier = supplier(&Route::to([gateways[1].public])).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_paused_lets_go_of_those_who_have_gone_elsewhere() {
    let Some(fleet) = Fleet::start().await else { return };
    let impatient = [("HAAT_ENGINE_PING_INTERVAL_SECONDS", "1"), ("HAAT_ENGINE_PING_TIMEOUT_SECONDS", "2")];
    let gateways = fleet.gateways(2, &impatient).await;
    let routes = [0, 1].map(|place| Route::to([gateways[place].public]));
    let show = Show::begin(&[routes[1].clone()], 4, 2).await;
    let orphans: Vec<Client> =
        (0..10).map(|number| Client::start(&format!("orphan {number}"), &routes[0], &[STREAM])).collect();
    for client in &orphans {
        client.joined(1).await;
    }
    let everybody = || orphans.iter().chain(&show.viewers);
    let total = 4 + 2 + 10;
    until("all are counted", PATIENCE, || everybody().all(|client| viewers(client) == Some(total))).await;
    gateways[0].signal("STOP");
    routes[0].lead_to([gateways[1].public]);
    let back = |client: &Client| client.count(|seen| matches!(seen, Seen::Connected { recovered: true, .. })) == 1;
    until("all have gone elsewhere", PATIENCE, || orphans.iter().all(back)).await;
    until("nobody is counted twice", GONE, || everybody().all(|client| viewers(client) == Some(total))).await;
    gateways[0].signal("CONT");
    until_async("it holds nobody any more", PATIENCE, async || gateways[0].metric("haat_sessions").await == 0.0).await;
    show.flows(PATIENCE).await;
    until("the count is right", GONE, || everybody().all(|client| viewers(client) == Some(total))).await;
    let mut ended = show.end().await;
    ended.viewers.extend(orphans);
    let checker = ended.compare(&fleet, None).await;
    assert!(ended.viewers.iter().all(|client| resets(client) == 0 && losses(client) <= 1));
    checker.content();
}
