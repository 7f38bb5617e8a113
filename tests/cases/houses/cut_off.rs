//! The line of a house is cut: nobody there has failed, the others go on, and what was missed is
//! made up for when the line works again.

use larder_tests::process::eventually;

use super::{BACKUPS, REST_LIMIT, Street, all_online_but, all_well_but};

// AUDIT-4, CLI-15, CLI-18, INV-15, PLACE-2, PLACE-7, PLACE-19
#[test]
fn a_house_that_is_cut_off_has_not_failed_and_catches_up() {
    let Some(mut street) = Street::new("a house is cut off", 401) else { return };
    street.houses.cut_off(2);
    let silent = all_well_but(&[("c0", (false, 0)), ("c1", (false, 0))]);
    assert_eq!(street.verify(4), silent);
    street.tell("verify with house 2 cut off");
    street.add_files();
    // Two sites are left, so it does become safe, as soon as house 2 is not waited for any more.
    street.circle.backup(&street.folder);
    street.tell("a backup with house 2 cut off");
    assert!(street.is_all_safe(), "{:?}", street.safety());
    let away = all_online_but(&[("c0", "offline"), ("c1", "offline")]);
    eventually("house 2 is known to be away", REST_LIMIT, || street.states() == away);
    street.tell("house 2 is known to be away");

    // Now the source's own house as well: one site is left, its own.
    street.houses.cut_off(0);
    street.add_files();
    let alone = street.circle.source.cli(["backup", "--timeout", "10"], [&street.folder]);
    let alone = alone.expect_code(4).json();
    assert_eq!((&alone["reached"], &alone["copies_reached"]), (&"local".into(), &1.into()));
    street.tell("a backup with the source's own house cut off");
    let mut safety = street.safety();
    assert_ne!(safety.pop().as_deref(), Some("safe"));
    assert_eq!(safety, vec!["safe"; BACKUPS + 1], "what is elsewhere is as safe as before");
    eventually("status names who cannot be reached, and nobody else", REST_LIMIT, || {
        let advice = street.advice();
        let named = |name: &str| advice.contains(name);
        ["b0", "b1", "c0", "c1"].into_iter().all(named) && !named("a1")
    });
    let states = street.states();
    assert!(states.values().all(|state| state != "failed"), "{states:?}");
    street.circle.source.cli(["doctor"], [""; 0]).expect_code(4);
    street.tell("status and doctor say so");

    street.houses.join_again(0);
    street.houses.join_again(2);
    eventually("every snapshot is safe without a command", REST_LIMIT, || street.is_all_safe());
    street.tell("all joined again, all safe");
    eventually("house 2 has what it missed", REST_LIMIT, || street.is_at_rest());
    street.tell("house 2 has caught up");
    assert_eq!(street.verify(0), all_well_but(&[]));
    assert_eq!(street.states(), all_online_but(&[]));
}
