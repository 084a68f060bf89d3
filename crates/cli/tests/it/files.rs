//! The commands that read files without a mount, as a user runs them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

fn oxsan(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oxsan")).args(args).output().expect("oxsan runs")
}

/// Standard output of a command that must succeed.
fn text(args: &[&str]) -> String {
    let output = oxsan(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn image(name: &str) -> String {
    fixtures::image(name).to_str().expect("a plain path").to_owned()
}

#[test]
fn the_manifest_is_the_kernels() {
    for name in ["c", "dirty-ecc"] {
        let ours = text(&["manifest", &image(name)]);
        assert!(ours.lines().eq(fixtures::manifest(name)), "{name}");
    }
}

#[test]
fn files_are_listed_described_found_and_shown() {
    let volume = image("a");
    let long = text(&["ls", "-l", "-n", &volume, "/ext"]);
    assert!(
        long.lines().any(|line| line.starts_with("-rw-r--r-- ") && line.ends_with(" overwritten")),
        "{long}"
    );
    assert!(text(&["ls", "-R", &volume]).contains("/ext:\n"));
    assert_eq!(text(&["ls", "-A", &volume, "/inline/with-xattr"]), "/inline/with-xattr\n");
    let json = text(&["ls", "--json", &volume, "/reflink"]);
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert!(text(&["stat", &volume, "/xattr/one"]).contains("Xattr: user.small (5 bytes)"));
    assert!(text(&["info", &volume]).contains("Label:           fx-a"));
    assert!(text(&["df", "-h", &volume]).contains("256M"));
    assert_eq!(text(&["cat", &volume, "/ext/zero", "/inline/appended"]).len(), 120);
    let found = text(&["find", &volume, "/ext", "-type", "f", "-size", "+1M", "-name", "*-[0-9]*"]);
    assert_eq!(found.lines().count(), 1, "{found}");
    assert_eq!(text(&["find", &volume, "/", "-maxdepth", "0"]), "/\n");
}

#[test]
fn what_is_not_there_is_an_error_and_status_1() {
    let output = oxsan(&["cat", &image("a"), "/nothing"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "oxsan: /nothing: no such file or directory\n");
    let output = oxsan(&["find", &image("a"), "-frob"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_tree_is_copied_once_and_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let dest = dir.path().to_str().expect("a plain path");
    let volume = image("a");
    text(&["cp", "-r", &volume, "/ext", "/sparse", "/links", dest]);
    for line in fixtures::manifest("a") {
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let path = line["path"].as_str().unwrap_or_default();
        let wanted = ["ext/", "sparse/"].iter().any(|top| path.starts_with(top)) && line["type"] == "file";
        if !wanted {
            continue;
        }
        let copy = Path::new(dest).join(path);
        let meta = fs::symlink_metadata(&copy).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(meta.len(), line["size"].as_u64().expect("a size"), "{path}");
        assert_eq!(meta.mtime(), line["mtime"][0].as_i64().expect("a time"), "{path}");
        assert!(meta.blocks() <= line["blocks"].as_u64().expect("blocks") + 64, "{path}: holes are kept");
        if meta.len() < 1 << 20 {
            let whole = oxsan(&["cat", &volume, path]).stdout;
            assert!(fs::read(&copy).expect("the copy") == whole, "{path}: contents");
        }
    }
    let again = oxsan(&["cp", "-r", &volume, "/ext", dest]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("done: 0 files"), "{said}");
}
