//! `oxsan target serve`: its arguments, and the program itself.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{ChapConfig, ConfigError, LunConfig, ServeConfig, parse_portal};
use crate::target::Target;

/// Serve files and block devices as LUNs of an iSCSI target.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Name of the target.
    #[arg(long, value_name = "IQN")]
    pub iqn: Option<String>,
    /// Where to listen: ADDRESS:PORT; may be given several times. [default: 127.0.0.1:3260]
    #[arg(long = "portal", value_name = "ADDRESS:PORT", value_parser = parse_portal)]
    pub portals: Vec<SocketAddr>,
    /// What to serve.
    #[arg(
        long = "lun",
        value_name = "FILE[,OPTION]...",
        value_parser = LunConfig::parse,
        help = "What to serve: FILE[,ro][,size=100G][,bs=4096][,serial=TEXT][,lun=N]; may be given several times"
    )]
    pub luns: Vec<LunConfig>,
    /// Let in who knows this CHAP secret, and nobody else: NAME:FILE, or NAME%SECRET (which other users of this
    /// machine can see); may be given several times. Discovery asks for no secret: it tells the target's name and
    /// portals, nothing of its disks.
    #[arg(long, value_name = "NAME:FILE", value_parser = ChapConfig::parse)]
    pub chap: Vec<ChapConfig>,
    /// Prove the target to initiators with this CHAP name and secret (mutual CHAP).
    #[arg(long, value_name = "NAME:FILE", value_parser = ChapConfig::parse)]
    pub chap_mutual: Option<ChapConfig>,
    /// Let in this initiator, and no others that are not named; may be given several times. Others find no target by
    /// discovery either. Anybody can claim a name: use --chap where that matters.
    #[arg(long, value_name = "IQN", num_args = 1..)]
    pub allow: Vec<String>,
    /// Let portals that other machines can reach be open to everybody.
    #[arg(long)]
    pub insecure: bool,
    /// Read more of the above from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ServeArgs {
    /// What the arguments and the file say.
    ///
    /// # Errors
    /// [`ConfigError`], of the file.
    pub fn config(self) -> Result<ServeConfig, ConfigError> {
        let line = ServeConfig {
            iqn: self.iqn,
            alias: None,
            portals: self.portals,
            luns: self.luns,
            allow: self.allow,
            chap: self.chap,
            mutual: self.chap_mutual,
            insecure: self.insecure,
        };
        match &self.config {
            Some(path) => Ok(line.over(ServeConfig::load(path)?)),
            None => Ok(line),
        }
    }
}

/// Serves until SIGINT or SIGTERM, after which sessions end, disks are flushed, and this returns.
///
/// Prints what is served to standard output, one thing a line, with `ready` as the last.
///
/// # Errors
/// [`ConfigError`]; nothing was served then.
pub async fn serve(args: ServeArgs) -> Result<(), ConfigError> {
    let target = args.config()?.build()?.serve().await?;
    print(&target);
    wait_for_signal().await;
    target.stop().await;
    Ok(())
}

/// Says what is served. Who reads it may be gone, which is no reason to stop.
fn print(target: &Target) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "target {}", target.iqn());
    for portal in target.portals() {
        let _ = writeln!(out, "portal {portal}");
    }
    for unit in target.units() {
        let wwid = unit.identity.wwid();
        let ro = if unit.read_only { ", read-only" } else { "" };
        let _ = writeln!(
            out,
            "lun {} {}: {} blocks of {} bytes{ro}, wwid {wwid}",
            unit.lun, unit.device, unit.blocks, unit.block_size,
        );
    }
    let _ = writeln!(out, "ready");
    let _ = out.flush();
}

async fn wait_for_signal() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
