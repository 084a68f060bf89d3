//! Sessions against the pretended kernel: what real ones do too seldom to be seen.

use std::sync::atomic::Ordering;
use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes};

use super::kernel::{Kernel, message};
use super::memfs::{BIG, HANG, HELLO, PANIC, ROOT, SLOW, SUB};
use crate::abi::{RawAttrOut, RawEntryOut, RawForgetOne, RawReadIn};
use crate::{Changes, Config, Errno, Ino, SessionEnd};

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const RELEASE: u32 = 18;
const GETXATTR: u32 = 22;
const LISTXATTR: u32 = 23;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;
const READDIRPLUS: u32 = 44;

const PLAIN: Config = Config { posix_acl: true, changes: Changes::Anywhere };

fn read_in(offset: u64, size: u32) -> Vec<u8> {
    let raw = RawReadIn { fh: 0, offset, size, read_flags: 0, lock_owner: 0, flags: 0, padding: 0 };
    raw.as_bytes().to_vec()
}

/// Waits until something another thread does has happened.
#[allow(clippy::disallowed_methods, reason = "a test waits for a thread")]
pub(super) fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not after 10 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookup_getattr_read() {
    let mut kernel = Kernel::new(PLAIN);
    let found = kernel.call(LOOKUP, 1, b"hello\0");
    let entry = RawEntryOut::read_from_bytes(&found.body).expect("fuse_entry_out");
    assert_eq!((entry.nodeid, entry.generation, entry.attr.ino), (HELLO.0, 77, HELLO.0));
    assert_eq!((entry.entry_valid, entry.attr.mtime, entry.attr.mtimensec), (60, 15_000_000_000, 1));
    assert_eq!(entry.attr.atime.cast_signed(), -5);

    let root = kernel.call(GETATTR, 1, &[0; 16]);
    let root = RawAttrOut::read_from_bytes(&root.body).expect("fuse_attr_out");
    assert_eq!((root.attr.ino, root.attr.mode), (ROOT.0, 0o040_755));

    // A name's parent may be the root: it has node number 1 there too.
    let parent = kernel.call(LOOKUP, SUB.0, b"..\0");
    assert_eq!(RawEntryOut::read_from_bytes(&parent.body).expect("entry").nodeid, 1);

    let missing = kernel.call(LOOKUP, 1, b"nothing\0");
    assert_eq!((missing.errno, RawEntryOut::read_from_bytes(&missing.body).expect("entry").nodeid), (0, 0));

    for (ino, text) in [(HELLO, &b"hello, world\n"[..]), (SLOW, b"never mind")] {
        assert_eq!(kernel.call(READ, ino.0, &read_in(0, 4096)).body, text);
        assert_eq!(kernel.call(READ, ino.0, &read_in(4, 3)).body, text[4..7]);
        assert_eq!(kernel.call(READ, ino.0, &read_in(4096, 4096)).body, b"");
    }
    // As many pieces as one writev does not take (a socket's message is not long enough for 1 MiB).
    let body = kernel.call(READ, BIG.0, &read_in(1 << 20, 128 << 10)).body;
    assert!(body.iter().zip(1 << 20..).all(|(&byte, at)| byte == super::memfs::big_byte(at)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_ends_a_request_that_waits() {
    let mut kernel = Kernel::new(PLAIN);
    let hanging = kernel.ask(READ, HANG.0, &read_in(0, 4096));
    until("the read hangs", || kernel.fs.hanging.load(Ordering::SeqCst) == 1);
    // Others go on.
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(0, 5)).body, b"hello");
    assert!(!kernel.has_answer());
    kernel.send(&message(INTERRUPT, hanging | 1, 0, hanging.as_bytes()));
    let answer = kernel.answer();
    assert_eq!((answer.unique, answer.errno), (hanging, Errno::INTR.raw_os_error()));
    assert_eq!(kernel.fs.hanging.load(Ordering::SeqCst), 0, "its future is gone");
    // Too late, twice: nothing happens.
    kernel.send(&message(INTERRUPT, hanging | 1, 0, hanging.as_bytes()));
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(0, 5)).body, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_may_overtake_its_request() {
    let mut kernel = Kernel::new(PLAIN);
    let unique = kernel.next_unique();
    kernel.send(&message(INTERRUPT, unique | 1, 0, unique.as_bytes()));
    let answer = kernel.call(READ, HANG.0, &read_in(0, 4096));
    assert_eq!(answer.errno, Errno::INTR.raw_os_error());
    // One that never waits is answered as if nothing had been said.
    let unique = kernel.next_unique();
    kernel.send(&message(INTERRUPT, unique | 1, 0, unique.as_bytes()));
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(0, 5)).body, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_interrupts_hits_the_right_requests() {
    let mut kernel = Kernel::new(PLAIN);
    let mut hanging: Vec<u64> = (0..50).map(|_| kernel.ask(READ, HANG.0, &read_in(0, 1))).collect();
    for &unique in hanging.iter().rev() {
        kernel.send(&message(INTERRUPT, unique | 1, 0, unique.as_bytes()));
    }
    let mut ended: Vec<u64> = (0..50)
        .map(|_| {
            let answer = kernel.answer();
            assert_eq!(answer.errno, Errno::INTR.raw_os_error());
            answer.unique
        })
        .collect();
    hanging.sort_unstable();
    ended.sort_unstable();
    assert_eq!(hanging, ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgets_are_counted_to_the_last() {
    let mut kernel = Kernel::new(PLAIN);
    for _ in 0..100 {
        assert_eq!(kernel.call(LOOKUP, 1, b"hello\0").errno, 0);
    }
    assert_eq!(kernel.call(LOOKUP, 1, b"sub\0").errno, 0);
    for _ in 0..60 {
        kernel.ask(FORGET, HELLO.0, 1u64.as_bytes());
    }
    let records =
        [(HELLO.0, 39), (SUB.0, 1), (12345, 9)].map(|(nodeid, nlookup)| RawForgetOne { nodeid, nlookup });
    kernel.ask(BATCH_FORGET, 0, &[[3u32, 0].as_bytes(), records.as_bytes()].concat());
    assert_eq!(kernel.call(GETATTR, 1, &[0; 16]).errno, 0);
    // All but one hold of each inode were given back at once.
    let holds = |kernel: &Kernel, ino| {
        let count = |list: &std::sync::Mutex<Vec<Ino>>| {
            list.lock().expect("list").iter().filter(|at| **at == ino).count()
        };
        count(&kernel.fs.retained) - count(&kernel.fs.forgotten)
    };
    until("sub is forgotten", || holds(&kernel, SUB) == 0);
    assert_eq!(holds(&kernel, HELLO), 1);
    kernel.ask(FORGET, HELLO.0, 1u64.as_bytes());
    until("hello is forgotten", || holds(&kernel, HELLO) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_with_inodes_gives_references_but_for_dots_and_bad_ones() {
    let mut kernel = Kernel::new(PLAIN);
    let body = kernel.call(READDIRPLUS, 1, &read_in(0, 4096)).body;
    let mut names = Vec::new();
    let mut rest = &body[..];
    while let Ok((entry, after)) = RawEntryOut::read_from_prefix(rest) {
        let (dirent, after) = crate::abi::RawDirent::read_from_prefix(after).expect("fuse_dirent");
        let namelen = usize::try_from(dirent.namelen).expect("short");
        names.push((String::from_utf8_lossy(&after[..namelen]).into_owned(), entry.nodeid, dirent.off));
        rest = &after[namelen.next_multiple_of(8)..];
    }
    assert!(rest.is_empty());
    let plain: Vec<_> =
        names.iter().filter(|(_, node, _)| *node == 0).map(|(name, ..)| name.as_str()).collect();
    assert_eq!(plain, [".", "..", "bad"]);
    assert_eq!(names.len(), 11);
    // From any entry on, the same follows.
    let second = kernel.call(READDIRPLUS, 1, &read_in(names[8].2, 4096)).body;
    assert_eq!(second, body[body.len() - second.len()..]);
    // The smallest room gives nothing, and no reference is counted for what did not fit.
    assert_eq!(kernel.call(READDIRPLUS, 1, &read_in(2, 100)).body, b"");
    kernel.ask(FORGET, HELLO.0, 1u64.as_bytes());
    until("hello is forgotten", || kernel.fs.forgotten.lock().expect("forgotten").contains(&HELLO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_xattr_asked_for_without_room_gives_its_length() {
    let mut kernel = Kernel::new(PLAIN);
    let mut ask = |room: u32| {
        let head = [room, 0];
        kernel.call(GETXATTR, HELLO.0, &[head.as_bytes(), b"user.colour\0"].concat())
    };
    assert_eq!(ask(0).body, [4u32, 0].as_bytes());
    assert_eq!(ask(3).errno, Errno::RANGE.raw_os_error());
    assert_eq!(ask(4).body, b"blue");
    assert_eq!(kernel.call(LISTXATTR, HELLO.0, &[0; 8]).body, [36u32, 0].as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_reach_the_filesystem_unless_nothing_changes() {
    let mut kernel = Kernel::new(PLAIN);
    let opened = kernel.call(OPEN, HELLO.0, &[0; 8]);
    assert_eq!(opened.body[..8], *40u64.as_bytes());
    let mut release = 40u64.as_bytes().to_vec();
    release.resize(24, 0);
    assert_eq!(kernel.call(RELEASE, HELLO.0, &release).errno, 0);
    assert_eq!(kernel.fs.released.load(Ordering::SeqCst), 1);

    let mut kernel = Kernel::new(Config { changes: Changes::None, ..PLAIN });
    assert_eq!(kernel.call(OPEN, HELLO.0, &[0; 8]).errno, Errno::NOSYS.raw_os_error());
    assert_eq!(kernel.fs.opened.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_changes_are_refused_and_the_unknown_is_left_to_the_kernel() {
    let mut kernel = Kernel::new(PLAIN);
    for opcode in [4, 6, 8, 9, 10, 11, 12, 13, 21, 24, 35, 45] {
        assert_eq!(kernel.call(opcode, HELLO.0, &[0; 40]).errno, Errno::INVAL.raw_os_error(), "{opcode}");
    }
    for opcode in [25, 34, 37, 40, 51, 60, 4096] {
        assert_eq!(kernel.call(opcode, HELLO.0, &[0; 40]).errno, Errno::NOSYS.raw_os_error(), "{opcode}");
    }
    for opcode in [20, 30, 50] {
        assert_eq!(kernel.call(opcode, HELLO.0, &[0; 16]).errno, 0, "{opcode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_and_does_no_harm() {
    let mut kernel = Kernel::new(PLAIN);
    kernel.send(b"short");
    let mut lying = message(GETATTR, 700, 1, &[0; 16]);
    lying[0] = 200;
    kernel.send(&lying);
    assert_eq!(kernel.answer().errno, Errno::INVAL.raw_os_error());
    let huge_count = [u32::MAX, 0];
    kernel.ask(BATCH_FORGET, 0, huge_count.as_bytes());
    assert_eq!(kernel.answer().errno, Errno::INVAL.raw_os_error());
    assert_eq!(kernel.call(READ, HELLO.0, &[1; 7]).errno, Errno::INVAL.raw_os_error());
    assert_eq!(kernel.call(LOOKUP, 1, b"no end").errno, Errno::INVAL.raw_os_error());
    assert_eq!(kernel.call(26, 0, &[0; 64]).errno, Errno::IO.raw_os_error(), "a second INIT");
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(u64::MAX, u32::MAX)).errno, 0);
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(0, 5)).body, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_one_request() {
    let mut kernel = Kernel::new(PLAIN);
    for _ in 0..3 {
        assert_eq!(kernel.call(READ, PANIC.0, &read_in(0, 5)).errno, Errno::IO.raw_os_error());
    }
    assert_eq!(kernel.call(READ, HELLO.0, &read_in(0, 5)).body, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_gives_up_what_waits() {
    let mut kernel = Kernel::new(PLAIN);
    assert_eq!(kernel.call(DESTROY, 0, &[]).errno, 0);
    for _ in 0..20 {
        kernel.ask(READ, HANG.0, &read_in(0, 1));
    }
    until("the reads hang", || kernel.fs.hanging.load(Ordering::SeqCst) == 20);
    kernel.hang_up();
    let end = tokio::time::timeout(Duration::from_secs(10), kernel.session.ended()).await;
    assert_eq!(end, Ok(SessionEnd::Unmounted));
    assert_eq!(kernel.fs.hanging.load(Ordering::SeqCst), 0);
}
