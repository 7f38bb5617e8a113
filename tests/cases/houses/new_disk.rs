//! A holder starts with an empty disk where its depot was: that is found out, and what it kept is
//! brought back from the others.

use std::fs;

use larder_tests::process::eventually;

use super::{REST_LIMIT, Street, all_well_but};

// AUDIT-5, AUDIT-7, PLACE-9, PLACE-17
#[test]
fn a_holder_with_a_new_disk_is_found_out_and_filled_again() {
    let Some(mut street) = Street::new("a holder's disk is new", 402) else { return };
    let (place, name, house) = street.fullest();
    let holder = &mut street.circle.holders[place];
    holder.kill();
    let lost = holder.shards();
    let lost_bytes: u64 = lost.iter().map(|shard| fs::metadata(shard).unwrap().len()).sum();
    fs::remove_dir_all(holder.home().join("depot")).unwrap();
    // It can know nothing of what it lost: the rows are gone with the shards.
    holder.up();
    println!("  {name} lost {} shards, {lost_bytes} bytes", lost.len());

    let lacking = u64::try_from(lost.len()).unwrap();
    assert_eq!(street.verify(1), all_well_but(&[(name, (true, lacking))]));
    street.tell("verify");
    assert_eq!(street.states()[name], "failed");
    assert!(street.advice().contains(&format!("{name} lost a shard")), "{}", street.advice());
    eventually("everything is safe again", REST_LIMIT, || street.is_at_rest());
    street.tell("all safe again");
    assert_eq!(street.verify(0), all_well_but(&[]));

    // Without the third house, what was on the old disk is needed.
    street.circle.lose_source();
    street.houses.cut_off(if house == 1 { 2 } else { 1 });
    street.restore_in(house, "fresh");
}
