//! `compare`: the server and the limit in turns, in one run. What share of what the kernel can do does the server reach?
//!
//! The limit writes frames of the size that the server was seen to write.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Run;
use super::fanout::{self, Fanout, FanoutArgs};
use super::saturate::{self, Saturate, SaturateArgs};
use crate::limit::Variant;

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareArgs {
    /// Runs of each
    #[arg(long, default_value_t = 3)]
    pub(crate) repeat: usize,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is compared.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum What {
    /// Deliveries per CPU second and median latency; the limit is --limit, by default each
    Fanout(Box<FanoutArgs>),
    /// Most deliveries per second; the limit is --limit, by default tick
    Saturate(Box<SaturateArgs>),
}

/// What `compare` found.
#[derive(Debug, Serialize)]
pub(crate) struct Compare {
    /// How the limit writes.
    pub(crate) limit: Variant,
    /// Cores' worth of CPU time of other processes in the worst run.
    pub(crate) others_busy: f64,
    /// The figures compared, each with its medians.
    pub(crate) figures: Vec<Figure>,
    /// Every run, in order: the server's and the limit's in turns.
    pub(crate) runs: Runs,
}

/// One figure of both.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub(crate) name: &'static str,
    /// The server's median.
    pub(crate) server: f64,
    /// The limit's median.
    pub(crate) limit: f64,
    /// The server's median as a multiple of the limit's.
    pub(crate) ratio: f64,
    /// The server's runs, in order.
    pub(crate) server_runs: Vec<f64>,
    /// The limit's runs, in order.
    pub(crate) limit_runs: Vec<f64>,
}

/// Every run of a comparison.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Runs {
    /// Of `fanout`.
    Fanout(Vec<Pair<Fanout>>),
    /// Of `saturate`.
    Saturate(Vec<Pair<Saturate>>),
}

/// The server's run and the limit's right after it.
#[derive(Debug, Serialize)]
pub(crate) struct Pair<T> {
    /// The server's.
    pub(crate) server: T,
    /// The limit's.
    pub(crate) limit: T,
}

/// Runs `compare`.
///
/// # Errors
/// As the compared scenario.
pub(crate) fn run(args: &CompareArgs, run: &mut Run) -> anyhow::Result<Compare> {
    match &args.what {
        What::Fanout(args_fanout) => compare_fanout(args.repeat.max(1), args_fanout, run),
        What::Saturate(args_saturate) => compare_saturate(args.repeat.max(1), args_saturate, run),
    }
}

fn compare_fanout(repeat: usize, args: &FanoutArgs, run: &mut Run) -> anyhow::Result<Compare> {
    let variant = args.target.limit.unwrap_or(Variant::Each);
    let mut pairs = Vec::new();
    for round in 0..repeat {
        run.progress.note(&format!("round {}: server", round + 1));
        let mut args = args.clone();
        args.target.limit = None;
        let server = fanout::run(&args, run)?;
        args.target.limit = Some(variant);
        args.target.frame_bytes = frame_bytes(server.load.verdict.frame_bytes, &args.target.frame_bytes);
        run.progress.note(&format!("round {}: limit, frames of {} bytes", round + 1, args.target.frame_bytes));
        let limit = fanout::run(&args, run)?;
        pairs.push(Pair { server, limit });
    }
    let per_cpu = |fanout: &Fanout| fanout.load.deliveries_per_cpu_second.unwrap_or(0.0);
    let others =
        pairs.iter().flat_map(|pair| [&pair.server.load, &pair.limit.load]).filter_map(|load| load.others_busy);
    Ok(Compare {
        limit: variant,
        others_busy: others.fold(0.0, f64::max),
        figures: vec![
            figure("deliveries per CPU second", &pairs, per_cpu),
            figure("median latency, ms", &pairs, |f| f.load.latency.p50_ms),
            figure("p99 latency, ms", &pairs, |f| f.load.latency.p99_ms),
        ],
        runs: Runs::Fanout(pairs),
    })
}

fn compare_saturate(repeat: usize, args: &SaturateArgs, run: &mut Run) -> anyhow::Result<Compare> {
    let variant = args.target.limit.unwrap_or(Variant::Tick);
    let mut pairs = Vec::new();
    for round in 0..repeat {
        run.progress.note(&format!("round {}: server", round + 1));
        let mut args = args.clone();
        args.target.limit = None;
        let server = saturate::run(&args, run)?;
        let seen = server.steps.first().map_or(0.0, |step| step.load.verdict.frame_bytes);
        args.target.limit = Some(variant);
        args.target.frame_bytes = frame_bytes(seen, &args.target.frame_bytes);
        run.progress.note(&format!("round {}: limit, frames of {} bytes", round + 1, args.target.frame_bytes));
        let limit = saturate::run(&args, run)?;
        pairs.push(Pair { server, limit });
    }
    let others = pairs
        .iter()
        .flat_map(|pair| pair.server.steps.iter().chain(&pair.limit.steps))
        .filter_map(|step| step.load.others_busy);
    Ok(Compare {
        limit: variant,
        others_busy: others.fold(0.0, f64::max),
        figures: vec![figure("most deliveries per second", &pairs, |s| s.best_deliveries_per_second)],
        runs: Runs::Saturate(pairs),
    })
}

fn frame_bytes(seen: f64, given: &usize) -> usize {
    match seen.round() as usize {
        0 => *given,
        seen => seen,
    }
}

fn figure<T>(name: &'static str, pairs: &[Pair<T>], value: impl Fn(&T) -> f64) -> Figure {
    let server_runs: Vec<f64> = pairs.iter().map(|pair| value(&pair.server)).collect();
    let limit_runs: Vec<f64> = pairs.iter().map(|pair| value(&pair.limit)).collect();
    let (server, limit) = (median(&server_runs), median(&limit_runs));
    Figure { name, server, limit, ratio: if limit == 0.0 { 0.0 } else { server / limit }, server_runs, limit_runs }
}

/// The middle value; the mean of the two middle ones of an even number; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(value), 1) => *value,
        (Some(value), _) => (sorted[middle - 1] + value) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_figure_is_the_ratio_of_the_medians() {
        let pairs = [(1.0, 10.0), (9.0, 20.0), (5.0, 30.0)].map(|(server, limit)| Pair { server, limit });
        let figure = figure("x", &pairs, |value: &f64| *value);
        assert_eq!((figure.server, figure.limit, figure.ratio), (5.0, 20.0, 0.25));
    }
}
