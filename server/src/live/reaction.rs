//! Taps. They are added up on their shard, leave it with its next report, and are spread as numbers: a tap costs no call
//! of the store, and reaches nobody by itself.

use std::time::Instant;

use super::{
    body::Body,
    command::{Call, Reply},
    reject::Reject,
    state::REACTIONS,
};
use crate::auth::Role;

/// Most taps of one command.
const MAX_COUNT: u64 = 50;

/// `reaction:send`
pub(super) async fn send(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let kind: String = body.get("kind", "the kind of a reaction")?;
    let live = &call.live;
    if !live.shared.reactions.contains(&kind) {
        return Err(Reject::field("kind", &format!("one of {}", live.shared.reactions.join(", "))));
    }
    let count = body.optional::<u64>("count", "a whole number")?.unwrap_or(1);
    if !(1..=MAX_COUNT).contains(&count) {
        return Err(Reject::field("count", &format!("1 to {MAX_COUNT}")));
    }
    let (rate, cost) = (&live.shared.limits.reactions, u32::try_from(count).unwrap_or(u32::MAX));
    let taken = match &call.caller.socket {
        Some((_, visitor)) => visitor.buckets(|buckets| buckets.reactions.take_many(rate, Instant::now(), cost)),
        // Over HTTP a viewer is no faster. A service may tell of the taps of many.
        None if call.role() == Role::Viewer => live.shared.tap_limit(&call.caller.identity.user.id, cost),
        None => Ok(()),
    };
    taken.map_err(Reject::rate_limited)?;
    live.count(&call.stream, &format!("{REACTIONS}{kind}"), count);
    Ok(Reply(format!(r#""accepted":{count}"#)))
}
