//! [`Raw`]: the values as people write them. Which keys there are is told by the table; a field that it does not know, or
//! a key without a field, fails the test at its end. Not `Debug` outside of it: there are secrets among them.

use serde::Deserialize;

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub listen: String,
    pub private_listen: String,
    pub origins: Vec<String>,
    pub shards: Option<usize>,
    pub guests: bool,
    pub reactions: Vec<String>,
    pub demo: Option<String>,
    pub drain_seconds: f64,
    pub recovery_seconds: f64,
    pub trusted_proxies: Vec<String>,
    pub redis: RawRedis,
    pub ledger: RawLedger,
    pub log: RawLog,
    pub engine: RawEngine,
    pub auth: RawAuth,
    pub peer: RawPeer,
    pub limits: RawLimits,
    pub outbox: RawOutbox,
    pub fanout: RawFanout,
    pub webhooks: RawWebhooks,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhooks {
    pub urls: Vec<String>,
    pub secret: Option<String>,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    pub url: Option<String>,
    pub mode: String,
    pub prefix: String,
    pub channel_prefix: String,
    pub node_peers: String,
    pub ca_file: Option<String>,
    pub certificate_file: Option<String>,
    pub key_file: Option<String>,
    pub sentinel_user: Option<String>,
    pub sentinel_password: Option<String>,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLedger {
    pub wait_replicas: u16,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub filter: String,
    pub format: String,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEngine {
    pub path: String,
    pub polling: bool,
    pub ping_interval_seconds: f64,
    pub ping_timeout_seconds: f64,
    pub upgrade_timeout_seconds: f64,
    pub connect_timeout_seconds: f64,
    pub handshake_timeout_seconds: f64,
    pub message_timeout_seconds: f64,
    pub max_payload_bytes: usize,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub secret: Option<String>,
    pub public_key_file: Option<String>,
    pub algorithm: Option<String>,
    pub jwks_file: Option<String>,
    pub audience: Option<String>,
    pub issuer: Option<String>,
    pub leeway_seconds: f64,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub listen: String,
    pub address: Option<String>,
    pub secret: Option<String>,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub connections: usize,
    pub address_connections: usize,
    pub address_handshakes: f64,
    pub address_handshakes_burst: u32,
    pub user_connections: usize,
    pub events_per_second: f64,
    pub events_burst: u32,
    pub chat_per_second: f64,
    pub chat_burst: u32,
    pub joins_per_second: f64,
    pub joins_burst: u32,
    pub reactions_per_second: f64,
    pub reactions_burst: u32,
    pub staff_per_second: f64,
    pub staff_burst: u32,
    pub rooms: usize,
    pub namespaces: usize,
    pub hops: usize,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutbox {
    pub max_bytes: usize,
    pub max_frames: usize,
    pub max_age_seconds: f64,
    pub send_buffer_bytes: usize,
}

#[cfg_attr(test, derive(Debug))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFanout {
    pub tick_milliseconds: f64,
    pub mailbox: usize,
    pub state_interval_milliseconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{layers::tree, table::KEYS};

    /// Every value that the table has, examples included.
    fn all(except: &str) -> toml::Table {
        let keys = KEYS.iter().filter(|key| key.path != except);
        tree(keys.map(|key| {
            let value: toml::Table = format!("value = {}", key.example).parse().unwrap();
            (key.path, key.kind.read(value["value"].clone()).unwrap().unwrap())
        }))
    }

    #[test]
    fn the_table_and_the_fields_name_the_same_keys() {
        // Unknown fields are denied, so a key without a field fails here.
        all("").try_into::<Raw>().unwrap();
        for key in KEYS.iter().filter(|key| key.default.is_some()) {
            assert!(all(key.path).try_into::<Raw>().is_err(), "{} is not needed by any field", key.path);
        }
        // A field without a key fails here: optional ones would be absent, and none is.
        let raw = format!("{:?}", all("").try_into::<Raw>().unwrap());
        assert!(!raw.contains("None"), "{raw}");
    }
}
