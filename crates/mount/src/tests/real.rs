//! The small filesystem, mounted by the kernel that runs the tests.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::fs::{IFlags, SeekFrom, getxattr, ioctl_getflags, listxattr, seek, statvfs};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::memfs::{ACL, MemFs, big_byte};
use super::pretended::until;
use crate::{Atime, Changes, Config, Errno, Mount, MountError, MountSpec, Session, SessionEnd};

/// A mount of the small filesystem; gone, whatever happens, when dropped.
pub(super) struct Mounted {
    pub(super) fs: Arc<MemFs>,
    pub(super) session: Session,
    mount: Mount,
    dir: TempDir,
    runtime: Runtime,
}

fn spec(changes: Changes) -> MountSpec {
    MountSpec {
        read_only: changes == Changes::None,
        atime: Atime::default(),
        source: "a volume, and more".into(),
        subtype: "ocfs2".into(),
        allow_other: true,
        default_permissions: true,
        suid: false,
        dev: true,
        exec: true,
    }
}

impl Mounted {
    /// Mounts; `None`, said in a line, where that cannot be done.
    pub(super) fn new(config: Config) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !PathBuf::from("/dev/fuse").exists() {
            eprintln!("skipped: mounting needs root and /dev/fuse");
            return None;
        }
        let runtime = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
        let fs = Arc::new(MemFs::default());
        let (mount, device) = Mount::new(&spec(config.changes), dir.path()).expect("mounted");
        let session =
            Session::start(device, Arc::clone(&fs), config, runtime.handle().clone()).expect("started");
        mount.raise_read_ahead();
        Some(Self { fs, session, mount, dir, runtime })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// How the session ended; it must have, within 10 s.
    pub(super) fn ended(&mut self) -> SessionEnd {
        let Self { runtime, session, .. } = self;
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), session.ended()).await })
            .expect("the session ends")
    }
}

const CONFIGS: [Config; 2] = [
    Config { posix_acl: true, changes: Changes::None },
    Config { posix_acl: true, changes: Changes::Anywhere },
];

fn mounts_at(dir: &std::path::Path) -> usize {
    let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
    table.lines().filter(|line| line.split(' ').nth(1) == dir.to_str()).count()
}

/// Waits for a child; it must end within 10 s.
pub(super) fn wait(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    for _ in 0..1000 {
        status = child.try_wait().expect("wait");
        if status.is_some() {
            break;
        }
        pause();
    }
    status.unwrap_or_else(|| panic!("process {} does not end", child.id()))
}

#[allow(clippy::disallowed_methods, reason = "a test waits for a process")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn what_a_mount_shows() {
    for config in CONFIGS {
        let Some(m) = Mounted::new(config) else { return };
        let meta = fs::symlink_metadata(m.path("hello")).expect("stat");
        assert_eq!((meta.ino(), meta.mode(), meta.uid(), meta.gid()), (501, 0o100_640, 4_294_967_293, 12));
        assert_eq!(
            (meta.atime(), meta.atime_nsec(), meta.mtime(), meta.mtime_nsec()),
            (-5, 999_999_999, 15_000_000_000, 1)
        );
        assert_eq!((meta.size(), meta.blocks(), meta.ctime()), (13, 1, 0));
        assert_eq!(fs::metadata(m.dir.path()).expect("stat").ino(), 500, "the root's own number");
        let null = fs::symlink_metadata(m.path("null")).expect("stat").rdev();
        assert_eq!((rustix::fs::major(null), rustix::fs::minor(null)), (0xabc, 0x12345));
        assert_eq!(fs::read_link(m.path("link")).expect("readlink"), PathBuf::from("sub/inner"));
        assert_eq!(fs::read(m.path("link")).expect("read"), b"inner");
        assert_eq!(fs::read(m.path("slow")).expect("read"), b"never mind");
        assert_eq!(fs::metadata(m.path("nothing")).expect_err("stat").kind(), ErrorKind::NotFound);

        for _ in 0..2 {
            let mut names: Vec<_> = fs::read_dir(m.dir.path())
                .expect("readdir")
                .map(|entry| entry.expect("entry"))
                .map(|entry| {
                    (entry.file_name().into_string().expect("UTF-8"), entry.path().symlink_metadata().is_ok())
                })
                .collect();
            names.sort();
            let all = ["bad", "big", "hang", "hello", "link", "null", "panic", "slow", "sub"];
            assert_eq!(names, all.map(|name| (name.to_owned(), name != "bad")));
        }
        let odd: Vec<_> =
            fs::read_dir(m.path("sub")).expect("readdir").map(|e| e.expect("entry").file_name()).collect();
        assert!(odd.iter().any(|name| name.as_bytes() == b"\xff name"));
        assert_eq!(fs::metadata(m.path("bad")).expect_err("stat").raw_os_error(), Some(5));

        let room = statvfs(m.dir.path()).expect("statfs");
        assert_eq!((room.f_bsize, room.f_blocks, room.f_bfree, room.f_bavail), (4096, 1000, 300, 200));
        assert_eq!((room.f_files, room.f_ffree, room.f_namemax), (50, 40, 255));
    }
}

#[test]
fn contents_with_holes_however_they_are_read() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    let file = File::open(m.path("big")).expect("open");
    let mut all = Vec::new();
    (&file).read_to_end(&mut all).expect("read");
    assert_eq!(all.len(), 8 << 20);
    assert!(all.iter().zip(0..).all(|(&byte, at)| byte == big_byte(at)));
    let mut some = [0; 5000];
    file.read_exact_at(&mut some, (3 << 20) - 2500).expect("pread");
    assert!(some.iter().zip((3 << 20) - 2500..).all(|(&byte, at)| byte == big_byte(at)));
    assert_eq!(seek(&file, SeekFrom::Data(3 << 20)), Ok(5 << 20));
    assert_eq!(seek(&file, SeekFrom::Hole(1)), Ok(3 << 20));
    assert_eq!(seek(&file, SeekFrom::Hole(6 << 20)), Ok(8 << 20));
    assert_eq!(seek(&file, SeekFrom::Data(8 << 20)), Err(Errno::NXIO));
}

#[test]
fn xattrs_acls_and_flags() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    let hello = m.path("hello");
    let mut value = [0; 4];
    assert_eq!(getxattr(&hello, "user.colour", &mut value[..3]), Err(Errno::RANGE));
    assert_eq!(getxattr(&hello, "user.colour", &mut value), Ok(4));
    assert_eq!(&value, b"blue");
    assert_eq!(getxattr(&hello, "user.none", &mut value), Err(Errno::NODATA));
    let mut list = [0u8; 100];
    let len = listxattr(&hello, &mut list[..]).expect("listxattr");
    assert_eq!(&list[..len], b"user.colour\0system.posix_acl_access\0");
    assert_eq!(listxattr(&hello, &mut list[..5]), Err(Errno::RANGE));
    let mut acl = [0; 64];
    let len = getxattr(&hello, "system.posix_acl_access", &mut acl).expect("getxattr");
    assert_eq!(acl[..len], ACL);

    // The kernel goes by the ACL: user 7 may read, user 8 may not.
    for (user, may) in [(7, true), (8, false)] {
        let cat =
            Command::new("cat").arg(&hello).uid(user).gid(user).stderr(Stdio::null()).output().expect("cat");
        assert_eq!(cat.status.success(), may, "user {user}");
        assert_eq!(cat.stdout.is_empty(), !may);
    }
    for name in ["hello", "sub"] {
        let flags = ioctl_getflags(File::open(m.path(name)).expect("open")).expect("lsattr");
        assert_eq!(flags, IFlags::IMMUTABLE | IFlags::NODUMP, "{name}");
    }
}

#[test]
fn nothing_can_be_written() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    let hello = m.path("hello");
    let refused = [
        fs::write(&hello, b"x").map(|_| ()),
        fs::write(m.path("new"), b"x"),
        fs::create_dir(m.path("newdir")),
        fs::remove_file(&hello),
        fs::remove_dir(m.path("sub")),
        fs::rename(&hello, m.path("other")),
        fs::hard_link(&hello, m.path("other")),
        fs::set_permissions(&hello, Permissions::from_mode(0o777)),
        std::os::unix::fs::symlink("x", m.path("other")),
        std::os::unix::fs::chown(&hello, Some(1), None),
        rustix::fs::setxattr(&hello, "user.a", b"b", rustix::fs::XattrFlags::empty()).map_err(Into::into),
    ];
    for (number, outcome) in refused.into_iter().enumerate() {
        assert_eq!(outcome.expect_err("refused").kind(), ErrorKind::ReadOnlyFilesystem, "number {number}");
    }
    File::open(&hello).expect("open").sync_all().expect("fsync has nothing to do");
}

#[test]
fn a_process_that_waits_for_a_hung_disk_can_be_killed() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    for (direct, signal) in [(false, 9), (true, 9), (false, 2), (true, 2), (true, 15)] {
        let before = m.fs.hanging.load(Ordering::SeqCst);
        // Whoever runs the tests may have SIGINT ignored, and a child inherits that.
        let mut reader = Command::new("env")
            .arg("--default-signal=INT")
            .args(if direct {
                &["dd", "status=none", "iflag=direct", "bs=4096", "count=1"][..]
            } else {
                &["cat"]
            })
            .arg(format!("{}{}", if direct { "if=" } else { "" }, m.path("hang").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a reader");
        if direct || before == 0 {
            until("the read hangs", || m.fs.hanging.load(Ordering::SeqCst) > before);
        } else {
            // The page is locked by the read-ahead of the first; this one waits for that.
            (0..20).for_each(|_| pause());
        }
        assert_eq!(reader.try_wait().expect("wait"), None, "still waiting");
        let killed = Command::new("kill")
            .args([format!("-{signal}"), reader.id().to_string()])
            .status()
            .expect("kill");
        assert!(killed.success());
        assert_eq!(wait(&mut reader).signal(), Some(signal), "direct: {direct}");
        if direct {
            until("its request is gone", || m.fs.hanging.load(Ordering::SeqCst) == before);
        }
        assert_eq!(fs::read(m.path("hello")).expect("others go on"), b"hello, world\n");
    }
}

#[test]
fn umount_ends_the_session_even_while_the_disk_hangs() {
    let Some(mut m) = Mounted::new(CONFIGS[0]) else { return };
    assert!(m.mount.is_mounted());
    let path = m.path("hang");
    let mut cat = Command::new("cat").arg(path).stderr(Stdio::null()).spawn().expect("cat");
    until("the read hangs", || m.fs.hanging.load(Ordering::SeqCst) == 1);
    cat.kill().expect("kill");
    wait(&mut cat);
    let umount = Command::new("umount").arg(m.dir.path()).status().expect("umount");
    assert!(umount.success());
    assert_eq!(m.ended(), SessionEnd::Unmounted);
    assert!(!m.mount.is_mounted());
    assert_eq!(mounts_at(m.dir.path()), 0);
    assert_eq!(m.fs.hanging.load(Ordering::SeqCst), 0);
    m.mount.unmount().expect("nothing left to do");
}

#[test]
fn a_busy_mount_is_left_alone_unless_forced() {
    let Some(mut m) = Mounted::new(CONFIGS[0]) else { return };
    let file = File::open(m.path("big")).expect("open");
    let busy = m.mount.unmount();
    assert!(matches!(busy, Err(MountError::Unmount { source: Errno::BUSY, .. })), "{busy:?}");
    assert!(m.mount.is_mounted());
    let mut byte = [0];
    file.read_exact_at(&mut byte, 77).expect("still served");
    m.mount.unmount_forcibly().expect("unmounted");
    assert!(matches!(m.ended(), SessionEnd::Unmounted | SessionEnd::Aborted));
    assert_eq!(mounts_at(m.dir.path()), 0);
    assert!(file.read_at(&mut byte, 4 << 20).is_err(), "nobody serves it any more");
}

#[test]
fn two_mounts_side_by_side_and_one_above_the_other() {
    let (Some(one), Some(mut two)) = (Mounted::new(CONFIGS[0]), Mounted::new(CONFIGS[1])) else { return };
    assert_eq!(fs::read(one.path("hello")).expect("read"), fs::read(two.path("hello")).expect("read"));
    two.mount.unmount().expect("unmounted");
    assert_eq!(two.ended(), SessionEnd::Unmounted);
    assert_eq!(fs::read(one.path("hello")).expect("read"), b"hello, world\n");

    // A mount above hides the one below, and taking the lower away must not take the upper.
    let fs = Arc::new(MemFs::default());
    let (mut above, device) = Mount::new(&spec(Changes::None), one.dir.path()).expect("mounted");
    let runtime = one.runtime.handle().clone();
    let _session = Session::start(device, fs, CONFIGS[0], runtime).expect("started");
    assert!(above.is_mounted() && !one.mount.is_mounted());
    above.unmount().expect("unmounted");
    assert!(one.mount.is_mounted());
}

#[test]
fn a_dropped_mount_is_gone() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    let Mounted { mount, dir, runtime, session, .. } = m;
    drop(mount);
    assert_eq!(mounts_at(dir.path()), 0);
    drop((session, runtime));
}

#[test]
fn the_table_of_mounts_says_what_it_is() {
    let Some(m) = Mounted::new(CONFIGS[0]) else { return };
    let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let line =
        table.lines().find(|line| line.contains(m.dir.path().to_str().expect("UTF-8"))).expect("mounted");
    assert!(line.starts_with("a\\040volume,\\040and\\040more "), "{line}");
    assert!(line.contains(" fuse.ocfs2 ro,nosuid"), "{line}");
    assert!(line.contains("default_permissions,allow_other,max_read=1048576"), "{line}");
}

#[test]
fn mount_points_that_are_none() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let missing = Mount::new(&spec(Changes::None), &dir.path().join("missing")).expect_err("no directory");
    assert_eq!(missing.hint(), Some("make the directory first"));
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("write");
    assert!(matches!(Mount::new(&spec(Changes::None), &file), Err(MountError::NotADirectory { .. })));
}
