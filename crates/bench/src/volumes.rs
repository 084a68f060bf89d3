//! Volumes that the lab's kernel fills, kept from run to run.

use anyhow::{Context, Result, ensure};
use lab::Lab;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Files of the volume that [`small_files`] makes.
pub(crate) const SMALL_FILES: u32 = 20_000;

/// 20,000 files of up to 8 KiB in 200 directories.
pub(crate) fn small_files(cache: &Path) -> Result<PathBuf> {
    // The shell's own printf writes the files: a process for each would take an hour under emulation.
    let job = "
        set -e; ocfs2_local; ocfs2_mount /dev/vda /mnt
        n=0
        for d in $(seq 200); do
          mkdir /mnt/dir$d
          for f in $(seq 100); do
            printf \"file $n of directory $d %$((n * 37 % 8192))s.\" end > /mnt/dir$d/file-$n.dat
            n=$((n + 1))
          done
        done
        say \"$n files\"; umount /mnt";
    made(cache, "small-files", "768M", "-b 4K -C 4K -N 2 -M local", job, None)
}

/// One file, /big, of 1 GiB.
pub(crate) fn one_big_file(cache: &Path) -> Result<PathBuf> {
    let job = "
        set -e; ocfs2_local; ocfs2_mount /dev/vda /mnt
        dd if=/dev/vdb of=/mnt/big bs=1M status=none; sync; ls -l /mnt/big; umount /mnt";
    made(cache, "one-big-file", "1200M", "-b 4K -C 64K -N 2 -M local", job, Some(1 << 30))
}

/// The volume `name`: the one kept, if the same job made it, else a new one.
fn made(cache: &Path, name: &str, size: &str, mkfs: &str, job: &str, source: Option<u64>) -> Result<PathBuf> {
    std::fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    let image = cache.join(format!("{name}.img"));
    let note = cache.join(format!("{name}.made-by"));
    let recipe = format!("{size} {mkfs}\n{job}\n");
    if image.exists() && std::fs::read_to_string(&note).is_ok_and(|old| old == recipe) {
        return Ok(image);
    }
    eprintln!("bench: making the volume {name} with the lab's kernel (once)");
    let lab = Lab::new()?;
    run(Command::new("truncate").args(["-s", "0"]).arg(&image))?;
    run(Command::new("truncate").args(["-s", size]).arg(&image))?;
    run(Command::new("/sbin/mkfs.ocfs2").args("-q -x -F".split(' ')).args(mkfs.split(' ')).arg(&image))?;
    let mut node = lab.node(0).disk(&image).job(job).timeout(Duration::from_secs(1200));
    let second;
    if let Some(bytes) = source {
        second = tempfile::NamedTempFile::new_in(cache).context("a file for the second disk")?;
        fill(second.as_file(), bytes)?;
        node = node.disk(second.path());
    }
    let report = node.run()?;
    ensure!(report.ok(), "the job for the volume {name} failed:\n{}", report.console);
    std::fs::write(&note, recipe).with_context(|| format!("writing {}", note.display()))?;
    Ok(image)
}

/// Random bytes: nothing on the way can take them for a hole.
fn fill(mut file: &File, bytes: u64) -> Result<()> {
    let mut source = File::open("/dev/urandom").context("opening /dev/urandom")?.take(bytes);
    std::io::copy(&mut source, &mut file).context("filling the second disk")?;
    file.flush().context("filling the second disk")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("starting {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} ended with {status}", command.get_program());
    Ok(())
}
