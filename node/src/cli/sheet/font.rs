//! The fonts that every program which shows PDF has by itself, and how wide their characters are.
//!
//! Only what the encoding of these fonts has can be shown; the rest is written in Latin letters that
//! sound alike. Source: Adobe's metrics of the fourteen standard fonts; ISO 32000-1, Annex D.

/// One of the fourteen standard fonts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Plain,
    Bold,
    Fixed,
    FixedBold,
}

/// Every character of the two fixed fonts, in thousandths of the size.
const FIXED: u16 = 600;

/// From the blank to the tilde, then from the no-break space to y with two dots, in thousandths.
type Widths = ([u16; 95], [u16; 96]);

#[rustfmt::skip]
const PLAIN: Widths = ([
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
], [
    278, 333, 556, 556, 556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333,
    400, 584, 333, 333, 333, 556, 537, 278, 333, 333, 365, 556, 834, 834, 834, 611,
    667, 667, 667, 667, 667, 667, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611,
    556, 556, 556, 556, 556, 556, 889, 500, 556, 556, 556, 556, 278, 278, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 584, 611, 556, 556, 556, 556, 500, 556, 500,
]);

#[rustfmt::skip]
const BOLD: Widths = ([
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611,
    975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556,
    333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611,
    611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
], [
    278, 333, 556, 556, 556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333,
    400, 584, 333, 333, 333, 611, 556, 278, 333, 333, 365, 556, 834, 834, 834, 611,
    722, 722, 722, 722, 722, 722, 1000, 722, 667, 667, 667, 667, 278, 278, 278, 278,
    722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611,
    556, 556, 556, 556, 556, 556, 889, 556, 556, 556, 556, 556, 278, 278, 278, 278,
    611, 611, 611, 611, 611, 611, 611, 584, 611, 611, 611, 611, 611, 556, 611, 556,
]);

impl Font {
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::Bold, Self::Fixed, Self::FixedBold];

    /// Its name in every PDF reader.
    pub(super) const fn base_name(self) -> &'static str {
        match self {
            Self::Plain => "Helvetica",
            Self::Bold => "Helvetica-Bold",
            Self::Fixed => "Courier",
            Self::FixedBold => "Courier-Bold",
        }
    }

    /// How wide a character is, in thousandths of the size.
    pub(super) fn width(self, c: char) -> u32 {
        let widths = match self {
            Self::Plain => &PLAIN,
            Self::Bold => &BOLD,
            Self::Fixed | Self::FixedBold => return FIXED.into(),
        };
        let code = code(c);
        let (low, high) = (code.checked_sub(32), code.checked_sub(160));
        let found = high.and_then(|at| widths.1.get(usize::from(at)));
        let found = found.or_else(|| widths.0.get(usize::from(low?)));
        // No character that is written is missing; the widest one stands for it.
        u32::from(found.copied().unwrap_or(1015))
    }
}

/// The text in characters that the fonts have. What they do not have is written in Latin letters:
/// whoever reads the sheet has an id beside each name as well.
pub(super) fn latin(text: &str) -> String {
    let mut latin = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' | '\u{a0}'..='\u{ff}' => latin.push(c),
            c => latin.push_str(deunicode::deunicode_char(c).unwrap_or("?")),
        }
    }
    latin
}

/// The byte of a character in the fonts' encoding; of one that they do not have that of `?`.
pub(super) fn code(c: char) -> u8 {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).unwrap_or(b'?'),
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_metrics() {
        let width = |font: Font, text: &str| text.chars().map(|c| font.width(c)).sum::<u32>();
        assert_eq!(width(Font::Plain, "Hello, World"), 5445);
        assert_eq!(width(Font::Bold, "Hello, World"), 5834);
        assert_eq!(width(Font::Plain, "Omas Küche"), 5780);
        assert_eq!(width(Font::FixedBold, "iM"), 1200);
    }

    // SHEET-5
    #[test]
    fn names_in_any_script_can_be_read() {
        assert_eq!(latin("Omas Küche"), "Omas Küche");
        assert_eq!(latin("Бабушка"), "Babushka");
        assert_eq!(latin("居間").trim_end(), "Ju Jian");
        assert_eq!(latin("Zoë’s “NAS”"), "Zoë's \"NAS\"");
        assert_eq!(latin("\u{e000}"), "?");
        for c in latin("Ωμέγα 居間 🏠 \u{7} \u{ad}").chars() {
            assert!(c == '?' || code(c) != b'?', "{c:?}");
        }
    }
}
