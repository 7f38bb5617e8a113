//! Where on which page everything stands. Lengths are in tenths of a point, from the upper left corner.
//!
//! What does not fit goes on the next page: nothing is cut off, and nothing lies over something else.

use larder_protocol::keys::phrase::{PHRASE_WORDS, Phrase};
use zeroize::Zeroizing;

use super::{
    content::{Block, Part, Place, Sheet},
    font::{Font, code, latin},
    wrap::wrap,
};
use crate::cli::qr::{BORDER, Code};

/// A4.
pub(super) const WIDTH: u32 = 5_953;
pub(super) const HEIGHT: u32 = 8_419;
/// Free on the left and right: a punch, and printers that do not reach the edge.
pub(super) const MARGIN: u32 = 480;
pub(super) const TOP: u32 = 380;
/// What is written ends here; below it is the foot of the page.
pub(super) const BOTTOM: u32 = 8_060;
const FOOT: u32 = 8_200;
const ROOM: u32 = WIDTH - 2 * MARGIN;

const WORD_COLUMNS: u32 = 4;
const WORD_ROWS: u32 = 6;
/// A printed word; and a line to write on by hand.
const WORD_ROW: [u32; 2] = [205, 225];
/// One module of a square: 0.46 mm, which a phone reads from a hand's breadth.
const MODULE: u32 = 13;
/// Between a square and the text beside it.
const GUTTER: u32 = 140;

/// Something to be drawn.
pub(super) enum Mark<'a> {
    /// Letters, from the left end of their baseline.
    Letters { at: (u32, u32), style: Style, letters: Zeroizing<Vec<u8>> },
    /// A thin line to the right.
    Rule { at: (u32, u32), length: u32 },
    /// A grey area, from its upper left corner.
    Area { at: (u32, u32), size: (u32, u32) },
    /// A frame, from its upper left corner.
    Frame { at: (u32, u32), size: (u32, u32) },
    /// A square, from its upper left corner without the border, with modules so large.
    Square { at: (u32, u32), module: u32, code: &'a Code },
}

/// How letters look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) font: Font,
    /// Tenths of a point.
    pub(super) size: u32,
    /// From one line to the next.
    leading: u32,
}

const TITLE: Style = Style { font: Font::Bold, size: 210, leading: 250 };
const HEADING: Style = Style { font: Font::Bold, size: 120, leading: 165 };
const BODY: Style = Style { font: Font::Plain, size: 96, leading: 120 };
const STRONG: Style = Style { font: Font::Bold, size: 96, leading: 120 };
const SMALL: Style = Style { font: Font::Plain, size: 85, leading: 112 };
const WORD: Style = Style { font: Font::Bold, size: 140, leading: 205 };
const COMMAND: Style = Style { font: Font::FixedBold, size: 96, leading: 120 };
/// What would not fit in one line: the address of a relay with token and fingerprint does in this one.
const LONG: Style = Style { font: Font::Fixed, size: 74, leading: 100 };
const TICKET: Style = Style { font: Font::Fixed, size: 84, leading: 100 };

impl Style {
    /// How wide a text is, rounded up.
    pub(super) fn width(self, text: &str) -> u32 {
        self.thousandths(text).div_ceil(1000)
    }

    fn thousandths(self, text: &str) -> u32 {
        text.chars().map(|c| self.font.width(c) * self.size).sum()
    }

    fn lines(self, text: &str, room: u32) -> Vec<String> {
        wrap(&latin(text), room * 1000, |c| self.font.width(c) * self.size)
    }

    /// How high a text is in lines of this width.
    fn height(self, text: &str, room: u32) -> u32 {
        count(self.lines(text, room).len()) * self.leading
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The pages of a sheet.
pub(super) fn pages(sheet: &Sheet) -> Vec<Vec<Mark<'_>>> {
    let mut layout = Layout { pages: vec![Vec::new()], y: TOP };
    layout.text(TITLE, MARGIN, ROOM, sheet.title);
    layout.text(SMALL, MARGIN, ROOM, &sheet.about);
    layout.space(30);
    for part in &sheet.parts {
        layout.part(part);
    }
    layout.feet(&sheet.about);
    layout.pages
}

struct Layout<'a> {
    pages: Vec<Vec<Mark<'a>>>,
    /// Where the next thing goes on the last page.
    y: u32,
}

impl<'a> Layout<'a> {
    fn put(&mut self, mark: Mark<'a>) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    /// What is so high will be on one page.
    fn keep(&mut self, height: u32) {
        if self.y > TOP && self.y + height > BOTTOM {
            self.pages.push(Vec::new());
            self.y = TOP;
        }
    }

    /// Takes so much of the height; tells where it begins.
    fn take(&mut self, height: u32) -> u32 {
        self.keep(height);
        let y = self.y;
        self.y += height;
        y
    }

    /// Leaves room, except at the top of a page.
    fn space(&mut self, height: u32) {
        if self.y > TOP {
            self.y += height;
        }
    }

    fn letters(&mut self, style: Style, x: u32, y: u32, text: &str) {
        // A word of a phrase has eight letters at most and is never moved while this grows.
        let letters = Zeroizing::new(text.chars().map(code).collect());
        self.put(Mark::Letters { at: (x, y), style, letters });
    }

    /// Lines one below the other.
    fn text(&mut self, style: Style, x: u32, room: u32, text: &str) {
        for line in style.lines(text, room) {
            let y = self.take(style.leading);
            self.letters(style, x, y + style.size, &line);
        }
    }

    fn part(&mut self, part: &'a Part) {
        if !part.heading.is_empty() {
            self.space(65);
            // A heading does not stand alone at the foot of a page.
            let first = part.blocks.first().map_or(0, least);
            self.keep(HEADING.leading + first);
            self.text(HEADING, MARGIN, ROOM, part.heading);
        }
        for block in &part.blocks {
            match block {
                Block::Text(text) => self.text(BODY, MARGIN, ROOM, text),
                Block::Warning(text) => self.text(STRONG, MARGIN, ROOM, text),
                Block::Words(phrase) => self.words(phrase.as_ref()),
                Block::Step { number, text, command } => self.step(*number, text, command),
                Block::Table(rows) => self.table(rows),
                Block::Holder(place) => self.holder(place),
                Block::Copy(text) => self.text(copied(text), MARGIN, ROOM, text),
            }
            self.space(25);
        }
    }

    /// Down the columns, in a frame.
    fn words(&mut self, phrase: Option<&Phrase>) {
        let shown = phrase.map(Phrase::words);
        let words: Vec<&str> = shown.iter().flat_map(|words| words.iter()).collect();
        let [printed, written] = WORD_ROW;
        let row_height = if phrase.is_some() { printed } else { written };
        let height = words_height(phrase.is_some());
        let top = self.take(height);
        self.put(Mark::Frame { at: (MARGIN, top), size: (ROOM, height) });
        let column_width = ROOM / WORD_COLUMNS;
        for at in 0..PHRASE_WORDS {
            let (column, row) = (count(at) / WORD_ROWS, count(at) % WORD_ROWS);
            let x = MARGIN + column * column_width + 60;
            let y = top + 40 + (row + 1) * row_height - 60;
            let number = format!("{}", at + 1);
            let before = x + 170 - BODY.width(&number);
            self.letters(BODY, before, y, &number);
            match words.get(at) {
                Some(word) => self.letters(WORD, x + 230, y, word),
                None => self.put(Mark::Rule { at: (x + 210, y), length: column_width - 330 }),
            }
        }
    }

    fn step(&mut self, number: usize, text: &str, command: &str) {
        let (x, room) = (MARGIN + 180, ROOM - 180);
        let lines = COMMAND.lines(command, room - 160);
        let area = count(lines.len()) * COMMAND.leading + 40;
        self.keep(BODY.height(text, room) + 20 + area);
        self.letters(STRONG, MARGIN, self.y + STRONG.size, &number.to_string());
        self.text(BODY, x, room, text);
        self.space(20);
        let top = self.take(area);
        self.put(Mark::Area { at: (x, top), size: (room, area) });
        for (at, line) in lines.iter().enumerate() {
            let y = top + 17 + count(at) * COMMAND.leading + COMMAND.size;
            self.letters(COMMAND, x + 80, y, line);
        }
    }

    fn table(&mut self, rows: &[[String; 3]]) {
        let columns = [(MARGIN, 2_500), (MARGIN + 2_600, 1_200), (MARGIN + 3_900, ROOM - 3_900)];
        for (at, row) in rows.iter().enumerate() {
            let style = if at == 0 { SMALL } else { BODY };
            let cells = || row.iter().zip(columns);
            let height = cells().map(|(cell, (_, room))| style.height(cell, room)).max();
            let top = self.take(height.unwrap_or(0));
            for (cell, (x, room)) in cells() {
                for (line, text) in style.lines(cell, room).iter().enumerate() {
                    self.letters(style, x, top + count(line) * style.leading + style.size, text);
                }
            }
            if at == 0 {
                let y = self.take(30);
                self.put(Mark::Rule { at: (MARGIN, y + 5), length: ROOM });
            }
        }
    }

    /// The square on the left, and on its right what it says; all of it on one page.
    fn holder(&mut self, place: &'a Place) {
        let height = holder_height(place);
        self.keep(height);
        let top = self.y;
        let (x, room) = beside(place.code.as_ref());
        if let Some(code) = &place.code {
            let at = (MARGIN, top + 20);
            self.put(Mark::Square { at, module: MODULE, code });
        }
        self.text(STRONG, x, room, &place.name);
        self.text(SMALL, x, room, &place.about);
        self.space(20);
        self.text(TICKET, x, room, &place.ticket);
        self.y = self.y.max(top + height);
    }

    /// What stands at the foot of every page, so that a missing one is missed.
    fn feet(&mut self, about: &str) {
        let total = self.pages.len();
        let about = latin(about);
        for (at, page) in self.pages.iter_mut().enumerate() {
            let number = format!("page {} of {total}", at + 1);
            let x = WIDTH - MARGIN - SMALL.width(&number);
            let first = SMALL.lines(&about, ROOM - 800).into_iter().next().unwrap_or_default();
            for (x, text) in [(MARGIN, first), (x, number)] {
                let letters = Zeroizing::new(text.chars().map(code).collect());
                page.push(Mark::Letters { at: (x, FOOT), style: SMALL, letters });
            }
        }
    }
}

/// In one line, if that can be: what is broken in two is copied wrongly.
fn copied(text: &str) -> Style {
    if TICKET.width(text) <= ROOM { TICKET } else { LONG }
}

const fn words_height(is_printed: bool) -> u32 {
    let [printed, written] = WORD_ROW;
    (if is_printed { printed } else { written }) * WORD_ROWS + 80
}

/// Where the text of a holder stands, and how wide it may be.
fn beside(code: Option<&Code>) -> (u32, u32) {
    let taken = code.map_or(0, |code| count(code.side()) * MODULE + GUTTER);
    (MARGIN + taken, ROOM - taken)
}

fn holder_height(place: &Place) -> u32 {
    let (_, room) = beside(place.code.as_ref());
    let text = STRONG.height(&place.name, room)
        + SMALL.height(&place.about, room)
        + 20
        + TICKET.height(&place.ticket, room);
    let square = place.code.as_ref().map_or(0, |code| count(code.side() + BORDER) * MODULE + 20);
    text.max(square)
}

/// How much of a block is to be on the page of its heading.
fn least(block: &Block) -> u32 {
    match block {
        Block::Text(text) => BODY.height(text, ROOM).min(3 * BODY.leading),
        Block::Warning(text) => STRONG.height(text, ROOM).min(3 * STRONG.leading),
        Block::Copy(text) => copied(text).height(text, ROOM).min(3 * LONG.leading),
        Block::Words(phrase) => words_height(phrase.is_some()),
        Block::Step { .. } | Block::Table(_) => 6 * BODY.leading,
        Block::Holder(place) => holder_height(place),
    }
}
