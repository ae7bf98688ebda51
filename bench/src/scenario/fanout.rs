//! `fanout`: a fixed rate into rooms of viewers. What does a delivery cost, and how long does it take?

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::audience::{Audience, AudienceArgs, Check};
use crate::load::{self, Load, Outcome};
use crate::target::{self, Target, TargetArgs};

/// Options of `fanout`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FanoutArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) audience: AudienceArgs,
    /// Messages per second in each room
    #[arg(long, default_value_t = 20.0)]
    pub(crate) rate: f64,
    /// Seconds to publish for
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds of the same load before that, not counted
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warmup: f64,
}

/// What `fanout` found.
#[derive(Debug, Serialize)]
pub(crate) struct Fanout {
    /// Rooms.
    pub(crate) rooms: usize,
    /// Viewers in each.
    pub(crate) viewers: usize,
    /// The measured load.
    pub(crate) load: Outcome,
}

/// Runs `fanout`.
///
/// # Errors
/// If the options do not fit, the server does not let everyone in, or the run is interrupted.
pub(crate) fn run(args: &FanoutArgs, run: &mut Run) -> anyhow::Result<Fanout> {
    let target = Target::open(&args.target)?;
    measure(args, &target, run)
}

/// The same with a server that is open already.
///
/// # Errors
/// As [`run`].
pub(crate) fn measure(args: &FanoutArgs, target: &Target, run: &mut Run) -> anyhow::Result<Fanout> {
    if !(args.rate > 0.0 && args.seconds > 0.0 && args.warmup >= 0.0) {
        bail!("rate and seconds must be above 0");
    }
    let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
    let patience = target::patience(&args.target);
    let mut audience = Audience::gather(
        &mut driver,
        target,
        &args.audience,
        Check::All,
        (args.target.connecting, patience),
        &mut run.progress,
    )?;
    let mut load = Load {
        messages_per_second: args.rate * audience.rooms() as f64,
        span: Duration::from_secs_f64(args.warmup),
        give_up_after: None,
        patience,
    };
    if args.warmup > 0.0 {
        load::run(&mut driver, &mut audience, &target.server, &load, &mut run.progress)?;
    }
    load.span = Duration::from_secs_f64(args.seconds);
    let outcome = load::run(&mut driver, &mut audience, &target.server, &load, &mut run.progress)?;
    Ok(Fanout { rooms: audience.rooms(), viewers: audience.viewers(), load: outcome })
}
