//! Clients as people have them: each keeps a connection, comes back as the official client does when it breaks, joins what it
//! wants to watch, and writes down everything that it sees. Nothing is ever taken out of what was written down.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, sleep_until, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::support::{PATIENCE, token};

/// The official client's: the first wait before it comes back, the longest, and the part of it that is random.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const RANDOM_PART: f64 = 0.5;
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// After this time a join that was refused is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// Something that a client has seen, and when.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: Instant,
    pub seen: Seen,
}

/// What a client can see.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The CONNECT was answered.
    Connected { sid: String, recovered: bool, gateway: SocketAddr },
    /// The connection is gone.
    Lost,
    /// The answer to a join.
    Joined { stream: String, epoch: String, seq: u64 },
    /// A join, or a CONNECT, was refused with this code.
    Refused { code: String },
    /// A message: an event with a number.
    Message { stream: String, epoch: String, seq: u64, digest: u64, text: Option<String> },
    /// `stream:reset`
    Reset { stream: String, epoch: String },
    /// Any other event.
    Event { name: String, body: Value },
}

/// The gateways that a load balancer knows: each attempt gets the next.
#[derive(Clone, Default)]
pub struct Route(Arc<Mutex<(Vec<SocketAddr>, usize)>>);

impl Route {
    /// Leads to these in turn.
    pub fn to(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(Arc::new(Mutex::new((addresses.into_iter().collect(), 0))))
    }

    /// From now on it leads to these.
    pub fn lead_to(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.0.lock().unwrap().0 = addresses.into_iter().collect();
    }

    fn next(&self) -> Option<SocketAddr> {
        let mut route = self.0.lock().unwrap();
        route.1 += 1;
        let (addresses, turn) = &*route;
        addresses.get(turn.checked_rem(addresses.len())?).copied()
    }
}

/// A message that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acked {
    pub at: Instant,
    pub stream: String,
    pub id: String,
    pub seq: u64,
    pub text: String,
}

/// What a client is asked to do.
enum Order {
    /// Send this, and give the answer back.
    Call(String, Value, oneshot::Sender<Value>),
    /// Lose the connection, as in a tunnel, and come back after so long.
    Cut(Duration),
    /// Say goodbye, and end.
    Leave(oneshot::Sender<()>),
}

/// A client that keeps its place in the crowd.
pub struct Client {
    pub name: String,
    log: Arc<Mutex<Vec<Line>>>,
    /// How long the answers to what it said took, and their code if they were errors.
    answers: Mutex<Vec<(Option<String>, Duration)>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Client {
    /// A client with a token of its own that watches these streams.
    pub fn start(name: &str, route: &Route, streams: &[&str]) -> Self {
        Self::with(name, route, streams, json!({ "token": token(name, "viewer", &[]) }))
    }

    /// A supplier of the streams.
    pub fn supplier(route: &Route, streams: &[&str]) -> Self {
        Self::with("supplier", route, streams, json!({ "token": token("supplier", "supplier", &["*"]) }))
    }

    /// A client that shows this at the door.
    pub fn with(name: &str, route: &Route, streams: &[&str], auth: Value) -> Self {
        let log = Arc::<Mutex<Vec<Line>>>::default();
        let (orders, inbox) = mpsc::unbounded_channel();
        let life = Life {
            auth,
            route: route.clone(),
            streams: streams.iter().map(|stream| (*stream).to_owned()).collect(),
            log: log.clone(),
            orders: inbox,
            pid: None,
            offset: None,
            attempts: 0,
        };
        Self { name: name.to_owned(), log, answers: Mutex::default(), orders, task: tokio::spawn(life.run()) }
    }

    /// Everything that it has seen so far.
    pub fn log(&self) -> Vec<Line> {
        self.log.lock().unwrap().clone()
    }

    /// Looks at what it has seen, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&[Line]) -> T) -> T {
        look(&self.log.lock().unwrap())
    }

    /// How many lines of its log are such.
    pub fn count(&self, is: impl Fn(&Seen) -> bool) -> usize {
        self.look(|log| log.iter().filter(|line| is(&line.seen)).count())
    }

    /// The last event of this name.
    pub fn last(&self, event: &str) -> Option<Value> {
        self.look(|log| {
            log.iter().rev().find_map(|line| match &line.seen {
                Seen::Event { name, body } if name == event => Some(body.clone()),
                _ => None,
            })
        })
    }

    /// Where it stands in a stream.
    pub fn position(&self, of: &str) -> Option<(String, u64)> {
        self.look(|log| {
            log.iter().rev().find_map(|line| match &line.seen {
                Seen::Joined { stream, epoch, seq } | Seen::Message { stream, epoch, seq, .. } if stream == of => {
                    Some((epoch.clone(), *seq))
                }
                _ => None,
            })
        })
    }

    /// Waits until it watches everything that it wants to watch.
    pub async fn joined(&self, streams: usize) {
        super::until(&format!("{} has joined", self.name), PATIENCE, || {
            self.count(|seen| matches!(seen, Seen::Joined { .. })) >= streams
        })
        .await;
    }

    /// Sends an event, once the client is connected. `None`: the connection broke before the answer came.
    pub async fn call(&self, event: &str, body: Value) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Call(event.to_owned(), body, answer)).expect("the client lives");
        timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("{}: {event} is not answered", self.name)).ok()
    }

    /// How long the answers to what it said took, and their code if they were errors; `lost` if the connection broke before.
    pub fn answers(&self) -> Vec<(Option<String>, Duration)> {
        self.answers.lock().unwrap().clone()
    }

    /// Says something until it is acknowledged, as an app does: the same id again where the outcome is not known.
    pub async fn say(&self, stream: &str, text: &str, patience: Duration) -> Option<Acked> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            let body = json!({ "stream": stream, "text": text, "clientId": text });
            let asked = Instant::now();
            let answer = self.call("chat:send", body).await;
            let (at, is_lost, reply) = (Instant::now(), answer.is_none(), answer.unwrap_or_default());
            let code = if is_lost { Some("lost") } else { reply["error"]["code"].as_str() };
            self.answers.lock().unwrap().push((code.map(str::to_owned), at - asked));
            if let Some(id) = reply["message"]["id"].as_str() {
                let seq = reply["message"]["seq"].as_u64().expect("a message has a number");
                return Some(Acked { at, stream: stream.to_owned(), id: id.to_owned(), seq, text: text.to_owned() });
            }
            let code = code.unwrap_or("none");
            assert!(
                ["lost", "unavailable", "not_joined", "not_found"].contains(&code),
                "{}: {text} is refused: {reply}",
                self.name
            );
            sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Loses the connection, and comes back after a while.
    pub fn cut(&self, away: Duration) {
        let _ = self.orders.send(Order::Cut(away));
    }

    /// Leaves for good, with a goodbye.
    pub async fn leave(self) -> Vec<Line> {
        let (gone, is_gone) = oneshot::channel();
        let _ = self.orders.send(Order::Leave(gone));
        let _ = timeout(PATIENCE, is_gone).await;
        self.log()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a connection ended.
enum End {
    Lost,
    Cut(Duration),
    Left,
}

struct Life {
    auth: Value,
    route: Route,
    streams: Vec<String>,
    log: Arc<Mutex<Vec<Line>>>,
    orders: mpsc::UnboundedReceiver<Order>,
    pid: Option<String>,
    offset: Option<String>,
    attempts: i32,
}

/// A connection that was accepted.
struct Connection {
    socket: WebSocketStream<TcpStream>,
    /// How long the server may be silent.
    silence: Duration,
    next: u64,
    calls: HashMap<u64, oneshot::Sender<Value>>,
    joins: HashMap<u64, String>,
}

impl Connection {
    async fn text(&mut self, text: &str) -> Option<()> {
        self.socket.send(Message::text(text)).await.ok()
    }

    async fn emit(&mut self, event: &str, body: &Value) -> Option<u64> {
        let id = self.next;
        self.next += 1;
        self.text(&format!("42{id}{}", json!([event, body]))).await?;
        Some(id)
    }

    async fn join(&mut self, stream: String) -> Option<()> {
        let id = self.emit("stream:join", &json!({ "stream": stream, "history": 0 })).await?;
        self.joins.insert(id, stream);
        Some(())
    }

    /// The next packet. `None`: the connection is over.
    async fn packet(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

impl Life {
    fn see(&self, seen: Seen) {
        self.log.lock().unwrap().push(Line { at: Instant::now(), seen });
    }

    async fn run(mut self) {
        loop {
            let end = match timeout(ATTEMPT, self.open()).await {
                Ok(Some(connection)) => {
                    self.attempts = 0;
                    let end = self.live(connection).await;
                    self.see(Seen::Lost);
                    end
                }
                _ => End::Lost,
            };
            match end {
                End::Left => return,
                End::Cut(away) => sleep(away).await,
                End::Lost => {
                    let due = FIRST_WAIT.mul_f64(2_f64.powi(self.attempts)).min(LONGEST_WAIT);
                    self.attempts = (self.attempts + 1).min(8);
                    let random = f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX);
                    sleep(due.mul_f64(1.0 - RANDOM_PART + 2.0 * RANDOM_PART * random)).await;
                }
            }
        }
    }

    /// Connects, and comes back as the session that it was, if it may.
    async fn open(&mut self) -> Option<Connection> {
        let gateway = self.route.next()?;
        let stream = TcpStream::connect(gateway).await.ok()?;
        let url = format!("ws://{gateway}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = client_async(url, stream).await.ok()?;
        let (calls, joins) = (HashMap::new(), HashMap::new());
        let mut connection = Connection { socket, silence: ATTEMPT, next: 0, calls, joins };
        let open = connection.packet().await?;
        let open: Value = serde_json::from_str(open.strip_prefix('0')?).ok()?;
        connection.silence = Duration::from_millis(open["pingInterval"].as_u64()? + open["pingTimeout"].as_u64()?);
        let mut auth = self.auth.clone();
        for (name, value) in [("pid", &self.pid), ("offset", &self.offset)] {
            if let Some(value) = value.as_ref().filter(|_| self.pid.is_some()) {
                auth[name] = json!(value);
            }
        }
        connection.text(&format!("40{auth}")).await?;
        // What was missed comes before the answer, and is shown after it.
        let mut early = Vec::new();
        let answer: Value = loop {
            let packet = connection.packet().await?;
            match packet.get(..2) {
                Some("40") => break serde_json::from_str(&packet[2..]).ok()?,
                Some("44") => {
                    let error: Value = serde_json::from_str(&packet[2..]).ok()?;
                    self.see(Seen::Refused { code: error["data"]["code"].as_str()?.to_owned() });
                    return None;
                }
                Some(_) => early.push(packet),
                None => connection.text("3").await?,
            }
        };
        let pid = answer["pid"].as_str().map(str::to_owned);
        let recovered = pid.is_some() && pid == self.pid;
        self.pid = pid;
        self.see(Seen::Connected { sid: answer["sid"].as_str()?.to_owned(), recovered, gateway });
        if !recovered {
            // The first thing that an app does.
            for stream in self.streams.clone() {
                connection.join(stream).await?;
            }
        }
        for packet in early {
            self.receive(&packet, &mut connection).await?;
        }
        Some(connection)
    }

    async fn live(&mut self, mut connection: Connection) -> End {
        let mut again: Vec<(tokio::time::Instant, String)> = Vec::new();
        let mut silent = tokio::time::Instant::now() + connection.silence;
        loop {
            let next_join = again.first().map(|(at, _)| *at);
            let done = tokio::select! {
                packet = connection.packet() => match packet {
                    Some(packet) => {
                        if packet == "2" {
                            silent = tokio::time::Instant::now() + connection.silence;
                        }
                        match self.receive(&packet, &mut connection).await {
                            Some(refused) => {
                                let at = tokio::time::Instant::now() + AGAIN;
                                again.extend(refused.map(|stream| (at, stream)));
                                Some(())
                            }
                            None => None,
                        }
                    }
                    None => None,
                },
                order = self.orders.recv() => match order {
                    Some(Order::Call(event, body, answer)) => match connection.emit(&event, &body).await {
                        Some(id) => {
                            connection.calls.insert(id, answer);
                            Some(())
                        }
                        None => None,
                    },
                    Some(Order::Cut(away)) => return End::Cut(away),
                    Some(Order::Leave(gone)) => {
                        let _ = connection.text("41").await;
                        let _ = connection.socket.close(None).await;
                        let _ = gone.send(());
                        return End::Left;
                    }
                    None => return End::Left,
                },
                () = sleep_until(silent) => None,
                () = sleep_until(next_join.unwrap_or(silent)), if next_join.is_some() => {
                    let (_, stream) = again.remove(0);
                    connection.join(stream).await
                }
            };
            if done.is_none() {
                return End::Lost;
            }
        }
    }

    /// Takes in one packet. `None`: the connection is over. Returns a stream whose join was refused.
    async fn receive(&mut self, packet: &str, connection: &mut Connection) -> Option<Option<String>> {
        if packet == "2" {
            connection.text("3").await?;
            return Some(None);
        }
        let (head, json) = packet.split_at(packet.find(['{', '[']).unwrap_or(packet.len()));
        match head.get(..2) {
            Some("42") => {
                let event: Vec<Value> = serde_json::from_str(json).expect("an event is an array");
                if let Some(offset) = event.last().and_then(Value::as_str) {
                    self.offset = Some(offset.to_owned());
                }
                if let Some(stream) = self.event(event) {
                    connection.join(stream).await?;
                }
            }
            Some("43") => {
                let id = head[2..].parse().expect("an ack has a number");
                let answer: Vec<Value> = serde_json::from_str(json).expect("an answer is an array");
                let answer = answer.into_iter().next().unwrap_or_default();
                if let Some(stream) = connection.joins.remove(&id) {
                    return Some(self.joined(stream, &answer));
                }
                if let Some(call) = connection.calls.remove(&id) {
                    let _ = call.send(answer);
                }
            }
            Some("41") => return None,
            None if head == "1" => return None,
            _ => {}
        }
        Some(None)
    }

    fn joined(&self, stream: String, answer: &Value) -> Option<String> {
        if let Some(code) = answer["error"]["code"].as_str() {
            self.see(Seen::Refused { code: code.to_owned() });
            return Some(stream);
        }
        let epoch = answer["state"]["epoch"].as_str().expect("a state has an epoch").to_owned();
        let seq = answer["state"]["seq"].as_u64().expect("a state has a number");
        self.see(Seen::Joined { stream, epoch, seq });
        None
    }

    /// Writes down an event. Returns the stream that has to be joined again.
    fn event(&self, event: Vec<Value>) -> Option<String> {
        let mut parts = event.into_iter();
        let name = parts.next().and_then(|name| name.as_str().map(str::to_owned)).expect("an event has a name");
        let body = parts.next().unwrap_or_default();
        let offset = parts.next();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        if let Some(offset) = offset.as_ref().and_then(Value::as_str) {
            let epoch = offset.split(':').nth(1).expect("an offset names the epoch").to_owned();
            let stream = text("stream").expect("a message names its stream");
            let seq = body["seq"].as_u64().expect("a message has a number");
            let digest = digest(&name, &body);
            let text = (name == "chat:message").then(|| text("text").expect("a chat message has a text"));
            self.see(Seen::Message { stream, epoch, seq, digest, text });
            return None;
        }
        if name == "stream:reset" {
            let stream = text("stream").expect("a reset names its stream");
            self.see(Seen::Reset { stream: stream.clone(), epoch: text("epoch").expect("and the new epoch") });
            return Some(stream);
        }
        self.see(Seen::Event { name, body });
        None
    }
}

/// What a message is, in one number: two that differ are not the same message.
pub fn digest(event: &str, body: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event, body.to_string()).hash(&mut hasher);
    hasher.finish()
}
