//! The initiator against this project's own target.

use std::sync::Arc;

use block::{BlockDevice, BlockDeviceExt as _, MemoryDevice};
use initiator::{ConnectError, LunError};
use target::{LunSpec, Target};

use crate::setup::{check, check_many, open, options, write, write_many};

const NAME: &str = "iqn.2026-11.org.oxsan.test:own";

async fn serve(device: Arc<dyn BlockDevice>) -> Target {
    let portal = "127.0.0.1:0".parse().expect("portal");
    let builder = Target::builder(NAME).portal(portal).portal(portal).lun(LunSpec::new(device));
    builder.serve().await.expect("serve")
}

#[tokio::test]
async fn both_ends_of_ours_agree() {
    let disk = Arc::new(MemoryDevice::new(64 << 20));
    let target = serve(disk.clone()).await;
    let portals = target.portals().to_vec();
    let found =
        initiator::discover(portals[0].to_string().parse().expect("portal"), None, None, options()).await;
    assert_eq!(found.expect("discover").len(), 2, "each portal is told");

    let url = format!("iscsi://{},{}/{NAME}/0", portals[0], portals[1]);
    for digests in ["", "?header_digest=crc32c&data_digest=crc32c"] {
        let device = open(&format!("{url}{digests}")).await.expect("open");
        assert_eq!(device.geometry().size, 64 << 20);
        assert!(device.info().wwid.is_some());
        write(&device, 0, (9 << 20) + 512, 1).await.expect("write");
        check(&device, 0, (9 << 20) + 512, 1).await;
        write_many(&device, 2000, 4096, 2).await;
        check_many(&device, 2000, 4096, 2).await;
        write_many(&device, 40, 1 << 20, 3).await;
        check_many(&device, 40, 1 << 20, 3).await;
        device.flush().await.expect("flush");
        device.discard(0, 4 << 20).await.expect("discard");
        device.write_zeroes(4 << 20, 20 << 20).await.expect("zeroes");
        let zeroes = disk.read_at(4 << 20, 20 << 20).await.expect("behind the target's back");
        assert!(zeroes.iter().all(|byte| *byte == 0));
        check(&device, 24 << 20, 16 << 20, 3).await;
        device.close().await.expect("close");
    }
    let error = open(&format!("iscsi://{}/{NAME}/9", portals[0])).await.expect_err("no such lun");
    assert!(matches!(error, ConnectError::Lun(LunError::Missing { .. })), "{error:?}");
    target.stop().await;
}
