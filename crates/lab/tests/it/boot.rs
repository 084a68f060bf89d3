//! The lab itself: a job's status and output come back, machines meet, freeze, and die, and nothing stays behind.

use crate::support::zeroes;
use lab::{Lab, Network, Status};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_job_runs_and_its_status_and_words_come_back() {
    let Some(lab) = Lab::or_skip() else { return };
    let disk = zeroes(&lab, "disk", 16 << 20);
    let job = r#"
        set -e
        [ "$GREETING" = "it's me" ]
        [ "$(blockdev --getsize64 /dev/vda)" = 16777216 ]
        ping -c 1 -W 5 host >/dev/null
        say "node $NODE runs $(uname -r)"
        (exit 7)
    "#;
    let report = lab.node(0).disk(disk).env("GREETING", "it's me").job(job).run().unwrap();
    assert_eq!(report.status, Status::Exited(7), "{}", report.console);
    assert!(report.console.contains("node 0 runs 6."), "{}", report.console);
}

#[test]
fn two_nodes_share_a_disk_and_one_is_killed() {
    let Some(lab) = Lab::or_skip() else { return };
    let disk = zeroes(&lab, "disk", 16 << 20);
    let writer = "echo written-by-node1 | dd of=/dev/vda bs=512 conv=sync oflag=direct status=none\n\
                  touch /h/written; sleep 1000";
    let mut one = lab.node(1).disk(&disk).job(writer).start().unwrap();
    assert!(
        one.wait_for(&lab.share().join("written"), Duration::from_secs(60)).unwrap(),
        "{}",
        one.console()
    );
    let reader = "ping -c 1 -W 5 node1 && dd if=/dev/vda bs=512 count=1 iflag=direct status=none";
    let report = lab.node(0).disk(&disk).job(reader).run().unwrap().expect_ok();
    assert!(report.console.contains("written-by-node1"), "{}", report.console);
    assert_eq!(one.kill().status, Status::Died);
}

#[test]
fn a_machine_out_of_time_is_ended() {
    let Some(lab) = Lab::or_skip() else { return };
    let report = lab.node(0).job("sleep 1000").timeout(Duration::from_secs(15)).run().unwrap();
    assert_eq!(report.status, Status::TimedOut);
}

#[test]
fn networks_of_two_labs_do_not_meet_and_go_with_them() {
    if !lab::is_root() {
        println!("skipped: network namespaces need root");
        return;
    }
    let (one, two) = (Network::new().unwrap(), Network::new().unwrap());
    assert_ne!(one.name(), two.name());
    let mut sleeper = one.command("sleep").arg("1000").spawn().unwrap();
    // Once, on a busy machine, the network went before the program was inside it: nothing was there to be ended, the
    // program entered a namespace without a name, and this test waited for it for ever.
    let comm = format!("/proc/{}/comm", sleeper.id());
    while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
        assert!(sleeper.try_wait().unwrap().is_none(), "the program ended before it was inside");
        std::thread::yield_now();
    }
    let place = Path::new("/run/netns").join(one.name());
    assert!(place.exists());
    drop(one);
    assert!(!place.exists());
    assert!(!sleeper.wait().unwrap().success(), "what ran in the namespace was ended with it");
    assert!(Path::new("/run/netns").join(two.name()).exists());
}
