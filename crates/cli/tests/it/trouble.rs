//! Mounts in trouble: a device that hangs, a daemon that was killed, a damaged volume, and what syslog hears of it.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use block::{Fault, Op, Rule};

use crate::mount::{Point, signal, until, words};
use crate::san::San;

/// A file of volume a, and where its first extent lies.
const FILE: &str = "reflink/origin";
const EXTENT: std::ops::Range<u64> = 158_220_288..158_220_288 + 4_194_304;

/// A mount over iSCSI, one of whose readers hangs.
struct Hung {
    san: San,
    point: Point,
    reader: Child,
}

impl Hung {
    fn new() -> Option<Self> {
        let point = Point::new()?;
        let san = San::new(&fixtures::image("a"));
        let name = ["-o", "ro", "--initiator-name", "iqn.2026-01.test:mount"];
        let output = point.oxsan(Path::new(san.url()), &name);
        assert!(output.status.success(), "{}", words(&output));
        san.disk.add(Rule::new(Fault::HoldRequest).on(Op::Read).within(EXTENT));
        let reader = Command::new("sha256sum")
            .arg(point.path().join(FILE))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sha256sum");
        until("its read hangs", || !san.disk.held().is_empty());
        Some(Self { san, point, reader })
    }

    fn mend(&self) {
        self.san.disk.clear();
        tokio::runtime::Runtime::new().expect("a runtime").block_on(self.san.disk.release_all());
    }

    fn umount(&self, flags: &[&str]) -> std::process::Output {
        Command::new("umount").args(flags).arg(self.point.path()).output().expect("umount")
    }
}

#[test]
fn while_a_reader_hangs_umount_says_busy_and_the_reader_can_be_killed() {
    let Some(mut hung) = Hung::new() else { return };
    let busy = hung.umount(&[]);
    assert!(words(&busy).contains("target is busy"), "{}", words(&busy));
    // The rest of the volume goes on.
    assert!(fs::read(hung.point.path().join("ext/zero")).is_ok());
    signal(&hung.reader, "-KILL");
    assert_eq!(hung.reader.wait().expect("wait").signal(), Some(9));
    until("umount is let", || hung.umount(&[]).status.success());
    hung.point.nothing_left();
}

#[test]
fn after_a_lazy_umount_the_last_reader_ends_the_mount() {
    let Some(hung) = Hung::new() else { return };
    assert!(hung.umount(&["-l"]).status.success());
    assert!(!hung.point.is_mounted());
    assert_eq!(hung.point.daemons().len(), 1, "it serves as long as somebody reads");
    hung.mend();
    let Hung { reader, point, san: _san } = hung;
    let output = reader.wait_with_output().expect("wait");
    let sum = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        fixtures::manifest("a").into_iter().find(|line| line.contains("\"reflink/origin\"")).expect("a line");
    assert!(line.contains(&sum[..64]), "the whole file: {sum}");
    point.nothing_left();
}

#[test]
fn a_forced_umount_takes_the_mount_from_its_reader() {
    let Some(mut hung) = Hung::new() else { return };
    // Forced and lazy: the connection is aborted, and the reader's open file does not keep the mount.
    assert!(hung.umount(&["-f", "-l"]).status.success());
    assert_eq!(hung.reader.wait().expect("wait").code(), Some(1), "its read failed");
    hung.point.nothing_left();
}

#[test]
fn a_killed_daemon_is_seen_by_ls_and_cleaned_up_by_umount() {
    let Some(point) = Point::new() else { return };
    let mut child = point.foreground(&fixtures::image("c"));
    child.kill().expect("kill");
    child.wait().expect("wait");
    let ls = Command::new("ls").arg(point.path()).output().expect("ls");
    assert!(words(&ls).contains("Transport endpoint is not connected"), "{}", words(&ls));
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    assert!(
        point.oxsan(&fixtures::image("c"), &["-o", "ro"]).status.success(),
        "and it can be mounted again"
    );
}

#[test]
fn a_second_mount_on_the_same_directory_is_refused() {
    let Some(point) = Point::new() else { return };
    assert!(point.oxsan(&fixtures::image("c"), &["-o", "ro"]).status.success());
    let again = point.oxsan(&fixtures::image("c"), &["-o", "ro"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(words(&again).contains(" is mounted already: /"), "{}", words(&again));
    assert!(words(&again).ends_with("is there; umount it first\n"), "{}", words(&again));
    assert_eq!(point.daemons().len(), 1);
}

/// Reads a file to its end; the errno where that fails.
fn errno(path: &Path) -> Option<i32> {
    fs::read(path).err().and_then(|error| error.raw_os_error())
}

#[test]
fn damage_is_an_error_of_its_own_and_one_line_in_syslog() {
    const EIO: i32 = 5;
    let Some(point) = Point::new() else { return };
    let socket = tempfile::tempdir().expect("a directory");
    let path = socket.path().join("log");
    let syslog = UnixDatagram::bind(&path).expect("a socket");
    syslog.set_nonblocking(true).expect("nonblocking");
    for (poke, file, dir, expected) in [
        ("02-inode-signature", "ext/overwritten", None, "dinode: signature is "),
        ("10-extent-block-signature", "depth/alternate", None, "signature is "),
        ("13-dirent-rec-len", "ext/none", Some("ext"), "rec_len"),
        ("51-ecc-bytes", "main/ext/overwritten", None, "checksum"),
    ] {
        let poke = fixtures::poke(poke);
        let image = fixtures::scratch_image(&poke.base);
        poke.apply(&image);
        let flags = ["-o", "ro,nocluster", "--syslog", path.to_str().expect("UTF-8")];
        assert!(point.oxsan(&image, &flags).status.success(), "{}", poke.name);
        for _ in 0..3 {
            match dir {
                None => assert_eq!(errno(&point.path().join(file)), Some(EIO), "{}", poke.name),
                Some(dir) => {
                    let all: Vec<_> = fs::read_dir(point.path().join(dir)).expect("the directory").collect();
                    assert!(all.iter().any(|entry| entry.is_err()), "{}", poke.name);
                }
            }
        }
        let main = if poke.base == "b" { "main/" } else { "" };
        assert_eq!(errno(&point.path().join(format!("{main}links/hard0"))), None, "the rest can be read");
        assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
        point.nothing_left();
        let mut lines = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(len) = syslog.recv(&mut buf) {
            lines.push(String::from_utf8_lossy(&buf[..len]).into_owned());
        }
        assert_eq!(lines.len(), 1, "{}: {lines:#?}", poke.name);
        let line = &lines[0];
        assert!(line.starts_with("<28>") && line.contains(" oxsan["), "{line}");
        assert!(line.contains(&format!("{} on ", image.display())), "the volume's name: {line}");
        assert!(line.contains("block ") && line.contains(expected), "block and field: {line}");
    }
}

#[test]
fn the_foreground_says_it_on_the_terminal() {
    let Some(point) = Point::new() else { return };
    let poke = fixtures::poke("02-inode-signature");
    let image = fixtures::scratch_image(&poke.base);
    poke.apply(&image);
    let child = Command::new(env!("CARGO_BIN_EXE_oxsan"))
        .args(["mount", "--foreground", "-o", "ro"])
        .arg(&image)
        .arg(point.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("oxsan");
    until("it is mounted", || point.is_mounted());
    assert!(File::open(point.path().join("ext/overwritten")).is_err());
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    let said = words(&child.wait_with_output().expect("wait"));
    assert!(said.contains("oxsan: warning: cannot be read (ino "), "{said}");
}
