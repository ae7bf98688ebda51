//! While Redis is not well, nobody loses what can be had, everybody is told of what cannot, and all is as before when it is
//! over.

#![allow(clippy::print_stderr, reason = "figures")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::time::{Duration, Instant};

use fleet::{
    Fleet, Gateway,
    checker::Checker,
    crowd::{Client, Route, Seen},
    redis_server::proxy::{Proxy, Way},
    show::{STREAM, Show, events, losses, resets},
    until,
};
use serde_json::{Value, json};
use support::{PATIENCE, token};

/// How long a command may take when Redis does not answer: twice the 2 s that are promised.
const UNAVAILABLE: Duration = Duration::from_secs(4);
/// How soon a gateway that is cut off says that it is not ready, as is promised.
const RED: Duration = Duration::from_secs(5);
/// How soon its viewers are told: a second more than is promised.
const TOLD: Duration = Duration::from_secs(6);
/// How soon everything flows when Redis is back: twice the time that is promised.
const FLOWS: Duration = Duration::from_secs(10);
/// How long something goes on before and after it fails.
const AWHILE: Duration = Duration::from_secs(1);

fn routes(gateways: &[Gateway]) -> Vec<Route> {
    gateways.iter().map(|gateway| Route::to([gateway.public])).collect()
}

/// Whether anybody was told that the gateway is cut off, and that it is not any more: in this order, once each.
fn degraded(client: &Client) -> Vec<(bool, Value)> {
    client.look(|log| {
        let told = log.iter().filter_map(|line| match &line.seen {
            Seen::Event { name, body } if name == "server:degraded" => {
                Some((body["degraded"] == true, body["reason"].clone()))
            }
            _ => None,
        });
        told.collect()
    })
}

/// The longest answers of senders that were `unavailable`.
fn longest_unavailable(senders: &[Client]) -> Option<Duration> {
    let answers = senders.iter().flat_map(Client::answers);
    answers.filter(|(code, _)| code.as_deref() == Some("unavailable")).map(|(_, took)| took).max()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_a_new_epoch() {
    let Some(mut fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let show = Show::begin(&routes(&gateways), 10, 8).await;
    show.flows(PATIENCE).await;
    let epoch = fleet.log(STREAM).epoch;
    tokio::time::sleep(AWHILE).await;
    fleet.redis.kill();
    tokio::time::sleep(AWHILE).await;
    fleet.redis.start_again();
    let accepts = Instant::now();
    let flows = show.flows(FLOWS).await;
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    let log = fleet.log(STREAM);
    assert_ne!(log.epoch, epoch);
    let checker = ended.compare(&fleet, Some(accepts)).await;
    for client in ended.everybody() {
        assert_eq!((resets(client), losses(client)), (1, 0), "{}", client.name);
    }
    // Viewers and senders of both gateways, and none of them twice.
    let watching = 2 * (10 + 8);
    until("everybody is counted again", FLOWS, || {
        fleet.redis.command::<(u64, u64)>("HMGET haat:{main}:audience p u") == (watching, watching)
    })
    .await;
    let state = ended.supplier.call("stream:join", json!({ "stream": STREAM })).await.unwrap_or_default();
    assert_eq!((&state["state"]["title"], &state["state"]["status"]), (&json!("Sale"), &json!("live")), "{state}");
    assert_eq!(state["state"]["supplier"]["id"], "supplier");
    eprintln!("flows {flows:?} after redis accepts, {} said", ended.acked.len());
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_its_data_is_the_same() {
    let Some(mut fleet) = Fleet::with(&["--appendonly", "yes"]).await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let show = Show::begin(&routes(&gateways), 10, 2).await;
    show.flows(PATIENCE).await;
    let epoch = fleet.log(STREAM).epoch;
    tokio::time::sleep(AWHILE).await;
    fleet.redis.kill();
    tokio::time::sleep(AWHILE).await;
    fleet.redis.start_again();
    let flows = show.flows(FLOWS).await;
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    assert_eq!(fleet.log(STREAM).epoch, epoch);
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        assert_eq!((resets(client), losses(client)), (0, 0), "{}", client.name);
    }
    eprintln!("flows {flows:?} after redis accepts, {} said", ended.acked.len());
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_costs_nobody_a_connection() {
    const FROZEN: Duration = Duration::from_secs(5);
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let show = Show::begin(&routes(&gateways), 10, 2).await;
    show.flows(PATIENCE).await;
    let before: Vec<u64> = gateways.iter().map(Gateway::resident).collect();
    let connected = gateways[0].metric("haat_redis_connections_total").await;
    let mut redis = fleet.redis.connection();
    let begun = Instant::now();
    let sleep = std::thread::spawn(move || redis::cmd("DEBUG").arg("SLEEP").arg(FROZEN.as_secs()).exec(&mut redis));
    for gateway in &gateways {
        gateway.until_ready(false, RED.saturating_sub(begun.elapsed())).await;
    }
    let red = begun.elapsed();
    assert!(gateways[0].metric("haat_redis_queued_messages").await <= 8192.0);
    tokio::time::sleep(FROZEN.saturating_sub(begun.elapsed())).await;
    sleep.join().unwrap().unwrap();
    let thawed = Instant::now();
    for gateway in &gateways {
        gateway.until_ready(true, FLOWS).await;
    }
    let green = thawed.elapsed();
    let flows = show.flows(FLOWS).await;
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        assert_eq!((resets(client), losses(client)), (0, 0), "{}", client.name);
    }
    let longest = longest_unavailable(&ended.senders).expect("somebody was told");
    assert!(longest < UNAVAILABLE, "an answer took {longest:?}");
    for (gateway, before) in gateways.iter().zip(before) {
        assert!(gateway.resident() < before + (32 << 20), "{} bytes, {before} before", gateway.resident());
    }
    let connections = gateways[0].metric("haat_redis_connections_total").await - connected;
    assert!(connections <= 2.0 * 2.0 * FROZEN.as_secs_f64(), "{connections} connections");
    eprintln!("red after {red:?}, longest answer {longest:?}, green {green:?} and flows {flows:?} after the thaw");
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_are_killed_every_second_miss_nothing() {
    const TIMES: u32 = 10;
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let show = Show::begin(&routes(&gateways), 10, 2).await;
    show.flows(PATIENCE).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..TIMES {
        ticks.tick().await;
        let () = fleet.redis.command("CLIENT KILL TYPE pubsub");
    }
    let flows = show.flows(FLOWS).await;
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        assert_eq!((resets(client), losses(client), events(client, "server:degraded")), (0, 0, 0), "{}", client.name);
    }
    for gateway in &gateways {
        let connections = gateway.metric("haat_redis_connections_total").await;
        assert!((4.0..=2.0 + 2.0 * f64::from(TIMES)).contains(&connections), "{connections} connections");
    }
    eprintln!("flows {flows:?} after the last kill, {} said", ended.acked.len());
    checker.content();
}

/// One gateway of two loses its way to Redis for ten seconds.
async fn black_hole(up: Way, down: Way) {
    const LASTS: Duration = Duration::from_secs(10);
    let Some(fleet) = Fleet::start().await else { return };
    let proxy = Proxy::start(fleet.redis.port).await;
    let gateways = [Gateway::start(&proxy.url(), &[]).await, fleet.gateway(&[]).await];
    let routes = routes(&gateways);
    let show = Show::begin(&routes, 10, 2).await;
    show.flows(PATIENCE).await;
    let begun = Instant::now();
    proxy.set(up, down);
    gateways[0].until_ready(false, RED).await;
    let red = begun.elapsed();
    let (cut_off, others): (Vec<&Client>, Vec<&Client>) =
        show.viewers.iter().partition(|viewer| viewer.name.starts_with("viewer 0"));
    let yes = (true, json!("cut_off"));
    until("the viewers there are told", TOLD.saturating_sub(begun.elapsed()), || {
        cut_off.iter().all(|viewer| degraded(viewer) == [yes.clone()])
    })
    .await;
    let told = begun.elapsed();
    let late = Client::with("late", &routes[0], &[STREAM], json!({ "token": token("late", "viewer", &[]) }));
    until("who comes later is told as well", PATIENCE, || degraded(&late) == [yes.clone()]).await;
    tokio::time::sleep(LASTS.saturating_sub(begun.elapsed())).await;
    assert_eq!(gateways[1].is_ready().await, Some(true));
    let seen = |viewer: &&Client| viewer.look(|log| log.iter().filter(|line| line.at > begun + LASTS / 2).count());
    assert!(others.iter().all(|viewer| seen(viewer) > 10), "the other gateway goes on");
    proxy.set(Way::Pass, Way::Pass);
    let flows = show.flows(FLOWS).await;
    gateways[0].until_ready(true, FLOWS).await;
    let no = (false, Value::Null);
    until("the viewers are told that it is over", TOLD, || {
        show.viewers.iter().filter(|viewer| degraded(viewer) == [yes.clone(), no.clone()]).count() == 10
            && degraded(&late) == [yes.clone(), no.clone()]
    })
    .await;
    tokio::time::sleep(AWHILE).await;
    let ended = show.end().await;
    let checker = ended.compare(&fleet, None).await;
    for client in ended.everybody() {
        assert_eq!((resets(client), losses(client)), (0, 0), "{}", client.name);
    }
    assert!(
        ended
            .viewers
            .iter()
            .filter(|viewer| viewer.name.starts_with("viewer 1"))
            .all(|viewer| degraded(viewer).is_empty())
    );
    let longest = longest_unavailable(&ended.senders).expect("somebody was told");
    assert!(longest < UNAVAILABLE, "an answer took {longest:?}");
    eprintln!("red after {red:?}, told after {told:?}, longest answer {longest:?}, flows {flows:?} after it is over");
    checker.content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_says_so_and_catches_up() {
    black_hole(Way::Swallow, Way::Swallow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_gets_no_answers_says_nothing_twice() {
    black_hole(Way::Pass, Way::Swallow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_redis_cuts_off_for_its_backlog_misses_nothing() {
    const STREAMS: [&str; 2] = ["main", "other"];
    let limit = ["--client-output-buffer-limit", "pubsub", "64kb", "32kb", "1"];
    let Some(fleet) = Fleet::with(&limit).await else { return };
    // What is caught up comes in one piece, and is not what this is about.
    let gateways = fleet.gateways(2, &[("HAAT_OUTBOX_MAX_BYTES", "67108864")]).await;
    let supplier = Client::supplier(&Route::to([gateways[1].public]), &STREAMS);
    for stream in STREAMS {
        supplier.call("stream:start", json!({ "stream": stream, "title": "Sale" })).await.expect("an answer");
    }
    let viewers =
        [0, 1].map(|place| Client::start(&format!("{place}"), &Route::to([gateways[place].public]), &STREAMS));
    for client in viewers.iter().chain([&supplier]) {
        client.joined(STREAMS.len()).await;
    }
    let subscribers = || -> usize {
        let clients: String = fleet.redis.command("CLIENT LIST TYPE pubsub");
        clients.lines().count()
    };
    assert_eq!(subscribers(), 2);
    gateways[0].signal("STOP");
    // What the kernel keeps for the gateway has to be full before Redis notices.
    for number in 0..150 {
        for stream in STREAMS {
            let settings = json!({ "number": number, "filling": "x".repeat(8000) });
            let reply = supplier.call("stream:update", json!({ "stream": stream, "settings": settings })).await;
            assert_eq!(reply.unwrap_or_default()["ok"], true);
        }
    }
    until("redis has cut it off", PATIENCE, || subscribers() == 1).await;
    gateways[0].signal("CONT");
    let mut checker = Checker::default();
    for client in viewers.iter().chain([&supplier]) {
        for stream in STREAMS {
            let log = fleet.log(stream);
            until("everybody has everything", PATIENCE, || {
                client.position(stream) == Some((log.epoch.clone(), log.seq))
            })
            .await;
        }
        assert_eq!((resets(client), losses(client)), (0, 0), "{}", client.name);
        checker.client(&client.name, &client.log());
    }
    STREAMS.iter().for_each(|stream| checker.log(stream, &fleet.log(stream)));
    checker.content();
}
