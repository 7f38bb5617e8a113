//! `doctor`: looks at everything that a node depends on, and says what to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::Duration,
};

use larder_protocol::{
    ids::DeviceId,
    placing::{Acquaintance, HolderStatus, Site, Status},
    time::Timestamp,
};

use super::{
    super::{
        Core, EngineError,
        clock::wall,
        names,
        neighbours::Looking,
        on_disk,
        scrubber::{read_age, read_since},
    },
    absent::letting_go,
    peers::{Answered, ask, placing_status},
    ticket::own_addresses,
};
use crate::{
    command::{ByteSize, Check, DoctorOutcome, Failure, Health, Outcome, count},
    depot::{ShardState, Total},
    home::{DeviceKeyError, Home, HomeError},
    net::{self, RelayFault},
    state::circle::PeerRow,
};

/// The check of the holders as a whole: the one that decides between exit codes 1 and 4.
const HOLDERS: &str = DoctorOutcome::HOLDERS;

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
    checks.extend(neighbours(core));
    checks.extend(relays(core).await);
    let known = core.state.peers().map_err(EngineError::from)?;
    let answers = ask(core, known.iter().map(|peer| peer.device), ANSWER_TIMEOUT).await;
    // After the answers: who was met just now is known for what it is.
    checks.extend(placing_status(core).await?.map(|status| holders(&status, &answers)));
    checks.extend(peers(&known, &answers));
    Ok(Outcome::Doctor(DoctorOutcome { checks }))
}

fn local(core: &Core) -> Result<Vec<Check>, EngineError> {
    let mut checks = vec![home(&core.home), device_key(core), database(core), depot(core)?];
    checks.extend(unclaimed(core.depot.unclaimed()?));
    checks.push(disk(core.depot.free_bytes()?));
    let seen = times_of_others(core)?;
    checks.push(clock(wall(), seen));
    checks.push(vault(core));
    if let Ok(member) = core.member() {
        checks.extend(letting_go(core, &member)?);
    }
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
    match core.home.is_key_sealed() {
        Ok(true) => good("device-key", "whole, sealed with a passphrase"),
        Ok(false) => good(
            "device-key",
            "whole, in clear, readable by its owner only; `larder passphrase set` seals it",
        ),
        Err(HomeError::DeviceKey(error @ DeviceKeyError::Exposed { .. })) => {
            let path = core.home.device_key_file();
            let hint = format!("close it: chmod 600 {}", path.display());
            check("device-key", Health::Bad, error.to_string(), &hint)
        }
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
    let age = read_since(core)?.map(|since| read_age(since, wall(), &core.config()));
    let mut kept = format!("{}, {}", count(well, "shard"), ByteSize(bytes));
    if let Some(age) = age {
        let days = count(age.days.saturating_add(1), "day");
        let _infallible = write!(kept, ", read back within {days}");
    }
    Ok(if missing + damaged == 0 {
        match age {
            Some(age) if age.is_overdue => check(
                "depot",
                Health::Poor,
                kept,
                "leave `larder up` running, which reads everything back by and by, or run \
                 `larder verify` now",
            ),
            _ => good("depot", kept),
        }
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

/// Who is found in the same network, where this node looks.
fn neighbours(core: &Core) -> Option<Check> {
    let name = "local network";
    match core.neighbours.looking() {
        Looking::Off => None,
        Looking::On { found } => {
            let devices = count(u64::try_from(found).unwrap_or(u64::MAX), "device");
            Some(good(name, format!("{devices} of the circle found by itself since the start")))
        }
        Looking::Crowded => Some(check(
            name,
            Health::Poor,
            "more devices show themselves than any home has, so none is looked for".to_owned(),
            "a device in this network makes them up; until it is found, use `larder connect TICKET`",
        )),
        Looking::Refused => Some(check(
            name,
            Health::Poor,
            "the system does not let this node watch its networks; it tries again".to_owned(),
            "use `larder connect TICKET`; `larder config set net.lan off` stops the attempts",
        )),
    }
}

/// One check for each relay: whether it would relay for this device.
async fn relays(core: &Core) -> Vec<Check> {
    let mut checks = Vec::new();
    for address in &core.relays {
        let name = format!("relay {}", address.url());
        checks.push(match net::probe(address).await {
            Ok(took) => good(name, format!("answers in {} ms", took.as_millis())),
            Err(fault) => check(name, Health::Poor, fault.to_string(), relay_hint(&fault)),
        });
    }
    checks
}

const fn relay_hint(fault: &RelayFault) -> &'static str {
    match fault {
        RelayFault::Denied(_) => {
            "ask whoever runs it for an invitation (`larder-relay invite` there), and use the address \
             that it prints"
        }
        RelayFault::Certificate => {
            "use the address that `larder-relay invite` printed, with all that stands after the #; \
             if that is what you use, somebody answers in its place, or its certificate was made anew"
        }
        RelayFault::Unreachable => {
            "check its name and port, and whether it runs; its firewall must let TCP and UDP through. \
             Peers that are reached directly are not affected"
        }
        RelayFault::Strange => "check the port: another program answers there",
    }
}

/// How each peer answered just now.
type Answers = BTreeMap<DeviceId, (Answered, Duration)>;

/// Whether enough holders can be reached now: a holder that is known and away takes no copy.
fn holders(status: &Status, answers: &Answers) -> Check {
    let answers_now = |device: &DeviceId| matches!(answers.get(device), Some((Answered::Yes, _)));
    let counts = |holder: &HolderStatus| holder.acquaintance.counts() && !holder.presumed_lost;
    let holders = status.holders.iter().filter(|(_, holder)| counts(holder));
    let there = holders.clone().filter(|(device, _)| answers_now(device));
    let sites: BTreeSet<&Site> = there.clone().map(|(_, holder)| &holder.site).collect();
    let (known, there) = (holders.count(), there.count());
    let (sites_known, sites, copies) = (status.sites, sites.len(), status.copies);
    let found = format!(
        "{there} of {} answer, on {sites} of {}; the policy asks for copies on {copies}",
        count(u64::try_from(known).unwrap_or(u64::MAX), "holder"),
        count(u64::try_from(sites_known).unwrap_or(u64::MAX), "site"),
    );
    let told = |state, hint| check(HOLDERS, state, found.clone(), hint);
    match known {
        0 => check(
            HOLDERS,
            // A device that only keeps for others needs nobody.
            if status.packs > 0 { Health::Bad } else { Health::Poor },
            "nobody keeps copies for this vault: no device that is known has granted it room",
            "invite another household with `larder invite --circle`; a device that is paired \
             already needs `larder offer SIZE` there",
        ),
        _ if sites_known < copies => told(
            Health::Bad,
            "invite another household with `larder invite --circle`, or ask for fewer copies with \
             `larder config set policy.copies`",
        ),
        _ if sites < copies => told(
            Health::Bad,
            "start the holders that are away (`larder up` there), or tell their new addresses with \
             `larder connect TICKET`; nothing new becomes safe until then",
        ),
        _ if status.one_site_only => told(
            Health::Poor,
            "invite another household: one site keeps all copies; if holders stand apart that \
                 name it, say so there: `larder config set device.site NAME`",
        ),
        _ => good(HOLDERS, found),
    }
}

/// One check for each peer: whether it can be reached now.
fn peers(peers: &[PeerRow], answers: &Answers) -> Vec<Check> {
    peers.iter().map(|peer| one_peer(peer, answers.get(&peer.device))).collect()
}

fn one_peer(peer: &PeerRow, answer: Option<&(Answered, Duration)>) -> Check {
    let name = format!("peer {}", peer.name);
    match answer {
        Some((Answered::Yes, took)) => good(name, format!("answers in {} ms", took.as_millis())),
        // Who never was a holder owes nothing: others have told of it, that is all.
        Some((Answered::Refused, _)) if peer.acquaintance() != Acquaintance::Granted => check(
            name,
            Health::Poor,
            "is there, but does not know this device",
            "if it is to keep copies, pair the two with `larder invite` and `larder join`",
        ),
        Some((Answered::Refused, _)) => check(
            name,
            Health::Bad,
            "is there, but does not know this device",
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
    }
}

fn good(name: impl Into<String>, found: impl Into<String>) -> Check {
    Check { name: name.into(), state: Health::Good, found: found.into(), hint: None }
}

fn check(name: impl Into<String>, state: Health, found: impl Into<String>, hint: &str) -> Check {
    Check { name: name.into(), state, found: found.into(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::VaultId,
        placing::{Condition, HolderStatus, Placing, Policy},
    };

    use super::*;
    use crate::command::ExitKind;

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

    fn holder(site: &str, acquaintance: Acquaintance) -> HolderStatus {
        HolderStatus {
            site: Site(site.to_owned()),
            connected: false,
            condition: Condition::Away,
            acquaintance,
            presumed_lost: false,
            is_leaving: false,
            kept_packs: 0,
            kept_bytes: 0,
            pending_packs: 0,
            lost_packs: 0,
            uploads: 0,
            failures: 0,
        }
    }

    fn answered(devices: &[u8]) -> Answers {
        let yes = (Answered::Yes, Duration::from_millis(1));
        devices.iter().map(|seed| (DeviceId::from_bytes([*seed; 32]), yes)).collect()
    }

    // PLACE-19
    #[test]
    fn a_holder_that_is_known_and_away_keeps_no_new_copy() {
        use Acquaintance::{Granted, Idle, Silent};
        let placing = Placing::new(VaultId::from_bytes([1; 32]), Policy::default());
        let mut status = Status { packs: 1, ..placing.status() };
        let mut seed = 0;
        let mut add = |status: &mut Status, site, acquaintance| {
            seed += 1;
            let of = holder(site, acquaintance);
            status.holders.insert(DeviceId::from_bytes([seed; 32]), of);
        };
        add(&mut status, "gone", Silent);
        add(&mut status, "here", Idle);
        let exit = |status: &Status, there: &[u8]| {
            DoctorOutcome { checks: vec![holders(status, &answered(there))] }.exit_kind()
        };
        assert_eq!(exit(&status, &[2]), ExitKind::Holders, "nobody who holds");
        assert_eq!(exit(&Status { packs: 0, ..status.clone() }, &[]), ExitKind::Done);
        add(&mut status, "home", Granted);
        add(&mut status, "office", Granted);
        add(&mut status, "office", Granted);
        (status.sites, status.copies, status.one_site_only) = (2, 2, false);
        let bad = holders(&status, &answered(&[2, 4, 5]));
        assert_eq!(bad.state, Health::Bad);
        assert!(bad.found.contains("2 of 3 holders answer, on 1 of 2 sites"), "{}", bad.found);
        assert_eq!(exit(&status, &[]), ExitKind::Holders);
        // One of two at a site is enough.
        assert_eq!(holders(&status, &answered(&[3, 5])).state, Health::Good);
        status.copies = 3;
        assert_eq!(holders(&status, &answered(&[3, 4, 5])).state, Health::Bad);
        // Whatever else is bad counts more.
        let mut checks = vec![holders(&status, &answered(&[])), disk(1)];
        assert_eq!(DoctorOutcome { checks: checks.clone() }.exit_kind(), ExitKind::Failed);
        checks.swap(0, 1);
        assert_eq!(DoctorOutcome { checks }.exit_kind(), ExitKind::Failed);
    }

    #[test]
    fn a_full_disk_is_told_before_it_hurts() {
        assert_eq!(disk(1 << 40).state, Health::Good);
        assert_eq!(disk(1 << 30).state, Health::Poor);
        assert_eq!(disk(1 << 20).state, Health::Bad);
    }
}
