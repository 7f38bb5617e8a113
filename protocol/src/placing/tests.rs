//! The source's machine alone.

use std::collections::BTreeSet;

use super::*;
use crate::{
    limits::{RETENTION_DAYS_MIN, UPLOADS_PER_HOLDER_MAX, UPLOADS_TOTAL_MAX},
    receipt::ReceiptBody,
    time::Timestamp,
};

const VAULT: VaultId = VaultId::from_bytes([1; 32]);

fn holder(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn shard(seed: u8) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 16_384 }
}

fn at(ms: u64) -> Instant {
    Instant(0).after_ms(ms)
}

fn receipt(by: DeviceId, shard: ShardRef) -> Receipt {
    let stored = Timestamp(1_000);
    let keep_until = stored.after_days(RETENTION_DAYS_MIN);
    let body = ReceiptBody { vault: VAULT, shard, holder: by, stored, keep_until };
    Receipt { body, signature: [0; 64] }
}

/// A machine whose orders are answered by the test.
struct Driven {
    machine: Placing,
    ms: u64,
    offers: BTreeMap<OrderId, (DeviceId, Vec<OfferedShard>)>,
    uploads: BTreeMap<OrderId, (DeviceId, ShardRef)>,
    /// What was last left for each, with whom.
    left: BTreeMap<(DeviceId, DeviceId), Wish>,
    said: Vec<Output>,
}

impl Driven {
    /// Holders by site, all connected.
    fn new(sites: &[(u8, &str)], policy: Policy) -> Self {
        let machine = Placing::new(VAULT, policy);
        let (offers, uploads, left) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut driven = Self { machine, ms: 0, offers, uploads, left, said: Vec::new() };
        for (seed, site) in sites {
            driven.give(named(*seed, site));
        }
        for (seed, _) in sites {
            driven.connect(*seed);
        }
        driven.said.clear();
        driven
    }

    fn connect(&mut self, seed: u8) {
        self.give(Input::HolderConnected { holder: holder(seed), granted_bytes: 1 << 40 });
    }

    fn give(&mut self, input: Input) {
        self.machine.handle_input(at(self.ms), input);
        let mut errands = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Offer { order, holder, shards } => {
                    self.offers.insert(order, (holder, shards));
                }
                Output::Upload { order, holder, shard, .. } => {
                    self.uploads.insert(order, (holder, shard));
                }
                Output::Errands { order, carrier, wishes } => {
                    let wishes = wishes.into_iter().map(|wish| ((carrier, wish.holder), wish));
                    self.left.extend(wishes);
                    errands.push(order);
                }
                other => self.said.push(other),
            }
        }
        for order in errands {
            self.give(Input::ErrandsEnded { order, is_done: true });
        }
    }

    fn store(&mut self, seed: u8, class: PackClass) {
        self.give(Input::PackStored { shard: shard(seed), class });
    }

    /// Answers every open offer with this claim for each shard.
    fn answer_offers(&mut self, claim: impl Fn(DeviceId, ShardRef) -> Claim) {
        while let Some((order, (by, shards))) = self.offers.pop_first() {
            let claims = shards.iter().map(|offered| claim(by, offered.shard)).collect();
            self.give(Input::OfferAnswered { order, claims });
        }
    }

    fn want_all(&mut self) {
        self.answer_offers(|_, _| Claim::Wanted);
    }

    /// An audit finds that a holder does not have a pack, and it says itself that it would take it.
    fn lose(&mut self, by: u8, seed: u8) {
        let (holder, root) = (holder(by), shard(seed).root);
        self.give(Input::CopyFailed { holder, root, fault: Some(Fault::LostShard) });
        self.want_all();
    }

    fn finish_upload(&mut self) -> (DeviceId, ShardRef) {
        let (order, (by, shard)) = self.uploads.pop_first().expect("an upload is under way");
        self.give(Input::UploadEnded { order, upload: Upload::Stored(receipt(by, shard)) });
        (by, shard)
    }

    fn keep(&mut self, by: DeviceId, shard: ShardRef) {
        self.give(Input::ReceiptKept { holder: by, root: shard.root });
    }

    fn has_said(&self, output: &Output) -> bool {
        self.said.contains(output)
    }

    /// Lets time pass until the machine orders something that was not ordered before.
    /// Lets all pass that is due within a time.
    fn pass_ms(&mut self, ms: u64) {
        let end = self.ms + ms;
        self.pass_time_until(|driven| {
            driven.machine.poll_timeout().is_none_or(|timeout| timeout > at(end))
        });
        self.ms = end;
    }

    fn pass_time_until(&mut self, test: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if test(self) {
                return;
            }
            let timeout = self.machine.poll_timeout().expect("something is waited for");
            self.ms = self.ms.max(timeout.0.div_ceil(1_000_000));
            self.give(Input::TimePassed);
        }
        panic!("it does not happen");
    }
}

/// A holder of which only others have told.
fn named(seed: u8, site: &str) -> Input {
    known(seed, site, Acquaintance::Named)
}

fn known(seed: u8, site: &str, acquaintance: Acquaintance) -> Input {
    Input::HolderKnown { holder: holder(seed), site: Site(site.to_owned()), acquaintance }
}

fn fixed(copies: u8) -> Policy {
    Policy { copies: Copies::Fixed(copies), keep_own: false }
}

// PLACE-1, PLACE-4, PLACE-5
#[test]
fn a_data_pack_is_safe_and_dropped_when_the_last_receipt_is_durable() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.store(9, PackClass::Data);
    let needs = vec![(shard(9), PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 1, needs });
    driven.want_all();
    let first = driven.finish_upload();
    driven.keep(first.0, first.1);
    let second = driven.finish_upload();
    let safe = Output::PackSafe { root: shard(9).root, sites: 2 };
    assert!(!driven.has_said(&safe), "the second receipt is not durable yet");
    driven.keep(second.0, second.1);
    assert!(driven.has_said(&safe));
    assert!(driven.has_said(&Output::HeadSafe { seq: 1 }));
    assert!(driven.has_said(&Output::DropLocal { shard: shard(9), sites: 2 }));
}

// PLACE-5
#[test]
fn a_head_is_pushed_where_its_packs_are_and_published_by_site() {
    let mut driven = Driven::new(&[(1, "a"), (2, "a"), (3, "b")], fixed(2));
    driven.store(9, PackClass::Metadata);
    let needs = vec![(shard(9), PackClass::Metadata)];
    driven.give(Input::HeadCommitted { seq: 4, needs });
    driven.want_all();
    let is_push = |o: &&Output| matches!(o, Output::PushHead { .. });
    for before in 0..3 {
        assert_eq!(driven.said.iter().filter(is_push).count(), before, "whoever has it gets it");
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    assert!(driven.has_said(&Output::HeadSafe { seq: 4 }));
    let pushes: BTreeMap<DeviceId, OrderId> = driven
        .said
        .iter()
        .filter_map(|output| match output {
            Output::PushHead { order, holder, seq: 4 } => Some((*holder, *order)),
            _ => None,
        })
        .collect();
    assert_eq!(pushes.len(), 3);
    let published = Output::HeadPublished { seq: 4 };
    for seed in [1, 2] {
        driven.give(Input::HeadPushed { order: pushes[&holder(seed)], taken: true });
        assert!(!driven.has_said(&published), "both are on one site");
    }
    driven.give(Input::HeadPushed { order: pushes[&holder(3)], taken: true });
    assert!(driven.has_said(&published));
}

// PLACE-2
#[test]
fn copies_go_to_distinct_sites_and_spread_evenly() {
    let sites = [(1, "a"), (2, "a"), (3, "b"), (4, "c")];
    let mut driven = Driven::new(&sites, fixed(2));
    let mut places: BTreeMap<ShardRoot, BTreeSet<&str>> = BTreeMap::new();
    let mut load: BTreeMap<DeviceId, usize> = BTreeMap::new();
    for seed in 1..=240 {
        // Roots are hashes: their first bytes are spread.
        let root = ShardRoot::from_bytes(*blake3::hash(&[seed]).as_bytes());
        let shard = ShardRef { root, bytes: 16_384 };
        driven.give(Input::PackStored { shard, class: PackClass::Data });
        driven.want_all();
        while !driven.uploads.is_empty() {
            let (by, shard) = driven.finish_upload();
            driven.keep(by, shard);
            let site = sites.iter().find(|(seed, _)| holder(*seed) == by).unwrap().1;
            assert!(places.entry(shard.root).or_default().insert(site), "two copies on one site");
            *load.entry(by).or_default() += 1;
        }
    }
    assert!(places.values().all(|sites| sites.len() == 2));
    for seed in [3, 4] {
        assert!((120..=200).contains(&load[&holder(seed)]), "{load:?}");
    }
    let both = load[&holder(1)] + load[&holder(2)];
    assert!((120..=200).contains(&both) && load[&holder(1)] > 40 && load[&holder(2)] > 40);
}

// PLACE-3
#[test]
fn receipts_that_do_not_fit_are_blamed_and_never_count() {
    let wrongs: [fn(&mut Receipt); 5] = [
        |receipt| receipt.body.vault = VaultId::from_bytes([2; 32]),
        |receipt| receipt.body.shard = shard(8),
        |receipt| receipt.body.shard.bytes += 1,
        |receipt| receipt.body.holder = holder(7),
        |receipt| receipt.body.keep_until = receipt.body.stored.after_days(29),
    ];
    let uploads = wrongs.map(|wrong| {
        let mut bad = receipt(holder(1), shard(9));
        wrong(&mut bad);
        Upload::Stored(bad)
    });
    for upload in uploads.into_iter().chain([Upload::Forged]) {
        let mut driven = Driven::new(&[(1, "a")], fixed(1));
        driven.store(9, PackClass::Data);
        driven.want_all();
        let (order, _) = driven.uploads.pop_first().unwrap();
        driven.give(Input::UploadEnded { order, upload });
        assert!(driven.said.iter().any(|output| matches!(output, Output::Blame { .. })));
        assert!(!driven.said.iter().any(|output| matches!(output, Output::KeepReceipt { .. })));
        assert!(driven.uploads.is_empty() && driven.offers.is_empty(), "it is left alone");
    }
}

// PLACE-3
#[test]
fn refusals_and_losses_are_nobodys_fault() {
    for upload in [Upload::Lost, Upload::Refused(Refusal::Busy), Upload::Refused(Refusal::Full)] {
        let mut driven = Driven::new(&[(1, "a")], fixed(1));
        driven.store(9, PackClass::Data);
        driven.want_all();
        let (order, _) = driven.uploads.pop_first().unwrap();
        driven.give(Input::UploadEnded { order, upload });
        assert!(!driven.said.iter().any(|output| matches!(output, Output::Blame { .. })));
        driven.pass_time_until(|driven| !driven.offers.is_empty());
        // The lost answer may have been a receipt: asked, not sent again.
        driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
        assert!(driven.uploads.is_empty());
        driven.keep(holder(1), shard(9));
        assert!(driven.has_said(&Output::PackSafe { root: shard(9).root, sites: 1 }));
    }
}

// PLACE-6
#[test]
fn uploads_are_bounded() {
    let sites = [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")];
    let mut driven = Driven::new(&sites, fixed(5));
    for seed in 10..60 {
        driven.store(seed, PackClass::Data);
    }
    for _ in 0..300 {
        driven.want_all();
        assert!(driven.uploads.len() <= UPLOADS_TOTAL_MAX);
        for (seed, _) in sites {
            let of = driven.uploads.values().filter(|(by, _)| *by == holder(seed)).count();
            assert!(of <= UPLOADS_PER_HOLDER_MAX);
        }
        assert!(driven.machine.orders_pending() <= UPLOADS_TOTAL_MAX + 2 * sites.len());
        if driven.uploads.is_empty() {
            break;
        }
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    assert_eq!(driven.machine.status().safe_packs, 50);
}

// PLACE-7
#[test]
fn a_full_holder_is_passed_over_and_asked_again_later() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b"), (3, "c")], fixed(2));
    for seed in 10..20 {
        driven.store(seed, PackClass::Data);
    }
    driven.store(30, PackClass::Metadata);
    while !driven.offers.is_empty() || !driven.uploads.is_empty() {
        driven.answer_offers(|by, _| {
            if by == holder(1) { Claim::Refused(Refusal::Quota) } else { Claim::Wanted }
        });
        if !driven.uploads.is_empty() {
            let (by, shard) = driven.finish_upload();
            driven.keep(by, shard);
        }
    }
    let status = driven.machine.status();
    assert_eq!(status.safe_packs, 11, "{status:?}");
    assert_eq!(status.holders[&holder(1)].condition, Condition::QuotaUsed);
    // Metadata is to be everywhere: asked again, though all is safe.
    driven.pass_time_until(|driven| !driven.offers.is_empty());
    assert!(driven.ms >= 60_000);
    let (by, shards) = driven.offers.values().next().unwrap().clone();
    assert_eq!((by, shards[0].shard), (holder(1), shard(30)));
    driven.want_all();
    assert_eq!(driven.machine.status().holders[&holder(1)].condition, Condition::Fine);
}

// PLACE-7
#[test]
fn silence_ends_orders_and_a_holder_that_is_away_is_dialled_less_and_less() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    assert_eq!(driven.offers.len(), 1);
    driven.offers.clear();
    driven.pass_time_until(|driven| !driven.offers.is_empty());
    assert!(driven.ms >= 60_000, "an offer has a minute, and the holder rests");
    driven.give(Input::HolderLost { holder: holder(1) });
    let mut dials = Vec::new();
    for _ in 0..12 {
        driven.said.clear();
        driven.pass_time_until(|driven| {
            driven.said.iter().any(|output| matches!(output, Output::Connect { .. }))
        });
        dials.push(driven.ms);
        driven.give(Input::HolderLost { holder: holder(1) });
    }
    let waits: Vec<u64> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.first() < waits.last() && *waits.last().unwrap() <= 376_000, "{waits:?}");
}

// PLACE-8
#[test]
fn what_was_a_copy_before_a_restart_is_not_sent_again() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    let known = |seed, here, promised_sites, kept_by: &[u8]| {
        Input::PackKnown(KnownPack {
            shard: shard(seed),
            class: PackClass::Data,
            here,
            promised_sites,
            kept_by: kept_by.iter().map(|seed| holder(*seed)).collect(),
        })
    };
    driven.give(known(1, true, 0, &[1]));
    driven.give(known(2, false, 2, &[1, 2]));
    driven.give(known(3, true, 0, &[1, 2]));
    assert!(driven.has_said(&Output::DropLocal { shard: shard(3), sites: 2 }), "again");
    driven.want_all();
    let uploads: Vec<_> = driven.uploads.values().copied().collect();
    assert_eq!(uploads, [(holder(2), shard(1))]);
    assert_eq!(driven.machine.status().safe_packs, 2);
}

// PLACE-9
#[test]
fn a_copy_that_an_audit_found_to_be_none_is_placed_again() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], Policy { keep_own: true, ..fixed(2) });
    driven.store(9, PackClass::Data);
    driven.want_all();
    for _ in 0..2 {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    assert!(driven.machine.is_safe(&shard(9).root));
    driven.said.clear();
    driven.lose(1, 9);
    driven.lose(1, 9);
    assert_eq!(driven.machine.status().holders[&holder(1)].lost_packs, 1);
    let (by, root) = (holder(1), shard(9).root);
    assert!(driven.has_said(&Output::ForgetReceipt { holder: by, root }));
    let lost = Output::Blame { holder: by, fault: Fault::LostShard, root: Some(root) };
    assert!(driven.has_said(&lost));
    assert!(!driven.machine.is_safe(&root));
    let (by, shard) = driven.finish_upload();
    driven.keep(by, shard);
    assert!(driven.machine.is_safe(&root));
}

// PLACE-12
#[test]
fn a_pack_that_is_nowhere_is_told_so_that_nothing_new_relies_on_it() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    let needs = vec![(shard(9), PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 1, needs });
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert!(driven.has_said(&Output::DropLocal { shard: kept, sites: 1 }));
    let nowhere = Output::PackNowhere { root: kept.root };
    assert!(!driven.has_said(&nowhere));
    driven.lose(1, 9);
    assert!(driven.has_said(&nowhere));
    assert_eq!(driven.machine.status().newest_lost, 1);

    // The backup after that stores the chunks anew: its head does not wait for what is lost.
    driven.store(8, PackClass::Data);
    driven.give(Input::HeadCommitted { seq: 2, needs: vec![(shard(8), PackClass::Data)] });
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert!(driven.has_said(&Output::HeadSafe { seq: 2 }));
    assert!(driven.machine.status().waiting_heads.is_empty(), "the older one is superseded");
}

// PLACE-12
#[test]
fn a_pack_is_nowhere_when_the_last_copy_goes_wherever_it_was() {
    let nowhere = Output::PackNowhere { root: shard(9).root };
    let mut driven = Driven::new(&[(1, "a")], fixed(2));
    driven.store(9, PackClass::Data);
    driven.give(Input::PackLost { root: shard(9).root });
    assert!(driven.has_said(&nowhere), "the local copy");

    let known = |kept_by: &[u8]| {
        Input::PackKnown(KnownPack {
            shard: shard(9),
            class: PackClass::Data,
            here: false,
            promised_sites: 1,
            kept_by: kept_by.iter().map(|seed| holder(*seed)).collect(),
        })
    };
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.give(known(&[1, 2]));
    driven.give(Input::HolderRemoved { holder: holder(1) });
    assert!(!driven.has_said(&nowhere), "one is left");
    driven.give(Input::HolderRemoved { holder: holder(2) });
    assert!(driven.has_said(&nowhere), "the last holder");

    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.give(known(&[]));
    assert!(driven.has_said(&nowhere), "at the start");
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    driven.keep(holder(1), shard(9));
    assert!(driven.has_said(&Output::PackSafe { root: shard(9).root, sites: 1 }), "found again");
}

// PLACE-13
#[test]
fn a_published_head_that_lost_a_pack_is_whole_no_more() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.store(9, PackClass::Data);
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(9), PackClass::Data)] });
    driven.want_all();
    for _ in 0..2 {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    for seed in [1, 2] {
        driven.give(Input::HeadHeld { holder: holder(seed), seq: 1 });
    }
    driven.store(8, PackClass::Data);
    let needs = vec![(shard(9), PackClass::Data), (shard(8), PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 2, needs });
    let status = driven.machine.status();
    assert_eq!((status.published_seq, status.heads_lack[&2]), (1, 1));
    assert!(status.is_whole(1) && !status.is_whole(2) && !status.is_whole(3));
    driven.lose(1, 9);
    let status = driven.machine.status();
    assert_eq!((status.published_seq, status.heads_lack[&2]), (1, 2));
    assert!(!status.is_whole(1), "published, and on one site only now");
}

// PLACE-5
#[test]
fn a_head_that_lost_a_pack_is_not_pushed_where_it_was_lost_until_it_is_safe_again() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], Policy { keep_own: true, ..fixed(2) });
    driven.store(9, PackClass::Data);
    driven.want_all();
    for _ in 0..2 {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    driven.give(Input::HolderLost { holder: holder(1) });
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(9), PackClass::Data)] });
    driven.lose(1, 9);
    driven.connect(1);
    let pushed = |driven: &Driven, to: u8| {
        let is_it =
            |o: &Output| matches!(o, Output::PushHead { holder: by, .. } if *by == holder(to));
        driven.said.iter().any(is_it)
    };
    assert!(pushed(&driven, 2), "it has the pack");
    assert!(!pushed(&driven, 1), "it has lost the pack");
    driven.want_all();
    let (by, shard) = driven.finish_upload();
    driven.keep(by, shard);
    assert!(pushed(&driven, 1));
}

// PLACE-14
#[test]
fn what_another_device_stored_is_safe_with_the_copies_of_the_policy() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    let known = KnownPack {
        shard: shard(9),
        class: PackClass::Data,
        here: false,
        promised_sites: 0,
        kept_by: vec![holder(1)],
    };
    driven.give(Input::PackKnown(known));
    assert!(!driven.machine.is_safe(&shard(9).root), "one receipt, and the policy asks for two");
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    driven.keep(holder(2), shard(9));
    assert!(driven.has_said(&Output::PackSafe { root: shard(9).root, sites: 2 }));
    driven.give(Input::PolicyChanged(fixed(3)));
    assert!(driven.machine.is_safe(&shard(9).root), "held to what was true then");
    driven.give(Input::HolderRemoved { holder: holder(2) });
    assert!(!driven.machine.is_safe(&shard(9).root));
}

// PLACE-15
#[test]
fn the_spool_is_what_still_has_to_be_placed() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    driven.store(9, PackClass::Data);
    driven.store(8, PackClass::Metadata);
    assert_eq!(driven.machine.spool_bytes(), shard(9).bytes, "metadata stays and does not count");
    driven.want_all();
    while !driven.uploads.is_empty() {
        let (by, kept) = driven.finish_upload();
        driven.keep(by, kept);
    }
    assert_eq!(driven.machine.spool_bytes(), 0);
    driven.store(7, PackClass::Data);
    driven.give(Input::PackLost { root: shard(7).root });
    driven.give(Input::PackLost { root: shard(7).root });
    assert_eq!(driven.machine.spool_bytes(), 0);
}

#[test]
fn a_device_that_grants_nothing_is_not_what_stands_in_the_way() {
    let mut driven = Driven::new(&[], Policy::default());
    driven.give(named(1, "a"));
    driven.give(Input::HolderConnected { holder: holder(1), granted_bytes: 0 });
    driven.store(9, PackClass::Data);
    driven.give(Input::HolderLost { holder: holder(1) });
    assert_eq!(driven.machine.status().blocked, Some(Blocked::NoHolder));
    driven.give(named(2, "a"));
    driven.give(Input::HolderLost { holder: holder(2) });
    assert_eq!(driven.machine.status().blocked, Some(Blocked::NotConnected));
}

// PLACE-20
#[test]
fn only_what_is_here_and_not_safe_waits_to_be_sent() {
    let mut driven = Driven::new(&[(1, "a")], Policy { keep_own: true, ..fixed(1) });
    let (shard_elsewhere, class) = (shard(8), PackClass::Data);
    let elsewhere = KnownPack {
        shard: shard_elsewhere,
        class,
        here: false,
        promised_sites: 0,
        kept_by: Vec::new(),
    };
    driven.give(Input::PackKnown(elsewhere));
    let waiting = |driven: &Driven| driven.machine.status().waiting_bytes;
    assert_eq!(waiting(&driven), 0, "this device cannot send what another made");
    driven.store(9, class);
    assert_eq!(waiting(&driven), shard(9).bytes);
    driven.answer_offers(|_, shard| {
        if shard == shard_elsewhere { Claim::Refused(Refusal::Full) } else { Claim::Wanted }
    });
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert_eq!(waiting(&driven), 0, "it stays here, and it is safe");
}

#[test]
fn the_status_tells_how_far_the_newest_head_is() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], Policy { keep_own: true, ..fixed(2) });
    assert_eq!(driven.machine.status().copies_least, 0);
    driven.store(8, PackClass::Data);
    driven.store(9, PackClass::Data);
    let needs = vec![(shard(8), PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 1, needs });
    let counts = |driven: &Driven| {
        let status = driven.machine.status();
        (status.copies_least, status.newest_lacks)
    };
    assert_eq!(counts(&driven), (0, 1));
    driven.want_all();
    let mut least = Vec::new();
    for _ in 0..4 {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
        least.push(counts(&driven).0);
    }
    assert_eq!(counts(&driven), (2, 0));
    assert!(least.is_sorted() && least.contains(&1), "{least:?}");
    // A newer head that needs something that is nowhere yet.
    let needs = vec![(shard(8), PackClass::Data), (shard(7), PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 2, needs });
    assert_eq!(counts(&driven), (0, 1));
    let status = driven.machine.status();
    assert_eq!((status.nowhere_packs, status.lost_packs), (1, 0), "not asked about yet");
    driven.want_all();
    assert_eq!(driven.machine.status().lost_packs, 1);
}

#[test]
fn a_pack_that_has_gone_is_held_to_what_was_promised_then() {
    let mut driven = Driven::new(&[(1, "a")], Policy::default());
    driven.store(9, PackClass::Data);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert!(driven.has_said(&Output::DropLocal { shard: kept, sites: 1 }));
    driven.give(named(2, "b"));
    driven.connect(2);
    let status = driven.machine.status();
    assert_eq!((status.copies, status.safe_packs, status.below_policy_packs), (2, 1, 1));
    let needs = vec![(kept, PackClass::Data)];
    driven.give(Input::HeadCommitted { seq: 1, needs });
    assert!(driven.has_said(&Output::HeadSafe { seq: 1 }));
}

#[test]
fn a_receipt_that_could_not_be_kept_is_asked_for_again() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.give(Input::ReceiptNotKept { holder: by, root: kept.root });
    driven.pass_time_until(|driven| !driven.offers.is_empty());
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    driven.keep(by, kept);
    assert!(driven.machine.is_safe(&kept.root));
}

mod bringing;
mod dropped;
mod early;
mod errands;
mod holders;
mod leaving;
mod presumed;
mod sparing;
