//! Requests that change the volume.

use super::{BadRequest, Body, Name};
use crate::abi::{
    ACL_KILL_SET_GID, Opcode, RawCopyFileRangeIn, RawCreateIn, RawFallocateIn, RawFsyncIn, RawLinkIn,
    RawMkDirIn, RawMkNodIn, RawRename2In, RawRenameIn, RawSetAttrIn, RawSetXattrIn, RawSetXattrInMore,
    RawWriteIn, SetAttrFields, WriteFlags,
};
use crate::changes::{AttrChange, CopyRange, NewTime, OwnedKind, RenameHow, XattrHow};
use crate::reply::device_of;
use crate::{FileKind, Time};

/// Longest target of a symbolic link, in bytes.
const TARGET_MAX: usize = 4095;
/// Longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX`).
const VALUE_MAX: usize = 65_536;

/// What is to be changed.
#[derive(Debug)]
pub(crate) enum Change {
    SetAttr(AttrChange),
    /// MKNOD, MKDIR, SYMLINK.
    Make {
        name: Name,
        kind: OwnedKind,
        perm: u16,
        umask: u16,
    },
    /// CREATE: a file, made if it is not there, and opened.
    Create {
        name: Name,
        flags: u32,
        perm: u16,
        umask: u16,
    },
    Unlink {
        name: Name,
    },
    RmDir {
        name: Name,
    },
    Rename {
        name: Name,
        to_dir: u64,
        to: Name,
        how: RenameHow,
    },
    /// Another name, in the directory that the request is about.
    Link {
        node: u64,
        name: Name,
    },
    /// Its data comes beside it.
    Write {
        handle: u64,
        offset: u64,
        len: u32,
        flags: u32,
        cached: bool,
        kill_set_id: bool,
    },
    Fsync {
        data_only: bool,
    },
    Fallocate {
        offset: u64,
        len: u64,
        mode: u32,
    },
    CopyRange {
        range: CopyRange,
        to: u64,
    },
    SetXattr {
        name: Name,
        value: Vec<u8>,
        how: XattrHow,
        kill_set_gid: bool,
    },
    RemoveXattr {
        name: Name,
    },
}

impl Body<'_> {
    /// The change that the request asks for; `None` for one that asks for none.
    pub(super) fn change(&self) -> Result<Option<Change>, BadRequest> {
        Ok(Some(match self.opcode {
            Opcode::SetAttr => Change::SetAttr(attr_change(&self.head()?)),
            Opcode::Symlink | Opcode::MkNod | Opcode::MkDir => self.make()?,
            Opcode::Create => {
                let raw: RawCreateIn = self.head()?;
                let (name, _) = self.name_and_rest(self.after::<RawCreateIn>())?;
                Change::Create { name, flags: raw.flags, perm: low12(raw.mode), umask: low12(raw.umask) }
            }
            Opcode::Unlink => Change::Unlink { name: self.name(self.bytes)? },
            Opcode::RmDir => Change::RmDir { name: self.name(self.bytes)? },
            Opcode::Rename => {
                let raw: RawRenameIn = self.head()?;
                self.rename(self.after::<RawRenameIn>(), raw.newdir, 0)?
            }
            Opcode::Rename2 => {
                let raw: RawRename2In = self.head()?;
                self.rename(self.after::<RawRename2In>(), raw.newdir, raw.flags)?
            }
            Opcode::Link => {
                let raw: RawLinkIn = self.head()?;
                Change::Link { node: raw.oldnodeid, name: self.name(self.after::<RawLinkIn>())? }
            }
            Opcode::Write => self.write()?,
            Opcode::Fsync | Opcode::FsyncDir => {
                let raw: RawFsyncIn = self.head()?;
                Change::Fsync { data_only: raw.fsync_flags & 1 != 0 }
            }
            Opcode::Fallocate => {
                let raw: RawFallocateIn = self.head()?;
                Change::Fallocate { offset: raw.offset, len: raw.length, mode: raw.mode }
            }
            Opcode::CopyFileRange => {
                let raw: RawCopyFileRangeIn = self.head()?;
                let range = CopyRange { from: raw.off_in, to: raw.off_out, len: raw.len };
                Change::CopyRange { range, to: raw.nodeid_out }
            }
            Opcode::SetXattr => self.set_xattr()?,
            Opcode::RemoveXattr => Change::RemoveXattr { name: self.name(self.bytes)? },
            _ => return Ok(None),
        }))
    }

    fn make(&self) -> Result<Change, BadRequest> {
        let (name, kind, mode, umask) = match self.opcode {
            Opcode::Symlink => {
                let (name, target) = self.name_and_rest(self.bytes)?;
                (name, OwnedKind::Symlink(self.target(target)?), 0o777, 0)
            }
            Opcode::MkDir => {
                let raw: RawMkDirIn = self.head()?;
                (self.name(self.after::<RawMkDirIn>())?, OwnedKind::Directory, raw.mode, raw.umask)
            }
            _ => {
                let raw: RawMkNodIn = self.head()?;
                let name = self.name(self.after::<RawMkNodIn>())?;
                let kind = match FileKind::of_mode(raw.mode) {
                    FileKind::Regular => OwnedKind::Regular,
                    FileKind::Fifo => OwnedKind::Fifo,
                    FileKind::Socket => OwnedKind::Socket,
                    FileKind::CharDevice => OwnedKind::CharDevice(device_of(raw.rdev)),
                    FileKind::BlockDevice => OwnedKind::BlockDevice(device_of(raw.rdev)),
                    _ => return Err(self.nonsense("st_mode", raw.mode.into())),
                };
                (name, kind, raw.mode, raw.umask)
            }
        };
        Ok(Change::Make { name, kind, perm: low12(mode), umask: low12(umask) })
    }

    /// A link's target: anything but a NUL.
    fn target(&self, bytes: &[u8]) -> Result<Vec<u8>, BadRequest> {
        match bytes.split_last() {
            Some((0, target)) if (1..=TARGET_MAX).contains(&target.len()) && !target.contains(&0) => {
                Ok(target.to_vec())
            }
            _ => Err(BadRequest::Name { unique: self.unique, opcode: self.opcode }),
        }
    }

    fn rename(&self, names: &[u8], to_dir: u64, flags: u32) -> Result<Change, BadRequest> {
        let (name, rest) = self.name_and_rest(names)?;
        Ok(Change::Rename { name, to_dir, to: self.name(rest)?, how: RenameHow::from_bits_retain(flags) })
    }

    /// The data lies beside the request: all of it, and nothing else.
    fn write(&self) -> Result<Change, BadRequest> {
        let raw: RawWriteIn = self.head()?;
        let whole = self.after::<RawWriteIn>().is_empty() && usize::try_from(raw.size) == Ok(self.data_len);
        if !whole {
            return Err(self.nonsense("size", raw.size.into()));
        }
        let how = WriteFlags::from_bits_retain(raw.write_flags);
        Ok(Change::Write {
            handle: raw.fh,
            offset: raw.offset,
            len: raw.size,
            flags: raw.flags,
            cached: how.contains(WriteFlags::CACHE),
            kill_set_id: how.contains(WriteFlags::KILL_SET_ID),
        })
    }

    fn set_xattr(&self) -> Result<Change, BadRequest> {
        let raw: RawSetXattrIn = self.head()?;
        let mut rest = self.after::<RawSetXattrIn>();
        let mut kill_set_gid = false;
        if self.dialect.setxattr_ext {
            let more: RawSetXattrInMore = self.head_of(rest)?;
            kill_set_gid = more.setxattr_flags & ACL_KILL_SET_GID != 0;
            rest = rest.get(size_of::<RawSetXattrInMore>()..).unwrap_or_default();
        }
        let (name, rest) = self.name_and_rest(rest)?;
        let len = usize::try_from(raw.size).ok().filter(|len| *len <= VALUE_MAX);
        let value =
            len.and_then(|len| rest.get(..len)).ok_or_else(|| self.nonsense("size", raw.size.into()))?;
        let how = match raw.flags {
            0 => XattrHow::Any,
            1 => XattrHow::CreateOnly,
            2 => XattrHow::ReplaceOnly,
            other => return Err(self.nonsense("flags", other.into())),
        };
        Ok(Change::SetXattr { name, value: value.to_vec(), how, kill_set_gid })
    }
}

/// What a SETATTR says, without what it does not say.
fn attr_change(raw: &RawSetAttrIn) -> AttrChange {
    let valid = SetAttrFields::from_bits_retain(raw.valid);
    let has = |field| valid.contains(field);
    let time = |set, now, secs: u64, nanos| match (has(set), has(now)) {
        (_, true) => Some(NewTime::Now),
        (true, false) => Some(NewTime::To(Time { secs: secs.cast_signed(), nanos })),
        (false, false) => None,
    };
    AttrChange {
        perm: has(SetAttrFields::MODE).then(|| low12(raw.mode)),
        uid: has(SetAttrFields::UID).then_some(raw.uid),
        gid: has(SetAttrFields::GID).then_some(raw.gid),
        size: has(SetAttrFields::SIZE).then_some(raw.size),
        atime: time(SetAttrFields::ATIME, SetAttrFields::ATIME_NOW, raw.atime, raw.atimensec),
        mtime: time(SetAttrFields::MTIME, SetAttrFields::MTIME_NOW, raw.mtime, raw.mtimensec),
        kill_set_id: has(SetAttrFields::KILL_SET_ID),
    }
}

/// The permission bits of a mode or umask.
fn low12(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("masked to 12 bits")
}
