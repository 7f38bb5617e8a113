//! `doctor`: looks at everything that a node depends on, and says what to do.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use larder_protocol::time::Timestamp;

use super::{
    super::{Core, EngineError, clock::wall, names, on_disk},
    peers::{Answered, ask, placing_status},
    ticket::own_addresses,
};
use crate::{
    command::{ByteSize, Check, DoctorOutcome, Failure, Health, Outcome, count},
    depot::{ShardState, Total},
    home::Home,
};

/// How long a peer may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Clocks of honest devices may differ by so much, in seconds.
const CLOCK_SLACK_S: u64 = 600;
/// 2024-01-01: no clock is before this but one that was never set.
const CLOCK_EARLIEST: Timestamp = Timestamp(1_704_067_200);
/// Below so much free space a backup can hardly work, and below ten times that it may not end.
const DISK_BAD_BYTES: u64 = 512 * 1024 * 1024;

/// Checks everything; nothing is changed.
pub(crate) async fn doctor(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let looking = Arc::clone(core);
    let mut checks = on_disk(move || local(&looking)).await?;
    checks.push(network(core));
    checks.extend(holders(core).await?);
    checks.extend(peers(core).await?);
    Ok(Outcome::Doctor(DoctorOutcome { checks }))
}

fn local(core: &Core) -> Result<Vec<Check>, EngineError> {
    let mut checks = vec![home(&core.home), device_key(core), database(core), depot(core)?];
    checks.extend(unclaimed(core.depot.unclaimed()?));
    checks.push(disk(core.depot.free_bytes()?));
    let seen = times_of_others(core)?;
    checks.push(clock(wall(), seen));
    checks.push(vault(core));
    Ok(checks)
}

fn home(home: &Home) -> Check {
    let path = home.directory();
    match std::fs::metadata(path).map(|facts| facts.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => {
            good("home", format!("{}, for its owner only", path.display()))
        }
        Ok(mode) => check(
            "home",
            Health::Poor,
            format!("{} can be entered by others (mode {mode:o})", path.display()),
            "close it: chmod 700 on that directory",
        ),
        Err(error) => check(
            "home",
            Health::Bad,
            format!("{} cannot be looked at: {error}", path.display()),
            "check the disk and the owner of the home",
        ),
    }
}

fn device_key(core: &Core) -> Check {
    match core.home.device_secrets() {
        Ok(_) => good("device-key", "whole, readable by its owner only"),
        Err(error) => check(
            "device-key",
            Health::Bad,
            Failure::from_error("the key file", &error).message,
            "the running node still has the key: run `larder recover` into a fresh home before \
             you stop it",
        ),
    }
}

fn database(core: &Core) -> Check {
    let read = core.state.index_size().and_then(|size| core.state.pack_facts().map(|_| size));
    match read {
        Ok((chunks, packs)) => {
            good("database", format!("{chunks} chunks in {packs} packs are known"))
        }
        Err(error) => check(
            "database",
            Health::Bad,
            Failure::from_error("state.redb", &error).message,
            "check the disk; with the phrase, `larder recover` into a fresh home makes a new one",
        ),
    }
}

fn depot(core: &Core) -> Result<Check, EngineError> {
    let (mut well, mut bytes, mut missing, mut damaged) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (_, row) in core.depot.rows(None)? {
        match row.state {
            ShardState::Ok => {
                well += 1;
                bytes = bytes.saturating_add(row.bytes);
            }
            ShardState::Missing => missing += 1,
            ShardState::Corrupt => damaged += 1,
        }
    }
    let kept = format!("{}, {}", count(well, "shard"), ByteSize(bytes));
    Ok(if missing + damaged == 0 {
        good("depot", kept)
    } else {
        check(
            "depot",
            Health::Bad,
            format!("{kept}; {missing} missing, {damaged} damaged"),
            "look at the disk (smartctl, the kernel's log) and run `larder verify`; copies come \
             from the holders",
        )
    })
}

/// Shards whose rows were lost, if there are any: they do harm to nobody, and may be of use.
fn unclaimed(files: Total) -> Option<Check> {
    (files.shards > 0).then(|| {
        check(
            "unclaimed",
            Health::Poor,
            format!(
                "{}, {}, whose records were lost with depot.redb: kept, but served to nobody",
                count(files.shards, "shard"),
                ByteSize(files.bytes)
            ),
            "keep `larder up` running: whoever has shards here sends them again, and they are known \
             again. What is left once every peer says that it is safe takes room and nothing else",
        )
    })
}

fn disk(free: u64) -> Check {
    let found = format!("{} free where the depot is", ByteSize(free));
    let hint = "free some space on that disk, or lower `larder offer`";
    match free {
        _ if free < DISK_BAD_BYTES => check("disk", Health::Bad, found, hint),
        _ if free < DISK_BAD_BYTES * 10 => check("disk", Health::Poor, found, hint),
        _ => good("disk", found),
    }
}

/// The latest time at which others say that something happened which has come here.
fn times_of_others(core: &Core) -> Result<Option<Timestamp>, EngineError> {
    let stored = core.state.all_receipts()?.into_iter().map(|receipt| receipt.body.stored);
    let latest = stored.max();
    let own = core.keys.id();
    let vaults = core.vaults.read();
    let heads = vaults.values().flat_map(|known| known.heads().heads());
    let heads = heads.filter(|head| head.body().device != own).map(|head| head.body().time);
    Ok(latest.max(heads.max()))
}

fn clock(now: Timestamp, others: Option<Timestamp>) -> Check {
    let hint = "set the clock, best by NTP: times of snapshots and of retention depend on it";
    if now < CLOCK_EARLIEST {
        return check("clock", Health::Bad, "it was never set".to_owned(), hint);
    }
    match others.map(|others| others.0.saturating_sub(now.0)) {
        Some(ahead) if ahead > CLOCK_SLACK_S => check(
            "clock",
            Health::Poor,
            format!("others have signed records that lie {} min ahead of it", ahead / 60),
            hint,
        ),
        Some(_) => good("clock", "fits what others have signed"),
        None => good("clock", "plausible; nobody to compare it with yet"),
    }
}

fn vault(core: &Core) -> Check {
    let Ok(member) = core.member() else {
        return check(
            "vault",
            Health::Poor,
            "none yet".to_owned(),
            "`larder init`, `larder join CODE` or `larder recover`",
        );
    };
    match names::manifests(core) {
        Ok(all) => {
            let snapshots: usize =
                all.iter().map(|(_, manifest)| manifest.live_snapshots().count()).sum();
            let known = count(u64::try_from(snapshots).unwrap_or(u64::MAX), "snapshot");
            good("vault", format!("{}, {known} known", member.vault.short()))
        }
        Err(error) => check(
            "vault",
            Health::Bad,
            Failure::from_error("its records", &error).message,
            "update larder; with the phrase, `larder recover` into a fresh home reads them anew",
        ),
    }
}

fn network(core: &Core) -> Check {
    let addresses = own_addresses(core);
    let port = core.net.port();
    if port == 0 || addresses.is_empty() {
        return check(
            "network",
            Health::Bad,
            "no address to listen at".to_owned(),
            "connect this machine to a network, or set net.listen",
        );
    }
    let wanted = core.config().listen();
    if let Some(wanted) = wanted
        && wanted.port() != 0
        && wanted.port() != port
    {
        return check(
            "network",
            Health::Poor,
            format!("UDP port {port}, though net.listen asks for {}", wanted.port()),
            "another program has that port; stop it, then start larder again",
        );
    }
    good("network", format!("UDP port {port} at {}", addresses.join(" ")))
}

async fn holders(core: &Arc<Core>) -> Result<Option<Check>, EngineError> {
    let Some(status) = placing_status(core).await? else { return Ok(None) };
    let (sites, copies) = (status.sites, status.copies);
    let known =
        format!("{} holders on {sites} sites; the policy asks for {copies}", status.holders.len());
    Ok(Some(match status.holders.len() {
        0 => check(
            "holders",
            Health::Poor,
            "nobody keeps copies for this vault".to_owned(),
            "invite another household: `larder invite --circle`",
        ),
        _ if sites < copies || status.one_site_only => check(
            "holders",
            Health::Poor,
            known,
            "invite another household: copies on one site burn together",
        ),
        _ => good("holders", known),
    }))
}

/// One check for each peer: whether it can be reached now.
async fn peers(core: &Arc<Core>) -> Result<Vec<Check>, EngineError> {
    let peers = core.state.peers()?;
    let answers = ask(core, peers.iter().map(|peer| peer.device), ANSWER_TIMEOUT).await;
    let mut checks = Vec::new();
    for peer in peers {
        let name = format!("peer {}", peer.name);
        checks.push(match answers.get(&peer.device) {
            Some((Answered::Yes, took)) => {
                good(name, format!("answers in {} ms", took.as_millis()))
            }
            Some((Answered::Refused, _)) => check(
                name,
                Health::Bad,
                "is there, but does not know this device".to_owned(),
                "pair again with `larder invite` and `larder join`",
            ),
            Some((Answered::No, _)) | None => {
                let at = if peer.addresses.is_empty() {
                    "no address of it is known".to_owned()
                } else {
                    format!("does not answer at {}", peer.addresses.join(" "))
                };
                check(
                    name,
                    Health::Poor,
                    at,
                    "start it; if it has moved, give its `larder ticket` to `larder connect` here; \
                     a firewall must let its UDP port through",
                )
            }
        });
    }
    Ok(checks)
}

fn good(name: impl Into<String>, found: impl Into<String>) -> Check {
    Check { name: name.into(), state: Health::Good, found: found.into(), hint: None }
}

fn check(name: impl Into<String>, state: Health, found: impl Into<String>, hint: &str) -> Check {
    Check { name: name.into(), state, found: found.into(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_what_others_signed_is_noticed() {
        let now = Timestamp(1_800_000_000);
        assert_eq!(clock(now, None).state, Health::Good);
        assert_eq!(clock(now, Some(Timestamp(now.0 + 300))).state, Health::Good);
        assert_eq!(clock(now, Some(Timestamp(now.0 + 7200))).state, Health::Poor);
        // Records of the past say nothing about the clock.
        assert_eq!(clock(now, Some(Timestamp(5))).state, Health::Good);
        assert_eq!(clock(Timestamp(5), None).state, Health::Bad);
    }

    // DEPOT-16
    #[test]
    fn shards_without_records_are_told_when_there_are_any() {
        assert!(unclaimed(Total::default()).is_none());
        let told = unclaimed(Total { shards: 3, bytes: 5000 }).unwrap();
        assert_eq!(told.state, Health::Poor);
        assert!(told.found.starts_with("3 shards"), "{}", told.found);
    }

    #[test]
    fn a_full_disk_is_told_before_it_hurts() {
        assert_eq!(disk(1 << 40).state, Health::Good);
        assert_eq!(disk(1 << 30).state, Health::Poor);
        assert_eq!(disk(1 << 20).state, Health::Bad);
    }
}
