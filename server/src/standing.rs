//! [`Standing`]: tasks of the gateway as a whole, which go on as long as it does. Without one of them it would work by half,
//! and look well: so it is seen as broken, and only a new process mends it.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::FutureExt;
use tokio::task::{AbortHandle, JoinHandle};

/// Starts them, knows whether one has ended, and ends them.
#[derive(Debug, Default)]
pub struct Standing {
    tasks: Mutex<Vec<AbortHandle>>,
    ended: Arc<OnceLock<&'static str>>,
}

impl Standing {
    /// Starts a task that goes on until it is aborted. If it returns or panics before, it has ended by itself.
    pub fn start(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
            tracing::error!(task = name, panicked, "a task of the gateway has ended by itself");
            let _ = ended.set(name);
        });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
        task
    }

    /// The first task that has ended by itself.
    pub fn ended(&self) -> Option<&'static str> {
        self.ended.get().copied()
    }

    /// Ends all of them.
    pub fn abort(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_seen_and_one_that_is_aborted_is_not() {
        let standing = Standing::default();
        let aborted = standing.start("aborted", std::future::pending());
        standing.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        assert_eq!(standing.ended(), None);
        standing.start("broken", async { panic!("as the test wants it") }).await.unwrap();
        assert_eq!(standing.ended(), Some("broken"));
        let standing = Standing::default();
        standing.start("over", async {}).await.unwrap();
        assert_eq!(standing.ended(), Some("over"));
    }
}
