//! Random requests against a plain vector of bytes.

use block::{BlockDevice, BlockDeviceExt, Buf, Bufs, Durability};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::disks::disks;

const BLOCKS: u64 = 64;

#[derive(Clone, Debug)]
enum Step {
    Read { block: u64, blocks: u64, cut: usize },
    Write { block: u64, blocks: u64, cut: usize, fill: u8, stable: bool },
    Zero { block: u64, blocks: u64 },
    Discard { block: u64, blocks: u64 },
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (0..BLOCKS, 1..=BLOCKS / 2).prop_map(|(block, blocks)| (block, blocks.min(BLOCKS - block)));
    let step = prop_oneof![
        3 => (range.clone(), 0..4096_usize)
            .prop_map(|((block, blocks), cut)| Step::Read { block, blocks, cut }),
        5 => (range.clone(), 0..4096_usize, any::<u8>(), any::<bool>()).prop_map(
            |((block, blocks), cut, fill, stable)| Step::Write { block, blocks, cut, fill, stable }
        ),
        2 => range.clone().prop_map(|(block, blocks)| Step::Zero { block, blocks }),
        1 => range.prop_map(|(block, blocks)| Step::Discard { block, blocks }),
        1 => Just(Step::Flush),
    ];
    proptest::collection::vec(step, 1..24)
}

/// `data` in two buffers, cut at `cut` or not at all.
fn in_two(data: &[u8], cut: usize) -> Bufs {
    let (head, tail) = data.split_at(cut.min(data.len()));
    [head, tail].into_iter().filter(|part| !part.is_empty()).map(Buf::copy_of).collect()
}

async fn play(device: &dyn BlockDevice, steps: &[Step]) {
    let grain = usize::try_from(device.geometry().logical_block).unwrap();
    let size = usize::try_from(device.geometry().size).unwrap();
    device.write_zeroes(0, device.geometry().size).await.unwrap();
    let mut model = vec![0; size];
    let span = |block: u64, blocks: u64| {
        let start = usize::try_from(block).unwrap() * grain;
        start..start + usize::try_from(blocks).unwrap() * grain
    };
    for step in steps {
        match *step {
            Step::Read { block, blocks, cut } => {
                let span = span(block, blocks);
                let into = in_two(&vec![0xee; span.len()], cut);
                let (bufs, result) = device.read(span.start as u64, into).await;
                result.unwrap();
                let got: Vec<u8> = bufs.iter().flat_map(|b| b.to_vec()).collect();
                assert!(got == model[span], "{step:?}");
            }
            Step::Write { block, blocks, cut, fill, stable } => {
                let span = span(block, blocks);
                model[span.clone()].fill(fill);
                let durability = if stable { Durability::Stable } else { Durability::Cached };
                device.write(span.start as u64, in_two(&model[span], cut), durability).await.1.unwrap();
            }
            Step::Zero { block, blocks } => {
                let span = span(block, blocks);
                model[span.clone()].fill(0);
                device.write_zeroes(span.start as u64, span.len() as u64).await.unwrap();
            }
            Step::Discard { block, blocks } => {
                let span = span(block, blocks);
                device.discard(span.start as u64, span.len() as u64).await.unwrap();
                // Contents are undefined after a discard: take over what is there.
                let now = device.read_at(span.start as u64, span.len()).await.unwrap();
                model[span].copy_from_slice(&now);
            }
            Step::Flush => device.flush().await.unwrap(),
        }
    }
    assert!(device.read_at(0, size).await.unwrap()[..] == model[..], "at the end");
}

#[test]
fn every_disk_is_a_vector_of_bytes() {
    let config =
        ProptestConfig { cases: fixtures::cases(32), failure_persistence: None, ..ProptestConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for disk in disks(BLOCKS * 4096) {
        let mut runner = TestRunner::new(config.clone());
        let result = runner.run(&steps(), |steps| {
            runtime.block_on(play(&*disk.device, &steps));
            Ok(())
        });
        result.unwrap_or_else(|e| panic!("{}: {e}", disk.what));
    }
}
