//! Where a volume is: a file, a block device, or a LUN behind iSCSI.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use block::{BlockDevice, FileDevice, OpenOptions};
use clap::Args;
use initiator::{ChapEnv, IscsiDevice, NameSources, SessionOptions, VolumeUrl, find_initiator_name};
use ocfs2::{OpenError, Volume};

use crate::foreign;

/// The volume of a command, and how to reach it.
#[derive(Args, Clone, Debug)]
pub(crate) struct VolumeArgs {
    /// The volume's name as typed, see `initiator::VolumeUrl`.
    #[arg(
        value_name = "VOLUME",
        help = "A file, a block device, or iscsi://[user%secret@]host[:port][,host2[:port]…]/target-name/lun"
    )]
    pub(crate) volume: String,
    #[command(flatten)]
    pub(crate) initiator: InitiatorArgs,
}

/// Who this host is to a target.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct InitiatorArgs {
    /// The iSCSI name of this host; without it, that of /etc/iscsi/initiatorname.iscsi, or one made once and kept
    #[arg(long, value_name = "IQN")]
    pub(crate) initiator_name: Option<String>,
}

impl InitiatorArgs {
    /// How sessions of this command behave, under the name of this host.
    pub(crate) fn session_options(&self) -> anyhow::Result<SessionOptions> {
        let name = find_initiator_name(self.initiator_name.as_deref(), &NameSources::system())?;
        Ok(SessionOptions::new(name))
    }
}

/// What a command is going to do with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only read it.
    Read,
    /// Write it too.
    Write,
}

/// Opens the filesystem on a device. Where there is none, the error says what is there.
pub(crate) async fn open_filesystem(
    device: &Arc<dyn BlockDevice>,
    options: ocfs2::OpenOptions,
) -> anyhow::Result<Volume> {
    match Volume::open(Arc::clone(device), options).await {
        Err(error @ OpenError::NoSuperblock { .. }) => match foreign::look(&**device).await {
            Some(foreign) => Err(foreign.into()),
            None => Err(error.into()),
        },
        result => Ok(result?),
    }
}

/// Opens the volume. For a LUN this connects, logs in and looks at it; call [`BlockDevice::close`] at the end.
pub(crate) async fn open(args: &VolumeArgs, access: Access) -> anyhow::Result<Arc<dyn BlockDevice>> {
    let read_only = access == Access::Read;
    if VolumeUrl::is_url(&args.volume) {
        let url = VolumeUrl::parse(&args.volume, &ChapEnv::from_process())?;
        let options = SessionOptions { read_only, ..args.initiator.session_options()? };
        let device = IscsiDevice::open(&url, options).await;
        return Ok(Arc::new(device.with_context(|| url.to_string())?));
    }
    if let Some((scheme, _)) = args.volume.split_once("://")
        && !Path::new(&args.volume).exists()
    {
        bail!(
            "`{scheme}://` is not known here: a volume is a file, a block device, or iscsi://host/target/lun"
        );
    }
    let options = OpenOptions { read_only, ..OpenOptions::default() };
    let device = FileDevice::open(&args.volume, options).context("opening the volume")?;
    Ok(Arc::new(device))
}
