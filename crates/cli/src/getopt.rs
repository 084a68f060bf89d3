//! Command lines as getopt_long(3) reads them, with its messages: for commands that stand in for others.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Value,
}

/// A long option: its name and the code that [`parse`] gives for it.
pub(crate) type Long = (&'static str, Takes, char);

/// The options of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Letters, each with a colon after it where it takes a value.
    pub(crate) short: &'static str,
    pub(crate) long: &'static [Long],
}

/// What a command line says: an option with its value, or why it is none (the message of getopt).
pub(crate) type Found = Result<(char, Option<String>), String>;

/// Reads a command line without the command's name: options in their order, then what is none of them.
pub(crate) fn parse(options: &Options, args: &[String]) -> (Vec<Found>, Vec<String>) {
    let (mut found, mut operands) = (Vec::new(), Vec::new());
    let mut args = args.iter().cloned();
    while let Some(arg) = args.next() {
        if arg == "--" {
            operands.extend(args);
            break;
        } else if let Some(long) = arg.strip_prefix("--") {
            found.push(long_option(options, long, &mut args));
        } else if arg.len() > 1 && arg.starts_with('-') {
            short_options(options, &arg[1..], &mut args, &mut found);
        } else {
            operands.push(arg);
        }
    }
    (found, operands)
}

fn long_option(options: &Options, arg: &str, args: &mut impl Iterator<Item = String>) -> Found {
    let (name, value) = match arg.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (arg, None),
    };
    let begin: Vec<_> = options.long.iter().filter(|(long, ..)| long.starts_with(name)).collect();
    let exact = begin.iter().find(|(long, ..)| *long == name);
    let (long, takes, code) = match (exact, &begin[..]) {
        (Some(one), _) | (None, [one]) => **one,
        (None, []) => return Err(format!("unrecognized option '--{name}'")),
        (None, several) => {
            let names: Vec<_> = several.iter().map(|(long, ..)| format!(" '--{long}'")).collect();
            return Err(format!("option '--{arg}' is ambiguous; possibilities:{}", names.concat()));
        }
    };
    match (takes, value) {
        (Takes::Nothing, Some(_)) => Err(format!("option '--{long}' doesn't allow an argument")),
        (Takes::Nothing, None) => Ok((code, None)),
        (Takes::Value, Some(value)) => Ok((code, Some(value))),
        (Takes::Value, None) => match args.next() {
            Some(value) => Ok((code, Some(value))),
            None => Err(format!("option '--{long}' requires an argument")),
        },
    }
}

/// One argument with several letters: the first that takes a value takes the rest of it, or the next argument.
fn short_options(
    options: &Options,
    letters: &str,
    args: &mut impl Iterator<Item = String>,
    found: &mut Vec<Found>,
) {
    for (at, letter) in letters.char_indices() {
        let Some(place) = options.short.find(letter).filter(|_| letter != ':') else {
            found.push(Err(format!("invalid option -- '{letter}'")));
            continue;
        };
        if !options.short[place + letter.len_utf8()..].starts_with(':') {
            found.push(Ok((letter, None)));
            continue;
        }
        let rest = &letters[at + letter.len_utf8()..];
        let value = if rest.is_empty() { args.next() } else { Some(rest.to_owned()) };
        found.push(match value {
            Some(value) => Ok((letter, Some(value))),
            None => Err(format!("option requires an argument -- '{letter}'")),
        });
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options {
        short: "b:nq",
        long: &[
            ("block-size", Takes::Value, 'b'),
            ("fs-features=", Takes::Value, 'f'),
            ("fs-feature-level=", Takes::Value, 'l'),
            ("quiet", Takes::Nothing, 'q'),
        ],
    };

    fn read(line: &str) -> (Vec<Found>, Vec<String>) {
        parse(&OPTIONS, &line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_and_operands_in_any_order() {
        let (found, operands) = read("disk -nb4K --quiet 100 --fs-features=a,b --bl 512 -- -q");
        let of = |code, value: Option<&str>| Ok((code, value.map(str::to_owned)));
        let expected =
            [of('n', None), of('b', Some("4K")), of('q', None), of('f', Some("a,b")), of('b', Some("512"))];
        assert_eq!(found, expected);
        assert_eq!(operands, ["disk", "100", "-q"]);
    }

    #[test]
    fn what_is_wrong_is_told_as_getopt_tells_it() {
        let wrong = |line| read(line).0.into_iter().find_map(Result::err).unwrap();
        assert_eq!(wrong("--frob=1"), "unrecognized option '--frob'");
        assert_eq!(wrong("-x"), "invalid option -- 'x'");
        assert_eq!(wrong("-b"), "option requires an argument -- 'b'");
        assert_eq!(wrong("--block-size"), "option '--block-size' requires an argument");
        assert_eq!(wrong("--quiet=1"), "option '--quiet' doesn't allow an argument");
        assert_eq!(
            wrong("--fs-feature=x"),
            "option '--fs-feature=x' is ambiguous; possibilities: '--fs-features=' '--fs-feature-level='"
        );
    }
}
