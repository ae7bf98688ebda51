//! The dispatch table: one command, one row. It says who may issue the command, what it needs of its stream, what its body
//! holds and what its answer adds; the description of the HTTP API is made of it.

use super::{
    chat,
    command::{Answer, Call},
    connect, drop, held, poll, product, question, reaction, sanction, staff, stats, stream, wheel,
};

/// A command.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Who may issue it.
    pub who: Who,
    /// What it needs of its stream.
    pub when: When,
    /// What it counts against.
    pub limit: Limit,
    /// Commands that the connection sends meanwhile wait until it is done.
    pub orders: bool,
    /// It needs a connection.
    pub socket: bool,
    /// Members of the body beside `stream`, separated by spaces: `text clientId? drop:Drop`. A question mark: it may be
    /// left out. Behind a colon: the name of its shape, if that is not the member's own.
    pub takes: &'static str,
    /// Members that the answer adds, in the same way.
    pub adds: &'static str,
    /// What does it.
    pub run: fn(Call) -> Answer,
}

impl Command {
    /// The member with which a client names what it asks for, so that it can ask again; `None`: there is none.
    pub fn own_name(&self) -> Option<&'static str> {
        let mut names = self.takes.split(' ').map(|member| member.trim_end_matches('?'));
        names.find(|name| matches!(*name, "requestId" | "clientId"))
    }
}

/// Who may issue a command. A service may issue every command for its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    All,
    /// Whoever has joined the stream, guests among them.
    Audience,
    /// Whoever has joined the stream, guests aside.
    Member,
    /// The stream's supplier.
    Supplier,
    /// The stream's supplier and its moderators.
    Staff,
}

/// What a command needs of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is about no stream.
    NoStream,
    /// It may be about a stream that there is not.
    Always,
    /// There is such a stream.
    Exists,
    /// It has not ended.
    NotEnded,
}

/// What a command counts against, besides the commands of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    None,
    /// The joins of the connection.
    Joins,
    /// The chat messages of the user.
    Chat,
}

/// The row of a command: name, who, when, members of the body, members of the answer, handler, what it does.
macro_rules! row {
    ($name:literal, $who:ident, $when:ident, $takes:literal => $adds:literal, $module:ident::$run:ident, $doc:literal) => {
        Command {
            name: $name,
            doc: $doc,
            who: Who::$who,
            when: When::$when,
            limit: Limit::None,
            orders: false,
            socket: false,
            takes: $takes,
            adds: $adds,
            run: |call| Box::pin($module::$run(call)),
        }
    };
}

impl Command {
    const fn limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    const fn orders(self) -> Self {
        Self { orders: true, ..self }
    }

    const fn socket(self) -> Self {
        Self { socket: true, ..self }
    }
}

/// All commands.
pub const COMMANDS: &[Command] = &[
    row!("stream:join", All, Exists, "history?" => "state me history:messages", stream::join, "Enters a stream.")
        .limit(Limit::Joins)
        .orders()
        .socket(),
    row!("stream:leave", All, Exists, "" => "", stream::leave, "Leaves a stream.").socket(),
    row!("stream:history", All, Exists, "before? limit?" => "messages", chat::history, "Reads older messages."),
    row!("stream:start", Supplier, Always, "title? products? settings?" => "state", stream::start, "Goes live."),
    row!(
        "stream:update", Supplier, Always, "title? products? settings?" => "state",
        stream::update, "Changes a stream; makes a scheduled one if there is none."
    ),
    row!("stream:end", Supplier, NotEnded, "" => "state", stream::end, "Ends a stream."),
    row!("stream:stats", Staff, Exists, "" => "stats", stats::stats, "Tells how the stream goes."),
    row!("chat:send", Member, NotEnded, "text clientId? replyTo?" => "message?:ChatMessage held?", chat::send, "Says something.")
        .limit(Limit::Chat),
    row!("reaction:send", Audience, NotEnded, "kind count?" => "accepted", reaction::send, "Taps."),
    row!("chat:delete", Staff, NotEnded, "message" => "", staff::delete, "Takes a message out."),
    row!("chat:pin", Staff, NotEnded, "message" => "", staff::pin, "Pins a message."),
    row!("chat:unpin", Staff, NotEnded, "message" => "", staff::unpin, "Unpins the pinned message."),
    row!(
        "chat:mode", Staff, NotEnded, "slowSeconds? membersOnly? paused?" => "",
        staff::mode, "Says who may chat, and how often."
    ),
    row!("chat:approve", Staff, NotEnded, "message" => "", held::approve, "Sends a message that was held."),
    row!("chat:reject", Staff, NotEnded, "message" => "", held::reject, "Drops a message that was held."),
    row!("words:set", Staff, NotEnded, "words action" => "", sanction::words, "Says which words are not wanted."),
    row!("user:mute", Staff, NotEnded, "user seconds? reason?" => "", sanction::mute, "Keeps a user from speaking."),
    row!("user:unmute", Staff, NotEnded, "user" => "", sanction::unmute, "Lets a user speak again."),
    row!("user:ban", Staff, NotEnded, "user seconds? reason?" => "", sanction::ban, "Keeps a user out."),
    row!("user:unban", Staff, NotEnded, "user" => "", sanction::unban, "Lets a user in again."),
    row!("notice:send", Staff, NotEnded, "text" => "", staff::notice, "Says something to everybody."),
    row!("product:put", Supplier, NotEnded, "product:Product" => "", product::put, "Adds or changes a product."),
    row!("product:remove", Supplier, NotEnded, "product" => "", product::remove, "Takes a product out."),
    row!("product:pin", Supplier, NotEnded, "product" => "", product::pin, "Shows a product."),
    row!("product:unpin", Supplier, NotEnded, "" => "", product::unpin, "Shows no product."),
    row!("drop:open", Supplier, NotEnded, "drop:NewDrop" => "drop:Drop", drop::open, "Opens a drop."),
    row!("drop:close", Supplier, NotEnded, "drop" => "drop:Drop", drop::close, "Closes a drop."),
    row!("drop:claim", Member, NotEnded, "drop quantity? requestId?" => "claim:Claim left", drop::claim, "Claims units."),
    row!("drop:confirm", Supplier, NotEnded, "drop claim" => "claim:Claim", drop::confirm, "Makes a claim final."),
    row!("drop:release", Supplier, NotEnded, "drop claim" => "claim:Claim", drop::release, "Gives a claim's units back."),
    row!("wheel:open", Supplier, NotEnded, "wheel:NewWheel" => "wheel:Wheel", wheel::open, "Opens a wheel."),
    row!("wheel:close", Supplier, NotEnded, "wheel" => "wheel:Wheel", wheel::close, "Closes a wheel, and shows its seed."),
    row!("wheel:spin", Member, NotEnded, "wheel requestId?" => "spin:Spin spinsLeft", wheel::spin, "Spins."),
    row!("poll:open", Supplier, NotEnded, "poll:NewPoll" => "poll:Poll", poll::open, "Opens a poll."),
    row!("poll:close", Supplier, NotEnded, "poll" => "poll:Poll", poll::close, "Closes a poll."),
    row!("poll:vote", Member, NotEnded, "poll option" => "tally", poll::vote, "Votes, once."),
    row!("question:ask", Member, NotEnded, "text" => "question:Question", question::ask, "Asks a question.")
        .limit(Limit::Chat),
    row!("question:upvote", Member, NotEnded, "question" => "question:Question", question::upvote, "Supports a question."),
    row!("question:answer", Staff, NotEnded, "question text?" => "", question::answer, "Answers a question."),
    row!("question:hide", Staff, NotEnded, "question" => "", question::hide, "Takes a question out."),
    row!("auth:refresh", All, NoStream, "token" => "", connect::refresh, "Brings another token of the same user.")
        .orders()
        .socket(),
];

/// The row of a command.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}
