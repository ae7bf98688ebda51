//! The placeholders in a payload: `{"_placeholder":true,"num":0}` stands for the first attachment. It must never let an
//! attachment be used twice: sent on, each use would become an attachment of its own, and a small packet a huge one.

use smallvec::SmallVec;

use crate::json::{self, Token, Tokens};

/// Whether the placeholders in `json` stand for each of `count` attachments exactly once. One with further members is
/// refused, because receivers would drop these, and placeholders in them too.
///
/// `json` is valid, and nested no deeper than the caller has checked.
pub(crate) fn fit(json: &str, count: u8) -> bool {
    let mut used = 0_u16;
    let mut outer = SmallVec::<[Level<'_>; 8]>::new();
    let mut level = Level::default();
    for token in Tokens::of(json) {
        match token {
            Token::Scalar(text) if level.object && level.key.is_none() => level.key = Some(text),
            Token::Scalar(text) => level.value(Some(text)),
            Token::Comma => level.key = None,
            Token::Open { object } => {
                level.value(None);
                outer.push(std::mem::replace(&mut level, Level { object, ..Level::default() }));
            }
            Token::Close => {
                if level.marked {
                    match level.index() {
                        Some(index) if index < count && used & (1 << index) == 0 => used |= 1 << index,
                        _ => return false,
                    }
                }
                level = outer.pop().unwrap_or_default();
            }
        }
    }
    used.count_ones() == u32::from(count)
}

/// The array or object that is being read.
#[derive(Debug, Default)]
struct Level<'a> {
    object: bool,
    /// The key whose value comes next, as it is written.
    key: Option<&'a str>,
    members: usize,
    /// Of several members with one key the last one counts, as it does for every receiver.
    marked: bool,
    num: Option<&'a str>,
}

impl<'a> Level<'a> {
    /// Takes in a value: its text, or nothing if it is an array or an object.
    fn value(&mut self, text: Option<&'a str>) {
        let Some(key) = self.key else { return };
        self.members += 1;
        // A key may be spelt with escapes, and still be the same key.
        match json::string(key) {
            Some(Ok(name)) if name == "_placeholder" => self.marked = text == Some("true"),
            Some(Ok(name)) if name == "num" => self.num = text,
            _ => {}
        }
    }

    /// The attachment that a marked object stands for.
    fn index(&self) -> Option<u8> {
        if self.members == 2 { self.num?.parse().ok() } else { None }
    }
}
