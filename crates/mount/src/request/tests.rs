use block::Buf;
use proptest::prelude::*;
use zerocopy::IntoBytes;

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
    let request = Request::parse(&bytes).expect("a request");
    assert_eq!((request.unique, request.node), (6, 9));
    assert!(
        matches!(request.message, Message::Call(Call::Lookup { name }) if name.as_slice() == b"some name")
    );
}

#[test]
fn names_that_no_kernel_sends_are_refused() {
    for name in [&b"\0"[..], b"", b"no end", b"a/b\0", &[b'x'; 1025]] {
        let bytes = request(1, name);
        let bad = Request::parse(&bytes).expect_err("no name");
        assert_eq!(bad.unique(), Some(6), "{name:?}");
        assert!(matches!(bad, BadRequest::Name { .. }));
    }
}

#[test]
fn an_xattr_name_follows_the_head() {
    let bytes = request(22, b"\x40\0\0\0\0\0\0\0user.x\0");
    let request = Request::parse(&bytes).expect("a request");
    let Message::Call(Call::GetXattr { name, room }) = request.message else { panic!("getxattr") };
    assert_eq!((name.as_slice(), room), (&b"user.x"[..], 64));
}

#[test]
fn the_length_must_be_the_one_read() {
    let mut bytes = request(3, &[0; 16]).to_vec();
    assert!(matches!(Request::parse(&bytes), Ok(Request { message: Message::Call(Call::GetAttr), .. })));
    bytes.push(0);
    assert!(matches!(Request::parse(&bytes), Err(BadRequest::Length { said: 56, len: 57, .. })));
    assert_eq!(Request::parse(&bytes[..39]).map(|_| ()), Err(BadRequest::Short { len: 39 }));
}

#[test]
fn forgets_must_all_be_there() {
    let two = [2u64, 10, 1, 11, 5].as_bytes();
    let bytes = request(42, two);
    let Ok(Request { message: Message::BatchForget(records), .. }) = Request::parse(&bytes) else {
        panic!("forgets")
    };
    assert_eq!(records.iter().map(|r| (r.nodeid, r.nlookup)).collect::<Vec<_>>(), [(10, 1), (11, 5)]);
    for count in [3u64, u64::from(u32::MAX)] {
        let mut more = two.to_vec();
        more[..8].copy_from_slice(count.as_bytes());
        let bytes = request(42, &more);
        assert!(matches!(Request::parse(&bytes), Err(BadRequest::Body { .. })), "{count}");
    }
}

#[test]
fn what_changes_the_volume_is_known_as_such() {
    for opcode in [4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51] {
        let bytes = request(opcode, &[]);
        assert!(
            matches!(Request::parse(&bytes), Ok(Request { message: Message::Call(Call::Change), .. })),
            "{opcode}"
        );
    }
    for opcode in [0, 7, 25, 31, 34, 40, 48, 52, 4096, u32::MAX] {
        let bytes = request(opcode, &[]);
        assert!(
            matches!(Request::parse(&bytes), Ok(Request { message: Message::Call(Call::Unsupported), .. })),
            "{opcode}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(2000)))]

    #[test]
    fn no_bytes_panic(opcode in 0u32..60, body in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..240) {
        let bytes = request(opcode, &body);
        let _ = Request::parse(&bytes);
        let _ = Request::parse(&bytes[..cut.min(bytes.len())]);
    }
}
