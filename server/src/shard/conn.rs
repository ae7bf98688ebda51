//! The task of one WebSocket: reads, and hands on. Writing is the flush task's business.

use std::{future::poll_fn, io, rc::Rc, task::Poll, time::Instant};

use haat_protocol::Frame;
use tokio::net::TcpStream;

use super::{LINGER, READ_CHUNK, Shard};
use crate::{
    close::CloseReason,
    transport::{
        SessionKey,
        reader::{Message, Reader, Received},
    },
};

/// Serves the session, in a task of its own, until its client is gone. `first` are bytes that came with the upgrade
/// request.
pub fn run(shard: Rc<Shard>, key: SessionKey, io: Rc<TcpStream>, first: &[u8]) {
    let mut reader = Reader::default();
    let fed = if first.is_empty() { Ok(()) } else { shard.feed(key, &mut reader, first) };
    tokio::task::spawn_local(serve(shard, key, io, reader, fed));
}

/// Serves a session that has taken over this WebSocket. `first` is what came in one piece with the upgrade packet, and
/// `end` how its reading ended.
pub fn take_over(
    shard: Rc<Shard>,
    key: SessionKey,
    io: Rc<TcpStream>,
    reader: Reader,
    first: Vec<Message>,
    end: Result<(), CloseReason>,
) {
    let received = first.into_iter().try_for_each(|message| shard.receive_message(key, message.received()));
    let fed = shard.fed(key, received.and(end));
    tokio::task::spawn_local(serve(shard, key, io, reader, fed));
}

/// Ends a session whose task breaks down. Nobody else would before its heartbeat, and its client would wait in vain.
struct Wreck(Rc<Shard>, SessionKey);

impl Drop for Wreck {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (shard, key) = (self.0.clone(), self.1);
            // Not from here: a panic while panicking would end the process.
            tokio::task::spawn_local(async move { shard.give_up(key, CloseReason::Broken) });
        }
    }
}

async fn serve(shard: Rc<Shard>, key: SessionKey, io: Rc<TcpStream>, mut reader: Reader, mut fed: Result<(), End>) {
    let _wreck = Wreck(shard.clone(), key);
    loop {
        if let Err(end) = fed {
            return shard.finish(key, io, end).await;
        }
        if let Err(reason) = readable(&io, &reader).await {
            shard.close(key, reason);
            return linger(&io).await;
        }
        fed = match shard.read(key, &io, &mut reader) {
            // There is more. Others have their turn first, however fast this client is.
            Ok(true) => {
                tokio::task::yield_now().await;
                Ok(())
            }
            read => read.map(drop),
        };
    }
}

/// Waits for bytes. A message that is half received has a deadline.
async fn readable(io: &TcpStream, reader: &Reader) -> Result<(), CloseReason> {
    let ready = poll_fn(|context| io.poll_read_ready(context));
    let ready = match reader.deadline() {
        None => ready.await,
        // Boxed: a timer is large, and an idle connection should not pay for one.
        Some(deadline) => match Box::pin(tokio::time::timeout_at(deadline.into(), ready)).await {
            Ok(ready) => ready,
            Err(_) => return Err(CloseReason::Abuse),
        },
    };
    ready.map_err(|_| CloseReason::TransportError)
}

/// Why a connection is not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client has hung up.
    HungUp,
    /// The client has sent its close frame, after which nothing may come (RFC 6455, 5.5.1).
    Closed,
    /// The session is over; what the client still sends is of no interest.
    Closing,
}

impl Shard {
    /// Reads once, and says whether that was as much as is read at once.
    fn read(self: &Rc<Self>, key: SessionKey, io: &TcpStream, reader: &mut Reader) -> Result<bool, End> {
        let mut scratch = self.scratch.borrow_mut();
        match io.try_read(&mut scratch) {
            Ok(0) => Err(End::HungUp),
            Ok(count) => {
                let chunk = scratch.get(..count).unwrap_or_default();
                self.feed(key, reader, chunk).map(|()| count == READ_CHUNK)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(End::HungUp),
        }
    }

    /// Gives bytes to the session.
    ///
    /// # Errors
    /// The session is over.
    pub fn feed(self: &Rc<Self>, key: SessionKey, reader: &mut Reader, chunk: &[u8]) -> Result<(), End> {
        let fed = reader.feed(chunk, &self.lender, Instant::now(), |message| self.receive_message(key, message));
        self.fed(key, fed)
    }

    fn receive_message(self: &Rc<Self>, key: SessionKey, message: Received<'_>) -> Result<(), CloseReason> {
        match message {
            Received::Text(text) => self.receive_text(key, text),
            Received::Binary(bytes) => self.receive_binary(key, bytes),
            Received::Answer(frames) => {
                self.rooms.emit(key, &Frame::raw(frames.into()));
                Ok(())
            }
        }
    }

    /// What has come was read, and this is what came of it.
    fn fed(self: &Rc<Self>, key: SessionKey, fed: Result<(), CloseReason>) -> Result<(), End> {
        match fed {
            Ok(()) => {}
            // The client's close frame has been answered.
            Err(CloseReason::SocketClosed) => {
                self.rooms.close_quietly(key, CloseReason::SocketClosed);
                return Err(End::Closed);
            }
            Err(reason) => self.close(key, reason),
        }
        let open = fed.is_ok() && self.rooms.with(key, |session| session.is_open()).unwrap_or(false);
        if open { Ok(()) } else { Err(End::Closing) }
    }

    /// Lets go of the connection. The session has the other reference to it, until what is queued is written.
    async fn finish(self: &Rc<Self>, key: SessionKey, io: Rc<TcpStream>, end: End) {
        match end {
            End::HungUp => self.end(key, CloseReason::TransportClose),
            // The server closes first (RFC 6455, 7.1.1). Nothing is left to be read, so that nothing is cut off.
            End::Closed => {}
            End::Closing => linger(&io).await,
        }
    }
}

/// Reads and forgets until the client hangs up, so that what was written to it is not cut off by a reset.
async fn linger(io: &TcpStream) {
    let hung_up = poll_fn(|context| {
        let mut sink = [0; 1024];
        loop {
            match io.poll_read_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            match io.try_read(&mut sink) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    });
    let _ = Box::pin(tokio::time::timeout(LINGER, hung_up)).await;
}
