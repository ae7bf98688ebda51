//! The mark at the start of every published text: who sent it, which one it is, when it was due.
//!
//! Letters and digits only, of fixed width: no server has a reason to escape, trim or censor it.

use memchr::memmem;

/// What a stamp begins with. Holds letters outside of hex, so it cannot occur inside the numbers.
const MARK: &[u8; 4] = b"hbzq";
/// Bytes of a written stamp.
pub(crate) const LEN: usize = 4 + 6 + 8 + 16;
/// Highest number of publishers that the stamp can name.
pub(crate) const MAX_PUBLISHERS: u32 = 1 << 24;

/// One message's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Publisher, below [`MAX_PUBLISHERS`].
    pub(crate) publisher: u32,
    /// Number of the message within its publisher, from 0.
    pub(crate) seq: u32,
    /// When the message was due, nanoseconds of the generator's clock.
    pub(crate) due_ns: u64,
}

impl Stamp {
    /// The stamp as text.
    pub(crate) fn write(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(MARK);
        write_hex(&mut out[4..10], u64::from(self.publisher));
        write_hex(&mut out[10..18], u64::from(self.seq));
        write_hex(&mut out[18..], self.due_ns);
        out
    }
}

/// Finds stamps inside packets. Built once, because the search prepares itself for the mark.
#[derive(Debug)]
pub(crate) struct Finder(memmem::Finder<'static>);

impl Finder {
    /// A finder for every stamp.
    pub(crate) fn new() -> Self {
        Self(memmem::Finder::new(MARK))
    }

    /// The first stamp of the packet; `None` if there is none that is whole.
    #[inline]
    pub(crate) fn find(&self, packet: &[u8]) -> Option<Stamp> {
        let at = self.0.find(packet)?;
        let text = packet.get(at..at + LEN)?;
        Some(Stamp {
            publisher: read_hex(&text[4..10])? as u32,
            seq: read_hex(&text[10..18])? as u32,
            due_ns: read_hex(&text[18..])?,
        })
    }
}

fn write_hex(out: &mut [u8], mut value: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(text: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_inside_a_packet() {
        let stamp = Stamp { publisher: 0xab_cdef, seq: 7, due_ns: u64::MAX - 1 };
        let mut packet = br#"42["chat:message",{"text":""#.to_vec();
        packet.extend_from_slice(&stamp.write());
        let whole = packet.len();
        packet.extend_from_slice(br#"tail"}]"#);
        let finder = Finder::new();
        assert_eq!(finder.find(&packet), Some(stamp));
        assert_eq!(finder.find(&packet[..whole - 1]), None);
    }

    #[test]
    fn a_damaged_stamp_is_none() {
        let stamp = Stamp { publisher: 1, seq: 2, due_ns: 3 };
        let mut text = stamp.write();
        text[12] = b'*';
        assert_eq!(Finder::new().find(&text), None);
        assert_eq!(Finder::new().find(b"nothing here"), None);
    }
}
