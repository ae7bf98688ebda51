use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn packed(json: &str, attachments: &[Bytes]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    from_json(&mut out, json, attachments).map(|()| out)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn json_of(bytes: &str) -> Result<String, Error> {
    to_json(&hex(bytes), Binary::Attach).map(|(json, _)| json)
}

/// Joins a message that waits for a number.
fn joined(parts: &[Part], number: u64) -> Vec<u8> {
    let digits = number.to_string();
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Number => {
                out.push(0xcf);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Part::Digits => out.extend_from_slice(digits.as_bytes()),
            Part::TextHead(bytes, times) => {
                out.push(0xdb);
                out.extend_from_slice(&(bytes + times * digits.len() as u32).to_be_bytes());
            }
        }
    }
    out
}

#[test]
fn writes_what_node_writes() {
    let cases = [
        (r#"["hello","world"]"#, "92 a568656c6c6f a5776f726c64"),
        ("[0,127,128,255,256,65535,65536]", "97 00 7f cc80 ccff cd0100 cdffff ce00010000"),
        ("[4294967295,4294967296,9007199254740991]", "93 ceffffffff cf0000000100000000 cf001fffffffffffff"),
        ("[-1,-32,-33,-128,-129,-32768,-32769]", "97 ff e0 d0df d080 d1ff7f d18000 d2ffff7fff"),
        (
            "[-2147483648,-2147483649,1.5,-0.1]",
            "94 d280000000 d3ffffffff7fffffff cb3ff8000000000000 cbbfb999999999999a",
        ),
        ("[null,true,false,{},[],-0,1e3,2.0]", "98 c0 c3 c2 80 90 00 cd03e8 02"),
        (r#"{"a":null}"#, "81 a161 c0"),
        (r#""\u0041\ud83d\ude00\n""#, "a6 41f09f98800a"),
        (r#""a\ud800b""#, "a5 61efbfbd62"),
        ("1e400", "c0"),
        ("18446744073709551616", "cb43f0000000000000"),
    ];
    for (json, bytes) in cases {
        assert_eq!(packed(json, &[]).map(|bytes| bytes.to_vec()), Ok(hex(bytes)), "{json}");
    }
}

#[test]
fn moves_long_lists_aside() {
    for length in [15, 16, 17, 65_535, 65_536] {
        let list = json!([vec![1; length], "end"]).to_string();
        assert_eq!(to_json(&packed(&list, &[]).unwrap(), Binary::Attach).unwrap().0, list);
        let object: serde_json::Map<_, _> = (0..length.min(1_000)).map(|key| (key.to_string(), json!([key]))).collect();
        let object = Value::Object(object).to_string();
        assert_eq!(to_json(&packed(&object, &[]).unwrap(), Binary::Attach).unwrap().0, object);
    }
}

#[test]
fn reads_what_node_and_others_write() {
    let cases = [
        ("c3", "true"),
        ("ca3fc00000", "1.5"),
        ("cb7ff8000000000000", "null"),
        ("cb7ff0000000000000", "null"),
        ("cb8000000000000000", "0"),
        ("cb4014000000000000", "5"),
        ("cb444b1ae4d6e2ef50", "1e+21"),
        ("d6ff6553f100", r#""2023-11-14T22:13:20.000Z""#),
        ("d7ff1d5353006553f100", r#""2023-11-14T22:13:20.123Z""#),
        ("c70cff3b8b87c0ffffffffffffffff", r#""1969-12-31T23:59:59.999Z""#),
        ("c70cff000000007fffffffffffffff", "null"),
        ("d40000", "null"),
        ("d700 0000018bcfe5687b", r#""2023-11-14T22:13:20.123Z""#),
        ("82 01c2 c0c3", r#"{"1":false,"null":true}"#),
        ("a6 0a090d220001", r#""\n\t\r\"\u0000\u0001""#),
        ("d8 05 00000000000000000000000000000000", r#"[5,{"_placeholder":true,"num":0}]"#),
    ];
    for (bytes, json) in cases {
        assert_eq!(json_of(bytes).as_deref(), Ok(json), "{bytes}");
    }
}

#[test]
fn carries_bytes_both_ways() {
    let json = r#"["bin",{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}]"#;
    let attachments = [Bytes::from_static(b"zero"), Bytes::from_static(b"")];
    let bytes = packed(json, &attachments).unwrap();
    assert_eq!(bytes, hex("92 a362696e 82 a161 c400 a162 91 c4047a65726f"));
    let (read, attached) = to_json(&bytes, Binary::Attach).unwrap();
    assert_eq!(read, r#"["bin",{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}]"#);
    assert_eq!(attached, [attachments[1].clone(), attachments[0].clone()]);
    let spelt = to_json(&bytes, Binary::Spell).unwrap().0;
    let expected = r#"["bin",{"a":{"type":"Buffer","data":[]},"b":[{"type":"Buffer","data":[122,101,114,111]}]}]"#;
    assert_eq!(spelt, expected);
}

#[test]
fn takes_a_placeholder_for_data_where_nothing_is_attached() {
    let json = r#"[{"_placeholder":true,"num":0}]"#;
    assert_eq!(to_json(&packed(json, &[]).unwrap(), Binary::Attach).unwrap().0, json);
    let one = [Bytes::from_static(b"x")];
    for other in
        [r#"[{"_placeholder":1,"num":0}]"#, r#"[{"_placeholder":true}]"#, r#"[{"num":0,"_placeholder":true,"a":1}]"#]
    {
        assert_eq!(to_json(&packed(other, &one).unwrap(), Binary::Attach).unwrap().0, other);
    }
    assert_eq!(packed(r#"[{ "num" : 0 , "_placeholder" : true }]"#, &one), Ok(hex("91 c40178")));
    assert_eq!(
        packed(r#"[{"_placeholder":true,"num":1}]"#, &one),
        Err(Error::Invalid("a placeholder of no attachment"))
    );
}

#[test]
fn refuses_what_is_too_much() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(packed(&nested(MAX_DEPTH), &[]).is_ok());
    assert_eq!(packed(&nested(MAX_DEPTH + 1), &[]), Err(Error::TooDeep));
    assert_eq!(packed(&nested(100_000), &[]), Err(Error::TooDeep));
    assert!(to_json(&[vec![0x91; MAX_DEPTH], vec![0xc0]].concat(), Binary::Attach).is_ok());
    assert_eq!(to_json(&[vec![0x91; 100_000], vec![0xc0]].concat(), Binary::Attach), Err(Error::TooDeep));
    assert_eq!(to_json(&vec![0xc0; MAX_BYTES + 1], Binary::Attach), Err(Error::TooLarge));
    assert_eq!(packed(&format!("\"{}\"", "x".repeat(MAX_BYTES)), &[]), Err(Error::TooLarge));
    let eleven = [vec![0x9b], [0xc4, 0].repeat(11)].concat();
    assert_eq!(to_json(&eleven, Binary::Attach), Err(Error::TooManyAttachments));
    assert!(to_json(&eleven, Binary::Spell).is_ok());
    let twice = format!("[{}]", vec![r#"{"_placeholder":true,"num":0}"#; 20].join(","));
    assert_eq!(packed(&twice, &[Bytes::from(vec![0; 100_000])]), Err(Error::TooLarge));
}

/// A length may claim four gigabytes; five bytes are there.
#[test]
fn believes_no_length() {
    for marker in ["dd", "df", "db", "c6", "c9"] {
        assert!(json_of(&format!("{marker} ffffffff 01020304 05")).is_err(), "{marker}");
    }
    assert_eq!(json_of("dbffffffff0102030405"), Err(Error::Truncated));
}

#[test]
fn refuses_what_is_not_msgpack() {
    assert_eq!(json_of(""), Err(Error::Truncated));
    assert_eq!(json_of("c1"), Err(Error::Invalid("the byte 0xc1 means nothing")));
    assert_eq!(json_of("9201"), Err(Error::Truncated));
    assert_eq!(json_of("c0c0"), Err(Error::Trailing));
    assert_eq!(json_of("a2c328"), Err(Error::Invalid("a text is not UTF-8")));
    assert_eq!(json_of("819001"), Err(Error::Invalid("an array as a name")));
    assert_eq!(json_of("81c4016101"), Err(Error::Invalid("bytes as a name")));
}

#[test]
fn refuses_what_is_not_json() {
    let texts = [
        "",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{",
        "{1:2}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "tru",
        "nulls",
        "01",
        "1.",
        ".5",
        "1e",
        "-",
        "+1",
        "0x1",
        "NaN",
        "\"a",
        "\"\u{1}\"",
        r#""\x""#,
        r#""\u12""#,
        "[1]2",
        "[1 2]",
        "\0",
        "[\0]",
    ];
    for text in texts {
        assert!(packed(text, &[]).is_err(), "{text:?}");
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text:?}");
    }
}

#[test]
fn leaves_room_for_a_number() {
    let pieces = ["{\"id\":\"m", "\",\"seq\":", ",\"list\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,", ",\"", "-", "\"]}"];
    let parts = from_pieces(&[0x92], &pieces, &[0xc3]).unwrap();
    for number in [1, 12_345, u64::MAX >> 11] {
        let json = pieces.join(&number.to_string());
        let (read, _) = to_json(&joined(&parts, number), Binary::Attach).unwrap();
        assert_eq!(read, format!("[{json},true]"));
    }
    assert_eq!(from_pieces(&[], &["[1", "]"], &[]), Err(Error::Invalid("a number beside a number")));
    assert_eq!(from_pieces(&[], &["[", "0]"], &[]), Err(Error::Invalid("a number beside a number")));
    assert_eq!(from_pieces(&[], &["[\"\0\"]"], &[]), Err(Error::Invalid("a control character")));
    assert!(from_pieces(&[], &["[-", "]"], &[]).is_err());
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            proptest::collection::vec((".{0,10}", inner), 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn comes_back_as_it_went(value in values()) {
        let json = value.to_string();
        let (read, attachments) = to_json(&packed(&json, &[]).unwrap(), Binary::Attach).unwrap();
        prop_assert!(attachments.is_empty());
        let read: Value = serde_json::from_str(&read).unwrap();
        prop_assert!(same(&read, &value), "{} became {}", value, read);
    }

    #[test]
    fn takes_any_bytes(bytes: Vec<u8>) {
        for binary in [Binary::Attach, Binary::Spell] {
            if let Ok((json, attachments)) = to_json(&bytes, binary) {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok(), "{}", json);
                prop_assert!(packed(&json, &attachments).is_ok());
            }
        }
    }

    #[test]
    fn takes_any_text(text in "[\\[\\]{}\",:0-9a-ftrunle\\\\.+ -]{0,40}") {
        let is_json = serde_json::from_str::<Value>(&text).is_ok();
        // Two things differ: half a pair of an escaped character, and a number beyond all floats.
        prop_assert!(!is_json || packed(&text, &[]).is_ok(), "{}", text);
    }
}

/// Whole floats become integers, as in JavaScript.
fn same(read: &Value, value: &Value) -> bool {
    match (read, value) {
        (Value::Array(read), Value::Array(value)) => {
            read.len() == value.len() && read.iter().zip(value).all(|(read, value)| same(read, value))
        }
        (Value::Object(read), Value::Object(value)) => {
            read.len() == value.len() && value.iter().all(|(name, value)| same(&read[name], value))
        }
        (Value::Number(read), Value::Number(value)) => read == value || close(read.as_f64(), value.as_f64()),
        _ => read == value,
    }
}

/// `serde_json` reads a float to within its last digit.
fn close(read: Option<f64>, value: Option<f64>) -> bool {
    read.zip(value).is_some_and(|(read, value)| (read - value).abs() <= value.abs() * 1e-15)
}
