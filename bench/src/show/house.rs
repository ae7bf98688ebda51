//! Where a show takes place: a fleet that is started for it, or one that is there already; who is let in, how a gateway is
//! killed, and what the ledger says.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::bill::{self, Sample};
use super::meter::Meter;
use super::person::Person;
use super::player::{Counts, Player, Scene, Stage};
use super::script::Script;
use super::seen::{self, Seen};
use super::{Played, ShowArgs};
use crate::fleet::{Fleet, Plan};
use crate::http;
use crate::load::Latency;
use crate::target;
use crate::token::{Mint, Permission};

/// Records of one page of the ledger.
const PAGE: usize = 1_000;

/// Where the show takes place.
pub(super) struct House {
    fleet: Option<Fleet>,
    urls: Vec<String>,
    secret: String,
    kill: Option<String>,
    /// The command that kills, while it runs.
    killing: Option<Child>,
    /// Gateways killed.
    killed: usize,
    meter: Meter,
    samples: Vec<Sample>,
}

impl House {
    /// Starts the fleet, or takes the one that is named.
    ///
    /// # Errors
    /// If an option does not fit, or a fleet does not start.
    pub(super) fn open(args: &ShowArgs) -> anyhow::Result<Self> {
        let (fleet, secret) = match args.gateways {
            None => {
                let secret = args.secret.clone().context("tokens need --secret or HAAT_AUTH_SECRET")?;
                (None, secret)
            }
            Some(gateways) => {
                let secret = args.secret.clone().map_or_else(target::new_secret, Ok)?;
                let plan = Plan {
                    program: args.server_bin.clone(),
                    gateways,
                    redis: args.redis,
                    secret: secret.clone(),
                    core: args.server_core,
                    redis_core: args.server_core,
                    logs: args.server_logs.clone(),
                    variables: Vec::new(),
                };
                (Some(Fleet::start(&plan)?), secret)
            }
        };
        let mut pids = args.pid.clone();
        let urls = match &fleet {
            None => args.url.clone(),
            Some(fleet) => {
                pids.extend(fleet.gateways.iter().filter_map(|gateway| gateway.server.pid()));
                fleet.gateways.iter().map(|gateway| format!("http://{}", gateway.public)).collect()
            }
        };
        if urls.is_empty() {
            bail!("where? --url http://host:port, or --gateways 3 --redis");
        }
        Ok(Self {
            fleet,
            urls,
            secret,
            kill: args.kill.clone(),
            killing: None,
            killed: 0,
            meter: Meter::new(pids, args.metrics_url.clone())?,
            samples: Vec::new(),
        })
    }

    /// What is to be played here.
    ///
    /// # Errors
    /// If an address is none.
    pub(super) fn stage(&self, args: &ShowArgs, script: Script) -> anyhow::Result<Stage> {
        let mint = Mint::new(&self.secret);
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let mut requests = Vec::new();
        for url in &self.urls {
            let (host, path) = target::split_url(url)?;
            addresses.push(target::resolve(&host)?);
            requests.push(target::request(&host, &path));
        }
        let run = target::run_number();
        let mut people = Vec::with_capacity(args.viewers + 1);
        for who in 0..=args.viewers {
            let (user, role) = match who {
                seen::SUPPLIER => (format!("rehearsal-{run:06x}-supplier"), Permission::Supplier),
                who => (format!("rehearsal-{run:06x}-{who}"), Permission::Viewer),
            };
            let token = mint.token(&user, role)?;
            people.push(Person::new(user, token, who));
        }
        let stream = format!("rehearsal-{run:06x}");
        let patience = Duration::from_secs_f64(args.patience.clamp(0.1, 3_600.0));
        Ok(Stage { addresses, requests, stream, people, script, patience })
    }

    /// Where the ledger of a stream is, at each gateway.
    pub(super) fn ledger(&self, stream: &str) -> Vec<String> {
        let base = |url: &String| {
            let (host, _) = target::split_url(url).ok()?;
            Some(format!("http://{host}/v1/streams/{stream}/ledger?limit={PAGE}"))
        };
        self.urls.iter().filter_map(base).collect()
    }

    /// CPU seconds of the Redis that was started here.
    pub(super) fn redis_cpu(&self) -> Option<f64> {
        self.fleet.as_ref()?.redis.as_ref()?.0.cpu_seconds()
    }

    /// Waits for the command that kills.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn killing_ended(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.killing.take() else { return Ok(()) };
        let status = child.wait().context("--kill")?;
        if !status.success() {
            bail!("the command of --kill failed: {status}");
        }
        Ok(())
    }

    /// What was played.
    pub(super) fn played(&self, args: &ShowArgs, counts: Counts, took: (f64, f64, Option<f64>)) -> Played {
        let (seconds, own_cpu, redis_busy) = took;
        let bill = bill::bill(&self.samples, args.price_per_core_hour, args.audience, args.cores_per_gateway);
        Played {
            viewers: args.viewers,
            speed: args.speed,
            seconds,
            held_seconds: counts.held_seconds,
            killed: self.killed > 0,
            lost: (counts.lost, counts.lost_by_kill),
            away: Latency::of(&counts.away),
            latency: Latency::of(&counts.latency),
            refused: counts.refused,
            reasons: counts.reasons,
            sent: counts.sent,
            errors: counts.errors,
            other_events: counts.other,
            unread_ledger: None,
            metered: self.meter.count(),
            bill,
            redis_busy,
            generator_busy: own_cpu / seconds.max(1e-3),
            longest_gap_ms: counts.longest_gap_ms,
        }
    }
}

impl Scene for House {
    fn kill(&mut self) -> anyhow::Result<bool> {
        if let Some(command) = &self.kill {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
            self.killing_ended()?;
            self.killing = Some(shell.spawn().context("--kill")?);
        } else {
            // The last that is left, but for one.
            let left = self.fleet.as_mut().and_then(|fleet| fleet.gateways.get_mut(1..));
            let Some(last) = left.and_then(|left| left.iter_mut().nth_back(self.killed)) else { return Ok(false) };
            last.server.kill()?;
        }
        self.killed += 1;
        Ok(true)
    }

    fn sample(&mut self, at_ns: u64, viewers: usize) -> anyhow::Result<()> {
        if let Some(child) = &mut self.killing
            && child.try_wait().context("--kill")?.is_some()
        {
            self.killing_ended()?;
        }
        if !self.samples.is_empty() || viewers > 0 {
            self.samples.push(Sample { at: at_ns as f64 / 1e9, viewers, cpu: self.meter.read() });
        }
        Ok(())
    }
}

/// Notes what the ledger of the first gateway says that answers. If none does, the reason of the first.
///
/// # Errors
/// If the journal cannot be written.
pub(super) fn read_ledger(
    player: &mut Player<'_, House>,
    urls: &[String],
    token: &str,
) -> anyhow::Result<Option<String>> {
    let mut reason = None;
    for url in urls {
        match ledger(url, token) {
            Ok(ids) => {
                for id in ids {
                    player.note(Seen::Record { id })?;
                }
                player.note(Seen::LedgerRead)?;
                return Ok(None);
            }
            Err(error) => reason = reason.or(Some(format!("{url}: {error:#}"))),
        }
    }
    Ok(reason)
}

/// The ids of all claims and spins in a ledger, page by page.
fn ledger(url: &str, token: &str) -> anyhow::Result<Vec<String>> {
    let (mut page, mut ids) = (url.to_owned(), Vec::new());
    loop {
        let answer: Value = serde_json::from_str(&http::get(&page, Some(token))?)?;
        let records = answer["records"].as_array().context("an answer without records")?;
        let grants = records.iter().filter(|record| matches!(record["kind"].as_str(), Some("claim" | "spin")));
        ids.extend(grants.filter_map(|record| Some(record["data"]["id"].as_str()?.to_owned())));
        match answer["next"].as_str() {
            Some(next) if records.len() == PAGE => page = format!("{url}&after={next}"),
            _ => return Ok(ids),
        }
    }
}
