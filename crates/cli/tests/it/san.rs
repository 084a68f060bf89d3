//! A LUN whose requests can be made to hang and fail, served in this process.

use std::path::Path;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, FileDevice, OpenOptions};
use target::{LunSpec, Target};
use tokio::runtime::Runtime;

const IQN: &str = "iqn.2026-01.test.oxsan:cli";

pub(crate) struct San {
    pub(crate) disk: Arc<FailingDevice<FileDevice>>,
    url: String,
    _target: Target,
    _runtime: Runtime,
}

impl San {
    pub(crate) fn new(image: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        let disk = Arc::new(FailingDevice::new(FileDevice::open(image, options).expect("the image")));
        let device: Arc<dyn BlockDevice> = disk.clone();
        let lun = LunSpec { read_only: true, ..LunSpec::new(device) };
        let any = "127.0.0.1:0".parse().expect("an address");
        let target = runtime.block_on(Target::builder(IQN).lun(lun).portal(any).serve()).expect("a target");
        let url = format!("iscsi://{}/{IQN}/0", target.portals()[0]);
        Self { disk, url, _target: target, _runtime: runtime }
    }

    /// The volume's name for a command.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
