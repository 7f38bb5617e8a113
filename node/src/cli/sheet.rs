//! `sheet`: a recovery sheet for a drawer, as text or as PDF.
//!
//! The phrase, when it is to be on it, is read, checked and printed in this process alone: the engine,
//! the socket and the document of `--json` never see it. Source: specs/sheet.md.

mod content;
mod font;
mod page;
mod pdf;
mod text;
mod wrap;

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use data_encoding::HEXLOWER;
use larder_protocol::{cbor, keys::phrase::Phrase};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use self::content::Sheet;
use super::{
    arguments::absolute, output::Output, render::short, restore::phrase_from, session::Session,
};
use crate::{
    command::{Command, ExitKind, Failure, Launch, Outcome, PathField, SheetAside, SheetOutcome},
    home::write_new,
};

#[derive(Debug, Args)]
#[command(after_help = "One page of paper with which a new device gets everything back when all \
    devices are lost: what to type, who keeps the data and where, how new it must be. Without \
    --phrase-file it has 24 lines on which to write the words by hand. Make it anew when holders or \
    relays have changed. The relays on it are told with their tokens.

Examples:
  larder sheet                                           look at it
  larder sheet --out sheet.pdf                           to print; the words are written in by hand
  larder sheet --out sheet.pdf --phrase-file words.txt   with the words: delete both files then
  larder sheet --phrase-file words.txt | lp              straight to the printer, no file")]
pub(super) struct SheetArguments {
    /// Write it to a new file that only you can read; the name ends in .pdf or .txt
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the 24 words of this file on it, after checking that they are those of this vault; `-`
    /// reads them from stdin
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

/// Tickets on a sheet, at most and at least, where there are so many holders.
const TICKETS: [usize; 2] = [4, 2];

/// What a file holds, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pdf,
    Text,
}

impl Form {
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("pdf") => Ok(Self::Pdf),
            Some("txt") => Ok(Self::Text),
            _ => Err(Failure::usage(format!(
                "{} ends neither in .pdf nor in .txt",
                path.display()
            ))
            .hint(
                "the ending says what is written: --out sheet.pdf for a printer, --out sheet.txt \
                   for plain text",
            )),
        }
    }

    fn bytes(self, sheet: &Sheet) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Pdf => pdf::pdf(sheet),
            Self::Text => Zeroizing::new(text::text(sheet).as_bytes().to_vec()),
        }
    }
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: SheetArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let out = arguments.out.as_deref().map(|path| Form::of(path).map(|form| (path, form)));
    let out = out.transpose()?;
    if let Some((path, _)) = out
        && path.symlink_metadata().is_ok()
    {
        return Err(not_written(path, &io::ErrorKind::AlreadyExists.into()));
    }
    let phrase = arguments.phrase_file.as_deref().map(phrase).transpose()?;
    let Outcome::Sheet(mut known) = session.answer(Command::Sheet, output).await? else {
        return Err(Failure::internal(&"another outcome than was asked for"));
    };
    // Tokens of relays go on the paper and no further.
    let aside = known.aside.take().unwrap_or_default();
    if let Some(phrase) = &phrase {
        check(phrase, &known, &aside)?;
    }
    let sheet = fitting(&known, &aside, phrase.as_ref());
    let mut extra = Map::new();
    match out {
        Some((path, form)) => {
            let bytes = form.bytes(&sheet);
            write_new(path, &bytes).map_err(|error| not_written(path, &error))?;
            extra = where_it_is(path)?;
            let then = match phrase {
                Some(_) => "print it, then delete the file",
                None => "print it, and write the 24 words in by hand",
            };
            output.say(&format!("The recovery sheet is in {}: {then}.", path.display()));
        }
        None if output.is_json() => {}
        None => output.secret(text::text(&sheet).as_bytes()),
    }
    Ok(output.summary(&Outcome::Sheet(known), extra))
}

/// The sheet with as many tickets as one page has room for. Two are on it in any case; where that takes
/// a second page, there is room for more.
fn fitting(known: &SheetOutcome, aside: &SheetAside, phrase: Option<&Phrase>) -> Sheet {
    let [most, least] = TICKETS;
    let with = |tickets| Sheet::of(known, aside, phrase.cloned(), tickets);
    let mut fewer = (least..=most).rev().map(with);
    fewer.find(|sheet| page::pages(sheet).len() == 1).unwrap_or_else(|| with(most))
}

fn phrase(path: &Path) -> Result<Phrase, Failure> {
    let words = phrase_from(path)?;
    Phrase::parse(words.expose()).map_err(|error| {
        Failure::new(ExitKind::Key, error.to_string())
            .hint("check each word; a phrase is 24 words of the English BIP39 list")
    })
}

/// A sheet with the words of another vault would open nothing, and be noticed when it is too late.
fn check(phrase: &Phrase, known: &SheetOutcome, aside: &SheetAside) -> Result<(), Failure> {
    let public = HEXLOWER.encode(&cbor::encode(&phrase.recovery().public()));
    if public == aside.recovery {
        return Ok(());
    }
    let vault = short(&known.vault);
    Err(Failure::new(ExitKind::Key, "these are the 24 words of another vault").hint(format!(
        "give those of vault {vault}, or none and write them in by hand; nothing was written"
    )))
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        return Failure::failed(format!("{path} exists already, and is not written over"))
            .hint("name a new file, or delete that one first");
    }
    Failure::failed(format!("cannot write the sheet to {path}: {error}"))
        .hint("name a new file in a directory that you can write to")
}

/// The keys of the document that say where the file is.
fn where_it_is(path: &Path) -> Result<Map<String, Value>, Failure> {
    let path = PathField::from(&absolute(path.to_owned())?);
    match serde_json::to_value(path) {
        Ok(Value::Object(keys)) => Ok(keys),
        _ => unreachable!("a path is an object"),
    }
}

#[cfg(test)]
pub(super) mod tests;
