//! How many commands a second both engines do together on one core: 4 KiB reads and writes at depth 32, bytes copied
//! once at the receiver as a driver would. `cargo bench -p iscsi`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program"
)]

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use iscsi::{
    Event, Initiator, InitiatorConfig, Isid, LoginGrant, Response, ScsiRequest, Seed, Target, TargetAuth,
    TargetConfig, TargetEvent, Transmit,
};

const DEPTH: usize = 32;
const COUNT: usize = 1_000_000;

/// Copies what waits into a pipe, as `writev` does.
fn flush(tx: &mut Transmit<Bytes>, pipe: &mut Vec<u8>) {
    while !tx.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = tx.fill(&mut slices);
        let mut sent = 0;
        for slice in &slices[..count] {
            pipe.extend_from_slice(slice);
            sent += slice.len();
        }
        tx.advance(sent);
    }
}

struct Both {
    now: Instant,
    initiator: Initiator<Bytes>,
    target: Target<Bytes>,
    to_target: Vec<u8>,
    to_initiator: Vec<u8>,
    disk: Bytes,
    buffers: Vec<Vec<u8>>,
}

impl Both {
    fn new(len: usize) -> Self {
        let now = Instant::now();
        let config =
            InitiatorConfig::new("iqn.2026-01.test:a", "iqn.2026-01.test:b", Isid::random([1, 2, 3], 0));
        Self {
            now,
            initiator: Initiator::new(now, config, Seed::new([1; 32])).unwrap(),
            target: Target::new(now, TargetConfig::default(), Seed::new([2; 32])).unwrap(),
            to_target: Vec::new(),
            to_initiator: Vec::new(),
            disk: Bytes::from(vec![7; len]),
            buffers: vec![vec![0; len]; 1024],
        }
    }

    /// One exchange; how many commands ended.
    fn step(&mut self) -> usize {
        self.to_target.clear();
        flush(self.initiator.transmit(), &mut self.to_target);
        let mut bytes = self.to_target.as_slice();
        while let Some(event) = self.target.receive(self.now, &mut bytes).unwrap() {
            match event {
                TargetEvent::Login(_) => {
                    let grant = LoginGrant { tsih: 1, auth: TargetAuth::None, target_alias: None };
                    self.target.grant(grant).unwrap();
                }
                TargetEvent::Command { task, command } if command.write_len > 0 => {
                    self.target.solicit(task, command.write_len);
                }
                TargetEvent::Command { task, .. } => {
                    self.target.respond(task, &Response::read(self.disk.clone()));
                }
                TargetEvent::DataOut { task, offset, data } => {
                    let at = usize::try_from(offset).unwrap();
                    self.buffers[task.index()][at..at + data.len()].copy_from_slice(data);
                }
                TargetEvent::WriteReady { task } => self.target.respond(task, &Response::good()),
                _ => {}
            }
        }
        self.to_initiator.clear();
        flush(self.target.transmit(), &mut self.to_initiator);
        let mut bytes = self.to_initiator.as_slice();
        let mut ended = 0;
        while let Some(event) = self.initiator.receive(self.now, &mut bytes).unwrap() {
            match event {
                Event::DataIn { task, offset, data } => {
                    let at = usize::try_from(offset).unwrap();
                    self.buffers[task.index()][at..at + data.len()].copy_from_slice(data);
                }
                Event::Done { .. } => ended += 1,
                _ => {}
            }
        }
        ended
    }
}

fn measure(name: &str, len: u32, count: usize, request: impl Fn(&Bytes) -> ScsiRequest<Bytes>) {
    let mut both = Both::new(usize::try_from(len).unwrap());
    both.step();
    both.step();
    let data = both.disk.clone();
    let begin = Instant::now();
    let (mut submitted, mut ended) = (0, 0);
    while ended < count {
        while submitted < count && submitted - ended < DEPTH {
            both.initiator.submit(request(&data)).unwrap();
            submitted += 1;
        }
        ended += both.step();
    }
    let seconds = begin.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(count).unwrap()) / seconds;
    println!("{name:<24} {rate:>12.0} round trips/s, {:>6.0} ns each", 1e9 / rate);
}

fn main() {
    let cdb = |code| [code, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    measure("read 4 KiB", 4096, COUNT, |_| ScsiRequest::read(0, cdb(0x28), 4096));
    measure("write 4 KiB", 4096, COUNT, |data| ScsiRequest::write(0, cdb(0x2a), data.clone()));
    measure("read 1 MiB", 1 << 20, 2000, |_| ScsiRequest::read(0, cdb(0x28), 1 << 20));
    measure("write 1 MiB", 1 << 20, 2000, |data| ScsiRequest::write(0, cdb(0x2a), data.clone()));
    measure("no data", 0, COUNT, |_| ScsiRequest::new(0, cdb(0x00)));
}
