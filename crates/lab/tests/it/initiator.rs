//! Our initiator against the kernel's target (LIO).

use crate::support::{IQN, assert_same_lines, connects, run_oxsan};
use lab::{Lab, Running};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A node that serves `disk` through LIO on both networks; `extra` goes between making and serving.
fn lio(lab: &Lab, disk: &Path, extra: &str) -> Running {
    let job = format!(
        "set -e; lio_up; lio_store disk0 block /dev/vda\n\
         lio_target {IQN} $LAB_net.1$NODE:3260 $LAB_net2.1$NODE:3260; lio_lun {IQN} 0 disk0\n{extra}\n\
         touch /h/lio.up; wait_for /h/lio.stop 600"
    );
    let node = lab.node(1).snapshot(disk).job(job).timeout(Duration::from_secs(240));
    let mut machine = node.start().unwrap();
    let up = machine.wait_for(&lab.share().join("lio.up"), Duration::from_secs(90)).unwrap();
    assert!(up, "LIO does not come up:\n{}", machine.console());
    assert!(connects(lab, "10.77.0.11:3260"));
    machine
}

fn end(lab: &Lab, machine: Running) {
    fs::write(lab.share().join("lio.stop"), "").unwrap();
    let _ = machine.wait().unwrap().expect_ok();
}

/// The whole volume comes through a login with CHAP both ways and CRC32C over every PDU.
#[test]
fn a_volume_is_read_through_lio_with_chap_and_digests() {
    let Some(lab) = Lab::or_skip() else { return };
    let extra = format!("lio_chap {IQN} alice wonderland-12345 target looking-glass-1; lio_digests {IQN}");
    let machine = lio(&lab, &fixtures::image("c"), &extra);
    let login = "alice%wonderland-12345@10.77.0.11";
    let options =
        "target_user=target&target_password=looking-glass-1&header_digest=crc32c&data_digest=crc32c";
    let manifest = run_oxsan(&lab, &["manifest", &format!("iscsi://{login}/{IQN}/0?{options}")]);
    assert_same_lines("volume c through LIO", &manifest, &fixtures::manifest("c"));

    let wrong = format!("iscsi://alice%wonderland-99999@10.77.0.11/{IQN}/0");
    let out = lab.host(crate::support::oxsan()).args(["info", &wrong]).output().unwrap();
    assert!(!out.status.success(), "a wrong secret gets in");
    end(&lab, machine);
}

/// The cable is pulled for three seconds under load: every I/O is answered in the end.
#[test]
fn the_session_comes_back_when_the_path_does() {
    let Some(lab) = Lab::or_skip() else { return };
    let machine = lio(&lab, &fixtures::image("c"), "");
    let url = format!("iscsi://10.77.0.11/{IQN}/0");
    let load = lab
        .host(crate::support::oxsan())
        .args(["perf", &url, "--rw", "randread", "--bs", "4k", "--depth", "8", "--runtime", "15", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    lab.net().cable(1, false).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    lab.net().cable(1, true).unwrap();
    let out = load.wait_with_output().unwrap();
    assert!(out.status.success(), "perf failed:\n{}", String::from_utf8_lossy(&out.stderr));
    let manifest = run_oxsan(&lab, &["manifest", &url]);
    assert_same_lines("volume c after the cable", &manifest, &fixtures::manifest("c"));
    end(&lab, machine);
}

/// LIO goes away for good: I/O fails with an error when the replacement timeout is over, and does not hang.
#[test]
fn discovery_lists_both_portals_and_a_dead_target_is_an_error() {
    let Some(lab) = Lab::or_skip() else { return };
    let machine = lio(&lab, &fixtures::image("c"), "");
    let found = run_oxsan(&lab, &["discover", "10.77.0.11"]);
    for portal in ["10.77.0.11:3260", "10.77.1.11:3260"] {
        assert!(found.contains(portal) && found.contains(IQN), "{portal} is not in:\n{found}");
    }
    let _ = machine.kill();
    let url = format!("iscsi://10.77.0.11/{IQN}/0");
    let out =
        lab.host("timeout").arg("60").arg(crate::support::oxsan()).args(["info", &url]).output().unwrap();
    assert!(!matches!(out.status.code(), Some(0 | 124)), "a dead target ended with {}", out.status);
}
