//! Going apart from other vaults: what their devices and this vault's have said, how long what is kept here
//! has been of no use to them, and what this device's user said of it.

use std::collections::BTreeSet;

use larder_protocol::{
    cbor,
    ids::{DeviceId, VaultId},
    leaving::{DaysSeen, LeavingWord, Pair, Say},
};
use minicbor::{Decode, Encode};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tracing::warn;

use super::{State, StateError, circle, commits, receipts, vigils, watched};

/// Key: vault, the other one, device.
const WORDS: TableDefinition<'_, &[u8; 96], &[u8]> = TableDefinition::new("leaving words");
const DAYS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("leaving days");
/// Vaults from which this one goes apart, or did until a moment ago: no receipt of theirs counts.
const APART: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("leaving apart");
const SAID: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("leaving said");

/// What the user of this device said besides the wish, for one wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Said {
    /// Number of the wish that it is said for: it is of no effect on a later one.
    #[n(0)]
    pub since: u64,
    /// What the other vault keeps for this one is given up, though it is not everywhere else.
    #[n(1)]
    pub gives_up: bool,
    /// What is kept here goes when the other vault's devices have waived it, without any wait.
    #[n(2)]
    pub drops: bool,
    /// It goes whatever they say.
    #[n(3)]
    pub regardless: bool,
}

impl Said {
    /// The word about what is kept here.
    pub const fn say(&self) -> Say {
        match (self.drops, self.regardless) {
            (_, true) => Say::Regardless,
            (true, false) => Say::OnceWaived,
            (false, false) => Say::Waits,
        }
    }
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(WORDS)?;
    tx.open_table(DAYS)?;
    tx.open_table(SAID)?;
    tx.open_table(APART)?;
    Ok(())
}

fn key(pair: Pair, device: &DeviceId) -> [u8; 96] {
    let mut key = [0; 96];
    let parts = [pair.vault.as_bytes(), pair.other.as_bytes(), device.as_bytes()];
    for (place, part) in key.chunks_exact_mut(32).zip(parts) {
        place.copy_from_slice(part);
    }
    key
}

impl State {
    /// Remembers words in place of earlier ones of the same devices about the same vaults.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_leaving_words(&self, words: &[LeavingWord]) -> Result<(), StateError> {
        if words.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut table = tx.open_table(WORDS)?;
            for word in words {
                let key = key(word.body().pair(), &word.body().device);
                table.insert(&key, word.bytes())?;
            }
            Ok(())
        })
    }

    /// Forgets words.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_leaving_words(&self, said: &[(Pair, DeviceId)]) -> Result<(), StateError> {
        if said.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            let mut table = tx.open_table(WORDS)?;
            for (pair, device) in said {
                table.remove(&key(*pair, device))?;
            }
            Ok(())
        })
    }

    /// All words. One that cannot be read is told again by whoever has it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn leaving_words(&self) -> Result<Vec<LeavingWord>, StateError> {
        self.read(|tx| {
            let mut all = Vec::new();
            for row in tx.open_table(WORDS)?.iter()? {
                match LeavingWord::decode(row?.1.value()) {
                    Ok(word) => all.push(word),
                    Err(error) => warn!("a word about who leaves whom is damaged: {error}"),
                }
            }
            Ok(all)
        })
    }

    /// Remembers how long what is kept for a vault has been of no use to it; `None` for not at all.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_leaving_days(
        &self,
        vault: &VaultId,
        days: Option<DaysSeen>,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(DAYS)?;
            match days {
                Some(days) => _ = table.insert(vault.as_bytes(), days.encode().as_slice())?,
                None => _ = table.remove(vault.as_bytes())?,
            }
            Ok(())
        })
    }

    /// How long, for one vault. What cannot be read is counted anew: it costs patience.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn leaving_days(&self, vault: &VaultId) -> Result<Option<DaysSeen>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(DAYS)?;
            Ok(table.get(vault.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        Ok(bytes.and_then(|bytes| {
            let days = DaysSeen::decode(&bytes);
            days.inspect_err(|error| warn!("vault {}: {error}", vault.short())).ok()
        }))
    }

    /// Remembers what this device's user said.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_leaving_said(&self, vault: &VaultId, said: Said) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(SAID)?;
            table.insert(vault.as_bytes(), cbor::encode(&said).as_slice())?;
            Ok(())
        })
    }

    /// What this device's user said for the wish of this number. What cannot be read is nothing: it is said again.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn leaving_said(&self, vault: &VaultId, since: u64) -> Result<Said, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(SAID)?;
            Ok(table.get(vault.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        let said = bytes.and_then(|bytes| cbor::decode::<Said>(&bytes, 64).ok());
        Ok(said.filter(|said| said.since == since).unwrap_or(Said { since, ..Said::default() }))
    }

    /// Notes that this vault goes apart from another one: from here on none of its receipts counts at a start.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn go_apart(&self, vault: &VaultId) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(APART)?.insert(vault.as_bytes(), ())?;
            Ok(())
        })
    }

    /// Vaults of which that was noted.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn apart(&self) -> Result<BTreeSet<VaultId>, StateError> {
        self.read(|tx| {
            let mut all = BTreeSet::new();
            for row in tx.open_table(APART)?.iter()? {
                all.insert(VaultId::from_bytes(*row?.0.value()));
            }
            Ok(all)
        })
    }

    /// Counts on no device of a vault any more: none of them is a holder, and what they have signed for and
    /// acknowledged is forgotten.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn stop_relying(&self, vault: &VaultId) -> Result<(), StateError> {
        self.set_relied_on(vault, (false, false))
    }

    /// The devices of a vault are holders again, of which nothing is known: what they keep is asked for anew.
    /// Those of a guest were none, and are none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn rely_anew(&self, vault: &VaultId) -> Result<(), StateError> {
        let is_guest = self.grant(vault)?.is_some_and(|grant| grant.is_guest);
        self.set_relied_on(vault, (true, !is_guest))
    }

    fn set_relied_on(
        &self,
        vault: &VaultId,
        (is_together, is_holder): (bool, bool),
    ) -> Result<(), StateError> {
        self.change_holders(vault, is_holder, |tx, devices| {
            receipts::remove_of(tx, devices)?;
            for device in devices {
                commits::forget_held(tx, device)?;
            }
            if is_together {
                tx.open_table(APART)?.remove(vault.as_bytes())?;
            }
            Ok(())
        })
    }

    /// Forgets a vault of the circle with all its devices, in one piece. What was said about it stays.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_circle(&self, vault: &VaultId) -> Result<(), StateError> {
        // Nobody who changes a row just now writes it back.
        let _alone = self.alone_with_peers();
        let devices = self.devices_of(vault)?;
        self.write(|tx| {
            receipts::remove_of(tx, &devices)?;
            circle::forget(tx, vault, &devices)?;
            for device in &devices {
                watched::forget(tx, device)?;
                commits::forget_held(tx, device)?;
            }
            vigils::forget(tx, vault)?;
            tx.open_table(DAYS)?.remove(vault.as_bytes())?;
            tx.open_table(SAID)?.remove(vault.as_bytes())?;
            tx.open_table(APART)?.remove(vault.as_bytes())?;
            Ok(())
        })
    }
}
