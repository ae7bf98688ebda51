//! The embedded engine against the plainest model of a store: random calls, the same answers.
//!
//! `HAAT_SEED` repeats a run; the seed is printed when one fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use haat_adapter::{
    Append, Appended, Check, Entry, LogRead, Once, Position, Store, StoreError,
    memory::{Engine, Limits},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const STREAMS: [&str; 3] = ["spring", "summer", "winter"];
const EVENTS: [&str; 2] = ["chat:message", "notice"];
const LOG_ENTRIES: usize = 8;
const LOG_BYTES: usize = 200;
const FIELDS: usize = 3;
const FIELD_BYTES: usize = 12;

fn limits() -> Limits {
    Limits {
        streams: 2,
        log_entries: LOG_ENTRIES,
        log_bytes: LOG_BYTES,
        fields: FIELDS,
        field_bytes: FIELD_BYTES,
        ..Limits::default()
    }
}

/// One call, or a while in which nothing is called.
#[derive(Debug, Clone)]
enum Step {
    Append(Box<Append>),
    Snapshot {
        stream: &'static str,
        event: &'static str,
        history: usize,
    },
    /// Read from here, counted back from the end; `known` says whether the epoch is the right one.
    Read {
        stream: &'static str,
        back: u64,
        known: bool,
        limit: usize,
    },
    History {
        stream: &'static str,
        event: &'static str,
        before: Option<u64>,
        limit: usize,
    },
    Pass(u64),
    LoseData,
}

fn appends() -> impl Strategy<Value = Append> {
    let field = prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned);
    let text = prop::option::weighted(0.7, prop::sample::select(vec!["1", "2", "3"]).prop_map(str::to_owned));
    let pieces = prop::collection::vec("[x-z]{0,9}", 1..3);
    let check = (any::<bool>(), field.clone(), text)
        .prop_map(|(is, field, text)| if is { Check::Is(field, text) } else { Check::IsNot(field, text) });
    let value =
        prop_oneof![pieces.clone(), prop::sample::select(vec!["1", "2", "3"]).prop_map(|text| vec![text.to_owned()])];
    let once = ("[ab]", 1u64..20).prop_map(|(key, seconds)| Once { key, ttl: Duration::from_secs(seconds) });
    (
        (prop::sample::select(STREAMS.to_vec()), prop::sample::select(EVENTS.to_vec())),
        pieces,
        prop::collection::vec((field, prop::option::weighted(0.7, value)), 0..3),
        prop::collection::vec(check, 0..2),
        prop::option::weighted(0.3, once),
        prop::collection::vec(0u64..30, 0..3),
        prop::option::weighted(0.05, Just("long".repeat(100))),
    )
        .prop_map(|((stream, event), mut data, set, checks, once, erase, long)| {
            data.extend(long);
            Append {
                stream: stream.to_owned(),
                event: event.to_owned(),
                data,
                set,
                checks,
                once,
                erase,
                ..Append::default()
            }
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stream = || prop::sample::select(STREAMS.to_vec());
    let event = || prop::sample::select(EVENTS.to_vec());
    let step = prop_oneof![
        12 => appends().prop_map(|append| Step::Append(Box::new(append))),
        2 => (stream(), event(), 0usize..10).prop_map(|(stream, event, history)| Step::Snapshot { stream, event, history }),
        3 => (stream(), 0u64..15, prop::bool::weighted(0.8), 0usize..10)
            .prop_map(|(stream, back, known, limit)| Step::Read { stream, back, known, limit }),
        2 => (stream(), event(), prop::option::of(0u64..30), 0usize..10)
            .prop_map(|(stream, event, before, limit)| Step::History { stream, event, before, limit }),
        2 => (1u64..10).prop_map(Step::Pass),
        1 => prop::bool::weighted(0.2).prop_map(|lose| if lose { Step::LoseData } else { Step::Pass(1) }),
    ];
    prop::collection::vec(step, 1..120)
}

/// Every entry there ever was, and nothing clever.
#[derive(Default)]
struct Model {
    streams: BTreeMap<String, ModelStream>,
    once: HashMap<(String, String), (u64, Arc<Entry>)>,
    clock: u64,
    now: u64,
}

#[derive(Default)]
struct ModelStream {
    epoch: Arc<str>,
    entries: Vec<Arc<Entry>>,
    trimmed: usize,
    fields: BTreeMap<String, String>,
}

impl ModelStream {
    fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), seq: self.entries.len() as u64 }
    }

    fn named(&self, event: &str, before: u64, limit: usize) -> Vec<Arc<Entry>> {
        let mut found = self.entries[self.trimmed..].to_vec();
        found.retain(|entry| *entry.event == *event && entry.position.seq < before && &*entry.data != "null");
        found.split_off(found.len().saturating_sub(limit))
    }
}

fn bytes(entry: &Entry) -> usize {
    entry.data.len() + entry.set.iter().map(|(_, text)| text.as_ref().map_or(0, |text| text.len())).sum::<usize>()
}

impl Model {
    /// What the append must answer; of a new stream, `epoch` is taken as it came.
    fn append(&mut self, append: &Append, epoch: &Arc<str>) -> Result<Appended, &'static str> {
        let once_key = append.once.as_ref().map(|once| (append.stream.clone(), once.key.clone()));
        if let Some((until, entry)) = once_key.as_ref().and_then(|key| self.once.get(key))
            && self.now < *until
        {
            return Ok(Appended::Repeat(entry.clone()));
        }
        let empty = ModelStream { epoch: epoch.clone(), ..ModelStream::default() };
        let known = self.streams.get(&append.stream);
        let stream = known.unwrap_or(&empty);
        for check in &append.checks {
            let holds = match check {
                Check::Is(field, text) => stream.fields.get(field) == text.as_ref(),
                Check::IsNot(field, text) => stream.fields.get(field) != text.as_ref(),
            };
            if !holds {
                return Err("conflict");
            }
        }
        let seq = stream.entries.len() as u64 + 1;
        let (mut fields, mut set) = (stream.fields.clone(), Vec::new());
        for (name, pieces) in &append.set {
            let text = pieces.as_ref().map(|pieces| pieces.join(&seq.to_string()));
            set.push((name.as_str().into(), text.as_deref().map(Into::into)));
            match text {
                Some(text) if text.len() > FIELD_BYTES => return Err("too large"),
                Some(text) => fields.insert(name.clone(), text),
                None => fields.remove(name),
            };
        }
        let entry = Arc::new(Entry {
            stream: append.stream.as_str().into(),
            position: Position { epoch: stream.epoch.clone(), seq },
            clock: self.clock + 1,
            event: append.event.as_str().into(),
            data: append.data.join(&seq.to_string()).into(),
            set,
        });
        let new_stream_too_many = known.is_none() && self.streams.len() == limits().streams;
        if fields.len() > FIELDS || bytes(&entry) > LOG_BYTES || new_stream_too_many {
            return Err("too large");
        }

        self.clock += 1;
        let stream = self.streams.entry(append.stream.clone()).or_insert(empty);
        for erased in &append.erase {
            let at = (*erased as usize).checked_sub(1).and_then(|index| stream.entries.get_mut(index));
            if let Some(erased) = at {
                *erased = Arc::new(Entry { data: "null".into(), ..(**erased).clone() });
            }
        }
        stream.fields = fields;
        stream.entries.push(entry.clone());
        while stream.entries.len() - stream.trimmed > LOG_ENTRIES
            || stream.entries[stream.trimmed..].iter().map(|entry| bytes(entry)).sum::<usize>() > LOG_BYTES
        {
            stream.trimmed += 1;
        }
        if let (Some(key), Some(once)) = (once_key, &append.once) {
            self.once.insert(key, (self.now + once.ttl.as_secs(), entry.clone()));
        }
        Ok(Appended::New(entry))
    }

    fn read(&self, stream: &str, after: &Position, limit: usize) -> LogRead {
        let Some(stream) = self.streams.get(stream) else {
            return if after.seq == 0 { LogRead::Entries(vec![]) } else { LogRead::Gone(Position::default()) };
        };
        let head = stream.entries.len() as u64;
        let other_life = after.epoch != stream.epoch && *after != Position::default();
        if other_life || after.seq > head || after.seq < stream.trimmed as u64 {
            return LogRead::Gone(stream.position());
        }
        LogRead::Entries(stream.entries.iter().skip(after.seq as usize).take(limit).cloned().collect())
    }
}

async fn compare(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let engine = Engine::new(limits());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(append) => {
                let answer = engine.append((*append).clone()).await;
                let epoch = match &answer {
                    Ok(Appended::New(entry) | Appended::Repeat(entry)) => entry.position.epoch.clone(),
                    Err(_) => "".into(),
                };
                let answer = answer.map_err(|error| match error {
                    StoreError::Conflict(_) => "conflict",
                    StoreError::TooLarge(_) => "too large",
                    StoreError::Unavailable(_) => "unavailable",
                    StoreError::TooSoon(_) => "too soon",
                });
                prop_assert_eq!(answer, model.append(&append, &epoch));
            }
            Step::Snapshot { stream, event, history } => {
                let snapshot = engine.snapshot(stream, event, history).await.unwrap();
                let expected = model.streams.get(stream);
                prop_assert_eq!(snapshot.is_some(), expected.is_some());
                let (Some(snapshot), Some(expected)) = (snapshot, expected) else { continue };
                prop_assert_eq!(snapshot.position, expected.position());
                prop_assert_eq!(snapshot.clock, model.clock);
                let fields: Vec<_> = snapshot.fields.iter().map(|(name, text)| (&**name, &**text)).collect();
                let expected_fields: Vec<_> = expected.fields.iter().map(|(name, text)| (&**name, &**text)).collect();
                prop_assert_eq!(fields, expected_fields);
                prop_assert_eq!(snapshot.history, expected.named(event, u64::MAX, history));
            }
            Step::Read { stream, back, known, limit } => {
                let head = model.streams.get(stream).map(ModelStream::position).unwrap_or_default();
                let seq = if back > 12 { head.seq + back } else { head.seq.saturating_sub(back) };
                let epoch = if known { head.epoch } else { "other".into() };
                let after = Position { epoch, seq };
                let read = engine.read(stream, after.clone(), limit).await.unwrap();
                prop_assert_eq!(read, model.read(stream, &after, limit));
            }
            Step::History { stream, event, before, limit } => {
                let history = engine.history(stream, event, before, limit).await.unwrap();
                let expected = model.streams.get(stream);
                let before = before.unwrap_or(u64::MAX);
                prop_assert_eq!(history, expected.map(|stream| stream.named(event, before, limit)).unwrap_or_default());
            }
            Step::Pass(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                model.now += seconds;
            }
            Step::LoseData => {
                engine.lose_data();
                model.streams.clear();
                model.once.clear();
            }
        }
    }
    Ok(())
}

fn seed() -> u64 {
    let mut fresh = [0; 8];
    getrandom::fill(&mut fresh).expect("the system has randomness");
    std::env::var("HAAT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(u64::from_le_bytes(fresh))
}

#[test]
fn the_engine_answers_as_the_model_does() {
    let seed = seed();
    println!("HAAT_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let run = runner.run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime without IO starts").block_on(compare(steps))
    });
    if let Err(error) = run {
        panic!("HAAT_SEED={seed}: {error}");
    }
}
