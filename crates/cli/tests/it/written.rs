//! `oxsan mount` for writing, and `oxsan umount`: what is done is there afterwards, and the volume clean.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::mount::{Point, signal, until, words};
use crate::san::San;

const OXSAN: &str = env!("CARGO_BIN_EXE_oxsan");

/// A fresh volume in a file.
pub(crate) struct Fresh {
    dir: TempDir,
}

impl Fresh {
    pub(crate) fn new(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let fresh = Self { dir };
        File::create(fresh.path()).and_then(|file| file.set_len(96 << 20)).expect("an image");
        let made = Command::new(OXSAN)
            .args(["mkfs", "-q", "-F", "-x", "-N", "2", "-J", "size=4M"])
            .args(options)
            .arg(fresh.path())
            .output()
            .expect("mkfs");
        assert!(made.status.success(), "{}", words(&made));
        fresh
    }

    pub(crate) fn local() -> Self {
        Self::new(&["-M", "local"])
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    /// Clean to our own check, and to fsck.ocfs2 where there is one.
    pub(crate) fn check(&self) {
        let ours = Command::new(OXSAN).arg("check").arg(self.path()).output().expect("check");
        assert!(ours.status.success(), "{}", String::from_utf8_lossy(&ours.stdout));
        let Ok(theirs) = Command::new("fsck.ocfs2").args(["-f", "-n"]).arg(self.path()).output() else {
            return;
        };
        let text = String::from_utf8_lossy(&theirs.stdout);
        assert!(
            text.ends_with("All passes succeeded.\n\n") || text.ends_with("All passes succeeded.\n"),
            "{text}"
        );
    }
}

pub(crate) fn umount(dir: &Path) -> Output {
    Command::new(OXSAN).arg("umount").arg(dir).output().expect("oxsan umount")
}

#[test]
fn what_is_made_is_there_after_the_next_mount() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    let mounted = point.oxsan(&volume.path(), &[]);
    assert!(mounted.status.success() && words(&mounted).is_empty(), "{}", words(&mounted));
    let at = |name: &str| point.path().join(name);
    fs::create_dir(at("dir")).expect("mkdir");
    File::create(at("dir/file")).expect("create");
    fs::hard_link(at("dir/file"), at("other")).expect("link");
    std::os::unix::fs::symlink("dir/file", at("link")).expect("symlink");
    fs::rename(at("dir/file"), at("dir/moved")).expect("rename");
    rustix::fs::setxattr(at("dir"), "user.x", b"1", rustix::fs::XattrFlags::empty()).expect("setxattr");
    let umounted = umount(&point.path());
    assert!(umounted.status.success(), "{}", words(&umounted));
    // It has waited: nobody is left, and the volume is whole.
    assert!(point.daemons().is_empty());
    point.nothing_left();
    volume.check();

    assert!(point.oxsan(&volume.path(), &["-o", "noatime"]).status.success());
    assert_eq!(fs::metadata(at("dir/moved")).expect("stat").nlink(), 2);
    assert_eq!(fs::read_link(at("link")).expect("readlink"), Path::new("dir/file"));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(at("dir"), "user.x", &mut value), Ok(1));
    fs::remove_file(at("other")).expect("unlink");
    fs::remove_file(at("dir/moved")).expect("unlink");
    fs::remove_dir(at("dir")).expect("rmdir");
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// A file without a name is kept while it is open, and gone when the mount is, in use or not.
#[test]
fn a_signal_leaves_the_volume_clean_even_while_it_is_used() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    for name in ["-TERM", "-INT"] {
        let mut child = point.foreground_with(&volume.path(), "rw");
        let file = File::create(point.path().join("gone")).expect("create");
        fs::remove_file(point.path().join("gone")).expect("unlink");
        assert_eq!(file.metadata().expect("stat").nlink(), 0);
        signal(&child, name);
        assert!(child.wait().expect("wait").success(), "{name}");
        point.nothing_left();
        drop(file);
        volume.check();
    }
}

/// What was changed and is left alone is in the journal within a second, although the timer runs for a minute: a daemon
/// that dies then loses nothing.
#[test]
fn what_is_left_alone_is_committed_soon() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    let mut child = point.foreground_with(&volume.path(), "rw,commit=60");
    fs::create_dir(point.path().join("kept")).expect("mkdir");
    for _ in 0..150 {
        crate::mount::pause();
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    assert!(point.oxsan(&volume.path(), &[]).status.success());
    assert!(point.path().join("kept").is_dir());
    assert!(umount(&point.path()).status.success());
    volume.check();
}

#[test]
fn one_host_mounts_a_volume_for_writing_once() {
    let (Some(one), Some(two)) = (Point::new(), Point::new()) else { return };
    let volume = Fresh::local();
    assert!(one.oxsan(&volume.path(), &[]).status.success());
    for options in ["rw", "ro"] {
        let again = two.oxsan(&volume.path(), &["-o", options]);
        assert_eq!(again.status.code(), Some(1), "{options}");
        assert!(words(&again).contains("in use"), "{}", words(&again));
        two.nothing_left();
    }
    assert!(umount(&one.path()).status.success());
    assert!(one.oxsan(&volume.path(), &["-o", "ro"]).status.success());
    assert!(two.oxsan(&volume.path(), &["-o", "ro"]).status.success(), "two readers do no harm");
    assert!(umount(&one.path()).status.success() && umount(&two.path()).status.success());
}

/// Behind iSCSI there is nothing of the kernel's that could be claimed.
#[test]
fn one_host_mounts_a_lun_for_writing_once() {
    let (Some(one), Some(two)) = (Point::new(), Point::new()) else { return };
    let volume = Fresh::local();
    let san = San::writable(&volume.path());
    let url = Path::new(san.url());
    assert!(one.oxsan(url, &[]).status.success());
    fs::write(one.path().join("file"), b"over the wire").expect("write");
    for options in ["rw", "ro"] {
        let again = two.oxsan(url, &["-o", options]);
        assert_eq!(again.status.code(), Some(1), "{options}");
        assert!(words(&again).contains("in use"), "{}", words(&again));
        two.nothing_left();
    }
    assert!(umount(&one.path()).status.success());
    assert!(two.oxsan(url, &[]).status.success());
    assert_eq!(fs::read(two.path().join("file")).expect("read"), b"over the wire");
    assert!(umount(&two.path()).status.success());
    drop(san);
    volume.check();
}

/// A volume of a cluster is written without it only if it is said so, and nobody is seen.
#[test]
fn a_clustered_volume_is_written_alone_only_on_demand() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::new(&["-M", "cluster", "--cluster-stack=o2cb", "--cluster-name=test", "--force"]);
    let refused = point.oxsan(&volume.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(words(&refused).contains("is a clustered volume"), "{}", words(&refused));
    let mounted = point.oxsan(&volume.path(), &["-o", "nocluster"]);
    assert!(mounted.status.success(), "{}", words(&mounted));
    assert!(words(&mounted).contains("WARNING: mounted without its cluster"), "{}", words(&mounted));
    fs::create_dir(point.path().join("dir")).expect("mkdir");
    assert!(umount(&point.path()).status.success());
    volume.check();
}

#[test]
fn a_volume_that_cannot_be_written_is_read_and_says_so() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::new(&["-M", "local", "-b", "4096"]);
    let readable = |options: &[&str]| {
        let output =
            Command::new(OXSAN).arg("mount").arg(volume.path()).arg(point.path()).args(options).output();
        output.expect("oxsan")
    };
    // The name of a feature that nobody knows the writing of: a read-only bit of the superblock.
    let file = File::options().read(true).write(true).open(volume.path()).expect("the image");
    let at = 2 * 4096 + 0xc0 + 36;
    let mut bits = [0; 4];
    file.read_exact_at(&mut bits, at).expect("read");
    file.write_all_at(&(u32::from_le_bytes(bits) | 0x8000).to_le_bytes(), at).expect("write");
    let refused = readable(&["-o", "rw"]);
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    let mounted = readable(&[]);
    assert!(mounted.status.success(), "{}", words(&mounted));
    assert!(words(&mounted).contains("mounted read-only"), "{}", words(&mounted));
    assert!(fs::create_dir(point.path().join("dir")).is_err());
    assert!(umount(&point.path()).status.success());
}

/// umount(8) calls its helper by this name.
#[test]
fn the_helper_of_umount_waits() {
    use std::os::unix::process::CommandExt;
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    assert!(point.oxsan(&volume.path(), &[]).status.success());
    File::create(point.path().join("file")).expect("create");
    let helper = Command::new(OXSAN)
        .arg0("umount.fuse.ocfs2")
        .arg(point.path())
        .args(["-n", "-t", "fuse.ocfs2"])
        .output()
        .expect("the helper");
    assert!(helper.status.success(), "{}", words(&helper));
    assert!(point.daemons().is_empty());
    volume.check();
    until("it is gone", || !point.is_mounted());
    let again = umount(&point.path());
    assert_eq!(again.status.code(), Some(1));
    assert!(words(&again).ends_with("not mounted\n"), "{}", words(&again));
}
