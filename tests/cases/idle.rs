//! A node with nothing to do: hardly any processor, memory or packets, and no disk writes.

use std::time::Duration;

use larder_tests::{
    circle::Circle, dice::number_from_env, network::Network, process::Usage, skipped, tree,
};

#[test]
fn an_idle_node_is_hardly_there() {
    let network = Network::isolated();
    let enter = network.as_ref().map_or_else(Vec::new, Network::enter);
    let circle = Circle::behind(2, enter);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 121, 20, 10_000);
    circle.backup(&folder);
    // What the backup set off comes to rest first.
    std::thread::sleep(Duration::from_secs(8));
    let seconds = number_from_env("LARDER_IDLE_SECONDS").unwrap_or(20);
    let nodes = [&circle.source, &circle.holders[0], &circle.holders[1]];
    let before: Vec<Usage> = nodes.iter().map(|node| node.usage()).collect();
    let traffic = network.as_ref().map(Network::traffic);
    std::thread::sleep(Duration::from_secs(seconds));
    for (node, before) in nodes.iter().zip(before) {
        let after = node.usage();
        let cpu = after.cpu.saturating_sub(before.cpu);
        let written = after.written_bytes - before.written_bytes;
        let rss = after.rss_bytes >> 20;
        println!("{}: {cpu:?} of {seconds} s, {rss} MiB, {written} bytes written", node.name);
        // Half a percent, and two ticks of the clock that it is measured with.
        let allowed = Duration::from_millis(seconds * 5 + 20);
        assert!(cpu <= allowed, "{} used {cpu:?} in {seconds} s", node.name);
        assert_eq!(written, 0, "{} wrote to its disk", node.name);
        assert!(rss < 60, "{} takes {rss} MiB", node.name);
    }
    match (&network, traffic) {
        (Some(network), Some(before)) => {
            let traffic = network.traffic().since(before);
            let each = traffic.packets / 3;
            println!(
                "{} packets, {} bytes in {seconds} s, three nodes",
                traffic.packets, traffic.bytes
            );
            assert!(each <= seconds * 4, "{each} packets of each node in {seconds} s");
        }
        _ => {
            skipped("packets of idle nodes", "no network namespace can be made here");
        }
    }
}
