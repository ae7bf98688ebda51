//! The engine on Redis: any number of gateways, and those of Node beside them, share what one Redis holds.
//!
//! ```text
//!   shards ── append, read, sync … ──────────────► commands ══► Redis
//!   shards ── broadcast, request ──► queue ──► mouth ──┘          ║
//!   hub ◄── entry, deliver, serve ◄── ears ◄══════════════════════╝
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `settings` | what the user says of Redis, checked |
//! | `engine` | the parts put together: the thread, the [`Adapter`](crate::Adapter) |
//! | `servers`, `slots` | who has what: one server, or the masters of a Cluster |
//! | `node` | all that this gateway has to do with one server |
//! | `dial`, `link`, `backoff` | a connection, how it is made, and how it comes back |
//! | `fault` | what each error calls for |
//! | `table` | what this gateway listens to |
//! | `till` | how sales reach a server, and wait for its replicas |
//! | `ears` | what arrives: channel first, then meaning, then the gateway |
//! | `mouth` | what is published, in order |
//! | `pulse` | whether the gateway hears itself, and whether Node gateways are there |
//! | `wire`, `classic`, `sharded` | what gateways say to each other, as Node's adapters spell it |
//! | `desk` | where errands wait that can be done together |
//! | `store`, `append` | the [`Store`](crate::Store), and how entries are written |
//! | `market`, `claim` | the [`Market`](crate::Market), and how units are taken |
//! | `scripts`, `arguments` | the atomic steps of both, and what they are told |
//! | `record`, `seen`, `hands` | a log entry's form, how far a stream was seen, what time it is |
//!
//! One thread of its own does all of it: the gateway's code ([`Inbound`](crate::Inbound)) is called on it, one call at a time, in the order in
//! which Redis sent things. Two connections to each server: one for commands, one to listen; a flood on one does not delay the
//! other. A third one for sales, where replicas have to confirm them.
//!
//! # What Redis has lost
//!
//! A gateway remembers how far it has seen each stream: the last number of the log, and how many steps the sale had taken. On
//! every new connection it holds that against what is there (`settle.lua`), and so does each step. A new connection is asked for
//! the last entry itself too, and for the last grant and the last turn at a wheel of this gateway: a master that went on
//! from less may have overtaken what it lacks. If Redis is behind, or has something else, it has lost what it had
//! acknowledged: the log begins a new epoch, and drops and wheels that are open are paused in the same step.
//! After a restart or a failover, nothing is sold for [`Times::reassert`]: all gateways have their say before. What was
//! paused is opened again by whoever runs the sale.
//!
//! # Keys and channels
//!
//! `<p>` is [`RedisSettings::prefix`], `<s>` a stream, `<db>` the database's number (channels know no databases).
//!
//! | key | type | holds |
//! |---|---|---|
//! | `<p>:{<s>}:meta` | hash | `epoch`, `seq`, `bytes` of the log, `day` its expiry was set |
//! | `<p>:{<s>}:fields` | hash | state fields |
//! | `<p>:{<s>}:log` | list | the newest entries, see `record` |
//! | `<p>:{<s>}:once:<key>` | string | the entry that was appended with the key |
//! | `<p>:{<s>}:pace:<key>` | string | nothing, until the key may be used again |
//! | `<p>:{<s>}:ledger` | stream | what happened: `kind`, `by`, `data`; for others to read |
//! | `<p>:{<s>}:counts` | hash | counters of the sale |
//! | `<p>:{<s>}:takers` | hash | who has had what, see `sale.lua` |
//! | `<p>:{<s>}:grants`, `:holds` | hash, sorted set | grants by id, and those that may come back, by time |
//! | `<p>:{<s>}:grants:<pool>` | list | ids of a pool's grants |
//! | `<p>:{<s>}:book:<name>` | hash | notes |
//! | `<p>:{<s>}:readers` | hash | who reads the ledger, and how far |
//! | `<p>:{<s>}:audience`, `:leases` | hash | viewers, peak, counters; the viewers of each gateway |
//! | `<p>:{<s>}:users`, `:crowd` | set, HyperLogLog | unique users, few or many |
//! | `<p>:clock` | string | [`Entry::clock`](crate::Entry::clock); in a Cluster `<p>:{<s>}:clock` |
//! | `<p>:streams` | sorted set | streams that there may be, by the day they were used last |
//! | `<p>:session:<pid>` | string | a saved session, JSON |
//! | `<p>:gateways` | hash | leases of gateways, JSON, by number |
//!
//! | channel | carries | heard by |
//! |---|---|---|
//! | `<p>:{<s>}:live/<db>` | records of the log, published by the step that appended them | haat gateways with viewers of the stream |
//! | `<p>:canary:<uid>` | a number every second | this gateway |
//! | `<p>:gateways/<db>` | nothing; its subscribers are the haat gateways | all haat gateways |
//! | see `classic`, `sharded` | broadcasts, questions, answers | all gateways |
//!
//! In a Cluster in sharded mode `{<s>}` is `{<channel prefix>#/#stream:<s>#}` in all of these: the channel on which Node gateways
//! hear of the stream, so that a script whose keys have this tag may publish there. All of a stream is in one slot then, and
//! streams spread over the masters. A gateway has a canary at each of them, `<p>:canary:<uid>:{<n>}`.
//!
//! With Node gateways about ([`NodePeers`]), the step that appends publishes the entry a second time, as the broadcast that
//! Node's adapter would make of it: same channel, same bytes, the event's name and data for the room `stream:<s>`, under the
//! name `haat-log`, by which haat gateways know it and leave it.
//!
//! # Use
//!
//! ```no_run
//! # async fn start(inbound: std::sync::Weak<dyn haat_adapter::Inbound>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//! use haat_adapter::{Adapter, Store, redis::{Engine, RedisSettings}};
//!
//! let engine = Engine::connect(RedisSettings::new("redis://127.0.0.1"), inbound)?;
//! let (adapter, store): (Arc<dyn Adapter>, Arc<dyn Store>) = (engine.clone(), engine.clone());
//! // Clients are let in once the gateway can hear; Redis may also come later.
//! engine.up(Duration::from_secs(5)).await;
//! # let _ = (adapter, store);
//! # Ok(())
//! # }
//! ```

mod append;
mod arguments;
mod backoff;
mod claim;
mod classic;
mod desk;
mod dial;
mod ears;
mod engine;
mod fault;
mod hands;
mod link;
mod market;
mod mouth;
mod node;
mod pulse;
mod record;
mod scripts;
mod seen;
mod servers;
mod settings;
mod sharded;
mod slots;
mod stats;
mod store;
mod table;
mod till;
#[cfg(test)]
mod vectors;
mod wire;

pub use engine::Engine;
pub use settings::{Ledger, Limits, Mode, NodePeers, RedisSettings, SettingsError, Times, Tls};
pub use stats::Stats;

use engine::Core;

/// Who publishes log entries in Node's form. Node takes it for a gateway.
const LOG_UID: &str = "haat-log";

/// For fuzzing: reads a message as the engine does in this mode, and says whether it is clear. Nothing comes of it.
#[doc(hidden)]
pub fn is_clear(mode: Mode, channel: &str, payload: &[u8]) -> bool {
    let namespaces = ["/".to_owned()];
    let wire: Box<dyn wire::Wire> = match mode {
        Mode::Classic => Box::new(classic::Classic::new("socket.io", &namespaces, "uid")),
        Mode::Sharded => Box::new(sharded::Sharded::new("socket.io", &namespaces, "uid")),
    };
    let wants = |_: &str, room: &str| room != "unwanted";
    wire.hear(channel, payload, &wants).is_ok()
}

/// For fuzzing: reads a record of a log.
#[doc(hidden)]
pub fn is_clear_record(record: &[u8]) -> bool {
    record::entry(&"stream".into(), record, None).is_ok()
}
