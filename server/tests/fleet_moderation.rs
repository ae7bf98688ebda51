//! What a moderator does on one gateway is in force on all others within two seconds.

#[path = "support/fleet.rs"]
mod fleet;
mod support;

use std::time::{Duration, Instant};

use fleet::{Fleet, Gateway};
use serde_json::{Value, json};
use support::{Client, token};

/// Two seconds are promised; a busy machine gets as much again.
const IN_FORCE: Duration = Duration::from_secs(4);

async fn member(gateway: &Gateway, sub: &str, role: &str) -> Client {
    let streams: &[&str] = if role == "viewer" { &[] } else { &["main"] };
    let mut client = Client::connect(gateway.public, &json!({ "token": token(sub, role, streams) })).await;
    if role == "supplier" {
        client.ok("stream:start", json!({})).await;
    }
    client.join("main").await;
    client
}

/// Issues a command, and waits until the other gateway answers a message with this code.
async fn silences(host: &mut Client, viewer: &mut Client, (command, body): (&str, Value), code: &str) {
    let begun = Instant::now();
    host.ok(command, body).await;
    loop {
        let reply = viewer.call("chat:send", &json!({ "stream": "main", "text": "hello" })).await;
        if reply["error"]["code"] == code {
            break;
        }
        assert_eq!(reply["ok"], true, "{command}: {reply}");
        assert!(begun.elapsed() < IN_FORCE, "{command} is not in force after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_in_force_everywhere_within_two_seconds() {
    let Some(fleet) = Fleet::start().await else { return };
    let gateways = fleet.gateways(2, &[]).await;
    let mut host = member(&gateways[0], "supplier", "supplier").await;
    let mut viewer = member(&gateways[1], "asha", "viewer").await;
    let until_heard = async |viewer: &mut Client| {
        while !viewer.call("chat:send", &json!({ "stream": "main", "text": "x" })).await["ok"]
            .as_bool()
            .unwrap_or(false)
        {}
    };
    let words = json!({ "words": ["hello"], "action": "reject" });
    let none = json!({ "words": [], "action": "reject" });
    for (command, body, code, back, undone) in [
        ("user:mute", json!({ "user": "asha" }), "muted", "user:unmute", json!({ "user": "asha" })),
        ("chat:mode", json!({ "paused": true }), "paused", "chat:mode", json!({ "paused": false })),
        ("words:set", words, "rejected", "words:set", none),
    ] {
        silences(&mut host, &mut viewer, (command, body), code).await;
        host.ok(back, undone).await;
        support::patiently("to be heard again", until_heard(&mut viewer)).await;
    }
    silences(&mut host, &mut viewer, ("user:ban", json!({ "user": "asha" })), "banned").await;
}
