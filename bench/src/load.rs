//! One load: publish on a timetable, read until everything came, judge it.
//!
//! Open loop: what is due is due, whatever the server does. Latency counts from the moment a message was due.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::audience::{Audience, Verdict};
use crate::client::Notice;
use crate::driver::Driver;
use crate::proc::{self, Server};
use crate::progress::Progress;
use crate::schedule::Schedule;

/// Sockets read between two looks at the timetable.
const BATCH: usize = 16;
/// Time before the first message is due.
const LEAD_NS: u64 = 5_000_000;
/// How long to listen on once everything came, for what comes twice.
const LISTEN_ON: Duration = Duration::from_millis(50);
/// The longest wait for stragglers, however slowly they come.
const MAX_DRAIN: Duration = Duration::from_secs(30);

/// What is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages per second, all rooms together.
    pub(crate) messages_per_second: f64,
    /// For how long.
    pub(crate) span: Duration,
    /// Stop publishing once a message took this long; `None` for never.
    pub(crate) give_up_after: Option<Duration>,
    /// Seconds without a delivery after which what is missing is lost.
    pub(crate) patience: Duration,
}

/// Latencies from due to read, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Deliveries that were timed.
    pub(crate) count: u64,
    /// Half were faster.
    pub(crate) p50_ms: f64,
    /// 90 of 100 were faster.
    pub(crate) p90_ms: f64,
    /// 99 of 100 were faster.
    pub(crate) p99_ms: f64,
    /// 999 of 1000 were faster.
    pub(crate) p999_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

impl Latency {
    /// The percentiles of a histogram in nanoseconds; 0 of an empty one.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1e6,
        }
    }
}

/// What came of a load.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Messages per second that were asked for, all rooms together.
    pub(crate) offered_messages_per_second: f64,
    /// Messages published.
    pub(crate) published: u64,
    /// Seconds from the first message's due time to the last delivery, at least the timetable's length.
    pub(crate) seconds: f64,
    /// Deliveries per second over those seconds.
    pub(crate) deliveries_per_second: f64,
    /// Latency of the checked viewers.
    pub(crate) latency: Latency,
    /// Whether everything came.
    pub(crate) verdict: Verdict,
    /// Error events that the server sent.
    pub(crate) errors: u64,
    /// The first error event or lost connection.
    pub(crate) first_error: Option<String>,
    /// CPU seconds of the server.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// Deliveries per CPU second of the server.
    pub(crate) deliveries_per_cpu_second: Option<f64>,
    /// Resident memory of the server at the end, bytes.
    pub(crate) server_rss: Option<u64>,
    /// Share of its time that the generator's thread was busy, waiting for the next due time included.
    pub(crate) generator_busy: f64,
    /// Cores' worth of CPU time that neither the server nor the generator had: other processes, or the machine's host.
    /// Well above 0, the figures are spoilt. `None` if the server's process is not known.
    pub(crate) others_busy: Option<f64>,
    /// How late messages left the generator: 99 of 100 were less late, milliseconds.
    pub(crate) generator_lag_p99_ms: f64,
    /// Why publishing was ended early, if it was.
    pub(crate) stopped: Option<&'static str>,
}

impl Outcome {
    /// Whether everything came, in order, and nothing was complained about.
    pub(crate) fn clean(&self) -> bool {
        self.verdict.clean() && self.errors == 0 && self.stopped.is_none()
    }
}

/// Publishes a load, waits for its deliveries, judges them.
///
/// # Errors
/// If the event loop fails or is interrupted. Lost messages and connections are part of the outcome.
pub(crate) fn run(
    driver: &mut Driver,
    audience: &mut Audience,
    server: &Server,
    load: &Load,
    progress: &mut Progress,
) -> anyhow::Result<Outcome> {
    audience.begin(driver);
    let _ = audience.publishers.take_lag();
    let server_cpu = server.cpu_seconds();
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0);
    let machine_cpu = proc::machine_cpu_seconds();
    let beside_cpu = server.beside_cpu_seconds();
    let start_ns = driver.now_ns() + LEAD_NS;
    let mut schedule = Schedule::new(start_ns, load.messages_per_second, load.span);
    let mut watch = Watch::new(load);
    watch.publish(driver, audience, &mut schedule, progress)?;
    watch.drain(driver, audience, load.patience, progress)?;
    // Before listening on: an idle server's time is not the load's.
    let server_cpu = server_cpu.zip(server.cpu_seconds()).map(|(before, after)| after - before);
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0) - own_cpu;
    let machine_cpu = machine_cpu.zip(proc::machine_cpu_seconds()).map(|(before, after)| after - before);
    let beside_cpu = server.beside_cpu_seconds() - beside_cpu;
    let wall_seconds = (driver.now_ns().saturating_sub(start_ns) as f64 / 1e9).max(1e-3);
    let listen_until_ns = driver.now_ns() + LISTEN_ON.as_nanos() as u64;
    while driver.now_ns() < listen_until_ns {
        driver.wait_until(listen_until_ns)?;
        driver.read_some(BATCH);
        watch.hear(driver);
    }
    let verdict = audience.judge(driver);
    let end_ns = driver.sight.last_delivery_ns.max(start_ns + 1);
    let mut seconds = (end_ns - start_ns) as f64 / 1e9;
    if watch.stopped.is_none() {
        // The last message is due one period before the end.
        seconds = seconds.max(schedule.total() as f64 / load.messages_per_second);
    }
    let delivered = verdict.delivered as f64;
    Ok(Outcome {
        offered_messages_per_second: load.messages_per_second,
        published: schedule.taken(),
        seconds,
        deliveries_per_second: delivered / seconds,
        latency: Latency::of(&driver.sight.latency),
        verdict,
        errors: driver.sight.errors,
        first_error: driver.sight.first_error.take().or(watch.first_loss),
        server_cpu_seconds: server_cpu,
        deliveries_per_cpu_second: server_cpu.filter(|cpu| *cpu > 0.0).map(|cpu| delivered / cpu),
        server_rss: server.memory().map(|memory| memory.rss),
        generator_busy: own_cpu / wall_seconds,
        others_busy: machine_cpu
            .zip(server_cpu)
            .map(|(machine, server)| (machine - server - own_cpu - beside_cpu).max(0.0) / wall_seconds),
        generator_lag_p99_ms: Latency::of(&audience.publishers.take_lag()).p99_ms,
        stopped: watch.stopped,
    })
}

/// What is looked at while a load runs.
struct Watch {
    give_up_ns: u64,
    lost: u64,
    first_loss: Option<String>,
    stopped: Option<&'static str>,
}

impl Watch {
    fn new(load: &Load) -> Self {
        Self {
            give_up_ns: load.give_up_after.map_or(u64::MAX, |limit| limit.as_nanos() as u64),
            lost: 0,
            first_loss: None,
            stopped: None,
        }
    }

    fn publish(
        &mut self,
        driver: &mut Driver,
        audience: &mut Audience,
        schedule: &mut Schedule,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        while let Some(due_ns) = schedule.next_due_ns() {
            driver.wait_until(due_ns)?;
            // Only what is ready now: sockets that stay ready must not keep the others from being asked.
            for _ in 0..=driver.ready() / BATCH {
                if audience.publishers.pump(driver, schedule).is_err() {
                    self.stopped = Some("the server stopped reading");
                }
                driver.read_some(BATCH);
            }
            self.hear(driver);
            if self.lost > 0 {
                self.stopped = Some("a connection was lost");
            }
            if driver.sight.worst_ns > self.give_up_ns {
                self.stopped = Some("too slow");
            }
            if self.stopped.is_some() {
                schedule.stop();
            }
            progress.say(|| {
                format!(
                    "publishing: {} of {} messages, {} deliveries",
                    schedule.taken(),
                    schedule.total(),
                    driver.sight.delivered
                )
            });
        }
        Ok(())
    }

    fn drain(
        &mut self,
        driver: &mut Driver,
        audience: &Audience,
        patience: Duration,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let expected = audience.expected();
        let started_ns = driver.now_ns();
        while driver.sight.delivered < expected {
            driver.wait_until(driver.now_ns() + 20_000_000)?;
            driver.read_some(driver.ready());
            self.hear(driver);
            let now_ns = driver.now_ns();
            let moved_ns = driver.sight.last_delivery_ns.max(started_ns);
            if now_ns.saturating_sub(moved_ns) > patience.as_nanos() as u64
                || now_ns - started_ns > MAX_DRAIN.as_nanos() as u64
            {
                break;
            }
            progress.say(|| format!("waiting for {} deliveries", expected - driver.sight.delivered));
        }
        Ok(())
    }

    fn hear(&mut self, driver: &mut Driver) {
        while let Some(heard) = driver.next() {
            if let Notice::Lost(loss) = heard.notice {
                self.lost += 1;
                self.first_loss.get_or_insert_with(|| loss.to_string());
            }
        }
    }
}
