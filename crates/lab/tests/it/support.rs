//! What several of the tests need.

use lab::Lab;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

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
