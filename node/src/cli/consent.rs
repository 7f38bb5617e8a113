//! The one way to ask a person for a yes: what is no yes is a no.

use std::io::{self, BufRead, Write};

use rustix::termios::{QueueSelector, tcflush};

/// No answer is longer; a terminal's own line is 4096 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Whether an answer is a yes.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Shows the question and reads one line.
fn asked(from: &mut impl BufRead, to: &mut impl Write, question: &str) -> io::Result<bool> {
    to.write_all(format!("{question} [y/N] ").as_bytes())?;
    to.flush()?;
    let mut line = String::new();
    io::Read::take(from, ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(is_yes(&line))
}

/// Asks on this terminal, on a thread of its own.
///
/// # Errors
/// What the system says where nothing can be shown or read.
pub(super) async fn is_given(question: String) -> io::Result<bool> {
    let ask = move || {
        // What was typed before the question was to be seen is no answer to it.
        let _no_terminal = tcflush(io::stdin(), QueueSelector::IFlush);
        asked(&mut io::stdin().lock(), &mut io::stderr(), &question)
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // PAIR-17, GUARD-21
    #[test]
    fn nothing_but_yes_is_yes() {
        let lines = [
            ("y\n", true),
            (" Yes\n", true),
            ("YES", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yess\n", false),
            ("maple orbit\n", false),
        ];
        for (line, is_yes) in lines {
            let mut shown = Vec::new();
            assert_eq!(
                asked(&mut line.as_bytes(), &mut shown, "sure?").unwrap(),
                is_yes,
                "{line:?}"
            );
            assert_eq!(shown, b"sure? [y/N] ");
        }
        let endless = "y".repeat(10_000);
        assert!(!asked(&mut endless.as_bytes(), &mut Vec::new(), "sure?").unwrap());
        // Bytes that are no text are an error, and whoever asked takes it for a no.
        assert!(asked(&mut &b"\xff\n"[..], &mut Vec::new(), "sure?").is_err());
    }
}
