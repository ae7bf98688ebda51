//! Whoever can publish on Redis can say anything: nothing of it ends a gateway, reaches its members, or keeps them from what
//! is true. Every channel that a gateway listens to gets every row of the table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[allow(dead_code, reason = "the contract's cases use the rest")]
#[path = "contract/fleet.rs"]
mod fleet;
#[macro_use]
#[path = "support/gateway.rs"]
mod gateway;
mod support;

use fleet::{chat, seqs};
use gateway::{Gateway, LONG, unavailable, until};
use haat_adapter::{
    Append, Counter, LogRead, Market, Position, Share, Store,
    market::FOREIGN,
    msgpack::from_json,
    redis::{Mode, RedisSettings},
};
use support::Server;

/// A value as Node's adapters write it.
fn msgpack(json: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    from_json(&mut payload, json, &[]).unwrap();
    payload
}

/// Bytes that nothing can be made of.
fn noise(seed: &mut u64, length: usize) -> Vec<u8> {
    let mut byte = || {
        // xorshift64
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed >> 32) as u8
    };
    // What begins so is none of the forms that there are.
    std::iter::once(0xc1).chain(std::iter::repeat_with(&mut byte)).take(length).collect()
}

/// The catalogue: what is sent, by its name there.
fn catalogue(seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut random = seed;
    for length in [1, 2, 10, 100, 1_000, 60_000] {
        rows.push(("BR1 random bytes", noise(&mut random, length)));
    }
    rows.push(("BR1 nothing", Vec::new()));
    for json in [
        "[]",
        r#"["uid"]"#,
        r#"["uid",null,null]"#,
        r#"["uid",{"type":2,"data":["x"],"nsp":"/"},7]"#,
        r#"[1,2,3]"#,
        r#"{"uid":{},"type":[]}"#,
        r#"{"uid":"x","type":7,"requestId":"r"}"#,
        r#"["uid",{"type":2,"data":[],"nsp":"/"},{"rooms":[],"except":[]}]"#,
        r#"["uid",{"type":2,"data":["connect"],"nsp":"/"},{"rooms":[],"except":[]}]"#,
        r#"["uid",{"type":2,"data":["disconnect"],"nsp":"/"},{"rooms":[],"except":[]}]"#,
        r#"["uid",{"type":0,"data":["x"],"nsp":"/"},{"rooms":[],"except":[]}]"#,
        r#"["uid",{"type":2,"data":null,"nsp":"/"},{"rooms":[],"except":[]}]"#,
        r#"["uid",{"type":2,"data":["x"],"nsp":"/"},{"rooms":{},"except":"red"}]"#,
    ] {
        rows.push(("BR2 msgpack of another shape", msgpack(json)));
        if json.starts_with('{') {
            rows.push(("BR2 JSON of another shape", json.as_bytes().to_vec()));
        }
    }
    for head in [0xc6_u8, 0xdb, 0xdd, 0xdf, 0xc9] {
        rows.push(("BR3 more is announced than there is", [&[head, 0xff, 0xff, 0xff, 0xff], &b"abcde"[..]].concat()));
    }
    rows.push(("BR4 a depth of 100,000", vec![0x91; 100_000]));
    rows.push(("BR4 the same as JSON", format!("{{\"type\":{}", "[".repeat(100_000)).into_bytes()));
    rows.push(("BR4 text that is none", [&[0x93, 0xa2, 0xff, 0xfe], &b"\x80\x80"[..]].concat()));
    rows.push(("BR4 an unknown ext type", vec![0x93, 0xd4, 0x42, 0x01, 0x80, 0x80]));
    rows.push(("BR5 much more than is taken", vec![0xc0; 8 << 20]));
    rows.push(("BR6 an unknown type", br#"{"uid":"x","requestId":"r","type":99}"#.to_vec()));
    rows.push(("BR6 a version of the future", b"99 a record of the future\n".to_vec()));
    rows.push(("BR8 a negative number", b"1 abcdefgh -5 1 2 0\n2:{}".to_vec()));
    rows.push(("BR8 no number", b"1 abcdefgh  1 2 0\n2:{}".to_vec()));
    rows
}

async fn survives(mode: Mode) {
    let seed = 0x5eed_u64;
    let server = Server::start();
    let gateway = Gateway::start(RedisSettings { mode: Some(mode), ..RedisSettings::new(server.url()) }).await;
    gateway.watch("spring").await;
    gateway.join("red").await;
    let (list, publish) = match mode {
        Mode::Classic => ("PUBSUB CHANNELS", "PUBLISH"),
        Mode::Sharded => ("PUBSUB SHARDCHANNELS", "SPUBLISH"),
    };
    let channels: Vec<String> = server.command(list);
    assert!(channels.len() >= 5, "{channels:?}");
    let mut connection = server.connection();
    for channel in &channels {
        for (row, payload) in catalogue(seed) {
            let before = gateway.engine.stats();
            redis::cmd(publish).arg(channel).arg(payload).exec(&mut connection).unwrap();
            until(&format!("{row} on {channel} is heard, seed {seed:#x}"), || {
                gateway.engine.stats().heard > before.heard
            })
            .await;
        }
    }
    assert!(gateway.engine.stats().unclear > 3 * catalogue(seed).len() as u64, "{:?}", gateway.engine.stats());
    gateway.insist("after").await;
    gateway.hears("after").await;
    let heard = gateway.heard.until(|_| true, |heard| (heard.broadcasts.clone(), heard.requests.clone())).await;
    assert_eq!(heard, (vec![], vec![]));
    assert_eq!(gateway.engine.stats().connections, (1, 1), "nothing of it is a reason to connect anew");
}

redis_test!(makes_nothing_of_hostile_bytes_on_any_channel, async || survives(Mode::Classic).await);

redis_test!(makes_nothing_of_hostile_bytes_on_any_sharded_channel, async || survives(Mode::Sharded).await);

redis_test!(
    /// BR6: what has the gateway's own name on it was said by itself, and another namespace is none of its business.
    leaves_what_is_not_for_it,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        let channels: Vec<String> = server.command("PUBSUB CHANNELS");
        let uid = channels.iter().find_map(|channel| {
            channel.strip_prefix("socket.io-response#/#")?.strip_suffix('#').filter(|uid| !uid.is_empty())
        });
        let own = format!(r#"["{}",{{"type":2,"data":["x"],"nsp":"/"}},{{"rooms":[],"except":[]}}]"#, uid.unwrap());
        let elsewhere = r#"["another",{"type":2,"data":["x"],"nsp":"/admin"},{"rooms":[],"except":[]}]"#;
        let fine = r#"["another",{"type":2,"data":["fine"],"nsp":"/"},{"rooms":[],"except":[]}]"#;
        for payload in [&own, elsewhere, fine] {
            let mut connection = server.connection();
            redis::cmd("PUBLISH").arg("socket.io#/#").arg(msgpack(payload)).exec(&mut connection).unwrap();
        }
        let heard = gateway.heard.broadcasts(1).await;
        assert_eq!(heard.iter().map(|broadcast| &*broadcast.event.args).collect::<Vec<_>>(), [r#"["fine"]"#]);
    }
);

redis_test!(
    /// BR8: a number that was there before names nothing new.
    delivers_no_number_twice_and_none_backwards,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.watch("spring").await;
        for text in ["one", "two", "three"] {
            gateway.insist(text).await;
        }
        gateway.hears("three").await;
        let records: Vec<Vec<u8>> = server.command("LRANGE haat:{spring}:log 0 -1");
        for record in records.iter().chain(&records).rev() {
            let mut connection = server.connection();
            redis::cmd("PUBLISH").arg("haat:{spring}:live/0").arg(record).exec(&mut connection).unwrap();
        }
        gateway.insist("four").await;
        gateway.hears("four").await;
        assert_eq!(gateway.heard.until(|_| true, |heard| seqs(&heard.entries)).await, [1, 2, 3, 4]);
    }
);

redis_test!(
    /// BR8: a number far ahead, or another epoch, that was only published makes the gateway look at the log, no more. Else it
    /// would take what is true for a loss, and pause what is on sale.
    believes_the_log_and_not_who_publishes,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.watch("spring").await;
        let before = gateway.insist("one").await.position.epoch.clone();
        gateway.hears("one").await;
        let record: String = server.command("LINDEX haat:{spring}:log -1");
        let (head, body) = record.split_once(" 1 ").unwrap();
        for forged in [
            format!("{head} {} {body}", 1_u64 << 40),
            format!("{head} {} {body}", u64::MAX),
            format!("1 elsewhere {} {body}", 1_u64 << 40),
            format!("1 elsewhere 1 {body}"),
        ] {
            let heard = gateway.engine.stats().heard;
            redis::cmd("PUBLISH").arg("haat:{spring}:live/0").arg(forged).exec(&mut server.connection()).unwrap();
            until("it is heard", || gateway.engine.stats().heard > heard).await;
        }
        let next = gateway.insist("two").await;
        assert_eq!((next.position.seq, &next.position.epoch), (2, &before));
        gateway.hears("two").await;
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut asking);
        assert_eq!(gateway.insist("three").await.position.epoch, before);
        assert_eq!(gateway.engine.stats().rewound, 0);
    }
);

redis_test!(
    /// BR8: the same number in Redis itself counts: there is no better one. One that is none refuses whatever needs it.
    goes_on_from_a_number_far_ahead,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.watch("spring").await;
        gateway.insist("one").await;
        for number in ["-5", "1.5", "nan", "inf", "x", "9007199254740992", "1e300"] {
            server.command::<()>(&format!("HSET haat:{{spring}}:meta seq {number}"));
            assert!(unavailable(gateway.say("refused").await).contains("number of the stream"), "{number}");
            assert_eq!(server.command::<u64>("LLEN haat:{spring}:log"), 1, "{number}");
        }
        let far = 1_u64 << 40;
        server.command::<()>(&format!("HSET haat:{{spring}}:meta seq {far}"));
        let read = gateway.engine.read("spring", Position::default(), 10).await.unwrap();
        assert!(matches!(read, LogRead::Gone(present) if present.seq == far), "no gap is silent");
        assert_eq!(gateway.insist("on").await.position.seq, far + 1);
        gateway.hears("on").await;
    }
);

redis_test!(
    /// BR8: all streams share the clock. One that is no number, or is so far ahead that it would stand still, begins again.
    winds_up_a_clock_that_has_stopped,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        let mut last = gateway.insist("one").await.clock;
        for clock in ["x", "-1", "nan", "1e300", "9007199254740992", "18446744073709551615"] {
            server.command::<()>(&format!("SET haat:clock {clock}"));
            gateway.engine.snapshot("spring", "", 0).await.unwrap();
            let next = gateway.insist(clock).await.clock;
            assert!(next > last, "{next} after {last}, {clock}");
            last = next;
        }
    }
);

redis_test!(
    /// BR9: a stream whose keys are none of ours is not to be had. All others are, also on a new connection.
    loses_one_stream_to_a_key_of_another_type,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        gateway.insist("one").await;
        gateway.insist_on("summer", "one").await;
        server.command::<()>("DEL haat:{spring}:meta");
        server.command::<()>("SET haat:{spring}:meta planted");
        let made = gateway.engine.stats().connections.0;
        let mut asking = server.connection();
        let _ = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").exec(&mut asking);
        until("a new connection", || gateway.engine.stats().connections.0 > made).await;
        gateway.insist_on("summer", "two").await;
        assert!(unavailable(gateway.say("refused").await).contains("WRONGTYPE"));
    }
);

redis_test!(
    /// BR9: its numbers are not to be had either. Those of all others are, and are added up once.
    counts_for_the_others_where_one_stream_cannot_be_counted,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        server.command::<()>("SET haat:{spring}:audience planted");
        let add = vec![Counter { name: "messages".to_owned(), value: 3 }];
        let share = |stream: &str| Share { stream: stream.to_owned(), viewers: 2, add: add.clone(), ..Share::default() };
        let shares = ["winter", "spring", "summer"].map(share).to_vec();
        let mut totals = gateway.engine.sync("g", LONG, shares).await;
        let winter = totals.remove(0).unwrap();
        assert_eq!((winter.viewers, winter.counters), (2, add.clone()));
        assert!(unavailable(totals.remove(0)).contains("WRONGTYPE"));
        assert_eq!(totals.remove(0).unwrap().counters, add);
    }
);

redis_test!(
    /// BR9: an entry that cannot be read is as good as gone. Nobody waits for it, and nobody is kept from what is around it.
    goes_on_behind_a_damaged_entry,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        for text in ["one", "two", "three", "four"] {
            gateway.insist(text).await;
        }
        let second: String = server.command("LINDEX haat:{spring}:log 1");
        let damaged = [second.replace("two", "owt"), second.replacen("1 ", "9 ", 1), "nonsense".to_owned(), String::new()];
        for (number, damaged) in damaged.iter().enumerate() {
            let set = redis::cmd("LSET").arg("haat:{spring}:log").arg(1).arg(damaged).exec(&mut server.connection());
            set.unwrap();
            let epoch = gateway.engine.snapshot("spring", "", 0).await.unwrap().unwrap().position.epoch;
            let read = async |after, limit| {
                let position = Position { epoch: epoch.clone(), seq: after };
                gateway.engine.read("spring", position, limit).await.unwrap()
            };
            let before = read(0, 1).await;
            assert!(matches!(&before, LogRead::Entries(entries) if seqs(entries) == [1]), "{damaged:?}: {before:?}");
            for (after, limit) in [(0, 2), (1, 1), (1, 10)] {
                let present = Position { epoch: epoch.clone(), seq: 4 };
                assert_eq!(read(after, limit).await, LogRead::Gone(present), "{damaged:?}");
            }
            let behind = read(2, 10).await;
            assert!(matches!(&behind, LogRead::Entries(entries) if seqs(entries) == [3, 4]), "{damaged:?}: {behind:?}");
            let snapshot = gateway.engine.snapshot("spring", "chat:message", 10).await.unwrap().unwrap();
            assert_eq!(seqs(&snapshot.history), [1, 3, 4], "{damaged:?}");
            let history = gateway.engine.history("spring", "chat:message", Some(4), 10).await.unwrap();
            assert_eq!(seqs(&history), [1, 3], "{damaged:?}");
            assert!(gateway.engine.stats().unclear > number as u64, "{damaged:?}");
        }
        assert_eq!(gateway.insist("five").await.position.seq, 5);
    }
);

redis_test!(
    /// Where somebody has put records into a log, or taken some out, numbers and places do not agree any more: no entry is
    /// taken for another.
    takes_no_entry_for_another,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        let first = gateway.insist("one").await;
        server.command::<()>("RPUSH haat:{spring}:log nonsense");
        let read = gateway.engine.read("spring", Position::default(), 10).await.unwrap();
        assert_eq!(read, LogRead::Gone(first.position.clone()), "the first one is not where it belongs");
        let second = gateway.insist("two").await;
        assert_eq!(second.position.seq, 2);
        let read = async || gateway.engine.read("spring", first.position.clone(), 10).await.unwrap();
        assert_eq!(read().await, LogRead::Entries(vec![second.clone()]));
        server.command::<()>("LTRIM haat:{spring}:log 0 0");
        assert_eq!(read().await, LogRead::Gone(second.position.clone()), "the first one stands where the second one should");
    }
);

redis_test!(
    /// A page of history is as full as it can be, also where most of a log is of a form that this gateway does not know.
    reads_a_history_behind_forms_of_the_future,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        for number in 0..6 {
            gateway.insist(&number.to_string()).await;
        }
        for place in 1..6 {
            let record: String = server.command(&format!("LINDEX haat:{{spring}}:log {place}"));
            let newer = record.replacen("1 ", "9 ", 1);
            let set = redis::cmd("LSET").arg("haat:{spring}:log").arg(place).arg(newer).exec(&mut server.connection());
            set.unwrap();
        }
        let history = gateway.engine.history("spring", "chat:message", None, 2).await.unwrap();
        assert_eq!(seqs(&history), [1]);
    }
);

redis_test!(
    /// What somebody else has put into a ledger is named, and has its place in the page.
    names_what_is_foreign_in_a_ledger,
    async || {
        let server = Server::start();
        let gateway = Gateway::start(RedisSettings::new(server.url())).await;
        let said = async |text| {
            let append = Append { record: Some("null".to_owned()), ..chat("spring", text) };
            gateway.engine.append(append).await.unwrap();
        };
        said("one").await;
        for _ in 0..25 {
            server.command::<String>("XADD haat:{spring}:ledger * order 17");
        }
        said("two").await;
        let (mut after, mut kinds) = (String::new(), Vec::new());
        loop {
            let page = gateway.engine.ledger("spring", &after, 10).await.unwrap();
            kinds.extend(page.iter().map(|record| record.kind.to_string()));
            match page.last().filter(|_| page.len() == 10) {
                Some(last) => after = last.id.to_string(),
                None => break,
            }
        }
        assert_eq!(kinds.iter().filter(|kind| **kind == FOREIGN).count(), 25);
        kinds.retain(|kind| *kind != FOREIGN);
        assert_eq!(kinds, ["chat:message", "chat:message"]);
    }
);
