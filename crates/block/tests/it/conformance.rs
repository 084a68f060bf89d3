//! One body for each promise of the trait, run on every disk.

use block::{BlockDevice, BlockDeviceExt, BlockError, Buf, Bufs, Durability};

use crate::disks::disks;

const SIZE: u64 = 4 << 20;

/// Bytes that tell their place: no two blocks are alike.
fn pattern(offset: u64, len: usize) -> Vec<u8> {
    let mut at = offset;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(
            &(at ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd134_2543_de82_ef95).to_le_bytes(),
        );
        at += 8;
    }
    out.truncate(len);
    out
}

#[tokio::test]
async fn what_is_written_is_read() {
    for disk in disks(SIZE) {
        let device = &disk.device;
        let grain = u64::from(device.geometry().logical_block);
        assert_eq!(device.geometry().size, SIZE, "{}", disk.what);
        for (block, blocks, durability) in [
            (0, 1, Durability::Cached),
            (3, 9, Durability::Stable),
            (SIZE / grain - 1, 1, Durability::Cached),
        ] {
            let offset = block * grain;
            let len = usize::try_from(blocks * grain).unwrap();
            let data = pattern(offset, len);
            device.write_at(offset, Buf::copy_of(&data), durability).await.unwrap();
            assert_eq!(&device.read_at(offset, len).await.unwrap()[..], &data[..], "{}", disk.what);
        }
        device.flush().await.unwrap();
        let before = device.read_at(grain, usize::try_from(2 * grain).unwrap()).await.unwrap();
        assert!(before.iter().all(|b| *b == 0), "{}: a neighbour changed", disk.what);
    }
}

#[tokio::test]
async fn buffers_of_any_length_make_one_request() {
    for disk in disks(SIZE) {
        let lengths = [1, 4095, 0, 512, 3584, 8192, 100, 3996];
        let total: usize = lengths.iter().sum();
        let data = pattern(4096, total);
        let mut rest = &data[..];
        let mut bufs = Bufs::new();
        for len in lengths {
            let (piece, after) = rest.split_at(len);
            bufs.push(Buf::copy_of(piece));
            rest = after;
        }
        let (bufs, result) = disk.device.write(4096, bufs, Durability::Cached).await;
        result.unwrap();
        assert_eq!(bufs.len(), lengths.len(), "{}: the buffers come back", disk.what);
        let into: Bufs = lengths.iter().rev().map(|len| Buf::for_read(*len)).collect();
        let (bufs, result) = disk.device.read(4096, into).await;
        result.unwrap();
        assert_eq!(bufs.iter().flat_map(|b| b.to_vec()).collect::<Vec<_>>(), data, "{}", disk.what);
        assert!(bufs.iter().all(|b| !b.is_stale()), "{}: filled and still stale", disk.what);
    }
}

#[tokio::test]
async fn more_buffers_than_one_system_call_takes() {
    for disk in disks(SIZE) {
        let data = pattern(0, 2600 * 512);
        let bufs: Bufs = data.chunks(512).map(Buf::copy_of).collect();
        let len = data.len() / 4096 * 4096;
        let bufs: Bufs = bufs.into_iter().take(len / 512).collect();
        disk.device.write(0, bufs, Durability::Stable).await.1.unwrap();
        let into: Bufs = (0..len / 512).map(|_| Buf::for_read(512)).collect();
        let (bufs, result) = disk.device.read(0, into).await;
        result.unwrap();
        assert_eq!(bufs.iter().flat_map(|b| b.to_vec()).collect::<Vec<_>>(), data[..len], "{}", disk.what);
    }
}

#[tokio::test]
async fn a_wrong_range_is_refused_with_nothing_done() {
    for disk in disks(SIZE) {
        let device = &disk.device;
        let grain = u64::from(device.geometry().logical_block);
        for (offset, len) in [(1, grain), (grain / 2, grain), (0, grain - 1), (0, 1)] {
            let buf = Buf::zeroed(usize::try_from(len).unwrap());
            let (bufs, read) = device.read(offset, buf.into_bufs()).await;
            assert_eq!(bufs.len(), 1, "the buffer comes back");
            let write = device.write(offset, bufs, Durability::Cached).await.1;
            for result in
                [read, write, device.discard(offset, len).await, device.write_zeroes(offset, len).await]
            {
                let error = result.unwrap_err();
                assert!(matches!(error, BlockError::Misaligned { .. }), "{}: {error:?}", disk.what);
            }
        }
        for (offset, len) in [(SIZE, grain), (SIZE - grain, 2 * grain), (u64::MAX - grain + 1, grain)] {
            let buf = Buf::copy_of(&vec![7; usize::try_from(len).unwrap()]);
            let (bufs, read) = device.read(offset, buf.into_bufs()).await;
            let write = device.write(offset, bufs, Durability::Cached).await.1;
            for result in
                [read, write, device.discard(offset, len).await, device.write_zeroes(offset, len).await]
            {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, BlockError::OutOfRange { size: SIZE, .. }),
                    "{}: {error:?}",
                    disk.what
                );
            }
        }
        let last = device.read_at(SIZE - grain, usize::try_from(grain).unwrap()).await.unwrap();
        assert!(last.iter().all(|b| *b == 0), "{}: a refused write left its mark", disk.what);
        assert!(device.read_at(0, usize::MAX / 2).await.is_err(), "no memory for a length that cannot be");
    }
}

#[tokio::test]
async fn no_bytes_are_done_at_once() {
    for disk in disks(SIZE) {
        for offset in [0, SIZE] {
            disk.device.read(offset, Bufs::new()).await.1.unwrap();
            disk.device.write(offset, Buf::zeroed(0).into_bufs(), Durability::Stable).await.1.unwrap();
            disk.device.discard(offset, 0).await.unwrap();
            disk.device.write_zeroes(offset, 0).await.unwrap();
        }
    }
}

#[tokio::test]
async fn zeroes_reach_exactly_their_range() {
    for disk in disks(SIZE) {
        let device = &disk.device;
        let grain = u64::from(device.geometry().logical_block);
        let len = usize::try_from(SIZE).unwrap();
        let mut model = pattern(0, len);
        device.write_at(0, Buf::copy_of(&model), Durability::Cached).await.unwrap();
        for (offset, len) in [
            (0, grain),
            (8192 + grain, grain),
            (16384, 4096),
            (20480 + grain, 20480),
            (65536 + grain, 40960 - grain),
            ((1 << 20) + 2 * grain, 1 << 20),
            (SIZE - grain, grain),
        ] {
            device.write_zeroes(offset, len).await.unwrap();
            let start = usize::try_from(offset).unwrap();
            model[start..start + usize::try_from(len).unwrap()].fill(0);
        }
        let after = device.read_at(0, len).await.unwrap();
        assert!(after[..] == model[..], "{}", disk.what);
    }
}

#[tokio::test]
async fn a_discard_leaves_its_neighbours_alone() {
    for disk in disks(SIZE) {
        let device = &disk.device;
        let grain = u64::from(device.geometry().logical_block);
        let len = usize::try_from(SIZE).unwrap();
        let model = pattern(0, len);
        device.write_at(0, Buf::copy_of(&model), Durability::Cached).await.unwrap();
        let (offset, amount) = (65536 + grain, 524_288);
        device.discard(offset, amount).await.unwrap();
        let after = device.read_at(0, len).await.unwrap();
        let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset + amount).unwrap());
        assert!(after[..start] == model[..start], "{}: before", disk.what);
        assert!(after[end..] == model[end..], "{}: after", disk.what);
    }
}

#[tokio::test]
async fn a_stale_buffer_is_not_written() {
    for disk in disks(SIZE) {
        let result = disk.device.write(0, Buf::for_read(4096).into_bufs(), Durability::Cached).await.1;
        assert!(matches!(result, Err(BlockError::StaleBuffer { .. })), "{}", disk.what);
        // What a read filled is not stale: copying a disk needs no zeroing.
        let (bufs, result) = disk.device.read(0, Buf::for_read(4096).into_bufs()).await;
        result.unwrap();
        disk.device.write(4096, bufs, Durability::Cached).await.1.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_in_flight() {
    for disk in disks(SIZE) {
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..64_u64 {
            let device = disk.device.clone();
            tasks.spawn(async move {
                let offset = lane * 65536;
                for round in 0..8 {
                    let data = pattern(offset + round, 8192);
                    device.write_at(offset, Buf::copy_of(&data), Durability::Cached).await.unwrap();
                    let back = device.read_at(offset, 8192).await.unwrap();
                    assert!(back[..] == data[..], "lane {lane}, round {round}");
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap_or_else(|e| panic!("{}: {e}", disk.what));
        }
    }
}
