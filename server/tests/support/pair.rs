//! Two gateways that pass requests on to each other, and a load balancer without any idea of sessions.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use haat_adapter::memory::{Engine, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{
    World, patiently,
    polling::{UNKNOWN, sid_of},
    wire::{Answer, Wire, get},
};

pub const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
pub const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// Gateways of one fleet.
pub struct Pair {
    pub a: World,
    pub b: World,
}

impl Pair {
    pub async fn start(variables: &[(&str, &str)]) -> Self {
        Self::differing(variables, variables).await
    }

    /// With variables of their own.
    pub async fn differing(a: &[(&str, &str)], b: &[(&str, &str)]) -> Self {
        let engine = Engine::new(Limits::default());
        let (a, b) = (
            World::join(&engine, &[&[("HAAT_PEER_LISTEN", "127.0.0.1:0")], a].concat()).await,
            World::join(&engine, &[&[("HAAT_PEER_LISTEN", "127.0.0.1:0")], b].concat()).await,
        );
        Self { a, b }
    }
}

/// A session that polls.
pub struct Session {
    pub sid: String,
}

impl Session {
    /// Opens one at this gateway.
    pub async fn open(address: SocketAddr) -> Self {
        Self { sid: sid_of(&get(address, POLLING).await.body) }
    }

    /// Opens one, and joins the main namespace, all at this gateway.
    pub async fn connect(address: SocketAddr) -> Self {
        let session = Self::open(address).await;
        assert_eq!(session.post(address, "40").await.body, "ok");
        assert!(session.get(address).await.body.starts_with("40{"));
        session
    }

    /// What its requests ask for.
    pub fn target(&self) -> String {
        format!("{POLLING}&sid={}", self.sid)
    }

    /// What asks for a WebSocket for it.
    pub fn upgrade(&self) -> String {
        format!("{SOCKET}&sid={}", self.sid)
    }

    /// Polls at this gateway.
    pub async fn get(&self, address: SocketAddr) -> Answer {
        get(address, &self.target()).await
    }

    /// Waits until the session is gone, as this gateway has it. One that was closed may have a last word.
    pub async fn gone(&self, address: SocketAddr) {
        patiently("end of the session", async { while self.get(address).await.body != UNKNOWN {} }).await;
    }

    /// Sends packets to this gateway.
    pub async fn post(&self, address: SocketAddr, packets: &str) -> Answer {
        Wire::connect(address).await.ask("POST", &self.target(), packets).await
    }
}

/// How many sessions a gateway has.
pub async fn sessions(world: &World) -> u64 {
    let answer = get(world.server.private_address(), "/debug/connections").await;
    let numbers: serde_json::Value = serde_json::from_str(&answer.body).expect("numbers");
    numbers["sessions"].as_u64().expect("a number")
}

/// A number of the metrics, by its name and labels. All gateways of this process share it.
pub async fn count(world: &World, name: &str) -> u64 {
    let metrics = get(world.server.private_address(), "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    value.map_or(0, |value| value.parse().expect("a number"))
}

/// A load balancer that gives each request to the next gateway, whatever it asks, as proxies do by default. What becomes a
/// WebSocket stays where it is.
pub async fn balancer(gateways: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (gateways, turn) = (gateways.clone(), turn.clone());
            tokio::spawn(async move {
                // An error is the end of a connection, as for any proxy.
                let _ = serve(client, &gateways, &turn).await;
            });
        }
    });
    address
}

async fn serve(mut client: TcpStream, gateways: &[SocketAddr], turn: &AtomicUsize) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let request = message(&mut client, &mut read).await?;
        let gateway = gateways[turn.fetch_add(1, Ordering::Relaxed) % gateways.len()];
        let mut gateway = TcpStream::connect(gateway).await?;
        gateway.write_all(&request).await?;
        let mut answered = Vec::new();
        let answer = tokio::select! {
            answer = message(&mut gateway, &mut answered) => answer?,
            // A client that hangs up takes its request along.
            () = hung_up(&client) => return Ok(()),
        };
        client.write_all(&answer).await?;
        if answer.starts_with(b"HTTP/1.1 101") {
            client.write_all(&answered).await?;
            gateway.write_all(&read).await?;
            copy_bidirectional(&mut client, &mut gateway).await?;
            return Ok(());
        }
    }
}

/// Waits until a client that waits for its answer waits no longer.
async fn hung_up(client: &TcpStream) {
    while client.readable().await.is_ok() {
        match client.try_read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
            Ok(_) => panic!("a client that does not wait for its answer"),
        }
    }
}

/// The bytes of a request or an answer.
async fn message(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<Vec<u8>> {
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = end + 4 + length.map_or(0, |length| length.trim().parse().expect("a length"));
            if read.len() >= whole {
                return Ok(read.drain(..whole).collect());
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
