//! Initiators that take more than they give: what they can make the target hold is bounded.

use std::io::Write as _;
use std::time::Duration;

use iscsi::pdu::{Bhs as _, FINAL, RawScsiCommand};
use scsi::{Command, Rw};

use crate::Bench;
use crate::client::Client;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn still_serves(bench: &Bench) {
    let mut client = Client::ready(bench.portal(), 99);
    client.run(Command::Write(Rw::shortest(5, 1)), &[1; 512]).good();
    assert_eq!(client.run(Command::Read(Rw::shortest(5, 1)), &[]).good(), [1; 512]);
}

/// Commands of 8 MiB each, one after the other, as fast as the socket takes them.
fn flood(client: &mut Client, first: u32, read: bool, immediate: &[u8]) -> usize {
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    for number in 0..4000_u32 {
        let mut raw = RawScsiCommand::blank();
        raw.flags = FINAL | if read { RawScsiCommand::READ } else { RawScsiCommand::WRITE };
        raw.expected_len = (8 << 20).into();
        raw.itt = (1000 + number).into();
        raw.cmd_sn = first.wrapping_add(number).into();
        let cdb =
            if read { Command::Read(Rw::shortest(0, 16384)) } else { Command::Write(Rw::shortest(0, 16384)) };
        raw.cdb = cdb.encode().unwrap().padded();
        let mut tx = iscsi::Transmit::<bytes::Bytes>::default();
        tx.push(raw, immediate);
        let mut wire = Vec::new();
        tx.drain_into(&mut wire);
        if client.stream.write_all(&wire).is_err() {
            break;
        }
        sent += 1;
    }
    sent
}

/// One that never reads its answers is held back by the send limit and the window, not by memory.
#[test]
fn a_client_that_never_reads() {
    let bench = Bench::new();
    let mut client = Client::ready(bench.portal(), 1);
    let before = resident();
    flood(&mut client, 2, true, &[]);
    std::thread::sleep(Duration::from_millis(300));
    let grown = resident().saturating_sub(before);
    assert!(grown < 128 << 20, "{} MiB for answers that nobody reads", grown >> 20);
    still_serves(&bench);
}

/// Writes of 1 GiB in all that are opened and never completed: memory follows the data that came, and of that no more
/// comes unasked than the window and FirstBurstLength allow.
#[test]
fn a_client_that_opens_writes_and_never_ends_them() {
    let bench = Bench::new();
    let mut client = Client::ready(bench.portal(), 1);
    let before = resident();
    let immediate = vec![7; 8192];
    flood(&mut client, 2, false, &immediate);
    std::thread::sleep(Duration::from_millis(300));
    let grown = resident().saturating_sub(before);
    assert!(grown < 128 << 20, "{} MiB for writes that never end", grown >> 20);
    assert!(bench.disk.image().iter().all(|byte| *byte == 0));
    still_serves(&bench);
}
