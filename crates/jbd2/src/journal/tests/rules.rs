//! The engine's rules, one by one.

use zerocopy::IntoBytes;

use super::disk::{Disk, Told, at, image, settle};
use crate::journal::output::{Purpose, Request};
use crate::journal::{AbortCause, Images, IoId, Journal, JournalOptions, Output, Place, Refused, Tid};
use crate::{
    CompatFeatures, IncompatFeatures, JournalError, JournalSuperblock, RawJournalSuperblock, Sequence,
};

const MAXLEN: u32 = 66;

fn open() -> (Disk, Journal, Told) {
    let mut disk = Disk::new(MAXLEN, false, 1);
    let (journal, _) = disk.open(MAXLEN);
    (disk, journal, Told::default())
}

fn put(journal: &mut Journal, blocks: impl IntoIterator<Item = u64>) -> Tid {
    let images: Images = blocks.into_iter().map(|block| (block, image(1))).collect();
    let reservation = journal.reserve(u32::try_from(images.len()).unwrap()).unwrap();
    journal.publish(reservation, images).unwrap()
}

/// What comes out, without bytes.
fn outputs(journal: &mut Journal) -> Vec<Output> {
    std::iter::from_fn(|| journal.poll_output()).collect()
}

#[test]
fn many_who_ask_share_one_commit_and_who_comes_later_gets_the_next() {
    let (mut disk, mut journal, mut told) = open();
    let first = [put(&mut journal, [1]), put(&mut journal, [2]), put(&mut journal, [1])];
    assert_eq!(first, [Tid(1); 3]);
    assert_eq!([journal.commit(), journal.commit()], [Tid(1); 2]);
    let second = put(&mut journal, [3]);
    assert_eq!((second, journal.commit()), (Tid(2), Tid(2)));
    disk.take(&mut journal, &mut told);
    // The superblock that names the start, and one run: descriptor and two copies.
    assert_eq!(disk.flying.len(), 2);
    settle(&mut disk, &mut journal, &mut told);
    assert_eq!((told.committed, journal.durable(), told.passed), (Tid(2), Tid(2), Tid(0)));
}

#[test]
fn a_commit_of_nothing_has_nothing_to_wait_for() {
    let (mut disk, mut journal, mut told) = open();
    assert_eq!(journal.commit(), journal.durable());
    put(&mut journal, [1]);
    journal.commit();
    settle(&mut disk, &mut journal, &mut told);
    assert_eq!(journal.commit(), journal.durable());
    let reservation = journal.reserve(3).unwrap();
    assert_eq!(journal.publish(reservation, Vec::new()), Ok(Tid(1)), "an operation that changed nothing");
    assert_eq!(outputs(&mut journal), []);
}

#[test]
fn the_commit_block_follows_a_flush_that_follows_all_copies() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1, 2]);
    journal.commit();
    disk.take(&mut journal, &mut told);
    disk.answer(1, &mut journal, true);
    assert_eq!(outputs(&mut journal), [], "the superblock is still on its way");
    disk.answer(0, &mut journal, true);
    let [Output::Flush { id }] = outputs(&mut journal)[..] else { panic!("a flush") };
    journal.done(id, true);
    let [Output::Write { id, place, durable, .. }] = &outputs(&mut journal)[..] else { panic!("a write") };
    // With blocks of 512 the log begins at 2: descriptor, two copies, commit block.
    assert_eq!((*place, *durable), (Place::Log(5), true));
    journal.done(*id, true);
    assert_eq!(outputs(&mut journal), [Output::Committed(Tid(1))]);
}

#[test]
fn a_transaction_is_committed_when_it_is_five_seconds_old() {
    let (mut disk, mut journal, mut told) = open();
    journal.tick(at(10), at(0));
    assert_eq!(journal.next_deadline(), None);
    put(&mut journal, [1]);
    assert_eq!(journal.next_deadline(), Some(at(15)));
    journal.tick(at(12), at(0));
    put(&mut journal, [2]);
    journal.tick(at(14), at(0));
    assert_eq!(outputs(&mut journal), []);
    journal.tick(at(15), at(0));
    assert_eq!(journal.next_deadline(), None);
    settle(&mut disk, &mut journal, &mut told);
    assert_eq!(told.committed, Tid(1));
}

#[test]
fn a_reservation_keeps_its_transaction_open_and_the_next_waits() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1]);
    let late = journal.reserve(1).unwrap();
    journal.commit();
    assert_eq!(outputs(&mut journal), []);
    assert_eq!(journal.reserve(1).unwrap_err(), Refused::Full);
    assert_eq!(journal.publish(late, vec![(2, image(2))]), Ok(Tid(1)));
    settle(&mut disk, &mut journal, &mut told);
    assert_eq!((told.committed, told.space), (Tid(1), 1));
    let next = journal.reserve(1).unwrap();
    journal.release(next);
}

#[test]
fn what_is_too_large_or_not_as_reserved_is_refused_and_nothing_of_it_taken() {
    let (_, mut journal, _) = open();
    let max = journal.max_credits();
    assert_eq!(max, 64 / 4 / 2);
    assert_eq!(journal.reserve(max + 1).unwrap_err(), Refused::TooLarge { credits: max + 1, max });
    for (images, refused) in [
        (vec![(1, image(1)), (2, image(2))], Refused::Overrun { found: 2, credits: 1 }),
        (vec![(1, [0; 511].as_slice().into())], Refused::Length { block: 1, len: 511 }),
        (vec![(1 << 32, image(1))], Refused::BlockRange { block: 1 << 32, highest: (1 << 32) - 1 }),
    ] {
        let reservation = journal.reserve(1).unwrap();
        assert_eq!(journal.publish(reservation, images), Err(refused));
    }
    assert_eq!((journal.commit(), outputs(&mut journal)), (Tid(0), vec![]));
    assert_eq!(journal.running.reserved, 0);
}

#[test]
fn a_checkpoint_leaves_an_empty_log_and_the_next_commit_names_its_start_again() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1, 2]);
    assert_eq!(journal.checkpoint_all(), Tid(1));
    settle(&mut disk, &mut journal, &mut told);
    assert_eq!((told.passed, told.empty, journal.passed()), (Tid(1), true, Tid(1)));
    assert_eq!(told.home.iter().map(|(block, _)| *block).collect::<Vec<_>>(), [1, 2]);
    // As jbd2_journal_flush leaves it: empty, and the number of the transaction to come.
    let superblock = disk.superblock(MAXLEN);
    assert_eq!((superblock.start, superblock.sequence), (None, journal.sequence(Tid(2))));
    let (_, state) = disk.open(MAXLEN);
    assert_eq!(state.len(), 2);
    put(&mut journal, [3]);
    journal.commit();
    let places: Vec<Place> = outputs(&mut journal)
        .iter()
        .filter_map(|output| match output {
            Output::Write { place, .. } => Some(*place),
            _ => None,
        })
        .collect();
    assert_eq!(places, [Place::Log(0), Place::Log(6)]);
}

/// Two writes of the superblock on their way at once have no order: the log could be empty on stable storage, with a
/// committed transaction in it.
#[test]
fn a_commit_waits_for_the_superblock_that_empties_the_log() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1]);
    journal.checkpoint_all();
    // The superblock and the copies, a flush, the commit block, the block's home, a flush.
    for _ in 0..6 {
        disk.take(&mut journal, &mut told);
        disk.answer(0, &mut journal, true);
    }
    let out = outputs(&mut journal);
    let [Output::Home(_), Output::Write { id, place: Place::Log(0), .. }] = out[..] else {
        panic!("{out:?}")
    };
    put(&mut journal, [2]);
    journal.commit();
    assert_eq!(outputs(&mut journal), []);
    journal.done(id, true);
    let out = outputs(&mut journal);
    let [Output::Tail { empty: true, .. }, Output::Write { .. }, Output::Write { .. }] = out[..] else {
        panic!("{out:?}")
    };
    let superblock = JournalSuperblock::parse(&written_head(&out), 512, MAXLEN).unwrap();
    assert_eq!(superblock.sequence, journal.sequence(Tid(2)));
}

/// The log is a ring: a transaction that reaches its end goes on at its beginning, in two writes.
#[test]
fn a_transaction_goes_around_the_ring() {
    let (mut disk, mut journal, mut told) = open();
    for _ in 0..40 {
        put(&mut journal, [1, 2, 3]);
        journal.commit();
        settle(&mut disk, &mut journal, &mut told);
    }
    assert_eq!(told.committed, Tid(40));
    assert!(told.passed > Tid(25) && told.passed < Tid(40), "the tail follows, no sooner than it must");
    let (_, state) = disk.open(MAXLEN);
    assert_eq!(state.len(), 3);
}

/// A superblock of transaction 1 and an empty log, changed by `edit`.
fn head(edit: impl FnOnce(&mut RawJournalSuperblock)) -> Vec<u8> {
    let mut raw = JournalSuperblock::format(512, MAXLEN, [9; 16], IncompatFeatures::empty());
    JournalSuperblock::set_start(&mut raw, Sequence(1), None);
    edit(&mut raw);
    raw.as_bytes().to_vec()
}

fn open_bytes(bytes: &[u8]) -> Result<Journal, JournalError> {
    Journal::open(bytes, 512, MAXLEN, JournalOptions::default())
}

/// The superblock that the journal wants to write, which is to be among its outputs.
fn written_head(outputs: &[Output]) -> Vec<u8> {
    let found = outputs.iter().find_map(|output| match output {
        Output::Write { place: Place::Log(0), blocks, .. } => Some(blocks.concat()),
        _ => None,
    });
    found.expect("a superblock")
}

#[test]
fn features_that_are_not_written_are_refused_by_name() {
    let bytes = head(|raw| raw.feature_incompat.set(IncompatFeatures::CSUM_V3.bits()));
    assert_eq!(open_bytes(&bytes).unwrap_err(), JournalError::Unsupported { feature: "checksum-v3" });
}

#[test]
fn what_asynchronous_commits_left_is_cleared_and_all_else_stays_as_found() {
    let bytes = head(|raw| {
        raw.feature_compat.set(CompatFeatures::CHECKSUM.bits());
        raw.feature_incompat.set((IncompatFeatures::ASYNC_COMMIT | IncompatFeatures::BIT64).bits());
        raw.errno.set(7);
        raw.nr_users.set(3);
    });
    let mut journal = open_bytes(&bytes).unwrap();
    put(&mut journal, [1 << 40]);
    journal.commit();
    let written = written_head(&outputs(&mut journal));
    let want = head(|raw| {
        raw.feature_incompat.set(IncompatFeatures::BIT64.bits());
        raw.start.set(2);
        raw.nr_users.set(3);
    });
    assert_eq!(written, want);
}

#[test]
fn a_log_with_a_start_is_not_written_over() {
    let bytes = head(|raw| raw.start.set(5));
    assert_eq!(open_bytes(&bytes).unwrap_err(), JournalError::NotEmpty { start: 5 });
    let emptied = Journal::emptied(&bytes, Sequence(9)).unwrap();
    assert_eq!(emptied, head(|raw| raw.sequence.set(9)));
    assert!(open_bytes(&emptied).is_ok());
}

/// The first block was kept as given: with more than it has, the block after it was written too, which is the log's;
/// with less, a write was shorter than a block.
#[test]
fn the_superblock_is_written_with_its_own_block_and_no_more() {
    let mut bytes =
        JournalSuperblock::format(4096, MAXLEN, [9; 16], IncompatFeatures::empty()).as_bytes().to_vec();
    bytes = Journal::emptied(&bytes, Sequence(1)).unwrap();
    let open = |bytes: &[u8]| Journal::open(bytes, 4096, MAXLEN, JournalOptions::default());
    assert_eq!(open(&bytes).unwrap_err(), JournalError::Short { len: 1024, want: 4096 });
    bytes.resize(3 * 4096, 0xee);
    let mut journal = open(&bytes).unwrap();
    let reservation = journal.reserve(1).unwrap();
    journal.publish(reservation, vec![(1, [0; 4096].as_slice().into())]).unwrap();
    journal.commit();
    let written = written_head(&outputs(&mut journal));
    assert_eq!((written.len(), &written[1024..]), (4096, &bytes[1024..4096]));
}

#[test]
fn a_block_that_the_volume_does_not_have_is_refused() {
    let (_, mut journal, _) = open();
    journal.set_volume_blocks(100);
    put(&mut journal, [99]);
    let reservation = journal.reserve(1).unwrap();
    let refused = Refused::BlockRange { block: 100, highest: 99 };
    assert_eq!(journal.publish(reservation, vec![(100, image(1))]), Err(refused));
}

#[test]
fn a_failure_is_noted_in_the_superblock_once_and_the_log_begins_where_it_did() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1]);
    journal.commit();
    settle(&mut disk, &mut journal, &mut told);
    put(&mut journal, [2]);
    journal.commit();
    let [Output::Write { id, place, .. }] = outputs(&mut journal)[..] else { panic!("a write") };
    journal.done(id, false);
    assert_eq!(journal.aborted(), Some(AbortCause::Write(place)));
    let out = outputs(&mut journal);
    let [Output::Aborted, Output::Write { id, durable: true, .. }] = out[..] else { panic!("{out:?}") };
    let written = JournalSuperblock::parse(&written_head(&out), 512, MAXLEN).unwrap();
    assert_eq!((written.start, written.sequence, written.errno.cast_signed()), (Some(2), Sequence(2), -5));
    journal.done(id, false);
    assert_eq!(outputs(&mut journal), [], "nothing more can be done");
    assert!(matches!(journal.reserve(1), Err(Refused::Aborted)));
}

#[test]
fn a_failure_is_noted_after_the_superblock_that_is_on_its_way() {
    let (_, mut journal, _) = open();
    put(&mut journal, [1]);
    journal.commit();
    let out = outputs(&mut journal);
    let [Output::Write { id: start, .. }, Output::Write { id: copies, .. }] = out[..] else {
        panic!("{out:?}")
    };
    journal.done(copies, false);
    assert_eq!(outputs(&mut journal), [Output::Aborted]);
    journal.done(start, true);
    let written = JournalSuperblock::parse(&written_head(&outputs(&mut journal)), 512, MAXLEN).unwrap();
    assert_eq!((written.start, written.errno.cast_signed()), (Some(2), -5));
}

/// What was told and not yet heard was dropped with the rest: a commit on stable storage was then never heard of.
#[test]
fn what_was_told_before_a_failure_is_still_heard_and_what_was_asked_is_not() {
    let (mut disk, mut journal, mut told) = open();
    put(&mut journal, [1]);
    journal.checkpoint_all();
    // The superblock and the copies, their flush; the commit block is on its way then.
    for _ in 0..3 {
        disk.take(&mut journal, &mut told);
        disk.answer(0, &mut journal, true);
    }
    disk.take(&mut journal, &mut told);
    disk.answer(0, &mut journal, true); // the commit block: Committed and a home write come out of it
    let home = IoId(journal.next_id - 1);
    assert!(journal.in_flight.contains_key(&home));
    journal.abort(Request { purpose: Purpose::HomeFlush, place: None });
    journal.write_obituary();
    let out = outputs(&mut journal);
    let [Output::Committed(Tid(1)), Output::Aborted, Output::Write { place: Place::Log(0), .. }] = out[..]
    else {
        panic!("{out:?}")
    };
    assert!(!journal.in_flight.contains_key(&home), "nobody will answer it");
}
