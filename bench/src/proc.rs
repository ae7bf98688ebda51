//! What the operating system knows: CPU time and memory of the server, pinning, the machine's description.
//!
//! The server it started is stopped when the run ends, however it ends.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

/// How long a server may take to open its port.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a server may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// Clock ticks per second in `/proc`; the same on every Linux.
const TICKS: f64 = 100.0;

/// The process under test, if it is known.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pids: Vec<u32>,
    beside: Vec<u32>,
    child: Option<Child>,
}

/// Memory of a process as the kernel counts it, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Resident pages.
    pub(crate) rss: u64,
    /// Resident pages, shared ones divided by their users.
    pub(crate) pss: u64,
}

impl Server {
    /// A running process, or none.
    pub(crate) fn attached(pid: Option<u32>) -> Self {
        Self { pids: pid.into_iter().collect(), beside: Vec::new(), child: None }
    }

    /// Running processes that are one server, and others that work for it: their CPU time is nobody's.
    pub(crate) fn of(pids: Vec<u32>, beside: Vec<u32>) -> Self {
        Self { pids, beside, child: None }
    }

    /// Starts `command` with the shell, with these variables besides those of this process, pinned to `core` (any core
    /// if none), and waits until `address` accepts connections.
    ///
    /// # Errors
    /// If it ends, or does not listen within 30 s, or something else already listens there.
    pub(crate) fn launch(
        command: &str,
        variables: &[(String, String)],
        core: Option<usize>,
        address: SocketAddr,
        log: Option<&Path>,
    ) -> anyhow::Result<Self> {
        if TcpStream::connect(address).is_ok() {
            bail!("something already listens on {address}");
        }
        let script = format!("exec {command}");
        // Explicit even for any core: the generator's own pinning would be inherited.
        let cores = core.map_or_else(all_cores, |core| core.to_string());
        let mut line = Command::new("taskset");
        line.args(["-c", &cores, "sh", "-c", &script]);
        line.stdin(Stdio::null()).envs(variables.iter().map(|(name, value)| (name, value)));
        match log {
            Some(path) => {
                let file = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::File::create(path));
                let file = file.with_context(|| format!("server log {}", path.display()))?;
                line.stdout(file.try_clone()?).stderr(file);
            }
            None => {
                line.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        let child = line.spawn().context("starting the server")?;
        let mut server = Self { pids: vec![child.id()], beside: Vec::new(), child: Some(child) };
        server.wait_listening(address)?;
        Ok(server)
    }

    /// Its (first) process id; `None` if the process is not known.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pids.first().copied()
    }

    /// Ends a process that was started here at once, as `kill -9`.
    ///
    /// # Errors
    /// If it was not started here, or cannot be killed.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        let child = self.child.as_mut().context("only a process that was started here can be killed")?;
        child.kill().context("killing a gateway")?;
        child.wait().context("the end of a killed gateway")?;
        Ok(())
    }

    /// CPU seconds used so far, user and kernel; `None` if the process is not known.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let seconds: Option<Vec<f64>> = self.pids.iter().map(|pid| cpu_seconds(&pid.to_string())).collect();
        seconds.filter(|seconds| !seconds.is_empty()).map(|seconds| seconds.iter().sum())
    }

    /// CPU seconds of what works for the server.
    pub(crate) fn beside_cpu_seconds(&self) -> f64 {
        self.beside.iter().filter_map(|pid| cpu_seconds_of(*pid)).sum()
    }

    /// Memory of the first process now; `None` if the process is not known or not ours to look at.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()?)).ok()?;
        parse_rollup(&text)
    }

    fn wait_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                bail!("the server ended at once ({status}); --server-logs FOLDER keeps what it said");
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                bail!("the server does not listen on {address} after {START_LIMIT:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(child: &mut Child) -> io::Result<()> {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let asked = Instant::now();
        while child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_LIMIT {
                child.kill()?;
                child.wait()?;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing is left to tell it to: the result is written already, or an error is on its way.
            let _ = Self::stop(&mut child);
        }
    }
}

/// CPU seconds that the whole machine spent on processes, and those that its host took away.
pub(crate) fn machine_cpu_seconds() -> Option<f64> {
    parse_machine(&fs::read_to_string("/proc/stat").ok()?)
}

/// CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds("self")
}

/// CPU seconds of a process; `None` if it is gone.
pub(crate) fn cpu_seconds_of(pid: u32) -> Option<f64> {
    cpu_seconds(&pid.to_string())
}

/// Pins this process to a core.
///
/// # Errors
/// If `taskset` is missing or refuses.
pub(crate) fn pin_self(core: usize) -> anyhow::Result<()> {
    let status = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("taskset")?;
    if !status.success() {
        bail!("taskset could not pin the generator to core {core}");
    }
    Ok(())
}

/// What a result must name to be comparable.
#[derive(Debug, Serialize)]
pub(crate) struct Host {
    /// CPU model.
    pub(crate) cpu: String,
    /// Cores that the machine shows.
    pub(crate) cores: usize,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// This machine.
pub(crate) fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let meminfo = read("/proc/meminfo");
    Host {
        cpu: cpu.to_owned(),
        cores: cpuinfo.matches("processor\t").count(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        memory: kilobytes(&meminfo, "MemTotal:").unwrap_or(0),
    }
}

/// By the process's own account, which counts threads that have ended, or by its threads', which is finer: the larger.
fn cpu_seconds(pid: &str) -> Option<f64> {
    let whole = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let fine: f64 = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum();
    Some(whole.max(fine / 1e9))
}

fn all_cores() -> String {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    match online.trim() {
        "" => "0".to_owned(),
        list => list.to_owned(),
    }
}

/// User, nice, system and steal of the first line of `/proc/stat`.
fn parse_machine(text: &str) -> Option<f64> {
    let mut fields = text.lines().next()?.split_ascii_whitespace();
    if fields.next()? != "cpu" {
        return None;
    }
    let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
    let of = |field: usize| ticks.get(field).copied().unwrap_or(0.0);
    Some((of(0) + of(1) + of(2) + of(7)) / TICKS)
}

/// User and kernel time of a `/proc/<pid>/stat` line. The command's name may hold anything, so count from its end.
fn parse_stat(line: &str) -> Option<f64> {
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some((user + kernel) / TICKS)
}

fn parse_rollup(text: &str) -> Option<Memory> {
    Some(Memory { rss: kilobytes(text, "Rss:")?, pss: kilobytes(text, "Pss:")? })
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_hostile_name() {
        let line = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 7 7 20 0 1";
        assert_eq!(parse_stat(line), Some(2.0));
        assert_eq!(parse_stat("12 (a"), None);
    }

    #[test]
    fn the_machines_time_leaves_out_idle_and_interrupts() {
        let text = "cpu  100 20 30 9999 8 7 6 50 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_machine(text), Some(2.0));
        assert_eq!(parse_machine("intr 5"), None);
    }

    #[test]
    fn own_cpu_time_grows_with_work() {
        let started = Instant::now();
        let before = own_cpu_seconds().unwrap();
        while own_cpu_seconds().unwrap() < before + 0.02 {}
        let wall = started.elapsed().as_secs_f64();
        assert!(wall * host().cores as f64 >= 0.02, "{wall} s are too short for 20 ms of CPU time");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "00-ff ---p 00000000 00:00 0 [rollup]\nRss:    1752 kB\nPss:     386 kB\nPss_Dirty: 1 kB\n";
        let want = Memory { rss: 1752 * 1024, pss: 386 * 1024 };
        assert_eq!(parse_rollup(text), Some(want));
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Server::launch("false", &[], None, address, None).unwrap_err();
        assert!(error.to_string().contains("ended at once"), "{error}");
    }
}
