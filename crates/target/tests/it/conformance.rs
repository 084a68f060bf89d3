//! A sample of libiscsi's conformance tests; `make conformance` runs all of them.

use std::process::Command;

use crate::{Bench, IQN};

/// Tests of every kind that take no long time. (ALL.iSCSITMF.LUNResetSimpleAsync passes only behind its neighbour, on
/// any target: the lab's test runs both.)
const SAMPLE: &[&str] = &[
    "CompareAndWrite.Simple",
    "CompareAndWrite.Miscompare",
    "Inquiry.Standard",
    "Inquiry.AllocLength",
    "Inquiry.BlockLimits",
    "Inquiry.SupportedVPD",
    "Mandatory.MandatorySBC",
    "ModeSense6.Residuals",
    "OrWrite.Simple",
    "Read10.Simple",
    "Read16.BeyondEol",
    "ReadCapacity16.Alloclen",
    "ReportSupportedOpcodes.OneCommand",
    "Unmap.Simple",
    "Verify16.Mismatch",
    "Write10.Async",
    "WriteSame10.UnmapUntilEnd",
    "WriteSame16.Unmap",
    "WriteVerify16.Simple",
    "iSCSIcmdsn.iSCSICmdSnTooHigh",
    "iSCSIdatasn.iSCSIDataSnInvalid",
    "iSCSIResiduals.Write10Residuals",
    "iSCSITMF.AbortTaskSimpleAsync",
];

#[test]
fn sample() {
    let bench = Bench::new();
    let url = format!("iscsi://{}/{IQN}/0", bench.portal());
    for test in SAMPLE {
        let run = Command::new("timeout")
            .args(["60", "iscsi-test-cu", "--dataloss", "--fail", &format!("--test=ALL.{test}"), &url])
            .output();
        let output = match run {
            Ok(output) if output.status.code() != Some(127) => output,
            _ => return println!("skipped: iscsi-test-cu is not installed (apt-get install libiscsi-bin)"),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let ran = text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("tests") && words.eq(["1", "1", "1", "0", "0"])
        });
        assert!(ran && output.status.success(), "{test}:\n{text}");
    }
}
