//! The times of `oxsan find`: ages in days and minutes, and what is newer than another file.

use std::cmp::Ordering;

use anyhow::Context as _;
use ocfs2::{Attr, Timestamp};

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// Which of a file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Access,
    Modify,
    Change,
}

impl Which {
    /// By find's letter.
    pub(super) fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b'a' => Self::Access,
            b'm' => Self::Modify,
            b'c' => Self::Change,
            _ => return None,
        })
    }

    pub(super) fn time(self, attr: &Attr) -> Timestamp {
        match self {
            Self::Access => attr.atime,
            Self::Modify => attr.mtime,
            Self::Change => attr.ctime,
        }
    }
}

/// Since 1970, in nanoseconds.
pub(super) fn nanos(time: Timestamp) -> i128 {
    i128::from(time.seconds) * SECOND + i128::from(time.nanos)
}

/// An age, in nanoseconds: `(low, high)` with the first in and the last out, where there are such bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Age {
    /// At least so old.
    low: Option<i128>,
    /// Not so old.
    high: Option<i128>,
}

impl Age {
    /// `-mtime N`: whole days; +N is more than N whole days, -N up to a second more than N days, as find(1) has it.
    pub(super) fn days(text: &str) -> anyhow::Result<Self> {
        const DAY: i128 = 86_400 * SECOND;
        let (order, n) = number(text, DAY)?;
        Ok(match order {
            Ordering::Equal => Self { low: Some(n), high: Some(n + DAY) },
            Ordering::Greater => Self { low: Some(n + DAY + 1), high: None },
            Ordering::Less => Self { low: None, high: Some(n + SECOND) },
        })
    }

    /// `-mmin N`: minutes, rounded up.
    pub(super) fn minutes(text: &str) -> anyhow::Result<Self> {
        const MINUTE: i128 = 60 * SECOND;
        let (order, n) = number(text, MINUTE)?;
        Ok(match order {
            Ordering::Equal => Self { low: Some(n - MINUTE), high: Some(n) },
            Ordering::Greater => Self { low: Some(n + 1), high: None },
            Ordering::Less => Self { low: None, high: Some(n) },
        })
    }

    /// Whether something that happened at `time` has this age at `now`, both in nanoseconds.
    pub(super) fn holds(self, time: i128, now: i128) -> bool {
        let age = now - time;
        self.low.is_none_or(|low| age >= low) && self.high.is_none_or(|high| age < high)
    }
}

/// `N`, `+N`, `-N`, with a fraction where wanted, times `unit`.
fn number(text: &str, unit: i128) -> anyhow::Result<(Ordering, i128)> {
    let (order, digits) = match text.as_bytes().first() {
        Some(b'+') => (Ordering::Greater, &text[1..]),
        Some(b'-') => (Ordering::Less, &text[1..]),
        _ => (Ordering::Equal, text),
    };
    let wrong = || format!("`{text}` is no number of days or minutes");
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    anyhow::ensure!(plain(whole) && plain(fraction) && fraction.len() <= 9, wrong());
    let whole: u32 = whole.parse().with_context(wrong)?;
    let places = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction: i128 = fraction.parse().with_context(wrong)?;
    Ok((order, i128::from(whole) * unit + fraction * unit / places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_minutes_begun() {
        let now = 1_000_000 * SECOND;
        let holds = |age: Age, seconds: i128| age.holds(now - seconds * SECOND, now);
        let day = Age::days("1").expect("a day");
        assert!(!holds(day, 86_399) && holds(day, 86_400) && holds(day, 172_799) && !holds(day, 172_800));
        let more = Age::days("+1").expect("more");
        assert!(!holds(more, 172_800) && holds(more, 172_801));
        let less = Age::days("-1").expect("less");
        assert!(holds(less, 86_400) && !holds(less, 86_401) && holds(less, -5));
        let minute = Age::minutes("1").expect("a minute");
        assert!(holds(minute, 0) && holds(minute, 59) && !holds(minute, 60));
        assert!(holds(Age::days("0.5").expect("half a day"), 86_400));
        for bad in ["", "+", "x", "1.", "--1", "99999999999", "1e3"] {
            assert!(Age::days(bad).is_err(), "{bad}");
        }
    }
}
