//! Task management: commands are stopped, units reset.
//!
//! What was given to a disk cannot be taken back, so a function is answered when its victims have ended: nothing of
//! them touches the medium afterwards. Their answers go nowhere.

use std::collections::BTreeSet;

use iscsi::TargetTask;
use iscsi::pdu::{TaskFunction, TaskResponse};
use scsi::Lun;

use super::{Connection, Ended, Managing};

impl Connection<'_> {
    pub(super) fn manage(&mut self, itt: u32, function: TaskFunction, lun: u64, task: Option<TargetTask>) {
        tracing::info!(peer = %self.peer, ?function, lun = format_args!("{lun:#018x}"), "task management");
        match function {
            TaskFunction::AbortTask => {
                let victims = task.into_iter().collect();
                self.abort(itt, victims);
            }
            TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset => {
                let all = 0..self.units.len();
                self.reset(itt, all.collect(), function == TaskFunction::TargetColdReset);
            }
            TaskFunction::AbortTaskSet | TaskFunction::ClearTaskSet | TaskFunction::LogicalUnitReset => {
                let Some(place) = Lun::parse(lun.to_be_bytes()).ok().and_then(|lun| self.place_of(lun))
                else {
                    return self.engine.manage_done(itt, TaskResponse::NoLun);
                };
                match function {
                    TaskFunction::AbortTaskSet => {
                        let victims = self.tasks_on(place);
                        self.abort(itt, victims);
                    }
                    // One task set serves all initiators, so clearing it stops the commands of all.
                    TaskFunction::ClearTaskSet => self.clear(itt, place),
                    _ => self.reset(itt, vec![place], false),
                }
            }
            // There is no auto contingent allegiance here, and no task can be moved.
            _ => self.engine.manage_done(itt, TaskResponse::NotSupported),
        }
    }

    /// A command that was under way has ended: functions may have waited for it.
    pub(super) fn manage_ended(&mut self, number: u64) {
        let engine = &mut self.engine;
        self.managing.retain_mut(|managing| {
            managing.victims.remove(&number);
            if managing.victims.is_empty() {
                engine.manage_done(managing.itt, TaskResponse::Complete);
            }
            !managing.victims.is_empty()
        });
    }

    /// A reset is done.
    pub(super) fn managed(&mut self, itt: u32, close: bool) {
        self.engine.manage_done(itt, TaskResponse::Complete);
        if close {
            // A cold reset drops every session, this one with its answer sent.
            self.shared.sessions.end_all();
        }
    }

    fn place_of(&self, lun: Lun) -> Option<usize> {
        self.units.iter().position(|attached| attached.unit.lun() == lun)
    }

    /// This session's commands on a unit.
    fn tasks_on(&self, place: usize) -> Vec<TargetTask> {
        let lun = self.units[place].unit.lun();
        let waiting = self.waiting.iter().flatten().filter(|waiting| waiting.unit.lun() == lun);
        let running =
            self.running.iter().filter(|running| running.place == place).map(|running| running.task);
        let held = self.held.iter().filter(|held| held.place == place).map(|held| held.task);
        waiting.map(|waiting| waiting.task).chain(held).chain(running).collect()
    }

    /// Ends commands without an answer to them; those that wait for data or for room at once.
    fn void(&mut self, victims: &[TargetTask]) -> BTreeSet<u64> {
        self.held.retain(|held| !victims.contains(&held.task));
        for task in victims {
            self.forget(*task);
            self.engine.abort(*task);
        }
        let running = self.running.iter().filter(|running| victims.contains(&running.task));
        running.clone().filter_map(|running| running.cancel.as_ref()).for_each(|cancel| cancel.notify_one());
        let numbers = running.map(|running| running.number).collect();
        self.solicit();
        numbers
    }

    fn abort(&mut self, itt: u32, victims: Vec<TargetTask>) {
        let victims = self.void(&victims);
        if victims.is_empty() {
            return self.engine.manage_done(itt, TaskResponse::Complete);
        }
        self.managing.push(Managing { itt, victims });
    }

    fn clear(&mut self, itt: u32, place: usize) {
        self.void(&self.tasks_on(place));
        let unit = self.units[place].unit;
        let session = Some(self.id);
        self.jobs.push(Box::pin(async move {
            unit.clear(session).await;
            Ended::Managed { itt, close: false }
        }));
    }

    fn reset(&mut self, itt: u32, places: Vec<usize>, close: bool) {
        for place in &places {
            self.void(&self.tasks_on(*place));
        }
        let units: Vec<_> = places.into_iter().map(|place| self.units[place].unit).collect();
        self.jobs.push(Box::pin(async move {
            for unit in units {
                unit.reset().await;
            }
            Ended::Managed { itt, close }
        }));
    }
}
