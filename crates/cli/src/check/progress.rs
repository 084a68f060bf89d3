//! How far a check is: a bar on a terminal, elsewhere a line every ten seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ocfs2::check;

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// The bar.
const TEMPLATE: &str = "{bar:20} pass {msg} {elapsed} eta {eta}";

/// Tells how far the check is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    told: Instant,
    pass: &'static str,
}

#[allow(clippy::disallowed_methods, reason = "driver: progress is told by the clock")]
impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(1);
            // A template that this program holds is sound, or it is shown without one.
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, quiet, told: Instant::now(), pass: "" }
    }

    pub(super) fn tell(&mut self, progress: &check::Progress) {
        let check::Progress { pass, doing, done, total, unit, .. } = *progress;
        let text = || format!("{pass}: {doing}, {done}/{total} {unit}");
        if let Some(bar) = &self.bar {
            if self.pass != pass {
                bar.reset();
            }
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text());
        } else if !self.quiet && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            eprintln!("oxsan: pass {}", text());
        }
        self.pass = pass;
    }

    /// Takes the bar away while somebody else writes to the terminal.
    pub(super) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
