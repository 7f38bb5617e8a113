//! A restore that is killed three times on the way fetches hardly anything twice.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use larder_tests::{
    circle::Circle, compare, dice::Dice, network::Network, node::Node, process::eventually,
    skipped, tree,
};

fn bytes_below(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // Files come and go while this looks: what vanished counts as nothing.
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

#[test]
fn a_restore_killed_three_times_fetches_at_most_a_twentieth_twice() {
    let Some(network) = Network::isolated() else {
        skipped("restore killed three times", "no network namespace can be made here");
        return;
    };
    let mut circle = Circle::behind(2, network.enter());
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 91, 800, 300_000);
    circle.backup(&folder);
    circle.lose_source();

    let before = network.traffic();
    let (_fresh, restored, _) = circle.restore_with("undisturbed", &[0, 1]);
    let undisturbed = network.traffic().since(before).bytes;
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));

    let (_fresh, target) = restore_killed_three_times(&circle, &network, undisturbed);
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}

/// Restores from two holders, killed at about a quarter, half and three quarters of the bytes that an
/// `undisturbed` restore moves, and checks that hardly anything was fetched twice.
pub(crate) fn restore_killed_three_times(
    circle: &Circle,
    network: &Network,
    undisturbed: u64,
) -> (Node, PathBuf) {
    let before = network.traffic();
    let fresh = circle.recoverer("killed");
    circle.recover(&fresh, &[0, 1]).ok();
    let target = circle.path("killed.restored");
    let mut dice = Dice::from_env("LARDER_SEED", 91);
    let mut kills = 0;
    for part in 1..=3 {
        let mut command = fresh.command(["restore", "latest", "--to"], [&target]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = undisturbed * part / 4;
        let mut ended = false;
        eventually("the restore gets on", Duration::from_secs(300), || {
            ended = child.try_wait().unwrap().is_some();
            ended || network.traffic().since(before).bytes >= until
        });
        std::thread::sleep(Duration::from_millis(dice.below(40)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    assert!(kills >= 2, "the restore was too fast to be killed: {kills} times");
    let done = fresh.cli(["restore", "latest", "--to"], [&target]).ok().json();
    let killed = network.traffic().since(before).bytes;
    println!("{undisturbed} bytes undisturbed, {killed} bytes with {kills} kills; last: {done}");
    // A twentieth beyond, and what is on its way from both holders when it ends: at the speed of a loopback that is
    // up to some 2 MB for each kill, whatever is kept of what has come.
    let allowed = undisturbed + undisturbed / 20 + 3 * 2 * 1024 * 1024;
    assert!(killed <= allowed, "{killed} bytes with {kills} kills, {undisturbed} without");
    assert!(bytes_below(&fresh.home().join("fetch")) < 64 * 1024, "partial shards were left");
    (fresh, target)
}
