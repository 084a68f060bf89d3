//! fio on mounts of ours.

use crate::support::{can_mount, oxsan};
use lab::{Geometry, Mounted, fio};
use std::path::Path;

#[test]
fn what_fio_writes_it_reads_again() {
    if !can_mount() {
        return;
    }
    if !Path::new(fio::PROGRAM).exists() {
        println!("skipped: no {}", fio::PROGRAM);
        return;
    }
    for geometry in Geometry::ALL {
        let volume = Mounted::new(&oxsan(), geometry, &[]).unwrap();
        let said = fio::verify(&volume).unwrap_or_else(|error| panic!("{geometry}: {error}"));
        assert_eq!(said.matches("err= 0").count(), 6, "{geometry}: {said}");
        volume.end().unwrap_or_else(|error| panic!("{geometry}: {error}"));
    }
}
