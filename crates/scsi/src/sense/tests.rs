use super::code::NAMED;
use super::{AdditionalSense, FieldPointer, Sense, SenseFormat, SenseKey, Specific};
use proptest::prelude::*;

#[test]
fn keys_come_back() {
    for code in 0..16 {
        assert_eq!(SenseKey::parse(code).code(), code);
    }
}

#[test]
fn every_named_code_has_a_text() {
    for code in NAMED {
        assert!(code.text().is_some_and(|text| !text.is_empty()), "{code:?}");
    }
}

/// Sense data as tgtd and LIO sent it, and what it says.
#[test]
fn captured() {
    for (hex, key, code) in [
        ("700006000000000a00000000290000000000", SenseKey::UnitAttention, AdditionalSense::POWER_ON_OR_RESET),
        (
            "700006000000000a000000003f0e000000000000",
            SenseKey::UnitAttention,
            AdditionalSense::REPORTED_LUNS_CHANGED,
        ),
        (
            "700006000000000a000000002a03000000000000",
            SenseKey::UnitAttention,
            AdditionalSense::RESERVATIONS_PREEMPTED,
        ),
        ("700005000000000a00000000210000000000", SenseKey::IllegalRequest, AdditionalSense::LBA_OUT_OF_RANGE),
        (
            "700002000000000a000000000800000000000000",
            SenseKey::NotReady,
            AdditionalSense::COMMUNICATION_FAILURE,
        ),
    ] {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let sense = Sense::parse(&bytes).unwrap();
        assert_eq!(sense, Sense::new(key, code));
        assert_eq!(sense.encode(SenseFormat::Fixed), bytes[..18]);
    }
}

#[test]
fn a_large_lba_does_not_fit_the_fixed_format() {
    let sense = Sense::illegal(AdditionalSense::LBA_OUT_OF_RANGE).with_information(1 << 33);
    assert_eq!(Sense::parse(&sense.encode(SenseFormat::Fixed)).unwrap().information, None);
    assert_eq!(Sense::parse(&sense.encode(SenseFormat::Descriptor)), Ok(sense));
}

#[test]
fn says_it_in_words() {
    let field = FieldPointer { in_cdb: true, byte: 2, bit: Some(7) };
    let sense = Sense::illegal(AdditionalSense::INVALID_FIELD_IN_CDB).with_field(field);
    assert_eq!(sense.to_string(), "illegal request: invalid field in CDB, byte 2 of the CDB");
}

#[test]
fn what_is_no_sense_is_an_error() {
    assert!(Sense::parse(&[]).is_err());
    assert!(Sense::parse(&[0x70, 0]).is_err());
    assert!(Sense::parse(&[0x00; 18]).is_err());
    assert!(Sense::parse(&[0x72; 7]).is_err());
}

prop_compose! {
    fn sense()(
        key in 0u8..16, asc: u8, ascq: u8, deferred: bool, information in proptest::option::of(any::<u32>()),
        command_specific in proptest::option::of(1..u32::MAX), in_cdb: bool, byte: u16,
        bit in proptest::option::of(0u8..8), specific: bool, raw in (0u8..0x80, any::<u8>(), any::<u8>()),
    ) -> Sense {
        let key = SenseKey::parse(key);
        let specific = specific.then_some(if key == SenseKey::IllegalRequest {
            Specific::Field(FieldPointer { in_cdb, byte, bit })
        } else {
            Specific::Raw([raw.0, raw.1, raw.2])
        });
        Sense {
            key, code: AdditionalSense { asc, ascq }, deferred, information: information.map(u64::from),
            command_specific: command_specific.map(u64::from), specific,
        }
    }
}

proptest! {
    #[test]
    fn comes_back(sense in sense()) {
        for format in [SenseFormat::Fixed, SenseFormat::Descriptor] {
            prop_assert_eq!(Sense::parse(&sense.encode(format)), Ok(sense));
        }
    }

    #[test]
    fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 1..64), code in 0x70u8..0x74) {
        let _ = Sense::parse(&bytes);
        bytes[0] = code;
        let _ = Sense::parse(&bytes);
    }
}
