use serde_json::{Value, json};

use super::{Vector, broadcast, heard_broadcast, recorded, same, spelt, unhex};
use crate::{
    Broadcast, Event, Flags, Request, Target,
    cluster::Answer,
    redis::{
        classic::Classic,
        wire::{Asker, Form, Heard, Unclear, Wire, is_private},
    },
};

const CLASSIC: &str = include_str!("../../../tests/vectors/redis-classic.json");
const EMITTER: &str = include_str!("../../../tests/vectors/redis-emitter.json");
const HAZARDS: &str = include_str!("../../../tests/vectors/redis-hazards.json");
const MIXED: &str = include_str!("../../../tests/vectors/mixed-fleet.json");

fn classic(prefix: &str, uid: &str) -> Classic {
    Classic::new(prefix, &["/".to_owned(), "/admin".to_owned()], uid)
}

/// Heard by a gateway that has members of every room.
fn hear(channel: &str, payload: &[u8]) -> Result<Heard, Unclear> {
    classic(if channel.starts_with("haat") { "haat" } else { "socket.io" }, "another").hear(
        channel,
        payload,
        &|_, _| true,
    )
}

fn is_broadcast(vector: &Vector) -> bool {
    let packet = &vector.decoded[1];
    let on_channel = vector.channel().starts_with("socket.io#") || vector.channel().starts_with("haat#");
    on_channel && vector.hex.is_some() && packet.is_object() && vector.payload().first() == Some(&0x93)
}

fn vector(name: &str) -> Vector {
    let found = recorded(CLASSIC).into_iter().find(|vector| vector.name == name);
    found.unwrap_or_else(|| panic!("there is no vector {name}"))
}

#[test]
fn hears_every_broadcast_of_node_and_its_emitter() {
    let mut count = 0;
    for vector in recorded(CLASSIC).iter().chain(&recorded(EMITTER)).filter(|vector| is_broadcast(vector)) {
        let heard = hear(vector.channel(), &vector.payload());
        let [_, packet, opts] = vector.decoded.as_array().unwrap().as_slice() else { panic!("{}", vector.name) };
        if packet["type"] != json!(2) {
            assert!(heard.is_err(), "{}", vector.name);
            continue;
        }
        let namespace = if vector.channel().contains("#/admin#") { "/admin" } else { "/" };
        if packet["nsp"].as_str().is_some_and(|nsp| nsp != namespace) {
            assert_eq!(heard, Ok(Heard::Nothing), "{}", vector.name);
            continue;
        }
        // Node damages both, and JavaScript spells what is left in another way.
        if ["emit_lone_surrogate", "emit_huge_number"].contains(&vector.name.as_str()) {
            continue;
        }
        let heard = heard.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        let (expected, _) = broadcast(packet, opts, namespace);
        assert!(same(heard_broadcast(&heard), &expected), "{}: {heard:?} is not {expected:?}", vector.name);
        count += 1;
    }
    assert!(count >= 50, "{count} were compared");
}

#[test]
fn broadcasts_byte_for_byte_what_node_does() {
    let mut count = 0;
    for vector in recorded(CLASSIC).iter().filter(|vector| is_broadcast(vector)) {
        let [uid, packet, opts] = vector.decoded.as_array().unwrap().as_slice() else { continue };
        let nsp = packet["nsp"].as_str().unwrap_or_default();
        let (made, ours) = broadcast(packet, opts, nsp);
        // What Node damages, and what somebody else published by hand.
        let foreign =
            *uid == json!("foreign") || vector.name == "emit_huge_number" || vector.name.contains("surrogate");
        if !ours || foreign {
            continue;
        }
        let prefix = vector.channel().split('#').next().unwrap();
        let message = classic(prefix, uid.as_str().unwrap()).broadcast(&made).unwrap();
        assert_eq!(message.payload, vector.payload(), "{}", vector.name);
        match made.target.rooms.as_slice() {
            // To one socket by the channel of all, where Node hears it as well.
            [room] if is_private(room) => assert_eq!(message.channel, format!("{prefix}#{nsp}#")),
            _ => assert_eq!(message.channel, vector.channel(), "{}", vector.name),
        }
        count += 1;
    }
    assert!(count >= 25, "{count} were compared");
}

fn target(rooms: &[&str], except: &[&str]) -> Target {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Target { namespace: "/".to_owned(), rooms: names(rooms), except: names(except) }
}

fn server_event(args: &str, ack: bool) -> Request {
    Request::ServerSideEmit { namespace: "/".to_owned(), args: args.to_owned(), ack }
}

fn event(args: &str) -> Event {
    Event { args: args.to_owned(), attachments: vec![] }
}

/// The requests of Node, and what they mean.
fn requests() -> Vec<(&'static str, Request, Option<Form>)> {
    let join = |to: Target, rooms: &[&str]| Request::Join(to, rooms.iter().map(|room| (*room).to_owned()).collect());
    let disconnect = |close| Request::Disconnect { target: target(&["nobody"], &[]), close };
    let ack = |rooms, args, volatile| {
        Request::BroadcastAck(Broadcast { target: target(rooms, &[]), flags: Flags { volatile }, event: event(args) })
    };
    vec![
        ("fetch_sockets.1", Request::FetchSockets(target(&[], &[])), Some(Form::Sockets)),
        ("fetch_sockets_room.1", Request::FetchSockets(target(&["room1"], &["room9"])), Some(Form::Sockets)),
        ("fetch_sockets_none.1", Request::FetchSockets(target(&["nobody"], &[])), Some(Form::Sockets)),
        ("sockets_join", join(target(&["room1"], &[]), &["room2", "room3"]), None),
        ("sockets_join_all", join(target(&[], &[]), &["all"]), None),
        ("sockets_leave", Request::Leave(target(&["room1"], &["x"]), vec!["room3".to_owned()]), None),
        ("disconnect_sockets_false", disconnect(false), None),
        ("disconnect_sockets_true", disconnect(true), None),
        ("server_side_emit", server_event(r#"["notice",1,{"a":"b"}]"#, false), None),
        ("server_side_emit_ack.1", server_event(r#"["ping",5]"#, true), Some(Form::Event)),
        ("broadcast_with_ack.1", ack(&[], r#"["q",7]"#, false), Some(Form::Acks)),
        ("broadcast_with_ack_room.1", ack(&["room1"], r#"["q",7]"#, false), Some(Form::Acks)),
        ("broadcast_with_ack_binary.1", ack(&["room1"], r#"["qb"]"#, false), Some(Form::Acks)),
        ("broadcast_with_ack_volatile.1", ack(&["room1"], r#"["q",1]"#, true), Some(Form::Acks)),
        ("all_rooms.1", Request::FetchSockets(target(&[], &[])), Some(Form::Rooms)),
    ]
}

#[test]
fn hears_every_request_of_node() {
    for (name, request, form) in requests() {
        let vector = vector(name);
        let asker = form.map(|form| Asker {
            namespace: "/".to_owned(),
            id: vector.decoded["requestId"].as_str().unwrap().to_owned(),
            uid: vector.decoded["uid"].as_str().map(str::to_owned),
            form,
        });
        assert_eq!(hear(vector.channel(), &vector.payload()), Ok(Heard::Request(request, asker)), "{name}");
    }
}

#[test]
fn asks_byte_for_byte_as_node_does() {
    for (name, request, form) in requests() {
        // These two have a time-out of the sender in their flags, and all rooms are not asked for here.
        if matches!(form, Some(Form::Acks | Form::Rooms)) {
            continue;
        }
        let vector = vector(name);
        let wire = classic("socket.io", vector.decoded["uid"].as_str().unwrap());
        let message = wire.request(vector.decoded["requestId"].as_str().unwrap_or_default(), &request).unwrap();
        assert_eq!(message.channel, vector.channel(), "{name}");
        assert_eq!(String::from_utf8(message.payload), String::from_utf8(vector.payload()), "{name}");
    }
}

#[test]
fn asks_for_acks_as_node_does_but_for_its_time_out() {
    let (_, request, _) = requests().into_iter().find(|(name, ..)| *name == "broadcast_with_ack_room.1").unwrap();
    let message = classic("socket.io", "8hDkVE").request("mPldO0", &request).unwrap();
    let (json, _) = crate::msgpack::to_json(&message.payload, crate::msgpack::Binary::Attach).unwrap();
    let mut expected = vector("broadcast_with_ack_room.1").decoded;
    expected["opts"]["flags"] = json!({});
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected);
}

#[test]
fn hears_the_old_forms_and_the_emitter() {
    let asker =
        |id: &str, form| Asker { namespace: "/".to_owned(), id: id.to_owned(), uid: Some("legacy".to_owned()), form };
    let sid = "Za7JmYApn2aS6-JuAAAB";
    let room = || vec!["old-room".to_owned()];
    let cases = [
        ("legacy_sockets.1", Request::FetchSockets(target(&["room1"], &[])), asker("abc123", Form::Ids)),
        ("legacy_join", Request::Join(target(&[sid], &[]), room()), asker("abc124", Form::Done)),
        ("legacy_leave", Request::Leave(target(&[sid], &[]), room()), asker("abc125", Form::Done)),
        ("request_as_msgpack.1", Request::FetchSockets(target(&["room1"], &[])), asker("abc127", Form::Sockets)),
    ];
    for (name, request, asker) in cases {
        let vector = vector(name);
        let payload = vector.input["payload"].as_str().unwrap();
        let payload = if payload.starts_with('{') { payload.as_bytes().to_vec() } else { unhex(payload) };
        let heard = hear(vector.input["injected_on"].as_str().unwrap(), &payload);
        assert_eq!(heard, Ok(Heard::Request(request, Some(asker))), "{name}");
    }
    let join = Request::Join(target(&["room1"], &[]), vec!["room2".to_owned()]);
    let leave = Request::Leave(target(&["room1"], &["x"]), vec!["room2".to_owned(), "room3".to_owned()]);
    let expected = [
        ("sockets_join", join),
        ("sockets_leave", leave),
        ("disconnect_sockets", Request::Disconnect { target: target(&["nobody"], &[]), close: true }),
        ("server_side_emit", server_event(r#"["notice",1,"x"]"#, false)),
    ];
    for (name, request) in expected {
        let vector = recorded(EMITTER).into_iter().find(|vector| vector.name == name).unwrap();
        let heard = hear(vector.channel(), &vector.payload());
        assert_eq!(heard, Ok(Heard::Request(request, None)), "{name}");
    }
}

fn asker(uid: Option<&str>, id: &str, form: Form) -> Asker {
    Asker { namespace: "/".to_owned(), id: id.to_owned(), uid: uid.map(str::to_owned), form }
}

/// Without what haat adds for haat.
fn plain(payload: &[u8]) -> Value {
    let (json, _) = super::super::wire::text_of(payload, crate::msgpack::Binary::Attach).unwrap();
    let mut value: Value = serde_json::from_str(&json).unwrap();
    value.as_object_mut().unwrap().retain(|name, _| name != "uid");
    value
}

#[test]
fn answers_as_node_does() {
    let wire = classic("socket.io", "another");
    let peer = |vector: &Vector| vector.decoded["sockets"].as_array().unwrap().clone();
    let sockets = vector("fetch_sockets.2");
    let answers = wire.answer(&asker(None, "-Qmb96", Form::Sockets), peer(&sockets));
    assert_eq!(answers[0].channel, sockets.channel());
    assert_eq!(String::from_utf8(answers[0].payload.clone()), String::from_utf8(sockets.payload()));

    let rooms = vector("all_rooms.2");
    let everyone = vec![
        json!({"id": "a", "rooms": ["Za7JmYApn2aS6-JuAAAB", "room1", "room2"]}),
        json!({"id": "b", "rooms": ["room1", "all"]}),
    ];
    let answers = wire.answer(&asker(None, "_djKh5", Form::Rooms), everyone);
    assert_eq!(String::from_utf8(answers[0].payload.clone()), String::from_utf8(rooms.payload()));

    let ids = wire.answer(&asker(None, "abc123", Form::Ids), vec![json!({"id": "Za7JmYApn2aS6-JuAAAB"})]);
    assert_eq!(ids[0].payload, vector("legacy_sockets.1").payload());
    let done = wire.answer(&asker(None, "abc124", Form::Done), vec![]);
    assert_eq!(done[0].payload, vector("legacy_join").payload());
    let said = wire.answer(&asker(None, "JCCIoH", Form::Event), vec![json!({"pong": 5})]);
    assert_eq!(said[0].payload, vector("server_side_emit_ack.2").payload());

    let acks = wire.answer(&asker(None, "ki7O50", Form::Acks), vec![json!({"got": 7})]);
    for (answer, name) in acks.iter().zip(["broadcast_with_ack.2", "broadcast_with_ack.3"]) {
        assert_eq!(plain(&answer.payload), vector(name).decoded, "{name}");
        // Node takes both as JSON and as msgpack, by the first byte.
        assert_eq!(answer.payload[0] == b'{', vector(name).payload()[0] == b'{', "{name}");
    }
    let to_one = wire.answer(&asker(Some("sNg3Fg"), "x", Form::Sockets), vec![]);
    assert_eq!(to_one[0].channel, "socket.io-response#/#sNg3Fg#");
}

#[test]
fn hears_every_answer_that_satisfies_node() {
    let mut count = 0;
    for vector in recorded(MIXED).iter().filter(|vector| !vector.name.starts_with("sharded")) {
        for (answer, said) in vector.answers.iter().zip(vector.decoded.as_array().unwrap()) {
            // What went to the Node that asked goes to the gateway that asks here.
            let channel = answer.channel.replace("sNg3Fg", "another");
            let mut attachments = Vec::new();
            let (said, _) = spelt(said, &mut attachments);
            let heard = hear(&channel, &unhex(&answer.hex)).unwrap();
            let Heard::Answer(id, heard) = heard else { panic!("{}: {heard:?}", vector.name) };
            let ack = (said["type"] == json!(9)).then(|| said["packet"].clone());
            let ack = ack.map(|ack| if attachments.is_empty() { ack } else { json!({"type": "Buffer", "data": [1]}) });
            let expected = Answer {
                gateway: None,
                sockets: said["sockets"].as_array().cloned(),
                values: said.get("data").map(|data| vec![data.clone()]),
                receivers: said["clientCount"].as_u64().map(|count| count as usize),
                ack,
            };
            assert_eq!((id.as_str(), heard), (said["requestId"].as_str().unwrap(), expected), "{}", vector.name);
            count += 1;
        }
    }
    assert!(count >= 15, "{count} were compared");
}

#[test]
fn understands_what_other_haat_gateways_add() {
    let wire = classic("socket.io", "another");
    let heard = |message: &super::super::wire::Message| match hear(&message.channel, &message.payload).unwrap() {
        Heard::Answer(_, answer) => answer,
        other => panic!("{other:?}"),
    };
    for values in [vec![], vec![json!(1)], vec![json!(null)], vec![json!(1), json!("b")]] {
        let answers = wire.answer(&asker(Some("another"), "id", Form::Event), values.clone());
        assert_eq!(heard(&answers[0]).values, Some(values));
    }
    let answers = wire.answer(&asker(Some("another"), "id", Form::Acks), vec![json!(1), json!(null)]);
    let heard: Vec<_> = answers.iter().map(heard).collect();
    assert!(heard.iter().all(|answer| answer.gateway.as_deref() == Some("another")));
    assert_eq!(heard.iter().map(|answer| answer.receivers).collect::<Vec<_>>(), [Some(2), None, None]);
    assert_eq!(
        heard.iter().map(|answer| answer.ack.clone()).collect::<Vec<_>>(),
        [None, Some(json!(1)), Some(json!(null))]
    );
}

/// Each hazard, and whether it reaches clients here. Those that harm Node's clients must not harm ours.
#[test]
fn survives_what_ends_node() {
    let delivered = ["classic_good", "classic_rooms_missing", "classic_ext_unknown"];
    for vector in recorded(HAZARDS).iter().filter(|vector| vector.name.starts_with("classic")) {
        let name = vector.name.replace("classic-ioredis", "classic");
        let heard = hear(vector.channel(), &vector.payload());
        let broadcast = matches!(heard, Ok(Heard::Broadcast(_)));
        assert_eq!(broadcast, delivered.contains(&name.as_str()), "{name}: {heard:?}");
    }
}

#[test]
fn never_publishes_what_harms_others() {
    let wire = classic("socket.io", "uid");
    let to_all = |event| Broadcast { target: target(&[], &[]), flags: Flags::default(), event };
    let bad = [
        "",
        "null",
        "{}",
        "[]",
        "[null]",
        "[{}]",
        "[1",
        "[\"connect\"]",
        "[\"disconnect\",1]",
        "[\"a\"],1",
        "[\"a\"]]",
    ];
    for args in bad {
        assert!(wire.broadcast(&to_all(event(args))).is_err(), "{args}");
        assert!(wire.request("id", &Request::BroadcastAck(to_all(event(args)))).is_err(), "{args}");
    }
    for args in ["[\"error\",1]", "[\"connection\"]", "[\"connect\"]", "[\"new_namespace\"]", "null", "[]"] {
        assert!(wire.request("id", &server_event(args, true)).is_err(), "{args}");
    }
    let attached = Event { args: "[\"a\"]".to_owned(), attachments: vec![bytes::Bytes::from_static(b"x"); 11] };
    assert!(wire.broadcast(&to_all(attached)).is_err());
    assert!(wire.broadcast(&to_all(event(&format!("[\"a\",\"{}\"]", "x".repeat(2 << 20))))).is_err());
    assert!(wire.broadcast(&to_all(event("[5,1]"))).is_ok());
}

#[test]
fn leaves_its_own_and_what_nobody_here_wants() {
    let vector = vector("own_uid_broadcast");
    let payload = unhex(vector.input["payload"].as_str().unwrap());
    let own = classic("socket.io", "Ow8_Bh");
    let all = |_: &str, _: &str| true;
    assert!(matches!(hear("socket.io#/#", &payload), Ok(Heard::Broadcast(_))));
    let uid = String::from_utf8(payload[2..8].to_vec()).unwrap();
    assert_eq!(classic("socket.io", &uid).hear("socket.io#/#", &payload, &all), Ok(Heard::Nothing));

    // The channel's name is enough: the rest of it is not looked at.
    let only_red = |_: &str, room: &str| room == "red";
    assert_eq!(own.hear("socket.io#/#blue#", b"garbage", &only_red), Ok(Heard::Nothing));
    assert!(own.hear("socket.io#/#red#", b"garbage", &only_red).is_err());
    let to = |room: &str| {
        let target = target(&[room, "green"], &[]);
        classic("socket.io", "other").broadcast(&Broadcast { target, flags: Flags::default(), event: event("[\"a\"]") })
    };
    assert_eq!(own.hear("socket.io#/#", &to("blue").unwrap().payload, &only_red), Ok(Heard::Nothing));
    assert!(matches!(own.hear("socket.io#/#", &to("red").unwrap().payload, &only_red), Ok(Heard::Broadcast(_))));
    for channel in ["socket.io#/other#", "other#/#", "socket.io-request#/other#", "socket.io-response#/#else#", ""] {
        assert_eq!(own.hear(channel, b"garbage", &all), Ok(Heard::Nothing), "{channel}");
    }
    // Its own requests come back.
    let request = own.request("id", &server_event("[\"a\"]", true)).unwrap();
    assert_eq!(own.hear(&request.channel, &request.payload, &all), Ok(Heard::Nothing));
}

/// Random bytes, lengths that lie, and depth, on each channel.
#[test]
fn drops_what_is_damaged() {
    let deep = [vec![0x93, 0xa1, b'x'], vec![0x91; 100_000]].concat();
    let lying: [&[u8]; 4] = [
        &[0xdd, 255, 255, 255, 255, 1],
        &[0xdf, 255, 255, 255, 255],
        &[0xdb, 255, 255, 255, 255],
        &[0xc6, 255, 255, 255, 255],
    ];
    let texts: [&[u8]; 5] = [b"", b"{", b"{}", b"[]", b"{\"requestId\":[]}"];
    let large = vec![b'{'; 2 << 20];
    let all = lying.iter().chain(&texts).copied().chain([&*deep, &*large]);
    for payload in all {
        for channel in ["socket.io#/#", "socket.io#/#room#", "socket.io-request#/#", "socket.io-response#/#"] {
            let heard = hear(channel, payload);
            assert!(heard.is_err(), "{channel}: {heard:?}");
        }
    }
    assert!(hear("socket.io-request#/#", b"{\"type\":99,\"requestId\":\"a\"}").is_err());
}

#[test]
fn tells_node_of_entries_as_of_broadcasts() {
    let wire = classic("socket.io", "uid");
    let data = ["{\"stream\":\"spring\",\"seq\":".to_owned(), ",\"text\":\"hi\"}".to_owned()];
    let (channel, parts) = wire.entry("stream:spring", "chat:message", &data).unwrap();
    let mut payload = Vec::new();
    for part in parts {
        match part {
            crate::msgpack::Part::Bytes(bytes) => payload.extend_from_slice(&bytes),
            crate::msgpack::Part::Number => payload.push(42),
            other => panic!("{other:?}"),
        }
    }
    let (json, _) = crate::msgpack::to_json(&payload, crate::msgpack::Binary::Attach).unwrap();
    let expected = json!(["haat-log", {"type": 2, "data": ["chat:message", {"stream": "spring", "seq": 42, "text": "hi"}],
        "nsp": "/"}, {"rooms": ["stream:spring"], "except": [], "flags": {}}]);
    assert_eq!(
        (channel.as_str(), serde_json::from_str::<Value>(&json).unwrap()),
        ("socket.io#/#stream:spring#", expected)
    );
    // Other haat gateways have it from its own channel.
    assert_eq!(hear(&channel, &payload), Ok(Heard::Nothing));
}
