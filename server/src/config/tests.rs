//! Layers, mistakes, and what is shown of a configuration.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{kind::Kind, layers::defaults, table::KEYS, *};

const SECRET: &str = "canary-0123456789abcdef0123456789";

/// A file that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("haat-config-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn layers(variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Layers {
    Layers {
        file: None,
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags.iter().map(|(path, value)| (*path, (*value).to_owned())).collect(),
        dev: true,
    }
}

fn mistakes(layers: &Layers) -> Vec<String> {
    layers.load().err().unwrap().to_string().lines().map(str::to_owned).collect()
}

fn with_file(text: &str) -> (Scratch, Layers) {
    let file = Scratch::new(text);
    let layers = Layers { file: Some(file.0.clone()), ..layers(&[], &[]) };
    (file, layers)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = layers(&[], &[]).load().unwrap().config;
    assert_eq!(config.listen.to_string(), "0.0.0.0:3000");
    assert_eq!(config.private_listen.to_string(), "127.0.0.1:9090");
    assert!(config.redis.is_none() && config.demo.is_none() && config.auth.keys.is_empty());
    assert_eq!((config.origins, config.guests), (Origins::Same, true));
    assert_eq!((config.drain, config.recovery), (Duration::from_secs(30), Duration::from_secs(120)));
    assert_eq!(config.shards, std::thread::available_parallelism().unwrap().get().min(64));
    assert_eq!(config.engine.max_payload, 64 * 1024);
    assert_eq!(config.limits.chat, Rate { per_second: 1.0, burst: 5 });
    assert_eq!(config.limits.address_connections, 5000);
    assert_eq!(config.fanout.tick, Duration::ZERO);
}

#[test]
fn later_layers_win() {
    let (_file, mut layers) = with_file("shards = 2\ndrain_seconds = 7\nguests = false\n[limits]\nrooms = 3\n");
    layers.variables = vec![("HAAT_SHARDS".into(), "3".into()), ("HAAT_DRAIN_SECONDS".into(), "8.5".into())];
    layers.flags = vec![("shards", "4".into())];
    let config = layers.load().unwrap().config;
    assert_eq!((config.shards, config.drain), (4, Duration::from_millis(8500)));
    assert_eq!((config.guests, config.limits.rooms, config.limits.namespaces), (false, 3, 4));
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let file = Scratch::new("shards = 5");
    let config = layers(&[("HAAT_CONFIG", file.0.to_str().unwrap())], &[]).load().unwrap().config;
    assert_eq!(config.shards, 5);
}

#[test]
fn every_variable_sets_its_key() {
    for key in KEYS {
        let text = match key.kind.read(super::layers::literal(key.example).unwrap()).unwrap().unwrap() {
            toml::Value::String(text) => text,
            toml::Value::Array(_) => continue,
            value => value.to_string(),
        };
        let loaded = layers(&[(&key.variable(), &text)], &[]).load();
        match loaded {
            Ok(loaded) => {
                let line = format!("# {}\n", key.variable());
                assert!(loaded.describe().contains(&line), "{}", key.path);
            }
            // Only because the example names a file that is not there, or needs one.
            Err(errors) => {
                assert!(
                    matches!(&errors.0[..], [ConfigError::Rule { key: named, .. }] if *named == key.path),
                    "{errors}"
                );
            }
        }
    }
}

#[test]
fn lists_may_be_written_with_commas() {
    let config = |value: &str| layers(&[("HAAT_ORIGINS", value)], &[]).load().unwrap().config.origins;
    let list = Origins::List(vec!["https://a.example".into(), "http://localhost:5173".into()]);
    assert_eq!(config("https://a.example, http://localhost:5173"), list);
    assert_eq!(config("*"), Origins::Any);
    assert_eq!(config(""), Origins::Same);
    let (_file, layers) = with_file(r#"origins = ["https://a.example", "http://localhost:5173"]"#);
    assert_eq!(layers.load().unwrap().config.origins, list);
}

#[test]
fn zero_switches_a_limit_off() {
    let zero = [("HAAT_LIMITS_ROOMS", "0"), ("HAAT_LIMITS_CHAT_PER_SECOND", "0"), ("HAAT_RECOVERY_SECONDS", "0")];
    let config = layers(&zero, &[]).load().unwrap().config;
    assert_eq!((config.limits.rooms, config.recovery), (usize::MAX, Duration::ZERO));
    assert!(config.limits.chat.is_off());
}

#[test]
fn an_empty_variable_sets_nothing() {
    let empty = [("HAAT_REDIS_URL", ""), ("HAAT_AUTH_SECRET", ""), ("HAAT_LISTEN", ""), ("HAAT_SHARDS", "")];
    let config = layers(&empty, &[]).load().unwrap().config;
    assert!(config.redis.is_none() && config.auth.keys.is_empty());
    assert_eq!(config.listen.port(), 3000);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let (file, mut layers) = with_file(
        "listen = 3000\nshard = 2\n[limits]\nroom = 1\nnamespaces = -1\n[outboxes]\nmax_bytes = 1\n[outbox]\nmax_bytes = 2000\n",
    );
    layers.variables = vec![
        ("HAAT_GUESTS".into(), "maybe".into()),
        ("HAAT_LIMIT_ROOMS".into(), "1".into()),
        ("HAAT_WEATHER".into(), "fine".into()),
        ("PATH".into(), "/bin".into()),
    ];
    layers.flags = vec![("private_listen", "here".into())];
    layers.dev = false;
    let path = file.0.display();
    let expected = [
        format!(
            "listen ({path}): 3000 is not allowed; allowed is an address with a port, such as 127.0.0.1:3000 or [::]:3000"
        ),
        format!("shard ({path}): there is no such setting; did you mean shards?"),
        format!("limits.room ({path}): there is no such setting; did you mean limits.rooms?"),
        format!("limits.namespaces ({path}): -1 is not allowed; allowed is a whole number from 0 to 100000000"),
        format!("outboxes ({path}): there is no such setting"),
        "HAAT_GUESTS (HAAT_GUESTS): \"maybe\" is not allowed".into(),
        "HAAT_LIMIT_ROOMS (environment): there is no such setting; did you mean HAAT_LIMITS_ROOMS?".into(),
        "HAAT_WEATHER (environment): there is no such setting".into(),
        "private_listen (--private-listen): \"here\" is not allowed".into(),
        "auth.secret: there is no key to check tokens with.".into(),
        "outbox.max_bytes: ".into(),
    ];
    let found = mistakes(&layers);
    for line in &expected {
        let line = line.replace("HAAT_GUESTS (", "guests (");
        assert!(found.iter().any(|found| found.starts_with(&line)), "{line:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("HAAT_PRIVATE_LISTEN", "127.0.0.1:3000")], "private_listen:"),
        (&[("HAAT_ENGINE_MAX_PAYLOAD_BYTES", "1048576")], "outbox.max_bytes:"),
        (&[("HAAT_AUTH_ALGORITHM", "ES256")], "auth.algorithm:"),
        (&[("HAAT_AUTH_JWKS_FILE", "no-such-file")], "auth.jwks_file:"),
        (&[("HAAT_DEMO", "no-such-folder")], "demo:"),
        (&[("HAAT_PEER_LISTEN", "127.0.0.1:3000")], "peer.listen:"),
        (&[("HAAT_PEER_LISTEN", "0.0.0.0:9090")], "peer.listen:"),
    ];
    for (variables, start) in cases {
        let found = mistakes(&layers(variables, &[]));
        assert!(found.len() == 1 && found[0].starts_with(start), "{start} {found:?}");
    }
    let apart = [("HAAT_LISTEN", "127.0.0.1:0"), ("HAAT_PRIVATE_LISTEN", "127.0.0.1:0")];
    assert!(layers(&apart, &[]).load().is_ok());
}

#[test]
fn a_description_says_whether_requests_are_passed_on() {
    let redis = ("HAAT_REDIS_URL", "redis://127.0.0.1");
    let (secret, peer) = (("HAAT_AUTH_SECRET", SECRET), ("HAAT_PEER_SECRET", SECRET));
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[redis, secret], "are passed on to the one"),
        (&[redis, peer], "are passed on to the one"),
        (&[peer, ("HAAT_PEER_LISTEN", "127.0.0.1:0")], "are passed on to the one"),
        (&[redis, secret, ("HAAT_PEER_LISTEN", "off")], "are refused: peer.listen is off"),
        (&[secret], "are refused: without redis.url there is no other gateway"),
        (&[redis], "are refused: there is neither peer.secret nor auth.secret"),
    ];
    for (variables, expected) in cases {
        let text = layers(variables, &[]).load().unwrap().describe();
        assert!(text.lines().next_back().unwrap().contains(expected), "{expected} {text}");
    }
}

#[test]
fn a_key_is_needed_outside_of_development() {
    let load = |variables: &[(&str, &str)]| Layers { dev: false, ..layers(variables, &[]) }.load();
    assert!(load(&[]).is_err());
    let config = load(&[("HAAT_AUTH_SECRET", SECRET)]).unwrap().config;
    assert!(matches!(&config.auth.keys[..], [KeySource::Secret(secret)] if secret.expose() == SECRET));
    // A secret that is too short is one mistake, not two.
    assert_eq!(load(&[("HAAT_AUTH_SECRET", "short")]).err().unwrap().0.len(), 1);
}

#[test]
fn secrets_are_never_shown() {
    let url = format!("redis://:{SECRET}@127.0.0.1/");
    let variables = [("HAAT_AUTH_SECRET", SECRET), ("HAAT_REDIS_URL", &url), ("HAAT_PEER_SECRET", SECRET)];
    let loaded = layers(&variables, &[]).load().unwrap();
    let shown = format!("{:?} {}", loaded.config, loaded.describe());
    assert!(!shown.contains("canary") && shown.contains("secret = \"***\"  # HAAT_AUTH_SECRET"), "{shown}");
    let broken = [
        "[auth]\nsecret = \"canary".to_owned(),
        "[auth]\nsecret = [\"canary\"]".to_owned(),
        "[auth]\nsecret = \"canary\"".to_owned(),
        "[redis]\nurl = \"canary\"".to_owned(),
    ];
    for text in broken {
        let (_file, layers) = with_file(&text);
        let found = mistakes(&layers).concat();
        assert!(!found.contains("canary") && !found.is_empty(), "{text} {found}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let missing = Layers { file: Some("no-such.toml".into()), ..layers(&[], &[]) };
    assert!(mistakes(&missing)[0].starts_with("no-such.toml: "));
    let (file, layers) = with_file("shards = 1\nguests = = 2\n");
    assert!(mistakes(&layers)[0].starts_with(&format!("{}: line 2: ", file.0.display())));
    let (_file, layers) = with_file("shards = 1\nshards = 2\n");
    assert_eq!(mistakes(&layers).len(), 1);
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let (_file, from_file) = with_file(&defaults());
    let from_file = format!("{:?}", from_file.load().unwrap().config);
    assert_eq!(from_file, format!("{:?}", layers(&[], &[]).load().unwrap().config));
    // What is commented out is good as well once it is not.
    let all: String = defaults()
        .lines()
        .map(|line| {
            let is_key = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")).is_some_and(|(name, _)| {
                KEYS.iter().any(|key| key.default.is_none() && key.path.rsplit('.').next() == Some(name))
            });
            format!("{}\n", if is_key { &line[2..] } else { line })
        })
        .collect();
    let (_file, layers) = with_file(&all);
    let found = mistakes(&layers);
    assert!(found.iter().all(|line| line.contains("there is no")), "{found:?}");
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn a_description_can_be_loaded_again() {
    let loaded = layers(&[("HAAT_SHARDS", "2"), ("HAAT_LIMITS_CHAT_PER_SECOND", "0.5")], &[]).load().unwrap();
    let text = loaded.describe();
    assert!(text.contains("shards = 2  # HAAT_SHARDS\n"), "{text}");
    assert!(text.contains("\n# demo is not set\n") && text.contains("drain_seconds = 30  # default\n"), "{text}");
    let (_file, again) = with_file(&text);
    assert_eq!(format!("{:?}", again.load().unwrap().config), format!("{:?}", loaded.config));
}

#[test]
fn examples_are_allowed_values() {
    for key in KEYS {
        let value = super::layers::literal(key.example).unwrap();
        assert!(matches!(key.kind.read(value), Ok(Some(_))), "{}", key.path);
        assert!(!matches!(key.kind, Kind::Whole(min, max) if min > max), "{}", key.path);
    }
}
