//! The lab's network: a namespace with one bridge, on which the host side and every node has an address in each of
//! two networks (two portals of one target, say).
//!
//! | who | first network | second network |
//! |---|---|---|
//! | node N | 10.77.0.1N | 10.77.1.1N |
//! | host side of the bridge | 10.77.0.254 | 10.77.1.254 |

use crate::LabError;
use crate::tool::{output, words};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

/// First three bytes of the addresses of the two networks.
pub const NETS: [&str; 2] = ["10.77.0", "10.77.1"];

/// Nodes 0 to this number less one.
pub const NODES: u8 = 4;

const PREFIX: &str = "oxlab-";

/// A network namespace; removed, with all that still runs in it, when dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    keep: bool,
}

impl Network {
    /// A namespace of this process's own. Namespaces that dead processes left behind are removed first.
    ///
    /// # Errors
    /// When `ip` fails: no root, or a kernel without namespaces.
    pub fn new() -> Result<Self, LabError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let name = format!("{PREFIX}{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let net = Self { name, keep: false };
        net.up()?;
        Ok(net)
    }

    /// The namespace of this name, made when it is not there, and kept: for work by hand over several commands.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn named(name: &str) -> Result<Self, LabError> {
        let net = Self { name: name.to_owned(), keep: true };
        net.up()?;
        Ok(net)
    }

    /// Removes the namespace of this name and ends what runs in it.
    ///
    /// The name goes first, so that nothing can enter any more while the processes inside are looked for. One that
    /// [`Self::command`] started and that is not inside yet fails to enter.
    pub fn remove(name: &str) {
        // Held open, so that no other namespace gets this one's number meanwhile.
        let pin = File::open(Path::new("/run/netns").join(name));
        let _ = output(&mut words(&format!("ip netns del {name}")));
        if let Ok(inode) = pin.as_ref().map_err(drop).and_then(|file| file.metadata().map_err(drop)) {
            kill_all_in(inode.ino());
        }
    }

    /// The namespace's name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside the namespace, and be killed when the thread that starts it ends.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = words(&format!("setpriv --pdeathsig KILL ip netns exec {}", self.name));
        command.arg(program);
        command
    }

    /// Gives the host side node N's addresses too, so that a program can play that node; `false` takes them away.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn play_node(&self, node: u8, yes: bool) -> Result<(), LabError> {
        let verb = if yes { "replace" } else { "del" };
        for net in NETS {
            self.ip(&format!("addr {verb} {net}.1{node}/24 dev br0"))?;
        }
        Ok(())
    }

    /// Takes a host-side address away (a path of the SAN goes down) or brings it back.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn host_address(&self, net: usize, up: bool) -> Result<(), LabError> {
        let verb = if up { "replace" } else { "del" };
        self.ip(&format!("addr {verb} {}.254/24 dev br0", NETS[net]))
    }

    /// Sets a node's cable in or pulls it out.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn cable(&self, node: u8, plugged: bool) -> Result<(), LabError> {
        self.ip(&format!("link set t{node} {}", if plugged { "up" } else { "down" }))
    }

    fn up(&self) -> Result<(), LabError> {
        if !Path::new("/run/netns").join(&self.name).exists() {
            output(&mut words(&format!("ip netns add {}", self.name)))?;
        }
        let quiet = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
        // A kernel without IPv6 has no such key, and nothing to switch off.
        let _ = output(&mut words(&format!("ip netns exec {} {quiet}", self.name)));
        self.ip("link set lo up")?;
        if self.ip("link show br0").is_err() {
            self.ip("link add br0 type bridge")?;
        }
        for net in NETS {
            self.ip(&format!("addr replace {net}.254/24 dev br0"))?;
        }
        self.ip("link set br0 up")?;
        for node in 0..NODES {
            if self.ip(&format!("link show t{node}")).is_err() {
                self.ip(&format!("tuntap add dev t{node} mode tap"))?;
            }
            self.ip(&format!("link set t{node} master br0"))?;
            self.ip(&format!("link set t{node} up"))?;
        }
        Ok(())
    }

    fn ip(&self, what: &str) -> Result<(), LabError> {
        output(&mut words(&format!("ip -n {} {what}", self.name))).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !self.keep {
            Self::remove(&self.name);
        }
    }
}

/// Removes the namespaces whose owner (the number in the name) is gone.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(owner) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{owner}")).exists() {
            Network::remove(&name);
        }
    }
}

/// Kills every process whose network namespace has this number, until there is none.
fn kill_all_in(inode: u64) {
    let inside = PathBuf::from(format!("net:[{inode}]"));
    // Each round can only miss what was forked while it looked.
    for _ in 0..10 {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let pids = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|net| net == inside));
        let mut killed = false;
        for pid in pids.filter_map(rustix::process::Pid::from_raw) {
            killed |= rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
        }
        if !killed {
            return;
        }
    }
}
