//! A kernel's file system on our target, read by our reader.

use crate::serving::serve;
use crate::support::{assert_same_lines, put_fixtool, read, run_oxsan, zeroes};
use lab::Lab;
use std::process::Command;
use std::time::Duration;

/// A kernel mounts an OCFS2 volume over our target, fills it, and unmounts; our reader sees in the LUN's file what the
/// kernel sees on a fresh mount.
#[test]
fn what_a_kernel_writes_over_our_target_is_what_we_read_from_the_lun() {
    let Some(lab) = Lab::or_skip() else { return };
    put_fixtool(&lab);
    let lun = zeroes(&lab, "lun.img", 256 << 20);
    let mkfs = Command::new("/sbin/mkfs.ocfs2")
        .args("-q -x -F -b 4K -C 4K -N 2 -J size=8M -M local".split(' '))
        .arg(&lun)
        .output()
        .unwrap();
    assert!(mkfs.status.success(), "{}", String::from_utf8_lossy(&mkfs.stderr));
    let target = serve(&lab, lun.to_str().unwrap());
    let job = r"
        set -e
        iscsi_up; ocfs2_local
        iscsiadm -m discovery -t st -p $LAB_net.254 >/dev/null
        iscsiadm -m node -p $LAB_net.254 --login
        for i in $(seq 50); do [ -e /dev/sda ] && break; sleep 0.2; done
        ocfs2_mount /dev/sda /mnt
        /h/fixtool tree /mnt 4711 small 300 4096 2>/dev/null
        umount /mnt; echo 3 > /proc/sys/vm/drop_caches
        ocfs2_mount /dev/sda /mnt ro
        /h/fixtool manifest /mnt > /h/kernel.jsonl; umount /mnt
        iscsiadm -m node --logout
    ";
    let _ = lab.node(0).job(job).timeout(Duration::from_secs(280)).run().unwrap().expect_ok();
    assert!(target.end(), "the target does not end cleanly");
    let ours = run_oxsan(&lab, &["manifest", lun.to_str().unwrap()]);
    let kernel: Vec<String> = read(&lab, "kernel.jsonl").lines().map(str::to_owned).collect();
    assert!(kernel.len() > 300, "the kernel's manifest has {} lines only", kernel.len());
    assert_same_lines("the LUN", &ours, &kernel);
}
