//! The kernel's half of `/dev/fuse`, pretended over a socket that keeps messages apart.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, send, socketpair};
use zerocopy::{FromBytes, IntoBytes};

use super::memfs::MemFs;
use crate::abi::{RawInHeader, RawInitOut, RawOutHeader};
use crate::{Config, Session};

/// A pretended kernel and the session it talks to.
pub(super) struct Kernel {
    pub(super) fs: Arc<MemFs>,
    pub(super) session: Session,
    socket: Option<OwnedFd>,
    next: u64,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) unique: u64,
    /// 0 or an errno.
    pub(super) errno: i32,
    pub(super) body: Vec<u8>,
}

impl Kernel {
    /// Begins a session and sees its INIT through.
    pub(super) fn new(config: Config) -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("socketpair");
        let offer: Vec<u32> = [7, 40, 131_072, u32::MAX, u32::MAX].into_iter().chain([0; 11]).collect();
        let init = message(26, 2, 0, offer.as_bytes());
        send(&ours, &init, rustix::net::SendFlags::empty()).expect("INIT");
        let fs = Arc::new(MemFs::default());
        let runtime = tokio::runtime::Handle::current();
        let session = Session::start(theirs, Arc::clone(&fs), config, runtime).expect("a session");
        let kernel = Self { fs, session, socket: Some(ours), next: 4 };
        let answer = kernel.answer();
        let init = RawInitOut::read_from_bytes(&answer.body).expect("fuse_init_out");
        assert_eq!((answer.errno, answer.unique, init.major, init.minor), (0, 2, 7, 38));
        kernel
    }

    /// Sends a request and returns its number.
    pub(super) fn ask(&mut self, opcode: u32, node: u64, body: &[u8]) -> u64 {
        let unique = self.next;
        self.next += 2;
        self.send(&message(opcode, unique, node, body));
        unique
    }

    /// Sends a request and waits for its answer.
    pub(super) fn call(&mut self, opcode: u32, node: u64, body: &[u8]) -> Answer {
        let unique = self.ask(opcode, node, body);
        let answer = self.answer();
        assert_eq!(answer.unique, unique);
        answer
    }

    /// The number that the next request will have.
    pub(super) fn next_unique(&self) -> u64 {
        self.next
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        send(self.socket(), bytes, rustix::net::SendFlags::empty()).expect("send");
    }

    /// The next answer, of whatever request.
    pub(super) fn answer(&self) -> Answer {
        let mut bytes = vec![0; 2 << 20];
        let (len, _) = recv(self.socket(), &mut bytes[..], RecvFlags::empty()).expect("recv");
        bytes.truncate(len);
        let (head, body) = RawOutHeader::read_from_prefix(&bytes).expect("a header");
        assert_eq!(usize::try_from(head.len), Ok(len));
        Answer { unique: head.unique, errno: -head.error, body: body.to_vec() }
    }

    /// Whether an answer is there already.
    pub(super) fn has_answer(&self) -> bool {
        recv(self.socket(), &mut [0u8; 16][..], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok()
    }

    /// Unmounts: reads of the device end.
    pub(super) fn hang_up(&mut self) {
        self.socket = None;
    }

    fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().expect("not hung up")
    }
}

/// A request's bytes.
pub(super) fn message(opcode: u32, unique: u64, nodeid: u64, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(40 + body.len()).expect("short");
    let head =
        RawInHeader { len, opcode, unique, nodeid, uid: 0, gid: 0, pid: 1, total_extlen: 0, padding: 0 };
    [head.as_bytes(), body].concat()
}
