//! A camera held before a screen or a sheet of paper: askew, unevenly lit, blurred and noisy; and a QR reader that
//! knows nothing of who drew the square.

use rqrr::PreparedImage;

use crate::dice::Dice;

/// A phone looks until it has read: pictures at most.
const FRAMES: usize = 10;
/// Pixels of a module in the picture.
const SCALE: i64 = 12;
/// Modules around what is drawn: paper, and the frame of the screen.
const MARGIN: usize = 6;
/// What the figures below are parts of.
const UNIT: i64 = 1024;
/// The camera is turned by four degrees or so: cosine and sine.
const COS: i64 = 1022;
const SIN: i64 = 71;
/// How much smaller the far edge looks.
const DEPTH: i64 = 60;

/// What the square says that stands in this text, drawn with half blocks.
pub fn reads(text: &str, dice: &mut Dice) -> Option<String> {
    let drawn = drawing(text);
    (0..FRAMES).find_map(|_| seen(&photograph(&drawn, dice)))
}

fn seen(picture: &[Vec<u8>]) -> Option<String> {
    let side = picture.len();
    let mut image = PreparedImage::prepare_from_greyscale(side, side, |x, y| picture[y][x]);
    let decoded = image.detect_grids().first()?.decode().ok()?;
    Some(decoded.1)
}

/// The lines of a text that are drawn, dark modules as `true`; without colours.
fn drawing(text: &str) -> Vec<Vec<bool>> {
    let mut modules = Vec::new();
    for line in text.lines().map(without_colours) {
        if !line.contains(['█', '▀', '▄']) {
            continue;
        }
        let marks: Vec<char> = line.chars().collect();
        modules.push(marks.iter().map(|mark| matches!(mark, '█' | '▀')).collect());
        modules.push(marks.iter().map(|mark| matches!(mark, '█' | '▄')).collect());
    }
    modules
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut parts = line.split("\u{1b}[");
    plain.extend(parts.next());
    for part in parts {
        plain.extend(part.split_once('m').map(|(_, rest)| rest));
    }
    plain
}

/// Grey values of a square picture, line by line.
fn photograph(drawn: &[Vec<bool>], dice: &mut Dice) -> Vec<Vec<u8>> {
    let modules = drawn.len().max(drawn.iter().map(Vec::len).max().unwrap_or(0));
    let side = SCALE * number(modules + 2 * MARGIN);
    let ink = |x: i64, y: i64| {
        let (column, line) = on_paper(side, (x, y));
        let row = usize::try_from(line).ok().and_then(|line| drawn.get(line));
        let dark = row.zip(usize::try_from(column).ok()).and_then(|(row, column)| row.get(column));
        i64::from(dark == Some(&true))
    };
    let mut pixel = |x: i64, y: i64| {
        // The lens is not quite sharp.
        let around = [(0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)];
        let dark: i64 = around.iter().map(|(dx, dy)| ink(x + dx, y + dy)).sum();
        // The lamp stands on the left.
        let light = 235 - 70 * x / side;
        let noise = i64::try_from(dice.below(20)).expect("it is below 20") - 10;
        let grey = light - light * 85 * dark / (100 * number(around.len())) + noise;
        u8::try_from(grey.clamp(0, 255)).expect("it is from 0 to 255")
    };
    (0..side).map(|y| (0..side).map(|x| pixel(x, y)).collect()).collect()
}

/// From a place in the picture to a module on the paper.
fn on_paper(side: i64, (x, y): (i64, i64)) -> (i64, i64) {
    let (dx, dy) = (x - side / 2, y - side / 2);
    let far = UNIT + DEPTH * dy / side;
    let place = |turned: i64| {
        let pixel = turned * far / (UNIT * UNIT) + side / 2;
        pixel.div_euclid(SCALE) - number(MARGIN)
    };
    (place(dx * COS - dy * SIN), place(dx * SIN + dy * COS))
}

fn number(count: usize) -> i64 {
    i64::try_from(count).expect("a picture is small")
}
