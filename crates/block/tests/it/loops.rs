//! Loop devices: real block devices, with sectors of the size we choose. They need root.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{NamedTempFile, TempDir};

/// A loop device over a file of its own; gone when dropped, and when the test is killed: it was detached while it
/// was open, so the kernel lets go of it with the last who has it open.
pub(crate) struct LoopDevice {
    path: PathBuf,
    _held: File,
    _file: NamedTempFile,
}

/// An ext4 filesystem on a [`LoopDevice`], mounted; gone when dropped.
pub(crate) struct Mounted {
    dir: TempDir,
    _device: LoopDevice,
}

impl LoopDevice {
    /// A device of `size` bytes with sectors of `sector` bytes, or why there is none.
    pub(crate) fn new(size: u64, sector: u32) -> Result<Self, String> {
        // Asked of the control device, not of losetup, whose words name a file that nobody knows.
        let control = File::options().write(true).open("/dev/loop-control");
        control.map_err(|e| format!("no loop devices: /dev/loop-control: {e}"))?;
        let file = NamedTempFile::new().map_err(|e| format!("no temporary file: {e}"))?;
        file.as_file().set_len(size).map_err(|e| format!("no file of {size} bytes: {e}"))?;
        let sector = sector.to_string();
        let args = ["--find", "--show", "--sector-size", sector.as_str()];
        let path = run(Command::new("losetup").args(args).arg(file.path()))?;
        let path = PathBuf::from(path.trim());
        let held = File::open(&path);
        run(Command::new("losetup").arg("--detach").arg(&path))?;
        let held = held.map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self { path, _held: held, _file: file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many times the kernel has flushed the device's cache, if this kernel counts it: the 16th number of the
    /// block layer's `stat`.
    pub(crate) fn flushes(&self) -> Option<u64> {
        let name = self.path.file_name()?.to_str()?;
        let stat = std::fs::read_to_string(format!("/sys/class/block/{name}/stat")).ok()?;
        stat.split_whitespace().nth(15)?.parse().ok()
    }
}

impl Mounted {
    /// A mounted ext4 on a device with sectors of `sector` bytes, or why there is none.
    pub(crate) fn ext4(sector: u32) -> Result<Self, String> {
        let device = LoopDevice::new(32 << 20, sector)?;
        run(Command::new("mkfs.ext4").args(["-q", "-b", "4096"]).arg(device.path()))?;
        let dir = TempDir::new().map_err(|e| format!("no temporary directory: {e}"))?;
        run(Command::new("mount").arg(device.path()).arg(dir.path()))?;
        Ok(Self { dir, _device: device })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.dir.path()));
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("no {name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
