//! [`Innocents`]: viewers who do nothing wrong while others do, and must not notice it.

use std::{panic, sync::Mutex, thread};

use serde_json::json;

use super::{Client, World, token};

/// What shards have panicked with. Their tasks survive it, so nobody else would see.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Somebody who speaks in a stream of their own, and some who listen.
pub struct Innocents {
    speaker: Client,
    viewers: Vec<Client>,
    said: u64,
    seq: Option<u64>,
}

impl Innocents {
    /// Connects them.
    pub async fn watch(world: &World) -> Self {
        panic::set_hook(Box::new(note(panic::take_hook())));
        let streams = json!({ "token": token("calm-supplier", "supplier", &["calm"]) });
        let mut supplier = Client::connect(world.address, &streams).await;
        // Others may have been here before.
        let reply = supplier.call("stream:start", &json!({ "stream": "calm" })).await;
        assert!(reply["ok"] == true || reply["error"]["code"] == "conflict", "{reply}");
        let mut speaker = world.user("innocent").await;
        speaker.join("calm").await;
        let mut viewers = Vec::new();
        for _ in 0..4 {
            let mut viewer = world.guest().await;
            viewer.join("calm").await;
            viewers.push(viewer);
        }
        Self { speaker, viewers, said: 0, seq: None }
    }

    /// How many connections they hold.
    pub fn count(&self) -> usize {
        self.viewers.len() + 1
    }

    /// What they say still reaches them all, in order, and no shard has panicked.
    pub async fn unharmed(&mut self, row: &str) {
        for _ in 0..2 {
            let text = format!("calm {}", self.said);
            self.said += 1;
            self.speaker.say("calm", &text).await;
            let seen = self.speaker.chats(1).await.remove(0);
            let expected = self.seq.map_or(seen.0, |seq| seq + 1);
            self.seq = Some(expected);
            assert_eq!((seen.0, &seen.1), (expected, &text), "the speaker, after {row}");
            for viewer in &mut self.viewers {
                let seen = viewer.chats(1).await.remove(0);
                assert_eq!((seen.0, &seen.1), (expected, &text), "a viewer, after {row}");
            }
        }
        let panics = PANICS.lock().unwrap();
        assert!(panics.is_empty(), "after {row}: {panics:?}");
    }
}

fn note(before: impl Fn(&panic::PanicHookInfo<'_>) + Send + Sync) -> impl Fn(&panic::PanicHookInfo<'_>) + Send + Sync {
    move |info| {
        if thread::current().name().is_some_and(|name| name.starts_with("shard-")) {
            PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(info.to_string());
        }
        before(info);
    }
}
