//! `fleet` and `path`: the same load against one gateway with the embedded engine, one on Redis, and two on Redis, each
//! started anew, in turns. What does a fleet cost, and how much later does a message come?
//!
//! With two gateways each has as many viewers as the one has alone; the publisher is on the first.

use clap::Args;
use serde::Serialize;

use super::Run;
use super::compare::median;
use super::fanout::{self, Fanout, FanoutArgs};
use crate::load::Outcome;
use crate::target::Target;

/// Options of `fleet` and `path`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FleetArgs {
    #[command(flatten)]
    pub(crate) fanout: FanoutArgs,
    /// Runs of each
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

/// What `fleet` or `path` found.
#[derive(Debug, Serialize)]
pub(crate) struct Fleets {
    /// Deliveries per CPU second of the gateways.
    deliveries_per_cpu_second: Medians,
    /// Median latency, milliseconds.
    latency_p50_ms: Medians,
    /// Two gateways' deliveries per CPU second, as a share of those of one on Redis.
    share_of_one: Option<f64>,
    /// The same as a share of those of the embedded engine.
    share_of_embedded: Option<f64>,
    /// Median latency that the way through Redis adds, milliseconds.
    added_p50_ms: f64,
    /// Cores' worth of CPU time that neither gateways, Redis nor generator had, in the worst run.
    others_busy: f64,
    /// Every round.
    rounds: Vec<Round>,
}

/// The medians of all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Medians {
    embedded: f64,
    one: f64,
    two: Option<f64>,
}

/// One run of each.
#[derive(Debug, Serialize)]
struct Round {
    /// One gateway, the embedded engine.
    embedded: Fanout,
    /// One gateway on Redis.
    one: Fanout,
    /// Two gateways on Redis.
    two: Option<Fanout>,
}

/// Runs `fleet`; `path`, if only one gateway is wanted.
///
/// # Errors
/// If a fleet does not start, or a run fails.
pub(crate) fn run(args: &FleetArgs, two: bool, run: &mut Run) -> anyhow::Result<Fleets> {
    let mut rounds = Vec::new();
    for round in 1..=args.repeat.max(1) {
        run.progress.note(&format!("round {round}: one gateway, embedded"));
        let embedded = leg(args, 1, false, run)?;
        run.progress.note(&format!("round {round}: one gateway on Redis"));
        let one = leg(args, 1, true, run)?;
        let two = match two {
            false => None,
            true => {
                run.progress.note(&format!("round {round}: two gateways on Redis"));
                Some(leg(args, 2, true, run)?)
            }
        };
        rounds.push(Round { embedded, one, two });
    }
    let per_cpu = medians(&rounds, |load| load.deliveries_per_cpu_second.unwrap_or(0.0));
    let latency = medians(&rounds, |load| load.latency.p50_ms);
    let added: Vec<f64> =
        rounds.iter().map(|round| round.one.load.latency.p50_ms - round.embedded.load.latency.p50_ms).collect();
    let others = rounds.iter().flat_map(Round::loads).filter_map(|load| load.others_busy);
    Ok(Fleets {
        deliveries_per_cpu_second: per_cpu,
        latency_p50_ms: latency,
        share_of_one: per_cpu.two.map(|two| two / per_cpu.one),
        share_of_embedded: per_cpu.two.map(|two| two / per_cpu.embedded),
        added_p50_ms: median(&added),
        others_busy: others.fold(0.0, f64::max),
        rounds,
    })
}

fn leg(args: &FleetArgs, gateways: usize, redis: bool, run: &mut Run) -> anyhow::Result<Fanout> {
    let target = Target::fleet(&args.fanout.target, gateways, redis)?;
    let mut fanout = args.fanout.clone();
    fanout.audience.viewers *= gateways;
    fanout::measure(&fanout, &target, run)
}

fn medians(rounds: &[Round], value: impl Fn(&Outcome) -> f64) -> Medians {
    let of = |pick: fn(&Round) -> Option<&Fanout>| {
        let values: Vec<f64> = rounds.iter().filter_map(pick).map(|fanout| value(&fanout.load)).collect();
        (!values.is_empty()).then(|| median(&values))
    };
    Medians {
        embedded: of(|round| Some(&round.embedded)).unwrap_or(0.0),
        one: of(|round| Some(&round.one)).unwrap_or(0.0),
        two: of(|round| round.two.as_ref()),
    }
}

impl Round {
    fn loads(&self) -> impl Iterator<Item = &Outcome> {
        [Some(&self.embedded), Some(&self.one), self.two.as_ref()].into_iter().flatten().map(|fanout| &fanout.load)
    }
}

impl Fleets {
    /// Whether everything came.
    pub(crate) fn clean(&self) -> bool {
        self.rounds.iter().flat_map(Round::loads).all(Outcome::clean)
    }

    /// Rows of the table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, medians: Medians, digits: usize| {
            let two = medians.two.map(|two| format!(", two on Redis {two:.digits$}")).unwrap_or_default();
            let text = format!("embedded {:.digits$}, one on Redis {:.digits$}{two}", medians.embedded, medians.one);
            (name.to_owned(), text)
        };
        let mut rows = vec![
            row("deliveries per gateway CPU second", self.deliveries_per_cpu_second, 0),
            row("median latency, ms", self.latency_p50_ms, 3),
        ];
        if let Some((one, embedded)) = self.share_of_one.zip(self.share_of_embedded) {
            let text = format!("{:.1}% of one on Redis, {:.1}% of embedded", one * 100.0, embedded * 100.0);
            rows.push(("two gateways".to_owned(), text));
        }
        rows.push(("added by Redis, median".to_owned(), format!("{:.3} ms", self.added_p50_ms)));
        let loads: Vec<&Outcome> = self.rounds.iter().flat_map(Round::loads).collect();
        let (came, due) =
            loads.iter().fold((0, 0), |(came, due), load| (came + load.verdict.delivered, due + load.verdict.expected));
        let word = if self.clean() { "all clean" } else { "NOT CLEAN" };
        rows.push(("delivered".to_owned(), format!("{came} of {due} in {} runs, {word}", loads.len())));
        rows
    }

    /// Cores' worth of other processes.
    pub(crate) fn others_busy(&self) -> Option<f64> {
        Some(self.others_busy)
    }
}
