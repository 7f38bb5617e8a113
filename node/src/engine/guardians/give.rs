//! A guardian hands its share to somebody who asks for help. Source: specs/guarding.md.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    guarding::handing::{Handed, HandedAnswer, VERSION},
    ids::VaultId,
    limits::{GUARDIAN_HOLDERS_MAX, HANDED_BYTES_MAX},
    log::DeviceLog,
    peer::PeerRecord,
    ticket::{Invite, InviteKind},
    time::Timestamp,
    trail::TrailEvent,
};
use tokio::time::timeout;
use tracing::warn;

use super::guardian_of;
use crate::{
    command::{EventSink, ExitKind, Failure, GaveOutcome, GuardianOf, Outcome},
    engine::{Core, EngineError, Member, clock::wall, join, launch, on_disk, trail},
    net::NetError,
};

/// How long the answer of who asks is waited for.
const ANSWER: Duration = Duration::from_secs(20);
/// Note in `state.redb`: when the share of the vault that follows was last handed over.
const GAVE: &str = "gave share of ";

/// The `guardians give` command.
pub(in crate::engine) async fn give(
    core: &Arc<Core>,
    code: &str,
    of: Option<String>,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let (vault, name) = whose(guardian_of(core, &member)?, of.as_deref())?;
    let invite = join::invitation(core, code, events).await?;
    if invite.kind != InviteKind::Help {
        return Err(Failure::usage("this code invites, and asks for no help").hint(
            "ask for the code that `larder recover --guardians` shows; or use `larder join`",
        ));
    }
    let frame = handed(core, &member, vault, &invite)?.frame();
    let frame = frame.map_err(|error| EngineError::from(NetError::from(error)))?;
    // Before: whoever gets it may say that he did not.
    trail::note(core, TrailEvent::ShareGiven { vault }).await;
    let answer = hand_over(core, &invite, frame).await?;
    match HandedAnswer::decode(&answer).ok_or(EngineError::OutOfTurn)? {
        HandedAnswer::Taken { have, needed } => {
            warn!("the share of the recovery phrase of {name} was handed to somebody");
            remember(core, vault).await?;
            Ok(Outcome::Gave(GaveOutcome { vault: vault.to_string(), name, have, needed }))
        }
        HandedAnswer::Refused { reason } => {
            Err(Failure::new(ExitKind::Key, format!("it was not taken: {reason}"))
                .hint("ask for a new code, and whose share is needed"))
        }
    }
}

/// The vault whose share is meant.
fn whose(all: Vec<GuardianOf>, of: Option<&str>) -> Result<(VaultId, String), Failure> {
    let names: Vec<String> = all.iter().map(|it| it.name.clone()).collect();
    let meant = |it: &GuardianOf| of.is_none_or(|of| is_named(of, &it.name, [&it.vault]));
    let mut meant: Vec<GuardianOf> = all.into_iter().filter(meant).collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(one), true) => {
            let vault = one.vault.parse().map_err(|error| Failure::internal(&error))?;
            Ok((vault, one.name))
        }
        (Some(_), false) => Err(Failure::usage("this vault is guardian of several others")
            .hint(format!("say whose share it is: --of, one of {}", names.join(", ")))),
        (None, _) if names.is_empty() => Err(Failure::failed("this vault is nobody's guardian")
            .hint("whoever wants it as one says `larder guardians set` on a device of theirs")),
        (None, _) => Err(Failure::usage(format!(
            "this vault is not the guardian of {}",
            of.unwrap_or_default()
        ))
        .hint(format!("it is of: {}", names.join(", ")))),
    }
}

/// Whether a person who says `text` means this: by its name, or by the beginning of one of its ids.
pub(in crate::engine) fn is_named<const N: usize>(
    text: &str,
    name: &str,
    ids: [&String; N],
) -> bool {
    let prefix = text.to_ascii_lowercase();
    text == name || (!prefix.is_empty() && ids.iter().any(|id| id.starts_with(&prefix)))
}

fn handed(
    core: &Core,
    member: &Member,
    vault: VaultId,
    invite: &Invite,
) -> Result<Handed, EngineError> {
    let log = core.log_of(&vault)?;
    let guard = core.vaults.guard_of(&vault)?;
    let set = guard.set().ok_or(EngineError::NoVault)?;
    let share = set.share_for(member.keyring().all()).ok_or(EngineError::NoVault)?;
    Ok(Handed {
        version: VERSION,
        proof: *invite.help_proof(&core.keys.id()).as_bytes(),
        name: core.own_name(),
        genesis: genesis(&log).to_vec().into(),
        set: set.bytes().to_vec().into(),
        share,
        holders: holders(core, member)?,
    })
}

fn genesis(log: &DeviceLog) -> &[u8] {
    log.entries().next().expect("a log begins with its genesis entry")
}

/// Everybody here who may hold for that vault: this node first, then those that were met last.
fn holders(core: &Core, member: &Member) -> Result<Vec<PeerRecord>, EngineError> {
    let mut peers = core.state.peers()?;
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.last_seen));
    let known = peers.into_iter().map(join::record_of).filter(PeerRecord::is_plausible);
    let own = join::own_record(core, member.vault);
    Ok(std::iter::once(own).chain(known).take(GUARDIAN_HOLDERS_MAX).collect())
}

async fn hand_over(core: &Core, invite: &Invite, frame: Vec<u8>) -> Result<Vec<u8>, Failure> {
    core.net.set_addresses(invite.inviter, launch::socket_addresses(&invite.addresses));
    let handed = async {
        let mut stream = core.net.peer(invite.inviter).help().await?;
        stream.send_frame(frame).await?;
        stream.finish();
        stream.receive_body(HANDED_BYTES_MAX).await
    };
    match timeout(ANSWER, handed).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(NetError::Unreachable(_) | NetError::Lost)) | Err(_) => {
            Err(Failure::new(ExitKind::Holders, "whoever asks for help cannot be reached")
                .hint("it has to wait with `larder recover --guardians` while you say this; ask for a new code"))
        }
        Ok(Err(error)) => Err(EngineError::from(error).into()),
    }
}

async fn remember(core: &Arc<Core>, vault: VaultId) -> Result<(), EngineError> {
    let core = Arc::clone(core);
    on_disk(move || core.state.keep_note(&format!("{GAVE}{vault}"), &wall().0.to_le_bytes())).await
}

/// When the share of this vault was last handed over.
pub(super) fn last(core: &Core, vault: &VaultId) -> Result<Option<Timestamp>, EngineError> {
    let note = core.state.note(&format!("{GAVE}{vault}"))?;
    let seconds = note.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    Ok(seconds.map(Timestamp))
}
