//! `oxsan ls`: lists directories.

mod columns;
mod style;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ArgAction, Args};
use ocfs2::{Attr, BlockNum, Error, FileType, Follow, Inode, Volume};
use serde_json::Value;

use super::show::{Clock, Owners};
use super::{FilesArgs, Output, Trouble, entry, path_bytes, show};
use style::{Colours, When};

/// List files and directories.
///
/// As ls(1) does: sorted by name in byte order, in columns on a terminal, else one a line.
///
/// Exit status: 0, or 1 when something could not be read.
#[derive(Args)]
#[command(disable_help_flag = true)] // -h means sizes for people, as in ls(1)
#[command(after_help = "Examples:
  oxsan ls disk.img
  oxsan ls -lh /dev/sdb1 /home
  oxsan ls -lR --json 'iscsi://san/iqn.2026-01.org.example:disk/0' /etc")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of ls(1)")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume
    #[arg(default_value = "/")]
    paths: Vec<OsString>,
    /// Mode, links, owner, group, size, time
    #[arg(short)]
    long: bool,
    /// Names that begin with a dot too, . and .. among them
    #[arg(short, long)]
    all: bool,
    /// As -a, without . and ..
    #[arg(short = 'A', long)]
    almost_all: bool,
    /// Directories below, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The inode's number first
    #[arg(short, long)]
    inode: bool,
    /// Directories themselves, not what is in them
    #[arg(short, long)]
    directory: bool,
    /// Numbers of users and groups, not names
    #[arg(short, long = "numeric-uid-gid")]
    numeric: bool,
    /// Sizes in K, M, G, T
    #[arg(short, long = "human-readable")]
    human: bool,
    /// Newest first
    #[arg(short = 't')]
    by_time: bool,
    /// Largest first
    #[arg(short = 'S')]
    by_size: bool,
    /// The other way round
    #[arg(short, long)]
    reverse: bool,
    /// Allocated space first, in units of 1024 bytes
    #[arg(short, long = "size")]
    space: bool,
    /// A mark behind each name: / directory, * program, @ symlink, | pipe, = socket
    #[arg(short = 'F', long)]
    classify: bool,
    /// One name a line
    #[arg(short = '1')]
    one: bool,
    /// In columns, on a terminal or not
    #[arg(short = 'C', overrides_with = "one")]
    columns: bool,
    /// Width of a line in columns
    #[arg(short, long, value_name = "COLUMNS")]
    width: Option<usize>,
    /// When names are coloured
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", num_args = 0..=1, default_missing_value = "always", require_equals = true)]
    color: When,
    /// Whole time stamps
    #[arg(long)]
    full_time: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// One line to be.
struct Line {
    /// As it is shown.
    name: Vec<u8>,
    /// From where the listing began.
    path: Vec<u8>,
    ino: BlockNum,
    /// The inode and its target, where they were wanted.
    inode: Option<(Inode, Option<Vec<u8>>)>,
    /// It has an ACL beyond its mode; looked at where modes are shown.
    has_acl: bool,
    /// The mark of what a symlink leads to; looked at where that is shown.
    target_mark: &'static str,
}

struct Lister<'a> {
    args: &'a LsArgs,
    volume: Volume,
    out: &'a mut Output,
    clock: Clock,
    owners: Owners,
    colours: Option<Colours>,
    trouble: Trouble,
    /// Directories listed already: a loop of directories ends.
    seen: BTreeSet<BlockNum>,
    blank: bool,
}

/// Runs the command.
pub(crate) fn run(args: &LsArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        let colours = Colours::of(args.color, out.is_terminal()).filter(|_| !args.json);
        let mut lister = Lister {
            args,
            volume,
            out,
            clock: Clock::here(),
            owners: Owners::here(args.numeric),
            colours,
            trouble: Trouble::default(),
            seen: BTreeSet::new(),
            blank: false,
        };
        lister.run().await?;
        Ok(lister.trouble.exit_code())
    })
}

impl Lister<'_> {
    async fn run(&mut self) -> io::Result<()> {
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        let follow = if self.is_long() || self.args.directory { Follow::NotLast } else { Follow::Last };
        for path in &self.args.paths {
            let path = path_bytes(path);
            match self.volume.resolve(path, follow).await {
                Ok(inode) if inode.is_dir() && !self.args.directory => dirs.push((path.to_vec(), inode)),
                Ok(inode) => {
                    let target = self.target(path, &inode).await;
                    let ino = inode.ino();
                    let (name, path) = (path.to_vec(), path.to_vec());
                    let has_acl = self.has_acl(&path, &inode).await;
                    let target_mark = self.target_mark(&path, &inode).await;
                    files.push(Line { name, path, ino, inode: Some((inode, target)), has_acl, target_mark });
                }
                Err(error) => self.trouble.report(path, &error),
            }
        }
        self.blank = !files.is_empty();
        self.print(&mut files)?;
        let headed = self.args.recursive || self.args.paths.len() > 1;
        // The next directory is at the end.
        dirs.sort_by(|a, b| self.order((&b.0, Some(b.1.attr())), (&a.0, Some(a.1.attr()))));
        while let Some((path, dir)) = dirs.pop() {
            self.dir(path, &dir, headed, &mut dirs).await?;
        }
        Ok(())
    }

    /// Lists one directory; with -R those in it are put on top of `todo`.
    async fn dir(
        &mut self,
        path: Vec<u8>,
        dir: &Inode,
        headed: bool,
        todo: &mut Vec<(Vec<u8>, Inode)>,
    ) -> io::Result<()> {
        if !self.seen.insert(dir.ino()) && self.args.recursive {
            self.trouble.report(&path, &Error::DirLoop { ino: dir.ino() });
            return Ok(());
        }
        let mut lines = self.read(&path, dir).await;
        let json = self.args.json;
        if headed && !json {
            if std::mem::replace(&mut self.blank, true) {
                writeln!(self.out)?;
            }
            self.out.name(&path)?;
            writeln!(self.out, ":")?;
        }
        if (self.is_long() || self.args.space) && !json {
            let sectors: u64 =
                lines.iter().filter_map(|line| line.inode.as_ref()).map(|i| i.0.attr().blocks).sum();
            let total =
                if self.args.human { show::human(sectors * 512) } else { sectors.div_ceil(2).to_string() };
            writeln!(self.out, "total {total}")?;
        }
        self.print(&mut lines)?;
        if self.args.recursive {
            let below = lines.into_iter().filter(|line| !matches!(line.name.as_slice(), b"." | b".."));
            let below: Vec<_> =
                below.filter_map(|line| line.inode.map(|inode| (line.path, inode.0))).collect();
            todo.extend(below.into_iter().rev().filter(|(_, inode)| inode.is_dir()));
        }
        Ok(())
    }

    /// Reads the names of a directory, and the inodes where they are wanted.
    async fn read(&mut self, path: &[u8], dir: &Inode) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut pages = self.volume.dir_pages(dir, 0);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    for damage in &page.damage {
                        self.trouble.report(path, damage);
                    }
                    for name in page.entries {
                        let hidden = name.name.starts_with(b".");
                        let shown = !hidden || self.args.all || self.args.almost_all && !name.is_dot();
                        if shown {
                            let path = join(path, &name.name);
                            let (ino, name) = (name.ino, name.name);
                            lines.push(Line {
                                name,
                                path,
                                ino,
                                inode: None,
                                has_acl: false,
                                target_mark: "",
                            });
                        }
                    }
                }
                Err(error) => self.trouble.report(path, &error),
            }
        }
        if self.wants_inodes() {
            self.add_inodes(&mut lines).await;
        }
        lines
    }

    async fn add_inodes(&mut self, lines: &mut [Line]) {
        for window in lines.chunks_mut(256) {
            self.volume.prefetch_inodes(window.iter().map(|line| line.ino)).await;
            for line in window {
                match self.volume.inode(line.ino).await {
                    Ok(inode) => {
                        let target = self.target(&line.path, &inode).await;
                        line.has_acl = self.has_acl(&line.path, &inode).await;
                        line.target_mark = self.target_mark(&line.path, &inode).await;
                        line.inode = Some((inode, target));
                    }
                    Err(error) => self.trouble.report(&line.path, &error),
                }
            }
        }
    }

    /// Whether a plus stands behind the mode.
    async fn has_acl(&mut self, path: &[u8], inode: &Inode) -> bool {
        if !self.is_long() || self.args.json {
            return false;
        }
        match self.volume.xattrs(inode).await {
            Ok(all) => all.iter().any(|xattr| xattr.name().starts_with(b"system.posix_acl_")),
            Err(error) => {
                self.trouble.report(path, &error);
                false
            }
        }
    }

    /// The mark of what the symlink at `path` leads to on this volume: none where it leads nowhere.
    async fn target_mark(&mut self, path: &[u8], inode: &Inode) -> &'static str {
        if !(self.args.classify && self.is_long()) || inode.attr().kind != FileType::Symlink {
            return "";
        }
        match self.volume.resolve(path, Follow::Last).await {
            Ok(behind) => style::mark(behind.attr()),
            Err(error) => {
                if error.is_damage() {
                    self.trouble.report(path, &error);
                }
                ""
            }
        }
    }

    async fn target(&mut self, path: &[u8], inode: &Inode) -> Option<Vec<u8>> {
        if inode.attr().kind != FileType::Symlink {
            return None;
        }
        match self.volume.readlink(inode).await {
            Ok(target) => Some(target),
            Err(error) => {
                self.trouble.report(path, &error);
                None
            }
        }
    }

    fn print(&mut self, lines: &mut [Line]) -> io::Result<()> {
        lines.sort_by(|a, b| self.order((&a.name, a.attr()), (&b.name, b.attr())));
        if self.args.json {
            return self.print_json(lines);
        }
        if self.is_long() { self.print_long(lines) } else { self.print_short(lines) }
    }

    /// Which of two comes first: a name, and what is known of it.
    fn order(&self, a: (&[u8], Option<&Attr>), b: (&[u8], Option<&Attr>)) -> Ordering {
        let order = match (a.1, b.1) {
            (Some(a), Some(b)) if self.args.by_time => b.mtime.cmp(&a.mtime),
            (Some(a), Some(b)) if self.args.by_size => b.size.cmp(&a.size),
            _ => Ordering::Equal,
        };
        let order = order.then_with(|| a.0.cmp(b.0));
        if self.args.reverse { order.reverse() } else { order }
    }

    fn is_long(&self) -> bool {
        self.args.long || self.args.full_time || self.args.numeric
    }

    /// Whether what is shown is more than names and numbers.
    fn wants_inodes(&self) -> bool {
        let args = self.args;
        let shown = self.is_long() || args.json || args.space || args.classify || self.colours.is_some();
        shown || args.recursive || args.by_time || args.by_size
    }

    fn print_json(&mut self, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            if let Some((inode, target)) = &line.inode {
                let object = entry::object(&line.path, inode, target.as_deref());
                writeln!(self.out, "{}", Value::Object(object))?;
            }
        }
        Ok(())
    }

    /// Names, in columns or one a line, with number and space before them where wanted.
    fn print_short(&mut self, lines: &[Line]) -> io::Result<()> {
        let before: Vec<[String; 2]> = lines.iter().map(|line| self.numbers(line)).collect();
        let widest = widths(&before);
        let before: Vec<String> = before.iter().map(|cells| right(cells, &widest)).collect();
        let args = self.args;
        if args.one || !(args.columns || self.out.is_terminal()) {
            for (line, before) in lines.iter().zip(&before) {
                write!(self.out, "{before}")?;
                self.name(line, true)?;
                writeln!(self.out)?;
            }
            return Ok(());
        }
        let width = |line: &Line| {
            let mark = if args.classify { line.attr().map_or("", style::mark) } else { "" };
            show::width(&line.name) + mark.len()
        };
        let all: Vec<usize> =
            lines.iter().zip(&before).map(|(line, before)| before.len() + width(line)).collect();
        for row in columns::rows(&all, args.width.unwrap_or_else(|| self.out.width())) {
            for (number, blanks) in row {
                write!(self.out, "{}", before[number])?;
                self.name(&lines[number], true)?;
                write!(self.out, "{:blanks$}", "")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn print_long(&mut self, lines: &[Line]) -> io::Result<()> {
        let devices = lines.iter().filter_map(Line::attr).filter(|attr| is_device(attr));
        let digits = |number: u32| number.to_string().len();
        let (major, minor) = devices.fold((0, 0), |(major, minor), attr| {
            (major.max(digits(attr.rdev.0)), minor.max(digits(attr.rdev.1)))
        });
        let before: Vec<[String; 2]> = lines.iter().map(|line| self.numbers(line)).collect();
        let cells: Vec<[String; 6]> = lines.iter().map(|line| self.cells(line, major, minor)).collect();
        let (before_widths, widths) = (widths(&before), widths(&cells));
        let any_acl = lines.iter().any(|line| line.has_acl);
        for ((line, before), [mode, links, user, group, size, time]) in lines.iter().zip(&before).zip(&cells)
        {
            let [_, a, b, c, d, e] = widths;
            write!(self.out, "{}", right(before, &before_widths))?;
            let plus = match (line.has_acl, any_acl) {
                (true, _) => "+",
                (false, true) => " ",
                (false, false) => "",
            };
            let (user, group) = (owner(user, b), owner(group, c));
            write!(self.out, "{mode}{plus} {links:>a$} {user} {group} {size:>d$} {time:>e$} ")?;
            self.name(line, line.attr().is_none_or(|attr| attr.kind != FileType::Symlink))?;
            if let Some((_, Some(target))) = &line.inode {
                write!(self.out, " -> ")?;
                self.out.name(target)?;
                write!(self.out, "{}", line.target_mark)?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// A name with its colour and its mark.
    fn name(&mut self, line: &Line, marked: bool) -> io::Result<()> {
        let attr = line.attr();
        let colour = match (&self.colours, attr) {
            (Some(colours), Some(attr)) => colours.before(&line.name, attr),
            _ => String::new(),
        };
        write!(self.out, "{colour}")?;
        self.out.name(&line.name)?;
        if !colour.is_empty() {
            write!(self.out, "\x1b[0m")?;
        }
        if self.args.classify && marked {
            write!(self.out, "{}", attr.map_or("", style::mark))?;
        }
        Ok(())
    }

    /// The inode's number and its space: empty where not wanted.
    fn numbers(&self, line: &Line) -> [String; 2] {
        let ino = if self.args.inode { line.ino.to_string() } else { String::new() };
        let space = match line.attr() {
            _ if !self.args.space => String::new(),
            None => "?".into(),
            Some(attr) if self.args.human => show::human(attr.blocks * 512),
            Some(attr) => attr.blocks.div_ceil(2).to_string(),
        };
        [ino, space]
    }

    /// Mode, links, owner, group, size, time.
    fn cells(&self, line: &Line, major: usize, minor: usize) -> [String; 6] {
        let Some(attr) = line.attr() else {
            return ["??????????", "?", "?", "?", "?", "?"].map(str::to_owned);
        };
        let size = match attr.rdev {
            (a, b) if is_device(attr) => format!("{a:>major$}, {b:>minor$}"),
            _ if self.args.human => show::human(attr.size),
            _ => attr.size.to_string(),
        };
        let time =
            if self.args.full_time { self.clock.full(attr.mtime) } else { self.clock.short(attr.mtime) };
        let (user, group) = (self.owners.user(attr.uid), self.owners.group(attr.gid));
        [show::mode(attr.kind, attr.perm), attr.nlink.to_string(), user, group, size, time]
    }
}

impl Line {
    fn attr(&self) -> Option<&Attr> {
        self.inode.as_ref().map(|(inode, _)| inode.attr())
    }
}

fn is_device(attr: &Attr) -> bool {
    matches!(attr.kind, FileType::CharDevice | FileType::BlockDevice)
}

/// Names are flush left, numbers flush right.
fn owner(owner: &str, width: usize) -> String {
    let number = owner.bytes().all(|byte| byte.is_ascii_digit());
    if number { format!("{owner:>width$}") } else { format!("{owner:<width$}") }
}

/// The widest cell of each column.
fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// Cells flush right, a blank behind each; columns without any are left out.
fn right(cells: &[String; 2], widths: &[usize; 2]) -> String {
    let shown = cells.iter().zip(widths).filter(|(_, width)| **width > 0);
    shown.map(|(cell, width)| format!("{cell:>width$} ")).collect()
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        [] | [.., b'/'] => [dir, name].concat(),
        _ => [dir, b"/", name].concat(),
    }
}
