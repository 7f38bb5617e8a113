//! Asks for a few words of a new phrase, to see that it is on paper. Never prints one.

use std::io::{self, BufRead, Write};

use zeroize::Zeroizing;

use crate::command::Failure;

/// Words that are asked for.
const WORDS: usize = 3;
/// Times that one of them is asked for.
const TRIES: usize = 3;
/// No answer is longer; a terminal's own line is 4096 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What is said in the end when it was not shown that the phrase is on paper.
const LATER: &str = "Compare the paper with the words above, now. Later, `larder recover --dry-run` shows whether \
     what is on it works.";

/// Asks for three random words of the phrase.
///
/// # Errors
/// [`Failure`] when there is no randomness; the vault is made all the same.
pub(super) fn run(
    phrase: &str,
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> Result<(), Failure> {
    let words: Vec<&str> = phrase.split_whitespace().collect();
    let mut random = [0; 2 * WORDS];
    getrandom::fill(&mut random)
        .map_err(|_| Failure::failed("the system gives no randomness").hint("the vault is made"))?;
    // Whoever closed the terminal has the words or has not.
    let _closed = ask(&words, &places(random, words.len()), from, to);
    Ok(())
}

/// Which words are asked for, ascending, counted from 0; none twice.
fn places(random: [u8; 2 * WORDS], words: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..words).collect();
    let mut drawn = Vec::with_capacity(WORDS);
    for bytes in random.as_chunks::<2>().0 {
        if !left.is_empty() {
            drawn.push(left.remove(usize::from(u16::from_le_bytes(*bytes)) % left.len()));
        }
    }
    drawn.sort_unstable();
    drawn
}

/// Whether all were known.
fn ask(
    words: &[&str],
    places: &[usize],
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> io::Result<bool> {
    writeln!(to, "To see that they are on paper: type {} of them, please.", places.len())?;
    for place in places {
        let Some(word) = words.get(*place) else { continue };
        if !is_known(word, place + 1, from, to)? {
            writeln!(to, "{LATER}\n")?;
            return Ok(false);
        }
    }
    writeln!(to, "All right.\n")?;
    Ok(true)
}

fn is_known(
    word: &str,
    number: usize,
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> io::Result<bool> {
    for _ in 0..TRIES {
        write!(to, "Word {number}? ")?;
        to.flush()?;
        let mut line = Zeroizing::new(String::with_capacity(64));
        if io::Read::take(&mut *from, ANSWER_BYTES_MAX).read_line(&mut line)? == 0 {
            writeln!(to)?;
            return Ok(false);
        }
        if line.trim().eq_ignore_ascii_case(word) {
            return Ok(true);
        }
        writeln!(to, "That is not word {number}.")?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASE: [&str; 6] = ["abandon", "ability", "able", "zebra", "zoo", "absent"];

    fn asked(answers: &str) -> (bool, String) {
        let mut shown = Vec::new();
        let all = ask(&PHRASE, &[0, 2, 5], &mut answers.as_bytes(), &mut shown).unwrap();
        (all, String::from_utf8(shown).unwrap())
    }

    // CLI-21
    #[test]
    fn three_words_are_asked_for_by_their_numbers_and_none_is_printed() {
        let (all, shown) = asked("abandon\n ABLE \nabsent\n");
        assert!(all && shown.ends_with("Word 1? Word 3? Word 6? All right.\n\n"), "{shown}");
        // One that is wrong is asked for again; a number is not taken for a word.
        let (all, shown) = asked("abandon\n3\nzebra\nable\nabsent\n");
        assert!(all && shown.matches("That is not word 3.").count() == 2, "{shown}");
        // Three times wrong, and the end of the input: it says how to see later.
        for answers in ["abandon\na\nb\nc\nable\n", "abandon\n", ""] {
            let (all, shown) = asked(answers);
            assert!(!all && shown.contains("larder recover --dry-run"), "{shown}");
            assert!(PHRASE.iter().all(|word| !shown.contains(&format!(" {word}"))), "{shown}");
        }
    }

    // CLI-21
    #[test]
    fn any_three_different_words_may_be_asked_for() {
        assert_eq!(places([0; 6], 24), [0, 1, 2]);
        assert_eq!(places([23, 0, 22, 0, 21, 0], 24), [21, 22, 23]);
        assert_eq!(
            places([0xff; 6], 2).len(),
            2,
            "a phrase that is too short is no reason to panic"
        );
        for byte in 0..=u8::MAX {
            let drawn = places([byte, 1, byte, 7, 3, byte], 24);
            assert!(drawn.is_sorted_by(|one, next| one < next) && drawn[2] < 24, "{drawn:?}");
        }
    }
}
