//! From JSON text to msgpack. The text comes from serializers of ours and from other gateways; one that is not JSON is an
//! error, never half a message.
//!
//! A list's length stands before its items, and is known behind them. One byte is kept free for it, and a list of more than
//! fifteen moves its items aside; each byte moves at most once for each level that it lies in.

use bytes::Bytes;
use rmp::encode::{
    write_array_len, write_bin, write_f64, write_map_len, write_nil, write_sint, write_str_len, write_uint,
};

use super::{Error, MAX_ATTACHMENTS, MAX_BYTES, MAX_DEPTH};

/// Stands between the pieces of a text: no JSON text holds this byte.
const MARK: u8 = 0;

/// A part of a message that waits for a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The number, as msgpack: `0xcf` and eight bytes.
    Number,
    /// The number's digits.
    Digits,
    /// The head of a text, `0xdb` and its length in four bytes: this many bytes, and this many times the digits.
    TextHead(u32, u32),
}

/// A message that waits for a number, see [`from_pieces`].
pub type Marked = Vec<Part>;

/// Appends the msgpack of a JSON text to `out`; its placeholders become the bytes of `attachments`.
///
/// # Errors
/// [`Error`]; `out` is of no use then.
pub fn from_json(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) -> Result<(), Error> {
    let mut writer = Writer { text: json.as_bytes(), at: 0, out, attachments, marks: None };
    writer.whole()
}

/// The msgpack of a JSON text in pieces, between each two of which belongs a number that is not known yet: where a number
/// may stand, or within a text. `before` and `after` are laid around it as they are.
///
/// # Errors
/// [`Error`]
pub fn from_pieces<T: AsRef<str>>(before: &[u8], pieces: &[T], after: &[u8]) -> Result<Marked, Error> {
    let mut text = Vec::with_capacity(pieces.iter().map(|piece| piece.as_ref().len() + 1).sum());
    for (index, piece) in pieces.iter().enumerate() {
        if piece.as_ref().as_bytes().contains(&MARK) {
            return Err(Error::Invalid("a control character"));
        }
        if index > 0 {
            text.push(MARK);
        }
        text.extend_from_slice(piece.as_ref().as_bytes());
    }
    let mut out = before.to_vec();
    let mut writer = Writer { text: &text, at: 0, out: &mut out, attachments: &[], marks: Some(Vec::new()) };
    writer.whole()?;
    let marks = writer.marks.unwrap_or_default();
    out.extend_from_slice(after);

    let (mut parts, mut from) = (Vec::with_capacity(2 * marks.len() + 1), 0);
    for (at, part) in marks {
        if at > from {
            parts.push(Part::Bytes(out.get(from..at).unwrap_or_default().to_vec()));
        }
        parts.push(part);
        from = at;
    }
    parts.push(Part::Bytes(out.get(from..).unwrap_or_default().to_vec()));
    Ok(parts)
}

struct Writer<'a> {
    text: &'a [u8],
    at: usize,
    out: &'a mut Vec<u8>,
    attachments: &'a [Bytes],
    /// Where in `out` a part belongs, in order. `None`: there is no mark to expect.
    marks: Option<Vec<(usize, Part)>>,
}

impl Writer<'_> {
    fn whole(&mut self) -> Result<(), Error> {
        if self.attachments.len() > MAX_ATTACHMENTS {
            return Err(Error::TooManyAttachments);
        }
        let size = self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        if size > MAX_BYTES {
            return Err(Error::TooLarge);
        }
        self.value(0)?;
        self.space();
        if self.at < self.text.len() {
            return Err(Error::Trailing);
        }
        // An attachment may be used twice.
        if self.out.len() > MAX_BYTES { Err(Error::TooLarge) } else { Ok(()) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Error> {
        let byte = self.peek().ok_or(Error::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str) -> bool {
        let there = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        self.space();
        match self.peek().ok_or(Error::Truncated)? {
            b'{' | b'[' if depth == MAX_DEPTH => Err(Error::TooDeep),
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            MARK if self.marks.is_some() => self.unknown_number(),
            _ if self.word("null") => written(write_nil(self.out)),
            _ if self.word("true") => written(rmp::encode::write_bool(self.out, true)),
            _ if self.word("false") => written(rmp::encode::write_bool(self.out, false)),
            _ => Err(Error::Invalid("not JSON")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Error> {
        let head = self.head();
        let mut count = 0;
        self.at += 1;
        self.space();
        if !self.eat(b']') {
            loop {
                self.value(depth + 1)?;
                count += 1;
                self.space();
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return Err(Error::Invalid("not a JSON array")),
                }
            }
        }
        let mut length = Vec::with_capacity(5);
        write_array_len(&mut length, count).map_err(|_| Error::TooLarge)?;
        self.fill(head, &length);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        if !self.attachments.is_empty()
            && let Some(number) = self.placeholder()
        {
            let bytes = self.attachments.get(number).ok_or(Error::Invalid("a placeholder of no attachment"))?;
            return write_bin(self.out, bytes).map_err(|_| Error::TooLarge);
        }
        let head = self.head();
        let mut count = 0;
        self.at += 1;
        self.space();
        if !self.eat(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(Error::Invalid("not a JSON object"));
                }
                self.string()?;
                self.space();
                if !self.eat(b':') {
                    return Err(Error::Invalid("not a JSON object"));
                }
                self.value(depth + 1)?;
                count += 1;
                self.space();
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return Err(Error::Invalid("not a JSON object")),
                }
            }
        }
        let mut length = Vec::with_capacity(5);
        write_map_len(&mut length, count).map_err(|_| Error::TooLarge)?;
        self.fill(head, &length);
        Ok(())
    }

    /// Keeps a byte free for a length.
    fn head(&mut self) -> usize {
        self.out.push(0);
        self.out.len() - 1
    }

    /// Puts a length where a byte was kept free.
    fn fill(&mut self, head: usize, length: &[u8]) {
        self.out.splice(head..=head, length.iter().copied());
        let moved = length.len() - 1;
        let marks = self.marks.iter_mut().flatten().rev();
        marks.take_while(|(at, _)| *at > head).for_each(|(at, _)| *at += moved);
    }

    /// The number of the placeholder that begins here, which is passed by.
    fn placeholder(&mut self) -> Option<usize> {
        let begin = self.at;
        let number = self.placeholder_members();
        if number.is_none() {
            self.at = begin;
        }
        number
    }

    fn placeholder_members(&mut self) -> Option<usize> {
        let (mut number, mut is_true) = (None, false);
        self.at += 1;
        for last in [false, true] {
            self.space();
            if self.word("\"_placeholder\"") {
                self.colon()?;
                is_true = self.word("true");
            } else if self.word("\"num\"") {
                self.colon()?;
                let from = self.at;
                while matches!(self.peek(), Some(b'0'..=b'9')) {
                    self.at += 1;
                }
                let digits = std::str::from_utf8(self.text.get(from..self.at)?).ok()?;
                // More than there ever are is as good as one that is not there.
                number = (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX));
            } else {
                return None;
            }
            self.space();
            if !self.eat(if last { b'}' } else { b',' }) {
                return None;
            }
        }
        number.filter(|_| is_true)
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.eat(b':').then(|| self.space())
    }

    fn unknown_number(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.mark(Part::Number);
        // Digits or a sign beside it would make another number of it.
        match self.peek() {
            None | Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r') => Ok(()),
            _ => Err(Error::Invalid("a number beside a number")),
        }
    }

    fn mark(&mut self, part: Part) {
        let at = self.out.len();
        if let Some(marks) = &mut self.marks {
            marks.push((at, part));
        }
    }

    fn number(&mut self) -> Result<(), Error> {
        let from = self.at;
        let negative = self.eat(b'-');
        let whole = self.digits();
        let leads_with_zero = whole.len() > 1 && whole.first() == Some(&b'0');
        if whole.is_empty() || leads_with_zero {
            return Err(Error::Invalid("not a JSON number"));
        }
        let mut is_whole = true;
        if self.eat(b'.') {
            is_whole = false;
            if self.digits().is_empty() {
                return Err(Error::Invalid("not a JSON number"));
            }
        }
        if self.eat(b'e') || self.eat(b'E') {
            is_whole = false;
            let _sign = self.eat(b'+') || self.eat(b'-');
            if self.digits().is_empty() {
                return Err(Error::Invalid("not a JSON number"));
            }
        }
        if self.peek() == Some(MARK) {
            return Err(Error::Invalid("a number beside a number"));
        }
        let text = self.text.get(from..self.at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        if is_whole
            && !negative
            && let Ok(number) = text.parse()
        {
            return write_uint(self.out, number).map(drop).map_err(|_| Error::TooLarge);
        }
        if is_whole && let Ok(number) = text.parse() {
            return self.signed(number);
        }
        self.float(text.parse().map_err(|_| Error::Invalid("not a JSON number"))?)
    }

    fn digits(&mut self) -> &[u8] {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn signed(&mut self, number: i64) -> Result<(), Error> {
        // A zero with a sign would be written as a negative number.
        let written = match u64::try_from(number) {
            Ok(number) => write_uint(self.out, number),
            Err(_) => write_sint(self.out, number),
        };
        written.map(drop).map_err(|_| Error::TooLarge)
    }

    fn float(&mut self, number: f64) -> Result<(), Error> {
        /// Below it, every whole number is a float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !number.is_finite() {
            // JavaScript reads it as an infinity, and shows that as null.
            return written(write_nil(self.out));
        }
        if number.fract() == 0.0 && number.abs() < EXACT {
            return self.signed(number as i64);
        }
        write_f64(self.out, number).map_err(|_| Error::TooLarge)
    }

    fn string(&mut self) -> Result<(), Error> {
        self.at += 1;
        let mut text = Vec::new();
        let mut marked = Vec::new();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            text.extend_from_slice(self.text.get(from..self.at).unwrap_or_default());
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut text)?,
                MARK if self.marks.is_some() => marked.push(text.len()),
                _ => return Err(Error::Invalid("a control character")),
            }
        }
        let length = u32::try_from(text.len()).map_err(|_| Error::TooLarge)?;
        if marked.is_empty() {
            write_str_len(self.out, length).map_err(|_| Error::TooLarge)?;
            self.out.extend_from_slice(&text);
            return Ok(());
        }
        self.mark(Part::TextHead(length, u32::try_from(marked.len()).map_err(|_| Error::TooLarge)?));
        let mut from = 0;
        for at in marked {
            self.out.extend_from_slice(text.get(from..at).unwrap_or_default());
            self.mark(Part::Digits);
            from = at;
        }
        self.out.extend_from_slice(text.get(from..).unwrap_or_default());
        Ok(())
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        let character = match self.next()? {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            b'u' => self.unicode()?,
            _ => return Err(Error::Invalid("an unknown escape")),
        };
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// The character of `\uXXXX`, or of two of them. Half a pair, which a cut emoji leaves, becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex()?;
        let begin = self.at;
        if (0xd800..0xdc00).contains(&first) && self.word("\\u") {
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = begin;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Error::Invalid("an unknown escape"))?;
            code = code << 4 | digit;
        }
        Ok(code)
    }
}

/// Memory takes whatever is written to it.
fn written<E>(result: Result<(), E>) -> Result<(), Error> {
    result.map_err(|_| Error::TooLarge)
}
