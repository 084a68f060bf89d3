//! Volumes that a real kernel wrote, mounted, against what that kernel shows of them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{BlockDevice, FileDevice, OpenOptions};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::manifest::of_tree;
use crate::{Mount, MountSpec, Session, VolumeFs};

/// A mounted volume; gone when dropped.
struct Mounted {
    _mount: Mount,
    _session: Session,
    dir: TempDir,
    _runtime: Runtime,
}

/// Mounts an image; `None`, said in a line, where nothing can be mounted.
fn mount(image: &Path) -> Option<Mounted> {
    if !rustix::process::geteuid().is_root() || !PathBuf::from("/dev/fuse").exists() {
        eprintln!("skipped: mounting needs root and /dev/fuse");
        return None;
    }
    let runtime = Runtime::new().expect("a runtime");
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let device: Arc<dyn BlockDevice> = Arc::new(FileDevice::open(image, options).expect("the image"));
    let volume =
        runtime.block_on(ocfs2::Volume::open(device, ocfs2::OpenOptions::default())).expect("a volume");
    let fs = Arc::new(VolumeFs::new(volume, true));
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
    let spec = MountSpec {
        source: image.display().to_string(),
        subtype: "ocfs2".into(),
        allow_other: true,
        default_permissions: true,
        suid: false,
        dev: false,
        exec: false,
    };
    let (mount, device) = Mount::new(&spec, dir.path()).expect("mounted");
    let config = fs.config();
    let session = Session::start(device, fs, config, runtime.handle().clone()).expect("started");
    mount.raise_read_ahead();
    Some(Mounted { _mount: mount, _session: session, dir, _runtime: runtime })
}

/// Compares everything that a mount can show, file by file.
fn compare(name: &str) {
    let Some(m) = mount(&fixtures::image(name)) else { return };
    let seen = of_tree(m.dir.path());
    let kernel: Vec<Map<String, Value>> = fixtures::manifest(name)
        .iter()
        .map(|line| serde_json::from_str::<Map<String, Value>>(line).expect("JSON"))
        .map(|mut line| {
            line.remove("fiemap");
            line.remove("extents");
            line
        })
        .collect();
    for (ours, theirs) in seen.iter().zip(&kernel) {
        assert_eq!(ours, theirs, "volume {name}");
    }
    assert_eq!(seen.len(), kernel.len(), "volume {name}");
}

macro_rules! compare_with_the_kernel {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            compare($name);
        })*
    };
}

compare_with_the_kernel! {
    volume_g "g"
}
