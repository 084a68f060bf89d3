//! Opening volumes in tests.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use block::{Backend, BlockDevice, FileDevice};
use futures_util::StreamExt;
use ocfs2::{OpenOptions, Volume};

/// Runs one test's future.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// The file `path` as a device that cannot be written.
pub(crate) fn device(path: &Path) -> FileDevice {
    let options = block::OpenOptions { read_only: true, backend: Backend::Inline, ..Default::default() };
    FileDevice::open(path, options).expect("an image")
}

/// The fixture `name`, opened.
pub(crate) async fn open(name: &str) -> Volume {
    let device: Arc<dyn BlockDevice> = Arc::new(device(&fixtures::image(name)));
    Volume::open(device, OpenOptions::default()).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// What a manifest of the whole volume gives.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Path to line, for what could be read.
    pub(crate) lines: BTreeMap<String, String>,
    /// What could not, as `path: error`.
    pub(crate) errors: Vec<String>,
}

/// Walks a volume to its end, whatever is wrong with it. Only a root that cannot be read leaves nothing.
pub(crate) async fn walk(volume: &Volume) -> Walked {
    let mut walked = Walked::default();
    let root = match volume.inode(volume.root()).await {
        Ok(root) => root,
        Err(error) => {
            walked.errors.push(format!("/: {error}"));
            return walked;
        }
    };
    let mut stream = std::pin::pin!(volume.manifest(root));
    while let Some(part) = stream.next().await {
        let text = String::from_utf8(part.lines).expect("names that are not UTF-8 are in base 64");
        walked.lines.extend(text.lines().map(|line| (path_of(line), line.to_owned())));
        walked.errors.extend(part.errors.iter().map(|error| format!("{error}: {}", error.source)));
    }
    walked
}

/// The path in a manifest line, or its base 64.
pub(crate) fn path_of(line: &str) -> String {
    line.split('"').nth(3).unwrap_or_default().to_owned()
}
