//! Why a wheel is fair, and how anybody can check it.
//!
//! When a wheel opens, its server draws a secret seed of 32 bytes and shows the SHA-256 of it. Every spin is then decided:
//! a user's turn `n` draws the number that HMAC-SHA-256 makes of `<wheel>\n<user>\n<n>` with the seed as its key (the first
//! eight bytes, big-endian, without the last eleven bits), and that number modulo the sum of the weights of the prizes that
//! are left says which prize it is. When the wheel closes, the seed is shown; whoever has the ledger can draw every
//! number again. This file must never learn a number from anywhere else.

use std::collections::HashMap;

use haat_adapter::market::pick;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};

/// The secret of a wheel.
pub type Seed = [u8; 32];

/// The number that a user's turn draws, below 2^53.
pub fn draw(seed: &Seed, wheel: &str, user: &str, turn: u64) -> u64 {
    let mut mac = Hmac::<Sha256>::new_from_slice(seed).expect("a key of any length is taken");
    mac.update(format!("{wheel}\n{user}\n{turn}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let (first, _) = digest.split_at(8);
    first.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 11
}

/// What is shown of a seed while it is secret: its SHA-256, in hexadecimal.
pub fn commitment(seed: &Seed) -> String {
    to_hex(&Sha256::digest(seed))
}

/// Bytes in hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The seed that a text spells; `None` for anything else.
pub fn seed_of(text: &str) -> Option<Seed> {
    let mut seed = Seed::default();
    let good = text.len() == 2 * seed.len() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (place, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    good.then_some(seed)
}

// --- checking ---

/// What a ledger proves of a wheel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// How often it was opened and closed.
    pub openings: usize,
    /// Spins that were drawn again.
    pub spins: usize,
    /// Spins that won something.
    pub wins: usize,
}

/// Why a ledger does not prove that a wheel was fair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The text is no ledger.
    #[error("this is no ledger: {0}")]
    Malformed(String),
    /// There is no such wheel in it.
    #[error("the ledger knows no wheel {0}")]
    NoWheel(String),
    /// The seed is not known yet.
    #[error("the wheel that was opened at {0} is not closed yet, and its seed is secret until then")]
    Open(u64),
    /// It was closed without a seed: the store had lost it.
    #[error("the wheel that was opened at {0} was closed without its seed, because it was lost")]
    NoSeed(u64),
    /// The seed is another one than the one that was promised.
    #[error("the seed of the wheel that was opened at {0} is not the one whose hash was shown")]
    Seed(u64),
    /// A record does not belong where it is.
    #[error("record {record}: {problem}")]
    Record {
        /// The record's id.
        record: String,
        /// What is wrong.
        problem: String,
    },
    /// Records are missing, or there are too many.
    #[error("the wheel that was opened at {opened} made {made} spins, the ledger has {recorded}")]
    Count {
        /// When it was opened.
        opened: u64,
        /// Spins that the closing tells of.
        made: usize,
        /// Spins that the ledger has.
        recorded: usize,
    },
}

/// A record of the ledger, as the HTTP API gives it.
#[derive(Debug, Deserialize)]
struct Record {
    id: String,
    kind: String,
    data: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wheel {
    id: String,
    at: u64,
    prizes: Vec<Prize>,
    spins_per_user: u64,
    seed_hash: String,
    seed: Option<String>,
    spins: Option<usize>,
}

#[derive(Debug, Clone, Deserialize)]
struct Prize {
    id: String,
    weight: u64,
    stock: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Spin {
    wheel: String,
    opened: u64,
    user: String,
    turn: u64,
    prize: Option<Won>,
}

#[derive(Debug, Deserialize)]
struct Won {
    id: String,
}

/// The records of a text: answers of the HTTP API one behind the other, lists of records, or single records.
fn records(text: &str) -> Result<Vec<Record>, Unproven> {
    #[derive(Deserialize)]
    struct Page {
        records: Vec<Record>,
    }
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
        let value = value.map_err(|error| Unproven::Malformed(error.to_string()))?;
        let value = value.get();
        let page = serde_json::from_str::<Page>(value).map(|page| page.records);
        let page = page.or_else(|_| serde_json::from_str::<Vec<Record>>(value));
        let page = page.or_else(|_| serde_json::from_str::<Record>(value).map(|record| vec![record]));
        records.extend(page.map_err(|_| Unproven::Malformed("neither records nor pages of them".to_owned()))?);
    }
    Ok(records)
}

/// Checks every spin of a wheel, from a ledger as the HTTP API gives it.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn verify(ledger: &str, wheel: &str) -> Result<Proof, Unproven> {
    let (mut proof, mut open, mut spins) = (Proof::default(), None::<Wheel>, Vec::new());
    for record in records(ledger)? {
        let Record { id, kind, data } = record;
        let wrong = |problem: &str| Unproven::Record { record: id.clone(), problem: problem.to_owned() };
        match &*kind {
            "wheel:opened" | "wheel:closed" => {
                let shown = data.get("wheel").cloned().unwrap_or_default();
                let shown: Wheel = serde_json::from_value(shown).map_err(|error| wrong(&error.to_string()))?;
                if shown.id != wheel {
                    continue;
                }
                if kind == "wheel:opened" {
                    // One that was paused is opened anew; what was drawn before cannot be checked without its seed.
                    open = Some(shown);
                    spins.clear();
                    continue;
                }
                let opened = open.take().filter(|opened| opened.at == shown.at);
                let opened = opened.ok_or_else(|| wrong("it closes a wheel that was not open"))?;
                replay(&opened, &shown, &std::mem::take(&mut spins), &mut proof)?;
            }
            "spin" => {
                let spin: Spin = serde_json::from_value(data).map_err(|error| wrong(&error.to_string()))?;
                if spin.wheel != wheel {
                    continue;
                }
                if open.as_ref().is_none_or(|open| open.at != spin.opened) {
                    return Err(wrong("a spin of a wheel that was not open"));
                }
                spins.push((id, spin));
            }
            _ => {}
        }
    }
    match (open, proof.openings) {
        (Some(open), _) => Err(Unproven::Open(open.at)),
        (None, 0) => Err(Unproven::NoWheel(wheel.to_owned())),
        (None, _) => Ok(proof),
    }
}

/// Draws every spin of an opening again.
fn replay(opened: &Wheel, closed: &Wheel, spins: &[(String, Spin)], proof: &mut Proof) -> Result<(), Unproven> {
    let text = closed.seed.as_deref().ok_or(Unproven::NoSeed(opened.at))?;
    let seed = seed_of(text).filter(|seed| commitment(seed) == opened.seed_hash);
    let seed = seed.ok_or(Unproven::Seed(opened.at))?;
    if closed.spins != Some(spins.len()) {
        let made = closed.spins.unwrap_or(0);
        return Err(Unproven::Count { opened: opened.at, made, recorded: spins.len() });
    }
    let (mut turns, mut given) = (HashMap::<&str, u64>::new(), vec![0_u64; opened.prizes.len()]);
    for (record, spin) in spins {
        let wrong = |problem: String| Unproven::Record { record: record.clone(), problem };
        let turn = turns.entry(&spin.user).or_default();
        *turn += 1;
        if spin.turn != *turn || spin.turn > opened.spins_per_user {
            return Err(wrong(format!("turn {} of a user who is at turn {turn}", spin.turn)));
        }
        let weights = opened
            .prizes
            .iter()
            .zip(&given)
            .map(|(prize, given)| if prize.stock.is_some_and(|stock| *given >= stock) { 0 } else { prize.weight });
        let place = pick(draw(&seed, &opened.id, &spin.user, spin.turn), weights);
        let drawn = place.and_then(|place| opened.prizes.get(place)).map(|prize| prize.id.as_str());
        let told = spin.prize.as_ref().map(|prize| prize.id.as_str());
        if drawn != told {
            let name = |prize: Option<&str>| prize.unwrap_or("nothing").to_owned();
            return Err(wrong(format!("it says {}, the seed says {}", name(told), name(drawn))));
        }
        if let Some(given) = place.and_then(|place| given.get_mut(place)) {
            *given += 1;
            proof.wins += 1;
        }
    }
    proof.openings += 1;
    proof.spins += spins.len();
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SEED: Seed = [7; 32];

    /// A number that anybody can check with other tools: printf 'w1\nana\n1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…
    #[test]
    fn a_draw_is_the_number_that_is_described() {
        let mac = Hmac::<Sha256>::new_from_slice(&SEED).unwrap().chain_update(b"w1\nana\n1").finalize().into_bytes();
        let number = u64::from_be_bytes(mac[..8].try_into().unwrap()) >> 11;
        assert_eq!(draw(&SEED, "w1", "ana", 1), number);
        assert_ne!(draw(&SEED, "w1", "ana", 2), number);
        assert!(number < 1 << 53);
        assert_eq!(commitment(&[0; 32]), "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
        assert_eq!(seed_of(&to_hex(&SEED)), Some(SEED));
        for text in ["", "07", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+7".repeat(32)] {
            assert_eq!(seed_of(text), None, "{text}");
        }
    }

    /// A ledger of a wheel with `spins` of users who each have two turns.
    fn ledger(spins: usize) -> Vec<Value> {
        let prizes = json!([{ "id": "a", "weight": 1, "stock": 2 }, { "id": "b", "weight": 2, "stock": 3 }]);
        let wheel = |more: Value| {
            let mut wheel = json!({
                "at": 5, "id": "w1", "title": "T", "prizes": prizes, "spinsPerUser": 2, "seedHash": commitment(&SEED),
            });
            wheel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "stream": "main", "wheel": wheel })
        };
        let mut records = vec![json!({ "id": "1-0", "kind": "wheel:opened", "data": wheel(json!({ "spins": 0 })) })];
        let mut given = [0, 0];
        for number in 0..spins {
            let (user, turn) = (format!("user-{}", number / 2), number as u64 % 2 + 1);
            let weights = [(1, 2), (2, 3)].into_iter().zip(given);
            let weights = weights.map(|((weight, stock), given)| if given < stock { weight } else { 0 });
            let place = pick(draw(&SEED, "w1", &user, turn), weights);
            let names = ["a", "b"];
            let prize = place.map(|place| json!({ "id": (names[place]) }));
            place.into_iter().for_each(|place| given[place] += 1);
            let data = json!({ "id": format!("s{number}"), "wheel": "w1", "opened": 5, "user": user, "turn": turn, "prize": prize });
            records.push(json!({ "id": format!("2-{number}"), "kind": "spin", "data": data }));
            let other = ["chat:message", "foreign"][number % 2];
            records.push(json!({ "id": format!("3-{number}"), "kind": other, "by": null, "data": {} }));
        }
        let closed = json!({ "spins": spins, "seed": to_hex(&SEED) });
        records.push(json!({ "id": "4-0", "kind": "wheel:closed", "data": wheel(closed) }));
        records
    }

    fn text(records: &[Value]) -> String {
        json!({ "ok": true, "records": records }).to_string()
    }

    #[test]
    fn a_ledger_as_it_was_written_is_proof() {
        let records = ledger(9);
        let proof = Proof { openings: 1, spins: 9, wins: 5 };
        assert_eq!(verify(&text(&records), "w1"), Ok(proof.clone()));
        let (first, rest) = records.split_at(4);
        assert_eq!(verify(&format!("{}\n{}", text(first), text(rest)), "w1"), Ok(proof.clone()), "in pages");
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        assert_eq!(verify(&lines.join("\n"), "w1"), Ok(proof.clone()), "a record a line");
        assert_eq!(verify(&Value::from(records).to_string(), "w1"), Ok(proof), "a list");
    }

    #[test]
    fn a_ledger_that_was_changed_is_none() {
        let tampered = |change: &dyn Fn(&mut Vec<Value>)| {
            let mut records = ledger(9);
            change(&mut records);
            verify(&text(&records), "w1").unwrap_err()
        };
        let record = |error: Unproven| matches!(error, Unproven::Record { .. });
        // Another prize, each way.
        for place in [1, 3, 5, 7, 9] {
            for prize in [json!(null), json!({ "id": "a" }), json!({ "id": "b" })] {
                let was = ledger(9)[place]["data"]["prize"].clone();
                if was != prize {
                    assert!(record(tampered(&|records| records[place]["data"]["prize"] = prize.clone())), "{place}");
                }
            }
        }
        assert!(record(tampered(&|records| records[1]["data"]["turn"] = json!(2))));
        assert!(record(tampered(&|records| records[3]["data"]["user"] = json!("eve"))));
        assert!(record(tampered(&|records| records[3]["data"]["opened"] = json!(6))));
        assert!(record(tampered(&|records| records.swap(1, 3))));
        let count = |error: Unproven| matches!(error, Unproven::Count { .. });
        assert!(count(tampered(&|records| drop(records.remove(17)))));
        assert!(record(tampered(&|records| drop(records.remove(0)))));
        let other = to_hex(&[8; 32]);
        assert_eq!(tampered(&|records| last(records)["seed"] = json!(other)), Unproven::Seed(5));
        assert_eq!(tampered(&|records| last(records)["seed"] = Value::Null), Unproven::NoSeed(5));
        assert_eq!(tampered(&|records| drop(records.pop())), Unproven::Open(5));
        assert_eq!(tampered(&|records| records.truncate(0)), Unproven::NoWheel("w1".to_owned()));
        for text in ["{", "5", r#"{"records":5}"#] {
            assert!(matches!(verify(text, "w1"), Err(Unproven::Malformed(_))), "{text}");
        }
    }

    fn last(records: &mut [Value]) -> &mut Value {
        &mut records.last_mut().unwrap()["data"]["wheel"]
    }
}
