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
    "iSCSIResiduals",
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
    let outcome = conformance::run(&oxsan, &only, &mut |line| lines.push(line.to_owned())).unwrap();
    let bad: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("FAIL") || line.starts_with("HUNG")).collect();
    assert!(bad.is_empty() && outcome.passed >= 50, "{outcome}\n{bad:#?}");
}
