//! Reads the packet captures: what each end said, cut into PDUs.

pub(crate) use fixtures::CAPTURES as ALL;
use fixtures::Said;
use iscsi::framer::{Framer, Piece};
use iscsi::pdu::{BHS_LEN, Opcode, Pdu};
use zerocopy::IntoBytes;

/// Who sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum From {
    Initiator,
    Target,
}

/// One PDU as captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) from: From,
    pub(crate) pdu: Pdu,
    pub(crate) ahs: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) padding: Vec<u8>,
    /// The bytes on the wire, digests and padding and all.
    pub(crate) wire: Vec<u8>,
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
}

/// One TCP connection: what was said, in the order in which it became readable.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) pdus: Vec<Captured>,
    /// Bytes behind the last whole PDU, both directions together.
    pub(crate) unfinished: usize,
}

/// Cuts one direction into PDUs and keeps their wire bytes.
pub(crate) struct Reader {
    framer: Framer,
    wire: Vec<u8>,
    data: Vec<u8>,
    digests: (bool, bool),
}

/// All connections of a capture, in the order of their first packet.
pub(crate) fn load(name: &str) -> Vec<Connection> {
    fixtures::connections(name).iter().map(|said| Connection::read(said)).collect()
}

impl Connection {
    fn read(said: &[Said]) -> Self {
        let mut readers = [Reader::new(), Reader::new()];
        let mut connection = Self::default();
        for Said { by_client, bytes } in said {
            let from = if *by_client { From::Initiator } else { From::Target };
            let pdus = readers[usize::from(*by_client)].read(from, bytes);
            if let Some((header, data)) = pdus.iter().find_map(last_login) {
                readers.iter_mut().for_each(|reader| reader.set_digests(header, data));
            }
            connection.pdus.extend(pdus);
        }
        connection.unfinished = readers.iter().map(|reader| reader.wire.len()).sum();
        connection
    }
}

impl Reader {
    pub(crate) fn new() -> Self {
        let mut framer = Framer::new();
        framer.set_max_data(0xff_ffff);
        Self { framer, wire: Vec::new(), data: Vec::new(), digests: (false, false) }
    }

    pub(crate) fn set_digests(&mut self, header: bool, data: bool) {
        self.digests = (header, data);
        self.framer.set_digests(header, data);
    }

    pub(crate) fn read(&mut self, from: From, bytes: &[u8]) -> Vec<Captured> {
        let mut out = Vec::new();
        let mut left = bytes;
        loop {
            let before = left;
            let piece = self.framer.next(&mut left).unwrap();
            self.wire.extend_from_slice(&before[..before.len() - left.len()]);
            match piece {
                None => return out,
                Some(Piece::Header) => self.data.clear(),
                Some(Piece::Data(data)) => self.data.extend_from_slice(data),
                Some(Piece::End) => {
                    let bhs: &[u8; BHS_LEN] = self.framer.bhs().as_bytes().try_into().unwrap();
                    out.push(Captured {
                        from,
                        pdu: Pdu::parse(bhs).unwrap(),
                        ahs: self.framer.ahs().to_vec(),
                        data: std::mem::take(&mut self.data),
                        padding: self.framer.padding().to_vec(),
                        wire: std::mem::take(&mut self.wire),
                        header_digest: self.digests.0,
                        data_digest: self.digests.1,
                    });
                }
            }
        }
    }
}

/// The digests agreed on, if this is the response that ends a login.
fn last_login(captured: &Captured) -> Option<(bool, bool)> {
    let Pdu::LoginResponse(raw) = &captured.pdu else { return None };
    if raw.status_class != 0 || raw.flags & 0x83 != 0x83 {
        return None;
    }
    let has = |text: &[u8]| captured.data.split(|b| *b == 0).any(|pair| pair == text);
    Some((has(b"HeaderDigest=CRC32C"), has(b"DataDigest=CRC32C")))
}

impl Captured {
    pub(crate) fn opcode(&self) -> Opcode {
        self.pdu.opcode()
    }

    /// The value of a key in its text.
    pub(crate) fn key(&self, name: &str) -> Option<&str> {
        use Opcode::{LoginRequest, LoginResponse, TextRequest, TextResponse};
        if !matches!(self.opcode(), LoginRequest | LoginResponse | TextRequest | TextResponse) {
            return None;
        }
        let text = std::str::from_utf8(&self.data).ok()?;
        text.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// A number of its header at a byte offset.
    pub(crate) fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.pdu.as_bytes()[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn itt(&self) -> u32 {
        self.word(16)
    }
}
