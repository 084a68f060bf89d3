//! The disks to try things on.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use block::{Backend, BlockDevice, Direct, FileDevice, MemoryDevice, OpenOptions};

use crate::loops::LoopDevice;

/// A disk of `size` zero bytes and what keeps it alive.
pub(crate) struct Disk {
    pub(crate) what: &'static str,
    pub(crate) device: Arc<dyn BlockDevice>,
    _home: Option<Box<dyn Any>>,
}

/// One disk of `size` bytes for every backend.
pub(crate) fn disks(size: u64) -> Vec<Disk> {
    let mut disks = vec![
        Disk { what: "memory", device: Arc::new(MemoryDevice::new(size)), _home: None },
        Disk { what: "memory, 4096", device: Arc::new(MemoryDevice::with_block(size, 4096)), _home: None },
    ];
    for (what, direct, backend) in [
        ("file, io_uring", Direct::Auto, Backend::Auto),
        ("file, buffered io_uring", Direct::Never, Backend::Auto),
        ("file, threads", Direct::Auto, Backend::Threads),
        ("file, buffered threads", Direct::Never, Backend::Threads),
        ("file, inline", Direct::Auto, Backend::Inline),
    ] {
        disks.push(file(
            what,
            size,
            std::env::temp_dir().as_path(),
            OpenOptions { direct, backend, ..OpenOptions::default() },
        ));
    }
    match Path::new("/dev/shm") {
        shm if shm.is_dir() => {
            disks.push(file("tmpfs", size, shm, OpenOptions::default()));
        }
        _ => skipped("no /dev/shm, so no file in memory"),
    }
    for sector in [512, 4096] {
        match LoopDevice::new(size, sector) {
            Ok(home) => {
                let device = FileDevice::open(home.path(), OpenOptions::default()).unwrap();
                let what = if sector == 512 { "loop device" } else { "loop device, 4096" };
                disks.push(Disk { what, device: Arc::new(device), _home: Some(Box::new(home)) });
            }
            Err(why) => skipped(&why),
        }
    }
    disks
}

/// A new file of `size` bytes under `base`.
pub(crate) fn file(what: &'static str, size: u64, base: &Path, options: OpenOptions) -> Disk {
    let home = tempfile::Builder::new().prefix("oxsan-block").tempdir_in(base).unwrap();
    let device = FileDevice::create(home.path().join("disk"), size, options).unwrap();
    Disk { what, device: Arc::new(device), _home: Some(Box::new(home)) }
}

/// Says that a test leaves something out.
#[allow(clippy::print_stdout, reason = "the count of these lines is what the test run reports")]
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
}
