//! `oxsan info`: what a volume is: superblock, features, slots, journals.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use ocfs2::{Slot, Superblock, Timestamp, Volume};
use serde_json::{Value, json};

use super::show::{self, Clock};
use super::{FilesArgs, Output};

/// Show what a volume is: superblock, features, slots, journals.
///
/// A slot that a node uses does not say that the node lives: its heartbeat does.
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan info disk.img
  oxsan info --json 'iscsi://san/iqn.2026-01.org.example:disk/0'")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    super::run(&args.files, async |volume, out| {
        if args.json {
            writeln!(out, "{}", as_json(&volume))?;
        } else {
            print(out, &volume, &Clock::here())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Stack, cluster name, and whether heartbeat devices serve all volumes; as the tools call them.
fn cluster(superblock: &Superblock) -> (String, String, bool) {
    match &superblock.cluster {
        Some(info) => (
            String::from_utf8_lossy(info.stack()).into_owned(),
            String::from_utf8_lossy(info.name()).into_owned(),
            info.global_heartbeat,
        ),
        None => ("classic o2cb".into(), String::new(), false),
    }
}

fn journal(slot: &Slot) -> &'static str {
    match slot.journal {
        None => "unreadable",
        Some(journal) if !journal.dirty => "clean",
        Some(_) if slot.replayed > 0 => "dirty, replayed in memory",
        Some(_) => "dirty",
    }
}

fn print(out: &mut Output, volume: &Volume, clock: &Clock) -> io::Result<()> {
    let superblock = volume.superblock();
    let geometry = volume.geometry();
    let (stack, cluster, global) = cluster(superblock);
    let features: Vec<&str> = superblock.features.names().collect();
    let local = features.contains(&"local");
    let time = |seconds: u64| clock.full(Timestamp { seconds: seconds.cast_signed(), nanos: 0 });
    write!(out, "Volume:          {}\nLabel:           ", volume.device().name())?;
    out.name(superblock.label())?;
    writeln!(out, "\nUUID:            {}", superblock.uuid)?;
    let size = geometry.bytes();
    writeln!(out, "Size:            {} ({size} bytes)", show::human(size))?;
    writeln!(out, "Block size:      {} ({} blocks)", geometry.block_size, geometry.blocks())?;
    writeln!(out, "Cluster size:    {} ({} clusters)", geometry.cluster_size, geometry.clusters)?;
    writeln!(out, "Features:        {}", features.join(" "))?;
    match (local, cluster.as_str()) {
        (true, _) => writeln!(out, "Cluster stack:   none: a volume for one host")?,
        (false, "") => writeln!(out, "Cluster stack:   {stack}")?,
        (false, name) => {
            let heartbeat = if global { ", global heartbeat" } else { "" };
            writeln!(out, "Cluster stack:   {stack}, cluster {name}{heartbeat}")?;
        }
    }
    writeln!(out, "Made:            {}", time(superblock.made))?;
    if superblock.last_check != 0 {
        writeln!(out, "Last check:      {}", time(superblock.last_check))?;
    }
    writeln!(
        out,
        "State:           {}",
        if superblock.errors_seen { "errors seen" } else { "no errors noted" }
    )?;
    writeln!(out, "Root directory:  inode {}", superblock.root)?;
    writeln!(out, "System dir:      inode {}", superblock.system_dir)?;
    writeln!(out, "FS generation:   {:#010x}", superblock.fs_generation)?;
    writeln!(out, "Slots:           {}", superblock.max_slots)?;
    for slot in volume.slots() {
        let node = slot.node.map_or_else(|| "free".to_owned(), |node| format!("node {node}"));
        writeln!(out, "  slot {:>3}: {node:<10} journal {}", slot.number, journal(slot))?;
    }
    Ok(())
}

fn as_json(volume: &Volume) -> Value {
    let superblock = volume.superblock();
    let geometry = volume.geometry();
    let (stack, cluster, global) = cluster(superblock);
    let slots: Vec<Value> = volume
        .slots()
        .iter()
        .map(|slot| {
            json!({
                "slot": slot.number, "node": slot.node,
                "journal_dirty": slot.journal.map(|journal| journal.dirty),
                "recovery_generation": slot.journal.map(|journal| journal.recovery_generation),
                "replayed_blocks": slot.replayed,
            })
        })
        .collect();
    let warnings: Vec<String> = volume.warnings().iter().map(|warning| show::chain(warning)).collect();
    json!({
        "volume": volume.device().name(),
        "label": String::from_utf8_lossy(superblock.label()),
        "uuid": superblock.uuid.to_string(),
        "size": geometry.bytes(),
        "block_size": geometry.block_size.bytes(),
        "cluster_size": geometry.cluster_size.bytes(),
        "blocks": geometry.blocks().get(),
        "clusters": geometry.clusters.get(),
        "features": superblock.features.names().collect::<Vec<_>>(),
        "stack": stack, "cluster": cluster, "global_heartbeat": global,
        "made": superblock.made, "last_check": superblock.last_check, "errors_seen": superblock.errors_seen,
        "root": superblock.root.0, "system_dir": superblock.system_dir.0,
        "fs_generation": superblock.fs_generation,
        "max_slots": superblock.max_slots, "slots": slots, "warnings": warnings,
    })
}
