//! Changes, through the transport: the small filesystem mounted for writing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, IFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags,
};
use zerocopy::IntoBytes;

use super::kernel::{Kernel, message};
use super::memfs::{HANG, HELLO, NOW};
use super::pretended::until;
use super::real::{Mounted, wait};
use crate::{Changes, Config, Errno, Ino};

const WRITABLE: Config = Config { posix_acl: true, changes: Changes::Here };

#[test]
fn names_come_and_go() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    fs::create_dir(m.path("new")).expect("mkdir");
    fs::write(m.path("new/file"), b"contents").expect("create and write");
    assert_eq!(fs::read(m.path("new/file")).expect("read"), b"contents");
    fs::hard_link(m.path("new/file"), m.path("new/other")).expect("link");
    assert_eq!(fs::metadata(m.path("new/file")).expect("stat").nlink(), 2);
    std::os::unix::fs::symlink("file", m.path("new/link")).expect("symlink");
    assert_eq!(fs::read(m.path("new/link")).expect("read"), b"contents");
    assert_eq!(fs::remove_dir(m.path("new")).expect_err("not empty").kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_file(m.path("new/other")).expect("unlink");
    fs::rename(m.path("new/file"), m.path("moved")).expect("rename");
    assert_eq!(fs::read(m.path("moved")).expect("read"), b"contents");
    assert_eq!(fs::metadata(m.path("moved")).expect("stat").nlink(), 1);
    fs::remove_file(m.path("new/link")).expect("unlink");
    fs::remove_dir(m.path("new")).expect("rmdir");
    assert!(!m.path("new").exists());
    assert!(
        fs::read_dir(m.path("")).expect("readdir").all(|entry| entry.expect("entry").file_name() != "new")
    );
}

#[test]
fn rename_has_flags() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    fs::write(m.path("a"), b"a").expect("write");
    fs::write(m.path("b"), b"b").expect("write");
    let rename = |flags| {
        let dir = File::open(m.path("")).expect("open");
        rustix::fs::renameat_with(&dir, "a", &dir, "b", flags)
    };
    assert_eq!(rename(RenameFlags::NOREPLACE), Err(Errno::EXIST));
    rename(RenameFlags::EXCHANGE).expect("exchange");
    assert_eq!(fs::read(m.path("a")).expect("read"), b"b");
    assert_eq!(fs::read(m.path("b")).expect("read"), b"a");
}

#[test]
fn special_files_and_modes() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let dir = File::open(m.path("")).expect("open");
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(&dir, "fifo", FileType::Fifo, mode, 0).expect("mkfifo");
    let device = rustix::fs::makedev(8, 0x12345);
    rustix::fs::mknodat(&dir, "sda", FileType::BlockDevice, mode, device).expect("mknod");
    assert!(fs::metadata(m.path("fifo")).expect("stat").file_type().is_fifo());
    let sda = fs::metadata(m.path("sda")).expect("stat");
    assert!(sda.file_type().is_block_device());
    assert_eq!((sda.rdev(), sda.mode() & 0o777), (device, 0o640));
    // The umask comes with the request and is applied once.
    let made = Command::new("sh").args(["-c", "umask 077; mkdir \"$0\""]).arg(m.path("private")).status();
    assert!(made.expect("sh").success());
    assert_eq!(fs::metadata(m.path("private")).expect("stat").mode() & 0o7777, 0o700);
}

#[test]
fn attributes_are_set() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let path = m.path("hello");
    fs::set_permissions(&path, Permissions::from_mode(0o4755)).expect("chmod");
    std::os::unix::fs::chown(&path, Some(7), Some(8)).expect("chown");
    let times = Timestamps {
        last_access: Timespec { tv_sec: -3, tv_nsec: 7 },
        last_modification: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
    };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).expect("utimensat");
    let file = OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(5).expect("truncate");
    let meta = fs::metadata(&path).expect("stat");
    assert_eq!((meta.uid(), meta.gid(), meta.size()), (7, 8, 5));
    assert_eq!((meta.atime(), meta.atime_nsec()), (-3, 7));
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (NOW.secs, NOW.nanos.into()));
    assert_eq!(fs::read(&path).expect("read"), b"hello");
}

#[test]
fn data_is_written_in_every_way() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let path = m.path("data");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).expect("create");
    let long: Vec<u8> = (0..3_000_001u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[2]).collect();
    file.write_all(&long).expect("write");
    file.write_all_at(b"middle", 1_000_000).expect("pwrite");
    file.seek(SeekFrom::Start(999_998)).expect("seek");
    let mut some = [0; 10];
    file.read_exact(&mut some).expect("read");
    assert_eq!(&some[2..8], b"middle");
    file.sync_all().expect("fsync");
    file.sync_data().expect("fdatasync");
    assert_eq!(m.fs.synced.load(Ordering::SeqCst), 2);

    let mut appender = OpenOptions::new().append(true).open(&path).expect("open");
    appender.write_all(b"tail").expect("append");
    let all = fs::read(&path).expect("read");
    assert_eq!((all.len(), &all[all.len() - 4..]), (3_000_005, &b"tail"[..]));

    let truncated = OpenOptions::new().write(true).truncate(true).open(&path).expect("open");
    assert_eq!(truncated.metadata().expect("stat").size(), 0);
    rustix::fs::fallocate(&truncated, FallocateFlags::empty(), 0, 8192).expect("fallocate");
    assert_eq!(truncated.metadata().expect("stat").size(), 8192);
    let odd = rustix::fs::fallocate(&truncated, FallocateFlags::COLLAPSE_RANGE, 0, 4096);
    assert_eq!(odd, Err(Errno::OPNOTSUPP));
}

/// What a program stores through a shared mapping reaches the filesystem by msync(2), and without it by the end.
#[test]
fn a_shared_mapping_is_written_back() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    fs::write(m.path("mapped"), vec![b'.'; 8192]).expect("write");
    let script = "import mmap,os,sys
f=os.open(sys.argv[1],os.O_RDWR); m=mmap.mmap(f,8192); m[4090:4102]=b'across pages'; m.flush()";
    let Ok(python) = Command::new("python3").args(["-c", script]).arg(m.path("mapped")).status() else {
        eprintln!("skipped: no python3");
        return;
    };
    assert!(python.success());
    assert_eq!(&fs::read(m.path("mapped")).expect("read")[4088..4104], b"..across pages..");
    let how = m.fs.last_write.lock().expect("last write").expect("written").1;
    assert!(how.cached);
}

/// The data of a WRITE begins a page, whatever the request's own length: a disk takes it as it is.
#[test]
fn what_is_written_directly_is_aligned() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let direct = i32::try_from(OFlags::DIRECT.bits()).expect("a flag");
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(direct).open(m.path("d"));
    let file = file.expect("open");
    for pages in [1usize, 4, 16, 256] {
        let buf = block::Buf::copy_of(&vec![7; pages * 4096]);
        file.write_all_at(&buf, 0).expect("pwrite");
        let (at, how) = m.fs.last_write.lock().expect("last write").expect("written");
        assert_eq!(at % 4096, 0);
        assert!(!how.cached && how.flags & OFlags::DIRECT.bits() != 0);
    }
}

#[test]
fn a_write_by_another_user_takes_the_set_id_bits() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    fs::write(m.path("tool"), b"x").expect("write");
    fs::set_permissions(m.path("tool"), Permissions::from_mode(0o6777)).expect("chmod");
    let write = |user: u32| {
        use std::os::unix::process::CommandExt;
        let dd = Command::new("dd")
            .args(["if=/dev/zero", "bs=3", "count=1", "conv=notrunc", "status=none"])
            .arg(format!("of={}", m.path("tool").display()))
            .uid(user)
            .gid(user)
            .status();
        assert!(dd.expect("dd").success());
        fs::metadata(m.path("tool")).expect("stat").mode() & 0o7777
    };
    assert_eq!(write(0), 0o6777);
    assert_eq!(write(9), 0o777);
}

#[test]
fn xattrs_and_flags_are_set() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let path = m.path("slow");
    let set = |value: &[u8], flags| rustix::fs::setxattr(&path, "user.a", value, flags);
    assert_eq!(set(b"1", XattrFlags::REPLACE), Err(Errno::NODATA));
    set(b"1", XattrFlags::CREATE).expect("setxattr");
    assert_eq!(set(b"2", XattrFlags::CREATE), Err(Errno::EXIST));
    set(&vec![b'x'; 65_536], XattrFlags::empty()).expect("setxattr");
    let mut value = vec![0; 65_536];
    assert_eq!(rustix::fs::getxattr(&path, "user.a", &mut value[..]), Ok(65_536));
    rustix::fs::removexattr(&path, "user.a").expect("removexattr");
    assert_eq!(rustix::fs::removexattr(&path, "user.a"), Err(Errno::NODATA));

    let file = File::open(&path).expect("open");
    rustix::fs::ioctl_setflags(&file, IFlags::NODUMP | IFlags::NOATIME).expect("chattr");
    assert_eq!(rustix::fs::ioctl_getflags(&file), Ok(IFlags::NODUMP | IFlags::NOATIME));
}

#[test]
fn a_range_is_copied_by_the_filesystem() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    fs::write(m.path("from"), b"0123456789").expect("write");
    let (from, to) = (File::open(m.path("from")).expect("open"), File::create(m.path("to")).expect("create"));
    let (mut at, mut to_at) = (3, 1);
    assert_eq!(rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut to_at), 5), Ok(5));
    assert_eq!(fs::read(m.path("to")).expect("read"), b"\x0034567");
}

/// What the kernel has references to it keeps although its name is gone, and all are given back when it is gone.
#[test]
fn an_unlinked_file_lives_until_it_is_closed() {
    let Some(mut m) = Mounted::new(WRITABLE) else { return };
    let mut file =
        OpenOptions::new().read(true).write(true).create_new(true).open(m.path("f")).expect("create");
    let ino = file.metadata().expect("stat").ino();
    fs::remove_file(m.path("f")).expect("unlink");
    file.write_all(b"still here").expect("write");
    let mut all = String::new();
    file.seek(SeekFrom::Start(0)).expect("seek");
    file.read_to_string(&mut all).expect("read");
    assert_eq!((all.as_str(), file.metadata().expect("stat").nlink()), ("still here", 0));
    let holds = |m: &Mounted| {
        let count = |list: &std::sync::Mutex<Vec<Ino>>| {
            list.lock().expect("list").iter().filter(|at| at.0 == ino).count()
        };
        count(&m.fs.retained) - count(&m.fs.forgotten)
    };
    assert_eq!(holds(&m), 1);
    drop(file);
    until("it is forgotten", || holds(&m) == 0);

    File::open(m.path("hello")).expect("open");
    let umount = Command::new("umount").arg(m.path("")).status().expect("umount");
    assert!(umount.success());
    m.ended();
    let (mut retained, mut forgotten) =
        (m.fs.retained.lock().expect("retained").clone(), m.fs.forgotten.lock().expect("forgotten").clone());
    retained.sort_unstable();
    forgotten.sort_unstable();
    assert_eq!(retained, forgotten, "as often forgotten as retained");
    assert!(forgotten.contains(&HELLO));
}

/// A killed writer is gone soon, its write is done all the same, and the kernel does not keep what was before.
#[test]
fn a_change_goes_on_when_its_caller_is_killed() {
    let Some(m) = Mounted::new(WRITABLE) else { return };
    let path = m.path("hang");
    // Cached before the change.
    assert_eq!(fs::metadata(&path).expect("stat").size(), 10);
    let mut dd = Command::new("dd")
        .args(["if=/dev/zero", "bs=20", "count=1", "conv=notrunc", "status=none"])
        .arg(format!("of={}", path.display()))
        .stderr(Stdio::null())
        .spawn()
        .expect("dd");
    until("the write hangs", || m.fs.hanging.load(Ordering::SeqCst) == 1);
    dd.kill().expect("kill");
    wait(&mut dd);
    assert_eq!(m.fs.hanging.load(Ordering::SeqCst), 1, "still at it");
    assert_eq!(fs::metadata(&path).expect("stat").size(), 10);
    m.fs.gate.add_permits(1);
    until("the write is done", || m.fs.hanging.load(Ordering::SeqCst) == 0);
    until("the kernel knows", || fs::metadata(&path).expect("stat").size() == 20);
}

/// A signal that does not end its receiver must not make a file's system calls fail: no program expects that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_change_that_is_done_soon_succeeds() {
    let mut kernel = Kernel::new(WRITABLE);
    let head = [40u64, 0, 3, 0, 0].map(u64::to_ne_bytes).concat();
    let unique = kernel.ask(16, HANG.0, &[&head[..], b"abc"].concat());
    until("the write hangs", || kernel.fs.hanging.load(Ordering::SeqCst) == 1);
    kernel.send(&message(36, unique | 1, 0, unique.as_bytes()));
    kernel.fs.gate.add_permits(1);
    let answer = kernel.answer();
    assert_eq!((answer.unique, answer.errno, answer.body[0]), (unique, 0, 3));
}

/// The end of the mount waits for what it has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_changes() {
    let mut kernel = Kernel::new(WRITABLE);
    let head = [40u64, 0, 3, 0, 0].map(u64::to_ne_bytes).concat();
    kernel.ask(16, HANG.0, &[&head[..], b"abc"].concat());
    until("the write hangs", || kernel.fs.hanging.load(Ordering::SeqCst) == 1);
    kernel.hang_up();
    let soon = tokio::time::timeout(std::time::Duration::from_millis(300), kernel.session.ended()).await;
    assert!(soon.is_err(), "not before the write is done");
    kernel.fs.gate.add_permits(1);
    kernel.session.ended().await;
    assert!(kernel.fs.last_write.lock().expect("last write").is_some());
}
