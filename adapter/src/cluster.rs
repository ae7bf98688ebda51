//! Questions to the other gateways that wait for their answers, whatever wire carries them. Nothing here knows a channel
//! or a byte; an answer to a question that nobody asked, or that is settled, is nothing.
//!
//! A question knows how many gateways were asked only after it has left, so that the first answers may be earlier than
//! that number.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{Replies, Request, RequestError};

/// Questions that wait at one time. One more fails at once.
const MAX_WAITING: usize = 4096;
/// Values that the answers to one question may hold together. More are left out.
const MAX_VALUES: usize = 100_000;

/// What a question asks for; it decides what an answer to it must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sockets, one list per gateway.
    Sockets,
    /// What the listeners of an event between servers say.
    Event,
    /// How many receivers a gateway has, and what each of them says.
    Acks,
}

impl Kind {
    /// The kind of a request; `None`: it is an order.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        match request {
            Request::FetchSockets(_) => Some(Self::Sockets),
            Request::BroadcastAck(_) => Some(Self::Acks),
            Request::ServerSideEmit { ack: true, .. } => Some(Self::Event),
            Request::Join(..) | Request::Leave(..) | Request::Disconnect { .. } | Request::ServerSideEmit { .. } => {
                None
            }
        }
    }
}

/// What one message of a gateway says to a question. A gateway may need several.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    /// Who says it, if the wire tells.
    pub(crate) gateway: Option<String>,
    /// Its sockets.
    pub(crate) sockets: Option<Vec<Value>>,
    /// What its listeners say.
    pub(crate) values: Option<Vec<Value>>,
    /// How many receivers it has.
    pub(crate) receivers: Option<usize>,
    /// What one of them says.
    pub(crate) ack: Option<Value>,
}

/// The questions that wait.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<HashMap<String, Collector>>);

/// A question that waits. It stops waiting when this is dropped.
#[derive(Debug)]
pub(crate) struct Question {
    questions: Arc<Questions>,
    id: String,
    settled: oneshot::Receiver<()>,
}

impl Questions {
    /// Waits for answers to the question `id`. `None`: too many wait already.
    pub(crate) fn ask(self: &Arc<Self>, id: &str, kind: Kind) -> Option<Question> {
        let mut waiting = self.lock();
        if waiting.len() >= MAX_WAITING {
            return None;
        }
        let (done, settled) = oneshot::channel();
        waiting.insert(id.to_owned(), Collector::new(kind, done));
        Some(Question { questions: self.clone(), id: id.to_owned(), settled })
    }

    /// So many gateways were asked.
    pub(crate) fn expect(&self, id: &str, gateways: usize) {
        self.change(id, |collector| collector.expected = Some(gateways));
    }

    /// The question could not be sent to `gateways`; nobody will answer.
    pub(crate) fn fail(&self, id: &str, gateways: usize) {
        self.change(id, |collector| {
            collector.expected = Some(gateways);
            collector.failed = true;
        });
    }

    /// A message arrived that answers it. Says whether anybody waits for that.
    pub(crate) fn answer(&self, id: &str, answer: Answer) -> bool {
        self.change(id, |collector| collector.take(answer))
    }

    #[cfg(test)]
    fn knows(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Collector)) -> bool {
        let mut waiting = self.lock();
        let Some(collector) = waiting.get_mut(id) else { return false };
        change(collector);
        if collector.is_settled()
            && let Some(done) = collector.done.take()
        {
            let _ = done.send(());
        }
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Collector>> {
        // Nothing that is done under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// The answers, once all that were asked have given theirs.
    pub(crate) async fn collect(mut self, deadline: Instant) -> Result<Replies, RequestError> {
        let _ = timeout_at(deadline, &mut self.settled).await;
        let Some(collector) = self.questions.lock().remove(&self.id) else {
            return Err(RequestError { expected: 0, partial: Replies::default() });
        };
        collector.finish()
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.id);
    }
}

#[derive(Debug)]
struct Collector {
    kind: Kind,
    expected: Option<usize>,
    failed: bool,
    /// Whole answers.
    whole: Vec<Vec<Value>>,
    /// Receivers and acks of gateways that say who they are.
    named: HashMap<String, Tally>,
    /// Receivers of gateways that do not.
    unnamed: Vec<usize>,
    /// Acks of their receivers. Which belongs to which gateway cannot be told.
    acks: Vec<Value>,
    values: usize,
    done: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Tally {
    receivers: Option<usize>,
    acks: Vec<Value>,
}

impl Tally {
    fn is_complete(&self) -> bool {
        self.receivers.is_some_and(|receivers| self.acks.len() >= receivers)
    }
}

impl Collector {
    fn new(kind: Kind, done: oneshot::Sender<()>) -> Self {
        Self {
            kind,
            expected: None,
            failed: false,
            whole: Vec::new(),
            named: HashMap::new(),
            unnamed: Vec::new(),
            acks: Vec::new(),
            values: 0,
            done: Some(done),
        }
    }

    fn take(&mut self, answer: Answer) {
        match self.kind {
            // An answer without its list says nothing.
            Kind::Sockets => self.take_whole(answer.sockets),
            // A listener that says nothing says null.
            Kind::Event => self.take_whole(Some(answer.values.unwrap_or_else(|| vec![Value::Null]))),
            Kind::Acks => self.take_acks(answer),
        }
    }

    fn take_whole(&mut self, values: Option<Vec<Value>>) {
        let Some(values) = values else { return };
        self.values += values.len();
        if self.values <= MAX_VALUES {
            self.whole.push(values);
        }
    }

    fn take_acks(&mut self, answer: Answer) {
        let Answer { gateway, receivers, ack, .. } = answer;
        self.values += 1;
        if self.values > MAX_VALUES {
            return;
        }
        match gateway {
            Some(gateway) => {
                let tally = self.named.entry(gateway).or_default();
                tally.receivers = tally.receivers.or(receivers);
                tally.acks.extend(ack);
            }
            None => {
                self.unnamed.extend(receivers);
                self.acks.extend(ack);
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.failed || self.expected.is_some_and(|expected| self.answered() >= expected)
    }

    /// How many gateways have said all that they had to.
    fn answered(&self) -> usize {
        let named = self.named.values().filter(|tally| tally.is_complete()).count();
        let unnamed = if self.acks.len() >= self.unnamed.iter().sum() { self.unnamed.len() } else { 0 };
        self.whole.len() + named + unnamed
    }

    fn finish(self) -> Result<Replies, RequestError> {
        let settled = self.is_settled() && !self.failed;
        let expected = self.expected.unwrap_or_else(|| self.answered().max(1));
        let mut answers = self.whole;
        let named = self.named.into_values().filter(Tally::is_complete).map(|tally| tally.acks);
        answers.extend(named);
        let mut acks = self.acks.into_iter();
        answers.extend(self.unnamed.into_iter().map_while(|receivers| {
            let acks: Vec<_> = acks.by_ref().take(receivers).collect();
            (acks.len() == receivers).then_some(acks)
        }));
        let replies = Replies { answers };
        if settled { Ok(replies) } else { Err(RequestError { expected, partial: replies }) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    fn sockets(count: usize) -> Answer {
        Answer { sockets: Some(vec![json!({}); count]), ..Answer::default() }
    }

    fn receivers(gateway: Option<&str>, receivers: usize) -> Answer {
        Answer { gateway: gateway.map(str::to_owned), receivers: Some(receivers), ..Answer::default() }
    }

    fn ack(gateway: Option<&str>, value: u64) -> Answer {
        Answer { gateway: gateway.map(str::to_owned), ack: Some(json!(value)), ..Answer::default() }
    }

    async fn collect(
        kind: Kind,
        expected: Option<usize>,
        answers: Vec<Answer>,
    ) -> Result<Vec<usize>, (usize, Vec<usize>)> {
        let questions = Arc::new(Questions::default());
        let question = questions.ask("q", kind).unwrap();
        for answer in answers {
            assert!(questions.answer("q", answer));
        }
        if let Some(expected) = expected {
            questions.expect("q", expected);
        }
        let sizes = |replies: Replies| {
            let mut sizes: Vec<_> = replies.answers.iter().map(Vec::len).collect();
            sizes.sort_unstable();
            sizes
        };
        let started = Instant::now();
        let collected = question.collect(started + SHORT).await;
        assert_eq!(collected.is_ok(), started.elapsed() < SHORT);
        assert!(!questions.knows("q"));
        collected.map(sizes).map_err(|error| (error.expected, sizes(error.partial)))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_all_that_were_asked() {
        assert_eq!(collect(Kind::Sockets, Some(0), vec![]).await, Ok(vec![]));
        assert_eq!(collect(Kind::Sockets, Some(2), vec![sockets(0), sockets(3)]).await, Ok(vec![0, 3]));
        assert_eq!(collect(Kind::Sockets, Some(2), vec![sockets(3)]).await, Err((2, vec![3])));
        assert_eq!(collect(Kind::Sockets, Some(1), vec![Answer::default()]).await, Err((1, vec![])));
        assert_eq!(collect(Kind::Event, Some(1), vec![Answer::default()]).await, Ok(vec![1]));
        assert_eq!(collect(Kind::Sockets, None, vec![sockets(3)]).await, Err((1, vec![3])));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_acks_by_gateway_where_it_can() {
        let answers = vec![ack(Some("a"), 1), receivers(Some("b"), 0), receivers(Some("a"), 2), ack(Some("a"), 2)];
        assert_eq!(collect(Kind::Acks, Some(2), answers).await, Ok(vec![0, 2]));
        let answers = vec![receivers(None, 2), receivers(None, 1), ack(None, 1), ack(None, 2), ack(None, 3)];
        assert_eq!(collect(Kind::Acks, Some(2), answers).await, Ok(vec![1, 2]));
        let answers = vec![receivers(Some("a"), 2), ack(Some("a"), 1), receivers(Some("b"), 0)];
        assert_eq!(collect(Kind::Acks, Some(2), answers).await, Err((2, vec![0])));
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_once_what_was_never_sent() {
        let questions = Arc::new(Questions::default());
        let question = questions.ask("q", Kind::Sockets).unwrap();
        questions.fail("q", 3);
        let started = Instant::now();
        let error = question.collect(started + SHORT).await.unwrap_err();
        assert_eq!((error.expected, started.elapsed()), (3, Duration::ZERO));
    }

    #[test]
    fn forgets_a_question_that_nobody_waits_for() {
        let questions = Arc::new(Questions::default());
        drop(questions.ask("q", Kind::Sockets));
        assert!(!questions.answer("q", sockets(1)));
    }

    #[test]
    fn bounds_what_waits() {
        let questions = Arc::new(Questions::default());
        let asked: Vec<_> = (0..=MAX_WAITING).map(|id| questions.ask(&id.to_string(), Kind::Event)).collect();
        assert_eq!(asked.iter().flatten().count(), MAX_WAITING);
    }
}
