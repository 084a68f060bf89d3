//! How a command says that it failed: `oxsan: what: why`, then a hint for the mend.

use std::process::ExitCode;

use block::BlockError;

/// Prints the error with its causes and its hint, and gives the exit status 1.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("oxsan: {error:#}");
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

/// The hint of the first error in the chain that has one.
fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    cause.downcast_ref::<BlockError>().and_then(BlockError::hint)
}
