//! A gateway in sharded mode among others on one Redis: what it listens to, how it is counted, what Node gateways get of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use std::time::Duration;

use fleet::{Manner, chat, event, new, target, to_room};
use gateway::{Gateway, LONG, until};
use haat_adapter::{
    Adapter, Broadcast, Flags, Request, Store,
    redis::{Mode, RedisSettings},
};
use redis::{PushInfo, PushKind, Value as Answer, aio::MultiplexedConnection};
use serde_json::{Value, json};
use support::{Server, proxy::Proxy};
use tokio::sync::mpsc;

fn at(server: &Server) -> RedisSettings {
    RedisSettings { mode: Some(Mode::Sharded), ..RedisSettings::new(server.url()) }
}

/// All channels that somebody listens to, the gateway's own name taken out.
fn channels(server: &Server) -> Vec<String> {
    let mut channels: Vec<String> = server.command("PUBSUB SHARDCHANNELS");
    for channel in &mut channels {
        let uid = channel.strip_prefix("socket.io#/#").map(|rest| rest.trim_end_matches('#'));
        if uid.is_some_and(|uid| uid.len() == 16 && uid.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            *channel = "socket.io#/#<uid>#".to_owned();
        }
        if channel.starts_with("haat:canary:") {
            *channel = "haat:canary:<uid>".to_owned();
        }
    }
    channels.sort();
    channels
}

const FIXED: [&str; 4] = ["haat:canary:<uid>", "haat:gateways/0", "socket.io#/#", "socket.io#/#<uid>#"];

/// What a Node gateway is to others: somebody who listens where it does.
struct Foreign {
    connection: MultiplexedConnection,
    pushes: mpsc::UnboundedReceiver<PushInfo>,
}

impl Foreign {
    async fn join(server: &Server, channels: &[&str]) -> Self {
        let (sender, pushes) = mpsc::unbounded_channel();
        let client = redis::Client::open(format!("{}?protocol=resp3", server.url())).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_push_sender(sender);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
        for channel in channels {
            redis::cmd("SSUBSCRIBE").arg(channel).exec_async(&mut connection).await.unwrap();
        }
        Self { connection, pushes }
    }

    /// The next message on a channel.
    async fn hears(&mut self, channel: &str) -> Value {
        let heard = async {
            loop {
                let PushInfo { kind, data } = self.pushes.recv().await.unwrap();
                if let (PushKind::SMessage, [Answer::BulkString(on), Answer::BulkString(payload)]) = (kind, &*data)
                    && on == channel.as_bytes()
                {
                    return serde_json::from_slice(payload).unwrap();
                }
            }
        };
        tokio::time::timeout(LONG, heard).await.unwrap_or_else(|_| panic!("nothing on {channel}"))
    }

    async fn says(&mut self, channel: &str, message: &Value) {
        let mut command = redis::cmd("SPUBLISH");
        command.arg(channel).arg(message.to_string()).exec_async(&mut self.connection).await.unwrap();
    }
}

redis_test!(listens_once_and_to_rooms_that_have_members, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    assert_eq!(channels(&server), FIXED);
    assert_eq!(server.command::<(String, i64)>("PUBSUB SHARDNUMSUB socket.io#/#").1, 1);
    assert_eq!(server.command::<Vec<String>>("PUBSUB CHANNELS"), Vec::<String>::new());
    const ROOMS: usize = 700;
    for index in 0..ROOMS {
        gateway.engine.interest("/", &format!("user:{index}"), true);
    }
    gateway.join("stream:spring").await;
    let all = channels(&server);
    assert_eq!(all.len(), FIXED.len() + ROOMS + 2);
    assert!(all.contains(&"haat:{spring}:live/0".to_owned()) && all.contains(&"socket.io#/#user:7#".to_owned()));
    for index in 0..ROOMS {
        gateway.engine.interest("/", &format!("user:{index}"), false);
    }
    until("the rooms are left", || channels(&server).len() == FIXED.len() + 2).await;
    gateway.engine.close().await;
    assert_eq!(channels(&server), Vec::<String>::new());
});

redis_test!(hears_again_after_every_kill, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    gateway.watch("spring").await;
    for round in 0..4 {
        let before = gateway.engine.stats().connections;
        let kind = if round % 2 == 0 { "pubsub" } else { "normal" };
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).exec(&mut asking);
        until("a new connection", || gateway.engine.stats().connections != before).await;
        gateway.up().await;
        let text = format!("round {round}");
        gateway.insist(&text).await;
        gateway.hears(&text).await;
    }
});

redis_test!(tells_node_gateways_of_entries_while_there_are_any, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    gateway.join("stream:spring").await;
    let mut node = Foreign::join(&server, &["socket.io#/#", "socket.io#/#stream:spring#"]).await;
    let mut sent = 0;
    // Found within seconds.
    let message = loop {
        sent += 1;
        assert!(sent < 3_000, "Node is never found");
        new(gateway.engine.append(chat("spring", "together")).await);
        let heard = tokio::time::timeout(Duration::from_millis(10), node.hears("socket.io#/#stream:spring#")).await;
        if let Ok(message) = heard {
            break message;
        }
    };
    let seq = message["data"]["packet"]["data"][1]["seq"].as_u64().unwrap();
    let entry = json!({"stream": "spring", "seq": seq, "text": "together"});
    let packet = json!({"type": 2, "data": ["chat:message", entry]});
    let opts = json!({"rooms": ["stream:spring"], "except": [], "flags": {}});
    assert_eq!(message, json!({"type": 3, "data": {"packet": packet, "opts": opts}, "uid": "haat-log", "nsp": "/"}));
    // It comes to this gateway as well, which knows it for what it is.
    gateway.heard.entries("spring", sent).await;
    assert_eq!(gateway.heard.until(|_| true, |heard| heard.broadcasts.len()).await, 0);
});

redis_test!(asks_node_and_answers_it, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    let peer = json!({"id": "a", "rooms": ["a", "red"]});
    *gateway.heard.manner.lock().unwrap() = Manner::Answers(vec![peer.clone()]);
    let (main, private) = ("socket.io#/#", "socket.io#/#f00f00f00f00f00f#");
    let mut node = Foreign::join(&server, &[main, private]).await;
    let opts = json!({"rooms": ["red"], "except": [], "flags": {}});
    let ask = |kind: u64, data: Value| json!({"type": kind, "data": data, "uid": "f00f00f00f00f00f", "nsp": "/"});
    node.says(main, &ask(7, json!({"opts": opts, "requestId": "one"}))).await;
    let answer = node.hears(private).await;
    assert_eq!((&answer["type"], &answer["data"]), (&json!(8), &json!({"requestId": "one", "sockets": [peer]})));
    node.says(main, &ask(6, json!({"opts": opts, "close": true}))).await;
    let requests = gateway.heard.requests(2).await;
    assert_eq!(requests[1], Request::Disconnect { target: target(&["red"]), close: true });

    let asking = gateway.engine.request(Request::FetchSockets(target(&["red"])), LONG);
    let request = loop {
        let message = node.hears(main).await;
        if message["uid"] != "f00f00f00f00f00f" {
            break message;
        }
    };
    assert_eq!((&request["type"], &request["data"]["opts"]), (&json!(7), &opts));
    let back = format!("socket.io#/#{}#", request["uid"].as_str().unwrap());
    node.says(&back, &ask(8, json!({"requestId": request["data"]["requestId"], "sockets": [{"id": "x"}]}))).await;
    assert_eq!(asking.await.unwrap().answers, [vec![json!({"id": "x"})]]);

    // It counts its receivers, then each of them answers.
    let broadcast = Broadcast { target: target(&[]), flags: Flags::default(), event: event("q") };
    let asking = gateway.engine.request(Request::BroadcastAck(broadcast), LONG);
    let request = node.hears(main).await;
    let id = &request["data"]["requestId"];
    node.says(&back, &ask(11, json!({"requestId": id, "clientCount": 2}))).await;
    for ack in [1, 2] {
        node.says(&back, &ask(12, json!({"requestId": id, "packet": ack}))).await;
    }
    assert_eq!(asking.await.unwrap().answers, [vec![json!(1), json!(2)]]);
});

redis_test!(reaches_a_single_socket_of_another_gateway, async || {
    let server = Server::start();
    let (one, other) = (Gateway::start(at(&server)).await, Gateway::start(at(&server)).await);
    other.heard.join("/", "aBcDeFgHiJkLmNoPqRsT");
    let private = to_room("aBcDeFgHiJkLmNoPqRsT", "for you");
    one.engine.broadcast(private.clone()).unwrap();
    assert_eq!(other.heard.broadcasts(1).await, [private]);
});

redis_test!(needs_no_more_rights_than_the_documented_ones, async || {
    let server = Server::start();
    let rights = "~haat:* &haat:* &socket.io* +@all -@admin -@dangerous -eval -function";
    server.command::<()>(&format!("ACL SETUSER gateway on >s3cret {rights}"));
    let url = format!("redis://gateway:s3cret@127.0.0.1:{}", server.port);
    let gateway = Gateway::start(RedisSettings { mode: Some(Mode::Sharded), ..RedisSettings::new(url) }).await;
    gateway.join("stream:spring").await;
    new(gateway.engine.append(chat("spring", "hi")).await);
    gateway.heard.entries("spring", 1).await;
});

/// What a server says that ends a subscription, because the slot is elsewhere now.
fn ended(channel: &str) -> Vec<u8> {
    format!(">3\r\n$12\r\nsunsubscribe\r\n${}\r\n{channel}\r\n:0\r\n", channel.len()).into_bytes()
}

/// How many channels were subscribed so far, some of them again.
fn subscribed(server: &Server) -> u64 {
    let info: String = server.command("INFO commandstats");
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_ssubscribe:calls="));
    line.and_then(|line| line.split(',').next()).and_then(|calls| calls.parse().ok()).unwrap_or_default()
}

redis_test!(
    /// It came between the confirmation and the moment at which the confirmation was noted, and the channel was never
    /// subscribed again.
    listens_again_when_a_subscription_ends_right_behind_its_confirmation,
    async || {
        let server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let settings = RedisSettings { mode: Some(Mode::Sharded), ..RedisSettings::new(proxy.url()) };
        let gateway = Gateway::start(settings).await;
        let before = subscribed(&server);
        let channel = "haat:{spring}:live/0";
        proxy.surround(channel, b"", &ended(channel));
        gateway.watch("spring").await;
        until("the subscription has ended", || proxy.has_surrounded() && gateway.engine.stats().moved == 1).await;
        // The room, its log, and the log again.
        until("it is made again", || subscribed(&server) == before + 3).await;
        gateway.engine.settle().await;
        gateway.insist("after").await;
        gateway.hears("after").await;
        assert_eq!(gateway.engine.stats().connections, (1, 1));
    }
);

redis_test!(
    /// The client takes it for the answer to what it has asked, and every later answer for that to the question before.
    connects_anew_when_a_subscription_that_ends_is_taken_for_an_answer,
    async || {
        let server = Server::start();
        let proxy = Proxy::start(server.port).await;
        let settings = RedisSettings { mode: Some(Mode::Sharded), ..RedisSettings::new(proxy.url()) };
        let gateway = Gateway::start(settings).await;
        gateway.join("red").await;
        proxy.surround("socket.io#/#blue#", &ended("socket.io#/#red#"), b"");
        gateway.join("blue").await;
        until("a new connection", || gateway.engine.stats().connections.1 == 2).await;
        assert!(proxy.has_surrounded());
        gateway.up().await;
        gateway.engine.settle().await;
        let mut node = Foreign::join(&server, &[]).await;
        for room in ["red", "blue"] {
            let packet = json!({"type": 2, "data": ["note", room]});
            let data = json!({"packet": packet, "opts": {"rooms": [room], "except": [], "flags": {}}});
            let message = json!({"type": 3, "data": data, "uid": "f00f00f00f00f00f", "nsp": "/"});
            node.says(&format!("socket.io#/#{room}#"), &message).await;
        }
        gateway.heard.broadcasts(2).await;
    }
);
