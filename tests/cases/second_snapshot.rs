//! After one changed file: little is sent, and the rest is not read again.

use std::fs;

use larder_tests::{circle::Circle, compare, process::Usage, tree};

#[test]
fn one_changed_file_costs_less_than_a_megabyte_and_reads_nothing_else() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 31, 3000, 20_000);
    let first = circle.backup(&folder);
    let all_bytes = first["snapshots"][0]["bytes"].as_u64().unwrap();
    assert!(all_bytes > 40_000_000, "{first:#}");
    // Times of the same two seconds are not trusted (HOME-5), so the first run after may read them.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    circle.backup(&folder);

    let changed = folder.join("d3/e31/f1250");
    let mut content = fs::read(&changed).unwrap();
    content.extend(b"one more line\n");
    fs::write(&changed, content).unwrap();
    let before = read_calls_bytes(circle.source.pid());
    let second = circle.backup(&folder);
    let read = read_calls_bytes(circle.source.pid()) - before;
    let snapshot = &second["snapshots"][0];
    assert_eq!(snapshot["files_changed"], 1, "{second:#}");
    assert_eq!(snapshot["files_new"], 0, "{second:#}");
    // Sent to two holders: each copy for itself must be under the bound.
    let sent = second["sent_bytes"].as_u64().unwrap();
    assert!(sent / 2 < 1_000_000, "{sent} bytes sent: {second:#}");
    assert!(snapshot["read_bytes"].as_u64().unwrap() < 1_000_000, "{second:#}");
    // Not what the program says but what it did: all it read, its own database included.
    assert!(read < all_bytes / 4, "{read} of {all_bytes} bytes read again");

    let third = circle.backup(&folder);
    assert_eq!(third["snapshots"][0]["unchanged"], true, "{third:#}");
    assert_eq!(third["sent_bytes"], 0, "{third:#}");
    assert_eq!(third["snapshots"][0]["snapshot"], snapshot["snapshot"]);
    circle.lose_source();
    let (_fresh, restored, _) = circle.restore_with("fresh", &[0, 1]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}

/// Bytes that the process has read by system calls, from files and pipes.
fn read_calls_bytes(pid: u32) -> u64 {
    Usage::of(pid).unwrap().read_bytes
}
