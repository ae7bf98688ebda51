//! A proxy between a gateway and Redis that does what networks do: delay, swallow, cut, damage; and what Redis does when it
//! is not well: answer with an error.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What happens to bytes that go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Way {
    /// They arrive.
    #[default]
    Pass,
    /// They arrive later.
    Delay(Duration),
    /// They vanish; the connection stays.
    Swallow,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ways {
    up: Way,
    down: Way,
    /// Bytes of other clients than those of this address vanish.
    only: Option<IpAddr>,
    /// Changes with every cut: connections of before end.
    cuts: u64,
}

/// What happens to single bytes on the way from Redis.
#[derive(Debug, Default)]
struct Mischief {
    /// The next connections end after so many bytes.
    cut_after: Mutex<Option<u64>>,
    /// The next occurrence of this text gets one of its bits flipped.
    damage: Mutex<Option<Vec<u8>>>,
    /// What comes before and behind the next bytes with this text.
    around: Mutex<Option<(String, [Vec<u8>; 2])>>,
    /// The next answers are this error.
    errors: Mutex<Option<(String, u64)>>,
    refuse: AtomicBool,
    accepted: AtomicU64,
}

/// A proxy in front of one port of the loopback interface.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    target: Arc<AtomicU16>,
    ways: watch::Sender<Ways>,
    mischief: Arc<Mischief>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are free ports");
        let port = listener.local_addr().expect("it listens").port();
        let (ways, watched) = watch::channel(Ways::default());
        let mischief = Arc::<Mischief>::default();
        let target = Arc::new(AtomicU16::new(target));
        let task = tokio::spawn(accept(listener, target.clone(), watched, mischief.clone()));
        Self { port, target, ways, mischief, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on connections lead to another port.
    pub(crate) fn lead_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }

    /// What goes to Redis, and what comes from it.
    pub(crate) fn set(&self, up: Way, down: Way) {
        self.ways.send_modify(|ways| (ways.up, ways.down) = (up, down));
    }

    /// Lets bytes pass, for connections from this address alone; `None`: from everywhere.
    pub(crate) fn only(&self, from: Option<IpAddr>) {
        self.ways.send_modify(|ways| ways.only = from);
    }

    /// Ends all connections, with a reset.
    pub(crate) fn cut(&self) {
        self.ways.send_modify(|ways| ways.cuts += 1);
    }

    /// Ends each connection after so many further bytes from Redis; `None` lets them live.
    pub(crate) fn cut_after(&self, bytes: Option<u64>) {
        *self.mischief.cut_after.lock().unwrap() = bytes;
    }

    /// Flips a bit in the next occurrence of `text` that comes from Redis, once.
    pub(crate) fn damage(&self, text: &str) {
        *self.mischief.damage.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    /// Whether the damage was done.
    pub(crate) fn has_damaged(&self) -> bool {
        self.mischief.damage.lock().unwrap().is_none()
    }

    /// Puts something before and behind the next bytes from Redis that hold `text`, once.
    pub(crate) fn surround(&self, text: &str, before: &[u8], after: &[u8]) {
        *self.mischief.around.lock().unwrap() = Some((text.to_owned(), [before.to_vec(), after.to_vec()]));
    }

    /// Whether that was done.
    pub(crate) fn has_surrounded(&self) -> bool {
        self.mischief.around.lock().unwrap().is_none()
    }

    /// Answers the next `count` commands of gateways with an error, in place of Redis.
    pub(crate) fn answer_with(&self, error: &str, count: u64) {
        *self.mischief.errors.lock().unwrap() = Some((error.to_owned(), count));
    }

    /// Takes no further connections, or takes them again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.mischief.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Connections taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.mischief.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<AtomicU16>, ways: watch::Receiver<Ways>, mischief: Arc<Mischief>) {
    while let Ok((client, from)) = listener.accept().await {
        mischief.accepted.fetch_add(1, Ordering::SeqCst);
        if mischief.refuse.load(Ordering::SeqCst) {
            reset(&client);
            continue;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], target.load(Ordering::SeqCst)));
        let (ways, mischief) = (ways.clone(), mischief.clone());
        tokio::spawn(async move {
            match TcpStream::connect(address).await {
                Ok(server) => carry((client, from.ip()), server, ways, mischief).await,
                Err(_) => reset(&client),
            }
        });
    }
}

/// Has the connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn carry(
    (client, from): (TcpStream, IpAddr),
    server: TcpStream,
    mut ways: watch::Receiver<Ways>,
    mischief: Arc<Mischief>,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let begun = ways.borrow().cuts;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (injected, mut inject) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
    let up_ways = ways.clone();
    let trouble = mischief.clone();
    let up = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            if let Some(errors) = errors_for(&trouble, &buffer[..count]) {
                let _ = injected.send(errors).await;
                continue;
            }
            if !pass(&up_ways, from, |ways| ways.up).await {
                continue;
            }
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let down_ways = ways.clone();
    let down = async move {
        let mut buffer = vec![0; 16 << 10];
        let mut budget: Option<u64> = None;
        loop {
            let count = tokio::select! {
                read = from_server.read(&mut buffer) => match read {
                    Ok(count @ 1..) => count,
                    _ => break,
                },
                Some(error) = inject.recv() => {
                    if to_client.write_all(&error).await.is_err() {
                        break;
                    }
                    continue;
                }
            };
            if !pass(&down_ways, from, |ways| ways.down).await {
                continue;
            }
            damage(&mischief, &mut buffer[..count]);
            budget = budget.or(*mischief.cut_after.lock().unwrap());
            let allowed = budget.map_or(count, |budget| count.min(budget as usize));
            let bytes = surrounded(&mischief, &buffer[..allowed]);
            if to_client.write_all(&bytes).await.is_err() {
                break;
            }
            if let Some(budget) = &mut budget {
                *budget -= allowed as u64;
                if *budget == 0 {
                    break;
                }
            }
        }
        let _ = to_client.as_ref().set_zero_linger();
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = ways.wait_for(|ways| ways.cuts > begun) => {}
    }
}

/// Waits as long as bytes take, and says whether they arrive.
async fn pass(ways: &watch::Receiver<Ways>, from: IpAddr, way: impl Fn(&Ways) -> Way) -> bool {
    let way = {
        let ways = ways.borrow();
        if ways.only.is_none_or(|only| only == from) { way(&ways) } else { Way::Swallow }
    };
    if let Way::Delay(time) = way {
        tokio::time::sleep(time).await;
    }
    way != Way::Swallow
}

/// An error for each command, if it is time for errors.
fn errors_for(mischief: &Mischief, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut errors = mischief.errors.lock().unwrap();
    let (error, count) = errors.as_mut()?;
    let commands = commands_in(bytes).max(1);
    let lines = format!("-{error}\r\n").repeat(commands).into_bytes();
    *count = count.saturating_sub(commands as u64);
    if *count == 0 {
        *errors = None;
    }
    Some(lines)
}

/// How many whole commands these bytes are.
fn commands_in(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(rest) = command(bytes) {
        bytes = rest;
        count += 1;
    }
    count
}

/// What is behind the first command.
fn command(bytes: &[u8]) -> Option<&[u8]> {
    let (words, mut rest) = header(bytes, b'*')?;
    for _ in 0..words {
        let (length, word) = header(rest, b'$')?;
        rest = word.get(length + 2..)?;
    }
    Some(rest)
}

fn header(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[kind])?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?, &rest[end + 2..]))
}

fn damage(mischief: &Mischief, bytes: &mut [u8]) {
    let mut damage = mischief.damage.lock().unwrap();
    let Some(text) = damage.as_ref() else { return };
    if let Some(at) = bytes.windows(text.len()).position(|window| window == text) {
        bytes[at] ^= 1;
        *damage = None;
    }
}

fn surrounded(mischief: &Mischief, bytes: &[u8]) -> Vec<u8> {
    let mut around = mischief.around.lock().unwrap();
    match around.take_if(|(text, _)| bytes.windows(text.len()).any(|window| window == text.as_bytes())) {
        Some((_, [before, after])) => [&before, bytes, &after].concat(),
        None => bytes.to_vec(),
    }
}
