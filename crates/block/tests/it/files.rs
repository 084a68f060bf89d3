//! What is particular to files and block devices: opening, direct I/O, its grain, giving up.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use block::{
    Backend, BlockDevice, BlockDeviceExt, BlockError, Buf, Direct, Durability, FileDevice, OpenOptions,
};
use tempfile::TempDir;

use crate::disks::skipped;
use crate::loops::{LoopDevice, Mounted};

const BACKENDS: [Backend; 3] = [Backend::Auto, Backend::Threads, Backend::Inline];

fn options(direct: Direct, backend: Backend) -> OpenOptions {
    OpenOptions { direct, backend, ..OpenOptions::default() }
}

#[tokio::test]
async fn the_ring_is_used_where_the_kernel_allows_it() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    let ring = FileDevice::create(&path, 1 << 20, options(Direct::Auto, Backend::IoUring));
    match ring {
        Ok(ring) => {
            assert_eq!(ring.backend(), Backend::IoUring);
            let auto = FileDevice::open(&path, OpenOptions::default()).unwrap();
            // The temporary directory may itself be in memory.
            assert!(matches!(auto.backend(), Backend::IoUring | Backend::Inline), "{:?}", auto.backend());
        }
        Err(e) => skipped(&format!("no io_uring here: {e:?}")),
    }
    let threads = FileDevice::open(&path, options(Direct::Auto, Backend::Threads)).unwrap();
    assert_eq!(threads.backend(), Backend::Threads);
}

#[tokio::test]
async fn a_file_in_memory_is_read_by_the_caller() {
    let Ok(home) = TempDir::new_in("/dev/shm") else { return skipped("no /dev/shm") };
    let device = FileDevice::create(home.path().join("disk"), 1 << 20, OpenOptions::default()).unwrap();
    assert_eq!(device.backend(), Backend::Inline);
    assert!(!device.is_direct());
    let future = device.read(0, Buf::for_read(4096).into_bufs());
    assert_eq!(format!("{future:?}"), "IoFuture::Ready");
    future.await.1.unwrap();
}

#[test]
fn what_is_no_disk_is_refused_by_name() {
    let home = TempDir::new().unwrap();
    let error = FileDevice::open(home.path(), OpenOptions::default()).unwrap_err();
    assert!(matches!(error, BlockError::NotADisk { what: "a directory", .. }), "{error:?}");
    let error = FileDevice::open("/dev/null", OpenOptions::default()).unwrap_err();
    assert!(matches!(error, BlockError::NotADisk { what: "a character device", .. }), "{error:?}");
    let error = FileDevice::open(home.path().join("none"), OpenOptions::default()).unwrap_err();
    assert_eq!(error.hint(), Some("check the path"), "{error:?}");
}

#[test]
fn create_leaves_an_existing_file_alone() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    std::fs::write(&path, b"precious").unwrap();
    FileDevice::create(&path, 4096, OpenOptions::default()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let error = FileDevice::create(home.path().join("odd"), 1000, OpenOptions::default()).unwrap_err();
    assert!(matches!(error, BlockError::Misaligned { .. }), "{error:?}");
    assert!(!home.path().join("odd").exists());
    let sparse = FileDevice::create(home.path().join("sparse"), 1 << 40, OpenOptions::default()).unwrap();
    assert_eq!(sparse.geometry().size, 1 << 40);
}

#[tokio::test]
async fn a_read_only_device_takes_no_change() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    for backend in BACKENDS {
        let device = FileDevice::open(&path, OpenOptions { backend, ..OpenOptions::read_only() }).unwrap();
        assert!(device.geometry().read_only);
        let write = device.write_at(0, Buf::zeroed(512), Durability::Cached).await;
        for result in [write, device.discard(0, 512).await, device.write_zeroes(0, 512).await] {
            assert!(matches!(result, Err(BlockError::ReadOnly { .. })), "{result:?}");
        }
        device.flush().await.unwrap();
        assert_eq!(device.read_at(512, 512).await.unwrap()[..], [7; 512]);
    }
}

#[tokio::test]
async fn a_tail_of_less_than_a_sector_is_not_part_of_the_disk() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    std::fs::write(&path, vec![7; 1300]).unwrap();
    for backend in BACKENDS {
        for direct in [Direct::Auto, Direct::Never] {
            let device = FileDevice::open(&path, options(direct, backend)).unwrap();
            assert_eq!(device.geometry().size, 1024);
            device.write_at(512, Buf::copy_of(&[8; 512]), Durability::Stable).await.unwrap();
            assert_eq!(device.read_at(512, 512).await.unwrap()[..], [8; 512]);
            device.write_at(512, Buf::copy_of(&[7; 512]), Durability::Stable).await.unwrap();
            let error = device.read_at(1024, 512).await.unwrap_err();
            assert!(matches!(error, BlockError::OutOfRange { size: 1024, .. }), "{error:?}");
        }
    }
    let after = std::fs::read(&path).unwrap();
    assert_eq!(after.len(), 1300, "never longer or shorter");
    assert!(after.iter().all(|b| *b == 7));
}

#[tokio::test]
async fn a_file_truncated_underneath_is_an_error() {
    let home = TempDir::new().unwrap();
    for (number, backend) in BACKENDS.into_iter().enumerate() {
        for direct in [Direct::Auto, Direct::Never] {
            let path = home.path().join(format!("disk{number}{direct:?}"));
            let device = FileDevice::create(&path, 1 << 20, options(direct, backend)).unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
            let error = device.read_at(0, 1 << 20).await.unwrap_err();
            let BlockError::Io { source, .. } = &error else { panic!("{error:?}") };
            assert_eq!(source.kind(), std::io::ErrorKind::UnexpectedEof);
            device.read_at(0, 4096).await.unwrap();
        }
    }
}

#[test]
fn an_exclusive_file_has_one_holder() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    let exclusive = OpenOptions { exclusive: true, ..OpenOptions::default() };
    let first = FileDevice::create(&path, 4096, exclusive).unwrap();
    let error = FileDevice::open(&path, exclusive).unwrap_err();
    assert!(matches!(error, BlockError::Busy { .. }), "{error:?}");
    drop(first);
    FileDevice::open(&path, exclusive).unwrap();
}

#[test]
fn an_exclusive_block_device_has_one_holder() {
    let home = match LoopDevice::new(1 << 20, 512) {
        Ok(home) => home,
        Err(why) => return skipped(&why),
    };
    let exclusive = OpenOptions { exclusive: true, ..OpenOptions::default() };
    let first = FileDevice::open(home.path(), exclusive).unwrap();
    let error = FileDevice::open(home.path(), exclusive).unwrap_err();
    assert!(matches!(error, BlockError::Busy { .. }), "{error:?}");
    drop(first);
    FileDevice::open(home.path(), exclusive).unwrap();
}

#[tokio::test]
async fn stable_reaches_the_medium_and_cached_does_not_wait_for_it() {
    let home = match LoopDevice::new(1 << 20, 512) {
        Ok(home) => home,
        Err(why) => return skipped(&why),
    };
    let Some(mut before) = home.flushes() else { return skipped("this kernel does not count flushes") };
    let mut flushed = || {
        let now = home.flushes().unwrap();
        now != std::mem::replace(&mut before, now)
    };
    for backend in BACKENDS {
        let device = FileDevice::open(home.path(), options(Direct::Auto, backend)).unwrap();
        flushed();
        device.write_at(0, Buf::copy_of(&[1; 4096]), Durability::Cached).await.unwrap();
        assert!(!flushed(), "{backend:?}: a cached write");
        device.write_at(0, Buf::copy_of(&[2; 4096]), Durability::Stable).await.unwrap();
        assert!(flushed(), "{backend:?}: a stable write");
        let many = [3_u8; 8].map(|fill| Buf::copy_of(&[fill; 512]));
        device.write(4096, many.into_iter().collect(), Durability::Stable).await.1.unwrap();
        assert!(flushed(), "{backend:?}: a stable write of many buffers");
        let odd = [100, 412].map(Buf::zeroed);
        device.write(8192, odd.into_iter().collect(), Durability::Stable).await.1.unwrap();
        assert!(flushed(), "{backend:?}: a stable write of odd buffers");
        device.write_at(0, Buf::copy_of(&[1; 4096]), Durability::Cached).await.unwrap();
        device.flush().await.unwrap();
        assert!(flushed(), "{backend:?}: a flush");
    }
}

#[tokio::test]
async fn an_unfit_grain_is_buffered_or_refused_but_never_rewritten() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("disk");
    // The last direct block is only half there.
    std::fs::write(&path, vec![7; 65536 + 2048]).unwrap();
    for backend in BACKENDS {
        let coarse = OpenOptions { direct_grain: Some(4096), backend, ..OpenOptions::default() };
        let auto = FileDevice::open(&path, coarse).unwrap();
        assert!(!auto.is_direct());
        auto.write_at(512, Buf::copy_of(&[8; 512]), Durability::Stable).await.unwrap();
        assert_eq!(auto.read_at(512, 512).await.unwrap()[..], [8; 512]);

        let always = OpenOptions { direct: Direct::Always, ..coarse };
        let always = match FileDevice::open(&path, always) {
            Ok(device) => device,
            Err(e) => return skipped(&format!("no direct I/O on the temporary directory: {e:?}")),
        };
        assert!(always.is_direct());
        let small = always.write_at(1024, Buf::copy_of(&[9; 512]), Durability::Cached).await;
        for result in [small, always.write_zeroes(1024, 512).await, always.write_zeroes(1024, 8192).await] {
            assert!(
                matches!(result, Err(BlockError::WouldReadModifyWrite { grain: 4096, .. })),
                "{result:?}"
            );
        }
        // To read more than was asked for harms nobody.
        assert_eq!(always.read_at(512, 512).await.unwrap()[..], [8; 512]);
        assert_eq!(always.read_at(1024, 7168).await.unwrap()[..], [7; 7168]);
        assert_eq!(always.read_at(65536, 2048).await.unwrap()[..], [7; 2048]);
        assert_eq!(always.read_at(65536 + 512, 512).await.unwrap()[..], [7; 512]);
        always.write_at(8192, Buf::copy_of(&[9; 4096]), Durability::Cached).await.unwrap();
        assert_eq!(always.read_at(8192, 4096).await.unwrap()[..], [9; 4096]);
        always.write_at(8192, Buf::copy_of(&[7; 4096]), Durability::Cached).await.unwrap();
    }
}

/// Eight neighbours beat in the eight sectors of one 4096-byte block, each through its own open file; none may lose
/// a beat to another's.
fn neighbours_beat(path: &Path, backend: Backend) {
    const BEATS: u32 = 200;
    let neighbour = |sector: u64| {
        let device = FileDevice::open(path, options(Direct::Auto, backend)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for beat in 1..=BEATS {
                let mut bytes = vec![u8::try_from(sector).unwrap(); 512];
                bytes[..4].copy_from_slice(&beat.to_le_bytes());
                let durability = if beat % 16 == 0 { Durability::Stable } else { Durability::Cached };
                device.write_at(sector * 512, Buf::copy_of(&bytes), durability).await.unwrap();
                let back = device.read_at(sector * 512, 512).await.unwrap();
                assert!(back[..] == bytes[..], "sector {sector} lost beat {beat}");
            }
        });
    };
    thread::scope(|scope| {
        for sector in 0..8 {
            scope.spawn(move || neighbour(sector));
        }
    });
    let after = std::fs::read(path).unwrap();
    for sector in 0..8 {
        assert_eq!(after[sector * 512..][..4], BEATS.to_le_bytes(), "sector {sector}");
    }
}

#[test]
fn neighbours_in_one_block_keep_their_beats() {
    let home = TempDir::new().unwrap();
    for backend in BACKENDS {
        let path = home.path().join(format!("{backend:?}"));
        FileDevice::create(&path, 65536, OpenOptions::default()).unwrap();
        neighbours_beat(&path, backend);
    }
}

#[test]
fn neighbours_keep_their_beats_where_direct_io_takes_4096_bytes() {
    let home = match Mounted::ext4(4096) {
        Ok(home) => home,
        Err(why) => return skipped(&why),
    };
    for backend in BACKENDS {
        let path = home.path().join(format!("{backend:?}"));
        let device = FileDevice::create(&path, 65536, options(Direct::Auto, backend)).unwrap();
        assert!(!device.is_direct(), "the filesystem's grain is 4096");
        drop(device);
        neighbours_beat(&path, backend);
        let always = FileDevice::open(&path, options(Direct::Always, backend)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(always.write_at(0, Buf::zeroed(512), Durability::Cached));
        assert!(matches!(result, Err(BlockError::WouldReadModifyWrite { .. })), "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_future_leaves_the_disk_in_order() {
    let home = TempDir::new().unwrap();
    for backend in BACKENDS {
        let path = home.path().join(format!("{backend:?}"));
        let device = Arc::new(FileDevice::create(&path, 4 << 20, options(Direct::Auto, backend)).unwrap());
        for round in 0..400_u64 {
            let offset = round % 64 * 65536;
            // Given up at once, or after a poll: both before the disk can have answered.
            drop(device.read(offset, Buf::for_read(65536).into_bufs()));
            let write = device.write(offset, Buf::copy_of(&vec![1; 65536]).into_bufs(), Durability::Cached);
            tokio::select! {
                biased;
                (_, result) = write => result.unwrap(),
                () = std::future::ready(()) => {}
            }
            // Memory that was given up too early would now be this buffer, and get what the disk delivers.
            let mine = Buf::copy_of(&vec![0x5a; 65536]);
            tokio::task::yield_now().await;
            assert!(mine.iter().all(|b| *b == 0x5a), "round {round}");
        }
        device.flush().await.unwrap();
        let last = Arc::clone(&device);
        drop(device);
        // With requests in flight and nobody waiting, closing does not hang or free what is in use.
        for lane in 0..64_u64 {
            drop(last.read(lane * 65536, Buf::for_read(65536).into_bufs()));
        }
        drop(last);
    }
}

#[tokio::test]
async fn more_requests_than_the_ring_has_slots() {
    let home = TempDir::new().unwrap();
    let device = FileDevice::create(home.path().join("disk"), 4 << 20, OpenOptions::default()).unwrap();
    let writes: Vec<_> = (0..1024_u64)
        .map(|n| {
            let bytes = vec![u8::try_from(n % 251).unwrap(); 4096];
            device.write(n * 4096, Buf::copy_of(&bytes).into_bufs(), Durability::Cached)
        })
        .collect();
    for write in writes {
        write.await.1.unwrap();
    }
    let reads: Vec<_> =
        (0..1024_u64).map(|n| device.read(n * 4096, Buf::for_read(4096).into_bufs())).collect();
    for (n, read) in reads.into_iter().enumerate().rev() {
        let (bufs, result) = read.await;
        result.unwrap();
        assert!(bufs[0].iter().all(|b| usize::from(*b) == n % 251), "block {n}");
    }
}

#[test]
fn a_device_outlives_the_runtime_it_was_opened_in() {
    // A driver that lives in the runtime of the opener would leave the second one waiting for ever.
    let home = TempDir::new().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime();
    let device = first.block_on(async {
        let device = FileDevice::create(home.path().join("disk"), 1 << 20, OpenOptions::default()).unwrap();
        device.write_at(0, Buf::copy_of(&[3; 4096]), Durability::Stable).await.unwrap();
        device
    });
    let second = runtime();
    assert_eq!(second.block_on(device.read_at(0, 4096)).unwrap()[..], [3; 4096]);
    drop(first);
    assert_eq!(second.block_on(device.read_at(0, 4096)).unwrap()[..], [3; 4096]);
}
