//! Carries out the steps of the schedule.

use super::World;
use crate::{
    device::{Device, Power, restorer::Proof},
    dice::Dice,
    event::{Event, Line, Link},
    network::{IDLE_MS, Weather},
    schedule::{Hostility, What},
};

impl World {
    /// Plans every step, and the images that roll-backs will need.
    pub(super) fn plan_steps(&mut self) {
        for (step, planned) in self.scenario.steps.iter().enumerate() {
            if let What::RollBack { image_s, .. } = planned.what {
                self.shared.queue.after(image_s * 1_000, Event::TakeImage { step });
            }
        }
        for (step, planned) in self.scenario.steps.iter().enumerate() {
            self.shared.queue.after(planned.at_s * 1_000, Event::Step { step });
        }
    }

    pub(super) fn take_step(&mut self, step: usize) {
        let what = self.scenario.steps[step].what;
        match what {
            What::Backup { .. }
            | What::Verify { .. }
            | What::SayLost { .. }
            | What::Forget { .. }
            | What::Recover { .. }
            | What::Holiday { .. }
            | What::Grant { .. } => self.people(step, what),
            What::Reset { .. }
            | What::Partition { .. }
            | What::Sever { .. }
            | What::Isolate { .. }
            | What::Slow { .. }
            | What::Loss { .. }
            | What::Delay { .. }
            | What::Duplicate { .. } => self.network(what),
            What::Crash { .. }
            | What::CrashAtStep { .. }
            | What::FullDisk { .. }
            | What::Clock { .. }
            | What::Suspend { .. } => self.machine(what),
            What::Lose { .. }
            | What::BitRot { .. }
            | What::ReplaceDisk { .. }
            | What::RollBack { .. }
            | What::Hostile { .. } => {
                self.destroy(step, what);
                self.check_all_kept();
            }
        }
    }

    fn dice(&self, step: usize, purpose: &str) -> Dice {
        // By what the step is, not by its place, so that it stays itself when others are taken out.
        let planned = &self.scenario.steps[step];
        let purpose = format!("{purpose} {:?}", planned.what);
        Dice::new(self.shared.seed, planned.at_s, &purpose)
    }

    fn people(&mut self, step: usize, what: What) {
        let mut dice = self.dice(step, "people");
        let shared = &mut self.shared;
        match what {
            What::Backup { device, packs } => {
                self.devices[device].back_up(shared, &mut dice, packs)
            }
            What::Forget { device, percent } => {
                self.devices[device].forget(shared, &dice, percent);
            }
            What::Verify { device } => self.devices[device].verify(shared),
            What::SayLost { device, other, back } => {
                self.devices[device].said(shared, other, !back);
            }
            What::Recover { device, kills } => self.recover(device, kills, &mut dice),
            What::Holiday { device, days } => self.holiday(device, days),
            What::Grant { device, percent } => {
                let first = shared.circle.devices[device].grant_bytes;
                shared.saw(if percent < 100 { "grant lowered" } else { "grant raised" });
                self.devices[device].set_grant(shared, first / 100 * percent);
            }
            _ => {}
        }
    }

    fn holiday(&mut self, device: usize, days: u64) {
        if self.devices[device].power == Power::Up {
            self.shared.saw("holiday");
            self.devices[device].shut_down();
            self.hang_up_all(device);
            self.shared.queue.after(days * 86_400_000, Event::Boot { device });
        }
    }

    /// A new device, with the phrase alone.
    pub(super) fn recover(&mut self, device: usize, kills: u64, dice: &mut Dice) {
        let number = self.devices.len();
        let shared = &mut self.shared;
        shared.network.join(shared.seed, dice.tail(1, 200), dice.one(&[250, 1_200, 6_000]));
        shared.saw("recovery began");
        let vault = shared.circle.devices[device].vault;
        shared.model.recovering.insert(number, vault);
        let image = &self.devices[device].disk.image;
        let proof = if dice.chance(50) {
            Proof { receipts: image.receipts.clone(), held: image.held.clone() }
        } else {
            Proof::default()
        };
        self.devices.push(Device::recovering(shared, number, (device, kills), proof));
        self.devices[number].boot(shared);
    }

    fn network(&mut self, what: What) {
        let shared = &mut self.shared;
        let now = shared.now();
        let until = |for_s: u64| now.after_ms(for_s * 1_000);
        match what {
            What::Reset { device, other } => {
                for (client, holder) in [(device, other), (other, device)] {
                    if let Some(line) = self.shared.network.line(Link { client, holder }) {
                        self.shared.saw("reset");
                        self.hang_up(line);
                    }
                }
            }
            What::Partition { device, other, for_s, one_way } => {
                shared.network.cut(device, other, until(for_s));
                if !one_way {
                    shared.network.cut(other, device, until(for_s));
                }
                self.watch_idle(device);
            }
            What::Sever { device, messages, for_s, one_way } => {
                self.devices[device].sever_in = Some((messages.max(1), for_s, one_way));
            }
            What::Isolate { device, for_s } => {
                for other in 0..self.devices.len() {
                    self.shared.network.cut(device, other, until(for_s));
                    self.shared.network.cut(other, device, until(for_s));
                }
                self.watch_idle(device);
            }
            What::Slow { device, bytes_per_ms, for_s } => {
                let weather = Weather::Slow { bytes_per_ms };
                shared.network.add_weather(now, device, weather, until(for_s));
            }
            What::Loss { device, percent, for_s } => {
                let weather = Weather::Loss { percent };
                shared.network.add_weather(now, device, weather, until(for_s));
            }
            What::Delay { device, ms, for_s } => {
                shared.network.add_weather(now, device, Weather::Delay { ms }, until(for_s));
            }
            What::Duplicate { device, percent, for_s } => {
                let weather = Weather::Duplicate { percent };
                shared.network.add_weather(now, device, weather, until(for_s));
            }
            _ => {}
        }
    }

    fn watch_idle(&mut self, device: usize) {
        for line in self.shared.network.lines_of(device) {
            self.shared.queue.after(IDLE_MS, Event::IdleOver { line });
        }
    }

    fn machine(&mut self, what: What) {
        let shared = &mut self.shared;
        match what {
            What::Crash { device, down_s } => self.crash(device, down_s),
            What::CrashAtStep { device, steps, down_s } => {
                self.devices[device].crash_in = Some((steps.max(1), down_s));
            }
            What::FullDisk { device, for_s } => {
                shared.saw("full disk");
                self.devices[device].disk.noise_bytes = u64::MAX / 4;
                shared.queue.after(for_s * 1_000, Event::DiskFreed { device });
            }
            What::Clock { device, by_s } => {
                shared.saw("clock");
                shared.model.clock_wrong.insert(device);
                let off_s = &mut self.devices[device].clock_off_s;
                *off_s = off_s.saturating_add(by_s);
            }
            What::Suspend { device, for_s } => self.suspend(device, for_s),
            _ => {}
        }
    }

    fn suspend(&mut self, device: usize, for_s: u64) {
        if self.devices[device].power != Power::Up || self.devices[device].asleep_until.is_some() {
            return;
        }
        self.shared.saw("suspend");
        let until = self.shared.now().after_ms(for_s * 1_000);
        self.devices[device].asleep_until = Some(until);
        self.shared.queue.at(until, Event::Resume { device });
        if for_s * 1_000 > IDLE_MS {
            // The others give its connections up; it hears of that when it wakes.
            self.hang_up_all(device);
        }
    }

    pub(super) fn count_step(&mut self, device: usize) {
        if let Some((steps, down_s)) = self.devices[device].crash_in {
            self.devices[device].crash_in = (steps > 1).then_some((steps - 1, down_s));
            if steps == 1 {
                self.shared.saw("crash at step");
                self.crash(device, down_s);
            }
        }
    }

    pub(super) fn count_message(&mut self, device: usize, line: Line) {
        let Some((messages, for_s, one_way)) = self.devices[device].sever_in else { return };
        self.devices[device].sever_in = (messages > 1).then_some((messages - 1, for_s, one_way));
        if messages > 1 || !self.shared.network.is_open(line) {
            return;
        }
        if for_s == 0 {
            self.shared.saw("reset in mid-transfer");
            return self.hang_up(line);
        }
        self.shared.saw("cut in mid-transfer");
        let until = self.shared.now().after_ms(for_s * 1_000);
        let Link { client, holder } = line.link;
        self.shared.network.cut(client, holder, until);
        if !one_way {
            self.shared.network.cut(holder, client, until);
        }
        self.watch_idle(device);
    }

    pub(super) fn crash(&mut self, device: usize, down_s: u64) {
        if self.devices[device].power != Power::Up {
            return;
        }
        self.shared.saw("crash");
        self.devices[device].crash(&mut self.shared);
        self.hang_up_all(device);
        self.shared.network.calls_over(device);
        self.shared.queue.after(down_s * 1_000, Event::Boot { device });
    }

    fn destroy(&mut self, step: usize, what: What) {
        let mut dice = self.dice(step, "destroy");
        let number = what.device();
        if self.devices[number].power == Power::Gone {
            return;
        }
        self.devices[number].broken = true;
        match what {
            What::Lose { device } => {
                self.shared.saw("device lost");
                self.devices[device].crash(&mut self.shared);
                self.devices[device].power = Power::Gone;
                self.hang_up_all(device);
            }
            What::BitRot { device, percent } => {
                let hit = self.devices[device].disk.rot(&mut dice, percent);
                self.shared.saw(if hit > 0 { "bit rot" } else { "bit rot that hit nothing" });
            }
            What::ReplaceDisk { device } => {
                let lost = self.devices[device].disk.drop_files(&mut dice, 100);
                if lost > 0 {
                    self.shared.saw("disk replaced");
                }
                self.crash(device, 600);
            }
            What::RollBack { device, .. } => {
                if let Some(image) = self.images.remove(&step) {
                    self.shared.saw("disk rolled back");
                    self.crash(device, 60);
                    let device = &mut self.devices[device];
                    device.disk.replace_image(image);
                    device.was_set_back = true;
                    self.shared.model.set_back.insert(number);
                }
            }
            What::Hostile { device, way } => {
                self.shared.saw(match way {
                    Hostility::Drops => "hostile: drops",
                    Hostility::Lies => "hostile: lies",
                    Hostility::Hides => "hostile: hides",
                    Hostility::Forges => "hostile: forges",
                    Hostility::Stalls => "hostile: stalls",
                });
                self.devices[device].turn_hostile(way, &mut dice);
            }
            _ => {}
        }
    }
}
