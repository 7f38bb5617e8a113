//! How this node is, and who its neighbours are.

use super::{line, lists, plain, rekey, short, visible, when};
use crate::command::{
    ByteSize, ConnectOutcome, DeviceRole, DoctorOutcome, Folder, Health, InitOutcome, InviteKind,
    InviteOutcome, JoinOutcome, Joined, OfferOutcome, OpenedBy, PassphraseDone, PassphraseOutcome,
    ReadyOutcome, RelayState, Safety, SealKind, StatusOutcome, count, show_span,
};

pub(super) fn init(text: &mut String, done: &InitOutcome) {
    let (name, site) = (plain(&done.name), plain(&done.site));
    let (vault, device) = (short(&done.vault), short(&done.device));
    line(text, &format!("made vault {vault} with device {name} ({device}) at site {site}"));
    line(text, "copies at one site count as one; elsewhere: larder config set device.site NAME");
    if !done.sealed {
        line(
            text,
            "whoever copies this disk has this device: encrypt it, or larder passphrase set",
        );
    }
    line(text, "next: larder add FOLDER, larder up, larder invite");
}

pub(super) fn passphrase(text: &mut String, done: &PassphraseOutcome) {
    if done.done == PassphraseDone::Checked {
        line(text, "the passphrase is right");
    }
    match &done.seal {
        Some(SealKind { kdf, memory_bytes, passes }) => {
            let cost = format!("{kdf}, {memory_bytes}, {passes} passes");
            line(text, &format!("the device key is sealed with a passphrase ({cost})"));
        }
        None => {
            line(text, "the device key is in clear, readable by its owner only");
            line(text, "whoever copies this disk has this device: larder passphrase set");
        }
    }
    if done.opened_by == Some(OpenedBy::Keyring) {
        line(text, "the keyring of this desktop opens it at a start, once its user is logged in");
    }
    if done.done == PassphraseDone::Set {
        line(
            text,
            match done.opened_by {
                Some(OpenedBy::Keyring) => {
                    "nobody knows the passphrase: where the keyring is lost, larder recover and the 24 words \
                     make another device"
                }
                Some(OpenedBy::Command) => {
                    "every start needs it now: see to it that device.passphrase_command prints it, or unset that"
                }
                None => {
                    "every start needs it now: change it as well where a start takes it from \
                     (larder passphrase --help)"
                }
            },
        );
        line(text, "older copies of the key file (snapshots, worn flash) open as they did before");
    }
}

/// One line: scripts wait for it.
pub(super) fn ready(text: &mut String, done: &ReadyOutcome) {
    let addresses = done.addresses.join(" ");
    let vault = done.vault.as_deref().map_or("no vault yet", short);
    let (name, device) = (plain(&done.name), short(&done.device));
    line(text, &format!("ready: {name} ({device}), vault {vault}, listening at {addresses}"));
}

pub(super) fn offer(text: &mut String, done: &OfferOutcome) {
    let (offered, kept) = (ByteSize(done.offered_bytes), ByteSize(done.kept_bytes));
    let free = ByteSize(done.disk_free_bytes);
    line(text, &format!("offers {offered} to others and keeps {kept}; {free} free on this disk"));
    for vault in &done.vaults {
        let (name, kept) = (plain(&vault.name), ByteSize(vault.kept_bytes));
        let of = match (vault.leaving, vault.allowed_bytes) {
            (true, _) => "which goes apart from this one: nothing more".to_owned(),
            (false, None) => "as much as is offered in all".to_owned(),
            (false, Some(bytes)) => format!("up to {}", ByteSize(bytes)),
        };
        line(text, &format!("  {name} (vault {}) keeps {kept}; {of}", short(&vault.vault)));
    }
}

pub(super) fn invite(text: &mut String, done: &InviteOutcome) {
    line(text, &done.code);
    line(text, "");
    let whom = match done.kind {
        InviteKind::Circle => {
            "for another vault, which keeps for this one and the other way round".to_owned()
        }
        InviteKind::OneWay => {
            "for another vault, which keeps here and gets nothing to keep".to_owned()
        }
        InviteKind::Device => format!("for a device of yours: it may {}", done.role.rights()),
    };
    line(text, &format!("{whom}; there: larder join CODE"));
    if let Some(bytes) = done.allowed_bytes {
        line(text, &format!("it may keep up to {} here", ByteSize(bytes)));
    }
    line(text, &format!("works once, until {}", when(done.expires)));
    if let (Some(spoken), Some(expires)) = (&done.spoken, done.spoken_expires) {
        line(text, "");
        line(
            text,
            &format!("or, in the same network or by the same relay: larder join {}", plain(spoken)),
        );
        line(text, &format!("one try, until {}", when(expires)));
    }
}

/// Who came by an invitation.
pub(super) fn joined(text: &mut String, joined: &Joined) {
    let (name, site) = (plain(&joined.name), plain(&joined.site));
    let said = match &joined.vault {
        None => format!("{name} is a device of this vault now, at site {site}"),
        Some(vault) => {
            format!("{name} of vault {} is in the circle now, at site {site}", short(vault))
        }
    };
    line(text, &said);
    if joined.confirmed {
        line(text, &format!("its screen has to show: {}", plain(&joined.words)));
    } else {
        line(
            text,
            "it did not say that it has stored everything: if it says so itself, join again with a new code",
        );
    }
}

pub(super) fn join(text: &mut String, done: &JoinOutcome) {
    let (name, device, vault) = (plain(&done.name), short(&done.device), short(&done.vault));
    line(
        text,
        &match done.kind {
            InviteKind::Circle => {
                format!("joined the circle of vault {vault}, met through {name} ({device})")
            }
            InviteKind::OneWay => format!(
                "{name} ({device}) of vault {vault} keeps for this vault, and gets nothing to keep"
            ),
            InviteKind::Device => {
                let what = match done.role {
                    DeviceRole::Owner => "a device",
                    DeviceRole::Member => "a member",
                };
                format!("this is now {what} of vault {vault}, admitted by {name} ({device})")
            }
        },
    );
    let site = plain(&done.site);
    match (done.kind, done.same_site) {
        (InviteKind::Device, true) => {
            line(
                text,
                &format!(
                    "it stands at site {site}, as {name} does: the two count as one household"
                ),
            );
            line(text, "if that is not so: larder config set device.site NAME");
        }
        (InviteKind::Device, false) => line(text, &format!("it stands at site {site}")),
        (InviteKind::Circle | InviteKind::OneWay, true) => {
            line(
                text,
                &format!(
                    "both stand at site {site}, by their names: copies there count as one household's"
                ),
            );
            line(
                text,
                "if they do not stand together: larder config set device.site NAME, on one of them",
            );
        }
        (InviteKind::Circle | InviteKind::OneWay, false) => {}
    }
    if let Some(words) = done.words.as_deref().filter(|_| !done.compared) {
        let words = plain(words);
        line(
            text,
            &format!("the other screen, if somebody waited there, has to have shown: {words}"),
        );
        line(text, "other words there mean that somebody stands between: ask before you back up");
    }
}

pub(super) fn connect(text: &mut String, done: &ConnectOutcome) {
    let name = done.name.as_deref().map(plain).unwrap_or_default();
    let device = short(&done.device);
    let rtt = done.rtt_ms.map(|ms| format!(" in {ms} ms")).unwrap_or_default();
    line(
        text,
        &if done.reached {
            format!("{name} ({device}) answers{rtt}")
        } else {
            format!("the addresses of {device} are kept, but nobody answered there now")
        },
    );
    for relay in done.relays_unused.iter().filter(|_| !done.reached) {
        let relay = plain(relay);
        line(
            text,
            &format!("it is behind relay {relay}, which this node does not use: ask whoever"),
        );
        line(text, "runs it for an invitation, then `larder config set net.relays ADDRESS`");
    }
}

pub(super) fn status(text: &mut String, done: &StatusOutcome) {
    let running = if done.running { "running" } else { "not running (start it with `larder up`)" };
    let (name, device, site) = (plain(&done.name), short(&done.device), plain(&done.site));
    line(text, &format!("node     {name} ({device}) at site {site}, {running}"));
    match &done.vault {
        Some(vault) => line(text, &format!("vault    {}", short(vault))),
        None => line(text, "vault    none yet: `larder join CODE` or `larder recover`"),
    }
    let copies = count(done.copies_wanted.into(), "copy");
    let is_backed_up = done.folders.iter().any(|folder| folder.last.is_some());
    let safety = match done.safety {
        _ if !is_backed_up => "nothing is backed up from this device yet",
        Safety::Safe if done.survives_households == 0 => "safe, in one household only",
        safety => lists::safety(safety),
    };
    line(text, &format!("safety   {safety}; the policy asks for {copies}"));
    if done.safety == Safety::Safe {
        line(text, &format!("survives {}", survives(done)));
    }
    for one in &done.folders {
        line(text, &format!("folder   {}", folder(one)));
    }
    line(text, &format!("backups  {}", backups(done)));
    let (spool, kept) = (ByteSize(done.spool_bytes), ByteSize(done.kept_bytes));
    let offered = ByteSize(done.offered_bytes);
    line(text, &format!("space    {spool} wait to be sent; {kept} of {offered} kept for others"));
    if let Some(since) = done.depot_read_since {
        line(text, &format!("depot    all of it read back since {}", when(since)));
    }
    if let Some(last) = &done.last_drill {
        let (at, files) = (when(last.time), count(last.files, "file"));
        let outcome = match last.failed {
            0 => format!("{files}, all well"),
            failed => format!("{failed} of {files} did not come back"),
        };
        line(text, &format!("drill    last restore drill {at}: {outcome}"));
    }
    if let Some(at) = done.phrase_proved {
        line(text, &format!("phrase   last proved {}", when(at)));
    }
    if let Some(far) = &done.rekey {
        line(text, &format!("rekey    {}", rekey::so_far(far)));
    }
    let relayed = match done.peers_relayed {
        0 => String::new(),
        number => format!(", {number} of them through a relay"),
    };
    line(text, &format!("peers    {} of {} online{relayed}", done.peers_online, done.peers_total));
    for relay in &done.relays {
        let state = match relay.state {
            RelayState::Connected => "connected",
            RelayState::Idle => "not in use",
            RelayState::Denied => "turns this device away (`larder doctor` says why)",
            RelayState::Unreachable => "does not answer",
        };
        line(text, &format!("relay    {}: {state}", plain(&relay.address)));
    }
    for advice in &done.advice {
        line(text, &format!("! {}", plain(&advice.text)));
        line(text, &format!("  {}", plain(&advice.hint)));
    }
}

fn folder(folder: &Folder) -> String {
    let path = visible(&folder.path.to_bytes());
    let mark = if folder.listed { "" } else { " (not on the list of `larder add`)" };
    let Some(last) = &folder.last else { return format!("{path}: never backed up{mark}") };
    let (state, time) = (lists::safety(last.safety), when(last.time));
    let unchanged = match folder.saved {
        Some(saved) if saved > last.time => format!(", the same at {}", when(saved)),
        Some(_) | None => String::new(),
    };
    format!("{path}: {state}, last {time}{unchanged}{mark}")
}

/// What a running node does without being asked.
fn backups(done: &StatusOutcome) -> String {
    let Some(every_s) = done.backup_every_s else {
        return "by `larder backup` alone (backup.every is off)".to_owned();
    };
    let every = show_span(every_s);
    match done.running {
        true => format!("every {every} by this node itself; on battery once a day at most"),
        false => format!("every {every} while `larder up` runs"),
    }
}

/// What may be lost at once, computed from what holders signed for.
fn survives(done: &StatusOutcome) -> String {
    let any = |number: u32, what: &str| match number {
        1 => format!("any one {what}"),
        number => format!("any {}", count(number.into(), what)),
    };
    match (done.survives_households, done.survives_holders) {
        (0, 0) => "the loss of this device, as long as its holders are not lost as well".to_owned(),
        (0, holders) => format!("the loss of this device and of {}", any(holders, "holder")),
        (households, _) => {
            format!("the loss of this device and of {} besides", any(households, "household"))
        }
    }
}

pub(super) fn doctor(text: &mut String, done: &DoctorOutcome) {
    for check in &done.checks {
        let mark = match check.state {
            Health::Good => "ok  ",
            Health::Poor => "poor",
            Health::Bad => "BAD ",
        };
        line(text, &format!("{mark}  {}: {}", check.name, plain(&check.found)));
        if let Some(hint) = &check.hint {
            line(text, &format!("      {}", plain(hint)));
        }
    }
}
