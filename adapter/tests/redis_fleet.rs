//! A gateway among others on one Redis: what it listens to, what Node gateways get of it, how it logs in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use std::{
    process::Command,
    sync::mpsc,
    time::{Duration, Instant},
};

use fleet::{Manner, chat, event, new, target, to_room};
use gateway::{Gateway, LONG, until};
use haat_adapter::{
    Adapter, Append, Broadcast, Flags, Health, Market, Request, Share, Spin, Stake, Store, Vote,
    market::{tally, votes},
    msgpack::{Binary, from_json, to_json},
    redis::{NodePeers, RedisSettings, Tls},
};
use serde_json::{Value, json};
use support::Server;

async fn append(gateway: &Gateway, stream: &str, text: &str) {
    new(gateway.engine.append(chat(stream, text)).await);
}

fn at(server: &Server) -> RedisSettings {
    RedisSettings::new(server.url())
}

/// All channels that somebody listens to, the gateway's own name taken out.
fn channels(server: &Server) -> Vec<String> {
    let mut channels: Vec<String> = server.command("PUBSUB CHANNELS");
    for channel in &mut channels {
        if let Some(rest) = channel.strip_prefix("socket.io-response#/#").filter(|rest| !rest.is_empty()) {
            assert_eq!(rest.len(), 7, "{channel}");
            *channel = "socket.io-response#/#<uid>#".to_owned();
        }
        if channel.starts_with("haat:canary:") {
            *channel = "haat:canary:<uid>".to_owned();
        }
    }
    channels.sort();
    channels
}

const FIXED: [&str; 6] = [
    "haat:canary:<uid>",
    "haat:gateways/0",
    "socket.io#/#",
    "socket.io-request#/#",
    "socket.io-response#/#",
    "socket.io-response#/#<uid>#",
];

/// What a Node gateway is to others: somebody who listens for requests, and to all broadcasts by a pattern.
struct Foreign {
    messages: mpsc::Receiver<(String, Vec<u8>)>,
    _stop: mpsc::Sender<()>,
}

impl Foreign {
    fn join(server: &Server) -> Self {
        let client = redis::Client::open(server.url()).unwrap();
        let (sender, messages) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut connection = client.get_connection().unwrap();
            let mut listening = connection.as_pubsub();
            listening.subscribe("socket.io-request#/#").unwrap();
            listening.subscribe("socket.io-response#/#foreig#").unwrap();
            listening.psubscribe("socket.io#/#*").unwrap();
            listening.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            ready.send(()).unwrap();
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                if let Ok(message) = listening.get_message() {
                    let payload = message.get_payload_bytes().to_vec();
                    let _ = sender.send((message.get_channel_name().to_owned(), payload));
                }
            }
        });
        is_ready.recv_timeout(LONG).unwrap();
        Self { messages, _stop: stop }
    }

    /// The next message on a channel that holds `part`.
    async fn hears(&self, part: &str) -> (String, Vec<u8>) {
        let started = Instant::now();
        loop {
            match self.messages.try_recv() {
                Ok((channel, payload)) if channel.contains(part) => return (channel, payload),
                Ok(_) => {}
                Err(_) => {
                    assert!(started.elapsed() < LONG, "nothing on {part}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }
}

fn json_of(payload: &[u8]) -> Value {
    let (json, _) = to_json(payload, Binary::Attach).unwrap();
    serde_json::from_str(&json).unwrap()
}

redis_test!(listens_once_and_to_nothing_by_a_pattern, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings { namespaces: vec!["/".to_owned()], ..at(&server) }).await;
    assert_eq!(channels(&server), FIXED);
    assert_eq!(server.command::<i64>("PUBSUB NUMPAT"), 0);
    let counted: (String, i64) = server.command("PUBSUB NUMSUB socket.io-request#/#");
    assert_eq!(counted.1, 1);
    gateway.engine.close().await;
    assert_eq!(channels(&server), Vec::<String>::new());
    assert!(matches!(gateway.engine.health(), Health::Down(_)));
});

redis_test!(listens_to_exactly_the_rooms_that_have_members, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    const ROOMS: usize = 1_200;
    for index in 0..ROOMS {
        gateway.engine.interest("/", &format!("user:{index}"), true);
    }
    gateway.join("stream:spring").await;
    // A stream has a second channel, that of its log.
    assert_eq!(channels(&server).len(), FIXED.len() + ROOMS + 2);
    assert!(channels(&server).contains(&"haat:{spring}:live/0".to_owned()));
    for index in 0..ROOMS {
        gateway.engine.interest("/", &format!("user:{index}"), false);
    }
    // Who comes back soon is not missed.
    gateway.engine.interest("/", "user:7", true);
    until("the rooms are left", || channels(&server).len() == FIXED.len() + 3).await;
    assert!(channels(&server).contains(&"socket.io#/#user:7#".to_owned()));
    assert_eq!(gateway.engine.stats().channels, FIXED.len() + 3);
});

redis_test!(stops_with_its_last_owner, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    drop(gateway);
    until("nobody listens", || channels(&server).is_empty()).await;
});

redis_test!(tells_node_gateways_of_entries_while_there_are_any, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    gateway.join("stream:spring").await;
    append(&gateway, "spring", "alone").await;
    let heard = gateway.engine.stats().heard;
    let node = Foreign::join(&server);
    let mut sent = 0;
    // Found within seconds.
    let (channel, payload) = loop {
        sent += 1;
        assert!(sent < 3_000, "Node is never found");
        append(&gateway, "spring", "together").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Ok(message) = node.messages.try_recv() {
            break message;
        }
    };
    let seq = 1 + sent;
    assert_eq!(channel, "socket.io#/#stream:spring#");
    let [uid, packet, opts] = json_of(&payload).as_array().unwrap().clone().try_into().unwrap();
    assert_eq!(uid, "haat-log");
    let entry = json!({"stream": "spring", "seq": packet["data"][1]["seq"], "text": "together"});
    assert_eq!(packet, json!({"type": 2, "data": ["chat:message", entry], "nsp": "/"}));
    assert_eq!(opts, json!({"rooms": ["stream:spring"], "except": [], "flags": {}}));
    assert!(packet["data"][1]["seq"].as_u64() <= Some(seq));
    // It comes to this gateway as well, which knows it for what it is.
    gateway.heard.entries("spring", seq as usize).await;
    assert!(gateway.engine.stats().heard > heard);
    assert_eq!(gateway.heard.until(|_| true, |heard| heard.broadcasts.len()).await, 0);
    drop(node);
    until("they are gone", || server.command::<i64>("PUBSUB NUMPAT") == 0).await;
});

redis_test!(tells_node_gateways_of_counters_and_prizes, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings { node_peers: NodePeers::Always, ..at(&server) }).await;
    let node = Foreign::join(&server);
    append(&gateway, "spring", "first").await;
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (pool, stream) = ("poll.color@1".to_owned(), "spring".to_owned());
    for user in 0..12 {
        let user = format!("user-{user}");
        let vote = Vote { stream: stream.clone(), pool: pool.clone(), user, options: 1, ..Vote::default() };
        gateway.engine.vote(vote).await.unwrap();
    }
    let counted = Append {
        data: texts(&[r#"{"seq":"#, r#","votes":"#, r#","text":"all "#, " of ", r#""}"#]),
        fill: vec![None, Some(votes(&pool)), Some(tally(&pool, 0)), Some("never".to_owned())],
        ..chat("spring", "")
    };
    new(gateway.engine.append(counted).await);
    let prize = Stake { id: "p".to_owned(), weight: 1, stock: None, text: r#"{"id":"p"}"#.to_owned() };
    let spin = Spin {
        id: "s1".to_owned(),
        pool: "wheel.w@1".to_owned(),
        user: "ana".to_owned(),
        prizes: vec![prize],
        draws: vec![7],
        by: "null".to_owned(),
        data: texts(&["{", ",", ",", "}"]),
        event: "wheel:won".to_owned(),
        won: texts(&[r#"{"seq":"#, r#","prize":"#, "}"]),
        stream,
        ..Spin::default()
    };
    gateway.engine.spin(spin).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(json_of(&node.hears("stream:spring").await.1)[1]["data"].clone());
    }
    assert_eq!(heard[1], json!(["chat:message", {"seq": 2, "votes": 12, "text": "all 12 of 0"}]));
    assert_eq!(heard[2], json!(["wheel:won", {"seq": 3, "prize": {"id": "p"}}]));
});

redis_test!(hears_what_node_sends_to_a_single_socket_once, async || {
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings { node_peers: NodePeers::Always, ..at(&server) }).await;
    let sid = "aBcDeFgHiJkLmNoPqRsT";
    let message = |text: &str| {
        let json = format!(
            r#"["node",{{"type":2,"data":["note","{text}"],"nsp":"/"}},{{"rooms":["{sid}"],"except":[],"flags":{{}}}}]"#
        );
        let mut payload = Vec::new();
        from_json(&mut payload, &json, &[]).unwrap();
        redis::cmd("PUBLISH").arg(format!("socket.io#/#{sid}#")).arg(payload).exec(&mut server.connection()).unwrap();
    };
    gateway.heard.join("/", sid);
    message("by the pattern");
    gateway.heard.broadcasts(1).await;
    // Now both its name and the pattern bring it.
    gateway.join(sid).await;
    message("by both");
    message("last");
    let heard = gateway.heard.broadcasts(3).await;
    let texts: Vec<_> = heard.iter().map(|broadcast| broadcast.event.args.as_str()).collect();
    assert_eq!(texts, [r#"["note","by the pattern"]"#, r#"["note","by both"]"#, r#"["note","last"]"#]);
});

redis_test!(reaches_a_single_socket_of_another_gateway, async || {
    let server = Server::start();
    let (one, other) = (Gateway::start(at(&server)).await, Gateway::start(at(&server)).await);
    other.heard.join("/", "aBcDeFgHiJkLmNoPqRsT");
    let private = to_room("aBcDeFgHiJkLmNoPqRsT", "for you");
    one.engine.broadcast(private.clone()).unwrap();
    assert_eq!(other.heard.broadcasts(1).await, [private]);
});

redis_test!(answers_node_on_its_own_channel, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    *gateway.heard.manner.lock().unwrap() = Manner::Answers(vec![json!({"id": "a", "rooms": ["a", "red"]})]);
    let node = Foreign::join(&server);
    let ask = |request: Value| {
        let mut connection = server.connection();
        redis::cmd("PUBLISH").arg("socket.io-request#/#").arg(request.to_string()).exec(&mut connection).unwrap();
    };
    let opts = json!({"rooms": ["red"], "except": []});
    ask(json!({"uid": "foreig", "requestId": "one", "type": 5, "opts": opts}));
    let (_, answer) = node.hears("socket.io-response#/#foreig#").await;
    let expected = json!({"requestId": "one", "sockets": [{"id": "a", "rooms": ["a", "red"]}]});
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), expected);
    ask(json!({"uid": "foreig", "requestId": "two", "type": 1}));
    let (_, answer) = node.hears("socket.io-response#/#foreig#").await;
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({"requestId": "two", "rooms": ["a", "red"]}));
    // The old form: the gateway that has the socket puts it into the room, and says so.
    ask(json!({"uid": "foreig", "requestId": "three", "type": 2, "sid": "a", "room": "blue"}));
    let (_, answer) = node.hears("socket.io-response#/#foreig#").await;
    assert_eq!(serde_json::from_slice::<Value>(&answer).unwrap(), json!({"requestId": "three"}));
    // The emitter gives no name, and gets no answer.
    ask(json!({"type": 4, "opts": opts, "close": true}));
    let requests = gateway.heard.requests(5).await;
    assert_eq!(requests[3], Request::Join(target(&["a"]), vec!["blue".to_owned()]));
    assert_eq!(requests[4], Request::Disconnect { target: target(&["red"]), close: true });
});

redis_test!(tells_node_how_many_were_asked_and_each_ack_as_it_comes, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    let node = Foreign::join(&server);
    let ask = |id: &str| {
        let asked = json!({
            "uid": "foreig", "requestId": id, "type": 7, "packet": {"type": 2, "data": ["q"], "nsp": "/"},
            "opts": {"rooms": [], "except": [], "flags": {}},
        });
        let mut payload = Vec::new();
        from_json(&mut payload, &asked.to_string(), &[]).unwrap();
        redis::cmd("PUBLISH").arg("socket.io-request#/#").arg(payload).exec(&mut server.connection()).unwrap();
    };
    let answer = async || {
        let (_, answer) = node.hears("socket.io-response#/#foreig#").await;
        if answer[0] == b'{' { serde_json::from_slice::<Value>(&answer).unwrap() } else { json_of(&answer) }
    };
    let count = async |id: &str, count: u64| {
        let said = answer().await;
        assert_eq!((&said["type"], &said["requestId"], &said["clientCount"]), (&json!(8), &json!(id), &json!(count)));
    };
    let ack = async |id: &str, value: Value| {
        let said = answer().await;
        assert_eq!((&said["type"], &said["requestId"], &said["packet"]), (&json!(9), &json!(id), &value));
    };
    ask("one");
    gateway.heard.requests(1).await;
    let reply = gateway.heard.askers().remove(0);
    // Two of three are silent for as long as the asker waits.
    reply.receivers(3);
    count("one", 3).await;
    reply.ack(json!("first")).unwrap();
    ack("one", json!("first")).await;
    reply.ack(json!("second")).unwrap();
    ack("one", json!("second")).await;
    reply.send(vec![json!("rest")]);
    ack("one", json!("rest")).await;

    // A gateway that says it all at once says that, too.
    ask("two");
    gateway.heard.requests(2).await;
    gateway.heard.askers().remove(0).send(vec![json!(1), json!(2)]);
    count("two", 2).await;
    ack("two", json!(1)).await;
    ack("two", json!(2)).await;

    // More acks than are kept for the queue are told in the end.
    ask("three");
    gateway.heard.requests(3).await;
    let reply = gateway.heard.askers().remove(0);
    reply.receivers(2_000);
    let rest: Vec<Value> = (0..2_000).filter_map(|number| reply.ack(json!(number)).err()).collect();
    assert!(!rest.is_empty(), "there is a bound");
    reply.send(rest);
    count("three", 2_000).await;
    for number in 0..2_000 {
        ack("three", json!(number)).await;
    }
});

redis_test!(waits_for_node_and_tells_when_it_does_not_answer, async || {
    let server = Server::start();
    let gateway = Gateway::start(at(&server)).await;
    let node = Foreign::join(&server);
    let asking = gateway.engine.request(Request::FetchSockets(target(&["red"])), LONG);
    let (_, request) = node.hears("socket.io-request#/#").await;
    let request: Value = serde_json::from_slice(&request).unwrap();
    assert_eq!((&request["type"], &request["opts"]), (&json!(5), &json!({"rooms": ["red"], "except": []})));
    let answer = json!({"requestId": request["requestId"], "sockets": [{"id": "x"}]});
    let channel = format!("socket.io-response#/#{}#", request["uid"].as_str().unwrap());
    redis::cmd("PUBLISH").arg(channel).arg(answer.to_string()).exec(&mut server.connection()).unwrap();
    assert_eq!(asking.await.unwrap().answers, [vec![json!({"id": "x"})]]);

    let silent =
        gateway.engine.request(Request::FetchSockets(target(&[])), Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((silent.expected, silent.partial.answers.len()), (1, 0));
    // Node counts its receivers, then each of them answers; it does not say who it is.
    let broadcast = Broadcast { target: target(&[]), flags: Flags::default(), event: event("q") };
    let asking = gateway.engine.request(Request::BroadcastAck(broadcast), LONG);
    let (id, uid) = loop {
        let (_, request) = node.hears("socket.io-request#/#").await;
        if request[0] != b'{' {
            let request = json_of(&request);
            break (request["requestId"].clone(), request["uid"].as_str().unwrap().to_owned());
        }
    };
    let said = [
        json!({"type": 8, "requestId": id, "clientCount": 2}),
        json!({"type": 9, "requestId": id, "packet": 1}),
        json!({"type": 9, "requestId": id, "packet": 2}),
    ];
    for said in said {
        let channel = format!("socket.io-response#/#{uid}#");
        redis::cmd("PUBLISH").arg(channel).arg(said.to_string()).exec(&mut server.connection()).unwrap();
    }
    assert_eq!(asking.await.unwrap().answers, [vec![json!(1), json!(2)]]);
});

redis_test!(hears_nothing_of_another_deployment, async || {
    let server = Server::start();
    let other_prefix = RedisSettings { prefix: "shop".to_owned(), channel_prefix: "shop.io".to_owned(), ..at(&server) };
    let other_database =
        RedisSettings { channel_prefix: "three.io".to_owned(), ..RedisSettings::new(format!("{}/3", server.url())) };
    let mut gateways = Vec::new();
    for settings in [at(&server), other_prefix, other_database] {
        let gateway = Gateway::start(settings).await;
        gateway.join("stream:spring").await;
        gateways.push(gateway);
    }
    for (index, gateway) in gateways.iter().enumerate() {
        append(gateway, "spring", &index.to_string()).await;
        gateway.engine.broadcast(to_room("stream:spring", &index.to_string())).unwrap();
    }
    for (index, gateway) in gateways.iter().enumerate() {
        let entries = gateway.heard.entries("spring", 1).await;
        assert_eq!((entries.len(), entries[0].position.seq), (1, 1));
        assert!(entries[0].data.contains(&format!("\"{index}\"")));
        assert_eq!(gateway.heard.until(|_| true, |heard| heard.broadcasts.len()).await, 0);
        assert_eq!(gateway.engine.streams().await, Ok(vec!["spring".to_owned()]));
    }
});

redis_test!(needs_no_more_rights_than_the_documented_ones, async || {
    let server = Server::start();
    let rights = "~haat:* &haat:* &socket.io* +@all -@admin -@dangerous +info -eval -function";
    server.command::<()>(&format!("ACL SETUSER gateway on >s3cret {rights}"));
    server.command::<()>("ACL SETUSER default off");
    let url = |password: &str| format!("redis://gateway:{password}@127.0.0.1:{}", server.port);
    let gateway = Gateway::start(RedisSettings::new(url("s3cret"))).await;
    gateway.join("stream:spring").await;
    append(&gateway, "spring", "hi").await;
    gateway.heard.entries("spring", 1).await;

    let refused = Gateway::new(RedisSettings::new(url("canary")));
    let Health::Down(why) = refused.engine.up(Duration::from_secs(1)).await else { panic!("anybody may come in") };
    assert!(!why.contains("canary"), "{why}");
    assert!(why.to_lowercase().contains("password") || why.contains("AUTH"), "{why}");
});

redis_test!(speaks_tls_and_checks_who_answers, async || {
    let folder = std::env::temp_dir().join(format!("haat-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let openssl = |arguments: &str| {
        let arguments = arguments.replace("%", &format!("{}/", folder.display()));
        let made = Command::new("openssl").args(arguments.split(' ')).output();
        made.is_ok_and(|made| made.status.success())
    };
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost").unwrap();
    let made = openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=roots -keyout %ca.key -out %ca.crt")
        && openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=others -keyout %other.key -out %other.crt")
        && openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout %redis.key -out %redis.csr")
        && openssl(
            "x509 -req -in %redis.csr -CA %ca.crt -CAkey %ca.key -CAcreateserial -days 2 -extfile %names -out %redis.crt",
        );
    if !made {
        println!("skipped: openssl cannot make certificates");
        return;
    }
    let port = support::free_port().to_string();
    let (key, certificate, roots) = (path("redis.key"), path("redis.crt"), path("ca.crt"));
    let options =
        ["--tls-port", &port, "--tls-key-file", &key, "--tls-cert-file", &certificate, "--tls-ca-cert-file", &roots];
    let server = Server::with(&options);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let settings = |roots: &str, with_identity: bool| {
        let identity = with_identity.then(|| (read("redis.crt"), read("redis.key")));
        let tls = Tls { roots: Some(read(roots)), identity };
        RedisSettings { tls, ..RedisSettings::new(format!("rediss://localhost:{port}")) }
    };
    let gateway = Gateway::start(settings("ca.crt", true)).await;
    gateway.join("stream:spring").await;
    append(&gateway, "spring", "hi").await;
    gateway.heard.entries("spring", 1).await;
    for settings in [settings("other.crt", true), settings("ca.crt", false)] {
        let refused = Gateway::new(settings);
        assert!(matches!(refused.engine.up(Duration::from_secs(1)).await, Health::Down(_)));
    }
    drop(server);
    let _ = std::fs::remove_dir_all(folder);
});

redis_test!(goes_by_a_socket_of_this_machine, async || {
    let socket = std::env::temp_dir().join(format!("haat-socket-{}", std::process::id()));
    let server = Server::with(&["--unixsocket", &socket.display().to_string()]);
    let gateway = Gateway::start(RedisSettings::new(format!("unix://{}", socket.display()))).await;
    gateway.join("stream:spring").await;
    append(&gateway, "spring", "hi").await;
    gateway.heard.entries("spring", 1).await;
    drop(server);
});

redis_test!(
    /// Whoever only reads the totals has no lease, and says nothing of when one may lapse.
    a_reader_of_totals_leaves_the_leases_alone,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(at(&server)).await;
        let sync = async |name: &str, lease: Duration, viewers| {
            let share = Share { stream: "spring".to_owned(), viewers, ..Share::default() };
            gateway.engine.sync(name, lease, vec![share]).await.remove(0).unwrap().viewers
        };
        let due = || server.command::<String>("HGET haat:{spring}:audience d");
        // As if one of them may have lapsed: they are added up.
        let pass = || server.command::<()>("HSET haat:{spring}:audience d 1");
        assert_eq!(sync("one", LONG, 5).await, 5);
        pass();
        assert_eq!(sync("reader", Duration::ZERO, 0).await, 5);
        let lease: String = server.command("HGET haat:{spring}:leases one");
        assert_eq!(due(), lease.split(' ').nth(1).unwrap(), "they need not be added up again before");
        assert_eq!(sync("one", LONG, 0).await, 0);
        pass();
        assert_eq!(sync("reader", Duration::ZERO, 0).await, 0);
        assert_eq!(due(), "0", "there is none");
    }
);
