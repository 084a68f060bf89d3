//! Lines for syslog: RFC 3164 as the C library writes it, to a local datagram socket.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tracing::Level;

use crate::files::Clock;

/// The facility of daemons.
const DAEMON: u8 = 3 << 3;
/// Longest message in bytes; what is longer is cut.
const LONGEST: usize = 2000;

/// A syslog socket.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    name: String,
    /// `None` where the system gives none.
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Messages to the socket at `path`, each with `name` before it.
    pub(super) fn new(path: PathBuf, name: &str) -> Self {
        // A syslog that hangs must not make the mount hang.
        let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        Self { path, name: name.to_owned(), socket: socket.ok() }
    }

    /// Sends one line. Where nobody listens, or nobody keeps up, it is lost.
    pub(super) fn send(&self, level: Level, text: &str) {
        let severity = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let time = Clock::here().syslog_now();
        let line = line(DAEMON | severity, &time, std::process::id(), &format!("{}: {text}", self.name));
        if let Some(socket) = &self.socket {
            // To the path each time: a syslog that was started again has another socket there.
            let _ = socket.send_to(line.as_bytes(), &self.path);
        }
    }
}

fn line(priority: u8, time: &str, process: u32, text: &str) -> String {
    let safe: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = safe.len().min(LONGEST);
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    format!("<{priority}>{time} oxsan[{process}]: {}", &safe[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_bounded() {
        assert_eq!(line(28, "Nov 22 14:55:00", 7, "a\nb"), "<28>Nov 22 14:55:00 oxsan[7]: a b");
        assert!(line(28, "", 7, &"é".repeat(5000)).len() < 2100);
    }

    #[test]
    fn nobody_listening_is_no_error() {
        Syslog::new("/nonexistent/log".into(), "volume").send(Level::WARN, "lost");
    }
}
