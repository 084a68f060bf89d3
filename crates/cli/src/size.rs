//! Sizes on the command line: a number of bytes, or one with k, m, g or t behind it.

/// Parses `4096`, `4k`, `1m`, `2GiB`: powers of 1024, in either case. For clap's `value_parser`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("`{unit}` is no unit: use k, m, g or t")),
    };
    let number: u64 = number.parse().map_err(|_| "a size is a number, as in 4k or 1m".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "the size does not fit into 64 bits".to_owned())
}

/// A number of bytes as people read it: `512 B`, `4.0 KiB`, `1.5 GiB`.
#[allow(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
pub(crate) fn show_size(bytes: f64) -> String {
    let mut value = bytes;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].iter();
    let mut unit = units.next().unwrap_or(&"B");
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if *unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_all_forms() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("4k"), Ok(4096));
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        for bad in ["", "k", "4x", "-1", "1.5m", "99999999t"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_with_their_unit() {
        assert_eq!(show_size(512.0), "512 B");
        assert_eq!(show_size(4096.0), "4.0 KiB");
        assert_eq!(show_size(1.5 * 1024.0 * 1024.0 * 1024.0), "1.5 GiB");
    }
}
