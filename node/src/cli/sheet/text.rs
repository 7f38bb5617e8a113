//! The sheet as plain text, for the terminal, a printer, or a file.

use std::fmt::Write;

use larder_protocol::keys::phrase::{PHRASE_WORDS, Phrase};
use zeroize::Zeroizing;

use super::{
    content::{Block, Part, Place, Sheet},
    wrap::wrap,
};

/// Columns of a line: what every printer and terminal has.
const COLUMNS: u32 = 78;
/// Columns of words; as `init` shows them.
const WORD_COLUMNS: usize = 4;
/// A string that grows leaves copies behind: more than any sheet with the words takes.
pub(super) const BYTES_MAX: usize = 512 * 1024;

/// The whole text.
pub(super) fn text(sheet: &Sheet) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX));
    underlined(&mut text, sheet.title, '=');
    paragraph(&mut text, "", &sheet.about);
    for one in &sheet.parts {
        part(&mut text, one);
    }
    text
}

fn part(text: &mut String, part: &Part) {
    text.push('\n');
    if !part.heading.is_empty() {
        text.push('\n');
        underlined(text, part.heading, '-');
    }
    for (at, block) in part.blocks.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        match block {
            Block::Text(said) => paragraph(text, "", said),
            Block::Warning(said) => paragraph(text, "! ", said),
            Block::Words(phrase) => words(text, phrase.as_ref()),
            Block::Step { number, text: what, command } => {
                step(text, *number, what);
                line(text, "");
                paragraph(text, "      ", command);
            }
            Block::Table(rows) => table(text, rows),
            Block::Holder(place) => holder(text, place),
            // In one line, however long: what is broken in two is copied wrongly.
            Block::Copy(copied) => line(text, &["  ", copied].concat()),
        }
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn underlined(text: &mut String, heading: &str, with: char) {
    line(text, heading);
    line(text, &with.to_string().repeat(heading.chars().count()));
}

/// Lines that begin so.
fn paragraph(text: &mut String, begin: &str, words: &str) {
    for wrapped in lines(words, begin) {
        line(text, &[begin, &wrapped].concat());
    }
}

fn lines(words: &str, begin: &str) -> Vec<String> {
    let indent = u32::try_from(begin.len()).unwrap_or(COLUMNS);
    wrap(words, COLUMNS.saturating_sub(indent), |_| 1)
}

fn step(text: &mut String, number: usize, words: &str) {
    let mut begin = format!("{number:>2}. ");
    for wrapped in lines(words, &begin) {
        line(text, &[begin.as_str(), &wrapped].concat());
        begin = " ".repeat(begin.len());
    }
}

/// Down the columns, as `init` shows them.
fn words(text: &mut String, phrase: Option<&Phrase>) {
    let shown = phrase.map(Phrase::words);
    let words: Vec<&str> = shown.iter().flat_map(|words| words.iter()).collect();
    let rows = PHRASE_WORDS.div_ceil(WORD_COLUMNS);
    for row in 0..rows {
        for column in 0..WORD_COLUMNS {
            let at = column * rows + row;
            let word = words.get(at).copied().unwrap_or("_____________");
            // A string takes whatever is written to it.
            let _infallible = write!(text, " {:>2}. {word:<14}", at + 1);
        }
        text.push('\n');
        if phrase.is_none() {
            text.push('\n');
        }
    }
}

fn table(text: &mut String, rows: &[[String; 3]]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    // A long name has the line for itself.
    let first = width(0).min(36);
    let second = width(1);
    for [name, head, time] in rows {
        let mut name = wrap(name, 36, |_| 1);
        let last = name.pop().unwrap_or_default();
        for begun in name {
            line(text, &begun);
        }
        line(text, &format!("{last:<first$}  {head:<second$}  {time}"));
    }
}

fn holder(text: &mut String, place: &Place) {
    paragraph(text, "", &place.name);
    paragraph(text, "  ", &place.about);
    text.push('\n');
    paragraph(text, "    ", &place.ticket);
    for row in place.code.iter().flat_map(|code| code.text_lines()) {
        line(text, &row);
    }
}
