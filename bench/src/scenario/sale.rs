//! What `claims`, `soldout` and `taps` share: one stream, its supplier, and users who send the next command as soon as one is
//! answered. Every connection has the same number of commands under way.
//!
//! It must never count a command that was not answered.

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::client::{self, Notice};
use crate::crowd::{self, Seat};
use crate::driver::Driver;
use crate::proc;
use crate::progress::Progress;
use crate::redis::{Done, Redis};
use crate::target::{self, Target, TargetArgs, Who};

/// Sockets read between two looks at the notices.
const BATCH: usize = 64;
/// Kinds of packets that count here: acknowledgements.
const REPLIES: &[u8] = b"3";
/// The supplier's number, out of the way of the users', which begin at 0.
const SUPPLIER: usize = usize::MAX;

/// Options of all of them.
#[derive(Args, Clone, Debug)]
pub(crate) struct SaleArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Users, each with a connection of their own
    #[arg(long, default_value_t = 1000)]
    pub(crate) users: usize,
    /// Commands that a connection has under way at once
    #[arg(long, default_value_t = 4)]
    pub(crate) window: usize,
    /// Redis of the server at --url, host:port, to read what it was asked
    #[arg(long, requires = "url")]
    pub(crate) redis: Option<String>,
}

/// What users do.
pub(crate) trait Part {
    /// The next command of a user; `None`: nothing more.
    fn next(&mut self, user: usize) -> Option<String>;

    /// A command of this user was answered.
    fn answered(&mut self, user: usize, answer: Result<&[u8], String>);

    /// Whether it is over before its time.
    fn is_over(&self) -> bool;
}

/// How it went over some time.
#[derive(Debug, Serialize)]
pub(crate) struct Pace {
    /// Measured seconds.
    pub(crate) seconds: f64,
    /// CPU seconds of the server.
    pub(crate) server_cpu_seconds: Option<f64>,
    /// CPU seconds of Redis.
    pub(crate) redis_cpu_seconds: Option<f64>,
    /// Commands that Redis was sent, a script counting as one.
    pub(crate) redis_commands: Option<u64>,
    /// Scripts among them.
    pub(crate) redis_scripts: Option<u64>,
    /// Share of its time that the generator's thread was busy.
    pub(crate) generator_busy: f64,
    /// Cores' worth of CPU time that neither the server, Redis nor the generator had.
    pub(crate) others_busy: Option<f64>,
}

/// The sale.
pub(crate) struct Sale {
    pub(crate) target: Target,
    driver: Driver,
    redis: Option<Redis>,
    patience_ns: u64,
    window: usize,
    supplier: usize,
    users: Vec<Option<usize>>,
    /// Commands under way of each user.
    under_way: Vec<usize>,
    dirty: Vec<usize>,
    /// Connections that were lost.
    pub(crate) lost: usize,
}

/// What was used before the measurement.
pub(crate) struct Before {
    start_ns: u64,
    server: Option<f64>,
    own: f64,
    machine: Option<f64>,
    redis: Option<Done>,
}

impl Sale {
    /// Starts the stream and lets the users in.
    ///
    /// # Errors
    /// If the options do not fit, or somebody is not let in.
    pub(crate) fn open(args: &SaleArgs, who: Who, run: &mut Run) -> anyhow::Result<Self> {
        if args.users == 0 || args.window == 0 {
            bail!("users and window must be above 0");
        }
        let target = Target::open_on_redis(&args.target)?;
        if target.limit.is_some() {
            bail!("the limit sells nothing: it speaks no protocol");
        }
        let redis = args.redis.clone().or_else(|| target.redis());
        let redis = redis.as_deref().map(Redis::connect).transpose()?;
        let mut driver = target.driver(args.target.waiting, run.interrupted.clone())?;
        let (patience, progress) = (target::patience(&args.target), &mut run.progress);
        let seat = [Seat { who: Who::Supplier, joining: None }];
        let dialed = crowd::dial(&mut driver, &target, &seat, 1, patience, progress)?;
        dialed.all()?;
        let supplier = dialed.ids.first().copied().flatten().context("the supplier's connection is gone")?;
        if let Some(client) = driver.client(supplier) {
            client.tag = SUPPLIER;
            client.kept = REPLIES;
        }
        let mut sale = Self {
            target,
            driver,
            redis,
            patience_ns: patience.as_nanos() as u64,
            window: args.window,
            supplier,
            users: Vec::new(),
            under_way: vec![0; args.users],
            dirty: Vec::new(),
            lost: 0,
        };
        let stream = sale.stream();
        sale.order(&format!(r#"["stream:start",{{"stream":"{stream}","title":"sale"}}]"#))?;
        let seats = vec![Seat { who, joining: Some(0) }; args.users];
        let at_once = args.target.connecting;
        let dialed = crowd::dial(&mut sale.driver, &sale.target, &seats, at_once, patience, progress)?;
        dialed.all()?;
        for id in dialed.ids.iter().flatten() {
            if let Some(client) = sale.driver.client(*id) {
                client.kept = REPLIES;
            }
        }
        sale.users = dialed.ids;
        Ok(sale)
    }

    /// The stream's id.
    pub(crate) fn stream(&self) -> String {
        self.target.room(0)
    }

    /// A command of the supplier, and its answer.
    ///
    /// # Errors
    /// If it is refused or not answered in time.
    pub(crate) fn order(&mut self, event: &str) -> anyhow::Result<Vec<u8>> {
        if let Some(client) = self.driver.client(self.supplier) {
            client.push_request(event);
        }
        self.driver.flush(self.supplier);
        let deadline_ns = self.driver.now_ns() + self.patience_ns;
        while self.driver.now_ns() < deadline_ns {
            self.driver.wait_until(self.driver.now_ns() + 50_000_000)?;
            self.driver.read_some(BATCH);
            while let Some(heard) = self.driver.next() {
                match heard.notice {
                    Notice::Packet { text, .. } if heard.tag == SUPPLIER => match client::refusal(&text) {
                        None => return Ok(text.into_vec()),
                        Some(why) => bail!("{event}: {why}"),
                    },
                    Notice::Lost(loss) => bail!("{event}: {loss}"),
                    Notice::Packet { .. } | Notice::Acked { .. } | Notice::Connected => {}
                }
            }
        }
        bail!("{event}: not answered")
    }

    /// The users play their part for so many seconds, or until it is over.
    ///
    /// # Errors
    /// If the run is interrupted.
    pub(crate) fn play(&mut self, part: &mut impl Part, seconds: f64, progress: &mut Progress) -> anyhow::Result<()> {
        let end_ns = self.driver.now_ns() + (seconds * 1e9) as u64;
        self.dirty = (0..self.users.len()).collect();
        self.send(part);
        while self.driver.now_ns() < end_ns && !part.is_over() {
            self.driver.wait_until(end_ns)?;
            while self.driver.ready() > 0 && !part.is_over() {
                self.driver.read_some(BATCH);
                self.hear(part);
                self.send(part);
            }
            progress.say(|| "selling".to_owned());
        }
        Ok(())
    }

    /// Waits until all that is under way is answered; nothing more is sent. How many commands were not.
    ///
    /// # Errors
    /// If the run is interrupted.
    pub(crate) fn settle(&mut self, part: &mut impl Part) -> anyhow::Result<usize> {
        let deadline_ns = self.driver.now_ns() + self.patience_ns;
        while self.under_way.iter().any(|count| *count > 0) && self.driver.now_ns() < deadline_ns {
            self.driver.wait_until(self.driver.now_ns() + 50_000_000)?;
            self.driver.read_some(self.users.len());
            self.hear(part);
        }
        self.dirty.clear();
        Ok(self.under_way.iter().sum())
    }

    fn hear(&mut self, part: &mut impl Part) {
        while let Some(heard) = self.driver.next() {
            let user = heard.tag;
            match heard.notice {
                Notice::Connected | Notice::Acked { .. } => {}
                Notice::Packet { text, .. } => {
                    let Some(under_way) = self.under_way.get_mut(user) else { continue };
                    *under_way -= 1;
                    part.answered(user, client::refusal(&text).map_or(Ok(&text), Err));
                    self.dirty.push(user);
                }
                Notice::Lost(_) => {
                    self.lost += 1;
                    if let Some(id) = self.users.get_mut(user) {
                        *id = None;
                    }
                }
            }
        }
    }

    /// Everybody sends as much as they may.
    fn send(&mut self, part: &mut impl Part) {
        for user in std::mem::take(&mut self.dirty) {
            let Some(id) = self.users.get(user).copied().flatten() else { continue };
            let Some(client) = self.driver.client(id) else { continue };
            let mut sent = false;
            while self.under_way[user] < self.window
                && let Some(event) = part.next(user)
            {
                client.push_request(&event);
                self.under_way[user] += 1;
                sent = true;
            }
            if sent {
                self.driver.flush(id);
            }
        }
    }

    /// What was used up to now.
    ///
    /// # Errors
    /// If Redis does not say.
    pub(crate) fn before(&mut self) -> anyhow::Result<Before> {
        Ok(Before {
            redis: self.redis.as_mut().map(Redis::done).transpose()?,
            server: self.target.server.cpu_seconds(),
            own: proc::own_cpu_seconds().unwrap_or(0.0),
            machine: proc::machine_cpu_seconds(),
            start_ns: self.driver.now_ns(),
        })
    }

    /// How it went since then.
    ///
    /// # Errors
    /// If Redis does not say.
    pub(crate) fn pace(&mut self, before: Before) -> anyhow::Result<Pace> {
        let seconds = (self.driver.now_ns() - before.start_ns) as f64 / 1e9;
        let own = proc::own_cpu_seconds().unwrap_or(0.0) - before.own;
        let between = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
        let server = between(before.server, self.target.server.cpu_seconds());
        let machine = between(before.machine, proc::machine_cpu_seconds());
        let redis = match (&mut self.redis, before.redis) {
            (Some(redis), Some(before)) => Some(redis.done()?.since(&before)),
            _ => None,
        };
        let redis_cpu = redis.as_ref().map(Done::cpu_seconds);
        let ours = server.map(|server| server + own + redis_cpu.unwrap_or(0.0));
        Ok(Pace {
            seconds,
            server_cpu_seconds: server,
            redis_cpu_seconds: redis_cpu,
            redis_commands: redis.as_ref().map(Done::commands),
            redis_scripts: redis.as_ref().map(Done::scripts),
            generator_busy: own / seconds,
            others_busy: machine.zip(ours).map(|(machine, ours)| (machine - ours).max(0.0) / seconds),
        })
    }
}

impl Pace {
    /// Commands that Redis was sent in a second.
    pub(crate) fn redis_commands_per_second(&self) -> Option<f64> {
        self.redis_commands.map(|commands| commands as f64 / self.seconds)
    }

    /// Rows of the table, `count` of what was done.
    pub(crate) fn rows(&self, what: &str, count: u64) -> Vec<(String, String)> {
        let per = |cpu: Option<f64>| cpu.filter(|cpu| *cpu > 0.0).map(|cpu| count as f64 / cpu);
        let mut rows = Vec::new();
        if let (Some(cpu), Some(each)) = (self.server_cpu_seconds, per(self.server_cpu_seconds)) {
            rows.push((
                "server CPU".to_owned(),
                format!("{cpu:.2} s of {:.2} s: {each:.0} {what} a second of it", self.seconds),
            ));
        }
        if let (Some(cpu), Some(each)) = (self.redis_cpu_seconds, per(self.redis_cpu_seconds)) {
            rows.push(("redis CPU".to_owned(), format!("{cpu:.2} s: {each:.0} {what} a second of it")));
        }
        if let (Some(commands), Some(scripts)) = (self.redis_commands_per_second(), self.redis_scripts) {
            let scripts = scripts as f64 / self.seconds;
            rows.push(("redis commands/s".to_owned(), format!("{commands:.1}, {scripts:.1} of them scripts")));
        }
        rows.push(("generator".to_owned(), format!("{:.0}% busy", self.generator_busy * 100.0)));
        rows
    }
}

/// A number in an answer, by the text that stands before it.
pub(crate) fn number_behind(text: &[u8], before: &str) -> Option<u64> {
    let at = memchr::memmem::find(text, before.as_bytes())? + before.len();
    let digits = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    std::str::from_utf8(&digits.copied().collect::<Vec<u8>>()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_stands_before_them() {
        let text = br#"12[{"ok":true,"stats":{"claims":407,"spins":0}}]"#;
        assert_eq!(number_behind(text, r#""claims":"#), Some(407));
        assert_eq!(number_behind(text, r#""spins":"#), Some(0));
        assert_eq!(number_behind(text, r#""sold":"#), None);
        assert_eq!(number_behind(text, r#""stats":"#), None);
    }
}
