use super::*;
use crate::{Backend, BlockDevice, BlockDeviceExt, Direct, FileDevice, OpenOptions};

/// A device over a ring of its own, or `None` where the kernel has none for us.
fn device(home: &tempfile::TempDir, direct: Direct) -> Option<FileDevice> {
    let options = OpenOptions { direct, backend: Backend::IoUring, ..OpenOptions::default() };
    FileDevice::create(home.path().join(format!("{direct:?}")), 4 << 20, options).ok()
}

/// Here an entry moves at most 64 KiB, so every larger request goes on where its last entry ended, as it does after
/// a short read or write.
#[tokio::test]
async fn a_request_in_many_entries_is_whole() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    for direct in [Direct::Auto, Direct::Never] {
        let Some(device) = device(&home, direct) else { return };
        let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 509).to_le_bytes()[0]).collect();
        for cut in [512, 65536, 69632, 1 << 20] {
            let bufs: Bufs = data.chunks(cut).map(Buf::copy_of).collect();
            device.write(4096, bufs, Durability::Cached).await.1.expect("a write");
            let into: Bufs = data.chunks(cut * 3).map(|part| Buf::for_read(part.len())).collect();
            let (bufs, result) = device.read(4096, into).await;
            result.expect("a read");
            let back: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
            assert!(back == data, "cut at {cut}, {direct:?}");
            assert!(bufs.iter().all(|buf| !buf.is_stale()), "filled and still stale");
        }
        device.read_at(0, 4096).await.expect("a read");
    }
}

#[test]
fn a_list_for_the_kernel_covers_what_is_left_and_nothing_else() {
    let mut bufs: Bufs = [512, 0, 1024, 512].into_iter().map(Buf::zeroed).collect();
    let mut list = Vec::new();
    for (done, lengths) in
        [(0, vec![512, 1024, 512]), (512, vec![1024, 512]), (600, vec![936, 512]), (2000, vec![48])]
    {
        let bases: Vec<usize> = bufs.iter_mut().map(|buf| buf.as_io_ptr().addr()).collect();
        let _ = point(&mut bufs, done, &mut list);
        assert_eq!(list.iter().map(|entry| entry.len).collect::<Vec<_>>(), lengths, "after {done}");
        let end = list.last().map(|entry| entry.base.addr() + entry.len);
        assert_eq!(end, Some(bases[3] + 512), "after {done}");
    }
}

#[test]
fn a_ring_that_breaks_answers_everybody_and_the_workers_go_on() {
    let home = tempfile::TempDir::new().expect("a temporary directory");
    let options = OpenOptions { backend: Backend::Threads, ..OpenOptions::default() };
    let path = home.path().join("disk");
    drop(FileDevice::create(&path, 1 << 20, options).expect("a file"));
    let disk = Arc::new(super::super::open::open_disk(&path, &options).expect("it was just made"));
    let workers = Arc::new(Workers::new(Arc::clone(&disk), 1));
    let bell = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    let shared = Arc::new(Shared { disk, workers, bell, inbox: Mutex::default(), open: AtomicUsize::new(0) });
    let Ok(mut driver) = Driver::new(Arc::clone(&shared)) else { return };
    let ring = Ring { shared, thread: None };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let read = || {
        let (promise, future) = crate::IoFuture::promised();
        ring.submit(Job::Read { offset: 0, bufs: Buf::for_read(4096).into_bufs(), promise });
        future
    };
    let flying = read();
    assert!(!driver.take());
    driver.launch();
    let waiting = read();
    driver.give_up(&io::ErrorKind::PermissionDenied.into());
    let later = read();
    runtime.block_on(async {
        let (bufs, result) = flying.await;
        assert!(matches!(result, Err(crate::BlockError::Io { .. })), "{result:?}");
        assert_eq!(bufs[0].len(), 4096, "other memory of the same length");
        waiting.await.1.expect("the workers do it");
        later.await.1.expect("the workers do it");
    });
    assert_eq!(ring.shared.open.load(Ordering::Relaxed), 0);
}
