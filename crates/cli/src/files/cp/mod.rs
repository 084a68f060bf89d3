//! `oxsan cp`: copies files and trees out of a volume.

mod attributes;
mod error;
mod file;
mod part;
mod place;
mod progress;
mod total;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::ensure;
use clap::Args;
use ocfs2::{Attr, BlockNum, FileType, Follow, Inode, Volume, WalkEntry};
use serde_json::Value;

use super::{FilesArgs, Output, Trouble, path_bytes};
use crate::signals::Signals;
use attributes::Attributes;
use error::CopyError;
use part::{Leftovers, Namer, Part, last_name};
use place::{OpenDir, refuse_directory};
use progress::Progress;
use total::Total;

/// Copy files and trees out of a volume.
///
/// Holes, times, modes, symlinks and hard links are kept, and owners, devices, ACLs and extended attributes as far as
/// the user may and the destination can.
///
/// A file is copied under a name of its own (.oxsan-part-…) beside its destination and renamed when it is whole. Run
/// the same command again after an interruption: files of the same size and modification time are skipped, and a
/// half-copied one goes on where it ended, as long as the file on the volume is still the same.
///
/// Owners are kept as root only. Exit status: 0; 1 when something was not copied; 128 and the signal's number when
/// one ended it (Ctrl-C: 130).
#[derive(Args)]
#[command(after_long_help = "Examples:
  oxsan cp disk.img /etc/fstab .            one file into this directory
  oxsan cp -r /dev/sdb1 / /restore          all of a volume
  oxsan cp -a --json 'iscsi://san/iqn.2026-01.org.example:disk/0' /home /backup")]
pub(crate) struct CpArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume, then the destination on this host: a directory, or the new name of a single source
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "DEST"])]
    paths: Vec<OsString>,
    /// Directories with all that is in them; symlinks are copied, not followed
    #[arg(short, long, visible_short_alias = 'a')]
    recursive: bool,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
    /// One JSON object at the end, on standard output: what was copied; no progress
    #[arg(long)]
    json: bool,
}

/// A copy in progress.
struct Copier<'a> {
    volume: &'a Volume,
    recursive: bool,
    trouble: Trouble,
    progress: Progress,
    attributes: Attributes,
    namer: Namer,
    /// Files with several names that are copied already.
    links: BTreeMap<BlockNum, PathBuf>,
    /// The directories from a source down to where the walk is.
    dirs: Vec<OpenDir>,
    /// What was in the destination directory itself, looked at once it is needed.
    outer: Option<Leftovers>,
    /// Where sources of this command went.
    taken: BTreeSet<PathBuf>,
}

/// A source, found on the volume.
struct Source<'a> {
    path: &'a [u8],
    inode: Inode,
    target: PathBuf,
}

/// Nothing more can be copied.
struct GivenUp;

/// Runs the command.
pub(crate) fn run(args: &CpArgs) -> anyhow::Result<ExitCode> {
    let (dest, sources) = args.paths.split_last().unwrap_or((&args.paths[0], &[]));
    let dest = Path::new(dest);
    check_destination(dest, sources.len(), args.recursive)?;
    super::run(&args.files, async |volume, out| {
        let mut signals = Signals::catch()?;
        let total = Rc::new(Total::default());
        let quiet = args.quiet || args.json;
        let mut copier = Copier {
            volume: &volume,
            recursive: args.recursive,
            trouble: Trouble::default(),
            progress: Progress::new(quiet, Rc::clone(&total)),
            attributes: Attributes::new(),
            namer: Namer::new(&volume.superblock().uuid.to_string()),
            links: BTreeMap::new(),
            dirs: Vec::new(),
            outer: None,
            taken: BTreeSet::new(),
        };
        let signal = tokio::select! {
            biased;
            number = signals.any() => Some(number),
            () = async {
                let sources = copier.sources(sources, dest).await;
                let tops = sources.iter().map(|source| source.inode.clone()).collect();
                let count = async {
                    if !quiet {
                        total.count(&volume, tops).await;
                    }
                    std::future::pending().await
                };
                tokio::select! {
                    biased;
                    () = copier.all(sources) => {}
                    () = count => {}
                }
            } => None,
        };
        copier.progress.finish();
        if args.json {
            report(out, &copier, signal.is_some())?;
        }
        match signal {
            Some(number) => {
                eprintln!("oxsan: interrupted; the same command goes on from here");
                Ok(ExitCode::from(128 + number))
            }
            None => Ok(copier.trouble.exit_code()),
        }
    })
}

/// Refuses what cannot work before anything is read.
fn check_destination(dest: &Path, sources: usize, recursive: bool) -> anyhow::Result<()> {
    if dest.is_dir() {
        return Ok(());
    }
    let shown = dest.display();
    ensure!(sources == 1, "{shown} is not a directory: several sources can only be copied into one");
    let named_as_dir = dest.as_os_str().as_bytes().ends_with(b"/");
    ensure!(recursive || !named_as_dir, "{shown} is not a directory: make it first");
    let parent = parent(dest);
    ensure!(parent.is_dir(), "{} is not a directory: nothing can be made in it", parent.display());
    Ok(())
}

fn report(out: &mut Output, copier: &Copier<'_>, interrupted: bool) -> std::io::Result<()> {
    let mut summary = copier.progress.summary();
    for (key, value) in [
        ("attributes_left_out", copier.attributes.left_out().into()),
        ("errors", copier.trouble.count().into()),
        ("interrupted", interrupted.into()),
    ] {
        summary.insert(key.into(), value);
    }
    writeln!(out, "{}", Value::Object(summary))
}

impl Copier<'_> {
    /// Finds the sources on the volume, and where each is to go.
    async fn sources<'s>(&mut self, paths: &'s [OsString], dest: &Path) -> Vec<Source<'s>> {
        let into = dest.is_dir();
        let follow = if self.recursive { Follow::NotLast } else { Follow::Last };
        let mut found = Vec::new();
        for path in paths {
            let path = path_bytes(path);
            // The root has no name: what is in it is copied into the destination.
            let target = match last_name(path) {
                Some(name) if into => dest.join(name),
                _ => dest.to_path_buf(),
            };
            match self.volume.resolve(path, follow).await {
                Ok(inode) if inode.is_dir() && !self.recursive => {
                    self.fail(path, &CopyError::NeedsRecursive);
                }
                Ok(_) if !self.taken.insert(target.clone()) => self.fail(path, &CopyError::Twice(target)),
                Ok(inode) => found.push(Source { path, inode, target }),
                Err(error) => self.fail(path, &error.into()),
            }
        }
        found
    }

    async fn all(&mut self, sources: Vec<Source<'_>>) {
        for source in sources {
            if let Err(GivenUp) = self.tree(source).await {
                return;
            }
        }
    }

    /// Copies a file, or a directory with all that is in it.
    async fn tree(&mut self, source: Source<'_>) -> Result<(), GivenUp> {
        let Source { path, inode, target } = source;
        let mut walk = self.volume.walk(inode);
        while let Some(item) = walk.next().await {
            let (below, outcome) = match item {
                Ok(WalkEntry { path: below, inode }) => {
                    self.leave_dirs(path, Some(&below)).await?;
                    let to = if below.is_empty() {
                        target.clone()
                    } else {
                        target.join(OsStr::from_bytes(&below))
                    };
                    let outcome = self.one(&below, &inode, &to).await;
                    if outcome.is_err() {
                        walk.skip_dir();
                    }
                    (below, outcome)
                }
                Err(error) => (error.path, Err(error.source.into())),
            };
            for misfit in self.attributes.take_misfits() {
                self.fail(&join(path, &below), &misfit);
            }
            if let Err(error) = outcome {
                self.fail(&join(path, &below), &error);
                if error.ends_all() {
                    return Err(GivenUp);
                }
            }
            tokio::task::yield_now().await;
        }
        self.leave_dirs(path, None).await
    }

    async fn one(&mut self, below: &[u8], inode: &Inode, to: &Path) -> Result<(), CopyError> {
        let attr = inode.attr();
        if attr.kind == FileType::Directory {
            return self.enter_dir(below, inode, to);
        }
        refuse_directory(to)?;
        if attr.nlink > 1
            && let Some(first) = self.links.get(&attr.ino).cloned()
        {
            return self.link(&first, to);
        }
        match attr.kind {
            FileType::Regular => self.file(inode, to).await?,
            FileType::Symlink => self.symlink(inode, to).await?,
            _ => self.special(inode, to).await?,
        }
        if attr.nlink > 1 {
            self.links.insert(attr.ino, to.into());
        }
        Ok(())
    }

    /// Sets the attributes of the directories that `next` does not lie in; of all at the end.
    async fn leave_dirs(&mut self, path: &[u8], next: Option<&[u8]>) -> Result<(), GivenUp> {
        let holds = |dir: &[u8], next: &[u8]| {
            dir.is_empty() || next.strip_prefix(dir).is_some_and(|rest| rest.starts_with(b"/"))
        };
        while let Some(dir) = self.dirs.pop_if(|dir| !next.is_some_and(|next| holds(&dir.below, next))) {
            if let Err(error) = self.attributes.set(self.volume, &dir.inode, &dir.to).await {
                self.fail(&join(path, &dir.below), &error);
                if error.ends_all() {
                    return Err(GivenUp);
                }
            }
            for misfit in self.attributes.take_misfits() {
                self.fail(&join(path, &dir.below), &misfit);
            }
        }
        Ok(())
    }

    /// Opens the part of a file, looking at what an earlier run left in the directory that `to` lies in.
    fn open_part(&mut self, attr: &Attr, to: &Path) -> Result<Part, CopyError> {
        let leftovers = match self.dirs.last_mut() {
            Some(dir) => &mut dir.leftovers,
            None => self.outer.get_or_insert_with(|| Leftovers::of(parent(to))),
        };
        Part::open(&self.namer, attr, to, leftovers)
    }

    fn fail(&mut self, path: &[u8], error: &CopyError) {
        let Self { progress, trouble, .. } = self;
        progress.suspend(|| {
            trouble.report(path, error);
            trouble.hint(error.hint());
        });
    }
}

/// The directory that a path lies in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// A path below another, neither with a slash too many.
fn join(top: &[u8], below: &[u8]) -> Vec<u8> {
    let top = top.strip_suffix(b"/").unwrap_or(top);
    if below.is_empty() { top.to_vec() } else { [top, b"/", below].concat() }
}
