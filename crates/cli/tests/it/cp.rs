//! `oxsan cp`: interrupted, gone on with, changed meanwhile, in each other's way; and all that a copy keeps.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use block::{Fault, Op, Rule};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::mount::{signal, until};
use crate::san::San;

const OXSAN: &str = env!("CARGO_BIN_EXE_oxsan");
/// A file of more than 5 MiB on volume a, in two extents.
const FILE: &str = "/reflink/origin";
/// Bytes of it that a copy gets before it hangs.
const DONE: u64 = 2 << 20;

/// A copy of [`FILE`] from a LUN that hangs after [`DONE`] bytes.
struct Half {
    san: San,
    /// Where the file lies: logical, physical, length.
    extents: Vec<[u64; 3]>,
    dest: TempDir,
}

impl Half {
    fn new(image: &Path) -> Self {
        let extents = extents(image);
        assert!(extents[0][0] == 0 && extents[0][2] > DONE, "{extents:?}");
        Self { san: San::new(image), extents, dest: tempfile::tempdir().expect("a directory") }
    }

    fn to(&self) -> PathBuf {
        self.dest.path().join("copy")
    }

    fn command(&self) -> Command {
        // Whoever runs the tests may have SIGINT ignored, and a child inherits that.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", OXSAN, "cp", "--initiator-name", "iqn.2026-01.test:cp"]);
        command.args([self.san.url(), FILE]).arg(self.to()).stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(Stdio::piped());
        command
    }

    /// Begins a copy and waits until it hangs with [`DONE`] bytes copied.
    fn begin(&self) -> Child {
        for [logical, physical, len] in &self.extents {
            let from = DONE.saturating_sub(*logical).min(*len);
            self.san
                .disk
                .add(Rule::new(Fault::HoldRequest).on(Op::Read).within(physical + from..physical + len));
        }
        let child = self.command().spawn().expect("oxsan");
        until("it hangs", || self.part().is_some_and(|part| part.metadata().expect("part").len() == DONE));
        until("reads are held", || !self.san.disk.held().is_empty());
        child
    }

    /// Lets the disk go on.
    fn mend(&self) {
        self.san.disk.clear();
        tokio::runtime::Runtime::new().expect("a runtime").block_on(self.san.disk.release_all());
    }

    /// Every read of what was copied already fails.
    fn forbid_the_beginning(&self) {
        let begin = self.extents[0][1];
        self.san.disk.add(Rule::new(Fault::Error(std::io::ErrorKind::Other)).within(begin..begin + DONE));
    }

    fn part(&self) -> Option<PathBuf> {
        self.parts().pop()
    }

    fn parts(&self) -> Vec<PathBuf> {
        let all =
            fs::read_dir(self.dest.path()).expect("the directory").map(|entry| entry.expect("entry").path());
        all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
            .collect()
    }

    /// Runs to the end, and the copy is the file.
    fn finish(&self, image: &Path) -> String {
        let output = self.command().output().expect("oxsan");
        let said = words(&output);
        assert!(output.status.success(), "{said}");
        assert!(fs::read(self.to()).expect("the copy") == contents(image), "{said}");
        assert_eq!(self.parts(), Vec::<PathBuf>::new());
        said
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn oxsan(args: &[&str]) -> Output {
    Command::new(OXSAN).args(args).output().expect("oxsan")
}

fn stat(image: &Path) -> Value {
    let output = oxsan(&["stat", "--json", image.to_str().expect("a plain path"), FILE]);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn extents(image: &Path) -> Vec<[u64; 3]> {
    let number = |value: &Value| value.as_u64().expect("a number");
    let all = stat(image)["extents"].as_array().expect("extents").clone();
    all.iter().map(|extent| [number(&extent[0]), number(&extent[1]), number(&extent[2])]).collect()
}

/// The file as it lies on the image, read without any of ours.
fn contents(image: &Path) -> Vec<u8> {
    let size = usize::try_from(stat(image)["size"].as_u64().expect("a size")).expect("small");
    let mut bytes = vec![0; size];
    let file = File::open(image).expect("the image");
    for [logical, physical, len] in extents(image) {
        let begin = usize::try_from(logical).expect("small");
        let end = (begin + usize::try_from(len).expect("small")).min(size);
        file.read_exact_at(&mut bytes[begin..end], physical).expect("read");
    }
    bytes
}

/// Gives the file's inode on the image other times, as a host does that writes to the file.
fn touch(image: &Path) {
    const CTIME_AND_MTIME: u64 = 56;
    let block = stat(image)["ino"].as_u64().expect("a number") * 4096;
    let file = File::options().write(true).open(image).expect("the image");
    let now = 1_795_000_000u64.to_le_bytes();
    file.write_all_at(&[now, now].concat(), block + CTIME_AND_MTIME).expect("write");
}

#[test]
fn a_signal_leaves_what_the_next_run_goes_on_with() {
    let image = fixtures::image("a");
    for (name, status) in [("-INT", Some(130)), ("-TERM", Some(143)), ("-HUP", Some(129)), ("-KILL", None)] {
        let half = Half::new(&image);
        let child = half.begin();
        signal(&child, name);
        let output = child.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), status, "{name}: {}", words(&output));
        if status.is_some() {
            assert!(words(&output).ends_with("oxsan: interrupted; the same command goes on from here\n"));
        }
        assert!(!half.to().exists(), "half a file has no name");
        assert_eq!(half.part().expect("a part").metadata().expect("part").len(), DONE);
        half.mend();
        half.forbid_the_beginning();
        half.finish(&image);
        let meta = half.to().metadata().expect("the copy");
        assert_eq!(Some(meta.mtime()), stat(&image)["mtime"][0].as_i64());
    }
}

#[test]
fn a_file_that_changed_since_is_copied_anew() {
    let image = fixtures::scratch_image("a");
    let half = Half::new(&image);
    let child = half.begin();
    signal(&child, "-INT");
    child.wait_with_output().expect("wait");
    // What is there must not be used: make it wrong.
    fs::write(half.part().expect("a part"), vec![0xee; 2 << 20]).expect("write");
    touch(&image);
    half.mend();
    let said = half.finish(&image);
    assert!(said.contains("copy: changed since it was half copied; begun anew"), "{said}");
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error() {
    let image = fixtures::scratch_image("a");
    let half = Half::new(&image);
    let child = half.begin();
    touch(&image);
    half.mend();
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("changed on the volume while it was copied"), "{}", words(&output));
    assert!(!half.to().exists());
    half.finish(&image);
}

#[test]
fn what_was_not_synced_before_a_crash_of_the_host_is_copied_anew() {
    let image = fixtures::image("a");
    let half = Half::new(&image);
    let child = half.begin();
    signal(&child, "-TERM");
    child.wait_with_output().expect("wait");
    let part = half.part().expect("a part");
    fs::write(&part, vec![0xee; 2 << 20]).expect("write");
    let (name, _boot) = part.to_str().expect("UTF-8").rsplit_once('-').expect("a boot");
    fs::rename(&part, format!("{name}-0b00740b")).expect("rename");
    half.mend();
    half.finish(&image);
}

#[test]
fn two_copies_to_one_place_do_not_mix() {
    let image = fixtures::image("a");
    let half = Half::new(&image);
    let first = half.begin();
    let second = half.command().output().expect("oxsan");
    assert_eq!(second.status.code(), Some(1));
    assert!(words(&second).contains("another oxsan cp is at work on "), "{}", words(&second));
    half.mend();
    assert!(first.wait_with_output().expect("wait").status.success());
    half.finish(&image);
}

/// What must be the same on both sides, whatever filesystem the copy lies on.
fn kept(line: &Map<String, Value>) -> Map<String, Value> {
    let keys =
        ["path", "path_b64", "type", "mode", "uid", "gid", "mtime", "target", "target_b64", "rdev", "sha256"];
    let size = line.get("type").is_some_and(|kind| kind != "dir").then_some("size");
    let nlink = line.get("type").is_some_and(|kind| kind != "dir").then_some("nlink");
    let wanted = keys.into_iter().chain(size).chain(nlink).chain(["sha256_blocks"]);
    wanted.filter_map(|key| Some((key.to_owned(), line.get(key)?.clone()))).collect()
}

#[test]
fn a_whole_volume_keeps_all_that_can_be_kept() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: owners and devices need root");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let dest = dir.path().join("all");
    let (image, to) = (fixtures::image("c"), dest.to_str().expect("UTF-8"));
    let cp = |args: &[&str]| {
        let output =
            oxsan(&[&["cp", "-a", "--json", image.to_str().expect("UTF-8"), "/", to], args].concat());
        let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        (words(&output), output.status.code(), summary)
    };
    let (said, code, first) = cp(&[]);
    // ext4 has no room for the largest attributes of OCFS2, and says so for each.
    let misfits = said.lines().filter(|line| line.contains("copied without its attribute")).count() as u64;
    assert_eq!(code, Some(i32::from(misfits > 0)), "{said}");
    assert_eq!(first["errors"].as_u64(), Some(misfits), "{said}");
    let ours = fixtures::of_tree(&dest);
    let kernels: Vec<Map<String, Value>> =
        fixtures::manifest("c").iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(ours.lines.len(), kernels.len());
    let (mut attributes, mut clamped) = (0, 0u64);
    for (ours, theirs) in ours.lines.iter().zip(&kernels) {
        let (mut ours_kept, mut theirs_kept) = (kept(ours), kept(theirs));
        // ext4's clock ends in the year 2446.
        if theirs["mtime"][0].as_i64() >= Some(15_032_385_535) && ours["mtime"] != theirs["mtime"] {
            clamped += 1;
            ours_kept.remove("mtime");
            theirs_kept.remove("mtime");
        }
        assert_eq!(ours_kept, theirs_kept);
        let none = Map::new();
        let all = |line: &Map<String, Value>| {
            line.get("xattrs").and_then(Value::as_object).unwrap_or(&none).clone()
        };
        let (ours_x, theirs_x) = (all(ours), all(theirs));
        attributes += theirs_x.len() - ours_x.len();
        assert!(ours_x.iter().all(|(name, value)| theirs_x.get(name) == Some(value)), "{ours_x:?}");
        let blocks = |line: &Map<String, Value>| line["blocks"].as_u64().expect("blocks");
        // An inline file has a block of its own there, and attributes may have one.
        assert!(theirs["type"] != "file" || blocks(ours) <= blocks(theirs) + 32, "holes are kept: {ours:?}");
    }
    assert_eq!(first["attributes_left_out"].as_u64(), Some(attributes as u64));
    // What had no room the first time has none the second, and a second run must not say that all is well.
    let (said, again, second) = cp(&[]);
    assert_eq!((again, second["files"].as_u64()), (code, Some(clamped)), "{said}");
    assert_eq!(second["skipped"].as_u64(), first["files"].as_u64().map(|files| files - clamped));
    assert_eq!(
        (&second["errors"], &second["attributes_left_out"]),
        (&first["errors"], &first["attributes_left_out"])
    );
}

#[test]
fn what_is_in_the_way_is_not_copied_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let image = fixtures::image("c");
    let image = image.to_str().expect("UTF-8");
    fs::create_dir_all(path("d/origin")).expect("mkdir");
    fs::write(path("d/links"), "mine").expect("write");
    fs::write(path("file"), "mine").expect("write");
    let cases: [(&[&str], &str); 7] = [
        (&["/reflink/origin", &path("d")], "/d/origin is a directory: what is none is not copied over it"),
        (&["-r", "/links", &path("d")], "/d/links is there and is no directory"),
        (&["/links", &path("d")], "oxsan: /links: it is a directory: -r copies it"),
        (&["/reflink/origin", "/reflink/../reflink/origin", &path("d/origin")], "just copied from another"),
        (&["/links", "/ext", &path("file")], "/file is not a directory: several sources"),
        (&["/reflink/origin", &path("none/copy")], "/none is not a directory: nothing can be made in it"),
        (&["/reflink/none", &path("d")], "oxsan: /reflink/none: no such file or directory"),
    ];
    for (args, expected) in cases {
        let (flags, rest) = args.split_at(usize::from(args[0].starts_with('-')));
        let output = oxsan(&[&["cp", "-q"], flags, &[image], rest].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(words(&output).contains(expected), "{args:?}: {}", words(&output));
    }
    assert_eq!(fs::read(path("d/links")).expect("read"), b"mine");
}

/// A tmpfs of 4 MiB, gone with the test.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "oxsan-test"]).arg(dir.path());
        let mounted =
            rustix::process::geteuid().is_root() && mount.output().is_ok_and(|it| it.status.success());
        if !mounted {
            eprintln!("skipped: mounting a tmpfs needs root");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The first file that does not fit ends the copy: its name, the place, what to do, status 1; nothing under its own
/// name, and its part is where the same command goes on once there is room.
#[test]
fn a_full_destination_is_named_and_gone_on_with() {
    let Some(tmpfs) = Tmpfs::new() else { return };
    let image = fixtures::image("a");
    let to = tmpfs.0.path().join("copy");
    let copy = || {
        let files = [FILE, "/ext/overwritten"];
        Command::new(OXSAN).arg("cp").arg(&image).args(files).arg(&to).output().expect("oxsan")
    };
    fs::create_dir(&to).expect("mkdir");
    let first = copy();
    let said = words(&first);
    assert_eq!(first.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("oxsan: {FILE}: writing {}/.oxsan-part-", to.display())), "{said}");
    assert!(said.contains("No space left on device") && said.contains("hint: make room there"), "{said}");
    assert_eq!(said.matches("No space left").count(), 1, "the others would fail in the same way: {said}");
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).expect("the directory").filter_map(Result::ok);
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let there = names(&to);
    assert!(there.len() == 1 && there[0].starts_with(".oxsan-part-"), "{there:?}");
    let have = to.join(&there[0]).metadata().expect("the part").len();
    assert!(have > 0, "nothing was kept");
    let room = Command::new("mount").args(["-o", "remount,size=16m"]).arg(tmpfs.0.path()).status();
    assert!(room.expect("mount").success());
    let second = copy();
    let said = words(&second);
    assert!(second.status.success(), "{said}");
    assert!(fs::read(to.join("origin")).expect("the copy") == contents(&image), "{said}");
    assert_eq!(names(&to).len(), 2, "no part is left");
}
