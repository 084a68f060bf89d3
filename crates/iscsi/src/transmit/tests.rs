use bytes::Bytes;

use super::*;
use crate::pdu::RawNopOut;

#[test]
fn large_data_goes_by_reference_and_partial_sends_go_on() {
    let data = Bytes::from((0..10_000_u32).map(|i| i as u8).collect::<Vec<_>>());
    let mut whole = Vec::new();
    for step in [1, 7, 48, 49, 4096, 100_000] {
        let mut tx = Transmit::default();
        tx.push(RawNopOut::blank(), b"abc");
        tx.push_data(RawNopOut::blank(), &[], &Payload::new(data.clone()), 100..8100);
        tx.push(RawNopOut::blank(), b"");
        let total = 48 + 4 + 48 + 8000 + 48;
        assert_eq!(tx.len(), total);
        let mut out = Vec::new();
        while !tx.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let count = tx.fill(&mut slices);
            assert!(count <= 3);
            let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(slices[..count].iter().all(|slice| !slice.is_empty()));
            assert_eq!(bytes.len(), tx.len());
            let sent = bytes.len().min(step);
            out.extend_from_slice(&bytes[..sent]);
            tx.advance(sent);
        }
        assert_eq!(out.len(), total);
        assert_eq!(out[100..8100], data[100..8100]);
        if whole.is_empty() {
            whole = out;
        } else {
            assert_eq!(whole, out);
        }
    }
}

#[test]
fn the_header_buffer_is_used_again() {
    let mut tx: Transmit<Bytes> = Transmit::default();
    for _ in 0..10_000 {
        tx.push(RawNopOut::blank(), b"");
        tx.push(RawNopOut::blank(), b"");
        tx.advance(48);
    }
    assert_eq!(tx.len(), 480_000);
    for _ in 0..10_000 {
        tx.advance(48);
    }
    assert!(tx.is_empty());
    assert_eq!(tx.small.len(), 0);
}
