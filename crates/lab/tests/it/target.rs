//! Our target under the kernel's own initiator.

use crate::serving::serve;
use crate::support::zeroes;
use lab::Lab;
use std::time::Duration;

/// open-iscsi logs in through two portals, multipath sees one disk behind them, and what is written is read back,
/// with a path lost on the way; discarded blocks read as zeroes.
#[test]
fn open_iscsi_and_multipath_find_one_disk_behind_two_portals() {
    let Some(lab) = Lab::or_skip() else { return };
    let lun = zeroes(&lab, "lun.img", 256 << 20);
    let _target = serve(&lab, lun.to_str().unwrap());
    let job = r#"
        set -e
        iscsi_up; mpath_up
        iscsiadm -m discovery -t st -p $LAB_net.254 | tee /tmp/portals
        [ "$(wc -l < /tmp/portals)" = 2 ]
        iscsiadm -m node --login
        for i in $(seq 100); do
          [ -e /dev/mapper/mpatha ] && [ "$(multipath -ll | grep -c 'active ready')" = 2 ] && break
          sleep 0.2
        done
        multipath -ll | tee /tmp/ll
        [ "$(grep -c 'active ready' /tmp/ll)" = 2 ]
        [ "$(grep -c dm- /tmp/ll)" = 1 ]
        [ "$(/lib/udev/scsi_id -g -u /dev/sda)" = "$(/lib/udev/scsi_id -g -u /dev/sdb)" ]

        dd if=/dev/urandom of=/tmp/random bs=1M count=64 status=none
        touch /h/writing
        dd if=/tmp/random of=/dev/mapper/mpatha bs=1M oflag=direct status=none
        dd if=/tmp/random of=/dev/mapper/mpatha bs=1M seek=64 oflag=direct conv=fsync status=none
        for at in 0 64; do
          dd if=/dev/mapper/mpatha bs=1M skip=$at count=64 iflag=direct status=none | cmp - /tmp/random
        done
        say "2 x 64 MiB written and read back"

        blkdiscard -o $((1 << 20)) -l $((2 << 20)) /dev/mapper/mpatha
        dd if=/dev/mapper/mpatha bs=1M skip=1 count=2 iflag=direct status=none | tr -d '\000' | wc -c | grep -qx 0
        dd if=/dev/mapper/mpatha bs=1M count=1 iflag=direct status=none | cmp -n 1048576 - /tmp/random
        say "2 MiB discarded, and no more"
        multipath -f mpatha; iscsiadm -m node --logout
    "#;
    let node = lab.node(0).job(job).memory_mib(768).timeout(Duration::from_secs(240));
    let mut machine = node.start().unwrap();
    if machine.wait_for(&lab.share().join("writing"), Duration::from_secs(120)).unwrap() {
        lab.net().host_address(1, false).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        lab.net().host_address(1, true).unwrap();
    }
    let _ = machine.wait().unwrap().expect_ok();
}

/// An array-like target: CHAP both ways, or nothing.
#[test]
fn open_iscsi_gets_in_with_chap_and_not_without() {
    let Some(lab) = Lab::or_skip() else { return };
    let lun = zeroes(&lab, "lun.img", 16 << 20);
    let _target =
        crate::serving::serve_with(&lab, lun.to_str().unwrap(), &["--chap", "alice%wonderland-12345"]);
    let job = r#"
        set -e
        iscsi_up
        conf() { iscsiadm -m node -o update -n "node.session.auth.$1" -v "$2"; }
        disc() { echo "discovery.sendtargets.auth.$1 = $2" >> /etc/iscsi/iscsid.conf; }
        disc authmethod CHAP; disc username alice; disc password wonderland-12345
        iscsiadm -m discovery -t st -p $LAB_net.254
        ! iscsiadm -m node -p $LAB_net.254 --login 2>/dev/null
        conf authmethod CHAP; conf username alice; conf password wonderland-12345
        iscsiadm -m node -p $LAB_net.254 --login
        iscsiadm -m session -P 3 | grep -q 'Attached scsi disk sd'
        iscsiadm -m node --logout
        conf password wonderland-99999
        ! iscsiadm -m node -p $LAB_net.254 --login
    "#;
    let _ = lab.node(0).job(job).run().unwrap().expect_ok();
}
