//! Single bytes of a holder's disk rot here and there: reading it back finds every one, the holder
//! owns up, and sound copies take the place of the rotten ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use larder_tests::{dice::Dice, node::Node, process::eventually};
use serde_json::Value;

use super::{REST_LIMIT, Street, all_online_but, all_well_but};

const GROUP_BYTES: u64 = 16 * 1024;

/// Flips a bit in a hundredth of all verification groups. Returns the sound bytes of the shards
/// that have such a group.
fn rot_a_hundredth(holder: &Node, dice: &mut Dice) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut groups: Vec<(PathBuf, u64)> = Vec::new();
    for shard in holder.shards() {
        let bytes = fs::metadata(&shard).unwrap().len();
        groups.extend((0..bytes.div_ceil(GROUP_BYTES)).map(|group| (shard.clone(), group)));
    }
    let (all, rotten) = (groups.len(), groups.len().div_ceil(100));
    let mut sound = BTreeMap::new();
    for _ in 0..rotten {
        let (shard, group) = groups.swap_remove(dice.index(groups.len()));
        sound.entry(shard.clone()).or_insert_with(|| fs::read(&shard).unwrap());
        let file = File::options().read(true).write(true).open(&shard).unwrap();
        let start = group * GROUP_BYTES;
        let end = file.metadata().unwrap().len().min(start + GROUP_BYTES);
        let at = start + dice.below(end - start);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }
    println!("  {rotten} of {all} groups of {} rot, in {} shards", holder.name, sound.len());
    sound
}

// AUDIT-9, DEPOT-8, HOLD-7, HOLD-10, INV-15, PLACE-17, SCRUB-10
#[test]
fn a_hundredth_of_a_disk_rots_and_every_rotten_byte_is_found_and_replaced() {
    let Some(mut street) = Street::new("a holder's disk rots", 403) else { return };
    let (place, name, _) = street.fullest();
    let sound = rot_a_hundredth(&street.circle.holders[place], &mut street.dice);
    let holder = &street.circle.holders[place];

    // What the node does by itself within 90 days.
    let found = holder.cli(["verify"], [""; 0]).expect_code(1).json();
    let roots = found["roots"].as_array().unwrap().iter().map(|root| root.as_str().unwrap());
    let rotten = sound.keys().map(|shard| shard.file_name().unwrap().to_str().unwrap());
    assert_eq!(roots.collect::<BTreeSet<_>>(), rotten.collect::<BTreeSet<_>>());
    assert_eq!((&found["damaged"], &found["missing"]), (&Value::from(sound.len()), &0.into()));
    street.tell("the holder reads its disk back");

    let lacking = u64::try_from(sound.len()).unwrap();
    assert_eq!(street.verify(1), all_well_but(&[(name, (true, lacking))]));
    street.tell("verify of the source");
    // It said so itself: its disk is to be looked at, and it has not failed.
    assert_eq!(street.states(), all_online_but(&[]));
    assert!(street.advice().contains(&format!("{name} lost {lacking} shard")));
    eventually("everything is safe again", REST_LIMIT, || street.is_at_rest());
    street.tell("all safe again");
    assert_eq!(street.verify(0), all_well_but(&[]));
    // Sound on two sites: at the same holder again, or at one whose turn it was before.
    for (shard, bytes) in &sound {
        let root = shard.file_name().unwrap();
        let sites: BTreeSet<&str> = street
            .circle
            .holders
            .iter()
            .filter(|holder| holds_sound(holder, root, bytes))
            .map(|holder| holder.site.as_str())
            .collect();
        assert!(sites.len() >= 2, "{} is on {sites:?} only", shard.display());
    }
}

fn holds_sound(holder: &Node, root: &OsStr, bytes: &[u8]) -> bool {
    let kept = holder.shards().into_iter().find(|shard| shard.file_name() == Some(root));
    kept.is_some_and(|shard| fs::read(shard).is_ok_and(|read| read == bytes))
}
