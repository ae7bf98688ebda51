//! Polls: one vote for each user, a tally for everybody.

use std::{rc::Rc, sync::Arc};

use haat_adapter::{Entry, Vote, Voted, market};
use serde::Deserialize;

use super::{
    Live,
    body::{Body, is_id},
    command::{Call, Reply},
    edit::{Event, edit},
    opening::{Thing, closing, described, duration, fresh, named, place, shown, stale, take},
    reject::{Code, Reject, json},
    state::Kind,
    text::clean,
};

/// Characters of the question.
const MAX_QUESTION: usize = 300;
/// Characters of an option.
const MAX_OPTION: usize = 100;

/// What a supplier describes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: String,
    question: String,
    options: Vec<String>,
    duration_ms: Option<u64>,
}

/// What is read of a poll's field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Poll {
    options: Vec<String>,
    status: String,
    ends_at: Option<u64>,
}

/// `poll:open`
pub(super) async fn open(call: Call) -> Result<Reply, Reject> {
    let Described { id, question, options, duration_ms } = described(&Body::parse(&call.body)?, Kind::Poll)?;
    if !is_id(&id) {
        return Err(Reject::field("poll.id", "an id: 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    let question = clean("poll.question", &question, MAX_QUESTION)?;
    if !(2..=6).contains(&options.len()) {
        return Err(Reject::field("poll.options", "2 to 6 texts"));
    }
    let options =
        options.iter().map(|option| clean("poll.options", option, MAX_OPTION)).collect::<Result<Vec<_>, _>>()?;
    let duration = duration("poll", duration_ms)?;
    let entry = edit(&call.live, &call.stream, Some(call.by()), |state| {
        let now = call.live.shared.now();
        let ends = duration.map(|ms| format!(r#","endsAt":{}"#, now + ms)).unwrap_or_default();
        let text = format!(
            r#"{{"at":{now},"id":"{id}","question":{},"options":{}{ends},"status":"open"}}"#,
            json(&question),
            json(&options)
        );
        let forget = place(state, Kind::Poll, &id, &text)?;
        let event = Event::new("poll:opened", &call.stream, &format!(r#""poll":{}"#, fresh(Kind::Poll, &id, &text)));
        Ok(Event { forget, ..event })
    })
    .await?;
    Ok(shown(&entry, Kind::Poll))
}

/// `poll:close`
pub(super) async fn close(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Poll)?;
    let entry = close_it(&call.live, &call.stream, &id, call.by(), None).await?;
    Ok(shown(&entry, Kind::Poll))
}

/// Closes a poll, and tells how it ended. With `due` only if its time is over by then.
pub(super) async fn close_it(
    live: &Rc<Live>,
    stream: &str,
    id: &str,
    by: String,
    due: Option<u64>,
) -> Result<Arc<Entry>, Reject> {
    edit(live, stream, Some(by), |state| {
        let (item, text) = closing(state, Kind::Poll, id, due)?;
        state.set(&Kind::Poll.field(id), &text);
        // The numbers are those of the moment at which it closes: the engine writes them.
        let options = item.counters().len().saturating_sub(1);
        let head = text.strip_suffix('}').unwrap_or(&text);
        let mut data = vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","poll":{head},"tally":["#)];
        data.extend((1..options).map(|_| ",".to_owned()));
        data.extend([r#"],"votes":"#.to_owned(), "}}".to_owned()]);
        let fill = std::iter::once(None).chain((0..options).map(|option| Some(market::tally(&item.pool, option))));
        let fill = fill.chain([Some(market::votes(&item.pool))]).collect();
        Ok(Event { name: "poll:closed", data, fill, ..Event::default() })
    })
    .await
}

/// `poll:vote`
pub(super) async fn vote(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let id = body.id("poll")?;
    let option: usize = body.get("option", "the number of an option, from 0")?;
    let closed = || Reject::new(Code::Closed, "the poll is closed");
    let voted = take(&call, Kind::Poll, &id, async |poll: Rc<Thing<Poll>>| {
        let Poll { options, status, ends_at } = &poll.value;
        if option >= options.len() {
            return Err(Reject::field("option", &format!("0 to {}", options.len() - 1)));
        }
        if status != "open" {
            return Err(closed());
        }
        let vote = Vote {
            stream: call.stream.to_string(),
            pool: poll.pool.clone(),
            checks: poll.checks.clone(),
            user: call.caller.identity.user.id.to_string(),
            option,
            options: options.len(),
            ends: *ends_at,
        };
        stale(call.live.shared.market.vote(vote).await)
    })
    .await?;
    match voted {
        Voted::Counted(tally) => Ok(Reply(format!(r#""tally":{}"#, json(&tally)))),
        Voted::Before(option) => Err(Reject::new(Code::Conflict, format!("you have voted, for option {option}"))),
        Voted::Late => Err(closed()),
    }
}
