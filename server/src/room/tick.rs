//! [`Tick`]: what was broadcast to a room and has not reached all of its members.
//!
//! A broadcast is appended twice: to the list of frames, which serves members that are behind, and to one run of bytes,
//! which a healthy member gets in a single write. Frames are numbered by how many the room ever had, so that a member's
//! progress is one number that needs no reset when the tick moves on.

use std::collections::VecDeque;

use haat_protocol::Frame;

/// Frames on their way to the members of a room.
#[derive(Debug, Default)]
pub struct Tick {
    /// Frames that the room had before the first one here.
    base: u32,
    /// Each with the number of its broadcast, which is unique on the shard and rises.
    frames: VecDeque<(u64, Frame)>,
    /// The frames' bytes, end to end.
    bytes: Vec<u8>,
    /// The pass that is under way delivers this many of the frames, and this many of the bytes.
    sealed: (usize, usize),
}

/// Room for bytes that is kept when a tick is done.
const KEPT_BYTES: usize = 16 * 1024;

impl Tick {
    /// The number that the next frame will have. A member that joins now starts here.
    pub fn end(&self) -> u32 {
        self.base.wrapping_add(u32::try_from(self.frames.len()).unwrap_or(u32::MAX))
    }

    /// Adds the frame of broadcast `number`.
    pub fn push(&mut self, number: u64, frame: &Frame) {
        self.bytes.extend_from_slice(frame.bytes());
        self.frames.push_back((number, frame.clone()));
    }

    /// Begins a pass over the members with what is here now. What comes later is for the next pass.
    pub fn seal(&mut self) {
        self.sealed = (self.frames.len(), self.bytes.len());
    }

    /// Where a member stands that has had the pass that is under way.
    pub fn sealed_end(&self) -> u32 {
        self.base.wrapping_add(u32::try_from(self.sealed.0).unwrap_or(u32::MAX))
    }

    /// The bytes of the whole pass, for a member that has had none of it; `None` for one that has had a part.
    pub fn whole(&self, seen: u32) -> Option<&[u8]> {
        if seen == self.base { self.bytes.get(..self.sealed.1) } else { None }
    }

    /// The frames of the pass, oldest first.
    pub fn sealed_frames(&self) -> impl Iterator<Item = &(u64, Frame)> {
        self.frames.iter().take(self.sealed.0)
    }

    /// The frames that a member at `seen` has not had, later ones than the pass included.
    pub fn after(&self, seen: u32) -> impl Iterator<Item = &(u64, Frame)> {
        let had = usize::try_from(seen.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        self.frames.iter().skip(had.min(self.frames.len()))
    }

    /// Whether a member at `seen` has had everything.
    pub fn is_done(&self, seen: u32) -> bool {
        seen == self.end()
    }

    /// Ends the pass: every member has had it. Says whether something came meanwhile.
    pub fn finish(&mut self) -> bool {
        let (frames, bytes) = std::mem::take(&mut self.sealed);
        self.base = self.base.wrapping_add(u32::try_from(frames).unwrap_or(u32::MAX));
        self.frames.drain(..frames);
        self.bytes.drain(..bytes);
        if self.frames.is_empty() {
            self.frames.shrink_to(32);
            self.bytes.shrink_to(KEPT_BYTES);
        }
        !self.frames.is_empty()
    }
}
