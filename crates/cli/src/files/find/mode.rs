//! The argument of `-perm`: `644`, `-u+w,g+w`, `/222`.

use anyhow::{bail, ensure};

/// How the bits of a file must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Perm {
    /// All twelve are these.
    Exactly(u16),
    /// All of these are set.
    All(u16),
    /// One of these is set; of none, it holds for every file.
    Any(u16),
}

impl Perm {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(match text.as_bytes().first() {
            Some(b'-') => Self::All(bits(&text[1..])?),
            Some(b'/') => Self::Any(bits(&text[1..])?),
            _ => Self::Exactly(bits(text)?),
        })
    }

    pub(super) fn holds(self, perm: u16) -> bool {
        match self {
            Self::Exactly(bits) => perm == bits,
            Self::All(bits) => perm & bits == bits,
            Self::Any(bits) => bits == 0 || perm & bits != 0,
        }
    }
}

/// Octal, or symbols as of chmod(1) that begin with no bit set.
fn bits(text: &str) -> anyhow::Result<u16> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let bits = u16::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
        return bits.ok_or_else(|| anyhow::anyhow!("`{text}` is no mode: octal digits up to 7777"));
    }
    let mut bits = 0;
    for clause in text.split(',') {
        bits = symbolic(bits, clause)?;
    }
    Ok(bits)
}

/// One clause, such as `ug+rw` or `o=g`.
fn symbolic(mut bits: u16, clause: &str) -> anyhow::Result<u16> {
    let who_len = clause.find(|c| !"ugoa".contains(c)).unwrap_or(clause.len());
    let (who, mut rest) = clause.split_at(who_len);
    let who = who.chars().fold(0, |mask, c| mask | class(c));
    let who = if who == 0 { 0o7777 } else { who };
    ensure!(rest.starts_with(['+', '-', '=']), "`{clause}` is no mode: say 644, or u+w and the like");
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        let mut set = 0;
        for letter in rest[1..end].chars() {
            set |= match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                'u' => spread(bits >> 6),
                'g' => spread(bits >> 3),
                'o' => spread(bits),
                _ => bail!("`{letter}` of `{clause}` is not known in a mode here: r w x s t u g o are"),
            };
        }
        // The sticky bit belongs to all, whoever is named with it.
        let set = set & (who | if who & 7 != 0 { 0o1000 } else { 0 });
        match sign {
            '+' => bits |= set,
            '-' => bits &= !set,
            '=' => bits = bits & !who | set,
            _ => bail!("`{clause}` is no mode"),
        }
        rest = &rest[end..];
    }
    Ok(bits)
}

/// The bits that belong to `u`, `g`, `o` or `a`.
fn class(letter: char) -> u16 {
    match letter {
        'u' => 0o4700,
        'g' => 0o2070,
        'o' => 0o1007,
        _ => 0o7777,
    }
}

/// Three bits, for each class.
fn spread(bits: u16) -> u16 {
    (bits & 7) * 0o111
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_of_all_forms() {
        for (text, perm) in [
            ("644", Perm::Exactly(0o644)),
            ("-u+w,g+w", Perm::All(0o220)),
            ("/222", Perm::Any(0o222)),
            ("u=rwx,go=u,o-w", Perm::Exactly(0o775)),
            ("-6000", Perm::All(0o6000)),
            ("a+x", Perm::Exactly(0o111)),
            ("/u+s,g+s", Perm::Any(0o6000)),
            ("+t", Perm::Exactly(0o1000)),
        ] {
            assert_eq!(Perm::parse(text).expect(text), perm, "{text}");
        }
        for bad in ["", "8", "77777", "u", "rw", "u+q", "u+X"] {
            assert!(Perm::parse(bad).is_err(), "{bad}");
        }
        assert!(Perm::Any(0).holds(0) && !Perm::All(0o111).holds(0o110) && Perm::Any(0o111).holds(0o010));
    }
}
