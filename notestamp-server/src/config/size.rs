//! Sizes as people write them: `64KiB`, `2GiB`, `10MB`, `4096`.

use super::InvalidSetting;

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Parses a size of at least one byte; the letter case of the unit does not count.
///
/// Databases store sizes as signed 64-bit integers, so larger sizes are refused.
pub(super) fn parse(text: &str) -> Result<u64, InvalidSetting> {
    match parse_or_zero(text) {
        Ok(0) => Err(InvalidSetting::new("must be at least one byte")),
        parsed => parsed,
    }
}

/// The same, of any number of bytes.
pub(super) fn parse_or_zero(text: &str) -> Result<u64, InvalidSetting> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim_start()));
    let (Some((_, factor)), false) = (factor, number.is_empty()) else {
        return Err(InvalidSetting::new(format!(
            "`{text}` is not a size: write a number of bytes, or one with a unit, like 64KiB, 2GiB or 10MB"
        )));
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    match bytes.filter(|bytes| i64::try_from(*bytes).is_ok()) {
        Some(bytes) => Ok(bytes),
        None => Err(InvalidSetting::new(format!("`{text}` is larger than the largest possible size"))),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn binary_and_decimal_units_and_plain_bytes_are_read() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1B", 1),
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            ("2gib", 2_147_483_648),
            ("10kB", 10_000),
            ("10KB", 10_000),
            ("3MB", 3_000_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_invalid_size_is_refused() {
        for text in
            ["", "KiB", "2G", "-1", "1.5GiB", "0", "0MiB", "9999999TiB", "99999999999999999999", "2 GiB x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
