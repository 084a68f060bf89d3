//! Requests that fail while files are written: who called is told, and what is found afterwards was written there.

use std::io::ErrorKind;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, Fault, MemoryDevice, Rule};

use super::{Load, assert_sound, files_of, open, worked};
use crate::support::{block_on, fresh};

const STEPS: usize = 30;
/// Of so many volumes one is checked from end to end.
const CHECK_EVERY: u64 = 10;

/// Works on a device that fails by `rule`, until nothing can be done any more. Gives what came of it, and how many
/// requests there were room for.
fn play(base: &MemoryDevice, seed: u64, rule: Option<Rule>) -> (Load, Arc<FailingDevice<MemoryDevice>>) {
    let device = Arc::new(FailingDevice::new(base.snapshot()));
    if let Some(rule) = rule {
        device.add(rule);
    }
    let mut load = Load::new(seed, 120_000);
    block_on(async {
        let Ok(fs) = open(Arc::clone(&device) as Arc<dyn BlockDevice>).await else { return };
        let both = async {
            for step in 0..STEPS {
                if let Err(error) = load.step(&fs, step).await {
                    assert!([5, 30].contains(&error.errno()), "{error}");
                    // What there is now is where it goes on from.
                    let Ok(found) = files_of(&fs, load.names().iter()).await else { break };
                    let created = found.keys().any(|name| !load.inos.contains_key(name));
                    load.states.push((step, found));
                    if created || fs.read_only().is_some() {
                        break;
                    }
                }
                if step % 6 == 5 && fs.sync().await.is_ok() {
                    load.promised(None, step);
                }
            }
            if fs.close().await.is_ok() {
                load.promised(None, STEPS);
            }
        };
        futures_util::future::join(fs.drive(), both).await;
    });
    (load, device)
}

fn recover(what: &str, load: &Load, left: MemoryDevice, thorough: bool) {
    let device = Arc::new(left);
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (found, closed) = block_on(worked(shared, async |fs| {
        fs.scan_after_opening().await;
        files_of(fs, load.names().iter()).await.expect("files that can be read")
    }));
    closed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    if let Some(why) = load.refute(&found, STEPS) {
        panic!("{what}: {why}");
    }
    if thorough {
        assert_sound(what, &device);
    }
}

fn fail_everywhere(sizes: (u64, u64), features: &str, seed: u64) {
    let base = fresh(48, sizes, 1, features);
    let mut checked = 0;
    for n in (0..).step_by(5) {
        let error = Fault::Error(ErrorKind::Other);
        let mut reached = false;
        for (fault, times) in [(error, 1), (error, u64::MAX), (Fault::Torn(512), 1)] {
            let rule = Rule::new(fault).after(n).times(times);
            let (load, device) = play(&base, seed, Some(rule));
            // Requests are numbered from 0 on: without so many there is nothing more to fail.
            reached |= device.seen() > n;
            checked += 1;
            let what = format!("{sizes:?} {features}: request {n}: {fault:?} {times}");
            recover(&what, &load, device.inner().snapshot(), checked % CHECK_EVERY == 0);
        }
        if !reached {
            break;
        }
    }
    assert!(checked > 60, "only {checked} faults");
}

#[test]
fn blocks_of_512_bytes() {
    fail_everywhere((512, 4096), "", 51);
}

#[test]
fn blocks_of_4096_bytes_with_checksums() {
    fail_everywhere((4096, 65_536), "metaecc,noinline-data", 52);
}
