//! [`Desk`]: where claims wait. Those of one pool that come while others are under way go to Redis in one step, which decides one
//! after the other: what a step costs is then shared by all of them.
//!
//! ```text
//!   claim ──► nobody waits: at once, alone
//!        └──► a few steps are under way: the next one takes it along ──► redis ──► an answer for each
//! ```
//!
//! A claim that waited for too long is not made, and is told so as if nobody knew.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, Value};
use rustc_hash::FxHashMap;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Core,
    arguments::check_arguments,
    fault::Fault,
    market::{Answer, grant, new_epoch, no_stream, number, optional},
    seen::Steps,
    store::{is_stream, milliseconds, value},
    till::Way,
};
use crate::{Claim, Claimed, Grant, GrantState, RETURN_DELAY, Refusal, StoreError};

/// Claims of one step. Everything else waits for it.
const BATCH: usize = 128;
/// Steps of one pool that are under way at a time: one is decided while the answers to the other are given out.
const STEPS: usize = 2;
/// Claims that wait for one pool. One more is refused at once: it would wait for longer than it may.
const QUEUE: usize = 16_384;

/// Where claims wait.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<FxHashMap<Pool, Queue>>);

/// Stream and pool.
type Pool = (String, String);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    steps: usize,
}

#[derive(Debug)]
struct Waiting {
    claim: Claim,
    since: Instant,
    answer: oneshot::Sender<Result<Claimed, StoreError>>,
}

/// Whether two claims of a pool can be decided in one step.
fn alike(one: &Claim, other: &Claim) -> bool {
    one.checks == other.checks
        && one.terms == other.terms
        && one.data.len() == other.data.len()
        && one.worth.iter().map(|worth| &worth.name).eq(other.worth.iter().map(|worth| &worth.name))
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, FxHashMap<Pool, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A claim has come. Says whether the caller is to see to a step; `None`: too many wait, it is not taken.
    fn enter(&self, pool: &Pool, waiting: Waiting) -> Option<bool> {
        let mut queues = self.lock();
        let queue = queues.entry(pool.clone()).or_default();
        if queue.waiting.len() >= QUEUE {
            return None;
        }
        queue.waiting.push_back(waiting);
        let begins = queue.steps < STEPS;
        queue.steps += usize::from(begins);
        Some(begins)
    }

    /// The claims of the next step. Empty: there are none, and the step is over.
    fn next(&self, pool: &Pool, patience: Duration) -> Vec<Waiting> {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(pool) else { return Vec::new() };
        let mut batch: Vec<Waiting> = Vec::new();
        while batch.len() < BATCH
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if waiting.answer.is_closed() {
                // Nobody waits for it any more.
            } else if waiting.since.elapsed() >= patience {
                let _ = waiting.answer.send(Err(StoreError::Unavailable("it waited for too long".to_owned())));
            } else if batch.first().is_none_or(|first| alike(&first.claim, &waiting.claim)) {
                batch.push(waiting);
            } else {
                queue.waiting.push_front(waiting);
                break;
            }
        }
        if batch.is_empty() {
            queue.steps = queue.steps.saturating_sub(1);
            if queue.steps == 0 {
                queues.remove(pool);
            }
        }
        batch
    }
}

impl Core {
    /// See [`Market::claim`](crate::Market::claim).
    pub(super) async fn claim(self: Arc<Self>, claim: Claim) -> Result<Claimed, StoreError> {
        self.check_name(&[&claim.pool, &claim.id, &claim.user, claim.request.as_deref().unwrap_or_default()])?;
        if !is_stream(&claim.stream) {
            return Err(no_stream());
        }
        let pool = (claim.stream.clone(), claim.pool.clone());
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::Unavailable("nobody decides it".to_owned());
        match self.desk.enter(&pool, Waiting { claim, since: Instant::now(), answer }) {
            Some(true) => drop(tokio::spawn(self.serve(pool))),
            Some(false) => {}
            None => return Err(StoreError::Unavailable("too many claims wait for redis".to_owned())),
        }
        answered.await.map_err(|_| gone())?
    }

    /// Takes steps of a pool, until nobody waits.
    async fn serve(self: Arc<Self>, pool: Pool) {
        loop {
            let batch = self.desk.next(&pool, self.settings.times.command);
            if batch.is_empty() {
                return;
            }
            let claims: Vec<&Claim> = batch.iter().map(|waiting| &waiting.claim).collect();
            let answers = self.decide_all(&claims).await;
            let mut answers = answers.map(Vec::into_iter);
            for waiting in batch {
                let answer = match &mut answers {
                    Ok(answers) => answers.next().unwrap_or_else(|| Err(Fault::nonsense("a claim").into())),
                    Err(error) => Err(error.clone()),
                };
                let _ = waiting.answer.send(answer);
            }
        }
    }

    /// Decides claims that are alike, in their order.
    async fn decide_all(&self, claims: &[&Claim]) -> Result<Vec<Result<Claimed, StoreError>>, StoreError> {
        let Some(first) = claims.first() else { return Ok(Vec::new()) };
        let (limits, terms) = (&self.settings.limits, &first.terms);
        let epoch = new_epoch()?;
        let (position, sale) = self.seen.both(&first.stream);
        let keys = ["fields", "grants", "holds", &*format!("grants:{}", first.pool), "clock"];
        let arguments = |command: &mut Cmd| {
            command.arg(&first.pool).arg(terms.stock).arg(terms.per_user);
            command.arg(number(terms.opens)).arg(number(terms.ends)).arg(number(terms.hold));
            command.arg(limits.takers).arg(limits.ledger_records).arg(milliseconds(self.settings.times.retain));
            command.arg(milliseconds(RETURN_DELAY));
            command.arg(first.checks.len()).arg(first.data.len()).arg(first.worth.len()).arg(claims.len());
            command.arg(&*position.epoch).arg(position.seq).arg(&*sale.epoch).arg(sale.count).arg(&epoch);
            check_arguments(command, &first.checks);
            first.worth.iter().for_each(|worth| {
                command.arg(&worth.name);
            });
            for claim in claims {
                command.arg(&claim.id).arg(&claim.user).arg(optional(claim.request.as_deref()));
                command.arg(claim.quantity).arg(&claim.by).arg(&claim.data);
                claim.worth.iter().for_each(|worth| {
                    command.arg(worth.value);
                });
            }
        };
        let answer = self.step(Way::Till, &self.scripts.claim, &first.stream, &keys, arguments).await?;
        let mut answers = value::<Vec<Value>>(answer, "claims")?.into_iter();
        let head: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        if head == "X" {
            return Err(no_stream());
        }
        let now: u64 = head.parse().map_err(|_| Fault::nonsense("claims"))?;
        let epoch: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        let steps: String = value(answers.next().unwrap_or(Value::Nil), "claims")?;
        if let Ok(count) = steps.parse() {
            self.seen.note_sale(&first.stream, &Steps { epoch: epoch.into(), count });
        }
        let each = |(claim, said): (&&Claim, Value)| self.claimed(claim, now, Answer::new(said, "a claim")?);
        Ok(claims.iter().zip(answers).map(each).collect())
    }

    fn claimed(&self, claim: &Claim, now: u64, mut answer: Answer) -> Result<Claimed, StoreError> {
        Ok(match &*answer.word {
            "N" => Claimed::New(granted(claim, now, answer.next()?)),
            "R" => Claimed::Repeat(grant(answer.next()?)?),
            "M" => Claimed::Refused(Refusal::Mismatch),
            "E" => Claimed::Refused(Refusal::Early(claim.terms.opens.unwrap_or_default())),
            "L" => Claimed::Refused(Refusal::Late),
            "S" => Claimed::Refused(Refusal::Limit(answer.next()?)),
            "G" => Claimed::Refused(Refusal::SoldOut(answer.next()?)),
            _ => return Err(answer.refused(&claim.checks, self.settings.limits.takers)),
        })
    }
}

/// The grant that was made of a claim.
fn granted(claim: &Claim, now: u64, left: u64) -> Grant {
    Grant {
        id: claim.id.as_str().into(),
        user: claim.user.as_str().into(),
        request: claim.request.as_deref().map(Into::into),
        quantity: claim.quantity,
        text: claim.data.join(&now.to_string()).into(),
        left,
        state: claim.terms.hold.map_or(GrantState::Final, |hold| GrantState::Held(now.saturating_add(hold))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, Terms};

    const PATIENCE: Duration = Duration::from_secs(2);

    fn pool() -> Pool {
        ("main".to_owned(), "drop.d@1".to_owned())
    }

    fn waiting(claim: Claim) -> (Waiting, oneshot::Receiver<Result<Claimed, StoreError>>) {
        let (answer, answered) = oneshot::channel();
        (Waiting { claim, since: Instant::now(), answer }, answered)
    }

    fn claim(id: usize, stock: u64) -> Claim {
        Claim { id: format!("c{id}"), terms: Terms { stock, ..Terms::default() }, ..Claim::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_takes_those_that_are_alike_in_their_order() {
        let desk = Desk::default();
        let mut answers = Vec::new();
        for (id, stock) in [(1, 5), (2, 5), (3, 6), (4, 5)] {
            let (waiting, answered) = waiting(claim(id, stock));
            assert_eq!(desk.enter(&pool(), waiting).unwrap(), id <= STEPS, "a few steps at a time");
            answers.push(answered);
        }
        let ids = |batch: &[Waiting]| batch.iter().map(|waiting| waiting.claim.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&desk.next(&pool(), PATIENCE)), ["c1", "c2"]);
        assert_eq!(ids(&desk.next(&pool(), PATIENCE)), ["c3"]);
        assert_eq!(ids(&desk.next(&pool(), PATIENCE)), ["c4"]);
        assert!(desk.next(&pool(), PATIENCE).is_empty() && desk.next(&pool(), PATIENCE).is_empty());
        assert!(desk.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_up_or_waited_for_too_long_is_not_served() {
        let desk = Desk::default();
        let (late, answered) = waiting(claim(1, 5));
        desk.enter(&pool(), late).unwrap();
        tokio::time::advance(PATIENCE).await;
        let (gone, hung_up) = waiting(claim(2, 5));
        drop(hung_up);
        desk.enter(&pool(), gone).unwrap();
        let (good, _answered) = waiting(claim(3, 5));
        desk.enter(&pool(), good).unwrap();
        let batch = desk.next(&pool(), PATIENCE);
        assert_eq!(batch.iter().map(|waiting| &*waiting.claim.id).collect::<Vec<_>>(), ["c3"]);
        assert!(matches!(answered.await.unwrap(), Err(StoreError::Unavailable(_))));
    }

    #[test]
    fn claims_under_other_checks_are_not_alike() {
        let checked = Claim { checks: vec![Check::Is("a".to_owned(), None)], ..claim(1, 5) };
        assert!(!alike(&checked, &claim(1, 5)) && alike(&checked, &Claim { id: "c2".to_owned(), ..checked.clone() }));
    }
}
