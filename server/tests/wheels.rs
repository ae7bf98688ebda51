//! Wheels: what is won is settled by a secret that is shown afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::collections::BTreeMap;

use haat_adapter::{
    Append, Market, Spin, Spun, Stake, Store,
    memory::{Engine, Limits},
};
use haat_server::live::fair;
use serde_json::{Value, json};
use support::World;

fn wheel(id: &str, prizes: Value) -> Value {
    json!({ "id": id, "title": "Lucky wheel", "prizes": prizes })
}

fn prize(id: &str, weight: u64, stock: Option<u64>) -> Value {
    let mut prize = json!({ "id": id, "label": format!("Prize {id}"), "weight": weight });
    if let Some(stock) = stock {
        prize["stock"] = json!(stock);
    }
    prize
}

/// The ledger of `main`, as the HTTP API gives it.
async fn ledger(engine: &Engine) -> Vec<Value> {
    let records = engine.ledger("main", "", 1_000_000).await.unwrap();
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let records = records.iter().map(|record| {
        json!({ "id": &*record.id, "kind": &*record.kind, "by": parse(&record.by), "data": parse(&record.data) })
    });
    records.collect()
}

fn text(records: &[Value]) -> String {
    json!({ "ok": true, "records": records }).to_string()
}

#[tokio::test]
async fn a_win_is_told_to_everybody_and_proven_afterwards() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    let mut watcher = other.viewer("watcher").await;
    let prizes = json!([prize("saree", 1, Some(2)), prize("coupon", 3, Some(4)), prize("sticker", 6, None)]);
    let mut described = wheel("w1", prizes);
    described["spinsPerUser"] = json!(2);
    let opened = host.ok("wheel:open", json!({ "wheel": described })).await["wheel"].clone();
    let hash = opened["seedHash"].as_str().unwrap();
    assert!(hash.len() == 64 && opened["seed"].is_null() && opened["status"] == "open", "{opened}");
    assert_eq!(watcher.next("wheel:opened").await["wheel"], opened);

    let mut won = BTreeMap::<String, u64>::new();
    for number in 0..20 {
        let world = if number % 2 == 0 { &one } else { &other };
        let mut viewer = world.viewer(&format!("user-{number}")).await;
        for left in [1, 0] {
            let reply = viewer.ok("wheel:spin", json!({ "wheel": "w1" })).await;
            assert_eq!(reply["spinsLeft"], left);
            let id = reply["spin"]["prize"]["id"].as_str().expect("the stickers do not end").to_owned();
            let told = watcher.until("wheel:won", |told| told["user"]["id"] == format!("user-{number}")).await;
            assert_eq!((&told["prize"], told["seq"].is_u64()), (&reply["spin"]["prize"], true));
            *won.entry(id).or_default() += 1;
        }
        assert_eq!(viewer.code("wheel:spin", json!({ "wheel": "w1" })).await, "limit_reached");
    }
    assert!(won.get("saree").is_none_or(|count| *count <= 2) && won.get("coupon").is_none_or(|count| *count <= 4));
    assert_eq!(
        fair::verify(&text(&ledger(&engine).await), "w1"),
        Err(fair::Unproven::Open(opened["at"].as_u64().unwrap()))
    );

    let closed = host.ok("wheel:close", json!({ "wheel": "w1" })).await["wheel"].clone();
    assert_eq!((&closed["status"], &closed["spins"]), (&json!("closed"), &json!(40)));
    assert_eq!(watcher.next("wheel:closed").await["wheel"], closed);
    let seed = fair::seed_of(closed["seed"].as_str().unwrap()).unwrap();
    assert_eq!(fair::commitment(&seed), hash);
    let mut late = other.viewer("late").await;
    support::patiently("the number of spins", async {
        loop {
            let wheels = late.join("main").await["state"]["wheels"].clone();
            assert_eq!(wheels[0]["seed"], closed["seed"]);
            if wheels[0]["spins"] == 40 {
                break;
            }
        }
    })
    .await;
    assert_eq!(watcher.code("wheel:spin", json!({ "wheel": "w1" })).await, "closed");

    let records = ledger(&engine).await;
    let proof = fair::verify(&text(&records), "w1").unwrap();
    assert_eq!(proof, fair::Proof { openings: 1, spins: 40, wins: 40 });
    let place = records.iter().position(|record| record["kind"] == "spin").unwrap();
    let mut tampered = records.clone();
    tampered[place]["data"]["prize"] = json!({ "id": "saree", "label": "Prize saree" });
    let other = records[place]["data"]["prize"]["id"] == "saree";
    if other {
        tampered[place]["data"]["prize"] = json!({ "id": "coupon", "label": "Prize coupon" });
    }
    assert!(fair::verify(&text(&tampered), "w1").is_err());
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_spin() {
    let engine = Engine::new(Limits::default());
    let (one, other) = (World::join(&engine, &[]).await, World::join(&engine, &[]).await);
    let mut host = one.host().await;
    host.ok("wheel:open", json!({ "wheel": wheel("w1", json!([prize("a", 1, None)])) })).await;
    let (mut here, mut there) = (one.viewer("ana").await, other.viewer("ana").await);
    let body = json!({ "wheel": "w1", "requestId": "r1" });
    let first = here.ok("wheel:spin", body.clone()).await;
    assert_eq!(there.ok("wheel:spin", body.clone()).await, first);
    assert_eq!(there.code("wheel:spin", json!({ "wheel": "w1", "requestId": "r2" })).await, "limit_reached");
    host.ok("wheel:close", json!({ "wheel": "w1" })).await;
    assert_eq!(there.ok("wheel:spin", body.clone()).await, first);
    let third = World::join(&engine, &[]).await;
    assert_eq!(third.viewer("ana").await.ok("wheel:spin", body).await, first, "where nobody knew the seed");
    assert_eq!(host.ok("stream:stats", json!({})).await["stats"]["spins"], 1);
}

#[tokio::test]
async fn seeds_are_kept_only_while_they_are_secret() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let described = wheel("w1", json!([prize("a", 1, None)]));
    host.ok("wheel:open", json!({ "wheel": described })).await;
    assert_eq!(host.code("wheel:open", json!({ "wheel": described })).await, "conflict");
    let seeds = async || world.engine.notes("main", "seeds").await.unwrap().notes.len();
    assert_eq!(seeds().await, 1);
    host.ok("wheel:close", json!({ "wheel": "w1" })).await;
    assert_eq!(seeds().await, 0);
    let records = text(&ledger(&world.engine).await);
    let closed = &host.next("wheel:closed").await["wheel"]["seed"];
    assert_eq!(records.matches(closed.as_str().unwrap()).count(), 1, "nobody could read it before");
}

#[tokio::test]
async fn a_wheel_that_gave_all_away_gives_nothing() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    host.ok("wheel:open", json!({ "wheel": wheel("w1", json!([prize("a", 5, Some(1))])) })).await;
    let won = world.viewer("ana").await.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    assert_eq!(won["spin"]["prize"], json!({ "id": "a", "label": "Prize a" }));
    let lost = world.viewer("bo").await.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    assert_eq!((&lost["spin"]["prize"], &lost["spinsLeft"]), (&Value::Null, &json!(0)));
    host.say("main", "after").await;
    let seen = host.drain().await;
    assert_eq!(seen.iter().filter(|(name, _)| name == "wheel:won").count(), 1);
}

#[tokio::test]
async fn a_wheel_closes_by_the_clock_and_with_its_stream() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let mut ana = world.viewer("ana").await;
    let mut described = wheel("w1", json!([prize("a", 1, None)]));
    described["durationMs"] = json!(300);
    host.ok("wheel:open", json!({ "wheel": described })).await;
    let closed = ana.next("wheel:closed").await["wheel"].clone();
    assert!(closed["seed"].is_string() && closed["status"] == "closed", "{closed}");
    assert_eq!(ana.code("wheel:spin", json!({ "wheel": "w1" })).await, "closed");
    host.ok("wheel:open", json!({ "wheel": wheel("w2", json!([prize("a", 1, None)])) })).await;
    host.ok("stream:end", json!({})).await;
    let closed = ana.next("wheel:closed").await["wheel"].clone();
    assert_eq!((&closed["id"], closed["seed"].is_string()), (&json!("w2"), true));
    ana.next("stream:ended").await;
    let records = text(&ledger(&world.engine).await);
    assert!(fair::verify(&records, "w1").is_ok() && fair::verify(&records, "w2").is_ok());
}

#[tokio::test]
async fn a_wheel_is_paused_when_the_store_has_lost_it() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let described = wheel("w1", json!([prize("a", 1, None)]));
    host.ok("wheel:open", json!({ "wheel": described })).await;
    let mut ana = world.viewer("ana").await;
    ana.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    world.engine.lose_data();
    assert_eq!(ana.code("wheel:spin", json!({ "wheel": "w1" })).await, "paused");
    host.ok("wheel:open", json!({ "wheel": described })).await;
    ana.ok("wheel:spin", json!({ "wheel": "w1" })).await;
    host.ok("wheel:close", json!({ "wheel": "w1" })).await;
    assert!(fair::verify(&text(&ledger(&world.engine).await), "w1").is_ok());
}

#[tokio::test]
async fn what_is_no_wheel_is_refused_by_name() {
    let world = World::start(&[]).await;
    let mut host = world.host().await;
    let with = |name: &str, value: Value| {
        let mut wheel = wheel("w1", json!([prize("a", 1, None)]));
        wheel[name] = value;
        json!({ "wheel": wheel })
    };
    let prizes = |prize: Value| with("prizes", json!([prize]));
    let many: Vec<Value> = (0..51).map(|number| prize(&format!("p{number}"), 1, None)).collect();
    let table = [
        (json!({}), "wheel"),
        (json!({ "wheel": "w1" }), "wheel"),
        (with("id", json!("")), "wheel.id"),
        (with("title", json!(" ")), "wheel.title"),
        (with("prizes", json!([])), "wheel.prizes"),
        (with("prizes", json!(many)), "wheel.prizes"),
        (with("prizes", json!([prize("a", 1, None), prize("a", 2, None)])), "wheel.prizes.id"),
        (with("prizes", json!([prize("a", 0, None), prize("b", 0, Some(5))])), "wheel.prizes.weight"),
        (prizes(prize("a b", 1, None)), "wheel.prizes.id"),
        (prizes(prize("a", 1_000_001, None)), "wheel.prizes.weight"),
        (prizes(prize("a", 1, Some(1_000_000_001))), "wheel.prizes.stock"),
        (prizes(json!({ "id": "a", "label": "A", "weight": -1 })), "wheel"),
        (prizes(json!({ "id": "a", "label": "A", "weight": 0.5 })), "wheel"),
        (prizes(json!({ "id": "a", "label": "A", "weight": null })), "wheel"),
        (prizes(json!({ "id": "a", "label": "A", "weight": 1, "stock": -1 })), "wheel"),
        (prizes(json!({ "id": "a", "label": "", "weight": 1 })), "wheel.prizes.label"),
        (with("spinsPerUser", json!(0)), "wheel.spinsPerUser"),
        (with("spinsPerUser", json!(101)), "wheel.spinsPerUser"),
        (with("durationMs", json!(0)), "wheel.durationMs"),
    ];
    for (body, field) in table {
        let error = host.error("wheel:open", body.clone()).await;
        assert_eq!(error["code"], "bad_request", "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(field)), "{body}: {error}");
    }
    host.ok("wheel:open", json!({ "wheel": wheel("w1", json!([prize("a", 1, None)])) })).await;
    let mut ana = world.viewer("ana").await;
    assert_eq!(ana.code("wheel:spin", json!({ "wheel": "w2" })).await, "not_found");
    assert_eq!(ana.code("wheel:spin", json!({})).await, "bad_request");
    // Neither a seed nor a prize of the client's counts.
    let forged = json!({ "wheel": "w1", "seed": "00", "prize": "a", "user": "bo", "draw": 5 });
    ana.ok("wheel:spin", forged).await;
    assert_eq!(ana.code("wheel:spin", json!({ "wheel": "w1", "user": "bo" })).await, "limit_reached");
}

/// χ² of a hundred thousand spins against the weights. A fair wheel fails this once in a billion times.
#[tokio::test]
async fn a_hundred_thousand_spins_fit_the_weights() {
    const SPINS: u64 = 100_000;
    const WEIGHTS: [u64; 5] = [1, 9, 90, 400, 500];
    let seed = match std::env::var("HAAT_SEED").ok().and_then(|seed| fair::seed_of(&seed)) {
        Some(seed) => seed,
        None => {
            let mut seed = fair::Seed::default();
            getrandom::fill(&mut seed).unwrap();
            seed
        }
    };
    println!("HAAT_SEED={}", fair::to_hex(&seed));
    let engine = Engine::new(Limits::default());
    let started = Append {
        stream: "main".to_owned(),
        event: "stream:started".to_owned(),
        data: vec!["{}".to_owned()],
        ..Append::default()
    };
    engine.append(started).await.unwrap();
    let stakes = WEIGHTS.iter().enumerate().map(|(place, weight)| Stake {
        id: format!("p{place}"),
        weight: *weight,
        stock: None,
        text: place.to_string(),
    });
    let stakes: Vec<Stake> = stakes.collect();
    let mut hits = [0_u64; WEIGHTS.len()];
    for number in 0..SPINS {
        let (user, turn) = (format!("user-{}", number / 2), number % 2 + 1);
        let spin = Spin {
            stream: "main".to_owned(),
            pool: "wheel.w1@1".to_owned(),
            id: format!("s{number}"),
            draws: (1..=2).map(|turn| fair::draw(&seed, "w1", &user, turn)).collect(),
            user,
            prizes: stakes.clone(),
            event: "wheel:won".to_owned(),
            data: vec![String::new(); 4],
            won: vec![String::new(); 3],
            ..Spin::default()
        };
        let Spun::New(made) = engine.spin(spin).await.unwrap() else { panic!("spin {number}") };
        assert_eq!(made.turn, turn);
        hits[made.prize.unwrap().parse::<usize>().unwrap()] += 1;
    }
    let sum: u64 = WEIGHTS.iter().sum();
    let chi: f64 = hits.iter().zip(WEIGHTS).fold(0.0, |chi, (hits, weight)| {
        let expected = SPINS as f64 * weight as f64 / sum as f64;
        chi + (*hits as f64 - expected).powi(2) / expected
    });
    // Four degrees of freedom: 48.0 is exceeded with a probability of 1e-9.
    assert!(chi < 48.0, "χ² {chi} of {hits:?}");
}
