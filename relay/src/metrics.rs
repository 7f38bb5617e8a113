//! Numbers for Prometheus: how much is relayed, for how many, and why others were turned away.
//! Nothing in them names anybody.

use std::fmt::Write as _;

use iroh_relay::server::Metrics;

use crate::door::Door;

/// All of them, in the text format of Prometheus.
pub(crate) fn text(door: &Door, relay: &Metrics, addresses: &Metrics) -> String {
    let counts = door.counts();
    let gauge = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, value: u64| {
        let _infallible = write!(text, "# TYPE {name} {kind}\n{name} {value}\n");
    };
    add("larder_relay_arrivals", "gauge", gauge(counts.arrivals));
    add("larder_relay_clients", "gauge", gauge(counts.clients));
    add("larder_relay_records", "gauge", gauge(counts.records));
    add("larder_relay_admitted_total", "counter", counts.admitted);
    add("larder_relay_received_bytes_total", "counter", relay.bytes_recv.get());
    add("larder_relay_sent_bytes_total", "counter", relay.bytes_sent.get());
    add("larder_relay_received_packets_total", "counter", relay.send_packets_recv.get());
    add("larder_relay_sent_packets_total", "counter", relay.send_packets_sent.get());
    add("larder_relay_dropped_packets_total", "counter", relay.send_packets_dropped.get());
    add("larder_relay_limited_bytes_total", "counter", relay.bytes_rx_ratelimited_total.get());
    add("larder_relay_address_requests_total", "counter", addresses.qad_connections.get());
    let _infallible = writeln!(text, "# TYPE larder_relay_turned_away_total counter");
    for (why, count) in counts.turned {
        let _infallible = writeln!(text, "larder_relay_turned_away_total{{why=\"{why}\"}} {count}");
    }
    text
}
