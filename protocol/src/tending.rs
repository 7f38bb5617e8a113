//! Tending: holders of a vault keep its copies up among themselves while none of its devices is heard of.
//!
//! ```text
//!  a device of the vault is heard of ──────────────> attended: its own devices decide, nothing is done here
//!        no sign of one for TEND_SILENCE_S,
//!        or the user says that all of them are lost
//!                  │
//!                  v
//!  unattended ──once a day──> ask every fellow what it keeps ──> look what is claimed and here
//!                                                                     │
//!                 fetch what is on too few sites and is this node's turn <┘
//! ```
//! Nobody is sent anything: each node fetches for itself, within what it grants, and only what a head of
//! the vault claims. No key is needed. Nothing is ever deleted because of what is found here.
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Tending::poll_timeout`].
//! Invariants: one vault at a time; at most [`TEND_FETCHES_MAX`] fetches under way; orders for a vault that
//! is attended again are given up. Source: specs/tending.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    ids::{DeviceId, ShardRoot, VaultId},
    limits::{
        TEND_AGAIN_MS, TEND_ANSWER_MS_MAX, TEND_CREDIT_S, TEND_EVERY_MS, TEND_FELLOW_GONE_S,
        TEND_FETCH_MS_MAX, TEND_FETCHES_MAX, TEND_FIRST_MS, TEND_NOTE_S, TEND_SHORT_MS,
        TEND_SILENCE_S, TEND_TICK_MS,
    },
    order::{OrderId, OrderNumbers},
    time::Instant,
};

pub mod choosing;
pub mod claimed;
pub mod introduction;
mod status;
mod vigil;

pub use choosing::{Inventory, Wanted};
pub use introduction::{Circle, Fellow, Introduction, SiteTag};
pub use status::Status;
pub use vigil::Vigil;

use choosing::{Known, Scene, choose};
use vigil::Absence;

/// How a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It is durable here.
    Kept,
    /// There is no room for it: within the grant, the offer, or on the disk.
    NoRoom,
    /// Nobody gave it.
    Failed,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A vault that something is kept for, with what was noted of it before.
    VaultKnown {
        /// Which.
        vault: VaultId,
        /// What was noted.
        vigil: Vigil,
    },
    /// Who holds for a vault, as its devices say now; nobody when they have said nothing.
    Introduced {
        /// Which vault.
        vault: VaultId,
        /// Its holders.
        circle: Circle,
    },
    /// A device of the vault called, or answered.
    Heard {
        /// Which vault.
        vault: VaultId,
        /// Which device.
        device: DeviceId,
    },
    /// Devices of a vault that are watched here (see [`watching`](crate::watching)).
    DevicesWatched {
        /// Which vault.
        vault: VaultId,
        /// Which devices.
        devices: BTreeSet<DeviceId>,
    },
    /// Whether somebody who is watched here is presumed lost: a device of such a vault, or a fellow.
    Presumed {
        /// Who.
        device: DeviceId,
        /// Whether it is.
        is_lost: bool,
    },
    /// Answer to [`Output::Ask`].
    Answered {
        /// Which order.
        order: OrderId,
        /// What it says that it keeps.
        kept: Inventory,
        /// Whether it has shown what was asked for of that.
        is_shown: bool,
    },
    /// Answer to [`Output::Ask`]: it is there, and does not tell. It may hear of a device of the vault.
    Refused {
        /// Which order.
        order: OrderId,
    },
    /// Answer to [`Output::Ask`]: nothing came.
    Silent {
        /// Which order.
        order: OrderId,
    },
    /// Answer to [`Output::Look`].
    Looked {
        /// Which order.
        order: OrderId,
        /// What the heads of the vault claim, as far as their lists are known here.
        claimed: BTreeSet<ShardRoot>,
        /// What of it is here and whole.
        here: BTreeSet<ShardRoot>,
    },
    /// Answer to [`Output::Fetch`].
    Fetched {
        /// Which order.
        order: OrderId,
        /// How it ended.
        fetched: Fetched,
    },
    /// Whether people want this node to look after anything. So it is at first.
    Switched {
        /// Whether they do.
        is_on: bool,
    },
    /// The time named by [`Tending::poll_timeout`] has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Take in what this fellow has of the vault's log, heads and lists of claims; ask it what it keeps,
    /// and have it show a sample. Answer with `Answered`, `Refused` or `Silent`.
    Ask {
        /// Number for the answer.
        order: OrderId,
        /// Whose vault.
        vault: VaultId,
        /// Whom.
        fellow: Fellow,
    },
    /// Find out what the vault needs, and what of it is here. Answer with `Looked`.
    Look {
        /// Number for the answer.
        order: OrderId,
        /// Which vault.
        vault: VaultId,
    },
    /// Fetch a pack and keep it for the vault. Answer with `Fetched`.
    Fetch {
        /// Number for the answer.
        order: OrderId,
        /// For which vault.
        vault: VaultId,
        /// What, and from whom.
        wanted: Wanted,
    },
    /// Note this durably. What is lost of it costs patience.
    Note {
        /// Of which vault.
        vault: VaultId,
        /// What is to be noted.
        vigil: Vigil,
    },
}

#[derive(Debug, Clone, Default)]
struct Tended {
    circle: Circle,
    silent_s: u64,
    counted: Instant,
    watched: BTreeSet<DeviceId>,
    are_lost: bool,
    absences: BTreeMap<DeviceId, Absence>,
    /// What fellows last told, while the vault is unattended.
    told: BTreeMap<DeviceId, Told>,
    due: Instant,
    /// Rounds in a row after which as much was missing as before.
    patience: usize,
    last: Option<Outcome>,
}

#[derive(Debug, Clone)]
struct Told {
    kept: Inventory,
    /// Whether it told in the round that is under way.
    is_new: bool,
    is_shown: bool,
}

/// How the last round ended.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    packs: u64,
    short: u64,
    missing: u64,
    nowhere: u64,
    is_full: bool,
}

#[derive(Debug, Clone)]
struct Round {
    vault: VaultId,
    phase: Phase,
    deadline: Instant,
}

#[derive(Debug, Clone)]
enum Phase {
    Asking { waiting: BTreeMap<OrderId, DeviceId>, silent: BTreeSet<DeviceId>, any: bool },
    Looking { order: OrderId },
    Fetching(Fetching),
}

#[derive(Debug, Clone, Default)]
struct Fetching {
    queue: VecDeque<Wanted>,
    /// With the time at which it is given up.
    under_way: BTreeMap<OrderId, (Wanted, Instant)>,
    outcome: Outcome,
    kept: u64,
}

/// The machine. Memory: what the fellows of unattended vaults told of what is claimed, about 60 bytes a
/// shard and fellow.
#[derive(Debug, Clone)]
pub struct Tending {
    own: DeviceId,
    is_on: bool,
    now: Instant,
    vaults: BTreeMap<VaultId, Tended>,
    lost: BTreeSet<DeviceId>,
    round: Option<Round>,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
    fetched_bytes: u64,
}

impl Tended {
    const fn is_unattended(&self) -> bool {
        self.are_lost || self.silent_s >= TEND_SILENCE_S
    }

    /// Adds the time since it was counted last, as far as this node was surely awake.
    fn count(&mut self, now: Instant) {
        let passed_s = (now.ms_since(self.counted) / 1000).min(TEND_CREDIT_S);
        self.silent_s = self.silent_s.saturating_add(passed_s);
        self.counted = now;
    }

    fn vigil(&self) -> Vigil {
        let absences = self.absences.iter().map(|(device, absence)| (*device, absence.absent_s));
        Vigil::new(self.silent_s, absences.filter(|(_, absent_s)| *absent_s > 0).collect())
    }

    /// Whether there is anything to do at all: somebody else who holds, and this node among them.
    fn can_be_tended(&self, own: &DeviceId) -> bool {
        self.circle.fellows.contains_key(own) && self.circle.fellows.len() > 1
    }
}

impl Tending {
    /// A machine that knows no vault yet.
    pub fn new(own: DeviceId) -> Self {
        Self {
            own,
            is_on: true,
            now: Instant::default(),
            vaults: BTreeMap::new(),
            lost: BTreeSet::new(),
            round: None,
            numbers: OrderNumbers::new(),
            outputs: VecDeque::new(),
            fetched_bytes: 0,
        }
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::VaultKnown { vault, vigil } => self.known(vault, &vigil),
            Input::Introduced { vault, circle } => self.introduced(vault, circle),
            // People say that it is lost: then it is a thief who calls.
            Input::Heard { device, .. } if self.lost.contains(&device) => {}
            Input::Heard { vault, .. } => self.heard(vault),
            Input::DevicesWatched { vault, devices } => {
                let tended = self.vaults.get_mut(&vault).filter(|it| it.watched != devices);
                if let Some(tended) = tended {
                    tended.watched = devices;
                    self.look_at_devices(vault);
                }
            }
            Input::Presumed { device, is_lost } => self.presumed(device, is_lost),
            Input::Answered { order, kept, is_shown } => {
                self.answered(order, Some(Told { kept, is_new: true, is_shown }), true);
            }
            Input::Refused { order } => self.answered(order, None, true),
            Input::Silent { order } => self.answered(order, None, false),
            Input::Looked { order, claimed, here } => self.looked(order, &claimed, &here),
            Input::Fetched { order, fetched } => self.fetched(order, fetched),
            Input::Switched { is_on } => self.switched(is_on),
            Input::TimePassed => {}
        }
        self.tick();
        self.proceed();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_on {
            return None;
        }
        let ticks = self.vaults.values().map(|tended| tended.counted.after_ms(TEND_TICK_MS));
        let next = match &self.round {
            Some(round) => Some(round.deadline),
            None => self.candidates().map(|(_, tended)| tended.due).min(),
        };
        ticks.chain(next).min()
    }

    /// Whether no device of a vault has been heard of for long: then fellows are shown what is kept for it.
    pub fn is_unattended(&self, vault: &VaultId) -> bool {
        self.is_on && self.vaults.get(vault).is_some_and(Tended::is_unattended)
    }

    /// Whether a device is presumed lost: then what it says of holders and claims is a thief's word.
    pub fn is_lost(&self, device: &DeviceId) -> bool {
        self.lost.contains(device)
    }

    fn known(&mut self, vault: VaultId, vigil: &Vigil) {
        let now = self.now;
        self.vaults.entry(vault).or_insert_with(|| {
            let absence =
                |(device, absent_s): (DeviceId, u64)| (device, Absence { absent_s, asked: None });
            Tended {
                silent_s: vigil.silent_s(),
                counted: now,
                absences: vigil.absences().map(absence).collect(),
                due: now.after_ms(TEND_FIRST_MS),
                ..Tended::default()
            }
        });
    }

    fn introduced(&mut self, vault: VaultId, circle: Circle) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        tended.absences.retain(|device, _| circle.fellows.contains_key(device));
        tended.told.retain(|device, _| circle.fellows.contains_key(device));
        tended.circle = circle;
        if !tended.can_be_tended(&self.own) {
            self.end_round(vault);
        }
    }

    /// TEND-2: at once, whatever is under way.
    fn heard(&mut self, vault: VaultId) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        let was_noted = tended.silent_s >= TEND_NOTE_S;
        tended.silent_s = 0;
        tended.are_lost = false;
        tended.counted = self.now;
        if was_noted {
            let vigil = tended.vigil();
            self.outputs.push_back(Output::Note { vault, vigil });
        }
        tended.told.clear();
        tended.patience = 0;
        tended.last = None;
        self.end_round(vault);
    }

    /// Ends what is under way for a vault, and takes back what was ordered and not yet begun.
    fn end_round(&mut self, vault: VaultId) {
        self.round.take_if(|round| round.vault == vault);
        self.withdraw(|of| *of == vault);
    }

    /// Takes back what was ordered and not yet begun.
    fn withdraw(&mut self, is_over: impl Fn(&VaultId) -> bool) {
        self.outputs.retain(|output| match output {
            Output::Ask { vault, .. }
            | Output::Look { vault, .. }
            | Output::Fetch { vault, .. } => !is_over(vault),
            Output::Note { .. } => true,
        });
    }

    /// What passed meanwhile does not count.
    fn switched(&mut self, is_on: bool) {
        let now = self.now;
        if std::mem::replace(&mut self.is_on, is_on) == is_on {
            return;
        }
        if is_on {
            self.vaults.values_mut().for_each(|tended| tended.counted = now);
        } else {
            self.round = None;
            self.withdraw(|_| true);
        }
    }

    fn presumed(&mut self, device: DeviceId, is_lost: bool) {
        let is_news = match is_lost {
            true => self.lost.insert(device),
            false => self.lost.remove(&device),
        };
        if !is_news {
            return;
        }
        let watching = |(_, tended): &(&VaultId, &Tended)| tended.watched.contains(&device);
        let of: Vec<VaultId> = self.vaults.iter().filter(watching).map(|(id, _)| *id).collect();
        of.into_iter().for_each(|vault| self.look_at_devices(vault));
    }

    /// TEND-3: whether every device that is watched here is presumed lost. Looked at when that changes: who
    /// is not watched, and calls, counts until then.
    fn look_at_devices(&mut self, vault: VaultId) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        let are_lost = !tended.watched.is_empty() && tended.watched.is_subset(&self.lost);
        match (tended.are_lost, are_lost) {
            (false, true) => {
                // Said just now, or found out: no reason to wait.
                tended.are_lost = true;
                tended.due = self.now.after_ms(TEND_AGAIN_MS);
            }
            // One of them is counted on again: as if it had called.
            (true, false) => self.heard(vault),
            (true, true) | (false, false) => {}
        }
    }

    /// Counts silences, and ends what takes too long.
    fn tick(&mut self) {
        if !self.is_on {
            return;
        }
        let now = self.now;
        for (vault, tended) in &mut self.vaults {
            if now >= tended.counted.after_ms(TEND_TICK_MS) {
                tended.count(now);
                // Between two greetings it is silent as well.
                if tended.silent_s >= TEND_NOTE_S {
                    let vigil = tended.vigil();
                    self.outputs.push_back(Output::Note { vault: *vault, vigil });
                }
            }
        }
        let attended =
            |round: &Round| !self.vaults.get(&round.vault).is_some_and(Tended::is_unattended);
        if self.round.as_ref().is_some_and(attended) {
            self.round = None;
        }
        let Some(round) = self.round.take_if(|round| round.deadline <= now) else { return };
        match round.phase {
            Phase::Asking { waiting, mut silent, any } => {
                silent.extend(waiting.into_values());
                self.all_asked(round.vault, &silent, any);
            }
            Phase::Looking { .. } => self.ended(round.vault, None),
            Phase::Fetching(mut fetching) => {
                // Whoever is slow holds up what it gives, and nothing else.
                fetching.under_way.retain(|_, (_, until)| *until > now);
                let (vault, phase) = (round.vault, Phase::Fetching(fetching));
                self.round = Some(Round { vault, phase, deadline: now });
            }
        }
    }

    fn candidates(&self) -> impl Iterator<Item = (&VaultId, &Tended)> {
        let own = self.own;
        self.vaults
            .iter()
            .filter(move |(_, tended)| tended.is_unattended() && tended.can_be_tended(&own))
    }

    /// Begins the next round, or gives the next orders of the one that is under way.
    fn proceed(&mut self) {
        if self.round.is_none() && self.is_on {
            let due = self.candidates().filter(|(_, tended)| tended.due <= self.now);
            let next = due.min_by_key(|(_, tended)| tended.due).map(|(vault, _)| *vault);
            if let Some(vault) = next {
                self.begin(vault);
            }
        }
        if let Some(Round { vault, phase: Phase::Fetching(fetching), deadline }) = &mut self.round {
            while fetching.under_way.len() < TEND_FETCHES_MAX
                && let Some(wanted) = fetching.queue.pop_front()
            {
                let order = self.numbers.take();
                let until = self.now.after_ms(TEND_FETCH_MS_MAX);
                fetching.under_way.insert(order, (wanted.clone(), until));
                self.outputs.push_back(Output::Fetch { order, vault: *vault, wanted });
            }
            let first = fetching.under_way.values().map(|(_, until)| *until).min();
            *deadline = first.unwrap_or(self.now);
            if fetching.under_way.is_empty() {
                let (vault, fetching) = (*vault, std::mem::take(fetching));
                self.round = None;
                self.ended(vault, Some(fetching));
            }
        }
    }

    fn begin(&mut self, vault: VaultId) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        tended.told.values_mut().for_each(|told| told.is_new = false);
        let mut waiting = BTreeMap::new();
        for fellow in tended.circle.fellows.values().filter(|it| it.device != self.own) {
            let order = self.numbers.take();
            waiting.insert(order, fellow.device);
            self.outputs.push_back(Output::Ask { order, vault, fellow: fellow.clone() });
        }
        let phase = Phase::Asking { waiting, silent: BTreeSet::new(), any: false };
        let deadline = self.now.after_ms(TEND_ANSWER_MS_MAX);
        self.round = Some(Round { vault, phase, deadline });
    }

    fn answered(&mut self, order: OrderId, told: Option<Told>, is_there: bool) {
        let Some(Round { vault, phase: Phase::Asking { waiting, silent, any }, .. }) =
            &mut self.round
        else {
            return;
        };
        let Some(fellow) = waiting.remove(&order) else { return };
        *any |= is_there;
        if !is_there {
            silent.insert(fellow);
        }
        // One that is named no more is no fellow.
        let tended = self.vaults.get_mut(vault);
        if let Some(tended) = tended.filter(|it| it.circle.fellows.contains_key(&fellow)) {
            if is_there {
                tended.absences.remove(&fellow);
            }
            if let Some(told) = told {
                tended.told.insert(fellow, told);
            }
        }
        if waiting.is_empty() {
            let (vault, silent, any) = (*vault, std::mem::take(silent), *any);
            self.all_asked(vault, &silent, any);
        }
    }

    /// TEND-6: a silence counts only when somebody else was there.
    fn all_asked(&mut self, vault: VaultId, silent: &BTreeSet<DeviceId>, any: bool) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        for fellow in silent.iter().filter(|_| any) {
            tended.absences.entry(*fellow).or_default().count(self.now);
        }
        if !any {
            return self.ended(vault, None);
        }
        let vigil = tended.vigil();
        self.outputs.push_back(Output::Note { vault, vigil });
        let order = self.numbers.take();
        let deadline = self.now.after_ms(TEND_ANSWER_MS_MAX);
        self.round = Some(Round { vault, phase: Phase::Looking { order }, deadline });
        self.outputs.push_back(Output::Look { order, vault });
    }

    fn looked(&mut self, of: OrderId, claimed: &BTreeSet<ShardRoot>, here: &BTreeSet<ShardRoot>) {
        let Some(Round { vault, phase: Phase::Looking { order }, .. }) = &self.round else {
            return;
        };
        let vault = *vault;
        let Some(tended) = self.vaults.get_mut(&vault).filter(|_| *order == of) else { return };
        // Whatever somebody makes up takes no memory beyond the round in which it was told.
        tended.told.values_mut().for_each(|told| told.kept.retain(|it, _| claimed.contains(it)));
        let Some(tended) = self.vaults.get(&vault) else { return };
        let Some(own) = tended.circle.fellows.get(&self.own) else {
            return self.ended(vault, None);
        };
        let others = tended.circle.fellows.values().filter(|it| it.device != self.own);
        let known = others.map(|it| (it.device, it.site, self.known_of(tended, &it.device)));
        let choice = choose(&Scene {
            own: (self.own, own.site),
            copies: usize::from(tended.circle.copies),
            claimed,
            here,
            fellows: known.collect(),
            patience: tended.patience,
        });
        let packs = u64::try_from(claimed.len()).unwrap_or(u64::MAX);
        let (short, missing, nowhere) = (choice.short, choice.missing, choice.nowhere);
        let fetching = Fetching {
            queue: choice.wanted.into(),
            outcome: Outcome { packs, short, missing, nowhere, is_full: false },
            ..Fetching::default()
        };
        let deadline = self.now.after_ms(TEND_FETCH_MS_MAX);
        self.round = Some(Round { vault, phase: Phase::Fetching(fetching), deadline });
    }

    fn known_of<'t>(&self, tended: &'t Tended, fellow: &DeviceId) -> Known<'t> {
        let absent_s = tended.absences.get(fellow).map_or(0, |absence| absence.absent_s);
        match tended.told.get(fellow) {
            // Wherever it is: what it said was not so.
            Some(Told { kept, is_shown: false, .. }) => Known::Doubted(kept),
            Some(Told { kept, is_new: true, .. }) => Known::Here(kept),
            _ if self.lost.contains(fellow) || absent_s >= TEND_FELLOW_GONE_S => Known::Gone,
            told => Known::Away(told.map(|told| &told.kept)),
        }
    }

    fn fetched(&mut self, order: OrderId, fetched: Fetched) {
        let Some(Round { phase: Phase::Fetching(fetching), .. }) = &mut self.round else { return };
        let Some((wanted, _)) = fetching.under_way.remove(&order) else { return };
        match fetched {
            Fetched::Kept => {
                fetching.kept += 1;
                self.fetched_bytes = self.fetched_bytes.saturating_add(wanted.shard.bytes);
            }
            // What is smaller may still fit, but whoever is next in turn has more room.
            Fetched::NoRoom => {
                fetching.outcome.is_full = true;
                fetching.queue.clear();
            }
            Fetched::Failed => {}
        }
    }

    /// When to look again: soon while there is more to do, else in a day.
    fn ended(&mut self, vault: VaultId, fetching: Option<Fetching>) {
        let Some(tended) = self.vaults.get_mut(&vault) else { return };
        self.round = None;
        // Without an answer, or a look: this node may have no network yet.
        let mut wait_ms = TEND_TICK_MS;
        if let Some(fetching) = fetching {
            let before = tended.last.map_or(0, |last| last.missing);
            let came_nearer = fetching.kept > 0 || fetching.outcome.missing < before;
            let is_stuck = fetching.outcome.missing > 0 && !came_nearer;
            tended.patience = if is_stuck { tended.patience.saturating_add(1) } else { 0 };
            tended.last = Some(fetching.outcome);
            wait_ms = match fetching.outcome {
                // There may be more than one round takes; and what people are told is what a look found.
                Outcome { is_full: false, .. } if fetching.kept > 0 => TEND_AGAIN_MS,
                Outcome { missing: 1.., .. } => TEND_SHORT_MS,
                _ => TEND_EVERY_MS,
            };
        }
        tended.due = self.now.after_ms(wait_ms);
    }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod vectors;
