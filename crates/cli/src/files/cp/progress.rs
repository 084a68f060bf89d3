//! What the copy is at: a bar on a terminal, elsewhere a line every ten seconds; and what it did.

use std::io::IsTerminal;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ocfs2::Attr;
use serde_json::{Map, Value};

use super::total::{Total, weight};
use crate::size::show_size;

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// The bar as long as nobody knows how much there is, and from then on.
const COUNTING: &str = "{spinner} {bytes} {binary_bytes_per_sec} {elapsed} {wide_msg}";
const COUNTED: &str = "{bar:20} {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta} {wide_msg}";

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    files: u64,
    dirs: u64,
    links: u64,
    others: u64,
    skipped: u64,
    resumed: u64,
    bytes: u64,
}

/// Counts, and tells whoever looks.
#[derive(Debug)]
pub(super) struct Progress {
    total: Rc<Total>,
    bar: Option<ProgressBar>,
    counted: bool,
    quiet: bool,
    begun: Instant,
    told: Instant,
    done: Done,
    /// Weight of the files that are done, and bytes of the one that is being copied.
    position: u64,
    current: u64,
}

#[allow(clippy::disallowed_methods, reason = "driver: progress is told by the clock")]
impl Progress {
    pub(super) fn new(quiet: bool, total: Rc<Total>) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(style(COUNTING));
            bar
        });
        let now = Instant::now();
        Self {
            total,
            bar,
            counted: false,
            quiet,
            begun: now,
            told: now,
            done: Done::default(),
            position: 0,
            current: 0,
        }
    }

    /// A file is begun, `start` bytes of which were there already.
    pub(super) fn file(&mut self, to: &Path, start: u64) {
        self.done.resumed += u64::from(start > 0);
        self.current = start;
        if let Some(bar) = &self.bar {
            let (done, name) = (self.done.files + self.done.skipped, to.display());
            let of = self.total.get().map_or_else(String::new, |(files, _)| format!("/{files}"));
            let more =
                if start > 0 { format!(" (from {})", show_size(as_f64(start))) } else { String::new() };
            bar.set_message(format!("{done}{of} files, {name}{more}"));
        }
        self.tell();
    }

    /// So many bytes of it were copied.
    pub(super) fn bytes(&mut self, bytes: u64) {
        self.done.bytes += bytes;
        self.current += bytes;
        self.tell();
    }

    /// It is whole.
    pub(super) fn file_done(&mut self, attr: &Attr) {
        self.done.files += 1;
        self.end_of(attr);
    }

    /// A file was there already.
    pub(super) fn skipped(&mut self, attr: &Attr) {
        self.done.skipped += 1;
        self.end_of(attr);
    }

    /// A symlink, device, pipe or socket was made.
    pub(super) fn other(&mut self, attr: &Attr) {
        self.done.others += 1;
        self.end_of(attr);
    }

    /// A directory was made or entered.
    pub(super) fn dir(&mut self) {
        self.done.dirs += 1;
    }

    /// A further name of a file was made.
    pub(super) fn link(&mut self) {
        self.done.links += 1;
    }

    /// A line for the user.
    pub(super) fn say(&self, text: &str) {
        self.suspend(|| eprintln!("oxsan: {text}"));
    }

    /// Takes the bar away while somebody else writes to the terminal.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
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

    /// What was done, for programs.
    pub(super) fn summary(&self) -> Map<String, Value> {
        let Done { files, dirs, links, others, skipped, resumed, bytes } = self.done;
        let counts = [
            ("files", files),
            ("directories", dirs),
            ("hard_links", links),
            ("others", others),
            ("skipped", skipped),
            ("resumed", resumed),
            ("bytes", bytes),
        ];
        let mut summary: Map<_, _> =
            counts.into_iter().map(|(key, count)| (key.to_owned(), count.into())).collect();
        summary.insert("seconds".into(), self.begun.elapsed().as_secs_f64().into());
        summary
    }

    fn end_of(&mut self, attr: &Attr) {
        self.position = self.position.saturating_add(weight(attr));
        self.current = 0;
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(bar) = &self.bar {
            if let Some((_, bytes)) = self.total.get().filter(|_| !self.counted) {
                self.counted = true;
                bar.set_style(style(COUNTED));
                bar.set_length(bytes);
            }
            bar.set_position(self.position.saturating_add(self.current));
        } else if !self.quiet && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            self.line("copying");
        }
    }

    fn line(&self, what: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let Done { files, skipped, bytes, .. } = self.done;
        let rate = show_size(as_f64(bytes) / seconds.max(0.001));
        let of = self.total.get().map_or_else(String::new, |(files, bytes)| {
            format!(" (of {files} files, {})", show_size(as_f64(bytes)))
        });
        let bytes = show_size(as_f64(bytes));
        eprintln!("{what}: {files} files, {bytes}{of}, {rate}/s; {skipped} were there already");
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
