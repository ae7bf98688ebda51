//! A gateway is killed in the midst of a sale, and the master of its Redis too, and everybody asks again at the other one: never one
//! too many, and whatever somebody was told is in the ledger, once.
//!
//! `HAAT_SEED` repeats a run; the seed is printed when one fails.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by it, and says how it went")]

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use fleet::{Fleet, Gateway, redis_server::sentinel::Guarded, until};
use haat_server::live::fair;
use serde_json::{Value, json};
use support::{
    Client,
    buyers::{self, Command, Told},
    fire, patiently, token,
};
use tokio::sync::watch;

/// How long a failover may take.
const FAILOVER: Duration = Duration::from_secs(60);
/// Spins of one user.
const SPINS: u64 = 2;
/// Prizes, and how often each can be won. The last one never ends, so that the wheel goes on after the others.
const PRIZES: [(&str, u64, Option<u64>); 3] = [("saree", 2, Some(20)), ("coupon", 8, Some(80)), ("thanks", 5, None)];

/// The supplier of `main`, who has started it, at a gateway that lives.
async fn host(gateway: &Gateway) -> Client {
    let auth = json!({ "token": token("supplier", "supplier", &["main"]) });
    let mut host = Client::connect(gateway.public, &auth).await;
    host.ok("stream:start", json!({ "title": "Sale" })).await;
    host.join("main").await;
    host
}

fn addresses(gateways: &[Gateway]) -> Vec<SocketAddr> {
    gateways.iter().map(|gateway| gateway.public).collect()
}

/// Lets everybody loose, and has something happen once some were told that they got something.
async fn sell(
    users: Vec<(u64, Vec<Command>)>,
    gateways: &[SocketAddr],
    seed: u64,
    disaster: impl AsyncFnOnce(),
) -> Told {
    let (good, after) = (Arc::new(watch::Sender::new(0)), 5 + fire::scatter(seed, 1) % 40);
    let (mut count, addresses) = (good.subscribe(), gateways.to_vec());
    let storm = tokio::spawn(async move { buyers::storm(users, &addresses, seed, &good).await });
    patiently("sale in its midst", count.wait_for(|count| *count >= after)).await.unwrap();
    assert!(!storm.is_finished(), "it is over already");
    disaster().await;
    let told = storm.await.unwrap();
    println!("{} times somebody asked again", told.again);
    assert!(told.again > 0, "nobody noticed");
    told
}

fn claims(seed: u64) -> Vec<(u64, Vec<Command>)> {
    let command = |(request, quantity): (String, u64)| {
        let body = json!({ "stream": "main", "drop": "d1", "quantity": quantity, "requestId": request });
        ("drop:claim", request, body)
    };
    fire::asks(seed).into_iter().map(|(user, asked)| (user, asked.into_iter().map(command).collect())).collect()
}

fn spins(seed: u64) -> Vec<(u64, Vec<Command>)> {
    let command = |(request, _): (String, u64)| {
        let body = json!({ "stream": "main", "wheel": "w1", "requestId": request });
        ("wheel:spin", request, body)
    };
    fire::asks(seed).into_iter().map(|(user, asked)| (user, asked.into_iter().map(command).collect())).collect()
}

/// The ledger as an order system reads it, `kind` and `data` of each record.
fn ledger(connection: &mut redis::Connection) -> Vec<(String, String, String)> {
    type Records = Vec<(String, HashMap<String, String>)>;
    let mut range = redis::cmd("XRANGE");
    range.arg("haat:{main}:ledger").arg("-").arg("+");
    let records: Records = range.query(connection).unwrap();
    let record = |(id, mut fields): (String, HashMap<String, String>)| {
        Some((id, fields.remove("kind")?, fields.remove("data")?))
    };
    records.into_iter().filter_map(record).collect()
}

fn of_kind(ledger: &[(String, String, String)], kind: &str) -> Vec<String> {
    ledger.iter().filter(|(_, of, _)| of == kind).map(|(_, _, data)| data.clone()).collect()
}

/// Opens the wheel.
async fn open_wheel(host: &mut Client) {
    let prizes = PRIZES.map(|(id, weight, stock)| match stock {
        Some(stock) => json!({ "id": id, "label": id, "weight": weight, "stock": stock }),
        None => json!({ "id": id, "label": id, "weight": weight }),
    });
    let wheel = json!({ "id": "w1", "title": "W", "prizes": prizes, "spinsPerUser": SPINS });
    host.ok("wheel:open", json!({ "wheel": wheel })).await;
}

/// The answers that users got, the spins in the ledger, and the bounds are one story. Spins, and how often each prize was given.
fn story_of_spins(
    ledger: &[(String, String, String)],
    told: &Told,
    codes: &[&str],
) -> (BTreeMap<String, Value>, HashMap<String, u64>) {
    let (mut by_request, mut spins) = (HashMap::<(String, String), String>::new(), BTreeMap::<String, Value>::new());
    let mut turns = HashMap::<String, u64>::new();
    for (user, request, answer) in &told.answers {
        if answer["ok"] != true {
            assert!(codes.contains(&answer["error"]["code"].as_str().unwrap()), "{answer}");
            continue;
        }
        let id = answer["spin"]["id"].as_str().unwrap().to_owned();
        let first = by_request.entry((user.clone(), request.clone())).or_insert_with(|| id.clone());
        assert_eq!(*first, id, "a repetition got another spin");
        if spins.insert(id, answer["spin"]["prize"].clone()).is_none() {
            *turns.entry(user.clone()).or_default() += 1;
        }
    }
    assert!(turns.values().all(|turns| *turns <= SPINS), "{turns:?}");
    let mut given = HashMap::<String, u64>::new();
    for prize in spins.values().filter_map(|prize| prize["id"].as_str()) {
        *given.entry(prize.to_owned()).or_default() += 1;
    }
    for (prize, _, stock) in PRIZES {
        let given = given.get(prize).copied().unwrap_or(0);
        assert!(stock.is_none_or(|stock| given <= stock), "{prize} was given {given} times");
    }
    let recorded = of_kind(ledger, "spin");
    let written: BTreeMap<String, Value> = recorded
        .iter()
        .map(|text| serde_json::from_str::<Value>(text).unwrap())
        .map(|spin| (spin["id"].as_str().unwrap().to_owned(), spin["prize"].clone()))
        .collect();
    assert_eq!(written.len(), recorded.len(), "each spin is there once");
    assert_eq!(written, spins, "the ledger has what the users were told");
    (spins, given)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_twice_when_a_gateway_is_killed() {
    let Some(fleet) = Fleet::start().await else { return };
    let seed = fire::seed();
    let mut gateways = fleet.gateways(2, &[]).await;
    let mut host = host(&gateways[1]).await;
    fire::open(&mut host).await;
    let told = sell(claims(seed), &addresses(&gateways), seed, async || gateways[0].kill()).await;
    let ledger = ledger(&mut fleet.redis.connection());
    fire::check(&of_kind(&ledger, "claim"), &told.answers);
    fire::close(&mut host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_won_twice_when_a_gateway_is_killed() {
    let Some(fleet) = Fleet::start().await else { return };
    let seed = fire::seed();
    let mut gateways = fleet.gateways(2, &[]).await;
    let mut host = host(&gateways[1]).await;
    open_wheel(&mut host).await;
    let told = sell(spins(seed), &addresses(&gateways), seed, async || gateways[0].kill()).await;
    host.ok("wheel:close", json!({ "wheel": "w1" })).await;
    let ledger = ledger(&mut fleet.redis.connection());
    let (spins, given) = story_of_spins(&ledger, &told, &["limit_reached"]);
    for (prize, _, stock) in PRIZES {
        assert!(stock.is_none_or(|stock| given.get(prize) == Some(&stock)), "not all of {prize}: {given:?}");
    }
    // And anybody can draw it again.
    let line = |(id, kind, data): &(String, String, String)| {
        format!("{}\n", json!({ "id": id, "kind": kind, "data": serde_json::from_str::<Value>(data).unwrap() }))
    };
    let proof = fair::verify(&ledger.iter().map(line).collect::<String>(), "w1").unwrap();
    assert_eq!((proof.openings, proof.spins), (1, spins.len()));
}

/// Two gateways on a master that its replica has to confirm sales for.
async fn guarded() -> (Guarded, Vec<Gateway>) {
    let guarded = Guarded::start();
    let variables = [("HAAT_LEDGER_WAIT_REPLICAS", "1")];
    let gateways =
        vec![Gateway::start(&guarded.url(), &variables).await, Gateway::start(&guarded.url(), &variables).await];
    (guarded, gateways)
}

/// The gateway dies, and the master; the replica takes its place, and it comes back as the replica.
async fn fail_over(gateway: &mut Gateway, guarded: &mut Guarded) {
    gateway.kill();
    guarded.servers[0].kill();
    until("the replica is the master", FAILOVER, || guarded.has_failed_over()).await;
    guarded.servers[0].start_again();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_twice_through_a_failover() {
    let Some(_turn) = Fleet::start().await else { return };
    let seed = fire::seed();
    let (mut guarded, mut gateways) = guarded().await;
    let mut host = host(&gateways[1]).await;
    fire::open(&mut host).await;
    let both = addresses(&gateways);
    let told = sell(claims(seed), &both, seed, async || fail_over(&mut gateways[0], &mut guarded).await).await;
    let ledger = ledger(&mut guarded.servers[1].connection());
    // Where the new master lacks something else that a gateway had seen, what was on sale is paused.
    let sold = fire::story(&of_kind(&ledger, "claim"), &told.answers, &["sold_out", "limit_reached", "paused"]);
    println!("{sold} units sold");
    assert!(sold > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_won_twice_through_a_failover() {
    let Some(_turn) = Fleet::start().await else { return };
    let seed = fire::seed();
    let (mut guarded, mut gateways) = guarded().await;
    let mut host = host(&gateways[1]).await;
    open_wheel(&mut host).await;
    let both = addresses(&gateways);
    let told = sell(spins(seed), &both, seed, async || fail_over(&mut gateways[0], &mut guarded).await).await;
    let ledger = ledger(&mut guarded.servers[1].connection());
    let (spins, given) = story_of_spins(&ledger, &told, &["limit_reached", "paused"]);
    println!("{} spins, {given:?}", spins.len());
    assert!(!spins.is_empty());
}
