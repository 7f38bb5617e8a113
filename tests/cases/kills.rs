//! kill -9 at random moments: no receipt is broken, no repair is needed, nothing is left behind.

use std::{fs, path::Path, process::Stdio, time::Duration};

use larder_tests::{
    circle::Circle,
    compare,
    dice::{Dice, number_from_env},
    node::Node,
    tree,
};

/// Names of temporary files below a home or a target.
fn left_behind(directory: &Path) -> Vec<String> {
    let paths = tree::bottom_up(directory);
    let temporary = |path: &&std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = path.parent().unwrap_or(directory);
        name.starts_with(".new-")
            || name.starts_with(".larder-part-")
            || name.ends_with(".tmp")
            || parent == directory.join("depot/tmp")
            || parent == directory.join("fetch")
    };
    paths.iter().filter(temporary).map(|path| path.display().to_string()).collect()
}

/// Nothing that the holder signed for is missing or damaged.
fn assert_receipts_hold(holder: &Node) {
    let verified = holder.cli(["verify"], [""; 0]).ok().json();
    assert_eq!(verified["missing"], 0, "{verified:#}");
    assert_eq!(verified["damaged"], 0, "{verified:#}");
}

// INV-1, INV-4, INV-5, INV-9
#[test]
fn killed_at_random_moments_nothing_is_lost_or_left_behind() {
    let kills = number_from_env("LARDER_KILLS").unwrap_or(5);
    let mut dice = Dice::from_env("LARDER_SEED", 101);
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 101, 60, 100_000);
    for round in 0..kills {
        let batch = folder.join(format!("batch{round}"));
        fs::create_dir(&batch).unwrap();
        tree::ordinary(&batch, 1000 + round, 12, 200_000);
        let victim = dice.below(3);
        let after = Duration::from_millis(dice.below(1500));
        println!("round {round}: victim {victim} after {after:?}");
        let mut backup = circle.source.command(["backup"], [&folder]);
        backup.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut backup = backup.spawn().unwrap();
        std::thread::sleep(after);
        let node = match victim {
            0 => &mut circle.source,
            1 => &mut circle.holders[0],
            _ => &mut circle.holders[1],
        };
        node.kill();
        // Up again without any command of repair.
        node.up();
        if victim == 0 {
            backup.wait().unwrap();
        } else {
            // It must get through by itself once the holder is back.
            let status = wait(&mut backup, Duration::from_secs(120));
            assert!(status.success(), "round {round}: the backup ended with {status}");
        }
    }
    let done = circle.backup(&folder);
    let again = circle.backup(&folder);
    assert_eq!(again["sent_bytes"], 0, "safe work was done again: {done:#}{again:#}");
    for holder in &mut circle.holders {
        assert_receipts_hold(holder);
        // What a kill left is gone after the next start.
        holder.stop();
        holder.up();
        holder.stop();
        assert_eq!(left_behind(holder.home()), [""; 0]);
        holder.up();
    }
    circle.source.stop();
    circle.source.up();
    circle.source.stop();
    assert_eq!(left_behind(circle.source.home()), [""; 0]);
    restore_with_kills(&mut circle, &folder, kills, &mut dice);
}

fn restore_with_kills(circle: &mut Circle, folder: &Path, kills: u64, dice: &mut Dice) {
    circle.lose_source();
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0, 1]).ok();
    let target = circle.path("target");
    for round in 0..kills {
        let mut restore = fresh.command(["restore", "latest", "--to"], [&target]);
        restore.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut restore = restore.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(dice.below(900)));
        if dice.hits(2) {
            let victim = dice.index(2);
            circle.holders[victim].kill();
            // Its port may change with the restart: the one that stays up must be enough.
            let status = wait(&mut restore, Duration::from_secs(120));
            assert!(status.success(), "round {round}: the restore ended with {status}");
            circle.holders[victim].up();
        } else {
            restore.kill().unwrap();
            restore.wait().unwrap();
        }
    }
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(folder, &compare::below(&target, folder));
    assert_eq!(left_behind(&target), [""; 0]);
    assert_eq!(left_behind(fresh.home()), [""; 0]);
}

fn wait(child: &mut std::process::Child, limit: Duration) -> std::process::ExitStatus {
    let mut status = None;
    larder_tests::process::eventually("a command ends", limit, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}
