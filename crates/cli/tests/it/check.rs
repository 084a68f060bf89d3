//! `oxsan check` as its users run it: lines, JSON, exit status.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn check(args: &[&str], image: &Path) -> (Option<i32>, String) {
    let output = oxsan(args, image);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn oxsan(args: &[&str], image: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oxsan")).arg("check").args(args).arg(image).output().expect("oxsan runs")
}

#[test]
fn a_sound_volume_is_clean() {
    let (status, text) = check(&[], &fixtures::image("c"));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("clean: 632 inodes, 90 directories, "), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn damage_is_a_line_each_and_status_4() {
    let poke = fixtures::poke("04-inode-clusters");
    let image = fixtures::scratch_image(&poke.base);
    poke.apply(&image);
    let (status, text) = check(&[], &image);
    assert_eq!(status, Some(4), "{text}");
    let first = text.lines().next().expect("a line");
    assert_eq!(first, "[INODE_SPARSE_CLUSTERS] inode 10813, block 10813: i_clusters is 3, should be 25");
    assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("1 finding: ")), "{text}");
    let (status, text) = check(&["--json"], &image);
    assert_eq!(status, Some(4));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [finding, summary] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(finding["code"], "INODE_SPARSE_CLUSTERS");
    assert_eq!((&finding["block"], &finding["inode"]), (&10813.into(), &10813.into()));
    assert_eq!(
        (&finding["field"], &finding["found"], &finding["expected"]),
        (&"i_clusters".into(), &3.into(), &25.into())
    );
    assert_eq!((&summary["summary"], &summary["findings"]), (&true.into(), &1.into()));
}

#[test]
fn what_cannot_be_checked_is_status_8_and_a_wrong_line_16() {
    let poke = fixtures::poke("01-superblock-signature");
    let image = fixtures::scratch_image(&poke.base);
    poke.apply(&image);
    assert_eq!(check(&[], &image).0, Some(8));
    assert_eq!(check(&[], Path::new("/no/such/file")).0, Some(8));
    assert_eq!(check(&["--no-such-flag"], &image).0, Some(16));
}
