//! fsx on mounts of ours: a sample; `make conformance` runs a million operations.

use crate::support::{can_mount, oxsan, suite};
use lab::fsx::{self, Way};
use lab::{Geometry, Mounted, Suite};

/// Operations of one run.
const OPERATIONS: u64 = 1500;

/// A file each way on one volume, then the volume is judged.
fn each_way(geometry: Geometry, seed: u64) {
    if !can_mount() {
        return;
    }
    let (oxsan, program) = (oxsan(), suite(Suite::Fsx));
    let volume = Mounted::new(&oxsan, geometry, &[]).unwrap();
    for way in Way::ALL {
        fsx::run(&program, &volume, way, seed, OPERATIONS)
            .unwrap_or_else(|error| panic!("{geometry}, {way:?}, seed {seed}: {error}"));
    }
    volume.end().unwrap_or_else(|error| panic!("{geometry}, seed {seed}: {error}"));
}

#[test]
fn a_file_is_what_was_written_with_blocks_of_512() {
    each_way(Geometry::ALL[0], 1);
}

#[test]
fn a_file_is_what_was_written_with_clusters_of_4096() {
    each_way(Geometry::ALL[1], 2);
}

#[test]
fn a_file_is_what_was_written_with_clusters_of_64k() {
    each_way(Geometry::ALL[2], 3);
}

#[test]
fn a_file_is_what_was_written_with_clusters_of_1m() {
    each_way(Geometry::ALL[3], 4);
}
