//! Devices of the vault as a person means them: which one a text names, and who has a say in them.

use larder_protocol::{ids::DeviceId, log::DeviceLog};

use super::{Core, Member, look};
use crate::command::Failure;

/// The device that a person means: by its id, by name, or by the beginning of its id. Nobody takes another one's
/// place by a name that looks like the beginning of its id: then several are meant.
pub(super) fn named(
    core: &Core,
    member: &Member,
    log: &DeviceLog,
    text: &str,
) -> Result<DeviceId, Failure> {
    let names = look::device_names(core, member);
    let all: Vec<DeviceId> = log.devices().map(|device| device.public.id).collect();
    let is_called = |id: &&DeviceId| names.get(*id).is_some_and(|name| name == text);
    let prefix = text.to_ascii_lowercase();
    let begins = |id: &&DeviceId| !prefix.is_empty() && id.to_string().starts_with(&prefix);
    let mut meant: Vec<&DeviceId> = all.iter().filter(|id| is_called(id) || begins(id)).collect();
    let is_whole = |id: &&DeviceId| id.to_string() == prefix;
    if let Some(one) = all.iter().find(is_whole) {
        meant = vec![one];
    }
    match meant.as_slice() {
        [one] => Ok(**one),
        [] => Err(Failure::failed(format!("no device of this vault is called {text}"))
            .hint("see `larder devices` for their names and ids")),
        several => {
            let ids: Vec<String> = several.iter().map(|id| id.short()).collect();
            Err(Failure::failed(format!("{} devices are meant by {text}", several.len()))
                .hint(format!("give the beginning of an id: {}", ids.join(", "))))
        }
    }
}

/// Refuses what only an owner of the vault may say, before anything comes of it; `what` says what that is,
/// after "only an owner". A device that was removed is told so elsewhere.
pub(super) fn check_owner(core: &Core, member: &Member, what: &str) -> Result<(), Failure> {
    let log = core.log_of(&member.vault)?;
    let own = core.keys.id();
    if log.is_owner(&own) || !log.is_device(&own) {
        return Ok(());
    }
    let names = look::device_names(core, member);
    let owners = log.devices().map(|it| it.public.id).filter(|id| log.is_owner(id));
    let owners: Vec<String> =
        owners.map(|id| names.get(&id).cloned().unwrap_or_else(|| id.short())).collect();
    let message = format!("this device is a member of its vault, and only an owner {what}");
    Err(Failure::usage(message).hint(if owners.is_empty() {
        "the vault has no owner any more: recover it on a fresh device with the phrase".to_owned()
    } else {
        format!("say it on an owner of the vault: {}", owners.join(", "))
    }))
}
