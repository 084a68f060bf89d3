//! The captured traffic, as seeds want it.

use fixtures::Said;
use iscsi::framer::{Framer, Piece};
use iscsi::pdu::BHS_LEN;

pub(crate) const SCSI_COMMAND: u8 = 0x01;
pub(crate) const LOGIN_REQUEST: u8 = 0x03;
pub(crate) const TEXT_REQUEST: u8 = 0x04;
pub(crate) const SCSI_RESPONSE: u8 = 0x21;
pub(crate) const LOGIN_RESPONSE: u8 = 0x23;
pub(crate) const TEXT_RESPONSE: u8 = 0x24;
pub(crate) const DATA_IN: u8 = 0x25;

/// A PDU without what stands between header and data.
pub(crate) struct Captured {
    pub(crate) header: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Captured {
    /// The operation code, without the bit of immediate delivery.
    pub(crate) fn opcode(&self) -> u8 {
        self.header[0] & 0x3f
    }
}

/// What one end of each captured connection sent, its first `max` bytes: whether it is the initiator's, and the bytes.
pub(crate) fn streams(max: usize) -> impl Iterator<Item = (bool, Vec<u8>)> {
    fixtures::CAPTURES.iter().flat_map(|name| fixtures::connections(name)).flat_map(move |said| {
        [true, false].map(|initiator| {
            let mut bytes: Vec<u8> = Vec::new();
            for Said { bytes: more, .. } in said.iter().filter(|said| said.by_client == initiator) {
                bytes.extend(&more[..more.len().min(max - bytes.len())]);
            }
            (initiator, bytes)
        })
    })
}

/// The PDUs of both ends, of connections with digests only those of the login.
pub(crate) fn pdus() -> impl Iterator<Item = Captured> {
    streams(256 << 10).flat_map(|(_, bytes)| cut(&bytes))
}

fn cut(bytes: &[u8]) -> Vec<Captured> {
    let mut framer = Framer::new();
    framer.set_max_data(0xff_ffff);
    let (mut left, mut out) = (bytes, Vec::new());
    let mut data = Vec::new();
    while let Ok(Some(piece)) = framer.next(&mut left) {
        match piece {
            Piece::Header => data.clear(),
            Piece::Data(bytes) => data.extend_from_slice(bytes),
            Piece::End => {
                let at = bytes.len() - left.len();
                let padded = data.len().next_multiple_of(4);
                let start = at.checked_sub(BHS_LEN + framer.ahs().len() + padded);
                let Some(header) = start.and_then(|start| bytes.get(start..start + BHS_LEN)) else { break };
                if header[0] & 0x80 != 0 {
                    break; // a digest: the stream is out of step from here on
                }
                out.push(Captured { header: header.to_vec(), data: std::mem::take(&mut data) });
            }
        }
    }
    out
}
