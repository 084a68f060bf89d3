//! Connections that break the protocol: the target drops them, and serves the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use scsi::{Command, Rw};

use crate::Bench;
use crate::client::{Client, config};

fn connect(portal: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(portal).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// The target closes the connection, whatever it says before.
fn is_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the target keeps the connection");
    }
}

fn still_serves(bench: &Bench) {
    let mut client = Client::ready(bench.portal(), 77);
    client.run(Command::Write(Rw::shortest(5, 1)), &[1; 512]).good();
    assert_eq!(client.run(Command::Read(Rw::shortest(5, 1)), &[]).good(), [1; 512]);
}

#[test]
fn garbage() {
    let bench = Bench::new();
    for fill in [0x00, 0xff, 0x41, 0x03, 0x43] {
        let mut stream = connect(bench.portal());
        // The target may close before all of it is sent.
        let _ = stream.write_all(&[fill; 4096]);
        is_closed(stream);
    }
    still_serves(&bench);
}

#[test]
fn half_a_pdu_and_then_nothing() {
    let bench = Bench::with(|builder| builder.login_timeout(Duration::from_millis(300)));
    let mut half = connect(bench.portal());
    half.write_all(&[0x43, 0x87, 0, 0, 0, 0, 0, 64]).unwrap();
    let mut silent = connect(bench.portal());
    silent.write_all(&[]).unwrap();
    let begun = Instant::now();
    is_closed(half);
    is_closed(silent);
    assert!(begun.elapsed() < Duration::from_secs(5));
    still_serves(&bench);
}

/// Who stops in mid-PDU after login answers no ping. It is dropped, and with it go its session and its task: while
/// that write waits for its data, being ORDERED, it holds up the commands of all others.
#[test]
fn half_a_pdu_after_login_and_then_nothing() {
    for (place, solicited, sent) in
        [("a header", false, 20), ("immediate data", false, 1048), ("solicited data", true, 1048)]
    {
        let bench = Bench::with(|builder| {
            let builder = builder.ping_interval(Some(Duration::from_millis(500)));
            builder.ping_timeout(Duration::from_secs(1))
        });
        let mut other = Client::ready(bench.portal(), 2);
        let mut stuck = Client::ready(bench.portal(), 1);
        bench.wait_for_sessions(2);
        stuck.half_a_write(&[9; 1 << 20], solicited, sent);
        let begun = Instant::now();
        let target = bench.target.as_ref().unwrap();
        let mut served = 0;
        while target.sessions() == 2 {
            other.run(Command::Write(Rw::shortest(4096, 1)), &[1; 512]).good();
            served += 1;
            assert!(begun.elapsed() < Duration::from_secs(10), "{place}: it is not dropped");
        }
        assert!(begun.elapsed() > Duration::from_millis(500), "{place}: it was given no time");
        // One was held up until then and came through; before a header is whole nothing holds them up.
        let held = sent > 48;
        assert!(if held { (1..4).contains(&served) } else { served > 10 }, "{place}: {served} served");
        is_closed(stuck.stream);
        assert!(bench.disk.image()[..1 << 20].iter().all(|byte| *byte == 0), "{place}");
        other.run(Command::Read(Rw::shortest(4096, 1)), &[]).good();
        assert_eq!(target.sessions(), 1, "{place}");
    }
}

#[test]
fn a_pdu_longer_than_agreed() {
    let bench = Bench::new();
    let mut stream = connect(bench.portal());
    let mut header = [0; 48];
    (header[0], header[1]) = (0x43, 0x87);
    header[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
    stream.write_all(&header).unwrap();
    is_closed(stream);
    still_serves(&bench);
}

#[test]
fn a_hundred_logins_at_once() {
    let bench = Bench::new();
    let portal = bench.portal();
    let clients: Vec<_> = (0..100)
        .map(|number| std::thread::spawn(move || Client::login(portal, config(number)).is_ok()))
        .collect();
    let served = clients.into_iter().map(|client| client.join().unwrap()).filter(|ok| *ok).count();
    assert_eq!(served, 100);
    bench.wait_for_sessions(0);
    still_serves(&bench);
}

#[test]
fn a_hundred_connections_that_never_log_in() {
    let bench = Bench::new();
    let idle: Vec<TcpStream> = (0..100).map(|_| connect(bench.portal())).collect();
    still_serves(&bench);
    drop(idle);
}
