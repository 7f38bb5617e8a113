//! Introductions and lists of claims: who may say so, and what is refused.

use super::*;
use crate::{
    head::{Claims, HeadBody, SignedHead},
    keys::{
        DeviceKeys,
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
    },
    limits::FELLOWS_MAX,
    log::{DeviceLog, Label, found::Founding},
    tending::{
        claimed::{ClaimedError, ClaimedList},
        introduction::{IntroductionBody, IntroductionError, Introductions, VERSION},
    },
    time::Timestamp,
};

/// A vault with one device.
pub(crate) struct Owner {
    pub(crate) device: DeviceKeys,
    pub(crate) log: DeviceLog,
}

impl Owner {
    pub(crate) fn new(seed: u8) -> Self {
        let device = DeviceKeys::from_seeds([seed; 32], [seed ^ 0xff; 32]);
        let recovery = Phrase::from_entropy([seed; 32]).recovery();
        let label = Label { name: "laptop".into(), site: "home".into() };
        let founding = Founding {
            device: &device,
            recovery: &recovery,
            label: &label,
            time: Timestamp(1_800_000_000),
        };
        let log = DeviceLog::found(&founding, &mut ChaCha8Rng::from_seed([seed; 32])).unwrap().log;
        Self { device, log }
    }

    pub(crate) fn body(&self, number: u64, holders: Vec<Fellow>) -> IntroductionBody {
        let (vault, device) = (self.log.vault(), self.device.id());
        IntroductionBody { version: VERSION, vault, device, number, copies: 2, holders }
    }

    pub(crate) fn introduce(&self, number: u64, holders: Vec<Fellow>) -> Introduction {
        Introduction::sign(self.body(number, holders), &self.device).unwrap()
    }

    pub(crate) fn head(&self, seq: u64, roots: &[ShardRoot]) -> SignedHead {
        let shards = roots.iter().map(|root| ShardRef { root: *root, bytes: 1 });
        let body = HeadBody {
            version: crate::head::HEAD_VERSION,
            vault: self.log.vault(),
            device: self.device.id(),
            seq,
            prev: (seq > 1).then(|| self.head(seq - 1, roots).hash()),
            log: self.log.heads(),
            commit: ShardRef { root: roots[0], bytes: 1 },
            claims: Claims::of(shards),
            seen: vec![],
            time: Timestamp(1_800_000_000),
        };
        SignedHead::sign(body, &self.device).unwrap()
    }
}

// TEND-10
#[test]
fn an_introduction_is_the_word_of_a_device_that_belongs_to_the_vault() {
    let (owner, other) = (Owner::new(1), Owner::new(2));
    let good = owner.introduce(5, vec![fellow(9, 1)]);
    assert_eq!(Introduction::decode(good.bytes(), &owner.log).unwrap(), good);
    assert_eq!(
        Introduction::decode(good.bytes(), &other.log).unwrap_err(),
        IntroductionError::Stranger
    );
    let mut forged = good.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let refused = Introduction::decode(&forged, &owner.log).unwrap_err();
    assert_eq!(refused, IntroductionError::Signature);
    let stranger = Introduction::sign(owner.body(5, vec![]), &other.device);
    assert_eq!(stranger.unwrap_err(), IntroductionError::Shape);
}

// TEND-10
#[test]
fn an_introduction_that_makes_no_sense_is_neither_made_nor_read() {
    let owner = Owner::new(1);
    let fellows = |count: u8| (1..=count).map(|number| fellow(number, 1)).collect::<Vec<_>>();
    let most = u8::try_from(FELLOWS_MAX).unwrap();
    let mut bodies = vec![
        owner.body(0, fellows(1)),
        owner.body(1, fellows(most + 1)),
        owner.body(1, vec![fellow(2, 1), fellow(1, 1)]),
        owner.body(1, vec![fellow(2, 1), fellow(2, 2)]),
    ];
    bodies.push(IntroductionBody { copies: 0, ..owner.body(1, fellows(1)) });
    bodies.push(IntroductionBody { copies: 33, ..owner.body(1, fellows(1)) });
    let named = Fellow { addresses: vec!["\u{7}".into()], ..fellow(1, 1) };
    bodies.push(owner.body(1, vec![named]));
    for body in bodies {
        let refused = Introduction::sign(body, &owner.device).unwrap_err();
        assert_eq!(refused, IntroductionError::Shape);
    }
    assert!(Introduction::sign(owner.body(1, fellows(most)), &owner.device).is_ok());
    for length in 0..owner.introduce(1, fellows(3)).bytes().len() {
        let cut = owner.introduce(1, fellows(3)).bytes()[..length].to_vec();
        assert!(Introduction::decode(&cut, &owner.log).is_err());
    }
}

// TEND-10
#[test]
fn the_later_word_counts_and_the_earlier_does_not_come_back() {
    let owner = Owner::new(1);
    let mut all = Introductions::default();
    assert!(all.offer(owner.introduce(5, vec![fellow(9, 1)]), &owner.log));
    assert!(!all.offer(owner.introduce(5, vec![fellow(8, 1)]), &owner.log));
    assert!(!all.offer(owner.introduce(4, vec![fellow(8, 1)]), &owner.log));
    assert!(all.names(&node(9), &owner.log) && !all.names(&node(8), &owner.log));
    assert!(all.offer(owner.introduce(6, vec![fellow(8, 1)]), &owner.log));
    assert!(!all.names(&node(9), &owner.log), "who is named no more is no fellow");
    assert_eq!(Introductions::decode(&all.encode(), &owner.log).unwrap(), all);
    // By the log of another vault nothing of it counts.
    let none = Introductions::decode(&all.encode(), &Owner::new(2).log).unwrap();
    assert_eq!(none, Introductions::default());
    let far = owner.introduce(u64::MAX, vec![]);
    assert_eq!(far.check_number(Timestamp(7)).unwrap_err(), IntroductionError::Ahead);
    assert!(owner.introduce(86_407, vec![]).check_number(Timestamp(7)).is_ok());
    assert_eq!(Timestamp(5).number_after(7), 8);
    assert_eq!(Timestamp(50).number_after(7), 50);
}

// TEND-11
#[test]
fn devices_of_the_vault_are_no_fellows_and_there_is_a_bound() {
    let owner = Owner::new(1);
    let mut own = Fellow { device: owner.device.id(), ..fellow(1, 1) };
    own.site = site(3);
    let mut holders = vec![own, fellow(1, 1), fellow(2, 1)];
    holders.sort_by_key(|it| it.device);
    let mut all = Introductions::default();
    assert!(all.offer(owner.introduce(1, holders), &owner.log));
    let circle = all.circle(&owner.log);
    assert_eq!(circle.fellows.keys().copied().collect::<Vec<_>>(), [node(1), node(2)]);
    assert_eq!(circle.copies, 2);
}

// TEND-12
#[test]
fn a_site_is_told_by_its_tag_and_named_by_nobody_without_the_key() {
    let key = |seed: u8| ContentKey::derive(&EpochKey::new(1, [seed; 32]));
    assert_eq!(SiteTag::of(&key(1), "home"), SiteTag::of(&key(1), "home"));
    assert_ne!(SiteTag::of(&key(1), "home"), SiteTag::of(&key(1), "cabin"));
    assert_ne!(SiteTag::of(&key(1), "home"), SiteTag::of(&key(2), "home"));
}

// TEND-4
#[test]
fn a_list_is_the_one_that_its_head_signs_for() {
    let owner = Owner::new(1);
    let mut roots: Vec<ShardRoot> = (0..50).map(root).collect();
    roots.sort();
    let head = owner.head(1, &roots);
    let list = ClaimedList::new(head.clone(), roots.clone(), &owner.log).unwrap();
    assert_eq!(ClaimedList::decode(&list.encode(), &owner.log).unwrap(), list);
    assert_eq!(list.after(None, 20), &roots[..20]);
    assert_eq!(list.after(Some(&roots[19]), 100), &roots[20..]);
    assert!(list.after(Some(&roots[49]), 100).is_empty());
    let wrong =
        |roots: Vec<ShardRoot>| ClaimedList::new(head.clone(), roots, &owner.log).unwrap_err();
    assert_eq!(wrong(roots[1..].to_vec()), ClaimedError::List);
    assert_eq!(wrong(roots.iter().rev().copied().collect()), ClaimedError::List);
    let more: Vec<ShardRoot> =
        roots.iter().copied().chain([ShardRoot::from_bytes([0xff; 32])]).collect();
    assert_eq!(wrong(more), ClaimedError::List);
    let other = ClaimedList::new(head, roots, &Owner::new(2).log);
    assert!(matches!(other, Err(ClaimedError::Head(_))));
    let bytes = list.encode();
    for place in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        assert!(ClaimedList::decode(&damaged, &owner.log).is_err(), "byte {place}");
    }
}
