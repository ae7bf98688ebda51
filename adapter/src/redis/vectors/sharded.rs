use serde_json::{Value, json};

use super::{Vector, broadcast, heard_broadcast, names, recorded, same, spelt, unhex};
use crate::{
    Broadcast, Event, Flags, Request, Target,
    cluster::Answer,
    msgpack::Part,
    redis::{
        sharded::Sharded,
        wire::{Asker, Channel, Form, Heard, Manner, Message, Unclear, Wire, text_of},
    },
};

const SHARDED: &str = include_str!("../../../tests/vectors/redis-sharded.json");
const HAZARDS: &str = include_str!("../../../tests/vectors/redis-hazards.json");
const MIXED: &str = include_str!("../../../tests/vectors/mixed-fleet.json");

fn sharded(uid: &str) -> Sharded {
    Sharded::new("socket.io", &["/".to_owned(), "/admin".to_owned()], uid)
}

/// Heard by a gateway that has members of every room.
fn hear(channel: &str, payload: &[u8]) -> Result<Heard, Unclear> {
    sharded("another").hear(channel, payload, &|_, _| true)
}

fn target(namespace: &str, opts: &Value) -> Target {
    Target { namespace: namespace.to_owned(), rooms: names(&opts["rooms"]), except: names(&opts["except"]) }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What a recorded message means, and whether our own encoder could make the same bytes. `None`: it is an answer.
fn meaning(vector: &Vector) -> Option<(Heard, bool)> {
    let message = &vector.decoded;
    let (data, nsp) = (&message["data"], message["nsp"].as_str().unwrap());
    let asker = |form| Asker {
        namespace: nsp.to_owned(),
        id: text(&data["requestId"]).unwrap(),
        uid: text(&message["uid"]),
        form,
    };
    let rooms = || names(&data["rooms"]);
    let asks = data["requestId"].is_string();
    let (request, form, ours) = match message["type"].as_u64().unwrap() {
        3 => {
            let (made, ours) = broadcast(&data["packet"], &data["opts"], nsp);
            if !asks {
                return Some((Heard::Broadcast(made), ours));
            }
            (Request::BroadcastAck(made), Some(Form::Acks), ours)
        }
        4 => (Request::Join(target(nsp, &data["opts"]), rooms()), None, true),
        5 => (Request::Leave(target(nsp, &data["opts"]), rooms()), None, true),
        6 => {
            let close = data["close"] == json!(true);
            (Request::Disconnect { target: target(nsp, &data["opts"]), close }, None, true)
        }
        7 => (Request::FetchSockets(target(nsp, &data["opts"])), Some(Form::Sockets), true),
        9 => {
            let bytes = vector.payload()[0] != b'{';
            // Bytes in an event between servers become text here.
            let args = if bytes { json!(["pingb", {"type": "Buffer", "data": [1]}]) } else { data["packet"].clone() };
            let (args, namespace) = (args.to_string(), nsp.to_owned());
            (Request::ServerSideEmit { namespace, args, ack: asks }, asks.then_some(Form::Event), !bytes)
        }
        _ => return None,
    };
    Some((Heard::Request(request, form.map(asker)), ours))
}

fn published() -> Vec<Vector> {
    recorded(SHARDED).into_iter().filter(|vector| vector.hex.is_some()).collect()
}

#[test]
fn hears_everything_that_node_says() {
    let mut count = 0;
    for vector in published() {
        let Some((expected, _)) = meaning(&vector) else { continue };
        let heard = hear(vector.channel(), &vector.payload());
        let heard = heard.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        match &expected {
            Heard::Broadcast(expected) => {
                assert!(same(heard_broadcast(&heard), expected), "{}: {heard:?} is not {expected:?}", vector.name);
            }
            expected => assert_eq!(&heard, expected, "{}", vector.name),
        }
        count += 1;
    }
    assert!(count >= 40, "{count} were compared");
}

/// Whether the sender was in this mode; in another one it chooses other channels.
fn is_dynamic(vector: &Vector) -> bool {
    let others = ["[static]", "[dynamic-private]", "mode_mismatch_reverse", "recovery_option"];
    !others.iter().any(|other| vector.name.contains(other))
}

#[test]
fn says_byte_for_byte_what_node_does() {
    let mut count = 0;
    for vector in published() {
        let Some((meaning, ours)) = meaning(&vector) else { continue };
        // The recorder's time-out is in its flags.
        let timed = vector.name.starts_with("broadcast_with_ack");
        if !ours || timed {
            continue;
        }
        let wire = sharded(vector.decoded["uid"].as_str().unwrap());
        let message = match meaning {
            Heard::Broadcast(broadcast) => wire.broadcast(&broadcast),
            Heard::Request(request, asker) => wire.request(&asker.map_or(String::new(), |asker| asker.id), &request),
            other => panic!("{other:?}"),
        };
        let message = message.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(readable(&message.payload), readable(&vector.payload()), "{}", vector.name);
        if is_dynamic(&vector) {
            assert_eq!(message.channel, vector.channel(), "{}", vector.name);
        }
        count += 1;
    }
    assert!(count >= 35, "{count} were compared");
}

/// Bytes that a failed test can show.
fn readable(payload: &[u8]) -> String {
    payload.escape_ascii().to_string()
}

#[test]
fn asks_for_acks_as_node_does_but_for_its_time_out() {
    for name in ["broadcast_with_ack.1", "broadcast_with_ack_room.1", "broadcast_with_ack_binary.1"] {
        let vector = published().into_iter().find(|vector| vector.name == name).unwrap();
        let Some((Heard::Request(request, Some(asker)), _)) = meaning(&vector) else { panic!("{name}") };
        let message = sharded(asker.uid.as_deref().unwrap()).request(&asker.id, &request).unwrap();
        assert_eq!(message.channel, vector.channel());
        let mut expected = vector.decoded;
        expected["data"]["opts"]["flags"] = json!({});
        assert_eq!(String::from_utf8(message.payload).unwrap(), expected.to_string(), "{name}");
    }
}

#[test]
fn answers_byte_for_byte_as_node_does() {
    let mut count = 0;
    for vector in published() {
        let (message, data) = (&vector.decoded, &vector.decoded["data"]);
        let (form, values) = match message["type"].as_u64().unwrap() {
            8 => (Form::Sockets, data["sockets"].as_array().unwrap().clone()),
            10 => (Form::Event, vec![data["packet"].clone()]),
            11 | 12 => (Form::Acks, vec![data["packet"].clone()]),
            _ => continue,
        };
        // Bytes cannot be in an answer of ours.
        if vector.payload()[0] != b'{' {
            continue;
        }
        let to = vector.channel().strip_prefix("socket.io#/#").unwrap().strip_suffix('#').unwrap();
        let asker =
            Asker { namespace: "/".to_owned(), id: text(&data["requestId"]).unwrap(), uid: Some(to.to_owned()), form };
        let answers = sharded(message["uid"].as_str().unwrap()).answer(&asker, values);
        let answer = &answers[usize::from(message["type"] == json!(12))];
        assert_eq!(answer.channel, vector.channel(), "{}", vector.name);
        assert_eq!(readable(&answer.payload), readable(&vector.payload()), "{}", vector.name);
        count += 1;
    }
    assert!(count >= 8, "{count} were compared");
}

#[test]
fn hears_every_answer_that_satisfies_node() {
    let mut count = 0;
    let mixed = recorded(MIXED);
    for vector in mixed.iter().filter(|vector| vector.name.starts_with("sharded")) {
        for (answer, said) in vector.answers.iter().zip(vector.decoded.as_array().unwrap()) {
            // What went to the Node that asked goes to the gateway that asks here.
            let channel = answer.channel.replace("1485f76f1f48cb37", "another");
            let heard = hear(&channel, &unhex(&answer.hex)).unwrap();
            count += answer_is(vector, said, heard);
        }
    }
    for vector in published().iter().filter(|vector| meaning(vector).is_none()) {
        let heard = hear("socket.io#/#another#", &vector.payload()).unwrap();
        count += answer_is(vector, &vector.decoded, heard);
    }
    assert!(count >= 15, "{count} were compared");
}

fn answer_is(vector: &Vector, said: &Value, heard: Heard) -> usize {
    let Heard::Answer(id, heard) = heard else { panic!("{}: {heard:?}", vector.name) };
    let data = &said["data"];
    let packet = |kind| (said["type"] == json!(kind)).then(|| spelt_out(&data["packet"]));
    let expected = Answer {
        gateway: text(&said["uid"]),
        sockets: data["sockets"].as_array().map(|sockets| sockets.iter().map(spelt_out).collect()),
        values: packet(10).map(|said| vec![said]),
        receivers: data["clientCount"].as_u64().map(|count| count as usize),
        ack: packet(12),
    };
    assert_eq!((Some(id), heard), (text(&data["requestId"]), expected), "{}", vector.name);
    1
}

/// Bytes in an answer are text here, as Node would write them into JSON.
fn spelt_out(value: &Value) -> Value {
    match value {
        Value::Object(object) if object.contains_key("$bin") => {
            json!({"type": "Buffer", "data": unhex(object["$bin"].as_str().unwrap())})
        }
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), spelt_out(value))).collect(),
        Value::Array(items) => items.iter().map(spelt_out).collect(),
        other => spelt(other, &mut Vec::new()).0,
    }
}

#[test]
fn hears_what_is_injected_as_node_does() {
    for vector in recorded(SHARDED).iter().filter(|vector| vector.name.starts_with("foreign")) {
        let injected = &vector.input["payload"];
        let payload = injected["hex"].as_str().map_or_else(|| injected.to_string().into_bytes(), unhex);
        let heard = hear(vector.input["injected_on"].as_str().unwrap(), &payload);
        match vector.name.trim_end_matches(['.', '1', '2']) {
            "foreign_broadcast"
            | "foreign_broadcast_dynamic"
            | "foreign_broadcast_room_on_main"
            | "foreign_without_uid" => {
                assert!(matches!(heard, Ok(Heard::Broadcast(_))), "{}: {heard:?}", vector.name);
            }
            "foreign_fetch" => assert!(matches!(heard, Ok(Heard::Request(_, Some(_)))), "{}: {heard:?}", vector.name),
            "foreign_garbage" => assert!(heard.is_err(), "{}: {heard:?}", vector.name),
            "foreign_heartbeat" | "foreign_without_nsp" => assert_eq!(heard, Ok(Heard::Nothing), "{}", vector.name),
            other => panic!("{other} is new"),
        }
    }
}

/// Each hazard, and whether it reaches clients here.
#[test]
fn survives_what_troubles_node() {
    let delivered = ["sharded_good", "sharded_rooms_missing"];
    let mut count = 0;
    for vector in recorded(HAZARDS).iter().filter(|vector| vector.name.starts_with("sharded")) {
        let channel = vector.channel().replace("<uid>", "another");
        let heard = hear(&channel, &vector.payload());
        let broadcast = matches!(heard, Ok(Heard::Broadcast(_)));
        assert_eq!(broadcast, delivered.contains(&vector.name.as_str()), "{}: {heard:?}", vector.name);
        count += 1;
    }
    assert!(count >= 8, "{count} were tried");
}

#[test]
fn listens_where_node_does() {
    let wire = sharded("e1671c9128de065f");
    let startup = recorded(SHARDED).into_iter().find(|vector| vector.name == "startup[dynamic]").unwrap();
    let of_node: Vec<_> = startup.decoded.as_array().unwrap().iter().map(|said| text(&said["args"][0])).collect();
    let ours: Vec<_> = wire.fixed("/").into_iter().map(|channel| Some(channel.name.into_string())).collect();
    assert_eq!(of_node[..2], ours);
    assert_eq!(wire.room("/", "room1"), Channel::new(Manner::Shard, "socket.io#/#room1#"));
    assert_eq!(wire.private_rooms("/"), None);
}

fn event(args: &str) -> Event {
    Event { args: args.to_owned(), attachments: vec![] }
}

fn to(rooms: &[&str], event: Event) -> Broadcast {
    let rooms = rooms.iter().map(|room| (*room).to_owned()).collect();
    let target = Target { namespace: "/".to_owned(), rooms, except: Vec::new() };
    Broadcast { target, flags: Flags::default(), event }
}

#[test]
fn understands_what_other_haat_gateways_add() {
    let wire = sharded("another");
    let heard = |message: &Message| match hear(&message.channel, &message.payload).unwrap() {
        Heard::Answer(_, answer) => answer,
        // It is its own.
        Heard::Nothing => panic!("not heard"),
        other => panic!("{other:?}"),
    };
    let asker = |form| Asker { namespace: "/".to_owned(), id: "id".to_owned(), uid: Some("another".to_owned()), form };
    for values in [vec![], vec![json!(1)], vec![json!(null)], vec![json!(1), json!("b")]] {
        let answers = sharded("one").answer(&asker(Form::Event), values.clone());
        assert_eq!(heard(&answers[0]).values, Some(values));
    }
    assert_eq!(hear("socket.io#/#", &wire.answer(&asker(Form::Event), vec![])[0].payload), Ok(Heard::Nothing));
}

#[test]
fn never_publishes_what_harms_others() {
    let wire = sharded("uid");
    for args in ["", "null", "{}", "[]", "[null]", "[1", "[\"connect\"]", "[\"a\"],1", "[\"a\"]]"] {
        assert!(wire.broadcast(&to(&[], event(args))).is_err(), "{args}");
        assert!(wire.request("id", &Request::BroadcastAck(to(&[], event(args)))).is_err(), "{args}");
    }
    for args in ["[\"error\",1]", "[\"connection\"]", "[\"connect\"]", "[\"new_namespace\"]", "null", "[]"] {
        let request = Request::ServerSideEmit { namespace: "/".to_owned(), args: args.to_owned(), ack: true };
        assert!(wire.request("id", &request).is_err(), "{args}");
    }
    let attached = Event { args: "[\"a\"]".to_owned(), attachments: vec![bytes::Bytes::from_static(b"x"); 11] };
    assert!(wire.broadcast(&to(&[], attached)).is_err());
    assert!(wire.broadcast(&to(&[], event(&format!("[\"a\",\"{}\"]", "x".repeat(2 << 20))))).is_err());
}

#[test]
fn leaves_its_own_and_what_nobody_here_wants() {
    let (own, other) = (sharded("own"), sharded("other"));
    let only_red = |_: &str, room: &str| room == "red";
    let of = |wire: &Sharded, rooms: &[&str]| wire.broadcast(&to(rooms, event("[\"a\"]"))).unwrap();
    let message = of(&other, &["red"]);
    assert!(matches!(own.hear(&message.channel, &message.payload, &only_red), Ok(Heard::Broadcast(_))));
    let message = of(&own, &["red"]);
    assert_eq!(own.hear(&message.channel, &message.payload, &only_red), Ok(Heard::Nothing));
    // The channel's name is enough: the rest of it is not looked at.
    assert_eq!(own.hear("socket.io#/#blue#", b"garbage", &only_red), Ok(Heard::Nothing));
    assert!(own.hear("socket.io#/#red#", b"garbage", &only_red).is_err());
    let message = of(&other, &["blue", "green"]);
    assert_eq!(own.hear(&message.channel, &message.payload, &only_red), Ok(Heard::Nothing));
    for channel in ["socket.io#/other#", "other#/#", "socket.io-request#/#", "socket.io#/#else#", ""] {
        assert_eq!(own.hear(channel, b"garbage", &only_red), Ok(Heard::Nothing), "{channel}");
    }
    // What is for all is not said to one; an answer is.
    let order = other.request("id", &Request::Join(Target::default(), vec![])).unwrap();
    assert_eq!(own.hear("socket.io#/#own#", &order.payload, &only_red), Ok(Heard::Nothing));
}

#[test]
fn drops_what_is_damaged() {
    let deep = [vec![0x84, 0xa1, b'x'], vec![0x91; 100_000]].concat();
    let lying: [&[u8]; 3] = [&[0xdf, 255, 255, 255, 255], &[0xdd, 255, 255, 255, 255, 1], &[0xdb, 255, 255, 255, 255]];
    let texts: [&[u8]; 7] = [
        b"",
        b"{",
        b"{}",
        b"[]",
        b"{\"type\":3,\"nsp\":\"/\"}",
        b"{\"type\":8,\"data\":[]}",
        b"{\"type\":99,\"nsp\":\"/\"}",
    ];
    let large = vec![b'{'; 2 << 20];
    for payload in lying.iter().chain(&texts).copied().chain([&*deep, &*large]) {
        for channel in ["socket.io#/#", "socket.io#/#room#"] {
            let heard = hear(channel, payload);
            assert!(heard.is_err(), "{channel}: {heard:?}");
        }
    }
}

#[test]
fn tells_node_of_entries_as_of_broadcasts() {
    let data = ["{\"stream\":\"spring\",\"seq\":".to_owned(), ",\"text\":\"h\u{e9}\"}".to_owned()];
    let (channel, parts) = sharded("uid").entry("stream:spring", "chat:message", &data).unwrap();
    let mut payload = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => payload.extend_from_slice(&bytes),
            Part::Digits => payload.extend_from_slice(b"42"),
            other => panic!("{other:?}"),
        }
    }
    let (text, _) = text_of(&payload, crate::msgpack::Binary::Attach).unwrap();
    let entry = to(&["stream:spring"], event(r#"["chat:message",{"stream":"spring","seq":42,"text":"hé"}]"#));
    let mut expected = sharded("haat-log").broadcast(&entry).unwrap();
    assert_eq!(channel, expected.channel);
    assert_eq!(text.as_bytes(), std::mem::take(&mut expected.payload));
    // Other haat gateways have it from its own channel.
    assert_eq!(hear(&channel, &payload), Ok(Heard::Nothing));
    assert!(sharded("uid").entry("stream:spring", "disconnect", &data).is_err());
    assert!(sharded("uid").entry("stream:spring", "chat:message", &["{".to_owned()]).is_err());
}
