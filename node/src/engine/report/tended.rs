//! What there is to say of vaults whose devices are silent.

use larder_protocol::tending;

use super::super::{Core, EngineError};
use crate::command::{Advice, TendedVault, count};

/// Those that this node looks after.
pub(super) fn tended(core: &Core) -> Result<Vec<TendedVault>, EngineError> {
    let peers = core.state.peers()?;
    let line = |status: tending::Status| {
        let devices = peers.iter().filter(|peer| peer.vault == status.vault);
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        TendedVault {
            vault: status.vault.to_string(),
            devices: devices.map(|peer| peer.name.clone()).collect(),
            silent_ms: status.silent_s.saturating_mul(1_000),
            fellows: small(status.fellows),
            present: small(status.present),
            packs: status.packs,
            short: status.short,
            nowhere: status.nowhere,
            is_full: status.is_full,
        }
    };
    Ok(core.tending.status().into_iter().map(line).collect())
}

/// What people are told of them.
pub(super) fn advice(all: &[TendedVault]) -> impl Iterator<Item = Advice> {
    // Without anything kept for it there is nothing to look after.
    all.iter().filter(|vault| vault.fellows > 0 || vault.packs > 0).map(|vault| {
        let who = match vault.devices.as_slice() {
            [] => format!("any device of vault {}", vault.vault.get(..8).unwrap_or(&vault.vault)),
            names => names.join(" or "),
        };
        let hours = vault.silent_ms / 3_600_000;
        let silence = match hours {
            0..=47 => String::new(),
            _ => format!(" for {}", count(hours / 24, "day")),
        };
        let others = count(u64::from(vault.fellows), "other holder");
        let packs = count(vault.packs, "pack");
        let (state, hint) = state(vault);
        Advice {
            text: format!(
                "{who} is not counted on{silence}: this node and {others} keep up the {packs} of \
                 that vault{state}"
            ),
            hint,
        }
    })
}

/// How its packs stand, and what may be done.
fn state(vault: &TendedVault) -> (String, String) {
    let owner = "its owner gets everything back with the phrase: `larder recover` on a new device";
    if vault.packs == 0 {
        let state = ", as soon as one of them tells what is needed".to_owned();
        return (state, owner.to_owned());
    }
    if vault.nowhere > 0 {
        let state = format!("; {} of them nobody has who is there", vault.nowhere);
        return (state, "start the other holders: one of them may have it".to_owned());
    }
    match (vault.short, vault.is_full) {
        (0, _) => (", and all are on as many sites as it wanted".to_owned(), owner.to_owned()),
        (short, true) => (
            format!("; {short} are on too few sites, and there is no room for them here"),
            "give it more with `larder offer`, or let another holder do so".to_owned(),
        ),
        (short, false) => (
            format!(
                "; {short} are on fewer sites than it wanted, and are fetched by whoever has its \
                 turn, as far as there are sites"
            ),
            "leave the nodes running, and start those that are off".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> TendedVault {
        TendedVault {
            vault: "ab".repeat(32),
            devices: vec!["laptop".to_owned()],
            silent_ms: 5 * 86_400_000,
            fellows: 2,
            present: 2,
            packs: 9,
            short: 0,
            nowhere: 0,
            is_full: false,
        }
    }

    fn text(vault: TendedVault) -> String {
        advice(&[vault]).map(|it| it.text).collect()
    }

    // TEND-17
    #[test]
    fn people_are_told_who_is_silent_and_how_the_packs_stand() {
        let well = text(vault());
        assert!(well.starts_with("laptop is not counted on for 5 days"), "{well}");
        assert!(well.contains("all are on as many sites"), "{well}");
        let short = text(TendedVault { short: 3, ..vault() });
        assert!(short.contains("3 are on fewer sites than it wanted"), "{short}");
        let full = text(TendedVault { short: 3, is_full: true, ..vault() });
        assert!(full.contains("no room"), "{full}");
        let nowhere = text(TendedVault { short: 3, nowhere: 1, ..vault() });
        assert!(nowhere.contains("1 of them nobody has"), "{nowhere}");
        let unknown = text(TendedVault { packs: 0, devices: vec![], ..vault() });
        assert!(unknown.starts_with("any device of vault abababab"), "{unknown}");
        assert_eq!(text(TendedVault { packs: 0, fellows: 0, ..vault() }), "");
    }
}
