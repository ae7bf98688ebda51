//! A fleet of real processes: `haat` binaries on one `redis-server`. What a test starts here ends with the test, and a test
//! that fails shows what its gateways had to say.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking, and says why")]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::MutexGuard,
    time::timeout,
};

use self::redis_server::Server as Redis;
use crate::support::{PATIENCE, SECRET};

#[path = "checker.rs"]
pub mod checker;
#[path = "crowd.rs"]
pub mod crowd;
#[path = "../../../adapter/tests/support/mod.rs"]
pub mod redis_server;
#[path = "show.rs"]
pub mod show;

/// Fleets of one test process take turns: each is a dozen of threads, and some of what they prove has a bound in time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// One Redis, and the gateways that are started on it.
pub struct Fleet {
    pub(crate) redis: Redis,
    _turn: MutexGuard<'static, ()>,
}

impl Fleet {
    /// A Redis that keeps nothing. `None`: there is no `redis-server`, and that was said.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// A Redis with further options.
    pub async fn with(options: &[&str]) -> Option<Self> {
        let turn = TURN.lock().await;
        redis_server::is_there().then(|| Self { redis: Redis::with(options), _turn: turn })
    }

    /// A gateway that is ready.
    pub async fn gateway(&self, variables: &[(&str, &str)]) -> Gateway {
        Gateway::start(&self.redis.url(), variables).await
    }

    /// So many of them.
    pub async fn gateways(&self, count: usize, variables: &[(&str, &str)]) -> Vec<Gateway> {
        futures::future::join_all((0..count).map(|_| self.gateway(variables))).await
    }

    /// What Redis holds of a stream's log, by somebody who only knows its form.
    pub fn log(&self, stream: &str) -> checker::Log {
        checker::Log::read(&mut self.redis.connection(), stream)
    }
}

/// A running `haat`.
pub struct Gateway {
    pub public: SocketAddr,
    pub private: SocketAddr,
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
    /// Nobody reads what it says.
    ignored: Arc<AtomicBool>,
}

impl Gateway {
    /// A gateway on the Redis of this URL that is ready.
    pub async fn start(redis: &str, variables: &[(&str, &str)]) -> Self {
        let gateway = Self::spawn(redis, variables).await;
        gateway.until_ready(true, PATIENCE).await;
        gateway
    }

    /// A gateway that listens, ready or not.
    pub async fn spawn(redis: &str, variables: &[(&str, &str)]) -> Self {
        let defaults = [
            ("HAAT_LISTEN", "127.0.0.1:0"),
            ("HAAT_PRIVATE_LISTEN", "127.0.0.1:0"),
            ("HAAT_REDIS_URL", redis),
            ("HAAT_AUTH_SECRET", SECRET),
            ("HAAT_SHARDS", "2"),
            ("HAAT_LOG_FORMAT", "json"),
            ("HAAT_DRAIN_SECONDS", "5"),
            // So that a busy machine is never taken for a client that is gone.
            ("HAAT_ENGINE_PING_INTERVAL_SECONDS", "10"),
            ("HAAT_ENGINE_PING_TIMEOUT_SECONDS", "20"),
            ("HAAT_LIMITS_ADDRESS_CONNECTIONS", "0"),
            ("HAAT_LIMITS_ADDRESS_HANDSHAKES", "0"),
            ("HAAT_LIMITS_EVENTS_PER_SECOND", "0"),
            ("HAAT_LIMITS_CHAT_PER_SECOND", "0"),
            ("HAAT_LIMITS_JOINS_PER_SECOND", "0"),
            ("HAAT_LIMITS_STAFF_PER_SECOND", "0"),
            ("HAAT_LIMITS_USER_CONNECTIONS", "0"),
        ];
        let mut process = Command::new(env!("CARGO_BIN_EXE_haat"))
            .arg("serve")
            .env_clear()
            .envs(defaults.into_iter().chain(variables.iter().copied()))
            // Where there is no haat.toml.
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("haat starts");
        let ignored = Arc::<AtomicBool>::default();
        let (said, up) = listen(&mut process, ignored.clone());
        let up = timeout(PATIENCE, up).await.expect("haat says where it listens").expect("haat does not end at once");
        let address = |name: &str| up[name].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { public: address("listen"), private: address("private"), process, said, ignored }
    }

    /// Whether it says that it is ready. `None`: it does not answer.
    pub async fn is_ready(&self) -> Option<bool> {
        Some(self.get("/readyz").await?.0 == 200)
    }

    /// Waits until it is ready, or is not, and says how long that took.
    pub async fn until_ready(&self, ready: bool, patience: Duration) -> Duration {
        let begun = Instant::now();
        while self.is_ready().await != Some(ready) {
            assert!(begun.elapsed() < patience, "/readyz does not become {ready} within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    }

    /// The sum of a metric over all its labels; 0 if there is none of that name.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        metrics.iter().filter(|(key, _)| key.split('{').next() == Some(name)).map(|(_, value)| value).sum()
    }

    /// All metrics, labels in the name.
    pub async fn metrics(&self) -> HashMap<String, f64> {
        let (_, text) = self.get("/metrics").await.expect("the private listener answers");
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let ask = async {
            let mut stream = TcpStream::connect(self.private).await.ok()?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: haat\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        };
        timeout(Duration::from_secs(5), ask).await.ok()?
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{name}");
    }

    /// From now on somebody reads what it says, or nobody does.
    pub fn read_log(&self, read: bool) {
        self.ignored.store(!read, Ordering::Relaxed);
    }

    /// Whether such a line is in its log.
    pub fn has_said(&self, message: &str) -> bool {
        self.said.lock().unwrap().iter().any(|line| line.contains(message))
    }

    /// From now on it may have so many files open.
    pub fn limit_files(&self, most: u64) {
        let process = self.process.id().try_into().expect("a process id");
        rlimit::prlimit(process, rlimit::Resource::NOFILE, Some((most, most)), None).expect("the limit of a child");
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(begun.elapsed() < patience, "the gateway does not end within {patience:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Bytes of memory that it holds.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let said = self.said.lock().unwrap();
            eprintln!("--- {} said", self.public);
            said.iter().skip(said.len().saturating_sub(40)).for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Keeps what a gateway says, and tells when it says where it listens.
fn listen(
    process: &mut Child,
    ignored: Arc<AtomicBool>,
) -> (Arc<Mutex<Vec<String>>>, tokio::sync::oneshot::Receiver<Value>) {
    let (up, is_up) = tokio::sync::oneshot::channel();
    let said = Arc::<Mutex<Vec<String>>>::default();
    let (output, kept) = (process.stderr.take().expect("it was asked for"), said.clone());
    std::thread::spawn(move || {
        let mut up = Some(up);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let fields = serde_json::from_str::<Value>(&line).map(|mut line| line["fields"].take());
            if let Ok(fields) = fields
                && fields["message"] == "gateway is up"
                && let Some(up) = up.take()
            {
                let _ = up.send(fields);
            }
            kept.lock().unwrap().push(line);
            while ignored.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    (said, is_up)
}

/// Waits until something holds, and says how long that took.
pub async fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

/// As [`until`], for what has to be asked for.
pub async fn until_async(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}
