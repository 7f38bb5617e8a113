//! Asks a person whether somebody is let in, or whether to join.

use std::io::{self, BufRead, Write};

use rustix::termios::{QueueSelector, tcflush};

use super::escape;
use crate::command::{About, ByteSize, Command, InviteKind, Question};

/// No answer is longer; a terminal's own line is 4096 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What is asked.
fn text(question: &Question) -> String {
    let words = escape::visible_text(&question.words).to_uppercase();
    let same = format!("has to show the same two words:  {words}");
    let (what, ask) = match &question.about {
        About::Device { name, site } => (
            format!(
                "{}, at site {}, wants to be a device of this vault.\n\
                 It would read everything that is in it, back up into it, and could invite and remove devices.",
                escape::visible_text(name),
                escape::visible_text(site),
            ),
            format!("Its screen {same}\nAre they the same there, and is it let in?"),
        ),
        About::Vault { vault, name, site, granted_bytes, offered_bytes } => (
            format!(
                "{}, at site {}, of vault {} wants to join your circle.\n\
                 Each would keep sealed copies for the other, which it cannot read: this device up to {}, \
                 that one up to {}.",
                escape::visible_text(name),
                escape::visible_text(site),
                vault.get(..8).unwrap_or(vault),
                ByteSize(*offered_bytes),
                ByteSize(*granted_bytes),
            ),
            format!("Its screen {same}\nAre they the same there, and is it let in?"),
        ),
        About::Joining { kind } => (
            match kind {
                InviteKind::Device => {
                    "This home becomes a device of the vault that invites it: all devices of that vault will \
                     read what is backed up here."
                }
                InviteKind::Circle => {
                    "This vault and the one that invites it will keep sealed copies for each other, which \
                     neither can read."
                }
            }
            .to_owned(),
            format!("The screen there, if somebody waits before it, {same}\nDoes it, and shall it go on?"),
        ),
    };
    format!("\n{what}\n{ask} [y/N] ")
}

/// Whether an answer is a yes: whatever is none is a no.
pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Asks on the terminal; what is no yes is a no.
fn asked(from: &mut impl BufRead, to: &mut impl Write, question: &Question) -> io::Result<bool> {
    // What was typed before the question was to be seen is no answer to it.
    let _no_terminal = tcflush(io::stdin(), QueueSelector::IFlush);
    to.write_all(text(question).as_bytes())?;
    to.flush()?;
    let mut line = String::new();
    io::Read::take(from, ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(is_yes(&line))
}

/// Asks on this terminal. Where nothing can be read it is a no, and nobody is kept waiting for it.
pub(super) async fn answer(question: Question) -> Command {
    let number = question.number;
    let ask = move || asked(&mut io::stdin().lock(), &mut io::stderr(), &question);
    let asked = tokio::task::spawn_blocking(ask).await;
    let yes = asked.is_ok_and(|asked| asked.unwrap_or(false));
    Command::Answer { question: number, yes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(about: About) -> Question {
        Question { number: 1, words: "maple orbit".to_owned(), about }
    }

    // PAIR-17
    #[test]
    fn the_question_says_what_is_given_and_nothing_but_yes_is_yes() {
        for (line, is_let_in) in
            [("y\n", true), (" Yes\n", true), ("\n", false), ("", false), ("maple orbit\n", false)]
        {
            let mut shown = Vec::new();
            let (name, site) = ("phone\u{1b}[2J".to_owned(), "home".to_owned());
            let about = About::Device { name, site };
            let answer = asked(&mut line.as_bytes(), &mut shown, &question(about)).unwrap();
            assert_eq!(answer, is_let_in, "{line:?}");
            let shown = String::from_utf8(shown).unwrap();
            assert!(shown.contains("read everything") && shown.contains("MAPLE ORBIT"), "{shown}");
            assert!(!shown.contains('\u{1b}'), "{shown}");
        }
        let shown = text(&question(About::Vault {
            vault: "ab".repeat(32),
            name: "nas".to_owned(),
            site: "parents".to_owned(),
            granted_bytes: 200_000_000_000,
            offered_bytes: 500_000_000_000,
        }));
        assert!(shown.contains("of vault abababab wants"), "{shown}");
        assert!(shown.contains("up to 500 GB, that one up to 200 GB"), "{shown}");
        let shown = text(&question(About::Joining { kind: InviteKind::Device }));
        assert!(shown.contains("read what is backed up here"), "{shown}");
    }
}
