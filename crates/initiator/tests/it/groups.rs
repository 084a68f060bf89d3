//! Two portals of different portal groups, and writes in flight when the first one dies.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use block::BlockError;
use initiator::{IscsiDevice, SessionOptions};

use crate::mock::{Act, Mock, NAME, Seen};
use crate::setup::{check, options, url, write};

const WAIT: Duration = Duration::from_millis(600);

/// The first portal keeps the first write in its queue and dies; `dies` says whether it is gone for good.
async fn portals() -> (Mock, Mock) {
    let one = Mock::start(|seen: Seen| match seen {
        Seen { connection: 1, opcode: 0x2a, .. } => Act::Hold,
        _ => Act::Serve,
    })
    .await;
    let two = Mock::beside(&one).await;
    (one, two)
}

async fn device(one: &Mock, two: &Mock, options: SessionOptions) -> IscsiDevice {
    let text = format!("iscsi://{},{}/{NAME}/0", one.address, two.address);
    IscsiDevice::open(&url(&text), options).await.expect("open")
}

fn quick() -> SessionOptions {
    SessionOptions { group_wait: WAIT, ..options() }
}

/// The bug that this guards against: the target was still at a write of the old portal group when the same write was
/// sent again through the other group. The old one landed last, over whatever had been written in between.
#[tokio::test]
async fn a_write_that_another_group_may_still_do_is_ended_before_it_is_sent_again() {
    let (one, two) = portals().await;
    let device = device(&one, &two, quick()).await;
    let begun = Instant::now();
    let writing = write(&device, 0, 4096, 1);
    let breaking = async {
        while one.state.medium.held() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        one.stop().await
    };
    let (written, (_, old)) = tokio::join!(writing, breaking);
    written.expect("write");
    assert!(begun.elapsed() >= WAIT, "the other group was taken at once");
    assert_eq!(two.state.resets.load(Ordering::SeqCst), 1);
    // Written anew, with what the old portal may still hold landing last.
    write(&device, 0, 4096, 2).await.expect("write");
    assert_eq!(old.medium.land_held(), 0, "the reset ended it");
    check(&device, 0, 4096, 2).await;
}

#[tokio::test]
async fn the_old_group_is_taken_without_a_reset_when_it_is_there() {
    let (one, two) = portals().await;
    let device = device(&one, &two, quick()).await;
    write(&device, 0, 4096, 1).await.expect("write");
    check(&device, 0, 4096, 1).await;
    assert_eq!(one.state.connections.load(Ordering::SeqCst), 2);
    assert_eq!(two.state.resets.load(Ordering::SeqCst), 0);
    assert_eq!(two.state.writes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn portals_of_one_group_take_over_at_once() {
    let (one, two) = portals().await;
    two.state.group.store(1, Ordering::SeqCst);
    let options = SessionOptions { group_wait: Duration::from_secs(60), ..options() };
    let device = device(&one, &two, options).await;
    write(&device, 0, 4096, 1).await.expect("write");
    assert_eq!(two.state.resets.load(Ordering::SeqCst), 0);
    assert_eq!(two.state.writes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn reads_alone_go_to_another_group_at_once() {
    let one = Mock::start(|seen: Seen| if seen.connection == 1 { Act::Close } else { Act::Serve }).await;
    let two = Mock::beside(&one).await;
    let options = SessionOptions { group_wait: Duration::from_secs(60), ..options() };
    let device = device(&one, &two, options).await;
    use block::BlockDeviceExt as _;
    device.read_at(0, 4096).await.expect("read");
    assert_eq!(two.state.connections.load(Ordering::SeqCst), 1);
    assert_eq!(two.state.resets.load(Ordering::SeqCst), 0);
}

/// Also the later write, after the first has failed, must not go where nothing ends the old one.
#[tokio::test]
async fn a_target_that_cannot_end_the_old_write_gets_none() {
    let (one, two) = portals().await;
    two.state.can_reset.store(false, Ordering::SeqCst);
    let options = SessionOptions { replacement_timeout: Duration::from_secs(2), ..quick() };
    let device = device(&one, &two, options).await;
    let writing = write(&device, 0, 4096, 1);
    let breaking = async {
        while one.state.medium.held() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        one.stop().await
    };
    let (written, (address, state)) = tokio::join!(writing, breaking);
    let why = |result: Result<(), BlockError>| match result {
        Err(BlockError::Unreachable { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let said = why(written);
    assert!(said.contains(&format!("does not end what may still be under way at {address}")), "{said}");
    let _ = why(write(&device, 0, 4096, 2).await);
    assert_eq!(two.state.writes.load(Ordering::SeqCst), 0);
    // The old group is back: it ends its old session by itself.
    let one = Mock::restart(address, state).await;
    for _ in 0..100 {
        if write(&device, 0, 4096, 3).await.is_ok() {
            assert!(one.state.writes.load(Ordering::SeqCst) > 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the old portal is not taken");
}

#[tokio::test]
async fn default_time_to_wait_is_waited() {
    let mock = Mock::start(|seen: Seen| if seen.connection == 1 { Act::Close } else { Act::Serve }).await;
    mock.state.settings.lock().expect("settings").time2wait = 1;
    let device = IscsiDevice::open(&url(&mock.url()), options()).await.expect("open");
    let begun = Instant::now();
    write(&device, 0, 4096, 1).await.expect("write");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}
