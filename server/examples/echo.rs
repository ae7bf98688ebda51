//! A WebSocket echo on the gateway's own reader and frames, for the Autobahn suite:
//! `cargo run --example echo -- 9001`. It speaks no Engine.IO, which the suite does not know. Says where it listens; port 0
//! lets the system choose.

use std::{
    cell::RefCell,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use haat_protocol::Frame;
use haat_server::{
    close::CloseReason,
    edge::upgrade::{handshake, switching, write_all},
    transport::reader::{Lender, Reader, Received},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::{TcpListener, TcpStream};

/// The suite sends messages of up to 16 MiB.
const MAX_MESSAGE: usize = 16 << 20;
/// Nobody looks at it here: a message may take as long as it likes.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn serve(stream: TcpStream, lender: Rc<RefCell<Lender>>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let (headers, end) = loop {
        stream.readable().await?;
        match stream.try_read_buf(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let Some(head) = head(&bytes) {
            break head;
        }
    };
    let accept = handshake(http::Version::HTTP_11, &headers).map_err(|_| io::ErrorKind::InvalidData)?;
    write_all(&stream, switching(&accept, None).as_bytes()).await?;
    let mut chunk = bytes.split_off(end);
    let mut reader = Reader::default();
    loop {
        let mut out = Vec::new();
        let fed = reader.feed(&chunk, &lender, Instant::now(), |message| {
            match message {
                Received::Text(text) => out.extend_from_slice(Frame::text(&[text]).bytes()),
                Received::Binary(bytes) => out.extend_from_slice(Frame::binary(&bytes).bytes()),
                Received::Answer(frames) => out.extend(frames),
            }
            Ok(())
        });
        write_all(&stream, &out).await?;
        if let Err(reason) = fed {
            if reason != CloseReason::SocketClosed {
                let code = reason.row().code.unwrap_or(1000);
                write_all(&stream, Frame::close(&code.to_be_bytes()).bytes()).await?;
            }
            return Ok(());
        }
        stream.readable().await?;
        chunk = vec![0; 64 * 1024];
        match stream.try_read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => chunk.truncate(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => chunk.clear(),
            Err(error) => return Err(error),
        }
    }
}

fn head(bytes: &[u8]) -> Option<(HeaderMap, usize)> {
    let mut lines = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut lines);
    let Ok(httparse::Status::Complete(end)) = request.parse(bytes) else { return None };
    let mut headers = HeaderMap::new();
    for line in request.headers.iter() {
        headers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some((headers, end))
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        writeln!(io::stdout(), "ws://{}", listener.local_addr()?)?;
        let lender = Rc::new(RefCell::new(Lender::new(MAX_MESSAGE, TIMEOUT)));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve(stream, lender.clone()));
        }
    })
}
