//! A device and holders that come and go as they like, from a seed: nothing is taken for safe that is not, and where
//! each meets a third one now and then everything becomes safe.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::*;
use crate::{
    ids::DeviceId,
    limits::ERRAND_ASK_MS,
    placing::{
        Acquaintance, Claim, Copies, Input, KnownPack, Output, Placing, Policy, Site, Upload, Wish,
    },
};

const SEEDS: u64 = 120;
const MINUTE_MS: u64 = 60_000;
/// Holders: one that is mostly there, and two that hardly ever are.
const HOLDERS: [u8; 3] = [31, 32, 33];

/// What a holder has on its disk.
struct Keeper {
    keys: DeviceKeys,
    /// When it stored what.
    kept: BTreeMap<OfferedPack, Timestamp>,
    head_seq: u64,
    board: Board,
    is_on: bool,
}

type OfferedPack = (ShardRoot, PackClass);

impl Keeper {
    fn receipt(&self, vault: VaultId, pack: OfferedShard) -> Option<Receipt> {
        let stored = *self.kept.get(&(pack.shard.root, pack.class))?;
        let (shard, holder) = (pack.shard, self.keys.id());
        let keep_until = stored.after_days(RETENTION_DAYS_MIN);
        Receipt::sign(ReceiptBody { vault, shard, holder, stored, keep_until }, &self.keys)
    }
}

/// What the device has on its disk.
#[derive(Default)]
struct Desk {
    packs: BTreeMap<ShardRoot, (OfferedShard, bool, u8)>,
    receipts: BTreeMap<(ShardRoot, DeviceId), Timestamp>,
    /// What a holder has said to errands up to these counts no more: they have met since.
    void: BTreeMap<DeviceId, u64>,
    heads: BTreeMap<u64, Vec<(ShardRef, PackClass)>>,
    held: BTreeMap<DeviceId, u64>,
    published: u64,
}

struct Story {
    dice: ChaCha8Rng,
    owner: Owner,
    desk: Desk,
    machine: Option<Placing>,
    keepers: BTreeMap<DeviceId, Keeper>,
    ms: u64,
    made: u8,
    number: u64,
    /// Who had what, and has lost it.
    lost: BTreeSet<(DeviceId, ShardRoot)>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let keeper = |seed: &u8| {
            let keys = holder(*seed);
            let (kept, board) = (BTreeMap::new(), Board::default());
            (keys.id(), Keeper { keys, kept, head_seq: 0, board, is_on: false })
        };
        Self {
            dice: ChaCha8Rng::seed_from_u64(seed),
            owner: Owner::new(1),
            desk: Desk::default(),
            machine: None,
            keepers: HOLDERS.iter().map(keeper).collect(),
            ms: 0,
            made: 0,
            number: 0,
            lost: BTreeSet::new(),
        }
    }

    /// Another one each time.
    fn clock(&mut self) -> Timestamp {
        self.number += 1;
        Timestamp(NOW.0 + self.number)
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.dice.next_u64() % 100 < percent
    }

    /// The device starts, with nothing but what is durable.
    fn start(&mut self) {
        let policy = Policy { copies: Copies::Fixed(2), keep_own: false };
        self.machine = Some(Placing::new(self.owner.log.vault(), policy));
        let ids: Vec<DeviceId> = self.keepers.keys().copied().collect();
        for holder in &ids {
            let (holder, acquaintance) = (*holder, Acquaintance::Granted);
            let site = Site(format!("{holder}"));
            self.give(Input::HolderKnown { holder, site, acquaintance });
        }
        for (root, (pack, here, promised_sites)) in self.desk.packs.clone() {
            let receipts = self.desk.receipts.keys().filter(|(of, _)| *of == root);
            let kept_by = receipts.map(|(_, holder)| *holder).collect();
            let (shard, class) = (pack.shard, pack.class);
            self.give(Input::PackKnown(KnownPack { shard, class, here, promised_sites, kept_by }));
        }
        if let Some((seq, needs)) = self.desk.heads.last_key_value() {
            let (seq, needs) = (*seq, needs.clone());
            self.give(Input::HeadCommitted { seq, needs });
        }
        for (holder, seq) in self.desk.held.clone() {
            self.give(Input::HeadHeld { holder, seq });
        }
    }

    fn back_up(&mut self) {
        self.made += 1;
        let one = pack(self.made, PackClass::Data);
        let mut root = [self.made; 32];
        root[0] = 0xee;
        let shard = ShardRef { root: ShardRoot::from_bytes(root), bytes: 16_384 };
        let two = OfferedShard { shard, class: PackClass::Metadata };
        for pack in [one, two] {
            self.desk.packs.insert(pack.shard.root, (pack, true, 0));
            self.give(Input::PackStored { shard: pack.shard, class: pack.class });
        }
        let needs: Vec<_> =
            self.desk.packs.values().map(|(pack, ..)| (pack.shard, pack.class)).collect();
        let seq = u64::from(self.made);
        self.desk.heads.insert(seq, needs.clone());
        self.give(Input::HeadCommitted { seq, needs });
    }

    fn give(&mut self, input: Input) {
        let now = Instant(0).after_ms(self.ms);
        let Some(machine) = &mut self.machine else { return };
        machine.handle_input(now, input);
        while let Some(output) = self.machine.as_mut().and_then(Placing::poll_output) {
            if let Some(answer) = self.carry_out(output) {
                self.give(answer);
            }
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        let fails = self.hits(5);
        match output {
            Output::Connect { holder } => Some(self.connect(holder, fails)),
            Output::Offer { order, holder, shards } => {
                let keeper = self.keepers.get(&holder).filter(|it| it.is_on && !fails);
                let Some(keeper) = keeper else { return Some(Input::HolderLost { holder }) };
                let vault = self.owner.log.vault();
                let claim = |pack: &OfferedShard| keeper.receipt(vault, *pack);
                let claim = |pack| claim(pack).map_or(Claim::Wanted, Claim::Kept);
                let claims = shards.iter().map(claim).collect();
                Some(Input::OfferAnswered { order, claims })
            }
            Output::Upload { order, holder, shard, class } => {
                let is_here = self.desk.packs[&shard.root].1;
                let (vault, now) = (self.owner.log.vault(), self.clock());
                let keeper = self.keepers.get_mut(&holder).filter(|it| it.is_on);
                let Some(keeper) = keeper else { return Some(Input::HolderLost { holder }) };
                assert!(is_here, "what is not here cannot be sent");
                keeper.kept.entry((shard.root, class)).or_insert(now);
                self.lost.remove(&(holder, shard.root));
                // The answer may be lost all the same.
                let given = keeper.receipt(vault, OfferedShard { shard, class }).unwrap();
                let upload = if fails { Upload::Lost } else { Upload::Stored(given) };
                Some(Input::UploadEnded { order, upload })
            }
            Output::KeepReceipt { receipt } => {
                let (holder, root) = (receipt.body.holder, receipt.body.shard.root);
                if fails {
                    return Some(Input::ReceiptNotKept { holder, root });
                }
                assert!(self.keeps(&holder, &root), "no receipt counts for what is not kept");
                self.desk.receipts.insert((root, holder), receipt.body.stored);
                Some(Input::ReceiptKept { holder, root })
            }
            Output::ForgetReceipt { holder, root } => {
                self.desk.receipts.remove(&(root, holder));
                None
            }
            Output::DropLocal { shard, sites } => {
                let row = self.desk.packs.get_mut(&shard.root).expect("a pack of the desk");
                (row.1, row.2) = (false, sites);
                None
            }
            Output::PushHead { order, holder, seq } => {
                let taken = self.keepers[&holder].is_on && !fails;
                if taken {
                    self.take_head(holder, seq);
                    self.desk.held.insert(holder, seq);
                }
                Some(Input::HeadPushed { order, taken })
            }
            Output::HeadPublished { seq } => {
                self.check_published(seq);
                self.desk.published = self.desk.published.max(seq);
                None
            }
            Output::Errands { order, carrier, wishes } => {
                let is_done = self.keepers[&carrier].is_on && !fails;
                if is_done {
                    self.exchange(carrier, wishes);
                }
                Some(Input::ErrandsEnded { order, is_done })
            }
            Output::BringBack { order, .. } => Some(Input::BroughtBack { order, came: false }),
            Output::Blame { holder, fault, .. } => panic!("{holder} is blamed for {fault:?}"),
            _ => None,
        }
    }

    fn connect(&mut self, holder: DeviceId, fails: bool) -> Input {
        if fails || !self.keepers[&holder].is_on {
            return Input::HolderLost { holder };
        }
        self.desk.void.insert(holder, self.number);
        Input::HolderConnected { holder, granted_bytes: 1 << 30 }
    }

    fn keeps(&self, holder: &DeviceId, root: &ShardRoot) -> bool {
        self.keepers[holder].kept.keys().any(|(kept, _)| kept == root)
    }

    /// PLACE-5, ERR-8: whoever takes a head has all of it that only it can have.
    fn take_head(&mut self, holder: DeviceId, seq: u64) {
        for (shard, _) in &self.desk.heads[&seq] {
            // What was lost since was there when the head left.
            let had = |it: &DeviceId| {
                self.keeps(it, &shard.root) || self.lost.contains(&(*it, shard.root))
            };
            let on = self.keepers.keys().filter(|it| had(it)).count();
            assert!(on >= 2 || had(&holder), "it is not complete");
        }
        let keeper = self.keepers.get_mut(&holder).expect("a holder");
        keeper.head_seq = keeper.head_seq.max(seq);
    }

    fn check_published(&self, seq: u64) {
        let have = self.keepers.values().filter(|it| it.head_seq >= seq).count();
        assert!(have >= 2, "{have} holders have head {seq}");
        for (shard, _) in &self.desk.heads[&seq] {
            let on = self.keepers.keys().filter(|it| self.keeps(it, &shard.root)).count();
            assert!(on >= 2, "a pack of head {seq} is on {on} sites");
        }
    }

    /// What the shell does: leave, then take.
    fn exchange(&mut self, carrier: DeviceId, wishes: Vec<Wish>) {
        for wish in wishes {
            self.number += 1;
            let (vault, device) = (self.owner.log.vault(), self.owner.device.id());
            let head = wish.head_seq.map(|seq| {
                let root = self.desk.heads[&seq][0].0.root;
                self.owner.head(seq, &[root]).bytes().to_vec().into()
            });
            let (number, holder, packs) = (self.number, wish.holder, wish.packs);
            let void = self.desk.void.get(&holder).copied();
            let body =
                ErrandBody { version: VERSION, vault, device, number, holder, packs, head, void };
            let errand = Errand::sign(body, &self.owner.device).unwrap();
            let board = &mut self.keepers.get_mut(&carrier).expect("a holder").board;
            let renewed = board.renewed(errand, &self.owner.log).unwrap();
            renewed.map(|posted| board.keep(posted, &self.owner.log));
        }
        let board = &self.keepers[&carrier].board;
        let left: Vec<Posted> = board.by(self.owner.device.id(), None).cloned().collect();
        for posted in left {
            let Some(reply) = posted.reply() else { continue };
            let holder = reply.body().holder;
            let claim = |it: &Receipt| (it.body.shard.root, Claim::Kept(it.clone()));
            if self.desk.void.get(&holder).is_some_and(|void| reply.body().number <= *void) {
                continue;
            }
            let claims = posted.receipts().map(claim).collect();
            self.give(Input::Replied { holder, claims });
            if reply.body().head_seq > 0 {
                let seq = reply.body().head_seq;
                self.desk.held.insert(holder, seq);
                self.give(Input::HeadHeld { holder, seq });
            }
        }
    }

    /// What a holder does that is on: it asks all who are, and fetches; now and then it is cut off.
    fn run_errands(&mut self, addressee: DeviceId) {
        let others = self.keepers.iter().filter(|(id, it)| **id != addressee && it.is_on);
        let carriers: Vec<DeviceId> = others.map(|(id, _)| *id).collect();
        for carrier in carriers {
            let meant = self.keepers[&carrier].board.meant_for(&addressee, &self.owner.log);
            let open: Vec<Posted> = meant.filter(|posted| !posted.is_done()).cloned().collect();
            for posted in open {
                let errand = posted.errand().clone();
                for pack in errand.in_turn() {
                    let named = (pack.shard.root, pack.class);
                    let gives = self.keepers[&carrier].kept.contains_key(&named)
                        && posted.opens(&pack.shard.root);
                    if gives && !self.hits(10) {
                        let now = self.clock();
                        let keeper = self.keepers.get_mut(&addressee).expect("a holder");
                        keeper.kept.entry(named).or_insert(now);
                        self.lost.remove(&(addressee, pack.shard.root));
                    }
                }
                let keeps = |pack: &&OfferedShard| self.keeps(&addressee, &pack.shard.root);
                let here: Vec<OfferedShard> =
                    errand.body().packs.iter().filter(keeps).copied().collect();
                let head = errand.head().filter(|_| here.len() == errand.body().packs.len());
                if let Some(head) = head {
                    self.take_head(addressee, head.body().seq);
                }
                if self.hits(10) {
                    continue;
                }
                self.say(carrier, addressee, &errand, &here);
            }
        }
    }

    fn say(
        &mut self,
        carrier: DeviceId,
        addressee: DeviceId,
        errand: &Errand,
        here: &[OfferedShard],
    ) {
        let keeper = &self.keepers[&addressee];
        let vault = self.owner.log.vault();
        let given = here.iter().filter_map(|pack| keeper.receipt(vault, *pack)).collect();
        let body = ReplyBody {
            version: VERSION,
            vault,
            holder: addressee,
            device: errand.body().device,
            number: errand.body().number,
            head_seq: keeper.head_seq,
        };
        let reply = Reply::sign(body, &keeper.keys).unwrap();
        let board = &mut self.keepers.get_mut(&carrier).expect("a holder").board;
        let mut posted = board.of(&errand.body().device, &addressee).unwrap().clone();
        posted.answer(reply, given).unwrap();
        board.keep(posted, &self.owner.log);
    }

    /// A holder loses a pack that a carrier has as well, and the device, which is connected with it, finds that out.
    fn lose(&mut self, holder: DeviceId, carrier: DeviceId) {
        let keeper = &self.keepers[&holder];
        let is_there = |(root, _): &&OfferedPack| self.keeps(&carrier, root);
        let status = self.machine.as_ref().map(Placing::status);
        let is_met = status.is_some_and(|status| status.holders[&holder].connected);
        if !is_met || !keeper.is_on {
            return;
        }
        let Some(pack) = keeper.kept.keys().rfind(is_there).copied() else { return };
        self.keepers.get_mut(&holder).expect("a holder").kept.remove(&pack);
        self.lost.insert((holder, pack.0));
        self.give(Input::CopyFailed { holder, root: pack.0, fault: None });
    }

    /// Lets time pass for the device, if it is on.
    fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        for _ in 0..5_000 {
            let due = self.machine.as_ref().and_then(Placing::poll_timeout);
            let Some(due) = due.filter(|due| *due <= Instant(0).after_ms(end)) else { break };
            self.ms = self.ms.max(due.0.div_ceil(1_000_000));
            self.give(Input::TimePassed);
        }
        self.ms = end;
    }

    fn switch(&mut self, holder: DeviceId, is_on: bool) {
        let keeper = self.keepers.get_mut(&holder).expect("a holder");
        if std::mem::replace(&mut keeper.is_on, is_on) != is_on {
            self.give(match is_on {
                true => Input::HolderHeard { holder },
                false => Input::HolderLost { holder },
            });
        }
    }
}

// ERR-1, ERR-5, ERR-6, ERR-8, ERR-15
#[test]
fn whoever_comes_and_goes_nothing_is_called_safe_that_is_not_and_in_the_end_all_is() {
    let (mut carried, mut losses) = (0, 0);
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        let ids: Vec<DeviceId> = story.keepers.keys().copied().collect();
        let (carrier, rare) = (ids[0], &ids[1..]);
        for _ in 0..60 {
            match story.dice.next_u64() % 9 {
                0 | 1 => story.start(),
                2 => story.machine = None,
                3 if story.machine.is_some() && story.made < 40 => story.back_up(),
                4 => {
                    let (holder, is_on) = (rare[usize::from(story.hits(50))], story.hits(40));
                    story.switch(holder, is_on);
                }
                5 => {
                    let is_on = story.hits(80);
                    story.switch(carrier, is_on);
                }
                6 => {
                    let on = story.keepers.iter().filter(|(_, it)| it.is_on).map(|(id, _)| *id);
                    on.collect::<Vec<_>>().into_iter().for_each(|id| story.run_errands(id));
                }
                7 => {
                    let holder = rare[usize::from(story.hits(50))];
                    story.lose(holder, carrier);
                    losses += usize::from(!story.lost.is_empty());
                }
                _ => {
                    let minutes = 1 + story.dice.next_u64() % 90;
                    story.pass(minutes * MINUTE_MS);
                }
            }
        }
        // From here on the device meets the carrier alone, and so does each of the others.
        rare.iter().for_each(|holder| story.switch(*holder, false));
        story.switch(carrier, true);
        story.start();
        story.back_up();
        let newest = u64::from(story.made);
        for _ in 0..60 {
            story.pass(2 * ERRAND_ASK_MS);
            story.machine = None;
            let evening = rare[usize::from(story.hits(50))];
            story.switch(evening, true);
            story.run_errands(evening);
            story.switch(evening, false);
            story.pass(60 * MINUTE_MS);
            story.start();
            story.pass(MINUTE_MS);
            if story.desk.published == newest {
                break;
            }
        }
        assert_eq!(story.desk.published, newest, "seed {seed}: it is never safe");
        let has_replied =
            |it: &Keeper| it.board.by(story.owner.device.id(), None).any(|it| it.reply().is_some());
        carried += usize::from(story.keepers.values().any(has_replied));
    }
    assert!(carried > 30, "word was carried in {carried} runs of {SEEDS}");
    assert!(losses > 10, "holders lost something {losses} times");
}
