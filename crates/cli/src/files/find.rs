//! `oxsan find`: files by name, type, size and more.

mod expression;
mod glob;
mod long;
mod mode;
mod parse;
mod printf;
mod time;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ocfs2::{Error, FileType, Follow, Inode, Volume, WalkEntry};

use super::show::{Clock, Owners};
use super::{FilesArgs, Trouble, path_bytes};
use expression::{Action, Candidate, Expr, Search, Test, path_of};
use parse::Query;
use time::{Which, nanos};

/// What its long help says.
const ABOUT: &str = "Find files, as find(1) does.

After the paths comes the expression. Its tests:
  -name -iname -path -ipath -lname -ilname PATTERN
  -type f|d|l|p|s|c|b (several with commas)
  -size [+-]N[bcwkMGT] (rounded up; without a unit 512 bytes), -empty
  -mtime -atime -ctime [+-]DAYS, -mmin -amin -cmin [+-]MINUTES
  -newer -anewer -cnewer -newerXY FILE (a file on the volume)
  -perm MODE | -MODE | /MODE (octal, or as u+w,g=r)
  -user -group NAME|N, -uid -gid -links -inum [+-]N, -nouser, -nogroup, -true, -false
Its operators, the strongest first: ( ), ! or -not, -a or nothing, -o, and the comma.
Its options: -maxdepth N, -mindepth N, -depth (what is in a directory before it; -prune does nothing then).
Its actions: -print, -print0, -ls, -printf FORMAT (%p %P %f %h %H %d %s %b %k %m %M %n %i %u %U %g %G %y %l \
%T@ %A@ %C@, with a width), -prune, -quit.

Exit status: 0, or 1 when something could not be read.";

/// Its examples.
const EXAMPLES: &str = "Examples:
  oxsan find disk.img / -name '*.conf' -mtime -7
  oxsan find /dev/sdb1 /home -size +100M -printf '%s %p\\n'
  oxsan find disk.img /var -path /var/cache -prune -o -type f -perm /022 -print0";

/// Find files by name, type, size, time and more.
#[derive(Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// One JSON object a line for each file that is found; before the volume
    #[arg(long)]
    json: bool,
    /// Paths on the volume (default: /), then the expression
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Runs the command.
pub(crate) fn run(args: &FindArgs) -> anyhow::Result<ExitCode> {
    let words: Vec<&[u8]> = args.rest.iter().map(|word| path_bytes(word)).collect();
    let begins = |word: &&[u8]| word.starts_with(b"-") || matches!(*word, b"!" | b"(" | b")" | b",");
    let first = words.iter().position(begins).unwrap_or(words.len());
    let (paths, words) = words.split_at(first);
    let owners = Owners::here(false);
    // Before anything is opened: what is wrong with the expression, and which files it compares with.
    let mut wanted = BTreeMap::new();
    parse::parse(words, args.json, &owners, &mut |path, which| {
        wanted.insert(path.to_vec(), which);
        Ok(0)
    })
    .context("the expression")?;
    let tops: Vec<&[u8]> = if paths.is_empty() { vec![b"/"] } else { paths.to_vec() };
    super::run(&args.files, async |volume, out| {
        let mut others = BTreeMap::new();
        for path in wanted.into_keys() {
            let inode = volume.resolve(&path, Follow::NotLast).await;
            let shown = || format!("the expression: {}", path.escape_ascii());
            others.insert(path.clone(), inode.with_context(shown)?);
        }
        let mut time_of = |path: &[u8], which: Which| {
            let inode = others.get(path).context("the file was not looked up")?;
            Ok(nanos(which.time(inode.attr())))
        };
        let query = parse::parse(words, args.json, &owners, &mut time_of).context("the expression")?;
        let clock = Clock::here();
        let now = clock.now_nanos();
        let search = Search { now, owners: &owners, clock: &clock, out, prune: false, quit: false };
        let mut finder = Finder::new(&volume, &query, search);
        for top in tops {
            finder.tree(top).await?;
        }
        Ok(finder.trouble.exit_code())
    })
}

/// A search in progress.
struct Finder<'a> {
    volume: &'a Volume,
    query: &'a Query,
    wants_targets: bool,
    wants_empty: bool,
    search: Search<'a>,
    trouble: Trouble,
}

impl<'a> Finder<'a> {
    fn new(volume: &'a Volume, query: &'a Query, search: Search<'a>) -> Self {
        let wants_targets = query.expr.any(&|expr| match expr {
            Expr::Test(Test::LinkName(_)) | Expr::Act(Action::Json | Action::Long) => true,
            Expr::Act(Action::Printf(format)) => format.wants_target(),
            _ => false,
        });
        let wants_empty = query.expr.any(&|expr| matches!(expr, Expr::Test(Test::Empty)));
        Self { volume, query, wants_targets, wants_empty, search, trouble: Trouble::default() }
    }

    /// Looks at everything below one path. The error is the output's.
    async fn tree(&mut self, top: &[u8]) -> std::io::Result<()> {
        let inode = match self.volume.resolve(top, Follow::NotLast).await {
            Ok(inode) => inode,
            Err(error) => {
                self.trouble.report(top, &error);
                return Ok(());
            }
        };
        let mut walk = self.volume.walk(inode);
        // With -depth: the directories on the way down, which come when the walk has left them.
        let mut open: Vec<WalkEntry> = Vec::new();
        while !self.search.quit
            && let Some(item) = walk.next().await
        {
            let path = match &item {
                Ok(entry) => &entry.path,
                Err(error) => &error.path,
            };
            self.leave_dirs(top, &mut open, Some(path)).await?;
            let entry = match item {
                Ok(entry) => entry,
                Err(error) => {
                    self.trouble.report(&path_of(top, &error.path), &error.source);
                    continue;
                }
            };
            let depth = Candidate::new(top, &entry.path, &entry.inode).depth;
            if self.query.max_depth.is_some_and(|most| depth >= most) {
                walk.skip_dir();
            }
            if self.query.contents_first && entry.inode.is_dir() {
                open.push(entry);
                continue;
            }
            self.consider(top, &entry).await?;
            if self.search.prune {
                walk.skip_dir();
            }
        }
        self.leave_dirs(top, &mut open, None).await
    }

    /// Considers the directories of `open` that `next` does not lie in, the deepest first; all of them at the end.
    async fn leave_dirs(
        &mut self,
        top: &[u8],
        open: &mut Vec<WalkEntry>,
        next: Option<&[u8]>,
    ) -> std::io::Result<()> {
        let holds = |dir: &[u8], next: &[u8]| {
            dir.is_empty() || next.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        while !self.search.quit
            && let Some(dir) = open.pop_if(|dir| !next.is_some_and(|next| holds(&dir.path, next)))
        {
            self.consider(top, &dir).await?;
        }
        Ok(())
    }

    /// Evaluates the expression for one file, unless it lies too high or too deep.
    async fn consider(&mut self, top: &[u8], entry: &WalkEntry) -> std::io::Result<()> {
        self.search.prune = false;
        let mut file = Candidate::new(top, &entry.path, &entry.inode);
        let query = self.query;
        if file.depth < query.min_depth || query.max_depth.is_some_and(|most| file.depth > most) {
            return Ok(());
        }
        self.look_closer(&mut file).await;
        query.expr.eval(&file, &mut self.search)?;
        Ok(())
    }

    /// What of a file is not in its inode, where the query asks for it.
    async fn look_closer(&mut self, file: &mut Candidate<'_>) {
        let kind = file.inode.attr().kind;
        if self.wants_targets && kind == FileType::Symlink {
            match self.volume.readlink(file.inode).await {
                Ok(target) => file.target = Some(target),
                Err(error) => self.trouble.report(&file.path, &error),
            }
        }
        if self.wants_empty && kind == FileType::Directory {
            match is_empty(self.volume, file.inode).await {
                Ok(empty) => file.is_empty_dir = empty,
                Err(error) => self.trouble.report(&file.path, &error),
            }
        }
    }
}

/// Whether a directory has no entries but `.` and `..`.
async fn is_empty(volume: &Volume, dir: &Inode) -> Result<bool, Error> {
    let mut position = Some(0);
    while let Some(at) = position {
        let page = volume.readdir(dir, at).await?;
        if let Some(damage) = page.damage.into_iter().next() {
            return Err(damage.into());
        }
        if page.entries.iter().any(|entry| !entry.is_dot()) {
            return Ok(false);
        }
        position = page.next;
    }
    Ok(true)
}
