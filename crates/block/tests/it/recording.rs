//! What a recording says a power cut may leave.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use block::{
    BlockDevice, BlockDeviceExt, Buf, Durability, FailingDevice, Fault, Kept, MemoryDevice, Op,
    RecordingDevice, Rule,
};

const SIZE: u64 = 65536;

fn disk() -> RecordingDevice<FailingDevice<MemoryDevice>> {
    RecordingDevice::new(FailingDevice::new(MemoryDevice::new(SIZE)))
}

fn filled(byte: u8) -> Buf {
    Buf::copy_of(&[byte; 512])
}

/// The first byte of each of the first `n` sectors.
fn heads(image: &MemoryDevice, n: usize) -> Vec<u8> {
    image.image().chunks(512).take(n).map(|sector| sector[0]).collect()
}

#[tokio::test]
async fn what_was_flushed_is_there_and_what_was_not_may_be() {
    let disk = disk();
    disk.write_at(0, filled(1), Durability::Cached).await.unwrap();
    disk.flush().await.unwrap();
    disk.write_at(512, filled(2), Durability::Cached).await.unwrap();
    disk.write_at(1024, filled(3), Durability::Stable).await.unwrap();
    let log = disk.log();
    let base = MemoryDevice::new(SIZE);
    let crashes: Vec<_> = log.crashes(&base).collect();
    assert_eq!(crashes.len(), log.events().len() + 1);
    assert_eq!(
        crashes.iter().map(|crash| crash.unsure().count()).collect::<Vec<_>>(),
        [
            0, // nothing yet
            1, 1, // the first write, issued and answered
            1, 0, // the flush
            1, 1, // the second write
            2, 1, // the third is stable when it is answered
        ]
    );
    let last = crashes.last().unwrap();
    assert_eq!(heads(&last.image(&[]), 3), [1, 0, 3]);
    assert_eq!(heads(&last.image(&[Kept::All]), 3), [1, 2, 3]);
    assert_eq!(heads(&crashes[0].image(&[Kept::All]), 3), [0, 0, 0]);
    assert_eq!(last.image(&[Kept::All]).image(), disk.inner().inner().image());
}

#[tokio::test]
async fn a_flush_promises_only_what_was_answered_before_it() {
    let disk = disk();
    disk.inner().add(Rule::new(Fault::HoldAnswer).on(Op::Write).times(1));
    let mut write = pin!(disk.write_at(0, filled(1), Durability::Cached));
    assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    disk.flush().await.unwrap();
    disk.inner().release_all().await;
    write.await.unwrap();
    let log = disk.log();
    let base = MemoryDevice::new(SIZE);
    assert_eq!(log.crashes(&base).last().unwrap().unsure().count(), 1);
    disk.flush().await.unwrap();
    let log = disk.log();
    assert_eq!(log.crashes(&base).last().unwrap().unsure().count(), 0);
}

#[tokio::test]
async fn a_failed_flush_promises_nothing() {
    let disk = disk();
    disk.write_at(0, filled(1), Durability::Cached).await.unwrap();
    disk.inner().add(Rule::new(Fault::Unreachable).on(Op::Flush).times(1));
    disk.flush().await.unwrap_err();
    let log = disk.log();
    assert_eq!(log.crashes(&MemoryDevice::new(SIZE)).last().unwrap().unsure().count(), 1);
}

#[tokio::test]
async fn a_write_in_flight_may_land_after_its_successor() {
    // A workload that writes a place again, flushes, and never waited for the first write.
    let disk = disk();
    disk.inner().add(Rule::new(Fault::HoldRequest).on(Op::Write).times(1));
    // Issued, and given up.
    drop(disk.write(0, filled(1).into_bufs(), Durability::Cached));
    disk.write_at(0, filled(2), Durability::Cached).await.unwrap();
    disk.flush().await.unwrap();
    let log = disk.log();
    let base = MemoryDevice::new(SIZE);
    let crash = log.crashes(&base).last().unwrap();
    assert_eq!(heads(&crash.image(&[Kept::None]), 1), [2]);
    assert_eq!(heads(&crash.image(&[Kept::All]), 1), [1]);
}

#[tokio::test]
async fn choices_are_distinct_bounded_and_the_same_for_a_seed() {
    let disk = disk();
    for sector in 0..6 {
        disk.write_at(sector * 2048, Buf::copy_of(&[1; 2048]), Durability::Cached).await.unwrap();
    }
    let log = disk.log();
    let base = MemoryDevice::new(SIZE);
    let crash = log.crashes(&base).last().unwrap();
    let choices = crash.choices(7, 40);
    assert_eq!(choices, crash.choices(7, 40));
    assert_ne!(choices, crash.choices(8, 40));
    assert!((30..=40).contains(&choices.len()), "{}", choices.len());
    assert!(choices.contains(&vec![Kept::None; 6]) && choices.contains(&vec![Kept::All; 6]));
    assert!(choices.iter().flatten().any(|kept| matches!(kept, Kept::First(_))), "some are torn");
    for choice in &choices {
        let image = crash.image(choice).image();
        for (write, kept) in image.chunks(2048).zip(choice) {
            let ones = write.iter().filter(|b| **b == 1).count();
            match kept {
                Kept::None => assert_eq!(ones, 0),
                Kept::All => assert_eq!(ones, 2048),
                Kept::First(bytes) => assert_eq!(ones, usize::try_from(*bytes).unwrap() / 512 * 512),
            }
        }
    }
    assert_eq!(crash.choices(7, 3).len(), 3);
}

#[tokio::test]
async fn zeroes_and_discards_are_changes_too() {
    let disk = disk();
    disk.write_at(0, Buf::copy_of(&[5; 4096]), Durability::Stable).await.unwrap();
    disk.write_zeroes(512, 512).await.unwrap();
    disk.discard(2048, 1024).await.unwrap();
    let log = disk.log();
    let base = MemoryDevice::new(SIZE);
    let crash = log.crashes(&base).last().unwrap();
    assert_eq!(heads(&crash.image(&[]), 8), [5; 8]);
    assert_eq!(heads(&crash.image(&[Kept::All, Kept::None]), 8), [5, 0, 5, 5, 5, 5, 5, 5]);
    assert_eq!(heads(&crash.image(&[Kept::None, Kept::All]), 8), [5, 5, 5, 5, 0, 0, 5, 5]);
}
