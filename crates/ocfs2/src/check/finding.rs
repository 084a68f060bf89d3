//! What is found, and where it goes.

use std::fmt;

use super::Code;

/// One thing that is wrong with a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// The block that is wrong.
    pub block: Option<u64>,
    /// The inode that it belongs to.
    pub inode: Option<u64>,
    /// The node slot that it belongs to.
    pub slot: Option<u16>,
    /// The field that is wrong.
    pub field: Option<&'static str>,
    /// What the field holds.
    pub found: Option<u64>,
    /// What it should hold.
    pub expected: Option<u64>,
    /// One line for people, with all of that in it.
    pub message: String,
}

impl Finding {
    pub(super) fn new(code: Code, message: String) -> Self {
        Self { code, block: None, inode: None, slot: None, field: None, found: None, expected: None, message }
    }

    /// A field of a structure in block `block` that holds `found` and should hold `expected`.
    pub(super) fn field(
        code: Code,
        what: impl fmt::Display,
        block: u64,
        (field, found, expected): (&'static str, u64, u64),
    ) -> Self {
        let message = format!("{what}, block {block}: {field} is {found}, should be {expected}");
        Self { field: Some(field), found: Some(found), expected: Some(expected), ..Self::new(code, message) }
            .block(block)
    }

    pub(super) fn block(mut self, block: u64) -> Self {
        self.block = Some(block);
        self
    }

    pub(super) fn inode(mut self, inode: u64) -> Self {
        self.inode = Some(inode);
        self
    }

    pub(super) fn slot(mut self, slot: Option<u16>) -> Self {
        self.slot = slot;
        self
    }

    pub(super) fn values(mut self, field: &'static str, found: u64, expected: u64) -> Self {
        (self.field, self.found, self.expected) = (Some(field), Some(found), Some(expected));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The pass, by the number that `fsck.ocfs2` gives it.
    pub pass: &'static str,
    /// What it does.
    pub doing: &'static str,
    /// Units done in it.
    pub done: u64,
    /// All of its units.
    pub total: u64,
    /// What is counted.
    pub unit: &'static str,
}

/// Where findings and progress go.
pub trait Sink {
    /// Takes a finding. They come in the same order in every check of the same volume.
    fn finding(&mut self, finding: Finding);

    /// Takes how far the check is; often.
    fn progress(&mut self, progress: &Progress) {
        let _ = progress;
    }
}

/// A list of findings is a sink: for tests and small volumes.
impl Sink for Vec<Finding> {
    fn finding(&mut self, finding: Finding) {
        self.push(finding);
    }
}

/// Most findings kept of one part of the volume; what comes after them is counted.
const MOST: usize = 4096;

/// Findings on their way to the sink.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    more: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.list.len() < MOST {
            self.list.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Reports `field` of `block` unless it holds what it should.
    pub(super) fn expect(
        &mut self,
        code: Code,
        (what, ino): (&str, u64),
        block: u64,
        (field, found, expected): (&'static str, u64, u64),
    ) -> bool {
        if found == expected {
            return true;
        }
        let what = format_args!("{what} {ino}");
        self.push(Finding::field(code, what, block, (field, found, expected)).inode(ino));
        false
    }

    /// Takes all of `other`.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        self.more += std::mem::take(&mut other.more);
        for finding in other.list.drain(..) {
            self.push(finding);
        }
    }

    /// Hands all of them to `sink`; returns how many there were.
    pub(super) fn drain(&mut self, sink: &mut dyn Sink) -> u64 {
        let count = self.list.len() as u64 + self.more;
        for finding in self.list.drain(..) {
            sink.finding(finding);
        }
        if self.more > 0 {
            let message = format!("{} more findings like those before are not shown", self.more);
            sink.finding(Finding::new(Code::Suppressed, message));
            self.more = 0;
        }
        count
    }
}
