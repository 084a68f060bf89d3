//! The conditions of `oxsan find`.

use std::cmp::Ordering;

use anyhow::{Context as _, bail};
use ocfs2::{FileType, Inode};

use super::glob;

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Query {
    conditions: Vec<(bool, Condition)>,
    min_depth: usize,
    /// Directories this deep are not entered.
    pub(super) max_depth: Option<usize>,
    /// Paths end with a NUL, not a newline.
    pub(super) print0: bool,
}

/// One condition.
#[derive(Debug)]
enum Condition {
    Name(Vec<u8>),
    NameAnyCase(Vec<u8>),
    Path(Vec<u8>),
    Type(Vec<FileType>),
    /// In units of so many bytes, rounded up.
    Size(Number, u64),
    Links(Number),
    Inum(Number),
    Uid(Number),
    Gid(Number),
    Empty,
}

/// `N`, `+N` for more, `-N` for less.
#[derive(Clone, Copy, Debug)]
struct Number(Ordering, u64);

impl Number {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (order, digits) = match text.as_bytes().first() {
            Some(b'+') => (Ordering::Greater, &text[1..]),
            Some(b'-') => (Ordering::Less, &text[1..]),
            _ => (Ordering::Equal, text),
        };
        Ok(Self(order, digits.parse().with_context(|| format!("`{text}` is no number"))?))
    }

    fn is(self, value: u64) -> bool {
        value.cmp(&self.1) == self.0
    }
}

/// A file that may be what is looked for.
pub(super) struct Candidate<'a> {
    /// As it is printed.
    pub(super) path: Vec<u8>,
    /// Directories between it and where the search began.
    pub(super) depth: usize,
    inode: &'a Inode,
}

impl<'a> Candidate<'a> {
    /// The file at `below` in the tree that begins at `top`.
    pub(super) fn new(top: &[u8], below: &[u8], inode: &'a Inode) -> Self {
        let slash: &[u8] = if top.ends_with(b"/") || below.is_empty() { b"" } else { b"/" };
        let depth = if below.is_empty() { 0 } else { below.split(|byte| *byte == b'/').count() };
        Self { path: [top, slash, below].concat(), depth, inode }
    }

    fn name(&self) -> &[u8] {
        let name = self.path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
        name.unwrap_or(&self.path)
    }
}

impl Query {
    /// Parses the words behind the paths.
    pub(super) fn parse(words: &[&[u8]]) -> anyhow::Result<Self> {
        let mut query = Self::default();
        let mut words = words.iter();
        let mut wanted = true;
        while let Some(word) = words.next() {
            let word = std::str::from_utf8(word).context("a condition is plain text")?;
            let mut bytes = || words.next().copied().with_context(|| format!("{word} needs an argument"));
            let mut text = || -> anyhow::Result<&str> { Ok(std::str::from_utf8(bytes()?)?) };
            let condition = match word {
                "!" | "-not" => {
                    wanted = !wanted;
                    continue;
                }
                "-a" | "-and" | "-print" => continue,
                "-print0" => {
                    query.print0 = true;
                    continue;
                }
                "-maxdepth" => {
                    query.max_depth = Some(text()?.parse().context("-maxdepth")?);
                    continue;
                }
                "-mindepth" => {
                    query.min_depth = text()?.parse().context("-mindepth")?;
                    continue;
                }
                "-name" => Condition::Name(bytes()?.to_vec()),
                "-iname" => Condition::NameAnyCase(bytes()?.to_ascii_lowercase()),
                "-path" => Condition::Path(bytes()?.to_vec()),
                "-type" => Condition::Type(text()?.split(',').map(file_type).collect::<Result<_, _>>()?),
                "-size" => size(text()?)?,
                "-links" => Condition::Links(Number::parse(text()?)?),
                "-inum" => Condition::Inum(Number::parse(text()?)?),
                "-uid" => Condition::Uid(Number::parse(text()?)?),
                "-gid" => Condition::Gid(Number::parse(text()?)?),
                "-empty" => Condition::Empty,
                _ => bail!("`{word}` is not known here: oxsan find --help lists what is"),
            };
            query.conditions.push((std::mem::replace(&mut wanted, true), condition));
        }
        Ok(query)
    }

    /// Whether the file is what is looked for.
    pub(super) fn matches(&self, file: &Candidate<'_>) -> bool {
        file.depth >= self.min_depth
            && self.max_depth.is_none_or(|most| file.depth <= most)
            && self.conditions.iter().all(|(wanted, condition)| condition.holds(file) == *wanted)
    }
}

impl Condition {
    fn holds(&self, file: &Candidate<'_>) -> bool {
        let attr = file.inode.attr();
        match self {
            Self::Name(pattern) => glob::matches(pattern, file.name()),
            Self::NameAnyCase(pattern) => glob::matches(pattern, &file.name().to_ascii_lowercase()),
            Self::Path(pattern) => glob::matches(pattern, &file.path),
            Self::Type(kinds) => kinds.contains(&attr.kind),
            Self::Size(number, unit) => number.is(attr.size.div_ceil(*unit)),
            Self::Links(number) => number.is(attr.nlink.into()),
            Self::Inum(number) => number.is(attr.ino.0),
            Self::Uid(number) => number.is(attr.uid.into()),
            Self::Gid(number) => number.is(attr.gid.into()),
            Self::Empty => attr.kind == FileType::Regular && attr.size == 0,
        }
    }
}

fn file_type(letter: &str) -> anyhow::Result<FileType> {
    Ok(match letter {
        "f" => FileType::Regular,
        "d" => FileType::Directory,
        "l" => FileType::Symlink,
        "p" => FileType::Fifo,
        "s" => FileType::Socket,
        "c" => FileType::CharDevice,
        "b" => FileType::BlockDevice,
        _ => bail!("`{letter}` is no type: f d l p s c b are"),
    })
}

/// A size with find's units: blocks of 512 bytes without one.
fn size(text: &str) -> anyhow::Result<Condition> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'c') => (&text[..text.len() - 1], 1),
        Some(b'w') => (&text[..text.len() - 1], 2),
        Some(b'b') => (&text[..text.len() - 1], 512),
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 512),
    };
    Ok(Condition::Size(Number::parse(digits)?, unit))
}
