//! `oxsan discover`: asks a portal for its targets.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use initiator::{ChapEnv, Discovered, PortalAddr};
use iscsi::{Credentials, Secret};
use serde::Serialize;

use crate::runtime::{self, Threads};
use crate::volume::InitiatorArgs;

/// Ask an iSCSI portal for its targets.
///
/// Prints a line "ADDRESS:PORT,GROUP TARGET" for each way to each. A volume's URL is made of both:
/// iscsi://ADDRESS:PORT/TARGET/LUN
#[derive(Args)]
#[command(after_help = "Examples:
  oxsan discover san.example.org
  LIBISCSI_CHAP_USERNAME=me LIBISCSI_CHAP_PASSWORD=secret oxsan discover --json 192.0.2.7:3260")]
pub(crate) struct DiscoverArgs {
    /// The portal; the port is 3260 unless named. CHAP names and secrets come from LIBISCSI_CHAP_USERNAME,
    /// LIBISCSI_CHAP_PASSWORD and their _TARGET_ pair.
    #[arg(value_name = "HOST[:PORT]")]
    portal: String,
    #[command(flatten)]
    initiator: InitiatorArgs,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// One line, for programs.
#[derive(Serialize)]
struct Line<'a> {
    address: &'a str,
    portal_group: &'a str,
    target: &'a str,
}

/// Runs the command on a runtime of its own.
pub(crate) fn run(args: &DiscoverArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime::build(Threads::One)?;
    let found = runtime.block_on(ask(args))?;
    print(&found, args.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &DiscoverArgs) -> anyhow::Result<Vec<Discovered>> {
    let portal: PortalAddr = args.portal.parse().with_context(|| format!("portal `{}`", args.portal))?;
    let env = ChapEnv::from_process();
    let login =
        |name: Option<String>, secret: Option<Secret>| Some(Credentials { name: name?, secret: secret? });
    let chap = login(env.user, env.secret);
    let mutual = chap.as_ref().and_then(|_| login(env.target_user, env.target_secret));
    let options = args.initiator.session_options()?;
    let found = initiator::discover(portal.clone(), chap, mutual, options).await;
    found.with_context(|| format!("asking {portal} for its targets"))
}

fn print(found: &[Discovered], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let lines: Vec<Line<'_>> = found.iter().map(Line::of).collect();
        serde_json::to_writer(&mut out, &lines)?;
        return writeln!(out);
    }
    for Discovered { address, portal_group, target } in found {
        writeln!(out, "{address},{portal_group} {target}")?;
    }
    Ok(())
}

impl<'a> Line<'a> {
    fn of(found: &'a Discovered) -> Self {
        Self { address: &found.address, portal_group: &found.portal_group, target: &found.target }
    }
}
