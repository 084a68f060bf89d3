//! How modes, times, owners, sizes and errors are written for people.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use ocfs2::{FileType, Timestamp};

/// An error with its causes, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// `drwxr-xr-x`, as `ls -l` has it.
pub(crate) fn mode(kind: FileType, perm: u16) -> String {
    let first = match kind {
        FileType::Regular => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharDevice => 'c',
        FileType::BlockDevice => 'b',
    };
    let mut text = String::from(first);
    // Shift of the three bits, the special bit, its letters with and without execution.
    for (shift, special, with, without) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = perm >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (perm & special != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The type in words, as `stat` has it.
pub(crate) fn long_type(kind: FileType, size: u64) -> &'static str {
    match kind {
        FileType::Regular if size == 0 => "regular empty file",
        FileType::Regular => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharDevice => "character special file",
        FileType::BlockDevice => "block special file",
    }
}

/// Writes times in this host's time zone.
#[derive(Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
    /// Seconds since 1970, by this host's clock.
    now: i64,
    /// And the fraction of the second, in nanoseconds.
    fraction: u32,
}

impl Clock {
    /// This host's zone and time.
    #[allow(clippy::disallowed_methods, reason = "driver: a command that shows times knows what time it is")]
    pub(crate) fn here() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seconds = now.as_secs().try_into().unwrap_or(i64::MAX);
        Self { zone: TimeZone::system(), now: seconds, fraction: now.subsec_nanos() }
    }

    /// The time in nanoseconds since 1970.
    pub(crate) fn now_nanos(&self) -> i128 {
        i128::from(self.now) * 1_000_000_000 + i128::from(self.fraction)
    }

    /// `2026-11-22 14:55:00.123456789 +0100`.
    pub(crate) fn full(&self, time: Timestamp) -> String {
        self.format(time, "%Y-%m-%d %H:%M:%S.%9f %z")
    }

    /// `Nov 22 14:55`, or `Nov 22  2024` for what is older than half a year or lies ahead.
    pub(crate) fn short(&self, time: Timestamp) -> String {
        const HALF_A_YEAR: i64 = 31_556_952 / 2;
        self.short_within(time, 0..HALF_A_YEAR)
    }

    /// The same as `find -ls` has it, with other bounds: 180 days, and an hour ahead.
    pub(crate) fn short_as_find(&self, time: Timestamp) -> String {
        self.short_within(time, -3600..180 * 86_400)
    }

    /// With the time of day where the age in seconds lies within `recent`.
    fn short_within(&self, time: Timestamp, recent: Range<i64>) -> String {
        let age = self.now.saturating_sub(time.seconds);
        self.format(time, if recent.contains(&age) { "%b %e %H:%M" } else { "%b %e  %Y" })
    }

    /// The time now as syslog has it: `Nov 22 14:55:00`.
    pub(crate) fn syslog_now(&self) -> String {
        self.format(Timestamp { seconds: self.now, nanos: 0 }, "%b %e %H:%M:%S")
    }

    fn format(&self, time: Timestamp, format: &str) -> String {
        let nanos = i32::try_from(time.nanos).unwrap_or(0);
        match Instant::new(time.seconds, nanos) {
            Ok(instant) => instant.to_zoned(self.zone.clone()).strftime(format).to_string(),
            // Beyond the year 9999.
            Err(_) => format!("@{}.{:09}", time.seconds, time.nanos),
        }
    }
}

/// Names of users and groups, as this host's /etc/passwd and /etc/group have them.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Owners {
    /// Reads the names, unless numbers are wanted.
    pub(crate) fn here(numeric: bool) -> Self {
        if numeric {
            return Self::default();
        }
        Self { users: names("/etc/passwd"), groups: names("/etc/group") }
    }

    /// A user's name, or number where there is no name.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }

    /// A group's name, or number where there is no name.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }

    /// Whether the user has a name here.
    pub(crate) fn has_user(&self, uid: u32) -> bool {
        self.users.contains_key(&uid)
    }

    /// Whether the group has a name here.
    pub(crate) fn has_group(&self, gid: u32) -> bool {
        self.groups.contains_key(&gid)
    }

    /// A user's number.
    pub(crate) fn uid(&self, name: &str) -> Option<u32> {
        number(&self.users, name)
    }

    /// A group's number.
    pub(crate) fn gid(&self, name: &str) -> Option<u32> {
        number(&self.groups, name)
    }
}

/// Number to name; the first line of a number counts. A file that cannot be read has no names.
fn names(file: &str) -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(number))) =
            (fields.next(), fields.next(), fields.next().map(str::parse))
        {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// The number of a name.
fn number(names: &BTreeMap<u32, String>, name: &str) -> Option<u32> {
    names.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// Characters that a name takes on a terminal.
pub(crate) fn width(name: &[u8]) -> usize {
    // What is shown as `?` has no width of its own.
    let width = |c: char| unicode_width::UnicodeWidthChar::width(c).unwrap_or(1);
    String::from_utf8_lossy(name).chars().map(width).sum()
}

/// A size as `ls -h` and `df -h` have it: `512`, `1.5K`, `12G`, rounded up.
pub(crate) fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 1024_u64;
    let mut letters = "KMGTPE".chars();
    let mut letter = letters.next().unwrap_or('K');
    // Rounded up, 1023.5K and more is 1.0M.
    while bytes.div_ceil(unit) >= 1024
        && let Some(next) = letters.next()
    {
        unit *= 1024;
        letter = next;
    }
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    if tenths < 100 {
        format!("{}.{}{letter}", tenths / 10, tenths % 10)
    } else {
        format!("{}{letter}", bytes.div_ceil(unit))
    }
}

/// The letters of `lsattr` for the flags that OCFS2 keeps.
pub(crate) fn flags(flags: u32) -> String {
    const LETTERS: [(u32, char); 11] = [
        (0x01, 's'),
        (0x02, 'u'),
        (0x08, 'S'),
        (0x0001_0000, 'D'),
        (0x10, 'i'),
        (0x20, 'a'),
        (0x40, 'd'),
        (0x80, 'A'),
        (0x04, 'c'),
        (0x4000, 'j'),
        (0x8000, 't'),
    ];
    LETTERS.iter().map(|(bit, letter)| if flags & bit != 0 { *letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_with_special_bits() {
        assert_eq!(mode(FileType::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(FileType::Regular, 0o6644), "-rwSr-Sr--");
        assert_eq!(mode(FileType::Regular, 0o4755), "-rwsr-xr-x");
        assert_eq!(mode(FileType::CharDevice, 0), "c---------");
    }

    #[test]
    fn sizes_are_rounded_up_as_coreutils_does() {
        let cases =
            [(0, "0"), (1023, "1023"), (1024, "1.0K"), (1025, "1.1K"), (10239, "10K"), (10240, "10K")];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text, "{bytes}");
        }
        assert_eq!(human(1023 * 1024 + 1), "1.0M");
        assert_eq!(human(u64::MAX), "16E");
    }

    #[test]
    fn old_times_show_the_year() {
        let clock = Clock { zone: TimeZone::UTC, now: 1_795_359_311, fraction: 0 };
        let time = |seconds| Timestamp { seconds, nanos: 5 };
        assert_eq!(clock.short(time(1_795_359_311)), "Nov 22 14:55");
        assert_eq!(clock.short(time(0)), "Jan  1  1970");
        assert_eq!(clock.short(time(1_795_359_312)), "Nov 22  2026");
        assert_eq!(clock.full(time(-1000)), "1969-12-31 23:43:20.000000005 +0000");
        assert_eq!(clock.full(time(i64::MAX)), "@9223372036854775807.000000005");
    }
}
