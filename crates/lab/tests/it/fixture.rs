//! The stored manifests against a kernel of today: what the fixtures say is what a kernel still shows.

use crate::support::{assert_same_lines, put_fixtool, read};
use lab::Lab;
use std::time::Duration;

#[test]
fn the_kernel_shows_volume_a_as_its_manifest_says() {
    let Some(lab) = Lab::or_skip() else { return };
    put_fixtool(&lab);
    let job = "set -e; ocfs2_local; ocfs2_mount /dev/vda /mnt ro; /h/fixtool manifest /mnt > /h/a.jsonl; umount /mnt";
    let run = lab.node(0).snapshot(fixtures::image("a")).job(job).timeout(Duration::from_secs(180)).run();
    let _ = run.unwrap().expect_ok();
    assert_same_lines("volume a", &read(&lab, "a.jsonl"), &fixtures::manifest("a"));
}
