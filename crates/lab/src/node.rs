//! One machine: its settings, its run, and what came of it.

use crate::{Accel, Lab, LabError, NETS, NODES};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How a machine's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The job ended with this exit status.
    Exited(i32),
    /// The machine was still running when its time was over.
    TimedOut,
    /// The machine was killed, or died, before its job ended.
    Died,
}

impl Status {
    /// As an exit status: the job's own, 124 timed out, 137 died.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            Self::TimedOut => 124,
            Self::Died => 137,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// All that the machine wrote on its console; the job's output too.
    pub console: String,
}

impl Report {
    /// Whether the job ended with status 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status == Status::Exited(0)
    }

    /// The report itself when the job ended well.
    ///
    /// # Panics
    /// Otherwise, with the console in the message: for tests.
    #[track_caller]
    #[must_use]
    pub fn expect_ok(self) -> Self {
        assert!(self.ok(), "the job ended with {:?}; its console:\n{}", self.status, self.console);
        self
    }
}

/// A machine that is not running yet.
#[derive(Debug)]
#[must_use = "a node does nothing until `run` or `start`"]
pub struct Node<'lab> {
    lab: &'lab Lab,
    number: u8,
    disks: Vec<Disk>,
    share: PathBuf,
    job: String,
    env: Vec<(String, String)>,
    memory_mib: u32,
    cpus: u32,
    timeout: Duration,
    qemu: Vec<String>,
}

#[derive(Debug)]
struct Disk {
    file: PathBuf,
    snapshot: bool,
    read_only: bool,
}

impl<'lab> Node<'lab> {
    pub(crate) fn new(lab: &'lab Lab, number: u8) -> Self {
        Self {
            lab,
            number,
            disks: Vec::new(),
            share: lab.share().to_owned(),
            job: String::new(),
            env: Vec::new(),
            memory_mib: 512,
            cpus: 1,
            timeout: Duration::from_secs(120),
            qemu: Vec::new(),
        }
    }

    /// A raw image as the next of /dev/vda, vdb, …; the same file may be given to several nodes (a shared disk).
    pub fn disk(self, file: impl Into<PathBuf>) -> Self {
        self.add_disk(file.into(), false, false)
    }

    /// A disk whose writes are thrown away.
    pub fn snapshot(self, file: impl Into<PathBuf>) -> Self {
        self.add_disk(file.into(), true, false)
    }

    /// A disk that refuses writes.
    pub fn read_only(self, file: impl Into<PathBuf>) -> Self {
        self.add_disk(file.into(), false, true)
    }

    /// A host directory other than the lab's share at `/h`.
    pub fn share(mut self, dir: impl Into<PathBuf>) -> Self {
        self.share = dir.into();
        self
    }

    /// The bash script to run as root; what it ends with is the run's status.
    pub fn job(mut self, script: impl Into<String>) -> Self {
        self.job = script.into();
        self
    }

    /// A variable for the job.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Memory; 512 MiB when not said.
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Processors; 1 when not said.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// When [`Self::run`] gives up; 120 s when not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Further arguments for QEMU.
    pub fn qemu(mut self, args: impl IntoIterator<Item = String>) -> Self {
        self.qemu.extend(args);
        self
    }

    /// Boots, runs the job, and waits for its end.
    ///
    /// # Errors
    /// When the machine cannot be started; what its job does is in the report.
    pub fn run(self) -> Result<Report, LabError> {
        self.start()?.wait()
    }

    /// Boots and leaves it running.
    ///
    /// # Errors
    /// When the machine cannot be started.
    pub fn start(self) -> Result<Running, LabError> {
        if self.number >= NODES {
            return Err(LabError::NoSuchNode { node: self.number, last: NODES - 1 });
        }
        let run = self.lab.dir().run();
        let dir = tempfile::Builder::new()
            .prefix(&format!("n{}.", self.number))
            .tempdir_in(&run)
            .map_err(LabError::io("creating in", run))?;
        let inside = dir.path().join("lab");
        fs::create_dir(&inside).map_err(LabError::io("creating", &inside))?;
        let write = |name: &str, text: &str| {
            let path = inside.join(name);
            fs::write(&path, text).map_err(LabError::io("writing", path))
        };
        write("job", &self.job)?;
        let quoted = |value: &str| format!("'{}'", value.replace('\'', r"'\''"));
        let env: String = self.env.iter().map(|(k, v)| format!("export {k}={}\n", quoted(v))).collect();
        write("env", &env)?;
        let console = dir.path().join("console");
        let out = File::create(&console).map_err(LabError::io("creating", &console))?;
        let err = out.try_clone().map_err(LabError::io("opening", &console))?;
        let child = self
            .command(&inside)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(LabError::io("starting", "qemu-system-x86_64"))?;
        Ok(Running { child, end: Instant::now() + self.timeout, dir, console })
    }

    fn add_disk(mut self, file: PathBuf, snapshot: bool, read_only: bool) -> Self {
        self.disks.push(Disk { file, snapshot, read_only });
        self
    }

    fn command(&self, inside: &Path) -> Command {
        let (n, dir) = (self.number, self.lab.dir());
        let mut command = self.lab.host("qemu-system-x86_64");
        let accel = match dir.accel() {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg,thread=multi",
        };
        let (cpus, memory) = (self.cpus.to_string(), self.memory_mib.to_string());
        command
            .args(["-accel", accel, "-smp", &cpus, "-m", &memory])
            .args("-display none -monitor none -serial stdio -no-reboot".split(' '))
            .arg("-kernel")
            .arg(dir.kernel())
            .arg("-initrd")
            .arg(dir.initrd());
        let [net, net2] = NETS;
        command.arg("-append").arg(format!(
            "console=ttyS0 quiet panic=-1 mitigations=off lab.node={n} lab.net={net} lab.net2={net2}"
        ));
        for (tag, path) in [("lab", inside), ("share", self.share.as_path())] {
            command
                .arg("-virtfs")
                .arg(format!("local,path={},mount_tag={tag},security_model=none", path.display()));
        }
        command
            .args(["-netdev", &format!("tap,id=n0,ifname=t{n},script=no,downscript=no")])
            .args(["-device", &format!("virtio-net-pci,netdev=n0,mac=52:54:00:77:00:0{n}")])
            .args(["-device", "virtio-rng-pci"]);
        for (i, disk) in self.disks.iter().enumerate() {
            let cache = if direct_works(&disk.file) { "none" } else { "writeback" };
            let snapshot = if disk.snapshot { ",snapshot=on" } else { "" };
            let read_only = if disk.read_only { ",readonly=on" } else { "" };
            command
                .arg("-drive")
                .arg(format!(
                    "file={},format=raw,if=none,id=d{i},cache={cache},file.locking=off{snapshot}{read_only}",
                    disk.file.display()
                ))
                .args(["-device", &format!("virtio-blk-pci,drive=d{i},share-rw=on,serial=d{i}")]);
        }
        command.args(&self.qemu);
        command
    }
}

/// A machine that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    end: Instant,
    dir: TempDir,
    console: PathBuf,
}

impl Running {
    /// Waits for the job's end, or the machine's, or the end of its time.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn wait(mut self) -> Result<Report, LabError> {
        while Instant::now() < self.end {
            if self.ended()? {
                return Ok(self.report(false));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.crash();
        Ok(self.report(true))
    }

    /// Whether the machine is off.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn ended(&mut self) -> Result<bool, LabError> {
        Ok(self.child.try_wait().map_err(LabError::io("waiting for", "qemu-system-x86_64"))?.is_some())
    }

    /// Pulls the plug: what the machine had not written is gone.
    pub fn kill(mut self) -> Report {
        self.crash();
        self.report(false)
    }

    /// Freezes the machine as it stands (a hung host), until [`Self::resume`].
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets a frozen machine go on.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// QEMU's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The console so far.
    #[must_use]
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).replace('\r', "")
    }

    /// The file that grows with the console.
    #[must_use]
    pub fn console_file(&self) -> &Path {
        &self.console
    }

    /// Waits until `file` is in the share (a job says "ready" by a `touch`); `false` when the time is over, or the
    /// machine off, before.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn wait_for(&mut self, file: &Path, timeout: Duration) -> Result<bool, LabError> {
        let end = Instant::now() + timeout;
        while !file.exists() {
            if Instant::now() > end || self.ended()? {
                return Ok(file.exists());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    fn crash(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn report(&self, timed_out: bool) -> Report {
        let said =
            fs::read_to_string(self.dir.path().join("lab/rc")).ok().and_then(|rc| rc.trim().parse().ok());
        let status = match said {
            Some(code) => Status::Exited(code),
            None if timed_out => Status::TimedOut,
            None => Status::Died,
        };
        Report { status, console: self.console() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Whether the file system below takes O_DIRECT: shared disks want it, and some file systems have none.
fn direct_works(file: &Path) -> bool {
    let flag = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or_default();
    fs::OpenOptions::new().read(true).custom_flags(flag).open(file).is_ok()
}
