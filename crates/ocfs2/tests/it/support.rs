//! Opening volumes in tests.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use block::{BlockDevice, FileDevice};
use ocfs2::{OpenOptions, Volume};

/// Runs one test's future.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The file `path` as a device that cannot be written.
pub(crate) async fn device(path: &Path) -> Arc<dyn BlockDevice> {
    let options = block::OpenOptions { read_only: true, ..block::OpenOptions::default() };
    Arc::new(FileDevice::open(path, options).expect("an image"))
}

/// The fixture `name`, opened.
pub(crate) async fn open(name: &str) -> Volume {
    let device = device(&fixtures::image(name)).await;
    Volume::open(device, OpenOptions::default()).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
}
