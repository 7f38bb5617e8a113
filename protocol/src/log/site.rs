//! Where a device stands, as long as nobody says it: in the household of the vault's other devices, or in
//! one with a name of its own.
//!
//! A name that two households share makes two copies count as one, which is safe; one household with two
//! names makes one copy count as two, which is not. So a name is made up only where there is nothing to
//! go by. Source: specs/placing.md, "Sites".

use bip39::Language;

use super::DeviceLog;
use crate::keys::epoch::EpochKey;

/// Random bytes that a name is made of.
pub const SITE_RANDOM_BYTES: usize = 4;

/// Makes up the name of a household, such as `home-maple-orbit`: two words of the BIP39 list, 22 bits.
/// Twenty households all have different ones but for once in twenty thousand circles.
pub fn generated_site(random: [u8; SITE_RANDOM_BYTES]) -> String {
    let [a, b, c, d] = random;
    // 2^16 is a multiple of 2^11: no word is likelier than another.
    let words = [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])];
    let list = Language::English.word_list();
    let word = |number: u16| list.get(usize::from(number % 2048)).copied().unwrap_or_default();
    let [first, second] = words.map(word);
    format!("home-{first}-{second}")
}

impl DeviceLog {
    /// The site of the device that was taken in last, of those that belong to the vault and whose label can
    /// be read: where another one most likely stands as well.
    pub fn usual_site(&self, epochs: &[EpochKey]) -> Option<String> {
        let mut devices: Vec<_> = self.devices().collect();
        devices.sort_by_key(|device| (device.added, device.public.id));
        let labels =
            devices.iter().rev().filter_map(|device| self.label(&device.public.id, epochs));
        labels.map(|label| label.site).next()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // PLACE-26
    #[test]
    fn generated_names_read_well_differ_and_can_be_shown() {
        assert_eq!(generated_site([0; 4]), "home-abandon-abandon");
        assert_eq!(generated_site([0xff; 4]), "home-zoo-zoo");
        let names: BTreeSet<String> =
            (0..=u8::MAX).map(|byte| generated_site([byte, 1, 2, byte])).collect();
        assert_eq!(names.len(), 256);
        assert!(names.iter().all(|name| crate::text::is_plain_within(name, 64)));
    }
}
