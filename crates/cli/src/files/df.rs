//! `oxsan df`: how full a volume is.

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgAction, Args};
use serde_json::json;

use super::{FilesArgs, show};

/// Show how full a volume is.
///
/// As df(1) does, in units of 1024 bytes. --json has bytes.
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan df -h disk.img
  oxsan df --json /dev/sdb1")]
#[command(disable_help_flag = true)] // -h means sizes for people, as in df(1)
pub(crate) struct DfArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Sizes in K, M, G, T instead of units of 1024 bytes
    #[arg(short, long = "human-readable")]
    human: bool,
    /// Inodes instead of space: OCFS2 has as many as there are clusters
    #[arg(short, long)]
    inodes: bool,
    /// One JSON object, sizes in bytes
    #[arg(long)]
    json: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(args: &DfArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        let stat = volume.statfs().await?;
        let used = stat.blocks.saturating_sub(stat.free);
        let bytes = |blocks: u64| blocks.saturating_mul(stat.block_size);
        let name = volume.device().name();
        if args.json {
            let object = json!({
                "volume": name, "block_size": stat.block_size, "cluster_size": stat.cluster_size,
                "size": bytes(stat.blocks), "used": bytes(used), "available": bytes(stat.free),
                "inodes": stat.files, "inodes_free": stat.files_free,
            });
            writeln!(out, "{object}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let (head, total, used, free) = if args.inodes {
            (["Inodes", "IUsed", "IFree", "IUse%"], stat.files, stat.files - stat.files_free, stat.files_free)
        } else {
            let head = [if args.human { "Size" } else { "1K-blocks" }, "Used", "Available", "Use%"];
            (head, bytes(stat.blocks), bytes(used), bytes(stat.free))
        };
        let text = |value: u64| match (args.human, args.inodes) {
            (true, _) => show::human(value),
            (false, true) => value.to_string(),
            (false, false) => value.div_ceil(1024).to_string(),
        };
        let percent = match used.saturating_add(free) {
            0 => "-".to_owned(),
            all => format!("{}%", (u128::from(used) * 100).div_ceil(u128::from(all))),
        };
        let row = [text(total), text(used), text(free), percent];
        let width = name.len().max("Filesystem".len());
        write!(out, "{:width$}", "Filesystem")?;
        for (head, cell) in head.iter().zip(&row) {
            write!(out, " {head:>0$}", cell.len().max(head.len()))?;
        }
        write!(out, "\n{name:width$}")?;
        for (head, cell) in head.iter().zip(&row) {
            write!(out, " {cell:>0$}", cell.len().max(head.len()))?;
        }
        writeln!(out)?;
        Ok(ExitCode::SUCCESS)
    })
}
