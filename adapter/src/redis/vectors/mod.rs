//! The wires against what the official packages put on theirs: `tests/vectors/`, recorded with Node 20 and Redis 7.

mod classic;
mod sharded;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::wire::Heard;
use crate::{Broadcast, Event, Flags, Target};

#[derive(Deserialize)]
struct Recorded {
    vectors: Vec<Vector>,
}

/// One message, or what came of one.
#[derive(Deserialize)]
struct Vector {
    name: String,
    channel: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    decoded: Value,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    answers: Vec<Answered>,
}

/// What satisfied a question.
#[derive(Deserialize)]
struct Answered {
    channel: String,
    hex: String,
}

impl Vector {
    fn channel(&self) -> &str {
        self.channel.as_deref().unwrap_or_default()
    }

    fn payload(&self) -> Vec<u8> {
        unhex(self.hex.as_deref().unwrap_or_default())
    }
}

fn recorded(text: &str) -> Vec<Vector> {
    let Recorded { vectors } = serde_json::from_str(text).expect("the file is good");
    vectors
}

fn unhex(hex: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(pair).collect()
}

/// What a recorded value is as JSON, and its attachments. `false`: our own encoder could not make it.
fn spelt(value: &Value, attachments: &mut Vec<Bytes>) -> (Value, bool) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(bytes)) = object.get("$bin") {
                attachments.push(unhex(bytes).into());
                return (json!({"_placeholder": true, "num": attachments.len() - 1}), true);
            }
            if let Some(date) = object.get("$date") {
                return (date.clone(), false);
            }
            if object.contains_key("$float") || object.contains_key("$undefined") {
                return (Value::Null, false);
            }
            let mut ours = true;
            let members = object.iter().map(|(name, value)| {
                let (value, fine) = spelt(value, attachments);
                ours &= fine;
                (name.clone(), value)
            });
            (Value::Object(members.collect::<Map<_, _>>()), ours)
        }
        Value::Array(items) => {
            let mut ours = true;
            let items = items.iter().map(|item| {
                let (item, fine) = spelt(item, attachments);
                ours &= fine;
                item
            });
            (Value::Array(items.collect()), ours)
        }
        other => (other.clone(), true),
    }
}

fn names(value: &Value) -> Vec<String> {
    let text = |name: &Value| name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    value.as_array().into_iter().flatten().map(text).collect()
}

/// The broadcast of a recorded packet, and whether our own encoder could make the same bytes.
fn broadcast(packet: &Value, opts: &Value, namespace: &str) -> (Broadcast, bool) {
    let mut attachments = Vec::new();
    let (data, mut ours) = spelt(&packet["data"], &mut attachments);
    let flags = opts["flags"].as_object().cloned().unwrap_or_default();
    let volatile = flags.get("volatile") == Some(&Value::Bool(true));
    ours &= flags.len() == usize::from(volatile);
    ours &= opts["rooms"].as_array().is_some_and(|rooms| rooms.iter().all(Value::is_string));
    let target =
        Target { namespace: namespace.to_owned(), rooms: names(&opts["rooms"]), except: names(&opts["except"]) };
    (Broadcast { target, flags: Flags { volatile }, event: Event { args: data.to_string(), attachments } }, ours)
}

/// The same event, however its JSON is spelt.
fn same(heard: &Broadcast, expected: &Broadcast) -> bool {
    let args = |event: &Event| serde_json::from_str::<Value>(&event.args).unwrap();
    (&heard.target, heard.flags, &heard.event.attachments)
        == (&expected.target, expected.flags, &expected.event.attachments)
        && args(&heard.event) == args(&expected.event)
}

fn heard_broadcast(heard: &Heard) -> &Broadcast {
    match heard {
        Heard::Broadcast(broadcast) => broadcast,
        other => panic!("not a broadcast: {other:?}"),
    }
}
