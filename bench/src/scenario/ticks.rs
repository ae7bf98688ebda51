//! `ticks`: what gateways ask of Redis when nothing happens, while viewers tap, and for a message. Redis says
//! itself which commands it is sent, with few and with more streams: so what a gateway costs is told from what each of its streams costs.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::crowd::{self, Seat};
use crate::driver::Driver;
use crate::progress::Progress;
use crate::redis::Monitor;
use crate::target::{self, Target, TargetArgs, Who};

/// Gateways of the measured fleet.
const GATEWAYS: usize = 2;
/// From one tap of a viewer to the next, nanoseconds: below a tick, so that every tick has something to tell.
const TAP_NS: u64 = 100_000_000;
/// From one message to the next in a stream, nanoseconds.
const SAY_NS: u64 = 100_000_000;

/// Options of `ticks`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TicksArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Streams of the second run; the first has one
    #[arg(long, default_value_t = 21)]
    streams: usize,
    /// Seconds of each part
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Gateways of the fleet to work out
    #[arg(long, default_value_t = 100)]
    for_gateways: u64,
    /// Streams of that fleet
    #[arg(long, default_value_t = 1_000)]
    for_streams: u64,
    /// Gateways of that fleet on which a stream has viewers
    #[arg(long, default_value_t = 10)]
    for_spread: u64,
}

/// What `ticks` found. Everything is commands a second, a script counting as one.
#[derive(Debug, Serialize)]
pub(crate) struct Ticks {
    /// Both runs: with one stream, and with more.
    runs: [Counted; 2],
    /// Of a gateway, whatever its streams.
    per_gateway: f64,
    /// Of each stream of a gateway while nothing happens.
    per_stream_idle: f64,
    /// Of each stream of a gateway whose viewers tap all the time.
    per_stream_tapping: f64,
    /// Of each message, on the way into the log and out of it, all gateways together.
    per_message: f64,
    /// Worked out for a fleet.
    fleet: Worked,
}

/// What Redis counted.
#[derive(Clone, Debug, Serialize)]
struct Counted {
    /// Streams.
    streams: usize,
    /// Commands a second while nothing happened.
    idle: f64,
    /// While everybody tapped.
    tapping: f64,
    /// Commands for each message, what is asked without any aside.
    per_message: f64,
    /// The commands of those parts, by name: idle, tapping, and with messages.
    commands: [BTreeMap<String, u64>; 3],
}

/// A fleet that nobody started.
#[derive(Clone, Copy, Debug, Serialize)]
struct Worked {
    gateways: u64,
    streams: u64,
    /// Gateways on which a stream has viewers.
    spread: u64,
    /// Commands a second while nothing happens.
    idle: f64,
    /// While viewers tap in every stream, on every gateway that it has viewers on.
    tapping: f64,
}

/// Runs `ticks`.
///
/// # Errors
/// If a fleet does not start, somebody is not let in, or Redis does not say what it did.
pub(crate) fn run(args: &TicksArgs, run: &mut Run) -> anyhow::Result<Ticks> {
    let more = args.streams.max(2);
    let runs = [count(args, 1, run)?, count(args, more, run)?];
    let [few, many] = &runs;
    let slope = |of: fn(&Counted) -> f64| ((of(many) - of(few)) / ((more - 1) * GATEWAYS) as f64).max(0.0);
    let (idle, tapping) = (slope(|run| run.idle), slope(|run| run.tapping));
    let per_gateway = (few.idle / GATEWAYS as f64 - idle).max(0.0);
    let (gateways, streams, spread) = (args.for_gateways, args.for_streams, args.for_spread);
    let worked = |per_stream: f64| gateways as f64 * per_gateway + (streams * spread) as f64 * per_stream;
    let per_message = many.per_message;
    Ok(Ticks {
        per_gateway,
        per_stream_idle: idle,
        per_stream_tapping: tapping,
        per_message,
        runs,
        fleet: Worked { gateways, streams, spread, idle: worked(idle), tapping: worked(tapping) },
    })
}

fn count(args: &TicksArgs, streams: usize, run: &mut Run) -> anyhow::Result<Counted> {
    let target = Target::fleet(&args.target, GATEWAYS, true)?;
    let redis = Monitor::start(&target.redis().context("a Redis")?)?;
    let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
    let patience = target::patience(&args.target);
    crowd::set_up(&mut driver, &target, streams, patience, &mut run.progress)?;
    // One on each gateway, for each stream.
    let seats: Vec<Seat> =
        (0..streams * GATEWAYS).map(|n| Seat { who: Who::Publisher, joining: Some(n / GATEWAYS) }).collect();
    let dialed = crowd::dial(&mut driver, &target, &seats, args.target.connecting, patience, &mut run.progress)?;
    dialed.all()?;
    let ids: Vec<usize> = dialed.ids.into_iter().flatten().collect();
    let event = |n: usize, event: &str, body: &str| {
        format!(r#"["{event}",{{"stream":"{}",{body}}}]"#, target.room(n / GATEWAYS))
    };
    let taps: Vec<String> = (0..ids.len()).map(|n| event(n, "reaction:send", r#""kind":"heart""#)).collect();
    let texts: Vec<String> = (0..ids.len()).map(|n| event(n, "chat:send", r#""text":"how much is it""#)).collect();
    let (all, firsts): (Vec<usize>, Vec<usize>) =
        ((0..ids.len()).collect(), (0..ids.len()).step_by(GATEWAYS).collect());
    let mut part = Part { driver, redis: &redis, ids, progress: &mut run.progress, streams };
    // What joining made is over, and the numbers of viewers are told.
    part.play(2.0, None)?;
    let idle = part.play(args.seconds, None)?;
    let tapping = part.play(args.seconds, Some((TAP_NS, &taps, &all)))?;
    part.play(2.0, None)?;
    let said = part.play(args.seconds, Some((SAY_NS, &texts, &firsts)))?;
    Ok(Counted {
        streams,
        idle: idle.per_second(),
        tapping: tapping.per_second(),
        per_message: (said.per_second() - idle.per_second()) * said.seconds / said.sent.max(1) as f64,
        commands: [idle.commands, tapping.commands, said.commands],
    })
}

/// One part of a run.
struct Part<'a> {
    driver: Driver,
    redis: &'a Monitor,
    ids: Vec<usize>,
    progress: &'a mut Progress,
    streams: usize,
}

struct Did {
    seconds: f64,
    commands: BTreeMap<String, u64>,
    sent: u64,
}

impl Did {
    fn per_second(&self) -> f64 {
        self.commands.values().sum::<u64>() as f64 / self.seconds
    }
}

impl Part<'_> {
    /// So many seconds, in which some of the people send their event again and again, or nobody does anything.
    fn play(&mut self, seconds: f64, what: Option<(u64, &[String], &[usize])>) -> anyhow::Result<Did> {
        self.redis.take();
        let start_ns = self.driver.now_ns();
        let end_ns = start_ns + (seconds * 1e9) as u64;
        let (mut due_ns, mut sent) = (start_ns, 0);
        while self.driver.now_ns() < end_ns {
            if let Some((gap_ns, events, people)) = what
                && self.driver.now_ns() >= due_ns
            {
                due_ns += gap_ns;
                for n in people {
                    let (Some(id), Some(event)) = (self.ids.get(*n), events.get(*n)) else { continue };
                    if let Some(client) = self.driver.client(*id) {
                        client.push_text(&[b"42", event.as_bytes()]);
                        sent += 1;
                    }
                    self.driver.flush(*id);
                }
            }
            let next_ns = if what.is_some() { due_ns } else { end_ns };
            self.driver.wait_until(next_ns.min(end_ns))?;
            self.driver.read_some(self.driver.ready());
            while let Some(heard) = self.driver.next() {
                if let crate::client::Notice::Lost(loss) = heard.notice {
                    anyhow::bail!("a connection was lost: {loss}");
                }
            }
            let streams = self.streams;
            self.progress.say(|| format!("{streams} streams: counting commands"));
        }
        if let Some(error) = self.driver.sight.first_error.take() {
            anyhow::bail!("refused: {error}");
        }
        let seconds = (self.driver.now_ns() - start_ns) as f64 / 1e9;
        Ok(Did { seconds, commands: self.redis.take(), sent })
    }
}

impl Ticks {
    /// Rows of the table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut rows: Vec<(String, String)> = self
            .runs
            .iter()
            .map(|run| {
                let text = format!(
                    "{:.1} commands/s idle, {:.1} while all tap, {:.2} for a message",
                    run.idle, run.tapping, run.per_message
                );
                (format!("{GATEWAYS} gateways, {} streams", run.streams), text)
            })
            .collect();
        let Worked { gateways, streams, spread, idle, tapping } = self.fleet;
        rows.push(("a gateway".to_owned(), format!("{:.2} commands/s", self.per_gateway)));
        rows.push((
            "each stream of a gateway".to_owned(),
            format!(
                "{:.2} commands/s idle, {:.2} while its viewers tap",
                self.per_stream_idle, self.per_stream_tapping
            ),
        ));
        rows.push(("a message".to_owned(), format!("{:.2} commands", self.per_message)));
        rows.push((
            format!("{gateways} gateways, {streams} streams"),
            format!(
                "on {spread} gateways each: {idle:.0} commands/s idle, {tapping:.0} while viewers tap in all of them"
            ),
        ));
        rows
    }
}
