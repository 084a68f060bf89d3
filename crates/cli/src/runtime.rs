//! The tokio runtime of a command: built here and nowhere else.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// How long taking leave of a target may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How many threads run a command's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The one that calls `block_on`: for what waits more than it computes, and to measure one core.
    One,
    /// One more for each core: for what computes, and what serves many.
    Cores,
}

/// Builds a runtime with sockets, files and timers.
///
/// A command calls this itself, and late: `oxsan mount` must start its daemon before it has threads.
pub(crate) fn build(threads: Threads) -> anyhow::Result<Runtime> {
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        Threads::Cores => Builder::new_multi_thread(),
    };
    builder.enable_all().build().context("starting the runtime")
}
