//! Names in quotes, as `stat -c %N` has them: what a shell reads back as the name.

/// `name` in quotes of the shell, always, as GNU's style `shell-escape-always`: `'a b'`, `"it's"`, `'a'$'\n''b'`.
///
/// Names are taken for UTF-8; what is none of it, and control characters, are escaped.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    if name.contains(&b'\'') && suits_double_quotes(name) {
        return [b"\"", name, b"\""].concat();
    }
    let mut out = vec![b'\''];
    // Within `$'…'`, where escapes are read.
    let mut escaping = false;
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => {
                    out.extend(b"'\\''");
                    escaping = false;
                }
                c if c.is_control() => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        escape(byte, &mut escaping, &mut out);
                    }
                }
                c => {
                    if std::mem::take(&mut escaping) {
                        out.extend(b"''");
                    }
                    out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                }
            }
        }
        for byte in chunk.invalid() {
            escape(*byte, &mut escaping, &mut out);
        }
    }
    out.push(b'\'');
    out
}

fn escape(byte: u8, escaping: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(escaping, true) {
        out.extend(b"'$'");
    }
    let letter = match byte {
        7 => 'a',
        8 => 'b',
        b'\t' => 't',
        b'\n' => 'n',
        11 => 'v',
        12 => 'f',
        b'\r' => 'r',
        _ => return out.extend(format!("\\{byte:03o}").bytes()),
    };
    out.extend([b'\\', u8::try_from(letter).unwrap_or(b'?')]);
}

/// Whether nothing in it means anything to a shell or to C within double quotes.
fn suits_double_quotes(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    name.chars().enumerate().all(|(at, c)| match c {
        '#' | '~' => at == 0,
        c => !c.is_control() && !"!\"$&()*;<=>?[\\^`{|}".contains(c),
    })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    /// As GNU stat 9.1 quotes them.
    #[test]
    fn as_stat_does() {
        for (name, expected) in [
            (&b"a b"[..], "'a b'"),
            (b"", "''"),
            (b"it's", "\"it's\""),
            (b"it's $5", "'it'\\''s $5'"),
            (b"a\nb", "'a'$'\\n''b'"),
            (b"\n", "''$'\\n'"),
            (b"\n'", "''$'\\n'\\'''"),
            (b"a\\b", "'a\\b'"),
            (b"x\xff\xfe", "'x'$'\\377\\376'"),
            (b"\x1b[0m", "''$'\\033''[0m'"),
            ("grün".as_bytes(), "'grün'"),
        ] {
            assert_eq!(String::from_utf8(quoted(name)).unwrap(), expected);
        }
    }
}
