//! Read-aheads that come together: no block is read twice.

use std::ops::Range;
use std::sync::Arc;

use block::{BlockDevice, FailingDevice, Fault, FileDevice, Op, Rule};
use futures_util::FutureExt as _;
use ocfs2::{BlockNum, Error, Follow, Inode, OpenOptions, Volume};

use crate::support::{block_on, device};

type Held = FailingDevice<FileDevice>;

/// Volume `a` on a device that holds every read that comes from now on, and its largest directory.
async fn held_volume() -> (Arc<Held>, Volume, Inode) {
    let failing = Arc::new(FailingDevice::new(device(&fixtures::image("a"))));
    let below: Arc<dyn BlockDevice> = failing.clone();
    let volume = Volume::open(below, OpenOptions::default()).await.expect("a good volume");
    let dir = volume.resolve(b"/big", Follow::Last).await.expect("a directory");
    failing.add(Rule::new(Fault::HoldRequest).on(Op::Read));
    (failing, volume, dir)
}

/// Polls both in turn, releasing what they read only when both wait; what they read, in bytes.
async fn together<T>(device: &Held, tasks: Vec<impl Future<Output = T>>) -> (Vec<T>, Vec<Range<u64>>) {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| Box::pin(task.fuse())).collect();
    let (mut ends, mut reads) = (Vec::new(), Vec::new());
    while ends.len() < tasks.len() {
        for task in &mut tasks {
            ends.extend(task.as_mut().now_or_never());
        }
        for held in device.held() {
            reads.push(held.offset..held.offset + held.len);
            device.release(held.number).await;
        }
    }
    (ends, reads)
}

fn never_twice(mut reads: Vec<Range<u64>>) {
    reads.sort_unstable_by_key(|read| read.start);
    for pair in reads.windows(2) {
        assert!(pair[0].end <= pair[1].start, "read twice: {reads:?}");
    }
}

async fn names(volume: &Volume, dir: &Inode, from: u64) -> Result<Vec<Vec<u8>>, Error> {
    let page = volume.readdir(dir, from).await?;
    Ok(page.entries.into_iter().map(|entry| entry.name).collect())
}

/// Two that list one directory each began a read-ahead, over the same blocks or over some of them.
#[test]
fn two_listings_of_one_directory_read_each_block_once() {
    block_on(async {
        for apart in [0, 1, 8] {
            let (device, volume, dir) = held_volume().await;
            let block = volume.geometry().block_size.bytes();
            let both = vec![names(&volume, &dir, 0), names(&volume, &dir, apart * block)];
            let (ends, reads) = together(&device, both).await;
            let ends: Vec<_> = ends.into_iter().map(|end| end.expect("names")).collect();
            assert_eq!(ends[0] == ends[1], apart == 0);
            let read = reads.iter().map(|read| read.end - read.start).sum::<u64>() / block;
            // A read-ahead ends where the extent does.
            assert_eq!(read, 16, "blocks");
            never_twice(reads);
        }
    });
}

/// Who wants one block waits for the read-ahead that brings it.
#[test]
fn one_inode_comes_with_the_read_ahead_of_all() {
    block_on(async {
        let (device, volume, dir) = held_volume().await;
        device.clear();
        let page = volume.readdir(&dir, 0).await.expect("names");
        let inos: Vec<BlockNum> = page.entries.iter().filter(|e| !e.is_dot()).map(|e| e.ino).collect();
        device.add(Rule::new(Fault::HoldRequest).on(Op::Read));
        let ahead = async {
            volume.prefetch_inodes(inos.clone()).await;
            BlockNum(0)
        };
        let last = *inos.last().expect("many");
        let one = async { volume.inode(last).await.expect("an inode").ino() };
        let tasks: Vec<std::pin::Pin<Box<dyn Future<Output = BlockNum>>>> =
            vec![Box::pin(ahead), Box::pin(one)];
        let (ends, reads) = together(&device, tasks).await;
        assert!(ends.contains(&last));
        never_twice(reads);
    });
}

/// A read-ahead that fails says nothing of the single blocks: who waited for it reads its own.
#[test]
fn a_read_ahead_that_fails_costs_no_inode() {
    block_on(async {
        let (device, volume, dir) = held_volume().await;
        device.clear();
        let page = volume.readdir(&dir, 0).await.expect("names");
        let inos: Vec<BlockNum> =
            page.entries.iter().filter(|e| !e.is_dot()).map(|e| e.ino).take(8).collect();
        // The first read of the first inode fails, and that is the read of all.
        let size = volume.geometry().block_size.bytes();
        let bad = inos[0].0 * size..(inos[0].0 + 1) * size;
        device.add(Rule::new(Fault::Error(std::io::ErrorKind::Other)).on(Op::Read).within(bad).times(1));
        let ahead = volume.prefetch_inodes(inos.clone());
        let all = futures_util::future::join_all(inos.iter().map(|ino| volume.inode(*ino)));
        let (_, all) = futures_util::future::join(ahead, all).await;
        for (ino, inode) in inos.iter().zip(all) {
            assert_eq!(inode.expect("a good block").ino(), *ino);
        }
    });
}
