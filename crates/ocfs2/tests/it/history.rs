//! What a volume held after each operation, and which of it must be found after a loss of power or of requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use ocfs2::BlockNum;

use crate::model::Model;

/// Bytes that are compared at once.
const SECTOR: usize = 512;

/// The contents of files, and the generations of their inodes.
type Contents = BTreeMap<BlockNum, (u32, Arc<Vec<u8>>)>;

/// The state after one operation.
#[derive(Debug)]
struct State {
    /// All but the contents of files.
    names: Model,
    contents: Contents,
    /// The count of events when the operation was begun: no less must have happened for it to be found.
    event: usize,
}

/// What has been promised to last.
#[derive(Debug)]
struct Promise {
    /// One inode; or everything.
    whose: Option<BlockNum>,
    state: usize,
    /// The count of events when it was given.
    event: usize,
}

/// All states of a volume, in order.
#[derive(Debug, Default)]
pub(crate) struct History {
    states: Vec<State>,
    promises: Vec<Promise>,
}

impl History {
    /// What the volume holds after an operation that was begun after `event`.
    pub(crate) fn note(&mut self, model: &Model, event: usize) {
        let (names, contents) = split(model.named());
        self.states.push(State { names, contents, event });
    }

    /// What has been done so far lasts: all of it, or what one inode is.
    pub(crate) fn promise(&mut self, whose: Option<BlockNum>, event: usize) {
        self.promises.push(Promise { whose, state: self.last(), event });
    }

    fn last(&self) -> usize {
        self.states.len() - 1
    }

    /// How many states there are that a promise of everything leaves open.
    pub(crate) fn open(&self) -> usize {
        let all = self.promises.iter().filter(|promise| promise.whose.is_none());
        self.last() - all.map(|promise| promise.state).max().unwrap_or(0)
    }

    /// Compares what is `found` when the power failed after `event`.
    ///
    /// Names and attributes are as they were at one moment, which is none before the last that was promised. Data is
    /// written beside them: each byte is one that the file had there since it was promised to last, never another's.
    pub(crate) fn explain(&self, event: usize, found: &Model) -> Result<(), String> {
        let (names, contents) = split(found.clone());
        let most =
            self.states.iter().rposition(|state| state.event <= event).expect("the first is always there");
        let given = || self.promises.iter().filter(|promise| promise.event <= event);
        let least = given().map(|promise| self.settled(promise)).max().unwrap_or(0);
        if !self.states[least..=most].iter().any(|state| state.names == names) {
            let differences = self.states[least..=most].iter().map(|state| names.difference(&state.names));
            let least_of_all = differences.min_by_key(String::len).unwrap_or_default();
            return Err(format!("none of the states {least} to {most}: {least_of_all}"));
        }
        for (ino, (generation, found)) in &contents {
            let of_it = given().filter(|promise| promise.whose.is_none_or(|whose| whose == *ino));
            let from = of_it.map(|promise| promise.state).max().unwrap_or(0);
            let mut had: Vec<&Arc<Vec<u8>>> = Vec::new();
            for state in &self.states[from.min(most)..=most] {
                let of_it = state.contents.get(ino).filter(|(of, _)| of == generation);
                if let Some((_, data)) = of_it
                    && !had.last().is_some_and(|last| Arc::ptr_eq(last, data))
                {
                    had.push(data);
                }
            }
            explain_contents(found, &had)
                .map_err(|wrong| format!("inode {ino} in states {from} to {most}: {wrong}"))?;
        }
        Ok(())
    }

    /// The first state that a promise is kept by: for one inode, since it last changed.
    fn settled(&self, promise: &Promise) -> usize {
        let Some(ino) = promise.whose else { return promise.state };
        let of = |state: usize| self.states[state].names.nodes.get(&ino);
        (0..=promise.state).rev().take_while(|state| of(*state) == of(promise.state)).last().unwrap_or(0)
    }
}

fn split(mut model: Model) -> (Model, Contents) {
    let mut contents = Contents::new();
    for (ino, node) in model.nodes.iter_mut().filter(|(_, node)| node.is_file()) {
        contents.insert(*ino, (node.generation, std::mem::take(&mut node.data)));
    }
    (model, contents)
}

fn explain_contents(found: &[u8], had: &[&Arc<Vec<u8>>]) -> Result<(), String> {
    let sizes = || had.iter().map(|data| data.len());
    let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    if !(least..=most).contains(&found.len()) {
        return Err(format!("{} bytes for {least} to {most}", found.len()));
    }
    for (n, sector) in found.chunks(SECTOR).enumerate() {
        let at = n * SECTOR;
        if had.iter().any(|data| data.get(at..at + sector.len()) == Some(sector)) {
            continue;
        }
        for (place, byte) in sector.iter().enumerate() {
            // What a file does not reach to is zero when it grows.
            let fits = |data: &&Arc<Vec<u8>>| data.get(at + place).copied().unwrap_or(0) == *byte;
            if !had.iter().any(fits) {
                return Err(format!("byte {} of {} is nothing it was: {byte:#x}", at + place, found.len()));
            }
        }
    }
    Ok(())
}
