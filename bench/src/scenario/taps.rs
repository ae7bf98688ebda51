//! `taps`: viewers send reactions as fast as they are answered. Each that was accepted must be in the stream's statistics, and
//! Redis must not hear of single ones.

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::Run;
use super::sale::{Pace, Part, Sale, SaleArgs, number_behind};
use crate::target::Who;

/// Commands that Redis may be sent in a second, whatever the taps.
const MOST_COMMANDS: f64 = 20.0;
/// How often the statistics are asked for until all taps are in them.
const LOOKS: usize = 100;

/// Options of `taps`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TapsArgs {
    #[command(flatten)]
    pub(crate) sale: SaleArgs,
    /// Taps of one command: a page adds up what a finger does in a tenth of a second or so
    #[arg(long, default_value_t = 5)]
    count: u64,
    /// Seconds to measure
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds of the same before that, not counted
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
}

/// What it found.
#[derive(Debug, Serialize)]
pub(crate) struct Taps {
    /// Viewers, one connection each.
    viewers: usize,
    /// Commands that each connection had under way.
    window: usize,
    /// Taps of one command.
    count: u64,
    /// Commands answered in the measured time.
    commands: u64,
    /// Taps accepted in the measured time.
    taps: u64,
    /// Taps in a second.
    taps_per_second: f64,
    /// Taps accepted in all.
    accepted: u64,
    /// Taps in the stream's statistics.
    counted: u64,
    /// What must not be.
    broken: Vec<String>,
    /// How it went.
    pace: Pace,
}

#[derive(Debug, Default)]
struct Fingers {
    event: String,
    commands: u64,
    accepted: u64,
    broken: Vec<String>,
}

impl Part for Fingers {
    fn next(&mut self, _: usize) -> Option<String> {
        Some(self.event.clone())
    }

    fn answered(&mut self, _: usize, answer: Result<&[u8], String>) {
        self.commands += 1;
        match answer {
            Ok(reply) => self.accepted += number_behind(reply, r#""accepted":"#).unwrap_or(0),
            Err(why) if self.broken.len() < 5 => self.broken.push(why),
            Err(_) => {}
        }
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Runs `taps`.
///
/// # Errors
/// If the options do not fit, somebody is not let in, or the run is interrupted.
pub(crate) fn run(args: &TapsArgs, run: &mut Run) -> anyhow::Result<Taps> {
    if args.count == 0 || args.seconds <= 0.0 {
        bail!("count and seconds must be above 0");
    }
    let mut sale = Sale::open(&args.sale, Who::Viewer, run)?;
    let (stream, count) = (sale.stream(), args.count);
    let event = format!(r#"["reaction:send",{{"stream":"{stream}","kind":"heart","count":{count}}}]"#);
    let mut fingers = Fingers { event, ..Fingers::default() };
    sale.play(&mut fingers, args.warmup, &mut run.progress)?;
    let (commands, accepted) = (fingers.commands, fingers.accepted);
    let before = sale.before()?;
    sale.play(&mut fingers, args.seconds, &mut run.progress)?;
    let pace = sale.pace(before)?;
    let (commands, taps) = (fingers.commands - commands, fingers.accepted - accepted);
    let unanswered = sale.settle(&mut fingers)?;
    let mut counted = 0;
    for _ in 0..LOOKS {
        let stats = sale.order(&format!(r#"["stream:stats",{{"stream":"{stream}"}}]"#))?;
        counted = number_behind(&stats, r#""reactions":"#).context("stream:stats says nothing of reactions")?;
        if counted >= fingers.accepted {
            break;
        }
        // They leave the gateway a few times a second.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut broken = fingers.broken;
    if counted != fingers.accepted {
        broken.push(format!("{} taps were accepted, {counted} counted", fingers.accepted));
    }
    if unanswered > 0 || sale.lost > 0 {
        broken.push(format!("{unanswered} commands unanswered, {} connections lost", sale.lost));
    }
    if let Some(sent) = pace.redis_commands_per_second().filter(|sent| *sent >= MOST_COMMANDS) {
        broken.push(format!("redis was sent {sent:.1} commands a second"));
    }
    Ok(Taps {
        viewers: args.sale.users,
        window: args.sale.window,
        count,
        commands,
        taps,
        taps_per_second: taps as f64 / pace.seconds,
        accepted: fingers.accepted,
        counted,
        broken,
        pace,
    })
}

impl Taps {
    /// Whether every promise was kept.
    pub(crate) fn clean(&self) -> bool {
        self.broken.is_empty() && self.taps > 0
    }

    /// Rows of the table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let per_second = self.commands as f64 / self.pace.seconds;
        let mut rows = vec![
            ("taps/s".to_owned(), format!("{:.0}", self.taps_per_second)),
            (
                "commands/s".to_owned(),
                format!(
                    "{per_second:.0} of {} taps, {} viewers with {} under way each",
                    self.count, self.viewers, self.window
                ),
            ),
            ("counted".to_owned(), format!("{} of {} accepted", self.counted, self.accepted)),
        ];
        rows.extend(self.pace.rows("taps", self.taps));
        rows.extend(self.broken.iter().map(|what| ("BROKEN".to_owned(), what.clone())));
        rows
    }

    /// Cores' worth of other processes.
    pub(crate) fn others_busy(&self) -> Option<f64> {
        self.pace.others_busy
    }
}
