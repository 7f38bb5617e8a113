//! Asks a person whether somebody is let in, and brings the answer to the node.

use std::{
    io::{self, BufRead, Write},
    path::Path,
};

use rustix::termios::{QueueSelector, tcflush};
use tokio_util::sync::CancellationToken;

use super::escape;
use crate::{
    command::{ByteSize, Command, EventSink, Failure, Question},
    control::Client,
};

/// No answer is longer; a terminal's own line is 4096 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What is asked.
fn text(question: &Question) -> String {
    let (name, site) = (escape::visible_text(&question.name), escape::visible_text(&question.site));
    let what = match &question.vault {
        None => format!(
            "\n{name}, at site {site}, wants to be a device of this vault.\n\
             It would read everything that is in it, back up into it, and could invite and remove devices."
        ),
        Some(vault) => format!(
            "\n{name}, at site {site}, of vault {} wants to join your circle.\n\
             Each would keep sealed copies for the other, which it cannot read: this device up to {}, that \
             one up to {}.",
            vault.get(..8).unwrap_or(vault),
            ByteSize(question.offered_bytes),
            ByteSize(question.granted_bytes),
        ),
    };
    let words = escape::visible_text(&question.words).to_uppercase();
    format!(
        "{what}\nIts screen has to show the same two words:  {words}\n\
         Are they the same there, and is it let in? [y/N] "
    )
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Asks on the terminal; what is no yes is a no.
fn asked(from: &mut impl BufRead, to: &mut impl Write, question: &Question) -> io::Result<bool> {
    to.write_all(text(question).as_bytes())?;
    to.flush()?;
    // What was typed before the question was to be seen is no answer to it.
    let _no_terminal = tcflush(io::stdin(), QueueSelector::IFlush);
    let mut line = String::new();
    io::Read::take(from, ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(is_yes(&line))
}

/// Asks, and tells the node of that home.
///
/// # Errors
/// [`Failure`] where the node is gone, or waits for this answer no more.
pub(super) async fn answer(home: &Path, question: Question) -> Result<(), Failure> {
    let number = question.number;
    let ask = move || asked(&mut io::stdin().lock(), &mut io::stderr(), &question);
    let yes = tokio::task::spawn_blocking(ask).await.map_err(|error| Failure::internal(&error))?;
    let cannot = |error: io::Error| Failure::from_error("cannot answer who is let in", &error);
    // Where nothing can be read it is a no, and nobody is kept waiting for it.
    let yes = yes.unwrap_or(false);
    let client = Client::connect(home).await.map_err(cannot)?;
    let client = client.ok_or_else(|| Failure::failed("the node of this home is gone"))?;
    let command = Command::Answer { question: number, yes };
    client.run(command, EventSink::nobody(CancellationToken::new())).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(vault: Option<&str>) -> Question {
        Question {
            number: 1,
            name: "phone\u{1b}[2J".to_owned(),
            site: "home".to_owned(),
            vault: vault.map(str::to_owned),
            granted_bytes: 200_000_000_000,
            offered_bytes: 500_000_000_000,
            words: "maple orbit".to_owned(),
        }
    }

    // PAIR-17
    #[test]
    fn the_question_says_what_is_given_and_nothing_but_yes_is_yes() {
        for (line, is_let_in) in
            [("y\n", true), (" Yes\n", true), ("\n", false), ("", false), ("maple orbit\n", false)]
        {
            let mut shown = Vec::new();
            let answer = asked(&mut line.as_bytes(), &mut shown, &question(None)).unwrap();
            assert_eq!(answer, is_let_in, "{line:?}");
            let shown = String::from_utf8(shown).unwrap();
            assert!(shown.contains("read everything") && shown.contains("MAPLE ORBIT"), "{shown}");
            assert!(!shown.contains('\u{1b}'), "{shown}");
        }
        let shown = text(&question(Some(&"ab".repeat(32))));
        assert!(shown.contains("of vault abababab wants"), "{shown}");
        assert!(shown.contains("up to 500 GB, that one up to 200 GB"), "{shown}");
    }
}
