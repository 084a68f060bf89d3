//! The expression of `oxsan find`, and what a file makes of it.

use std::cmp::Ordering;
use std::io;

use ocfs2::{FileType, Inode};

use super::glob::Glob;
use super::long;
use super::mode::Perm;
use super::printf::Format;
use super::time::{Age, Which, nanos};
use crate::files::show::{Clock, Owners};

/// Tests and actions, put together.
#[derive(Debug)]
pub(super) enum Expr {
    Test(Test),
    Act(Action),
    Not(Box<Expr>),
    /// All, from the left, until one is false.
    And(Vec<Expr>),
    /// One, from the left.
    Or(Vec<Expr>),
    /// All of them; the last one's value counts.
    List(Vec<Expr>),
}

/// Something that is true of a file or not.
#[derive(Debug)]
pub(super) enum Test {
    Always(bool),
    Name(Glob),
    Path(Glob),
    LinkName(Glob),
    Type(Vec<FileType>),
    /// In units of so many bytes, rounded up.
    Size(Number, u64),
    Links(Number),
    Inum(Number),
    Uid(Number),
    Gid(Number),
    NoUser,
    NoGroup,
    Perm(Perm),
    Age(Which, Age),
    /// Newer than this, in nanoseconds since 1970.
    Newer(Which, i128),
    Empty,
}

/// Something done.
#[derive(Debug)]
pub(super) enum Action {
    /// The path, and what ends it.
    Print(&'static [u8]),
    Printf(Format),
    Json,
    /// A line with all about it.
    Long,
    /// Does not enter this directory.
    Prune,
    /// Ends the search.
    Quit,
}

/// `N`, `+N` for more, `-N` for less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) Ordering, pub(super) u64);

impl Number {
    pub(super) fn is(self, value: u64) -> bool {
        value.cmp(&self.1) == self.0
    }
}

/// A file that may be what is looked for.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// Where the search began, as it was typed.
    pub(super) top: &'a [u8],
    /// As it is printed.
    pub(super) path: Vec<u8>,
    /// Directories between it and where the search began.
    pub(super) depth: usize,
    pub(super) inode: &'a Inode,
    /// A symlink's target, where the query asks for it.
    pub(super) target: Option<Vec<u8>>,
    /// A directory without entries, where the query asks for it.
    pub(super) is_empty_dir: bool,
}

impl<'a> Candidate<'a> {
    /// The file at `below` in the tree that begins at `top`.
    pub(super) fn new(top: &'a [u8], below: &[u8], inode: &'a Inode) -> Self {
        let depth = if below.is_empty() { 0 } else { below.split(|byte| *byte == b'/').count() };
        Self { top, path: path_of(top, below), depth, inode, target: None, is_empty_dir: false }
    }

    pub(super) fn name(&self) -> &[u8] {
        let name = self.path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
        name.unwrap_or(&self.path)
    }
}

/// The path of what lies at `below` in the tree that begins at `top`.
pub(super) fn path_of(top: &[u8], below: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if top.ends_with(b"/") || below.is_empty() { b"" } else { b"/" };
    [top, slash, below].concat()
}

/// What the tests of one search compare with, and what its actions did.
pub(super) struct Search<'a> {
    /// The host's clock when it began, in nanoseconds.
    pub(super) now: i128,
    pub(super) owners: &'a Owners,
    pub(super) clock: &'a Clock,
    pub(super) out: &'a mut crate::files::Output,
    /// Of the last file: its directory is not entered.
    pub(super) prune: bool,
    /// Nothing more is looked at.
    pub(super) quit: bool,
}

impl Expr {
    /// Evaluates it for a file, as far as its value depends on it, and does what it says. The error is the output's.
    pub(super) fn eval(&self, file: &Candidate<'_>, search: &mut Search<'_>) -> io::Result<bool> {
        match self {
            Self::Test(test) => Ok(test.holds(file, search)),
            Self::Act(action) => action.run(file, search),
            Self::Not(inner) => Ok(!inner.eval(file, search)?),
            Self::And(parts) => {
                for part in parts {
                    if !part.eval(file, search)? || search.quit {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.eval(file, search)? || search.quit {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::List(parts) => {
                let mut value = false;
                for part in parts {
                    value = part.eval(file, search)?;
                    if search.quit {
                        break;
                    }
                }
                Ok(value)
            }
        }
    }

    /// Whether it, or something in it, is such a thing.
    pub(super) fn any(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::Not(inner) => inner.any(is),
                Self::And(parts) | Self::Or(parts) | Self::List(parts) => {
                    parts.iter().any(|part| part.any(is))
                }
                Self::Test(_) | Self::Act(_) => false,
            }
    }
}

impl Test {
    fn holds(&self, file: &Candidate<'_>, search: &Search<'_>) -> bool {
        let attr = file.inode.attr();
        match self {
            Self::Always(value) => *value,
            Self::Name(pattern) => pattern.matches(file.name()),
            Self::Path(pattern) => pattern.matches(&file.path),
            Self::LinkName(pattern) => file.target.as_ref().is_some_and(|target| pattern.matches(target)),
            Self::Type(kinds) => kinds.contains(&attr.kind),
            Self::Size(number, unit) => number.is(attr.size.div_ceil(*unit)),
            Self::Links(number) => number.is(attr.nlink.into()),
            Self::Inum(number) => number.is(attr.ino.0),
            Self::Uid(number) => number.is(attr.uid.into()),
            Self::Gid(number) => number.is(attr.gid.into()),
            Self::NoUser => !search.owners.has_user(attr.uid),
            Self::NoGroup => !search.owners.has_group(attr.gid),
            Self::Perm(perm) => perm.holds(attr.perm),
            Self::Age(which, age) => age.holds(nanos(which.time(attr)), search.now),
            Self::Newer(which, than) => nanos(which.time(attr)) > *than,
            Self::Empty => file.is_empty_dir || attr.kind == FileType::Regular && attr.size == 0,
        }
    }
}

impl Action {
    fn run(&self, file: &Candidate<'_>, search: &mut Search<'_>) -> io::Result<bool> {
        use std::io::Write as _;
        match self {
            // What ends with a NUL is for a program.
            Self::Print(end @ b"\0") => search.out.write_all(&[&file.path, *end].concat())?,
            Self::Print(end) => {
                search.out.name(&file.path)?;
                search.out.write_all(end)?;
            }
            Self::Printf(format) => {
                let text = format.expand(file, search.owners);
                search.out.write_all(&text)?;
            }
            Self::Json => {
                let object = crate::files::entry::object(&file.path, file.inode, file.target.as_deref());
                writeln!(search.out, "{}", serde_json::Value::Object(object))?;
            }
            Self::Long => {
                let line = long::line(file, search);
                search.out.write_all(&line)?;
            }
            Self::Prune => search.prune = true,
            Self::Quit => search.quit = true,
        }
        Ok(true)
    }
}
