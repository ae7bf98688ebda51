//! [`Ask`]: what the HTTP API asks of a shard. All that is about one stream goes to the same shard, so that it is done in
//! the order in which it came, and only one shard has to know the stream for it.

use std::{
    hash::{Hash, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustc_hash::FxHasher;
use tokio::sync::oneshot;

use super::{
    Live, Shared,
    command::{Caller, Reply},
    reject::{Code, Reject},
    table,
};
use crate::{auth::Identity, hub::mailbox::Mail};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// From which a client may try again that met a gateway which is behind.
const LATER: Duration = Duration::from_secs(1);

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Ask {
    identity: Identity,
    what: What,
    answer: oneshot::Sender<Result<Reply, Reject>>,
}

/// What is asked.
#[derive(Debug)]
enum What {
    /// A command, with its body.
    Command(&'static str, String),
    /// The state of a stream.
    State(String),
}

impl Shared {
    /// Runs a command on its stream's shard. What needs a connection is `not_found` here.
    ///
    /// # Errors
    /// Whatever the command says; `unavailable` if no answer came.
    pub async fn command(&self, identity: Identity, name: &str, stream: &str, body: String) -> Result<Reply, Reject> {
        let command = table::find(name).filter(|command| !command.socket);
        let command = command.ok_or_else(|| Reject::not_found("command"))?;
        self.ask(identity, stream, What::Command(command.name, body)).await
    }

    /// The state of a stream, as `"state":…`.
    ///
    /// # Errors
    /// `not_found`, `banned`, `unavailable`
    pub async fn state(&self, identity: Identity, stream: &str) -> Result<Reply, Reject> {
        self.ask(identity, stream, What::State(stream.to_owned())).await
    }

    async fn ask(&self, identity: Identity, stream: &str, what: What) -> Result<Reply, Reject> {
        let (answer, answered) = oneshot::channel();
        let mail = Mail::App(Box::new(Ask { identity, what, answer }));
        let behind = || Reject { retry_after: Some(LATER), ..Reject::new(Code::Unavailable, "the gateway is behind") };
        self.hub.send(shard_of(stream, self.hub.shards()), mail).map_err(|_| behind())?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Reject::unavailable()),
        }
    }
}

fn shard_of(stream: &str, shards: usize) -> u8 {
    let mut hasher = FxHasher::default();
    stream.hash(&mut hasher);
    let shards = u64::try_from(shards).unwrap_or(1).max(1);
    u8::try_from((hasher.finish() >> 32) % shards).unwrap_or(0)
}

impl Live {
    /// Answers a question of the HTTP API.
    pub(super) fn asked(self: &Rc<Self>, ask: Ask) {
        let Ask { identity, what, answer } = ask;
        match what {
            What::Command(name, body) => {
                let caller = Caller { identity: Rc::new(identity), socket: None };
                let result = self.issue(caller, name, &body);
                self.begin(async move {
                    // Nobody may wait for it any more; it is done all the same.
                    let _ = answer.send(result.await);
                });
            }
            What::State(stream) => {
                let live = self.clone();
                self.begin(async move {
                    let _ = answer.send(live.show(&identity, &stream).await);
                });
            }
        }
    }

    async fn show(self: &Rc<Self>, identity: &Identity, stream: &str) -> Result<Reply, Reject> {
        let view = self.views.ready(stream).await?;
        self.admits(&view, identity)?;
        self.tally(&view.stream, None);
        if view.viewers.get() == 0 {
            // Nobody here is told of the numbers.
            view.count(Arc::new(self.shared.totals(stream).await?));
        }
        Ok(Reply(format!(r#""state":{}"#, view.state(self.shared.now()).0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_spread_over_the_shards() {
        let mut hits = [0; 4];
        (0..1_000).for_each(|number| hits[usize::from(shard_of(&format!("stream-{number}"), 4))] += 1);
        assert!(hits.iter().all(|hits| *hits > 150), "{hits:?}");
        assert_eq!(shard_of("main", 1), 0);
    }
}
