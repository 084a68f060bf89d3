//! Commands whose data is here: they wait for their turn, for room, and then they run.

use std::sync::Arc;

use iscsi::TargetTask;
use tokio::sync::Notify;

use super::{Connection, Ended, READS_HIGH, Ready, Running, SEND_HIGH};
use crate::unit::{Reply, Started};

impl<'u> Connection<'u> {
    /// Runs a command as soon as it may: now, or from [`Ended::Turn`] or [`Self::start_held`].
    pub(super) fn start(&mut self, ready: Ready<'u>) {
        if !ready.turn.has_turn() {
            return self.park(ready);
        }
        let len = ready.admitted.data_in();
        if len > 0 && (!self.held.is_empty() || !self.has_room(len)) {
            return self.held.push_back(ready);
        }
        self.launch(ready);
    }

    /// Runs reads that were held, in their order, as far as there is room. Called once in every turn of the loop: room
    /// comes with an answer of the disk, with bytes sent, and with an abort, and each of them is a turn.
    pub(super) fn start_held(&mut self) {
        while let Some(held) = self.held.front() {
            if !self.has_room(held.admitted.data_in()) {
                return;
            }
            if let Some(ready) = self.held.pop_front() {
                self.launch(ready);
            }
        }
    }

    /// Whether a read of so many bytes may go to the disk. One that is alone always may, as far as the disk goes.
    fn has_room(&mut self, len: usize) -> bool {
        let fits = self.reading == 0 || self.reading + len <= READS_HIGH;
        fits && self.engine.transmit().len() < SEND_HIGH
    }

    fn launch(&mut self, ready: Ready<'u>) {
        let Ready { task, place, admitted, data, turn } = ready;
        let unit = self.units[place].unit;
        let (reading, writing) = (admitted.data_in(), data.len());
        let epoch = admitted.epoch();
        match unit.start(self.id, admitted, data) {
            Started::Done(reply) => self.respond_in(task, unit, reply, epoch),
            Started::Later(future) => {
                let number = self.enter((task, place), reading, writing, None);
                self.jobs.push(Box::pin(async move {
                    let reply = future.await;
                    drop(turn);
                    Ended::Command { number, task, reply, reading, writing, lun: place, epoch }
                }));
                return;
            }
        }
        if !self.unsolicited.is_empty() {
            self.solicit();
        }
    }

    /// Keeps a command until its turn comes: ORDERED ones are around. It may be cancelled until then.
    ///
    /// It comes back to be started like any other: the turn of many may come at once, and what they read all together
    /// must not be in memory all together.
    fn park(&mut self, ready: Ready<'u>) {
        let (task, lun, writing) = (ready.task, ready.place, ready.data.len());
        let epoch = ready.admitted.epoch();
        let cancel = Arc::new(Notify::new());
        let number = self.enter((task, lun), 0, writing, Some(Arc::clone(&cancel)));
        self.jobs.push(Box::pin(async move {
            let cancelled = tokio::select! {
                biased;
                () = cancel.notified() => true,
                () = ready.turn.turn() => false,
            };
            if cancelled {
                let reply = Reply::aborted();
                return Ended::Command { number, task, reply, reading: 0, writing, lun, epoch };
            }
            Ended::Turn { number, ready }
        }));
    }

    /// Enters a command of a unit into those under way; its number among them.
    fn enter(
        &mut self,
        (task, place): (TargetTask, usize),
        reading: usize,
        writing: usize,
        cancel: Option<Arc<Notify>>,
    ) -> u64 {
        self.next_number += 1;
        self.running.push(Running { number: self.next_number, task, place, cancel });
        self.reading += reading;
        self.writing += writing;
        self.next_number
    }
}
