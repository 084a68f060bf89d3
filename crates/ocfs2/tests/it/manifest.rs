//! Each fixture's manifest must be the kernel's own, line for line.

use futures_util::StreamExt;
use ocfs2::Volume;

use crate::support::{block_on, open};

/// All lines, or the first thing that cannot be read.
async fn lines(volume: &Volume) -> Vec<String> {
    let root = volume.inode(volume.root()).await.expect("the root directory");
    let mut stream = std::pin::pin!(volume.manifest(root));
    let mut lines = Vec::new();
    while let Some(part) = stream.next().await {
        if let Some(error) = part.errors.first() {
            panic!("{error}: {}", error.source);
        }
        let text = String::from_utf8(part.lines).expect("names that are not UTF-8 are in base 64");
        assert!(text.ends_with('\n'), "a newline ends each line");
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

fn same_as_the_kernel(name: &str) {
    let ours = block_on(async { lines(&open(name).await).await });
    let theirs = fixtures::manifest(name);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "volume {name}");
    }
    assert_eq!(ours.len(), theirs.len(), "volume {name}: count of files");
}

macro_rules! manifests {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            same_as_the_kernel($name);
        })*

        #[test]
        fn every_fixture_has_its_test() {
            assert_eq!(fixtures::NAMES.as_slice(), &[$($name),*]);
        }
    };
}

manifests! {
    a: "a",
    b: "b",
    c: "c",
    d: "d",
    e: "e",
    f: "f",
    g: "g",
    dirty: "dirty",
    dirty_slot1: "dirty-slot1",
    dirty_ecc: "dirty-ecc",
    dirty_orphan: "dirty-orphan",
    dirty_orphan_slot1: "dirty-orphan-slot1",
}
