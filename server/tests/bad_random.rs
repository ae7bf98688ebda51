//! Random input: bytes that mean nothing, and packets that begin well. Whatever it is, innocent viewers go on as before.
//! A run that fails prints its seed; `SEED=… cargo nextest run …` runs it again.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{ops::Range, time::Duration};

use serde_json::json;
use support::{
    World,
    echo::SOCKET_IO,
    innocents::Innocents,
    now,
    polling::Polling,
    token,
    wire::{UPGRADE, Wire, frame, handshake, request, text},
};

/// Numbers that depend on the seed alone (SplitMix64).
struct Random(u64);

impl Random {
    /// The seed that was asked for, or another each time.
    fn seeded() -> (u64, Self) {
        let asked = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
        let seed = asked.unwrap_or_else(|| now().wrapping_mul(u64::from(std::process::id())));
        (seed, Self(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn number(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % (range.end - range.start) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.number(0..from.len())]
    }

    fn bytes(&mut self, length: Range<usize>) -> Vec<u8> {
        (0..self.number(length)).map(|_| self.next() as u8).collect()
    }

    /// A few changes at random places.
    fn spoil(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..self.number(1..4) {
            let place = self.number(0..bytes.len() + 1);
            match self.number(0..6) {
                0 => bytes.truncate(place),
                1 => drop(bytes.splice(place..place, self.bytes(1..20))),
                2 => bytes.extend_from_within(place..),
                3 if place < bytes.len() => bytes[place] ^= 1 << self.number(0..8),
                4 if place < bytes.len() => drop(bytes.remove(place)),
                _ => drop(bytes.splice(place..place, self.pick(&TOKENS).bytes())),
            }
        }
        bytes
    }
}

/// A run against one server, with innocent viewers on it.
struct Run {
    seed: u64,
    random: Random,
    world: World,
    innocents: Innocents,
}

impl Run {
    #[expect(clippy::print_stderr, reason = "a failure anywhere has to name its seed")]
    async fn begin() -> Self {
        let (seed, random) = Random::seeded();
        eprintln!("SEED={seed}");
        let world = World::start(&[]).await;
        let innocents = Innocents::watch(&world).await;
        Self { seed, random, world, innocents }
    }

    /// Leaves a connection in one way or another, and looks after the innocents now and then.
    async fn end(&mut self, round: u32, mut wire: Wire) {
        match self.random.number(0..3) {
            0 => {}
            1 => drop(tokio::time::timeout(Duration::from_millis(5), wire.rest()).await),
            _ => {
                wire.finish().await;
                drop(tokio::time::timeout(Duration::from_millis(50), wire.rest()).await);
            }
        }
        drop(wire);
        if round.is_multiple_of(5) {
            self.innocents.unharmed(&format!("SEED={}, round {round}", self.seed)).await;
        }
    }
}

/// What parsers look for.
const TOKENS: [&str; 22] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "\\",
    "\\ud800",
    "/",
    "-",
    "4",
    "42",
    "451-",
    "\u{1e}",
    "\0",
    "\r\n",
    "\r\n\r\n",
    "9999999999999999999",
    "{\"_placeholder\":true,\"num\":0}",
    "\u{202e}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const PACKETS: [&str; 16] = [
    "40",
    "40{\"token\":\"a.b.c\"}",
    "40/admin,{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":\"main:e:1:1\"}",
    "41",
    "42[\"chat:send\",{\"stream\":\"main\",\"text\":\"hello\"}]",
    "421[\"chat:send\",{\"stream\":\"main\",\"text\":\"नमस्ते 👩‍👩‍👧\",\"clientId\":\"c\",\"replyTo\":\"m\"}]",
    "422[\"stream:join\",{\"stream\":\"main\",\"history\":50}]",
    "423[\"stream:leave\",{\"stream\":\"main\"}]",
    "424[\"stream:history\",{\"stream\":\"main\",\"before\":10,\"limit\":20}]",
    "425[\"stream:start\",{\"stream\":\"main\",\"products\":[{\"id\":\"a\",\"title\":\"A\",\"price\":{\"amount\":1,\"currency\":\"INR\"}}]}]",
    "426[\"auth:refresh\",{\"token\":\"a.b.c\"}]",
    "431[{\"ok\":true}]",
    "451-7[\"chat:send\",{\"_placeholder\":true,\"num\":0}]",
    "461-8[{\"_placeholder\":true,\"num\":0}]",
    "3",
    "bAQIDBA==",
];

#[tokio::test]
async fn bytes_that_mean_nothing() {
    let mut run = Run::begin().await;
    let requests = [
        handshake("/socket.io/?EIO=4&transport=websocket"),
        request("GET", "/socket.io/?EIO=4&transport=polling", &[("Origin", "https://haat.example")], ""),
        request("POST", "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAA", &UPGRADE, "42[\"a\"]"),
        request("POST", "/", &[("Transfer-Encoding", "chunked")], "") + "5\r\nhello\r\n0\r\n\r\n",
        request("OPTIONS", "/socket.io/?EIO=4", &[("Origin", "null"), ("Expect", "100-continue")], ""),
    ];
    for round in 0..1500 {
        let random = &mut run.random;
        let mut wire = Wire::connect(run.world.address).await;
        let bytes = match random.number(0..3) {
            0 => random.bytes(0..2000),
            _ => {
                let request = requests[random.number(0..requests.len())].as_bytes();
                [random.spoil(request), random.bytes(0..50)].concat()
            }
        };
        wire.send(bytes).await;
        run.end(round, wire).await;
    }
    run.innocents.unharmed(&format!("SEED={}", run.seed)).await;
}

#[tokio::test]
async fn packets_that_begin_well() {
    let mut run = Run::begin().await;
    let _supplier = run.world.supplier(&["main"]).await;
    let auth = json!({ "token": token("asha", "viewer", &[]) });
    for round in 0..1500 {
        let random = &mut run.random;
        let mut wire = match random.number(0..4) {
            0 => Wire::session(run.world.address).await,
            1 => Wire::connected(run.world.address, &json!({})).await,
            _ => Wire::connected(run.world.address, &auth).await,
        };
        for _ in 0..random.number(1..12) {
            let packet = random.pick(&PACKETS).as_bytes();
            let spoiled = random.spoil(packet);
            let bytes = match random.number(0..6) {
                0 => text(std::str::from_utf8(packet).unwrap()),
                1 => frame(0x82, &spoiled),
                2 => random.spoil(&frame(0x81, packet)),
                3 => {
                    let cut = random.number(0..spoiled.len() + 1);
                    [frame(0x01, &spoiled[..cut]), frame(0x89, b"?"), frame(0x80, &spoiled[cut..])].concat()
                }
                _ => frame(0x81, &spoiled),
            };
            wire.send(bytes).await;
        }
        run.end(round, wire).await;
    }
    run.innocents.unharmed(&format!("SEED={}", run.seed)).await;
}

#[tokio::test]
async fn bodies_that_begin_well() {
    let mut run = Run::begin().await;
    let _supplier = run.world.supplier(&["main"]).await;
    for round in 0..600 {
        let random = &mut run.random;
        let poller = Polling::open(run.world.address, SOCKET_IO).await;
        let mut wire = Wire::connect(run.world.address).await;
        for _ in 0..random.number(1..6) {
            let packets: Vec<&str> = (0..random.number(1..5)).map(|_| random.pick(&PACKETS)).collect();
            let body = random.spoil(packets.join("\u{1e}").as_bytes());
            let length = body.len().to_string();
            let head = request("POST", &poller.target, &[("Content-Length", &length)], "");
            wire.send([head.as_bytes(), &body].concat()).await;
            if random.number(0..3) == 0 {
                wire.send(request("GET", &poller.target, &[], "")).await;
            }
        }
        run.end(round, wire).await;
    }
    run.innocents.unharmed(&format!("SEED={}", run.seed)).await;
}
