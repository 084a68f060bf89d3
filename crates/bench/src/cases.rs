//! What is measured: one case a claim.

use crate::load::{Done, Load};
use crate::report::{Goal, Row};
use crate::server::Server;
use crate::stats::{Sample, in_pairs};
use crate::{file_cases, timed, volume_cases, volumes};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What every case is given.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) oxsan: PathBuf,
    /// A directory in memory.
    pub(crate) work: PathBuf,
    /// Where made volumes are kept.
    pub(crate) cache: PathBuf,
    /// Where results go.
    pub(crate) out: PathBuf,
    pub(crate) pairs: usize,
    pub(crate) runtime_s: u32,
}

/// A claim and how it is measured.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Setting) -> Result<Vec<Row>>,
}

/// All cases, in the order in which they run.
pub(crate) const ALL: &[Case] = &[
    Case {
        name: "initiator-randread-4k",
        what: "oxsan perf and iscsi-perf on our target, 4 KiB random reads at depth 32",
        run: |setting| initiator(setting, "initiator-randread-4k", true, 4 << 10),
    },
    Case {
        name: "initiator-read-1m",
        what: "oxsan perf and iscsi-perf on our target, 1 MiB sequential reads at depth 32",
        run: |setting| initiator(setting, "initiator-read-1m", false, 1 << 20),
    },
    Case {
        name: "target-randread-4k",
        what: "our target and tgtd under iscsi-perf, 4 KiB random reads at depth 32",
        run: |setting| target(setting, "target-randread-4k", true, 4 << 10, Goal::AtLeast(2.0)),
    },
    Case {
        name: "target-read-128k",
        what: "our target and tgtd under iscsi-perf, 128 KiB sequential reads at depth 32",
        run: |setting| target(setting, "target-read-128k", false, 128 << 10, Goal::AtLeast(1.5)),
    },
    Case {
        name: "mount-read",
        what: "a file of 1 GiB through the mount, and the same LUN by oxsan perf alone",
        run: mount_read,
    },
    Case {
        name: "manifest-20000",
        what: "oxsan manifest and debugfs.ocfs2 rdump of a volume of 20,000 small files",
        run: manifest,
    },
    Case {
        name: "rw-fuse2fs",
        what: "reads, writes and fsync'ed appends through the mount, and through fuse2fs",
        run: file_cases::beside_fuse2fs,
    },
    Case {
        name: "rw-null",
        what: "4 KiB past the page cache, and on a FUSE filesystem that does nothing",
        run: file_cases::beside_null,
    },
    Case {
        name: "rw-raw",
        what: "1 MiB past the page cache on a volume on disk, and on a file of that disk",
        run: file_cases::beside_raw,
    },
    Case {
        name: "rw-names",
        what: "100,000 files made, looked at and removed, and a tree of source copied; and by fuse2fs",
        run: file_cases::names_beside_fuse2fs,
    },
    Case {
        name: "mkfs-30t",
        what: "oxsan mkfs and mkfs.ocfs2 of a sparse file of 30 TiB",
        run: volume_cases::mkfs,
    },
    Case {
        name: "check-million",
        what: "oxsan check and fsck.ocfs2 -fn of a volume of a million files, and oxsan find over it",
        run: volume_cases::million,
    },
    Case {
        name: "extents",
        what: "finding a place in files of 100 GB, of 1,000 to 1,000,000 extents",
        run: volume_cases::extents,
    },
];

const DEPTH: u32 = 32;

fn initiator(setting: &Setting, name: &'static str, random: bool, bytes: u32) -> Result<Vec<Row>> {
    let lun = lun(setting)?;
    let server = Server::ours(&setting.oxsan, &lun, &setting.work.join("server.log"))?;
    let load = Load { random, bytes, depth: DEPTH, runtime_s: setting.runtime_s };
    let sample = |done: Done| -> Sample {
        vec![("iops", done.iops), ("MiB/s", load.mib_s(&done)), ("client CPU µs/IO", load.client_us(&done))]
    };
    let pairs = in_pairs(
        setting.pairs,
        || load.by_oxsan(&setting.oxsan, server.url()).map(sample),
        || load.by_libiscsi(server.url()).map(sample),
    )?;
    Ok(vec![
        Row::of(name, "iscsi-perf", "iops", &pairs, Some(Goal::AtLeast(1.0))),
        Row::of(name, "iscsi-perf", "MiB/s", &pairs, None),
        Row::of(name, "iscsi-perf", "client CPU µs/IO", &pairs, Some(Goal::AtMost(0.5))),
    ])
}

fn target(setting: &Setting, name: &'static str, random: bool, bytes: u32, goal: Goal) -> Result<Vec<Row>> {
    let lun = lun(setting)?;
    let ours = Server::ours(&setting.oxsan, &lun, &setting.work.join("ours.log"))?;
    let tgtd = Server::tgtd(&lun, &setting.work.join("tgtd.log"))?;
    let load = Load { random, bytes, depth: DEPTH, runtime_s: setting.runtime_s };
    let measure = |server: &Server| -> Result<Sample> {
        let before = server.cpu_s()?;
        let done = load.by_libiscsi(server.url())?;
        let cpu_us = (server.cpu_s()? - before) * 1e6 / load.count(&done);
        Ok(vec![("iops", done.iops), ("MiB/s", load.mib_s(&done)), ("server CPU µs/IO", cpu_us)])
    };
    let pairs = in_pairs(setting.pairs, || measure(&ours), || measure(&tgtd))?;
    Ok(vec![
        Row::of(name, "tgtd", "iops", &pairs, Some(goal)),
        Row::of(name, "tgtd", "MiB/s", &pairs, None),
        Row::of(name, "tgtd", "server CPU µs/IO", &pairs, Some(Goal::AtMost(0.4))),
    ])
}

/// The mount is made anew for each run, so that the kernel's page cache never answers for us.
fn mount_read(setting: &Setting) -> Result<Vec<Row>> {
    let image = in_memory(setting, &volumes::one_big_file(&setting.cache)?)?;
    let server = Server::ours(&setting.oxsan, &image, &setting.work.join("server.log"))?;
    let place = setting.work.join("mnt");
    std::fs::create_dir_all(&place).context("creating the mount point")?;
    let load = Load { random: false, bytes: 1 << 20, depth: DEPTH, runtime_s: setting.runtime_s };
    let through_mount = || -> Result<Sample> {
        let mount = Mount::new(&setting.oxsan, server.url(), &place)?;
        let taken =
            timed::run(Command::new("dd").args(["of=/dev/null", "bs=1M"]).arg(if_arg(&place.join("big"))))?;
        mount.end()?;
        Ok(vec![("MiB/s", 1024.0 / taken.wall_s)])
    };
    let pairs = in_pairs(setting.pairs, through_mount, || {
        load.by_oxsan(&setting.oxsan, server.url()).map(|done| vec![("MiB/s", load.mib_s(&done))])
    })?;
    Ok(vec![Row::of("mount-read", "oxsan perf", "MiB/s", &pairs, Some(Goal::AtLeast(0.9)))])
}

fn manifest(setting: &Setting) -> Result<Vec<Row>> {
    let image = in_memory(setting, &volumes::small_files(&setting.cache)?)?;
    let ours = || -> Result<Sample> {
        let taken = timed::run(Command::new(&setting.oxsan).arg("manifest").arg(&image))?;
        let files = taken.stdout.lines().filter(|line| line.contains("\"type\":\"file\"")).count();
        ensure!(files >= usize::try_from(volumes::SMALL_FILES)?, "oxsan manifest shows {files} files only");
        Ok(vec![("seconds", taken.wall_s), ("memory MiB", taken.rss_mib)])
    };
    let out = setting.work.join("rdump");
    let peers = || -> Result<Sample> {
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).context("creating a place for rdump")?;
        // Not `/`: ocfs2-tools 1.8.7 then tries to make the directory that must be there, and writes nothing.
        let request = format!("rdump /. {}", out.display());
        let taken = timed::run(Command::new("/sbin/debugfs.ocfs2").args(["-R", &request]).arg(&image))?;
        let mut inside = std::fs::read_dir(&out).context("reading what rdump wrote")?.flatten();
        let last = |dir: std::fs::DirEntry| dir.path().join("dir200/file-19999.dat").exists();
        ensure!(inside.any(last), "rdump did not write the last file");
        Ok(vec![("seconds", taken.wall_s), ("memory MiB", taken.rss_mib)])
    };
    let pairs = in_pairs(setting.pairs, ours, peers)?;
    let _ = std::fs::remove_dir_all(&out);
    Ok(vec![
        Row::of("manifest-20000", "debugfs rdump", "seconds", &pairs, Some(Goal::AtMost(0.2))),
        Row::of("manifest-20000", "debugfs rdump", "memory MiB", &pairs, Some(Goal::OursBelow(100.0))),
    ])
}

/// 1 GiB in memory, every page of it there: a hole would be read faster than data.
fn lun(setting: &Setting) -> Result<PathBuf> {
    let path = setting.work.join("lun.img");
    if !path.exists() {
        let mut source = std::io::Read::take(std::io::repeat(0x5a), 1 << 30);
        let mut file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        std::io::copy(&mut source, &mut file).with_context(|| format!("filling {}", path.display()))?;
    }
    Ok(path)
}

/// A copy of a volume in memory.
fn in_memory(setting: &Setting, image: &Path) -> Result<PathBuf> {
    let copy = setting.work.join(image.file_name().context("a volume with a name")?);
    std::fs::copy(image, &copy).with_context(|| format!("copying {}", image.display()))?;
    Ok(copy)
}

fn if_arg(path: &Path) -> std::ffi::OsString {
    let mut arg = std::ffi::OsString::from("if=");
    arg.push(path);
    arg
}

/// A mount of ours; unmounted when dropped.
struct Mount {
    place: PathBuf,
    done: bool,
}

impl Mount {
    fn new(oxsan: &Path, volume: &str, place: &Path) -> Result<Self> {
        timed::run(Command::new(oxsan).args(["mount", volume, "-o", "ro"]).arg(place))?;
        Ok(Self { place: place.to_owned(), done: false })
    }

    fn end(mut self) -> Result<()> {
        self.done = true;
        ensure!(
            lab::wait_until(Duration::from_secs(10), || umount(&self.place)),
            "the mount does not go away"
        );
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.done {
            let _ = umount(&self.place);
        }
    }
}

fn umount(place: &Path) -> bool {
    timed::run(Command::new("umount").arg(place)).is_ok()
}
