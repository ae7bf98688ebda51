//! `bystander`: streams are busy on one gateway, and nobody at another one watches them. How much of it does the other one
//! hear? It has a viewer of its own, in a stream where nothing happens.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Run;
use super::fanout::{self, Fanout, FanoutArgs};
use crate::crowd::{self, Seat};
use crate::http;
use crate::target::{self, Target, Who};

/// Messages that came to a gateway through Redis.
const RECEIVED: &str = "haat_redis_received_total";
/// Those of others; what it sends itself, to see whether it hears, is apart.
const OF_OTHERS: &str = "kind=\"message\"";

/// A gateway's metrics of Redis are at most so old.
const TELLS: Duration = Duration::from_secs(1);

/// Options of `bystander`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BystanderArgs {
    #[command(flatten)]
    pub(crate) fanout: FanoutArgs,
}

/// What `bystander` found.
#[derive(Debug, Serialize)]
pub(crate) struct Bystander {
    /// Messages that came to the bystander through Redis meanwhile.
    received: f64,
    /// Those that came to the busy gateway.
    received_by_busy: f64,
    /// Messages published, the warm-up aside.
    published: u64,
    /// CPU seconds of the bystander.
    bystander_cpu_seconds: Option<f64>,
    /// The load of the busy one. Its CPU time is that of both gateways.
    busy: Fanout,
}

/// Runs `bystander`.
///
/// # Errors
/// If the fleet does not start, somebody is not let in, or the metrics cannot be read.
pub(crate) fn run(args: &BystanderArgs, run: &mut Run) -> anyhow::Result<Bystander> {
    let mut target = Target::fleet(&args.fanout.target, 2, true)?;
    let fleet = target.fleet.take().context("a fleet")?;
    let [busy, aside] = &fleet.gateways[..] else { anyhow::bail!("two gateways are needed") };
    let patience = target::patience(&args.fanout.target);
    let apart = target.at(aside.public);
    let mut driver = apart.driver(args.fanout.target.waiting, run.interrupted.clone())?;
    crowd::set_up(&mut driver, &apart, 1, patience, &mut run.progress)?;
    let seat = Seat { who: Who::Viewer, joining: Some(0) };
    crowd::dial(&mut driver, &apart, &[seat], 1, patience, &mut run.progress)?.all()?;

    // Of a name of its own: no room of the load is the bystander's.
    let target = apart.renamed().at(busy.public);
    let before = (received(aside.private)?, received(busy.private)?, aside.server.cpu_seconds());
    let load = fanout::measure(&args.fanout, &target, run)?;
    let cpu_seconds = aside.server.cpu_seconds();
    thread::sleep(TELLS);
    let after = (received(aside.private)?, received(busy.private)?, cpu_seconds);
    Ok(Bystander {
        received: after.0 - before.0,
        received_by_busy: after.1 - before.1,
        published: load.load.published,
        bystander_cpu_seconds: before.2.zip(after.2).map(|(before, after)| after - before),
        busy: load,
    })
}

fn received(private: SocketAddr) -> anyhow::Result<f64> {
    let text = http::get(&format!("http://{private}/metrics"), None)?;
    http::metric(&text, RECEIVED, OF_OTHERS).with_context(|| format!("{RECEIVED} is not among the metrics"))
}

impl Bystander {
    /// Whether everything came to the busy one, through Redis, and nothing to the bystander.
    pub(crate) fn clean(&self) -> bool {
        self.busy.load.clean() && self.received == 0.0 && self.received_by_busy >= self.published as f64
    }

    /// Rows of the table.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let load = &self.busy.load;
        let rate = self.published as f64 / load.seconds;
        let mut rows = vec![
            ("received by the bystander".to_owned(), format!("{:.0}", self.received)),
            ("received by the busy gateway".to_owned(), format!("{:.0}", self.received_by_busy)),
            (
                "published".to_owned(),
                format!("{} messages, {rate:.0} a second, in {} streams", self.published, self.busy.rooms),
            ),
            ("delivered".to_owned(), format!("{} of {}", load.verdict.delivered, load.verdict.expected)),
        ];
        if let Some(cpu) = self.bystander_cpu_seconds {
            rows.push(("CPU of the bystander".to_owned(), format!("{cpu:.2} s of {:.2} s", load.seconds)));
        }
        rows
    }

    /// Cores' worth of other processes.
    pub(crate) fn others_busy(&self) -> Option<f64> {
        self.busy.load.others_busy
    }
}
