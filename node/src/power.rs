//! What feeds this machine, as Linux tells it.

use std::{fs, path::Path};

use larder_protocol::recurring::Power;

/// Where the kernel lists what feeds the machine.
const SUPPLIES: &str = "/sys/class/power_supply";

/// What feeds this machine now; the mains, where nobody says otherwise.
pub(crate) fn power() -> Power {
    power_in(Path::new(SUPPLIES))
}

/// On battery: one of the machine's own is being emptied, and nothing else feeds it. Batteries of mice
/// and telephones are listed as well, with another scope.
fn power_in(supplies: &Path) -> Power {
    let fact = |supply: &Path, name: &str| {
        let text = fs::read_to_string(supply.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    let mut is_emptied = false;
    for supply in fs::read_dir(supplies).into_iter().flatten().flatten() {
        let supply = supply.path();
        if fact(&supply, "scope") == "Device" {
            continue;
        }
        match fact(&supply, "type").as_str() {
            "Battery" => is_emptied |= fact(&supply, "status") == "Discharging",
            _ if fact(&supply, "online") == "1" => return Power::Mains,
            _ => {}
        }
    }
    if is_emptied { Power::Battery } else { Power::Mains }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RECUR-3
    #[test]
    fn a_machine_is_on_battery_when_its_own_is_emptied_and_nothing_else_feeds_it() {
        let directory = tempfile::tempdir().unwrap();
        let supplies = directory.path();
        let say = |supply: &str, facts: &[(&str, &str)]| {
            fs::create_dir_all(supplies.join(supply)).unwrap();
            for (name, value) in facts {
                fs::write(supplies.join(supply).join(name), format!("{value}\n")).unwrap();
            }
        };
        assert_eq!(power_in(&supplies.join("none")), Power::Mains);
        assert_eq!(power_in(supplies), Power::Mains);
        say("hid-mouse", &[("type", "Battery"), ("status", "Discharging"), ("scope", "Device")]);
        assert_eq!(power_in(supplies), Power::Mains);
        say("AC", &[("type", "Mains"), ("online", "0")]);
        say("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert_eq!(power_in(supplies), Power::Battery);
        say("AC", &[("online", "1")]);
        assert_eq!(power_in(supplies), Power::Mains);
        say("AC", &[("online", "0")]);
        say("ucsi-source", &[("type", "USB"), ("online", "1")]);
        assert_eq!(power_in(supplies), Power::Mains);
        say("ucsi-source", &[("online", "0")]);
        say("BAT0", &[("status", "Full")]);
        assert_eq!(power_in(supplies), Power::Mains);
    }
}
