//! What a recovery sheet says, in order: the one structure of which every form of it is made, so that
//! no two of them say different things.

use larder_protocol::keys::phrase::Phrase;

use crate::cli::qr::Code;
use crate::{
    cli::{
        escape::visible_text,
        render::{short, when, when_or_never},
    },
    command::{ByteSize, SheetAside, SheetDevice, SheetHolder, SheetOutcome},
};

/// Holders with a square beside their ticket.
const CODES_MAX: usize = 2;
/// Characters of a ticket from one blank to the next: what a person keeps in mind while typing.
const GROUP: usize = 8;
/// The version of which the sheet is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// All that is on the paper.
pub(super) struct Sheet {
    pub(super) title: &'static str,
    /// Of what, when and by whom, on every page.
    pub(super) about: String,
    pub(super) parts: Vec<Part>,
}

/// What stands under one heading.
pub(super) struct Part {
    pub(super) heading: &'static str,
    pub(super) blocks: Vec<Block>,
}

/// One thing after the other.
pub(super) enum Block {
    /// Text for reading.
    Text(String),
    /// The same, not to be overlooked.
    Warning(String),
    /// The 24 words, or room to write them.
    Words(Option<Phrase>),
    /// What to do, and what to type for it.
    Step { number: usize, text: String, command: String },
    /// The first row are headings.
    Table(Vec<[String; 3]>),
    /// Where a holder is.
    Holder(Place),
    /// To be copied letter by letter.
    Copy(String),
}

/// Where a holder is.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) ticket: String,
    pub(super) code: Option<Code>,
}

impl Sheet {
    /// The sheet of what the engine knows and, where it is to be on it, the phrase; with the tickets of
    /// so many holders, any one of which is enough.
    pub(super) fn of(
        known: &SheetOutcome,
        aside: &SheetAside,
        phrase: Option<Phrase>,
        tickets: usize,
    ) -> Self {
        let (vault, device) = (short(&known.vault), short(&known.device));
        let (made, name) = (when(known.made), visible_text(&known.name));
        let has_words = phrase.is_some();
        let words =
            if has_words { "The 24 words" } else { "The 24 words, to be written in by hand" };
        let mut parts = vec![
            Part { heading: "", blocks: beginning(has_words) },
            Part { heading: words, blocks: vec![Block::Words(phrase)] },
            Part { heading: "What to do on a new device", blocks: steps(known) },
            Part { heading: "What must come back", blocks: states(&known.devices) },
            Part { heading: "Who keeps it", blocks: holders(&known.holders, tickets) },
        ];
        if !aside.relays.is_empty() {
            let heading = "Relays, which whoever has this sheet may use";
            parts.push(Part { heading, blocks: relays(aside) });
        }
        Self {
            title: "Recovery sheet",
            about: format!("Larder {VERSION}, vault {vault}, made {made} by {name} ({device})"),
            parts,
        }
    }
}

fn beginning(has_words: bool) -> Vec<Block> {
    let use_of_it = "With this sheet a new device gets back all that Larder, a backup among a family's \
                     own devices, saved in this vault.";
    let secret = if has_words {
        "Whoever has this sheet can read everything. Keep it as you keep a passport: away from the \
         devices, safe from fire and water. Let nobody photograph it."
    } else {
        "Without the 24 words it opens nothing. With them written in, whoever has it can read everything: \
         keep it as you keep a passport, away from the devices, safe from fire and water."
    };
    vec![Block::Text(use_of_it.to_owned()), Block::Warning(secret.to_owned())]
}

fn steps(known: &SheetOutcome) -> Vec<Block> {
    let [near, far, compare, restore] = known.commands.clone();
    // One leads to the holders wherever they are; a ticket says where one was.
    let by = if known.relays.is_empty() {
        "with a ticket from below"
    } else {
        "by a relay from below, or with --connect \"TICKET\" in its place"
    };
    let steps = [
        (
            format!(
                "Install larder {VERSION} or a newer one, and write the 24 words into a file words.txt. \
                 In the same network as a holder below whose node runs (\"larder up\"):"
            ),
            near,
        ),
        (
            format!(
                "From elsewhere, {by}. Scan the square of a ticket, or type its text: blanks \
                 and capitals do not matter. If a holder has moved, \"larder ticket\" there shows its \
                 new one:"
            ),
            far,
        ),
        (
            "Compare with below: no number may be smaller. If one is, a holder that knows more is away: \
             start it, keep \"larder up\" running here, and look again."
                .to_owned(),
            compare,
        ),
        (
            "Get the files back: the folder saved last, or any that \"larder snapshots\" lists, by its \
             id in place of latest. Then make a new sheet, and destroy this one."
                .to_owned(),
            restore,
        ),
    ];
    let numbered = (1..).zip(steps);
    numbered.map(|(number, (text, command))| Block::Step { number, text, command }).collect()
}

fn states(devices: &[SheetDevice]) -> Vec<Block> {
    let headings = ["device", "newest saved state", "saved"].map(str::to_owned);
    let rows = devices.iter().map(|device| {
        let name = visible_text(&device.name);
        let head = device.head.map_or_else(|| "none yet".to_owned(), |head| head.to_string());
        let time = match (device.head, device.time) {
            (None, _) => String::new(),
            (Some(_), None) => "?".to_owned(),
            (Some(_), Some(time)) => when(time),
        };
        [format!("{name} ({})", short(&device.device)), head, time]
    });
    vec![Block::Table([headings].into_iter().chain(rows).collect())]
}

fn holders(holders: &[SheetHolder], tickets: usize) -> Vec<Block> {
    if holders.is_empty() {
        let nobody = "Nobody keeps anything of this vault yet: this sheet brings nothing back. Pair \
                      with somebody, back up, and make the sheet anew.";
        return vec![Block::Warning(nobody.to_owned())];
    }
    let mut blocks: Vec<Block> = holders
        .iter()
        .take(tickets)
        .enumerate()
        .map(|(at, holder)| Block::Holder(place(holder, at < CODES_MAX)))
        .collect();
    let others: Vec<String> = holders.iter().skip(tickets).map(called).collect();
    if !others.is_empty() {
        let (number, names) = (others.len(), others.join("; "));
        blocks.push(Block::Text(format!("And {number} more, found through these: {names}.")));
    }
    blocks
}

fn called(holder: &SheetHolder) -> String {
    let (name, site) = (visible_text(&holder.name), visible_text(&holder.site));
    if name == site { name } else { format!("{name}, at {site}") }
}

fn place(holder: &SheetHolder, has_code: bool) -> Place {
    let (device, seen) = (short(&holder.device), when_or_never(holder.last_seen));
    let bytes = ByteSize(holder.holds_bytes);
    Place {
        name: called(holder),
        about: format!("device {device}, keeps {bytes}, last heard of {seen}; its ticket:"),
        ticket: grouped(&holder.ticket),
        code: if has_code { Code::of(&holder.ticket) } else { None },
    }
}

/// A ticket with blanks, which do no harm in it, so that the eye finds its place again.
fn grouped(ticket: &str) -> String {
    let mut grouped = String::with_capacity(ticket.len() + ticket.len() / GROUP + 1);
    for (at, c) in ticket.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            grouped.push(' ');
        }
        grouped.push(c);
    }
    grouped
}

fn relays(aside: &SheetAside) -> Vec<Block> {
    aside.relays.iter().map(|relay| Block::Copy(relay.expose().to_owned())).collect()
}
