//! How a command says that it failed: `oxsan: what: why`, then a hint for the mend.

use std::process::ExitCode;

use ::mount::{MountError, OptionError, SessionError};
use block::BlockError;
use initiator::{ConnectError, InitiatorNameError, UrlError};
use target::config::ConfigError;

use crate::files::chain;
use crate::foreign::ForeignError;
use crate::log;

/// Prints the error with its causes and its hint, and gives the exit status 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    log::error(&chain(error.as_ref()));
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

/// The hint of the first error in the chain that has one.
pub(crate) fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let disk = cause.downcast_ref::<BlockError>().and_then(BlockError::hint);
    let url = || cause.downcast_ref::<UrlError>().and_then(UrlError::hint);
    let name = || cause.downcast_ref::<InitiatorNameError>().and_then(InitiatorNameError::hint);
    let connect = || cause.downcast_ref::<ConnectError>().and_then(ConnectError::hint);
    let open = || cause.downcast_ref::<ocfs2::OpenError>().and_then(ocfs2::OpenError::hint);
    let read = || cause.downcast_ref::<ocfs2::Error>().and_then(ocfs2::Error::hint);
    let mount = || cause.downcast_ref::<MountError>().and_then(MountError::hint);
    let session = || cause.downcast_ref::<SessionError>().and_then(SessionError::hint);
    let option = || cause.downcast_ref::<OptionError>().and_then(OptionError::hint);
    let foreign = || cause.downcast_ref::<ForeignError>().and_then(ForeignError::hint);
    let target = || cause.downcast_ref::<ConfigError>().and_then(ConfigError::hint);
    disk.or_else(url)
        .or_else(name)
        .or_else(connect)
        .or_else(open)
        .or_else(read)
        .or_else(mount)
        .or_else(session)
        .or_else(option)
        .or_else(foreign)
        .or_else(target)
}
