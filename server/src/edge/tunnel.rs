//! A WebSocket whose session lives on another gateway: bytes go through as they are. Nobody here knows what they mean, and
//! nothing is queued but one read that the other side did not take.

use std::{cell::RefCell, io, pin::pin, rc::Rc, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};

use super::{Edge, http::socket_of, upgrade::write_all};
use crate::{hub::Passing, limit::Admitted};

/// Bytes of one read.
const CHUNK: usize = 16 * 1024;
/// How long a handshake may take to be over that both sides have agreed on.
const SWITCH: Duration = Duration::from_secs(5);
/// How long one side may go on when the other has ended.
const LINGER: Duration = Duration::from_secs(5);

/// What the tunnels of a shard read into.
pub struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(RefCell::new(vec![0; CHUNK].into()))
    }
}

/// Joins the client's connection and the owner's once both have become WebSockets. The client holds its `place` as long.
pub async fn begin(edge: Rc<Edge>, near: OnUpgrade, far: OnUpgrade, place: Admitted) {
    let ends = timeout(SWITCH, async { Ok::<_, io::Error>((client_end(near).await?, owner_end(far).await?)) });
    match ends.await {
        // A task of its own: the memory of this one is not kept by an idle viewer.
        Ok(Ok(ends)) => drop(tokio::task::spawn_local(run(edge, ends, place))),
        Ok(Err(error)) => tracing::debug!(%error, "no tunnel"),
        Err(_) => tracing::debug!("no tunnel in time"),
    }
}

/// A connection, and what was read of it already.
type End = (TcpStream, Vec<u8>);

async fn client_end(upgrade: OnUpgrade) -> io::Result<End> {
    socket_of(upgrade.await.map_err(io::Error::other)?)
}

async fn owner_end(upgrade: OnUpgrade) -> io::Result<End> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| io::Error::other("not the socket of a hop"))?;
    Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
}

async fn run(edge: Rc<Edge>, ((near, asked), (far, answered)): (End, End), _place: Admitted) {
    let _passage = edge.shard.rooms.hub.pass(Passing::Socket);
    let first = async {
        write_all(&far, &asked).await?;
        write_all(&near, &answered).await
    };
    if first.await.is_err() {
        return;
    }
    drop((asked, answered));
    tokio::select! {
        _ = both_ways(&edge, &near, &far) => {}
        () = turn(&edge) => {}
    }
}

/// Carries bytes until both ends have ended, or one is broken.
async fn both_ways(edge: &Edge, near: &TcpStream, far: &TcpStream) -> io::Result<()> {
    let mut up = pin!(pump(edge, near, far));
    let mut down = pin!(pump(edge, far, near));
    tokio::select! {
        ended = &mut up => {
            ended?;
            Box::pin(timeout(LINGER, down)).await?
        }
        ended = &mut down => {
            ended?;
            Box::pin(timeout(LINGER, up)).await?
        }
    }
}

/// Carries bytes from one end to the other until the first has ended, and ends the second.
async fn pump(edge: &Edge, from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    loop {
        from.readable().await?;
        match step(&edge.scratch, from, to)? {
            Step::Carried => {}
            Step::Left(rest) => write_all(to, &rest).await?,
            Step::End => return SockRef::from(to).shutdown(std::net::Shutdown::Write),
        }
    }
}

enum Step {
    /// All that was read has been written.
    Carried,
    /// This could not be written at once.
    Left(Vec<u8>),
    /// There is no more.
    End,
}

fn step(scratch: &Scratch, from: &TcpStream, to: &TcpStream) -> io::Result<Step> {
    let mut scratch = scratch.0.borrow_mut();
    let count = match from.try_read(&mut scratch) {
        Ok(0) => return Ok(Step::End),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Carried),
        Err(error) => return Err(error),
    };
    let chunk = scratch.get(..count).unwrap_or_default();
    let written = match to.try_write(chunk) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    let rest = chunk.get(written..).unwrap_or_default();
    Ok(if rest.is_empty() { Step::Carried } else { Step::Left(rest.to_vec()) })
}

/// Waits for the turn of this tunnel when the gateway drains: at random within the time, so that the clients do not come
/// back in a crowd. They are not told, for this is not the gateway that speaks with them.
async fn turn(edge: &Edge) {
    let mut leaving = edge.shard.leaving.subscribe();
    let within = match leaving.wait_for(Option::is_some).await {
        Ok(within) => within.unwrap_or_default(),
        Err(_) => return,
    };
    let mut random = [0; 2];
    // Without randomness all leave at the end.
    let part = getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u16::from_be_bytes(random)) / 65536.0);
    Box::pin(tokio::time::sleep(within.mul_f64(part))).await;
}
