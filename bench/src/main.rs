//! `haat-bench`: measures a Socket.IO server over WebSocket, and what the kernel could do in its place.
//!
//! One thread plays every viewer and publisher. It must never report a figure without having checked that everything
//! arrived: a fast server that loses messages is not fast.
//!
//! - [`driver`], [`client`], [`frame`], [`sight`]: the event loop, one connection, its bytes, what all of them see
//! - [`audience`], [`crowd`], [`publisher`], [`schedule`], [`stamp`], [`order`], [`load`]: who watches, what is published, what came
//! - [`scenario`]: one file per question
//! - [`show`]: the rehearsal of a whole show
//! - [`limit`]: the server that only writes
//! - [`fleet`], [`http`]: gateways of one's own, their metrics and ledger
//! - [`target`], [`template`], [`token`], [`proc`]: the server under test
//! - [`redis`]: what the server asked of its Redis
//! - [`report`], [`progress`]: what is said

mod audience;
mod client;
mod crowd;
mod driver;
mod fleet;
mod frame;
mod http;
mod limit;
mod load;
mod order;
mod proc;
mod progress;
mod publisher;
mod redis;
mod report;
mod scenario;
mod schedule;
mod show;
mod sight;
mod stamp;
mod target;
mod template;
mod token;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::progress::Progress;
use crate::report::Found;
use crate::scenario::compare::{CompareArgs, What};
use crate::scenario::{Run, bystander, churn, claims, compare, fanout, fleet as fleets, idle, saturate, taps, ticks};
use crate::show::ShowArgs;

/// Measures a Socket.IO server over WebSocket.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A fixed rate into rooms of viewers: cost and latency of a delivery
    Fanout(Box<fanout::FanoutArgs>),
    /// A rising rate: the most deliveries per second
    Saturate(Box<saturate::SaturateArgs>),
    /// Connections that joined and say nothing: memory, lost joins
    Idle(Box<idle::IdleArgs>),
    /// Viewers who come and go: cycles per second
    Churn(Box<churn::ChurnArgs>),
    /// Users who claim units of a drop while there are some: claims per second
    Claims(Box<claims::ClaimsArgs>),
    /// The same when all is sold
    Soldout(Box<claims::ClaimsArgs>),
    /// Viewers who send reactions: taps per second
    Taps(Box<taps::TapsArgs>),
    /// fanout or saturate against the server and the limit in turns: share of the limit
    Compare(CompareArgs),
    /// One gateway, one on Redis, and two, in turns: deliveries per CPU second of the gateways
    Fleet(Box<fleets::FleetArgs>),
    /// One gateway with the embedded engine and on Redis, in turns: how much later messages come
    Path(Box<fleets::FleetArgs>),
    /// Streams are busy on one gateway: what another one hears of it, where nobody watches them
    Bystander(Box<bystander::BystanderArgs>),
    /// What gateways ask of Redis when nothing happens, while viewers tap, and for a message
    Ticks(Box<ticks::TicksArgs>),
    /// A rehearsal: a recorded show, a gateway killed, every promise checked, and what it costs
    Show(Box<ShowArgs>),
    /// Play the server of the limit (the scenarios start it themselves)
    LimitServer(limit::LimitArgs),
}

/// Exit status 0: measured, nothing lost. 1: measured, but messages, joins or cycles were lost. 2: not measured.
fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            Progress::new(false).note(&format!("haat-bench: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn measure(cli: &Cli) -> anyhow::Result<bool> {
    // Ten thousand connections need as many descriptors; the hard limit is the machine owner's word.
    rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone()).context("signals")?;
    }
    let Some(options) = options(&cli.command) else {
        if let Command::LimitServer(args) = &cli.command {
            limit::serve(args, &interrupted)?;
        }
        return Ok(true);
    };
    let mut run = Run { interrupted, progress: Progress::new(options.0) };
    let found = match &cli.command {
        Command::Fanout(args) => Found::Fanout(fanout::run(args, &mut run)?),
        Command::Saturate(args) => Found::Saturate(saturate::run(args, &mut run)?),
        Command::Idle(args) => Found::Idle(idle::run(args, &mut run)?),
        Command::Churn(args) => Found::Churn(churn::run(args, &mut run)?),
        Command::Claims(args) => Found::Claims(claims::run(args, false, &mut run)?),
        Command::Soldout(args) => Found::Soldout(claims::run(args, true, &mut run)?),
        Command::Taps(args) => Found::Taps(taps::run(args, &mut run)?),
        Command::Compare(args) => Found::Compare(compare::run(args, &mut run)?),
        Command::Fleet(args) => Found::Fleet(fleets::run(args, true, &mut run)?),
        Command::Path(args) => Found::Path(fleets::run(args, false, &mut run)?),
        Command::Bystander(args) => Found::Bystander(bystander::run(args, &mut run)?),
        Command::Ticks(args) => Found::Ticks(ticks::run(args, &mut run)?),
        Command::Show(args) => Found::Show(Box::new(show::run(args, &mut run)?)),
        Command::LimitServer(_) => return Ok(true),
    };
    // Clears the line that it rewrites, before the table.
    drop(run);
    report::print(&found)?;
    if let Some(path) = options.1 {
        report::write_json(path, &found)?;
    }
    Ok(report::clean(&found))
}

/// Whether to be quiet, and where the JSON goes.
fn options(command: &Command) -> Option<(bool, Option<&Path>)> {
    let target = match command {
        Command::Fanout(args) => &args.target,
        Command::Saturate(args) => &args.target,
        Command::Idle(args) => &args.target,
        Command::Churn(args) => &args.target,
        Command::Claims(args) | Command::Soldout(args) => &args.sale.target,
        Command::Taps(args) => &args.sale.target,
        Command::Compare(CompareArgs { what, .. }) => match what {
            What::Fanout(args) => &args.target,
            What::Saturate(args) => &args.target,
        },
        Command::Fleet(args) | Command::Path(args) => &args.fanout.target,
        Command::Bystander(args) => &args.fanout.target,
        Command::Ticks(args) => &args.target,
        Command::Show(args) => return Some((args.quiet, args.json.as_deref())),
        Command::LimitServer(_) => return None,
    };
    Some((target.quiet, target.json.as_deref()))
}
