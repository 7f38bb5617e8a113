//! Why nothing gets on, and where all copies are, in words. Pure: a status in, sentences out.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::DeviceId,
    placing::{Acquaintance, Blocked, Condition, HolderStatus, Site, Status},
};

use crate::command::Advice;

/// What the nodes that are known are called.
pub(crate) type Names = BTreeMap<DeviceId, String>;

/// Holders named in one sentence.
const NAMED_MAX: usize = 5;

/// Whether waiting cannot help: the user has to do something first.
pub(crate) const fn is_hopeless(blocked: Option<&Blocked>) -> bool {
    matches!(blocked, Some(Blocked::NoHolder | Blocked::TooFewSites { .. }))
}

/// Why what is not safe does not get on, and what to do. Nothing while something is under way.
pub(crate) fn why_blocked(status: &Status, names: &Names) -> Option<Advice> {
    let away = |holder: &HolderStatus| holder.acquaintance.counts() && !holder.connected;
    Some(match status.blocked? {
        Blocked::NoHolder => no_holder(status, names),
        Blocked::TooFewSites { known, wanted } => {
            let are = if known == 1 { "is" } else { "are" };
            advice(
                format!("the policy asks for copies on {wanted} sites; {known} {are} known"),
                "invite another household with `larder invite --circle`, or ask for fewer with \
                 `larder config set policy.copies`; if holders stand apart that name one site, say \
                 so there: `larder config set device.site NAME`",
            )
        }
        Blocked::Metered => advice(
            "backups wait for another network: this one is metered".to_owned(),
            "they go on by themselves elsewhere, and to devices in the same network; \
             `larder config set net.metered off` sends them all the same",
        ),
        Blocked::NotConnected => advice(
            format!(
                "no holder that could take more can be reached now{}",
                listed(status, names, away, |_| None)
            ),
            "start those devices (`larder up` there), or tell their new addresses with \
             `larder connect TICKET`; see `larder peers`",
        ),
        Blocked::NoRoom => advice(
            format!(
                "the holders that can be reached have no more room for this vault{}",
                listed(status, names, |holder| is_full(holder.condition), word_of)
            ),
            "have more offered there with `larder offer SIZE`, or invite another holder",
        ),
        Blocked::Refused => {
            let refuses = |holder: &HolderStatus| holder.condition == Condition::Forbidden;
            let fails = |holder: &HolderStatus| {
                refuses(holder) || (holder.connected && is_failing(holder.condition))
            };
            advice(
                format!(
                    "the holders that can be reached refuse or fail{}",
                    listed(status, names, fails, word_of)
                ),
                "run `larder doctor` there; one that grants nothing needs `larder offer SIZE`, one \
                 that does not know this device has to be paired again: `larder invite`, \
                 `larder join`. Where all refuse it, it may have been removed from its vault: \
                 `larder devices` on another device tells",
            )
        }
    })
}

fn no_holder(status: &Status, names: &Names) -> Advice {
    let is_idle = |holder: &HolderStatus| holder.acquaintance == Acquaintance::Idle;
    if status.holders.values().any(is_idle) {
        return advice(
            format!(
                "the devices that are known grant this vault no room{}",
                listed(status, names, is_idle, |_| None)
            ),
            "run `larder offer SIZE` there, or invite another household with \
             `larder invite --circle`",
        );
    }
    advice(
        "nobody keeps a copy yet".to_owned(),
        "invite another household with `larder invite --circle`, or another device of yours with \
         `larder invite --device`",
    )
}

/// That all copies are on one site, and what that means: less where it is not the site of the
/// files themselves.
pub(crate) fn all_on_one_site(status: &Status, own_site: &str) -> Option<Advice> {
    if !status.one_site_only || status.packs == 0 {
        return None;
    }
    let keeps = |holder: &&HolderStatus| holder.kept_packs > 0 && !holder.presumed_lost;
    let keepers = status.holders.values().filter(keeps);
    let is_one = keepers.clone().count() == 1;
    let mut sites = keepers.map(|holder| &holder.site).collect::<BTreeSet<&Site>>().into_iter();
    let (site, None) = (sites.next()?, sites.next()) else { return None };
    let invite = "invite another household: `larder invite --circle`";
    let apart = "if they stand apart in truth, say so there: `larder config set device.site NAME`";
    let both = format!("{invite}; {apart}");
    Some(if site.0 == own_site {
        let text = format!(
            "all copies are on the site of this device, {site}: a fire or a theft there takes them \
             together with the files"
        );
        advice(text, &both)
    } else {
        let text = format!(
            "all copies are on one site, {site}: a fire or a theft there leaves only the files that \
             are on this device, without what was deleted and without older snapshots"
        );
        // One holder is one household, whatever that is called.
        advice(text, if is_one { invite } else { &both })
    })
}

const fn is_full(condition: Condition) -> bool {
    matches!(condition, Condition::Full | Condition::QuotaUsed)
}

const fn is_failing(condition: Condition) -> bool {
    matches!(condition, Condition::Forbidden | Condition::Failing | Condition::Distrusted)
}

fn word_of(holder: &HolderStatus) -> Option<String> {
    Some(holder.condition.to_string())
}

/// `: nas (its disk or offer is full), attic (…)`, or nothing.
fn listed(
    status: &Status,
    names: &Names,
    is_meant: impl Fn(&HolderStatus) -> bool,
    word: impl Fn(&HolderStatus) -> Option<String>,
) -> String {
    let meant = status.holders.iter().filter(|(_, holder)| is_meant(holder));
    let named: Vec<String> = meant
        .clone()
        .take(NAMED_MAX)
        .map(|(device, holder)| {
            let name = names.get(device).cloned().unwrap_or_else(|| device.short());
            word(holder).map_or_else(|| name.clone(), |word| format!("{name} ({word})"))
        })
        .collect();
    let more = meant.count().saturating_sub(NAMED_MAX);
    match (named.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": {}", named.join(", ")),
        (false, more) => format!(": {} and {more} more", named.join(", ")),
    }
}

fn advice(text: String, hint: &str) -> Advice {
    Advice { text, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::VaultId,
        placing::{Placing, Policy},
    };

    use super::*;

    fn status(holders: &[(&str, Acquaintance, Option<Condition>)]) -> (Status, Names) {
        let placing = Placing::new(VaultId::from_bytes([1; 32]), Policy::default());
        let mut status = Status { packs: 1, ..placing.status() };
        let mut names = Names::new();
        for (seed, (site, acquaintance, condition)) in (1..).zip(holders) {
            let device = DeviceId::from_bytes([seed; 32]);
            names.insert(device, format!("n{seed}"));
            let holder = HolderStatus {
                site: Site((*site).to_owned()),
                connected: condition.is_some(),
                condition: condition.unwrap_or(Condition::Away),
                acquaintance: *acquaintance,
                presumed_lost: false,
                is_leaving: false,
                kept_packs: 1,
                kept_bytes: 1,
                pending_packs: 0,
                lost_packs: 0,
                uploads: 0,
                failures: 0,
            };
            status.holders.insert(device, holder);
        }
        (status, names)
    }

    // CLI-15
    #[test]
    fn what_keeps_a_backup_from_being_safe_is_named_with_what_helps() {
        use Acquaintance::{Granted, Idle, Silent};
        let full = Some(Condition::QuotaUsed);
        let (mut status, names) = status(&[
            ("a", Granted, None),
            ("b", Granted, full),
            ("c", Idle, Some(Condition::Forbidden)),
            ("d", Silent, None),
        ]);
        assert_eq!(why_blocked(&status, &names), None, "it is under way");
        let mut why = |blocked| {
            status.blocked = Some(blocked);
            why_blocked(&status, &names).unwrap()
        };
        let away = why(Blocked::NotConnected);
        assert!(away.text.ends_with("now: n1"), "{away:?}");
        let metered = why(Blocked::Metered);
        assert!(metered.hint.contains("net.metered off"), "{metered:?}");
        let full = why(Blocked::NoRoom);
        assert!(full.text.ends_with(": n2 (its grant to this vault is used up)"), "{full:?}");
        assert!(full.hint.contains("larder offer SIZE"), "{full:?}");
        let refused = why(Blocked::Refused);
        assert!(refused.text.contains(": n3 (does not know this vault"), "{refused:?}");
        let few = why(Blocked::TooFewSites { known: 1, wanted: 2 });
        assert!(few.text.contains("copies on 2 sites; 1 is known"), "{few:?}");
        let none = why(Blocked::NoHolder);
        assert!(none.text.ends_with("no room: n3") && none.hint.contains("larder offer"));
        status.holders.clear();
        assert!(why_blocked(&status, &names).unwrap().text.contains("nobody keeps a copy"));
    }

    // CLI-15
    #[test]
    fn one_site_is_told_apart_from_the_site_of_the_files() {
        let (status, _) = status(&[("home", Acquaintance::Granted, None); 2]);
        let here = all_on_one_site(&status, "home").unwrap();
        assert!(here.text.contains("site of this device, home"), "{here:?}");
        let there = all_on_one_site(&status, "office").unwrap();
        assert!(there.text.contains("leaves only the files that are on this device"), "{there:?}");
        // How to say that it is not so; one holder is one household whatever that is called.
        let hints_apart = |advice: &Advice| advice.hint.contains("config set device.site");
        assert!(hints_apart(&here) && hints_apart(&there), "{here:?} {there:?}");
        let mut single = status.clone();
        single.holders.pop_last();
        assert!(hints_apart(&all_on_one_site(&single, "home").unwrap()));
        assert!(!hints_apart(&all_on_one_site(&single, "office").unwrap()));
        assert_eq!(all_on_one_site(&Status { one_site_only: false, ..status.clone() }, "x"), None);
        let mut nobody = status;
        nobody.holders.clear();
        assert_eq!(all_on_one_site(&nobody, "home"), None, "there is no copy at all");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let many = [("a", Acquaintance::Granted, None); 7];
        let (mut status, names) = status(&many);
        status.blocked = Some(Blocked::NotConnected);
        let text = why_blocked(&status, &names).unwrap().text;
        assert!(text.ends_with("n1, n2, n3, n4, n5 and 2 more"), "{text}");
    }
}
