use block::Buf;
use proptest::prelude::*;
use zerocopy::{FromZeros, IntoBytes};

use super::*;

/// A request as the kernel writes it, in memory as aligned as a request buffer is.
fn request(opcode: u32, body: &[u8]) -> Buf {
    let head = RawInHeader {
        len: u32::try_from(40 + body.len()).expect("short"),
        opcode,
        unique: 6,
        nodeid: 9,
        uid: 0,
        gid: 0,
        pid: 1,
        total_extlen: 0,
        padding: 0,
    };
    Buf::copy_of(&[head.as_bytes(), body].concat())
}

#[test]
fn a_lookup_has_its_name() {
    let bytes = request(1, b"some name\0");
    let request = parse(&bytes).expect("a request");
    assert_eq!((request.unique, request.node), (6, 9));
    assert!(
        matches!(request.message, Message::Call(Call::Lookup { name }) if name.as_slice() == b"some name")
    );
}

#[test]
fn names_that_no_kernel_sends_are_refused() {
    for name in [&b"\0"[..], b"", b"no end", b"a/b\0", &[b'x'; 1025]] {
        let bytes = request(1, name);
        let bad = parse(&bytes).expect_err("no name");
        assert_eq!(bad.unique(), Some(6), "{name:?}");
        assert!(matches!(bad, BadRequest::Name { .. }));
    }
}

#[test]
fn an_xattr_name_follows_the_head() {
    let bytes = request(22, b"\x40\0\0\0\0\0\0\0user.x\0");
    let request = parse(&bytes).expect("a request");
    let Message::Call(Call::GetXattr { name, room }) = request.message else { panic!("getxattr") };
    assert_eq!((name.as_slice(), room), (&b"user.x"[..], 64));
}

#[test]
fn the_length_must_be_the_one_read() {
    let mut bytes = request(3, &[0; 16]).to_vec();
    assert!(matches!(parse(&bytes), Ok(Request { message: Message::Call(Call::GetAttr), .. })));
    bytes.push(0);
    assert!(matches!(parse(&bytes), Err(BadRequest::Length { said: 56, len: 57, .. })));
    assert_eq!(parse(&bytes[..39]).map(|_| ()), Err(BadRequest::Short { len: 39 }));
}

#[test]
fn forgets_must_all_be_there() {
    let two = [2u64, 10, 1, 11, 5].as_bytes();
    let bytes = request(42, two);
    let Ok(Request { message: Message::BatchForget(records), .. }) = parse(&bytes) else { panic!("forgets") };
    assert_eq!(records.iter().map(|r| (r.nodeid, r.nlookup)).collect::<Vec<_>>(), [(10, 1), (11, 5)]);
    for count in [3u64, u64::from(u32::MAX)] {
        let mut more = two.to_vec();
        more[..8].copy_from_slice(count.as_bytes());
        let bytes = request(42, &more);
        assert!(matches!(parse(&bytes), Err(BadRequest::Body { .. })), "{count}");
    }
}

/// A request in one piece; a WRITE's data is told apart.
fn parse(bytes: &[u8]) -> Result<Request<'_>, BadRequest> {
    let (head, data) = crate::receive::parts(bytes);
    Request::parse(head, data.len(), Dialect::default())
}

fn change(opcode: u32, body: &[u8], dialect: Dialect) -> Change {
    let bytes = request(opcode, body);
    let (head, data) = crate::receive::parts(&bytes);
    match Request::parse(head, data.len(), dialect).map(|request| request.message) {
        Ok(Message::Call(Call::Change(change))) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_have_their_names_and_numbers() {
    let plain = Dialect::default();
    let Change::Rename { name, to_dir, to, how } =
        change(45, &[[77u64, 1].as_bytes(), b"old\0new\0"].concat(), plain)
    else {
        panic!("rename")
    };
    assert_eq!((name.as_slice(), to.as_slice()), (&b"old"[..], &b"new"[..]));
    assert_eq!((to_dir, how), (77, crate::RenameHow::NO_REPLACE));

    let Change::Make { name, kind, .. } = change(6, b"link\0a/b c\0", plain) else { panic!("symlink") };
    assert_eq!(name.as_slice(), b"link");
    assert!(matches!(kind, crate::changes::OwnedKind::Symlink(target) if target == b"a/b c"));

    let Change::Make { kind, perm, umask, .. } =
        change(8, &[[0o060_664u32, 0x0801, 0o22, 0].as_bytes(), b"sda\0"].concat(), plain)
    else {
        panic!("mknod")
    };
    assert!(matches!(kind, crate::changes::OwnedKind::BlockDevice((8, 1))));
    assert_eq!((perm, umask), (0o664, 0o22));

    let head = [5u64, 4096, 3, 0, 0o2001];
    let Change::Write { handle, offset, len, kill_set_id, cached, .. } =
        change(16, &[head.map(u64::to_ne_bytes).concat().as_slice(), b"abc"].concat(), plain)
    else {
        panic!("write")
    };
    assert_eq!((handle, offset, len, kill_set_id, cached), (5, 4096, 3, false, false));
}

#[test]
fn the_head_of_setxattr_is_as_long_as_was_agreed() {
    for (setxattr_ext, head) in [(false, &[2u32, 1][..]), (true, &[2, 1, 1, 0])] {
        let body = [head.as_bytes(), b"user.a\0xy"].concat();
        let Change::SetXattr { name, value, how, kill_set_gid } = change(21, &body, Dialect { setxattr_ext })
        else {
            panic!("setxattr")
        };
        assert_eq!((name.as_slice(), value.as_slice()), (&b"user.a"[..], &b"xy"[..]));
        assert_eq!((how, kill_set_gid), (crate::XattrHow::CreateOnly, setxattr_ext));
    }
}

#[test]
fn changes_that_no_kernel_sends_are_refused() {
    let head = [5u64, 0, 4, 0, 0].map(u64::to_ne_bytes).concat();
    for (opcode, body) in [
        (6, b"link\0".to_vec()),
        (6, b"link\0target".to_vec()),
        (6, b"link\0\0".to_vec()),
        (8, [[0o040_755u32, 0, 0, 0].as_bytes(), b"dir\0"].concat()),
        (12, [7u64.as_bytes(), b"old\0"].concat()),
        (16, [&head[..], b"abc"].concat()),
        (16, [&head[..], b"abcde"].concat()),
        (21, [[3u32, 0].as_bytes(), b"user.a\0xy"].concat()),
        (21, [[2u32, 3].as_bytes(), b"user.a\0xy"].concat()),
        (4, vec![0; 87]),
    ] {
        let bytes = request(opcode, &body);
        assert_eq!(parse(&bytes).expect_err("refused").unique(), Some(6), "{opcode}");
    }
}

#[test]
fn setattr_says_only_what_it_says() {
    let mut raw = crate::abi::RawSetAttrIn::new_zeroed();
    (raw.valid, raw.mode, raw.size, raw.atime, raw.atimensec) = (0x8 | 0x10 | 0x20 | 0x100, 0o777, 9, 7, 8);
    let Change::SetAttr(change) = change(4, raw.as_bytes(), Dialect::default()) else { panic!("setattr") };
    let wanted = crate::AttrChange {
        size: Some(9),
        atime: Some(crate::NewTime::To(crate::Time { secs: 7, nanos: 8 })),
        mtime: Some(crate::NewTime::Now),
        ..crate::AttrChange::default()
    };
    assert_eq!(change, wanted);
}

#[test]
fn what_is_not_known_is_left_to_the_kernel() {
    for opcode in [0, 7, 25, 31, 34, 40, 48, 51, 52, 4096, u32::MAX] {
        let bytes = request(opcode, &[]);
        assert!(
            matches!(parse(&bytes), Ok(Request { message: Message::Call(Call::Unsupported), .. })),
            "{opcode}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(2000)))]

    #[test]
    fn no_bytes_panic(opcode in 0u32..60, body in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..240) {
        let bytes = request(opcode, &body);
        let _ = parse(&bytes);
        let _ = parse(&bytes[..cut.min(bytes.len())]);
    }
}
