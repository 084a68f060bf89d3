//! What several of the tests need.

use lab::{Lab, Suite};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The manifest tool, linked statically, in the lab's share: `/h/fixtool` in a job.
pub(crate) fn put_fixtool(lab: &Lab) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/src/fixtool.c");
    lab::build_c(&source, &lab.share().join("fixtool")).expect("fixtool compiles");
}

/// A file of zeroes in the lab's share.
pub(crate) fn zeroes(lab: &Lab, name: &str, bytes: u64) -> PathBuf {
    let path = lab.share().join(name);
    File::create(&path).and_then(|file| file.set_len(bytes)).expect("a file in the share");
    path
}

/// Says where two manifests differ, in a line a human can act on.
#[track_caller]
pub(crate) fn assert_same_lines(what: &str, got: &str, want: &[String]) {
    let got: Vec<&str> = got.lines().collect();
    for (number, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(*got == want, "{what}: line {}:\n got {got}\nwant {want}", number + 1);
    }
    assert_eq!(got.len(), want.len(), "{what}: number of entries");
}

/// A file of the share, as text.
#[track_caller]
pub(crate) fn read(lab: &Lab, name: &str) -> String {
    let path = lab.share().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The target's name in these tests.
pub(crate) const IQN: &str = "iqn.2026-01.test.oxsan:lab";

/// Whether somebody listens at a portal in the lab's network.
pub(crate) fn connects(lab: &Lab, portal: &str) -> bool {
    let place = portal.replace(':', "/");
    let script = format!("exec 3<>/dev/tcp/{place}");
    let status = lab.host("timeout").args(["2", "bash", "-c", &script]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The oxsan program.
#[track_caller]
pub(crate) fn oxsan() -> PathBuf {
    lab::build_oxsan().expect("oxsan builds")
}

/// Runs oxsan on the host side; its standard output, or a panic with what it said.
#[track_caller]
pub(crate) fn run_oxsan(lab: &Lab, args: &[&str]) -> String {
    let out = lab.host(oxsan()).args(args).stdin(Stdio::null()).output().expect("oxsan runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "oxsan {args:?} ended with {}:\n{said}", out.status);
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Whether FUSE mounts can be made here; says so where not.
#[allow(clippy::print_stdout, reason = "the line by which the test run counts its skips")]
pub(crate) fn can_mount() -> bool {
    let can = lab::is_root() && Path::new("/dev/fuse").exists();
    if !can {
        println!("skipped: mounting needs root and /dev/fuse");
    }
    can
}

/// A suite's program.
#[track_caller]
pub(crate) fn suite(suite: Suite) -> PathBuf {
    suite.ready(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("..")).expect("it can be installed")
}
