//! oxsan inside a node whose kernel has no ocfs2 at all.

use crate::serving::{put_oxsan, serve};
use crate::support::{put_fixtool, read};
use lab::Lab;
use serde_json::Value;
use std::time::Duration;

/// The static program mounts a fixture over iSCSI on a kernel without the module, and every file is there, with
/// attributes, xattrs and contents. (Where a file's blocks lie is FIEMAP's to say, which FUSE never passes on.)
#[test]
fn the_static_program_mounts_a_volume_where_there_is_no_module() {
    let Some(lab) = Lab::or_skip() else { return };
    put_fixtool(&lab);
    put_oxsan(&lab);
    let lun = fixtures::image("b");
    let _target = serve(&lab, &format!("{},ro", lun.display()));
    let job = format!(
        "set -e; ocfs2_none; modprobe fuse\n\
         /h/oxsan mount iscsi://$LAB_net.254,$LAB_net2.254/{}/0 /mnt -o ro,nocluster\n\
         grep ' /mnt ' /proc/mounts\n\
         /h/fixtool manifest /mnt > /h/mount.jsonl\n\
         umount /mnt; sleep 1\n\
         ! pidof oxsan; ! grep ' /mnt ' /proc/mounts",
        crate::support::IQN
    );
    let node = lab.node(0).job(job).memory_mib(768).timeout(Duration::from_secs(280));
    let _ = node.run().unwrap().expect_ok();
    let got: Vec<Value> = read(&lab, "mount.jsonl").lines().map(without_layout).collect();
    let want: Vec<Value> = fixtures::manifest("b").iter().map(|line| without_layout(line)).collect();
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want);
    }
    assert_eq!(got.len(), want.len(), "number of entries");
}

fn without_layout(line: &str) -> Value {
    let mut value: Value = serde_json::from_str(line).expect("a line of JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("extents");
        fields.remove("fiemap");
    }
    value
}
