//! Five thousand claims of two thousand users for a hundred units, through two gateways.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::print_stdout, reason = "a test that fails shows its seed")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
};

use serde_json::{Value, json};

use super::{Client, live::product, token};

const USERS: u64 = 2_000;
const CLAIMS: u64 = 5_000;
pub const STOCK: u64 = 100;
const SHARE: u64 = 3;
const TASKS: u64 = 16;

/// The seed of `HAAT_SEED`, or a new one. It is printed.
pub fn seed() -> u64 {
    let new = || {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) >> 1
    };
    let seed = std::env::var("HAAT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(new);
    println!("HAAT_SEED={seed}");
    seed
}

/// Scatters a number: the same ones for the same seed.
pub fn scatter(seed: u64, number: u64) -> u64 {
    let mut x = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What a user asks for: the requests' names, and how many.
pub type Asked = Vec<(String, u64)>;

/// What everybody asks for, by the user's number.
pub fn asks(seed: u64) -> HashMap<u64, Asked> {
    let mut asks = HashMap::<u64, Asked>::new();
    for number in 0..CLAIMS {
        let random = scatter(seed, number);
        let asked = asks.entry(random % USERS).or_default();
        let repeated = asked.last().cloned().filter(|_| random >> 20 & 3 == 0);
        asked.push(repeated.unwrap_or_else(|| (format!("r{number}"), 1 + (random >> 30) % 2)));
    }
    asks
}

/// Who asked, under which name, and the answer.
pub type Answers = Vec<(String, String, Value)>;

/// Opens the drop.
pub async fn open(host: &mut Client) {
    host.ok("product:put", json!({ "product": product("saree") })).await;
    let drop = json!({
        "id": "d1", "product": "saree", "price": { "amount": 100, "currency": "INR" }, "stock": STOCK, "perUser": SHARE,
    });
    host.ok("drop:open", json!({ "drop": drop })).await;
}

/// All claims, half of the users at each gateway.
pub async fn storm(addresses: [SocketAddr; 2], seed: u64) -> Answers {
    let mut queues: Vec<Vec<(u64, Asked)>> = (0..TASKS).map(|_| Vec::new()).collect();
    for (user, asked) in asks(seed) {
        queues[(scatter(seed, user) % TASKS) as usize].push((user, asked));
    }
    let tasks = queues.into_iter().enumerate().map(|(task, queue)| {
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for (user, asked) in queue {
                let sub = format!("user-{user}");
                let auth = json!({ "token": token(&sub, "viewer", &[]) });
                let mut client = Client::connect(addresses[(task + user as usize) % 2], &auth).await;
                client.join("main").await;
                let mut sent = Vec::new();
                for (request, quantity) in asked {
                    let body = json!({ "stream": "main", "drop": "d1", "quantity": quantity, "requestId": request });
                    sent.push((client.send("drop:claim", &body).await, request));
                }
                for (id, request) in sent {
                    answers.push((sub.clone(), request, client.answer(id).await));
                }
            }
            answers
        })
    });
    let mut answers = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        answers.extend(task.await.unwrap());
    }
    assert_eq!(answers.len() as u64, CLAIMS);
    answers
}

/// Closes the drop, of which nothing is left.
pub async fn close(host: &mut Client) {
    let closed = host.ok("drop:close", json!({ "drop": "d1" })).await;
    assert_eq!(closed["drop"]["left"], 0);
    assert_eq!(host.next("drop:closed").await["sold"], STOCK);
}

/// The answers that clients got, the claims in the ledger, and the bounds are one story, and all is sold.
pub fn check(ledger: &[String], answers: &Answers) {
    assert_eq!(story(ledger, answers, &["sold_out", "limit_reached"]), STOCK, "as many as there are, and no more");
}

/// The same where it may have ended before, with these codes. What was sold.
pub fn story(ledger: &[String], answers: &Answers, codes: &[&str]) -> u64 {
    let mut granted = BTreeMap::<String, Value>::new();
    let (mut by_request, mut shares) = (HashMap::<(String, String), String>::new(), HashMap::<String, u64>::new());
    for (user, request, answer) in answers {
        if answer["ok"] != true {
            let code = answer["error"]["code"].as_str().unwrap();
            assert!(codes.contains(&code), "{answer}");
            continue;
        }
        let claim = &answer["claim"];
        let id = claim["id"].as_str().unwrap().to_owned();
        let first = by_request.entry((user.clone(), request.clone())).or_insert_with(|| id.clone());
        assert_eq!(*first, id, "a repetition got another claim");
        if granted.insert(id, claim.clone()).is_none() {
            *shares.entry(user.clone()).or_default() += claim["quantity"].as_u64().unwrap();
        }
    }
    let sold: u64 = shares.values().sum();
    assert!(sold <= STOCK, "{sold} of {STOCK} units");
    assert!(shares.values().all(|share| *share <= SHARE), "{shares:?}");
    let claims: HashSet<&str> = ledger.iter().map(String::as_str).collect();
    assert_eq!(claims.len(), ledger.len(), "each claim is there once");
    let told: HashSet<String> = granted.values().map(|claim| claim.to_string()).collect();
    assert_eq!(claims, told.iter().map(String::as_str).collect(), "the ledger has what the clients were told");
    sold
}
