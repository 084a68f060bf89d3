//! What was measured, for people and for programs.

use std::io::{self, Write as _};

use serde::Serialize;

use super::PerfArgs;
use super::load::Load;
use crate::size::show_size;

/// The JSON object of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    volume: &'a str,
    rw: &'static str,
    /// Bytes in a request.
    bs: u64,
    depth: u32,
    /// Requests that completed.
    ios: u64,
    bytes: u64,
    /// Measured time.
    seconds: f64,
    iops: f64,
    bytes_per_second: f64,
    latency_us: Latency,
    /// Processor time of this process, user and system.
    cpu_seconds: f64,
    cpu_us_per_io: f64,
    /// The user ended the run early.
    interrupted: bool,
    /// The error that ended the run.
    error: Option<String>,
}

/// Microseconds.
#[derive(Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

/// Prints the numbers to standard output.
pub(super) fn print(args: &PerfArgs, volume: &str, load: &Load) -> io::Result<()> {
    let report = Report::new(args, volume, load);
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &report)?;
        return writeln!(out);
    }
    writeln!(
        out,
        "{}: {} of {}, {} in flight, {:.1} s{}",
        report.volume,
        report.rw,
        show_size(count(report.bs)),
        report.depth,
        report.seconds,
        if report.interrupted { " (interrupted)" } else { "" }
    )?;
    writeln!(out, "  {:.0} IOPS, {}/s", report.iops, show_size(report.bytes_per_second))?;
    let Latency { min, mean, p50, p90, p99, p999, max } = report.latency_us;
    writeln!(
        out,
        "  latency in us: min {min:.0}, mean {mean:.0}, 50% {p50:.0}, 90% {p90:.0}, 99% {p99:.0}, 99.9% {p999:.0}, max {max:.0}"
    )?;
    writeln!(out, "  cpu: {:.2} s, {:.2} us a request", report.cpu_seconds, report.cpu_us_per_io)
}

impl<'a> Report<'a> {
    fn new(args: &PerfArgs, volume: &'a str, load: &Load) -> Self {
        let seconds = load.elapsed.as_secs_f64();
        let rate = |total: f64| if seconds > 0.0 { total / seconds } else { 0.0 };
        let bytes = load.ios.saturating_mul(args.bs);
        let cpu_seconds = load.cpu.as_secs_f64();
        Self {
            volume,
            rw: args.rw.name(),
            bs: args.bs,
            depth: args.depth,
            ios: load.ios,
            bytes,
            seconds,
            iops: rate(count(load.ios)),
            bytes_per_second: rate(count(bytes)),
            latency_us: Latency::of(load),
            cpu_seconds,
            cpu_us_per_io: if load.ios > 0 { cpu_seconds * 1e6 / count(load.ios) } else { 0.0 },
            interrupted: load.interrupted,
            error: load.error.as_ref().map(ToString::to_string),
        }
    }
}

impl Latency {
    fn of(load: &Load) -> Self {
        let at = |quantile| micros(load.latency.value_at_quantile(quantile));
        Self {
            min: if load.ios > 0 { micros(load.latency.min()) } else { 0.0 },
            mean: load.latency.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(load.latency.max()),
        }
    }
}

fn micros(nanos: u64) -> f64 {
    count(nanos) / 1e3
}

#[allow(clippy::cast_precision_loss, reason = "for display; exact up to 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}
