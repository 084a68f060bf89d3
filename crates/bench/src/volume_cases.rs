//! What is measured of whole volumes: making one, checking one, walking one, and finding a place in a large file.

use crate::cases::Setting;
use crate::report::{Goal, Row};
use crate::stats::{Sample, in_pairs, value};
use crate::{made, plot, timed};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::process::Command;

/// 30 TiB, in large clusters and in small ones.
pub(crate) fn mkfs(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, cluster) in [("mkfs-30t-c1m", "1M"), ("mkfs-30t-c8k", "8K")] {
        let image = setting.work.join("large.img");
        let side = |program: &mut Command| -> Result<Sample> {
            File::create(&image).and_then(|file| file.set_len(30 << 40)).context("a sparse file")?;
            let options = format!("-q -M local -J block64 -N 8 -b 4096 -C {cluster}");
            let taken = timed::run(program.args(options.split(' ')).arg(&image))?;
            std::fs::remove_file(&image).context("removing the sparse file")?;
            Ok(vec![("seconds", taken.wall_s), ("memory MiB", taken.rss_mib)])
        };
        let pairs = in_pairs(
            setting.pairs,
            || side(Command::new(&setting.oxsan).arg("mkfs")),
            || side(&mut Command::new("/sbin/mkfs.ocfs2")),
        )?;
        rows.push(Row::of(name, "mkfs.ocfs2", "seconds", &pairs, Some(Goal::AtMost(1.2))));
        rows.push(Row::of(name, "mkfs.ocfs2", "memory MiB", &pairs, None));
    }
    Ok(rows)
}

/// A million files: checked beside fsck.ocfs2, and walked.
pub(crate) fn million(setting: &Setting) -> Result<Vec<Row>> {
    let image = setting.work.join("million.img");
    let files = made::million(&setting.oxsan, &image)?;
    let sample = |taken: &timed::Taken| vec![("seconds", taken.wall_s), ("memory MiB", taken.rss_mib)];
    let ours = || -> Result<Sample> {
        let taken = timed::run(Command::new(&setting.oxsan).args(["check", "--quiet"]).arg(&image))?;
        Ok(sample(&taken))
    };
    let theirs = || -> Result<Sample> {
        let taken = timed::run(Command::new("/sbin/fsck.ocfs2").arg("-fn").arg(&image))?;
        // It ends with status 0 whatever it finds; the last pass says so where it finds nothing.
        ensure!(taken.stdout.contains("All passes succeeded"), "fsck.ocfs2: {}", taken.stdout);
        Ok(sample(&taken))
    };
    let pairs = in_pairs(setting.pairs, ours, theirs)?;
    let mut walks = (Vec::new(), Vec::new());
    for _ in 0..setting.pairs {
        let taken =
            timed::run(Command::new(&setting.oxsan).arg("find").arg(&image).args("/ -type f".split(' ')))?;
        let found = taken.stdout.lines().count();
        ensure!(found == usize::try_from(files)?, "oxsan find shows {found} files of {files}");
        walks.0.push(taken.wall_s);
        walks.1.push(taken.rss_mib);
    }
    std::fs::remove_file(&image).context("removing the volume")?;
    Ok(vec![
        Row::of("check-million", "fsck.ocfs2 -fn", "seconds", &pairs, Some(Goal::AtMost(0.333))),
        Row::of("check-million", "fsck.ocfs2 -fn", "memory MiB", &pairs, Some(Goal::OursBelow(500.0))),
        Row::alone("find-million", "seconds", &walks.0, None),
        Row::alone("find-million", "memory MiB", &walks.1, Some(Goal::OursBelow(100.0))),
    ])
}

/// 100 GB in more and more extents: what finding a place costs, beside what it costs in a thousand.
pub(crate) fn extents(setting: &Setting) -> Result<Vec<Row>> {
    const SIZES: [(&str, u64); 7] = [
        ("extents-1000", 1000),
        ("extents-3000", 3000),
        ("extents-10000", 10_000),
        ("extents-30000", 30_000),
        ("extents-100000", 100_000),
        ("extents-300000", 300_000),
        ("extents-1000000", 1_000_000),
    ];
    const BYTES: u64 = 100_000_000_000;
    let image = setting.work.join("extents.img");
    let (mut samples, mut points): (Vec<(&'static str, Sample)>, Vec<_>) = (Vec::new(), Vec::new());
    for (name, extents) in SIZES {
        let (us, depth) = made::lookup_us(&setting.oxsan, &image, extents, BYTES)?;
        eprintln!("bench:   {extents} extents, a tree of depth {depth}: {us:.2} µs a lookup");
        points.push(plot::Point { x: extents, y: us, note: format!("depth {depth}") });
        samples.push((name, vec![("µs a lookup", us)]));
    }
    let _ = std::fs::remove_file(&image);
    let title = "Finding a place in a file of 100 GB, by its extents (µs)";
    plot::write(&setting.out.join("extents.svg"), title, &points)?;
    let least = samples.first().context("a smallest size")?.1.clone();
    let row = |(name, sample): &(&'static str, Sample)| {
        // A thousand times the extents are one or two levels more.
        let goal = value(sample, "µs a lookup").is_finite().then_some(Goal::AtMost(3.0));
        Row::of(name, "1000 extents", "µs a lookup", &[(sample.clone(), least.clone())], goal)
    };
    Ok(samples.iter().map(row).collect())
}
