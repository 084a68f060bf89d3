//! The task set of a unit: which command may run before which (SAM-5, 8.9).
//!
//! SIMPLE commands run in any order. An ORDERED one runs after everything that arrived before it has ended, whether
//! that has its data yet or not, and before everything that arrives after it. HEAD OF QUEUE runs at once. One set
//! serves all initiators of the unit.
//!
//! Commands that may run beside each other form a group: an ORDERED one alone, SIMPLE ones between two of those. Where
//! no ORDERED command is around there is one group, and a place in it costs a count.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use iscsi::Attribute;

/// The task set of one unit.
#[derive(Debug, Default)]
pub(crate) struct TaskSet {
    state: Mutex<State>,
}

/// A command's place in its unit's task set, until dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    set: &'a TaskSet,
    group: u64,
    /// Whether its turn had come when it was entered. It does not go back.
    at_once: bool,
}

#[derive(Debug, Default)]
struct State {
    groups: VecDeque<Group>,
    /// Number of the first group; the others follow on.
    first: u64,
}

#[derive(Debug)]
struct Group {
    /// Its commands that have not ended.
    count: usize,
    /// Of one ORDERED command, which no other may join.
    ordered: bool,
    /// Who waits for its turn.
    wakers: Vec<Waker>,
}

impl TaskSet {
    /// Enters a command as it arrives.
    pub(crate) fn enter(&self, attribute: Attribute) -> Place<'_> {
        let mut state = self.lock();
        // There is no auto contingent allegiance here; ACA is only taken as strictly as it can be meant.
        let ordered = matches!(attribute, Attribute::Ordered | Attribute::Aca);
        let last = state.groups.len().checked_sub(1);
        let index = match (attribute, last) {
            (Attribute::HeadOfQueue, Some(_)) => 0,
            (_, Some(last)) if !ordered && !state.groups[last].ordered => last,
            _ => {
                state.groups.push_back(Group { count: 0, ordered, wakers: Vec::new() });
                state.groups.len() - 1
            }
        };
        state.groups[index].count += 1;
        let group = state.first + u64::try_from(index).expect("the window bounds the number of groups");
        Place { set: self, group, at_once: state.may_run(index) }
    }

    /// Takes all commands out: they are over, whatever they waited for. Those that wait go on, and find so.
    pub(crate) fn abort(&self) {
        let mut state = self.lock();
        state.first += u64::try_from(state.groups.len()).expect("the window bounds the number of groups");
        for waker in state.groups.drain(..).flat_map(|group| group.wakers) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every holder leaves the groups whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whether the command may run now.
    pub(crate) fn has_turn(&self) -> bool {
        if self.at_once {
            return true;
        }
        let state = self.set.lock();
        state.place(self.group).is_none_or(|index| state.may_run(index))
    }

    /// Returns when the command may run.
    pub(crate) async fn turn(&self) {
        poll_fn(|cx| {
            let mut state = self.set.lock();
            match state.place(self.group) {
                Some(index) if !state.may_run(index) => {
                    // A waker of an earlier poll may be there still; waking it again does no harm.
                    state.groups[index].wakers.push(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.set.lock();
        let Some(index) = state.place(self.group) else { return };
        state.groups[index].count -= 1;
        if state.groups[index].count > 0 {
            return;
        }
        // Whoever waits looks again; there is nobody where there is one group.
        state
            .groups
            .iter_mut()
            .skip(index + 1)
            .for_each(|group| group.wakers.drain(..).for_each(Waker::wake));
        while state.groups.front().is_some_and(|group| group.count == 0) {
            state.groups.pop_front();
            state.first += 1;
        }
    }
}

impl State {
    /// Whether commands of a group may run: nothing stands before an ORDERED one, no ORDERED one before a SIMPLE one.
    fn may_run(&self, index: usize) -> bool {
        let ordered = self.groups.get(index).is_some_and(|group| group.ordered);
        !self.groups.iter().take(index).any(|group| group.count > 0 && (ordered || group.ordered))
    }

    /// Where a group is in the row; none where it is over.
    fn place(&self, group: u64) -> Option<usize> {
        let index = usize::try_from(group.checked_sub(self.first)?).ok()?;
        (index < self.groups.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::TaskSet;
    use iscsi::Attribute::{HeadOfQueue, Ordered, Simple};
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn simple_commands_run_at_once() {
        let set = TaskSet::default();
        let (a, b) = (set.enter(Simple), set.enter(Simple));
        assert!(a.has_turn() && b.has_turn());
        drop(a);
        assert!(set.enter(Simple).has_turn());
    }

    #[test]
    fn an_ordered_command_parts_what_is_before_it_from_what_is_after_it() {
        let set = TaskSet::default();
        let (a, b) = (set.enter(Simple), set.enter(Simple));
        let ordered = set.enter(Ordered);
        let (c, second) = (set.enter(Simple), set.enter(Ordered));
        let d = set.enter(Simple);
        assert!(set.enter(HeadOfQueue).has_turn());
        drop(b);
        assert!(!ordered.has_turn());
        {
            let mut turn = pin!(ordered.turn());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(turn.as_mut().poll(&mut cx).is_pending());
            drop(a);
            assert!(turn.as_mut().poll(&mut cx).is_ready());
        }
        assert!(ordered.has_turn() && !c.has_turn());
        drop(ordered);
        assert!(c.has_turn() && !second.has_turn());
        drop(c);
        assert!(second.has_turn() && !d.has_turn());
        drop(second);
        assert!(d.has_turn());
    }

    #[test]
    fn a_waiter_that_leaves_makes_no_hole() {
        let set = TaskSet::default();
        let first = set.enter(Simple);
        let ordered = set.enter(Ordered);
        let behind = set.enter(Simple);
        assert!(!behind.has_turn());
        drop(ordered);
        assert!(behind.has_turn(), "nothing parts it from the first any more");
        let last = set.enter(Ordered);
        drop(behind);
        assert!(!last.has_turn());
        drop(first);
        assert!(last.has_turn());
    }

    #[test]
    fn an_abort_clears_the_set() {
        let set = TaskSet::default();
        let (old, older) = (set.enter(Ordered), set.enter(Simple));
        set.abort();
        let new = set.enter(Ordered);
        assert!(new.has_turn() && older.has_turn());
        let behind = set.enter(Simple);
        drop((old, older));
        assert!(!behind.has_turn(), "what was aborted does not count");
        drop(new);
        assert!(behind.has_turn());
    }
}
