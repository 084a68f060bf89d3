//! Filesystems to be measured, each on a fresh volume, mounted; gone when dropped.

use crate::timed;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Size of a fresh volume.
const VOLUME: u64 = 3 << 30;

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OCFS2 by `oxsan mkfs` and `oxsan mount`.
    Ours,
    /// ext4 by `mke2fs` and `fuse2fs`.
    Fuse2fs,
    /// A FUSE filesystem that does nothing.
    Null,
    /// No filesystem: a directory of the disk that the volumes of the others lie on.
    Raw,
}

/// A directory where something is measured.
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) dir: PathBuf,
    image: PathBuf,
    oxsan: PathBuf,
    server: Option<Child>,
}

impl Place {
    /// Makes a fresh volume in `work`, and mounts it.
    pub(crate) fn new(kind: Kind, oxsan: &Path, work: &Path) -> Result<Self> {
        let image = work.join(format!("{kind:?}.img"));
        let dir = work.join(format!("{kind:?}.mnt"));
        std::fs::create_dir_all(&dir).context("creating the mount point")?;
        let mut place = Self { kind, dir, image, oxsan: oxsan.to_owned(), server: None };
        match kind {
            Kind::Ours => place.mount_ours()?,
            Kind::Fuse2fs => place.mount_fuse2fs()?,
            Kind::Null => place.mount_null()?,
            Kind::Raw => {}
        }
        Ok(place)
    }

    fn mount_ours(&self) -> Result<()> {
        self.fresh()?;
        let mkfs = ["mkfs", "-q", "-x", "-b", "4K", "-C", "4K", "-N", "2", "-M", "local"];
        timed::run(Command::new(&self.oxsan).args(mkfs).arg(&self.image))?;
        timed::run(
            Command::new(&self.oxsan).arg("mount").arg(&self.image).arg(&self.dir).args(["-o", "rw,noatime"]),
        )?;
        Ok(())
    }

    fn mount_fuse2fs(&self) -> Result<()> {
        self.fresh()?;
        timed::run(
            Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "4096"]).arg(&self.image),
        )?;
        timed::run(Command::new("/usr/bin/fuse2fs").arg(&self.image).arg(&self.dir))?;
        Ok(())
    }

    fn mount_null(&mut self) -> Result<()> {
        let this = std::env::current_exe().context("the path of this program")?;
        let mut child = Command::new(this)
            .arg("--serve-null")
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the null filesystem")?;
        let out = child.stdout.take().context("its output")?;
        self.server = Some(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).context("waiting for the null filesystem")?;
        ensure!(line.trim() == "ready", "the null filesystem did not start");
        Ok(())
    }

    fn fresh(&self) -> Result<()> {
        let file = File::create(&self.image).with_context(|| format!("creating {}", self.image.display()))?;
        file.set_len(VOLUME).with_context(|| format!("sizing {}", self.image.display()))
    }

    /// Unmounts, and looks whether the volume is clean: a fast filesystem that breaks is none.
    pub(crate) fn end(mut self) -> Result<()> {
        let kind = self.kind;
        self.unmount()?;
        if kind == Kind::Ours {
            let out = Command::new("/sbin/fsck.ocfs2").args(["-fn"]).arg(&self.image).output();
            let out = out.context("starting fsck.ocfs2")?;
            let said = String::from_utf8_lossy(&out.stdout);
            ensure!(out.status.success() && !said.contains("[Y"), "fsck.ocfs2 finds faults:\n{said}");
        }
        Ok(())
    }

    /// Ours waits until the volume is clean.
    fn umount(&self) -> Command {
        let mut command =
            Command::new(if self.kind == Kind::Ours { &self.oxsan } else { Path::new("umount") });
        if self.kind == Kind::Ours {
            command.arg("umount");
        }
        command.arg(&self.dir);
        command
    }

    fn unmount(&mut self) -> Result<()> {
        if self.kind != Kind::Raw && is_mounted(&self.dir) {
            let gone = || timed::run(&self.umount()).is_ok();
            ensure!(
                lab::wait_until(Duration::from_secs(60), gone),
                "{} does not go away",
                self.dir.display()
            );
        }
        if let Some(mut server) = self.server.take() {
            let ended = lab::wait_until(Duration::from_secs(10), || matches!(server.try_wait(), Ok(Some(_))));
            if !ended {
                let _ = server.kill();
                let _ = server.wait();
                bail!("the null filesystem does not end");
            }
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("bench: {error:#}");
        }
        let _ = std::fs::remove_file(&self.image);
    }
}

fn is_mounted(dir: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == dir))
}
