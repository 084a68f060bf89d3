//! What the library crates report while a command runs: on the terminal, or in syslog once nobody sees the terminal.
//!
//! Warnings and errors are shown unless `OXSAN_LOG` says otherwise (`OXSAN_LOG=debug`, `OXSAN_LOG=initiator=trace`).
//! Setting it also gives each line its time and place.

mod syslog;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use syslog::Syslog;

/// The variable that says what is shown.
const VARIABLE: &str = "OXSAN_LOG";
/// The same line is not repeated within this time: a damaged file may be read a thousand times a second.
const QUIET: Duration = Duration::from_secs(60);
/// Lines remembered for that.
const REMEMBERED: usize = 1024;

/// Where messages go once the process has left its terminal.
static SYSLOG: OnceLock<Syslog> = OnceLock::new();

/// Begins to show messages. To be called once, first of all.
pub(crate) fn init() {
    let verbose = std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty());
    let filter = EnvFilter::builder()
        .with_default_directive(Level::WARN.into())
        .with_env_var(VARIABLE)
        .from_env_lossy();
    let detailed = verbose.then(|| fmt::layer().with_writer(std::io::stderr));
    let plain = Plain { stderr: !verbose, told: Mutex::default() };
    tracing_subscriber::registry().with(filter).with(detailed).with(plain).init();
}

/// From now on messages go to the syslog socket at `path`, with `name` before each; panics too.
pub(crate) fn to_syslog(path: PathBuf, name: &str) {
    // The first call counts.
    let _ = SYSLOG.set(Syslog::new(path, name));
    std::panic::set_hook(Box::new(|info| error(&info.to_string())));
}

/// The last words of a process, wherever its messages go.
pub(crate) fn error(text: &str) {
    match SYSLOG.get() {
        Some(syslog) => syslog.send(Level::ERROR, text),
        None => eprintln!("oxsan: {text}"),
    }
}

/// Shows events as lines without time and place.
struct Plain {
    /// Whether to show them on the terminal while there is one.
    stderr: bool,
    told: Mutex<BTreeMap<String, Instant>>,
}

impl<S: Subscriber> Layer<S> for Plain {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let syslog = SYSLOG.get();
        if syslog.is_none() && !self.stderr {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let (level, line) = (*event.metadata().level(), line.text());
        if !self.is_news(&line) {
            return;
        }
        match (syslog, level) {
            (Some(syslog), level) => syslog.send(level, &line),
            (None, Level::ERROR) => eprintln!("oxsan: error: {line}"),
            (None, Level::WARN) => eprintln!("oxsan: warning: {line}"),
            (None, _) => eprintln!("oxsan: {line}"),
        }
    }
}

impl Plain {
    /// Whether the line was not told a moment ago.
    #[allow(clippy::disallowed_methods, reason = "driver: messages are told by the clock")]
    fn is_news(&self, line: &str) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(line).is_some_and(|then| now.duration_since(*then) < QUIET) {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.retain(|_, then| now.duration_since(*then) < QUIET);
        }
        // More that are different within a minute are told as they come.
        if told.len() < REMEMBERED {
            told.insert(line.to_owned(), now);
        }
        true
    }
}

/// `message (field value, …): error`
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
    error: String,
}

impl Line {
    fn text(self) -> String {
        let Self { mut message, fields, error } = self;
        if !fields.is_empty() {
            let _ = write!(message, " ({fields})");
        }
        if !error.is_empty() {
            let _ = write!(message, ": {error}");
        }
        message
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "error" => write!(self.error, "{value:?}"),
            name if self.fields.is_empty() => write!(self.fields, "{name} {value:?}"),
            name => write!(self.fields, ", {name} {value:?}"),
        };
    }
}
