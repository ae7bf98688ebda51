//! Drops: so many units at a price, for a time. Who gets one is decided in one step of the store, never here: a gateway
//! only brings the terms, and says what came of it.

use std::{rc::Rc, sync::Arc, time::Duration};

use haat_adapter::{
    Claim, Claimed, Counter, Entry, Grant, GrantState, Refusal, Settle, Settled, StoreError, Terms, Totals, market,
};
use haat_protocol::Id;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Live,
    body::{Body, is_id},
    command::{Call, Reply},
    edit::{Event, edit},
    opening::{Thing, closing, described, duration, fresh, named, place, shown, stale, take, with_status},
    product::{Price, products},
    reject::{Code, Reject, json},
    state::{Item, Kind},
    stats::REVENUE,
};
use crate::metrics;

/// Most units of a drop.
const MAX_STOCK: u64 = 1_000_000_000;
/// How far ahead a drop can be announced, in ms.
const MAX_AHEAD: u64 = 30 * 24 * 3600 * 1000;
/// The longest time for which a claim is held, in ms.
const MAX_HOLD: u64 = 24 * 3600 * 1000;
/// Characters of a client's own name of a claim or spin.
const MAX_REQUEST: usize = 64;

/// What a supplier describes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: String,
    product: String,
    price: Price,
    stock: u64,
    #[serde(default = "one")]
    per_user: u64,
    opens_at: Option<u64>,
    duration_ms: Option<u64>,
    hold_ms: Option<u64>,
}

fn one() -> u64 {
    1
}

impl Described {
    fn check(&self, now: u64) -> Result<(), Reject> {
        for (name, id) in [("drop.id", &self.id), ("drop.product", &self.product)] {
            if !is_id(id) {
                return Err(Reject::field(name, "an id: 1 to 64 of A-Z a-z 0-9 _ -"));
            }
        }
        self.price.check("drop.price")?;
        let counts = [("drop.stock", self.stock, MAX_STOCK), ("drop.perUser", self.per_user, MAX_STOCK)];
        let times = [("drop.holdMs", self.hold_ms.unwrap_or(1), MAX_HOLD)];
        for (name, value, most) in counts.into_iter().chain(times) {
            if value == 0 || value > most {
                return Err(Reject::field(name, &format!("1 to {most}")));
            }
        }
        if self.opens_at.is_some_and(|opens| opens > now + MAX_AHEAD) {
            return Err(Reject::field("drop.opensAt", "a time in ms since 1970, within 30 days"));
        }
        duration("drop", self.duration_ms).map(drop)
    }
}

/// A drop, as its field has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    at: u64,
    id: String,
    product: String,
    price: Price,
    stock: u64,
    per_user: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opens_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold_ms: Option<u64>,
    status: String,
}

/// `drop:open`: now, or announced for a time. A drop that is paused can be opened again under its id, as a new one.
pub(super) async fn open(call: Call) -> Result<Reply, Reject> {
    let described: Described = described(&Body::parse(&call.body)?, Kind::Drop)?;
    described.check(call.live.shared.now())?;
    let entry = edit(&call.live, &call.stream, Some(call.by()), |state| {
        let now = call.live.shared.now();
        if !products(state).iter().any(|product| product.id == described.product) {
            return Err(Reject::not_found("product"));
        }
        let opens = described.opens_at.filter(|opens| *opens > now);
        let field = Field {
            at: now,
            id: described.id.clone(),
            product: described.product.clone(),
            price: described.price.clone(),
            stock: described.stock,
            per_user: described.per_user,
            opens_at: described.opens_at,
            ends_at: described.duration_ms.map(|ms| opens.unwrap_or(now) + ms),
            hold_ms: described.hold_ms,
            status: if opens.is_some() { "scheduled" } else { "open" }.to_owned(),
        };
        let text = json(&field);
        let forget = place(state, Kind::Drop, &field.id, &text)?;
        let members = format!(r#""drop":{}"#, fresh(Kind::Drop, &field.id, &text));
        Ok(Event { forget, ..Event::new("drop:opened", &call.stream, &members) })
    })
    .await?;
    Ok(shown(&entry, Kind::Drop))
}

/// Opens an announced drop whose time has come.
pub(super) async fn open_due(live: &Rc<Live>, stream: &str, id: &str, by: String, now: u64) -> Result<(), Reject> {
    edit(live, stream, Some(by), |state| {
        let field = Kind::Drop.field(id);
        let text = state.get(&field).and_then(|text| {
            let item = Item::of(&field, text).filter(|item| *item.status == *"scheduled");
            item.filter(|item| item.due.is_some_and(|due| due <= now)).and_then(|_| with_status(text, "open"))
        });
        let text = text.ok_or_else(|| Reject::not_found("drop"))?;
        state.set(&field, &text);
        Ok(Event::new("drop:opened", stream, &format!(r#""drop":{}"#, fresh(Kind::Drop, id, &text))))
    })
    .await
    .map(drop)
}

/// `drop:close`
pub(super) async fn close(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Drop)?;
    let entry = close_it(&call.live, &call.stream, &id, call.by(), None).await?;
    let field = Kind::Drop.field(&id);
    let text = entry.set.iter().find(|(name, _)| **name == *field).and_then(|(_, text)| text.clone());
    let item = text.as_deref().and_then(|text| Item::of(&field, text));
    let sold = Body::parse(&entry.data)?.optional::<u64>("sold", "a number")?.unwrap_or(0);
    let totals = item.as_ref().map(|item| Counter { name: market::sold(&item.pool), value: sold });
    let totals = Totals { counters: totals.into_iter().collect(), ..Totals::default() };
    let shown = item.map_or_else(|| "null".to_owned(), |item| item.text(&totals));
    Ok(Reply(format!(r#""drop":{shown}"#)))
}

/// Closes a drop, and tells how many were sold. With `due` only if its time is over by then.
pub(super) async fn close_it(
    live: &Rc<Live>,
    stream: &str,
    id: &str,
    by: String,
    due: Option<u64>,
) -> Result<Arc<Entry>, Reject> {
    edit(live, stream, Some(by), |state| {
        let (item, text) = closing(state, Kind::Drop, id, due)?;
        state.set(&Kind::Drop.field(id), &text);
        let data =
            vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","drop":"{id}","sold":"#), "}".to_owned()];
        let fill = vec![None, Some(market::sold(&item.pool))];
        Ok(Event { name: "drop:closed", data, fill, ..Event::default() })
    })
    .await
}

/// A client's own name of what it asks for.
///
/// # Errors
/// `bad_request`
pub(super) fn request_id(body: &Body<'_>) -> Result<Option<String>, Reject> {
    let wanted = "a text of 1 to 64 characters";
    let id = body.optional::<String>("requestId", wanted)?;
    let good = id.as_ref().is_none_or(|id| !id.is_empty() && id.chars().nth(MAX_REQUEST).is_none());
    if good { Ok(id) } else { Err(Reject::field("requestId", wanted)) }
}

/// `drop:claim`
pub(super) async fn claim(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let id = body.id("drop")?;
    let quantity = body.optional::<u64>("quantity", "a whole number")?.unwrap_or(1);
    if quantity == 0 || quantity > MAX_STOCK {
        return Err(Reject::field("quantity", &format!("1 to {MAX_STOCK}")));
    }
    let request = request_id(&body)?;
    let shared = &call.live.shared;
    let (claimed, status, by) = take(&call, Kind::Drop, &id, async |drop: Rc<Thing<Field>>| {
        let status = drop.value.status.clone();
        let known = shared.sold_out.answer(
            &call.stream,
            &drop.pool,
            (&call.caller.identity.user.id, request.as_deref(), quantity),
            shared.now(),
        );
        let over = matches!(&*status, "closed" | "paused");
        let by = if known.is_some() { "gateway" } else { "store" };
        let claimed = match known {
            Some(Claimed::Refused(Refusal::SoldOut(_))) if over => Some(Claimed::Refused(Refusal::Late)),
            Some(claimed) => Some(claimed),
            None => {
                let random = Id::random().map_err(|_| Reject::new(Code::Internal, "no randomness"))?;
                let claim = terms(&call, &drop, &format!("c{random}"), quantity, request.clone());
                let claimed = stale(shared.market.claim(claim).await)?;
                if let Some(Claimed::Refused(Refusal::SoldOut(0))) = claimed {
                    call.live.learn_sold_out(&call.stream, drop.pool.clone(), drop.value.stock);
                }
                claimed
            }
        };
        Ok(claimed.map(|claimed| (claimed, status, by)))
    })
    .await?;
    metrics::claim(outcome(&claimed), by);
    match claimed {
        Claimed::New(grant) => {
            shared.hooks.wake(&call.stream);
            if grant.state == GrantState::Final {
                tell_purchase(&call, &grant);
            }
            Ok(granted(&grant))
        }
        Claimed::Repeat(grant) => Ok(granted(&grant)),
        Claimed::Refused(refusal) => Err(refused(refusal, &status, shared.now())),
    }
}

/// What came of a claim, as it is counted.
fn outcome(claimed: &Claimed) -> &'static str {
    match claimed {
        Claimed::New(_) => "granted",
        Claimed::Repeat(_) => "repeated",
        Claimed::Refused(Refusal::Early(_)) => "early",
        Claimed::Refused(Refusal::Late) => "late",
        Claimed::Refused(Refusal::Limit(_)) => "limit",
        Claimed::Refused(Refusal::SoldOut(_)) => "sold_out",
        Claimed::Refused(Refusal::Mismatch) => "mismatch",
    }
}

/// What the store needs to decide a claim.
fn terms(call: &Call, drop: &Thing<Field>, id: &str, quantity: u64, request: Option<String>) -> Claim {
    let Thing { value: field, pool, checks, .. } = drop;
    let user = &call.caller.identity.user;
    let hold = field.hold_ms.map(|ms| format!(r#","holdMs":{ms}"#)).unwrap_or_default();
    let head = format!(
        r#"{{"id":"{id}","drop":"{}","product":"{}","user":{{"id":{},"name":{}}},"quantity":{quantity},"price":{}{hold},"at":"#,
        field.id,
        field.product,
        json(&user.id),
        json(&user.name),
        json(&field.price)
    );
    let over = matches!(&*field.status, "closed" | "paused");
    let worth = Counter {
        name: format!("{REVENUE}{}", field.price.currency),
        value: field.price.amount.saturating_mul(quantity),
    };
    Claim {
        stream: call.stream.to_string(),
        pool: pool.clone(),
        checks: checks.clone(),
        id: id.to_owned(),
        user: user.id.to_string(),
        request,
        quantity,
        terms: Terms {
            stock: field.stock,
            per_user: field.per_user,
            opens: field.opens_at,
            // Even then a repetition gets its first answer, which only the store knows.
            ends: if over { Some(0) } else { field.ends_at },
            hold: field.hold_ms,
        },
        by: call.by(),
        data: vec![head, "}".to_owned()],
        worth: vec![worth],
    }
}

fn granted(grant: &Grant) -> Reply {
    Reply(format!(r#""claim":{},"left":{}"#, grant.text, grant.left))
}

fn refused(refusal: Refusal, status: &str, now: u64) -> Reject {
    match refusal {
        Refusal::Early(opens) => Reject {
            retry_after: Some(Duration::from_millis(opens.saturating_sub(now))),
            ..Reject::new(Code::Closed, "the drop has not opened yet")
        },
        Refusal::Late if status == "paused" => Reject::new(Code::Paused, "the drop is paused"),
        Refusal::Late => Reject::new(Code::Closed, "the drop is closed"),
        Refusal::Limit(0) => Reject::new(Code::LimitReached, "you have had your share"),
        Refusal::Limit(left) => Reject::new(Code::LimitReached, format!("you can have {left} more")),
        Refusal::SoldOut(0) => Reject::new(Code::SoldOut, "all units are sold"),
        Refusal::SoldOut(left) => Reject::new(Code::SoldOut, format!("only {left} are left")),
        Refusal::Mismatch => Reject::new(Code::Conflict, "this requestId was used for another quantity"),
    }
}

/// `drop:confirm`: the claim is final. One that was not confirmed in time is `conflict`.
pub(super) async fn confirm(call: Call) -> Result<Reply, Reject> {
    settle(&call, true).await
}

/// `drop:release`: the claim's units go back, even if it was final.
pub(super) async fn release(call: Call) -> Result<Reply, Reject> {
    settle(&call, false).await
}

async fn settle(call: &Call, confirm: bool) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let (drop, id): (String, String) = (body.id("drop")?, body.get("claim", "the id of a claim")?);
    let settle = Settle {
        stream: call.stream.to_string(),
        pool: format!("{}@", Kind::Drop.field(&drop)),
        id,
        confirm,
        by: call.by(),
    };
    match call.live.shared.market.settle(settle).await {
        Ok(Settled::Done(grant, repeated)) => {
            if confirm && !repeated {
                tell_purchase(call, &grant);
            }
            let status = if confirm { "confirmed" } else { "released" };
            let head = grant.text.strip_suffix('}').unwrap_or(&grant.text);
            Ok(Reply(format!(r#""claim":{head},"status":"{status}"}}"#)))
        }
        Ok(Settled::Over) => Err(Reject::new(Code::Conflict, "the claim does not stand any more")),
        Ok(Settled::Unknown) | Err(StoreError::Conflict(_)) => Err(Reject::not_found("claim")),
        Err(error) => Err(error.into()),
    }
}

/// Tells everybody that somebody has bought something.
fn tell_purchase(call: &Call, grant: &Grant) {
    #[derive(Deserialize)]
    struct Bought<'a> {
        product: String,
        #[serde(borrow)]
        user: User<'a>,
    }
    #[derive(Deserialize)]
    struct User<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
    }
    if let Ok(Bought { product, user }) = serde_json::from_str(&grant.text) {
        call.live.bought(&call.stream, product, user.name.get(), grant.quantity);
    }
}
