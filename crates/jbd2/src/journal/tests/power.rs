//! Power cuts and failing requests at any moment.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::sample::Index;

use super::disk::{BLOCKS, Disk, Held, State, Told, at, image};
use crate::journal::{Journal, Refused, Reservation, Tid};

#[derive(Clone, Debug)]
enum Step {
    Reserve(u32),
    /// Publishes what the oldest reservation allows of these blocks.
    Publish(Vec<u64>),
    Release,
    Commit,
    CheckpointAll,
    Wait(u64),
    /// Reserves, publishes and asks for a commit, and answers all that is not held.
    Whole(Vec<u64>),
    /// From now on, answers to these are held back.
    Hold(Held),
    /// Answers one request that is not held.
    Answer(Index),
    Settle,
    Fail(Index),
    /// What is not stable is kept or lost by these bits.
    Cut(Vec<bool>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u32..6).prop_map(Step::Reserve),
        8 => prop::collection::vec(0..BLOCKS, 1..5).prop_map(Step::Publish),
        1 => Just(Step::Release),
        3 => Just(Step::Commit),
        1 => Just(Step::CheckpointAll),
        1 => (0_u64..7).prop_map(Step::Wait),
        4 => prop::collection::vec(0..BLOCKS, 1..4).prop_map(Step::Whole),
        2 => any::<(bool, bool)>().prop_map(|(homes, head)| Step::Hold(Held { homes, head })),
        20 => any::<Index>().prop_map(Step::Answer),
        1 => Just(Step::Settle),
        1 => prop::collection::vec(any::<bool>(), 1..16).prop_map(Step::Cut),
    ]
}

/// The engine, the disk, and what each transaction was told to be.
struct World {
    maxlen: u32,
    disk: Disk,
    journal: Journal,
    told: Told,
    reservations: VecDeque<Reservation>,
    /// What the volume holds after each transaction since the journal was opened, from number 0 on.
    states: Vec<State>,
    serial: u32,
    seconds: u64,
    /// What the disk does not answer for now.
    held: Held,
}

impl World {
    fn new(maxlen: u32, wide: bool, sequence: u32) -> Self {
        let mut disk = Disk::new(maxlen, wide, sequence);
        let (journal, state) = disk.open(maxlen);
        Self {
            maxlen,
            disk,
            journal,
            told: Told::default(),
            reservations: VecDeque::new(),
            states: vec![state],
            serial: 0,
            seconds: 0,
            held: Held::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Reserve(credits) => match self.journal.reserve(*credits) {
                Ok(reservation) => self.reservations.push_back(reservation),
                Err(Refused::Full | Refused::Aborted) => {}
                Err(Refused::TooLarge { .. }) => assert!(*credits > self.journal.max_credits()),
                Err(other) => panic!("{other}"),
            },
            Step::Publish(blocks) => self.publish(blocks),
            Step::Release => {
                if let Some(reservation) = self.reservations.pop_front() {
                    self.journal.release(reservation);
                }
            }
            Step::Commit => drop(self.journal.commit()),
            Step::CheckpointAll => drop(self.journal.checkpoint_all()),
            Step::Wait(seconds) => {
                self.seconds += seconds;
                self.journal.tick(at(self.seconds), at(self.seconds));
            }
            Step::Whole(blocks) => self.whole(blocks),
            Step::Hold(held) => self.held = *held,
            Step::Answer(index) => {
                let free = self.disk.not_held(self.held);
                if !free.is_empty() {
                    self.disk.answer(free[index.index(free.len())], &mut self.journal, true);
                }
            }
            Step::Fail(index) if !self.disk.flying.is_empty() => {
                let n = index.index(self.disk.flying.len());
                self.disk.answer(n, &mut self.journal, false);
            }
            Step::Fail(_) => {}
            Step::Settle => self.settle(),
            Step::Cut(bits) => self.cut(bits),
        }
        self.disk.take(&mut self.journal, &mut self.told);
    }

    fn publish(&mut self, blocks: &[u64]) {
        let Some(reservation) = self.reservations.pop_front() else { return };
        let mut images = State::new();
        for block in blocks.iter().take(reservation.credits() as usize) {
            self.serial += 1;
            images.insert(*block, image(self.serial));
        }
        match self.journal.publish(reservation, images.clone().into_iter().collect()) {
            Ok(tid) if !images.is_empty() => {
                let last = self.states.last().cloned().unwrap_or_default();
                self.states.resize(usize::try_from(tid.0).unwrap() + 1, last);
                self.states.last_mut().unwrap().extend(images);
            }
            Ok(_) | Err(Refused::Aborted) => {}
            Err(other) => panic!("{other}"),
        }
    }

    /// One operation and its commit, as fast as it goes.
    fn whole(&mut self, blocks: &[u64]) {
        while let Some(reservation) = self.reservations.pop_front() {
            self.journal.release(reservation);
        }
        self.step(&Step::Reserve(u32::try_from(blocks.len()).unwrap()));
        self.publish(blocks);
        self.journal.commit();
        self.disk.take(&mut self.journal, &mut self.told);
        while let Some(&first) = self.disk.not_held(self.held).first() {
            self.disk.answer(first, &mut self.journal, true);
            self.disk.take(&mut self.journal, &mut self.told);
        }
    }

    fn settle(&mut self) {
        while let Some(reservation) = self.reservations.pop_front() {
            self.journal.release(reservation);
        }
        super::disk::settle(&mut self.disk, &mut self.journal, &mut self.told);
    }

    /// The power fails, and the journal is opened again: what is found must be the volume after some transaction,
    /// none older than what was told to be stable.
    fn cut(&mut self, bits: &[bool]) {
        let mut bits = bits.iter().cycle();
        self.disk.cut(|| *bits.next().unwrap());
        // Another node may have changed what was passed: a replay that brought it back would undo that.
        let next = self.journal.sequence(Tid(self.told.passed.0 + 1));
        let again = self.disk.oldest(self.maxlen).filter(|oldest| !oldest.is_at_or_after(next));
        assert_eq!(again, None, "the log still holds what the tail was told to have passed, before {next}");
        let (journal, found) = self.disk.open(self.maxlen);
        let known = usize::try_from(self.told.committed.0).unwrap();
        let passed = usize::try_from(self.told.passed.0).unwrap();
        assert!(passed <= known, "passed {passed}, committed {known}");
        let sound = self.states.iter().skip(known).any(|state| *state == found);
        assert!(
            sound,
            "what is found is no state from transaction {known} on; {} were there",
            self.states.len()
        );
        self.journal = journal;
        self.told = Told::default();
        self.reservations.clear();
        self.states = vec![found];
    }
}

/// How many cases, more under `make soak`.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(fixtures::cases(400)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn after_a_power_cut_the_volume_is_what_it_was_after_a_transaction_none_told_stable_is_lost(
        maxlen in 14_u32..60,
        wide in any::<bool>(),
        sequence in prop_oneof![Just(1_u32), (u32::MAX - 20)..=u32::MAX],
        steps in prop::collection::vec(step(), 1..300),
        last in prop::collection::vec(any::<bool>(), 1..16),
    ) {
        let mut world = World::new(maxlen, wide, sequence);
        for step in &steps {
            world.step(step);
        }
        world.cut(&last);
    }

    #[test]
    fn a_failed_request_ends_the_journal_and_loses_nothing_that_was_told_stable(
        maxlen in 14_u32..60,
        steps in prop::collection::vec(step(), 1..200),
        which in any::<Index>(),
        after in prop::collection::vec(step(), 1..40),
        last in prop::collection::vec(any::<bool>(), 1..16),
    ) {
        let mut world = World::new(maxlen, false, 1);
        for step in &steps {
            world.step(step);
        }
        if !world.disk.flying.is_empty() {
            world.step(&Step::Fail(which));
            prop_assert!(world.told.aborted && world.journal.is_aborted());
            prop_assert_eq!(world.journal.reserve(1).unwrap_err(), Refused::Aborted);
            let durable = world.told.committed;
            for step in after.iter().filter(|step| !matches!(step, Step::Cut(_))) {
                world.step(step);
            }
            prop_assert_eq!(world.told.committed, durable, "nothing is told after the end");
        }
        world.cut(&last);
    }

    /// Everybody who is refused gets room in the end, every commit and checkpoint that is asked for comes: nothing
    /// waits for ever.
    #[test]
    fn nothing_waits_for_ever(
        maxlen in 14_u32..60,
        steps in prop::collection::vec(step(), 1..300),
        credits in 0_u32..3,
    ) {
        let mut world = World::new(maxlen, false, 1);
        for step in steps.iter().filter(|step| !matches!(step, Step::Cut(_))) {
            world.step(step);
        }
        let credits = credits.min(world.journal.max_credits());
        // Refused while the disk is slow: told when it is not.
        let told = world.told.space;
        let refused = match world.journal.reserve(credits) {
            Ok(reservation) => { world.reservations.push_back(reservation); false }
            Err(refused) => { prop_assert_eq!(refused, Refused::Full); true }
        };
        world.settle();
        prop_assert!(!refused || world.told.space > told, "refused, and never told of room");
        let mut tries = 0;
        while let Err(refused) = world.journal.reserve(credits).map(|reservation| world.reservations.push_back(reservation)) {
            prop_assert_eq!(refused, Refused::Full);
            let told = world.told.space;
            super::disk::settle(&mut world.disk, &mut world.journal, &mut world.told);
            prop_assert!(world.told.space > told, "refused, and never told of room");
            tries += 1;
            prop_assert!(tries < 5);
        }
        world.settle();
        let newest = world.journal.checkpoint_all();
        world.settle();
        prop_assert!(world.told.committed >= newest && world.told.passed >= newest);
        prop_assert!(newest == Tid(0) || world.told.empty);
        prop_assert_eq!(&world.disk.home(), world.states.last().unwrap());
        prop_assert_eq!(world.journal.free, world.journal.superblock.log_len() - 1, "all of the log is free again");
    }
}
