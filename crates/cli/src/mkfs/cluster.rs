//! Which cluster the volume belongs to: the one asked for, the one that runs here, the one written on the device.

use std::path::Path;

use ocfs2::{ClusterInfo, Incompat};

use super::existing::Found;
use super::options::Line;
use super::{NAME, Stop, say};

/// A cluster in comparable form.
fn text(cluster: &ClusterInfo) -> String {
    let (stack, name) = (cluster.stack(), cluster.name());
    let (stack, name) = (String::from_utf8_lossy(stack), String::from_utf8_lossy(name));
    format!("{stack},{name},{}", u8::from(cluster.global_heartbeat))
}

/// Chooses the cluster, tells it, and gives it back where it is to be written down.
pub(super) fn choose(line: &Line, found: &Found) -> Result<Option<ClusterInfo>, Stop> {
    let active = running(Path::new("/sys"));
    let disk = found.cluster();
    let asked = line.request.cluster;
    for (other, what) in [(&disk, "On disk"), (&asked, "User requested")] {
        let (Some(active), Some(other)) = (&active, other) else { continue };
        let (active, other) = (text(active), text(other));
        if active == other {
            continue;
        }
        eprintln!(
            "{what} cluster ({other}) does not match the active cluster ({active}).\n{NAME} will not be able to \
             determine if this operation can be done safely."
        );
        if !line.force {
            return Err(Stop::Plain("To skip this check, use --force or -F".into()));
        }
        say("Format is forced.\n");
    }
    let wanted = line.request.features.incompat.intersects(Incompat::CLUSTERINFO | Incompat::USERSPACE_STACK);
    let chosen = asked.or(active).or(disk);
    if chosen.is_none() && wanted {
        return Err(Stop::Plain(
            "The clusterinfo or userspace stack features cannot be enabled. Please rerun with the cluster stack \
             details or after starting the cluster stack."
                .into(),
        ));
    }
    // The classic stack is not written down unless somebody asks for it.
    let classic = |cluster: &ClusterInfo| cluster.stack() == b"o2cb" && !wanted && !cluster.global_heartbeat;
    let chosen = chosen.filter(|cluster| asked.is_some() || !classic(cluster));
    say(&match &chosen {
        None => "Cluster stack: classic o2cb\n".to_owned(),
        Some(cluster) => format!(
            "Cluster stack: {}\nCluster name: {}\nStack Flags: {:#x}\nNOTE: Feature extended slot map may be enabled\n",
            String::from_utf8_lossy(cluster.stack()),
            String::from_utf8_lossy(cluster.name()),
            u8::from(cluster.global_heartbeat)
        ),
    });
    Ok(chosen)
}

/// The kernel's cluster on this host, if one runs: its stack, and the name that configfs has.
fn running(sys: &Path) -> Option<ClusterInfo> {
    let stack = std::fs::read_to_string(sys.join("fs/ocfs2/cluster_stack")).ok()?;
    let clusters = sys.join("kernel/config/cluster");
    let cluster = std::fs::read_dir(&clusters).ok()?.find_map(Result::ok)?.path();
    let mode = std::fs::read_to_string(cluster.join("heartbeat/mode")).unwrap_or_default();
    let name = cluster.file_name()?.as_encoded_bytes();
    ClusterInfo::new(stack.trim().as_bytes(), name, mode.trim() == "global")
}

/// Whether the kernel's cluster service is here.
pub(super) fn has_service() -> bool {
    ["/sys/fs/o2cb/interface_revision", "/sys/o2cb/interface_revision"]
        .iter()
        .any(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_cluster_is_found_in_sysfs() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(running(sys.path()), None);
        let write = |path: &str, text: &str| {
            let path = sys.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("fs/ocfs2/cluster_stack", "o2cb\n");
        write("kernel/config/cluster/prd/heartbeat/mode", "global\n");
        assert_eq!(running(sys.path()).map(|cluster| text(&cluster)).as_deref(), Some("o2cb,prd,1"));
    }
}
