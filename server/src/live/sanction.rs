//! Who may not speak in a stream, who may not be in it, and which words are not wanted there. All of it is kept in one
//! book of notes, of which every shard with members of the stream holds a copy: it is read again as soon as the book's
//! counter has changed, which every gateway hears within its next exchange, and mostly by a notice before that.
//!
//! Suppliers and services of the stream are exempt.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use haat_adapter::{Happening, Note, Noted, Notes, Request, market};
use haat_protocol::socket;
use serde::{Deserialize, Serialize};

use super::{
    Live, Order,
    audience::shift,
    body::Body,
    command::{Call, Reply},
    reject::{Code, Reject, json},
    state::value,
    text::clean,
    user_room,
    view::View,
    visitor::Visitor,
    words::{Action, Words},
};
use crate::{
    auth::{Identity, Role},
    hub::mailbox::{LocalTarget, Mail},
};

/// The book of a stream's moderation.
pub(super) const BOOK: &str = "moderation";
/// The event between servers that tells of a change in it.
pub(super) const MODERATED: &str = "haat:moderated";
/// How long other gateways may take to hear of it this way.
const NOTICE: Duration = Duration::from_secs(1);
/// The longest time of a sanction that ends, in seconds.
const MAX_SECONDS: u64 = 366 * 24 * 3600;
/// Characters of a reason.
const MAX_REASON: usize = 200;
/// Characters of a user's id.
const MAX_USER: usize = 128;
/// Words of a stream, and characters of one.
const MAX_WORDS: usize = 1_000;
/// See [`MAX_WORDS`].
const MAX_WORD: usize = 64;

/// What a shard knows of a stream's moderation.
#[derive(Debug, Default)]
pub(super) struct Moderation {
    pub revision: u64,
    /// As they are noted.
    pub notes: Vec<(Arc<str>, Arc<str>)>,
    users: HashMap<Box<str>, Sanctions>,
    pub words: Option<Words>,
}

/// What a user may not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sanctions {
    mute: Option<Sanction>,
    ban: Option<Sanction>,
}

/// Until when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sanction {
    /// `null`: until it is lifted.
    until: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct WordList {
    words: Vec<String>,
    action: Action,
}

impl Sanction {
    fn holds(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn reject(&self, code: Code, what: &str, now: u64) -> Reject {
        let retry_after = self.until.map(|until| Duration::from_millis(until.saturating_sub(now)));
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Reject { code, message: format!("{what}{reason}").into(), retry_after }
    }
}

impl Moderation {
    /// What a book says. A note that makes no sense says nothing.
    pub(super) fn of(book: Notes) -> Self {
        let mut moderation = Self { revision: book.revision, notes: book.notes, ..Self::default() };
        for (key, text) in &moderation.notes {
            if &**key == "words" {
                let list = serde_json::from_str::<WordList>(text).ok();
                moderation.words = list.map(|list| Words::new(&list.words, list.action));
            }
            let (Some((kind, user)), Ok(sanction)) = (key.split_once(':'), serde_json::from_str::<Sanction>(text))
            else {
                continue;
            };
            let sanctions = moderation.users.entry(user.into()).or_default();
            match kind {
                "mute" => sanctions.mute = Some(sanction),
                "ban" => sanctions.ban = Some(sanction),
                _ => {}
            }
        }
        moderation
    }

    fn ban(&self, user: &str, now: u64) -> Option<&Sanction> {
        self.users.get(user)?.ban.as_ref().filter(|ban| ban.holds(now))
    }

    fn mute(&self, user: &str, now: u64) -> Option<&Sanction> {
        self.users.get(user)?.mute.as_ref().filter(|mute| mute.holds(now))
    }
}

/// Whether sanctions hold for somebody.
fn is_exempt(role: Role) -> bool {
    matches!(role, Role::Supplier | Role::Service)
}

impl Live {
    /// Whether a user may be in a stream, and act there.
    ///
    /// # Errors
    /// `banned`
    pub(super) fn admits(&self, view: &View, identity: &Identity) -> Result<(), Reject> {
        if is_exempt(identity.role_in(&view.stream)) {
            return Ok(());
        }
        let now = self.shared.now();
        match view.moderation().ban(&identity.user.id, now) {
            Some(ban) => Err(ban.reject(Code::Banned, "you are banned from this stream", now)),
            None => Ok(()),
        }
    }

    /// Whether a user may say something in a stream.
    ///
    /// # Errors
    /// `muted`
    pub(super) fn hears(&self, view: &View, identity: &Identity) -> Result<(), Reject> {
        if is_exempt(identity.role_in(&view.stream)) {
            return Ok(());
        }
        let now = self.shared.now();
        match view.moderation().mute(&identity.user.id, now) {
            Some(mute) => Err(mute.reject(Code::Muted, "you are muted in this stream", now)),
            None => Ok(()),
        }
    }

    /// The moderation of a stream has changed, or may have: reads it again.
    pub(super) fn moderated(self: &Rc<Self>, stream: &str) {
        let Some(view) = self.views.known(stream) else { return };
        if view.begin_moderation() {
            let live = self.clone();
            self.begin(async move { live.read_moderation(&view).await });
        }
    }

    /// The fleet's counters say how often the book was changed.
    pub(super) fn check_moderation(self: &Rc<Self>, view: &View) {
        if value(&view.totals(), &market::book(BOOK)) != view.moderation().revision {
            self.moderated(&view.stream);
        }
    }

    async fn read_moderation(self: &Rc<Self>, view: &Rc<View>) {
        // Whoever asks meanwhile is served by another reading.
        while view.moderation_due() {
            let Ok(book) = self.shared.market.notes(&view.stream, BOOK).await else {
                // The next exchange with the fleet tries again.
                view.end_moderation();
                return;
            };
            let before = view.set_moderation(Rc::new(Moderation::of(book)));
            self.enforce(view, &before);
        }
    }

    /// Tells the users here of what has changed for them, and takes those out who are banned.
    fn enforce(self: &Rc<Self>, view: &Rc<View>, before: &Moderation) {
        let (after, now) = (view.moderation(), self.shared.now());
        let users = before.users.keys().chain(after.users.keys().filter(|user| !before.users.contains_key(*user)));
        for user in users {
            let (old, new) = (before.users.get(user), after.users.get(user));
            if old == new {
                continue;
            }
            let mute = |sanctions: Option<&Sanctions>| sanctions.and_then(|sanctions| sanctions.mute.clone());
            let ban = after.ban(user, now);
            if ban.is_some() {
                self.evict_user(view, user, ban);
            } else if mute(old) != mute(new) {
                // One that is lifted ends now.
                let mute = mute(new).unwrap_or(Sanction { until: Some(now), reason: None });
                self.tell_user(view, user, "user:muted", &mute);
            }
        }
    }

    /// The sockets of a user here that have joined a stream and are not exempt.
    fn seats(&self, view: &View, user: &str) -> Vec<(crate::room::At, Rc<Visitor>)> {
        let target = LocalTarget { namespace: 0, rooms: vec![user_room(user).into()], except: Vec::new() };
        let sockets = self.rooms.select(&target).into_iter();
        let sockets = sockets.filter_map(|at| Some((at, self.rooms.data::<Visitor>(at)?)));
        sockets
            .filter(|(_, visitor)| {
                visitor.view(&view.stream).is_some() && !is_exempt(visitor.identity().role_in(&view.stream))
            })
            .collect()
    }

    fn tell_user(&self, view: &View, user: &str, event: &str, sanction: &Sanction) {
        let text = told(view, event, sanction);
        for (at, _) in self.seats(view, user) {
            self.rooms.emit(at.key, &socket::event_pieces("/", &[&text]));
        }
    }

    fn evict_user(self: &Rc<Self>, view: &Rc<View>, user: &str, ban: Option<&Sanction>) {
        let Some(ban) = ban else { return };
        let text = told(view, "user:banned", ban);
        for (at, visitor) in self.seats(view, user) {
            self.leave_stream(at, &visitor, &view.stream);
            self.rooms.emit(at.key, &socket::event_pieces("/", &[&text]));
        }
    }

    /// Tells a socket that its user is banned from a stream, of which it was told nothing while it was away.
    pub(super) fn tell_banned(&self, at: crate::room::At, view: &View) {
        let Some(visitor) = self.rooms.data::<Visitor>(at) else { return };
        if let Some(ban) = view.moderation().ban(&visitor.identity().user.id, self.shared.now()) {
            self.rooms.emit(at.key, &socket::event_pieces("/", &[&told(view, "user:banned", ban)]));
        }
    }

    /// Takes a socket out of a stream. Says whether it was in it.
    pub(super) fn leave_stream(self: &Rc<Self>, at: crate::room::At, visitor: &Rc<Visitor>, stream: &str) -> bool {
        let Some(joined) = visitor.leave(stream) else { return false };
        self.rooms.leave(at, &joined.view.room);
        self.rooms.leave(at, &super::staff_room(stream));
        shift(self, &joined.view, &visitor.identity().user.id, joined.viewer, false);
        self.save(at, visitor);
        true
    }

    /// Tells all shards and gateways that the moderation of a stream has changed.
    pub(super) fn spread_moderation(self: &Rc<Self>, stream: &str) {
        for shard in (0..self.rooms.hub.shards()).filter_map(|shard| u8::try_from(shard).ok()) {
            if shard != self.rooms.shard {
                let _ = self.rooms.hub.send(shard, Mail::App(Box::new(Order::Moderated(stream.into()))));
            }
        }
        let (live, args) = (self.clone(), json(&[MODERATED, stream]));
        self.begin(async move {
            let notice = Request::ServerSideEmit { namespace: "/".to_owned(), args, ack: false };
            let _ = live.shared.adapter.request(notice, NOTICE).await;
        });
    }
}

fn told(view: &View, event: &str, sanction: &Sanction) -> String {
    let Sanction { until, reason } = sanction;
    let reason = reason.as_ref().map(|reason| format!(r#","reason":{}"#, json(reason))).unwrap_or_default();
    format!(r#"["{event}",{{"stream":"{}","until":{}{reason}}}]"#, view.stream, json(until))
}

// --- commands ---

/// `user:mute`
pub(super) async fn mute(call: Call) -> Result<Reply, Reject> {
    sanction(&call, "mute", "user:mute").await
}

/// `user:unmute`: one who was not muted is `not_found`.
pub(super) async fn unmute(call: Call) -> Result<Reply, Reject> {
    lift(&call, "mute", "user:unmute").await
}

/// `user:ban`
pub(super) async fn ban(call: Call) -> Result<Reply, Reject> {
    sanction(&call, "ban", "user:ban").await
}

/// `user:unban`: one who was not banned is `not_found`.
pub(super) async fn unban(call: Call) -> Result<Reply, Reject> {
    lift(&call, "ban", "user:unban").await
}

fn user(body: &Body<'_>) -> Result<String, Reject> {
    let wanted = "a user's id: 1 to 128 characters";
    let user: String = body.get("user", wanted)?;
    let good = !user.is_empty() && user.chars().nth(MAX_USER).is_none() && !user.chars().any(char::is_control);
    if good { Ok(user) } else { Err(Reject::field("user", wanted)) }
}

async fn sanction(call: &Call, kind: &str, command: &str) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let user = user(&body)?;
    let seconds = body.optional::<u64>("seconds", "a whole number of seconds")?;
    if seconds.is_some_and(|seconds| seconds == 0 || seconds > MAX_SECONDS) {
        return Err(Reject::field("seconds", &format!("1 to {MAX_SECONDS} seconds")));
    }
    let reason = body.optional::<String>("reason", "a text")?.filter(|reason| !reason.trim().is_empty());
    let reason = reason.map(|reason| clean("reason", &reason, MAX_REASON)).transpose()?;
    let view = call.view()?;
    let supplier = view.field("supplier").is_some_and(|supplier| {
        supplier.strip_prefix(r#"{"id":"#).is_some_and(|rest| rest.starts_with(&format!("{},", json(&user))))
    });
    if user == *call.caller.identity.user.id || supplier {
        return Err(Reject::new(Code::Forbidden, "neither oneself nor the supplier"));
    }
    let until = seconds.map(|seconds| call.live.shared.now() + seconds * 1000);
    let text = json(&Sanction { until, reason: reason.clone() });
    let record = json(&serde_json::json!({ "user": user, "until": until, "reason": reason }));
    let note = Note { key: format!("{kind}:{user}"), text: Some(text), until, ..Note::default() };
    write(call, command, record, note).await?;
    Ok(Reply::default())
}

async fn lift(call: &Call, kind: &str, command: &str) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let user = user(&body)?;
    let key = format!("{kind}:{user}");
    let book = call.live.shared.market.notes(&call.stream, BOOK).await?;
    if !book.notes.iter().any(|(known, _)| **known == *key) {
        return Err(Reject::not_found("user"));
    }
    let record = json(&serde_json::json!({ "user": user }));
    write(call, command, record, Note { key, ..Note::default() }).await?;
    Ok(Reply::default())
}

/// `words:set`: these words in place of those before; none of them switches it off.
pub(super) async fn words(call: Call) -> Result<Reply, Reject> {
    let body = Body::parse(&call.body)?;
    let words: Vec<String> = body.get("words", "a list of texts")?;
    let action: Action = body.get("action", "\"reject\", \"mask\" or \"hold\"")?;
    if words.len() > MAX_WORDS {
        return Err(Reject::new(Code::TooLarge, format!("\"words\" are more than {MAX_WORDS}")));
    }
    let words = words.iter().map(|word| clean("words", word, MAX_WORD)).collect::<Result<Vec<_>, _>>()?;
    let text = json(&WordList { words, action });
    write(&call, "words:set", text.clone(), Note { key: "words".to_owned(), text: Some(text), ..Note::default() })
        .await?;
    Ok(Reply::default())
}

/// Writes into the book, and has it read everywhere; here before this returns.
async fn write(call: &Call, command: &str, record: String, note: Note) -> Result<(), Reject> {
    let record = Happening { kind: command.to_owned(), by: call.by(), data: record };
    let stream = call.stream.to_string();
    let note = Note { stream, book: BOOK.to_owned(), record: Some(record), ..note };
    let Noted::Done(_) = call.live.shared.market.note(note).await? else {
        return Err(Reject::new(Code::Conflict, "others moderate the stream at the same time"));
    };
    call.live.spread_moderation(&call.stream);
    let view = call.view()?;
    if view.begin_moderation() {
        call.live.read_moderation(&view).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(notes: &[(&str, &str)]) -> Moderation {
        let notes = notes.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
        Moderation::of(Notes { revision: 3, notes })
    }

    #[test]
    fn a_sanction_holds_until_its_time() {
        let moderation = book(&[
            ("ban:ana", r#"{"until":null}"#),
            ("ban:bo", r#"{"until":100,"reason":"spam"}"#),
            ("mute:a:b", r#"{"until":100}"#),
            ("mute:broken", "5"),
            ("words", r#"{"words":["x"],"action":"hold"}"#),
        ]);
        let banned = |user, now| moderation.ban(user, now).is_some();
        assert!(banned("ana", 0) && banned("ana", u64::MAX));
        assert!(banned("bo", 99) && !banned("bo", 100) && !banned("chi", 0));
        assert!(moderation.mute("a:b", 99).is_some() && moderation.mute("broken", 0).is_none());
        assert_eq!((moderation.revision, moderation.words.map(|words| words.action)), (3, Some(Action::Hold)));
    }
}
