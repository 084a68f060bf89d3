//! Our target on the host side of the lab, and oxsan inside a node.

use crate::support::{IQN, connects, oxsan};
use lab::{HostProgram, Lab, NETS, wait_until};
use std::fs;
use std::time::Duration;

/// `oxsan target serve` on both networks of the host side, with one LUN (a file, and options after it).
#[track_caller]
pub(crate) fn serve(lab: &Lab, lun: &str) -> HostProgram {
    serve_with(lab, lun, &["--insecure"])
}

/// The same with access control of the caller's choice.
#[track_caller]
pub(crate) fn serve_with(lab: &Lab, lun: &str, access: &[&str]) -> HostProgram {
    let log = lab.share().join("target.log");
    let portals = NETS.map(|net| format!("{net}.254:3260"));
    let mut command = lab.host(oxsan());
    command.args(["target", "serve", "--iqn", IQN, "--lun", lun]).args(access);
    for portal in &portals {
        command.args(["--portal", portal]);
    }
    let mut program = HostProgram::start(&mut command, &log).expect("the target starts");
    let up = wait_until(Duration::from_secs(20), || {
        !program.running() || portals.iter().all(|portal| connects(lab, portal))
    });
    let said = fs::read_to_string(&log).unwrap_or_default();
    assert!(up && program.running(), "the target does not listen on {portals:?}; it said:\n{said}");
    program
}

/// oxsan in the lab's share, for a node: `/h/oxsan` in a job.
#[track_caller]
pub(crate) fn put_oxsan(lab: &Lab) {
    fs::copy(oxsan(), lab.share().join("oxsan")).expect("a copy in the share");
}
