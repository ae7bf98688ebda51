//! `idle`: connections that joined and say nothing. What does each cost in memory, and did every join get its answer?

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::client::Notice;
use crate::crowd::{self, Dialed, Seat};
use crate::driver::Driver;
use crate::proc::Memory;
use crate::progress::Progress;
use crate::target::{self, Target, TargetArgs, Who};

/// Time between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks without a change after which the memory is stable.
const STABLE_LOOKS: usize = 6;
/// Change that is none, bytes.
const UNCHANGED: u64 = 64 * 1024;
/// Sockets read between two looks at the notices.
const BATCH: usize = 256;

/// Options of `idle`.
#[derive(Args, Clone, Debug)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// Rooms that they are spread over
    #[arg(long, default_value_t = 1)]
    pub(crate) rooms: usize,
    /// Send each join in the very moment CONNECT is answered, instead of once everyone is connected
    #[arg(long)]
    pub(crate) burst: bool,
    /// The longest wait for stable memory, seconds
    #[arg(long, default_value_t = 20.0)]
    pub(crate) settle: f64,
}

/// What `idle` found.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    /// How connecting went.
    pub(crate) dialed: Dialed,
    /// Joins sent.
    pub(crate) joins_sent: usize,
    /// Joins acknowledged.
    pub(crate) joins_acknowledged: usize,
    /// Joins sent and never acknowledged.
    pub(crate) joins_lost: usize,
    /// Memory of the server before the first connection.
    pub(crate) before: Option<Memory>,
    /// Memory of the server with everyone joined, once stable.
    pub(crate) after: Option<Memory>,
    /// Growth of resident memory for each connection, bytes; the kernel's socket buffers are not in it.
    pub(crate) rss_per_connection: Option<f64>,
    /// Whether the memory stopped moving.
    pub(crate) stable: bool,
    /// Connections lost while idle.
    pub(crate) lost_while_idle: usize,
}

/// Runs `idle`.
///
/// # Errors
/// If the options do not fit, a room cannot be set up, or the run is interrupted.
pub(crate) fn run(args: &IdleArgs, run: &mut Run) -> anyhow::Result<Idle> {
    if args.connections == 0 || args.rooms == 0 {
        bail!("connections and rooms must be at least 1");
    }
    let target = Target::open(&args.target)?;
    let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
    let patience = target::patience(&args.target);
    let progress = &mut run.progress;
    crowd::set_up(&mut driver, &target, args.rooms, patience, progress)?;
    let before = target.server.memory();
    let seats: Vec<Seat> = (0..args.connections)
        .map(|n| Seat { who: Who::Viewer, joining: args.burst.then_some(n % args.rooms) })
        .collect();
    let at_once = args.target.connecting;
    let dialed = crowd::dial(&mut driver, &target, &seats, at_once, patience, progress)?;
    let (joins_sent, joins_acknowledged) = match args.burst {
        true => (dialed.connected, dialed.settled),
        false => join_all(&mut driver, &target, &dialed, args.rooms, patience)?,
    };
    let (after, stable, lost_while_idle) = settle(&mut driver, &target, args.settle, progress)?;
    let growth = before.zip(after).map(|(before, after)| after.rss as f64 - before.rss as f64);
    let held = dialed.settled.saturating_sub(lost_while_idle);
    Ok(Idle {
        joins_sent,
        joins_acknowledged,
        joins_lost: joins_sent.saturating_sub(joins_acknowledged),
        before,
        after,
        rss_per_connection: growth.filter(|_| held > 0).map(|growth| growth / held as f64),
        stable,
        lost_while_idle,
        dialed,
    })
}

/// Joins everyone who is connected; how many joins were sent and answered.
fn join_all(
    driver: &mut Driver,
    target: &Target,
    dialed: &Dialed,
    rooms: usize,
    patience: Duration,
) -> anyhow::Result<(usize, usize)> {
    let mut sent = 0;
    for (n, id) in dialed.ids.iter().enumerate() {
        let Some(id) = *id else { continue };
        let event = target.join_event(Who::Viewer, n, n % rooms);
        if let Some(client) = driver.client(id) {
            client.push_request(&event);
            sent += 1;
        }
        driver.flush(id);
    }
    let mut answered = 0;
    let mut moved_ns = driver.now_ns();
    while answered < sent && driver.now_ns() - moved_ns < patience.as_nanos() as u64 {
        driver.wait_until(driver.now_ns() + 50_000_000)?;
        driver.read_some(BATCH);
        while let Some(heard) = driver.next() {
            if let Notice::Acked { refusal: None } = heard.notice {
                answered += 1;
                moved_ns = driver.now_ns();
            }
        }
    }
    Ok((sent, answered))
}

/// Answers pings until the server's memory has stopped moving.
fn settle(
    driver: &mut Driver,
    target: &Target,
    longest_seconds: f64,
    progress: &mut Progress,
) -> anyhow::Result<(Option<Memory>, bool, usize)> {
    let every_ns = LOOK_EVERY.as_nanos() as u64;
    let end_ns = driver.now_ns() + (longest_seconds.max(0.0) * 1e9) as u64;
    let mut next_ns = driver.now_ns() + every_ns;
    let mut last = target.server.memory();
    let mut same = 0;
    let mut lost = 0;
    while same < STABLE_LOOKS && driver.now_ns() < end_ns {
        driver.wait_until(next_ns)?;
        driver.read_some(BATCH);
        while let Some(heard) = driver.next() {
            lost += usize::from(matches!(heard.notice, Notice::Lost(_)));
        }
        if driver.now_ns() < next_ns {
            continue;
        }
        next_ns += every_ns;
        let now = target.server.memory();
        let moved = now.zip(last).map_or(0, |(now, last)| now.rss.abs_diff(last.rss));
        same = if moved <= UNCHANGED { same + 1 } else { 0 };
        last = now;
        progress.say(|| match now {
            Some(now) => format!("idle: server holds {:.1} MB", now.rss as f64 / 1e6),
            None => "idle".to_owned(),
        });
    }
    Ok((last, same >= STABLE_LOOKS, lost))
}
