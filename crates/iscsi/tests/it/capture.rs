//! Reads the packet captures: pcap, Ethernet, IPv4, TCP with segments sent again and out of order, then PDUs.

use std::collections::{BTreeMap, BTreeSet};

use iscsi::framer::{Framer, Piece};
use iscsi::pdu::{BHS_LEN, Opcode, Pdu};
use zerocopy::IntoBytes;

pub(crate) const ALL: [&str; 5] =
    ["a-tgtd-basic", "b-tgtd-chap-digest", "c-libiscsi-lio", "d-lio-multipath", "e-libiscsi-tests"];

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

/// One direction of a TCP connection.
struct Stream {
    next: u32,
    waiting: BTreeMap<u32, Vec<u8>>,
    reader: Reader,
}

/// Cuts one direction into PDUs and keeps their wire bytes.
pub(crate) struct Reader {
    framer: Framer,
    wire: Vec<u8>,
    data: Vec<u8>,
    digests: (bool, bool),
}

type Socket = ([u8; 4], u16);

/// All connections of a capture, in the order of their first packet.
pub(crate) fn load(name: &str) -> Vec<Connection> {
    let path = format!("{}/tests/captures/{name}.pcap.zst", env!("CARGO_MANIFEST_DIR"));
    let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let mut streams: BTreeMap<(Socket, Socket), Stream> = BTreeMap::new();
    let mut connections: Vec<Connection> = Vec::new();
    let mut index: BTreeMap<(Socket, Socket), usize> = BTreeMap::new();
    let mut rest = &bytes[24..];
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let frame = &rest[16..16 + len];
        rest = &rest[16 + len..];
        let Some((from, to, seq, syn, payload)) = segment(frame) else { continue };
        let initiator_first = if to.1 == 3260 { (from, to) } else { (to, from) };
        if syn {
            if to.1 == 3260 && !streams.contains_key(&(from, to)) {
                index.insert(initiator_first, connections.len());
                connections.push(Connection::default());
            }
            // Options and the use of one socket twice are not seen in these captures.
            let reader = Reader::new();
            let stream = Stream { next: seq.wrapping_add(1), waiting: BTreeMap::new(), reader };
            streams.entry((from, to)).or_insert(stream);
            continue;
        }
        let Some(at) = index.get(&initiator_first) else { continue };
        if payload.is_empty() {
            continue;
        }
        let side = if to.1 == 3260 { From::Initiator } else { From::Target };
        let ready = streams.get_mut(&(from, to)).unwrap().take(seq, payload);
        let pdus = streams.get_mut(&(from, to)).unwrap().reader.read(side, &ready);
        let digests = pdus.iter().find_map(last_login);
        connections[*at].pdus.extend(pdus);
        if let Some((header, data)) = digests {
            for key in [(from, to), (to, from)] {
                streams.get_mut(&key).unwrap().reader.set_digests(header, data);
            }
        }
    }
    for ((from, to), stream) in &streams {
        let key = if to.1 == 3260 { (*from, *to) } else { (*to, *from) };
        connections[index[&key]].unfinished += stream.reader.wire.len();
    }
    connections
}

/// Addresses, sequence number, SYN and payload of a TCP segment.
fn segment(frame: &[u8]) -> Option<(Socket, Socket, u32, bool, &[u8])> {
    if frame.get(12..14)? != [8, 0] || *frame.get(23)? != 6 {
        return None;
    }
    let header = usize::from(frame[14] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let tcp = &frame[14 + header..14 + total];
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let from = (frame[26..30].try_into().unwrap(), port(0));
    let to = (frame[30..34].try_into().unwrap(), port(2));
    let seq = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
    Some((from, to, seq, tcp[13] & 2 != 0, &tcp[usize::from(tcp[12] >> 4) * 4..]))
}

impl Stream {
    /// Takes a segment; gives what has become readable in order.
    fn take(&mut self, seq: u32, payload: &[u8]) -> Vec<u8> {
        self.waiting.entry(seq).or_insert_with(|| payload.to_vec());
        let mut ready = Vec::new();
        loop {
            let reached: BTreeSet<u32> =
                self.waiting.keys().copied().filter(|seq| self.next.wrapping_sub(*seq) < 1 << 31).collect();
            if reached.is_empty() {
                return ready;
            }
            for seq in reached {
                let bytes = self.waiting.remove(&seq).unwrap();
                let known = self.next.wrapping_sub(seq) as usize;
                if let Some(new) = bytes.get(known..) {
                    ready.extend_from_slice(new);
                    self.next = self.next.wrapping_add(new.len() as u32);
                }
            }
        }
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
