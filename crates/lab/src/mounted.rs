//! A volume of our own making, mounted by our own program, and judged when that is over.

use crate::{LabError, tool};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Sizes of blocks and clusters, in bytes, and of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a block.
    pub block: u32,
    /// Bytes of a cluster.
    pub cluster: u32,
    /// Bytes of the volume.
    pub volume: u64,
}

impl Geometry {
    /// The smallest blocks, the commonest, and the largest clusters.
    pub const ALL: [Self; 4] = [
        Self { block: 512, cluster: 4096, volume: 256 << 20 },
        Self { block: 4096, cluster: 4096, volume: 256 << 20 },
        Self { block: 4096, cluster: 65_536, volume: 512 << 20 },
        Self { block: 4096, cluster: 1 << 20, volume: 2 << 30 },
    ];
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks of {}, clusters of {}", self.block, self.cluster)
    }
}

/// A mounted volume. Unmounted when dropped, without being judged.
#[derive(Debug)]
pub struct Mounted {
    oxsan: PathBuf,
    dir: TempDir,
    over: bool,
}

impl Mounted {
    /// Makes a local volume with `features` added (as `--fs-features` has them), and mounts it.
    ///
    /// # Errors
    /// When one of that fails.
    pub fn new(oxsan: &Path, geometry: Geometry, features: &[&str]) -> Result<Self, LabError> {
        let dir = tempfile::tempdir().map_err(LabError::io("creating in", std::env::temp_dir()))?;
        let mounted = Self { oxsan: oxsan.into(), dir, over: false };
        let volume = mounted.volume();
        File::create(&volume)
            .and_then(|file| file.set_len(geometry.volume))
            .map_err(LabError::io("creating", &volume))?;
        let mut mkfs = Command::new(oxsan);
        mkfs.args(["mkfs", "-q", "-F", "-x", "-M", "local", "-N", "2", "-J", "size=16M"]);
        mkfs.args(["-b", &geometry.block.to_string(), "-C", &geometry.cluster.to_string()]);
        if !features.is_empty() {
            mkfs.arg(format!("--fs-features={}", features.join(",")));
        }
        tool::output(mkfs.arg(&volume))?;
        fs::create_dir(mounted.path()).map_err(LabError::io("creating", mounted.path()))?;
        tool::output(Command::new(oxsan).arg("mount").arg(&volume).arg(mounted.path()))?;
        Ok(mounted)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A directory beside the mount, for what programs leave.
    #[must_use]
    pub fn beside(&self) -> &Path {
        self.dir.path()
    }

    fn volume(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    /// Unmounts it, and has it judged by `oxsan check` and `fsck.ocfs2 -fn`.
    ///
    /// # Errors
    /// [`LabError::Fault`] with what they found; or when unmounting fails.
    pub fn end(mut self) -> Result<(), LabError> {
        tool::output(Command::new(&self.oxsan).arg("umount").arg(self.path()))?;
        self.over = true;
        self.judge("oxsan check", Command::new(&self.oxsan).arg("check"), "")?;
        // It ends with status 0 whatever it found.
        self.judge("fsck.ocfs2", &mut tool::words("fsck.ocfs2 -f -n"), "All passes succeeded.")
    }

    fn judge(&self, by: &'static str, check: &mut Command, clean: &str) -> Result<(), LabError> {
        let out =
            check.arg(self.volume()).stdin(Stdio::null()).output().map_err(LabError::io("starting", by))?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() || !said.contains(clean) {
            return Err(LabError::Fault { by, said });
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.over {
            let mut umount = tool::words("umount -q -l -f");
            let _ = umount.arg(self.path()).stderr(Stdio::null()).status();
        }
    }
}
