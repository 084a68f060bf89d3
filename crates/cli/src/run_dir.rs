//! Where processes of this host leave word for one another: for as long as it runs.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory of this user for `what`, made if it is not there.
pub(crate) fn own(what: &str) -> io::Result<PathBuf> {
    let dir = all(what).next().ok_or(io::ErrorKind::NotFound)?;
    DirBuilder::new().recursive(true).mode(0o755).create(&dir)?;
    Ok(dir)
}

/// Where those for `what` may be: of root, and of this user.
pub(crate) fn all(what: &str) -> impl Iterator<Item = PathBuf> {
    let root = rustix::process::geteuid().is_root().then(|| PathBuf::from("/run/oxsan"));
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("oxsan"));
    root.into_iter().chain(user).map(move |dir| dir.join(what))
}
