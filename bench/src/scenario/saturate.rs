//! `saturate`: the offered rate rises until the server no longer keeps up. What is the most it delivers?
//!
//! A step passes if every message came, once and in order, and 99 of 100 within the limit. The rate grows until a step
//! fails twice, then the gap between the last that passed and the first that failed is halved until it is small.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::audience::{Audience, AudienceArgs, Check};
use crate::driver::Driver;
use crate::load::{self, Load, Outcome};
use crate::target::{self, Target, TargetArgs};

/// Viewers that are checked unless asked otherwise.
const CHECKED: usize = 16;
/// Latency beyond the limit at which a step is ended early, as a multiple of it.
const HOPELESS: u32 = 4;
/// Seconds without a delivery after which a step's missing messages are lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Options of `saturate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SaturateArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) audience: AudienceArgs,
    /// Deliveries per second of the first step
    #[arg(long, default_value_t = 50_000.0)]
    pub(crate) start: f64,
    /// Milliseconds within which 99 of 100 deliveries must come
    #[arg(long, default_value_t = 250.0)]
    pub(crate) p99_ms: f64,
    /// Seconds of each step
    #[arg(long, default_value_t = 3.0)]
    pub(crate) step_seconds: f64,
    /// The search ends once the gap is this share of the rate
    #[arg(long, default_value_t = 0.05)]
    pub(crate) precision: f64,
    /// The most steps
    #[arg(long, default_value_t = 30)]
    pub(crate) max_steps: usize,
}

/// One rate that was tried.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Deliveries per second that the published messages called for.
    pub(crate) offered_deliveries_per_second: f64,
    /// Whether the server kept up.
    pub(crate) passed: bool,
    /// What came of it.
    pub(crate) load: Outcome,
}

/// What `saturate` found.
#[derive(Debug, Serialize)]
pub(crate) struct Saturate {
    /// Rooms.
    pub(crate) rooms: usize,
    /// Viewers in each.
    pub(crate) viewers: usize,
    /// Milliseconds allowed to 99 of 100 deliveries.
    pub(crate) p99_ms: f64,
    /// The most deliveries per second of a step that passed; 0 if none did.
    pub(crate) best_deliveries_per_second: f64,
    /// Number of that step in `steps`.
    pub(crate) best_step: Option<usize>,
    /// Every step, as tried.
    pub(crate) steps: Vec<Step>,
}

/// Runs `saturate`.
///
/// # Errors
/// If the options do not fit, the server does not let everyone in, or the run is interrupted.
pub(crate) fn run(args: &SaturateArgs, run: &mut Run) -> anyhow::Result<Saturate> {
    if !(args.start > 0.0 && args.step_seconds > 0.0 && args.p99_ms > 0.0) {
        bail!("start, step-seconds and p99-ms must be above 0");
    }
    let target = Target::open(&args.target)?;
    let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
    let entry = (args.target.connecting, target::patience(&args.target));
    let audience = Audience::gather(
        &mut driver,
        &target,
        &args.audience,
        Check::Some(CHECKED.max(args.audience.rooms)),
        entry,
        &mut run.progress,
    )?;
    let mut climb = Climb { args, run, target, driver, audience, steps: Vec::new() };
    let mut search = Search::new(args.start, args.precision);
    while climb.steps.len() < args.max_steps
        && let Some(rate) = search.next_rate()
    {
        let (passed, ease) = climb.step(rate)?;
        search.tried(rate, passed, ease);
    }
    let steps = climb.steps;
    let best_step = (0..steps.len()).filter(|step| steps[*step].passed).max_by(|a, b| {
        let rate = |step: usize| steps[step].load.deliveries_per_second;
        rate(*a).total_cmp(&rate(*b))
    });
    Ok(Saturate {
        rooms: args.audience.rooms,
        viewers: args.audience.viewers,
        p99_ms: args.p99_ms,
        best_deliveries_per_second: best_step.map_or(0.0, |step| steps[step].load.deliveries_per_second),
        best_step,
        steps,
    })
}

struct Climb<'a> {
    args: &'a SaturateArgs,
    run: &'a mut Run,
    target: Target,
    driver: Driver,
    audience: Audience,
    steps: Vec<Step>,
}

impl Climb<'_> {
    /// Tries one rate: whether it passed, and how far below the limit its latency was (1 is at the limit).
    fn step(&mut self, rate: f64) -> anyhow::Result<(bool, f64)> {
        let limit = Duration::from_secs_f64(self.args.p99_ms / 1e3);
        let load = Load {
            messages_per_second: rate / self.audience.viewers() as f64,
            span: Duration::from_secs_f64(self.args.step_seconds),
            give_up_after: Some(limit * HOPELESS),
            patience: PATIENCE,
        };
        let outcome =
            load::run(&mut self.driver, &mut self.audience, &self.target.server, &load, &mut self.run.progress)?;
        let passed = outcome.clean() && outcome.latency.p99_ms < self.args.p99_ms;
        let ease = outcome.latency.p99_ms / self.args.p99_ms;
        let settled = outcome.verdict.clean();
        self.run.progress.note(&line(rate, passed, &outcome));
        self.steps.push(Step { offered_deliveries_per_second: rate, passed, load: outcome });
        if !settled {
            // What is still under way would be taken for the next step's.
            let entry = (self.args.target.connecting, target::patience(&self.args.target));
            self.audience.seat(&mut self.driver, &self.target, &self.args.audience, entry, &mut self.run.progress)?;
        }
        Ok((passed, ease))
    }
}

fn line(rate: f64, passed: bool, outcome: &Outcome) -> String {
    format!(
        "{} offered {:>11.0}/s, came {:>11.0}/s, p50 {:>8.2} ms, p99 {:>8.2} ms, missing {}, \
         generator {:.0}% busy{}",
        if passed { "pass" } else { "FAIL" },
        rate,
        outcome.deliveries_per_second,
        outcome.latency.p50_ms,
        outcome.latency.p99_ms,
        outcome.verdict.missing(),
        outcome.generator_busy * 100.0,
        outcome.stopped.map_or(String::new(), |why| format!(" ({why})")),
    )
}

/// Where to look for the highest rate that passes.
#[derive(Debug)]
struct Search {
    precision: f64,
    next: f64,
    passed: f64,
    failed: Option<f64>,
    retried: bool,
}

impl Search {
    fn new(start: f64, precision: f64) -> Self {
        Self { precision: precision.max(0.005), next: start, passed: 0.0, failed: None, retried: false }
    }

    /// The rate to try next; `None` once the answer is known well enough.
    fn next_rate(&self) -> Option<f64> {
        match self.failed {
            Some(failed) if failed - self.passed <= self.precision * failed => None,
            // Nothing passes: a server that cannot do this cannot be measured.
            Some(failed) if failed < 100.0 => None,
            _ => Some(self.next),
        }
    }

    fn tried(&mut self, rate: f64, passed: bool, ease: f64) {
        match (passed, self.failed) {
            (true, None) => {
                self.passed = rate;
                self.next = rate * if ease < 0.1 { 1.6 } else { 1.25 };
                self.retried = false;
            }
            // One bad moment of the machine must not end the climb.
            (false, None) if !self.retried => self.retried = true,
            (false, None) => {
                self.failed = Some(rate);
                self.halve();
            }
            (true, Some(_)) => {
                self.passed = rate;
                self.halve();
            }
            (false, Some(_)) => {
                self.failed = Some(rate);
                self.halve();
            }
        }
    }

    fn halve(&mut self) {
        if let Some(failed) = self.failed {
            self.next = match self.passed > 0.0 {
                true => (self.passed * failed).sqrt(),
                false => failed / 4.0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn climb(capacity: f64, hiccup: Option<usize>) -> (f64, usize) {
        let mut search = Search::new(50_000.0, 0.05);
        let mut tries = 0;
        while let Some(rate) = search.next_rate() {
            let passed = rate <= capacity && hiccup != Some(tries);
            search.tried(rate, passed, rate / capacity / 20.0);
            tries += 1;
            assert!(tries < 60, "capacity {capacity}");
        }
        (search.passed, tries)
    }

    #[test]
    fn the_search_ends_close_below_the_capacity() {
        for capacity in [1_000.0, 49_000.0, 77_000.0, 744_000.0, 12_400_000.0] {
            let (found, tries) = climb(capacity, None);
            assert!(found <= capacity, "{found} of {capacity}");
            assert!(found >= capacity * 0.94, "{found} of {capacity} in {tries} steps");
        }
    }

    #[test]
    fn one_bad_step_does_not_end_the_climb() {
        let (found, _) = climb(744_000.0, Some(2));
        assert!(found >= 744_000.0 * 0.94, "{found}");
    }

    #[test]
    fn a_server_that_delivers_nothing_ends_the_search() {
        assert_eq!(climb(0.0, None).0, 0.0);
    }
}
