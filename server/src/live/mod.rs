//! What happens inside a stream. One [`Live`] per shard is the application of its sockets: it lets them in, runs their
//! commands, and gives them what the log and the fleet say. It must never wait: what takes time is a future of its own.
//!
//! | file | holds |
//! |---|---|
//! | [`table`], [`command`] | the dispatch table, one command a row; and the way from a client to a handler and back |
//! | [`ask`] | what the HTTP API asks of a shard |
//! | [`body`], [`reject`] | what a command carries, and why one is not done |
//! | `connect` | tokens, guests, expiry, connections of one user |
//! | `recovery` | sessions that come back |
//! | `outage` | what is said while the gateway is cut off |
//! | [`view`], [`views`] | what a shard knows of a stream, and how it stays in step with the log |
//! | `stream`, `audience`, `spread` | the life of a stream, who is in it, and the numbers that are spread |
//! | `chat`, `held`, `words`, `sanction`, `staff` | what is said, and how it is kept in order |
//! | `product`, `drop`, `soldout`, `purchase`, `stats` | what is for sale, who gets it, and how it goes |
//! | `wheel`, [`fair`] | what can be won, and why nobody can know it before |
//! | `reaction`, `poll`, `question` | what viewers tap, choose and ask |
//! | `opening`, `clockwork` | what is opened and closed, and when |
//! | [`hooks`] | who is woken when the ledger has something new |
//! | `edit` | changes of a stream's state |
//! | `visitor`, `agenda` | what is kept with a socket, and what is due for it later |
//! | `state`, `offset`, [`text`] | shapes and texts |

mod agenda;
pub mod ask;
mod audience;
pub mod body;
mod chat;
mod clockwork;
pub mod command;
mod connect;
mod drop;
mod edit;
pub mod fair;
mod held;
pub mod hooks;
mod offset;
mod opening;
mod outage;
mod poll;
mod product;
mod purchase;
mod question;
mod reaction;
mod recovery;
pub mod reject;
mod sanction;
mod soldout;
mod spread;
mod staff;
mod state;
mod stats;
mod stream;
pub mod table;
pub mod text;
pub mod view;
pub mod views;
mod visitor;
mod wheel;
mod words;

use std::{
    any::Any,
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use haat_adapter::{Adapter, Broadcast, Entry, Flags, Market, QueueFull, Share, Store, StoreError, Target, Totals};
use haat_protocol::{Frame, Id, error::Rejection, packet::Event, socket};
use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};

use crate::{
    auth::Verifier,
    close::CloseReason,
    config::{Config, Limits},
    hub::{Hub, mailbox::LocalTarget},
    limit::Limiters,
    room::{
        At, Rooms,
        app::{App, Left, ServerEvent},
    },
    transport::SessionKey,
};
use agenda::{Agenda, Due};
use ask::Ask;
use audience::{Fleet, Report, Tally};
use connect::Presence;
use hooks::Hooks;
use purchase::Purchases;
use soldout::SoldOut;
use views::Views;
use visitor::Visitor;
use wheel::Seeds;

pub use audience::audience;
pub use offset::{event_frame, frame_of};

/// How often the views are looked after.
const SWEEP: Duration = Duration::from_secs(1);
/// A state is sent at most so often, whatever the configuration says.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// The room of a stream's viewers.
pub fn stream_room(stream: &str) -> String {
    format!("stream:{stream}")
}

/// The room of a stream's suppliers, moderators and services.
pub fn staff_room(stream: &str) -> String {
    format!("staff:{stream}")
}

/// The room of all connections of a user.
pub fn user_room(user: &str) -> String {
    format!("user:{user}")
}

/// What the shards of a gateway share.
pub struct Shared {
    /// What the fleet agrees on.
    pub store: Arc<dyn Store>,
    /// What the fleet decides in a live sale.
    pub market: Arc<dyn Market>,
    /// The way to the other gateways.
    pub adapter: Arc<dyn Adapter>,
    /// Who a token names.
    pub verifier: Verifier,
    hooks: Hooks,
    name: String,
    hub: Arc<Hub>,
    limiters: Limiters,
    limits: Limits,
    /// Kinds of reactions.
    reactions: Vec<String>,
    sold_out: SoldOut,
    purchases: Purchases,
    seeds: Seeds,
    recovery: Duration,
    state_interval: Duration,
    reports: mpsc::Sender<Report>,
    inbox: Mutex<Option<audience::Reports>>,
    presence: Presence,
    /// The gateway is cut off from the fleet.
    cut_off: AtomicBool,
}

impl Shared {
    /// What the shards of the gateway `name` share. The configuration says who may come in, how much a client may do, and
    /// how long a session that broke off can come back.
    pub fn new(
        config: &Config,
        name: &str,
        (verifier, hooks): (Verifier, Hooks),
        (store, market): (Arc<dyn Store>, Arc<dyn Market>),
        adapter: Arc<dyn Adapter>,
        hub: Arc<Hub>,
    ) -> Arc<Self> {
        let (reports, inbox) = audience::reports();
        Arc::new(Self {
            store,
            market,
            adapter,
            name: name.to_owned(),
            hub,
            verifier,
            hooks,
            limiters: Limiters::new(&config.limits),
            limits: config.limits.clone(),
            reactions: config.reactions.clone(),
            sold_out: SoldOut::default(),
            purchases: Purchases::default(),
            seeds: Seeds::default(),
            recovery: config.recovery,
            state_interval: config.fanout.state_interval.max(LEAST_INTERVAL),
            reports,
            inbox: Mutex::new(Some(inbox)),
            presence: Presence::default(),
            cut_off: AtomicBool::new(false),
        })
    }

    /// The name of this gateway.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether sessions can come back.
    fn recovery_on(&self) -> bool {
        !self.recovery.is_zero()
    }

    /// The time of the fleet, in ms since 1970.
    fn now(&self) -> u64 {
        self.market.now()
    }

    /// The numbers of a stream at this moment, read without a share in them.
    ///
    /// # Errors
    /// The store's.
    pub async fn totals(&self, stream: &str) -> Result<Totals, StoreError> {
        let totals = self.all_totals(&[stream.to_owned()]).await?;
        Ok(totals.into_iter().next().unwrap_or_default())
    }

    /// The same of many streams, in one round trip.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all_totals(&self, streams: &[String]) -> Result<Vec<Totals>, StoreError> {
        let share = |stream: &String| Share { stream: stream.clone(), ..Share::default() };
        // Under a name of its own, so that the share of this gateway stays what it is.
        let reader = format!("{}/reader", self.name);
        let totals = self.store.sync(&reader, Duration::ZERO, streams.iter().map(share).collect()).await;
        totals.into_iter().collect()
    }

    /// Gives an event to a room of the main namespace, on all gateways. Who is out of reach does not get it.
    fn tell(&self, room: &str, event: &str) {
        // A gateway whose link is that far behind is out of reach.
        let _ = self.broadcast(&[room.to_owned()], &[], event);
    }

    /// Gives an event, the JSON array of its name and arguments, to all sockets in these rooms of the main namespace but
    /// those in `except`, on all gateways.
    ///
    /// # Errors
    /// [`QueueFull`]: the other gateways do not get it.
    pub fn broadcast(&self, rooms: &[String], except: &[String], event: &str) -> Result<(), QueueFull> {
        let boxed = |rooms: &[String]| rooms.iter().map(|room| room.as_str().into()).collect();
        let local = LocalTarget { namespace: 0, rooms: boxed(rooms), except: boxed(except) };
        let event = haat_adapter::Event { args: event.to_owned(), attachments: Vec::new() };
        self.hub.broadcast(local, event_frame("/", &event, self.recovery_on()));
        let target = Target { namespace: "/".to_owned(), rooms: rooms.to_vec(), except: except.to_vec() };
        self.adapter.broadcast(Broadcast { target, flags: Flags::default(), event })
    }

    fn chat_limit(&self, user: &str) -> Result<(), Duration> {
        self.limiters.chat.check(&user.into())
    }

    fn tap_limit(&self, user: &str, count: u32) -> Result<(), Duration> {
        self.limiters.reactions.check_many(&user.into(), count)
    }
}

/// What the application sends to itself on another shard.
#[derive(Debug)]
enum Order {
    /// The session of this socket goes on elsewhere.
    Replace(Id),
    /// This socket is one too many of its user.
    Evict(Id),
    /// The moderation of this stream has changed.
    Moderated(Box<str>),
}

/// The application of one shard.
pub struct Live {
    me: Weak<Self>,
    rooms: Rc<Rooms>,
    shared: Arc<Shared>,
    views: Rc<Views>,
    tally: Tally,
    agenda: Agenda,
    /// What goes on for ever, until the shard takes it.
    standing: RefCell<Vec<JoinHandle<()>>>,
    draining: Cell<bool>,
    /// What the sockets were told last of the gateway being cut off.
    cut_off: Cell<bool>,
}

impl Live {
    /// The application of the shard of `rooms`. Call it on the shard's thread, inside its runtime.
    pub fn new(rooms: Rc<Rooms>, shared: Arc<Shared>) -> Rc<Self> {
        let live = Rc::new_cyclic(|me| Self {
            me: me.clone(),
            views: Rc::new(Views::new(rooms.clone(), shared.clone())),
            tally: Tally::default(),
            agenda: Agenda::default(),
            standing: RefCell::default(),
            draining: Cell::new(false),
            cut_off: Cell::new(false),
            rooms,
            shared,
        });
        *live.standing.borrow_mut() = vec![
            tokio::task::spawn_local(work_off(live.clone())),
            tokio::task::spawn_local(look_after(live.clone())),
            tokio::task::spawn_local(clockwork::keep_time(live.clone())),
        ];
        live
    }

    fn this(&self) -> Option<Rc<Self>> {
        self.me.upgrade()
    }

    /// An event between servers.
    fn heard(self: &Rc<Self>, args: &str) {
        match serde_json::from_str::<(&str, &str)>(args) {
            Ok((recovery::REPLACED, sid)) => {
                if let Some(sid) = Id::parse(sid) {
                    self.replace(sid);
                }
            }
            Ok((sanction::MODERATED, stream)) => self.moderated(stream),
            _ => {}
        }
    }

    /// A socket that had joined is gone.
    fn gone(self: &Rc<Self>, at: At, left: Left, reason: CloseReason) {
        let visitor = left.data.and_then(|data| data.downcast::<Visitor>().ok());
        if let Some(visitor) = visitor {
            self.farewell(at, &visitor, left.rooms, reason);
        }
    }
}

/// Does what is due.
async fn work_off(live: Rc<Live>) {
    loop {
        match live.agenda.next().await {
            Due::Expiry(at, expires) => live.expire(at, expires),
            Due::Close(at, expires) => live.close_expired(at, expires),
            Due::Save(at) => {
                if let Some(visitor) = live.rooms.data::<Visitor>(at) {
                    visitor.noted.set(false);
                    live.save(at, &visitor);
                }
            }
        }
    }
}

/// Looks after the views, and the way to the fleet.
async fn look_after(live: Rc<Live>) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        live.tell_outage();
        live.views.reborn().iter().for_each(|view| live.recount(view));
        for stream in live.views.sweep() {
            live.tally(&stream, None);
        }
    }
}

impl App for Live {
    fn connect(&self, at: At, auth: &str) {
        if let Some(live) = self.this() {
            live.connecting(at, auth);
        }
    }

    fn event(&self, at: At, event: Event<'_>) {
        if let Some(live) = self.this() {
            live.received(at, event);
        }
    }

    fn rejected(&self, at: At, id: Option<u64>, event: &str, why: Rejection) {
        let why = match why {
            Rejection::TooDeep => "the object is nested too deep",
            Rejection::TooManyValues => "the object holds too many values",
            Rejection::BadText => "a text holds half a character",
        };
        self.refuse(at, id, event, why);
    }

    fn disconnected(&self, at: At, left: Left, reason: CloseReason) {
        if let Some(live) = self.this() {
            live.gone(at, left, reason);
        }
    }

    fn entry(&self, entry: Arc<Entry>, frame: Frame) {
        self.views.entry(entry, frame);
    }

    fn mail(&self, mail: Box<dyn Any + Send>) {
        let Some(live) = self.this() else { return };
        let mail = match mail.downcast::<Fleet>() {
            Ok(fleet) => return live.counted(*fleet),
            Err(mail) => mail,
        };
        let mail = match mail.downcast::<Ask>() {
            Ok(ask) => return live.asked(*ask),
            Err(mail) => mail,
        };
        let mail = match mail.downcast::<Order>() {
            Ok(order) => {
                return match *order {
                    Order::Replace(sid) => live.replace(sid),
                    Order::Evict(sid) => live.evict(sid),
                    Order::Moderated(stream) => live.moderated(&stream),
                };
            }
            Err(mail) => mail,
        };
        if let Ok(event) = mail.downcast::<ServerEvent>() {
            live.heard(&event.0);
        }
    }

    fn standing(&self) -> Vec<JoinHandle<()>> {
        self.standing.take()
    }

    fn is_busy(&self, key: SessionKey) -> bool {
        let visitor = self.rooms.data::<Visitor>(At { key, namespace: 0 });
        visitor.is_some_and(|visitor| visitor.unanswered.get() > 0)
    }

    fn draining(&self, within: Duration) {
        self.draining.set(true);
        let event = format!(r#"["server:draining",{{"reconnectWithinMs":{}}}]"#, within.as_millis());
        self.rooms.broadcast_to(&LocalTarget::default(), &socket::event_pieces("/", &[&event]));
    }
}
