//! Real Redis servers for tests, on free ports of the loopback interface. Each belongs to one test, and ends with it.

#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

pub(crate) mod cluster;
pub(crate) mod proxy;
pub(crate) mod sentinel;

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The longest that a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether there is a `redis-server` to test with. Says so if there is none.
pub(crate) fn is_there() -> bool {
    let there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        eprintln!("skipped: redis-server is not installed (.ci/redis installs it)");
    }
    there.is_ok()
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("there are free ports").port()
}

/// A server, and its folder.
pub(crate) struct Server {
    pub(crate) port: u16,
    options: Vec<String>,
    folder: PathBuf,
    process: Child,
}

impl Server {
    /// A server that keeps nothing.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server with further options, `--name`, `value`, ….
    pub(crate) fn with(options: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("haat-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let port = free_port();
        let process = spawn(port, &folder, &options);
        let server = Self { port, options, folder, process };
        server.await_up();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of the test's own.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("the URL is good");
        client.get_connection().expect("the server is up")
    }

    /// Runs one command, its words between spaces.
    pub(crate) fn command<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query(&mut self.connection()).expect("the command is good")
    }

    /// Waits until a replica has told that it has all that was written here up to now. `WAIT` would not do: it answers for
    /// what was written on its own connection, so at once for a test that has written nothing.
    pub(crate) fn await_replicated(&self) {
        let number = |text: &str, name: &str| -> Option<u64> {
            let (_, rest) = text.split_once(name)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let written: String = self.command("INFO replication");
        let written = number(&written, "master_repl_offset:").expect("a master tells how far it is");
        let end = Instant::now() + PATIENCE;
        let has_it = || {
            let info: String = self.command("INFO replication");
            info.lines()
                .filter(|line| line.starts_with("slave") && line.contains("state=online"))
                .any(|line| number(line, ",offset=").is_some_and(|offset| offset >= written))
        };
        while !has_it() {
            assert!(Instant::now() < end, "the replica does not follow");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the server at once, as a power cut does.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Stops it where it is, and lets it go on: it does not notice.
    pub(crate) fn freeze(&self, freeze: bool) {
        let signal = if freeze { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").arg(signal).arg(self.process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal can be sent");
    }

    /// Starts it again, on the same port.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.port, &self.folder, &self.options);
        self.await_up();
    }

    fn await_up(&self) {
        let end = Instant::now() + PATIENCE;
        let up = || {
            let client = redis::Client::open(self.url()).ok()?;
            let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        };
        while up().is_none() {
            // One that asks for a password is up too.
            if !self.options.is_empty() && TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            assert!(Instant::now() < end, "redis-server does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &std::path::Path, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"])
        .arg("--dir")
        .arg(folder)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server starts")
}
