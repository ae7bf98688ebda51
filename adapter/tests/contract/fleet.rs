//! What the cases run on: gateways that write down what arrives.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use haat_adapter::{
    Adapter, Append, Appended, Broadcast, Entry, Event, Flags, Inbound, Once, Position, Reply, Request, Store,
    StoreError, Target,
};
use serde_json::Value;
use tokio::sync::Notify;

/// Gateways in a fleet.
pub(crate) const GATEWAYS: usize = 3;

/// What the logs of a fleet keep: at least this many entries, and not much more.
pub(crate) const LOG_ENTRIES: usize = 100;

/// The longest that anything may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);

/// Waits while the engine's time passes: a real engine's clock cannot be pushed.
pub(crate) type Pass = Box<dyn Fn(Duration) -> BoxFuture<'static, ()>>;

/// Makes the engine forget everything, as a database that came back empty.
pub(crate) type LoseData = Box<dyn Fn() -> BoxFuture<'static, ()>>;

/// Some gateways that share one engine.
pub(crate) struct Fleet {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) pass: Pass,
    pub(crate) lose_data: LoseData,
}

/// One of them.
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) heard: Arc<Recorder>,
}

impl Fleet {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.gateways[0].store
    }

    /// Has every gateway want the entries of `stream`, as one with a viewer does.
    pub(crate) fn watch(&self, stream: &str) {
        self.gateways.iter().for_each(|gateway| gateway.join("/", &format!("stream:{stream}")));
    }

    /// Appends, and expects a new entry.
    pub(crate) async fn append(&self, append: Append) -> Arc<Entry> {
        new(self.store().append(append).await)
    }
}

impl Gateway {
    pub(crate) fn join(&self, namespace: &str, room: &str) {
        self.heard.join(namespace, room);
        self.adapter.interest(namespace, room, true);
    }
}

/// What arrived at a gateway, in its order.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) broadcasts: Vec<Broadcast>,
    pub(crate) requests: Vec<Request>,
}

/// How a gateway answers questions.
#[derive(Default)]
pub(crate) enum Manner {
    /// With these values.
    Answers(Vec<Value>),
    /// Not at all, but it keeps the asker hoping.
    #[default]
    Keeps,
    /// Not at all, and says so.
    Drops,
}

/// A gateway that only writes down.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) manner: Mutex<Manner>,
    rooms: Mutex<HashSet<(String, String)>>,
    heard: Mutex<Heard>,
    kept: Mutex<Vec<Reply>>,
    changed: Notify,
}

impl Recorder {
    /// There is a member of the room from now on.
    pub(crate) fn join(&self, namespace: &str, room: &str) {
        self.rooms.lock().unwrap().insert((namespace.to_owned(), room.to_owned()));
    }

    /// Waits until what arrived satisfies `enough`, and gives what `pick` makes of it.
    pub(crate) async fn until<T>(&self, enough: impl Fn(&Heard) -> bool, pick: impl Fn(&Heard) -> T) -> T {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                {
                    let heard = self.heard.lock().unwrap();
                    if enough(&heard) {
                        return pick(&heard);
                    }
                }
                changed.await;
            }
        };
        tokio::time::timeout(ARRIVAL, wait).await.expect("what is waited for arrives")
    }

    /// The entries of `stream`, once there are `count`.
    pub(crate) async fn entries(&self, stream: &str, count: usize) -> Vec<Arc<Entry>> {
        let of_stream = |heard: &Heard| -> Vec<_> {
            heard.entries.iter().filter(|entry| *entry.stream == *stream).cloned().collect()
        };
        self.until(|heard| of_stream(heard).len() >= count, of_stream).await
    }

    /// All broadcasts, once there are `count`.
    pub(crate) async fn broadcasts(&self, count: usize) -> Vec<Broadcast> {
        self.until(|heard| heard.broadcasts.len() >= count, |heard| heard.broadcasts.clone()).await
    }

    /// All requests, once there are `count`.
    pub(crate) async fn requests(&self, count: usize) -> Vec<Request> {
        self.until(|heard| heard.requests.len() >= count, |heard| heard.requests.clone()).await
    }

    /// The askers who are kept hoping.
    #[allow(dead_code, reason = "the cases of the contract keep nobody for later")]
    pub(crate) fn askers(&self) -> Vec<Reply> {
        std::mem::take(&mut self.kept.lock().unwrap())
    }

    fn hear(&self, write: impl FnOnce(&mut Heard)) {
        write(&mut self.heard.lock().unwrap());
        self.changed.notify_waiters();
    }
}

impl Inbound for Recorder {
    fn wants(&self, namespace: &str, room: &str) -> bool {
        self.rooms.lock().unwrap().contains(&(namespace.to_owned(), room.to_owned()))
    }

    fn deliver(&self, broadcast: Broadcast) {
        self.hear(|heard| heard.broadcasts.push(broadcast));
    }

    fn entry(&self, entry: Arc<Entry>) {
        self.hear(|heard| heard.entries.push(entry));
    }

    fn serve(&self, request: Request, reply: Reply) {
        match &*self.manner.lock().unwrap() {
            Manner::Answers(values) => reply.send(values.clone()),
            Manner::Keeps => self.kept.lock().unwrap().push(reply),
            Manner::Drops => drop(reply),
        }
        self.hear(|heard| heard.requests.push(request));
    }
}

/// A chat message.
pub(crate) fn chat(stream: &str, text: &str) -> Append {
    Append {
        stream: stream.to_owned(),
        event: "chat:message".to_owned(),
        data: vec![format!(r#"{{"stream":"{stream}","seq":"#), format!(r#","text":"{text}"}}"#)],
        ..Append::default()
    }
}

/// What [`chat`] becomes.
pub(crate) fn chat_data(stream: &str, seq: u64, text: &str) -> String {
    format!(r#"{{"stream":"{stream}","seq":{seq},"text":"{text}"}}"#)
}

/// A change of one state field.
pub(crate) fn set(stream: &str, field: &str, text: Option<&str>) -> Append {
    Append {
        event: "stream:updated".to_owned(),
        set: vec![(field.to_owned(), text.map(|text| vec![text.to_owned()]))],
        ..chat(stream, "set")
    }
}

/// A key that is good for five minutes.
pub(crate) fn once(key: &str) -> Option<Once> {
    Some(Once { key: key.to_owned(), ttl: Duration::from_secs(300) })
}

/// The new entry that must have come of it.
pub(crate) fn new(appended: Result<Appended, StoreError>) -> Arc<Entry> {
    match appended {
        Ok(Appended::New(entry)) => entry,
        other => panic!("not a new entry: {other:?}"),
    }
}

/// The earlier entry that must have come of it.
pub(crate) fn repeat(appended: Result<Appended, StoreError>) -> Arc<Entry> {
    match appended {
        Ok(Appended::Repeat(entry)) => entry,
        other => panic!("not a repetition: {other:?}"),
    }
}

/// `seq` in the same epoch.
pub(crate) fn at(entry: &Entry, seq: u64) -> Position {
    Position { epoch: Arc::clone(&entry.position.epoch), seq }
}

/// The numbers of `entries`.
pub(crate) fn seqs(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|entry| entry.position.seq).collect()
}

/// An event for one room.
pub(crate) fn to_room(room: &str, text: &str) -> Broadcast {
    Broadcast { target: target(&[room]), flags: Flags::default(), event: event(text) }
}

/// The sockets in `rooms` of the main namespace.
pub(crate) fn target(rooms: &[&str]) -> Target {
    Target {
        namespace: "/".to_owned(),
        rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        except: Vec::new(),
    }
}

/// An event that carries `text`.
pub(crate) fn event(text: &str) -> Event {
    Event { args: format!(r#"["note","{text}"]"#), attachments: Vec::new() }
}
