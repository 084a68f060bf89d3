//! Random reads and writes over random parameters and a wire that cuts the stream anywhere, against a model disk.

use iscsi::text::{DigestPolicy, Settings};
use iscsi::{InitiatorConfig, Residual, TargetConfig, Verdict};
use proptest::prelude::*;

use crate::pair::{BLOCK, Pair, config};

fn digest() -> impl Strategy<Value = DigestPolicy> {
    prop_oneof![Just(DigestPolicy::PreferNone), Just(DigestPolicy::PreferCrc32c)]
}

/// Small sizes, so that bursts and segments end in odd places.
fn settings() -> impl Strategy<Value = Settings> {
    (digest(), digest(), any::<(bool, bool)>(), 512..9000_u32, 512..9000_u32, 512..9000_u32, 1..5_u16)
        .prop_map(
            |(
                header_digest,
                data_digest,
                (initial_r2t, immediate_data),
                max_recv_data,
                a,
                b,
                max_outstanding_r2t,
            )| {
                Settings {
                    header_digest,
                    data_digest,
                    initial_r2t,
                    immediate_data,
                    max_recv_data,
                    max_burst: a.max(b),
                    first_burst: a.min(b),
                    max_outstanding_r2t,
                    ..Settings::default()
                }
            },
        )
}

#[derive(Clone, Debug)]
enum Op {
    Read {
        lba: usize,
        blocks: usize,
    },
    Write {
        lba: usize,
        blocks: usize,
        fill: u8,
    },
    /// Let what was submitted end.
    Settle,
}

fn op() -> impl Strategy<Value = Op> {
    let place = || (0..64_usize, 1..64_usize);
    prop_oneof![
        place().prop_map(|(lba, blocks)| Op::Read { lba, blocks }),
        (place(), any::<u8>()).prop_map(|((lba, blocks), fill)| Op::Write { lba, blocks, fill }),
        Just(Op::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(150)))]

    #[test]
    fn what_is_written_is_read(
        ours in settings(), theirs in settings(), ops in proptest::collection::vec(op(), 1..40),
        cuts in proptest::collection::vec(1..5000_usize, 1..20), depth in 1..20_u16,
    ) {
        let initiator = InitiatorConfig { settings: ours, ..config() };
        let target = TargetConfig { settings: theirs, queue_depth: depth, ..TargetConfig::default() };
        let mut pair = Pair::new(initiator, target);
        let mut cuts = cuts.into_iter().cycle();
        pair.cut = Box::new(move || cuts.next().unwrap_or(1));
        pair.run().unwrap();
        let mut model = vec![0_u8; 128 * BLOCK];
        let mut reads = Vec::new();
        for op in ops {
            match op {
                // The target of the test does commands in their order, so the model may run ahead.
                Op::Read { lba, blocks } => {
                    // Writes under way end when their last data comes: settle them first.
                    pair.run().unwrap();
                    let want = model[lba * BLOCK..][..blocks * BLOCK].to_vec();
                    reads.push((pair.read(lba, blocks), want));
                }
                Op::Write { lba, blocks, fill } => {
                    pair.run().unwrap();
                    let data: Vec<u8> = (0..blocks * BLOCK).map(|i| (i as u8).wrapping_mul(7) ^ fill).collect();
                    model[lba * BLOCK..][..data.len()].copy_from_slice(&data);
                    pair.write(lba, &data);
                }
                Op::Settle => pair.run().unwrap(),
            }
        }
        pair.run().unwrap();
        prop_assert_eq!(pair.initiator.in_flight(), 0);
        for (task, want) in reads {
            let (outcome, got) = pair.outcome(task);
            prop_assert_eq!((outcome.verdict, outcome.residual), (Verdict::Completed, Residual::None));
            prop_assert!(got == want);
        }
        prop_assert!(pair.disk[..model.len()] == model[..]);
    }

    /// Many at once: the window fills, R2Ts interleave.
    #[test]
    fn many_writes_at_once(
        ours in settings(), theirs in settings(), depth in 1..20_u16, step in 1..4000_usize,
    ) {
        let initiator = InitiatorConfig { settings: ours, ..config() };
        let target = TargetConfig { settings: theirs, queue_depth: depth, ..TargetConfig::default() };
        let mut pair = Pair::new(initiator, target);
        pair.cut = Box::new(move || step);
        let mut model = vec![0_u8; 40 * 32 * BLOCK];
        for i in 0..40_usize {
            let data: Vec<u8> = (0..32 * BLOCK).map(|at| (at / 3 + i * 11) as u8).collect();
            model[i * 32 * BLOCK..][..data.len()].copy_from_slice(&data);
            pair.write(i * 32, &data);
        }
        pair.run().unwrap();
        prop_assert_eq!(pair.initiator.in_flight(), 0);
        prop_assert!(pair.disk[..model.len()] == model[..]);
    }
}
