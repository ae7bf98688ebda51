//! From msgpack to JSON text.

use bytes::Bytes;
use rmp::Marker;

use super::{Error, MAX_ATTACHMENTS, MAX_BYTES, MAX_DEPTH, date};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// A placeholder, and an attachment.
    Attach,
    /// The object that Node's JSON makes of them: `{"type":"Buffer","data":[1,2]}`.
    Spell,
}

/// The JSON text of exactly one msgpack value, and its attachments ([`Binary::Attach`]).
///
/// # Errors
/// [`Error`]
pub fn to_json(bytes: &[u8], binary: Binary) -> Result<(String, Vec<Bytes>), Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge);
    }
    let mut reader =
        Reader { rest: bytes, out: String::with_capacity(bytes.len() + 32), attachments: Vec::new(), binary };
    reader.value(0)?;
    if reader.rest.is_empty() { Ok((reader.out, reader.attachments)) } else { Err(Error::Trailing) }
}

struct Reader<'a> {
    rest: &'a [u8],
    out: String,
    attachments: Vec<Bytes>,
    binary: Binary,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::Truncated)
    }

    /// A length of 1, 2 or 4 bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, Error> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        let [marker] = self.array()?;
        match Marker::from_u8(marker) {
            Marker::Null => self.out.push_str("null"),
            Marker::True => self.out.push_str("true"),
            Marker::False => self.out.push_str("false"),
            Marker::FixPos(number) => self.integer(number),
            Marker::FixNeg(number) => self.integer(number),
            Marker::U8 => self.array().map(u8::from_be_bytes).map(|number| self.integer(number))?,
            Marker::U16 => self.array().map(u16::from_be_bytes).map(|number| self.integer(number))?,
            Marker::U32 => self.array().map(u32::from_be_bytes).map(|number| self.integer(number))?,
            Marker::U64 => self.array().map(u64::from_be_bytes).map(|number| self.integer(number))?,
            Marker::I8 => self.array().map(i8::from_be_bytes).map(|number| self.integer(number))?,
            Marker::I16 => self.array().map(i16::from_be_bytes).map(|number| self.integer(number))?,
            Marker::I32 => self.array().map(i32::from_be_bytes).map(|number| self.integer(number))?,
            Marker::I64 => self.array().map(i64::from_be_bytes).map(|number| self.integer(number))?,
            Marker::F32 => self.array().map(f32::from_be_bytes).map(|number| self.float(number.into()))?,
            Marker::F64 => self.array().map(f64::from_be_bytes).map(|number| self.float(number))?,
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 => self.length(1).and_then(|length| self.text(length))?,
            Marker::Str16 => self.length(2).and_then(|length| self.text(length))?,
            Marker::Str32 => self.length(4).and_then(|length| self.text(length))?,
            Marker::Bin8 => self.length(1).and_then(|length| self.bytes(length))?,
            Marker::Bin16 => self.length(2).and_then(|length| self.bytes(length))?,
            Marker::Bin32 => self.length(4).and_then(|length| self.bytes(length))?,
            Marker::FixArray(length) => self.list(length.into(), depth)?,
            Marker::Array16 => self.length(2).and_then(|length| self.list(length, depth))?,
            Marker::Array32 => self.length(4).and_then(|length| self.list(length, depth))?,
            Marker::FixMap(length) => self.map(length.into(), depth)?,
            Marker::Map16 => self.length(2).and_then(|length| self.map(length, depth))?,
            Marker::Map32 => self.length(4).and_then(|length| self.map(length, depth))?,
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.length(1).and_then(|length| self.extension(length))?,
            Marker::Ext16 => self.length(2).and_then(|length| self.extension(length))?,
            Marker::Ext32 => self.length(4).and_then(|length| self.extension(length))?,
            Marker::Reserved => return Err(Error::Invalid("the byte 0xc1 means nothing")),
        }
        Ok(())
    }

    fn integer(&mut self, number: impl ToString) {
        self.out.push_str(&number.to_string());
    }

    fn float(&mut self, number: f64) {
        /// Below it, every whole number is a float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !number.is_finite() {
            self.out.push_str("null");
        } else if number.fract() == 0.0 && number.abs() < EXACT {
            // JavaScript shows no point in a whole number, and no sign before its zero.
            self.integer(number as i64);
        } else {
            self.integer(serde_json::Number::from_f64(number).unwrap_or_else(|| 0.into()));
        }
    }

    fn text(&mut self, length: usize) -> Result<(), Error> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Error::Invalid("a text is not UTF-8"))?;
        quote(&mut self.out, text);
        Ok(())
    }

    fn bytes(&mut self, length: usize) -> Result<(), Error> {
        let bytes = self.take(length)?;
        match self.binary {
            Binary::Attach if self.attachments.len() == MAX_ATTACHMENTS => return Err(Error::TooManyAttachments),
            Binary::Attach => {
                self.out.push_str(r#"{"_placeholder":true,"num":"#);
                self.integer(self.attachments.len());
                self.out.push('}');
                self.attachments.push(Bytes::copy_from_slice(bytes));
            }
            Binary::Spell => {
                self.out.push_str(r#"{"type":"Buffer","data":["#);
                for (index, byte) in bytes.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.integer(byte);
                }
                self.out.push_str("]}");
            }
        }
        Ok(())
    }

    fn list(&mut self, length: usize, depth: usize) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.out.push('[');
        for index in 0..length {
            if index > 0 {
                self.out.push(',');
            }
            self.value(depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.out.push('{');
        for index in 0..length {
            if index > 0 {
                self.out.push(',');
            }
            self.key()?;
            self.out.push(':');
            self.value(depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// A member's name. JavaScript makes a text of whatever is one.
    fn key(&mut self) -> Result<(), Error> {
        let marker = *self.rest.first().ok_or(Error::Truncated)?;
        let quoted = match Marker::from_u8(marker) {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => false,
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                return Err(Error::Invalid("an array as a name"));
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => return Err(Error::Invalid("a map as a name")),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => return Err(Error::Invalid("bytes as a name")),
            Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => {
                return Err(Error::Invalid("an extension as a name"));
            }
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => return Err(Error::Invalid("an extension as a name")),
            _ => true,
        };
        if quoted {
            self.out.push('"');
        }
        self.value(MAX_DEPTH)?;
        if quoted {
            self.out.push('"');
        }
        Ok(())
    }

    fn extension(&mut self, length: usize) -> Result<(), Error> {
        let [kind] = self.array().map(|[kind]: [u8; 1]| [kind as i8])?;
        let ms = match (kind, length) {
            // What Node's older versions wrote.
            (0, 1) => {
                self.take(1)?;
                None
            }
            (0, 8) => Some(self.array().map(i64::from_be_bytes)?),
            (0, _) => return self.bytes(length),
            (-1, 4) => Some(i64::from(self.array().map(u32::from_be_bytes)?) * 1000),
            (-1, 8) => {
                let packed = self.array().map(u64::from_be_bytes)?;
                let (nanos, seconds) = (packed >> 34, packed & 0x3_ffff_ffff);
                // 34 bits of seconds and 30 of nanoseconds: both are far from the bounds.
                Some((seconds * 1000 + nanos / 1_000_000) as i64)
            }
            (-1, 12) => {
                let nanos = self.array().map(u32::from_be_bytes)?;
                let seconds = self.array().map(i64::from_be_bytes)?;
                seconds.checked_mul(1000).and_then(|ms| ms.checked_add(i64::from(nanos / 1_000_000)))
            }
            _ => {
                self.out.push('[');
                self.integer(kind);
                self.out.push(',');
                self.bytes(length)?;
                self.out.push(']');
                return Ok(());
            }
        };
        match ms.and_then(date::iso) {
            Some(text) => quote(&mut self.out, &text),
            None => self.out.push_str("null"),
        }
        Ok(())
    }
}

/// Writes `text` as a JSON text.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        // All of these are ASCII, so that no character is cut.
        out.push_str(text.get(from..at).unwrap_or_default());
        if escape.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}
