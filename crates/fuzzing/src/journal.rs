//! A journal, superblock and log, with blocks of 512 bytes (so that a short input holds many), or of 4096.

use std::sync::Arc;

use block::{Backend, FileDevice, OpenOptions};
use ocfs2::{SystemFile, Volume};

/// Volumes and the slot whose journal is dirty.
const DIRTY: [(&str, u16); 5] =
    [("dirty", 0), ("dirty-slot1", 1), ("dirty-ecc", 1), ("dirty-orphan", 0), ("dirty-orphan-slot1", 1)];

/// Log blocks in a seed.
const LOG_BLOCKS: u32 = 15;

/// Bytes of a block in the fixtures' journals.
const BLOCK: u64 = 4096;

pub(crate) fn run(bytes: &[u8]) {
    for block_size in [512, 4096] {
        crate::keep(jbd2::fuzz_bodies::journal(bytes, block_size));
    }
}

/// The head of each dirty log, moved to the front of a journal that is only so long.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    DIRTY.iter().map(|&(volume, slot)| log(volume, slot)).collect()
}

fn log(volume: &str, slot: u16) -> Vec<u8> {
    let options = OpenOptions { read_only: true, backend: Backend::Inline, ..Default::default() };
    let device = FileDevice::open(fixtures::image(volume), options).expect("a fixture");
    let options = ocfs2::OpenOptions { replay: false, ..Default::default() };
    crate::volume::block_on(async {
        let volume = Volume::open(Arc::new(device), options).await.expect("a fixture opens");
        let journal = volume.system_file(SystemFile::Journal(slot)).expect("a slot has a journal");
        let journal = volume.inode(journal).await.expect("a journal has an inode");
        let mut out = volume.read(&journal, 0, BLOCK).await.expect("a superblock").to_vec();
        let word =
            |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let start = u64::from(word(&out, START));
        let log = volume.read(&journal, start * BLOCK, u64::from(LOG_BLOCKS) * BLOCK).await.expect("a log");
        for (at, value) in [(MAXLEN, LOG_BLOCKS + 1), (FIRST, 1), (START, 1)] {
            out[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        out.extend(log.to_vec());
        out
    })
}

/// `s_maxlen`, `s_first` and `s_start` in the journal's superblock.
const MAXLEN: usize = 0x10;
const FIRST: usize = 0x14;
const START: usize = 0x1c;
