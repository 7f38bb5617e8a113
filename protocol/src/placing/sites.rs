//! Sites by number: copies are counted by distinct sites, for every pack and after every answer, and
//! comparing names of sites would be most of that.
//!
//! Not an order of their own: numbers ascend as the names do, and are given anew whenever a holder
//! comes, goes or moves.

use std::collections::BTreeSet;

use super::{Placing, Site, holder::Holder};

/// A set of sites, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SiteSet {
    /// Those below 128, as bits. Few circles have more.
    low: u128,
    high: BTreeSet<usize>,
}

impl SiteSet {
    /// The bit of a low number; `None` for a high one.
    fn bit(number: usize) -> Option<u128> {
        u32::try_from(number).ok().and_then(|number| 1_u128.checked_shl(number))
    }

    pub(super) fn insert(&mut self, number: usize) {
        match Self::bit(number) {
            Some(bit) => self.low |= bit,
            None => _ = self.high.insert(number),
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        match Self::bit(number) {
            Some(bit) => self.low & bit != 0,
            None => self.high.contains(&number),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::try_from(self.low.count_ones()).unwrap_or(0) + self.high.len()
    }
}

impl FromIterator<usize> for SiteSet {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

impl Placing {
    /// To be called before anything is counted after a holder came, went or moved.
    pub(super) fn number_sites(&mut self) {
        let names: BTreeSet<Site> = self.holders.values().map(|it| it.site.clone()).collect();
        let names: Vec<Site> = names.into_iter().collect();
        for holder in self.holders.values_mut() {
            holder.site_number = names.binary_search(&holder.site).unwrap_or(0);
        }
        self.sites = names.len();
    }

    /// Number of distinct sites of the holders that satisfy `test`.
    pub(super) fn sites_of_holders(&self, test: impl Fn(&Holder) -> bool) -> usize {
        let holders = self.holders.values().filter(|holder| test(holder));
        holders.map(|holder| holder.site_number).collect::<SiteSet>().len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_sites_is_a_set_of_numbers(numbers in proptest::collection::vec(0..300_usize, 0..40)) {
            let plain: BTreeSet<usize> = numbers.iter().copied().collect();
            let set: SiteSet = numbers.into_iter().collect();
            prop_assert_eq!(set.len(), plain.len());
            for number in 0..300 {
                prop_assert_eq!(set.contains(number), plain.contains(&number));
            }
        }
    }
}
