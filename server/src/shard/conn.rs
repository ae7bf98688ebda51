//! The task of one WebSocket: reads, and hands on. Writing is the flush task's business.

use std::{future::poll_fn, io, rc::Rc, task::Poll, time::Instant};

use haat_protocol::Frame;
use tokio::net::TcpStream;

use super::{LINGER, Shard};
use crate::{
    close::CloseReason,
    transport::{
        SessionKey,
        reader::{Reader, Received},
    },
};

/// Serves the session until its client is gone. `first` are bytes that came with the upgrade request.
pub async fn run(shard: Rc<Shard>, key: SessionKey, io: Rc<TcpStream>, mut reader: Reader, first: Vec<u8>) {
    if !first.is_empty() && !shard.feed(key, &mut reader, &first) {
        return linger(&io).await;
    }
    drop(first);
    loop {
        if let Err(reason) = readable(&io, &reader).await {
            shard.close(key, reason);
            return linger(&io).await;
        }
        match shard.read(key, &io, &mut reader) {
            Ok(()) => {}
            Err(End::HungUp) => return shard.end(key, CloseReason::TransportClose),
            Err(End::Closing) => return linger(&io).await,
        }
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
enum End {
    /// The client has hung up.
    HungUp,
    /// The session is over; what the client still sends is of no interest.
    Closing,
}

impl Shard {
    fn read(self: &Rc<Self>, key: SessionKey, io: &TcpStream, reader: &mut Reader) -> Result<(), End> {
        let mut scratch = self.scratch.borrow_mut();
        match io.try_read(&mut scratch) {
            Ok(0) => Err(End::HungUp),
            Ok(count) => {
                let chunk = scratch.get(..count).unwrap_or_default();
                if self.feed(key, reader, chunk) { Ok(()) } else { Err(End::Closing) }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::HungUp),
        }
    }

    /// Gives bytes to the session. Says whether it goes on.
    pub fn feed(self: &Rc<Self>, key: SessionKey, reader: &mut Reader, chunk: &[u8]) -> bool {
        let fed = reader.feed(chunk, &self.lender, Instant::now(), |message| {
            match message {
                Received::Text(text) => return self.receive_text(key, text),
                Received::Binary(bytes) => return self.receive_binary(key, bytes),
                Received::Answer(frames) => self.rooms.emit(key, &Frame::raw(frames.into())),
            }
            Ok(())
        });
        match fed {
            Ok(()) => {}
            // The client's close frame has been answered.
            Err(CloseReason::SocketClosed) => self.rooms.close_quietly(key, CloseReason::SocketClosed),
            Err(reason) => self.close(key, reason),
        }
        fed.is_ok() && self.rooms.with(key, |session| session.is_open()).unwrap_or(false)
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
