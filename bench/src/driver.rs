//! The event loop: every connection of the generator on one thread.
//!
//! It must never block while a message is due, and never spend a system call per connection that has nothing to say.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::{Client, Heard, Loss, Notice, Role};
use crate::sight::Sight;

/// Bytes of the one read buffer that all connections share. Larger reads are fewer system calls, but leave the cache.
const READ_BUFFER: usize = 256 * 1024;
/// Connections taken from the kernel's ready list at once.
const EVENTS: usize = 1024;
/// How the generator waits when nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Waiting {
    /// Sleeps in the kernel: the server's writes pay for waking it.
    Sleep,
    /// Polls without sleeping: the server never wakes it, as it never wakes a client on another machine.
    Spin,
}

/// All connections and their event loop.
#[derive(Debug)]
pub(crate) struct Driver {
    poll: Poll,
    events: Events,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    ready: VecDeque<usize>,
    buffer: Vec<u8>,
    heard: VecDeque<Heard>,
    origin: Instant,
    interrupted: Arc<AtomicBool>,
    waiting: Waiting,
    /// What all connections share while they read.
    pub(crate) sight: Sight,
}

impl Driver {
    /// An empty loop that counts `event` as a delivery and `error_event` as an error.
    ///
    /// # Errors
    /// If the kernel gives no epoll instance.
    pub(crate) fn new(
        event: &str,
        error_event: &str,
        waiting: Waiting,
        interrupted: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new().context("epoll")?,
            events: Events::with_capacity(EVENTS),
            clients: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            buffer: vec![0; READ_BUFFER],
            heard: VecDeque::new(),
            origin: Instant::now(),
            interrupted,
            waiting,
            sight: Sight::new(event, error_event),
        })
    }

    /// Nanoseconds since the loop was made.
    pub(crate) fn now_ns(&self) -> u64 {
        nanos_since(self.origin)
    }

    /// Starts a connection, from `source` if given; returns its number.
    ///
    /// # Errors
    /// If the kernel refuses a socket or the address.
    pub(crate) fn dial(
        &mut self,
        server: SocketAddr,
        source: Option<IpAddr>,
        role: Role,
        tag: usize,
    ) -> io::Result<usize> {
        let stream = match source {
            None => TcpStream::connect(server)?,
            Some(source) => connect_from(source, server)?,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let mut client = Client::new(stream, role, tag);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(client.stream(), Token(id), interest) {
            self.free.push(id);
            return Err(error);
        }
        self.clients[id] = Some(client);
        Ok(id)
    }

    /// The connection of that number, if it is still there.
    pub(crate) fn client(&mut self, id: usize) -> Option<&mut Client> {
        self.clients.get_mut(id)?.as_mut()
    }

    /// Writes what is queued on a connection; a failure becomes a notice.
    pub(crate) fn flush(&mut self, id: usize) {
        let result = self.client(id).map_or(Ok(()), Client::flush);
        if let Err(loss) = result {
            self.lose(id, loss);
        }
    }

    /// Forgets a connection: its socket is closed at once, no notice follows.
    pub(crate) fn drop_client(&mut self, id: usize) {
        if self.clients.get_mut(id).and_then(Option::take).is_some() {
            self.free.push(id);
        }
    }

    /// Waits until a socket is ready or until `due_ns`; the clock's last millisecond is spun, because the kernel's
    /// timeout is no finer.
    ///
    /// # Errors
    /// If the loop was interrupted by a signal, or the kernel fails.
    pub(crate) fn wait_until(&mut self, due_ns: u64) -> anyhow::Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let gap_ns = due_ns.saturating_sub(self.now_ns());
        let timeout = match self.waiting {
            Waiting::Spin => Duration::ZERO,
            Waiting::Sleep if !self.ready.is_empty() => Duration::ZERO,
            Waiting::Sleep => Duration::from_millis((gap_ns / 1_000_000).saturating_sub(1)),
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error).context("epoll"),
        }
        let mut lost = Vec::new();
        for event in &self.events {
            let id = event.token().0;
            let Some(client) = self.clients.get_mut(id).and_then(Option::as_mut) else {
                continue;
            };
            if event.is_writable()
                && let Err(loss) = client.writable()
            {
                lost.push((id, loss));
                continue;
            }
            client.half_closed |= event.is_read_closed();
            if event.is_readable() || event.is_read_closed() {
                self.ready.push_back(id);
            }
        }
        for (id, loss) in lost {
            self.lose(id, loss);
        }
        Ok(())
    }

    /// Sockets that are ready to be read.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Reads at most `count` ready sockets once.
    pub(crate) fn read_some(&mut self, count: usize) {
        for _ in 0..count {
            let Some(id) = self.ready.pop_front() else {
                return;
            };
            let Some(client) = self.clients.get_mut(id).and_then(Option::as_mut) else {
                continue;
            };
            let origin = self.origin;
            match client.read(&mut self.buffer, &mut self.sight, &mut self.heard, id, || nanos_since(origin)) {
                Ok(true) => self.ready.push_back(id),
                Ok(false) => {}
                Err(loss) => self.lose(id, loss),
            }
        }
    }

    /// The next thing that happened to a connection. One that is lost is already closed.
    pub(crate) fn next(&mut self) -> Option<Heard> {
        let heard = self.heard.pop_front()?;
        if matches!(heard.notice, Notice::Lost(_)) {
            // Not before: its number must not name another connection while this is unread.
            self.free.push(heard.id);
        }
        Some(heard)
    }

    fn lose(&mut self, id: usize, loss: Loss) {
        if let Some(client) = self.clients.get_mut(id).and_then(Option::take) {
            self.heard.push_back(Heard { id, tag: client.tag, notice: Notice::Lost(loss) });
        }
    }
}

fn nanos_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn connect_from(source: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&server.into()) {
        Ok(()) => {}
        // EINPROGRESS: the loop hears when it is done.
        Err(error) if error.raw_os_error() == Some(115) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_address_is_the_one_the_server_sees() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let source = IpAddr::from([127, 0, 0, 9]);
        let mut driver = Driver::new("chat", "", Waiting::Sleep, Arc::default()).unwrap();
        let role = Role::Limit { line: "hello\n".to_owned() };
        driver.dial(server, Some(source), role, 3).unwrap();
        let (_far, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), source);
    }

    #[test]
    fn a_refused_connection_is_heard_of_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let mut driver = Driver::new("chat", "", Waiting::Sleep, Arc::default()).unwrap();
        let role = Role::Limit { line: String::new() };
        driver.dial(closed, None, role, 7).unwrap();
        let heard = loop {
            driver.wait_until(driver.now_ns() + 10_000_000).unwrap();
            driver.read_some(1);
            if let Some(heard) = driver.next() {
                break heard;
            }
        };
        assert_eq!(heard.tag, 7);
        assert!(matches!(heard.notice, Notice::Lost(Loss::Io(_))));
        assert!(driver.next().is_none());
        assert!(driver.client(heard.id).is_none());
    }

    #[test]
    fn a_signal_ends_the_wait() {
        let interrupted = Arc::new(AtomicBool::new(true));
        let mut driver = Driver::new("chat", "", Waiting::Sleep, interrupted).unwrap();
        assert!(driver.wait_until(0).is_err());
    }
}
