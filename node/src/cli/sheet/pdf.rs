//! The sheet as a PDF of A4 pages, in the fonts that every reader has: nothing is embedded.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use zeroize::Zeroizing;

use super::{
    content::Sheet,
    font::Font,
    page::{HEIGHT, Mark, WIDTH, pages},
};
use crate::cli::qr::Code;

/// More than a page with two squares takes: a buffer that grows leaves copies of the words behind.
pub(super) const PAGE_BYTES: usize = 256 * 1024;
/// Names of the fonts on a page, in the order of [`Font::ALL`].
const FONT_NAMES: [Name<'static>; 4] = [Name(b"F0"), Name(b"F1"), Name(b"F2"), Name(b"F3")];

const CATALOG: i32 = 1;
const TREE: i32 = 2;
const FACTS: i32 = 3;
const FIRST_FONT: i32 = 4;
const FIRST_PAGE: i32 = 8;

/// The whole file.
pub(super) fn pdf(sheet: &Sheet) -> Zeroizing<Vec<u8>> {
    let pages = pages(sheet);
    let mut pdf = Pdf::with_capacity((pages.len() + 1) * PAGE_BYTES);
    let tree = Ref::new(TREE);
    pdf.catalog(Ref::new(CATALOG)).pages(tree).lang(TextStr("en"));
    let title = format!("{}: {}", sheet.title, sheet.about);
    pdf.document_info(Ref::new(FACTS)).title(TextStr(&title)).creator(TextStr("larder"));
    for (id, font) in (FIRST_FONT..).map(Ref::new).zip(Font::ALL) {
        pdf.type1_font(id)
            .base_font(Name(font.base_name().as_bytes()))
            .encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    let ids = || (FIRST_PAGE..).step_by(2).map(Ref::new);
    let total = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(ids().take(pages.len())).count(total);
    for (id, marks) in ids().zip(&pages) {
        let drawing = drawing(marks);
        pdf.stream(id.next(), &drawing);
        let mut page = pdf.page(id);
        page.media_box(Rect::new(0.0, 0.0, points(WIDTH), points(HEIGHT)));
        page.parent(tree).contents(id.next());
        let mut resources = page.resources();
        let mut fonts = resources.fonts();
        for (id, name) in (FIRST_FONT..).map(Ref::new).zip(FONT_NAMES) {
            fonts.pair(name, id);
        }
        fonts.finish();
    }
    Zeroizing::new(pdf.finish())
}

/// What is drawn on one page.
fn drawing(marks: &[Mark<'_>]) -> Zeroizing<Vec<u8>> {
    let mut content = Content::with_capacity(PAGE_BYTES);
    content.set_line_width(0.7);
    for mark in marks {
        draw(&mut content, mark);
    }
    Zeroizing::new(content.finish().into_vec())
}

fn draw(content: &mut Content, mark: &Mark<'_>) {
    match mark {
        Mark::Letters { at: (x, y), style, letters } => {
            let of = Font::ALL.iter().position(|font| *font == style.font);
            let name = of.and_then(|at| FONT_NAMES.get(at)).copied().unwrap_or(Name(b"F0"));
            content.begin_text().set_font(name, points(style.size));
            content.next_line(points(*x), up(*y)).show(Str(letters)).end_text();
        }
        Mark::Rule { at: (x, y), length } => {
            content.move_to(points(*x), up(*y)).line_to(points(x + length), up(*y)).stroke();
        }
        Mark::Area { at, size } => {
            content.save_state().set_fill_gray(0.92);
            rectangle(content, *at, *size).fill_nonzero().restore_state();
        }
        Mark::Frame { at, size } => {
            rectangle(content, *at, *size).stroke();
        }
        Mark::Square { at, module, code } => square(content, *at, *module, code),
    }
}

fn rectangle(content: &mut Content, (x, y): (u32, u32), size: (u32, u32)) -> &mut Content {
    content.rect(points(x), up(y + size.1), points(size.0), points(size.1))
}

/// All of it is one shape: single rectangles would show hair lines between them.
fn square(content: &mut Content, (left, top): (u32, u32), module: u32, code: &Code) {
    let length = |modules: usize| u32::try_from(modules).unwrap_or(0) * module;
    for (x, y, run) in code.runs() {
        rectangle(content, (left + length(x), top + length(y)), (length(run), module));
    }
    content.fill_nonzero();
}

/// Tenths of a point as PDF counts.
fn points(tenths: u32) -> f32 {
    u16::try_from(tenths).map_or(0.0, |tenths| f32::from(tenths) / 10.0)
}

/// PDF counts from the lower edge.
fn up(y: u32) -> f32 {
    points(HEIGHT.saturating_sub(y))
}
