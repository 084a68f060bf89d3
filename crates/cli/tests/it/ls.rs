//! `oxsan ls` beside GNU ls on a mount of the same volume; `stat`, `df`, `cat` and errors as users meet them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::mount::{Point, words};

const OXSAN: &str = env!("CARGO_BIN_EXE_oxsan");

fn oxsan(args: &[&str]) -> Output {
    Command::new(OXSAN).args(args).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().expect("oxsan")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_same_as_ls_on_a_mount() {
    let Some(point) = Point::new() else { return };
    let image = fixtures::image("c");
    let volume = image.to_str().expect("UTF-8");
    assert!(point.oxsan(&image, &["-o", "ro"]).status.success());
    for (flags, paths) in [
        ("-l", "ext links nodes perms"),
        ("-la", "acl"),
        ("-lA", "."),
        ("-li", "reflink"),
        ("-ln", "perms"),
        ("-lh", "sparse"),
        ("-ls", "sparse ext"),
        ("-lSr", "ext"),
        ("-lt", "times"),
        ("-ltr", "times"),
        ("-lR", "perms links"),
        ("-lF", "nodes perms links"),
        ("-ldF", "links/rel ext"),
        ("-ld", "ext links/rel names"),
        ("-lis", "nodes/null ext/zero"),
        ("-n", "nodes"),
        ("-1", "names"),
        ("-1F", "perms nodes links"),
        ("-1s", "ext"),
        ("-1sh", "ext"),
        ("-1i", "ext"),
        ("-a", "emptied"),
        ("-A", "names"),
        ("-AR", "deep emptied"),
        ("-S", "ext"),
        ("-d", "ext nodes/null"),
        ("-C -w 80", "big"),
        ("-C -w 40", "perms"),
        ("-C -w 133 -s", "ext inline"),
        ("-C -w 100 -iF", "nodes links perms"),
        ("-C -w 20", "many-subdirs"),
        ("-C -w 1", "ext"),
        ("-C", "many-subdirs emptied"),
    ] {
        let (flags, paths): (Vec<&str>, Vec<&str>) = (flags.split(' ').collect(), paths.split(' ').collect());
        let mut theirs = Command::new("ls");
        theirs.args(["-T", "0", "--color=never"]).args(&flags).args(&paths).current_dir(point.path());
        let theirs = theirs.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().expect("ls");
        let ours = oxsan(&[&["ls"], flags.as_slice(), &[volume], paths.as_slice()].concat());
        assert_eq!(text(&ours.stderr), "", "{flags:?} {paths:?}");
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{flags:?} {paths:?}");
    }
}

/// Byte for byte, for every file of the volume: all letters, with widths and flags. (GNU's
/// quotes `%40N` only where a plain `%N` is in the format too; ours always.)
#[test]
fn the_same_as_stat_on_a_mount() {
    let Some(point) = Point::new() else { return };
    let image = fixtures::image("c");
    let volume = image.to_str().expect("UTF-8");
    assert!(point.oxsan(&image, &["-o", "ro"]).status.success());
    let mut find = Command::new("find");
    find.args([".", "-path", "./big/*", "-o", "-print0"]).current_dir(point.path());
    let all = find.output().expect("find").stdout;
    let paths: Vec<&OsStr> =
        all.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(OsStr::from_bytes).collect();
    assert!(paths.len() > 100, "{}", paths.len());
    for format in [
        &["-c", "%n|%N|%s|%b|%B|%f|%F|%a|%A|%u|%g|%U|%G|%h|%i|%o|%%|\\n"][..],
        &["-c", "%t|%T|%w|%W|%x|%X|%y|%Y|%z|%Z|%"],
        &["-c", "%10s|%-10s|%010s|%#a|%#f|%08a|%#08f|%-8a|%12A|%-30n|%30F|%#t|%15Y|%015Y|%-5W|%-40N|%40N|%N"],
        &["--printf", r"%s\t%n\0\x41\101\n"],
        &["-L", "-c", "%N %F %s"],
    ] {
        let mut theirs = Command::new("stat");
        theirs.args(format).args(&paths).current_dir(point.path());
        let theirs = theirs.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().expect("stat");
        let mut ours = Command::new(OXSAN);
        ours.arg("stat").args(format).arg(volume).args(&paths);
        let ours = ours.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").output().expect("oxsan");
        for (ours, theirs) in text(&ours.stdout).lines().zip(text(&theirs.stdout).lines()) {
            assert_eq!(ours, theirs, "{format:?}");
        }
        assert!(ours.stdout == theirs.stdout, "{format:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{format:?}: {}", text(&ours.stderr));
    }
}

#[test]
fn colours_come_when_asked_for() {
    let image = fixtures::image("c");
    let volume = image.to_str().expect("UTF-8");
    let ls = |flags: &[&str]| {
        let mut command = Command::new(OXSAN);
        command.arg("ls").args(flags).args([volume, "/links"]).env_remove("LS_COLORS").env_remove("NO_COLOR");
        text(&command.output().expect("oxsan").stdout)
    };
    assert!(ls(&["--color=always"]).contains("\u{1b}[01;36mrel\u{1b}[0m\n"));
    assert!(ls(&["--color"]).contains("\u{1b}[01;36m"));
    assert!(!ls(&["--color=auto"]).contains('\u{1b}') && !ls(&[]).contains('\u{1b}'));
    assert!(!ls(&["--color=always", "--json"]).contains('\u{1b}'));
}

#[test]
fn some_of_several_missing_is_status_1_and_the_rest_is_shown() {
    let image = fixtures::image("c");
    let volume = image.to_str().expect("UTF-8");
    for (command, shown) in
        [("cat", "ext/overwritten"), ("stat", "ext/zero"), ("ls", "ext/zero"), ("find", "ext/zero")]
    {
        let output = oxsan(&[command, volume, "/nothing", shown]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(words(&output), "oxsan: /nothing: no such file or directory\n", "{command}");
        assert!(!output.stdout.is_empty(), "{command}");
    }
    let output = oxsan(&["cat", volume, "/ext", "/nodes/fifo"]);
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(said.starts_with("oxsan: /ext: it is a directory: oxsan ls lists it"), "{said}");
    assert!(
        said.contains("oxsan: /nodes/fifo: inode ") && said.contains("is a fifo, not a regular file"),
        "{said}"
    );
}

/// Mistakes in naming the volume, and what is said.
#[test]
fn what_is_no_volume_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let make = |name: &str, size: u64, offset: u64, bytes: &[u8]| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::create(dir.path().join(name)).expect("create");
        file.set_len(size).expect("set_len");
        file.write_all_at(bytes, offset).expect("write");
    };
    make("ext4", 64 << 20, 0x438, b"\x53\xef");
    make("lvm", 64 << 20, 512, b"LABELONE");
    make("gpt", 64 << 20, 512, b"EFI PART");
    make("zeroes", 64 << 20, 0, b"");
    make("short", 0, 0, b"hello");
    make("noise", 64 << 20, 0, &[7; 100_000]);
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    for (volume, expected) in [
        (path("ext4"), "holds an ext2, ext3 or ext4 filesystem, not an OCFS2 volume\nhint: "),
        (path("lvm"), "holds an LVM physical volume, not an OCFS2 volume\nhint: name a logical volume on it"),
        (path("gpt"), "holds a GPT partition table, not an OCFS2 volume\nhint: name the partition"),
        (path("zeroes"), "holds nothing but zeroes at its beginning, not an OCFS2 volume\nhint: "),
        (path("short"), "holds too little to be a volume, not an OCFS2 volume\nhint: "),
        (path("noise"), "not an OCFS2 volume: no superblock at bytes 1024, 2048, 4096 or 8192\nhint: "),
        (path("none"), "cannot open it: No such file or directory (os error 2)\nhint: check the path"),
        (path(""), "is a directory, not a regular file or a block device"),
        ("/dev/null".into(), "/dev/null is a character device, not a regular file or a block device"),
        ("http://a/b".into(), "`http://` is not known here: a volume is a file, a block device, or iscsi://"),
        ("iscsi://".into(), "the host is empty\nhint: iscsi://["),
        ("iscsi://host".into(), "the iscsi url names no target\nhint: iscsi://["),
        ("iscsi://host/iqn.2026-01.a:b".into(), "the iscsi url names no lun\nhint: iscsi://["),
        ("iscsi://host/iqn.2026-01.a:b/x".into(), "lun `x` in the iscsi url is not a number"),
        ("iscsi://host:99999/iqn.2026-01.a:b/0".into(), "port `99999` of host `host` is not a number"),
        ("iscsi://me@host/iqn.2026-01.a:b/0".into(), "names user `me` but no secret\nhint: put the secret"),
        ("iscsi://host/foo/0".into(), "iscsi name `foo` begins with none of `iqn.`"),
        ("iscsi://host/iqn.2026-01.a:b/0?x=y".into(), "unknown option `x` in the iscsi url\nhint: known: "),
        ("iscsi://127.0.0.1:1/iqn.2026-01.a:b/0".into(), "cannot connect to 127.0.0.1:1: Connection refused"),
    ] {
        for command in [&["info"][..], &["ls"], &["df"]] {
            let output = oxsan(&[command, &["--initiator-name", "iqn.2026-01.test:ls", &volume]].concat());
            assert_eq!(output.status.code(), Some(1), "{volume}");
            let said = words(&output);
            assert!(said.starts_with("oxsan: ") && said.contains(expected), "{volume}: {said}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn a_lun_or_target_that_is_not_there_is_named() {
    let san = crate::san::San::new(&fixtures::image("c"));
    let (rest, _) = san.url().rsplit_once('/').expect("a LUN");
    let (host, _) = rest.rsplit_once('/').expect("a target");
    for (volume, expected) in [
        (format!("{rest}/7"), "lun 7"),
        (format!("{host}/iqn.2026-01.test:other/0"), "iqn.2026-01.test:other"),
    ] {
        let output = oxsan(&["ls", "--initiator-name", "iqn.2026-01.test:ls", &volume]);
        let said = words(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.to_lowercase().contains(expected) && said.contains("\nhint: "), "{said}");
    }
}

#[test]
fn df_says_what_df_says_on_a_mount() {
    let Some(point) = Point::new() else { return };
    let image = fixtures::image("c");
    assert!(point.oxsan(&image, &["-o", "ro"]).status.success());
    let numbers = |output: &Output| -> Vec<String> {
        let text = text(&output.stdout);
        let line = text.lines().nth(1).unwrap_or_default().to_owned();
        line.split_whitespace().skip(1).take(4).map(str::to_owned).collect()
    };
    for flags in [&[][..], &["-h"], &["-i"]] {
        let theirs = Command::new("df").args(flags).arg(point.path()).output().expect("df");
        let ours = oxsan(&[&["df"], flags, &[image.to_str().expect("UTF-8")]].concat());
        assert_eq!(numbers(&ours), numbers(&theirs), "{flags:?}");
    }
    let json = oxsan(&["df", "--json", image.to_str().expect("UTF-8")]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(json["size"].as_u64() > json["used"].as_u64());
    assert!(Path::new(json["volume"].as_str().expect("a name")).is_absolute());
}
