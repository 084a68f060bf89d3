//! One request of the FUSE device.

pub(crate) fn run(bytes: &[u8]) {
    crate::keep(mount::fuzz_bodies::request(bytes));
}

/// Each operation with bodies as the kernel sends them: numbers, a name, numbers and a name.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut init = vec![0; 64];
    init[..16].copy_from_slice(b"\x07\0\0\0\x26\0\0\0\0\0\x02\0\xff\xff\xff\xff");
    let bodies: [&[u8]; 10] = [
        b"",
        b"name\0",
        &[0; 16],
        b"\x40\0\0\0\0\0\0\0user.x\0",
        // Two forgets: a count of two, then an inode and how often it was looked up, twice.
        b"\x02\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0",
        // INIT of protocol 7.38.
        &init,
        // The numbers of a READ, or a WRITE of nothing; those of COPY_FILE_RANGE, of SETATTR.
        &[0; 40],
        &[0; 88],
        // Two names behind numbers: RENAME, RENAME2 and SYMLINK.
        b"old\0new\0",
        b"\x09\0\0\0\0\0\0\0old\0new\0",
    ];
    let requests = (1..=52_u32).flat_map(|opcode| bodies.iter().map(move |body| request(opcode, body)));
    requests.filter(|bytes| mount::fuzz_bodies::request(bytes)).collect()
}

/// A request as the kernel writes it: length, operation, number, inode, user, group, process.
fn request(opcode: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(40 + body.len()).expect("short");
    let mut out = [len.to_le_bytes(), opcode.to_le_bytes()].concat();
    out.extend([6_u64, 9].map(u64::to_le_bytes).concat());
    out.resize(40, 0);
    out.extend_from_slice(body);
    out
}
