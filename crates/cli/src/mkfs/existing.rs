//! What is on the device already, and whether anybody uses it.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use block::{BlockDevice, BlockDeviceExt as _};
use ocfs2::{BlockSize, ClusterInfo, Incompat, Superblock, SystemFile, Volume};
use ocfs2_format::{Access, ProbeError, Refused};

use super::options::Line;
use super::{NAME, Stop, cluster, say};

/// Time between two looks at the heartbeat area, and how many there are: nodes beat every two seconds.
const BEAT: Duration = Duration::from_secs(2);
const LOOKS: u32 = 3;
/// Most bytes of a heartbeat area.
const MAX_AREA: u64 = 1 << 20;

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// No OCFS2 volume.
    Nothing,
    /// A volume of OCFS version 1.
    Ocfs1,
    /// A volume.
    Volume(Box<Superblock>),
}

impl Found {
    /// The cluster that the volume belongs to, where it says.
    pub(super) fn cluster(&self) -> Option<ClusterInfo> {
        match self {
            Self::Volume(superblock) => superblock.cluster,
            _ => None,
        }
    }
}

/// Looks for a superblock.
pub(super) async fn look(device: &dyn BlockDevice) -> Found {
    let geometry = device.geometry();
    let len = geometry.size.min(u64::try_from(Superblock::PROBE_LEN).expect("12 KiB"));
    let len = usize::try_from(len / u64::from(geometry.logical_block) * u64::from(geometry.logical_block));
    let Ok(head) = device.read_at(0, len.expect("12 KiB at most")).await else { return Found::Nothing };
    match Superblock::probe(&head, BlockSize::MIN) {
        Ok(probed) => Found::Volume(Box::new(probed.superblock)),
        Err(ProbeError::Ocfs1) => Found::Ocfs1,
        Err(_) => Found::Nothing,
    }
}

/// Tells of what is there. True: it is to be asked whether that may be overwritten.
pub(super) async fn judge(line: &Line, device: &Arc<dyn BlockDevice>, found: &Found) -> Result<bool, Stop> {
    let superblock = match found {
        Found::Nothing => return Ok(false),
        Found::Ocfs1 => {
            say("Overwriting existing ocfs partition.\n");
            return Ok(false);
        }
        Found::Volume(superblock) => superblock,
    };
    let unknown = match superblock.access() {
        Err(Refused::HeartbeatDevice) => return Ok(false),
        Err(Refused::UnknownIncompat { .. }) => Some("Unsupported feature(s) found"),
        Ok(Access::ReadOnly { .. }) => Some("Unsupported read-only feature(s) found"),
        _ => None,
    };
    if let Some(unknown) = unknown {
        eprintln!("{NAME}: {unknown} while opening device \"{}\"", line.device);
        if !line.force {
            return Err(in_doubt("read the superblock"));
        }
        eprintln!("WARNING: Cluster check disabled.");
        return Ok(true);
    }
    say("Overwriting existing ocfs2 partition.\n");
    if superblock.features.incompat.contains(Incompat::LOCAL_MOUNT) {
        return Ok(true);
    }
    if !line.force {
        // No lock of the cluster can be taken here, so nothing can be known.
        if !cluster::has_service() {
            return Err(Stop::said("Unable to access cluster service while initializing the cluster".into()));
        }
        eprintln!("{NAME}: ocfs2_dlmfs file system was not found while initializing the dlm");
        return Err(in_doubt("initialize the dlm"));
    }
    eprintln!("WARNING: Cluster check disabled.");
    if beats(device).await {
        return Err(Stop::Plain("This volume appears to be in use in the cluster.".into()));
    }
    Ok(true)
}

fn in_doubt(what: &str) -> Stop {
    Stop::Plain(format!(
        "As this is an existing OCFS2 volume, it could be mounted on an another node in the cluster.\n\
         However, as {NAME} is unable to {what}, it cannot detect if the volume is in use or not.\n\
         To skip this check, use --force or -F."
    ))
}

/// Whether a node beats on the volume. A volume that cannot be read has no heartbeat that could be seen.
#[allow(clippy::disallowed_methods, reason = "driver: beats are counted in real time")]
async fn beats(device: &Arc<dyn BlockDevice>) -> bool {
    let Some((at, len)) = heartbeat_area(device).await else { return false };
    let Ok(first) = device.read_at(at, len).await else { return false };
    // A slot that was never written, or given back, is all zeroes: who is there, has written something.
    if first.iter().all(|&byte| byte == 0) {
        // A node that mounts just now writes within one beat.
        tokio::time::sleep(BEAT).await;
        return device.read_at(at, len).await.is_ok_and(|now| now.iter().any(|&byte| byte != 0));
    }
    for _ in 0..LOOKS {
        tokio::time::sleep(BEAT).await;
        if device.read_at(at, len).await.is_ok_and(|now| now[..] != first[..]) {
            return true;
        }
    }
    false
}

/// Where the volume's heartbeat area lies.
async fn heartbeat_area(device: &Arc<dyn BlockDevice>) -> Option<(u64, usize)> {
    let options = ocfs2::OpenOptions { replay: false, ..ocfs2::OpenOptions::default() };
    let volume = Volume::open(Arc::clone(device), options).await.ok()?;
    let inode = volume.inode(volume.system_file(SystemFile::Heartbeat)?).await.ok()?;
    let mut extents = volume.fiemap(&inode, 0, u64::MAX);
    let extent = extents.next().await.ok()??;
    let len = usize::try_from(extent.length.min(MAX_AREA)).ok()?;
    Some((extent.physical, len))
}

/// Refuses a device that this host has mounted, whatever its owner insists on.
pub(super) fn refuse_mounted(device: &str) -> Result<(), Stop> {
    let Ok(own) = std::fs::metadata(device) else { return Ok(()) };
    let same = |other: &str| {
        other == device
            || std::fs::metadata(other).is_ok_and(|meta| {
                let both_block = meta.file_type().is_block_device() && own.file_type().is_block_device();
                both_block && meta.rdev() == own.rdev()
                    || !both_block && (meta.dev(), meta.ino()) == (own.dev(), own.ino())
            })
    };
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let sources = mounts.lines().chain(swaps.lines().skip(1)).filter_map(|line| line.split(' ').next());
    let mounted = sources.filter(|source| source.starts_with('/')).any(|source| same(&unescape(source)));
    if mounted {
        return Err(Stop::Plain(format!("{device} is mounted; will not make a ocfs2 volume here!")));
    }
    if behind_loop(Path::new(device)) { Err(in_use(device)) } else { Ok(()) }
}

/// The refusal of a device that somebody on this host has.
pub(super) fn in_use(device: &str) -> Stop {
    Stop::Plain(format!("{device} is apparently in use by the system; will not make a ocfs2 volume here!"))
}

/// Whether the file is behind a loop device.
fn behind_loop(file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    let Ok(disks) = std::fs::read_dir("/sys/block") else { return false };
    disks.flatten().any(|disk| {
        let backing = std::fs::read_to_string(disk.path().join("loop/backing_file")).unwrap_or_default();
        Path::new(backing.trim_end_matches('\n')) == file
    })
}

/// Blanks, tabs, newlines and backslashes are octal in mount tables.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}
