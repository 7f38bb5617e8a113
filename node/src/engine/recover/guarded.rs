//! Recovers without the phrase: guardians hand over their shares, holders give the phrase after a delay.
//!
//! ```text
//! code ──▶ guardian ──▶ share     as often as needed; kept on this home, days may lie between
//!                         │
//! a person says which vault it is
//!                         │
//! shares enough ──▶ request ──▶ holders: Waiting … Waiting … Open ──▶ phrase ──▶ recover as with paper
//! ```
//! What is sound, what is enough and what the answers come to is decided in
//! `larder_protocol::guarding::gathering`. Source: specs/guarding.md.

use std::{io, path::PathBuf, sync::Arc};

use larder_protocol::{
    guarding::{
        gathering::{Candidate, Gathering},
        release::RequestId,
    },
    keys::phrase::Phrase,
    peer::PeerRecord,
    ticket::{AddressTicket, Ticket},
};
use zeroize::Zeroizing;

use super::{Wish as PhraseWish, check_fresh, recover, tickets};
use crate::{
    command::{EventSink, Failure, GatheredOutcome, GatheredVault, Level, Outcome, Secret, count},
    engine::{Core, EngineError, clock::wall, guardians, on_disk},
    home::write_new,
};

mod asking;
mod desk;

use asking::{Given, asked};
use desk::gather;

/// Note in `state.redb`: what was gathered.
const GATHERING: &str = "gathering";

/// What was asked for.
pub(in crate::engine) struct Wish {
    pub(in crate::engine) connect: Vec<String>,
    pub(in crate::engine) name: Option<String>,
    pub(in crate::engine) site: Option<String>,
    /// New file for the phrase.
    pub(in crate::engine) phrase_out: PathBuf,
    /// Beginning of the id of the vault that is meant.
    pub(in crate::engine) vault: Option<String>,
    /// Forget what was gathered before.
    pub(in crate::engine) anew: bool,
}

/// The `recover --guardians` command.
pub(in crate::engine) async fn recover_by_guardians(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    check_fresh(core)?;
    check_file(&wish.phrase_out)?;
    let named = tickets(&wish.connect)?;
    let known = if wish.anew { None } else { kept(core)? };
    let mut gathering = known.unwrap_or_default();
    if let (Some(chosen), Some(vault)) = (gathering.chosen(), &wish.vault)
        && !chosen.to_string().starts_with(&vault.to_ascii_lowercase())
    {
        return Err(Failure::usage(format!("vault {} was chosen here before", chosen.short()))
            .hint("leave --vault out to go on with it, or begin again with --anew"));
    }
    if !is_enough(&gathering, wish.vault.as_deref()) {
        gathering = gather(core, gathering, wish.vault.as_deref(), events).await?;
    }
    if gathering.chosen().is_none() {
        match meant(&gathering, wish.vault.as_deref()) {
            Some(one) => gathering.choose(one.vault),
            // Anybody who was given the code can bring shares of his own vault.
            None => return Ok(Outcome::Gathered(shown(&gathering))),
        }
    }
    let own = core.own_name();
    let mut id = RequestId([0; 16]);
    getrandom::fill(&mut id.0).map_err(|_| EngineError::Randomness)?;
    gathering.request(id, wall(), wish.name.as_deref().unwrap_or(&own));
    keep(core, &gathering).await?;
    let mut holders = gathering.holders();
    holders.extend(named.into_iter().map(record));
    let phrase = match asked(core, &mut gathering, &holders, events).await? {
        Given::Phrase(phrase) => phrase,
        Given::Later(outcome) => return Ok(Outcome::Waiting(outcome)),
    };
    write_phrase(&wish, &phrase)?;
    let words = phrase.words().text();
    let connect = holders.into_iter().filter_map(ticket).collect();
    let with = PhraseWish {
        phrase: Secret::new(words.to_string()),
        connect,
        name: wish.name,
        site: wish.site,
    };
    let path = wish.phrase_out.display();
    let outcome = recover(core, with, events).await.inspect_err(|_| {
        let said = format!(
            "the 24 words are in {path}: `larder recover --phrase-file {path}` goes on from here"
        );
        events.notice(Level::Warning, said);
    })?;
    let said = format!("the 24 words are in {path}: write them on paper, then delete the file");
    events.notice(Level::Normal, said);
    Ok(outcome)
}

/// Days may pass before anything is written there.
fn check_file(path: &std::path::Path) -> Result<(), Failure> {
    let shown = path.display();
    if path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{shown} exists already, and is not written over"))
            .hint("name a new file; if the words are in that one, `larder recover --phrase-file` goes on"));
    }
    if path.parent().is_some_and(std::path::Path::is_dir) {
        return Ok(());
    }
    Err(Failure::usage(format!("the directory of {shown} is not there"))
        .hint("name a new file in a directory that you can write to"))
}

/// Whether nobody has to be waited for: of the vault that is meant, as far as it was said.
fn is_enough(gathering: &Gathering, vault: Option<&str>) -> bool {
    gathering.is_enough()
        && (vault.is_none() || gathering.chosen().is_some() || meant(gathering, vault).is_some())
}

/// The vault whose id begins so, of those of which there are shares enough.
fn meant(gathering: &Gathering, vault: Option<&str>) -> Option<Candidate> {
    let prefix = vault?.to_ascii_lowercase();
    let complete = gathering.candidates().into_iter().filter(is_complete);
    let mut meant = complete.filter(|it| it.vault.to_string().starts_with(&prefix));
    let one = meant.next()?;
    meant.all(|other| other.vault == one.vault).then_some(one)
}

const fn is_complete(candidate: &Candidate) -> bool {
    candidate.progress.have >= candidate.progress.needed
}

fn shown(gathering: &Gathering) -> GatheredOutcome {
    let vaults = gathering.candidates().into_iter().map(|it| GatheredVault {
        vault: it.vault.to_string(),
        founded: it.founded.into(),
        have: it.progress.have,
        needed: it.progress.needed,
        guardians: u32::try_from(it.guardians).unwrap_or(u32::MAX),
        delay_ms: it.delay_s.saturating_mul(1000),
        helpers: it.helpers,
    });
    GatheredOutcome { vaults: vaults.collect() }
}

/// Says how far each vault is.
fn tell_progress(gathering: &Gathering, events: &EventSink) {
    for it in gathering.candidates() {
        let said = format!(
            "vault {}: {} of {} are here, from {}",
            it.vault.short(),
            it.progress.have,
            count(u64::from(it.progress.needed), "share"),
            it.helpers.join(", ")
        );
        events.notice(Level::Normal, said);
    }
}

fn write_phrase(wish: &Wish, phrase: &Phrase) -> Result<(), Failure> {
    let mut text = phrase.words().text();
    text.push('\n');
    write_new(&wish.phrase_out, text.as_bytes()).map_err(|error: io::Error| {
        let path = wish.phrase_out.display();
        Failure::failed(format!("cannot write the phrase to {path}: {error}"))
            .hint("name a new file in a directory that you can write to, and say this again")
    })
}

fn kept(core: &Core) -> Result<Option<Gathering>, Failure> {
    let note = core.state.note(GATHERING).map_err(EngineError::from)?.map(Zeroizing::new);
    let note = note.filter(|bytes| !bytes.is_empty());
    let gathering = note.map(|bytes| Gathering::decode(&bytes)).transpose();
    gathering.map_err(|error| {
        Failure::failed(error.to_string())
            .hint("--anew begins without it: guardians have to help again then")
    })
}

async fn keep(core: &Arc<Core>, gathering: &Gathering) -> Result<(), EngineError> {
    let (core, bytes) = (Arc::clone(core), gathering.encode());
    on_disk(move || core.state.keep_note(GATHERING, &bytes)).await
}

/// This home has its vault, by whatever way: its own request is closed, and the shares are forgotten.
pub(super) async fn over(core: &Arc<Core>, events: &EventSink) {
    let gathering = match kept(core) {
        Ok(Some(gathering)) => gathering,
        Ok(None) => return,
        Err(failure) => return events.notice(Level::Warning, failure.message),
    };
    let (forgetting, closed) = (Arc::clone(core), guardians::answered(core, &gathering).await);
    let forgotten = on_disk(move || forgetting.state.keep_note(GATHERING, &[])).await;
    if let Err(error) = closed.and(forgotten) {
        events.notice(Level::Warning, format!("the request of this device is not closed: {error}"));
    }
    let said = "shares of your guardians have been on this device: appoint them anew, with \
                `larder guardians set`";
    events.notice(Level::Normal, said);
}

fn record(ticket: AddressTicket) -> PeerRecord {
    let AddressTicket { device, vault, addresses } = ticket;
    let name = device.short();
    PeerRecord { device, vault, site: name.clone(), name, addresses }
}

fn ticket(holder: PeerRecord) -> Option<String> {
    let PeerRecord { device, vault, addresses, .. } = holder;
    let ticket = Ticket::Address(AddressTicket { device, vault, addresses });
    ticket.is_plausible().then(|| ticket.to_text())
}
