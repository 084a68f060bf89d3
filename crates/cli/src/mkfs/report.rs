//! What is told of the work, in the original's words.

use ocfs2::mkfs::{Owner, PlanError, Progress, Shape, ShapeError, Step, feature_names};

use super::options::Line;
use super::{Stop, say};

pub(super) const UUID_WARNING: &str = "
WARNING!!! OCFS2 uses the UUID to uniquely identify a file system.
Having two OCFS2 file systems with the same UUID could, in the least,
cause erratic behavior, and if unlucky, cause file system damage.
Please choose the UUID with care.

";

/// The sizes and counts.
pub(super) fn state(line: &Line, shape: &Shape) -> String {
    let geometry = shape.geometry;
    let (block, cluster) = (geometry.block_size, geometry.cluster_size);
    let kind = line.request.fs_type.name().map(|name| format!("Filesystem Type of {name}\n"));
    let journal = if line.request.heartbeat_device {
        "Heartbeat device".to_owned()
    } else {
        format!("Journal size: {}", shape.journal_bytes)
    };
    format!(
        "{}Label: {}\nFeatures: {}\nBlock size: {block} ({} bits)\nCluster size: {cluster} ({} bits)\n\
         Volume size: {} ({} clusters) ({} blocks)\n\
         Cluster groups: {} (tail covers {} clusters, rest cover {} clusters)\n\
         Extent allocator size: {} ({} groups)\n{journal}\nNode slots: {}\n",
        kind.unwrap_or_default(),
        String::from_utf8_lossy(&line.request.label),
        feature_names(line.request.features),
        block.bits(),
        cluster.bits(),
        geometry.bytes(),
        geometry.clusters,
        geometry.blocks(),
        geometry.cluster_groups(),
        shape.tail_clusters(),
        shape.group_clusters(),
        shape.extent_bytes(),
        shape.extent_groups,
        shape.slots,
    )
}

/// The lines that tell of progress.
pub(super) struct Lines {
    quiet: bool,
    heartbeat_only: bool,
    backups: Option<usize>,
}

impl Lines {
    pub(super) fn new(line: &Line, backups: usize) -> Self {
        let heartbeat_only = line.request.heartbeat_device;
        Self { quiet: line.quiet, heartbeat_only, backups: line.request.backup_supers.then_some(backups) }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }
}

impl Progress for Lines {
    fn begin(&mut self, step: Step) {
        self.say(match step {
            Step::Bitmaps => "Creating bitmaps: ",
            Step::SystemFiles => "Initializing superblock: done\nWriting system files: ",
            Step::Backups if self.backups.is_some() => "Writing backup superblock: ",
            Step::Journals => "Formatting Journals: ",
            Step::Allocators if !self.heartbeat_only => "Growing extent allocator: ",
            Step::SlotMap => "Formatting slot map: ",
            Step::Quota => "Formatting quota files: ",
            Step::Index => "Indexing system directories: ",
            Step::LostFound => "Writing lost+found: ",
            Step::Superblock if self.heartbeat_only => "Writing superblock: ",
            _ => "",
        });
    }

    fn done(&mut self, step: Step) {
        match (step, self.backups) {
            (Step::SystemFiles, _) if !self.heartbeat_only => self.say("done\nWriting superblock: done\n"),
            (Step::Backups, Some(count)) => self.say(&format!("{count} block(s)\n")),
            // The last line of a volume is not done before the superblock is.
            (Step::Backups, None) | (Step::LostFound, _) => {}
            (Step::Allocators, _) if self.heartbeat_only => {}
            _ => self.say("done\n"),
        }
    }
}

/// Why the sizes do not go together.
pub(super) fn shape_error(line: &Line, error: ShapeError) -> Stop {
    let device = &line.device;
    match error {
        ShapeError::SectorSize { sector, block_size } => Stop::Said(format!(
            "the block device {device} has a hardware sector size ({sector}) that is larger than the selected block \
             size ({block_size})"
        )),
        ShapeError::Blocks { asked, available } => Stop::Said(format!(
            "{asked} blocks were specified and this is greater than the {available} blocks that make up {device}.\n"
        )),
        ShapeError::TypeNeedsSpace { .. } => {
            Stop::Said("Selected file system type requires a device of at least 2 gigabytes\n".to_owned())
        }
        ShapeError::TooSmall { .. } => Stop::Plain("Filesystem too small for a journal".to_owned()),
        ShapeError::JournalTooBig { .. } => Stop::Plain("Journal size too big for filesystem.".to_owned()),
        ShapeError::JournalTooSmall { .. } => {
            Stop::Plain("Journal size too small for filesystem.".to_owned())
        }
        ShapeError::NoRoomForJournals { .. } => Stop::Plain(
            "Volume size too small for required configuration.\nIncrease volume size or reduce cluster size"
                .to_owned(),
        ),
        ShapeError::BlockNumbers { blocks } => Stop::Plain(format!(
            "ERROR: jbd can only store block numbers in 32 bits. {device} can hold {blocks} blocks which overflows \
             this limit. If you have a new enough Ocfs2 with JBD2 support, you can try formatting with the \
             \"-Jblock64\" option to turn on support for this size block device.\nOtherwise, consider increasing the \
             block size or decreasing the device size."
        )),
        // The original dies of a division by zero here.
        error => Stop::Said(match error.hint() {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        }),
    }
}

/// Why the volume cannot be laid out: told where the original would have found out, though nothing was written.
pub(super) fn plan_error(line: &Line, shape: &Shape, error: PlanError) -> Stop {
    let (owner, why) = match error {
        PlanError::NoRoom { what: Owner::System, clusters } => {
            (Owner::System, format!("Could not allocate {clusters} bits from global bitmap bitmap"))
        }
        PlanError::NoRoom { what: Owner::Backup, .. } => {
            (Owner::Backup, "No space left on device".to_owned())
        }
        PlanError::NoRoom { what, .. } => (what, "Unable to find available bit".to_owned()),
        PlanError::LargerThanVolume { what, .. } => {
            (what, "Invalid argument passed to OCFS2 library".to_owned())
        }
        PlanError::JournalTooSmall { .. } => {
            (Owner::Journal(0), "Journal must be at least 1024 blocks".to_owned())
        }
        PlanError::JournalPieces { .. } => (Owner::Journal(0), error.to_string()),
        error => (Owner::System, error.to_string()),
    };
    if !line.quiet {
        say(&lines_before(line, shape, owner));
    }
    Stop::Said(match owner {
        Owner::Journal(slot) => format!("{why} while formatting journal \"journal:{slot:04}\""),
        Owner::ExtentAlloc(slot) => format!(
            "{why} while growing the extent allocator for slot {slot} by {} clusters",
            shape.extent_groups * u32::from(shape.suballoc_clusters())
        ),
        Owner::Backup => format!("{why} while backing up superblock."),
        Owner::SlotMap => format!("{why} while formatting the slot map"),
        Owner::Quota => format!("{why} while creating global user quota file"),
        Owner::Index => format!("{why} while indexing root directory"),
        Owner::LostFound => format!("{why} while creating lost+found"),
        _ => why,
    })
}

/// The lines that come before the one in which the original fails.
fn lines_before(line: &Line, shape: &Shape, owner: Owner) -> String {
    let at = match owner {
        Owner::Backup => Step::Backups,
        Owner::Journal(_) => Step::Journals,
        Owner::ExtentAlloc(_) => Step::Allocators,
        Owner::SlotMap => Step::SlotMap,
        Owner::Quota => Step::Quota,
        Owner::Index => Step::Index,
        Owner::LostFound => Step::LostFound,
        _ => Step::Bitmaps,
    };
    let geometry = shape.geometry;
    let backups = ocfs2::Superblock::BACKUP_OFFSETS.iter().filter(|&&at| at < geometry.bytes()).count();
    let backups = format!("{backups} block(s)\n");
    let backups = line.request.backup_supers.then_some(("Writing backup superblock: ", backups.as_str()));
    let head = "done\nInitializing superblock: done\nWriting system files: done\nWriting superblock: done\n";
    let steps = [
        (Step::Bitmaps, Some(("Creating bitmaps: ", head))),
        (Step::Backups, backups),
        (Step::Journals, Some(("Formatting Journals: ", "done\n"))),
        (Step::Allocators, Some(("Growing extent allocator: ", "done\n"))),
        (Step::SlotMap, Some(("Formatting slot map: ", "done\n"))),
        (Step::Quota, Some(("Formatting quota files: ", "done\n"))),
        (Step::Index, None),
        (Step::LostFound, Some(("Writing lost+found: ", "done\n"))),
    ];
    let mut text = String::new();
    for (step, words) in steps.into_iter().take_while(|(step, _)| *step <= at) {
        let Some((begin, end)) = words else { continue };
        text.push_str(begin);
        text.push_str(if step < at { end } else { "" });
    }
    text
}

/// An error of the system as strerror(3) has it.
pub(super) fn system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
