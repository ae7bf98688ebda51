//! Wheels: every user has so many spins, and what each wins is settled by a secret that is shown afterwards. See
//! [`fair`]; that nobody wins what is gone, or spins too often, is decided in one step of the store.

use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use haat_adapter::{Entry, Note, Noted, Refusal, Spin, Spun, Stake, Turn, market};
use haat_protocol::Id;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    Live,
    body::{Body, is_id},
    command::{Call, Reply},
    drop::request_id,
    edit::{Event, edit},
    fair::{self, Seed},
    opening::{Thing, closing, described, duration, fresh, named, place, shown, stale, take},
    reject::{Code, Reject, json},
    state::{Kind, pool},
    text::clean,
};
use crate::metrics;

/// The book of secret seeds, by pool.
const BOOK: &str = "seeds";
/// Prizes of a wheel.
const MAX_PRIZES: usize = 50;
/// Most of a prize's weight.
const MAX_WEIGHT: u64 = 1_000_000;
/// Most of a prize's stock.
const MAX_STOCK: u64 = 1_000_000_000;
/// Spins of a user.
const MAX_SPINS: u64 = 100;
/// Characters of a title.
const MAX_TITLE: usize = 200;
/// Characters of a prize's label.
const MAX_LABEL: usize = 100;
/// Seeds that are kept at hand.
const MAX_SEEDS: usize = 1_024;

/// What a supplier describes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: String,
    title: String,
    prizes: Vec<Prize>,
    #[serde(default = "one")]
    spins_per_user: u64,
    duration_ms: Option<u64>,
}

fn one() -> u64 {
    1
}

/// What can be won.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Prize {
    id: String,
    label: String,
    weight: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stock: Option<u64>,
}

/// A wheel, as its field has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    at: u64,
    id: String,
    title: String,
    prizes: Vec<Prize>,
    spins_per_user: u64,
    seed_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    status: String,
}

impl Described {
    fn check(&mut self) -> Result<(), Reject> {
        let id = "an id: 1 to 64 of A-Z a-z 0-9 _ -";
        if !is_id(&self.id) {
            return Err(Reject::field("wheel.id", id));
        }
        self.title = clean("wheel.title", &self.title, MAX_TITLE)?;
        if !(1..=MAX_PRIZES).contains(&self.prizes.len()) {
            return Err(Reject::field("wheel.prizes", &format!("1 to {MAX_PRIZES} prizes")));
        }
        if !(1..=MAX_SPINS).contains(&self.spins_per_user) {
            return Err(Reject::field("wheel.spinsPerUser", &format!("1 to {MAX_SPINS}")));
        }
        for place in 0..self.prizes.len() {
            let (before, rest) = self.prizes.split_at_mut(place);
            let Some(prize) = rest.first_mut() else { break };
            if !is_id(&prize.id) {
                return Err(Reject::field("wheel.prizes.id", id));
            }
            if before.iter().any(|other| other.id == prize.id) {
                return Err(Reject::field("wheel.prizes.id", "different ones"));
            }
            prize.label = clean("wheel.prizes.label", &prize.label, MAX_LABEL)?;
            if prize.weight > MAX_WEIGHT {
                return Err(Reject::field("wheel.prizes.weight", &format!("a whole number from 0 to {MAX_WEIGHT}")));
            }
            if prize.stock.is_some_and(|stock| stock > MAX_STOCK) {
                return Err(Reject::field("wheel.prizes.stock", &format!("a whole number from 0 to {MAX_STOCK}")));
            }
        }
        if self.prizes.iter().all(|prize| prize.weight == 0) {
            return Err(Reject::field("wheel.prizes.weight", "above 0 for one prize at least"));
        }
        duration("wheel", self.duration_ms).map(drop)
    }
}

/// `wheel:open`. A wheel that is paused can be opened again under its id, as a new one.
pub(super) async fn open(call: Call) -> Result<Reply, Reject> {
    let mut described: Described = described(&Body::parse(&call.body)?, Kind::Wheel)?;
    described.check()?;
    let Described { id, title, prizes, spins_per_user, duration_ms } = described;
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).map_err(|_| Reject::new(Code::Internal, "no randomness"))?;
    let shared = &call.live.shared;
    let at = shared.now();
    let pool = pool(&Kind::Wheel.field(&id), at);
    // The seed is kept before anybody sees its hash: a wheel whose seed is lost could not be proven.
    let note = Note {
        stream: call.stream.to_string(),
        book: BOOK.to_owned(),
        key: pool.clone(),
        text: Some(fair::to_hex(&seed)),
        was: Some(None),
        ..Note::default()
    };
    if let Noted::Differs(_) = shared.market.note(note).await? {
        return Err(Reject::new(Code::Conflict, "there is a wheel with this id"));
    }
    let field = Field {
        at,
        id,
        title,
        prizes,
        spins_per_user,
        seed_hash: fair::commitment(&seed),
        seed: None,
        ends_at: duration_ms.map(|ms| at + ms),
        status: "open".to_owned(),
    };
    let text = json(&field);
    let opened = edit(&call.live, &call.stream, Some(call.by()), |state| {
        let forget = place(state, Kind::Wheel, &field.id, &text)?;
        let members = format!(r#""wheel":{}"#, fresh(Kind::Wheel, &field.id, &text));
        Ok(Event { forget, ..Event::new("wheel:opened", &call.stream, &members) })
    });
    let entry = match opened.await {
        Ok(entry) => entry,
        Err(reject) => {
            // Unless it is not known whether it opened.
            if reject.code != Code::Unavailable {
                forget_seed(&call.live, &call.stream, pool).await;
            }
            return Err(reject);
        }
    };
    shared.seeds.keep(&call.stream, &pool, seed);
    Ok(shown(&entry, Kind::Wheel))
}

/// `wheel:close`: the seed is shown.
pub(super) async fn close(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Wheel)?;
    let entry = close_it(&call.live, &call.stream, &id, call.by(), None).await?;
    Ok(shown(&entry, Kind::Wheel))
}

/// Closes a wheel, and shows its seed. With `due` only if its time is over by then.
pub(super) async fn close_it(
    live: &Rc<Live>,
    stream: &str,
    id: &str,
    by: String,
    due: Option<u64>,
) -> Result<Arc<Entry>, Reject> {
    // Read before: which of them it is, only the state says.
    let book = live.shared.market.notes(stream, BOOK).await?;
    let mut pool = String::new();
    let entry = edit(live, stream, Some(by), |state| {
        let (item, text) = closing(state, Kind::Wheel, id, due)?;
        pool = item.pool.to_string();
        let mut field: Field = serde_json::from_str(&text).map_err(|_| Reject::not_found("wheel"))?;
        let seed = book.notes.iter().find(|(key, _)| **key == *item.pool).map(|(_, seed)| seed.to_string());
        field.seed = seed.or_else(|| live.shared.seeds.get(stream, &item.pool).map(|seed| fair::to_hex(&seed)));
        let text = json(&field);
        state.set(&Kind::Wheel.field(id), &text);
        let head = text.strip_suffix('}').unwrap_or(&text);
        let data =
            vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","wheel":{head},"spins":"#), "}}".to_owned()];
        let fill = vec![None, Some(market::sold(&item.pool))];
        Ok(Event { name: "wheel:closed", data, fill, ..Event::default() })
    })
    .await?;
    // It is in the state now, and in the ledger.
    forget_seed(live, stream, pool).await;
    Ok(entry)
}

/// A seed that nobody needs any more. One that stays all the same does no harm.
async fn forget_seed(live: &Rc<Live>, stream: &str, pool: String) {
    let note = Note { stream: stream.to_owned(), book: BOOK.to_owned(), key: pool, ..Note::default() };
    let _ = live.shared.market.note(note).await;
}

/// `wheel:spin`
pub(super) async fn spin(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let id = body.id("wheel")?;
    let request = request_id(&body)?;
    let random = Id::random().map_err(|_| Reject::new(Code::Internal, "no randomness"))?;
    let (spun, status, most) = take(&call, Kind::Wheel, &id, async |wheel: Rc<Thing<Field>>| {
        let (status, most) = (wheel.value.status.clone(), wheel.value.spins_per_user);
        let over = matches!(&*status, "closed" | "paused");
        let seed = if over { Some(Seed::default()) } else { seed(&call, &wheel.pool).await? };
        let seed = seed.ok_or_else(|| Reject::new(Code::Paused, "the wheel is paused"))?;
        let spin = terms(&call, &wheel, &seed, &format!("s{random}"), request.clone());
        let spun = stale(call.live.shared.market.spin(spin).await)?;
        Ok(spun.map(|spun| (spun, status, most)))
    })
    .await?;
    metrics::spin(outcome(&spun));
    if let Spun::New(_) = spun {
        call.live.shared.hooks.wake(&call.stream);
    }
    match spun {
        Spun::New(turn) | Spun::Repeat(turn) => {
            let Turn { id, turn, prize } = turn;
            let prize = prize.as_deref().unwrap_or("null");
            Ok(Reply(format!(r#""spin":{{"id":"{id}","prize":{prize}}},"spinsLeft":{}"#, most.saturating_sub(turn))))
        }
        Spun::Refused(Refusal::Late) if status == "paused" => Err(Reject::new(Code::Paused, "the wheel is paused")),
        Spun::Refused(Refusal::Limit(_)) => Err(Reject::new(Code::LimitReached, "you have had your spins")),
        Spun::Refused(_) => Err(Reject::new(Code::Closed, "the wheel is closed")),
    }
}

/// What came of a spin, as it is counted.
fn outcome(spun: &Spun) -> &'static str {
    match spun {
        Spun::New(Turn { prize: Some(_), .. }) => "won",
        Spun::New(_) => "nothing",
        Spun::Repeat(_) => "repeated",
        Spun::Refused(Refusal::Limit(_)) => "limit",
        Spun::Refused(_) => "late",
    }
}

/// What the store needs to decide a spin.
fn terms(call: &Call, wheel: &Thing<Field>, seed: &Seed, id: &str, request: Option<String>) -> Spin {
    let Thing { value: field, pool, checks, .. } = wheel;
    let user = &call.caller.identity.user;
    let (stream, wheel) = (&call.stream, &field.id);
    let over = matches!(&*field.status, "closed" | "paused");
    let stakes = field.prizes.iter().map(|prize| Stake {
        id: prize.id.clone(),
        weight: prize.weight,
        stock: prize.stock,
        text: format!(r#"{{"id":"{}","label":{}}}"#, prize.id, json(&prize.label)),
    });
    let (user_id, name) = (json(&user.id), json(&user.name));
    let data = [
        format!(r#"{{"id":"{id}","wheel":"{wheel}","opened":{},"user":{user_id},"name":{name},"turn":"#, field.at),
        r#","prize":"#.to_owned(),
        r#","at":"#.to_owned(),
        "}".to_owned(),
    ];
    let won = [
        format!(r#"{{"stream":"{stream}","seq":"#),
        format!(r#","wheel":"{wheel}","user":{{"id":{user_id},"name":{name}}},"prize":"#),
        "}".to_owned(),
    ];
    Spin {
        stream: stream.to_string(),
        pool: pool.clone(),
        checks: checks.clone(),
        id: id.to_owned(),
        user: user.id.to_string(),
        request,
        // Even then a repetition gets its first answer, which only the store knows.
        ends: if over { Some(0) } else { field.ends_at },
        prizes: stakes.collect(),
        draws: (1..=field.spins_per_user).map(|turn| fair::draw(seed, wheel, &user.id, turn)).collect(),
        by: call.by(),
        data: data.into(),
        event: "wheel:won".to_owned(),
        won: won.into(),
    }
}

/// Secret seeds of wheels that are spun at present, for all shards of a gateway.
#[derive(Default)]
pub(super) struct Seeds(Mutex<FxHashMap<Key, Seed>>);

/// Stream and pool.
type Key = (Box<str>, Box<str>);

impl Seeds {
    fn get(&self, stream: &str, pool: &str) -> Option<Seed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(stream.into(), pool.into())).copied()
    }

    fn keep(&self, stream: &str, pool: &str, seed: Seed) {
        let mut seeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seeds.len() >= MAX_SEEDS {
            // They are read again when they are needed.
            seeds.clear();
        }
        seeds.insert((stream.into(), pool.into()), seed);
    }
}

/// The seed of a wheel; `None`: the store has lost it.
async fn seed(call: &Call, pool: &str) -> Result<Option<Seed>, Reject> {
    let shared = &call.live.shared;
    if let Some(seed) = shared.seeds.get(&call.stream, pool) {
        return Ok(Some(seed));
    }
    let book = shared.market.notes(&call.stream, BOOK).await?;
    let seed = book.notes.iter().find(|(key, _)| **key == *pool).and_then(|(_, text)| fair::seed_of(text));
    if let Some(seed) = seed {
        shared.seeds.keep(&call.stream, pool, seed);
    }
    Ok(seed)
}
