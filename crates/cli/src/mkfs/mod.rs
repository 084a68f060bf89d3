//! `oxsan mkfs`, and `mkfs.ocfs2` under that name: options, texts and exit status of the original's version 1.8.7.
//!
//! Where it is stricter: a device that is mounted or in use on this host is never overwritten, not even with `-F`; and
//! with `-F` the heartbeat area of a clustered volume is still watched, and a beat seen there refuses it. The
//! superblock is written last of all, so "Writing superblock" only says that it has been made. What does not fit is
//! refused before anything is written.

mod cluster;
mod existing;
mod options;
mod report;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use block::{BlockDevice, BlockError, FileDevice, OpenOptions};
use clap::{Args, Parser};
use initiator::VolumeUrl;
use ocfs2::Uuid;
use ocfs2::mkfs::{DeviceSize, Identity, Plan, Shape};
use rand::RngExt as _;

use crate::runtime::{self, Threads};
use crate::signals::Signals;
use crate::volume::{self, Access, InitiatorArgs, VolumeArgs};
use options::Line;

/// The name that messages begin with, and that a link to this program has.
pub(crate) const NAME: &str = "mkfs.ocfs2";
/// The version of the original that this one stands in for.
const VERSION: &str = "1.8.7";
/// The device is discarded in pieces of this many bytes.
const DISCARD_STEP: u64 = 2 << 30;

const USAGE: &str = "usage: mkfs.ocfs2 [-b block-size] [-C cluster-size] [-J journal-options]
\t\t[-L volume-label] [-M mount-type] [-N number-of-node-slots]
\t\t[-T filesystem-type] [-U uuid][-HFnqvV] [--dry-run]
\t\t[--fs-feature-level=[default|max-compat|max-features]]\x20
\t\t[--fs-features=[[no]sparse,...]] [--global-heartbeat]
\t\t[--cluster-stack=stackname] [--cluster-name=clustername]
\t\t[--no-backup-super] device [blocks-count]
";

/// Make a volume: options and texts of mkfs.ocfs2 (the same program under that name)
#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true, after_help = "See mkfs.ocfs2(8) for the options.")]
pub(crate) struct MkfsArgs {
    /// Options and device, as mkfs.ocfs2 takes them; the device may be an iscsi:// URL
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION|DEVICE|BLOCKS")]
    args: Vec<String>,
}

/// Why the work ends here.
#[derive(Debug)]
enum Stop {
    /// A wrong command line: getopt's message, and the usage.
    Getopt(String),
    /// A wrong command line: the usage.
    Usage,
    /// A message, with the program's name before it.
    Said(String),
    /// A message as it is.
    Plain(String),
    /// All is said.
    Silent,
}

impl Stop {
    fn said(text: String) -> Self {
        Self::Said(text)
    }
}

/// Runs `oxsan mkfs`.
pub(crate) fn run(args: &MkfsArgs) -> ExitCode {
    main(&args.args)
}

/// Runs the command with these arguments.
pub(crate) fn main(args: &[String]) -> ExitCode {
    let text = match Line::parse(args).and_then(work) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stop::Getopt(text)) => format!("{NAME}: {text}\n{USAGE}"),
        Err(Stop::Usage) => USAGE.to_owned(),
        Err(Stop::Said(text)) => format!("{NAME}: {text}\n"),
        Err(Stop::Plain(text)) => format!("{text}\n"),
        Err(Stop::Silent) => String::new(),
    };
    eprint!("{text}");
    ExitCode::FAILURE
}

/// Standard output at once: what is asked or told must be there before what follows.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that went away does not stop a format half-way.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn work(mut line: Line) -> Result<(), Stop> {
    if !line.quiet || line.show_version {
        eprintln!("{NAME} {VERSION}");
    }
    if line.show_version {
        return Ok(());
    }
    let uuid = line.asked_uuid()?;
    if uuid.is_some() {
        say(report::UUID_WARNING);
    }
    line.check_cluster()?;
    line.request.cluster = line.asked_cluster();
    let failed = |error: anyhow::Error| Stop::Said(format!("{error:#}"));
    let runtime = runtime::build(Threads::One).map_err(failed)?;
    runtime.block_on(async {
        let device = open(&line).await;
        let device = check(&mut line, device).await?;
        let result = make(&line, uuid, &device).await;
        let closed = device.close().await;
        result?;
        closed.map_err(|error| Stop::Said(error.to_string()))
    })
}

/// Opens the device, alone.
async fn open(line: &Line) -> Result<Arc<dyn BlockDevice>, anyhow::Error> {
    let access = if line.dry_run { Access::Read } else { Access::Write };
    if VolumeUrl::is_url(&line.device) {
        let args = VolumeArgs { volume: line.device.clone(), initiator: initiator_args() };
        return volume::open(&args, access).await;
    }
    let options = OpenOptions { read_only: line.dry_run, exclusive: !line.dry_run, ..OpenOptions::default() };
    Ok(Arc::new(FileDevice::open(&line.device, options)?))
}

/// The defaults of `oxsan`'s iSCSI options.
fn initiator_args() -> InitiatorArgs {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        initiator: InitiatorArgs,
    }
    Defaults::parse_from(["oxsan"]).initiator
}

/// Looks at what is there and asks, where that is to be asked.
async fn check(
    line: &mut Line,
    device: Result<Arc<dyn BlockDevice>, anyhow::Error>,
) -> Result<Arc<dyn BlockDevice>, Stop> {
    if line.dry_run {
        say("Dry run\n");
        return device.map_err(|error| not_opened(line, &error));
    }
    let found = match &device {
        Ok(device) => existing::look(&**device).await,
        Err(_) => existing::Found::Nothing,
    };
    if !line.request.local {
        line.request.cluster = cluster::choose(line, &found)?;
    }
    existing::refuse_mounted(&line.device)?;
    let device = device.map_err(|error| not_opened(line, &error))?;
    if existing::judge(line, &device, &found).await? && !line.no_prompt {
        say("Proceed (y/N): ");
        let mut answer = [0];
        let read = std::io::stdin().read(&mut answer).unwrap_or(0);
        if read == 0 || !answer[0].eq_ignore_ascii_case(&b'y') {
            say("Aborting operation.\n");
            return Err(Stop::Silent);
        }
    }
    Ok(device)
}

fn not_opened(line: &Line, error: &anyhow::Error) -> Stop {
    let device = &line.device;
    let why = match error.downcast_ref::<BlockError>() {
        Some(BlockError::Busy { .. }) => return existing::in_use(device),
        Some(BlockError::NotADisk { what: "a directory", .. }) => "Is a directory".to_owned(),
        Some(BlockError::Open { source, .. }) => report::system_text(source),
        _ => format!("{error:#}"),
    };
    Stop::Said(format!("Could not open device {device}: {why}"))
}

async fn make(line: &Line, uuid: Option<Uuid>, device: &Arc<dyn BlockDevice>) -> Result<(), Stop> {
    let geometry = device.geometry();
    let size = DeviceSize { bytes: geometry.size, sector: geometry.logical_block };
    if line.request.heartbeat_device && geometry.size > 2 << 20 {
        eprintln!("{NAME}: Warning: Volume larger than required for a heartbeat device");
    }
    let shape = Shape::figure(&line.request, size).map_err(|error| report::shape_error(line, error))?;
    if !line.quiet {
        say(&report::state(line, &shape));
    }
    let numbers = shape.check_block_numbers(line.request.journal_64bit);
    numbers.map_err(|error| report::shape_error(line, error))?;
    if line.dry_run {
        return Ok(());
    }
    let identity = identity(uuid);
    let planned = Plan::new(&line.request, &identity, shape);
    if !line.keep {
        discard(line, &**device, shape.geometry.bytes(), planned.is_ok()).await;
    }
    let plan = planned.map_err(|error| report::plan_error(line, &shape, error))?;
    let mut progress = report::Lines::new(line, plan.backups());
    let mut signals = Signals::catch().map_err(|error| Stop::Said(format!("{error:#}")))?;
    tokio::select! {
        biased;
        _ = signals.any() => {
            say("\nProcess Interrupted.\n");
            Err(Stop::Silent)
        }
        result = plan.write(&**device, &mut progress) => {
            result.map_err(|error| Stop::Said(format!("Could not write: {error}")))?;
            if !line.quiet {
                say(&format!("{NAME} successful\n\n"));
            }
            Ok(())
        }
    }
}

/// Tells the device that nothing on it is needed any more. That it cannot is no error.
async fn discard(line: &Line, device: &dyn BlockDevice, bytes: u64, wanted: bool) {
    let failed = |why: String| {
        if !line.quiet {
            eprintln!("{NAME}: Discard device blocks: {why}");
        }
    };
    let file = std::fs::metadata(&line.device).is_ok_and(|meta| meta.is_file());
    if file {
        // Files have no such call; the original says so and goes on.
        return failed("Inappropriate ioctl for device".into());
    }
    if !wanted || device.geometry().discard_granularity == 0 {
        return;
    }
    let mut at = 0;
    while at < bytes {
        let len = DISCARD_STEP.min(bytes - at);
        if let Err(error) = device.discard(at, len).await {
            return failed(error.to_string());
        }
        at += len;
    }
}

/// What makes this volume another than all others.
#[allow(clippy::disallowed_methods, reason = "driver: the program gives time and chance to the library")]
fn identity(uuid: Option<Uuid>) -> Identity {
    let mut random = rand::rng();
    let uuid = uuid.unwrap_or_else(|| {
        let mut bytes: [u8; 16] = random.random();
        bytes[6] = bytes[6] & 0x0f | 0x40; // version 4: random
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Identity { uuid, generation: random.random(), dx_seed: random.random(), now }
}
