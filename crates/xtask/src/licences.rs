//! Whether every dependency's licence lets us ship under MIT OR Apache-2.0.

use crate::metadata;
use anyhow::{Result, bail};

/// Licences that ask for no more than notice (SPDX names).
const FITTING: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "BSL-1.0",
    "MIT-0",
    "Unicode-3.0",
];

/// Checks each package of the lock file.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata::load()?;
    let mut wrong = Vec::new();
    let mut count = 0usize;
    for package in metadata::packages(&metadata) {
        count += 1;
        let licence = package["license"].as_str().unwrap_or("");
        if !fits(licence) {
            let (name, version) = (package["name"].as_str(), package["version"].as_str());
            wrong.push(format!("{} {}: `{licence}`", name.unwrap_or("?"), version.unwrap_or("?")));
        }
    }
    if !wrong.is_empty() {
        bail!("licences that do not fit MIT OR Apache-2.0:\n  {}", wrong.join("\n  "));
    }
    println!("licences: {count} packages, all fit MIT OR Apache-2.0");
    Ok(())
}

/// An SPDX expression fits when every AND part has an OR part that fits. Parentheses bind as they do in SPDX for the
/// one shape in use, `(A OR B) AND C`; the old `A/B` means OR.
fn fits(expression: &str) -> bool {
    let plain = expression.replace('/', " OR ").replace(['(', ')'], "");
    let and_first = expression.contains('(') || !plain.contains(" OR ");
    let one = |licence: &str| FITTING.contains(&licence.trim());
    if and_first {
        plain.split(" AND ").all(|part| part.split(" OR ").any(one))
    } else {
        plain.split(" OR ").any(|part| part.split(" AND ").all(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for fine in ["MIT", "MIT/Apache-2.0", "GPL-2.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(fits(fine), "{fine}");
        }
        for wrong in ["", "GPL-2.0", "MIT AND GPL-2.0", "(MIT OR Apache-2.0) AND LGPL-2.1"] {
            assert!(!fits(wrong), "{wrong}");
        }
    }
}
