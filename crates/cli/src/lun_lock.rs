//! One LUN, one mount for writing on this host: what a claim of the kernel's does for block devices, and a lock for files.

use std::fs::{File, OpenOptions};

use anyhow::{Context as _, bail};
use initiator::VolumeUrl;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::run_dir;
use crate::volume::Access;

/// The hold on a LUN; it goes with the process, however that ends.
#[derive(Debug)]
pub(crate) struct LunLock {
    _file: Option<File>,
}

impl LunLock {
    /// For what needs none.
    pub(crate) fn none() -> Self {
        Self { _file: None }
    }

    /// Takes it: alone to write, beside other readers to read. Users have a directory each, so that they do not keep one
    /// another out; where there is no place for one, nothing is held.
    pub(crate) fn take(url: &VolumeUrl, access: Access) -> anyhow::Result<Self> {
        let dir = match run_dir::own("luns") {
            Ok(dir) => dir,
            Err(error) => {
                tracing::debug!(%error, "another mount of the LUN will not be noticed");
                return Ok(Self::none());
            }
        };
        // By whatever portal: the target's name and the LUN are what it is.
        let path = dir.join(format!("{}:{}", url.target, url.lun));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        let how = match access {
            Access::Read => FlockOperation::NonBlockingLockShared,
            Access::Write => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&file, how) {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(Errno::WOULDBLOCK) => bail!("{url} is in use: it is mounted on this host already"),
            Err(errno) => Err(errno).with_context(|| format!("locking {}", path.display())),
        }
    }
}
