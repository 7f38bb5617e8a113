//! Sizes as people write them: `10G`, `10GB`, `10GiB`, `1.5 TB`, `4096`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// A text that is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseSizeError {
    /// No number, or an unknown unit.
    #[error("not a size; write it as 500M, 10GB, 10GiB or a number of bytes")]
    Syntax,
    /// More than 2^64 - 1 bytes, or not a whole number of bytes.
    #[error("a size is a whole number of bytes below 2^64")]
    Range,
}

/// Decimal units count in thousands, as disks are sold; `KiB`, `MiB` and so on in 1024s.
const UNITS: [(&str, u64); 22] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1_000_000_000_000),
    ("tb", 1_000_000_000_000),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
    ("p", 1_000_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("pi", 1 << 50),
    ("pib", 1 << 50),
];

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let text = text.trim();
        let split =
            text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim().to_ascii_lowercase();
        let factor = UNITS
            .iter()
            .find_map(|(name, factor)| (*name == unit).then_some(u128::from(*factor)))
            .ok_or(ParseSizeError::Syntax)?;
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        if whole.is_empty() || fraction.len() > 15 {
            return Err(ParseSizeError::Syntax);
        }
        let digits: u128 =
            format!("{whole}{fraction}").parse().map_err(|_| ParseSizeError::Syntax)?;
        let places = u32::try_from(fraction.len()).map_err(|_| ParseSizeError::Syntax)?;
        let scaled = digits.checked_mul(factor).ok_or(ParseSizeError::Range)?;
        let divisor = 10_u128.pow(places);
        if scaled % divisor != 0 {
            return Err(ParseSizeError::Range);
        }
        u64::try_from(scaled / divisor).map(Self).map_err(|_| ParseSizeError::Range)
    }
}

/// Three digits and a decimal unit, as disks and networks count: `1.25 GB`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let mut unit = 1_000_u64;
        let mut names = ["kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
        let mut name = "B";
        // The value in thousandths of the unit, rounded: 999,950 B is 1.00 MB, not 1000 kB.
        let mut milli = u128::from(bytes) * 1000;
        while milli >= 999_500
            && let Some(next) = names.next()
        {
            name = next;
            milli = u128::from(bytes) * 1000 / u128::from(unit);
            unit = unit.saturating_mul(1000);
        }
        if name == "B" {
            return f.pad(&format!("{bytes} B"));
        }
        let text = if milli >= 99_950 {
            format!("{} {name}", (milli + 500) / 1000)
        } else if milli >= 9_995 {
            let tenths = (milli + 50) / 100;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        } else {
            let hundredths = (milli + 5) / 10;
            format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u64, ParseSizeError> {
        text.parse::<ByteSize>().map(|size| size.0)
    }

    #[test]
    fn sizes_in_every_unit_are_read() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("10G"), Ok(10_000_000_000));
        assert_eq!(parse("10GB"), Ok(10_000_000_000));
        assert_eq!(parse("10 GiB"), Ok(10 << 30));
        assert_eq!(parse("1.5tib"), Ok(3 << 39));
        assert_eq!(parse("1_000"), Ok(1000));
        assert_eq!(parse("0.5k"), Ok(500));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "G", "10X", "-1", "1e9", ".5G", "ten", "1.2.3", "10 G B"] {
            assert_eq!(parse(text), Err(ParseSizeError::Syntax), "{text}");
        }
        for text in ["99999P", "1.5", "0.0001k", "18446744073709551616"] {
            assert_eq!(parse(text), Err(ParseSizeError::Range), "{text}");
        }
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        let show = |bytes| ByteSize(bytes).to_string();
        assert_eq!(show(0), "0 B");
        assert_eq!(show(999), "999 B");
        assert_eq!(show(1000), "1.00 kB");
        assert_eq!(show(999_950), "1.00 MB");
        assert_eq!(show(12_345_678), "12.3 MB");
        assert_eq!(show(123_456_789), "123 MB");
        assert_eq!(show(99_990_000), "100 MB");
        assert_eq!(show(9_999_000), "10.0 MB");
        assert_eq!(show(u64::MAX), "18.4 EB");
    }
}
