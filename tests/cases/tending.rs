//! Nobody of the vault is there any more: its holders, who were never paired with each other, keep its
//! copies up among themselves, and the phrase brings everything back.
//!
//! Figures are printed for the reader (`cargo test tending -- --nocapture`).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use larder_protocol::{head::SignedHead, log::DeviceLog, tending::claimed::ClaimedList};
use larder_tests::{circle::Circle, compare, dice::Dice, node::Node, process::eventually, tree};

/// Longest until all is as it was, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(240);
/// How many times the folder is backed up, with new files each time.
const BACKUPS: usize = 6;

fn shard_names(node: &Node) -> BTreeSet<OsString> {
    let name = |path: &PathBuf| path.file_name().expect("a shard has a name").to_owned();
    node.shards().iter().map(name).collect()
}

/// How many holders have each shard that is needed.
fn copies(circle: &Circle, needed: &BTreeSet<OsString>) -> BTreeMap<OsString, usize> {
    let kept: Vec<_> = circle.holders.iter().map(shard_names).collect();
    let copies = |name: &OsString| kept.iter().filter(|kept| kept.contains(name)).count();
    needed.iter().map(|name| (name.clone(), copies(name))).collect()
}

/// What `status` says of the vault that a holder looks after.
fn tended(holder: &Node) -> serde_json::Value {
    holder.ask(["status"])["tending"][0].clone()
}

/// A source and three holders, each at a site of its own, with packs on every two of them; the source
/// has told what it needs, and is gone for ever. With its folder, and the names of what it needs.
fn orphans() -> (Circle, PathBuf, BTreeSet<OsString>) {
    let mut circle = Circle::new(3);
    let folder = circle.folder("folder");
    let mut dice = Dice::new(17);
    for _ in 0..BACKUPS {
        let seed = dice.below(u64::MAX);
        let new = folder.join(format!("{seed:x}"));
        fs::create_dir(&new).expect("the folder can be written");
        tree::ordinary(&new, seed, 30, 250_000);
        circle.backup(&folder);
    }
    // What is needed is told at once after a start, of the newest head.
    circle.source.stop();
    circle.source.up();
    let source = circle.source.ask(["status"])["device"].as_str().expect("it has an id").to_owned();
    for holder in &circle.holders {
        eventually("it is told what is needed", LIMIT, || needed(holder, &source).is_some());
        eventually("and who else holds", LIMIT, || introductions(holder).is_some());
    }
    let needed = needed(&circle.holders[0], &source).expect("it was told");
    circle.lose_source();
    // What came to the end of its way just now is kept or gone: from here on nothing comes.
    for holder in &mut circle.holders {
        holder.kill();
        holder.up();
    }
    (circle, folder, needed)
}

/// Names of the shards that the source needs by its newest head, when a holder has been told of them.
fn needed(holder: &Node, source: &str) -> Option<BTreeSet<OsString>> {
    let mut vaults = fs::read_dir(holder.home().join("vaults")).ok()?;
    let vault = vaults.find_map(|vault| {
        let path = vault.ok()?.path();
        path.join("claims").join(source).exists().then_some(path)
    })?;
    let only = |directory: &str| {
        let mut files = fs::read_dir(vault.join(directory)).ok()?;
        fs::read(files.next()?.ok()?.path()).ok()
    };
    let log = DeviceLog::begin(&only("log")?).ok()?;
    let newest = SignedHead::decode(&only("heads")?).ok()?;
    let list =
        ClaimedList::decode(&fs::read(vault.join("claims").join(source)).ok()?, &log).ok()?;
    let is_newest = list.head().hash() == newest.hash();
    is_newest.then(|| list.roots().iter().map(|root| root.to_string().into()).collect())
}

fn introductions(holder: &Node) -> Option<PathBuf> {
    let mut vaults = fs::read_dir(holder.home().join("vaults")).ok()?;
    vaults.find_map(|vault| Some(vault.ok()?.path().join("introductions")).filter(|it| it.exists()))
}

// TEND-16, TEND-1, TEND-5, TEND-17
#[test]
fn without_any_device_a_lost_disk_is_made_up_for_and_the_phrase_restores() {
    println!("the source is gone, a holder's disk as well, and then another holder:");
    let (mut circle, folder, needed) = orphans();
    // Lost: the disk of the holder that has most.
    let most = (0..3).max_by_key(|place| circle.holders[*place].shards().len());
    let most = most.expect("there are three");
    let lost = shard_names(&circle.holders[most]);
    circle.holders[most].kill();
    fs::remove_dir_all(circle.holders[most].home().join("depot")).expect("it can be removed");
    circle.holders[most].up();
    let others: Vec<usize> = (0..3).filter(|place| *place != most).collect();
    let thin = |circle: &Circle| copies(circle, &needed).values().filter(|it| **it < 2).count();
    let was_thin = thin(&circle);
    println!("  {} shards were lost, {was_thin} are at one holder alone", lost.len());
    assert!(was_thin > 0, "or there is nothing to make up for");

    // Nothing happens while it may be asleep.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(thin(&circle), was_thin, "at one holder alone, though nobody was called lost");
    let begun = Instant::now();
    for holder in &circle.holders {
        holder.ask(["expect", "source", "--lost"]);
    }
    // TEND-15: it dies while packs come, and goes on after the next start.
    let came = || !circle.holders[most].shards().is_empty();
    eventually("something has come", LIMIT, came);
    circle.holders[most].kill();
    println!("  killed with {} shards", circle.holders[most].shards().len());
    circle.holders[most].up();
    eventually("everything is at two holders", LIMIT, || thin(&circle) == 0);
    println!("  all at two holders again after {:.1} s", begun.elapsed().as_secs_f64());
    let packs = u64::try_from(needed.len()).expect("they are few");
    // It counts none until it has read the list again.
    let is_told = |told: serde_json::Value| told["packs"] == packs && told["short"] == 0;
    let told = || tended(&circle.holders[most]);
    eventually("status says so where it was fetched", LIMIT, || is_told(told()));
    assert_eq!(told()["nowhere"], 0);
    let at_all = copies(&circle, &needed).values().filter(|copies| **copies == 3).count();
    println!("  of {packs} shards {at_all} are at all three: directories and indexes");

    // Whoever gave it to the others is gone now, whichever of them it was.
    for gone in others {
        circle.holders[gone].stop();
        let there: Vec<usize> = (0..3).filter(|place| *place != gone).collect();
        let (_, target, done) = circle.restore_with(&format!("fresh{gone}"), &there);
        assert_eq!(done["blamed"], serde_json::Value::from([0; 0]), "{done:#}");
        compare::assert_same_tree(&folder, &compare::below(&target, &folder));
        println!("  restored {} files without holder{gone}", done["files_written"]);
        circle.holders[gone].up();
    }
}
