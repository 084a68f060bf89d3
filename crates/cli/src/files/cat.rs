//! `oxsan cat`: files to standard output.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use futures_util::StreamExt;
use ocfs2::{Error, Follow, Piece, Volume};

use super::{CHUNK, DEPTH, FilesArgs, Output, Trouble};

/// Write files to standard output.
///
/// One after the other; holes become zeroes. Exit status: 0, or 1 when one of them could not be read.
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan cat disk.img /etc/fstab
  oxsan cat /dev/sdb1 /var/log/syslog | tail")]
pub(crate) struct CatArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Paths on the volume
    #[arg(required = true)]
    paths: Vec<std::ffi::OsString>,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Volume(#[from] Error),
    #[error("it is a directory: oxsan ls lists it, oxsan cp -r copies it")]
    Directory,
}

/// Runs the command.
pub(crate) fn run(args: &CatArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        let mut trouble = Trouble::default();
        for path in &args.paths {
            let path = super::path_bytes(path);
            if let Err(error) = cat(&volume, path, out).await? {
                trouble.report(path, &error);
            }
        }
        Ok(trouble.exit_code())
    })
}

/// Writes one file. The outer error is that of the output, the inner one that of the volume.
async fn cat(volume: &Volume, path: &[u8], out: &mut Output) -> std::io::Result<Result<(), Refused>> {
    static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
    let inode = match volume.resolve(path, Follow::Last).await {
        Ok(inode) => inode,
        Err(error) => return Ok(Err(error.into())),
    };
    if inode.is_dir() {
        return Ok(Err(Refused::Directory));
    }
    if let Err(error) = volume.read(&inode, 0, 0).await {
        return Ok(Err(error.into()));
    }
    let mut chunks = std::pin::pin!(volume.chunks(&inode, 0..inode.attr().size, CHUNK, DEPTH));
    while let Some(chunk) = chunks.next().await {
        let data = match chunk {
            Ok((_, data)) => data,
            Err(error) => return Ok(Err(error.into())),
        };
        for piece in data.pieces() {
            match piece {
                Piece::Bytes(bytes) => out.write_all(bytes)?,
                Piece::Zeroes(mut left) => {
                    while left > 0 {
                        let n = left.min(ZEROES.len() as u64);
                        out.write_all(&ZEROES[..usize::try_from(n).unwrap_or(ZEROES.len())])?;
                        left -= n;
                    }
                }
            }
        }
    }
    Ok(Ok(()))
}
