//! Bytes on their way: one flow for each vault, all flows sharing the lines that leave the houses.
//!
//! Shares are max-min fair and worked out anew only when a flow begins, ends, or has to wait. What is
//! left is counted in thousandths of a byte, so that bytes a second times milliseconds stay integers.

use super::{Circle, Event, Millis, Streams};
use crate::lab::{
    agenda::NEVER,
    numbers::{stream::Purpose, whole},
    plan::{Devices, Plan, only},
    tally::Cause,
};

/// Within a house, in bytes a second: a good wireless network.
const INSIDE: u64 = 30_000_000;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) group: usize,
    pub(super) target: usize,
    /// Whose shards are read for it.
    pub(super) readers: Devices,
    pub(super) cause: Cause,
    /// Thousandths of a byte that the target still has to get.
    pub(super) left: u64,
    /// Houses whose lines carry it.
    pub(super) lines: Vec<usize>,
    /// Bytes a second.
    rate: u64,
}

impl Flow {
    pub(super) const fn new(group: usize, target: usize, left: u64, cause: Cause) -> Self {
        Self { group, target, readers: 0, cause, left, lines: Vec::new(), rate: 0 }
    }

    /// Everybody who has to be there.
    pub(super) const fn takes(&self) -> Devices {
        self.readers | only(self.target)
    }
}

/// Whatever else a restore is called: what somebody waits for.
pub(super) const RESTORE: Cause = "a restore";

/// What each house may send: for backups and repairs, and for restores.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    usual: Vec<u64>,
    restores: Vec<u64>,
}

impl Lines {
    pub(super) fn new(plan: &Plan, streams: &Streams) -> Self {
        let houses = &plan.scenario.profile.houses;
        let mbit = |house: usize| {
            // Numbered after all devices, as houses are elsewhere.
            let entity = plan.devices.len() + house;
            houses.uplink_mbit.sample(&mut streams.stream(entity, Purpose::Line))
        };
        // Nobody who keeps backups has less than a tenth of a megabit, all day long.
        let line = |house, share: f64| whole((mbit(house) * share).max(0.1) * 125_000.0);
        let all = |share| (0..plan.houses.len()).map(|house| line(house, share)).collect();
        Self { usual: all(houses.uplink_share), restores: all(houses.restore_share) }
    }
}

impl Circle<'_> {
    /// Lets all flows run up to now.
    pub(super) fn settle_flows(&mut self) {
        let since = self.now - self.flows_at;
        self.flows_at = self.now;
        if since == 0 {
            return;
        }
        for vault in &mut self.vaults {
            let Some(flow) = &mut vault.flow else { continue };
            let moved = flow.left.min(flow.rate.saturating_mul(since));
            flow.left -= moved;
            let lines = u128::try_from(flow.lines.len()).unwrap_or(0);
            *self.tally.bytes.entry(flow.cause).or_default() += u128::from(moved) * lines;
        }
    }

    /// Shares out the lines, and notes when each flow will have arrived.
    pub(super) fn share_lines(&mut self) {
        for is_restore in [false, true] {
            let flow_of = |(vault, it): (usize, &super::Vault)| {
                let flow = it.flow.as_ref().filter(|flow| (flow.cause == RESTORE) == is_restore)?;
                Some((vault, flow.lines.clone()))
            };
            let users: Vec<(usize, Vec<usize>)> =
                self.vaults.iter().enumerate().filter_map(flow_of).collect();
            let wants: Vec<&[usize]> = users.iter().map(|(_, lines)| lines.as_slice()).collect();
            let lines = if is_restore { &self.lines.restores } else { &self.lines.usual };
            let rates = fair_shares(&wants, lines);
            for ((vault, _), rate) in users.iter().zip(rates) {
                let Some(flow) = &mut self.vaults[*vault].flow else { continue };
                flow.rate = rate.clamp(1, INSIDE);
                let at = self.now.saturating_add(flow.left.div_ceil(flow.rate).max(1));
                self.set(Event::Arrived(*vault), at);
            }
        }
        for vault in 0..self.vaults.len() {
            if self.vaults[vault].flow.is_none() {
                self.set(Event::Arrived(vault), NEVER);
            }
        }
    }
}

/// Max-min fair: again and again the line with the least for each of its flows decides about those.
/// A line that is named twice by a flow carries it twice.
fn fair_shares(flows: &[&[usize]], lines: &[u64]) -> Vec<Millis> {
    let mut rates = vec![None; flows.len()];
    let mut left = lines.to_vec();
    let uses = |flow: &[usize], line: usize| {
        u64::try_from(flow.iter().filter(|it| **it == line).count()).unwrap_or(0)
    };
    loop {
        let open = |line: usize| -> u64 {
            let flows = flows.iter().zip(&rates).filter(|(_, rate)| rate.is_none());
            flows.map(|(flow, _)| uses(flow, line)).sum()
        };
        let share = |line: usize| left[line].checked_div(open(line)).map(|share| (share, line));
        let Some((share, line)) = (0..lines.len()).filter_map(share).min() else { break };
        for (flow, rate) in flows.iter().zip(&mut rates) {
            if rate.is_none() && uses(flow, line) > 0 {
                *rate = Some(share);
                flow.iter().for_each(|line| left[*line] = left[*line].saturating_sub(share));
            }
        }
    }
    rates.into_iter().map(|rate| rate.unwrap_or(INSIDE)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_shared_as_by_hand() {
        // Two share the first line; one of them is held up by the second.
        assert_eq!(fair_shares(&[&[0], &[0, 1]], &[100, 20]), [80, 20]);
        assert_eq!(fair_shares(&[&[0, 0], &[0]], &[90]), [30, 30]);
        assert_eq!(fair_shares(&[&[]], &[90]), [INSIDE]);
    }

    proptest! {
        // LAB-7
        #[test]
        fn lab_7_no_line_carries_more_than_it_can_and_every_flow_is_held_up_by_a_full_one(
            flows in proptest::collection::vec(proptest::collection::vec(0..4_usize, 1..4), 1..6),
            lines in proptest::collection::vec(1_000..1_000_000_u64, 4),
        ) {
            let wants: Vec<&[usize]> = flows.iter().map(Vec::as_slice).collect();
            let rates = fair_shares(&wants, &lines);
            let load = |line: usize| -> u64 {
                let of = |(flow, rate): (&Vec<usize>, &u64)| {
                    u64::try_from(flow.iter().filter(|it| **it == line).count()).unwrap() * rate
                };
                flows.iter().zip(&rates).map(of).sum()
            };
            for (line, most) in lines.iter().enumerate() {
                prop_assert!(load(line) <= *most);
            }
            for (flow, rate) in flows.iter().zip(&rates) {
                // Full but for what integers leave over, and nobody else on it has more.
                let holds_up = |line: &usize| {
                    let most = flows.iter().zip(&rates).filter(|(it, _)| it.contains(line));
                    let most = most.map(|(_, rate)| *rate).max().unwrap_or(0);
                    load(*line) + 20 > lines[*line] && *rate + 20 > most
                };
                prop_assert!(flow.iter().any(holds_up), "{flows:?} {rates:?} {lines:?}");
            }
        }
    }
}
