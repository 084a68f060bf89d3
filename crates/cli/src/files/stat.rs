//! `oxsan stat`: all that is known of a file, or what a format asks for.

mod format;
mod quote;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ocfs2::{Error, FiemapExtent, FileType, Follow, Inode, Volume};
use serde_json::{Map, Value, json};

use super::show::{Clock, Owners};
use super::{FilesArgs, Output, Trouble, entry, path_bytes, show};
use format::{Format, Shown};

/// Show all that is known of files.
///
/// Attributes, extents and extended attributes. Sizes are bytes, blocks 512 bytes. Exit status: 0, or 1 when one of
/// the files could not be read.
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan stat disk.img /etc/passwd
  oxsan stat --extents /dev/sdb1 /var/lib/database
  oxsan stat --json disk.img /etc/passwd | jq .xattrs
  oxsan stat -c '%a %U:%G %s %n' disk.img /etc/passwd

In a FORMAT, as in stat(1): %n name, %N name in quotes with a symlink's target, %s size, %b blocks of %B bytes,
%o size for I/O, %f mode (hex), %F type, %a %A access, %u %U user, %g %G group, %h links, %i inode,
%t %T device type (hex), %x %y %z times of access, change of contents, change of status, %X %Y %Z the same in
seconds since 1970, %w %W time of birth (not kept: - and 0), %% percent. Between: - 0 # and a width.")]
pub(crate) struct StatArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume
    #[arg(required = true)]
    paths: Vec<OsString>,
    /// Show what a symlink points to, not the symlink
    #[arg(short = 'L', long)]
    dereference: bool,
    /// List the extents too: logical, physical and length in bytes, flags
    #[arg(short, long)]
    extents: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Show what FORMAT asks for, a line for each file
    #[arg(short = 'c', long, value_name = "FORMAT", conflicts_with_all = ["json", "extents", "printf"])]
    format: Option<OsString>,
    /// The same without the line's end, and with escapes: \n \t \\ \e \" \NNN octal, \xHH ...
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["json", "extents"])]
    printf: Option<OsString>,
}

/// All that is shown of one file.
struct Facts {
    inode: Inode,
    target: Option<Vec<u8>>,
    extents: Vec<FiemapExtent>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Runs the command.
pub(crate) fn run(args: &StatArgs) -> anyhow::Result<ExitCode> {
    let format = match (&args.format, &args.printf) {
        (Some(text), _) => Some(Format::parse(path_bytes(text), false).context("the format")?),
        (None, Some(text)) => Some(Format::parse(path_bytes(text), true).context("the format")?),
        (None, None) => None,
    };
    super::run(&args.files, async |volume, out| {
        let mut trouble = Trouble::default();
        let (clock, owners) = (Clock::here(), Owners::here(false));
        let follow = if args.dereference { Follow::Last } else { Follow::NotLast };
        for path in &args.paths {
            let path = path_bytes(path);
            if let Some(format) = &format {
                match formatted(&volume, path, follow, format, &clock, &owners).await {
                    Ok(text) => out.write_all(&text)?,
                    Err(error) => trouble.report(path, &error),
                }
                continue;
            }
            match gather(&volume, path, follow).await {
                Ok(facts) if args.json => writeln!(out, "{}", Value::Object(as_json(path, &facts)))?,
                Ok(facts) => print(out, path, &facts, args.extents, &clock, &owners)?,
                Err(error) => trouble.report(path, &error),
            }
        }
        Ok(trouble.exit_code())
    })
}

/// What a format asks for, and no more is read.
async fn formatted(
    volume: &Volume,
    path: &[u8],
    follow: Follow,
    format: &Format,
    clock: &Clock,
    owners: &Owners,
) -> Result<Vec<u8>, Error> {
    let inode = volume.resolve(path, follow).await?;
    let is_link = format.wants_target && inode.attr().kind == FileType::Symlink;
    let target = if is_link { Some(volume.readlink(&inode).await?) } else { None };
    let shown = Shown { path, attr: inode.attr(), target: target.as_deref() };
    Ok(format.expand(&shown, clock, owners))
}

async fn gather(volume: &Volume, path: &[u8], follow: Follow) -> Result<Facts, Error> {
    let inode = volume.resolve(path, follow).await?;
    let kind = inode.attr().kind;
    let target = if kind == FileType::Symlink { Some(volume.readlink(&inode).await?) } else { None };
    let mut extents = Vec::new();
    if matches!(kind, FileType::Regular | FileType::Directory) {
        let mut map = volume.fiemap(&inode, 0, u64::MAX);
        while let Some(extent) = map.next().await? {
            extents.push(extent);
        }
    }
    let mut xattrs = Vec::new();
    for xattr in volume.xattrs(&inode).await? {
        xattrs.push((xattr.name().to_vec(), volume.xattr_value(&inode, &xattr).await?));
    }
    Ok(Facts { inode, target, extents, xattrs })
}

fn as_json(path: &[u8], facts: &Facts) -> Map<String, Value> {
    let mut object = entry::object(path, &facts.inode, facts.target.as_deref());
    let extents: Vec<Value> =
        facts.extents.iter().map(|e| json!([e.logical, e.physical, e.length, e.flags])).collect();
    object.insert("extents".into(), extents.into());
    let mut xattrs = Map::new();
    for (name, value) in &facts.xattrs {
        entry::put_base64(&mut xattrs, &String::from_utf8_lossy(name), value);
    }
    object.insert("xattrs".into(), xattrs.into());
    object
}

fn print(
    out: &mut Output,
    path: &[u8],
    facts: &Facts,
    extents: bool,
    clock: &Clock,
    owners: &Owners,
) -> io::Result<()> {
    let attr = facts.inode.attr();
    write!(out, "  File: ")?;
    out.name(path)?;
    if let Some(target) = &facts.target {
        write!(out, " -> ")?;
        out.name(target)?;
    }
    let kind = show::long_type(attr.kind, attr.size);
    writeln!(
        out,
        "\n  Size: {:<15}\tBlocks: {:<10} IO Block: {:<6} {kind}",
        attr.size, attr.blocks, attr.blksize
    )?;
    write!(out, " Inode: {:<15}\t Links: {:<10} Generation: {}", attr.ino, attr.nlink, attr.generation)?;
    if matches!(attr.kind, FileType::CharDevice | FileType::BlockDevice) {
        write!(out, " Device type: {},{}", attr.rdev.0, attr.rdev.1)?;
    }
    writeln!(
        out,
        "\nAccess: ({:04o}/{})  Uid: ({:5}/{:>8})   Gid: ({:5}/{:>8})",
        attr.perm,
        show::mode(attr.kind, attr.perm),
        attr.uid,
        owners.user(attr.uid),
        attr.gid,
        owners.group(attr.gid),
    )?;
    for (what, time) in [("Access", attr.atime), ("Modify", attr.mtime), ("Change", attr.ctime)] {
        writeln!(out, "{what}: {}", clock.full(time))?;
    }
    if attr.flags != 0 {
        writeln!(out, " Flags: {} ({:#x})", show::flags(attr.flags), attr.flags)?;
    }
    for (name, value) in &facts.xattrs {
        write!(out, " Xattr: ")?;
        out.name(name)?;
        writeln!(out, " ({} bytes)", value.len())?;
    }
    if attr.kind == FileType::Regular {
        writeln!(out, "Extents: {}", facts.extents.len())?;
    }
    for extent in facts.extents.iter().filter(|_| extents) {
        let FiemapExtent { logical, physical, length, flags } = extent;
        writeln!(out, "{logical:>16} {physical:>16} {length:>16} {}", extent_flags(*flags))?;
    }
    Ok(())
}

/// The flags of an extent, in the words of filefrag(8).
fn extent_flags(flags: u32) -> String {
    let names = [
        (FiemapExtent::LAST, "last"),
        (FiemapExtent::NOT_ALIGNED, "not_aligned"),
        (FiemapExtent::DATA_INLINE, "inline"),
        (FiemapExtent::UNWRITTEN, "unwritten"),
        (FiemapExtent::SHARED, "shared"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    set.join(",")
}
