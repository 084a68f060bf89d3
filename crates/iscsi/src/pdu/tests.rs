use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(2000)))]

    #[test]
    fn what_parses_encodes_to_the_same_bytes(mut bytes in any::<[u8; BHS_LEN]>(), op in 0..18_usize) {
        bytes[0] = bytes[0] & 0xc0 | Opcode::ALL[op].code();
        bytes[1] |= 0x80;
        if op != 1 { bytes[4] = 0; }
        if let Ok(pdu) = Pdu::parse(&bytes) {
            prop_assert_eq!(pdu.as_bytes(), &bytes);
            prop_assert_eq!(pdu.opcode(), Opcode::ALL[op]);
        }
    }
}

fn field(bytes: &[u8; BHS_LEN]) -> &'static str {
    match Pdu::parse(bytes) {
        Err(PduError::Field { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_blank_final_header_parses() {
    for op in Opcode::ALL {
        let mut bytes = [0; BHS_LEN];
        bytes[0] = op.code();
        bytes[1] = match op {
            Opcode::LoginRequest | Opcode::LoginResponse => 0x81,
            _ => 0x80,
        };
        bytes[47] = 1; // Desired Data Transfer Length
        assert_eq!(Pdu::parse(&bytes).map(|pdu| pdu.opcode()), Ok(op));
    }
}

#[test]
fn contradictions_are_named() {
    let mut r2t = [0; BHS_LEN];
    r2t[0] = 0x31;
    assert_eq!(field(&r2t), "F");
    r2t[1] = 0x80;
    assert_eq!(field(&r2t), "Desired Data Transfer Length");
    r2t[7] = 1;
    assert_eq!(field(&r2t), "DataSegmentLength");
    r2t[4] = 1;
    assert_eq!(field(&r2t), "TotalAHSLength");
    let mut login = [0; BHS_LEN];
    login[0] = 0x43;
    login[1] = 0xc1;
    assert_eq!(field(&login), "flags");
    login[1] = 0x08;
    assert_eq!(field(&login), "CSG");
    for nsg in [0, 2] {
        login[1] = 0x80 | nsg;
        assert_eq!(field(&login), "NSG");
    }
    assert_eq!(Pdu::parse(&[0x1f; BHS_LEN]), Err(PduError::UnknownOpcode { opcode: 0x1f }));
}
