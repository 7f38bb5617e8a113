//! The story itself, in the order in which it happens to people.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    DemoReport, compare,
    stage::{Actor, number, text},
    tree,
};
use crate::command::{ByteSize, Failure, count};

/// Written into the generated folder and looked for in what holders keep.
pub(super) const CANARY: &[u8] = b"canary: nobody but the owner may ever read this line";

/// Everything that the story is told with.
struct Stage<'a> {
    work: &'a Path,
    folder: PathBuf,
    generated: bool,
    say: &'a mut dyn FnMut(&str),
    began: Instant,
}

struct Saved {
    phrase: PathBuf,
    backup_ms: u64,
    sent_bytes: u64,
    second: Option<(u64, u64)>,
}

pub(super) fn tell(
    work: &Path,
    folder: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<DemoReport, Failure> {
    let mut stage = Stage::set(work, folder, say)?;
    let mut laptop = Actor::new(work, "laptop")?;
    let mut friend = Actor::new(work, "friend")?;
    let mut parents = Actor::new(work, "parents")?;
    stage.meet(&mut laptop, [&mut friend, &mut parents])?;
    let saved = stage.save(&laptop, [&friend, &parents])?;
    let canaries_found = stage.look_for_canaries([&friend, &parents])?;
    let expected = stage.remember()?;

    stage.line("The laptop is struck by lightning: killed, its home deleted.");
    laptop.destroy()?;
    parents.down()?;
    stage.line("The parents' node is switched off as well. One holder is left.");
    let ticket = text(&friend.ask(&["ticket"])?, "ticket")?;
    let fresh = Actor::new(work, "new-laptop")?;
    let recover_ms = stage.recover(&fresh, &saved.phrase, &ticket)?;
    let restored = work.join("restored");
    let (restore_ms, fetched_bytes) = stage.restore(&fresh, &restored)?;
    // A restore makes the folder's whole path anew below the directory that it is given.
    let below = stage.folder.strip_prefix("/").unwrap_or(&stage.folder).to_owned();
    let differences = stage.compare(&expected, &restored.join(below))?;
    let report = DemoReport {
        entries: expected.entries(),
        bytes: expected.bytes(),
        backup_ms: saved.backup_ms,
        sent_bytes: saved.sent_bytes,
        second_sent_bytes: saved.second.map(|(sent, _)| sent),
        second_ms: saved.second.map(|(_, ms)| ms),
        canaries_found,
        recover_ms,
        restore_ms,
        fetched_bytes,
        differences,
        total_ms: ms_since(stage.began),
    };
    if differences + canaries_found > 0 {
        return Err(Failure::failed("the demo found that a promise is broken, see above")
            .hint("please report it, with the output of `larder demo --keep`"));
    }
    stage.line(&format!("All of it in {}.", seconds(report.total_ms)));
    Ok(report)
}

impl<'a> Stage<'a> {
    fn set(
        work: &'a Path,
        folder: Option<&Path>,
        say: &'a mut dyn FnMut(&str),
    ) -> Result<Self, Failure> {
        let generated = folder.is_none();
        let folder = match folder {
            Some(folder) => std::path::absolute(folder),
            None => {
                let folder = work.join("folder");
                tree::generate(&folder).map(|()| folder)
            }
        }
        .map_err(|error| Failure::from_error("cannot make a folder to back up", &error))?;
        if !folder.is_dir() {
            return Err(Failure::usage(format!("{} is no folder", folder.display())));
        }
        Ok(Self { work, folder, generated, say, began: Instant::now() })
    }

    fn line(&mut self, line: &str) {
        let at = self.began.elapsed();
        (self.say)(&format!("[{:>3}.{} s] {line}", at.as_secs(), at.subsec_millis() / 100));
    }

    /// Makes three vaults in three households and lets the laptop invite the other two.
    fn meet(&mut self, laptop: &mut Actor, holders: [&mut Actor; 2]) -> Result<(), Failure> {
        let phrase = self.work.join("phrase.txt");
        laptop.ask(&["--quiet", "init", "--name", laptop.name, "--phrase-out", &shown(&phrase)])?;
        laptop.ask(&["add", &shown(&self.folder)])?;
        laptop.up()?;
        self.line("A laptop has a vault; its 24 words are on paper (here: in a file).");
        for holder in holders {
            let kept = self.work.join(format!("{}-phrase.txt", holder.name));
            holder.ask(&[
                "--quiet",
                "init",
                "--name",
                holder.name,
                "--phrase-out",
                &shown(&kept),
            ])?;
            holder.ask(&["offer", "1TB"])?;
            holder.up()?;
            let code = text(&laptop.ask(&["invite", "--circle"])?, "code")?;
            // Nobody is there to compare words.
            holder.ask(&["--quiet", "join", &code])?;
            self.line(&format!(
                "{}: another household, another vault, joins the circle.",
                holder.name
            ));
        }
        Ok(())
    }

    fn save(&mut self, laptop: &Actor, holders: [&Actor; 2]) -> Result<Saved, Failure> {
        let folder = shown(&self.folder);
        // What changed within the last two seconds is read again the next time: a second change
        // in one tick of the clock would not show. The generated folder is as young as that.
        std::thread::sleep(SETTLED_AFTER);
        let begun = Instant::now();
        let done = laptop.ask(&["backup", "--wait", "safe", "--timeout", "600"])?;
        let backup_ms = ms_since(begun);
        let sent_bytes = number(&done, "sent_bytes")?;
        self.line(&format!("Backup of {folder}: {}.", backup_figures(&done, backup_ms)));
        for holder in holders {
            let kept = number(&holder.ask(&["offer"])?, "kept_bytes")?;
            let memory = holder.resident_bytes().map_or_else(String::new, |bytes| {
                format!(", its memory at most {}", ByteSize(bytes))
            });
            self.line(&format!("{} keeps {}{memory}.", holder.name, ByteSize(kept)));
        }
        let second = self.generated.then(|| self.save_again(laptop)).transpose()?;
        Ok(Saved { phrase: self.work.join("phrase.txt"), backup_ms, sent_bytes, second })
    }

    /// Adds one small file and backs up again.
    fn save_again(&mut self, laptop: &Actor) -> Result<(u64, u64), Failure> {
        fs::write(self.folder.join("added later.txt"), "a thought of the last minute\n")
            .map_err(|error| Failure::from_error("cannot add a file", &error))?;
        let begun = Instant::now();
        let done = laptop.ask(&["backup", "--wait", "safe", "--timeout", "600"])?;
        let ms = ms_since(begun);
        let figures = backup_figures(&done, ms);
        self.line(&format!("A file is added; the second backup: {figures}."));
        Ok((number(&done, "sent_bytes")?, ms))
    }

    fn look_for_canaries(&mut self, holders: [&Actor; 2]) -> Result<u64, Failure> {
        if !self.generated {
            return Ok(0);
        }
        let mut found = 0;
        for holder in holders {
            found += count_in(&holder.home, CANARY)
                .map_err(|error| Failure::from_error("cannot look at a holder's home", &error))?;
        }
        self.line(&format!(
            "A line of the folder is looked for in every byte the holders keep: found {found} times."
        ));
        Ok(found)
    }

    fn remember(&mut self) -> Result<compare::Picture, Failure> {
        compare::Picture::of(&self.folder)
            .map_err(|error| Failure::from_error("cannot read the folder", &error))
    }

    fn recover(&mut self, fresh: &Actor, phrase: &Path, ticket: &str) -> Result<u64, Failure> {
        let begun = Instant::now();
        let line =
            ["recover", "--phrase-file", &shown(phrase), "--connect", ticket, "--name", fresh.name];
        let done = fresh.ask(&line)?;
        let ms = ms_since(begun);
        let snapshots = done["snapshots"].as_array().map_or(0, Vec::len);
        let snapshots = count(u64::try_from(snapshots).unwrap_or(u64::MAX), "snapshot");
        self.line(&format!(
            "A new laptop has nothing but the 24 words and an address. {} later it knows \
             {snapshots}.",
            seconds(ms)
        ));
        Ok(ms)
    }

    fn restore(&mut self, fresh: &Actor, to: &Path) -> Result<(u64, u64), Failure> {
        let begun = Instant::now();
        let done = fresh.ask(&["restore", "latest", "--to", &shown(to)])?;
        let ms = ms_since(begun);
        let (files, bytes) = (number(&done, "files_written")?, number(&done, "bytes")?);
        let fetched = number(&done, "fetched_bytes")?;
        self.line(&format!(
            "Restored {}, {} ({} fetched) in {}: {}/s.",
            count(files, "file"),
            ByteSize(bytes),
            ByteSize(fetched),
            seconds(ms),
            rate(bytes, ms),
        ));
        Ok((ms, fetched))
    }

    fn compare(&mut self, expected: &compare::Picture, restored: &Path) -> Result<u64, Failure> {
        let picture = compare::Picture::of(restored)
            .map_err(|error| Failure::from_error("cannot read what was restored", &error))?;
        let differences = expected.differences(&picture);
        for difference in differences.iter().take(20) {
            self.line(&format!("DIFFERS: {difference}"));
        }
        let total = u64::try_from(differences.len()).unwrap_or(u64::MAX);
        self.line(&format!(
            "Compared {} ({}): names, kinds, owners, modes, times, links, attributes, holes \
             and every byte. {}.",
            count(expected.entries(), "entry"),
            ByteSize(expected.bytes()),
            count(total, "difference"),
        ));
        Ok(total)
    }
}

/// How old a change has to be until an unchanged file is not read again.
const SETTLED_AFTER: Duration = Duration::from_millis(2_100);

fn backup_figures(done: &Value, ms: u64) -> String {
    let sum = |key: &str| {
        let snapshots = done["snapshots"].as_array();
        snapshots.map_or(0, |all| all.iter().filter_map(|one| one[key].as_u64()).sum())
    };
    let (files, bytes, read): (u64, u64, u64) = (sum("files"), sum("bytes"), sum("read_bytes"));
    let sent = done["sent_bytes"].as_u64().unwrap_or(0);
    format!(
        "{}, {}; {} read, {} sent to the holders together, safe after {} ({}/s)",
        count(files, "file"),
        ByteSize(bytes),
        ByteSize(read),
        ByteSize(sent),
        seconds(ms),
        rate(read, ms),
    )
}

fn rate(bytes: u64, ms: u64) -> ByteSize {
    ByteSize(bytes.saturating_mul(1000).checked_div(ms).unwrap_or(bytes))
}

fn ms_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// How often `needle` occurs in the files below `directory`.
fn count_in(directory: &Path, needle: &[u8]) -> io::Result<u64> {
    let mut found = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found += count_in(&entry.path(), needle)?;
        } else if kind.is_file() {
            found += count_in_file(&entry.path(), needle)?;
        }
    }
    Ok(found)
}

fn count_in_file(path: &Path, needle: &[u8]) -> io::Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut window = vec![0; 1 << 20];
    let mut kept = 0;
    let mut found = 0;
    loop {
        let read = file.read(&mut window[kept..])?;
        if read == 0 {
            return Ok(found);
        }
        let seen = &window[..kept + read];
        // The first byte first: it is rare, and the rest need not be looked at.
        let starts = seen.iter().enumerate().filter(|(_, byte)| Some(*byte) == needle.first());
        for (at, _) in starts {
            found += u64::from(seen[at..].starts_with(needle));
        }
        // A needle may lie across two windows: its length less one is looked at again.
        let overlap = (needle.len() - 1).min(seen.len());
        let end = seen.len();
        window.copy_within(end - overlap..end, 0);
        kept = overlap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_also_across_two_reads() {
        let directory = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'.'; 3 << 20];
        for at in [0, (1 << 20) - 5, (2 << 20) - 60, (3 << 20) - CANARY.len()] {
            bytes[at..at + CANARY.len()].copy_from_slice(CANARY);
        }
        fs::create_dir(directory.path().join("deep")).unwrap();
        fs::write(directory.path().join("deep/file"), bytes).unwrap();
        assert_eq!(count_in(directory.path(), CANARY).unwrap(), 4);
        assert_eq!(count_in(directory.path(), b"no such text").unwrap(), 0);
    }
}
