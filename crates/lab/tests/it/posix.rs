//! pjdfstest on a mount of ours: what passes on the kernel's ocfs2 passes here.

use crate::support::{can_mount, oxsan, suite};
use lab::{Geometry, Mounted, Suite, posix};

#[test]
fn what_passes_on_the_kernel_passes_on_a_mount() {
    if !can_mount() {
        return;
    }
    let (oxsan, pjdfstest) = (oxsan(), suite(Suite::Pjdfstest));
    for geometry in Geometry::ALL {
        let volume = Mounted::new(&oxsan, geometry, &[]).unwrap();
        let printed = posix::run(&pjdfstest, &volume).unwrap();
        volume.end().unwrap_or_else(|error| panic!("{geometry}: {error}"));
        let table = posix::Table::new(&printed);
        println!("{geometry}\n{table}");
        assert!(table.behind().is_empty(), "{geometry}: {:#?}\n{printed}", table.behind());
    }
}
