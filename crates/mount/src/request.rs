//! Requests: from the kernel's bytes to a checked operation.

use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi::{
    Opcode, RawForgetBatchIn, RawForgetIn, RawForgetOne, RawGetXattrIn, RawInHeader, RawInitIn,
    RawInterruptIn, RawIoctlIn, RawLseekIn, RawOpenIn, RawReadIn, RawReleaseIn,
};

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
    Init(RawInitIn),
    Destroy,
    /// The answer to a question that this transport never asks.
    NotifyReply,
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
        room: u32,
    },
    /// FSYNC and its kin, which have nothing to do on a mount that writes nothing.
    Sync,
    /// An operation that would change the volume.
    Change,
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
}

impl BadRequest {
    /// The request to answer with an error, where that much could be read.
    pub(crate) fn unique(&self) -> Option<u64> {
        match *self {
            Self::Short { .. } => None,
            Self::Length { unique, .. } | Self::Body { unique, .. } | Self::Name { unique, .. } => {
                Some(unique)
            }
        }
    }
}

impl<'a> Request<'a> {
    /// Reads one message of the device: exactly the bytes that one read(2) returned.
    ///
    /// # Errors
    /// [`BadRequest`]: a length, body or name that no kernel sends.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, BadRequest> {
        let len = bytes.len();
        let (head, body) = RawInHeader::read_from_prefix(bytes).map_err(|_| BadRequest::Short { len })?;
        let unique = head.unique;
        if usize::try_from(head.len) != Ok(len) {
            return Err(BadRequest::Length { unique, said: head.len, len });
        }
        let message = match Opcode::parse(head.opcode) {
            Some(opcode) => Body { unique, opcode, bytes: body }.parse()?,
            None => Message::Call(Call::Unsupported),
        };
        Ok(Self { unique, node: head.nodeid, uid: head.uid, message })
    }
}

/// What follows the header.
struct Body<'a> {
    unique: u64,
    opcode: Opcode,
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    fn parse(&self) -> Result<Message<'a>, BadRequest> {
        Ok(match self.opcode {
            Opcode::Forget => Message::Forget { count: self.head::<RawForgetIn>()?.nlookup },
            Opcode::BatchForget => Message::BatchForget(self.forgets()?),
            Opcode::Interrupt => Message::Interrupt { unique: self.head::<RawInterruptIn>()?.unique },
            Opcode::Init => Message::Init(self.head()?),
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
                Call::Open { flags: raw.flags, directory: self.opcode == Opcode::OpenDir }
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
                Call::Ioctl { command: raw.cmd, room: raw.out_size }
            }
            Opcode::Fsync | Opcode::FsyncDir | Opcode::SyncFs => Call::Sync,
            Opcode::Flush => Call::Unsupported,
            // Every other request would change the volume, and what it says does not matter.
            _ => Call::Change,
        })
    }

    /// The fixed structure at the start of the body.
    fn head<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, BadRequest> {
        T::read_from_prefix(self.bytes).map(|(raw, _)| raw).map_err(|_| self.too_short())
    }

    /// What follows it.
    fn after<T>(&self) -> &'a [u8] {
        self.bytes.get(size_of::<T>()..).unwrap_or_default()
    }

    /// A name that ends with a NUL; behind it come other names or extensions.
    fn name(&self, bytes: &[u8]) -> Result<Name, BadRequest> {
        let name = bytes.split(|&b| b == 0).next().unwrap_or_default();
        let ended = name.len() < bytes.len();
        if !ended || name.is_empty() || name.len() > NAME_MAX || name.contains(&b'/') {
            return Err(BadRequest::Name { unique: self.unique, opcode: self.opcode });
        }
        Ok(Name::from_slice(name))
    }

    /// As many records as the head says, all of which must be there.
    fn forgets(&self) -> Result<&'a [RawForgetOne], BadRequest> {
        let count: RawForgetBatchIn = self.head()?;
        let count = usize::try_from(count.count).map_err(|_| self.too_short())?;
        <[RawForgetOne]>::ref_from_prefix_with_elems(self.after::<RawForgetBatchIn>(), count)
            .map(|(records, _)| records)
            .map_err(|_| self.too_short())
    }

    fn too_short(&self) -> BadRequest {
        BadRequest::Body { unique: self.unique, opcode: self.opcode, len: self.bytes.len() }
    }
}

#[cfg(test)]
mod tests;
