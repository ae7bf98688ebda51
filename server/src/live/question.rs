//! Questions of viewers, which others support, and which staff answer or hide. The votes of a question change all the time;
//! its event tells of them only now and then, so that a crowd that votes is no crowd of messages.

use std::{rc::Rc, sync::Arc};

use haat_adapter::{Append, Check, Counter, Entry, StoreError, Totals, Vote, Voted, market};
use haat_protocol::Id;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Live,
    body::Body,
    chat::{append_to, screen, standing},
    command::{Call, Reply},
    edit::{Event, REVISION, State, edit},
    opening::{Thing, named, shown, stale, take},
    reject::{Code, Reject, json},
    state::{Item, Kind},
    text::clean,
    view::View,
};

/// Characters of a question, and of an answer.
const MAX_TEXT: usize = 500;
/// Questions of a stream. The oldest that is answered makes room for a new one.
const MAX_QUESTIONS: usize = 200;
/// Entries that are looked through for a question that is hidden.
const PAGE: usize = 500;
/// How often, at most.
const PAGES: usize = 10;

/// What is read of a question's field.
#[derive(Deserialize)]
struct Question {
    status: String,
}

/// `question:ask`
pub(super) async fn ask(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let text = clean("text", &body.get::<String>("text", "a text")?, MAX_TEXT)?;
    let view = call.view()?;
    let (text, held) = screen(&call, &view, text)?;
    if held {
        // Only messages wait for a moderator.
        return Err(Reject::new(Code::Rejected, "these words are not allowed here"));
    }
    let random = Id::random().map_err(|_| Reject::new(Code::Internal, "no randomness"))?;
    let id = format!("q{random}");
    let user = &call.caller.identity.user;
    let question = format!(
        r#"{{"at":{},"id":"{id}","text":{},"user":{{"id":{},"name":{}}},"status":"open","votes":0}}"#,
        call.live.shared.now(),
        json(&text),
        json(&user.id),
        json(&user.name)
    );
    let mut set = vec![(Kind::Question.field(&id), Some(vec![question.clone()]))];
    // Who changes the stream as a whole has to see that it has changed. Askers need not wait for each other.
    set.push((REVISION.to_owned(), Some(vec![String::new(), String::new()])));
    let mut forget = Vec::new();
    let outline = view.outline();
    let questions: Vec<&Item> = outline.items.iter().filter(|item| item.kind == Kind::Question).collect();
    if questions.len() >= MAX_QUESTIONS {
        let answered = questions.iter().find(|item| *item.status == *"answered");
        let answered =
            answered.ok_or_else(|| Reject::new(Code::LimitReached, "too many questions wait for an answer"))?;
        forget.extend(answered.counters());
        set.push((Kind::Question.field(&answered.id), None));
    }
    let append = Append {
        stream: call.stream.to_string(),
        event: "question:asked".to_owned(),
        data: vec![format!(r#"{{"stream":"{}","seq":"#, call.stream), format!(r#","question":{question}}}"#)],
        set,
        checks: standing(),
        forget,
        ..Append::default()
    };
    Ok(shown(&append_to(&call, append).await?.0, Kind::Question))
}

/// `question:upvote`
pub(super) async fn upvote(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Question)?;
    let (voted, field, text) = take(&call, Kind::Question, &id, async |question: Rc<Thing<Question>>| {
        if question.value.status != "open" {
            return Err(Reject::new(Code::Closed, "the question is answered"));
        }
        let vote = Vote {
            stream: call.stream.to_string(),
            pool: question.pool.clone(),
            checks: question.checks.clone(),
            user: call.caller.identity.user.id.to_string(),
            options: 1,
            ..Vote::default()
        };
        let voted = stale(call.live.shared.market.vote(vote).await)?;
        Ok(voted.map(|voted| (voted, Kind::Question.field(&id), question.text.clone())))
    })
    .await?;
    let (Voted::Counted(votes), Some(item)) = (voted, Item::of(&field, &text)) else {
        return Err(Reject::new(Code::Conflict, "you have voted for it"));
    };
    let votes = Counter { name: market::votes(&item.pool), value: votes.first().copied().unwrap_or(0) };
    let totals = Totals { counters: vec![votes], ..Totals::default() };
    Ok(Reply(format!(r#""question":{}"#, item.text(&totals))))
}

/// `question:answer`: with a text, or without one if it was answered aloud. It can be answered again.
pub(super) async fn answer(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Question)?;
    let text = Body::parse(&call.body)?.optional::<String>("text", "a text")?;
    let text = text.map(|text| clean("text", &text, MAX_TEXT)).transpose()?;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        update(state, &call.stream, &id, |question| {
            question["status"] = "answered".into();
            if let Some(text) = &text {
                question["answer"] = text.as_str().into();
            }
        })
    })
    .await?;
    Ok(Reply::default())
}

/// `question:hide`: it is gone, from the log too.
pub(super) async fn hide(call: Call) -> Result<Reply, Reject> {
    let id = named(&call, Kind::Question)?;
    let entries = entries(&call, &id).await?;
    edit(&call.live, &call.stream, Some(call.by()), |state| {
        let field = Kind::Question.field(&id);
        let item = state.get(&field).and_then(|text| Item::of(&field, text));
        let item = item.ok_or_else(|| Reject::not_found("question"))?;
        state.remove(&field);
        let members = format!(r#""question":{{"id":"{id}","status":"hidden"}}"#);
        let event = Event::new("question:updated", &call.stream, &members);
        // Numbers of another life of the log are other entries' now.
        let here = entries.iter().filter(|entry| entry.position.epoch == state.epoch);
        Ok(Event { erase: here.map(|entry| entry.position.seq).collect(), forget: item.counters(), ..event })
    })
    .await?;
    Ok(Reply::default())
}

/// The entries that show a question.
async fn entries(call: &Call, id: &str) -> Result<Vec<Arc<Entry>>, Reject> {
    let (mut found, shows) = (Vec::new(), format!(r#""id":"{id}""#));
    for event in ["question:asked", "question:updated"] {
        let mut before = None;
        for _ in 0..PAGES {
            let page = call.live.shared.store.history(&call.stream, event, before, PAGE).await?;
            found.extend(page.iter().filter(|entry| entry.data.contains(&shows)).cloned());
            before = page.first().map(|entry| entry.position.seq);
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(found)
}

/// Changes a question in the state, and shows it with the votes that it has at that moment.
fn update(state: &mut State, stream: &str, id: &str, change: impl FnOnce(&mut Value)) -> Result<Event, Reject> {
    let field = Kind::Question.field(id);
    let gone = || Reject::not_found("question");
    let text = state.get(&field).ok_or_else(gone)?;
    let item = Item::of(&field, text).ok_or_else(gone)?;
    let mut question: Value = serde_json::from_str(text).map_err(|_| gone())?;
    change(&mut question);
    // The votes are the last member, where they are cut off and written anew.
    let votes = question.as_object_mut().and_then(|question| question.remove("votes")).unwrap_or_default();
    let text = json(&question);
    let head = text.strip_suffix('}').unwrap_or(&text);
    state.set(&field, &format!(r#"{head},"votes":{votes}}}"#));
    let data =
        vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","question":{head},"votes":"#), "}}".to_owned()];
    let fill = vec![None, Some(market::votes(&item.pool))];
    Ok(Event { name: "question:updated", data, fill, ..Event::default() })
}

/// Tells of the questions whose votes have changed since they were shown last.
pub(super) async fn tell_votes(live: &Rc<Live>, view: &View) {
    let totals = view.totals();
    for item in view.outline().items.iter().filter(|item| item.kind == Kind::Question) {
        let votes = item.votes(&totals).map_or(0, |(_, votes)| votes);
        let field = Kind::Question.field(&item.id);
        let Some(text) = view.field(&field).filter(|_| votes != item.votes) else { continue };
        if tell(live, &view.stream, &field, text, votes).await.is_none() {
            return;
        }
    }
}

/// `None`: the store did not answer, or the question makes no sense. That another gateway was faster is no failure.
async fn tell(live: &Rc<Live>, stream: &Arc<str>, field: &str, text: Arc<str>, votes: u64) -> Option<()> {
    let mut question: Value = serde_json::from_str(&text).ok()?;
    let object = question.as_object_mut()?;
    object.remove("votes");
    object.insert("votes".to_owned(), votes.into());
    let shown = json(&question);
    let data = vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","question":{shown}}}"#)];
    let append = Append {
        stream: stream.to_string(),
        event: "question:updated".to_owned(),
        data,
        set: vec![
            (field.to_owned(), Some(vec![shown])),
            (REVISION.to_owned(), Some(vec![String::new(), String::new()])),
        ],
        checks: vec![Check::Is(field.to_owned(), Some(text.to_string()))],
        ..Append::default()
    };
    match live.shared.store.append(append).await {
        Ok(_) | Err(StoreError::Conflict(_)) => Some(()),
        Err(_) => None,
    }
}
