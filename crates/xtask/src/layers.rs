//! The layering: which crate may use which. Formats and engines know no I/O, drivers no policy, programs are thin;
//! an edge that is not in this table fails the build.

use crate::metadata;
use anyhow::{Result, bail};

/// A crate and what it may depend on. A crate that stands in no row is an error too.
const TABLE: &[(&str, &[&str])] = &[
    ("block", &[]),
    ("scsi", &[]),
    ("iscsi", &["scsi"]),
    ("initiator", &["iscsi", "scsi", "block"]),
    ("target", &["iscsi", "scsi", "block"]),
    ("ocfs2-format", &[]),
    ("jbd2", &["block"]),
    ("ocfs2", &["ocfs2-format", "jbd2", "block"]),
    ("mount", &["ocfs2", "block"]),
    ("cli", &["block", "scsi", "iscsi", "initiator", "target", "ocfs2-format", "jbd2", "ocfs2", "mount"]),
];

/// Beside the stack: may use anything, and nothing but each other may use them.
const BESIDE: &[&str] = &["lab", "bench", "xtask", "fixtures", "fuzzing"];

/// Test data that any crate's tests may use.
const TEST_ONLY: &str = "fixtures";

/// Checks every edge between crates of the workspace against the table.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata::load()?;
    let members = metadata::members(&metadata);
    let names: Vec<&str> = members.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in &members {
        let Some(name) = package["name"].as_str() else { continue };
        if !BESIDE.contains(&name) && row(name).is_none() {
            wrong.push(format!("{name} stands in no row of the layering table"));
        }
        for dep in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = dep["name"].as_str().filter(|to| names.contains(to)) else { continue };
            let dev = dep["kind"].as_str() == Some("dev");
            if !allowed(name, to, dev) {
                let kind = if dev { " (in its tests)" } else { "" };
                wrong.push(format!("{name} depends on {to}{kind}, which is not below it"));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("layering:\n  {}", wrong.join("\n  "));
    }
    println!("layering: {} crates, every edge in the table", names.len());
    Ok(())
}

/// Tests may stand on their neighbours (an initiator is tried against a target), but never on what is beside.
fn allowed(from: &str, to: &str, dev: bool) -> bool {
    if BESIDE.contains(&from) {
        return true;
    }
    if dev {
        return to == TEST_ONLY || !BESIDE.contains(&to);
    }
    row(from).is_some_and(|below| below.contains(&to))
}

fn row(name: &str) -> Option<&'static [&'static str]> {
    TABLE.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, below)| *below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_upwards_is_refused_and_one_downwards_is_not() {
        assert!(allowed("iscsi", "scsi", false));
        assert!(!allowed("scsi", "iscsi", false));
        assert!(!allowed("ocfs2", "initiator", false));
        assert!(!allowed("block", "lab", true));
        assert!(allowed("initiator", "target", true));
        assert!(!allowed("ocfs2", "fixtures", false));
        assert!(allowed("ocfs2", "fixtures", true));
    }
}
