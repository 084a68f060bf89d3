//! Serial number arithmetic for CmdSN, StatSN and their kin (RFC 1982 with 32 bits).

/// Whether `a` comes before `b`. Numbers 2³¹ apart have no order and give `false` both ways round.
pub fn before(a: u32, b: u32) -> bool {
    let ahead = b.wrapping_sub(a);
    ahead != 0 && ahead < 1 << 31
}

/// Whether `a` is `b` or comes before it.
pub fn at_or_before(a: u32, b: u32) -> bool {
    a == b || before(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps() {
        assert!(before(0xffff_ffff, 0));
        assert!(!before(0, 0xffff_ffff));
        assert!(before(1, 2));
        assert!(!before(2, 2));
        assert!(at_or_before(2, 2));
        assert!(!before(0, 1 << 31));
        assert!(!before(1 << 31, 0));
    }
}
