//! A broadcast to a thousand viewers costs as many allocations as one to ten: none for each of them.

mod support;

use std::{alloc::System, any::Any, io, rc::Rc, sync::Arc};

use haat_adapter::Entry;
use haat_protocol::{Frame, error::Rejection, packet::Event, socket};
use haat_server::{
    close::CloseReason,
    room::{
        At, Rooms,
        app::{App, Left},
    },
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{
    echo::{Echo, SOCKET_IO},
    patiently,
    wire::{Wire, text},
};
use tokio::net::TcpStream;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Everybody is in the hall, and any event is said to all of them.
struct Hall {
    rooms: Rc<Rooms>,
    frame: Frame,
}

impl App for Hall {
    fn connect(&self, at: At, _: &str) {
        let id = haat_protocol::Id::random().expect("randomness");
        self.rooms.accept(at, id, None, None, &[]);
        self.rooms.join(at, "hall");
    }

    fn event(&self, _: At, _: Event<'_>) {
        self.rooms.broadcast(0, "hall", &self.frame);
    }

    fn rejected(&self, _: At, _: Option<u64>, _: &str, _: Rejection) {}
    fn disconnected(&self, _: At, _: Left, _: CloseReason) {}
    fn entry(&self, _: Arc<Entry>, _: Frame) {}
    fn mail(&self, _: Box<dyn Any + Send>) {}
}

fn message() -> Frame {
    socket::event_pieces("/", &[&format!(r#"["chat:message","{}"]"#, "x".repeat(200))])
}

async fn viewer(server: &Echo) -> TcpStream {
    let mut wire = Wire::socket(server.address, &format!("{SOCKET_IO}websocket")).await;
    assert!(wire.text().await.starts_with("0{"));
    wire.say("40").await;
    assert!(wire.text().await.starts_with("40{"));
    wire.into_stream()
}

/// Reads this many bytes of everybody, and allocates nothing for it.
async fn receive(viewers: &[TcpStream], buffer: &mut [u8]) -> io::Result<()> {
    for viewer in viewers {
        let mut had = 0;
        while had < buffer.len() {
            viewer.readable().await?;
            match viewer.try_read(&mut buffer[had..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => had += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The fewest allocations of the whole process, over some broadcasts to this many viewers. Timers of the shard and of the
/// runtime may come in between; not each time.
async fn fewest(count: usize) -> usize {
    let server = Echo::of(|plan| {
        plan.shards = 1;
        plan.app = Arc::new(|rooms| Rc::new(Hall { rooms, frame: message() }));
    });
    let mut viewers = Vec::with_capacity(count);
    for _ in 0..count {
        viewers.push(viewer(&server).await);
    }
    let say = text(r#"42["say"]"#);
    let mut buffer = vec![0; message().bytes().len()];
    let mut fewest = usize::MAX;
    for _ in 0..50 {
        let region = Region::new(ALLOCATOR);
        assert_eq!(viewers[0].try_write(&say).expect("to write"), say.len());
        patiently("message at everybody", receive(&viewers, &mut buffer)).await.expect("a connection");
        let change = region.change();
        assert_eq!(buffer, *message().bytes(), "viewers got the message");
        fewest = fewest.min(change.allocations + change.reallocations);
    }
    fewest
}

#[tokio::test]
async fn no_viewer_costs_an_allocation() {
    let few = fewest(10).await;
    let many = fewest(1000).await;
    assert_eq!(few, many);
    assert!(few < 20, "{few} allocations for one message are too many");
}
