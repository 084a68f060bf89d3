use proptest::prelude::*;

use super::*;

/// The definition, bit by bit.
fn slow_hamming(data: &[u8]) -> u16 {
    let mut parity = 0;
    let mut position = 0_usize;
    for bit in 0..data.len() * 8 {
        position += 1;
        while position.is_power_of_two() {
            position += 1;
        }
        if data[bit / 8] >> (bit % 8) & 1 == 1 {
            parity ^= position;
        }
    }
    u16::try_from(parity).unwrap()
}

/// CRC and ECC of whole buffers, nothing zeroed: the form of the known vectors.
fn plain(data: &[u8]) -> (u32, u16) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(data);
    (!hasher.finalize(), hamming(data, usize::MAX))
}

#[test]
fn known_vectors() {
    let all = |byte: u8| move |len: usize| vec![byte; len];
    let first = |len: usize| {
        let mut data = vec![0; len];
        data[0] = 1;
        data
    };
    let last = |len: usize| {
        let mut data = vec![0; len];
        data[len - 1] = 0x80;
        data
    };
    let count = |len: usize| (0..len).map(|k| u8::try_from(k & 0xff).unwrap()).collect();
    type Make<'a> = &'a dyn Fn(usize) -> Vec<u8>;
    let table: [(Make<'_>, [(u32, u16); 4]); 5] = [
        (&all(0), [(0x4d55_8a87, 0), (0x104a_50d1, 0), (0x0e17_4561, 0), (0x38e3_ffee, 0)]),
        (
            &all(0xff),
            [(0x4284_3c60, 0x1ffe), (0x47c5_000b, 0x1ff0), (0xc0aa_2e80, 0x7fff), (0x0eab_98f5, 0x7fef)],
        ),
        (&first, [(0x5d27_51af, 3), (0xe8db_a1be, 3), (0x86a1_ff02, 3), (0x623b_56c2, 3)]),
        (&last, [(0xa0ed_09a7, 0x100d), (0xfdf2_d3f1, 0x200e), (0xe3af_c641, 0x400f), (0xd55b_7cce, 0x8010)]),
        (
            &count,
            [(0xe39e_ca89, 0x1f72), (0x48f4_b3d9, 0x1f7c), (0x60a1_22a7, 0x7f73), (0x5d6e_df7d, 0xbf62)],
        ),
    ];
    for (make, want) in table {
        for (len, want) in [512, 1024, 2048, 4096].into_iter().zip(want) {
            assert_eq!(plain(&make(len)), want, "{len} bytes");
        }
    }
}

#[test]
fn positions_of_the_code() {
    for (bit, position) in [(0, 3), (1, 5), (2, 6), (3, 7), (4, 9), (7, 12), (10, 15), (11, 17), (26, 33)] {
        assert_eq!(data_bit(position), Some(bit));
    }
    assert_eq!(data_bit(4109), Some(4095));
    assert_eq!(data_bit(32784), Some(32767));
    for parity in [0, 1, 2, 4, 4096, 32768] {
        assert_eq!(data_bit(parity), None);
    }
}

#[test]
fn an_offset_outside_the_block_is_no_check() {
    assert_eq!(compute(&[0; 512], 508), None);
    assert_eq!(compute(&[0; 512], 12), None);
    assert_eq!(compute(&[0; 512], usize::MAX - 7), None);
    assert!(!seal(&mut [0; 4], 0));
    assert!(matches!(verify(&mut [0; 4], 0), Verdict::Bad { .. }));
}

/// Blocks of every size with a check field at any aligned place.
fn blocks() -> impl Strategy<Value = (Vec<u8>, usize)> {
    (9_u32..=12).prop_flat_map(|bits| {
        let len = 1_usize << bits;
        (prop::collection::vec(any::<u8>(), len), (0..len / 8).prop_map(|word| word * 8))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(64)))]

    #[test]
    fn the_fast_code_is_the_slow_code((mut data, offset) in blocks()) {
        let fast = hamming(&data, offset);
        data[offset..offset + 8].fill(0);
        prop_assert_eq!(fast, slow_hamming(&data));
    }

    #[test]
    fn one_bit_is_repaired((mut data, offset) in blocks(), at in any::<prop::sample::Index>()) {
        prop_assert!(seal(&mut data, offset));
        prop_assert_eq!(verify(&mut data, offset), Verdict::Good);
        let good = data.clone();
        let bit = at.index(data.len() * 8);
        flip(&mut data, bit);
        let verdict = verify(&mut data, offset);
        let field = bit / 8 % data.len();
        if (offset..offset + 4).contains(&field) {
            // The stored CRC is wrong: the data cannot be proved good.
            let is_bad = matches!(verdict, Verdict::Bad { .. });
            prop_assert!(is_bad);
        } else if (offset + 4..offset + 8).contains(&field) {
            prop_assert_eq!(verdict, Verdict::Good);
        } else {
            prop_assert_eq!(verdict, Verdict::Repaired { byte: bit / 8 });
            prop_assert_eq!(data, good);
        }
    }

    #[test]
    fn two_bits_are_not_repaired_and_not_touched(
        (mut data, offset) in blocks(),
        one in any::<prop::sample::Index>(),
        two in any::<prop::sample::Index>(),
    ) {
        prop_assert!(seal(&mut data, offset));
        let outside = |index: prop::sample::Index| {
            let byte = index.index(data.len() - 8);
            if byte < offset { byte } else { byte + 8 }
        };
        let (one, two) = (outside(one), outside(two));
        prop_assume!(one != two);
        data[one] ^= 0x10;
        data[two] ^= 0x02;
        let damaged = data.clone();
        let is_bad = matches!(verify(&mut data, offset), Verdict::Bad { .. });
        prop_assert!(is_bad);
        prop_assert_eq!(data, damaged);
    }
}
