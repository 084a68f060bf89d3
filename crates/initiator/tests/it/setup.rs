//! Devices and patterns for the tests.

use std::time::Duration;

use block::{BlockDevice, BlockDeviceExt as _, BlockError, Buf, Durability};
use initiator::{ChapEnv, ConnectError, IscsiDevice, IscsiName, SessionOptions, VolumeUrl};

/// Options with short limits, so that what must time out does.
pub(crate) fn options() -> SessionOptions {
    let name = IscsiName::parse("iqn.2026-11.org.oxsan.test:initiator").expect("name");
    SessionOptions {
        connect_timeout: Duration::from_secs(2),
        login_timeout: Duration::from_secs(2),
        ping_interval: Some(Duration::from_millis(200)),
        ping_timeout: Duration::from_millis(500),
        replacement_timeout: Duration::from_secs(20),
        ..SessionOptions::new(name)
    }
}

pub(crate) fn url(text: &str) -> VolumeUrl {
    VolumeUrl::parse(text, &ChapEnv::default()).expect("url")
}

pub(crate) async fn open(text: &str) -> Result<IscsiDevice, ConnectError> {
    IscsiDevice::open(&url(text), options()).await
}

/// Bytes that differ from place to place and from round to round.
pub(crate) fn pattern(offset: u64, len: usize, round: u8) -> Buf {
    let mut buf = Buf::zeroed(len);
    for (index, byte) in buf.iter_mut().enumerate() {
        let at = offset as usize + index;
        *byte = (at / 512) as u8 ^ (at % 251) as u8 ^ round;
    }
    buf
}

pub(crate) async fn write(
    device: &IscsiDevice,
    offset: u64,
    len: usize,
    round: u8,
) -> Result<(), BlockError> {
    device.write_at(offset, pattern(offset, len, round), Durability::Cached).await
}

pub(crate) async fn check(device: &IscsiDevice, offset: u64, len: usize, round: u8) {
    let buf = device.read_at(offset, len).await.expect("read");
    assert!(buf[..] == pattern(offset, len, round)[..], "{len} bytes at {offset} differ");
}

/// `count` writes at a time, each of `len` bytes, one behind the other.
pub(crate) async fn write_many(device: &IscsiDevice, count: u64, len: usize, round: u8) {
    let mut futures = Vec::new();
    for number in 0..count {
        let offset = number * len as u64;
        let bufs = pattern(offset, len, round).into_bufs();
        futures.push(device.write(offset, bufs, Durability::Cached));
    }
    for future in futures {
        let (bufs, result) = future.await;
        result.expect("write");
        assert_eq!(bufs[0].len(), len, "the buffer comes back");
    }
}

/// The same range read `count` requests at a time.
pub(crate) async fn check_many(device: &IscsiDevice, count: u64, len: usize, round: u8) {
    let mut futures = Vec::new();
    for number in 0..count {
        futures.push(device.read(number * len as u64, Buf::for_read(len).into_bufs()));
    }
    for (number, future) in (0..count).zip(futures) {
        let (bufs, result) = future.await;
        result.expect("read");
        let offset = number * len as u64;
        assert!(bufs[0][..] == pattern(offset, len, round)[..], "read {number} differs");
    }
}
