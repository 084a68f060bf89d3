//! Real Linux kernels in QEMU as nodes, initiators and targets.
//!
//! A [`Lab`] is a network of its own (a namespace with a bridge) on which up to four machines can be booted beside
//! programs of the host. A machine, a *node*, boots Debian's kernel with an initrd made of the host's own programs,
//! runs one *job* (a bash script with the functions of `guest/lab.sh` at hand), and is gone when the job ends.
//!
//! ```no_run
//! let Some(lab) = lab::Lab::or_skip() else { return };
//! let report = lab.node(0).disk("volume.img").job("ocfs2_local; ocfs2_mount /dev/vda /mnt; ls /mnt").run().unwrap();
//! assert!(report.ok(), "{}", report.console);
//! ```
//!
//! What a job finds: `$NODE`; `/dev/vda` and on for the disks; the lab's share at `/h`; `host` and `node0` to `node3`
//! in `/etc/hosts`; the addresses that [`Network`] lists. Everything ends with the [`Lab`]: machines, programs, network.
//!
//! Beside that, and without a second kernel, the test suites of others are tried on what oxsan serves ([`conformance`]) and
//! on what it mounts ([`posix`], [`fsx`], [`fio`]).
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "driver: boots machines and waits for them")]

pub mod conformance;
mod dir;
mod error;
pub mod fio;
pub mod fsx;
mod initrd;
mod mounted;
mod net;
mod node;
pub mod posix;
mod programs;
mod suites;
mod tool;

pub use dir::{Accel, LabDir};
pub use error::LabError;
pub use mounted::{Geometry, Mounted};
pub use net::{NETS, NODES, Network};
pub use node::{Node, Report, Running, Status};
pub use programs::{HostProgram, build_c, build_oxsan, wait_until};
pub use suites::Suite;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A network with machines on it, and a directory that they share with the host.
#[derive(Debug)]
pub struct Lab {
    dir: LabDir,
    net: Network,
    share: TempDir,
}

impl Lab {
    /// A lab of its own beside any other; the first call on a machine downloads and builds (a minute or two).
    ///
    /// # Errors
    /// [`LabError::NotRoot`], [`LabError::Missing`], or what failed while it was made ready.
    pub fn new() -> Result<Self, LabError> {
        if !is_root() {
            return Err(LabError::NotRoot);
        }
        let dir = LabDir::ready()?;
        Self::on(dir, Network::new()?)
    }

    /// A lab on a network made before.
    ///
    /// # Errors
    /// When its share cannot be made.
    pub fn on(dir: LabDir, net: Network) -> Result<Self, LabError> {
        let run = dir.run();
        let share = tempfile::Builder::new()
            .prefix("h.")
            .tempdir_in(&run)
            .map_err(LabError::io("creating in", run))?;
        Ok(Self { dir, net, share })
    }

    /// For tests: a lab, or a line that says why this machine can have none.
    #[allow(clippy::print_stdout, reason = "the line by which the test run counts its skips")]
    #[must_use]
    pub fn or_skip() -> Option<Self> {
        match Self::new() {
            Ok(lab) => Some(lab),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }

    /// Node N, to be given disks and a job and then run. One machine a number at a time.
    pub fn node(&self, number: u8) -> Node<'_> {
        Node::new(self, number)
    }

    /// A command on the host side of the lab's network (10.77.0.254 and 10.77.1.254).
    #[must_use]
    pub fn host(&self, program: impl AsRef<OsStr>) -> Command {
        self.net.command(program)
    }

    /// The directory that every node sees as `/h`, unless it is given another.
    #[must_use]
    pub fn share(&self) -> &Path {
        self.share.path()
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Network {
        &self.net
    }

    /// Where kernel and initrd lie.
    #[must_use]
    pub fn dir(&self) -> &LabDir {
        &self.dir
    }
}

/// Whether this process may make namespaces, taps and mounts.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
