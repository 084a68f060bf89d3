//! Many at once, on a device that answers late and out of order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use block::{BlockDevice, Buf};
use fixtures::Random;
use futures_util::future::{join_all, try_join_all};
use ocfs2::{BlockNum, NewKind, SetAttr, Writable, WriteHow};

use super::late::Late;
use super::{NEW, assert_sound, worked};
use crate::support::{block_on, fresh};

fn on_a_late_device(features: &str, work: impl AsyncFnOnce(&Writable)) -> Arc<Late> {
    let device = Arc::new(Late::new(fresh(96, (4096, 4096), 1, features)));
    let (_, closed) = block_on(worked(Arc::clone(&device) as Arc<dyn BlockDevice>, work));
    closed.expect("a device that does not fail");
    assert_sound("beside each other", &device.inner.snapshot());
    device
}

#[test]
fn writers_in_place_do_not_wait_for_each_other() {
    let device = on_a_late_device("", async |fs| {
        let ino = fs.create(fs.volume().root(), b"f", &NEW, NewKind::File).await.unwrap().ino();
        let zeroes = Buf::copy_of(&[1; 64 * 4096]).into_bufs();
        fs.write(ino, 0, zeroes, WriteHow::default()).await.unwrap();
        let write = async |n: u64| {
            for round in 0..20_u8 {
                let data = Buf::copy_of(&[round + 2; 4096]).into_bufs();
                fs.write(ino, n * 4096, data, WriteHow::default()).await?;
                let read = fs.read(ino, n * 4096, 4096).await?.to_vec();
                assert!(read.iter().all(|byte| *byte == round + 2));
                if round % 7 == 0 {
                    fs.fsync(ino).await?;
                    assert_eq!(fs.stat(ino).await?.attr().size, 64 * 4096);
                }
            }
            Ok::<_, ocfs2::Error>(())
        };
        try_join_all((0..64).map(write)).await.unwrap();
    });
    let most = device.most.load(Ordering::Relaxed);
    assert!(most >= 16, "at most {most} writes at once");
}

#[test]
fn appends_follow_each_other_and_lose_nothing() {
    on_a_late_device("", async |fs| {
        let ino = fs.create(fs.volume().root(), b"f", &NEW, NewKind::File).await.unwrap().ino();
        let append = async |who: u8| {
            for round in 0..30_u8 {
                let mut line = vec![who; 100 + 90 * usize::from(round)];
                line[0] = 0;
                line[1] = round;
                let how = WriteHow { append: true, ..WriteHow::default() };
                let data = Buf::copy_of(&line).into_bufs();
                let written = fs.write(ino, 0, data, how).await.unwrap();
                assert_eq!(written.len, line.len() as u64);
            }
        };
        join_all((1..=6).map(append)).await;
        let data = fs.read(ino, 0, u64::MAX).await.unwrap().to_vec();
        let (mut at, mut seen) = (0, BTreeSet::new());
        while at < data.len() {
            let (round, who) = (data[at + 1], data[at + 2]);
            let len = 100 + 90 * usize::from(round);
            assert_eq!(data[at], 0);
            assert!(data[at + 2..at + len].iter().all(|byte| *byte == who));
            assert!(seen.insert((who, round)));
            at += len;
        }
        assert_eq!(seen.len(), 180);
    });
}

#[test]
fn what_is_read_was_written_whoever_cuts_and_writes_meanwhile() {
    for seed in 0..3 {
        on_a_late_device(if seed == 1 { "noinline-data" } else { "" }, async |fs| {
            let mut inos = Vec::new();
            for name in [b"a", b"b", b"c"] {
                inos.push(fs.create(fs.volume().root(), name, &NEW, NewKind::File).await.unwrap().ino());
            }
            // Every file has bytes of its own: clusters go from one to the other all the time.
            let work = async |task: usize| {
                let mut random = Random::new(seed * 100 + task as u64);
                for _ in 0..40 {
                    let which = random.below(inos.len());
                    let (ino, own) = (inos[which], u8::try_from(which + 1).unwrap());
                    let (at, len) = (random.below(200_000), 1 + random.below(60_000));
                    match random.below(5) {
                        0 => {
                            let set = SetAttr { size: Some(at as u64 / 2), ..SetAttr::default() };
                            fs.setattr(ino, &set).await.unwrap();
                        }
                        1 | 2 => {
                            let (at, len) = (at / 512 * 512, len.div_ceil(512) * 512);
                            let data = Buf::copy_of(&vec![own; len]).into_bufs();
                            fs.write(ino, at as u64, data, WriteHow::default()).await.unwrap();
                        }
                        _ => {
                            let data = fs.read(ino, at as u64, len as u64).await.unwrap().to_vec();
                            assert!(data.iter().all(|byte| [0, own].contains(byte)), "bytes of another file");
                        }
                    }
                }
            };
            join_all((0..8).map(work)).await;
        });
    }
}

#[test]
fn files_reach_to_the_largest_offset() {
    on_a_late_device("", async |fs| {
        let ino = fs.create(fs.volume().root(), b"f", &NEW, NewKind::File).await.unwrap().ino();
        let max = fs.volume().geometry().max_file_size();
        assert_eq!(max, 0xffff_ffff * 4096);
        let data = |len| Buf::copy_of(&vec![9; len]).into_bufs();
        let written = fs.write(ino, max - 3, data(10), WriteHow::default()).await.unwrap();
        assert_eq!((written.len, written.size), (3, max), "it ends there");
        let refused = fs.write(ino, max, data(1), WriteHow::default()).await.unwrap_err();
        assert_eq!(refused.errno(), 27);
        let set = |size| SetAttr { size: Some(size), ..SetAttr::default() };
        assert_eq!(fs.setattr(ino, &set(max + 1)).await.unwrap_err().errno(), 27);
        fs.setattr(ino, &set(5)).await.unwrap();
        fs.setattr(ino, &set(max)).await.unwrap();
        assert_eq!(fs.read(ino, max - 10, 100).await.unwrap().to_vec(), [0; 10]);
    });
}

/// How many extents a file has.
async fn extents(fs: &Writable, ino: BlockNum) -> usize {
    let inode = fs.stat(ino).await.expect("a file");
    let mut fiemap = fs.volume().fiemap(&inode, 0, u64::MAX);
    let mut count = 0;
    while fiemap.next().await.expect("a tree").is_some() {
        count += 1;
    }
    count
}

#[test]
fn files_that_grow_side_by_side_lie_in_few_pieces() {
    on_a_late_device("", async |fs| {
        let mut inos = Vec::new();
        for name in [b"a", b"b", b"c", b"d"] {
            inos.push(fs.create(fs.volume().root(), name, &NEW, NewKind::File).await.unwrap().ino());
        }
        let how = WriteHow { append: true, ..WriteHow::default() };
        for _ in 0..400 {
            for ino in &inos {
                fs.write(*ino, 0, Buf::copy_of(&[3; 4096]).into_bufs(), how).await.unwrap();
            }
        }
        for ino in &inos {
            let pieces = extents(fs, *ino).await;
            assert!(pieces <= 20, "{pieces} pieces");
        }
    });
}
