//! Acts on a device log by anybody, on copies that learn of each other now and then: none panics, what one
//! copy has taken all others take, and all come to see the same in whatever order it arrives.

use std::{collections::BTreeMap, sync::LazyLock};

use larder_protocol::{
    keys::{DeviceKeys, Principal, RecoveryKeys},
    log::{
        Author, Deed, DeviceLog, DraftError, Leaver, LogEntry, NewLabel, Newcomer, Reason, Role,
    },
    time::Timestamp,
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::world::{NOW, device, found, label, recovery};

/// Copies of the log.
const COPIES: u8 = 3;
/// Devices, of which the first founds the vault; who comes after them is the phrase.
const DEVICES: u8 = 5;
/// Acts of one input: each seals keys.
const ACTS_MAX: usize = 16;
/// Things that can be done.
const ACTS: u8 = 7;
/// Bytes of one act: what, on which copy, by whom, to whom.
const ACT_BYTES: usize = 4;

static FOUNDED: LazyLock<DeviceLog> = LazyLock::new(|| found(1));

struct World {
    copies: Vec<DeviceLog>,
    devices: Vec<DeviceKeys>,
    recovery: RecoveryKeys,
    rng: ChaCha8Rng,
    time: u64,
    /// A new one for each rename.
    names: u8,
}

impl World {
    fn act(&mut self, [what, copy, by, whom]: [u8; ACT_BYTES]) {
        self.time += 1;
        let time = Timestamp(NOW.0 + self.time);
        let copy = usize::from(copy % COPIES);
        let whom_number = whom % DEVICES + 1;
        let whom_keys = &self.devices[usize::from(whom % DEVICES)];
        let principal: Principal<'_> = match self.devices.get(usize::from(by % (DEVICES + 1))) {
            Some(device) => device.into(),
            None => (&self.recovery).into(),
        };
        let rng = &mut self.rng;
        match what % ACTS {
            act @ (0 | 6) => {
                let (device, label) = (whom_keys.public(), label(whom_number));
                let role = if act == 0 { Role::Owner } else { Role::Member };
                let newcomer = Newcomer { device, label, role, time };
                let log = &mut self.copies[copy];
                let _refused = take_in(log, principal, whom_keys, (&newcomer, rng));
            }
            1 => {
                let reason =
                    [Reason::Lost, Reason::Stolen, Reason::Replaced][usize::from(what / ACTS % 3)];
                let (device, undo_removals) = (whom_keys.id(), what / (3 * ACTS) % 2 == 1);
                let leaver = Leaver { device, reason, last: None, undo_removals, time };
                let _refused = self.copies[copy].remove(principal, &leaver, rng);
            }
            2 => {
                let _refused = self.copies[copy].rotate(principal, time, rng);
            }
            5 => {
                let (device, label) = (whom_keys.id(), label(self.names));
                self.names = self.names.wrapping_add(1);
                let new = NewLabel { device, label, time };
                let _refused = self.copies[copy].rename(principal, &new, rng);
            }
            3 => {
                let from = self.copies[usize::from(by % COPIES)].clone();
                for entry in from.entries() {
                    let taken = self.copies[copy].merge(entry);
                    assert!(taken.is_ok(), "parents come first: {taken:?}");
                }
            }
            _ => {
                // One entry alone, whose parents may be missing.
                let from = &self.copies[usize::from(by % COPIES)];
                let entry = from.entries().nth(usize::from(whom) % from.len());
                let entry = entry.expect("there are so many").to_vec();
                let _early = self.copies[copy].merge(&entry);
            }
        }
    }
}

fn take_in(
    log: &mut DeviceLog,
    by: Principal<'_>,
    whom: &DeviceKeys,
    (newcomer, rng): (&Newcomer, &mut ChaCha8Rng),
) -> Result<(), DraftError> {
    let draft = log.draft_add(by, newcomer, rng)?;
    let consent = draft.consent(log, whom, (&newcomer.label, newcomer.role))?;
    log.append_add(&draft, consent, by)?;
    Ok(())
}

/// What a log comes to.
fn view(log: &DeviceLog) -> String {
    let counted: BTreeMap<_, _> = log
        .entries()
        .filter_map(|bytes| LogEntry::decode(bytes).ok())
        .map(|entry| (entry.hash(), log.counts(&entry.hash())))
        .collect();
    let keys = log.epoch_keys(&recovery(1)).expect("the phrase opens every epoch");
    let (living, all): (Vec<_>, Vec<_>) = (
        log.devices().map(|device| device.public.id).collect(),
        log.all_devices()
            .map(|it| (it.public.id, it.role, log.label(&it.public.id, &keys)))
            .collect(),
    );
    let removed: BTreeMap<_, _> = log.removed().collect();
    let (heads, epoch) = (log.heads(), log.current_epoch());
    format!("{living:?} {all:?} {removed:?} {heads:?} {epoch:?} {counted:?}")
}

/// Of what counts, no member has said what is an owner's to say.
fn check_members(log: &DeviceLog) {
    for entry in log.entries().filter_map(|bytes| LogEntry::decode(bytes).ok()) {
        let Author::Device(author) = entry.body().author else { continue };
        if log.is_owner(&author) || !log.counts(&entry.hash()) {
            continue;
        }
        match entry.deed() {
            Deed::BeganEpoch(_) => {}
            Deed::Renamed(device) => assert_eq!(device, author, "a member names itself alone"),
            other => panic!("a member has done what only owners do: {other:?}"),
        }
    }
}

/// A log of entries that arrive in this order; those whose parents are missing come again.
fn arrived<'a>(entries: impl Iterator<Item = &'a [u8]>) -> DeviceLog {
    let mut log = FOUNDED.clone();
    let mut left: Vec<&[u8]> = entries.collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|entry| log.merge(entry).is_err());
        assert!(left.len() < before, "what one copy has taken all others take");
    }
    log
}

/// Acts, four bytes each.
pub fn log_acts(bytes: &[u8]) {
    let mut world = World {
        copies: vec![FOUNDED.clone(); usize::from(COPIES)],
        devices: (1..=DEVICES).map(device).collect(),
        recovery: recovery(1),
        rng: ChaCha8Rng::seed_from_u64(1),
        time: 0,
        names: 100,
    };
    for act in bytes.as_chunks::<ACT_BYTES>().0.iter().take(ACTS_MAX) {
        world.act(*act);
    }
    let mut all: Vec<&[u8]> = world.copies.iter().flat_map(DeviceLog::entries).collect();
    let forward = arrived(all.iter().copied());
    let backward = arrived(all.iter().rev().copied());
    all.sort_unstable();
    let shuffled = arrived(all.into_iter());
    assert_eq!(view(&forward), view(&backward));
    assert_eq!(view(&forward), view(&shuffled));
    check_members(&forward);
    assert!(forward.devices().next().is_some(), "somebody always stays");
    let again = DeviceLog::from_entries(backward.entries()).expect("what is kept can be read");
    assert_eq!(view(&again), view(&forward));
}

/// Acts of which most are possible.
pub fn acts() -> Vec<Vec<u8>> {
    let [add, remove, rotate, carry, one, rename, add_member] = [0_u8, 1, 2, 3, 4, 5, 6];
    let apart = [
        // Two copies take different devices in, and then each throws the other's out.
        [add, 0, 0, 1],
        [add, 1, 0, 2],
        [carry, 2, 0, 0],
        [carry, 2, 1, 0],
        [remove, 0, 0, 1],
        [remove, 2, 1, 2],
        [remove, 1, 2, 0],
        [carry, 0, 2, 0],
        [carry, 1, 0, 0],
        [rotate, 1, 5, 0],
        [add, 1, 5, 3],
        [one, 2, 1, 4],
    ];
    let by_phrase = [
        [add, 0, 5, 1],
        [remove, 0, 5, 0],
        [rotate, 1, 0, 0],
        [add, 1, 0, 4],
        [carry, 2, 1, 0],
        [remove + 3 * ACTS, 2, 4, 0],
        [carry, 0, 2, 0],
        [add, 0, 1, 0],
        [rotate, 0, 1, 0],
    ];
    let by_member = [
        [add_member, 0, 0, 1],
        [add, 0, 0, 2],
        [carry, 1, 0, 0],
        // It names itself, and tries what it may not.
        [rename, 0, 1, 1],
        [rename, 0, 1, 0],
        [remove, 0, 1, 2],
        [add, 0, 1, 3],
        [rotate, 0, 1, 0],
        // Apart it is renamed twice, and an owner who takes it in once more is thrown out.
        [rename, 1, 0, 1],
        [rename, 1, 2, 1],
        [add, 2, 0, 1],
        [remove, 1, 0, 2],
        [carry, 0, 1, 0],
        [carry, 0, 2, 0],
        [rename, 0, 5, 1],
        [remove, 0, 0, 1],
    ];
    vec![apart.concat(), by_phrase.concat(), by_member.concat()]
}
