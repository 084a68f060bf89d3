//! I/O as it should be.

use std::sync::atomic::Ordering;
use std::time::Duration;

use block::{BlockDevice as _, BlockDeviceExt as _, BlockError, Buf, Bufs, Durability};

use crate::mock::{Act, Mock, NAME};
use crate::setup::{check, check_many, open, options, pattern, url, write, write_many};

#[tokio::test]
async fn what_is_written_is_read() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    let geometry = device.geometry();
    assert_eq!((geometry.size, geometry.logical_block, geometry.physical_block), (32 << 20, 512, 4096));
    assert!(!geometry.read_only);
    assert_eq!(device.info().vendor, "OXSAN");
    // Small; larger than a data segment; larger than one command may be (2 MiB).
    for (offset, len) in [(0, 512), (4096, 64 << 10), (1 << 20, 1 << 20), (8 << 20, (5 << 20) + 512)] {
        write(&device, offset, len, 1).await.expect("write");
        check(&device, offset, len, 1).await;
    }
    device.close().await.expect("close");
    assert_eq!(mock.state.logouts.load(Ordering::SeqCst), 1);
    let error = device.read_at(0, 512).await.expect_err("closed");
    assert!(matches!(error, BlockError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn many_requests_are_in_flight_at_once() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    for (count, len, round) in [(2000, 4096, 3), (30, 1 << 20, 4)] {
        write_many(&device, count, len, round).await;
        check_many(&device, count, len, round).await;
    }
    assert_eq!(mock.state.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn buffers_of_any_length_make_up_a_request() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    let whole = pattern(0, 3 << 20, 9);
    let cuts = [0, 1, 600, 601, 70_000, 2_500_000, 3 << 20];
    let parts: Bufs = cuts.windows(2).map(|cut| Buf::copy_of(&whole[cut[0]..cut[1]])).collect();
    device.write(0, parts, Durability::Stable).await.1.expect("write");
    // Without force unit access, a stable write is a write and a flush.
    assert_eq!(mock.state.count(0x35), 1);
    let parts: Bufs = cuts.windows(2).map(|cut| Buf::for_read(cut[1] - cut[0])).collect();
    let (parts, result) = device.read(0, parts).await;
    result.expect("read");
    let back: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    assert!(back == whole[..]);
}

#[tokio::test]
async fn digests_guard_both_ways() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device =
        open(&format!("{}?header_digest=crc32c&data_digest=crc32c", mock.url())).await.expect("open");
    write(&device, 0, 3 << 20, 5).await.expect("write");
    check(&device, 0, 3 << 20, 5).await;
    write_many(&device, 100, 4096, 6).await;
    check_many(&device, 100, 4096, 6).await;
}

#[tokio::test]
async fn flush_discard_and_zeroes() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 8 << 20, 1).await.expect("write");
    device.flush().await.expect("flush");
    assert_eq!(mock.state.count(0x35), 1);
    // 2000 blocks are two UNMAPs, and 4000 are two WRITE SAMEs, by the unit's limits.
    device.discard(512, 2000 * 512).await.expect("discard");
    assert_eq!(mock.state.count(0x42), 2);
    assert!(mock.state.disk()[512..2001 * 512].iter().all(|byte| *byte == 0xee));
    check(&device, 0, 512, 1).await;
    check(&device, 2001 * 512, 512, 1).await;
    device.write_zeroes(1024, 4000 * 512).await.expect("zeroes");
    assert_eq!(mock.state.count(0x93), 2);
    assert!(mock.state.disk()[1024..4002 * 512].iter().all(|byte| *byte == 0));
    check(&device, 4002 * 512, 512, 1).await;
}

#[tokio::test]
async fn zeroes_are_written_where_write_same_is_unknown() {
    // Several WRITE SAMEs were in flight: the first refusal turned to plain writes, and the second, finding that
    // turn already made, failed the request.
    let mock = Mock::start(|_| Act::Serve).await;
    mock.state.without_write_same.store(true, Ordering::SeqCst);
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 8 << 20, 1).await.expect("write");
    device.write_zeroes(512, 7 << 20).await.expect("zeroes");
    assert!(mock.state.disk()[512..(7 << 20) + 512].iter().all(|byte| *byte == 0));
    check(&device, 0, 512, 1).await;
    check(&device, (7 << 20) + 512, 512, 1).await;
}

#[tokio::test]
async fn wrong_requests_are_refused_here() {
    let mock = Mock::start(|_| Act::Serve).await;
    mock.state.write_protected.store(true, Ordering::SeqCst);
    let device = open(&mock.url()).await.expect("open");
    assert!(matches!(device.read_at(1, 512).await, Err(BlockError::Misaligned { .. })));
    assert!(matches!(device.read_at(32 << 20, 512).await, Err(BlockError::OutOfRange { .. })));
    assert!(matches!(write(&device, 0, 512, 0).await, Err(BlockError::ReadOnly { .. })));
    let mut read_only = options();
    read_only.read_only = true;
    mock.state.write_protected.store(false, Ordering::SeqCst);
    let device = initiator::IscsiDevice::open(&url(&mock.url()), read_only).await.expect("open");
    assert!(matches!(write(&device, 0, 512, 0).await, Err(BlockError::ReadOnly { .. })));
    assert_eq!(mock.state.writes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn dropping_the_device_logs_out() {
    let mock = Mock::start(|_| Act::Serve).await;
    drop(open(&mock.url()).await.expect("open"));
    for _ in 0..100 {
        if mock.state.logouts.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no logout");
}

#[tokio::test]
async fn a_future_that_is_dropped_harms_nobody() {
    let mock = Mock::start(|_| Act::Serve).await;
    let device = open(&mock.url()).await.expect("open");
    write(&device, 0, 1 << 20, 1).await.expect("write");
    for round in 0..20 {
        let mut futures = Vec::new();
        for number in 0..64 {
            futures.push(device.read(number * 4096, Buf::for_read(4096).into_bufs()));
        }
        futures.truncate(round);
        tokio::task::yield_now().await;
    }
    check(&device, 0, 1 << 20, 1).await;
}

#[tokio::test]
async fn discovery_tells_targets_with_their_addresses() {
    let mock = Mock::start(|_| Act::Serve).await;
    let portal = mock.address.to_string().parse().expect("portal");
    let found = initiator::discover(portal, None, None, options()).await.expect("discover");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].address.as_str(), found[0].portal_group.as_str()), ("127.0.0.1:3260", "1"));
    assert_eq!(found[0].target, NAME);
    let luns = initiator::scan(&url(&mock.url()), options()).await.expect("scan");
    assert_eq!(luns.len(), 1);
    assert_eq!(luns[0].as_ref().expect("a disk").geometry.size, 32 << 20);
    assert_eq!(mock.state.logouts.load(Ordering::SeqCst), 2);
}
