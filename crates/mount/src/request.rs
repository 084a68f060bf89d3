//! Requests: from the kernel's bytes to a checked operation.

use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi::{
    InitFlags, Opcode, RawForgetBatchIn, RawForgetIn, RawForgetOne, RawGetXattrIn, RawInHeader, RawInitIn,
    RawInitInMore, RawInterruptIn, RawIoctlIn, RawLseekIn, RawOpenIn, RawReadIn, RawReleaseIn,
};

mod change;

pub(crate) use change::Change;

/// Longest name the kernel passes on, in bytes.
const NAME_MAX: usize = 1023;

/// A name of its own, so that the buffer it came in is free for the next request at once.
pub(crate) type Name = SmallVec<[u8; 40]>;

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) unique: u64,
    /// The kernel's number of the inode it is about; 0 where it is about none.
    pub(crate) node: u64,
    /// Who asks.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) message: Message<'a>,
}

/// What the kernel says.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// To be answered, maybe after a wait.
    Call(Call),
    Forget {
        count: u64,
    },
    BatchForget(&'a [RawForgetOne]),
    Interrupt {
        unique: u64,
    },
    Init(Offer),
    Destroy,
    /// The answer to a question that this transport never asks.
    NotifyReply,
}

/// What the kernel offers in INIT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// The kernel's own read-ahead for the mount, in bytes; the answer can only lower it.
    pub(crate) max_readahead: u32,
    pub(crate) flags: InitFlags,
}

/// What was agreed on, as far as requests look different by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// `FUSE_SETXATTR_EXT`: SETXATTR has a longer head.
    pub(crate) setxattr_ext: bool,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Call {
    Lookup {
        name: Name,
    },
    GetAttr,
    ReadLink,
    Open {
        flags: u32,
        directory: bool,
        kill_set_id: bool,
    },
    Release {
        handle: u64,
    },
    Read {
        handle: u64,
        offset: u64,
        len: u32,
    },
    ReadDir {
        handle: u64,
        offset: u64,
        room: u32,
        plus: bool,
    },
    StatFs,
    GetXattr {
        name: Name,
        room: u32,
    },
    ListXattr {
        room: u32,
    },
    Lseek {
        handle: u64,
        offset: u64,
        whence: u32,
    },
    Ioctl {
        command: u32,
        argument: SmallVec<[u8; 32]>,
        room: u32,
    },
    /// SYNCFS.
    Sync,
    /// What may change the volume.
    Change(Change),
    /// An operation that is left to the kernel's default.
    Unsupported,
}

/// Why bytes from the device are no request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadRequest {
    #[error("a request of {len} bytes is shorter than its header of 40")]
    Short { len: usize },
    #[error("request {unique} says it is {said} bytes long, but {len} were read")]
    Length { unique: u64, said: u32, len: usize },
    #[error("request {unique} ({opcode:?}) has a body of {len} bytes: too short")]
    Body { unique: u64, opcode: Opcode, len: usize },
    #[error("request {unique} ({opcode:?}) has no proper name")]
    Name { unique: u64, opcode: Opcode },
    #[error("request {unique} ({opcode:?}): {field} is {value}")]
    Nonsense { unique: u64, opcode: Opcode, field: &'static str, value: u64 },
}

impl BadRequest {
    /// The request to answer with an error, where that much could be read.
    pub(crate) fn unique(&self) -> Option<u64> {
        match *self {
            Self::Short { .. } => None,
            Self::Length { unique, .. }
            | Self::Body { unique, .. }
            | Self::Name { unique, .. }
            | Self::Nonsense { unique, .. } => Some(unique),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads one message of the device: exactly the bytes that one read(2) returned, of which the last `data_len`,
    /// a WRITE's data, lie elsewhere.
    ///
    /// # Errors
    /// [`BadRequest`]: a length, body or name that no kernel sends.
    pub(crate) fn parse(bytes: &'a [u8], data_len: usize, dialect: Dialect) -> Result<Self, BadRequest> {
        let len = bytes.len().saturating_add(data_len);
        let (head, body) = RawInHeader::read_from_prefix(bytes).map_err(|_| BadRequest::Short { len })?;
        let unique = head.unique;
        if usize::try_from(head.len) != Ok(len) {
            return Err(BadRequest::Length { unique, said: head.len, len });
        }
        let message = match Opcode::parse(head.opcode) {
            Some(opcode) => Body { unique, opcode, bytes: body, data_len, dialect }.parse()?,
            None => Message::Call(Call::Unsupported),
        };
        Ok(Self { unique, node: head.nodeid, uid: head.uid, gid: head.gid, message })
    }
}

/// What follows the header.
struct Body<'a> {
    unique: u64,
    opcode: Opcode,
    bytes: &'a [u8],
    data_len: usize,
    dialect: Dialect,
}

impl<'a> Body<'a> {
    fn parse(&self) -> Result<Message<'a>, BadRequest> {
        Ok(match self.opcode {
            Opcode::Forget => Message::Forget { count: self.head::<RawForgetIn>()?.nlookup },
            Opcode::BatchForget => Message::BatchForget(self.forgets()?),
            Opcode::Interrupt => Message::Interrupt { unique: self.head::<RawInterruptIn>()?.unique },
            Opcode::Init => Message::Init(self.offer()?),
            Opcode::Destroy => Message::Destroy,
            Opcode::NotifyReply => Message::NotifyReply,
            _ => Message::Call(self.call()?),
        })
    }

    fn call(&self) -> Result<Call, BadRequest> {
        Ok(match self.opcode {
            Opcode::Lookup => Call::Lookup { name: self.name(self.bytes)? },
            Opcode::GetAttr => Call::GetAttr,
            Opcode::ReadLink => Call::ReadLink,
            Opcode::Open | Opcode::OpenDir => {
                let raw: RawOpenIn = self.head()?;
                let directory = self.opcode == Opcode::OpenDir;
                Call::Open { flags: raw.flags, directory, kill_set_id: raw.open_flags & 1 != 0 }
            }
            Opcode::Release | Opcode::ReleaseDir => Call::Release { handle: self.head::<RawReleaseIn>()?.fh },
            Opcode::Read => {
                let raw: RawReadIn = self.head()?;
                Call::Read { handle: raw.fh, offset: raw.offset, len: raw.size }
            }
            Opcode::ReadDir | Opcode::ReadDirPlus => {
                let raw: RawReadIn = self.head()?;
                let plus = self.opcode == Opcode::ReadDirPlus;
                Call::ReadDir { handle: raw.fh, offset: raw.offset, room: raw.size, plus }
            }
            Opcode::StatFs => Call::StatFs,
            Opcode::GetXattr => {
                let raw: RawGetXattrIn = self.head()?;
                Call::GetXattr { name: self.name(self.after::<RawGetXattrIn>())?, room: raw.size }
            }
            Opcode::ListXattr => Call::ListXattr { room: self.head::<RawGetXattrIn>()?.size },
            Opcode::Lseek => {
                let raw: RawLseekIn = self.head()?;
                Call::Lseek { handle: raw.fh, offset: raw.offset, whence: raw.whence }
            }
            Opcode::Ioctl => {
                let raw: RawIoctlIn = self.head()?;
                let argument = usize::try_from(raw.in_size).ok();
                let argument = argument.and_then(|len| self.after::<RawIoctlIn>().get(..len));
                let argument = argument.ok_or_else(|| self.nonsense("in_size", raw.in_size.into()))?;
                Call::Ioctl { command: raw.cmd, argument: argument.into(), room: raw.out_size }
            }
            Opcode::SyncFs => Call::Sync,
            _ => self.change()?.map_or(Call::Unsupported, Call::Change),
        })
    }

    /// INIT: the flags' upper half is there only where the lower says so.
    fn offer(&self) -> Result<Offer, BadRequest> {
        let raw: RawInitIn = self.head()?;
        let low = InitFlags::from_bits_retain(raw.flags.into());
        let more = low
            .contains(InitFlags::INIT_EXT)
            .then(|| self.head_of::<RawInitInMore>(self.after::<RawInitIn>()));
        let high = more.transpose()?.map_or(0, |more| u64::from(more.flags2) << 32);
        let flags = low | InitFlags::from_bits_retain(high);
        Ok(Offer { major: raw.major, minor: raw.minor, max_readahead: raw.max_readahead, flags })
    }

    /// The fixed structure at the start of the body.
    fn head<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, BadRequest> {
        self.head_of(self.bytes)
    }

    /// A structure at the start of `bytes`.
    fn head_of<T: FromBytes + KnownLayout + Immutable>(&self, bytes: &[u8]) -> Result<T, BadRequest> {
        T::read_from_prefix(bytes).map(|(raw, _)| raw).map_err(|_| self.too_short())
    }

    /// What follows it.
    fn after<T>(&self) -> &'a [u8] {
        self.bytes.get(size_of::<T>()..).unwrap_or_default()
    }

    /// A name that ends with a NUL; behind it come other names or extensions.
    fn name(&self, bytes: &[u8]) -> Result<Name, BadRequest> {
        self.name_and_rest(bytes).map(|(name, _)| name)
    }

    /// The same, and what follows the NUL.
    fn name_and_rest<'b>(&self, bytes: &'b [u8]) -> Result<(Name, &'b [u8]), BadRequest> {
        let bad = BadRequest::Name { unique: self.unique, opcode: self.opcode };
        let Some(end) = bytes.iter().position(|&b| b == 0) else { return Err(bad) };
        let (name, rest) = bytes.split_at(end);
        if name.is_empty() || name.len() > NAME_MAX || name.contains(&b'/') {
            return Err(bad);
        }
        Ok((Name::from_slice(name), rest.get(1..).unwrap_or_default()))
    }

    /// As many records as the head says, all of which must be there.
    fn forgets(&self) -> Result<&'a [RawForgetOne], BadRequest> {
        let count: RawForgetBatchIn = self.head()?;
        let count = usize::try_from(count.count).map_err(|_| self.too_short())?;
        <[RawForgetOne]>::ref_from_prefix_with_elems(self.after::<RawForgetBatchIn>(), count)
            .map(|(records, _)| records)
            .map_err(|_| self.too_short())
    }

    fn nonsense(&self, field: &'static str, value: u64) -> BadRequest {
        BadRequest::Nonsense { unique: self.unique, opcode: self.opcode, field, value }
    }

    fn too_short(&self) -> BadRequest {
        BadRequest::Body { unique: self.unique, opcode: self.opcode, len: self.bytes.len() }
    }
}

#[cfg(test)]
mod tests;
