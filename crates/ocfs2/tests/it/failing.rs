//! A device that fails: errors, never a panic, and never a wrong answer.

use std::io;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, Fault, Op, Rule};
use ocfs2::{OpenOptions, Volume};

use crate::support::{block_on, device, path_of, walk};

#[test]
fn reads_that_fail_here_and_there_cost_only_what_they_hold() {
    let theirs = fixtures::manifest("dirty-ecc");
    for seed in 0..6 {
        let failing = FailingDevice::new(device(&fixtures::image("dirty-ecc")));
        failing
            .add(Rule::new(Fault::Error(io::ErrorKind::Other)).on(Op::Read).after(60).chance(seed, 50_000));
        let device: Arc<dyn BlockDevice> = Arc::new(failing);
        block_on(async {
            let Ok(volume) = Volume::open(device, OpenOptions::default()).await else { return };
            let walked = walk(&volume).await;
            for line in &theirs {
                if let Some(ours) = walked.lines.get(&path_of(line)) {
                    assert_eq!(ours.trim_end(), line, "what was read is right");
                }
            }
            let lost = theirs.len() - walked.lines.len();
            assert!(lost == 0 || !walked.errors.is_empty(), "{lost} files lost without a word");
        });
    }
}

#[test]
fn a_device_that_is_gone_fails_every_open() {
    for after in [0, 1, 2, 5, 9] {
        let failing = FailingDevice::new(device(&fixtures::image("a")));
        failing.add(Rule::new(Fault::Unreachable).after(after));
        let device: Arc<dyn BlockDevice> = Arc::new(failing);
        block_on(async {
            match Volume::open(device, OpenOptions::default()).await {
                Ok(volume) => assert!(!walk(&volume).await.errors.is_empty()),
                Err(error) => assert!(error.to_string().contains("not reachable"), "{error}"),
            }
        });
    }
}
