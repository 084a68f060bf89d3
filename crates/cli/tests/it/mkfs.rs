//! `oxsan mkfs` under its other name, beside what `mkfs.ocfs2` 1.8.7 printed for the same command lines.
//!
//! `tests/golden/mkfs` holds a file a command: the line, its exit status, what was typed, what it printed. `steps` there
//! says in which order they were run, and on what volume. Two of the original's runs are left out: one that died of a
//! division by zero, and one of another tool.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the original did.
struct Record {
    command: String,
    status: i32,
    typed: Vec<u8>,
    out: String,
    err: String,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mkfs")
}

impl Record {
    /// Reads `$ COMMAND`, `--- exit STATUS`, and sections `--- NAME BYTES` with so many bytes after each.
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(golden().join(format!("{name}.txt"))).expect("a record");
        let (line, mut rest) = line_of(&bytes);
        let command = line.strip_prefix("$ ").expect("a command").to_owned();
        let mut record =
            Self { command, status: 0, typed: Vec::new(), out: String::new(), err: String::new() };
        while !rest.is_empty() {
            let (line, after) = line_of(rest);
            rest = after;
            let Some((what, number)) = line.strip_prefix("--- ").and_then(|line| line.split_once(' ')) else {
                assert_eq!(line, "", "{name}");
                continue;
            };
            let number: usize = number.parse().expect("a number");
            if what == "exit" {
                record.status = i32::try_from(number).expect("a status");
                continue;
            }
            let (section, after) = rest.split_at(number);
            rest = after;
            match what {
                "stdin" => record.typed = section.to_vec(),
                "stdout" => record.out = text(section),
                "stderr" => record.err = text(section),
                other => panic!("{name}: {other}"),
            }
        }
        record
    }
}

fn line_of(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let line = std::str::from_utf8(&bytes[..end]).expect("text");
    (line, bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Text without what differs from run to run.
fn lasting(text: &str) -> String {
    let chance =
        |line: &&str| !["UUID: ", "DX Seed"].iter().any(|start| line.trim_start().starts_with(start));
    text.split('\n').filter(chance).collect::<Vec<_>>().join("\n")
}

/// A directory with `mkfs.ocfs2`, which is our program under that name, in `bin`.
fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::create_dir_all(dir.path().join("bin")).expect("a directory");
    let name = dir.path().join("bin/mkfs.ocfs2");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oxsan"), name).expect("a link");
    std::fs::create_dir(dir.path().join("work")).expect("a directory");
    dir
}

fn shell(dir: &Path, command: &str, typed: &[u8]) -> Output {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.join("bin").display());
    let mut child = Command::new("bash")
        .args(["-c", command])
        .current_dir(dir.join("work"))
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash");
    // Who asks nothing reads nothing.
    let _ = child.stdin.take().expect("a pipe").write_all(typed);
    child.wait_with_output().expect("an end")
}

#[test]
fn every_command_line_of_the_original_prints_the_same() {
    let dir = place();
    let volume = dir.path().join("work/v");
    let mut differ = Vec::new();
    for step in std::fs::read_to_string(golden().join("steps")).expect("steps").lines() {
        let (what, rest) = step.split_once(' ').expect("a word and more");
        match what {
            "volume" => {
                let _ = std::fs::remove_file(&volume);
                assert!(shell(dir.path(), &format!("truncate -s {rest} v"), b"").status.success(), "{rest}");
            }
            "run" => assert!(shell(dir.path(), rest, b"").status.success(), "{rest}"),
            "record" => {
                let want = Record::read(rest);
                let got = shell(dir.path(), &want.command, &want.typed);
                let got = (got.status.code(), lasting(&text(&got.stdout)), lasting(&text(&got.stderr)));
                let want = (Some(want.status), lasting(&want.out), lasting(&want.err));
                if got != want {
                    differ.push(format!("{rest}\n  want {want:?}\n  got  {got:?}"));
                }
            }
            other => panic!("{other}"),
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Who is asked and does not say yes, in any way, has the volume as it was.
#[test]
fn nothing_is_written_before_the_answer_is_yes() {
    let dir = place();
    let volume = dir.path().join("work/v");
    std::fs::copy(fixtures::image("c"), &volume).expect("a copy");
    let before = std::fs::read(&volume).expect("a volume");
    for typed in ["N\n", "\n", "", "n\n"] {
        let output = shell(dir.path(), "mkfs.ocfs2 -M local v", typed.as_bytes());
        assert_eq!(output.status.code(), Some(1), "{typed:?}: {}", text(&output.stdout));
        assert!(std::fs::read(&volume).expect("a volume") == before, "{typed:?}: the volume has changed");
    }
    for wrong in ["-M local -b 8K v", "-M local -C 2K v", "-M local --fs-features=frob v", "-n -M local v"] {
        shell(dir.path(), &format!("mkfs.ocfs2 {wrong}"), b"y\n");
        assert!(std::fs::read(&volume).expect("a volume") == before, "{wrong}: the volume has changed");
    }
}
