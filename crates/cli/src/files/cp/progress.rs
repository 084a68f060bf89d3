//! What the copy is at: a bar on a terminal, elsewhere a line every ten seconds.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::size::show_size;

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    begun: Instant,
    told: Instant,
    files: u64,
    skipped: u64,
    bytes: u64,
}

#[allow(clippy::disallowed_methods, reason = "driver: progress is told by the clock")]
impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {bytes} {binary_bytes_per_sec} {elapsed} {wide_msg}");
            let bar = ProgressBar::new_spinner();
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        let now = Instant::now();
        Self { bar, quiet, begun: now, told: now, files: 0, skipped: 0, bytes: 0 }
    }

    /// A file is begun, `start` bytes of which were there already.
    pub(super) fn file(&mut self, to: &Path, start: u64) {
        self.files += 1;
        if let Some(bar) = &self.bar {
            let more = if start > 0 { format!(" (from {start})") } else { String::new() };
            bar.set_message(format!("{}{more}", to.display()));
        }
        self.tell();
    }

    /// A file was there already.
    pub(super) fn skipped(&mut self, _bytes: u64) {
        self.skipped += 1;
        self.tell();
    }

    /// So many bytes were copied.
    pub(super) fn bytes(&mut self, bytes: u64) {
        self.bytes += bytes;
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
        self.tell();
    }

    /// The copy has ended.
    pub(super) fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.quiet {
            self.line("done");
        }
    }

    fn tell(&mut self) {
        if self.bar.is_none() && !self.quiet && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            self.line("copying");
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
    fn line(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = show_size(self.bytes as f64 / seconds.max(0.001));
        let (bytes, files, skipped) = (show_size(self.bytes as f64), self.files, self.skipped);
        eprintln!("{what}: {files} files, {bytes}, {rate}/s; {skipped} were there already");
    }
}
