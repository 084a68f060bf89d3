//! What ls adds to a name: its colour and its mark.

use std::collections::BTreeMap;

use clap::ValueEnum;
use ocfs2::{Attr, FileType};

/// When names are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// Always.
    Always,
    /// On a terminal.
    Auto,
    /// Never.
    Never,
}

/// Colours of the kinds, by the two letters of dircolors(1).
#[derive(Debug)]
pub(super) struct Colours(BTreeMap<String, String>);

const USUAL: [(&str, &str); 13] = [
    ("di", "01;34"),
    ("ln", "01;36"),
    ("pi", "33"),
    ("so", "01;35"),
    ("bd", "01;33"),
    ("cd", "01;33"),
    ("su", "37;41"),
    ("sg", "30;43"),
    ("tw", "30;42"),
    ("ow", "34;42"),
    ("st", "37;44"),
    ("ex", "01;32"),
    ("fi", ""),
];

impl Colours {
    /// The usual ones, changed by `LS_COLORS`; `None` without colours.
    pub(super) fn of(when: When, terminal: bool) -> Option<Self> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let on = match when {
            When::Always => true,
            When::Auto => terminal && !plain,
            When::Never => false,
        };
        on.then(|| Self::parse(&std::env::var("LS_COLORS").unwrap_or_default()))
    }

    fn parse(text: &str) -> Self {
        let mut colours: BTreeMap<String, String> =
            USUAL.iter().map(|(kind, colour)| ((*kind).into(), (*colour).into())).collect();
        for (kind, colour) in text.split(':').filter_map(|entry| entry.split_once('=')) {
            // Numbers and semicolons: nothing else gets to the terminal.
            if colour.bytes().all(|byte| byte.is_ascii_digit() || byte == b';') {
                colours.insert(kind.into(), colour.into());
            }
        }
        Self(colours)
    }

    /// What goes before a name; empty for a plain one.
    pub(super) fn before(&self, name: &[u8], attr: &Attr) -> String {
        let suffix = || {
            let name = String::from_utf8_lossy(name).into_owned();
            let found =
                self.0.iter().find(|(kind, _)| kind.strip_prefix('*').is_some_and(|end| name.ends_with(end)));
            found.map(|(_, colour)| colour.clone())
        };
        let kind = kind(attr);
        let colour = match kind {
            "fi" => suffix().or_else(|| self.0.get(kind).cloned()),
            _ => self.0.get(kind).cloned(),
        };
        colour.filter(|colour| !colour.is_empty()).map(|colour| format!("\x1b[{colour}m")).unwrap_or_default()
    }
}

fn kind(attr: &Attr) -> &'static str {
    match attr.kind {
        FileType::Directory => match (attr.perm & 0o1000 != 0, attr.perm & 0o2 != 0) {
            (true, true) => "tw",
            (false, true) => "ow",
            (true, false) => "st",
            (false, false) => "di",
        },
        FileType::Symlink => "ln",
        FileType::Fifo => "pi",
        FileType::Socket => "so",
        FileType::BlockDevice => "bd",
        FileType::CharDevice => "cd",
        FileType::Regular if attr.perm & 0o4000 != 0 => "su",
        FileType::Regular if attr.perm & 0o2000 != 0 => "sg",
        FileType::Regular if attr.perm & 0o111 != 0 => "ex",
        FileType::Regular => "fi",
    }
}

/// The mark of -F.
pub(super) fn mark(attr: &Attr) -> &'static str {
    match attr.kind {
        FileType::Directory => "/",
        FileType::Symlink => "@",
        FileType::Fifo => "|",
        FileType::Socket => "=",
        FileType::Regular if attr.perm & 0o111 != 0 => "*",
        _ => "",
    }
}
