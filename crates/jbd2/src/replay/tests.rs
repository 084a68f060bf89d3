use std::collections::BTreeSet;

use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::block::RawCommit;
use crate::descriptor::{TagFormat, encode_descriptor, escape, unescape};
use crate::fuzz_bodies::journal;
use crate::revoke::encode_revoke;
use crate::superblock::IncompatFeatures;

const VOLUME: u64 = 1000;

/// What a made-up transaction does.
#[derive(Clone, Debug)]
struct Transaction {
    /// Block and the byte that fills its copy; 0xc0 makes a copy that must be escaped.
    writes: Vec<(u64, u8)>,
    revokes: Vec<u64>,
    committed: bool,
}

/// A journal with a log written by these, from `start` on.
struct Log {
    bytes: Vec<u8>,
    size: usize,
    wide: bool,
    at: u32,
    sequence: Sequence,
    superblock: JournalSuperblock,
}

impl Log {
    fn new(size: usize, blocks: u32, start: u32, sequence: u32, wide: bool) -> Self {
        let features = if wide { IncompatFeatures::BIT64 } else { IncompatFeatures::empty() };
        let mut raw = JournalSuperblock::format(u32::try_from(size).unwrap(), blocks, [5; 16], features);
        JournalSuperblock::set_start(&mut raw, Sequence(sequence), Some(start));
        let mut bytes = vec![0; size * blocks as usize];
        raw.write_to_prefix(&mut bytes).unwrap();
        let superblock = JournalSuperblock::parse(&bytes, u32::try_from(size).unwrap(), blocks).unwrap();
        Self { bytes, size, wide, at: start, sequence: Sequence(sequence), superblock }
    }

    fn put(&mut self, data: &[u8]) {
        let at = self.at;
        let start = at as usize * self.size;
        self.bytes[start..start + self.size].fill(0);
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.at = self.superblock.next_block(at);
    }

    fn add(&mut self, transaction: &Transaction) {
        let format = TagFormat { wide: self.wide };
        let mut block = vec![0; self.size];
        if !transaction.revokes.is_empty() {
            encode_revoke(format, self.sequence, &transaction.revokes, &mut block).unwrap();
            self.put(&block);
        }
        for writes in transaction.writes.chunks(format.capacity(self.size)) {
            let mut copies: Vec<_> = writes.iter().map(|&(_, fill)| content(self.size, fill)).collect();
            let tags: Vec<_> =
                writes.iter().zip(&mut copies).map(|(&(block, _), copy)| (block, escape(copy))).collect();
            encode_descriptor(format, self.sequence, [5; 16], &tags, &mut block).unwrap();
            self.put(&block);
            for copy in &copies {
                self.put(copy);
            }
        }
        if transaction.committed {
            self.put(RawCommit::new(self.sequence, 1, 2).as_bytes());
            self.sequence = self.sequence.next();
        }
    }

    fn replay(&self) -> Result<Recovered, JournalError> {
        let mut replay = Replay::new(&self.superblock, VOLUME)?;
        while let Some(block) = replay.wanted() {
            replay.feed(&self.bytes[block as usize * self.size..][..self.size])?;
        }
        Ok(replay.finish())
    }

    /// The blocks as they are after the replay.
    fn contents(&self, recovered: &Recovered) -> BTreeMap<u64, Vec<u8>> {
        let read = |copy: &LogCopy| {
            let mut data = self.bytes[copy.log_block as usize * self.size..][..self.size].to_vec();
            if copy.escaped {
                unescape(&mut data);
            }
            data
        };
        recovered.copies.iter().map(|(&block, copy)| (block, read(copy))).collect()
    }
}

fn content(size: usize, fill: u8) -> Vec<u8> {
    let mut data = vec![fill; size];
    if fill == 0xc0 {
        data[..4].copy_from_slice(&crate::MAGIC.to_be_bytes());
    }
    data
}

/// What three passes give: the end, then revokes, then copies in order.
fn expected(size: usize, transactions: &[Transaction]) -> BTreeMap<u64, Vec<u8>> {
    let end = transactions.iter().position(|t| !t.committed).unwrap_or(transactions.len());
    let whole = &transactions[..end];
    let mut revoked = BTreeMap::new();
    for (index, transaction) in whole.iter().enumerate() {
        revoked.extend(transaction.revokes.iter().map(|&block| (block, index)));
    }
    let mut home = BTreeMap::new();
    for (index, transaction) in whole.iter().enumerate() {
        for &(block, fill) in &transaction.writes {
            if revoked.get(&block).is_none_or(|&by| by < index) {
                home.insert(block, content(size, fill));
            }
        }
    }
    home
}

fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    let fill = prop_oneof![any::<u8>(), Just(0xc0)];
    let writes = prop::collection::vec((0_u64..40, fill), 0..90);
    let revokes = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0_u64..40, 1..20)];
    let one =
        (writes, revokes).prop_map(|(writes, revokes)| Transaction { writes, revokes, committed: true });
    (prop::collection::vec(one, 0..8), any::<bool>()).prop_map(|(mut all, last)| {
        if let Some(transaction) = all.last_mut() {
            transaction.committed = last;
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(128)) })]

    #[test]
    fn one_pass_is_three(
        transactions in transactions(),
        start in 2_u32..1000,
        sequence in prop_oneof![1_u32..9, u32::MAX - 3..=u32::MAX],
        wide in any::<bool>(),
    ) {
        let mut log = Log::new(512, 1000, start, sequence, wide);
        // An older round of the log: stale transactions everywhere.
        let stale = Transaction { writes: vec![(7, 1), (8, 2)], revokes: vec![9], committed: true };
        log.sequence = Sequence(sequence.wrapping_sub(500));
        for _ in 0..220 {
            log.add(&stale);
        }
        (log.at, log.sequence) = (start, Sequence(sequence));
        transactions.iter().for_each(|transaction| log.add(transaction));
        let recovered = log.replay().unwrap();
        prop_assert_eq!(log.contents(&recovered), expected(512, &transactions));
        prop_assert_eq!(recovered.next_sequence, log.sequence.next());
        let whole = transactions.iter().filter(|t| t.committed).count();
        prop_assert_eq!(recovered.transactions as usize, whole);
    }

    #[test]
    fn a_damaged_log_ends_or_fails(
        transactions in transactions(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut log = Log::new(512, 300, 290, 1, true);
        transactions.iter().take(2).for_each(|transaction| log.add(transaction));
        for (at, byte) in changes {
            let index = at.index(log.bytes.len());
            log.bytes[index] = byte;
        }
        let copies = journal(&log.bytes, 512).map_or(0, |recovered| recovered.copies.len());
        prop_assert!(copies < 300);
    }
}

#[test]
fn an_empty_log_wants_nothing() {
    let mut log = Log::new(4096, 100, 1, 41, false);
    log.superblock.start = None;
    let recovered = log.replay().unwrap();
    assert!(recovered.copies.is_empty());
    assert_eq!(recovered.next_sequence, Sequence(42));
}

#[test]
fn a_start_outside_the_log_is_an_error() {
    for (start, size) in [(100, 4096), (1, 512)] {
        let mut log = Log::new(size, 100, 2, 1, false);
        log.superblock.start = Some(start);
        assert!(matches!(log.replay(), Err(JournalError::Start { found, .. }) if found == start));
    }
}

#[test]
fn a_block_outside_the_volume_is_an_error_once_committed() {
    let mut transaction =
        Transaction { writes: vec![(5, 1), (VOLUME, 2)], revokes: vec![], committed: false };
    let mut log = Log::new(4096, 100, 1, 1, false);
    log.add(&transaction);
    assert!(log.replay().unwrap().copies.is_empty(), "never finished: nothing of it counts");
    transaction.committed = true;
    let mut log = Log::new(4096, 100, 1, 1, false);
    log.add(&transaction);
    let error = log.replay().unwrap_err();
    assert_eq!(error, JournalError::TagRange { log_block: 1, sequence: Sequence(1), block: VOLUME });
    let text = "journal: descriptor at log block 1 (transaction 1): block 1000 lies outside the volume";
    assert_eq!(error.to_string(), text);
}

/// A log whose every block is a descriptor of the same transaction would be walked for ever, if only sequences ended it.
#[test]
fn a_log_that_loops_ends() {
    let mut log = Log::new(4096, 100, 50, 1, false);
    let mut block = vec![0; 4096];
    encode_descriptor(TagFormat { wide: false }, Sequence(1), [0; 16], &[(1, false)], &mut block).unwrap();
    for _ in 0..99 {
        log.put(&block);
    }
    let mut reads = BTreeSet::new();
    let mut replay = Replay::new(&log.superblock, VOLUME).unwrap();
    while let Some(at) = replay.wanted() {
        assert!(reads.insert(at), "no block is read twice");
        replay.feed(&log.bytes[at as usize * 4096..][..4096]).unwrap();
    }
    assert!(replay.finish().copies.is_empty());
}

#[test]
fn wrong_calls_are_errors() {
    let log = Log::new(4096, 100, 1, 1, false);
    let mut replay = Replay::new(&log.superblock, VOLUME).unwrap();
    let length = JournalError::BlockLength { log_block: 1, len: 512, want: 4096 };
    assert_eq!(replay.feed(&[0; 512]), Err(length));
    replay.feed(&[0; 4096]).unwrap();
    assert_eq!(replay.feed(&[0; 4096]), Err(JournalError::NotWanted));
}
