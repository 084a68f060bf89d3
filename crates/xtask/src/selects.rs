//! Whether every `select!` says `biased;`: without it tokio begins at a random branch, and a run cannot be repeated.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Checks every source file under `crates/`.
pub(crate) fn check() -> Result<()> {
    let mut wrong = Vec::new();
    let count = check_dir(Path::new("crates"), &mut wrong)?;
    if !wrong.is_empty() {
        bail!("select! without `biased;` at its head:\n  {}", wrong.join("\n  "));
    }
    println!("select: {count} of them, all biased");
    Ok(())
}

/// How many there are below `dir`; those that are not biased are added to `wrong`.
fn check_dir(dir: &Path, wrong: &mut Vec<String>) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            count += check_dir(&path, wrong)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let (all, unbiased) = selects(&text);
            count += all;
            wrong.extend(unbiased.iter().map(|line| format!("{}:{line}", path.display())));
        }
    }
    Ok(count)
}

/// How many a source has, and the lines of those that are not biased. Comments and strings are passed over.
fn selects(text: &str) -> (usize, Vec<usize>) {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let lines: Vec<String> = text.lines().map(code).collect();
    let (mut count, mut unbiased) = (0, Vec::new());
    for (number, line) in lines.iter().enumerate() {
        let Some((before, rest)) = line.split_once("select!") else { continue };
        if before.contains('"') {
            continue;
        }
        count += 1;
        let head: String =
            rest.chars().chain(lines[number + 1..].iter().flat_map(|line| line.chars())).take(400).collect();
        if !head.trim_start().trim_start_matches(['{', '(']).trim_start().starts_with("biased;") {
            unbiased.push(number + 1);
        }
    }
    (count, unbiased)
}

#[cfg(test)]
mod tests {
    use super::selects;

    #[test]
    fn one_without_biased_is_found_by_its_line() {
        let text = "tokio::select! {\n    // why\n    biased;\n}\n// select! in a comment\n\"select!\"\nselect! {\n    a = b => {}\n}\n";
        assert_eq!(selects(text), (2, vec![7]));
    }
}
