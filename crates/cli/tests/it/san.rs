//! A LUN whose requests can be made to hang and fail, served in this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use block::{BlockDevice, FailingDevice, FileDevice, OpenOptions};
use target::{LunSpec, Target};
use tokio::runtime::Runtime;

/// One target, one name: by that a host knows what it has mounted already.
fn iqn() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("iqn.2026-01.test.oxsan:cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) struct San {
    pub(crate) disk: Arc<FailingDevice<FileDevice>>,
    url: String,
    _target: Target,
    _runtime: Runtime,
}

impl San {
    /// A LUN that can only be read.
    pub(crate) fn new(image: &Path) -> Self {
        Self::with(image, true)
    }

    /// One that can be written to.
    pub(crate) fn writable(image: &Path) -> Self {
        Self::with(image, false)
    }

    fn with(image: &Path, read_only: bool) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = OpenOptions { read_only, ..OpenOptions::default() };
        let disk = Arc::new(FailingDevice::new(FileDevice::open(image, options).expect("the image")));
        let device: Arc<dyn BlockDevice> = disk.clone();
        let lun = LunSpec { read_only, ..LunSpec::new(device) };
        let any = "127.0.0.1:0".parse().expect("an address");
        let iqn = iqn();
        let target = runtime.block_on(Target::builder(&iqn).lun(lun).portal(any).serve()).expect("a target");
        let url = format!("iscsi://{}/{iqn}/0", target.portals()[0]);
        Self { disk, url, _target: target, _runtime: runtime }
    }

    /// The volume's name for a command.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
