//! What devices said, compared with what is on all disks.

use std::collections::BTreeSet;

use larder_protocol::{head::Offered, ids::ShardRoot, limits::RETENTION_DAYS_MIN, placing::Copies};

use super::World;
use crate::{
    device::Power,
    model::{Check, Property},
};

/// What published heads needed is owed for so long after they need it no more.
const RETENTION_MS: u64 = RETENTION_DAYS_MIN * 86_400_000;
/// Nobody is presumed lost sooner after it was heard of, see `check_presumed`.
const PRESUMED_MS_MIN: u64 = 30 * 3_600_000;

impl World {
    pub(super) fn run_checks(&mut self) {
        for check in std::mem::take(&mut self.shared.model.checks) {
            match check {
                Check::Receipt { holder, root, vault } => self.check_receipt(holder, root, vault),
                Check::HeadTaken { holder, source, seq } => {
                    let taken = self.shared.model.taken.entry((holder, source)).or_default();
                    *taken = seq.max(*taken);
                    self.check_taken(holder, source, seq);
                }
                Check::Pushed { source, holder, seq, new } => {
                    self.check_pushed(source, holder, seq);
                    if new {
                        self.check_clone(source, holder, seq);
                    }
                }
                Check::Blamed { by, holder, fault } => {
                    self.shared.saw("blame");
                    if !self.devices[holder].broken {
                        let text = format!("device {by} blames {holder}, which is honest: {fault}");
                        self.shared.violation(Property::Blame, text);
                    }
                }
                Check::Shown { source, seq } => self.check_shown(source, seq),
                Check::Dropped { source, root, receipts, sites } => {
                    self.check_dropped((source, root), &receipts, usize::from(sites));
                }
                Check::Published { source, seq } => self.check_published(source, seq),
                Check::PresumedLost { source, holder } => self.check_presumed(source, holder),
                Check::Erased { holder, root, vault } => self.check_erased(holder, root, vault),
                Check::Fetched { holder, root, vault } => self.check_fetched(holder, root, vault),
                Check::Back { holder } => self.check_back(holder),
            }
        }
    }

    /// HOLD-1: whatever is receipted is durable at that moment.
    fn check_receipt(&mut self, holder: usize, root: ShardRoot, vault: usize) {
        self.shared.model.receipted.entry(holder).or_default().insert((root, vault));
        if !self.devices[holder].broken && !self.devices[holder].disk.keeps(root, vault) {
            let text = format!("device {holder} gave a receipt for {root:?} and has it not");
            self.shared.violation(Property::Word, text);
        }
    }

    fn check_taken(&mut self, holder: usize, source: usize, seq: u64) {
        if self.devices[holder].broken {
            return;
        }
        let device = &self.shared.circle.devices[source];
        let book = self.devices[holder].disk.image.books.get(&device.vault);
        let highest = book.and_then(|book| book.highest(&device.id));
        let highest = highest.map_or(0, |head| head.body().seq);
        if highest < seq {
            let text = format!("device {holder} took head {seq} of {source} and has {highest}");
            self.shared.violation(Property::Head, text);
        }
    }

    /// PLACE-5, PLACE-24: all of it is placed, or at the holder that gets the head.
    fn check_pushed(&mut self, source: usize, holder: usize, seq: u64) {
        let vault = self.shared.circle.devices[source].vault;
        let needs = self.devices[source].disk.image.needs.get(&seq).cloned().unwrap_or_default();
        for root in needs {
            let device = &self.devices[holder];
            let has_it = device.broken || device.disk.keeps(root, vault);
            if !self.check_placed(source, root, self.copies_of(source, root)) {
                if has_it {
                    self.shared.saw("head early");
                    continue;
                }
                let text = format!(
                    "device {source} let head {seq} out to {holder}, {root:?} is not placed"
                );
                return self.shared.violation(Property::HeadPlaced, text);
            }
        }
    }

    /// A source shows no head of its own that has not left it.
    fn check_shown(&mut self, source: usize, seq: u64) {
        if !self.shared.model.left.contains_key(&(source, seq)) {
            let text = format!("device {source} shows head {seq}, which has not left it");
            self.shared.violation(Property::HeadPlaced, text);
        }
    }

    /// HEAD-7: a device that was set back forks nothing where it could have learnt that.
    fn check_clone(&mut self, source: usize, holder: usize, seq: u64) {
        if !self.devices[source].was_set_back || self.devices[holder].broken {
            return;
        }
        let vault = self.shared.circle.devices[source].vault;
        let head = self.devices[source].disk.image.own_heads.get(&seq);
        let head = head.and_then(|head| self.shared.check_head(vault, head).ok());
        let book = self.devices[holder].disk.image.books.get(&vault);
        let (Some(book), Some(head)) = (book, head) else { return };
        let mut part = book.part(&head.head().body().device);
        if matches!(part.take(head), Offered::Forked(_)) {
            let text = format!("device {source} was set back; its head {seq} forks at {holder}");
            self.shared.violation(Property::Head, text);
        }
    }

    /// Whether a pack is at enough sites; asked of the disks until it is.
    fn check_placed(&mut self, source: usize, root: ShardRoot, copies: usize) -> bool {
        let placed = self.shared.model.placed.entry(source).or_default();
        if placed.contains(&root) {
            return true;
        }
        let lean = self.shared.model.lean.get(&source).is_some_and(|lean| lean.contains(&root));
        let enough = lean || self.sites_of(source, root) >= copies;
        if enough {
            self.shared.model.placed.entry(source).or_default().insert(root);
        }
        enough
    }

    /// PLACE-1 and PLACE-4: durable receipts here, and the truth elsewhere.
    fn check_dropped(
        &mut self,
        (source, root): (usize, ShardRoot),
        receipts: &BTreeSet<usize>,
        promised: usize,
    ) {
        let site = |holder: &usize| self.shared.circle.devices[*holder].site;
        let sites: BTreeSet<usize> = receipts.iter().map(site).collect();
        let (durable, copies) = (sites.len(), self.copies_asked(source, promised));
        if copies < self.shared.circle.copies {
            self.shared.model.lowered.insert(source);
        }
        let is_placed = self.check_placed(source, root, copies)
            || self.sites_by(source, root, receipts) >= copies;
        if durable < copies || !is_placed {
            let text = format!("device {source} dropped {root:?}, {durable} receipts are durable");
            self.shared.violation(Property::LocalCopy, text);
        }
    }

    fn check_published(&mut self, source: usize, seq: u64) {
        let published = self.shared.model.published.entry(source).or_default();
        *published = seq.max(*published);
        let needs = self.devices[source].disk.image.needs.get(&seq).cloned().unwrap_or_default();
        // Where fewer copies were asked for, fewer sites may be lost than the budget of destruction takes.
        let all = self.shared.circle.copies;
        let full = |root: &ShardRoot| self.copies_of(source, *root) >= all;
        let (kept, lean): (Vec<ShardRoot>, Vec<ShardRoot>) = needs.iter().copied().partition(full);
        if let Some(root) = kept.iter().find(|root| !self.is_kept(source, **root, all)) {
            let text = format!("device {source} calls head {seq} safe, {root:?} is not");
            return self.shared.violation(Property::Kept, text);
        }
        let now = self.shared.now();
        let model = &mut self.shared.model;
        let promised = model.promised.entry(source).or_default();
        for root in promised.iter() {
            if needs.contains(root) {
                model.released.remove(&(source, *root));
            } else {
                model.released.entry((source, *root)).or_insert(now);
            }
        }
        promised.extend(kept);
        if !lean.is_empty() {
            model.lowered.insert(source);
            model.lean.entry(source).or_default().extend(lean);
        }
    }

    /// SIM-16: nobody needs it, and nobody needed it lately.
    fn check_erased(&mut self, holder: usize, root: ShardRoot, vault: usize) {
        self.shared.model.receipted.entry(holder).or_default().remove(&(root, vault));
        if self.devices[holder].broken {
            return;
        }
        let of_vault: Vec<usize> = (0..self.scenario.devices)
            .filter(|number| self.shared.circle.devices[*number].vault == vault)
            .collect();
        let needs = |number: &&usize| {
            let device = &self.devices[**number];
            let newest = device.disk.image.needs.values().last();
            !device.broken && newest.is_some_and(|needs| needs.contains(&root))
        };
        if let Some(source) = of_vault.iter().find(needs) {
            let text = format!("device {holder} let {root:?} go, which {source} needs");
            return self.shared.violation(Property::LetGo, text);
        }
        let now = self.shared.now();
        let model = &self.shared.model;
        let lately = |number: &&usize| {
            let promised = model.promised.get(*number).is_some_and(|all| all.contains(&root));
            let released = model.released.get(&(**number, root));
            promised && released.is_none_or(|at| at.after_ms(RETENTION_MS) > now)
        };
        // Two wrong clocks together can shorten the wait; one cannot.
        let wrong = &model.clock_wrong;
        let sound = !wrong.contains(&holder) || of_vault.iter().any(|it| !wrong.contains(it));
        let late = of_vault.iter().find(lately).copied();
        if let (Some(source), true) = (late, sound) {
            let text = format!("device {holder} let {root:?} go too early for {source}");
            return self.shared.violation(Property::LetGo, text);
        }
        for source in of_vault {
            self.shared.model.promised.entry(source).or_default().remove(&root);
        }
    }

    /// On how many sites a pack of this source has to be: the automatic number goes down to the sites of
    /// those that it counts on, and what met it then is held to no more afterwards.
    fn copies_of(&self, source: usize, root: ShardRoot) -> usize {
        let row = self.devices[source].disk.image.packs.get(&root);
        self.copies_asked(source, row.map_or(0, |row| usize::from(row.promised_sites)))
    }

    /// The same of a pack whose row promises this: 0 for nothing.
    fn copies_asked(&self, source: usize, promised: usize) -> usize {
        let circle = &self.shared.circle;
        if circle.policy.copies != Copies::Auto {
            return circle.copies;
        }
        let promised = if promised == 0 { circle.copies } else { promised };
        let lost = self.devices[source].presumed_lost();
        let others = circle.devices.iter().enumerate();
        let counted = others.filter(|(number, _)| *number != source && !lost.contains(number));
        let sites: BTreeSet<usize> = counted.map(|(_, line)| line.site).collect();
        sites.len().clamp(1, circle.copies).min(promised)
    }

    /// SIM-17: 72 hours by calls three hours apart, of which a wrong clock makes six; less the time
    /// before the first silence.
    fn check_presumed(&mut self, source: usize, holder: usize) {
        let heard = self.shared.model.heard.get(&(source, holder)).copied().unwrap_or_default();
        let silent_ms = self.shared.now().ms_since(heard);
        if silent_ms < PRESUMED_MS_MIN && !self.devices[source].was_set_back {
            let text = format!("device {source} presumes {holder} lost after {silent_ms} ms");
            self.shared.violation(Property::Presumed, text);
        }
    }

    /// Whether healthy holders other than the source keep this pack, on as many sites as the
    /// budget leaves.
    fn is_kept(&self, source: usize, root: ShardRoot, copies: usize) -> bool {
        let circle = &self.shared.circle;
        let vault = circle.devices[source].vault;
        let members = || self.devices.iter().take(self.scenario.devices).zip(&circle.devices);
        let broken = members().filter(|(device, _)| device.broken);
        let mut sites: BTreeSet<usize> = broken.map(|(_, line)| line.site).collect();
        // Disks are asked until it is certain.
        members().enumerate().any(|(number, (device, line))| {
            let keeps = number != source && !device.broken && device.disk.keeps(root, vault);
            if keeps {
                sites.insert(line.site);
            }
            keeps && sites.len() >= copies
        })
    }

    /// Everything that was ever called safe. After every destruction, and at the end.
    pub(super) fn check_all_kept(&mut self) {
        let now = self.shared.now();
        let model = &mut self.shared.model;
        for ((source, root), at) in &model.released {
            if at.after_ms(RETENTION_MS) <= now {
                model.promised.entry(*source).or_default().remove(root);
            }
        }
        let lost = self.shared.model.promised.iter().find_map(|(source, roots)| {
            let copies = self.shared.circle.copies;
            let root = roots.iter().find(|root| !self.is_kept(*source, **root, copies))?;
            Some(format!("{root:?} of device {source} was called safe and is lost"))
        });
        if let Some(text) = lost {
            self.shared.violation(Property::Kept, text);
        }
    }

    /// After a crash a healthy holder has everything that it gave its word for.
    fn check_back(&mut self, holder: usize) {
        let device = &self.devices[holder];
        if device.broken || device.power != Power::Up {
            return;
        }
        let words = self.shared.model.receipted.get(&holder);
        let kept = |(root, vault): &&(ShardRoot, usize)| device.disk.keeps(*root, *vault);
        if let Some((root, _)) = words.into_iter().flatten().find(|word| !kept(word)) {
            let text = format!("device {holder} lost {root:?} in a crash after its receipt");
            self.shared.violation(Property::Word, text);
        }
        let taken = self.shared.model.taken.range((holder, 0)..=(holder, usize::MAX));
        let taken: Vec<(usize, u64)> = taken.map(|((_, source), seq)| (*source, *seq)).collect();
        for (source, seq) in taken {
            self.check_taken(holder, source, seq);
        }
    }
}
