//! Builds the nodes' user space out of the host's own programs: an initrd with bash, coreutils, busybox for the
//! rest, ocfs2-tools, open-iscsi, multipath-tools, udev, and the modules they want.

use crate::{LabError, tool};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INIT: &str = include_str!("../guest/init");
const LAB_SH: &str = include_str!("../guest/lab.sh");

/// Programs and libraries copied with the libraries they link to. One that the host lacks is left out: a job that
/// wants it says so itself.
const FILES: &[&str] = &[
    "/bin/bash /bin/cp /bin/dd /bin/ls /bin/stat /bin/mount /bin/umount /bin/mv /bin/rm /bin/ln /bin/sync /bin/touch",
    "/bin/date /bin/lsblk /bin/mountpoint /bin/udevadm /bin/cat /bin/df /bin/mkdir",
    "/sbin/modprobe /sbin/insmod /sbin/lsmod /sbin/rmmod /sbin/depmod",
    "/sbin/mkfs.ocfs2 /sbin/fsck.ocfs2 /sbin/debugfs.ocfs2 /sbin/tunefs.ocfs2 /sbin/mount.ocfs2 /sbin/mounted.ocfs2",
    "/sbin/o2cb /sbin/o2cb_ctl /sbin/ocfs2_hb_ctl /sbin/o2image /sbin/o2cluster /sbin/defragfs.ocfs2 /usr/bin/o2info",
    "/usr/bin/setsid /usr/bin/timeout /usr/bin/stdbuf /usr/bin/truncate /usr/bin/sha256sum /usr/bin/cmp",
    "/usr/bin/chattr /usr/bin/lsattr /usr/bin/fallocate /usr/bin/flock /usr/sbin/filefrag",
    "/usr/bin/setfattr /usr/bin/getfattr /usr/bin/setfacl /usr/bin/getfacl /usr/bin/fusermount3",
    "/sbin/quotaon /sbin/quotaoff /sbin/quotacheck /sbin/repquota /sbin/setquota /sbin/quotastats /usr/bin/quota",
    "/sbin/iscsid /sbin/iscsiadm /sbin/multipath /sbin/multipathd /sbin/kpartx /sbin/dmsetup /sbin/blkid",
    "/sbin/blockdev /sbin/losetup /sbin/blkdiscard /lib/udev/scsi_id",
    "/usr/bin/sg_inq /usr/bin/sg_persist /usr/bin/sg_rtpg /usr/bin/sg_vpd /usr/bin/sg_unmap /usr/bin/sg_readcap",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
];

const MODULES: &[&str] = &[
    "virtio_pci virtio_blk virtio_net virtio_console virtio_rng virtio_scsi 9pnet_virtio 9p fuse loop ext4",
    "ocfs2 ocfs2_stack_o2cb ocfs2_stack_user ocfs2_dlmfs dlm configfs quota_v1 quota_v2",
    "iscsi_tcp sd_mod sg scsi_transport_iscsi scsi_dh_alua scsi_debug",
    "dm_mod dm_multipath dm_round_robin dm_service_time dm_queue_length dm_delay dm_flakey",
    "target_core_mod target_core_file target_core_iblock target_core_pscsi iscsi_target_mod tcm_loop",
    "crc32c_generic crc32c_intel softdog",
];

const UDEV_RULES: &[&str] = &[
    "50-udev-default 55-dm 56-dm-mpath 56-dm-parts 60-block 60-persistent-storage 60-persistent-storage-dm",
    "60-multipath 95-dm-notify",
];

/// Builds `initrd.img` in the lab's directory unless it already is what would be built.
pub(crate) fn build(dir: &Path, version: &str) -> Result<(), LabError> {
    let image = dir.join("initrd.img");
    let stamp_file = dir.join("initrd.stamp");
    let stamp = stamp(version);
    if image.exists() && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(());
    }
    let tree = Tree { root: dir.join("ir") };
    let _ = fs::remove_dir_all(&tree.root);
    tree.skeleton()?;
    for file in listed(FILES).chain(plugins()) {
        tree.put(&file)?;
    }
    tree.link("bash", "bin/sh")?;
    tree.link("/bin/udevadm", "lib/systemd-udevd")?;
    for rule in listed(UDEV_RULES) {
        let rule = format!("/lib/udev/rules.d/{}.rules", rule.display());
        tree.copy(Path::new(&rule), Path::new(&rule))?;
    }
    tree.copy(Path::new("/etc/iscsi/iscsid.conf"), Path::new("/etc/iscsi/iscsid.conf"))?;
    tree.modules(&dir.join("x"), version)?;
    tree.pack(&image)?;
    fs::remove_dir_all(&tree.root).map_err(LabError::io("removing", &tree.root))?;
    fs::write(&stamp_file, stamp).map_err(LabError::io("writing", &stamp_file))
}

/// What the initrd is made of, in one number: our own files, the lists, and the age of the host's programs.
fn stamp(version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (INIT, LAB_SH, FILES, MODULES, UDEV_RULES, version).hash(&mut hasher);
    for file in listed(FILES) {
        if let Ok(meta) = fs::metadata(&file) {
            (meta.len(), meta.mtime()).hash(&mut hasher);
        }
    }
    format!("{:016x} {version}\n", hasher.finish())
}

fn listed(lists: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    lists.iter().flat_map(|line| line.split(' ')).map(PathBuf::from)
}

/// multipath's checkers and path selectors are loaded by name, so nothing links to them.
fn plugins() -> impl Iterator<Item = PathBuf> {
    fs::read_dir("/lib/multipath").into_iter().flatten().flatten().map(|entry| entry.path())
}

struct Tree {
    root: PathBuf,
}

impl Tree {
    fn skeleton(&self) -> Result<(), LabError> {
        for dir in "bin sbin lib lib64".split(' ') {
            self.dir(&format!("usr/{dir}"))?;
            self.link(&format!("usr/{dir}"), dir)?;
        }
        for dir in
            "proc sys dev mnt etc/iscsi etc/ocfs2 dlm tmp root run h lab var/lock var/run lib/udev/rules.d"
                .split(' ')
        {
            self.dir(dir)?;
        }
        self.put(Path::new("/bin/busybox"))?;
        // busybox answers to each of its applets' names; bash is the shell, because busybox's would run its own
        // applets in place of the GNU tools that are put over them.
        for applet in tool::output(&mut tool::words("/bin/busybox --list"))?.lines() {
            if !self.root.join("bin").join(applet).exists() {
                self.link("busybox", &format!("bin/{applet}"))?;
            }
        }
        let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
        let mut group = "root:x:0:\ndisk:x:6:\ntape:x:26:\ncdrom:x:24:\nkmem:x:15:\ntty:x:5:\n".to_owned();
        for n in 1..=4 {
            passwd += &format!("user{n}:x:100{n}:100{n}::/:/bin/sh\n");
            group += &format!("user{n}:x:100{n}:\n");
        }
        self.file("etc/passwd", &passwd, 0o644)?;
        self.file("etc/group", &group, 0o644)?;
        self.file("init", INIT, 0o755)?;
        self.file("lib/lab.sh", LAB_SH, 0o644)
    }

    /// A program, and every library it links to.
    fn put(&self, file: &Path) -> Result<(), LabError> {
        if !self.copy(file, file)? {
            return Ok(());
        }
        // ldd fails on what is not dynamic: there is nothing more to copy then.
        let libraries = tool::output(tool::words("ldd").arg(file)).unwrap_or_default();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let library = Path::new(library);
            if !self.inside(library).exists() {
                self.copy(library, library)?;
            }
        }
        Ok(())
    }

    /// Copies a file of the host; `false` when the host has none.
    fn copy(&self, from: &Path, to: &Path) -> Result<bool, LabError> {
        if !from.exists() {
            return Ok(false);
        }
        let to = self.inside(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(LabError::io("creating", parent))?;
        }
        let _ = fs::remove_file(&to);
        fs::copy(from, &to).map_err(LabError::io("copying", from))?;
        Ok(true)
    }

    /// The modules and all they depend on, with the lists by which modprobe finds them.
    fn modules(&self, kernel: &Path, version: &str) -> Result<(), LabError> {
        let mut files = BTreeSet::new();
        for module in listed(MODULES) {
            let ask = tool::output(
                tool::words("modprobe --show-depends -S").arg(version).arg("-d").arg(kernel).arg(&module),
            );
            // A module that is built in, or that this kernel lacks, has no file.
            files.extend(
                ask.unwrap_or_default().split_whitespace().filter(|w| w.ends_with(".ko")).map(PathBuf::from),
            );
        }
        let lists = ["modules.builtin", "modules.order", "modules.builtin.modinfo"];
        files.extend(lists.iter().map(|list| kernel.join("lib/modules").join(version).join(list)));
        for file in files {
            self.copy(&file, file.strip_prefix(kernel).unwrap_or(&file))?;
        }
        tool::output(tool::words("depmod -b").arg(&self.root).arg(version)).map(drop)
    }

    /// Packs the tree as the kernel unpacks it (cpio, "newc").
    fn pack(&self, image: &Path) -> Result<(), LabError> {
        let names = tool::output(Command::new("find").arg(".").current_dir(&self.root))?;
        let temp = image.with_extension("tmp");
        let out = File::create(&temp).map_err(LabError::io("creating", &temp))?;
        let mut cpio = Command::new("cpio")
            .args(["-o", "-H", "newc", "--quiet"])
            .current_dir(&self.root)
            .stdin(Stdio::piped())
            .stdout(out)
            .spawn()
            .map_err(LabError::io("starting", "cpio"))?;
        if let Some(mut pipe) = cpio.stdin.take() {
            pipe.write_all(names.as_bytes()).map_err(LabError::io("writing to", "cpio"))?;
        }
        let status = cpio.wait().map_err(LabError::io("waiting for", "cpio"))?;
        if !status.success() {
            let status = status.to_string();
            return Err(LabError::Program { program: "cpio".into(), status, stderr: "see above".into() });
        }
        fs::rename(&temp, image).map_err(LabError::io("moving", &temp))
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> Result<(), LabError> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(LabError::io("writing", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(LabError::io("changing", &path))
    }

    fn dir(&self, name: &str) -> Result<(), LabError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(LabError::io("creating", &path))
    }

    fn link(&self, target: &str, name: &str) -> Result<(), LabError> {
        let path = self.root.join(name);
        let _ = fs::remove_file(&path);
        symlink(target, &path).map_err(LabError::io("linking", &path))
    }

    /// The place of a path of the host inside the tree. The host may have merged /bin into /usr/bin or not; the
    /// tree's own links make both names one.
    fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
