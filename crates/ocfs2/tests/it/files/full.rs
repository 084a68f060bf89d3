//! Volumes and users that have no room left, after every number of clusters: what was written is there, what was not
//! has left no trace.

use std::sync::Arc;

use block::{BlockDevice, Buf};
use ocfs2::{Error, FallocateMode, NewKind, QuotaKind, QuotaLimits, Writable, WriteHow};

use super::{Load, NEW, OWNER, assert_sound, differs, files_of, worked};
use crate::support::{block_on, fresh};

/// Works until `steps` operations were done or failed for want of room. Gives how many failed, or wrote less.
async fn work(fs: &Writable, load: &mut Load, steps: usize) -> usize {
    let mut refused = 0;
    for _ in 0..steps {
        let before = load.files().clone();
        match load.step(fs, 0).await {
            Ok(()) => {}
            Err(Error::NoSpace { .. } | Error::Quota { .. }) => {
                refused += 1;
                load.states.last_mut().expect("just added").1 = before;
                let found = files_of(fs, load.names().iter()).await.expect("files that can be read");
                assert_eq!(differs(&found, load.files()), None);
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    let found = files_of(fs, load.names().iter()).await.expect("files that can be read");
    assert_eq!(differs(&found, load.files()), None);
    refused
}

/// Takes all clusters but `left`.
async fn fill(fs: &Writable, left: u64, cluster: u64) {
    let root = fs.volume().root();
    let filler = fs.create(root, b"filler", &NEW, NewKind::File).await.expect("room for an inode").ino();
    let mut at = 0;
    for step in [4096, 256, 16, 1] {
        let len = step * cluster;
        while fs.fallocate(filler, at, len, FallocateMode::default()).await.is_ok() {
            at += len;
        }
        // What a step that failed has left is found by the next ones.
    }
    let mode = FallocateMode { keep_size: true, punch_hole: true };
    fs.fallocate(filler, 0, left * cluster + 1, mode).await.expect("a hole");
}

fn fill_up(sizes: (u64, u64), features: &str, lefts: &[u64]) {
    let mut refused = 0;
    for left in lefts {
        let device = Arc::new(fresh(48, sizes, 1, features));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let (count, closed) = block_on(worked(shared, async |fs| {
            fill(fs, *left, sizes.1).await;
            work(fs, &mut Load::new(31 + left, 200_000), 40).await
        }));
        closed.expect("a device that does not fail");
        refused += count;
        assert_sound(&format!("{sizes:?} {features}: {left} clusters left"), &device);
    }
    assert!(refused > lefts.len(), "only {refused} operations found no room");
}

#[test]
fn a_full_volume_refuses_and_stays_sound() {
    fill_up((512, 4096), "", &[0, 1, 2, 3, 5, 8, 13, 21]);
    fill_up((4096, 4096), "metaecc,noinline-data", &[0, 1, 4, 9, 16]);
    fill_up((4096, 65_536), "", &[0, 1, 2, 6]);
}

#[test]
fn a_write_that_finds_no_more_room_ends_early() {
    let device = Arc::new(fresh(48, (4096, 4096), 1, ""));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (_, closed) = block_on(worked(shared, async |fs| {
        fill(fs, 10, 4096).await;
        let ino = fs.create(fs.volume().root(), b"f", &NEW, NewKind::File).await.unwrap().ino();
        let data = || Buf::copy_of(&[7; 1 << 20]).into_bufs();
        let mut at = 0;
        loop {
            match fs.write(ino, at, data(), WriteHow::default()).await {
                Ok(written) => {
                    assert!(written.len > 0);
                    assert_eq!(written.len % 4096, 0);
                    at += written.len;
                }
                Err(error) => {
                    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                    break;
                }
            }
        }
        assert!(at >= 10 * 4096, "{at} bytes");
        let data = fs.read(ino, 0, u64::MAX).await.unwrap().to_vec();
        assert!(data.len() as u64 == at && data.iter().all(|byte| *byte == 7));
    }));
    closed.unwrap();
    assert_sound("ended early", &device);
}

#[test]
fn what_files_cost_is_counted_and_kept_within_limits() {
    for (sizes, features) in [((512, 4096), ""), ((4096, 4096), "metaecc"), ((4096, 65_536), "noinline-data")]
    {
        let device = Arc::new(fresh(96, sizes, 1, &["usrquota,grpquota", features].join(",")));
        let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
        let (refused, closed) = block_on(worked(shared, async |fs| {
            let mut load = Load::new(41, 200_000);
            let mut refused = work(fs, &mut load, 40).await;
            assert_eq!(refused, 0);
            let used = fs.quota(QuotaKind::User, OWNER).await.unwrap().space;
            let limits = QuotaLimits { space_hard: used + sizes.1, ..QuotaLimits::default() };
            fs.set_quota(QuotaKind::User, OWNER, limits).await.unwrap();
            for _ in 0..10 {
                refused += work(fs, &mut load, 80).await;
                if refused > 0 {
                    break;
                }
            }
            refused
        }));
        closed.expect("a device that does not fail");
        assert!(refused > 0, "{sizes:?}: nothing was refused");
        assert_sound(&format!("{sizes:?} {features}"), &device);
    }
}

#[test]
fn a_quota_lets_a_write_end_early() {
    let device = Arc::new(fresh(96, (4096, 4096), 1, "usrquota,grpquota"));
    let shared = Arc::clone(&device) as Arc<dyn BlockDevice>;
    let (_, closed) = block_on(worked(shared, async |fs| {
        let limits = QuotaLimits { space_hard: 9 * 4096, ..QuotaLimits::default() };
        fs.set_quota(QuotaKind::User, OWNER, limits).await.unwrap();
        let ino = fs.create(fs.volume().root(), b"f", &NEW, NewKind::File).await.unwrap().ino();
        let data = Buf::copy_of(&[7; 1 << 20]).into_bufs();
        let written = fs.write(ino, 0, data, WriteHow::default()).await.unwrap();
        assert_eq!(written.len, 9 * 4096);
        let more = Buf::copy_of(b"more").into_bufs();
        let refused = fs.write(ino, 9 * 4096, more, WriteHow::default()).await.unwrap_err();
        assert!(matches!(refused, Error::Quota { .. }), "{refused}");
    }));
    closed.unwrap();
    assert_sound("quota", &device);
}
