//! The format of `-printf`.

use anyhow::{Context as _, bail, ensure};
use ocfs2::FileType;

use super::expression::Candidate;
use super::time::Which;
use crate::files::escape::escape;
use crate::files::show::{self, Owners};

/// A format, taken apart.
#[derive(Debug)]
pub(super) struct Format(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Field { left: bool, zeroes: bool, width: usize, what: What },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// One of find's letters.
    Letter(u8),
    /// Seconds since 1970, with the fraction.
    Seconds(Which),
}

/// Letters that are built.
const LETTERS: &[u8] = b"pPfhHdsbkmMniuUgGyl";

impl Format {
    pub(super) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\\' => rest = escape(rest, &mut plain).context("-printf")?,
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
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// Whether the target of symlinks is asked for.
    pub(super) fn wants_target(&self) -> bool {
        let target = What::Letter(b'l');
        self.0.iter().any(|piece| matches!(piece, Piece::Field { what, .. } if *what == target))
    }

    pub(super) fn expand(&self, file: &Candidate<'_>, owners: &Owners) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Field { left, zeroes, width, what } => {
                    let value = what.value(file, owners);
                    let fill = vec![if *zeroes { b'0' } else { b' ' }; width.saturating_sub(value.len())];
                    let parts = if *left { [value, fill] } else { [fill, value] };
                    out.extend(parts.concat());
                }
            }
        }
        out
    }
}

/// Behind a percent sign.
fn field<'a>(mut rest: &'a [u8], pieces: &mut Vec<Piece>) -> anyhow::Result<&'a [u8]> {
    let (mut left, mut zeroes, mut width) = (false, false, 0usize);
    while let Some((flag @ (b'-' | b'0'), after)) = rest.split_first() {
        left |= *flag == b'-';
        zeroes |= *flag == b'0';
        rest = after;
    }
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        width = width * 10 + usize::from(digit - b'0');
        ensure!(width <= 4096, "-printf: a width beyond 4096");
        rest = after;
    }
    let time = |letter: u8| Which::of(letter.to_ascii_lowercase());
    let (what, used) = match rest {
        [b'A', b'@', ..] => (time(b'a').map(What::Seconds), 2),
        [b'T', b'@', ..] => (time(b'm').map(What::Seconds), 2),
        [b'C', b'@', ..] => (time(b'c').map(What::Seconds), 2),
        [letter, ..] if LETTERS.contains(letter) => (Some(What::Letter(*letter)), 1),
        _ => (None, 0),
    };
    let Some(what) = what else {
        let letter = rest.first().map_or_else(String::new, |byte| byte.escape_ascii().to_string());
        bail!(
            "-printf: %{letter} is not built: %{} %A@ %T@ %C@ are",
            LETTERS.iter().map(|l| char::from(*l).to_string()).collect::<Vec<_>>().join(" %")
        );
    };
    pieces.push(Piece::Field { left, zeroes: zeroes && !left, width, what });
    Ok(&rest[used..])
}

impl What {
    fn value(self, file: &Candidate<'_>, owners: &Owners) -> Vec<u8> {
        let attr = file.inode.attr();
        let letter = match self {
            Self::Letter(letter) => letter,
            Self::Seconds(which) => {
                let time = which.time(attr);
                return format!("{}.{:09}0", time.seconds, time.nanos).into_bytes();
            }
        };
        match letter {
            b'p' => file.path.clone(),
            b'P' => {
                let below = file.path.strip_prefix(file.top).unwrap_or(&file.path);
                below.strip_prefix(b"/").unwrap_or(below).to_vec()
            }
            b'f' => file.name().to_vec(),
            b'h' => parent(&file.path).to_vec(),
            b'H' => file.top.to_vec(),
            b'l' => file.target.clone().unwrap_or_default(),
            b'd' => file.depth.to_string().into_bytes(),
            b's' => attr.size.to_string().into_bytes(),
            b'b' => attr.blocks.to_string().into_bytes(),
            b'k' => attr.blocks.div_ceil(2).to_string().into_bytes(),
            b'm' => format!("{:o}", attr.perm).into_bytes(),
            b'M' => show::mode(attr.kind, attr.perm).into_bytes(),
            b'n' => attr.nlink.to_string().into_bytes(),
            b'i' => attr.ino.to_string().into_bytes(),
            b'u' => owners.user(attr.uid).into_bytes(),
            b'U' => attr.uid.to_string().into_bytes(),
            b'g' => owners.group(attr.gid).into_bytes(),
            b'G' => attr.gid.to_string().into_bytes(),
            b'y' => vec![match attr.kind {
                FileType::Regular => b'f',
                FileType::Directory => b'd',
                FileType::Symlink => b'l',
                FileType::Fifo => b'p',
                FileType::Socket => b's',
                FileType::CharDevice => b'c',
                FileType::BlockDevice => b'b',
            }],
            _ => Vec::new(),
        }
    }
}

/// The directory part of a path: `.` where there is none.
fn parent(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(at) => &path[..at],
        None => b".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_named() {
        for (format, expected) in [("%q", "%q is not built"), ("%", "% is not built"), ("\\q", "`\\q`")] {
            let error = format!("{:#}", Format::parse(format.as_bytes()).expect_err(format));
            assert!(error.contains(expected), "{error}");
        }
        assert!(Format::parse(b"%-10p %05s\\n\\0%%\\101 %l %T@").is_ok_and(|format| format.wants_target()));
        assert!(Format::parse(b"%99999p").is_err());
        assert_eq!((parent(b"/a/b"), parent(b"/a"), parent(b"a")), (&b"/a"[..], &b"/"[..], &b"."[..]));
    }
}
