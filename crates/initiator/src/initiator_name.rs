//! The name by which targets know this host.
//!
//! Taken from, in this order: the option of the command, /etc/iscsi/initiatorname.iscsi (which open-iscsi keeps), a
//! name that we made up once and keep. Access lists of targets hold this name, so it must not change.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{IscsiName, NameError};

/// Where open-iscsi keeps the name.
const OPEN_ISCSI_FILE: &str = "/etc/iscsi/initiatorname.iscsi";

/// The name of our own file in the state directory.
const STATE_FILE: &str = "initiatorname";

/// Where to look for the initiator name.
#[derive(Clone, Debug)]
pub struct NameSources {
    /// open-iscsi's file.
    pub open_iscsi_file: PathBuf,
    /// Our state directory, made when missing; none when there is no place to keep anything.
    pub state_dir: Option<PathBuf>,
}

/// Why there is no initiator name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitiatorNameError {
    /// A name was given, but it is none.
    #[error("initiator name from {origin}")]
    Invalid {
        /// The file or option it is from.
        origin: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A file is there but cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl InitiatorNameError {
    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { source, .. } => source.hint(),
            Self::Read { .. } => Some("name this host with --initiator-name"),
        }
    }
}

impl NameSources {
    /// The files of this system: our own state is in /var/lib/oxsan for root, else in the user's state directory
    /// (`XDG_STATE_HOME`, `~/.local/state`).
    pub fn system() -> Self {
        let dir = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state_dir = if rustix::process::geteuid().is_root() {
            Some(PathBuf::from("/var/lib/oxsan"))
        } else {
            let state = dir("XDG_STATE_HOME").or_else(|| Some(dir("HOME")?.join(".local/state")));
            state.map(|state| state.join("oxsan"))
        };
        Self { open_iscsi_file: OPEN_ISCSI_FILE.into(), state_dir }
    }
}

/// Finds the name of this host, or makes one up and keeps it.
///
/// `given` is the name from the command line. A made-up name that cannot be kept is used all the same, and a warning
/// logged: a target without an access list does not mind.
///
/// # Errors
/// [`InitiatorNameError`] when a name that was given is none, or a file that is there cannot be read.
pub fn find_initiator_name(
    given: Option<&str>,
    sources: &NameSources,
) -> Result<IscsiName, InitiatorNameError> {
    if let Some(given) = given {
        return parse("--initiator-name", given);
    }
    if let Some(text) = read(&sources.open_iscsi_file)?
        && let Some(name) = initiator_name_line(&text)
    {
        return parse(&sources.open_iscsi_file.display().to_string(), name);
    }
    let kept = sources.state_dir.as_ref().map(|dir| dir.join(STATE_FILE));
    if let Some(path) = &kept
        && let Some(name) = read_kept(path)?
    {
        return Ok(name);
    }
    let name = make_up();
    let Some(path) = kept else {
        tracing::warn!(%name, "made up an initiator name; no home directory to keep it in");
        return Ok(name);
    };
    match keep(&path, &name) {
        Ok(()) => tracing::info!(%name, path = %path.display(), "made up an initiator name"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Another process was faster: both must go by one name.
            return Ok(read_kept(&path)?.unwrap_or(name));
        }
        Err(error) => {
            tracing::warn!(%name, path = %path.display(), %error, "made up an initiator name, but cannot keep it");
        }
    }
    Ok(name)
}

fn parse(origin: &str, name: &str) -> Result<IscsiName, InitiatorNameError> {
    IscsiName::parse(name).map_err(|source| InitiatorNameError::Invalid { origin: origin.into(), source })
}

fn read_kept(path: &Path) -> Result<Option<IscsiName>, InitiatorNameError> {
    read(path)?.map(|text| parse(&path.display().to_string(), text.trim())).transpose()
}

/// A file's text; none when it is not there. The file of open-iscsi is often for root alone: for others it is as if
/// it were not there.
fn read(path: &Path) -> Result<Option<String>, InitiatorNameError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::debug!(path = %path.display(), "may not be read: looking elsewhere for an initiator name");
            Ok(None)
        }
        Err(source) => Err(InitiatorNameError::Read { path: path.into(), source }),
    }
}

/// The value of the last `InitiatorName=` line, as open-iscsi takes it. `GenerateName=yes`, which asks its start
/// script to make one, is no name.
fn initiator_name_line(text: &str) -> Option<&str> {
    text.lines().filter_map(name_in_line).next_back()
}

fn name_in_line(line: &str) -> Option<&str> {
    let (key, value) = line.trim().split_once('=')?;
    (key.trim() == "InitiatorName").then_some(value.trim()).filter(|value| !value.is_empty())
}

#[allow(clippy::disallowed_methods, reason = "driver: the name is made once, outside any engine")]
fn make_up() -> IscsiName {
    let tag: u64 = rand::random();
    let host = host_label(rustix::system::uname().nodename().to_str().unwrap_or_default());
    let name = format!("iqn.2026-11.org.oxsan:{host}{:012x}", tag >> 16);
    IscsiName::parse(&name).expect("made of a checked host label and hexadecimal digits")
}

/// The host's name as part of an iSCSI name, so that a target's list of sessions can be read; empty where it has
/// none that fits.
fn host_label(node: &str) -> String {
    let short = node.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let fits =
        (1..=64).contains(&short.len()) && short.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits { format!("{short}:") } else { String::new() }
}

/// Puts the name into place whole, and only if no other process did so before.
fn keep(path: &Path, name: &IscsiName) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let draft = dir.join(format!(".{STATE_FILE}.{}", std::process::id()));
    let placed = write_synced(&draft, name).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    placed?;
    removed?;
    fs::File::open(dir)?.sync_all()
}

fn write_synced(path: &Path, name: &IscsiName) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    writeln!(file, "{name}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(dir: &Path) -> NameSources {
        NameSources { open_iscsi_file: dir.join("initiatorname.iscsi"), state_dir: Some(dir.join("state")) }
    }

    #[test]
    fn the_option_goes_before_the_file_and_the_file_before_a_made_up_name() {
        let dir = tempfile::tempdir().expect("dir");
        let sources = sources(dir.path());
        let text = "## comment\nInitiatorAlias=x\n InitiatorName = iqn.1993-08.org.debian:01:ab \n#InitiatorName=iqn.x\n";
        fs::write(&sources.open_iscsi_file, text).expect("write");
        let name = find_initiator_name(None, &sources).expect("from the file");
        assert_eq!(name.as_str(), "iqn.1993-08.org.debian:01:ab");
        let name = find_initiator_name(Some("iqn.2026-11.com.example:me"), &sources).expect("option");
        assert_eq!(name.as_str(), "iqn.2026-11.com.example:me");
        assert!(!dir.path().join("state").exists());
    }

    #[test]
    fn a_made_up_name_is_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let sources = sources(dir.path());
        fs::write(&sources.open_iscsi_file, "GenerateName=yes\n").expect("write");
        let first = find_initiator_name(None, &sources).expect("made up");
        assert_eq!(find_initiator_name(None, &sources).expect("kept"), first);
        let files: Vec<_> = fs::read_dir(dir.path().join("state")).expect("list").collect();
        assert_eq!(files.len(), 1, "no draft is left behind: {files:?}");
    }

    #[test]
    fn two_processes_at_once_agree_on_one_name() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join(STATE_FILE);
        let theirs = IscsiName::parse("iqn.2026-11.org.oxsan:theirs").expect("name");
        keep(&path, &theirs).expect("first");
        let error = keep(&path, &make_up()).expect_err("second");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_kept(&path).expect("readable"), Some(theirs));
    }

    #[test]
    fn a_name_that_cannot_be_kept_is_still_one() {
        let nowhere =
            NameSources { open_iscsi_file: "/proc/none".into(), state_dir: Some("/proc/self/oxsan".into()) };
        assert!(find_initiator_name(None, &nowhere).is_ok());
        assert!(find_initiator_name(None, &NameSources { state_dir: None, ..nowhere }).is_ok());
    }

    #[test]
    fn a_wrong_name_is_an_error_that_says_where() {
        let dir = tempfile::tempdir().expect("dir");
        let sources = sources(dir.path());
        fs::write(&sources.open_iscsi_file, "InitiatorName=host1\n").expect("write");
        let error = find_initiator_name(None, &sources).expect_err("no type");
        assert!(error.to_string().contains("initiatorname.iscsi"), "{error}");
        assert!(find_initiator_name(Some("host1"), &sources).is_err());
    }

    #[test]
    fn host_names_that_do_not_fit_are_left_out() {
        assert_eq!(host_label("Node-1.example.com"), "node-1:");
        assert_eq!(host_label("a b"), "");
        assert_eq!(host_label(""), "");
    }
}
