//! The tender: the real `Tending` machine, and a model of its shell.
//!
//! ```text
//! greetings, introductions, words ──facts──> [ Tending ] ──> ask fellows, look here, fetch, note
//! ```
//! What it fetches is reserved and kept by the holder of the same device, like an upload.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::ShardRoot,
    order::OrderId,
    tending::{Input, Introduction, Inventory, Output, Tending, Vigil},
    time::Instant,
};

use super::{Here, holder::Holder};
use crate::{
    bug::Bug,
    circle::Circle,
    dice::Dice,
    disk::{Ticket, Write},
    event::{Event, Line, Link, Question, Synced, ToClient, ToHolder},
};
use fetching::Fetching;

mod asking;
mod fetching;

/// Questions of a tender are numbered from here, so that no answer is taken for one to the source.
const FIRST_QUESTION: u64 = 1 << 62;

/// A fellow that is asked what it keeps.
#[derive(Debug)]
struct Asking {
    order: OrderId,
    vault: usize,
    fellow: usize,
    /// It is not there yet: a call is under way.
    is_waiting: bool,
    /// What it told; it is to show some of it.
    told: Option<Inventory>,
}

#[derive(Debug)]
pub(crate) struct Tender {
    machine: Tending,
    dice: Dice,
    questions: u64,
    /// By the number of the question.
    asking: BTreeMap<OrderId, Asking>,
    /// By the number under which the holder keeps room for it.
    fetching: BTreeMap<OrderId, Fetching>,
    /// Vigils that are being written, by vault.
    noting: BTreeMap<usize, Ticket>,
    /// Orders are being carried out.
    is_at_work: bool,
}

impl Tender {
    pub(crate) fn new(seed: u64, number: usize, circle: &Circle) -> Self {
        let entity = u64::try_from(number).expect("few devices");
        Self {
            machine: Tending::new(circle.devices[number].id),
            dice: Dice::new(seed, entity, "tending"),
            questions: FIRST_QUESTION,
            asking: BTreeMap::new(),
            fetching: BTreeMap::new(),
            noting: BTreeMap::new(),
            is_at_work: false,
        }
    }

    /// Tells the machine what is durable, as after every start.
    pub(crate) fn start(&mut self, here: &mut Here<'_>, holder: &mut Holder) {
        self.machine = Tending::new(here.shared.circle.devices[here.number].id);
        self.asking.clear();
        self.fetching.clear();
        self.noting.clear();
        for number in 0..here.shared.circle.vaults.len() {
            // Its own devices see to a node's own vault.
            if number == here.vault {
                continue;
            }
            let noted = here.disk.image.vigils.get(&number);
            let vigil = noted.and_then(|noted| Vigil::decode(noted).ok()).unwrap_or_default();
            let vault = here.shared.circle.vaults[number].id;
            self.give(here, holder, Input::VaultKnown { vault, vigil });
            let circle = &here.shared.circle;
            let devices = circle.of_vault(number).map(|device| circle.devices[device].id);
            let watched = Input::DevicesWatched { vault, devices: devices.collect() };
            self.give(here, holder, watched);
            self.circle_known(here, holder, number);
        }
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(crate) fn time_passed(&mut self, here: &mut Here<'_>, holder: &mut Holder) {
        if self.machine.poll_timeout().is_some_and(|at| at <= here.shared.now()) {
            self.give(here, holder, Input::TimePassed);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        let counts = [self.asking.len(), self.fetching.len(), self.noting.len()];
        counts.iter().fold(self.questions, |sum, number| {
            (sum << 8) ^ u64::try_from(*number).expect("few questions")
        })
    }

    /// Power failed: how long it heard nothing is known again as it was last noted.
    pub(crate) fn crashed(&mut self, here: &mut Here<'_>) {
        for vault in self.noting.keys() {
            here.shared.model.heard_of.remove(&(here.number, *vault));
        }
    }

    /// A device called, or answered.
    pub(crate) fn heard(&mut self, here: &mut Here<'_>, holder: &mut Holder, device: usize) {
        let Some(vault) = here.shared.circle.devices.get(device).map(|it| it.vault) else { return };
        if vault == here.vault {
            return;
        }
        let now = here.shared.now();
        here.shared.model.heard_of.insert((here.number, vault), now);
        if here.shared.has(Bug::ForgetHeard) {
            return;
        }
        let vault = here.shared.circle.vaults[vault].id;
        let device = here.shared.circle.devices[device].id;
        self.give(here, holder, Input::Heard { vault, device });
    }

    /// A device of a vault says who holds for it.
    pub(crate) fn introduced(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        device: usize,
        introduction: &[u8],
    ) {
        let vault = here.shared.circle.devices[device].vault;
        let log = &here.shared.circle.vaults[vault].log;
        let Ok(introduction) = Introduction::decode(introduction, log) else { return };
        let all = here.disk.image.introductions.entry(vault).or_default();
        if all.offer(introduction, log) {
            here.shared.saw("introduced");
            self.circle_known(here, holder, vault);
        }
    }

    fn circle_known(&mut self, here: &mut Here<'_>, holder: &mut Holder, number: usize) {
        let vault = &here.shared.circle.vaults[number];
        let Some(known) = here.disk.image.introductions.get(&number) else { return };
        let circle = known.circle(&vault.log);
        let introduced = Input::Introduced { vault: vault.id, circle };
        self.give(here, holder, introduced);
    }

    /// Somebody is presumed lost here, or counted on again.
    pub(crate) fn presumed(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        (other, is_lost): (usize, bool),
    ) {
        let device = here.shared.circle.devices[other].id;
        self.give(here, holder, Input::Presumed { device, is_lost });
    }

    /// Whether a device may ask as a fellow: it is named as one, and nobody of the vault is heard of.
    pub(crate) fn permits(&self, here: &mut Here<'_>, caller: usize, vault: usize) -> bool {
        let known = &here.shared.circle.vaults[vault];
        let Some(node) = here.shared.circle.devices.get(caller).map(|it| it.id) else {
            return false;
        };
        let introductions = here.disk.image.introductions.get(&vault);
        let is_named = introductions.is_some_and(|it| it.names(&node, &known.log));
        let is_unattended = self.machine.is_unattended(&known.id);
        if is_named && !is_unattended {
            here.shared.saw("fellow refused because attended");
        }
        is_named && is_unattended
    }

    /// What the holder of this device has to say.
    pub(crate) fn hear_holder(&mut self, here: &mut Here<'_>, holder: &mut Holder) {
        while let Some((vault, device, roots)) = holder.next_claimed() {
            asking::keep_claimed(here, (vault, device), roots);
        }
        while let Some(message) = holder.next_to_tender() {
            self.reserved(here, holder, &message);
        }
    }

    /// Whether an answer is one to a question of a tender.
    pub(crate) fn is_asked(message: &ToClient) -> bool {
        message.order().is_some_and(|order| order.0 >= FIRST_QUESTION && order.0 < u64::MAX)
    }

    pub(crate) fn answered(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        line: Line,
        message: ToClient,
    ) {
        match message {
            ToClient::Told { order, told } => self.told(here, holder, (line, order), *told),
            ToClient::Shown { order, shown } => self.shown(here, holder, order, &shown),
            ToClient::Refused { order, .. } if self.asking.contains_key(&order) => {
                self.asked(here, holder, order, |order| Input::Refused { order });
            }
            ToClient::Groups { order, first, last, wrong } => {
                self.groups_came(here, holder, order, (first, last, wrong));
            }
            ToClient::ReadFailed { order, .. } | ToClient::Refused { order, .. } => {
                self.reading_failed(here, holder, order);
            }
            _ => {}
        }
    }

    pub(crate) fn connected(&mut self, here: &mut Here<'_>, line: Line) {
        let waiting =
            self.asking.iter_mut().filter(|(_, it)| it.is_waiting && it.fellow == line.link.holder);
        for (order, asking) in waiting {
            asking.is_waiting = false;
            let (order, vault) = (*order, asking.vault);
            let question = Question::Tell;
            here.shared.tell_holder(line, ToHolder::Tend { order, vault, question });
        }
    }

    /// A connection to a fellow is over, or never came about.
    pub(crate) fn lost(&mut self, here: &mut Here<'_>, holder: &mut Holder, fellow: usize) {
        let asked = self.asking.iter().filter(|(_, it)| it.fellow == fellow);
        for order in asked.map(|(order, _)| *order).collect::<Vec<_>>() {
            self.asked(here, holder, order, |order| Input::Silent { order });
        }
        self.fellow_lost(here, holder, fellow);
    }

    pub(crate) fn synced(&mut self, here: &mut Here<'_>, ticket: Ticket, vault: usize) {
        here.commit(ticket);
        if self.noting.get(&vault) == Some(&ticket) {
            self.noting.remove(&vault);
        }
    }

    fn give(&mut self, here: &mut Here<'_>, holder: &mut Holder, input: Input) {
        self.machine.handle_input(here.shared.now(), input);
        // An order may end at once, and its end may bring the next one: one after the other.
        if std::mem::replace(&mut self.is_at_work, true) {
            return;
        }
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(here, holder, output);
        }
        self.is_at_work = false;
    }

    fn carry_out(&mut self, here: &mut Here<'_>, holder: &mut Holder, output: Output) {
        let number = |vault| here.shared.circle.vault_of(vault).expect("of the circle");
        match output {
            Output::Ask { order, vault, fellow } => {
                let vault = number(vault);
                let fellow = here.shared.number(fellow.device);
                self.ask(here, (order, vault), fellow);
            }
            Output::Look { order, vault } => {
                here.shared.saw("tending round");
                let number = here.shared.circle.vault_of(vault).expect("of the circle");
                let lists = here.disk.image.claimed.get(&number).into_iter().flatten();
                let claimed: BTreeSet<ShardRoot> =
                    lists.flat_map(|(_, list)| list.roots()).copied().collect();
                let is_here = |root: &&ShardRoot| holder.keeps(vault, **root);
                let is_here = claimed.iter().filter(is_here).copied().collect();
                self.give(here, holder, Input::Looked { order, claimed, here: is_here });
            }
            Output::Fetch { order, vault, wanted } => {
                let vault = number(vault);
                self.fetch(here, holder, (order, vault), wanted);
            }
            Output::Note { vault, vigil } => {
                let vault = number(vault);
                self.note(here, vault, &vigil);
            }
        }
    }

    /// The newest vigil counts: one that is being written is written no more.
    fn note(&mut self, here: &mut Here<'_>, vault: usize, vigil: &Vigil) {
        let ticket = here.disk.begin(Write::Vigil(vault, vigil.encode()));
        if let Some(before) = self.noting.insert(vault, ticket) {
            here.disk.abandon(before);
        }
        let usual_ms = here.shared.circle.devices[here.number].sync_ms;
        let delay_ms = self.dice.range(1, usual_ms.max(1));
        let (device, boot, what) = (here.number, here.boot, Synced::Vigil { vault });
        here.shared.queue.after(delay_ms, Event::Synced { device, boot, ticket, what });
    }

    fn next_question(&mut self) -> OrderId {
        self.questions += 1;
        OrderId(self.questions)
    }
}

/// A line to a fellow, if there is one; otherwise it is called.
fn line_to(here: &mut Here<'_>, fellow: usize) -> Option<Line> {
    let link = Link { client: here.number, holder: fellow };
    let line = here.shared.network.line(link);
    if line.is_none() {
        here.shared.wanted.push(link);
    }
    line
}
