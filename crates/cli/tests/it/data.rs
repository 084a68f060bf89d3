//! Files on a volume mounted for writing: through the page cache, past it, and through mappings.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{OFlags, XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use crate::mount::Point;
use crate::written::{Fresh, umount};

/// Bytes that differ from place to place.
fn pattern(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at / 7 + at % 251 + salt) % 256).expect("below 256")).collect()
}

fn mount(point: &Point, volume: &Fresh) {
    let mounted = point.oxsan(&volume.path(), &[]);
    assert!(mounted.status.success(), "{}", crate::mount::words(&mounted));
}

#[track_caller]
fn assert_holds(path: &Path, want: &[u8]) {
    let got = fs::read(path).expect("read");
    assert_eq!(got.len(), want.len(), "{}", path.display());
    let differs = got.iter().zip(want).position(|(got, want)| got != want);
    assert_eq!(differs, None, "{}: first byte that differs", path.display());
}

#[test]
fn what_is_written_is_there_after_the_next_mount() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let at = |name: &str| point.path().join(name);
    let mut want = pattern(3_000_001, 1);
    fs::write(at("long"), &want).expect("write");
    let mut file = OpenOptions::new().append(true).open(at("long")).expect("open");
    file.write_all(b"and more").expect("append");
    drop(file);
    want.extend_from_slice(b"and more");
    let file = OpenOptions::new().read(true).write(true).open(at("long")).expect("open");
    file.write_all_at(&pattern(10_000, 9), 1_234_567).expect("overwrite");
    want[1_234_567..1_244_567].copy_from_slice(&pattern(10_000, 9));
    assert_holds(&at("long"), &want);
    file.set_len(2_000_000).expect("truncate");
    file.set_len(2_500_000).expect("extend");
    file.write_all_at(b"end", 4_000_000).expect("write past the end");
    file.sync_all().expect("fsync");
    want.truncate(2_000_000);
    want.resize(4_000_000, 0);
    want.extend_from_slice(b"end");
    drop(file);
    fs::write(at("short"), b"tiny").expect("write");
    assert_holds(&at("long"), &want);

    assert!(umount(&point.path()).status.success());
    volume.check();
    mount(&point, &volume);
    assert_holds(&at("long"), &want);
    assert_holds(&at("short"), b"tiny");
    fs::copy(at("long"), at("copy")).expect("copy");
    fs::remove_file(at("long")).expect("unlink");
    assert_holds(&at("copy"), &want);
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// A hole is none of the file's blocks, and is found.
#[test]
fn a_sparse_file_has_holes() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let path = point.path().join("sparse");
    let file = File::create(&path).expect("create");
    file.write_all_at(&[1; 4096], 0).expect("write");
    file.write_all_at(&[2; 4096], 64 << 20).expect("write");
    let stat = file.metadata().expect("stat");
    assert_eq!((stat.len(), stat.blocks()), ((64 << 20) + 4096, 16));
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).expect("a hole");
    let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(hole)).expect("data");
    assert_eq!((hole, data), (4096, 64 << 20));
    drop(file);
    let mut file = File::open(&path).expect("open");
    let mut bytes = [9; 8192];
    file.seek(SeekFrom::Start((64 << 20) - 4096)).expect("seek");
    file.read_exact(&mut bytes).expect("read");
    assert!(bytes[..4096] == [0; 4096] && bytes[4096..] == [2; 4096]);
    drop(file);
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// Reads and writes past the cache, and ordinary ones, all see the same file.
#[test]
fn direct_io_and_the_cache_agree() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let path = point.path().join("file");
    let cached = File::options().read(true).write(true).create_new(true).open(&path).expect("create");
    cached.set_len(1 << 20).expect("truncate");
    cached.write_all_at(b"plain", 5000).expect("write");
    let direct = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&path)
        .expect("open");
    let mut page = block::Buf::zeroed(8192);
    assert_eq!(direct.read_at(&mut page, 4096).expect("read"), 8192);
    assert_eq!(&page[904..909], b"plain");
    page[904..909].copy_from_slice(b"DIREC");
    direct.write_all_at(&page, 4096).expect("write");
    let mut word = [0; 5];
    cached.read_exact_at(&mut word, 5000).expect("read");
    assert_eq!(&word, b"DIREC");
    cached.write_all_at(b"again", 5000).expect("write");
    assert_eq!(direct.read_at(&mut page, 4096).expect("read"), 8192);
    assert_eq!(&page[904..909], b"again");
    drop((cached, direct));
    assert!(umount(&point.path()).status.success());
    volume.check();
    mount(&point, &volume);
    assert_eq!(&fs::read(&path).expect("read")[5000..5005], b"again");
    assert!(umount(&point.path()).status.success());
}

/// Who writes into another's program must not get its rights.
#[test]
fn a_write_takes_set_id_bits_and_capabilities() {
    const USER: u32 = 65_534;
    /// `struct vfs_cap_data`, revision 2: `cap_net_raw+ep`.
    const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    fs::set_permissions(point.path(), Permissions::from_mode(0o777)).expect("chmod");
    let path = point.path().join("program");
    let mode = || fs::metadata(&path).expect("stat").mode() & 0o7777;
    let as_user = |script: &str| {
        let status =
            Command::new("sh").args(["-c", script]).arg("sh").arg(&path).uid(USER).gid(USER).status();
        assert!(status.expect("sh").success(), "{script}");
    };
    File::create(&path).expect("create");
    for script in [
        "echo more >> \"$1\"",
        "echo less > \"$1\"",
        "truncate -s 3 \"$1\"",
        "dd if=/dev/zero of=\"$1\" bs=1 count=1 conv=notrunc status=none",
    ] {
        fs::set_permissions(&path, Permissions::from_mode(0o6777)).expect("chmod");
        as_user(script);
        assert_eq!(mode(), 0o777, "{script}");
    }
    // Of what the group cannot execute the bit meant something else once.
    fs::set_permissions(&path, Permissions::from_mode(0o6767)).expect("chmod");
    as_user("echo more >> \"$1\"");
    assert_eq!(mode(), 0o2767);
    let mut value = [0; 64];
    let mut capability = || getxattr(&path, "security.capability", &mut value);
    let direct = || {
        let file = OpenOptions::new().write(true).custom_flags(OFlags::SYNC.bits().cast_signed()).open(&path);
        file.expect("open").write_all_at(b"x", 0).expect("write");
    };
    let plain = || fs::write(&path, b"abc").expect("write");
    let owner = || std::os::unix::fs::chown(&path, Some(1), None).expect("chown");
    let shorter = || File::options().write(true).open(&path).expect("open").set_len(1).expect("truncate");
    for (what, change) in
        [("a write", &direct as &dyn Fn()), ("O_TRUNC", &plain), ("truncate", &shorter), ("chown", &owner)]
    {
        setxattr(&path, "security.capability", &CAPABILITY, XattrFlags::empty()).expect("setxattr");
        assert_eq!(capability(), Ok(20), "{what}");
        change();
        assert_eq!(capability(), Err(Errno::NODATA), "{what}");
    }
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// A full volume says so at the write itself, and is whole.
#[test]
fn a_full_volume_says_so() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let path = point.path().join("big");
    let mut file = File::create(&path).expect("create");
    let chunk = pattern(1 << 20, 3);
    let error = (0..200).find_map(|_| file.write_all(&chunk).err()).expect("the volume has 96 MiB");
    assert_eq!(error.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    drop(file);
    let held = fs::metadata(&path).expect("stat").len();
    assert!(held > 60 << 20, "{held}");
    let got = fs::read(&path).expect("read");
    assert!(got.chunks(1 << 20).all(|part| part == &chunk[..part.len()]));
    fs::remove_file(&path).expect("unlink");
    fs::write(&path, &chunk).expect("there is room again");
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// Two programs append to one file; nothing of either is lost.
#[test]
fn appends_of_two_programs_do_not_meet() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let path = point.path().join("log");
    let script = "for i in $(seq 400); do echo $0$i >> \"$1\"; done";
    let start = |name: &str| Command::new("sh").args(["-c", script, name]).arg(&path).spawn().expect("sh");
    for mut child in [start("a"), start("b")] {
        assert!(child.wait().expect("wait").success());
    }
    let text = fs::read_to_string(&path).expect("read");
    let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
    for name in ["a", "b"] {
        let got: Vec<String> = lines(name);
        assert_eq!(got, (1..=400).map(|i| format!("{name}{i}")).collect::<Vec<_>>());
    }
    assert!(umount(&point.path()).status.success());
    volume.check();
}

/// With `ATOMIC_O_TRUNC` agreed to, opening a running program with `O_RDONLY | O_TRUNC` cut it off first and was refused
/// afterwards; the program died, and sometimes the opening even succeeded, as nothing ran from the file any more.
#[test]
fn a_running_program_is_not_cut_off() {
    let Some(point) = Point::new() else { return };
    let volume = Fresh::local();
    mount(&point, &volume);
    let program = point.path().join("sleep");
    fs::copy("/bin/sleep", &program).expect("copy");
    let want = fs::read("/bin/sleep").expect("read");
    let mut running = Command::new(&program).arg("60").spawn().expect("it runs");
    let opened = rustix::fs::open(&program, OFlags::RDONLY | OFlags::TRUNC, rustix::fs::Mode::empty());
    let len = fs::metadata(&program).map(|metadata| metadata.len());
    let alive = running.try_wait().map(|ended| ended.is_none());
    running.kill().and_then(|()| running.wait()).expect("it ends");
    assert_eq!(opened.map(drop), Err(Errno::TXTBSY));
    assert_eq!(len.expect("stat"), want.len() as u64);
    assert!(alive.expect("its state"), "the program has ended");
    assert_holds(&program, &want);
    // What does not run is emptied.
    let file = OpenOptions::new().write(true).truncate(true).open(&program).expect("open");
    assert_eq!(file.metadata().expect("stat").len(), 0);
    drop(file);
    assert!(umount(&point.path()).status.success());
    volume.check();
}
