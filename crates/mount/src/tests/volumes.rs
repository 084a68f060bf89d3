//! Volumes that a real kernel wrote, mounted, against what that kernel shows of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{BlockDevice, FileDevice, OpenOptions};
use fixtures::of_tree;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{Atime, Changes, Config, Mount, MountSpec, Session, VolumeFs};

/// A mounted volume; gone when dropped.
struct Mounted {
    _mount: Mount,
    session: Session,
    dir: TempDir,
    _runtime: Runtime,
}

/// Mounts an image; `None`, said in a line, where nothing can be mounted.
fn mount(image: &Path) -> Option<Mounted> {
    mount_as(image, true)
}

/// The same; with `read_only` off, the kernel lets changes through to a filesystem that knows none.
fn mount_as(image: &Path, read_only: bool) -> Option<Mounted> {
    if !rustix::process::geteuid().is_root() || !PathBuf::from("/dev/fuse").exists() {
        eprintln!("skipped: mounting needs root and /dev/fuse");
        return None;
    }
    let runtime = Runtime::new().expect("a runtime");
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let device: Arc<dyn BlockDevice> = Arc::new(FileDevice::open(image, options).expect("the image"));
    let volume =
        runtime.block_on(ocfs2::Volume::open(device, ocfs2::OpenOptions::default())).expect("a volume");
    let fs = Arc::new(VolumeFs::new(volume, true));
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
    let spec = MountSpec {
        source: image.display().to_string(),
        subtype: "ocfs2".into(),
        read_only,
        atime: Atime::default(),
        allow_other: true,
        default_permissions: true,
        suid: false,
        dev: false,
        exec: false,
    };
    let (mount, device) = Mount::new(&spec, dir.path()).expect("mounted");
    let changes = if read_only { Changes::None } else { Changes::Here };
    let config = Config { changes, ..fs.config() };
    let session = Session::start(device, fs, config, runtime.handle().clone()).expect("started");
    mount.raise_read_ahead();
    Some(Mounted { _mount: mount, session, dir, _runtime: runtime })
}

/// What the kernel shows of a volume, but for what a FUSE mount cannot.
fn kernels_view(name: &str) -> Vec<Map<String, Value>> {
    let lines = fixtures::manifest(name);
    let mut lines: Vec<Map<String, Value>> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &mut lines {
        line.remove("fiemap");
        line.remove("extents");
    }
    lines
}

/// Compares everything that a mount can show, file by file.
fn compare(name: &str) {
    let Some(m) = mount(&fixtures::image(name)) else { return };
    let seen = of_tree(m.dir.path());
    assert!(seen.errors.is_empty(), "volume {name}: {:?}", seen.errors);
    let kernel = kernels_view(name);
    for (ours, theirs) in seen.lines.iter().zip(&kernel) {
        assert_eq!(ours, theirs, "volume {name}");
    }
    assert_eq!(seen.lines.len(), kernel.len(), "volume {name}");
}

/// Damages a volume and looks at all of it: what lies at or below `at` may fail with EIO or look odd, and everything
/// else is as the kernel shows it.
fn survive(poke: &str, at: &str) {
    let poke = fixtures::poke(poke);
    let image = fixtures::scratch_image(&poke.base);
    poke.apply(&image);
    let Some(m) = mount(&image) else { return };
    let seen = of_tree(m.dir.path());
    let below = |path: &[u8]| path.starts_with(at.as_bytes());
    for (path, error) in &seen.errors {
        assert!(below(path), "{}: {}: {error}", poke.name, path.escape_ascii());
        assert_eq!(error.raw_os_error(), Some(5), "{}: {}: {error}", poke.name, path.escape_ascii());
    }
    let whole = kernels_view(&poke.base);
    let elsewhere = |lines: &[Map<String, Value>]| -> Vec<Map<String, Value>> {
        let path = |line: &Map<String, Value>| line.get("path").and_then(Value::as_str).map(str::to_owned);
        lines.iter().filter(|line| !path(line).is_some_and(|path| below(path.as_bytes()))).cloned().collect()
    };
    for (ours, theirs) in elsewhere(&seen.lines).iter().zip(&elsewhere(&whole)) {
        assert_eq!(ours, theirs, "{}", poke.name);
    }
    assert_eq!(elsewhere(&seen.lines).len(), elsewhere(&whole).len(), "{}", poke.name);
    assert!(!seen.errors.is_empty() || seen.lines != whole, "{} is not seen at all", poke.name);
}

/// The table of references would grow with every file ever looked at if FORGET did not count right: names are looked
/// up one by one, listed with their inodes, and given up by the kernel in batches.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test waits for the kernel")]
fn what_the_kernel_forgets_is_forgotten() {
    let Some(m) = mount(&fixtures::image("c")) else { return };
    for _ in 0..3 {
        let seen = of_tree(m.dir.path());
        assert!(m.session.referenced() > seen.lines.len() / 2, "{}", m.session.referenced());
        // Dentries and inodes that nobody uses; of all filesystems, which costs them a look at their caches.
        for _ in 0..50 {
            if m.session.referenced() == 0 {
                break;
            }
            if fs::write("/proc/sys/vm/drop_caches", "2").is_err() {
                eprintln!("skipped: caches cannot be dropped here");
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(m.session.referenced(), 0);
    }
}

#[test]
fn a_filesystem_that_is_only_read_refuses_changes_itself() {
    let Some(m) = mount_as(&fixtures::image("c"), false) else { return };
    let at = |name: &str| m.dir.path().join(name);
    let lost = at("lost+found");
    let refused = [
        fs::write(at("new"), b"x"),
        fs::create_dir(at("newdir")),
        fs::remove_dir(&lost),
        fs::rename(&lost, at("other")),
        fs::set_permissions(&lost, Permissions::from_mode(0o777)),
        std::os::unix::fs::symlink("x", at("other")),
        std::os::unix::fs::chown(&lost, Some(1), None),
        rustix::fs::setxattr(&lost, "user.a", b"b", rustix::fs::XattrFlags::empty()).map_err(Into::into),
        rustix::fs::removexattr(&lost, "user.a").map_err(Into::into),
    ];
    for (number, outcome) in refused.into_iter().enumerate() {
        let kind = outcome.expect_err("refused").kind();
        assert_eq!(kind, std::io::ErrorKind::ReadOnlyFilesystem, "number {number}");
    }
}

macro_rules! survive_damage {
    ($($test:ident $poke:literal $at:literal)*) => {
        $(#[test]
        fn $test() {
            survive($poke, $at);
        })*
    };
}

survive_damage! {
    damaged_inode "02-inode-signature" "ext/overwritten"
    damaged_extent "06-extent-outside" "ext/overwritten"
    damaged_extent_block "10-extent-block-signature" "depth/alternate"
    damaged_entry "13-dirent-rec-len" "ext"
    damaged_entry_inode "14-dirent-inode" "ext"
    damaged_dir_block "18-dir-block-trailer" "big"
    damaged_xattr_block "28-xattr-signature" "xattr/block"
    damaged_inline "32-inline-size" "inline/appended"
    damaged_checksum "51-ecc-bytes" "main/ext/overwritten"
    damaged_dir_checksum "54-ecc-dir-block" "main/big"
}

macro_rules! compare_with_the_kernel {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            compare($name);
        })*
    };
}

compare_with_the_kernel! {
    volume_a "a"
    volume_b "b"
    volume_c "c"
    volume_d "d"
    volume_e "e"
    volume_f "f"
    volume_g "g"
    volume_dirty "dirty"
    volume_dirty_slot1 "dirty-slot1"
    volume_dirty_ecc "dirty-ecc"
    volume_dirty_orphan "dirty-orphan"
    volume_dirty_orphan_slot1 "dirty-orphan-slot1"
}
