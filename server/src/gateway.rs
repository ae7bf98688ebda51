//! [`Gateway`]: builds the shards and the bus between them, takes what arrives from other gateways, and shuts down.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use haat_adapter::{Adapter, Broadcast, Entry, Event, Inbound, Progress, Reply, Request, Target};
use haat_protocol::{Class, Frame};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    edge::{Door, Doors, Edge, accept},
    hub::{
        Hub, Passing,
        mailbox::{LocalTarget, Mail},
    },
    room::{
        Interest, Rooms,
        app::{App, ServerEvent},
    },
    shard::{Settings, Shard, tasks},
    transport::outbox::Bounds,
};

/// Connections that wait to be accepted. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Makes the application of a shard, on its thread.
pub type AppFactory = Arc<dyn Fn(Rc<Rooms>) -> Rc<dyn App> + Send + Sync>;

/// Everything that a gateway is made of.
#[derive(Clone)]
pub struct Plan {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where to listen for other gateways, if there are any.
    pub peer: Option<SocketAddr>,
    /// How many shards, 1 to 64.
    pub shards: usize,
    /// Messages that a shard's mailbox holds.
    pub mailbox: usize,
    /// Namespaces, the main one `/` first.
    pub namespaces: Vec<&'static str>,
    /// How Engine.IO is spoken.
    pub settings: Settings,
    /// When a connection is too far behind.
    pub bounds: Bounds,
    /// Bytes that the kernel queues per connection; it doubles the number for its own needs.
    pub send_buffer: usize,
    /// Who may connect.
    pub doors: Doors,
    /// What is done with sockets.
    pub app: AppFactory,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A shard did not start.
    #[error("cannot start a shard: {0}")]
    Shard(io::Error),
}

/// A running gateway. Dropping it stops it at once; see [`drain`](Self::drain).
pub struct Gateway {
    hub: Arc<Hub>,
    address: SocketAddr,
    peer: Option<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    draining: Arc<AtomicBool>,
}

impl Gateway {
    /// Makes the hub of a plan, and the mailboxes that [`start`](Self::start) takes. Engines need the hub before the
    /// shards run: what they deliver arrives through it.
    pub fn hub(plan: &Plan) -> (Arc<Hub>, Vec<mpsc::Receiver<Mail>>) {
        let (senders, mailboxes) = (0..plan.shards).map(|_| mpsc::channel(plan.mailbox)).unzip();
        (Arc::new(Hub::new(&plan.namespaces, senders)), mailboxes)
    }

    /// Starts the shards. `interest` is told of rooms that get their first member here, or lose their last.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(
        plan: &Plan,
        hub: Arc<Hub>,
        mailboxes: Vec<mpsc::Receiver<Mail>>,
        interest: Interest,
    ) -> Result<Self, StartError> {
        let (clients, address) = listeners(plan, plan.listen)?;
        let (gateways, peer) = match plan.peer {
            None => (Vec::new(), None),
            Some(peer) => listeners(plan, peer).map(|(listeners, address)| (listeners, Some(address)))?,
        };
        let mut gateway = Self { hub: hub.clone(), address, peer, threads: Vec::new(), draining: Arc::default() };
        let gateways = gateways.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        for (number, ((clients, gateways), mailbox)) in (0_u8..).zip(clients.into_iter().zip(gateways).zip(mailboxes)) {
            let start = Start { plan: plan.clone(), hub: hub.clone(), interest: interest.clone(), number };
            let thread = std::thread::Builder::new()
                .name(format!("shard-{number}"))
                .spawn(move || start.run(clients, gateways, mailbox))
                .map_err(StartError::Shard)?;
            gateway.threads.push(thread);
        }
        Ok(gateway)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for other gateways.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Whether it takes new connections.
    pub fn is_accepting(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Whether all its shards live.
    pub fn is_whole(&self) -> bool {
        self.hub.is_whole()
    }

    /// Whether it takes new connections, for readers on other threads.
    pub fn draining(&self) -> Arc<AtomicBool> {
        self.draining.clone()
    }

    /// Moves all clients off within `grace`, and stops. Clients are told at once, and their transports closed in slots,
    /// so that the gateways that take them over see no crowd.
    pub async fn drain(self, grace: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        // A last part of the time is left for goodbyes that travel.
        let within = grace.mul_f64(0.8);
        let end = Instant::now() + grace;
        let shards = (0..self.threads.len()).map(|shard| u8::try_from(shard).unwrap_or(u8::MAX));
        // A shard whose mailbox is full is the last that should close all its connections at once.
        let told = futures::future::join_all(shards.map(|shard| self.hub.send_wait(shard, Mail::Drain(within))));
        let _ = tokio::time::timeout_at(end, told).await;
        let busy = || self.hub.sessions() + self.hub.passing(Passing::Poll) + self.hub.passing(Passing::Socket) > 0;
        while busy() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.stop().await;
    }

    /// Closes all connections and stops.
    pub async fn stop(mut self) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in 0..self.threads.len() {
            self.hub.send_wait(u8::try_from(shard).unwrap_or(u8::MAX), Mail::Stop).await;
        }
        for thread in std::mem::take(&mut self.threads) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.hub.send_all(|| Mail::Stop);
        }
    }
}

/// One listener per shard, all on one port: the kernel spreads connections over them.
fn listeners(plan: &Plan, address: SocketAddr) -> Result<(Vec<TcpListener>, SocketAddr), StartError> {
    let listen = || {
        let shared = plan.shards > 1;
        if shared && address.port() != 0 {
            // A port that is shared can be taken by a second gateway without an error, and each would get half of the
            // connections. An exclusive bind first makes that a clear failure.
            drop(listener(plan, address, false)?);
        }
        let first = listener(plan, address, shared)?;
        let bound = first.local_addr()?;
        let rest = (1..plan.shards).map(|_| listener(plan, bound, shared));
        Ok((std::iter::once(Ok(first)).chain(rest).collect::<io::Result<_>>()?, bound))
    };
    listen().map_err(|source| StartError::Listen { address, source })
}

fn listener(plan: &Plan, address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit these, which saves two calls for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(plan.send_buffer)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What a shard's thread is given.
struct Start {
    plan: Plan,
    hub: Arc<Hub>,
    interest: Interest,
    number: u8,
}

impl Start {
    fn run(self, clients: TcpListener, gateways: Option<TcpListener>, mailbox: mpsc::Receiver<Mail>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.serve(clients, gateways, mailbox)),
            Err(error) => tracing::error!(shard = self.number, %error, "cannot start a runtime"),
        }
    }

    async fn serve(self, clients: TcpListener, gateways: Option<TcpListener>, mailbox: mpsc::Receiver<Mail>) {
        let Self { plan, hub, interest, number } = self;
        let rooms = Rc::new(Rooms::new(hub, number, plan.bounds, interest));
        let app = (plan.app)(rooms.clone());
        let shard = Rc::new(Shard::new(rooms, app, plan.settings));
        let edge = Rc::new(Edge::new(shard.clone(), plan.doors));
        let mut standing = shard.app.standing();
        standing.extend([
            tokio::task::spawn_local(tasks::flush(shard.clone())),
            tokio::task::spawn_local(tasks::heartbeat(shard.clone())),
            tokio::task::spawn_local(tasks::sweep(shard.clone())),
        ]);
        for (listener, door) in [(Some(clients), Door::Clients), (gateways, Door::Gateways)] {
            match listener.map(tokio::net::TcpListener::from_std) {
                None => {}
                Some(Ok(listener)) => {
                    standing.push(tokio::task::spawn_local(accept::listen(edge.clone(), listener, door)));
                }
                Some(Err(error)) => tracing::error!(shard = number, ?door, %error, "cannot listen"),
            }
        }
        // They go on for ever. Without one of them the shard is a trap for its clients, who are better off elsewhere.
        tokio::select! {
            () = tasks::mail(shard, mailbox, |handover| accept::adopt(&edge, handover)) => {}
            (ended, ..) = futures::future::select_all(standing) => {
                tracing::error!(shard = number, ?ended, "the shard has ended by itself");
            }
        }
    }
}

type EntryFrame = dyn Fn(&Entry) -> Frame + Send + Sync;
type EventFrame = dyn Fn(&str, &Event) -> Frame + Send + Sync;

/// What arrives from other gateways and from the log, for the shards of this one.
pub struct Arrivals {
    hub: Arc<Hub>,
    runtime: tokio::runtime::Handle,
    /// The room of a stream's viewers, by the stream's id.
    stream_room: fn(&str) -> String,
    /// What clients get of a log entry.
    entry_frame: Box<EntryFrame>,
    /// What those of a namespace get of any other event.
    event_frame: Box<EventFrame>,
}

impl Arrivals {
    /// Gives what arrives to the shards of `hub`. Questions are collected on the current runtime.
    pub fn new(
        hub: Arc<Hub>,
        stream_room: fn(&str) -> String,
        entry_frame: impl Fn(&Entry) -> Frame + Send + Sync + 'static,
        event_frame: impl Fn(&str, &Event) -> Frame + Send + Sync + 'static,
    ) -> Self {
        let (entry_frame, event_frame) = (Box::new(entry_frame), Box::new(event_frame));
        Self { hub, runtime: tokio::runtime::Handle::current(), stream_room, entry_frame, event_frame }
    }

    fn local(&self, target: &Target) -> Option<LocalTarget> {
        let boxed = |rooms: &[String]| rooms.iter().map(|room| room.as_str().into()).collect();
        Some(LocalTarget {
            namespace: self.hub.namespace(&target.namespace)?,
            rooms: boxed(&target.rooms),
            except: boxed(&target.except),
        })
    }
}

impl Inbound for Arrivals {
    fn wants(&self, namespace: &str, room: &str) -> bool {
        let Some(namespace) = self.hub.namespace(namespace) else { return false };
        self.hub.reach(&LocalTarget { namespace, rooms: vec![room.into()], except: Vec::new() }) != 0
    }

    fn deliver(&self, broadcast: Broadcast) {
        let Some(target) = self.local(&broadcast.target) else { return };
        let class = if broadcast.flags.volatile { Class::Volatile } else { Class::Reliable };
        let frame = (self.event_frame)(&broadcast.target.namespace, &broadcast.event).class_as(class);
        self.hub.broadcast(target, frame);
    }

    fn entry(&self, entry: Arc<Entry>) {
        let room = (self.stream_room)(&entry.stream);
        if self.hub.directory.shards(0, &room) != 0 {
            self.hub.entry(&room, &entry, &(self.entry_frame)(&entry));
        }
    }

    fn serve(&self, request: Request, reply: Reply) {
        let target = match &request {
            Request::FetchSockets(target) | Request::Join(target, _) | Request::Leave(target, _) => target,
            Request::Disconnect { target, .. } => target,
            Request::BroadcastAck(broadcast) => &broadcast.target,
            Request::ServerSideEmit { args, .. } => {
                self.hub.send_all(|| Mail::App(Box::new(ServerEvent(args.clone()))));
                // Nobody has anything to say; an answer of nothing spares the asker its timeout.
                return reply.send(Vec::new());
            }
        };
        let Some(target) = self.local(target).map(Arc::new) else { return reply.send(Vec::new()) };
        let shards = self.hub.shards();
        let (sender, mut answers) = mpsc::channel(shards);
        // What a shard says late still has to be put together and to travel before the asker gives up.
        let (for_shards, for_all) = (within(reply.deadline(), 0.8), within(reply.deadline(), 0.9));
        let (telling, mut told) = mpsc::channel(PROGRESS);
        let shard_reply = || Reply::new(sender.clone()).until(for_shards).telling(telling.clone());
        self.hub.send_all(|| Mail::Serve(target.clone(), request.clone(), shard_reply()));
        drop((sender, telling));
        self.runtime.spawn(async move {
            let mut all = Vec::new();
            let (mut receivers, mut counted) = (0, 0);
            let collect = async {
                // The gateway says once how many all its shards have asked.
                while let Some(progress) = told.recv().await {
                    match progress {
                        Progress::Receivers(count) => {
                            (receivers, counted) = (receivers + count, counted + 1);
                            if counted == shards {
                                reply.receivers(receivers);
                            }
                        }
                        Progress::Ack(value) => all.extend(reply.ack(value).err()),
                    }
                }
                while let Some(values) = answers.recv().await {
                    all.extend(values);
                }
            };
            let _ = tokio::time::timeout_at(for_all, collect).await;
            reply.send(all);
        });
    }
}

/// Answers of clients that wait to be passed on. Further ones are sent in the end.
const PROGRESS: usize = 256;

/// The moment at which this part of the time until `deadline` is over.
fn within(deadline: Instant, part: f64) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now).mul_f64(part)
}

/// Tells an adapter of the rooms that this gateway holds.
pub fn interest_of(adapter: Arc<dyn Adapter>, hub: Arc<Hub>) -> Interest {
    Arc::new(move |namespace, room, wanted| adapter.interest(hub.namespace_name(namespace), room, wanted))
}
