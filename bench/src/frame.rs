//! The client's half of WebSocket framing: reads the headers of server frames, writes masked client frames.
//!
//! It must never copy a payload while reading: a viewer that only counts touches the header and a few bytes behind it.

use thiserror::Error;

/// Text message.
pub(crate) const TEXT: u8 = 1;
/// Close control frame.
pub(crate) const CLOSE: u8 = 8;
/// Ping control frame.
pub(crate) const PING: u8 = 9;
/// Pong control frame.
pub(crate) const PONG: u8 = 10;

/// Longest payload a server frame may announce. Above it the connection is given up.
pub(crate) const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// The first bytes of one server frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// WebSocket opcode.
    pub(crate) opcode: u8,
    /// Bytes before the payload.
    pub(crate) head: usize,
    /// Bytes of the payload.
    pub(crate) len: usize,
}

/// What a server must not send; the connection is given up.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A server frame with the mask bit.
    #[error("the server masked a frame")]
    Masked,
    /// A message in several frames: legal, but no Socket.IO server sends it and the counting code does not join them.
    #[error("the server fragmented a message")]
    Fragmented,
    /// A reserved bit without an extension.
    #[error("the server set a reserved bit")]
    Reserved,
    /// More than [`MAX_PAYLOAD`].
    #[error("the server announced a frame of {0} bytes")]
    TooLong(u64),
}

/// Reads the header at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// [`FrameError`] for what a server must not send.
#[inline]
pub(crate) fn header(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x80 == 0 {
        return Err(FrameError::Fragmented);
    }
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (head, len) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(len) => (4, u64::from(u16::from_be_bytes(*len))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (10, u64::from_be_bytes(*len)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    match usize::try_from(len) {
        Ok(len) if len <= MAX_PAYLOAD => Ok(Some(Header { opcode: first & 0x0f, head, len })),
        _ => Err(FrameError::TooLong(len)),
    }
}

/// Appends one masked client frame made of the given pieces.
pub(crate) fn write_masked(out: &mut Vec<u8>, opcode: u8, key: [u8; 4], pieces: &[&[u8]]) {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.push(0x80 | opcode);
    write_len(out, 0x80, len);
    out.extend_from_slice(&key);
    let start = out.len();
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    for (at, byte) in out[start..].iter_mut().enumerate() {
        *byte ^= key[at & 3];
    }
}

/// Appends the header of one unmasked server frame.
pub(crate) fn write_server_header(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.push(0x80 | opcode);
    write_len(out, 0, len);
}

/// Undoes the mask of a client frame in place.
pub(crate) fn unmask(payload: &mut [u8], key: [u8; 4]) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[at & 3];
    }
}

fn write_len(out: &mut Vec<u8>, mask_bit: u8, len: usize) {
    if len < 126 {
        out.push(mask_bit | len as u8);
    } else if let Ok(short) = u16::try_from(len) {
        out.push(mask_bit | 126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(mask_bit | 127);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_server_header(&mut out, opcode, payload.len());
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn header_is_incomplete_until_its_last_byte() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let frame = server_frame(TEXT, &vec![b'x'; len]);
            let head = frame.len() - len;
            for cut in 0..head {
                assert_eq!(header(&frame[..cut]), Ok(None), "len {len} cut {cut}");
            }
            let want = Header { opcode: TEXT, head, len };
            assert_eq!(header(&frame[..head]), Ok(Some(want)));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(header(&[0x81, 0x80]), Err(FrameError::Masked));
        assert_eq!(header(&[0x01, 0x01]), Err(FrameError::Fragmented));
        assert_eq!(header(&[0xc1, 0x01]), Err(FrameError::Reserved));
        let mut huge = vec![0x82, 127];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(header(&huge), Err(FrameError::TooLong(u64::MAX)));
    }

    #[test]
    fn client_frames_are_masked_and_carry_their_length() {
        for len in [0_usize, 5, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let key = [1, 2, 3, 4];
            let mut out = Vec::new();
            let (left, right) = payload.split_at(len / 2);
            write_masked(&mut out, TEXT, key, &[left, right]);
            let head = out.len() - len;
            assert_eq!(out[0], 0x81);
            assert_eq!(out[1] & 0x80, 0x80);
            assert_eq!(out[head - 4..head], key);
            let mut body = out.split_off(head);
            unmask(&mut body, key);
            assert_eq!(body, payload);
        }
    }
}
