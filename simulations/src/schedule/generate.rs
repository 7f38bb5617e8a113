//! Makes the steps of a seed, within the fault budget.
//!
//! Each seed has some kinds of faults and not others ("swarm testing"): a run with everything at
//! once hides what two things do together. Source: Groce et al., Swarm Testing, ISSTA 2012.

use super::{Hostility, Scenario, Silence, Step, What};
use crate::{circle::Circle, dice::Dice};

const DAY_S: u64 = 86_400;

/// Days after which a run no longer gets more faults of one kind: long runs are calm runs.
const FAULT_DAYS_MAX: u64 = 60;

/// Days after which a vault without a sign of a device is surely tended.
const SILENCE_DAYS_MIN: u64 = 4;

struct Maker {
    seed: u64,
    devices: usize,
    days: u64,
    steps: Vec<Step>,
}

impl Scenario {
    /// The run of a seed. Without a wish the seed decides how many devices and days.
    pub fn generate(seed: u64, devices: Option<usize>, days: Option<u64>) -> Self {
        let mut dice = Dice::new(seed, 0, "size");
        let most = dice.one(&[5, 8, 8, 20]);
        let devices = devices.unwrap_or_else(|| 3 + dice.pick(most - 2));
        let days = days.unwrap_or_else(|| dice.tail(2, 40));
        let mut maker = Maker { seed, devices, days, steps: Vec::new() };
        maker.people();
        maker.network();
        maker.machines();
        let bad_sites = maker.destruction();
        let silence = maker.silence(&bad_sites);
        maker.steps.sort_by_key(|step| step.at_s);
        Self { seed, devices, days, bug: None, broke: None, silence, steps: maker.steps }
    }
}

impl Maker {
    fn end_s(&self) -> u64 {
        self.days * DAY_S
    }

    fn add(&mut self, at_s: u64, what: What) {
        self.steps.push(Step { at_s: at_s.min(self.end_s()), what });
    }

    /// So many steps of one kind, if this seed has that kind at all: up to `most` in ten days.
    fn some(&mut self, kind: &str, most: u64, make: impl Fn(&mut Dice, &Self) -> What) {
        let mut dice = Dice::new(self.seed, 0, kind);
        if !dice.chance(60) {
            return;
        }
        let days = self.days.min(FAULT_DAYS_MAX);
        let count = dice.range(1, (most * days).div_ceil(10).max(2));
        for _ in 0..count {
            let at_s = dice.range(0, self.end_s());
            let what = make(&mut dice, self);
            self.add(at_s, what);
        }
    }

    fn people(&mut self) {
        for device in 0..self.devices {
            let entity = u64::try_from(device).expect("few devices");
            let mut dice = Dice::new(self.seed, entity, "backups");
            let every_s = dice.one(&[DAY_S / 4, DAY_S / 2, DAY_S, 3 * DAY_S]);
            let mut at_s = dice.range(0, every_s);
            while at_s < self.end_s() {
                let packs = if dice.chance(5) { dice.range(5, 30) } else { dice.range(0, 3) };
                self.add(at_s, What::Backup { device, packs });
                at_s += dice.range(every_s / 2, every_s * 3 / 2);
            }
        }
        let any = |dice: &mut Dice, maker: &Self| dice.pick(maker.devices);
        self.some("verify", 4, |dice, it| What::Verify { device: any(dice, it) });
        self.some("forget", 6, |dice, it| What::Forget {
            device: any(dice, it),
            percent: dice.one(&[1, 3, 10, 100]),
        });
        self.some("say lost", 3, |dice, it| {
            let device = any(dice, it);
            let other = (device + 1 + dice.pick(it.devices - 1)) % it.devices;
            What::SayLost { device, other, back: dice.chance(40) }
        });
        self.some("recover", 1, |dice, it| What::Recover {
            device: any(dice, it),
            kills: dice.range(0, 4),
        });
        self.some("holiday", 2, |dice, it| What::Holiday {
            device: any(dice, it),
            days: dice.tail(1, 28),
        });
        self.some("grant", 4, |dice, it| What::Grant {
            device: any(dice, it),
            percent: dice.one(&[0, 1, 3, 10, 50, 100, 200]),
        });
    }

    fn network(&mut self) {
        let any = |dice: &mut Dice, maker: &Self| dice.pick(maker.devices);
        self.some("reset", 30, |dice, it| What::Reset {
            device: any(dice, it),
            other: any(dice, it),
        });
        self.some("partition", 10, |dice, it| What::Partition {
            device: any(dice, it),
            other: any(dice, it),
            for_s: dice.tail(5, 2 * DAY_S),
            one_way: dice.chance(50),
        });
        self.some("sever", 60, |dice, it| What::Sever {
            device: any(dice, it),
            messages: dice.tail(1, 300),
            for_s: if dice.chance(50) { 0 } else { dice.tail(1, 3_600) },
            one_way: dice.chance(50),
        });
        self.some("isolate", 6, |dice, it| What::Isolate {
            device: any(dice, it),
            for_s: dice.tail(5, 7 * DAY_S),
        });
        self.some("slow", 5, |dice, it| What::Slow {
            device: any(dice, it),
            bytes_per_ms: dice.one(&[1, 5, 20, 60]),
            for_s: dice.tail(60, DAY_S),
        });
        self.some("loss", 8, |dice, it| What::Loss {
            device: any(dice, it),
            percent: dice.one(&[1, 5, 30, 100]),
            for_s: dice.tail(60, DAY_S / 2),
        });
        self.some("delay", 8, |dice, it| What::Delay {
            device: any(dice, it),
            ms: dice.tail(200, 60_000),
            for_s: dice.tail(60, DAY_S),
        });
        self.some("duplicate", 8, |dice, it| What::Duplicate {
            device: any(dice, it),
            percent: dice.one(&[5, 30, 100]),
            for_s: dice.tail(60, DAY_S),
        });
    }

    fn machines(&mut self) {
        let any = |dice: &mut Dice, maker: &Self| dice.pick(maker.devices);
        self.some("crash", 8, |dice, it| What::Crash {
            device: any(dice, it),
            down_s: dice.tail(1, DAY_S),
        });
        self.some("crash at step", 40, |dice, it| What::CrashAtStep {
            device: any(dice, it),
            steps: dice.tail(1, 400),
            down_s: dice.tail(1, 3_600),
        });
        self.some("full disk", 4, |dice, it| What::FullDisk {
            device: any(dice, it),
            for_s: dice.tail(60, 2 * DAY_S),
        });
        self.some("clock", 3, |dice, it| {
            let by_s = i64::try_from(dice.tail(60, 400 * DAY_S)).expect("years in seconds");
            What::Clock { device: any(dice, it), by_s: if dice.chance(50) { by_s } else { -by_s } }
        });
        self.some("suspend", 8, |dice, it| What::Suspend {
            device: any(dice, it),
            for_s: dice.tail(5, 3 * DAY_S),
        });
    }

    /// What costs budget: at so many sites as the copies can bear, all chosen before anything else.
    /// Returns these sites.
    fn destruction(&mut self) -> Vec<usize> {
        let circle = Circle::new(self.seed, self.devices);
        let mut dice = Dice::new(self.seed, 0, "destruction");
        let mut sites: Vec<usize> = (0..circle.sites).collect();
        let mut bad_sites = Vec::new();
        for _ in 0..circle.bad_sites_max() {
            let site = sites.remove(dice.pick(sites.len()));
            bad_sites.push(site);
            let there: Vec<usize> = circle.at_site(site).collect();
            for _ in 0..dice.range(0, 2) {
                let device = dice.one(&there);
                let at_s = dice.range(self.end_s() / 5, self.end_s());
                let what = destruction_of(&mut dice, device, at_s);
                self.add(at_s, what);
                if matches!(what, What::Lose { .. }) && dice.chance(50) {
                    let later_s = at_s + dice.range(60, DAY_S);
                    self.add(later_s, What::Recover { device, kills: dice.range(0, 3) });
                }
            }
        }
        bad_sites
    }

    /// All devices of one vault fall silent: in the midst of everything else, or once it is over.
    fn silence(&mut self, bad_sites: &[usize]) -> Option<Silence> {
        let circle = Circle::new(self.seed, self.devices);
        let mut dice = Dice::new(self.seed, 0, "silence");
        let vault = dice.pick(circle.vaults.len());
        // Of at least two holders one can look after what the other has lost.
        circle.outside(vault).nth(1)?;
        let at_risk: Vec<usize> = circle
            .outside(vault)
            .filter(|device| bad_sites.contains(&circle.devices[*device].site))
            .collect();
        let disk_of = (!at_risk.is_empty() && dice.chance(70)).then(|| dice.one(&at_risk));
        if self.days > SILENCE_DAYS_MIN && dice.chance(30) {
            self.fall_silent(&circle, &mut dice, (vault, bad_sites), disk_of);
        }
        // Longer than it takes until a silent fellow is taken to be gone, now and then.
        let days = if dice.chance(15) { 22 } else { dice.range(7, 9) };
        dice.chance(25).then_some(Silence { vault, days, disk_of })
    }

    fn fall_silent(
        &mut self,
        circle: &Circle,
        dice: &mut Dice,
        (vault, bad_sites): (usize, &[usize]),
        disk_of: Option<usize>,
    ) {
        let latest_s = (self.days - SILENCE_DAYS_MIN) * DAY_S;
        let start_s = dice.range(DAY_S / 4, latest_s.max(DAY_S / 4));
        let days = dice.range(SILENCE_DAYS_MIN, SILENCE_DAYS_MIN + 4);
        let devices: Vec<usize> = circle.of_vault(vault).collect();
        let may_go = devices.iter().all(|it| bad_sites.contains(&circle.devices[*it].site));
        let is_for_good = may_go && dice.chance(50);
        for device in &devices {
            let what = if is_for_good {
                What::Lose { device: *device }
            } else {
                What::Holiday { device: *device, days }
            };
            self.add(start_s + dice.range(0, DAY_S / 8), what);
        }
        if let Some(device) = disk_of {
            let at_s = start_s + dice.range(0, SILENCE_DAYS_MIN * DAY_S);
            self.add(at_s, What::ReplaceDisk { device });
        }
        // Their users say that these devices are lost: nobody waits for three days.
        if dice.chance(30) {
            for device in circle.outside(vault) {
                for other in &devices {
                    let at_s = start_s + dice.range(DAY_S / 8, DAY_S);
                    self.add(at_s, What::SayLost { device, other: *other, back: false });
                }
            }
        }
    }
}

fn destruction_of(dice: &mut Dice, device: usize, at_s: u64) -> What {
    let ways =
        [Hostility::Drops, Hostility::Lies, Hostility::Hides, Hostility::Forges, Hostility::Stalls];
    match dice.range(0, 9) {
        0..2 => What::Lose { device },
        2..4 => What::BitRot { device, percent: dice.one(&[1, 10, 100]) },
        4 => What::ReplaceDisk { device },
        5..7 => What::RollBack { device, image_s: at_s - dice.range(1, at_s.max(1)) },
        _ => What::Hostile { device, way: dice.one(&ways) },
    }
}
