//! The limit: what the kernel can do when a server has nothing else to do than write.
//!
//! Plain sockets, no protocol but one line at the start. What is published over the control connection is due at once
//! for every socket of its room, in a frame of fixed size that was built once. It must never be cleverer than a server
//! could be: it reads the control connection, and it writes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use thiserror::Error;

use crate::frame;

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;
const CONTROL_BUFFER: usize = 256 * 1024;
/// Rooms that can be named: six digits.
const MAX_ROOMS: usize = 1_000_000;
/// Longest line of a client.
const MAX_LINE: usize = 32;
/// Bytes that may wait for one slow socket; beyond it is closed.
const MAX_BEHIND: usize = 64 * 1024 * 1024;
/// Answer to a client's line: the ack of a join.
const WELCOME: &[u8] = b"\x81\x05430[]";

/// How the limit writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Variant {
    /// One write per message and socket.
    Each,
    /// One write per pass and socket, of all that became due since the last pass.
    Tick,
}

/// Options of the limit server.
#[derive(Args, Clone, Debug)]
pub(crate) struct LimitArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:3999")]
    listen: SocketAddr,
    /// How to write
    #[arg(long, value_enum, default_value_t = Variant::Tick)]
    variant: Variant,
    /// Bytes of a delivered frame, its header included (128 and 129 do not exist and come out shorter)
    #[arg(long, default_value_t = 370)]
    frame_bytes: usize,
    /// Name of the event in the frame
    #[arg(long, default_value = "chat:message")]
    event: String,
}

impl Variant {
    /// The shell command of a limit server of this kind.
    ///
    /// # Errors
    /// If this program's own path is unknown.
    pub(crate) fn command(self, listen: SocketAddr, frame_bytes: usize, event: &str) -> anyhow::Result<String> {
        let program = std::env::current_exe().context("this program's path")?;
        let name = match self {
            Self::Each => "each",
            Self::Tick => "tick",
        };
        Ok(format!(
            "'{}' limit-server --listen {listen} --variant {name} --frame-bytes {frame_bytes} \
             --event '{event}'",
            program.display()
        ))
    }
}

#[derive(Debug, Error)]
enum Gone {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the client ended")]
    Ended,
    #[error("not a line of a client, or not a published frame")]
    Malformed,
    #[error("too far behind")]
    Behind,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    line: Vec<u8>,
    behind: Vec<u8>,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Stranger,
    Member(usize),
    Control,
}

#[derive(Debug)]
struct Server {
    poll: Poll,
    peers: Vec<Option<Peer>>,
    rooms: Vec<Room>,
    dirty: Vec<usize>,
    readable: VecDeque<usize>,
    buffer: Vec<u8>,
    held: Vec<u8>,
    shape: Shape,
    variant: Variant,
}

#[derive(Debug, Default)]
struct Room {
    members: Vec<usize>,
    due: Vec<u8>,
}

/// The frame that the limit delivers.
#[derive(Debug)]
struct Shape {
    before: String,
    frame_bytes: usize,
}

/// Plays the server until it is told to stop.
///
/// # Errors
/// If the address cannot be listened on, or the event loop fails.
pub(crate) fn serve(args: &LimitArgs, interrupted: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut listener = TcpListener::bind(args.listen).with_context(|| format!("listening on {}", args.listen))?;
    let poll = Poll::new().context("epoll")?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        peers: Vec::new(),
        rooms: Vec::new(),
        dirty: Vec::new(),
        readable: VecDeque::new(),
        buffer: vec![0; CONTROL_BUFFER],
        held: Vec::new(),
        shape: Shape { before: format!("42[\"{}\",\"", args.event), frame_bytes: args.frame_bytes },
        variant: args.variant,
    };
    let mut events = Events::with_capacity(EVENTS);
    while !interrupted.load(Ordering::Relaxed) {
        let timeout = match server.readable.is_empty() {
            true => Duration::from_millis(500),
            false => Duration::ZERO,
        };
        match server.poll.poll(&mut events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("epoll"),
        }
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener)?,
                Token(id) => {
                    if event.is_writable() {
                        server.catch_up(id);
                    }
                    if event.is_readable() || event.is_read_closed() {
                        server.readable.push_back(id);
                    }
                }
            }
        }
        for _ in 0..server.readable.len() {
            if let Some(id) = server.readable.pop_front() {
                server.read(id);
            }
        }
        server.flush();
    }
    Ok(())
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The client may be gone before it was accepted.
                Err(_) => continue,
            };
            stream.set_nodelay(true)?;
            let id = self.peers.len();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(id), interest)?;
            self.peers.push(Some(Peer { stream, line: Vec::new(), behind: Vec::new(), part: Part::Stranger }));
        }
    }

    fn catch_up(&mut self, id: usize) {
        if let Some(Some(peer)) = self.peers.get_mut(id)
            && !peer.behind.is_empty()
        {
            let behind = std::mem::take(&mut peer.behind);
            if peer.write(&behind).is_err() {
                self.peers[id] = None;
            }
        }
    }

    fn read(&mut self, id: usize) {
        let Some(Some(peer)) = self.peers.get_mut(id) else {
            return;
        };
        let result = match peer.part {
            Part::Control => self.read_control(id),
            Part::Stranger | Part::Member(_) => self.read_line(id),
        };
        if result.is_err() {
            self.peers[id] = None;
        }
    }

    fn read_line(&mut self, id: usize) -> Result<(), Gone> {
        let Some(Some(peer)) = self.peers.get_mut(id) else {
            return Ok(());
        };
        let mut bytes = [0; MAX_LINE];
        match peer.stream.read(&mut bytes) {
            Ok(0) => return Err(Gone::Ended),
            Ok(count) => peer.line.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        // Closed peers are found out here: a member says nothing after its line.
        self.readable.push_back(id);
        if peer.part != Part::Stranger {
            return Ok(());
        }
        let Some(end) = peer.line.iter().position(|byte| *byte == b'\n') else {
            return match peer.line.len() > MAX_LINE {
                true => Err(Gone::Malformed),
                false => Ok(()),
            };
        };
        match parse_line(&peer.line[..end]) {
            Some(Part::Member(room)) => {
                peer.part = Part::Member(room);
                peer.write(WELCOME)?;
                if self.rooms.len() <= room {
                    self.rooms.resize_with(room + 1, Room::default);
                }
                self.rooms[room].members.push(id);
            }
            Some(part) => {
                peer.part = part;
                peer.write(WELCOME)?;
            }
            None => return Err(Gone::Malformed),
        }
        Ok(())
    }

    fn read_control(&mut self, id: usize) -> Result<(), Gone> {
        let Some(Some(peer)) = self.peers.get_mut(id) else {
            return Ok(());
        };
        let held = self.held.len();
        if held * 2 > self.buffer.len() {
            return Err(Gone::Malformed);
        }
        self.buffer[..held].copy_from_slice(&self.held);
        let filled = match peer.stream.read(&mut self.buffer[held..]) {
            Ok(0) => return Err(Gone::Ended),
            Ok(count) => held + count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.readable.push_back(id);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while let Some((head, len)) = client_frame(&buffer[at..filled])? {
            let end = at + head + len;
            if end > filled {
                break;
            }
            let (front, payload) = buffer[at..end].split_at_mut(head);
            if let Some(key) = front.last_chunk::<4>() {
                frame::unmask(payload, *key);
            }
            self.publish(payload)?;
            at = end;
        }
        self.held.clear();
        self.held.extend_from_slice(&buffer[at..filled]);
        self.buffer = buffer;
        Ok(())
    }

    fn publish(&mut self, payload: &[u8]) -> Result<(), Gone> {
        let (room, text) =
            payload.strip_prefix(b"42").and_then(|rest| rest.split_at_checked(6)).ok_or(Gone::Malformed)?;
        let room = parse_room(room).ok_or(Gone::Malformed)?;
        let Some(entry) = self.rooms.get_mut(room) else {
            return Ok(());
        };
        if entry.due.is_empty() {
            self.dirty.push(room);
        }
        self.shape.append(&mut entry.due, text);
        if self.variant == Variant::Each {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        for room in self.dirty.drain(..) {
            let Some(Room { members, due }) = self.rooms.get_mut(room) else {
                continue;
            };
            members.retain(|id| {
                let Some(Some(peer)) = self.peers.get_mut(*id) else {
                    return false;
                };
                let alive = peer.write(due).is_ok();
                if !alive {
                    self.peers[*id] = None;
                }
                alive
            });
            due.clear();
        }
    }
}

impl Peer {
    /// Writes at once what the kernel takes; the rest waits until the socket is writable again.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut taken = 0;
        if self.behind.is_empty() {
            while taken < bytes.len() {
                match self.stream.write(&bytes[taken..]) {
                    Ok(count) => taken += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if self.behind.len() + bytes.len() - taken > MAX_BEHIND {
            return Err(Gone::Behind);
        }
        self.behind.extend_from_slice(&bytes[taken..]);
        Ok(())
    }
}

impl Shape {
    fn append(&self, due: &mut Vec<u8>, text: &[u8]) {
        const MIDDLE: &[u8] = b"\",\"";
        const AFTER: &[u8] = b"\"]";
        let least = self.before.len() + text.len() + MIDDLE.len() + AFTER.len();
        let head = match self.frame_bytes {
            0..=127 => 2,
            128..=65_539 => 4,
            _ => 10,
        };
        let padding = self.frame_bytes.saturating_sub(head + least);
        frame::write_server_header(due, frame::TEXT, least + padding);
        due.extend_from_slice(self.before.as_bytes());
        due.extend_from_slice(text);
        due.extend_from_slice(MIDDLE);
        due.extend(std::iter::repeat_n(b'.', padding));
        due.extend_from_slice(AFTER);
    }
}

fn parse_line(line: &[u8]) -> Option<Part> {
    match line {
        b"control" => Some(Part::Control),
        line => line.strip_prefix(b"room ").and_then(parse_room).map(Part::Member),
    }
}

fn parse_room(digits: &[u8]) -> Option<usize> {
    let room: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (room < MAX_ROOMS).then_some(room)
}

/// Header and payload length of a masked client frame; `None` while the header is incomplete.
fn client_frame(bytes: &[u8]) -> Result<Option<(usize, usize)>, Gone> {
    match *bytes {
        [] | [_] => Ok(None),
        [0x81, second, ..] if second & 0x7f < 126 => Ok(Some((6, usize::from(second & 0x7f)))),
        [0x81, second, high, low, ..] if second & 0x7f == 126 => {
            Ok(Some((8, usize::from(u16::from_be_bytes([high, low])))))
        }
        [0x81, second, ..] if second & 0x7f == 126 => Ok(None),
        _ => Err(Gone::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_size_that_was_asked_for() {
        for frame_bytes in [120, 127, 130, 250, 370, 4_096, 70_000] {
            let shape = Shape { before: "42[\"chat:message\",\"".to_owned(), frame_bytes };
            let mut due = Vec::new();
            shape.append(&mut due, b"some text");
            assert_eq!(due.len(), frame_bytes);
            let header = frame::header(&due).unwrap().unwrap();
            assert_eq!(header.head + header.len, frame_bytes);
            assert!(serde_json::from_slice::<Vec<String>>(&due[header.head + 2..]).is_ok(), "{frame_bytes}");
        }
    }

    #[test]
    fn the_welcome_is_the_ack_of_a_join() {
        let header = frame::header(WELCOME).unwrap().unwrap();
        assert_eq!(&WELCOME[header.head..], b"430[]");
    }

    #[test]
    fn lines_name_a_room_or_the_control_connection() {
        assert_eq!(parse_line(b"room 000012"), Some(Part::Member(12)));
        assert_eq!(parse_line(b"control"), Some(Part::Control));
        assert_eq!(parse_line(b"room -1"), None);
        assert_eq!(parse_line(b"room 1000000"), None);
        assert_eq!(parse_line(b"GET / HTTP/1.1"), None);
    }

    #[test]
    fn published_frames_are_told_from_incomplete_ones() {
        let mut out = Vec::new();
        frame::write_masked(&mut out, frame::TEXT, [9, 9, 9, 9], &[&[b'x'; 200]]);
        assert!(matches!(client_frame(&out[..3]), Ok(None)));
        assert!(matches!(client_frame(&out), Ok(Some((8, 200)))));
        assert!(client_frame(&[0x82, 0x80]).is_err());
    }
}
