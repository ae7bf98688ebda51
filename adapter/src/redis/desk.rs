//! [`Desk`]: where errands wait that can be done together. Those of one place that come while others are under way go to Redis
//! in one step, which does one after the other: what a step costs is then shared by all of them.
//!
//! ```text
//!   errand ──► nobody waits: at once, alone
//!         └──► as many steps as may be are under way: the next one takes it along ──► redis ──► an answer for each
//! ```
//!
//! Whoever has waited for as long as a command may take is told that nobody knows. An errand that has not begun by then is not
//! done.

use std::{
    collections::VecDeque,
    fmt::Debug,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustc_hash::FxHashMap;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Core,
    fault::{Fault, Remedy},
};
use crate::StoreError;

/// Errands of one step. Everything else waits for it.
const BATCH: usize = 128;
/// Bytes of one step, unless its first errand has more.
const BYTES: usize = 256 * 1024;
/// Errands that wait at one desk. One more is refused at once: it would wait for longer than it may.
const QUEUE: usize = 16_384;
/// Their bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What can be done together with others.
pub(super) trait Errand: Debug + Send + Sync + Sized + 'static {
    /// Where it waits. At one place errands are done in the order in which they come.
    type Place: Clone + Debug + Eq + Hash + Send + Sync;
    /// What becomes of it.
    type Answer: Debug + Send + Sync;

    /// Steps of one place that are under way at a time. With more than one, their order is not sure.
    const STEPS: usize;

    /// The desk of these.
    fn desk(core: &Core) -> &Desk<Self>;

    /// Where it waits.
    fn place(&self) -> Self::Place;

    /// What it adds to a step.
    fn bytes(&self) -> usize;

    /// Whether it can be done in one step with another one.
    fn is_like(&self, other: &Self) -> bool;

    /// Does errands of one place that are alike, in their order. At least one.
    fn do_all(
        core: &Core,
        errands: &[&Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, StoreError>>, StoreError>> + Send;
}

/// Where errands wait.
#[derive(Debug)]
pub(super) struct Desk<E: Errand>(Mutex<Queues<E>>);

#[derive(Debug)]
struct Queues<E: Errand> {
    places: FxHashMap<E::Place, Queue<E>>,
    /// At all places.
    waiting: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Queue<E: Errand> {
    waiting: VecDeque<Waiting<E>>,
    steps: usize,
}

#[derive(Debug)]
struct Waiting<E: Errand> {
    errand: E,
    answer: oneshot::Sender<Result<E::Answer, StoreError>>,
}

impl<E: Errand> Default for Desk<E> {
    fn default() -> Self {
        Self(Mutex::new(Queues { places: FxHashMap::default(), waiting: 0, bytes: 0 }))
    }
}

impl<E: Errand> Desk<E> {
    fn lock(&self) -> MutexGuard<'_, Queues<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An errand has come. Says whether the caller is to see to a step; `None`: too many wait, it is not taken.
    fn enter(&self, place: &E::Place, waiting: Waiting<E>) -> Option<bool> {
        let mut queues = self.lock();
        if queues.waiting >= QUEUE || queues.bytes >= QUEUE_BYTES {
            return None;
        }
        queues.waiting += 1;
        queues.bytes += waiting.errand.bytes();
        let new = || Queue { waiting: VecDeque::new(), steps: 0 };
        let queue = queues.places.entry(place.clone()).or_insert_with(new);
        queue.waiting.push_back(waiting);
        let begins = queue.steps < E::STEPS;
        queue.steps += usize::from(begins);
        Some(begins)
    }

    /// The errands of the next step. Empty: there are none, and the step is over.
    fn next(&self, place: &E::Place) -> Vec<Waiting<E>> {
        let mut queues = self.lock();
        let Some(queue) = queues.places.get_mut(place) else { return Vec::new() };
        let (mut batch, mut bytes): (Vec<Waiting<E>>, usize) = (Vec::new(), 0);
        let mut left = (0, 0);
        while let Some(waiting) = queue.waiting.front() {
            let fits = batch.first().is_none_or(|first| {
                batch.len() < BATCH && bytes + waiting.errand.bytes() <= BYTES && waiting.errand.is_like(&first.errand)
            });
            // Nobody may wait for it any more.
            if !fits && !waiting.answer.is_closed() {
                break;
            }
            let Some(waiting) = queue.waiting.pop_front() else { break };
            left = (left.0 + 1, left.1 + waiting.errand.bytes());
            if !waiting.answer.is_closed() {
                bytes += waiting.errand.bytes();
                batch.push(waiting);
            }
        }
        if batch.is_empty() {
            queue.steps = queue.steps.saturating_sub(1);
            if queue.steps == 0 {
                queues.places.remove(place);
            }
        }
        queues.waiting = queues.waiting.saturating_sub(left.0);
        queues.bytes = queues.bytes.saturating_sub(left.1);
        batch
    }
}

impl Core {
    /// Does an errand, together with others if others wait.
    pub(super) async fn run_errand<E: Errand>(self: &Arc<Self>, errand: E) -> Result<E::Answer, StoreError> {
        let place = errand.place();
        let (answer, answered) = oneshot::channel();
        match E::desk(self).enter(&place, Waiting { errand, answer }) {
            Some(true) => drop(self.stand("a desk", self.clone().serve::<E>(place))),
            Some(false) => {}
            None => {
                let fault = Fault::new(Remedy::Wait, "too much waits for redis");
                fault.count();
                return Err(fault.into());
            }
        }
        match timeout(self.settings.times.command, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Unavailable("nobody sees to it".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no answer in time".to_owned())),
        }
    }

    /// Takes steps of a place, until nobody waits.
    async fn serve<E: Errand>(self: Arc<Self>, place: E::Place) {
        loop {
            let batch = E::desk(&self).next(&place);
            if batch.is_empty() {
                return;
            }
            let errands: Vec<&E> = batch.iter().map(|waiting| &waiting.errand).collect();
            let mut answers = E::do_all(&self, &errands).await.map(Vec::into_iter);
            for waiting in batch {
                let answer = match &mut answers {
                    Ok(answers) => answers.next().unwrap_or_else(|| Err(Fault::nonsense("a step").into())),
                    Err(error) => Err(error.clone()),
                };
                let _ = waiting.answer.send(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number, of a kind, and of a size.
    #[derive(Debug)]
    struct Test(u32, char, usize);

    impl Errand for Test {
        type Place = &'static str;
        type Answer = u32;
        const STEPS: usize = 2;

        fn desk(_: &Core) -> &Desk<Self> {
            unreachable!("the desk is tried alone")
        }
        fn place(&self) -> Self::Place {
            "here"
        }
        fn bytes(&self) -> usize {
            self.2
        }
        fn is_like(&self, other: &Self) -> bool {
            self.1 == other.1
        }
        async fn do_all(_: &Core, errands: &[&Self]) -> Result<Vec<Result<u32, StoreError>>, StoreError> {
            Ok(errands.iter().map(|errand| Ok(errand.0)).collect())
        }
    }

    type Answered = oneshot::Receiver<Result<u32, StoreError>>;

    fn enter(desk: &Desk<Test>, errand: Test) -> (Option<bool>, Answered) {
        let (answer, answered) = oneshot::channel();
        (desk.enter(&errand.place(), Waiting { errand, answer }), answered)
    }

    fn next(desk: &Desk<Test>) -> Vec<u32> {
        desk.next(&"here").iter().map(|waiting| waiting.errand.0).collect()
    }

    #[test]
    fn a_step_takes_those_that_are_alike_in_their_order() {
        let desk = Desk::default();
        let mut answers = Vec::new();
        for (number, kind) in [(1, 'a'), (2, 'a'), (3, 'b'), (4, 'a')] {
            let (begins, answered) = enter(&desk, Test(number, kind, 1));
            assert_eq!(begins, Some(number <= 2), "two steps at a time");
            answers.push(answered);
        }
        assert_eq!([next(&desk), next(&desk), next(&desk)], [vec![1, 2], vec![3], vec![4]]);
        assert!(next(&desk).is_empty() && next(&desk).is_empty());
        let queues = desk.lock();
        assert!(queues.places.is_empty() && (queues.waiting, queues.bytes) == (0, 0), "nothing is kept");
    }

    #[test]
    fn a_step_is_bounded() {
        let desk = Desk::default();
        let large = [BYTES + 1, 1, BYTES - 1, 1];
        let mut answers: Vec<_> =
            (1..).zip(large).map(|(number, bytes)| enter(&desk, Test(number, 'a', bytes))).collect();
        assert_eq!([next(&desk), next(&desk), next(&desk)], [vec![1], vec![2, 3], vec![4]]);
        answers.extend((0..=BATCH as u32).map(|number| enter(&desk, Test(number, 'a', 1))));
        assert_eq!([next(&desk).len(), next(&desk).len(), next(&desk).len()], [BATCH, 1, 0]);
    }

    #[test]
    fn who_gave_up_is_not_served() {
        let desk = Desk::default();
        let first = enter(&desk, Test(1, 'a', 1));
        drop(enter(&desk, Test(2, 'b', 1)));
        let last = enter(&desk, Test(3, 'a', 1));
        assert_eq!(next(&desk), [1, 3], "the one between them is not in the way");
        drop((first, last));
    }

    #[test]
    fn who_finds_the_desk_full_is_not_taken() {
        let desk = Desk::default();
        let mut answers: Vec<_> = (0..QUEUE as u32).map(|number| enter(&desk, Test(number, 'a', 1))).collect();
        assert_eq!(enter(&desk, Test(0, 'a', 1)).0, None);
        assert_eq!(next(&desk).len(), BATCH);
        answers.push(enter(&desk, Test(0, 'a', QUEUE_BYTES)));
        assert_eq!(answers.last().unwrap().0, Some(false));
        assert_eq!(enter(&desk, Test(0, 'a', 1)).0, None, "there is room for more, but not for their bytes");
    }
}
