//! Lengths of time as people write them: `30min`, `12h`, `90d`, `8w`, `1y`.

/// Seconds of each unit. Months have no fixed length and are not taken.
const UNITS: [(&str, u64); 6] =
    [("y", 31_557_600), ("w", 604_800), ("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
/// Units in which lengths are written.
const SHOWN: [&str; 5] = ["y", "d", "h", "min", "s"];

/// Seconds, more than none.
///
/// # Errors
/// A sentence for the user.
pub fn parse_span(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(factor))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "a time is a number with a unit: 30min, 12h, 90d, 8w, 1y".to_owned())
}

/// Exact, in the largest unit that divides it.
pub fn show_span(seconds: u64) -> String {
    UNITS
        .iter()
        .filter(|(unit, _)| SHOWN.contains(unit))
        .find(|(_, factor)| seconds != 0 && seconds.is_multiple_of(*factor))
        .map_or_else(|| "0s".to_owned(), |(unit, factor)| format!("{}{unit}", seconds / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units_and_written_so_that_they_are_read_the_same() {
        let read = [("90d", 7_776_000), ("30min", 1800), ("8w", 4_838_400), ("1y", 31_557_600)];
        for (text, seconds) in read {
            assert_eq!(parse_span(text), Ok(seconds), "{text}");
            assert_eq!(parse_span(&show_span(seconds)), Ok(seconds), "{text}");
        }
        assert_eq!([7200, 90, 86_400].map(show_span), ["2h", "90s", "1d"]);
        for text in ["", "d", "0d", "-1d", "1.5h", "3 d", "1m", "99999999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
