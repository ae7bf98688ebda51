//! What is asked, and what comes back.

use anyhow::bail;
use serde_json::Value;

use super::{Player, Scene};
use crate::show::packet::{Message, Packet, State};
use crate::show::person::{Asked, Phase};
use crate::show::script::Cue;
use crate::show::seen::{SUPPLIER, Seen};

/// Times that one thing is asked before it is given up.
const MAX_TRIES: u32 = 30;
/// Before something is asked again, milliseconds, unless the answer says when.
const AGAIN_MS: u64 = 500;
/// One of so many granted claims and spins is asked for again, to see that the answer stays the same.
const REPEAT_EVERY: u64 = 5;

impl<S: Scene> Player<'_, S> {
    /// Sends what a cue says, as this person.
    pub(super) fn ask(&mut self, who: usize, number: usize, due_ns: u64) {
        self.asked += 1;
        let cue = &self.stage.script.cues[number];
        let request = format!("r{}", self.asked);
        let mut said = None;
        let mut body = cue.body.clone();
        body.insert("stream".to_owned(), Value::from(self.stage.stream.as_str()));
        match &*cue.event {
            "chat:send" => {
                let text = body.get("text").and_then(Value::as_str).unwrap_or("hello");
                // The number behind it says when it was due.
                let text = format!("{text} #{}", self.said.len());
                said = Some(self.said.len());
                self.said.push(due_ns);
                body.insert("text".to_owned(), Value::from(text));
                body.insert("clientId".to_owned(), Value::from(request.as_str()));
            }
            "drop:claim" | "wheel:spin" => {
                body.insert("requestId".to_owned(), Value::from(request.as_str()));
            }
            _ => {}
        }
        let event = Value::from(vec![Value::from(cue.event.as_str()), Value::Object(body)]).to_string();
        let count = count(cue);
        let asked = Asked { cue: Some(number), event, request, said, count, tries: 0 };
        self.send(who, asked);
    }

    /// Sends a request, or keeps it until the person is back.
    fn send(&mut self, who: usize, mut asked: Asked) {
        let person = &mut self.stage.people[who];
        // The supplier starts the stream before joining it.
        let ready = person.phase == Phase::In || (who == SUPPLIER && person.phase == Phase::Joining);
        let Some(id) = person.client.filter(|_| ready) else {
            person.again.push_back(asked);
            return;
        };
        if let (0, Some(cue)) = (asked.tries, asked.cue) {
            let name = self.stage.script.cues[cue].event.clone();
            *self.counts.sent.entry(name).or_default() += 1;
        }
        asked.tries += 1;
        if let Some(client) = self.driver.client(id) {
            let ack = client.push_request(&asked.event);
            self.stage.people[who].asked.push((ack, asked));
        }
        self.driver.flush(id);
    }

    /// The connection broke before the answer came.
    pub(super) fn ask_again(&mut self, who: usize, asked: Asked) {
        match asked.cue.map(|cue| &*self.stage.script.cues[cue].event) {
            // Taps have no name: whether they were counted cannot be asked.
            Some("reaction:send") => self.give_up(who, &asked),
            // A new session joins anyway.
            None if !self.stage.people[who].joined => {}
            _ => self.stage.people[who].again.push_back(asked),
        }
    }

    /// Sends what was kept.
    pub(super) fn repeat(&mut self, who: usize) {
        let kept: Vec<Asked> = self.stage.people[who].again.drain(..).collect();
        for asked in kept {
            self.send(who, asked);
        }
    }

    /// Never asks again.
    pub(super) fn give_up(&mut self, who: usize, asked: &Asked) {
        let Some(cue) = asked.cue.map(|cue| &self.stage.script.cues[cue]) else { return };
        let seen = match &*cue.event {
            "reaction:send" => Seen::TapsUnanswered { taps: asked.count },
            "drop:claim" => Seen::ClaimUnanswered { drop: cue.text("drop"), quantity: asked.count },
            "wheel:spin" => Seen::SpinUnanswered { wheel: cue.text("wheel") },
            _ => return,
        };
        self.saw(who, seen);
    }

    /// A packet came.
    pub(super) fn packet(&mut self, who: usize, at_ns: u64, text: &[u8]) -> anyhow::Result<()> {
        match Packet::read(text) {
            Packet::Connect { pid } => self.connected(who, pid),
            Packet::Message(message) => self.message(who, at_ns, message),
            Packet::State(state) => self.state(who, state),
            Packet::Reset => {
                self.saw(who, Seen::Reset);
                self.join(who);
            }
            Packet::Other { name } => *self.counts.other.entry(name.into_owned()).or_default() += 1,
            Packet::Ack { id, reply } => self.answer(who, id, &reply)?,
            Packet::Strange => bail!("unreadable packet: {}", String::from_utf8_lossy(&text[..text.len().min(200)])),
        }
        Ok(())
    }

    fn connected(&mut self, who: usize, pid: Option<String>) {
        let now_ns = self.driver.now_ns();
        let person = &mut self.stage.people[who];
        let recovered = pid.is_some() && pid == person.pid;
        person.tries = 0;
        person.since_ns = now_ns;
        if recovered {
            person.phase = Phase::In;
            let _ = self.counts.away.record(now_ns.saturating_sub(person.lost_ns));
        } else {
            (person.pid, person.offset, person.joined) = (pid, None, false);
            person.phase = Phase::Joining;
        }
        self.saw(who, Seen::Connected { recovered });
        if recovered {
            self.repeat(who);
        } else if who != SUPPLIER || self.inside > 0 || self.asked > 0 {
            self.join(who);
        }
    }

    fn join(&mut self, who: usize) {
        let event = format!(r#"["stream:join",{{"stream":"{}","history":0}}]"#, self.stage.stream);
        let asked = Asked { cue: None, event, request: String::new(), said: None, count: 0, tries: 1 };
        let person = &mut self.stage.people[who];
        let Some(id) = person.client else { return };
        if let Some(client) = self.driver.client(id) {
            let ack = client.push_request(&asked.event);
            person.asked.push((ack, asked));
        }
        self.driver.flush(id);
    }

    fn message(&mut self, who: usize, at_ns: u64, message: Message<'_>) {
        let person = &mut self.stage.people[who];
        let Message { name, seq, epoch, offset, digest, data, text } = message;
        person.offset = offset.or(person.offset.take());
        let epoch = epoch.unwrap_or_else(|| person.epoch.clone());
        // What comes before CONNECT's answer is what was missed.
        let live = person.phase == Phase::In;
        let said = text.filter(|_| name == "chat:message").and_then(|text| number_of(&text));
        self.saw(who, Seen::Message { epoch, seq, digest, said: said.map(|said| said as u64) });
        if let Some(due_ns) = said.filter(|_| live).and_then(|said| self.said.get(said)) {
            self.counts.latency.saturating_record(at_ns.saturating_sub(*due_ns));
        }
        if who == SUPPLIER && (name == "drop:closed" || name == "wheel:closed") {
            self.closed(&name, data);
        }
    }

    fn closed(&mut self, name: &str, data: &str) {
        let body: Value = serde_json::from_str(data).unwrap_or_default();
        let seen = match name {
            "drop:closed" => body["drop"]
                .as_str()
                .zip(body["sold"].as_u64())
                .map(|(drop, sold)| Seen::Sold { drop: drop.to_owned(), sold }),
            _ => body["wheel"]["id"]
                .as_str()
                .zip(body["wheel"]["spins"].as_u64())
                .map(|(wheel, spins)| Seen::Turned { wheel: wheel.to_owned(), spins }),
        };
        if let Some(seen) = seen {
            self.saw(SUPPLIER, seen);
        }
    }

    fn state(&mut self, who: usize, state: State) {
        let about = match state {
            State::Viewers(viewers) => {
                self.saw(who, Seen::Count { viewers });
                "viewers".to_owned()
            }
            State::Taps(taps) => {
                self.saw(who, Seen::Totals { taps });
                "reactions".to_owned()
            }
            State::About(about) => about,
        };
        self.saw(who, Seen::State { about });
    }

    fn answer(&mut self, who: usize, id: u64, reply: &Value) -> anyhow::Result<()> {
        let asked = &mut self.stage.people[who].asked;
        let Some(place) = asked.iter().position(|(ack, _)| *ack == id) else { return Ok(()) };
        let (_, asked) = asked.swap_remove(place);
        let Some(cue) = asked.cue.map(|cue| self.stage.script.cues[cue].clone()) else {
            return self.joined(who, reply);
        };
        if reply["ok"] == Value::Bool(true) {
            return self.granted(who, &asked, &cue, reply);
        }
        let code = reply["error"]["code"].as_str().unwrap_or("none").to_owned();
        let event = &cue.event;
        let taps = event == "reaction:send";
        if matches!(&*code, "unavailable" | "rate_limited" | "not_joined") && !taps && asked.tries < MAX_TRIES {
            let pause_ms = reply["error"]["retryAfterMs"].as_u64().unwrap_or(AGAIN_MS).clamp(50, 5_000);
            let at_ns = self.driver.now_ns() + pause_ms * 1_000_000;
            if code == "rate_limited" {
                // That it comes later is the limit's doing: it is due when it is sent again.
                *self.counts.errors.entry(format!("{event}: {code}, asked again")).or_default() += 1;
                if let Some(due_ns) = asked.said.and_then(|said| self.said.get_mut(said)) {
                    *due_ns = at_ns;
                }
            }
            self.stage.people[who].again.push_back(asked);
            self.plan(at_ns, super::Task::Repeat(who));
            return Ok(());
        }
        *self.counts.errors.entry(format!("{event}: {code}")).or_default() += 1;
        let request = asked.request.clone();
        match &**event {
            // The outcome is not known.
            _ if code == "unavailable" => self.give_up(who, &asked),
            "drop:claim" => self.saw(who, Seen::ClaimRefused { drop: cue.text("drop"), request, code: code.clone() }),
            "wheel:spin" => self.saw(who, Seen::SpinRefused { wheel: cue.text("wheel"), request, code: code.clone() }),
            _ => {}
        }
        if who == SUPPLIER {
            // Asked for a second time, it was done the first time.
            if asked.tries == 1 || code != "conflict" {
                bail!("line {}: {event} was refused: {reply}", cue.line);
            }
            self.staged(&cue);
        }
        Ok(())
    }

    fn joined(&mut self, who: usize, reply: &Value) -> anyhow::Result<()> {
        let state = &reply["state"];
        let (Some(epoch), Some(seq)) = (state["epoch"].as_str(), state["seq"].as_u64()) else {
            bail!("joining was refused: {reply}");
        };
        let person = &mut self.stage.people[who];
        person.phase = Phase::In;
        person.joined = true;
        person.epoch = epoch.to_owned();
        let came = !std::mem::replace(&mut person.counted, true);
        let waits = !person.again.is_empty() || person.asked.iter().any(|(_, asked)| asked.cue.is_some());
        self.saw(who, Seen::Joined { epoch: epoch.to_owned(), seq });
        if let Some(viewers) = state["viewers"].as_u64() {
            self.saw(who, Seen::Count { viewers });
        }
        if who == SUPPLIER {
            self.staff_cue = self.staff_cue.filter(|_| waits);
        } else if came {
            self.inside += 1;
            self.ramp_moved(1);
        }
        self.repeat(who);
        Ok(())
    }

    fn granted(&mut self, who: usize, asked: &Asked, cue: &Cue, reply: &Value) -> anyhow::Result<()> {
        let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let request = asked.request.clone();
        let seen = match &*cue.event {
            "chat:send" => asked.said.zip(reply["message"]["seq"].as_u64()).map(|(said, seq)| Seen::Said {
                epoch: self.stage.people[who].epoch.clone(),
                seq,
                said: said as u64,
            }),
            "reaction:send" => Some(Seen::Tapped { taps: reply["accepted"].as_u64().unwrap_or(0) }),
            "drop:claim" => Some(Seen::Claimed {
                drop: cue.text("drop"),
                request,
                claim: name(&reply["claim"]["id"]),
                quantity: reply["claim"]["quantity"].as_u64().unwrap_or(1),
            }),
            "wheel:spin" => Some(Seen::Spun {
                wheel: cue.text("wheel"),
                request,
                spin: name(&reply["spin"]["id"]),
                prize: reply["spin"]["prize"]["id"].as_str().map(str::to_owned),
            }),
            _ => None,
        };
        if cue.event == "reaction:send" {
            self.tapped_ns = self.driver.now_ns();
        }
        let commerce = matches!(&*cue.event, "drop:claim" | "wheel:spin");
        if let Some(seen) = seen {
            self.saw(who, seen);
        }
        if commerce && asked.tries == 1 {
            self.repeats += 1;
            if self.repeats.is_multiple_of(REPEAT_EVERY) {
                self.send(who, asked.clone());
            }
        }
        if who == SUPPLIER {
            self.staged(cue);
        }
        Ok(())
    }

    /// A cue of the supplier is done.
    fn staged(&mut self, cue: &Cue) {
        let number = self.staff_cue.take();
        match &*cue.event {
            "stream:start" if self.stage.people[SUPPLIER].phase == Phase::Joining => {
                self.staff_cue = number;
                self.join(SUPPLIER);
            }
            "drop:open" => {
                let drop = &cue.body["drop"];
                let stock = drop["stock"].as_u64().unwrap_or(0);
                let per_user = drop["perUser"].as_u64().unwrap_or(1);
                let drop = drop["id"].as_str().unwrap_or_default().to_owned();
                self.saw(SUPPLIER, Seen::Drop { drop, stock, per_user });
            }
            "wheel:open" => {
                let wheel = &cue.body["wheel"];
                let prizes = wheel["prizes"].as_array().into_iter().flatten();
                let prizes = prizes
                    .map(|prize| (prize["id"].as_str().unwrap_or_default().to_owned(), prize["stock"].as_u64()))
                    .collect();
                let spins_per_user = wheel["spinsPerUser"].as_u64().unwrap_or(1);
                let wheel = wheel["id"].as_str().unwrap_or_default().to_owned();
                self.saw(SUPPLIER, Seen::Wheel { wheel, spins_per_user, prizes });
            }
            _ => {}
        }
    }
}

/// Which of the things that viewers said this text is.
fn number_of(text: &str) -> Option<usize> {
    text.rsplit_once(" #")?.1.parse().ok()
}

/// Taps, units or spins that a cue is about.
fn count(cue: &Cue) -> u64 {
    let member = match &*cue.event {
        "reaction:send" => "count",
        "drop:claim" => "quantity",
        _ => return 1,
    };
    cue.body.get(member).and_then(Value::as_u64).unwrap_or(1)
}
