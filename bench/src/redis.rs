//! What Redis says of itself: which commands it was given, and how much CPU time it used.
//!
//! It must never be asked while something is measured, only before and after.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What only scripts ask for. Redis counts it like everything else; but it is a part of the script, and no command of its own.
const INSIDE: &str = "time hget hmget hgetall hset hdel hexists hlen hincrby exists del pexpire \
                      sadd scard smembers pfadd pfcount zadd zrem zrangebyscore rpush llen lrange xadd xlen xrevrange";
/// What this file asks for.
const OURS: &str = "info";

/// A connection for questions.
#[derive(Debug)]
pub(crate) struct Redis(BufReader<TcpStream>);

/// Hears every command, and tells those that were sent from what scripts ask for themselves. It costs Redis more than what it
/// hears of: with it running, CPU time says nothing.
#[derive(Debug)]
pub(crate) struct Monitor {
    heard: Arc<Mutex<BTreeMap<String, u64>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Begins to listen at `host:port`.
    ///
    /// # Errors
    /// If nobody answers there, or it is not allowed.
    pub(crate) fn start(address: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).with_context(|| format!("redis at {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        lines.read_line(&mut head)?;
        if head.trim() != "+OK" {
            bail!("MONITOR: {}", head.trim());
        }
        lines.get_ref().set_read_timeout(Some(Duration::from_millis(100)))?;
        let (heard, stop) = (Arc::<Mutex<BTreeMap<String, u64>>>::default(), Arc::<AtomicBool>::default());
        let (names, done) = (heard.clone(), stop.clone());
        let reader = thread::spawn(move || {
            let mut line = Vec::new();
            while !done.load(Ordering::Relaxed) {
                // A line that is half there stays until the rest comes.
                match lines.read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    Ok(_) => {
                        if let Some(name) = sent(&line) {
                            *names.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
                        }
                        line.clear();
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => return,
                }
            }
        });
        Ok(Self { heard, stop, reader: Some(reader) })
    }

    /// Commands heard since this was last asked, by name.
    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The name of a command that a client sent; `None` if a script asked for it.
fn sent(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let (head, rest) = line.split_once("] \"")?;
    let name = rest.split('"').next()?.to_ascii_lowercase();
    (!head.ends_with(" lua")).then_some(name)
}

/// What it had done at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    calls: BTreeMap<String, u64>,
    cpu_seconds: f64,
}

impl Redis {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// If nobody answers there.
    pub(crate) fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("redis at {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// What it has done so far.
    ///
    /// # Errors
    /// If it does not say.
    pub(crate) fn done(&mut self) -> anyhow::Result<Done> {
        let calls = calls(&self.info("commandstats")?);
        let cpu = self.info("cpu")?;
        let seconds = |name: &str| cpu.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        let user_and_kernel = seconds("used_cpu_user:").zip(seconds("used_cpu_sys:"));
        let cpu_seconds = user_and_kernel.map(|(user, kernel)| user + kernel).context("INFO cpu")?;
        Ok(Done { calls, cpu_seconds })
    }

    fn info(&mut self, section: &str) -> anyhow::Result<String> {
        self.0.get_mut().write_all(format!("INFO {section}\r\n").as_bytes())?;
        let mut head = String::new();
        self.0.read_line(&mut head)?;
        let Some(length) = head.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) else {
            bail!("INFO {section}: {}", head.trim());
        };
        let mut text = vec![0; length + 2];
        self.0.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Done {
    /// What it did since then.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let rest = |(name, calls): (&String, &u64)| {
            let calls = calls.saturating_sub(before.calls.get(name).copied().unwrap_or(0));
            (calls > 0).then(|| (name.clone(), calls))
        };
        Self { calls: self.calls.iter().filter_map(rest).collect(), cpu_seconds: self.cpu_seconds - before.cpu_seconds }
    }

    /// Commands that it was sent.
    pub(crate) fn commands(&self) -> u64 {
        let sent = |name: &str| !INSIDE.split_ascii_whitespace().any(|inside| inside == name) && name != OURS;
        self.calls.iter().filter(|(name, _)| sent(name)).map(|(_, calls)| calls).sum()
    }

    /// Scripts among them.
    pub(crate) fn scripts(&self) -> u64 {
        ["evalsha", "eval"].iter().filter_map(|name| self.calls.get(*name)).sum()
    }

    /// CPU seconds, user and kernel.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.cpu_seconds
    }
}

/// Calls by name, a subcommand counted for its command.
fn calls(info: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in info.lines() {
        let row = line.strip_prefix("cmdstat_").and_then(|row| row.split_once(":calls="));
        let Some((name, rest)) = row else { continue };
        let name = name.split('|').next().unwrap_or(name);
        let count: u64 = rest.split(',').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        *sums.entry(name.to_owned()).or_default() += count;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(info: &str) -> Done {
        Done { calls: calls(info), cpu_seconds: 1.0 }
    }

    #[test]
    fn what_scripts_ask_for_is_not_heard() {
        assert_eq!(sent(b"+1.5 [0 127.0.0.1:5] \"EVALSHA\" \"ab\" \"1\"\r\n").as_deref(), Some("evalsha"));
        assert_eq!(sent(b"+1.5 [0 lua] \"HGET\" \"a] \" \"b\"\r\n"), None);
        assert_eq!(sent(b"+OK\r\n"), None);
    }

    #[test]
    fn only_what_was_sent_is_counted() {
        let before = done("# Commandstats\r\ncmdstat_evalsha:calls=2,usec=9\r\ncmdstat_info:calls=1,usec=9\r\n");
        let after = done(
            "cmdstat_evalsha:calls=7,usec=9\r\ncmdstat_hget:calls=90,usec=9\r\ncmdstat_ping:calls=3,usec=1\r\n\
             cmdstat_info:calls=2,usec=9\r\ncmdstat_client|setinfo:calls=2,usec=9\r\n",
        );
        let since = after.since(&before);
        assert_eq!((since.commands(), since.scripts()), (10, 5));
        assert_eq!(since.since(&since).commands(), 0);
    }
}
