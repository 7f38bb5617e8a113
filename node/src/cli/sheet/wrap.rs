//! Text in lines that are no wider than there is room.

/// Breaks a text between its words; a word that is wider than a line is cut. `width` tells how wide a
/// character is, in the unit of `room`. A line has one character at least.
pub(super) fn wrap(text: &str, room: u32, width: impl Fn(char) -> u32) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for word in text.split_whitespace() {
        let wide: u32 = word.chars().map(&width).sum();
        if !line.is_empty() && used + width(' ') + wide <= room {
            line.push(' ');
            used += width(' ');
        } else if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for c in word.chars() {
            if used + width(c) > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += width(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_whole_where_they_can() {
        let wrapped = |text, room| wrap(text, room, |_| 1);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one abcdefghij two", 4), ["one", "abcd", "efgh", "ij", "two"]);
        assert_eq!(wrapped("  a   b ", 80), ["a b"]);
        assert_eq!(wrapped("", 80), [""; 0]);
        assert_eq!(wrapped("ab", 0), ["a", "b"]);
    }

    proptest! {
        // SHEET-4
        #[test]
        fn no_line_is_too_wide_and_nothing_is_lost(text in "[a-z äM]{0,200}", room in 5_u32..60) {
            let width = |c| if c == 'M' { 5 } else { 2 };
            let lines = wrap(&text, room, width);
            for line in &lines {
                prop_assert!(line.chars().map(width).sum::<u32>() <= room, "{line:?}");
            }
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&lines.join(" ")), letters(&text));
        }
    }
}
