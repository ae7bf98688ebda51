//! Who comes, who goes, and who comes back.

use super::{Player, Scene, Task};
use crate::client::{Loss, Notice, Role};
use crate::show::person::{Asked, Person, Phase, pause_ms};
use crate::show::seen::{SUPPLIER, Seen};

/// How long a connection may take to be made, or to be closed, before it is given up, nanoseconds.
const CONNECTING_NS: u64 = 15_000_000_000;
/// How long a server may be silent: the interval and the timeout of pings.
const SILENCE_NS: u64 = 45_000_000_000;
/// Reasons of refusals that are kept.
const KEPT: usize = 5;

impl<S: Scene> Player<'_, S> {
    /// Begins a connection.
    pub(super) fn dial(&mut self, who: usize) {
        let person = &mut self.stage.people[who];
        let place = person.address % self.stage.addresses.len();
        let role = Role::SocketIo {
            request: self.stage.requests[place].clone(),
            connect: format!("40{}", person.auth()),
            join: None,
        };
        person.phase = Phase::Dialing;
        person.since_ns = self.driver.now_ns();
        match self.driver.dial(self.stage.addresses[place], None, role, who) {
            Ok(id) => {
                person.client = Some(id);
                if let Some(client) = self.driver.client(id) {
                    client.kept = b"023";
                }
            }
            Err(error) => self.failed(who, &error.to_string()),
        }
    }

    /// Says goodbye.
    pub(super) fn leave(&mut self, who: usize) {
        let person = &mut self.stage.people[who];
        let Some(id) = person.client.filter(|_| person.phase == Phase::In) else {
            // Comes back first, and goes then.
            let at_ns = self.driver.now_ns() + 100_000_000;
            return self.plan(at_ns, Task::Leave(who));
        };
        person.phase = Phase::Leaving;
        person.since_ns = self.driver.now_ns();
        let open: Vec<Asked> = person.asked.drain(..).map(|(_, asked)| asked).chain(person.again.drain(..)).collect();
        for asked in open {
            self.give_up(who, &asked);
        }
        if let Some(client) = self.driver.client(id) {
            client.close();
        }
        self.driver.flush(id);
    }

    fn gone(&mut self, who: usize) {
        let person = &mut self.stage.people[who];
        *person = Person::new(std::mem::take(&mut person.user), std::mem::take(&mut person.token), person.address);
        if who != SUPPLIER {
            self.inside -= 1;
        }
        self.saw(who, Seen::Left);
        self.ramp_moved(1);
    }

    /// Takes in what the connections say.
    pub(super) fn hear(&mut self) -> anyhow::Result<()> {
        while let Some(heard) = self.driver.next() {
            let who = heard.tag;
            let Some(person) = self.stage.people.get(who).filter(|person| person.client == Some(heard.id)) else {
                continue;
            };
            match heard.notice {
                Notice::Packet { at_ns, text } => self.packet(who, at_ns, &text)?,
                Notice::Lost(_) if person.phase == Phase::Leaving => self.gone(who),
                Notice::Lost(loss) => {
                    if matches!(loss, Loss::Connect(_)) {
                        self.refusal.get_or_insert_with(|| loss.to_string());
                    }
                    self.failed(who, &loss.to_string());
                }
                Notice::Connected | Notice::Acked { .. } => {}
            }
        }
        Ok(())
    }

    /// The connection of a person is gone, or could not be made.
    fn failed(&mut self, who: usize, reason: &str) {
        let now_ns = self.driver.now_ns();
        let chance = self.chance();
        let person = &mut self.stage.people[who];
        person.client = None;
        let was_in = person.phase == Phase::In;
        person.phase = Phase::Away;
        person.since_ns = now_ns;
        let pause = pause_ms(person.tries, chance);
        person.tries += 1;
        // With several addresses the next one, as a balancer would choose.
        person.address += 1;
        if !person.joined {
            // Whether the server knows of the join is not known: a new session asks anew.
            (person.pid, person.offset) = (None, None);
        }
        let asked: Vec<Asked> = person.asked.drain(..).map(|(_, asked)| asked).collect();
        if was_in {
            person.lost_ns = now_ns;
            self.counts.lost += 1;
            self.counts.lost_by_kill +=
                u64::from(self.killed_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < 10_000_000_000));
            self.saw(who, Seen::Lost);
        } else {
            self.counts.refused += 1;
        }
        if !was_in && self.counts.reasons.len() < KEPT {
            self.counts.reasons.push(reason.to_owned());
        }
        for asked in asked {
            self.ask_again(who, asked);
        }
        self.plan(now_ns + (pause * 1e6) as u64, Task::Dial(who));
    }

    /// Gives up connections that take too long to be made, or whose server is silent for longer than pings allow.
    pub(super) fn sweep(&mut self, now_ns: u64) {
        for who in 0..self.stage.people.len() {
            let person = &self.stage.people[who];
            let Some(id) = person.client else { continue };
            let (phase, since_ns) = (person.phase, person.since_ns);
            let read_ns = self.driver.client(id).map_or(now_ns, |client| client.read_ns);
            let late = match phase {
                Phase::In => now_ns.saturating_sub(read_ns.max(since_ns)) > SILENCE_NS,
                _ => now_ns.saturating_sub(since_ns) > CONNECTING_NS,
            };
            if !late {
                continue;
            }
            self.driver.drop_client(id);
            if phase == Phase::Leaving {
                self.gone(who);
            } else {
                self.failed(who, "no answer");
            }
        }
    }
}
