//! What bytes cost that leave the local network, and what crosses a line on which they do.
//!
//! Source: specs/pacing.md, "Metered lines".

/// The line between this device and whoever is not in its local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Line {
    /// Bytes cost nothing, as far as is known.
    #[default]
    Free,
    /// They are counted and paid for: the hotspot of a telephone, a plan with so many GB.
    Metered,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// In the local network.
    Near,
    /// Beyond the line, or nobody knows where.
    #[default]
    Beyond,
}

impl Line {
    /// Whether packs for which nobody waits may go there, or come from there: backups, copies for others, repair.
    pub const fn carries_packs(self, side: Side) -> bool {
        matches!((self, side), (Self::Free, _) | (Self::Metered, Side::Near))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PACE-6
    #[test]
    fn a_metered_line_carries_no_packs_and_the_local_network_does() {
        assert!([Side::Near, Side::Beyond].map(|side| Line::Free.carries_packs(side)) == [true; 2]);
        assert!(Line::Metered.carries_packs(Side::Near));
        assert!(!Line::Metered.carries_packs(Side::default()), "who may be anywhere is beyond it");
        assert_eq!(Line::default(), Line::Free, "where nobody says otherwise, backups go");
    }
}
