//! From what somebody sends to the handler of a command, and back to the answer. Sockets and HTTP share the way, so that a
//! command means the same on both; the rows of the table say who may issue it, when, and how often, and its handler does
//! the rest. A command must never end a connection.

use std::{borrow::Cow, collections::VecDeque, future::Future, rc::Rc, sync::Arc, time::Instant};

use futures::{FutureExt, future::LocalBoxFuture};
use haat_protocol::{packet::Event, socket};

use super::{
    Live,
    body::Body,
    reject::{Code, Reject, json},
    table::{Command, Limit, When, Who, find},
    view::View,
    visitor::{Visitor, Waiting},
};
use crate::{
    auth::{Identity, Role},
    metrics,
    room::At,
};

/// Longest name of an event that is looked up.
const MAX_NAME: usize = 64;
/// Commands that may wait for a join before them.
const MAX_WAITING: usize = 64;

/// What a handler comes to.
pub type Answer = LocalBoxFuture<'static, Result<Reply, Reject>>;

/// What a command is answered with beside `ok`: members of a JSON object without the braces, `"a":1,"b":2`, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply(pub String);

impl Reply {
    /// The whole object of the answer.
    pub fn json(&self) -> String {
        let comma = if self.0.is_empty() { "" } else { "," };
        format!(r#"{{"ok":true{comma}{}}}"#, self.0)
    }
}

impl Reject {
    /// The whole object of the answer.
    pub fn answer(&self) -> String {
        format!(r#"{{"ok":false,"error":{}}}"#, self.json())
    }
}

/// Who issues a command.
#[derive(Clone)]
pub struct Caller {
    /// The user.
    pub identity: Rc<Identity>,
    /// The socket; `None` over HTTP.
    pub socket: Option<(At, Rc<Visitor>)>,
}

/// A command on its way to its handler.
pub struct Call {
    /// The shard's application.
    pub live: Rc<Live>,
    /// Who issues it.
    pub caller: Caller,
    /// The stream that it is about; empty for a command about none.
    pub stream: Arc<str>,
    /// The stream's view, for commands that need the stream to be there.
    pub view: Option<Rc<View>>,
    /// The JSON object.
    pub body: Box<str>,
}

impl Call {
    /// The socket that issues it.
    ///
    /// # Errors
    /// Over HTTP there is none.
    pub fn socket(&self) -> Result<(At, Rc<Visitor>), Reject> {
        let socket = self.caller.socket.clone();
        socket.ok_or_else(|| Reject::new(Code::BadRequest, "this command needs a connection"))
    }

    /// The stream's view.
    ///
    /// # Errors
    /// The row of the command asks for none.
    pub fn view(&self) -> Result<Rc<View>, Reject> {
        self.view.clone().ok_or_else(|| Reject::new(Code::Internal, "the stream was not loaded"))
    }

    /// Who issues it, as the ledger has it.
    pub fn by(&self) -> String {
        let user = &self.caller.identity.user;
        format!(r#"{{"id":{},"name":{},"role":"{}"}}"#, json(&user.id), json(&user.name), self.role())
    }

    /// The caller's role in the stream.
    pub fn role(&self) -> Role {
        self.caller.identity.role_in(&self.stream)
    }
}

impl Live {
    /// Runs a command for whoever may: the way of HTTP, and of sockets once their own limits are kept.
    pub fn issue(self: &Rc<Self>, caller: Caller, name: &str, body: &str) -> Answer {
        let begun = Instant::now();
        match self.admit(caller, name, body) {
            Ok((command, call)) => Box::pin(async move {
                let result = perform(command, call).await;
                let outcome = result.as_ref().err().map_or("ok", |reject| reject.code.as_str());
                metrics::command(command.name, outcome, begun.elapsed());
                result
            }),
            Err(reject) => Box::pin(std::future::ready(Err(reject))),
        }
    }

    /// Polls a future once, and goes on with it in the background if it is not done. What the handlers begin, they so
    /// begin in the order in which the commands came.
    pub(super) fn begin(&self, future: impl Future<Output = ()> + 'static) {
        let mut future = Box::pin(future);
        if (&mut future).now_or_never().is_none() {
            tokio::task::spawn_local(future);
        }
    }

    /// An event of a client.
    pub(super) fn received(self: &Rc<Self>, at: At, event: Event<'_>) {
        let Some(visitor) = self.rooms.data::<Visitor>(at) else { return };
        let body = match (&event.first, event.attachments.is_empty(), event.name.len() <= MAX_NAME) {
            (Some(first), true, true) => first.clone(),
            (_, false, _) => return self.refuse(at, event.id, &event.name, "a command takes no bytes"),
            (_, _, false) => return self.refuse(at, event.id, &event.name, "the event's name is too long"),
            (None, ..) => return self.refuse(at, event.id, &event.name, "a command takes one object"),
        };
        self.submit(at, &visitor, event.id, event.name, body);
    }

    /// Answers an event that cannot be a command. It counts as one.
    pub(super) fn refuse(&self, at: At, id: Option<u64>, name: &str, why: &'static str) {
        let Some(visitor) = self.rooms.data::<Visitor>(at) else { return };
        let reject = match self.charge(&visitor) {
            Ok(()) => Reject::new(Code::BadRequest, why),
            Err(reject) => reject,
        };
        let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(end, _)| end);
        self.reply(at, id, name.get(..end).unwrap_or_default(), Err(reject));
    }

    fn submit(self: &Rc<Self>, at: At, visitor: &Rc<Visitor>, id: Option<u64>, name: Cow<'_, str>, body: Cow<'_, str>) {
        if let Some(backlog) = &mut *visitor.backlog.borrow_mut() {
            if backlog.len() < MAX_WAITING {
                backlog.push_back(Waiting { id, name: name.into(), body: body.into() });
            } else {
                self.reply(at, id, &name, Err(Reject::rate_limited(std::time::Duration::from_secs(1))));
            }
            return;
        }
        let caller = Caller { identity: visitor.identity(), socket: Some((at, visitor.clone())) };
        let mut answer = match self.charge(visitor) {
            Ok(()) => self.issue(caller, &name, &body),
            Err(reject) => return self.reply(at, id, &name, Err(reject)),
        };
        if let Some(result) = (&mut answer).now_or_never() {
            return self.reply(at, id, &name, result);
        }
        let orders = find(&name).is_some_and(|command| command.orders);
        if orders {
            *visitor.backlog.borrow_mut() = Some(Box::default());
        }
        let (live, visitor, name) = (self.clone(), visitor.clone(), name.into_owned());
        visitor.unanswered.set(visitor.unanswered.get() + 1);
        tokio::task::spawn_local(async move {
            let result = answer.await;
            visitor.unanswered.set(visitor.unanswered.get() - 1);
            // The handler's last step and its answer are one: nothing is broadcast between them.
            if live.is_here(at, &visitor) {
                live.reply(at, id, &name, result);
            }
            if orders {
                live.catch_up(at, &visitor);
            }
        });
    }

    /// Runs what waited for a command that is done now.
    fn catch_up(self: &Rc<Self>, at: At, visitor: &Rc<Visitor>) {
        let waiting: VecDeque<Waiting> = visitor.backlog.take().map(|backlog| *backlog).unwrap_or_default();
        for Waiting { id, name, body } in waiting {
            if !self.is_here(at, visitor) {
                return;
            }
            self.submit(at, visitor, id, Cow::Owned(name.into()), Cow::Owned(body.into()));
        }
    }

    /// Whether the socket is still this visitor's. It may have left its namespace, and another may have come in its place.
    fn is_here(&self, at: At, visitor: &Rc<Visitor>) -> bool {
        self.rooms.data::<Visitor>(at).is_some_and(|current| Rc::ptr_eq(&current, visitor))
    }

    /// Tells the client what came of its command.
    fn reply(&self, at: At, id: Option<u64>, name: &str, result: Result<Reply, Reject>) {
        if let Err(reject) = &result {
            metrics::refused("command", reject.code.as_str());
        }
        let namespace = self.rooms.hub.namespace_name(at.namespace);
        let frame = match (id, result) {
            (Some(id), Ok(reply)) => socket::ack(namespace, id, &format!("[{}]", reply.json()), &[]),
            (Some(id), Err(reject)) => socket::ack(namespace, id, &format!("[{}]", reject.answer()), &[]),
            (None, Ok(_)) => return,
            (None, Err(reject)) => {
                let args = format!(r#"["error:command",{{"command":{},"error":{}}}]"#, json(&name), reject.json());
                socket::event(namespace, None, &args, &[])
            }
        };
        self.rooms.emit(at.key, &frame);
    }

    // --- may it be done? ---

    /// Counts a command against its connection. Staff have a limit of their own.
    fn charge(&self, visitor: &Visitor) -> Result<(), Reject> {
        let limits = &self.shared.limits;
        let staff = visitor.identity.borrow().role != Role::Viewer;
        let now = Instant::now();
        let taken = visitor.buckets(|buckets| {
            if staff { buckets.staff.take(&limits.staff, now) } else { buckets.events.take(&limits.events, now) }
        });
        taken.map_err(Reject::rate_limited)
    }

    /// Checks what can be checked without the stream.
    fn admit(self: &Rc<Self>, caller: Caller, name: &str, body: &str) -> Result<(&'static Command, Call), Reject> {
        let command = find(name).ok_or_else(|| Reject::not_found("command"))?;
        if caller.socket.as_ref().is_some_and(|(at, _)| at.namespace != 0) || command.socket && caller.socket.is_none()
        {
            return Err(Reject::not_found("command"));
        }
        let fields = Body::parse(body)?;
        let stream = if command.when == When::NoStream { String::new() } else { fields.id("stream")? };
        let role = caller.identity.role_in(&stream);
        let allowed = match command.who {
            Who::All | Who::Audience => true,
            Who::Member => !caller.identity.is_guest(),
            Who::Supplier => matches!(role, Role::Supplier | Role::Service),
            Who::Staff => role != Role::Viewer,
        };
        if !allowed && caller.identity.is_guest() {
            return Err(Reject::new(Code::Unauthorized, "guests may not do this"));
        }
        if !allowed {
            return Err(Reject::new(Code::Forbidden, "your role does not allow this"));
        }
        if let (Limit::Joins, Some((_, visitor))) = (command.limit, &caller.socket) {
            let now = Instant::now();
            let taken = visitor.buckets(|buckets| buckets.joins.take(&self.shared.limits.joins, now));
            taken.map_err(Reject::rate_limited)?;
        }
        let call = Call { live: self.clone(), caller, stream: stream.into(), view: None, body: body.into() };
        Ok((command, call))
    }
}

/// Checks what needs the stream, and runs the handler.
async fn perform(command: &'static Command, mut call: Call) -> Result<Reply, Reject> {
    if matches!(command.when, When::Exists | When::NotEnded) {
        let joined = call.caller.socket.as_ref().and_then(|(_, visitor)| visitor.view(&call.stream));
        let joins = matches!(command.who, Who::Audience | Who::Member)
            && call.caller.socket.is_some()
            && call.role() != Role::Service;
        let view = match joined {
            Some(view) => view,
            None if joins => {
                // Whoever is banned is told so, in or out.
                let view = call.live.views.ready(&call.stream).await?;
                call.live.admits(&view, &call.caller.identity)?;
                return Err(Reject::new(Code::NotJoined, "join the stream first"));
            }
            None => {
                let view = call.live.views.ready(&call.stream).await?;
                // Without members too, this shard hears of the stream's numbers, and so of its moderation.
                call.live.tally(&view.stream, None);
                view
            }
        };
        if let Some((at, visitor)) = &call.caller.socket
            && !call.live.is_here(*at, visitor)
        {
            return Err(Reject::new(Code::Internal, "the connection is gone"));
        }
        if command.when == When::NotEnded && view.is_ended() {
            return Err(ended());
        }
        call.live.admits(&view, &call.caller.identity)?;
        call.stream = view.stream.clone();
        call.view = Some(view);
    }
    if command.limit == Limit::Chat && call.role() == Role::Viewer {
        call.live.shared.chat_limit(&call.caller.identity.user.id).map_err(Reject::rate_limited)?;
    }
    (command.run)(call).await
}

/// The stream is over.
pub(super) fn ended() -> Reject {
    Reject::new(Code::Ended, "the stream has ended")
}
