//! `cargo xtask lab …`: the kernel lab by hand.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use lab::{Lab, LabDir, Network, Node};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

#[derive(Subcommand)]
pub(crate) enum LabChore {
    /// Downloads the kernel, builds the initrd, finds out whether KVM works. Nothing when all is there.
    Setup,
    /// The lab's network by hand, in a namespace that stays until `net down`.
    Net {
        /// The namespace's name.
        #[arg(long, default_value = "oxsan-lab")]
        ns: String,
        #[command(subcommand)]
        what: NetChore,
    },
    /// Boots node N, runs a job inside, and ends with the job's status (124: timed out, 137: died before its end).
    Node(NodeArgs),
    /// Boots a node, mounts a volume it made, and reaches a program on the host: whether the lab works here.
    Selftest,
}

#[derive(Subcommand)]
pub(crate) enum NetChore {
    /// Makes namespace, bridge and taps.
    Up,
    /// Removes them and ends what runs there.
    Down,
    /// Runs a command on the host side of the bridge.
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Gives the host side node N's addresses, so that a program can play that node.
    Addr { node: u8 },
    /// Takes them away again.
    Unaddr { node: u8 },
}

#[derive(Args)]
pub(crate) struct NodeArgs {
    /// 0 to 3: its addresses are 10.77.0.1N and 10.77.1.1N.
    number: u8,
    /// The bash script to run inside.
    #[arg(long)]
    job: PathBuf,
    /// A raw image as the next of /dev/vda, vdb, …; `,snapshot` throws writes away, `,ro` refuses them.
    #[arg(long)]
    disk: Vec<String>,
    /// A host directory, /h inside.
    #[arg(long)]
    share: Option<PathBuf>,
    /// A variable for the job, as NAME=VALUE.
    #[arg(long)]
    env: Vec<String>,
    /// Memory in MiB.
    #[arg(long, default_value_t = 512)]
    mem: u32,
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Seconds until it is given up.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// A namespace made by `net up`; without it the node gets one of its own for as long as it runs.
    #[arg(long)]
    ns: Option<String>,
    /// Where to write QEMU's process id: `kill -9` it to crash the node, `kill -STOP` to hang it.
    #[arg(long)]
    pidfile: Option<PathBuf>,
    /// Puts the host's time (epoch seconds) before each console line.
    #[arg(long)]
    stamp: bool,
    /// Further arguments for QEMU.
    #[arg(last = true)]
    qemu: Vec<String>,
}

pub(crate) fn run(chore: LabChore) -> Result<ExitCode> {
    if !lab::is_root() {
        return Err(lab::LabError::NotRoot.into());
    }
    match chore {
        LabChore::Setup => {
            let dir = LabDir::ready()?;
            println!("lab: ready, {} runs under {:?}", dir.kernel().display(), dir.accel());
            Ok(ExitCode::SUCCESS)
        }
        LabChore::Net { ns, what } => net(&ns, what),
        LabChore::Node(args) => node(args),
        LabChore::Selftest => selftest(),
    }
}

fn net(ns: &str, what: NetChore) -> Result<ExitCode> {
    match what {
        NetChore::Up => drop(Network::named(ns)?),
        NetChore::Down => Network::remove(ns),
        NetChore::Addr { node } => Network::named(ns)?.play_node(node, true)?,
        NetChore::Unaddr { node } => Network::named(ns)?.play_node(node, false)?,
        NetChore::Exec { command } => {
            let (program, args) = command.split_first().context("no command")?;
            let status = Network::named(ns)?.command(program).args(args).status()?;
            return Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn node(args: NodeArgs) -> Result<ExitCode> {
    let net = match &args.ns {
        Some(name) => Network::named(name)?,
        None => Network::new()?,
    };
    let lab = Lab::on(LabDir::ready()?, net)?;
    let job =
        std::fs::read_to_string(&args.job).with_context(|| format!("reading {}", args.job.display()))?;
    let mut node = lab.node(args.number).job(job).memory_mib(args.mem).cpus(args.cpus).qemu(args.qemu);
    node = node.timeout(Duration::from_secs(args.timeout));
    for disk in &args.disk {
        node = with_disk(node, disk)?;
    }
    if let Some(share) = args.share {
        node = node.share(share);
    }
    for pair in &args.env {
        let (name, value) = pair.split_once('=').with_context(|| format!("`{pair}` is not NAME=VALUE"))?;
        node = node.env(name, value);
    }
    let mut running = node.start()?;
    if let Some(file) = &args.pidfile {
        std::fs::write(file, running.id().to_string())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    let mut console = Console::open(&running, args.stamp)?;
    let mut left = args.timeout.saturating_mul(50);
    while left > 0 && !running.ended()? {
        console.copy()?;
        pause();
        left -= 1;
    }
    let report = if running.ended()? { running.wait()? } else { running.kill() };
    console.copy()?;
    if left == 0 && report.status == lab::Status::Died {
        eprintln!("lab: node {} timed out after {} s", args.number, args.timeout);
        return Ok(ExitCode::from(lab::Status::TimedOut.code()));
    }
    Ok(ExitCode::from(report.status.code()))
}

fn with_disk<'lab>(node: Node<'lab>, disk: &str) -> Result<Node<'lab>> {
    let mut parts = disk.split(',');
    let file = parts.next().unwrap_or_default();
    anyhow::ensure!(std::path::Path::new(file).exists(), "no disk {file}");
    Ok(match parts.next() {
        None => node.disk(file),
        Some("snapshot") => node.snapshot(file),
        Some("ro") => node.read_only(file),
        Some(other) => bail!("disk option `{other}` is neither `snapshot` nor `ro`"),
    })
}

/// Follows a machine's console to our own standard output.
struct Console {
    file: std::fs::File,
    at: u64,
    stamp: bool,
    line: Vec<u8>,
}

impl Console {
    fn open(running: &lab::Running, stamp: bool) -> Result<Self> {
        Ok(Self { file: std::fs::File::open(running.console_file())?, at: 0, stamp, line: Vec::new() })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a program: it puts the host's time before the guest's lines"
    )]
    fn copy(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut new = Vec::new();
        self.at += u64::try_from(self.file.read_to_end(&mut new)?)?;
        new.retain(|byte| *byte != b'\r');
        let mut out = std::io::stdout().lock();
        if !self.stamp {
            out.write_all(&new)?;
            return Ok(out.flush()?);
        }
        self.line.extend(new);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            write!(out, "{now:.3} ")?;
            out.write_all(&line)?;
        }
        Ok(out.flush()?)
    }
}

#[allow(clippy::disallowed_methods, reason = "a program: it waits for a machine")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn selftest() -> Result<ExitCode> {
    let lab = Lab::new()?;
    let disk = lab.share().join("self.img");
    let job = "set -e; ocfs2_local\n\
               mkfs.ocfs2 -q -x -F -b 4K -C 4K -N 1 -J size=4M -M local /dev/vda </dev/null\n\
               ocfs2_mount /dev/vda /mnt; echo hello > /mnt/f; sync; cat /mnt/f; umount /mnt\n\
               ping -c 1 -W 2 host; say 'the lab works'";
    std::fs::File::create(&disk)?.set_len(64 << 20)?;
    let report = lab.node(0).disk(&disk).job(job).run()?;
    print!("{}", report.console);
    println!("lab: {}", if report.ok() { "works here" } else { "does NOT work here" });
    Ok(ExitCode::from(report.status.code()))
}
