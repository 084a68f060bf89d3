//! Shell patterns: `*`, `?`, `[a-z]`, `[!a-z]`, `[[:digit:]]`, `\x`; over characters where a name is UTF-8.

/// A character's number, or a byte that belongs to none, moved beyond them.
type Unit = u32;

/// A pattern.
#[derive(Debug)]
pub(super) struct Glob {
    units: Vec<Unit>,
    any_case: bool,
}

impl Glob {
    /// Case counts.
    pub(super) fn new(pattern: &[u8]) -> Self {
        Self { units: units(pattern, false), any_case: false }
    }

    /// Case does not count.
    pub(super) fn any_case(pattern: &[u8]) -> Self {
        Self { units: units(pattern, true), any_case: true }
    }

    /// Whether the whole of `text` matches. A star matches slashes and leading dots too, as in find(1).
    ///
    /// Time is bounded by the product of the lengths: of all stars only the last is ever tried again.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let pattern = &self.units;
        let text = units(text, self.any_case);
        let (mut p, mut t) = (0, 0);
        // Where to go on when it does not match: behind the last star, and one further in the text.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            if pattern.get(p) == Some(&u32::from('*')) {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            match (pattern.get(p), text.get(t)) {
                (None, None) => return true,
                (Some(_), Some(unit)) => {
                    if let Some(used) = one(&pattern[p..], *unit) {
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
}

fn units(bytes: &[u8], lower: bool) -> Vec<Unit> {
    const BEYOND: u32 = 0x11_0000;
    let mut units = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // What is more than one character in lower case stays.
        let lowered = |c: char| if lower { c.to_lowercase().next().unwrap_or(c) } else { c };
        units.extend(chunk.valid().chars().map(|c| u32::from(lowered(c))));
        units.extend(chunk.invalid().iter().map(|byte| BEYOND + u32::from(*byte)));
    }
    units
}

/// Units of the pattern that stand for `unit`; `None` when they do not.
fn one(pattern: &[Unit], unit: Unit) -> Option<usize> {
    let (first, rest) = pattern.split_first()?;
    match char::from_u32(*first) {
        Some('?') => Some(1),
        Some('\\') if !rest.is_empty() => (rest[0] == unit).then_some(2),
        Some('[') => match set(rest, unit) {
            Some((true, used)) => Some(used + 1),
            Some((false, _)) => None,
            // A bracket that is never closed stands for itself.
            None => (unit == *first).then_some(1),
        },
        _ => (*first == unit).then_some(1),
    }
}

/// Whether `unit` is in the set that begins behind its bracket, and the set's length; `None` when it has no end.
fn set(set: &[Unit], unit: Unit) -> Option<(bool, usize)> {
    const CLOSE: u32 = ']' as u32;
    const DASH: u32 = '-' as u32;
    let negated = matches!(set.first().copied().and_then(char::from_u32), Some('!' | '^'));
    let begin = usize::from(negated);
    let mut at = begin;
    let mut found = false;
    loop {
        let low = *set.get(at)?;
        if low == CLOSE && at > begin {
            return Some((found != negated, at + 1));
        }
        if let Some((holds, used)) = class(&set[at..], unit) {
            found |= holds;
            at += used;
            continue;
        }
        let range = set.get(at + 1) == Some(&DASH) && set.get(at + 2).is_some_and(|high| *high != CLOSE);
        let high = if range { *set.get(at + 2)? } else { low };
        found |= (low..=high).contains(&unit);
        at += if range { 3 } else { 1 };
    }
}

/// A class such as `[:digit:]`: whether the unit is in it, and its length.
fn class(set: &[Unit], unit: Unit) -> Option<(bool, usize)> {
    let inner = set.strip_prefix(&[u32::from('['), u32::from(':')][..])?;
    let end = inner.windows(2).position(|pair| pair == [u32::from(':'), u32::from(']')])?;
    let name: String = inner[..end].iter().copied().filter_map(char::from_u32).collect();
    let c = char::from_u32(unit);
    let is = |test: fn(char) -> bool| c.is_some_and(test);
    let holds = match name.as_str() {
        "alpha" => is(char::is_alphabetic),
        "digit" => is(|c| c.is_ascii_digit()),
        "alnum" => is(char::is_alphanumeric),
        "upper" => is(char::is_uppercase),
        "lower" => is(char::is_lowercase),
        "space" => is(char::is_whitespace),
        "blank" => is(|c| matches!(c, ' ' | '\t')),
        "punct" => is(|c| c.is_ascii_punctuation()),
        "cntrl" => is(char::is_control),
        "xdigit" => is(|c| c.is_ascii_hexdigit()),
        "print" => is(|c| !c.is_control()),
        "graph" => is(|c| !c.is_control() && !c.is_whitespace()),
        _ => return None,
    };
    Some((holds, end + 4))
}

#[cfg(test)]
mod tests {
    use super::Glob;

    fn matches(pattern: &str, text: &[u8]) -> bool {
        Glob::new(pattern.as_bytes()).matches(text)
    }

    #[test]
    fn patterns_of_all_kinds() {
        let yes = [("*", ""), ("*.img", "a.img"), ("a*b*c", "axxbyyc"), ("?[a-c]", "zb"), ("[!a]", "b")];
        let more =
            [("\\*", "*"), ("[]x]", "]"), ("[", "["), ("[a-", "[a-"), ("?", "é"), ("[[:digit:]x]", "7")];
        for (pattern, text) in yes.into_iter().chain(more) {
            assert!(matches(pattern, text.as_bytes()), "{pattern} {text}");
        }
        let no = [("", "a"), ("a", ""), ("*.img", "a.imgx"), ("[!a]", "a"), ("?", ""), ("\\*", "x")];
        for (pattern, text) in no.into_iter().chain([("[[:digit:]]", "x"), ("??", "é")]) {
            assert!(!matches(pattern, text.as_bytes()), "{pattern} {text}");
        }
        assert!(matches("a?b", b"a\xffb") && !matches("a\u{ff}b", b"a\xffb"));
        assert!(Glob::any_case("É*".as_bytes()).matches("éa".as_bytes()));
        let long = "a".repeat(10_000);
        assert!(!matches("*a*a*a*a*a*a*b", long.as_bytes()));
    }
}
