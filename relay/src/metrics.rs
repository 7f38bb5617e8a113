//! Numbers for Prometheus: how much is relayed, for how many, and why others were turned away.
//! Nothing in them names anybody.

use std::{fmt::Write as _, sync::Arc};

use iroh_relay::server::Metrics;

use crate::{door::Door, holder::Watch};

/// Where the numbers come from.
pub(crate) struct Numbers {
    pub(crate) door: Door,
    /// Of what is relayed.
    pub(crate) relay: Arc<Metrics>,
    /// Of whoever asks for an address.
    pub(crate) addresses: Arc<Metrics>,
    pub(crate) holder: Option<Arc<Watch>>,
}

impl Numbers {
    /// All of them, in the text format of Prometheus.
    pub(crate) async fn text(&self) -> String {
        let held = match &self.holder {
            Some(holder) => holder.held().await,
            None => None,
        };
        let (counts, relay) = (self.door.counts(), &self.relay);
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
        let asked = self.addresses.qad_connections.get();
        add("larder_relay_address_requests_total", "counter", asked);
        if self.holder.is_some() {
            add("larder_relay_holding", "gauge", u64::from(held.is_some()));
        }
        if let Some(held) = held {
            add("larder_relay_held_vaults", "gauge", gauge(held.vaults.len()));
            add("larder_relay_held_bytes", "gauge", held.kept_bytes);
            add("larder_relay_space_bytes", "gauge", held.offered_bytes);
            add("larder_relay_disk_free_bytes", "gauge", held.disk_free_bytes);
        }
        let _infallible = writeln!(text, "# TYPE larder_relay_turned_away_total counter");
        for (why, count) in counts.turned {
            let _infallible =
                writeln!(text, "larder_relay_turned_away_total{{why=\"{why}\"}} {count}");
        }
        text
    }
}
