//! `oxsan ls`: lists directories.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ArgAction, Args};
use ocfs2::{BlockNum, Error, FileType, Follow, Inode, Volume};
use serde_json::Value;

use super::show::{Clock, Owners};
use super::{FilesArgs, Output, Trouble, entry, path_bytes, show};

/// Lists files and directories, one a line, sorted by name in byte order.
#[derive(Args)]
#[command(disable_help_flag = true)] // -h means sizes for people, as in ls(1)
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
}

struct Lister<'a> {
    args: &'a LsArgs,
    volume: Volume,
    out: &'a mut Output,
    clock: Clock,
    owners: Owners,
    trouble: Trouble,
    /// Directories listed already: a loop of directories ends.
    seen: BTreeSet<BlockNum>,
    blank: bool,
}

/// Runs the command.
pub(crate) fn run(args: &LsArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        let mut lister = Lister {
            args,
            volume,
            out,
            clock: Clock::here(),
            owners: Owners::here(args.numeric),
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
        let long = self.args.long || self.args.full_time;
        let follow = if long || self.args.directory { Follow::NotLast } else { Follow::Last };
        for path in &self.args.paths {
            let path = path_bytes(path);
            match self.volume.resolve(path, follow).await {
                Ok(inode) if inode.is_dir() && !self.args.directory => dirs.push((path.to_vec(), inode)),
                Ok(inode) => {
                    let target = self.target(path, &inode).await;
                    let ino = inode.ino();
                    let (name, path) = (path.to_vec(), path.to_vec());
                    files.push(Line { name, path, ino, inode: Some((inode, target)) });
                }
                Err(error) => self.trouble.report(path, &error),
            }
        }
        self.blank = !files.is_empty();
        self.print(&mut files)?;
        let headed = self.args.recursive || self.args.paths.len() > 1;
        // The next directory is at the end.
        dirs.reverse();
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
        if self.args.long && !json {
            let sectors: u64 =
                lines.iter().filter_map(|line| line.inode.as_ref()).map(|i| i.0.attr().blocks).sum();
            let total = if self.args.human { show::human(sectors * 512) } else { (sectors / 2).to_string() };
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
        let mut position = Some(0);
        while let Some(at) = position {
            match self.volume.readdir(dir, at).await {
                Ok(page) => {
                    for damage in &page.damage {
                        self.trouble.report(path, damage);
                    }
                    position = page.next;
                    for name in page.entries {
                        let hidden = name.name.starts_with(b".");
                        let shown = !hidden || self.args.all || self.args.almost_all && !name.is_dot();
                        if shown {
                            let path = join(path, &name.name);
                            lines.push(Line { name: name.name, path, ino: name.ino, inode: None });
                        }
                    }
                }
                Err(error) => {
                    self.trouble.report(path, &error);
                    position = if error.is_damage() { self.volume.next_dir_block(dir, at) } else { None };
                }
            }
        }
        let args = self.args;
        if args.long || args.full_time || args.recursive || args.json || args.by_time || args.by_size {
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
                        line.inode = Some((inode, target));
                    }
                    Err(error) => self.trouble.report(&line.path, &error),
                }
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
        lines.sort_by(|a, b| {
            let attr = |line: &Line| line.inode.as_ref().map(|inode| *inode.0.attr());
            let order = match (attr(a), attr(b)) {
                (Some(a), Some(b)) if self.args.by_time => b.mtime.cmp(&a.mtime),
                (Some(a), Some(b)) if self.args.by_size => b.size.cmp(&a.size),
                _ => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| a.name.cmp(&b.name));
            if self.args.reverse { order.reverse() } else { order }
        });
        let cells: Vec<[String; 7]> = lines.iter().map(|line| self.cells(line)).collect();
        let mut widths = [0; 7];
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.len().max(*width);
            }
        }
        for (line, row) in lines.iter().zip(&cells) {
            if self.args.json {
                if let Some((inode, target)) = &line.inode {
                    let object = entry::object(&line.path, inode, target.as_deref());
                    writeln!(self.out, "{}", Value::Object(object))?;
                }
                continue;
            }
            for (n, (cell, width)) in row.iter().zip(widths).enumerate().filter(|(_, (_, width))| *width > 0)
            {
                // Owner and group are flush left, as in ls(1); mode and time have one width.
                if matches!(n, 3 | 4) {
                    write!(self.out, "{cell:<width$} ")?
                } else {
                    write!(self.out, "{cell:>width$} ")?
                }
            }
            self.out.name(&line.name)?;
            if self.args.long
                && let Some((_, Some(target))) = &line.inode
            {
                write!(self.out, " -> ")?;
                self.out.name(target)?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// Inode, mode, links, owner, group, size, time: empty where not wanted.
    fn cells(&self, line: &Line) -> [String; 7] {
        let ino = if self.args.inode { line.ino.to_string() } else { String::new() };
        if !self.args.long && !self.args.full_time || self.args.json {
            return [
                ino,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ];
        }
        let Some((inode, _)) = &line.inode else {
            return [ino, "??????????".into(), "?".into(), "?".into(), "?".into(), "?".into(), "?".into()];
        };
        let attr = inode.attr();
        let size = match attr.kind {
            FileType::CharDevice | FileType::BlockDevice => format!("{}, {}", attr.rdev.0, attr.rdev.1),
            _ if self.args.human => show::human(attr.size),
            _ => attr.size.to_string(),
        };
        let time =
            if self.args.full_time { self.clock.full(attr.mtime) } else { self.clock.short(attr.mtime) };
        [
            ino,
            show::mode(attr.kind, attr.perm),
            attr.nlink.to_string(),
            self.owners.user(attr.uid),
            self.owners.group(attr.gid),
            size,
            time,
        ]
    }
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        [] | [.., b'/'] => [dir, name].concat(),
        _ => [dir, b"/", name].concat(),
    }
}
