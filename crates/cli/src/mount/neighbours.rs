//! Whether a volume may be mounted by this host alone.

use std::time::Duration;

use ::mount::{BEAT_SECS, BeatWatch, LOOKS, MountOptions, Neighbours};
use anyhow::{Context as _, bail};
use ocfs2::Volume;

use crate::volume::Access;

/// Refuses a clustered volume unless `nocluster` says that no other node has it mounted, and what can be seen of the
/// others does not prove that wrong. The view of a volume that others change would be a mixture of old and new: torn
/// files, blocks of another file, errors.
pub(super) async fn check(volume: &Volume, options: &MountOptions, access: Access) -> anyhow::Result<()> {
    let neighbours = Neighbours::of(volume).await.context("looking for other nodes")?;
    if matches!(neighbours, Neighbours::Local) {
        return Ok(());
    }
    if !options.nocluster {
        bail!(
            "{} is a clustered volume, and joining its cluster is not built yet: while other nodes write to it, what \
             is read here may be old or torn, and what is written destroys their work (if no other node has it \
             mounted, mount with -o nocluster)",
            volume.device().name()
        );
    }
    match neighbours {
        Neighbours::Beating(watch) => watch_beats(volume, watch).await?,
        Neighbours::Unseen(why) if access == Access::Write => bail!(
            "{}: whether other nodes have the volume mounted cannot be seen: {why} (mount with -o ro,nocluster)",
            volume.device().name()
        ),
        Neighbours::Unseen(why) => {
            eprintln!("oxsan: WARNING: whether other nodes have the volume mounted cannot be seen: {why}");
        }
        _ => {}
    }
    eprintln!("oxsan: WARNING: mounted without its cluster: no other node may mount the volume meanwhile");
    Ok(())
}

/// Looks for beats through three beats' time.
#[allow(clippy::disallowed_methods, reason = "driver: the time between two looks")]
async fn watch_beats(volume: &Volume, mut watch: BeatWatch) -> anyhow::Result<()> {
    watch.look().await?;
    for _ in 0..LOOKS {
        tokio::time::sleep(Duration::from_secs(BEAT_SECS)).await;
        let alive = watch.look().await?;
        if !alive.is_empty() {
            let nodes: Vec<String> = alive.iter().map(ToString::to_string).collect();
            bail!("{} is in use: heartbeat of node {} seen", volume.device().name(), nodes.join(", "));
        }
    }
    Ok(())
}
