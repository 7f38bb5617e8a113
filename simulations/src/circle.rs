//! What a seed decides before anything happens: vaults, devices, households, lines, disks.

use larder_protocol::{
    ids::{DeviceId, VaultId},
    keys::{
        DeviceKeys, RecoveryKeys,
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
    },
    log::{DeviceLog, Founding, Label, Newcomer, Role},
    placing::{Copies, Policy},
    tending::SiteTag,
    time::Timestamp,
};

use crate::dice::Dice;

/// Wall clock at the start: some day in 2027.
pub(crate) const EPOCH_S: u64 = 1_800_000_000;
const MIB: u64 = 1024 * 1024;

/// One owner's domain.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    pub(crate) id: VaultId,
    pub(crate) log: DeviceLog,
    /// The network key that follows from the phrase.
    pub(crate) access: DeviceId,
}

/// One device.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) keys: DeviceKeys,
    pub(crate) id: DeviceId,
    pub(crate) vault: usize,
    pub(crate) site: usize,
    pub(crate) latency_ms: u64,
    pub(crate) bytes_per_ms: u64,
    pub(crate) disk_bytes: u64,
    /// For all vaults together.
    pub(crate) offer_bytes: u64,
    /// For each vault.
    pub(crate) grant_bytes: u64,
    pub(crate) sync_ms: u64,
}

/// The whole.
#[derive(Debug, Clone)]
pub(crate) struct Circle {
    pub(crate) vaults: Vec<Vault>,
    pub(crate) devices: Vec<Device>,
    pub(crate) sites: usize,
    /// Sites on which every pack must be.
    pub(crate) copies: usize,
    pub(crate) policy: Policy,
    /// Whether the users said of every holder that it is always on: 72 hours of silence are enough.
    pub(crate) are_described: bool,
}

impl Circle {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut dice = Dice::new(seed, 0, "circle");
        // Every source needs enough sites beside its own, or beside itself at its own.
        let paired = count >= 4 && dice.chance(20);
        let most = count.min(6);
        let sites = if paired { 2 } else { 3 + dice.pick(most - 2) };
        let copies = if sites >= 4 && dice.chance(30) { 3 } else { 2 };
        let vault_count = 1 + dice.pick(count.min(4));
        let mut devices = Vec::new();
        for number in 0..count {
            let least = if paired { 4 } else { sites };
            let site = if number < least { number % sites } else { dice.pick(sites) };
            let vault = if number < vault_count { number } else { dice.pick(vault_count) };
            devices.push(Device::new(seed, number, vault, site));
        }
        let vaults = (0..vault_count).map(|vault| found(seed, vault, &devices)).collect();
        let fixed = copies == 3 || dice.chance(50);
        let fixed_copies = Copies::Fixed(u8::try_from(copies).expect("2 or 3"));
        let policy = Policy {
            copies: if fixed { fixed_copies } else { Copies::Auto },
            keep_own: dice.chance(10),
        };
        let are_described = dice.chance(50);
        Self { vaults, devices, sites, copies, policy, are_described }
    }

    /// The fault budget: sites at which anything may be destroyed or lie.
    pub(crate) const fn bad_sites_max(&self) -> usize {
        self.copies - 1
    }

    pub(crate) fn at_site(&self, site: usize) -> impl Iterator<Item = usize> {
        let at = move |(_, device): &(usize, &Device)| device.site == site;
        self.devices.iter().enumerate().filter(at).map(|(number, _)| number)
    }

    /// What devices of a vault call a site before its holders.
    pub(crate) fn site_tag(&self, vault: usize, site: usize) -> SiteTag {
        let secret = *self.vaults[vault].id.as_bytes();
        let content = ContentKey::derive(&EpochKey::new(1, secret));
        SiteTag::of(&content, &format!("site {site}"))
    }

    /// Devices that are none of this vault: its holders that are fellows.
    pub(crate) fn outside(&self, vault: usize) -> impl Iterator<Item = usize> {
        let devices = self.devices.iter().enumerate();
        devices.filter(move |(_, it)| it.vault != vault).map(|(number, _)| number)
    }

    pub(crate) fn of_vault(&self, vault: usize) -> impl Iterator<Item = usize> {
        let devices = self.devices.iter().enumerate();
        devices.filter(move |(_, it)| it.vault == vault).map(|(number, _)| number)
    }

    pub(crate) fn device_of(&self, id: DeviceId) -> Option<usize> {
        self.devices.iter().position(|device| device.id == id)
    }

    pub(crate) fn vault_of(&self, id: VaultId) -> Option<usize> {
        self.vaults.iter().position(|vault| vault.id == id)
    }
}

impl Device {
    fn new(seed: u64, number: usize, vault: usize, site: usize) -> Self {
        let mut dice = Dice::new(seed, u64::try_from(number).expect("few devices"), "device");
        let keys = DeviceKeys::from_seeds(dice.bytes(), dice.bytes());
        // One in four is small at first, and grows when the world heals.
        let small = dice.chance(25);
        Self {
            id: keys.id(),
            keys,
            vault,
            site,
            latency_ms: dice.tail(1, 400),
            bytes_per_ms: dice.one(&[60, 250, 1_200, 6_000]),
            disk_bytes: dice.one(&[2_048, 16_384, 1_048_576]) * MIB,
            offer_bytes: if dice.chance(15) { dice.range(40, 800) * MIB } else { 1 << 40 },
            grant_bytes: if small { dice.range(4, 200) * MIB } else { 1 << 40 },
            sync_ms: dice.tail(2, 2_000),
        }
    }
}

fn found(seed: u64, vault: usize, devices: &[Device]) -> Vault {
    let mut dice = Dice::new(seed, u64::try_from(vault).expect("few vaults"), "vault");
    let recovery: RecoveryKeys = Phrase::from_entropy(dice.bytes()).recovery();
    let label = Label { name: "device".into(), site: "home".into() };
    let time = Timestamp(EPOCH_S);
    let mut members = devices.iter().filter(|device| device.vault == vault);
    let first = members.next().expect("every vault has a device");
    let founding = Founding { device: &first.keys, recovery: &recovery, label: &label, time };
    let founded = DeviceLog::found(&founding, dice.source()).expect("the label is plain");
    let mut log = founded.log;
    for member in members {
        let (device, label, role) = (member.keys.public(), label.clone(), Role::Owner);
        let newcomer = Newcomer { device, label, role, time };
        log.enrol(&recovery, &member.keys, &newcomer, dice.source())
            .expect("a new device of a new vault");
    }
    Vault { id: log.vault(), log, access: recovery.public().access_id() }
}
