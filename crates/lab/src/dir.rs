//! The lab's directory: the unpacked kernel, the initrd built for it, and what running machines need.

use crate::{LabError, initrd, tool};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A directory in which a kernel and its initrd lie ready.
#[derive(Clone, Debug)]
pub struct LabDir {
    path: PathBuf,
    accel: Accel,
}

/// How QEMU runs the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The host's virtualisation. Only where a machine was seen to boot under it: some hosts have a `/dev/kvm` that
    /// starts a machine and never gets anywhere.
    Kvm,
    /// Emulation: about 7 s to boot, and all else slower too, but everywhere.
    Tcg,
}

/// Programs of the host without which there is no lab.
const PROGRAMS: &[&str] = &[
    "/usr/bin/qemu-system-x86_64",
    "/bin/busybox",
    "/sbin/ip",
    "/usr/bin/setpriv",
    "/usr/bin/cpio",
    "/sbin/depmod",
    "/sbin/modprobe",
    "/sbin/mkfs.ocfs2",
    "/sbin/iscsid",
    "/sbin/multipathd",
    "/bin/udevadm",
];

impl LabDir {
    /// Where the lab lies: `OXSAN_LAB_DIR`, else `oxsan/lab` in the user's cache directory.
    #[must_use]
    pub fn place() -> PathBuf {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        var("OXSAN_LAB_DIR").unwrap_or_else(|| {
            var("XDG_CACHE_HOME")
                .or_else(|| var("HOME").map(|home| home.join(".cache")))
                .unwrap_or_else(std::env::temp_dir)
                .join("oxsan/lab")
        })
    }

    /// Makes all ready: unpacks Debian's kernel (downloaded once, never installed), builds the initrd, and finds out
    /// whether KVM works. Quick when all is there; several processes may call it at once.
    ///
    /// # Errors
    /// [`LabError::Missing`] without the host's programs, else what failed.
    pub fn ready() -> Result<Self, LabError> {
        let missing: Vec<String> =
            PROGRAMS.iter().filter(|p| !Path::new(p).exists()).map(|p| (*p).to_owned()).collect();
        if !missing.is_empty() {
            return Err(LabError::Missing { programs: missing });
        }
        let path = Self::place();
        let run = path.join("run");
        fs::create_dir_all(&run).map_err(LabError::io("creating", &run))?;
        let lock = path.join("lock");
        let held = File::create(&lock).map_err(LabError::io("creating", &lock))?;
        held.lock().map_err(LabError::io("locking", &lock))?;
        let version = unpack_kernel(&path)?;
        initrd::build(&path, &version)?;
        let mut dir = Self { path, accel: Accel::Tcg };
        dir.accel = dir.find_accel();
        Ok(dir)
    }

    /// The kernel image.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.path.join("vmlinuz")
    }

    /// The initrd: user space of every node.
    #[must_use]
    pub fn initrd(&self) -> PathBuf {
        self.path.join("initrd.img")
    }

    /// Where running machines keep their things.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// How machines are run here.
    #[must_use]
    pub fn accel(&self) -> Accel {
        self.accel
    }

    /// `OXSAN_LAB_ACCEL` when it is set, else what was found out since this host booted.
    fn find_accel(&self) -> Accel {
        match std::env::var("OXSAN_LAB_ACCEL").as_deref() {
            Ok("kvm") => return Accel::Kvm,
            Ok("tcg") => return Accel::Tcg,
            _ => {}
        }
        if !Path::new("/dev/kvm").exists() {
            return Accel::Tcg;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let note = self.path.join("accel");
        let known = fs::read_to_string(&note).unwrap_or_default();
        match known.split_once(' ') {
            Some(("kvm", of)) if of == boot => return Accel::Kvm,
            Some(("tcg", of)) if of == boot => return Accel::Tcg,
            _ => {}
        }
        let works = self.kvm_boots();
        // Not written, it is only found out again.
        let _ = fs::write(&note, format!("{} {boot}", if works { "kvm" } else { "tcg" }));
        if works { Accel::Kvm } else { Accel::Tcg }
    }

    /// Whether a machine gets as far as its first program within ten seconds.
    fn kvm_boots(&self) -> bool {
        let console = self.run().join("probe");
        let Ok(out) = File::create(&console) else { return false };
        let child = Command::new("/usr/bin/qemu-system-x86_64")
            .args("-accel kvm -m 512 -display none -monitor none -serial stdio -no-reboot".split(' '))
            .arg("-kernel")
            .arg(self.kernel())
            .arg("-initrd")
            .arg(self.initrd())
            .args(["-append", "console=ttyS0 quiet panic=-1 lab.probe=1"])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else { return false };
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = child.kill();
        let _ = child.wait();
        fs::read_to_string(&console).is_ok_and(|said| said.contains("lab: alive"))
    }
}

/// Downloads and unpacks the kernel package when there is none; answers with the kernel's version.
fn unpack_kernel(dir: &Path) -> Result<String, LabError> {
    let modules = dir.join("x/lib/modules");
    if !modules.is_dir() {
        let package = kernel_package()?;
        let temp = dir.join("x.tmp");
        let _ = fs::remove_dir_all(&temp);
        fs::create_dir_all(&temp).map_err(LabError::io("creating", &temp))?;
        let download =
            || tool::output(tool::words(&format!("apt-get download -qq {package}")).current_dir(&temp));
        if download().is_err() {
            tool::output(&mut tool::words("apt-get update -qq"))?;
            download()?;
        }
        let deb = last_in(&temp, |name| name.ends_with(".deb"))?;
        let tree = temp.join("x");
        tool::output(tool::words("dpkg-deb -x").arg(&deb).arg(&tree))?;
        fs::rename(&tree, dir.join("x")).map_err(LabError::io("moving", &tree))?;
        let _ = fs::remove_dir_all(&temp);
    }
    let version = last_in(&modules, |_| true)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !modules.join(&version).join("modules.dep").exists() {
        tool::output(tool::words("depmod -b").arg(dir.join("x")).arg(&version))?;
    }
    let link = dir.join("vmlinuz");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(format!("x/boot/vmlinuz-{version}"), &link)
        .map_err(LabError::io("linking", &link))?;
    Ok(version)
}

/// The package behind `linux-image-amd64`.
fn kernel_package() -> Result<String, LabError> {
    let ask = || {
        let text = tool::output(&mut tool::words("apt-cache depends linux-image-amd64")).unwrap_or_default();
        text.lines()
            .find_map(|line| line.trim().strip_prefix("Depends: ").filter(|p| p.starts_with("linux-image-")))
            .map(str::to_owned)
    };
    if let Some(package) = ask() {
        return Ok(package);
    }
    tool::output(&mut tool::words("apt-get update -qq"))?;
    ask().ok_or(LabError::NoKernelPackage)
}

/// The entry of a directory that fits, the last in order of names.
fn last_in(dir: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf, LabError> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(LabError::io("reading", dir))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
        .collect();
    found.sort();
    found.pop().ok_or_else(|| LabError::io("nothing fitting in", dir)(std::io::ErrorKind::NotFound.into()))
}
