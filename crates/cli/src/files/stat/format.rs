//! The format of `stat -c` and `stat --printf`.

use anyhow::{Context as _, bail, ensure};
use ocfs2::{Attr, FileType, Timestamp};

use super::quote::quoted;
use crate::files::escape::escape;
use crate::files::show::{self, Clock, Owners};

/// A format, taken apart.
#[derive(Debug)]
pub(super) struct Format {
    pieces: Vec<Piece>,
    pub(super) wants_target: bool,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Field { layout: Layout, letter: u8 },
}

/// What stands between the percent sign and the letter.
#[derive(Clone, Debug, Default)]
struct Layout {
    left: bool,
    zeroes: bool,
    /// `#`: octal and hexadecimal numbers say what they are.
    marked: bool,
    width: usize,
    precision: Option<usize>,
}

/// One file, as far as a format can tell of it.
pub(super) struct Shown<'a> {
    pub(super) path: &'a [u8],
    pub(super) attr: &'a Attr,
    pub(super) target: Option<&'a [u8]>,
}

/// Letters that are built.
const LETTERS: &[u8] = b"aAbBfFgGhinNostTuUwWxXyYzZ";
/// Letters of stat(1) that a file of a volume has nothing for, and why.
const NOT_BUILT: &[(u8, &str)] = &[
    (b'C', "OCFS2 keeps no SELinux context of its own: oxsan stat shows all xattrs"),
    (b'd', "a volume has no device number before it is mounted"),
    (b'D', "a volume has no device number before it is mounted"),
    (b'm', "a volume has no mount point before it is mounted"),
];

impl Format {
    /// With `escapes`, a backslash means something: `--printf`. Else a line's end is added: `-c`.
    pub(super) fn parse(text: &[u8], escapes: bool) -> anyhow::Result<Self> {
        let (mut pieces, mut plain) = (Vec::new(), Vec::new());
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\\' if escapes => rest = behind_backslash(rest, &mut plain)?,
                b'%' if rest.is_empty() => plain.push(b'%'),
                b'%' if rest.first() == Some(&b'%') => {
                    plain.push(b'%');
                    rest = &rest[1..];
                }
                b'%' => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    rest = field(rest, &mut pieces)?;
                }
                _ => plain.push(*byte),
            }
        }
        if !escapes {
            plain.push(b'\n');
        }
        pieces.push(Piece::Text(plain));
        let wants_target = pieces.iter().any(|piece| matches!(piece, Piece::Field { letter: b'N', .. }));
        Ok(Self { pieces, wants_target })
    }

    pub(super) fn expand(&self, file: &Shown<'_>, clock: &Clock, owners: &Owners) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field { layout, letter } => out.extend(value(*letter, layout, file, clock, owners)),
            }
        }
        out
    }
}

fn behind_backslash<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> anyhow::Result<&'a [u8]> {
    match rest {
        [b'"', ..] => out.push(b'"'),
        [b'e', ..] => out.push(0x1b),
        [b'x', digits @ ..] if digits.first().is_some_and(u8::is_ascii_hexdigit) => {
            let count = digits.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let text = String::from_utf8_lossy(&digits[..count]);
            out.push(u8::from_str_radix(&text, 16).context("--printf")?);
            return Ok(&digits[count..]);
        }
        _ => return escape(rest, out).context("--printf"),
    }
    Ok(&rest[1..])
}

/// Behind a percent sign.
fn field<'a>(mut rest: &'a [u8], pieces: &mut Vec<Piece>) -> anyhow::Result<&'a [u8]> {
    let mut layout = Layout::default();
    while let Some((flag @ (b'-' | b'0' | b'#'), after)) = rest.split_first() {
        match flag {
            b'-' => layout.left = true,
            b'0' => layout.zeroes = true,
            _ => layout.marked = true,
        }
        rest = after;
    }
    (layout.width, rest) = number(rest)?;
    if let [b'.', after @ ..] = rest {
        let (precision, after) = number(after)?;
        (layout.precision, rest) = (Some(precision), after);
    }
    let [letter, after @ ..] = rest else { bail!("the format ends within a %") };
    let shown = letter.escape_ascii();
    if let Some((_, why)) = NOT_BUILT.iter().find(|(not_built, _)| not_built == letter) {
        bail!("%{shown} is not built: {why}");
    }
    let built =
        || LETTERS.iter().map(|letter| char::from(*letter).to_string()).collect::<Vec<_>>().join(" %");
    ensure!(LETTERS.contains(letter), "%{shown} is not built: %{} are", built());
    ensure!(layout.precision.is_none(), "%{shown} with a precision is not built: a width is");
    pieces.push(Piece::Field { layout, letter: *letter });
    Ok(after)
}

fn number(text: &[u8]) -> anyhow::Result<(usize, &[u8])> {
    let mut value = 0;
    let mut rest = text;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        value = value * 10 + usize::from(digit - b'0');
        ensure!(value <= 4096, "a width beyond 4096");
        rest = after;
    }
    Ok((value, rest))
}

fn value(letter: u8, layout: &Layout, file: &Shown<'_>, clock: &Clock, owners: &Owners) -> Vec<u8> {
    let attr = file.attr;
    let device =
        if matches!(attr.kind, FileType::CharDevice | FileType::BlockDevice) { attr.rdev } else { (0, 0) };
    let number = |number: i128| layout.number("", &number.to_string());
    let octal = |value: u32| layout.number("0", &format!("{value:o}"));
    let hex = |value: u32| layout.number("0x", &format!("{value:x}"));
    let text = |text: &str| layout.text(text.as_bytes());
    let unknown = |known: bool, name: String| if known { name } else { "UNKNOWN".into() };
    let seconds = |time: Timestamp| number(time.seconds.into());
    match letter {
        b'n' => layout.text(file.path),
        b'N' => match file.target {
            Some(target) => {
                [layout.text(&quoted(file.path)), b" -> ".to_vec(), layout.text(&quoted(target))].concat()
            }
            None => layout.text(&quoted(file.path)),
        },
        b's' => number(attr.size.into()),
        b'b' => number(attr.blocks.into()),
        b'B' => number(512),
        b'o' => number(attr.blksize.into()),
        b'h' => number(attr.nlink.into()),
        b'i' => number(attr.ino.0.into()),
        b'u' => number(attr.uid.into()),
        b'g' => number(attr.gid.into()),
        b'U' => text(&unknown(owners.has_user(attr.uid), owners.user(attr.uid))),
        b'G' => text(&unknown(owners.has_group(attr.gid), owners.group(attr.gid))),
        b'a' => octal(attr.perm.into()),
        b'A' => text(&show::mode(attr.kind, attr.perm)),
        b'f' => hex(attr.mode()),
        b'F' => text(show::long_type(attr.kind, attr.size)),
        b't' => hex(device.0),
        b'T' => hex(device.1),
        b'x' => text(&clock.full(attr.atime)),
        b'y' => text(&clock.full(attr.mtime)),
        b'z' => text(&clock.full(attr.ctime)),
        b'X' => seconds(attr.atime),
        b'Y' => seconds(attr.mtime),
        b'Z' => seconds(attr.ctime),
        // OCFS2 keeps no time of birth.
        b'w' => text("-"),
        b'W' => number(0),
        _ => Vec::new(),
    }
}

impl Layout {
    fn text(&self, text: &[u8]) -> Vec<u8> {
        let fill = vec![b' '; self.width.saturating_sub(text.len())];
        if self.left { [text, &fill].concat() } else { [&fill, text].concat() }
    }

    /// A number's digits, behind `mark` where that is asked for; the mark of 0 is none.
    fn number(&self, mark: &str, digits: &str) -> Vec<u8> {
        let mark = if self.marked && digits != "0" { mark } else { "" };
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
        let head = format!("{sign}{mark}");
        if self.zeroes && !self.left {
            let width = self.width.saturating_sub(head.len());
            return format!("{head}{digits:0>width$}").into_bytes();
        }
        self.text(format!("{head}{digits}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn what_is_not_built_is_named() {
        for (format, expected) in [
            ("%q", "%q is not built: %a %A"),
            ("%d", "%d is not built: a volume has no device number"),
            ("%.3Y", "%Y with a precision is not built"),
            ("%5", "ends within a %"),
            ("%99999n", "beyond 4096"),
        ] {
            let error = Format::parse(format.as_bytes(), false).expect_err(format).to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Format::parse(b"\\q", true).is_err());
        assert!(Format::parse(b"\\q", false).is_ok());
        assert!(Format::parse(b"%-10n %05s %#a 100%% \\x41\\e\\\" %", true).is_ok_and(|f| !f.wants_target));
        assert!(Format::parse(b"%N", false).is_ok_and(|format| format.wants_target));
    }
}
