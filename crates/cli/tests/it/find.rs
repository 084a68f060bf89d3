//! `oxsan find` beside GNU find on a mount of the same volume.

use std::process::{Command, Output, Stdio};

use crate::mount::Point;

const OXSAN: &str = env!("CARGO_BIN_EXE_oxsan");

/// Expressions; `@` stands for the days since volume c's files were made.
const EXPRESSIONS: &[&str] = &[
    "",
    "-type f",
    "-type l,d,p,s,c,b",
    "! -type f",
    "-not -type f -not -type d",
    "-type d -o -type l",
    "-type f -name a* -o -type d -name *s",
    "( -type f -o -type l ) -name *e*",
    "( -type f -o -type l ) ! ( -name *e* -o -name *a* )",
    "-name *[0-9]",
    "-name *[!a-z]*",
    "-name *[[:upper:]]*",
    "-name ?",
    "-name ??",
    "-name .*",
    "-name [^-]*",
    "-iname *E*",
    "-path ./ext/*",
    "-path *s/*e*",
    "-ipath *LINKS*",
    "-lname *e*",
    "-ilname *E*",
    "-size 0",
    "-size 1",
    "-size +1",
    "-size -2",
    "-size 1k",
    "-size +10k -size -3M",
    "-size -1M",
    "-size +1M",
    "-size 3c",
    "-size +100w",
    "-size -1G",
    "-empty",
    "! -empty -type d",
    "-empty -type f",
    "-links 1",
    "-links +1 -type f",
    "-links -3 -type d",
    "-inum +20000",
    "-perm 644",
    "-perm 0755",
    "-perm -222",
    "-perm /222",
    "-perm /0",
    "-perm -0",
    "-perm -4000",
    "-perm /6000",
    "-perm -u+w,g+r",
    "-perm /u=s,g=s",
    "-perm -1000",
    "-perm u=rw,go=r",
    "-user root",
    "! -user 0",
    "-group root",
    "-uid +0",
    "-gid -1",
    "-nouser",
    "-nogroup",
    "-mtime @",
    "-mtime +@",
    "-mtime -@",
    "-mtime -9999999",
    "-mtime +9999999",
    "-ctime @",
    "-ctime -@.5",
    "-atime +@",
    "-mmin +10",
    "-mmin -10",
    "-cmin +60",
    "-amin +1.5",
    "-newer ./ext",
    "-newer ./links",
    "-anewer ./ext",
    "-cnewer ./ext",
    "-newermc ./ext",
    "-newercm ./perms",
    "-maxdepth 0",
    "-maxdepth 1",
    "-mindepth 2 -maxdepth 2",
    "-mindepth 3 -type f",
    "-path ./big -prune",
    "-path ./big -prune -o -print",
    "-name big -prune -o -type f -size +0 -print",
    "-type d -name [a-d]* -prune -o -name *e",
    "-mindepth 2 -path ./big -prune -o -print",
    "-type d , -type f",
    "-false -o -true",
    "-true -a -false",
    "-type f -print -name a*",
    "-print -print",
    "-name ext -print0",
    "-print0 -o -true",
    "-printf %p|%P|%f|%d|%s|%b|%k|%m|%M|%n|%i\\n",
    "-mindepth 1 -printf %h|%H|%u|%U|%g|%G|%y|%l\\n",
    "-printf %T@|%C@\\n",
    "-printf %10s|%-10m|%05d|%-3y|%%\\t\\101\\060\\n",
    "-printf a -maxdepth 0",
    "-xdev -type s",
    "-name lost+found -o -name ext -o -name none",
    "! ! -type d",
    "-depth",
    "-depth -name ext -prune -o -print",
    "-d -mindepth 1 -maxdepth 2 -type d",
    "-path ./names* -ls",
    "-name null -ls -o -type p,s -ls",
    "-path ./links* -ls , -path ./ext* -ls",
];

fn sorted(output: &Output) -> Vec<Vec<u8>> {
    let ends = |byte: &u8| matches!(*byte, b'\n' | b'\0');
    let mut lines: Vec<Vec<u8>> = output.stdout.split_inclusive(ends).map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test: the age of a file is counted from now")]
fn the_same_as_find_on_a_mount() {
    let Some(point) = Point::new() else { return };
    let image = fixtures::image("c");
    assert!(point.oxsan(&image, &["-o", "ro"]).status.success());
    let made = std::fs::metadata(point.path().join("ext/zero")).expect("stat");
    let days = made.modified().expect("mtime").elapsed().expect("in the past").as_secs() / 86_400;
    let mut found = 0;
    for expression in EXPRESSIONS {
        let expression =
            expression.replace('@', &days.to_string()).replace(&format!("T{days}|%C{days}"), "T@|%C@");
        let words: Vec<&str> = expression.split_whitespace().collect();
        let mut theirs = Command::new("find");
        theirs.arg(".").args(&words).current_dir(point.path()).env("LC_ALL", "C.UTF-8");
        let theirs = theirs.stdin(Stdio::null()).output().expect("find");
        let mut ours = Command::new(OXSAN);
        let ours = ours.arg("find").arg(&image).arg(".").args(&words).output().expect("oxsan");
        let said = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!(ours.status.code(), theirs.status.code(), "{expression}: {said}");
        let (ours, theirs) = (sorted(&ours), sorted(&theirs));
        for line in ours.iter().filter(|line| !theirs.contains(line)).take(5) {
            println!("ours only: {}", line.escape_ascii());
        }
        for line in theirs.iter().filter(|line| !ours.contains(line)).take(5) {
            println!("find only: {}", line.escape_ascii());
        }
        assert!(ours == theirs, "{expression}: {} and {} lines", ours.len(), theirs.len());
        found += usize::from(!ours.is_empty());
    }
    assert!(found > 80, "most expressions find something: {found}");
}

#[test]
fn what_find_has_and_this_has_not() {
    let image = fixtures::image("c");
    let run = |args: &[&str]| {
        let output = Command::new(OXSAN).arg("find").args(args).output().expect("oxsan");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let image = image.to_str().expect("UTF-8");
    for (words, expected) in [
        (
            &["/", "-exec", "rm", "{}", ";"][..],
            "oxsan: the expression: -exec is not built: there is no file on this host to run a program on: copy it out",
        ),
        (&["-delete"], "oxsan: the expression: -delete is not built: the volume is only read"),
        (&["/", "-frob"], "oxsan: the expression: `-frob` is no condition known here"),
        (&["/", "(", "-true"], "oxsan: the expression: `(` without its `)`"),
        (&["/", "-newer", "/none"], "oxsan: the expression: /none: no such file or directory"),
        (&["/none"], "oxsan: /none: no such file or directory"),
    ] {
        let (code, said, out) = run(&[&[image], words].concat());
        assert_eq!((code, out), (Some(1), Vec::new()), "{words:?}");
        assert!(said.starts_with(expected), "{said}");
    }
    let (code, said, out) = run(&["--json", image, "/links", "-type", "l", "-maxdepth", "1"]);
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<serde_json::Value> = out
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert!(lines.iter().all(|line| line["type"] == "symlink" && line["path"].is_string()), "{lines:?}");
    assert!(lines.iter().any(|line| line["target"].is_string()));
    // With -depth what is in a directory comes before it, and the first of all is no directory that has anything.
    let (code, _, out) = run(&[image, "/", "-depth", "-mindepth", "1"]);
    let text = String::from_utf8_lossy(&out).into_owned();
    let paths: Vec<&str> = text.lines().collect();
    let place = |path: &str| paths.iter().position(|line| *line == path).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(code, Some(0));
    assert!(place("/ext/zero") < place("/ext") && place("/ext") + 1 < paths.len());
    for (at, path) in paths.iter().enumerate() {
        let below = format!("{path}/");
        assert!(paths[at..].iter().all(|later| !later.starts_with(&below)), "{path} before what is in it");
    }
    let (_, _, out) = run(&[image, "/", "-depth", "-name", "ext", "-quit"]);
    assert!(out.is_empty());
    let (code, _, out) = run(&[image, "/", "-type", "f", "-print", "-quit"]);
    assert_eq!((code, out.split(|byte| *byte == b'\n').count()), (Some(0), 2));
}
