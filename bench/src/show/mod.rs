//! `show`: a rehearsal. A recorded show is played against a fleet with so many viewers, a gateway is killed in the middle of
//! it, and what everybody saw is checked against what is promised.
//!
//! - [`house`]: where it takes place
//! - [`script`], [`player`], [`person`], [`packet`]: what happens, who does it, what they are told
//! - [`seen`], [`journal`]: what was seen, line by line
//! - [`checker`] and its parts [`order`], [`audience`], [`sale`], [`taps`], [`pace`]: which promises were kept
//! - [`meter`], [`bill`]: what it took, and what that comes to

mod audience;
mod bill;
mod checker;
mod house;
mod journal;
mod meter;
mod order;
mod pace;
mod packet;
mod person;
mod player;
mod sale;
mod script;
mod seen;
mod taps;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use self::bill::Bill;
use self::checker::{Checker, Verdict};
use self::house::House;
use self::journal::Journal;
use self::player::Player;
use self::script::Script;
use crate::driver::{Driver, Waiting};
use crate::load::Latency;
use crate::proc;
use crate::scenario::Run;

/// Options of `show`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    /// A gateway, or the balancer before them: http://host:port[/path]. Can be repeated
    #[arg(long)]
    url: Vec<String>,
    /// HS256 secret to make tokens with; a fleet that is started here gets its own
    #[arg(long, env = "HAAT_AUTH_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Viewers
    #[arg(long, default_value_t = 200)]
    viewers: usize,
    /// The recording; without, the one that comes with this program
    #[arg(long)]
    show: Option<PathBuf>,
    /// How many times as fast as recorded
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Shell command that kills a gateway, when the show says so
    #[arg(long)]
    kill: Option<String>,
    /// Start so many gateways for the run, instead of --url
    #[arg(long, conflicts_with = "url")]
    gateways: Option<usize>,
    /// Start a redis-server for them
    #[arg(long, requires = "gateways")]
    redis: bool,
    /// Program of the gateways; without, the haat beside this program
    #[arg(long, requires = "gateways")]
    server_bin: Option<PathBuf>,
    /// Folder for what the gateways say
    #[arg(long, requires = "gateways")]
    server_logs: Option<PathBuf>,
    /// Pin the started gateways and their Redis to this core
    #[arg(long, requires = "gateways")]
    server_core: Option<usize>,
    /// Pin the generator to this core
    #[arg(long)]
    client_core: Option<usize>,
    /// Process of a gateway that runs here, for its CPU time. Can be repeated
    #[arg(long)]
    pid: Vec<u32>,
    /// Metrics of a gateway, for its CPU time: http://host:9090/metrics. Can be repeated
    #[arg(long)]
    metrics_url: Vec<String>,
    /// Price of a core for an hour, for the cost of 1,000 viewer-hours
    #[arg(long)]
    price_per_core_hour: Option<f64>,
    /// Audience to work out a fleet for
    #[arg(long)]
    audience: Option<u64>,
    /// Cores of one gateway of that fleet
    #[arg(long, default_value_t = 4)]
    cores_per_gateway: u64,
    /// Write down what everybody saw, a line each
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Play nothing: check a journal that was written before
    #[arg(long, conflicts_with_all = ["url", "gateways", "journal"])]
    check: Option<PathBuf>,
    /// Seconds that the supplier waits for a connection and for each answer, and that a ramp may take beyond its time
    #[arg(long, default_value_t = 60.0)]
    patience: f64,
    /// How the generator waits when nothing is ready
    #[arg(long, value_enum, default_value_t = Waiting::Sleep)]
    waiting: Waiting,
    /// Write the result as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Nothing on stderr while it runs
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What a rehearsal found.
#[derive(Debug, Serialize)]
pub(crate) struct Show {
    /// What was promised, and whether it was kept.
    pub(crate) verdict: Verdict,
    /// What was played; `None` if only a journal was checked.
    pub(crate) played: Option<Played>,
}

/// What was played.
#[derive(Debug, Serialize)]
pub(crate) struct Played {
    /// Viewers asked for.
    pub(crate) viewers: usize,
    /// How many times as fast as recorded.
    pub(crate) speed: f64,
    /// Seconds.
    pub(crate) seconds: f64,
    /// Of them, seconds that cues were held: until the supplier was answered, or the number of viewers was right.
    pub(crate) held_seconds: f64,
    /// Whether a gateway was killed.
    pub(crate) killed: bool,
    /// Connections lost, and those lost by the kill.
    pub(crate) lost: (u64, u64),
    /// From the loss of a connection to the recovered session, the client's own pause of about a second included.
    pub(crate) away: Latency,
    /// Chat, from due to read.
    pub(crate) latency: Latency,
    /// Dials that led to nothing, while a gateway was down for example.
    pub(crate) refused: u64,
    /// The first reasons.
    pub(crate) reasons: Vec<String>,
    /// Commands sent, by event.
    pub(crate) sent: BTreeMap<String, u64>,
    /// Commands refused, by event and code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Events that are neither messages nor state, by name.
    pub(crate) other_events: BTreeMap<String, u64>,
    /// Why the ledger was not read, if it was not.
    pub(crate) unread_ledger: Option<String>,
    /// Gateways whose CPU time is known.
    pub(crate) metered: usize,
    /// What it took. `None`: the CPU time of the gateways is not known.
    pub(crate) bill: Option<Bill>,
    /// Cores' worth of CPU time of the Redis that was started here.
    pub(crate) redis_busy: Option<f64>,
    /// Share of its time that the generator was busy.
    pub(crate) generator_busy: f64,
    /// The longest time between two looks at the sockets, milliseconds.
    pub(crate) longest_gap_ms: f64,
}

/// Runs `show`.
///
/// # Errors
/// If it cannot be played: options that do not fit, people who cannot come in, a cue that is refused.
pub(crate) fn run(args: &ShowArgs, run: &mut Run) -> anyhow::Result<Show> {
    if let Some(path) = &args.check {
        let mut checker = Checker::default();
        journal::read(path, |line| checker.line(line))?;
        if !checker.has_ended() {
            bail!("{} has no end: it is not the journal of a whole rehearsal", path.display());
        }
        return Ok(Show { verdict: checker.verdict(), played: None });
    }
    if args.viewers == 0 || !(args.speed > 0.0 && args.speed <= 1_000.0) {
        bail!("viewers must be at least 1, and speed above 0 and at most 1000");
    }
    if let Some(core) = args.client_core {
        proc::pin_self(core)?;
    }
    let script = Script::read(args.show.as_deref(), args.viewers, args.speed)?;
    let mut house = House::open(args)?;
    let stage = house.stage(args, script)?;
    let journal = Journal::create(args.journal.as_deref())?;
    let driver = Driver::new("", "", args.waiting, run.interrupted.clone())?;
    let (token, ledger) = (stage.people[seen::SUPPLIER].token.clone(), house.ledger(&stage.stream));
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0);
    let redis_cpu = house.redis_cpu();
    let mut player = Player::new(driver, stage, &mut house, journal);
    let seconds = player.play(&mut run.progress)?;
    let own_cpu = proc::own_cpu_seconds().unwrap_or(0.0) - own_cpu;
    player.finish()?;
    let unread_ledger = house::read_ledger(&mut player, &ledger, &token)?;
    let (verdict, counts) = player.end()?;
    house.killing_ended()?;
    let redis_busy = redis_cpu.zip(house.redis_cpu()).map(|(before, after)| (after - before) / seconds);
    let played = Played { unread_ledger, ..house.played(args, counts, (seconds, own_cpu, redis_busy)) };
    Ok(Show { verdict, played: Some(played) })
}
