//! From words to an expression: operators and their order as in find(1).

use std::cmp::Ordering;

use anyhow::{Context as _, bail, ensure};
use ocfs2::FileType;

use super::expression::{Action, Expr, Number, Test};
use super::glob::Glob;
use super::mode::Perm;
use super::printf::Format;
use super::time::{Age, Which};
use crate::files::show::Owners;

/// Parentheses within each other.
const DEEPEST: usize = 100;

/// Why no program is run.
const NO_FILE: &str = "there is no file on this host to run a program on: copy it out with oxsan cp, or mount the volume with oxsan mount";
/// Words of find(1) that are not built, and why.
const NOT_BUILT: &[(&str, &str)] = &[
    ("-exec", NO_FILE),
    ("-execdir", NO_FILE),
    ("-ok", NO_FILE),
    ("-okdir", NO_FILE),
    ("-delete", "the volume is only read"),
    ("-fls", "write to a file with > of the shell"),
    ("-fprint", "write to a file with > of the shell"),
    ("-fprint0", "write to a file with > of the shell"),
    ("-fprintf", "write to a file with > of the shell"),
    ("-follow", "symlinks are not followed"),
    ("-L", "symlinks are not followed"),
    ("-H", "symlinks are not followed"),
    ("-regex", "use -path and patterns of the shell"),
    ("-iregex", "use -ipath and patterns of the shell"),
    ("-regextype", "use -path and patterns of the shell"),
];

/// What is looked for, and where.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) expr: Expr,
    /// Files above this are passed over.
    pub(super) min_depth: usize,
    /// Directories this deep are not entered.
    pub(super) max_depth: Option<usize>,
    /// Directories come after what is in them.
    pub(super) contents_first: bool,
}

/// A time of a file on the volume, by its path, which only the open volume can tell.
pub(super) type TimeOf<'a> = dyn FnMut(&[u8], Which) -> anyhow::Result<i128> + 'a;

/// Parses the words behind the paths; `time_of` looks up what -newer names, and `json` is the action where none is.
pub(super) fn parse(
    words: &[&[u8]],
    json: bool,
    owners: &Owners,
    time_of: &mut TimeOf<'_>,
) -> anyhow::Result<Query> {
    let mut parser = Parser {
        words,
        at: 0,
        depth: 0,
        min_depth: 0,
        max_depth: None,
        contents_first: false,
        acts: false,
        owners,
        time_of,
    };
    let mut expr = match words {
        [] => Expr::Test(Test::Always(true)),
        _ => parser.list()?,
    };
    if let Some(word) = parser.peek() {
        bail!("`{}` without a parenthesis that it closes", word.escape_ascii());
    }
    ensure!(!(json && parser.acts), "--json prints what is found: take it or -print, -print0, -printf");
    if !parser.acts {
        let action = if json { Action::Json } else { Action::Print(b"\n") };
        expr = Expr::And(vec![expr, Expr::Act(action)]);
    }
    let Parser { min_depth, max_depth, contents_first, .. } = parser;
    Ok(Query { expr, min_depth, max_depth, contents_first })
}

struct Parser<'a> {
    words: &'a [&'a [u8]],
    at: usize,
    depth: usize,
    min_depth: usize,
    max_depth: Option<usize>,
    contents_first: bool,
    /// There is an action that prints.
    acts: bool,
    owners: &'a Owners,
    time_of: &'a mut TimeOf<'a>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let word = self.peek()?;
        self.at += 1;
        Some(word)
    }

    /// `a , b`
    fn list(&mut self) -> anyhow::Result<Expr> {
        let mut parts = vec![self.or()?];
        while self.peek() == Some(b",") {
            self.at += 1;
            parts.push(self.or()?);
        }
        Ok(one_or(parts, Expr::List))
    }

    /// `a -o b`
    fn or(&mut self) -> anyhow::Result<Expr> {
        let mut parts = vec![self.and()?];
        while matches!(self.peek(), Some(b"-o" | b"-or")) {
            self.at += 1;
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expr::Or))
    }

    /// `a b`, `a -a b`
    fn and(&mut self) -> anyhow::Result<Expr> {
        let mut parts = vec![self.not()?];
        loop {
            match self.peek() {
                None | Some(b")" | b"," | b"-o" | b"-or") => break,
                Some(b"-a" | b"-and") => self.at += 1,
                Some(_) => {}
            }
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expr::And))
    }

    /// `! a`, `( a )`, or a test, option or action.
    fn not(&mut self) -> anyhow::Result<Expr> {
        let mut turned = false;
        while matches!(self.peek(), Some(b"!" | b"-not")) {
            self.at += 1;
            turned = !turned;
        }
        let expr = match self.next() {
            None => bail!("a condition is missing at the end"),
            Some(b"(") => {
                self.depth += 1;
                ensure!(self.depth <= DEEPEST, "more than {DEEPEST} parentheses within each other");
                ensure!(self.peek() != Some(b")"), "`( )` with nothing in it");
                let inner = self.list()?;
                ensure!(self.next() == Some(b")"), "`(` without its `)`");
                self.depth -= 1;
                inner
            }
            Some(word @ (b")" | b"," | b"-o" | b"-or" | b"-a" | b"-and")) => {
                bail!("`{}` with nothing before it", word.escape_ascii())
            }
            Some(word) => self.primary(word)?,
        };
        Ok(if turned { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn primary(&mut self, word: &[u8]) -> anyhow::Result<Expr> {
        let name = String::from_utf8_lossy(word).into_owned();
        if let Some(action) = self.action(&name)? {
            self.acts |= !matches!(action, Action::Prune | Action::Quit);
            return Ok(Expr::Act(action));
        }
        if self.option(&name)? {
            return Ok(Expr::Test(Test::Always(true)));
        }
        if let Some((_, why)) = NOT_BUILT.iter().find(|(not_built, _)| *not_built == name) {
            bail!("{name} is not built: {why}");
        }
        let found = match self.test(&name)? {
            Some(test) => Some(test),
            None => self.time_test(&name)?,
        };
        let known = || format!("`{name}` is no condition known here: oxsan find --help lists them");
        found.map(Expr::Test).with_context(known)
    }

    fn action(&mut self, name: &str) -> anyhow::Result<Option<Action>> {
        Ok(Some(match name {
            "-print" => Action::Print(b"\n"),
            "-print0" => Action::Print(b"\0"),
            "-printf" => Action::Printf(Format::parse(self.bytes(name)?)?),
            "-ls" => Action::Long,
            "-prune" => Action::Prune,
            "-quit" => Action::Quit,
            _ => return Ok(None),
        }))
    }

    /// What holds for the whole search.
    fn option(&mut self, name: &str) -> anyhow::Result<bool> {
        let depth = |text: &str| text.parse().with_context(|| format!("{name} takes a number, not `{text}`"));
        match name {
            "-maxdepth" => self.max_depth = Some(depth(self.text(name)?)?),
            "-mindepth" => self.min_depth = depth(self.text(name)?)?,
            "-depth" | "-d" => self.contents_first = true,
            // A volume is one filesystem, and its links are counted.
            "-xdev" | "-mount" | "-noleaf" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn test(&mut self, name: &str) -> anyhow::Result<Option<Test>> {
        Ok(Some(match name {
            "-true" => Test::Always(true),
            "-false" => Test::Always(false),
            "-name" => Test::Name(Glob::new(self.bytes(name)?)),
            "-iname" => Test::Name(Glob::any_case(self.bytes(name)?)),
            "-path" | "-wholename" => Test::Path(Glob::new(self.bytes(name)?)),
            "-ipath" | "-iwholename" => Test::Path(Glob::any_case(self.bytes(name)?)),
            "-lname" => Test::LinkName(Glob::new(self.bytes(name)?)),
            "-ilname" => Test::LinkName(Glob::any_case(self.bytes(name)?)),
            "-type" => Test::Type(self.text(name)?.split(',').map(file_type).collect::<anyhow::Result<_>>()?),
            "-size" => self.size(name)?,
            "-links" => Test::Links(self.number(name)?),
            "-inum" => Test::Inum(self.number(name)?),
            "-uid" => Test::Uid(self.number(name)?),
            "-gid" => Test::Gid(self.number(name)?),
            "-user" => Test::Uid(self.owner(name, Owners::uid)?),
            "-group" => Test::Gid(self.owner(name, Owners::gid)?),
            "-nouser" => Test::NoUser,
            "-nogroup" => Test::NoGroup,
            "-perm" => Test::Perm(Perm::parse(self.text(name)?).context("-perm")?),
            "-empty" => Test::Empty,
            _ => return Ok(None),
        }))
    }

    fn time_test(&mut self, name: &str) -> anyhow::Result<Option<Test>> {
        let letters = |name: &str, rest: &str| {
            let first = name.strip_prefix('-')?.strip_suffix(rest)?;
            Which::of(*first.as_bytes().first()?).filter(|_| first.len() == 1)
        };
        if let Some(which) = letters(name, "time") {
            return Ok(Some(Test::Age(which, Age::days(self.text(name)?).context(name.to_owned())?)));
        }
        if let Some(which) = letters(name, "min") {
            return Ok(Some(Test::Age(which, Age::minutes(self.text(name)?).context(name.to_owned())?)));
        }
        let (ours, theirs) = match name {
            "-newer" => (Which::Modify, Which::Modify),
            "-anewer" => (Which::Access, Which::Modify),
            "-cnewer" => (Which::Change, Which::Modify),
            _ => match name.strip_prefix("-newer").map(str::as_bytes) {
                Some([ours, theirs]) => match (Which::of(*ours), Which::of(*theirs)) {
                    (Some(ours), Some(theirs)) => (ours, theirs),
                    _ => bail!("{name} is not built: -newerXY takes a, c or m twice"),
                },
                _ => return Ok(None),
            },
        };
        let path = self.bytes(name)?;
        Ok(Some(Test::Newer(ours, (self.time_of)(path, theirs).context(name.to_owned())?)))
    }

    fn bytes(&mut self, name: &str) -> anyhow::Result<&'a [u8]> {
        self.next().with_context(|| format!("{name} needs an argument"))
    }

    fn text(&mut self, name: &str) -> anyhow::Result<&'a str> {
        std::str::from_utf8(self.bytes(name)?).with_context(|| format!("the argument of {name} is no text"))
    }

    fn number(&mut self, name: &str) -> anyhow::Result<Number> {
        number(self.text(name)?).context(name.to_owned())
    }

    fn owner(&mut self, name: &str, id: fn(&Owners, &str) -> Option<u32>) -> anyhow::Result<Number> {
        let text = self.text(name)?;
        let id = id(self.owners, text).or_else(|| text.parse().ok());
        let id = id.with_context(|| format!("{name}: this host knows no `{text}`; a number may be given"))?;
        Ok(Number(Ordering::Equal, id.into()))
    }

    /// A size with find's units: blocks of 512 bytes without one.
    fn size(&mut self, name: &str) -> anyhow::Result<Test> {
        let text = self.text(name)?;
        let units: [(char, u64); 7] =
            [('c', 1), ('w', 2), ('b', 512), ('k', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
        let unit = units.iter().find(|(letter, _)| text.ends_with(*letter));
        let (digits, unit) = unit.map_or((text, 512), |(_, unit)| (&text[..text.len() - 1], *unit));
        let wrong = || format!("{name} {text}: a number, and one of c w b k M G T or nothing behind it");
        Ok(Test::Size(number(digits).with_context(wrong)?, unit))
    }
}

fn number(text: &str) -> anyhow::Result<Number> {
    let (order, digits) = match text.as_bytes().first() {
        Some(b'+') => (Ordering::Greater, &text[1..]),
        Some(b'-') => (Ordering::Less, &text[1..]),
        _ => (Ordering::Equal, text),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.parse().ok().filter(|_| plain);
    value.map(|value| Number(order, value)).with_context(|| format!("`{text}` is no number"))
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
        _ => bail!("-type: `{letter}` is no type: f d l p s c b are, several with commas"),
    })
}

fn one_or(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(words: &str) -> anyhow::Result<Query> {
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        parse(&words, false, &Owners::default(), &mut |_, _| Ok(0))
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, expected) in [
            ("-name", "-name needs an argument"),
            ("( -true", "`(` without its `)`"),
            ("-true )", "`)` without a parenthesis that it closes"),
            ("-true -o", "a condition is missing at the end"),
            ("-o -true", "`-o` with nothing before it"),
            ("( )", "`( )` with nothing in it"),
            (
                "-exec",
                "-exec is not built: there is no file on this host to run a program on: copy it out with oxsan cp, or mount the volume with oxsan mount",
            ),
            ("-frob", "`-frob` is no condition known here: oxsan find --help lists them"),
            ("-size 3x", "-size 3x: a number, and one of c w b k M G T or nothing behind it"),
            ("-user nobody-here", "-user: this host knows no `nobody-here`; a number may be given"),
            ("-newerXt x", "-newerXt is not built: -newerXY takes a, c or m twice"),
            ("-type x", "-type: `x` is no type: f d l p s c b are, several with commas"),
        ] {
            let error = query(words).expect_err(words);
            assert_eq!(error.to_string(), expected);
        }
        let deep = "( ".repeat(101) + "-true" + &" )".repeat(101);
        assert!(query(&deep).is_err());
        assert!(query("! ( -name a -o -newer b , -false ) -a -size +1M -print0").is_ok());
    }
}
