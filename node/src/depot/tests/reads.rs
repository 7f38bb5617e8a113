//! When shards were read, as the table keeps it.

use std::collections::BTreeMap;

use super::*;

fn ages(depot: &Depot) -> BTreeMap<ShardRoot, (u64, bool)> {
    let all = depot.last_reads().unwrap();
    all.into_iter().map(|(root, last)| (root, (last.at.0, last.is_well))).collect()
}

// SCRUB-7
#[test]
fn when_a_shard_was_read_is_kept_and_goes_with_it() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let content = bytes(1, 50_000);
    let own = tenure(1, Origin::Own);
    let shard = depot.import(&content, own).unwrap();
    let other = depot.import(&bytes(2, 60_000), tenure(1, Origin::Held)).unwrap();
    assert_eq!(ages(&depot), [(shard.root, (1_000, true)), (other.root, (1_000, true))].into());
    let stranger = ShardRoot::from_bytes([9; 32]);
    depot.note_read(&[shard.root, stranger], Timestamp(7_000)).unwrap();
    // A tenure that is lengthened was not looked at.
    depot.extend(&other.root, Tenure { stored: Timestamp(8_000), ..own }).unwrap();
    depot.mark(&other.root, ShardState::Corrupt).unwrap();
    let expected = [(shard.root, (7_000, true)), (other.root, (1_000, false))].into();
    assert_eq!(ages(&depot), expected);
    drop(depot);
    let depot = open(home.path());
    assert_eq!(ages(&depot)[&shard.root], (7_000, true));

    // Stored again, for another vault: hashed again, one file, one day.
    depot.import(&content, Tenure { stored: Timestamp(9_000), ..tenure(2, Origin::Held) }).unwrap();
    assert_eq!(ages(&depot)[&shard.root], (9_000, true));
    depot.release_own(&shard.root, &own.vault).unwrap();
    assert_eq!(ages(&depot)[&shard.root], (9_000, true));
    depot.remove(&shard.root, &VaultId::from_bytes([2; 32])).unwrap();
    assert_eq!(ages(&depot).get(&shard.root), None);
    // Nothing is left of what was: a shard that comes anew is as old as it is.
    depot.import(&content, own).unwrap();
    assert_eq!(ages(&depot)[&shard.root], (1_000, true));
}

// SCRUB-7
#[test]
fn a_table_that_never_noted_anything_goes_by_the_day_of_storing() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let shard = depot.import(&bytes(1, 50_000), tenure(1, Origin::Held)).unwrap();
    drop(depot);
    let file = redb::Database::create(home.path().join("depot.redb")).unwrap();
    let transaction = file.begin_write().unwrap();
    assert!(transaction.delete_table(super::super::reads::READS).unwrap());
    transaction.commit().unwrap();
    drop(file);
    let depot = open(home.path());
    assert_eq!(ages(&depot), [(shard.root, (1_000, true))].into());
    depot.note_read(&[shard.root], Timestamp(2_000)).unwrap();
    assert_eq!(ages(&depot)[&shard.root], (2_000, true));
}
