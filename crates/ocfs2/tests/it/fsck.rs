//! Checks beside `fsck.ocfs2`: one field of a volume's metadata is changed, and both are asked.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use fixtures::Random;
use ocfs2_format::BlockKind;

use crate::check::lines;
use crate::patched::metadata_blocks;
use crate::soak::change;
use crate::support::{block_on, open};

/// What `fsck.ocfs2` says after it has given up the rest of a structure: it loses what it does not follow any further,
/// while we go on behind the damage.
const CASCADES: [&str; 7] = [
    "CLUSTER_ALLOC_BIT",
    "INODE_NOT_CONNECTED",
    "INODE_COUNT",
    "DIR_NOT_CONNECTED",
    "DIR_DOTDOT",
    "LOSTFOUND_MISSING",
    "ROOT_DIR_MISSING",
];

/// The lines of `fsck.ocfs2 -fn` that begin with a code; `None` where there is no such program.
fn theirs(image: &Path) -> Option<BTreeSet<String>> {
    let output = Command::new("timeout").arg("60").args(["fsck.ocfs2", "-fn"]).arg(image).output().ok()?;
    if output.status.code() == Some(127) {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().filter(|line| line.starts_with('[')).map(str::to_owned).collect())
}

fn code(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(code, _)| code)
}

/// The name under which we report what they call `code`: which of several questions they ask of one thing is theirs.
fn family(code: &str) -> &str {
    match code {
        "DUP_CLUSTERS_ADD_REFCOUNT" | "DUP_CLUSTERS_DELETE" | "DUP_CLUSTERS_SYSFILE_CLONE" => {
            "DUP_CLUSTERS_CLONE"
        }
        "EB_GEN_FIX" => "EB_GEN",
        "RB_GEN_FIX" => "RB_GEN",
        "INODE_GEN_FIX" => "INODE_GEN",
        code => code,
    }
}

/// Changes one field in each of `cases` rounds; gives what they found and we did not.
fn beside(name: &str, cases: u64) -> Option<Vec<String>> {
    let image = fixtures::scratch_image(name);
    let file = std::fs::File::options().read(true).write(true).open(&image).expect("an image");
    let before = theirs(&image)?;
    let volume = block_on(async { open(name).await.superblock().volume() });
    let block_size = volume.geometry.block_size.len();
    let blocks = metadata_blocks(&image, block_size);
    let mut differences = Vec::new();
    for seed in 0..cases {
        let mut random = Random::new(seed * 7919 + 1);
        random.below(2);
        let at = blocks[random.below(blocks.len())];
        let mut sound = vec![0; block_size];
        file.read_exact_at(&mut sound, at).expect("within the image");
        let mut block = sound.clone();
        change(&mut block, &mut random);
        if let Some(kind) = BlockKind::of(&sound) {
            kind.seal(&volume, &mut block);
        }
        if block == sound || at == 2 * block_size as u64 {
            continue; // nothing was changed, or the superblock, without which nobody goes on
        }
        file.write_all_at(&block, at).expect("written");
        let theirs = theirs(&image)?;
        let ours = lines(&image, Vec::new());
        file.write_all_at(&sound, at).expect("written");
        let theirs: BTreeSet<&str> = theirs.difference(&before).map(|line| family(code(line))).collect();
        let ours: BTreeSet<&str> = ours.iter().map(|line| family(code(line))).collect();
        let missing: Vec<&&str> = theirs.difference(&ours).collect();
        let first = (0..block_size).find(|at| block[*at] != sound[*at]).unwrap_or(0);
        let kind = BlockKind::of(&sound);
        let cascade = !ours.is_empty() && missing.iter().all(|code| CASCADES.contains(code));
        if !missing.is_empty() && !cascade {
            let line = format!(
                "{name}: seed {seed}: {kind:?} at block {}, byte {first:#x}: {:x?} was {:x?}: theirs {theirs:?}, ours {ours:?}",
                at / block_size as u64,
                &block[first..(first + 8).min(block_size)],
                &sound[first..(first + 8).min(block_size)],
            );
            differences.push(line);
        }
    }
    Some(differences)
}

/// Whatever `fsck.ocfs2` finds, we find, under its name.
#[test]
fn what_fsck_finds_is_found() {
    let cases = u64::from(fixtures::cases(4));
    for name in ["a", "b"] {
        let Some(differences) = beside(name, cases) else {
            println!("skipped: no fsck.ocfs2 here");
            return;
        };
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}
