//! `oxsan cp`: copies files and trees out of a volume.

mod attributes;
mod file;
mod progress;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use ocfs2::{Attr, BlockNum, FileType, Follow, Inode, Volume, WalkEntry};
use rustix::fs::{CWD, Mode, makedev, mknodat};

use super::{FilesArgs, Trouble, path_bytes};
use attributes::Attributes;
use progress::Progress;

/// Exit status of a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Copies files and trees out of a volume, with holes, times, modes, and owners and xattrs where permitted.
///
/// A file is copied under a name of its own (.oxsan-part-…) beside its destination and renamed when it is whole. Run
/// the same command again after an interruption: files of the same size and modification time are skipped, and a
/// half-copied one goes on where it ended, as long as the file on the volume is still the same.
#[derive(Args)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume, then the destination on this host: a directory, or the new name of a single source
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "DEST"])]
    paths: Vec<OsString>,
    /// Directories with all that is in them
    #[arg(short, long, visible_short_alias = 'a')]
    recursive: bool,
    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// A copy in progress.
struct Copier<'a> {
    volume: &'a Volume,
    recursive: bool,
    trouble: Trouble,
    progress: Progress,
    attributes: Attributes,
    /// Files with several names that are copied already.
    links: BTreeMap<BlockNum, PathBuf>,
    /// Directories made, whose times are set when nothing more is written into them.
    dirs: Vec<(PathBuf, Inode)>,
}

/// Runs the command.
pub(crate) fn run(args: &CpArgs) -> anyhow::Result<ExitCode> {
    let (dest, sources) = args.paths.split_last().unwrap_or((&args.paths[0], &[]));
    let dest = Path::new(dest);
    let into = dest.is_dir();
    ensure!(into || sources.len() == 1, "{} is not a directory", dest.display());
    super::run(&args.files, async |volume, _| {
        let mut copier = Copier {
            volume: &volume,
            recursive: args.recursive,
            trouble: Trouble::default(),
            progress: Progress::new(args.quiet),
            attributes: Attributes::new(),
            links: BTreeMap::new(),
            dirs: Vec::new(),
        };
        let interrupted = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => true,
            () = copier.all(sources, dest, into) => false,
        };
        copier.progress.finish();
        if interrupted {
            eprintln!("oxsan: interrupted; the same command goes on from here");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Ok(copier.trouble.exit_code())
    })
}

impl Copier<'_> {
    async fn all(&mut self, sources: &[OsString], dest: &Path, into: bool) {
        for source in sources {
            let path = path_bytes(source);
            let follow = if self.recursive { Follow::NotLast } else { Follow::Last };
            let inode = match self.volume.resolve(path, follow).await {
                Ok(inode) => inode,
                Err(error) => {
                    self.trouble.report(path, &error);
                    continue;
                }
            };
            if inode.is_dir() && !self.recursive {
                self.trouble.report(path, &io::Error::other("a directory; -r copies it"));
                continue;
            }
            // The root has no name: what is in it is copied into the destination.
            let name = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
            let target = match name {
                Some(name) if into && !matches!(name, b"." | b"..") => dest.join(OsStr::from_bytes(name)),
                _ => dest.to_path_buf(),
            };
            self.tree(path, inode, &target).await;
        }
        while let Some((path, dir)) = self.dirs.pop() {
            if let Err(error) = self.attributes.set(self.volume, &dir, &path).await {
                self.trouble.report(path.as_os_str().as_bytes(), &error);
            }
        }
    }

    /// Copies a file, or a directory with all that is in it.
    async fn tree(&mut self, path: &[u8], top: Inode, target: &Path) {
        let mut walk = self.volume.walk(top);
        while let Some(item) = walk.next().await {
            match item {
                Ok(WalkEntry { path: below, inode }) => {
                    let to =
                        if below.is_empty() { target.into() } else { target.join(OsStr::from_bytes(&below)) };
                    if let Err(error) = self.one(&inode, &to).await {
                        self.trouble.report(&[path, b"/", &below].concat(), &error);
                        walk.skip_dir();
                    }
                }
                Err(error) => self.trouble.report(&[path, b"/", &error.path].concat(), &error.source),
            }
        }
    }

    async fn one(&mut self, inode: &Inode, to: &Path) -> io::Result<()> {
        let attr = inode.attr();
        match attr.kind {
            FileType::Directory => {
                match std::fs::create_dir(to) {
                    // What is there must be a directory itself: nothing is written through a symlink.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists && to.symlink_metadata()?.is_dir() => {
                    }
                    result => result?,
                }
                self.dirs.push((to.into(), inode.clone()));
                return Ok(());
            }
            _ if attr.nlink > 1 && self.links.contains_key(&attr.ino) => {
                remove(to)?;
                return std::fs::hard_link(&self.links[&attr.ino], to);
            }
            FileType::Regular => self.file(inode, to).await?,
            FileType::Symlink => {
                let target = self.volume.readlink(inode).await.map_err(io::Error::other)?;
                remove(to)?;
                std::os::unix::fs::symlink(OsStr::from_bytes(&target), to)?;
                self.attributes.set(self.volume, inode, to).await?;
            }
            _ => {
                remove(to)?;
                special(attr, to)?;
                self.attributes.set(self.volume, inode, to).await?;
            }
        }
        if attr.nlink > 1 {
            self.links.insert(attr.ino, to.into());
        }
        Ok(())
    }
}

/// Makes way for something that is no directory.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes a device, pipe or socket.
fn special(attr: &Attr, path: &Path) -> io::Result<()> {
    let kind = rustix::fs::FileType::from_raw_mode(attr.mode());
    let device = makedev(attr.rdev.0, attr.rdev.1);
    Ok(mknodat(CWD, path, kind, Mode::from_raw_mode(u32::from(attr.perm)), device)?)
}
