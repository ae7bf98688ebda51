//! The recovery offset: what an entry's frame ends with, and what a client that comes back names as the last thing that
//! it has seen. It comes back from untrusted hands, and must never be more than a hint at what that client misses.

use haat_adapter::{Entry, Event, Position};
use haat_protocol::{Frame, socket};

use super::{body::is_id, reject::json};

/// Most characters of an epoch.
const MAX_EPOCH: usize = 16;

/// The last entry that a client has seen, of all its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offset {
    /// The stream.
    pub stream: Box<str>,
    /// Where in its log.
    pub position: Position,
    /// The entry's clock, which orders it among the entries of other streams.
    pub clock: u64,
}

impl Offset {
    /// Reads `<stream>:<epoch>:<seq>:<clock>`; `None` if it is anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (stream, epoch) = (parts.next()?, parts.next()?);
        let (seq, clock) = (number(parts.next()?)?, number(parts.next()?)?);
        let good = is_id(stream) && is_id(epoch) && epoch.len() <= MAX_EPOCH && parts.next().is_none();
        good.then(|| Self { stream: stream.into(), position: Position { epoch: epoch.into(), seq }, clock })
    }
}

/// Digits only: a sign is not part of a number here.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// What clients get of an entry: the event with its object, and with `recovery` the offset as a last argument.
pub fn frame_of(entry: &Entry, recovery: bool) -> Frame {
    let event = json(&entry.event);
    if !recovery {
        return socket::event_pieces("/", &["[", &event, ",", &entry.data, "]"]);
    }
    let Entry { stream, position, clock, .. } = entry;
    let offset = format!(",\"{stream}:{}:{}:{clock}\"]", position.epoch, position.seq);
    socket::event_pieces("/", &["[", &event, ",", &entry.data, &offset])
}

/// What clients get of an event that is in no log. With `recovery` it never ends with a text, which the official client would
/// take for an offset, and come back with: a null behind it is nothing to anybody.
pub fn event_frame(namespace: &str, event: &Event, recovery: bool) -> Frame {
    let Event { args, attachments } = event;
    match args.trim_end().strip_suffix(']').map(str::trim_end) {
        Some(rest) if recovery && rest.ends_with('"') => {
            socket::event(namespace, None, &format!("{rest},null]"), attachments)
        }
        _ => socket::event(namespace, None, args, attachments),
    }
}

#[cfg(test)]
mod tests {
    use haat_protocol::Part;

    use super::*;

    fn entry() -> Entry {
        Entry {
            stream: "main".into(),
            position: Position { epoch: "e-1_Z".into(), seq: 7 },
            clock: 99,
            event: "chat:message".into(),
            data: r#"{"seq":7}"#.into(),
            set: Vec::new(),
        }
    }

    #[test]
    fn a_frame_ends_with_an_offset_that_can_be_read_back() {
        let frame = frame_of(&entry(), true);
        let Some(Part::Text(text)) = frame.parts().next() else { panic!("no text") };
        assert_eq!(text, r#"42["chat:message",{"seq":7},"main:e-1_Z:7:99"]"#);
        let offset = Offset::parse("main:e-1_Z:7:99").unwrap();
        assert_eq!((&*offset.stream, offset.position, offset.clock), ("main", entry().position, 99));
    }

    #[test]
    fn without_recovery_there_is_none() {
        let frame = frame_of(&entry(), false);
        let Some(Part::Text(text)) = frame.parts().next() else { panic!("no text") };
        assert_eq!(text, r#"42["chat:message",{"seq":7}]"#);
    }

    #[test]
    fn no_event_ends_with_what_is_taken_for_an_offset() {
        let cases = [
            (r#"["notice","text"]"#, r#"["notice","text",null]"#),
            (r#"["ping"]"#, r#"["ping",null]"#),
            (r#"["notice", "a\"" ] "#, r#"["notice", "a\"",null]"#),
            (r#"["notice","text",1]"#, r#"["notice","text",1]"#),
            (r#"["notice",{"a":"text"}]"#, r#"["notice",{"a":"text"}]"#),
            (r#"["notice",["text"]]"#, r#"["notice",["text"]]"#),
        ];
        for (args, sent) in cases {
            let event = Event { args: args.to_owned(), attachments: Vec::new() };
            for (recovery, sent) in [(true, sent), (false, args)] {
                let frame = event_frame("/", &event, recovery);
                assert_eq!(frame.parts().next(), Some(Part::Text(&format!("42{sent}"))), "{args}");
            }
        }
    }

    #[test]
    fn anything_else_is_no_offset() {
        let long = "e".repeat(17);
        let texts = [
            "",
            ":",
            ":::",
            "a:e:1",
            "a:e:1:2:3",
            "a:e:+1:2",
            "a:e:-1:2",
            "a:e:1:",
            "a:e::1",
            "a::1:1",
            "a:e:1:1 ",
            "$",
            "-",
            "+",
            "(a):e:1:1",
            "a b:e:1:1",
            "a:e:99999999999999999999:1",
            "a:e:1.0:1",
            "1795466794959-0",
        ];
        for text in texts {
            assert_eq!(Offset::parse(text), None, "{text}");
        }
        assert_eq!(Offset::parse(&format!("a:{long}:1:1")), None);
    }
}
