//! Two devices of one vault: what both have is stored once.

use larder_tests::{
    circle::{Circle, pair},
    compare,
    node::Node,
    process::eventually,
    tree,
};

#[test]
fn two_devices_with_the_same_files_store_them_once() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 41, 200, 100_000);
    let first = circle.backup(&folder);
    let stored = first["snapshots"][0]["stored_bytes"].as_u64().unwrap();
    assert!(stored > 8_000_000, "{first:#}");

    let mut second = Node::new(&circle.path(""), "second");
    pair(&circle.source, &second, "--device");
    second.up();
    let devices = || second.ask(["devices"])["devices"].as_array().unwrap().len();
    eventually("both devices are known", std::time::Duration::from_secs(30), || devices() == 2);
    let copy = circle.path("copy");
    compare::copy(&folder, &copy);
    let done = second.cli(["backup"], [&copy]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    // Directories differ (other inodes, other identities), contents do not.
    assert!(done["snapshots"][0]["new_bytes"].as_u64().unwrap() < stored / 20, "{done:#}");
    assert!(done["sent_bytes"].as_u64().unwrap() < stored / 8, "{done:#}");

    circle.lose_source();
    second.kill();
    let fresh = circle.recoverer("fresh");
    let recovered = circle.recover(&fresh, &[0]).ok().json();
    let snapshots = recovered["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 2, "{recovered:#}");
    for (number, snapshot) in snapshots.iter().enumerate() {
        let target = circle.path(&format!("restored{number}"));
        let id = snapshot["snapshot"].as_str().unwrap();
        fresh.cli(["restore", id, "--to"], [&target]).ok();
        let path = std::path::Path::new(snapshot["path"].as_str().unwrap());
        compare::assert_same_tree(&folder, &compare::below(&target, path));
    }
}
