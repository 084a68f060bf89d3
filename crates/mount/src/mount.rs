//! A mount point: taken, and given back.

use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::negotiate::MAX_READ;
use crate::{MountError, fusermount, mountinfo};

/// What root's mounts read ahead, in bytes: several requests of 1 MiB in flight.
const READ_AHEAD: u32 = 8 << 20;

/// What to mount, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// What the table of mounts shows as the device: the volume, without secrets.
    pub source: String,
    /// The part of the type after `fuse.`.
    pub subtype: String,
    /// Nothing can be changed through it.
    pub read_only: bool,
    /// What it says of the times of reading; keeping them is the filesystem's.
    pub atime: Atime,
    /// Programs of other users may use the mount.
    pub allow_other: bool,
    /// The kernel checks permissions by mode, owner and group.
    pub default_permissions: bool,
    /// Set-uid programs work.
    pub suid: bool,
    /// Device files work.
    pub dev: bool,
    /// Programs may be run.
    pub exec: bool,
}

/// Which readings leave their time in the inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Atime {
    /// None.
    Never,
    /// The first after a change, and one a day.
    #[default]
    Relative,
    /// All, to within the quantum.
    Always,
}

/// A mount that this process made. Dropping it unmounts lazily if nothing else has unmounted it.
#[derive(Debug)]
pub struct Mount {
    dir: PathBuf,
    device: Option<mountinfo::DeviceId>,
    by_root: bool,
    over: bool,
}

impl Mount {
    /// Mounts on `dir`, an existing directory, and gives the FUSE device to be served by
    /// [`Session::start`](crate::Session::start). Until it is, everybody who looks at `dir` waits.
    ///
    /// As root by mount(2), else through fusermount3, which has rules of its own: the directory must be the user's,
    /// set-uid programs and device files never work, and `allow_other` needs a line in /etc/fuse.conf.
    ///
    /// # Errors
    /// [`MountError`]: no directory, no FUSE, or no permission.
    pub fn new(spec: &MountSpec, dir: &Path) -> Result<(Self, OwnedFd), MountError> {
        let unusable = |source| MountError::MountPoint { dir: dir.into(), source };
        let point = dir.canonicalize().map_err(unusable)?;
        if !point.metadata().map_err(unusable)?.is_dir() {
            return Err(MountError::NotADirectory { dir: dir.into() });
        }
        let by_root = rustix::process::geteuid().is_root();
        let device = if by_root { mount_directly(spec, &point)? } else { mount_by_helper(spec, &point)? };
        let mut mount = Self { dir: point, device: None, by_root, over: false };
        mount.device = mountinfo::device_at(&mount.dir).map_err(MountError::MountInfo)?;
        Ok((mount, device))
    }

    /// The number of the FUSE connection; `None` where the table of mounts does not show it.
    pub fn connection(&self) -> Option<u32> {
        self.device.map(|(_, minor)| minor)
    }

    /// The mount point, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Raises the kernel's read-ahead from 128 KiB to 8 MiB. To be called once the session has started, as its
    /// beginning sets it. Only root may; for others it stays.
    pub fn raise_read_ahead(&self) {
        let Some(device) = self.device.filter(|_| self.by_root) else { return };
        if let Err(error) = mountinfo::set_read_ahead(device, READ_AHEAD) {
            tracing::debug!(%error, "the kernel's read-ahead stays as it is");
        }
    }

    /// Unmounts as umount(8) does.
    ///
    /// # Errors
    /// [`MountError::Unmount`] with `EBUSY` while it is in use.
    pub fn unmount(&mut self) -> Result<(), MountError> {
        if self.is_mounted() {
            if self.by_root {
                self.unmount_directly(UnmountFlags::NOFOLLOW)?;
            } else {
                fusermount::unmount(&self.dir, false)?;
            }
        }
        self.over = true;
        Ok(())
    }

    /// Takes the mount away from those who use it: they get `ENOTCONN` (or `ENODEV`) from now on.
    ///
    /// # Errors
    /// [`MountError::Unmount`]
    pub fn unmount_forcibly(&mut self) -> Result<(), MountError> {
        if self.is_mounted() {
            if let Some(Err(error)) = self.device.map(mountinfo::abort) {
                // Unmounting by force does the same for root; a user's connection ends with the daemon.
                tracing::debug!(%error, "no connection to abort");
            }
            if self.by_root {
                self.unmount_directly(UnmountFlags::NOFOLLOW | UnmountFlags::FORCE | UnmountFlags::DETACH)?;
            } else {
                fusermount::unmount(&self.dir, true)?;
            }
        }
        self.over = true;
        Ok(())
    }

    /// The session has ended with [`SessionEnd::Unmounted`](crate::SessionEnd::Unmounted): there is nothing to unmount.
    ///
    /// To be told, for the kernel gives a mount that somebody makes at the same place next the same device number.
    pub fn forget(mut self) {
        self.over = true;
    }

    /// Whether what one sees at the mount point is still this mount, not another above or in place of it.
    pub fn is_mounted(&self) -> bool {
        !self.over
            && self.device.is_some()
            && mountinfo::device_at(&self.dir).is_ok_and(|device| device == self.device)
    }

    fn unmount_directly(&self, flags: UnmountFlags) -> Result<(), MountError> {
        rustix::mount::unmount(&self.dir, flags)
            .map_err(|source| MountError::Unmount { dir: self.dir.clone(), source })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.unmount_forcibly() {
            tracing::warn!(%error, "the mount stays behind");
        }
    }
}

fn mount_directly(spec: &MountSpec, dir: &Path) -> Result<OwnedFd, MountError> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map(OwnedFd::from)
        .map_err(MountError::Device)?;
    let mut data =
        format!("fd={},rootmode=40000,user_id=0,group_id=0,max_read={MAX_READ}", device.as_raw_fd());
    for (wanted, option) in
        [(spec.allow_other, ",allow_other"), (spec.default_permissions, ",default_permissions")]
    {
        if wanted {
            data.push_str(option);
        }
    }
    let mut flags = match spec.atime {
        Atime::Never => MountFlags::NOATIME,
        Atime::Relative => MountFlags::RELATIME,
        Atime::Always => MountFlags::STRICTATIME,
    };
    flags.set(MountFlags::RDONLY, spec.read_only);
    flags.set(MountFlags::NOSUID, !spec.suid);
    flags.set(MountFlags::NODEV, !spec.dev);
    flags.set(MountFlags::NOEXEC, !spec.exec);
    let failed = |source| MountError::Mount { dir: dir.into(), source };
    let data = CString::new(data).map_err(|_| failed(Errno::INVAL))?;
    let fs_type = format!("fuse.{}", spec.subtype);
    rustix::mount::mount(spec.source.as_str(), dir, fs_type.as_str(), flags, Some(data.as_c_str()))
        .map_err(failed)?;
    Ok(device)
}

fn mount_by_helper(spec: &MountSpec, dir: &Path) -> Result<OwnedFd, MountError> {
    let mode = if spec.read_only { "ro" } else { "rw" };
    let mut options = OsString::from(format!("{mode},nosuid,nodev,max_read={MAX_READ}"));
    for (wanted, option) in [
        (spec.atime == Atime::Never, ",noatime"),
        (spec.allow_other, ",allow_other"),
        (spec.default_permissions, ",default_permissions"),
        (!spec.exec, ",noexec"),
    ] {
        if wanted {
            options.push(option);
        }
    }
    options.push(format!(",subtype={},fsname=", spec.subtype));
    options.push(mountinfo::escape_commas(&spec.source));
    fusermount::mount(dir, &options)
}
