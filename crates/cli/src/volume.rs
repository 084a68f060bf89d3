//! Where a volume is: a file, a block device, or a LUN behind iSCSI.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use block::{BlockDevice, FileDevice, OpenOptions};
use clap::Args;
use initiator::{ChapEnv, IscsiDevice, NameSources, SessionOptions, VolumeUrl, find_initiator_name};
use ocfs2::{OpenError, Volume};

use crate::foreign;
use crate::lun_lock::LunLock;

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
#[derive(Args, Clone, Debug)]
pub(crate) struct InitiatorArgs {
    /// The iSCSI name of this host; without it, that of /etc/iscsi/initiatorname.iscsi, or one made once and kept
    #[arg(long, value_name = "IQN")]
    pub(crate) initiator_name: Option<String>,
    /// How long I/O waits for a session that was lost, before it fails; 0: not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 120, help_heading = ISCSI)]
    pub(crate) replacement_timeout: u32,
    /// How long a command may take, before its connection is dropped and it is sent again
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = ISCSI, value_parser = at_least_one())]
    pub(crate) command_timeout: u32,
    /// How long a target may be silent, before it is pinged; 0: it is never pinged
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = ISCSI)]
    pub(crate) ping_interval: u32,
    /// How long a target may take to answer a ping, before its connection is dropped
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = ISCSI, value_parser = at_least_one())]
    pub(crate) ping_timeout: u32,
    /// How long a login may take
    #[arg(long, value_name = "SECONDS", default_value_t = 15, help_heading = ISCSI, value_parser = at_least_one())]
    pub(crate) login_timeout: u32,
}

/// Heading of the options in the help.
const ISCSI: &str = "iSCSI options";

/// A time that cannot be 0.
fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

impl InitiatorArgs {
    /// How sessions of this command behave, under the name of this host.
    pub(crate) fn session_options(&self) -> anyhow::Result<SessionOptions> {
        let name = find_initiator_name(self.initiator_name.as_deref(), &NameSources::system())?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Ok(SessionOptions {
            replacement_timeout: seconds(self.replacement_timeout),
            command_timeout: seconds(self.command_timeout),
            ping_interval: (self.ping_interval > 0).then(|| seconds(self.ping_interval)),
            ping_timeout: seconds(self.ping_timeout),
            login_timeout: seconds(self.login_timeout),
            ..SessionOptions::new(name)
        })
    }

    /// The same as arguments of another run of this program.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if let Some(name) = &self.initiator_name {
            args.extend(["--initiator-name".to_owned(), name.clone()]);
        }
        for (option, seconds) in [
            ("--replacement-timeout", self.replacement_timeout),
            ("--command-timeout", self.command_timeout),
            ("--ping-interval", self.ping_interval),
            ("--ping-timeout", self.ping_timeout),
            ("--login-timeout", self.login_timeout),
        ] {
            args.extend([option.to_owned(), seconds.to_string()]);
        }
        args
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

/// Opens the volume to mount it: nobody else on this host may have it for writing, or, where it is to be written, at
/// all.
pub(crate) async fn open_to_mount(
    args: &VolumeArgs,
    access: Access,
) -> anyhow::Result<(Arc<dyn BlockDevice>, LunLock)> {
    if VolumeUrl::is_url(&args.volume) {
        let device = open(args, access).await?;
        let access = if device.geometry().read_only { Access::Read } else { access };
        let lock = LunLock::take(&VolumeUrl::parse(&args.volume, &ChapEnv::from_process())?, access);
        if lock.is_err() {
            // That says more than how taking leave went.
            let _ = device.close().await;
        }
        return Ok((device, lock?));
    }
    let read_only = access == Access::Read;
    // To claim a block device keeps others from reading it, too.
    let exclusive = !read_only || Path::new(&args.volume).is_file();
    let options = OpenOptions { read_only, exclusive, ..OpenOptions::default() };
    let device = FileDevice::open(&args.volume, options).context("opening the volume")?;
    Ok((Arc::new(device), LunLock::none()))
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

#[cfg(test)]
mod tests {
    use super::VolumeArgs;
    use clap::Parser;
    use std::time::Duration;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: VolumeArgs,
    }

    fn parse(line: &str) -> Result<VolumeArgs, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.args)
    }

    #[test]
    fn times_of_a_session() {
        let name = "--initiator-name iqn.2026-01.test:a";
        let args = parse(&format!("x disk {name}")).unwrap();
        let options = args.initiator.session_options().unwrap();
        let default = super::SessionOptions::new(options.initiator_name.clone());
        assert_eq!(
            format!("{options:?}"),
            format!("{default:?}"),
            "the help tells the library's own defaults"
        );
        let line = format!(
            "x disk {name} --replacement-timeout 0 --command-timeout 7 --ping-interval 0 --ping-timeout 8 \
             --login-timeout 9"
        );
        let args = parse(&line).unwrap();
        let options = args.initiator.session_options().unwrap();
        assert_eq!(options.replacement_timeout, Duration::ZERO);
        assert_eq!(options.command_timeout, Duration::from_secs(7));
        assert_eq!(options.ping_interval, None);
        assert_eq!(options.ping_timeout, Duration::from_secs(8));
        assert_eq!(options.login_timeout, Duration::from_secs(9));
        // What a mount in the background is started with is the same again.
        let again = parse(&format!("x disk {}", args.initiator.to_args().join(" "))).unwrap();
        assert_eq!(format!("{:?}", again.initiator), format!("{:?}", args.initiator));
        for bad in ["--ping-timeout 0", "--login-timeout x", "--command-timeout 0"] {
            assert!(parse(&format!("x disk {bad}")).is_err(), "{bad}");
        }
    }
}
