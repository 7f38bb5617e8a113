//! A home that was copied and runs twice: two heads with one number. It is noticed, said, and
//! nothing is lost.

use std::{fs, process::Command, time::Duration};

use larder_tests::{
    circle::Circle,
    compare,
    node::{COMMAND_LIMIT, Node},
    process::run,
    tree,
};

// INV-7, HEAD-6
#[test]
fn two_heads_with_one_number_are_noticed_and_lose_nothing() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 171, 30, 20_000);
    circle.backup(&folder);
    circle.source.stop();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(circle.source.home()).arg(circle.path("clone"));
    run(&mut copy, COMMAND_LIMIT).ok();

    // Both go on from the same head with something of their own.
    let before = circle.path("before");
    run(Command::new("cp").arg("-a").arg(&folder).arg(&before), COMMAND_LIMIT).ok();
    circle.source.up();
    fs::write(folder.join("of the first"), b"1").unwrap();
    circle.backup(&folder);
    circle.source.stop();
    let mut clone = Node::new(&circle.path(""), "clone");
    clone.up();
    fs::remove_file(folder.join("of the first")).unwrap();
    fs::write(folder.join("of the clone"), b"2").unwrap();
    let output = clone.cli(["backup", "--timeout", "30"], [&folder]);
    let status = clone.ask(["status"]);
    let said = format!("{output} {status}").to_lowercase();
    println!("{said}");
    assert!(
        ["clone", "copied", "copy of", "twice", "fork"].iter().any(|word| said.contains(word)),
        "nobody says that the home runs twice: {said}"
    );
    assert!(circle.holders[0].is_up());
    clone.stop();

    // What was safe before is there, whoever of the two came last.
    let fresh = circle.recoverer("fresh");
    let recovered = circle.recover(&fresh, &[0]).ok().json();
    let first = recovered["snapshots"][0]["snapshot"].as_str().unwrap();
    let target = circle.path("target");
    fresh.cli(["restore", first, "--to"], [&target]).ok();
    // The root's own time is that of the last file made in it.
    let differences = compare::differences(&before, &compare::below(&target, &folder));
    assert!(differences.lines().all(|line| line.ends_with(" ./")), "{differences}");
    std::thread::sleep(Duration::from_millis(10));
}
