//! What a check says: lines for people, or JSON for programs.

use std::io::{self, BufWriter, Stdout, Write};

use ocfs2::check::{self, Finding, Sink, Summary};
use serde_json::json;

use super::progress::Progress;

/// Takes what is found.
#[derive(Debug)]
pub(super) struct Report {
    out: BufWriter<Stdout>,
    json: bool,
    progress: Progress,
    /// What writing came to: whoever read our output may have gone.
    result: io::Result<()>,
}

impl Report {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        Self { out: BufWriter::new(io::stdout()), json, progress: Progress::new(quiet), result: Ok(()) }
    }

    /// The check was interrupted.
    pub(super) fn cancelled(self) -> io::Result<()> {
        self.progress.clear();
        eprintln!("oxsan: interrupted: the volume was not checked to its end");
        self.end()
    }

    /// The check could not begin.
    pub(super) fn clear(&self) {
        self.progress.clear();
    }

    /// The check is done.
    pub(super) fn finish(mut self, summary: &Summary) -> io::Result<()> {
        self.progress.clear();
        let Summary { findings, inodes, dirs, clusters, orphans, .. } = summary;
        if self.json {
            let line = json!({
                "summary": true, "findings": findings, "inodes": inodes, "directories": dirs, "clusters": clusters,
                "orphans": orphans, "notes": summary.notes,
            });
            writeln!(self.out, "{line}")?;
            return self.end();
        }
        for note in &summary.notes {
            eprintln!("oxsan: note: {note}");
        }
        if *orphans > 0 {
            eprintln!("oxsan: note: {orphans} inodes wait to be deleted when their slot is recovered");
        }
        let verdict = match findings {
            0 => "clean".to_owned(),
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        writeln!(self.out, "{verdict}: {inodes} inodes, {dirs} directories, {clusters} clusters in use")?;
        self.end()
    }

    fn end(mut self) -> io::Result<()> {
        self.result?;
        self.out.flush()
    }
}

impl Sink for Report {
    fn finding(&mut self, finding: Finding) {
        if self.result.is_err() {
            return;
        }
        let (out, json) = (&mut self.out, self.json);
        let write = || if json { writeln!(out, "{}", as_json(&finding)) } else { writeln!(out, "{finding}") };
        self.result = self.progress.suspend(write);
    }

    fn progress(&mut self, progress: &check::Progress) {
        self.progress.tell(progress);
    }
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let Finding { code, block, inode, slot, field, found, expected, message, .. } = finding;
    json!({
        "code": code.name(), "block": block, "inode": inode, "slot": slot, "field": field, "found": found,
        "expected": expected, "message": message,
    })
}
