//! Mounting as a user: fusermount3 does it, set-uid root, and hands the device over through a socket.

use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair,
};

use crate::MountError;

const PROGRAM: &str = "fusermount3";

/// Mounts on `dir` with the options of fusermount3(1), and gives the device.
pub(crate) fn mount(dir: &Path, options: &OsString) -> Result<OwnedFd, MountError> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.map_err(|errno| MountError::Device(errno.into()))?;
    // The helper's end is its standard input: so nothing but it inherits the socket.
    let mut child = Command::new(PROGRAM)
        .arg("-o")
        .arg(options)
        .arg("--")
        .arg(dir)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(theirs))
        .spawn()
        .map_err(MountError::NoFusermount)?;
    let received = receive(&ours);
    let status = child.wait().map_err(MountError::NoFusermount)?;
    if !status.success() {
        return Err(MountError::Fusermount { dir: dir.into(), status: status.code().unwrap_or(-1) });
    }
    received
        .map_err(|errno| MountError::Device(errno.into()))?
        .ok_or(MountError::NoDescriptor { dir: dir.into() })
}

/// Unmounts; `lazily` also while the mount is in use.
pub(crate) fn unmount(dir: &Path, lazily: bool) -> Result<(), MountError> {
    let mut command = Command::new(PROGRAM);
    command.arg("-u").arg("-q");
    if lazily {
        command.arg("-z");
    }
    let status = command.arg("--").arg(dir).status().map_err(MountError::NoFusermount)?;
    // It says "busy" only in words; that is the one failure to be expected of a mount of one's own.
    if status.success() { Ok(()) } else { Err(MountError::Unmount { dir: dir.into(), source: Errno::BUSY }) }
}

/// One byte, and with it the descriptor; nothing when the helper gave up.
fn receive(socket: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::io::retry_on_intr(|| {
        recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}
