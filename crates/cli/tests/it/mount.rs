//! `oxsan mount`: into the background and back, in the foreground, refusals, and nothing left behind.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const OXSAN: &str = env!("CARGO_BIN_EXE_oxsan");

/// A mount point that is unmounted, and whose daemon is gone, whatever happens to the test.
pub(crate) struct Point {
    dir: TempDir,
}

impl Point {
    /// `None`, said in a line, where nothing can be mounted.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("skipped: mounting needs root and /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
        fs::create_dir(dir.path().join("mnt")).expect("mkdir");
        Some(Self { dir })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn text(&self) -> String {
        self.path().display().to_string()
    }

    pub(crate) fn is_mounted(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
        table.lines().any(|line| line.split(' ').nth(1) == Some(&self.text()))
    }

    /// Processes with this mount point among their arguments.
    pub(crate) fn daemons(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let named = all.filter_map(|process| {
            let line = fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains("oxsan") && line.contains(&self.text())).then_some(line)
        });
        named.collect()
    }

    pub(crate) fn oxsan(&self, image: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(OXSAN);
        command.arg("mount").arg(image).arg(self.path()).args(args).stdin(Stdio::null());
        command.output().expect("oxsan")
    }

    pub(crate) fn foreground(&self, image: &Path) -> Child {
        self.foreground_with(image, "ro")
    }

    pub(crate) fn foreground_with(&self, image: &Path, options: &str) -> Child {
        // Whoever runs the tests may have SIGINT ignored, and a child inherits that.
        let child = Command::new("env")
            .args(["--default-signal=INT", OXSAN, "mount", "--foreground", "-o", options])
            .arg(image)
            .arg(self.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("oxsan");
        until("it is mounted", || self.is_mounted());
        child
    }

    /// Nothing of the mount is left: no entry in the table, no process.
    pub(crate) fn nothing_left(&self) {
        assert!(!self.is_mounted());
        until("the daemon is gone", || self.daemons().is_empty());
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        let _ =
            Command::new("umount").args(["-q", "-l", "-f"]).arg(self.path()).stderr(Stdio::null()).status();
    }
}

pub(crate) fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        pause();
    }
    panic!("{what}: not after 20 s");
}

#[allow(clippy::disallowed_methods, reason = "a test waits for a process")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill").success());
}

pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn into_the_background_and_gone_with_umount() {
    let (Some(one), Some(two)) = (Point::new(), Point::new()) else { return };
    for point in [&one, &two] {
        let output = point.oxsan(&fixtures::image("c"), &["-o", "ro,noatime"]);
        assert!(output.status.success(), "{}", words(&output));
        assert_eq!(words(&output), "");
        assert!(point.is_mounted(), "when it returns the mount is there");
        assert!(fs::read_dir(point.path()).expect("readdir").count() > 5);
        assert_eq!(point.daemons().len(), 1, "{:?}", point.daemons());
    }
    let umount = Command::new("umount").arg(one.path()).status().expect("umount");
    assert!(umount.success());
    one.nothing_left();
    assert!(fs::metadata(two.path().join("lost+found")).is_ok(), "the other goes on");
    assert!(Command::new("fusermount3").arg("-u").arg(two.path()).status().expect("fusermount3").success());
    two.nothing_left();
}

#[test]
fn the_foreground_ends_with_a_signal() {
    let Some(point) = Point::new() else { return };
    for name in ["-INT", "-TERM", "-HUP"] {
        let mut child = point.foreground(&fixtures::image("c"));
        assert_eq!(child.try_wait().expect("wait"), None);
        signal(&child, name);
        assert!(child.wait().expect("wait").success(), "{name}");
        point.nothing_left();
    }
}

#[test]
fn the_foreground_ends_with_umount_and_with_a_signal_while_in_use() {
    let Some(point) = Point::new() else { return };
    let mut child = point.foreground(&fixtures::image("c"));
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    assert!(child.wait().expect("wait").success());
    point.nothing_left();

    let mut child = point.foreground(&fixtures::image("c"));
    let file = File::open(point.path().join("lost+found")).expect("open");
    signal(&child, "-INT");
    assert!(child.wait().expect("wait").success());
    point.nothing_left();
    assert!(file.read_at(&mut [0], 0).is_err());
}

#[test]
fn a_killed_daemon_leaves_a_mount_that_umount_removes() {
    let Some(point) = Point::new() else { return };
    let mut child = point.foreground(&fixtures::image("c"));
    child.kill().expect("kill");
    child.wait().expect("wait");
    let again = point.oxsan(&fixtures::image("c"), &["-o", "ro"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(words(&again).contains("umount it first"), "{}", words(&again));
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    point.nothing_left();
}

#[test]
fn errors_are_on_the_terminal_and_in_the_exit_status() {
    let Some(point) = Point::new() else { return };
    let (c, b) = (fixtures::image("c"), fixtures::scratch_image("b"));
    let missing = point.dir.path().join("missing");
    let garbage = point.dir.path().join("garbage");
    fs::write(&garbage, vec![7; 1 << 20]).expect("write");
    let cases: [(&Path, &[&str], &str); 8] = [
        (&c, &["-o", "errors=panic"], "damage makes the volume read-only"),
        (&c, &["-o", "data=journal"], "unrecognized mount option \"data=journal\" or missing value"),
        (&b, &["-o", "rw"], "is a clustered volume"),
        (&c, &["-o", "ro,sparkle"], "unrecognized mount option \"sparkle\" or missing value"),
        (&c, &["-o", "ro,nointr"], "mount option \"nointr\" is not supported"),
        (&missing, &[], "missing"),
        (&garbage, &[], "garbage"),
        (&b, &[], "is a clustered volume"),
    ];
    for (image, args, expected) in cases {
        let output = point.oxsan(image, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(words(&output).contains(expected), "{args:?}: {}", words(&output));
        assert!(words(&output).starts_with("oxsan: "), "{}", words(&output));
        point.nothing_left();
    }
    fs::remove_dir(point.path()).expect("rmdir");
    let output = point.oxsan(&c, &["-o", "ro"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).ends_with("hint: make the directory first\n"), "{}", words(&output));
}

#[test]
fn a_clustered_volume_can_be_mounted_alone() {
    let Some(point) = Point::new() else { return };
    let output = point.oxsan(&fixtures::image("b"), &["-o", "ro,nocluster"]);
    assert!(output.status.success(), "{}", words(&output));
    assert!(words(&output).contains("WARNING: mounted without its cluster"), "{}", words(&output));
    assert!(point.path().join("main").is_dir());
    assert!(Command::new("umount").arg(point.path()).status().expect("umount").success());
    point.nothing_left();
}

/// While it looks, another node beats in its sector.
#[test]
fn a_volume_on_which_a_node_beats_is_refused() {
    let Some(point) = Point::new() else { return };
    let image = fixtures::scratch_image("b");
    let area = heartbeat_area(&image);
    let mut child = Command::new(OXSAN)
        .args(["mount", "-o", "ro,nocluster"])
        .arg(&image)
        .arg(point.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("oxsan");
    let file = File::options().write(true).open(&image).expect("the image");
    let mut beat = 0u8;
    while child.try_wait().expect("wait").is_none() {
        beat = beat.wrapping_add(1);
        file.write_all_at(&[beat; 512], area + 3 * 512).expect("a beat");
        (0..10).for_each(|_| pause());
    }
    let output = child.wait_with_output().expect("oxsan");
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("is in use: heartbeat of node 3 seen"), "{}", words(&output));
    point.nothing_left();
}

/// Where the fixture's heartbeat area begins, as debugfs.ocfs2 says.
fn heartbeat_area(image: &Path) -> u64 {
    let output = Command::new("debugfs.ocfs2")
        .args(["-R", "stat //heartbeat"])
        .arg(image)
        .output()
        .expect("debugfs.ocfs2");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let record = text.lines().skip_while(|line| !line.contains("Block#")).nth(1).expect("an extent");
    let block: u64 = record.split_whitespace().nth(3).expect("a block").parse().expect("a number");
    block * 4096
}

#[test]
fn a_user_mounts_through_fusermount3() {
    const USER: u32 = 65_534;
    let Some(point) = Point::new() else { return };
    // Where the tests are built a user may not be able to look.
    let (program, image) = (point.dir.path().join("oxsan"), point.dir.path().join("a, image"));
    fs::copy(OXSAN, &program).expect("copy");
    fs::copy(fixtures::image("c"), &image).expect("copy");
    chown(point.path(), Some(USER), Some(USER)).expect("chown");
    let mount = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("mount").arg(&image).arg(point.path()).args(args).uid(USER).gid(USER);
        command.output().expect("oxsan")
    };
    let output = mount(&[]);
    assert!(output.status.success(), "{}", words(&output));
    let look = |user: u32| Command::new("ls").arg(point.path()).uid(user).gid(user).output().expect("ls");
    assert!(look(USER).status.success());
    assert!(!look(0).status.success(), "only who mounted it, not even root");
    let table = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let line = table.lines().find(|line| line.contains(&point.text())).expect("mounted");
    assert!(line.contains("/a,\\040image ") && line.contains(" fuse.ocfs2 ro,nosuid,nodev"), "{line}");
    let umount = Command::new("fusermount3").arg("-u").arg(point.path()).uid(USER).gid(USER).status();
    assert!(umount.expect("fusermount3").success());
    point.nothing_left();
}
