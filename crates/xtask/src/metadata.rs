//! What `cargo metadata` knows, as far as the chores need it.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The parsed output of `cargo metadata`, dependencies included.
pub(crate) fn load() -> Result<Value> {
    let out = Command::new(cargo())
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("running cargo metadata")?;
    anyhow::ensure!(out.status.success(), "cargo metadata failed");
    serde_json::from_slice(&out.stdout).context("reading cargo metadata")
}

/// The cargo that runs us, so that one toolchain builds all.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Where this build puts its files: `CARGO_TARGET_DIR` or the workspace's `target`.
pub(crate) fn target_dir(metadata: &Value) -> Result<PathBuf> {
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target directory")
}

/// The packages of the workspace itself, by name.
pub(crate) fn members(metadata: &Value) -> Vec<&Value> {
    let ids: Vec<&Value> = metadata["workspace_members"].as_array().into_iter().flatten().collect();
    packages(metadata).filter(|p| ids.contains(&&p["id"])).collect()
}

/// Every package of the lock file that this workspace builds from.
pub(crate) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}
