//! Shell patterns over bytes: `*`, `?`, `[a-z]`, `[!a-z]`, `\x`.

/// Whether the whole of `text` matches `pattern`. A star matches slashes and leading dots too, as in find(1).
///
/// Time is bounded by the product of the lengths: of all stars only the last is ever tried again.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when it does not match: behind the last star, and one byte further in the text.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(_), Some(byte)) => {
                if let Some(used) = one(&pattern[p..], *byte) {
                    (p, t) = (p + used, t + 1);
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((star, from)) if from < text.len() => {
                (p, t) = (star, from + 1);
                retry = Some((star, from + 1));
            }
            _ => return false,
        }
    }
}

/// Bytes of the pattern that stand for `byte`; `None` when they do not.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((true, used)) => Some(used + 1),
            Some((false, _)) => None,
            // A bracket that is never closed stands for itself.
            None => (byte == b'[').then_some(1),
        },
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// Whether `byte` is in the set that begins behind its bracket, and the set's length; `None` when it has no end.
fn set(set: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let begin = usize::from(negated);
    let mut at = begin;
    let mut found = false;
    loop {
        let low = *set.get(at)?;
        if low == b']' && at > begin {
            return Some((found != negated, at + 1));
        }
        let range = set.get(at + 1) == Some(&b'-') && set.get(at + 2).is_some_and(|high| *high != b']');
        let high = if range { *set.get(at + 2)? } else { low };
        found |= (low..=high).contains(&byte);
        at += if range { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_all_kinds() {
        let yes = [("*", ""), ("*.img", "a.img"), ("a*b*c", "axxbyyc"), ("?[a-c]", "zb"), ("[!a]", "b")];
        for (pattern, text) in
            yes.into_iter().chain([("\\*", "*"), ("[]x]", "]"), ("[", "["), ("[a-", "[a-")])
        {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("*.img", "a.imgx"), ("[!a]", "a"), ("?", ""), ("\\*", "x")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let long = "a".repeat(10_000);
        assert!(!matches(b"*a*a*a*a*a*a*b", long.as_bytes()));
    }
}
