//! `guardians`: relatives who can give the recovery phrase back together.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{
    consent,
    output::Output,
    restore::{ask_phrase, phrase_from, tidy_phrase},
    session::Session,
};
use crate::command::{
    Command, ExitKind, Failure, GuardianOf, GuardiansAct, Launch, Outcome, Secret, parse_span,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Guardians help whoever has lost every device and the 24 words as well. Each has \
    a share that says nothing by itself; enough of them together, and one holder, give the words back, \
    after a delay in which every device of this vault that is still there warns and can stop it. \
    The words themselves are never split, and no guardian sees them.

What they can do who should not: `specs/guarding.md`. Choose persons whom you would not see conspire.

Examples:
  larder guardians                                         who they are, and who asks
  larder guardians set --threshold 2 anna bob carol        any two of these three
  larder guardians stop                                    it was not me who asked
  larder guardians give 7-maple-orbit-candy --of anna-laptop   help anna, who has told me this code
  larder recover --guardians --phrase-out words.txt        on the new device of who lost everything"
)]
pub(super) struct GuardiansArguments {
    #[command(subcommand)]
    what: Option<What>,
}

/// What can be done about guardians.
#[derive(Debug, Subcommand)]
enum What {
    /// Appoint guardians, in place of those before; their shares are of no use any more
    Set(SetArguments),
    /// Have no guardians any more
    Clear(ClearArguments),
    /// Stop whoever asks for the phrase
    #[command(
        after_help = "Each device of this vault can say it. Holders that are away hear of it when they \
        are met. Then speak with your guardians: somebody has talked enough of them into helping.

Examples:
  larder guardians stop"
    )]
    Stop,
    /// Hand this vault's share of another vault's phrase to whoever has told me a code
    Give(GiveArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Any K of them are enough. With K = 1 each can ask alone; with all of them needed, one \
    that cannot help any more is one too many. Those who are no guardians but hold for this vault \
    are part of it as well: they keep the phrase back for the time of --delay.

Examples:
  larder guardians set --threshold 2 anna bob carol
  larder guardians set --threshold 2 --delay 14d anna bob carol --phrase-file words.txt"
)]
struct SetArguments {
    /// How many of them are enough
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..=16))]
    threshold: u8,
    /// How long holders keep the phrase back after it was asked for
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_span)]
    delay: u64,
    /// File with the 24 words, which sign this; `-` reads them from stdin; without it they are asked for
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
    /// Nodes of other persons in this circle, by the names of `larder peers`, or beginnings of ids
    #[arg(value_name = "PEER", required = true, num_args = 1..=16)]
    peers: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder guardians clear --phrase-file words.txt")]
struct ClearArguments {
    /// File with the 24 words, which sign this; `-` reads them from stdin; without it they are asked for
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "You are asked whether it is really them: whoever tells you the code gets the share. Who \
    is in another network, without a relay of both, tells you the long text instead.

Examples:
  larder guardians give 7-maple-orbit-candy
  larder guardians give 7-maple-orbit-candy --of anna-laptop"
)]
struct GiveArguments {
    /// The code or the long text that `larder recover --guardians` shows there
    code: String,
    /// Whose share: a name that `larder guardians` shows, or the beginning of the vault's id
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    /// Do not ask whether it is really them
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: GuardiansArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let act = match arguments.what {
        None => GuardiansAct::Show,
        Some(What::Stop) => GuardiansAct::Stop,
        Some(What::Clear(ClearArguments { phrase_file })) => {
            GuardiansAct::Dissolve { phrase: phrase(phrase_file)? }
        }
        Some(What::Set(SetArguments { threshold, delay, phrase_file, peers })) => {
            let phrase = phrase(phrase_file)?;
            GuardiansAct::Appoint { threshold, delay_s: delay, peers, phrase }
        }
        Some(What::Give(GiveArguments { code, of, yes })) => {
            if !yes {
                confirm(session, output, of.as_deref()).await?;
            }
            return session.ask(Command::GiveShare { code, of }, output).await;
        }
    };
    session.ask(Command::Guardians { act }, output).await
}

fn phrase(file: Option<PathBuf>) -> Result<Secret, Failure> {
    match file {
        Some(path) => phrase_from(&path),
        None => Ok(tidy_phrase(&ask_phrase()?)),
    }
}

/// Whoever hands a share over has to be sure to whom: nobody else can be.
async fn confirm<L: Launch + 'static>(
    session: &Session<L>,
    output: &mut Output,
    of: Option<&str>,
) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("nobody was asked whether this is really them").hint(
            "speak with the person who asks for help, by voice or face to face; then add --yes",
        ));
    }
    let show = Command::Guardians { act: GuardiansAct::Show };
    let Outcome::Guardians(known) = session.answer(show, output).await? else {
        return Err(Failure::internal(&"another outcome than was asked for"));
    };
    let said = question(&known.guardian_of, of);
    let asked = consent::is_given(said).await;
    if asked.map_err(|error| Failure::from_error("cannot ask", &error))? {
        Ok(())
    } else {
        Err(Failure::failed("nothing was handed over").hint("say this again when you are sure"))
    }
}

fn question(guardian_of: &[GuardianOf], of: Option<&str>) -> String {
    let whose = match (of, guardian_of) {
        (Some(of), _) => of.to_owned(),
        (None, [one]) => one.name.clone(),
        (None, _) => "somebody".to_owned(),
    };
    let whose = super::escape::visible_text(&whose);
    format!(
        "This hands your share of the recovery phrase of {whose} to whoever told you that code.\n\
         Have you seen that person, or heard the voice, and are you sure?"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // GUARD-21
    #[test]
    fn the_question_names_whose_share_it_is() {
        let one = |name: &str| GuardianOf {
            vault: "aa".into(),
            name: name.into(),
            threshold: 2,
            guardians: 3,
            gave: None,
        };
        assert!(question(&[one("anna")], None).contains("phrase of anna to"));
        assert!(question(&[one("anna"), one("bob")], Some("bob")).contains("phrase of bob to"));
        assert!(!question(&[one("\u{1b}[2J")], None).contains('\u{1b}'));
    }
}
