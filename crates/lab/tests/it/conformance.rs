//! A sample of libiscsi's suite on our target: some tests of each family; `make conformance` runs all.

use lab::conformance;
use std::path::Path;

const SAMPLE: &[&str] = &[
    "Inquiry",
    "ModeSense6.AllPages",
    "Read10.",
    "Read16.Beyond",
    "ReadCapacity16",
    "ReportSupportedOpcodes",
    "TestUnitReady",
    "Unmap.",
    "Verify10",
    "Write10.",
    "Write16.DpoFua",
    "WriteSame16",
    "CompareAndWrite",
    "iSCSIcmdsn",
    "iSCSIdatasn",
    "iSCSIResiduals",
    "iSCSITMF",
    "MultipathIO",
    "ReadOnly",
    "StartStopUnit",
];

#[test]
fn a_sample_of_libiscsis_suite_passes() {
    if !Path::new(conformance::PROGRAM).exists() {
        println!("skipped: no {} (Debian's libiscsi-bin)", conformance::PROGRAM);
        return;
    }
    let oxsan = lab::build_oxsan().unwrap();
    let only: Vec<String> = SAMPLE.iter().map(|word| (*word).to_owned()).collect();
    let mut lines = Vec::new();
    let outcome = conformance::run(&oxsan, &only, 2, &mut |line| lines.push(line.to_owned())).unwrap();
    let bad: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("FAIL") || line.starts_with("HUNG")).collect();
    // Skipped may be what the target rightly has not: media that can be ejected.
    let skipped: Vec<&String> = lines.iter().filter(|line| line.starts_with("skip")).collect();
    assert_eq!(skipped, ["skip ALL.StartStopUnit.Simple"]);
    assert!(bad.is_empty() && outcome.passed >= 60, "{outcome}\n{bad:#?}");
}
