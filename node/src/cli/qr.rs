//! A ticket as a square that a phone reads.

use qrcode::{Color, EcLevel, QrCode};

/// Modules along one side at most: with the light border as wide as a line of text, and on paper of a
/// size that any camera reads. A longer ticket stands on the sheet as text alone.
const SIDE_MAX: usize = 72;
/// Light modules around the square, without which it is not found. Source: ISO/IEC 18004, 6.3.8.
pub(super) const BORDER: usize = 4;

/// A QR code: dark and light modules, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    side: usize,
    dark: Vec<bool>,
}

impl Code {
    /// The code of a ticket, in capitals: so it takes a third less room, and who reads a ticket takes
    /// both. As much protection from dirt and folds as there is room for.
    pub(super) fn of(ticket: &str) -> Option<Self> {
        let text = ticket.to_ascii_uppercase();
        let coded = [EcLevel::M, EcLevel::L].into_iter().find_map(|level| {
            let code = QrCode::with_error_correction_level(&text, level).ok()?;
            (code.width() <= SIDE_MAX).then_some(code)
        })?;
        let side = coded.width();
        let dark = coded.into_colors().into_iter().map(|color| color == Color::Dark).collect();
        Some(Self { side, dark })
    }

    /// Modules along one side.
    pub(super) const fn side(&self) -> usize {
        self.side
    }

    /// The modules, line by line from the top.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[bool]> {
        self.dark.chunks(self.side)
    }

    /// Runs of dark modules as column, line and length.
    pub(super) fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        for (y, line) in self.lines().enumerate() {
            let mut x = 0;
            for run in line.chunk_by(|a, b| a == b) {
                if run.first() == Some(&true) {
                    runs.push((x, y, run.len()));
                }
                x += run.len();
            }
        }
        runs
    }

    /// The square for a screen, black on white whatever the terminal's own colours are: light on dark
    /// is not read by every camera.
    pub(super) fn on_a_screen(&self) -> String {
        let width = self.side + 2 * BORDER;
        let line = |line: &String| format!("\u{1b}[30;107m{line:<width$}\u{1b}[0m\n");
        self.text_lines().iter().map(line).collect()
    }

    /// Two lines of modules in one line of text each, dark where there is ink, with the border above,
    /// below and on the left; on the right there is nothing anyway.
    pub(super) fn text_lines(&self) -> Vec<String> {
        let lines: Vec<&[bool]> = self.lines().collect();
        let margin = " ".repeat(BORDER);
        let mut text = vec![String::new(); BORDER / 2];
        for pair in lines.chunks(2) {
            let [upper, lower] = [pair.first(), pair.get(1)];
            let mut line = margin.clone();
            for x in 0..self.side {
                let is_dark =
                    |line: Option<&&[bool]>| line.is_some_and(|line| line.get(x) == Some(&true));
                line.push(match (is_dark(upper), is_dark(lower)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push(line.trim_end().to_owned());
        }
        text.extend(vec![String::new(); BORDER / 2]);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_and_the_text_are_the_same_square() {
        let code = Code::of(&format!("larder-{}", "ab2".repeat(100))).unwrap();
        assert!(code.side() <= SIDE_MAX && code.side() >= 49, "{}", code.side());
        let mut drawn = vec![vec![false; code.side()]; code.side()];
        for (x, y, length) in code.runs() {
            drawn[y][x..x + length].fill(true);
        }
        assert!(code.lines().eq(drawn.iter().map(Vec::as_slice)));
        let text = code.text_lines();
        let shown = &text[BORDER / 2..text.len() - BORDER / 2];
        for (y, line) in drawn.iter().enumerate() {
            let marks: Vec<char> = shown[y / 2].chars().skip(BORDER).collect();
            for (x, is_dark) in line.iter().enumerate() {
                let half = if y % 2 == 0 { '▀' } else { '▄' };
                let mark = marks.get(x).copied().unwrap_or(' ');
                assert_eq!(mark == '█' || mark == half, *is_dark, "{x} {y}");
            }
        }
    }

    #[test]
    fn what_is_too_long_for_a_camera_has_no_square() {
        assert_eq!(Code::of(&"a".repeat(1000)), None);
        assert_eq!(Code::of(&"a".repeat(10_000)), None);
    }
}
