//! The plan of a failing disk is what happens.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use block::{
    BlockDevice, BlockDeviceExt, BlockError, Buf, Durability, FailingDevice, Fault, MemoryDevice, Op, Rule,
};

fn disk() -> FailingDevice<MemoryDevice> {
    FailingDevice::new(MemoryDevice::new(65536))
}

fn ones(len: usize) -> Buf {
    Buf::copy_of(&vec![1; len])
}

fn poll_once<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn the_nth_request_of_a_kind_fails() {
    let disk = disk();
    disk.add(Rule::new(Fault::Error(ErrorKind::Other)).on(Op::Write).after(2).times(1));
    for (round, ok) in [true, true, false, true].into_iter().enumerate() {
        disk.read_at(0, 512).await.unwrap();
        assert_eq!(disk.write_at(0, ones(512), Durability::Cached).await.is_ok(), ok, "round {round}");
    }
    assert_eq!(disk.seen(), 8);
}

#[tokio::test]
async fn a_range_fails_and_its_neighbours_do_not() {
    let disk = disk();
    disk.add(Rule::new(Fault::Unreachable).within(4096..8192));
    disk.read_at(3584, 512).await.unwrap();
    disk.read_at(8192, 512).await.unwrap();
    disk.flush().await.unwrap();
    let error = disk.read_at(3584, 1024).await.unwrap_err();
    assert!(matches!(error, BlockError::Unreachable { .. }), "{error:?}");
    disk.clear();
    disk.read_at(3584, 1024).await.unwrap();
}

#[tokio::test]
async fn a_torn_write_leaves_its_first_bytes() {
    for (bytes, whole) in [(0, 0), (512, 512), (700, 700), (1535, 1535), (9999, 2048)] {
        let disk = disk();
        disk.inner().write_at(0, Buf::copy_of(&[9; 4096]), Durability::Cached).await.unwrap();
        disk.add(Rule::new(Fault::Torn(bytes)).on(Op::Write));
        disk.write_at(1024, ones(2048), Durability::Cached).await.unwrap_err();
        let image = disk.inner().image();
        let mut model = vec![9; 4096];
        model[1024..1024 + whole].fill(1);
        assert!(image[..4096] == model[..], "torn after {bytes}");
    }
}

#[tokio::test]
async fn a_held_request_lands_when_it_is_released_though_nobody_waits() {
    let disk = disk();
    disk.add(Rule::new(Fault::HoldRequest).on(Op::Write).times(2));
    drop(disk.write(0, ones(512).into_bufs(), Durability::Cached));
    let mut second = pin!(disk.write_at(512, ones(512), Durability::Cached));
    assert!(poll_once(&mut second).is_pending());
    assert_eq!(disk.held().iter().map(|held| held.offset).collect::<Vec<_>>(), [0, 512]);
    assert!(disk.inner().image().iter().all(|b| *b == 0), "nothing has landed");
    assert!(disk.release(1).await);
    assert!(!disk.release(1).await);
    second.await.unwrap();
    assert_eq!(disk.inner().image()[..1024], [[0; 512], [1; 512]].concat());
    disk.release_all().await;
    assert_eq!(disk.inner().image()[..1024], [1; 1024]);
}

#[tokio::test]
async fn a_held_answer_comes_late() {
    let disk = disk();
    disk.add(Rule::new(Fault::HoldAnswer).times(2));
    let mut write = pin!(disk.write_at(0, ones(512), Durability::Cached));
    assert!(poll_once(&mut write).is_pending());
    assert_eq!(disk.inner().image()[..512], [1; 512], "it is done");
    let mut flush = pin!(disk.flush());
    assert!(poll_once(&mut flush).is_pending());
    disk.release_all().await;
    write.await.unwrap();
    flush.await.unwrap();
}

#[tokio::test]
async fn a_disk_lies_and_an_answer_is_lost() {
    let disk = disk();
    disk.add(Rule::new(Fault::Swallow).times(1));
    disk.read_at(0, 512).await.unwrap();
    disk.write_at(0, ones(512), Durability::Stable).await.unwrap();
    assert_eq!(disk.inner().image()[..512], [0; 512]);
    disk.add(Rule::new(Fault::LostAnswer).times(1));
    disk.write_at(0, ones(512), Durability::Stable).await.unwrap_err();
    assert_eq!(disk.inner().image()[..512], [1; 512]);
    disk.add(Rule::new(Fault::Never).times(1));
    let mut never = pin!(disk.write_zeroes(0, 512));
    assert!(poll_once(&mut never).is_pending());
    disk.release_all().await;
    assert!(poll_once(&mut never).is_pending());
    assert_eq!(disk.inner().image()[..512], [1; 512]);
}

#[tokio::test]
async fn a_seed_decides_the_same_each_time() {
    let run = async |seed| {
        let disk = disk();
        disk.add(Rule::new(Fault::Unreachable).chance(seed, 250_000));
        let mut failed = Vec::new();
        for _ in 0..400 {
            failed.push(disk.read_at(0, 512).await.is_err());
        }
        failed
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
    let share = first.iter().filter(|failed| **failed).count();
    assert!((60..140).contains(&share), "{share} of 400 at one in four");
}
