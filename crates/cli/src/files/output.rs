//! Standard output, buffered.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Size of the buffer.
const BUFFER: usize = 256 << 10;

/// Where a command writes its result.
#[derive(Debug)]
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Output {
    /// Standard output, which nobody else uses from now on.
    pub(crate) fn stdout() -> Self {
        let out = io::stdout().lock();
        Self { terminal: out.is_terminal(), out: BufWriter::with_capacity(BUFFER, out) }
    }

    /// Whether a person sees it at once.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Characters on a line: the terminal's, those of `COLUMNS`, or 80.
    pub(crate) fn width(&self) -> usize {
        let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let seen = || rustix::termios::tcgetwinsize(self.out.get_ref()).ok().map(|size| size.ws_col.into());
        told.or_else(seen).filter(|width| *width > 0).unwrap_or(80)
    }

    /// A name, with what would upset a terminal shown as `?` on one; elsewhere as it is.
    pub(crate) fn name(&mut self, name: &[u8]) -> io::Result<()> {
        if !self.terminal {
            return self.write_all(name);
        }
        let text = String::from_utf8_lossy(name);
        let safe: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.write_all(safe.as_bytes())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
