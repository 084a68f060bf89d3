//! The command line of `mkfs.ocfs2`.

use ocfs2::mkfs::{FeatureError, FeatureLevel, FeatureList, FsType, Request};
use ocfs2::{BlockSize, ClusterInfo, ClusterSize, Compat, Incompat, Uuid};

use super::Stop;
use crate::getopt::{self, Long, Options, Takes};

const SHORT: &str = "b:C:L:N:J:M:vnqVFHxT:U:";
const LONG: [Long; 20] = [
    ("block-size", Takes::Value, 'b'),
    ("cluster-size", Takes::Value, 'C'),
    ("label", Takes::Value, 'L'),
    ("node-slots", Takes::Value, 'N'),
    ("verbose", Takes::Nothing, 'v'),
    ("quiet", Takes::Nothing, 'q'),
    ("version", Takes::Nothing, 'V'),
    ("journal-options", Takes::Value, 'J'),
    ("heartbeat-device", Takes::Nothing, 'H'),
    ("force", Takes::Nothing, 'F'),
    ("mount", Takes::Value, 'M'),
    ("dry-run", Takes::Nothing, 'n'),
    ("nodiscard", Takes::Nothing, 'o'),
    ("discard", Takes::Nothing, 'O'),
    ("no-backup-super", Takes::Nothing, '1'),
    ("fs-feature-level=", Takes::Value, '2'),
    ("fs-features=", Takes::Value, '3'),
    ("cluster-stack=", Takes::Value, '4'),
    ("cluster-name=", Takes::Value, '5'),
    ("global-heartbeat", Takes::Nothing, '6'),
];

/// Stacks that there are.
const STACKS: [&str; 3] = ["o2cb", "pcmk", "cman"];
/// Smallest journal that may be asked for.
const MIN_JOURNAL: u64 = 4 << 20;

/// What the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) request: Request,
    pub(super) device: String,
    pub(super) uuid: Option<String>,
    pub(super) quiet: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) show_version: bool,
    pub(super) no_prompt: bool,
    pub(super) keep: bool,
    pub(super) stack: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) global_heartbeat: bool,
    mount_local: Option<bool>,
    no_backup: bool,
    level: FeatureLevel,
    list: FeatureList,
}

impl Line {
    /// Reads the command line.
    pub(super) fn parse(args: &[String]) -> Result<Self, Stop> {
        let (found, operands) = getopt::parse(&Options { short: SHORT, long: &LONG }, args);
        let mut line = Self::default();
        for option in found {
            let (code, value) = option.map_err(Stop::Getopt)?;
            line.option(code, &value.unwrap_or_default())?;
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(device) => line.device = device,
            None if line.show_version => return Ok(line),
            None => return Err(Stop::Usage),
        }
        if let Some(count) = operands.next() {
            let (blocks, rest) = number(&count);
            if !rest.is_empty() {
                return Err(Stop::said(format!("Block count bad - {count}")));
            }
            line.request.blocks = Some(blocks);
        }
        if operands.next().is_some() {
            return Err(Stop::Usage);
        }
        line.settle();
        Ok(line)
    }

    fn option(&mut self, code: char, value: &str) -> Result<(), Stop> {
        let request = &mut self.request;
        match code {
            'b' => {
                let bits = power(value, 9, 12).ok_or_else(|| {
                    Stop::said("Specify a blocksize between 512 and 4096 in powers of 2".into())
                })?;
                request.block_size = BlockSize::from_bits(bits);
            }
            'C' => {
                let bits = power(value, 12, 20).ok_or_else(|| {
                    Stop::said("Specify a clustersize between 4096 and 1048576 in powers of 2".into())
                })?;
                request.cluster_size = ClusterSize::from_bits(bits);
            }
            'L' if value.len() >= 64 => {
                return Err(Stop::said("Volume label too long: must be less than 64 characters".into()));
            }
            'L' => request.label = value.as_bytes().to_vec(),
            'M' => self.mount_local = Some(mount_type(value)?),
            'N' => request.slots = Some(slots(value)?),
            'J' => self.journal(value)?,
            'U' => self.uuid = Some(value.to_owned()),
            'H' => request.heartbeat_device = true,
            'v' => {}
            'n' => self.dry_run = true,
            'q' => self.quiet = true,
            'V' => self.show_version = true,
            'F' => self.force = true,
            'x' => self.no_prompt = true,
            'T' => {
                let named = FsType::NAMED.into_iter().find(|kind| kind.name() == Some(value));
                request.fs_type = named.ok_or_else(|| Stop::said("Bad fs type option specified.".into()))?;
            }
            'O' => self.keep = false,
            'o' => self.keep = true,
            '1' => self.no_backup = true,
            '2' => {
                let level = FeatureLevel::parse(value);
                self.level = level.ok_or_else(|| feature_error(FeatureError::Unknown, "fs-feature-level"))?;
            }
            '3' => {
                self.list = FeatureList::parse(value).map_err(|error| feature_error(error, "fs-features"))?;
            }
            '4' | '5' if value.is_empty() => {
                let name = if code == '4' { "stack" } else { "name" };
                return Err(Stop::said(format!("Option --cluster-{name} requires an argument")));
            }
            '4' if !STACKS.contains(&value) => {
                return Err(bad_stack(&format!("unknown cluster stack '{value}'")));
            }
            '4' => self.stack = Some(value.to_owned()),
            '5' => self.cluster = Some(value.to_owned()),
            '6' => self.global_heartbeat = true,
            other => unreachable!("getopt gives no other options than those asked for: {other}"),
        }
        Ok(())
    }

    fn journal(&mut self, value: &str) -> Result<(), Stop> {
        let mut usage = 0;
        for token in value.split(',').take_while(|token| !token.is_empty()) {
            let (token, invert) = token.strip_prefix("no").map_or((token, false), |token| (token, true));
            let (name, arg) = token.split_once('=').map_or((token, None), |(name, arg)| (name, Some(arg)));
            match (name, arg) {
                ("size", Some(arg)) if !invert => {
                    let bytes = sized(arg).filter(|&bytes| bytes >= MIN_JOURNAL);
                    let text = || {
                        format!("Invalid journal size: {arg}\nSize must be greater than {MIN_JOURNAL} bytes")
                    };
                    self.request.journal_bytes = Some(bytes.ok_or_else(|| Stop::said(text()))?);
                }
                ("block32", None) => self.request.journal_64bit = invert,
                ("block64", None) => self.request.journal_64bit = !invert,
                _ => usage += 1,
            }
        }
        let text = "Bad journal options specified. Valid journal options are:\n\tsize=<journal size>\n\
                    \t[no]block32\n\t[no]block64\n";
        if usage > 0 { Err(Stop::said(text.into())) } else { Ok(()) }
    }

    /// Combines what several options decide together.
    fn settle(&mut self) {
        let features = self.list.merge(self.level);
        let by_feature = features.incompat.contains(Incompat::LOCAL_MOUNT);
        self.request.features = features;
        self.request.local = self.mount_local.unwrap_or(by_feature);
        self.request.backup_supers = features.compat.contains(Compat::BACKUP_SB) && !self.no_backup;
    }

    /// The UUID that was asked for.
    pub(super) fn asked_uuid(&self) -> Result<Option<Uuid>, Stop> {
        let Some(text) = &self.uuid else { return Ok(None) };
        Uuid::parse(text).map(Some).ok_or_else(|| Stop::said("Invalid UUID specified".into()))
    }

    /// Checks the options about the cluster against each other.
    pub(super) fn check_cluster(&self) -> Result<(), Stop> {
        if self.stack.is_none() && self.cluster.is_none() && !self.global_heartbeat {
            return Ok(());
        }
        if self.request.local {
            return Err(bad_stack("local mount is incompatible with the specified cluster attribute"));
        }
        let Some(stack) = &self.stack else { return Err(bad_stack("missing cluster stack")) };
        let Some(name) = &self.cluster else { return Err(bad_name("missing cluster name")) };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match (stack.as_str(), name.len()) {
            ("o2cb", len) if len > 16 || !plain => Err(bad_name("max 16 alpha-numeric characters")),
            (_, 17..) => Err(bad_name("max 16 characters")),
            ("o2cb", _) => Ok(()),
            _ if self.global_heartbeat => {
                Err(bad_stack("global heartbeat mode is only applicable to the o2cb cluster stack"))
            }
            _ => Ok(()),
        }
    }

    /// The cluster that was asked for.
    pub(super) fn asked_cluster(&self) -> Option<ClusterInfo> {
        let (stack, name) = (self.stack.as_deref()?, self.cluster.as_deref()?);
        ClusterInfo::new(stack.as_bytes(), name.as_bytes(), self.global_heartbeat)
    }
}

fn bad_stack(why: &str) -> Stop {
    Stop::said(format!("Cluster stack is invalid ; {why}"))
}

fn bad_name(why: &str) -> Stop {
    Stop::said(format!("Cluster name is invalid ; {why}"))
}

fn feature_error(error: FeatureError, option: &str) -> Stop {
    let what = match error {
        FeatureError::Conflict => "Conflicting features specified",
        _ => "Unsupported feature(s) found",
    };
    Stop::said(format!("{what} when parsing {option} string"))
}

fn mount_type(value: &str) -> Result<bool, Stop> {
    let begins = |name: &str| value.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    match (begins("local"), begins("cluster")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Stop::said(format!("Invalid mount type {value}"))),
    }
}

fn slots(value: &str) -> Result<u16, Stop> {
    match number(value) {
        (0, "") => Err(Stop::said("Initial node slots must be at least 1".into())),
        (slots @ 1..=255, "") => Ok(u16::try_from(slots).expect("255 at most")),
        _ => Err(Stop::said("Initial node slots must be no more than 255".into())),
    }
}

/// The base-2 logarithm of the largest power of two that a size reaches, `least` to `most`.
fn power(value: &str, least: u32, most: u32) -> Option<u32> {
    let size = sized(value).filter(|size| (1 << least..=1 << most).contains(size))?;
    Some(size.ilog2())
}

/// A number with a suffix: k, m, g are powers of 1024.
fn sized(text: &str) -> Option<u64> {
    let (value, rest) = number(text);
    let shift = match rest.bytes().next() {
        _ if rest.len() == text.len() || value == u64::MAX => return None,
        None | Some(b'b' | b'B') => 0,
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(_) => return None,
    };
    value.checked_mul(1 << shift)
}

/// A number as strtoull(3) reads it in base 0, and what follows it.
fn number(text: &str) -> (u64, &str) {
    let trimmed = text.trim_start();
    let (negative, digits) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hex {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, hex),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    if end == 0 {
        return (0, text);
    }
    let value = u64::from_str_radix(&digits[..end], radix).unwrap_or(u64::MAX);
    (if negative { value.wrapping_neg() } else { value }, &digits[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtoull_reads_them() {
        assert_eq!(number("0x10k"), (16, "k"));
        assert_eq!(number("010"), (8, ""));
        assert_eq!(number(" 42x"), (42, "x"));
        assert_eq!(number("frob"), (0, "frob"));
        assert_eq!(sized("4K"), Some(4096));
        assert_eq!(sized("1b"), Some(1));
        assert_eq!(sized(""), None);
        assert_eq!(sized("99999999999G"), None);
        assert_eq!(power("3K", 9, 12), Some(11));
        assert_eq!(power("8K", 9, 12), None);
    }
}
