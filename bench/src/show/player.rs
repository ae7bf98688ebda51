//! Plays a show: brings its people in and away, lets them and the supplier do what the script says, comes back as the
//! official client does when a connection breaks, and writes down what everybody sees.
//!
//! It must never help the server: what was asked and not answered is asked again under the same name, nothing else is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;

use super::checker::{Checker, Verdict};
use super::journal::Journal;
use super::person::{Asked, Person, Phase};
use super::script::{Cue, Often, Script};
use super::seen::{Line, SUPPLIER, Seen};
use crate::driver::Driver;
use crate::progress::Progress;
use crate::sight;

mod replies;
mod visits;

/// Sockets read between two looks at the agenda.
const BATCH: usize = 64;
/// The longest sleep, nanoseconds: a signal and a held cue are looked at so often.
const NAP_NS: u64 = 10_000_000;
/// Seconds within which the count of viewers has to be right after a change.
const COUNTED_WITHIN: f64 = 5.0;
/// How long taps may take to be counted, nanoseconds.
const COUNTED_NS: u64 = 3_000_000_000;
/// How long to listen on at the end, for what comes twice.
const LISTEN_ON: Duration = Duration::from_millis(500);

/// What is to be played, and where.
pub(crate) struct Stage {
    /// Gateways, or a balancer.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The request that asks for a WebSocket, by address.
    pub(crate) requests: Vec<String>,
    /// The stream.
    pub(crate) stream: String,
    /// The supplier first, then every viewer.
    pub(crate) people: Vec<Person>,
    /// What happens.
    pub(crate) script: Script,
    /// How long the supplier waits for a connection and for each answer, a ramp may take beyond its time, and what is still
    /// under way is waited for at the end.
    pub(crate) patience: Duration,
}

/// What the player counted itself.
#[derive(Debug)]
pub(crate) struct Counts {
    /// From due to read, of chat that came by the open connection, nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// From the loss of a connection to the recovered session, the client's own pause included, nanoseconds.
    pub(crate) away: Histogram<u64>,
    /// Connections lost.
    pub(crate) lost: u64,
    /// Of them, by the kill.
    pub(crate) lost_by_kill: u64,
    /// Dials that led to nothing.
    pub(crate) refused: u64,
    /// The first reasons.
    pub(crate) reasons: Vec<String>,
    /// Commands sent, by event.
    pub(crate) sent: BTreeMap<String, u64>,
    /// Commands refused, by event and code.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Events that are neither messages nor state, by name.
    pub(crate) other: BTreeMap<String, u64>,
    /// Seconds that cues were held: until the supplier was answered, or the number of viewers was right.
    pub(crate) held_seconds: f64,
    /// The longest time between two looks at the sockets, milliseconds.
    pub(crate) longest_gap_ms: f64,
}

/// What the caller does at certain moments.
pub(crate) trait Scene {
    /// Kills a gateway; false if there is no way to.
    fn kill(&mut self) -> anyhow::Result<bool>;
    /// Called a few times a second with how many viewers watch.
    ///
    /// # Errors
    /// If it cannot go on.
    fn sample(&mut self, at_ns: u64, viewers: usize) -> anyhow::Result<()>;
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Task {
    /// This person comes.
    Enter(usize),
    /// This person goes.
    Leave(usize),
    /// This person dials again.
    Dial(usize),
    /// This person does what the cue says.
    Act(usize, usize),
    /// Somebody does what the cue says; the number of times before.
    Next(usize, u64),
    /// This person asks again.
    Repeat(usize),
    /// CPU and viewers are looked at, and who takes too long.
    Sample,
}

/// How often [`Task::Sample`] comes, nanoseconds.
const SAMPLE_NS: u64 = 250_000_000;

pub(crate) struct Player<'a, S> {
    driver: Driver,
    stage: Stage,
    scene: &'a mut S,
    /// What is wrong.
    pub(crate) checker: Checker,
    /// What was counted.
    pub(crate) counts: Counts,
    journal: Journal,
    agenda: BinaryHeap<Reverse<(u64, u64, Task)>>,
    order: u64,
    inside: usize,
    ramp: Option<Ramp>,
    /// The cue of the supplier that is not done yet.
    staff_cue: Option<usize>,
    turn: usize,
    asked: u64,
    killed_ns: Option<u64>,
    /// Why the server does not let somebody in, in its own words.
    refusal: Option<String>,
    tapped_ns: u64,
    repeats: u64,
    said: Vec<u64>,
    random: u64,
}

struct Ramp {
    left: usize,
    until_ns: u64,
}

impl<'a, S: Scene> Player<'a, S> {
    /// A player in front of a closed curtain.
    pub(crate) fn new(driver: Driver, stage: Stage, scene: &'a mut S, journal: Journal) -> Self {
        let checker = Checker::default();
        let counts = Counts {
            latency: sight::latencies(),
            away: sight::latencies(),
            lost: 0,
            lost_by_kill: 0,
            refused: 0,
            reasons: Vec::new(),
            sent: BTreeMap::new(),
            errors: BTreeMap::new(),
            other: BTreeMap::new(),
            held_seconds: 0.0,
            longest_gap_ms: 0.0,
        };
        Self {
            driver,
            stage,
            scene,
            checker,
            counts,
            journal,
            agenda: BinaryHeap::new(),
            order: 0,
            inside: 0,
            ramp: None,
            staff_cue: None,
            turn: 0,
            asked: 0,
            killed_ns: None,
            refusal: None,
            tapped_ns: 0,
            repeats: 0,
            said: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Plays it to the end; returns the seconds that it took. Who is still there stays until [`Player::finish`].
    ///
    /// # Errors
    /// If people cannot come in, a cue of the supplier is refused, or the run is interrupted.
    pub(crate) fn play(&mut self, progress: &mut Progress) -> anyhow::Result<f64> {
        self.plan(self.driver.now_ns(), Task::Sample);
        self.open(progress)?;
        let start_ns = self.driver.now_ns();
        let (mut held_ns, mut held_since_ns) = (0, None);
        let mut next = 0;
        while next < self.stage.script.cues.len() {
            let now_ns = self.driver.now_ns();
            let due_ns = start_ns + held_ns + self.stage.script.cues[next].at.as_nanos() as u64;
            if now_ns < due_ns {
                self.turn(due_ns)?;
            } else if self.must_wait(next, *held_since_ns.get_or_insert(now_ns))? {
                self.turn(now_ns + NAP_NS)?;
                // Later cues keep their distance to this one.
                held_ns += self.driver.now_ns() - now_ns;
            } else {
                self.cue(next, now_ns)?;
                next += 1;
                held_since_ns = None;
            }
            progress.say(|| self.line(start_ns, next));
        }
        self.counts.held_seconds = held_ns as f64 / 1e9;
        self.until(self.stage.patience, |player| player.calm())?;
        // Of a supplier who is away the checker says that nobody came back.
        if self.stage.people[SUPPLIER].phase == Phase::In {
            self.all_answered()?;
        }
        Ok((self.driver.now_ns() - start_ns) as f64 / 1e9)
    }

    /// Lets the supplier in.
    fn open(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        self.dial(SUPPLIER);
        let began_ns = self.driver.now_ns();
        while self.stage.people[SUPPLIER].phase != Phase::Joining {
            progress.say(|| format!("connecting: {}", self.reason()));
            self.turn(self.driver.now_ns() + NAP_NS)?;
            if let Some(refusal) = &self.refusal {
                bail!("the supplier is not let in: {refusal}");
            }
            if self.late(began_ns) {
                bail!("the supplier cannot connect within {:?}: {}", self.stage.patience, self.reason());
            }
        }
        Ok(())
    }

    /// Waits until everybody has everything, or nothing more comes; then nothing is to come any more.
    ///
    /// # Errors
    /// If the run is interrupted.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.until(Duration::from_secs(10), |player| player.checker.orders.all_there())?;
        let end_ns = self.driver.now_ns() + LISTEN_ON.as_nanos() as u64;
        while self.driver.now_ns() < end_ns {
            self.turn(end_ns)?;
        }
        for who in 0..self.stage.people.len() {
            let person = &mut self.stage.people[who];
            let open: Vec<Asked> =
                person.asked.drain(..).map(|(_, asked)| asked).chain(person.again.drain(..)).collect();
            for asked in open {
                self.give_up(who, &asked);
            }
        }
        Ok(())
    }

    /// Ends the journal; returns what came of the promises, and what was counted.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(crate) fn end(mut self) -> anyhow::Result<(Verdict, Counts)> {
        self.saw(SUPPLIER, Seen::End);
        self.journal.close()?;
        Ok((self.checker.verdict(), self.counts))
    }

    /// Writes a line of the journal that nobody saw by a connection.
    pub(crate) fn note(&mut self, seen: Seen) -> anyhow::Result<()> {
        self.saw(SUPPLIER, seen);
        self.journal.check()
    }

    fn line(&self, start_ns: u64, next: usize) -> String {
        format!(
            "{:.0} s: {} of {} cues, {} viewers inside, {} away",
            (self.driver.now_ns() - start_ns) as f64 / 1e9,
            next,
            self.stage.script.cues.len(),
            self.inside,
            self.stage.people.iter().filter(|person| person.phase == Phase::Away).count(),
        )
    }

    fn reason(&self) -> &str {
        self.counts.reasons.first().map_or("no answer", String::as_str)
    }

    fn late(&self, since_ns: u64) -> bool {
        self.driver.now_ns().saturating_sub(since_ns) > self.stage.patience.as_nanos() as u64
    }

    fn until(&mut self, patience: Duration, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let end_ns = self.driver.now_ns() + patience.as_nanos() as u64;
        while !done(self) && self.driver.now_ns() < end_ns {
            self.turn(self.driver.now_ns() + NAP_NS)?;
        }
        Ok(())
    }

    /// One round: reads what is there, does what is due.
    fn turn(&mut self, due_ns: u64) -> anyhow::Result<()> {
        let began_ns = self.driver.now_ns();
        let task_ns = self.agenda.peek().map_or(u64::MAX, |Reverse((at_ns, ..))| *at_ns);
        self.driver.wait_until(due_ns.min(task_ns).min(began_ns + NAP_NS))?;
        while self.driver.ready() > 0 {
            self.driver.read_some(BATCH);
            self.hear()?;
            self.work()?;
        }
        self.hear()?;
        self.work()?;
        let gap_ms = (self.driver.now_ns() - began_ns) as f64 / 1e6;
        self.counts.longest_gap_ms = self.counts.longest_gap_ms.max(gap_ms);
        self.journal.check()
    }

    fn work(&mut self) -> anyhow::Result<()> {
        let now_ns = self.driver.now_ns();
        while let Some(Reverse((at_ns, ..))) = self.agenda.peek()
            && *at_ns <= now_ns
            && let Some(Reverse((at_ns, _, task))) = self.agenda.pop()
        {
            match task {
                Task::Enter(who) => self.dial(who),
                Task::Leave(who) => self.leave(who),
                Task::Dial(who) if self.stage.people[who].phase == Phase::Away => self.dial(who),
                Task::Dial(_) => {}
                Task::Act(cue, who) => self.act(cue, who, at_ns),
                Task::Next(cue, number) => self.next(cue, number, at_ns),
                Task::Repeat(who) => self.repeat(who),
                Task::Sample => {
                    self.scene.sample(now_ns, self.inside)?;
                    self.sweep(now_ns);
                    self.plan(now_ns + SAMPLE_NS, Task::Sample);
                }
            }
        }
        Ok(())
    }

    fn plan(&mut self, at_ns: u64, task: Task) {
        self.order += 1;
        self.agenda.push(Reverse((at_ns, self.order, task)));
    }

    fn saw(&mut self, who: usize, seen: Seen) {
        let line = Line { at: self.driver.now_ns() as f64 / 1e6, who, seen };
        self.checker.line(&line);
        self.journal.write(&line);
    }

    /// Whether a cue that has been held since then has to wait on: for the supplier, for a ramp, or for the number of viewers.
    fn must_wait(&self, next: usize, since_ns: u64) -> anyhow::Result<bool> {
        if let Some(ramp) = &self.ramp
            && self.driver.now_ns() > ramp.until_ns
        {
            bail!("{} viewers have not come in or gone away: {}", ramp.left, self.reason());
        }
        if self.staff_cue.is_some() {
            if self.late(since_ns) {
                self.all_answered()?;
            }
            return Ok(true);
        }
        let now = self.driver.now_ns() as f64 / 1e6;
        Ok(match &*self.stage.script.cues[next].event {
            "audience" => self.ramp.is_some() || !self.checker.audience.is_settled(now),
            // Who has not come back by then is the checker's to say.
            "stream:end" => !self.calm() && !self.late(since_ns),
            _ => false,
        })
    }

    /// Fails if the supplier still waits for an answer.
    fn all_answered(&self) -> anyhow::Result<()> {
        let Some(cue) = self.staff_cue else { return Ok(()) };
        let Cue { line, event, .. } = &self.stage.script.cues[cue];
        bail!("line {line}: {event} is not answered within {:?}", self.stage.patience)
    }

    /// Nobody is on the way, nothing is unanswered, all is counted.
    fn calm(&self) -> bool {
        let now = self.driver.now_ns() as f64 / 1e6;
        let quiet = |person: &Person| {
            matches!(person.phase, Phase::In | Phase::Out) && person.asked.is_empty() && person.again.is_empty()
        };
        self.ramp.is_none()
            && self.checker.audience.is_settled(now)
            && self.stage.people.iter().all(quiet)
            && (self.checker.taps.all_counted() || self.driver.now_ns().saturating_sub(self.tapped_ns) > COUNTED_NS)
    }

    fn cue(&mut self, number: usize, now_ns: u64) -> anyhow::Result<()> {
        let cue = self.stage.script.cues[number].clone();
        match &*cue.event {
            "audience" => self.ramp(&cue, now_ns),
            "kill" => {
                if self.scene.kill()? {
                    self.killed_ns = Some(self.driver.now_ns());
                    self.saw(SUPPLIER, Seen::Killed { resets: cue.allows_resets() });
                }
            }
            _ if !cue.is_of_viewers() => {
                self.staff_cue = Some(number);
                self.ask(SUPPLIER, number, now_ns);
            }
            _ => self.spread(number, &cue, now_ns),
        }
        Ok(())
    }

    /// Lets viewers do what a cue says, over its time.
    fn spread(&mut self, number: usize, cue: &Cue, now_ns: u64) {
        match cue.often {
            Often::Once | Often::Rate(_) => self.plan(now_ns, Task::Next(number, 0)),
            Often::Share(share) => {
                let mut there: Vec<usize> =
                    (1..self.stage.people.len()).filter(|who| self.stage.people[*who].is_inside()).collect();
                let count = (there.len() as f64 * share).round() as usize;
                for place in 0..count {
                    let other = place + (self.chance() * (there.len() - place) as f64) as usize;
                    let last = there.len() - 1;
                    there.swap(place, other.min(last));
                    let at_ns = now_ns + cue.over.as_nanos() as u64 * place as u64 / count as u64;
                    self.plan(at_ns, Task::Act(number, there[place]));
                }
            }
        }
    }

    fn next(&mut self, number: usize, before: u64, at_ns: u64) {
        let people = self.stage.people.len();
        for _ in 1..people {
            self.turn = self.turn % (people - 1) + 1;
            if self.stage.people[self.turn].phase == Phase::In {
                self.ask(self.turn, number, at_ns);
                break;
            }
        }
        let cue = &self.stage.script.cues[number];
        if let Often::Rate(rate) = cue.often {
            let gap_ns = (1e9 / rate) as u64;
            if (before + 2) * gap_ns <= cue.over.as_nanos() as u64 {
                self.plan(at_ns + gap_ns, Task::Next(number, before + 1));
            }
        }
    }

    fn act(&mut self, number: usize, who: usize, at_ns: u64) {
        if self.stage.people[who].is_inside() {
            self.ask(who, number, at_ns);
        }
    }

    fn ramp(&mut self, cue: &Cue, now_ns: u64) {
        let Often::Share(share) = cue.often else { return };
        let viewers = self.stage.people.len() - 1;
        let wanted = (viewers as f64 * share).round() as usize;
        let over_ns = cue.over.as_nanos() as u64;
        let inside = self.stage.people.iter().skip(1).filter(|person| person.phase != Phase::Out).count();
        let moving = wanted.abs_diff(inside);
        let movers: Vec<usize> = (1..=viewers)
            .filter(|who| (self.stage.people[*who].phase == Phase::Out) == (wanted > inside))
            .take(moving)
            .collect();
        for (place, who) in movers.iter().enumerate() {
            let at_ns = now_ns + over_ns * place as u64 / moving.max(1) as u64;
            let task = if wanted > inside { Task::Enter(*who) } else { Task::Leave(*who) };
            self.plan(at_ns, task);
        }
        self.saw(SUPPLIER, Seen::Moving);
        self.ramp = Some(Ramp { left: moving, until_ns: now_ns + over_ns + self.stage.patience.as_nanos() as u64 });
        self.ramp_moved(0);
    }

    /// So many people have come in or gone away.
    fn ramp_moved(&mut self, count: usize) {
        let Some(ramp) = &mut self.ramp else { return };
        ramp.left = ramp.left.saturating_sub(count);
        if ramp.left == 0 {
            self.ramp = None;
            let viewers = self.inside as u64;
            self.saw(SUPPLIER, Seen::Audience { viewers, within: COUNTED_WITHIN });
        }
    }

    /// From 0 to 1; the same row of numbers in every run.
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}
