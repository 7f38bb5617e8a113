//! Outcomes and rows as text for people. Sizes in decimal units, times in the local zone.

mod guardians;
mod leave;
mod lists;
mod node;
mod rekey;
mod rename;
mod revoke;
mod trial;
mod work;

use std::fmt::Write;

use super::escape::{visible, visible_text};
use crate::command::{
    Change, ChangeKind, Entry, EntryKind, InviteOutcome, LogSource, Outcome, Row, Time,
};

/// One line of a listing, without its line end.
pub(super) fn row(row: &Row) -> String {
    match row {
        Row::Entry(entry) => entry_line(entry),
        Row::Change(change) => change_line(change),
        Row::Found(found) => {
            format!("{}  {}", short(&found.snapshot), entry_line(&found.entry))
        }
        Row::Logged(logged) => {
            let mark = if logged.counts { "" } else { "  (without effect)" };
            let who = match logged.source {
                LogSource::DeviceLog => "vault",
                LogSource::Trail => "here ",
            };
            format!("{}  {who}  {}{mark}", when(logged.time), plain(&logged.text))
        }
    }
}

/// Below an invitation beside which somebody waits.
pub(super) const WAITS: &str =
    "\nwaiting for somebody to come; leave this open, Ctrl-C takes the invitation back\n";
/// Below one beside which nobody does.
pub(super) const LETS_IN: &str =
    "\nwhoever comes with it is let in, and nobody is asked; `larder log` tells who came\n";

/// The text of an invitation that is open.
pub(super) fn invitation(invited: &InviteOutcome) -> String {
    let mut text = String::new();
    node::invite(&mut text, invited);
    text
}

/// An outcome, with its line ends; empty when rows or bytes have said it all.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let mut text = String::new();
    match outcome {
        Outcome::Init(done) => node::init(&mut text, done),
        Outcome::Ready(done) => node::ready(&mut text, done),
        Outcome::Folders(done) => lists::folders(&mut text, done),
        Outcome::Backup(done) => work::backup(&mut text, done),
        Outcome::Snapshots(done) => lists::snapshots(&mut text, done),
        // Shown before: as rows, as bytes, on paper.
        Outcome::List(_) | Outcome::Cat(_) | Outcome::Sheet(_) | Outcome::Log(_) => {}
        Outcome::Diff(done) => work::diff(&mut text, done),
        Outcome::Find(done) => work::find(&mut text, done),
        Outcome::Restore(done) => work::restore(&mut text, done),
        Outcome::Offer(done) => node::offer(&mut text, done),
        Outcome::Invite(done) => match &done.joined {
            Some(joined) => node::joined(&mut text, joined),
            None => node::invite(&mut text, done),
        },
        Outcome::Join(done) => node::join(&mut text, done),
        Outcome::Ticket(done) => line(&mut text, &done.ticket),
        Outcome::Connect(done) => node::connect(&mut text, done),
        Outcome::Trial(done) => trial::trial(&mut text, done),
        Outcome::Recover(done) => work::recover(&mut text, done),
        Outcome::Gathered(done) => guardians::gathered(&mut text, done),
        Outcome::Waiting(done) => guardians::waiting(&mut text, done),
        Outcome::Guardians(done) => guardians::guardians(&mut text, done),
        Outcome::Gave(done) => guardians::gave(&mut text, done),
        Outcome::Devices(done) => lists::devices(&mut text, done),
        Outcome::Peers(done) => lists::peers(&mut text, done),
        Outcome::Rename(done) => rename::rename(&mut text, done),
        Outcome::Revoke(done) => revoke::revoke(&mut text, done),
        Outcome::Rekey(done) => rekey::rekey(&mut text, done),
        Outcome::Leave(done) => leave::leave(&mut text, done),
        Outcome::Expect(done) => lists::expect(&mut text, done),
        Outcome::Status(done) => node::status(&mut text, done),
        Outcome::Verify(done) => work::verify(&mut text, done),
        Outcome::Drill(done) => work::drill(&mut text, done),
        Outcome::Forget(done) => work::forget(&mut text, done),
        Outcome::Pin(done) => work::pin(&mut text, done),
        Outcome::Doctor(done) => node::doctor(&mut text, done),
        Outcome::Config(done) => lists::settings(&mut text, done),
        Outcome::Passphrase(done) => node::passphrase(&mut text, done),
        Outcome::Answered => {}
        Outcome::Stopping => line(&mut text, "the node is stopping"),
    }
    text
}

fn entry_line(entry: &Entry) -> String {
    let mut text = format!(
        "{} {:>6} {:>6} {:>9} {} {}",
        mode(entry.kind, entry.mode),
        entry.uid,
        entry.gid,
        if entry.kind == EntryKind::File {
            crate::command::ByteSize(entry.bytes).to_string()
        } else {
            "-".to_owned()
        },
        entry.modified.map_or_else(|| format!("{:16}", "?"), when),
        visible(&entry.path.to_bytes()),
    );
    if let Some(target) = &entry.target {
        let _infallible = write!(text, " -> {}", visible(&target.to_bytes()));
    }
    text
}

fn change_line(change: &Change) -> String {
    let sign = match change.change {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Changed => 'M',
        ChangeKind::Attributes => 'a',
    };
    let slash = if change.kind == EntryKind::Directory { "/" } else { "" };
    format!("{sign} {}{slash}", visible(&change.path.to_bytes()))
}

/// Kind and permissions as `ls -l` shows them.
fn mode(kind: EntryKind, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
    });
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    for (place, (bit, with, without)) in special.into_iter().enumerate() {
        let bits = mode >> (6 - 3 * place);
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & bit != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time in the local zone, to the minute.
pub(super) fn when(time: Time) -> String {
    time.0.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The same, or `never`.
pub(super) fn when_or_never(time: Option<Time>) -> String {
    time.map_or_else(|| "never".to_owned(), when)
}

/// The first 8 digits of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Text of a peer or a person, safe for a terminal.
fn plain(text: &str) -> String {
    visible_text(text)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Rows under headings, columns as wide as needed; the last one ragged.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn write(&self, text: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _infallible = write!(line, "{cell:<width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{PathField, TargetField};

    #[test]
    fn an_entry_looks_like_a_line_of_ls() {
        let entry = Entry {
            path: PathField::new(b"bin/su\n"),
            kind: EntryKind::File,
            bytes: 71_912,
            mode: 0o4755,
            uid: 0,
            gid: 0,
            modified: None,
            target: None,
        };
        let line = entry_line(&entry);
        assert!(line.starts_with("-rwsr-xr-x      0      0   71.9 kB ?"), "{line}");
        assert!(line.ends_with(" bin/su\\n"), "{line}");
        let target = Some(TargetField::new(b"../x"));
        let link = Entry { kind: EntryKind::Symlink, mode: 0o777, target, ..entry };
        assert!(entry_line(&link).ends_with("bin/su\\n -> ../x"));
        assert_eq!(mode(EntryKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(EntryKind::Directory, 0o3660), "drw-rwS--T");
    }
}
