//! `churn`: viewers come and go. How many can a server let in, seat and see off each second?
//!
//! A cycle is a TCP connect, the WebSocket upgrade, CONNECT, a join that is answered, a leave (answered too, unless
//! told otherwise), a DISCONNECT with a close frame, and the end of the socket as the server ends it.

use anyhow::bail;
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Run;
use crate::client::{Loss, Notice};
use crate::crowd;
use crate::driver::Driver;
use crate::load::Latency;
use crate::proc;
use crate::progress::Progress;
use crate::sight;
use crate::target::{self, Target, TargetArgs, Who};

/// Sockets read between two looks at the notices.
const BATCH: usize = 64;

/// Options of `churn`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChurnArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Cycles under way at once
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrent: usize,
    /// Rooms that the cycles are spread over
    #[arg(long, default_value_t = 1)]
    pub(crate) rooms: usize,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds of the same before that, not counted
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// Send the leave without asking for an answer
    #[arg(long)]
    pub(crate) leave_unanswered: bool,
}

/// What `churn` found.
#[derive(Debug, Serialize)]
pub(crate) struct Churn {
    /// Whole cycles in the measured time.
    pub(crate) cycles: u64,
    /// Measured seconds.
    pub(crate) seconds: f64,
    /// Cycles per second.
    pub(crate) cycles_per_second: f64,
    /// Cycles that failed, warm-up included.
    pub(crate) failures: u64,
    /// The first failure.
    pub(crate) first_failure: Option<String>,
    /// From dialling to the end of the socket.
    pub(crate) latency: Latency,
    /// From dialling to the join's answer.
    pub(crate) joined: Latency,
    /// CPU seconds of the server.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// Cycles per CPU second of the server.
    pub(crate) cycles_per_cpu_second: Option<f64>,
    /// Share of its time that the generator's thread was busy.
    pub(crate) generator_busy: f64,
    /// Cores' worth of CPU time that neither the server nor the generator had.
    pub(crate) others_busy: Option<f64>,
}

/// Runs `churn`.
///
/// # Errors
/// If the options do not fit, a room cannot be set up, or the run is interrupted. Failed cycles are counted.
pub(crate) fn run(args: &ChurnArgs, run: &mut Run) -> anyhow::Result<Churn> {
    if args.concurrent == 0 || args.rooms == 0 || args.seconds <= 0.0 || args.warmup < 0.0 {
        bail!("concurrent, rooms and seconds must be above 0");
    }
    let target = Target::open(&args.target)?;
    if target.limit.is_some() {
        bail!("the limit has no cycles: it speaks no protocol");
    }
    let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
    let patience = target::patience(&args.target);
    crowd::set_up(&mut driver, &target, args.rooms, patience, &mut run.progress)?;
    let mut mill = Mill {
        args,
        slots: vec![Slot::default(); args.concurrent],
        started: 0,
        cycles: 0,
        failures: 0,
        first_failure: None,
        latency: sight::latencies(),
        joined: sight::latencies(),
        patience_ns: patience.as_nanos() as u64,
        target,
        driver,
    };
    for slot in 0..args.concurrent {
        mill.begin(slot)?;
    }
    mill.turn(args.warmup, &mut run.progress)?;
    mill.forget();
    let server_cpu = mill.target.server.cpu_seconds();
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0);
    let machine_cpu = proc::machine_cpu_seconds();
    let start_ns = mill.driver.now_ns();
    mill.turn(args.seconds, &mut run.progress)?;
    let seconds = (mill.driver.now_ns() - start_ns) as f64 / 1e9;
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0) - own_cpu;
    let server_cpu = server_cpu.zip(mill.target.server.cpu_seconds()).map(|(before, after)| after - before);
    let machine_cpu = machine_cpu.zip(proc::machine_cpu_seconds()).map(|(before, after)| after - before);
    Ok(Churn {
        cycles: mill.cycles,
        seconds,
        cycles_per_second: mill.cycles as f64 / seconds,
        failures: mill.failures,
        first_failure: mill.first_failure,
        latency: Latency::of(&mill.latency),
        joined: Latency::of(&mill.joined),
        server_cpu_seconds: server_cpu,
        cycles_per_cpu_second: server_cpu.filter(|cpu| *cpu > 0.0).map(|cpu| mill.cycles as f64 / cpu),
        generator_busy: own_cpu / seconds,
        others_busy: machine_cpu
            .zip(server_cpu)
            .map(|(machine, server)| (machine - server - own_cpu).max(0.0) / seconds),
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    client: usize,
    cycle: usize,
    started_ns: u64,
    joined: bool,
}

struct Mill<'a> {
    args: &'a ChurnArgs,
    target: Target,
    driver: Driver,
    slots: Vec<Slot>,
    started: usize,
    cycles: u64,
    failures: u64,
    first_failure: Option<String>,
    latency: Histogram<u64>,
    joined: Histogram<u64>,
    patience_ns: u64,
}

impl Mill<'_> {
    /// Keeps every slot turning for so many seconds.
    fn turn(&mut self, seconds: f64, progress: &mut Progress) -> anyhow::Result<()> {
        let start_ns = self.driver.now_ns();
        let end_ns = start_ns + (seconds * 1e9) as u64;
        let mut sweep_ns = start_ns + 1_000_000_000;
        while self.driver.now_ns() < end_ns {
            self.driver.wait_until(end_ns.min(sweep_ns))?;
            while self.driver.ready() > 0 {
                self.driver.read_some(BATCH);
                self.hear()?;
            }
            self.hear()?;
            if self.driver.now_ns() > sweep_ns {
                sweep_ns += 1_000_000_000;
                self.sweep()?;
            }
            progress.say(|| format!("{} cycles, {} failures", self.cycles, self.failures));
        }
        Ok(())
    }

    fn begin(&mut self, slot: usize) -> anyhow::Result<()> {
        let cycle = self.started;
        self.started += 1;
        let role = self.target.role(Who::Viewer, cycle, Some(cycle % self.args.rooms))?;
        let started_ns = self.driver.now_ns();
        // Ports are the scarce thing here: a failure to dial is a failure of this machine, not of the server.
        let client = self.driver.dial(self.target.address, None, role, slot)?;
        self.slots[slot] = Slot { client, cycle, started_ns, joined: false };
        Ok(())
    }

    fn hear(&mut self) -> anyhow::Result<()> {
        while let Some(heard) = self.driver.next() {
            let Some(slot) = self.slots.get(heard.tag).copied() else {
                continue;
            };
            if slot.client != heard.id {
                continue;
            }
            match heard.notice {
                Notice::Connected | Notice::Packet { .. } => {}
                Notice::Acked { refusal: None } if !slot.joined => self.leave(heard.tag),
                Notice::Acked { refusal: None } => self.close(slot.client),
                Notice::Acked { refusal: Some(reason) } => {
                    self.driver.drop_client(slot.client);
                    self.fail(heard.tag, reason)?;
                }
                Notice::Lost(Loss::Asked) => {
                    self.cycles += 1;
                    let took_ns = self.driver.now_ns() - slot.started_ns;
                    self.latency.saturating_record(took_ns);
                    self.begin(heard.tag)?;
                }
                Notice::Lost(loss) => self.fail(heard.tag, loss.to_string())?,
            }
        }
        Ok(())
    }

    fn leave(&mut self, number: usize) {
        let now_ns = self.driver.now_ns();
        let slot = &mut self.slots[number];
        slot.joined = true;
        self.joined.saturating_record(now_ns - slot.started_ns);
        let (id, cycle) = (slot.client, slot.cycle);
        let Some(leave) = &self.target.leave else {
            return self.close(id);
        };
        let event = self.target.fill(leave, Who::Viewer, cycle, cycle % self.args.rooms);
        let Some(client) = self.driver.client(id) else {
            return;
        };
        if self.args.leave_unanswered {
            client.push_text(&[b"42", event.as_bytes()]);
            client.close();
        } else {
            client.push_request(&event);
        }
        self.driver.flush(id);
    }

    fn close(&mut self, id: usize) {
        if let Some(client) = self.driver.client(id) {
            client.close();
        }
        self.driver.flush(id);
    }

    fn fail(&mut self, slot: usize, reason: String) -> anyhow::Result<()> {
        self.failures += 1;
        self.first_failure.get_or_insert(reason);
        self.begin(slot)
    }

    /// Gives up cycles that take too long; otherwise a server that forgets them would stop the mill.
    fn sweep(&mut self) -> anyhow::Result<()> {
        let now_ns = self.driver.now_ns();
        for number in 0..self.slots.len() {
            let slot = self.slots[number];
            if now_ns - slot.started_ns > self.patience_ns {
                self.driver.drop_client(slot.client);
                let step = if slot.joined { "leave or close" } else { "join" };
                self.fail(number, format!("no answer to the {step}"))?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.cycles = 0;
        self.latency.reset();
        self.joined.reset();
    }
}
