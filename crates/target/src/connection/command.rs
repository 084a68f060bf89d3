//! Commands: taken in, run, answered.

use std::sync::Arc;

use block::Buf;
use iscsi::pdu::{PduError, TaskFunction};
use iscsi::{Command, DataFault, LoginInfo, Response, TargetEvent, TargetTask};
use scsi::{AdditionalSense, Lun, Opcode, Sense, SenseKey, Status};

use super::{Connection, Ended, Ready, Shipped, Stop, WRITES_HIGH, Waiting, io};
use crate::task_set::Place;
use crate::unit::{Admitted, DataIn, Expected, Reply, Unit};

/// An event that borrows nothing.
pub(super) enum Told {
    Login(LoginInfo),
    LoggedIn(LoginInfo),
    Command(TargetTask, Command),
    WriteReady(TargetTask),
    BadData { task: TargetTask, fault: DataFault, error: PduError },
    TaskManagement { itt: u32, function: TaskFunction, lun: u64, task: Option<TargetTask> },
    SendTargets(String),
    LoggedOut,
    Nothing,
}

/// The event without its lifetime; data of writes was dealt with before.
pub(super) fn owned(event: TargetEvent<'_>) -> Told {
    match event {
        TargetEvent::Login(info) => Told::Login(info),
        TargetEvent::LoggedIn { info, .. } => Told::LoggedIn(info),
        TargetEvent::Command { task, command } => Told::Command(task, command),
        TargetEvent::WriteReady { task } => Told::WriteReady(task),
        TargetEvent::BadData { task, fault, error } => Told::BadData { task, fault, error },
        TargetEvent::TaskManagement { itt, function, lun, task } => {
            Told::TaskManagement { itt, function, lun, task }
        }
        TargetEvent::SendTargets { which } => Told::SendTargets(which),
        TargetEvent::LoggedOut => Told::LoggedOut,
        _ => Told::Nothing,
    }
}

impl<'u> Connection<'u> {
    pub(super) async fn handle(&mut self, event: Told, wire: &mut io::Wire) -> Result<(), Stop> {
        match event {
            Told::Command(task, command) => self.command(task, &command),
            Told::WriteReady(task) => self.write_ready(task),
            Told::BadData { task, fault, error } => self.bad_data(task, fault, &error),
            Told::Login(info) => self.judge(&info)?,
            Told::LoggedIn(info) => self.logged_in(&info, wire).await?,
            Told::TaskManagement { itt, function, lun, task } => self.manage(itt, function, lun, task),
            Told::SendTargets(which) => self.send_targets(&which),
            Told::LoggedOut => self.closing = true,
            Told::Nothing => {}
        }
        Ok(())
    }

    fn command(&mut self, task: TargetTask, command: &Command) {
        let expected = Expected { read: command.read_len, write: command.write_len };
        let cdb = command.cdb.as_bytes();
        let lun = Lun::parse(command.lun.to_be_bytes()).ok();
        let place = lun.and_then(|lun| self.place(lun));
        let report_luns = cdb.first() == Some(&Opcode::REPORT_LUNS.0);
        let Some(place) = place.filter(|_| !report_luns) else {
            let reply = self.shared.luns.answer_absent(lun, cdb, expected);
            return self.respond(task, None, reply);
        };
        let (unit, nexus) = (self.units[place].unit, &self.units[place].nexus);
        match unit.admit(nexus, cdb, expected) {
            Err(reply) => self.respond(task, Some(unit), reply),
            Ok(admitted) => {
                let turn = unit.enter(command.attribute);
                if admitted.data_out() == 0 {
                    self.start(Ready { task, place, admitted, data: Buf::zeroed(0), turn });
                } else {
                    self.await_data(task, place, admitted, turn);
                }
            }
        }
    }

    fn place(&self, lun: Lun) -> Option<usize> {
        self.units.binary_search_by_key(&lun, |attached| attached.unit.lun()).ok()
    }

    /// Keeps a command until its data is here.
    fn await_data(&mut self, task: TargetTask, place: usize, admitted: Admitted, turn: Place<'u>) {
        let index = task.index();
        if self.waiting.len() <= index {
            self.waiting.resize_with(index + 1, || None);
        }
        let unit = self.units[place].unit;
        let (data, early) = (Buf::zeroed(0), Vec::new());
        self.waiting[index] = Some(Waiting { task, unit, admitted, turn, data, early, solicited: false });
        self.unsolicited.push_back(task);
        self.solicit();
    }

    /// Calls for the data of writes, as long as not too many are under way.
    pub(super) fn solicit(&mut self) {
        while let Some(task) = self.unsolicited.front().copied() {
            let slot = self.waiting.get_mut(task.index()).and_then(Option::as_mut);
            if let Some(waiting) = slot.filter(|waiting| waiting.task == task) {
                let len = waiting.admitted.data_out();
                if self.writing > 0 && self.writing + len > WRITES_HIGH {
                    return;
                }
                self.writing += len;
                waiting.solicited = true;
                waiting.data = Buf::for_read(len);
                let early = std::mem::take(&mut waiting.early);
                waiting.data[..early.len()].copy_from_slice(&early);
                self.engine.solicit(task, u32::try_from(len).unwrap_or(u32::MAX));
            }
            self.unsolicited.pop_front();
        }
    }

    /// Data of a write: to its place, and what is beyond it nowhere.
    pub(super) fn take_data(&mut self, task: TargetTask, offset: u32, data: &[u8]) {
        let Some(waiting) = self.waiting.get_mut(task.index()).and_then(Option::as_mut) else { return };
        if waiting.task != task {
            return;
        }
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if !waiting.solicited {
            // In order from the start on, at most FirstBurstLength.
            let room = waiting.admitted.data_out().saturating_sub(offset);
            waiting.early.extend_from_slice(&data[..room.min(data.len())]);
            return;
        }
        if let Some(room) = waiting.data.get_mut(offset..) {
            let len = room.len().min(data.len());
            room[..len].copy_from_slice(&data[..len]);
        }
    }

    fn write_ready(&mut self, task: TargetTask) {
        let Some(waiting) = self.forget(task) else { return };
        let place = self.place(waiting.unit.lun()).unwrap_or(0);
        let Waiting { admitted, data, turn, .. } = waiting;
        self.start(Ready { task, place, admitted, data, turn });
    }

    /// The data of a write came wrong: it ends without a byte of it on the medium.
    fn bad_data(&mut self, task: TargetTask, fault: DataFault, error: &PduError) {
        tracing::warn!(peer = %self.peer, %error, "the data of a command is wrong");
        let runs = self.running.iter().any(|running| running.task == task);
        if runs || self.held.iter().any(|held| held.task == task) {
            // It runs, or will, since it has no use for data: it ends as it ends.
            return;
        }
        let unit = self.forget(task).map(|waiting| waiting.unit);
        let (asc, ascq) = fault.additional_sense();
        let sense = Sense::new(SenseKey::AbortedCommand, AdditionalSense { asc, ascq });
        self.respond(task, unit, Reply::check(sense));
        self.solicit();
    }

    /// Takes a command out of those that wait for data. Its bytes do not count in `writing` any more.
    pub(super) fn forget(&mut self, task: TargetTask) -> Option<Waiting<'u>> {
        let slot = self.waiting.get_mut(task.index())?;
        let waiting = slot.take_if(|waiting| waiting.task == task)?;
        if waiting.solicited {
            self.writing -= waiting.data.len();
        }
        Some(waiting)
    }

    /// Something that waited for the disk is done.
    pub(super) fn end_job(&mut self, ended: Ended<'u>) {
        match ended {
            Ended::Managed { itt, close } => self.managed(itt, close),
            Ended::Turn { number, ready } => {
                self.writing -= ready.data.len();
                self.running.retain(|running| running.number != number);
                self.start(ready);
            }
            Ended::Command { number, task, reply, reading, writing, lun, epoch } => {
                self.reading -= reading;
                self.writing -= writing;
                self.running.retain(|running| running.number != number);
                let unit = self.units[lun].unit;
                self.respond_in(task, unit, reply, epoch);
                self.manage_ended(number);
                self.solicit();
            }
        }
    }

    /// Answers, unless the unit was reset since the command came: then it counts as aborted.
    pub(super) fn respond_in(&mut self, task: TargetTask, unit: &Unit, reply: Reply, epoch: u64) {
        // The tasks of whoever reset the unit are void already, and this says nothing to them.
        let reply = if unit.epoch() == epoch { reply } else { Reply::aborted() };
        self.respond(task, Some(unit), reply);
    }

    fn respond(&mut self, task: TargetTask, unit: Option<&Unit>, reply: Reply) {
        let Reply { status, sense, data, full_len } = reply;
        let sense = sense.map_or_else(Vec::new, |sense| {
            let format = unit.map_or(scsi::SenseFormat::Fixed, Unit::sense_format);
            tracing::debug!(peer = %self.peer, %sense, "check condition");
            sense.encode(format)
        });
        let total = (status == Status::Good || full_len > 0).then_some(full_len);
        let data = match data {
            DataIn::None => iscsi::Payload::default(),
            DataIn::Blocks(buf) => Shipped(Arc::new(buf)).into(),
            DataIn::Bytes(bytes) => Shipped(Arc::new(Buf::copy_of(&bytes))).into(),
        };
        self.unsent += 1;
        self.engine.respond(task, &Response { status: status.code(), sense, data, total });
    }
}
