//! The receiving side of the byte stream: finds PDUs in whatever pieces the bytes arrive.
//!
//! [`Framer`] holds one header and nothing else. Data segments are handed on in place, as slices of the caller's own
//! bytes, so no length field of a peer ever sizes a buffer here.

use zerocopy::IntoBytes;

use crate::digest::Crc;
use crate::pdu::{Opcode, RawBhs};

/// The largest data segment before anything else was agreed (RFC 7143, 13.12).
pub const DEFAULT_MAX_DATA: u32 = 8192;

/// A stream that cannot be cut into PDUs any further. The connection has lost its place and must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A data segment beyond what this end declared.
    #[error("{}: DataSegmentLength is {len}, beyond the {max} bytes of MaxRecvDataSegmentLength", name(*.opcode))]
    TooLong {
        /// First byte of the PDU.
        opcode: u8,
        /// DataSegmentLength, in bytes.
        len: u32,
        /// The limit in force, in bytes.
        max: u32,
    },
    /// Additional header segments beyond what an opcode can use.
    #[error("{}: TotalAHSLength is {words} words, beyond the {max} that are taken", name(*.opcode))]
    AhsTooLong {
        /// First byte of the PDU.
        opcode: u8,
        /// TotalAHSLength, in words.
        words: u8,
        /// The limit, in words.
        max: u8,
    },
    /// The header digest does not match.
    #[error("{}: header digest is {got:08x}, computed {want:08x}", name(*.opcode))]
    HeaderDigest {
        /// First byte of the PDU, as received (it may be what is wrong).
        opcode: u8,
        /// As received.
        got: u32,
        /// As computed.
        want: u32,
    },
    /// The data digest does not match.
    #[error("{}: data digest is {got:08x}, computed {want:08x}, over {len} bytes and their padding", name(*.opcode))]
    DataDigest {
        /// First byte of the PDU.
        opcode: u8,
        /// As received.
        got: u32,
        /// As computed.
        want: u32,
        /// DataSegmentLength, in bytes.
        len: u32,
    },
}

impl FrameError {
    /// What an operator may do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLong { .. } | Self::AhsTooLong { .. } => {
                Some("the peer breaks what was agreed at login, or the stream is damaged: try header digests")
            }
            Self::HeaderDigest { .. } | Self::DataDigest { .. } => {
                Some("bytes change between the hosts: look at network cards, switches, and offload settings")
            }
        }
    }
}

fn name(opcode: u8) -> &'static str {
    Opcode::of(opcode).map_or("unknown PDU", Opcode::name)
}

/// What the stream holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// A whole header, its digest verified; [`Framer::bhs`] and [`Framer::ahs`] have it until the next one.
    Header,
    /// Some of the data segment, in order, never empty; its digest is *not* verified before [`Piece::End`].
    Data(&'b [u8]),
    /// The end of the PDU: padding skipped, data digest verified.
    End,
}

/// Where in a PDU the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Bhs,
    Ahs,
    HeaderDigest,
    Data,
    Pad,
    DataDigest,
    End,
}

/// Cuts a byte stream into PDUs.
#[derive(Clone, Debug)]
pub struct Framer {
    bhs: RawBhs,
    /// At most 1020 bytes.
    ahs: Vec<u8>,
    state: State,
    /// Bytes of the present state that were taken already.
    have: usize,
    digest: [u8; 4],
    pad: [u8; 3],
    crc: Crc,
    max_data: u32,
    header_digest: bool,
    data_digest: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// At the start of a connection: no digests, data segments up to [`DEFAULT_MAX_DATA`].
    pub fn new() -> Self {
        Self {
            bhs: zerocopy::FromZeros::new_zeroed(),
            ahs: Vec::new(),
            state: State::Bhs,
            have: 0,
            digest: [0; 4],
            pad: [0; 3],
            crc: Crc::default(),
            max_data: DEFAULT_MAX_DATA,
            header_digest: false,
            data_digest: false,
        }
    }

    /// Switches digests on or off, from the next PDU on: call it at [`Piece::End`] of the last login PDU.
    pub fn set_digests(&mut self, header: bool, data: bool) {
        self.header_digest = header;
        self.data_digest = data;
    }

    /// Sets the longest data segment to take, in bytes.
    pub fn set_max_data(&mut self, max: u32) {
        self.max_data = max;
    }

    /// The present PDU's basic header.
    pub fn bhs(&self) -> &RawBhs {
        &self.bhs
    }

    /// The present PDU's additional header segments.
    pub fn ahs(&self) -> &[u8] {
        &self.ahs
    }

    /// The padding behind the last data segment, at [`Piece::End`]: 0 to 3 bytes, seen not to be zero from LIO.
    pub fn padding(&self) -> &[u8] {
        self.pad.get(..pad_len(self.data_len())).unwrap_or_default()
    }

    /// Whether the stream stands between two PDUs.
    pub fn at_boundary(&self) -> bool {
        self.state == State::Bhs && self.have == 0
    }

    /// How many bytes of the present data segment are still to come; 0 outside one.
    pub fn data_left(&self) -> usize {
        if self.state == State::Data { self.data_len().saturating_sub(self.have) } else { 0 }
    }

    /// Takes bytes off the front of `input` until there is a piece to hand on; `None` means that all are taken.
    ///
    /// # Errors
    /// [`FrameError`]: the stream is of no more use, and neither is the framer.
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Piece<'b>>, FrameError> {
        loop {
            match self.state {
                State::Bhs => {
                    if !fill(self.bhs.as_mut_bytes(), &mut self.have, input) {
                        return Ok(None);
                    }
                    self.check_lengths()?;
                    self.ahs.clear();
                    self.enter(State::Ahs);
                }
                State::Ahs => {
                    let want = self.bhs.ahs_len().saturating_sub(self.ahs.len());
                    let part = take(input, want);
                    self.ahs.extend_from_slice(part);
                    if part.len() < want {
                        return Ok(None);
                    }
                    if !self.header_digest {
                        self.enter(State::Data);
                        return Ok(Some(Piece::Header));
                    }
                    self.enter(State::HeaderDigest);
                }
                State::HeaderDigest => {
                    if !fill(&mut self.digest, &mut self.have, input) {
                        return Ok(None);
                    }
                    self.check_header_digest()?;
                    self.enter(State::Data);
                    return Ok(Some(Piece::Header));
                }
                State::Data if self.have == self.data_len() => self.enter(State::Pad),
                State::Data => return Ok(self.take_data(input).map(Piece::Data)),
                State::Pad => {
                    let pad = self.pad.get_mut(..pad_len(usize_of(&self.bhs))).unwrap_or_default();
                    if !fill(pad, &mut self.have, input) {
                        return Ok(None);
                    }
                    if self.data_digest {
                        self.crc.update(pad);
                    }
                    let digest = self.data_digest && self.data_len() > 0;
                    self.enter(if digest { State::DataDigest } else { State::End });
                }
                State::DataDigest => {
                    if !fill(&mut self.digest, &mut self.have, input) {
                        return Ok(None);
                    }
                    self.check_data_digest()?;
                    self.enter(State::End);
                }
                State::End => {
                    self.enter(State::Bhs);
                    self.crc = Crc::default();
                    return Ok(Some(Piece::End));
                }
            }
        }
    }

    /// Takes what there is of the data segment; `None` when there is nothing.
    fn take_data<'b>(&mut self, input: &mut &'b [u8]) -> Option<&'b [u8]> {
        let part = take(input, self.data_len().saturating_sub(self.have));
        self.have = self.have.saturating_add(part.len());
        if self.data_digest {
            self.crc.update(part);
        }
        (!part.is_empty()).then_some(part)
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.have = 0;
    }

    fn data_len(&self) -> usize {
        usize_of(&self.bhs)
    }

    fn check_lengths(&self) -> Result<(), FrameError> {
        let (opcode, len, max) = (self.bhs.opcode, self.bhs.data_len(), self.max_data);
        if len > max {
            return Err(FrameError::TooLong { opcode, len, max });
        }
        // Only a SCSI Command has use for them: 244 bytes of CDB and a read length, each with its header.
        let words = self.bhs.ahs_words;
        let max = if self.bhs.opcode() == Some(Opcode::ScsiCommand) { u8::MAX } else { 0 };
        if words > max {
            return Err(FrameError::AhsTooLong { opcode, words, max });
        }
        Ok(())
    }

    fn check_header_digest(&self) -> Result<(), FrameError> {
        let mut crc = Crc::default();
        crc.update(self.bhs.as_bytes());
        crc.update(&self.ahs);
        if crc.wire() == self.digest {
            return Ok(());
        }
        let (got, want) = (u32::from_le_bytes(self.digest), u32::from_le_bytes(crc.wire()));
        Err(FrameError::HeaderDigest { opcode: self.bhs.opcode, got, want })
    }

    fn check_data_digest(&self) -> Result<(), FrameError> {
        if self.crc.wire() == self.digest {
            return Ok(());
        }
        let (got, want) = (u32::from_le_bytes(self.digest), u32::from_le_bytes(self.crc.wire()));
        Err(FrameError::DataDigest { opcode: self.bhs.opcode, got, want, len: self.bhs.data_len() })
    }
}

fn usize_of(bhs: &RawBhs) -> usize {
    usize::try_from(bhs.data_len()).unwrap_or(usize::MAX)
}

/// Bytes of padding behind a data segment of `len` bytes: 0 to 3.
pub(crate) fn pad_len(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// Takes up to `want` bytes off the front of `input`.
fn take<'b>(input: &mut &'b [u8], want: usize) -> &'b [u8] {
    let (part, rest) = input.split_at_checked(want).unwrap_or((input, &[]));
    *input = rest;
    part
}

/// Moves bytes into `buf` behind the first `have`; whether it is full.
fn fill(buf: &mut [u8], have: &mut usize, input: &mut &[u8]) -> bool {
    let Some(space) = buf.get_mut(*have..) else { return true };
    let part = take(input, space.len());
    if let Some(space) = space.get_mut(..part.len()) {
        space.copy_from_slice(part);
    }
    *have = have.saturating_add(part.len());
    *have == buf.len()
}

#[cfg(test)]
mod tests;
