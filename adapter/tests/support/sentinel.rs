//! A master, a replica and three Sentinels for tests, on free ports of the loopback interface.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{Server, free_port};

/// What the Sentinels call the master.
pub(crate) const NAME: &str = "shop";
/// The longest that servers may take to agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two servers, one of which is the master, and who watches them.
pub(crate) struct Guarded {
    /// The master of the beginning, and its replica.
    pub(crate) servers: [Server; 2],
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    folder: PathBuf,
    process: Child,
}

/// Where connections of the replica and of the Sentinels come from when they find the master elsewhere than it is.
const OTHERS: &str = "127.0.0.2";
/// What all servers have: they take whoever comes over the loopback interface, whatever its address.
const OPTIONS: [&str; 4] = ["--repl-diskless-sync-delay", "0", "--protected-mode", "no"];

impl Guarded {
    pub(crate) fn start() -> Self {
        let master = Self::master();
        let port = master.port;
        Self::around(master, port)
    }

    /// One that may become the master of others.
    pub(crate) fn master() -> Server {
        Server::with(&OPTIONS)
    }

    /// Others find the master at this port.
    pub(crate) fn around(master: Server, port: u16) -> Self {
        let place = format!("127.0.0.1 {port}");
        let from = if port == master.port { "127.0.0.1" } else { OTHERS };
        let own = ["--bind-source-addr", from, "--replica-announce-ip", "127.0.0.1", "--replicaof", &place];
        let options = [&OPTIONS[..], &own].concat();
        let replica = Server::with(&options);
        until("the replica follows", || {
            replica.command::<String>("INFO replication").contains("master_link_status:up")
        });
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(port, from)).collect();
        until("the sentinels know each other and the replica", || {
            sentinels.iter().all(|sentinel| {
                let info = sentinel.info();
                info.contains("slaves=1") && info.contains("sentinels=3") && info.contains("status=ok")
            })
        });
        Self { servers: [master, replica], sentinels }
    }

    pub(crate) fn url(&self) -> String {
        url(&self.sentinels())
    }

    /// The ports of the Sentinels.
    pub(crate) fn sentinels(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }

    /// Whether all Sentinels name the former replica.
    pub(crate) fn has_failed_over(&self) -> bool {
        self.sentinels.iter().all(|sentinel| sentinel.names() == self.servers[1].port)
    }
}

/// Sentinels at these ports.
pub(crate) fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+sentinel://{}/{NAME}", hosts.join(","))
}

impl Sentinel {
    fn start(master: u16, from: &str) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("haat-sentinel-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
        let file = folder.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nbind-source-addr {from}\ndir {}\n\
             sentinel announce-ip 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n",
            folder.display()
        );
        std::fs::write(&file, text).expect("the folder can be written to");
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        let sentinel = Self { port, folder, process };
        until("the sentinel is up", || sentinel.connection().is_some());
        sentinel
    }

    fn connection(&self) -> Option<redis::Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).ok()?.get_connection().ok()
    }

    fn info(&self) -> String {
        let mut connection = self.connection().expect("the sentinel is up");
        redis::cmd("INFO").arg("sentinel").query(&mut connection).expect("a sentinel answers")
    }

    fn names(&self) -> u16 {
        let mut connection = self.connection().expect("the sentinel is up");
        let mut command = redis::cmd("SENTINEL");
        let (_, port): (String, u16) =
            command.arg("get-master-addr-by-name").arg(NAME).query(&mut connection).expect("a sentinel answers");
        port
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
