//! `oxsan perf`: loads a volume as iscsi-perf and fio do, and says what it bears.

mod load;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use block::BlockDevice;
use clap::{Args, ValueEnum};

use crate::runtime::{self, Threads};
use crate::size::parse_size;
use crate::volume::{self, Access, VolumeArgs};
use load::Plan;

/// Loads a LUN, block device or file and measures it.
#[derive(Args)]
pub(crate) struct PerfArgs {
    #[command(flatten)]
    volume: VolumeArgs,
    /// What to do: one after the other, or at random places.
    #[arg(long, value_enum, default_value = "randread")]
    rw: Pattern,
    /// Bytes in one request, as 4k or 1m.
    #[arg(long, value_parser = parse_size, default_value = "4k")]
    bs: u64,
    /// Requests in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
    /// Seconds to run.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    runtime: u64,
    /// Load only the first so many bytes of the volume.
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// Where random places and written bytes come from: the same number gives the same ones.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Let a write pattern overwrite what the volume holds.
    #[arg(long)]
    destroy_data: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What to do with the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pattern {
    /// Read it from start to end, over and over.
    Read,
    /// Write it from start to end, over and over.
    Write,
    /// Read at random places.
    Randread,
    /// Write at random places.
    Randwrite,
}

impl Pattern {
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Randwrite)
    }

    fn random(self) -> bool {
        matches!(self, Self::Randread | Self::Randwrite)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Randread => "randread",
            Self::Randwrite => "randwrite",
        }
    }
}

/// Runs the command on a runtime of its own, one thread: the numbers are those of one core.
pub(crate) fn run(args: &PerfArgs) -> anyhow::Result<ExitCode> {
    if args.rw.writes() && !args.destroy_data {
        bail!("--rw {} overwrites the volume: say --destroy-data if that is meant", args.rw.name());
    }
    let runtime = runtime::build(Threads::One)?;
    runtime.block_on(measure(args))
}

async fn measure(args: &PerfArgs) -> anyhow::Result<ExitCode> {
    let access = if args.rw.writes() { Access::Write } else { Access::Read };
    let device = volume::open(&args.volume, access).await?;
    let plan = plan(args, &*device)?;
    let load = load::run(device.clone(), plan, stop_signal()).await;
    // The numbers count even where the target does not take leave.
    let closed = device.close().await;
    report::print(args, device.name(), &load)?;
    if let Some(error) = load.error {
        return Err(error).context("the run ended early");
    }
    closed.context("after the run")?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the request size and range against the volume.
fn plan(args: &PerfArgs, device: &dyn BlockDevice) -> anyhow::Result<Plan> {
    let geometry = device.geometry();
    let block = u64::from(geometry.logical_block);
    ensure!(
        args.bs > 0 && args.bs.is_multiple_of(block),
        "--bs {} is not a multiple of the volume's {block}-byte block",
        args.bs
    );
    let size = args.size.unwrap_or(geometry.size).min(geometry.size);
    let slots = size / args.bs;
    ensure!(slots > 0, "--bs {} is more than the {size} bytes to load", args.bs);
    let len = usize::try_from(args.bs).context("--bs does not fit into memory")?;
    ensure!(len <= 64 << 20, "--bs {} is beyond 64m", args.bs);
    Ok(Plan {
        pattern: args.rw,
        len,
        slots,
        depth: args.depth,
        runtime: Duration::from_secs(args.runtime),
        seed: args.seed,
    })
}

/// Ends when the user wants the run to end.
async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal to be had: the runtime limit alone ends the run.
        std::future::pending::<()>().await;
    }
}
