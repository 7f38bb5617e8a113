//! Guardians from end to end, without any network.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{
    SealedPhrase,
    gathering::{Gathering, HolderAnswer, Verdict},
    handing::{HandRefusal, Handed, VERSION},
    keeping::{AskError, Guard, ReleaseState, ToldRequest},
    release::{ReleaseError, ReleaseRequest, ReleaseStop, RequestId},
    set::{AppointError, Appointment, Guardian, GuardianSet, SetError},
};
use crate::{
    ids::{DeviceId, VaultId},
    keys::{
        DeviceKeys, Principal,
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
    },
    limits::{GUARD_BYTES_MAX, GUARDIAN_DELAY_S_MAX, RELEASE_REQUESTS_MAX},
    log::{DeviceLog, Founding, Label, Leaver, Reason, Role, add::Newcomer},
    ticket::{Invite, InviteKind, InviteSecret},
    time::Timestamp,
};

const DAY: u64 = 86_400;
const NOW: Timestamp = Timestamp(1_800_000_000);

pub(super) fn content(seed: u8) -> ContentKey {
    ContentKey::derive(&epoch(seed))
}

/// The one epoch of a vault.
pub(super) fn epoch(seed: u8) -> EpochKey {
    EpochKey::new(1, [seed; 32])
}

pub(super) fn guardian(seed: u8) -> Guardian {
    let receiving = epoch(seed).receiving().public();
    Guardian { vault: VaultId::from_bytes([seed; 32]), name: format!("guardian {seed}"), receiving }
}

/// A vault with one device, and all that its owner has.
pub(super) struct Owner {
    pub(super) phrase: Phrase,
    pub(super) device: DeviceKeys,
    pub(super) log: DeviceLog,
    pub(super) rng: ChaCha8Rng,
}

impl Owner {
    pub(super) fn new(seed: u8) -> Self {
        let mut rng = ChaCha8Rng::from_seed([seed; 32]);
        let phrase = Phrase::from_entropy([seed; 32]);
        let device = DeviceKeys::from_seeds([seed ^ 0x80; 32], [seed ^ 0x81; 32]);
        let label = Label { name: "laptop".into(), site: "home".into() };
        let recovery = phrase.recovery();
        let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
        let log = DeviceLog::found(&founding, &mut rng).unwrap().log;
        Self { phrase, device, log, rng }
    }

    pub(super) fn appoint(
        &mut self,
        number: u64,
        threshold: u8,
        guardians: &[u8],
    ) -> (GuardianSet, SealedPhrase) {
        self.try_appoint(
            number,
            (threshold, 7 * DAY),
            guardians.iter().map(|it| guardian(*it)).collect(),
        )
        .unwrap()
    }

    fn try_appoint(
        &mut self,
        number: u64,
        (threshold, delay_s): (u8, u64),
        guardians: Vec<Guardian>,
    ) -> Result<(GuardianSet, SealedPhrase), AppointError> {
        let content = content(0xcc);
        let vault = self.log.vault();
        let phrase = &self.phrase;
        let time = NOW;
        let content = &content;
        let parts =
            Appointment { vault, number, time, phrase, content, threshold, delay_s, guardians };
        GuardianSet::appoint(parts, &mut self.rng)
    }

    fn read(&self, bytes: &[u8]) -> Result<GuardianSet, SetError> {
        GuardianSet::decode(bytes, &self.log.vault(), self.log.recovery())
    }
}

fn invite() -> Invite {
    Invite {
        kind: InviteKind::Help,
        inviter: DeviceId::from_bytes([0xa5; 32]),
        addresses: vec![],
        secret: InviteSecret([0x5a; 32]),
        expires: Timestamp(NOW.0 + 3600),
    }
}

fn helper(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn handed(owner: &Owner, set: &GuardianSet, by: u8) -> Handed {
    Handed {
        version: VERSION,
        proof: *invite().help_proof(&helper(by)).as_bytes(),
        name: format!("nas of {by}"),
        genesis: owner.log.entries().next().unwrap().to_vec().into(),
        set: set.bytes().to_vec().into(),
        share: set.share_for(&[epoch(by)]).unwrap(),
        holders: vec![],
    }
}

fn gathered(owner: &Owner, set: &GuardianSet, by: &[u8]) -> Gathering {
    let mut gathering = Gathering::default();
    gathering.choose(owner.log.vault());
    for one in by {
        let brought = handed(owner, set, *one);
        gathering.take(&invite(), (&helper(*one), NOW), brought).unwrap();
    }
    gathering
}

fn request(gathering: &mut Gathering, id: u8) -> ReleaseRequest {
    gathering.request(RequestId([id; 16]), NOW, "new-laptop").unwrap().clone()
}

// GUARD-1, GUARD-4
#[test]
fn enough_guardians_and_a_holder_give_the_phrase_back() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12, 13]);
    for pair in [[11, 12], [11, 13], [13, 12]] {
        let mut gathering = gathered(&owner, &set, &pair[..1]);
        assert!(
            gathering.secret().is_none()
                && gathering.request(RequestId([1; 16]), NOW, "x").is_none()
        );
        let second = handed(&owner, &set, pair[1]);
        let progress = gathering.take(&invite(), (&helper(pair[1]), NOW), second).unwrap();
        assert_eq!((progress.have, progress.needed), (2, 2));
        let kept = Gathering::decode(&gathering.encode()).unwrap();
        let secret = kept.secret().unwrap();
        let phrase = secret.open_phrase(&owner.log.vault(), &sealed).unwrap();
        assert_eq!(phrase.recovery().public(), owner.phrase.recovery().public());
        assert!(secret.open_phrase(&VaultId::from_bytes([9; 32]), &sealed).is_none());
    }
}

// GUARD-24
#[test]
fn a_device_that_its_vault_has_thrown_out_opens_no_share_that_is_sealed_from_then_on() {
    let mut owner = Owner::new(1);
    let Owner { device: stays, log: guardians, .. } = &mut Owner::new(2);
    let thief = DeviceKeys::from_seeds([3; 32], [4; 32]);
    let label = Label { name: "phone".into(), site: "home".into() };
    let newcomer =
        Newcomer { device: thief.public(), label: label.clone(), role: Role::Member, time: NOW };
    let draft = guardians.draft_add(&*stays, &newcomer, &mut owner.rng).unwrap();
    let consent = draft.consent(guardians, &thief, (&label, Role::Member)).unwrap();
    guardians.append_add(&draft, consent, &*stays).unwrap();
    let mut appoint = |log: &DeviceLog, number| {
        let keys = log.epoch_keys(&*stays).unwrap();
        let receiving = keys.last().unwrap().receiving().public();
        let guardian = Guardian { vault: log.vault(), name: "anna".into(), receiving };
        let (set, _) = owner.try_appoint(number, (1, 0), vec![guardian]).unwrap();
        let [named] = &set.names(&content(0xcc)).unwrap()[..] else { panic!("one") };
        assert_eq!((named.vault, named.receiving), (log.vault(), receiving));
        set
    };
    let before = appoint(guardians, 5);
    let keys_of_thief = guardians.epoch_keys(&thief).unwrap();
    assert!(before.share_for(&keys_of_thief).is_some());
    let reason = Reason::Stolen;
    let leaver = Leaver { device: thief.id(), reason, last: None, undo_removals: false, time: NOW };
    guardians.remove(&*stays, &leaver, &mut ChaCha8Rng::from_seed([9; 32])).unwrap();
    let after = appoint(guardians, 6);
    assert_eq!(guardians.epoch_keys(&thief).unwrap().len(), keys_of_thief.len());
    assert!(after.share_for(&keys_of_thief).is_none());
    // Those who stay open both, in whichever epoch they were sealed.
    let keys = guardians.epoch_keys(&*stays).unwrap();
    assert!(before.share_for(&keys).is_some() && after.share_for(&keys).is_some());
}

// GUARD-5
#[test]
fn a_share_opens_for_its_guardian_alone_and_the_record_names_nobody() {
    let mut owner = Owner::new(1);
    let (set, _) = owner.appoint(5, 2, &[11, 12, 13]);
    assert!(set.share_for(&[epoch(14)]).is_none());
    let places: std::collections::BTreeSet<u8> =
        [11, 12, 13].map(|it| set.share_for(&[epoch(it)]).unwrap().place).into();
    assert_eq!(places, [1, 2, 3].into());
    let names = set.names(&content(0xcc)).unwrap();
    assert_eq!(names.len(), 3);
    for named in &names {
        let has = |bytes: &[u8]| set.bytes().windows(bytes.len()).any(|it| it == bytes);
        assert!(!has(named.name.as_bytes()) && !has(named.vault.as_bytes()));
    }
    assert!(set.names(&content(11)).is_none(), "a guardian does not read who the others are");
    // A long name is cut, so that all records of so many guardians have one length.
    let mut long = guardian(11);
    long.name = "ä".repeat(100);
    let (other, _) = owner.try_appoint(6, (2, 0), vec![long, guardian(12), guardian(13)]).unwrap();
    assert!(other.bytes().len().abs_diff(set.bytes().len()) < 8);
    assert_eq!(other.names(&content(0xcc)).unwrap().iter().map(|it| it.name.len()).max(), Some(64));
}

// GUARD-3
#[test]
fn what_makes_no_sense_is_not_appointed() {
    let mut owner = Owner::new(1);
    let three = || vec![guardian(11), guardian(12), guardian(13)];
    let mut weak = three();
    weak[1].receiving.key = [0; 32];
    let many = (0..17).map(|seed| guardian(seed + 1)).collect();
    let wrong = [
        (owner.try_appoint(1, (1, 0), vec![]), AppointError::Count(0)),
        (owner.try_appoint(1, (1, 0), many), AppointError::Count(17)),
        (owner.try_appoint(1, (0, 0), three()), AppointError::Threshold { threshold: 0, count: 3 }),
        (owner.try_appoint(1, (4, 0), three()), AppointError::Threshold { threshold: 4, count: 3 }),
        (
            owner.try_appoint(1, (2, 0), vec![guardian(11), guardian(11)]),
            AppointError::Twice("guardian 11".into()),
        ),
        (owner.try_appoint(1, (2, 0), weak), AppointError::WeakKey("guardian 12".into())),
        (owner.try_appoint(1, (2, GUARDIAN_DELAY_S_MAX + 1), three()), AppointError::Delay),
    ];
    for (result, error) in wrong {
        assert_eq!(result.unwrap_err(), error);
    }
}

// GUARD-6: the attack of a guardian who hands in a wrong share.
#[test]
fn a_wrong_share_is_known_by_itself() {
    let mut owner = Owner::new(1);
    let (set, _) = owner.appoint(5, 2, &[11, 12, 13]);
    let (earlier, _) = owner.appoint(4, 2, &[11, 12, 13]);
    let mut gathering = gathered(&owner, &set, &[11]);
    let before = gathering.encode();
    let take =
        |gathering: &mut Gathering, handed| gathering.take(&invite(), (&helper(12), NOW), handed);
    let mut wrong = handed(&owner, &set, 12);
    wrong.share.bytes[31] ^= 1;
    assert_eq!(take(&mut gathering, wrong).unwrap_err(), HandRefusal::Invalid);
    let mut moved = handed(&owner, &set, 12);
    moved.share.place = if moved.share.place == 1 { 2 } else { 1 };
    assert_eq!(take(&mut gathering, moved).unwrap_err(), HandRefusal::Invalid);
    // A share of another set under the record of this one.
    let mut mixed = handed(&owner, &set, 12);
    mixed.share = earlier.share_for(&[epoch(12)]).unwrap();
    assert_eq!(take(&mut gathering, mixed).unwrap_err(), HandRefusal::Invalid);
    let mut stranger = Owner::new(2);
    let (other, _) = stranger.appoint(9, 1, &[12]);
    let refused = take(&mut gathering, handed(&stranger, &other, 12)).unwrap_err();
    assert_eq!(refused, HandRefusal::OtherVault, "another vault was chosen");
    assert_eq!(*gathering.encode(), *before, "nothing was changed");
    // The same share twice is one.
    let again = handed(&owner, &set, 11);
    assert_eq!(gathering.take(&invite(), (&helper(11), NOW), again).unwrap().have, 1);
}

// GUARD-7
#[test]
fn who_does_not_know_the_code_brings_nothing() {
    let mut owner = Owner::new(1);
    let (set, _) = owner.appoint(5, 2, &[11, 12]);
    let mut gathering = Gathering::default();
    let brought = handed(&owner, &set, 11);
    let later = Timestamp(NOW.0 + 3600);
    for (by, now) in [(12, NOW), (11, later)] {
        let refused = gathering.take(&invite(), (&helper(by), now), brought.clone()).unwrap_err();
        assert_eq!(refused, HandRefusal::WrongCode);
    }
    let other = Invite { secret: InviteSecret([0x5b; 32]), ..invite() };
    let refused = gathering.take(&other, (&helper(11), NOW), brought).unwrap_err();
    assert_eq!(refused, HandRefusal::WrongCode);
}

// GUARD-8
#[test]
fn a_later_set_voids_the_shares_of_the_one_before() {
    let mut owner = Owner::new(1);
    let (old, old_sealed) = owner.appoint(5, 2, &[11, 12, 13]);
    let (new, new_sealed) = owner.appoint(6, 2, &[11, 14, 15]);
    let mut guard = Guard::default();
    assert!(guard.offer(old.clone(), Some(old_sealed)));
    let mut gathering = gathered(&owner, &old, &[11, 12]);
    guard.ask(request(&mut gathering, 1), &owner.log, NOW).unwrap();
    assert!(guard.offer(new.clone(), Some(new_sealed)));
    assert_eq!(guard.number(), 6);
    assert!(guard.pending(&owner.log).is_empty(), "requests went with their set");
    assert_ne!(guard.release_key(), old.appointed().map(|it| it.release));
    assert!(!guard.offer(old.clone(), Some(old_sealed)), "an earlier one changes nothing");
    assert_eq!(guard.sealed(), Some(new_sealed));
    let asked = ReleaseRequest::decode(request(&mut gathering, 1).bytes(), &new);
    assert_eq!(asked.unwrap_err(), ReleaseError::OtherSet);
    // Shares of two sets do not mix: 11 is in both.
    assert!(new.secret(&[old.share_for(&[epoch(11)]).unwrap()]).is_none());
    // And a set of nobody takes everything away.
    let none = GuardianSet::dissolve((owner.log.vault(), 7, NOW), &owner.phrase);
    assert!(guard.offer(owner.read(none.bytes()).unwrap(), None));
    assert_eq!((guard.release_key(), guard.sealed()), (None, None));
    assert!(none.share_for(&[epoch(11)]).is_none());
    let kept = Guard::decode(&guard.encode(), &owner.log).unwrap();
    assert_eq!(kept, guard);
}

// GUARD-8, VERSIONS-1: what a newer program has written is not damage, whatever else it is like.
#[test]
fn what_a_newer_program_keeps_is_told_by_its_version_alone() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let mut guard = Guard::default();
    guard.offer(set, Some(sealed));
    let written = guard.encode();
    // {0: version, ...}: one more field, another kind of field, longer than this version allows.
    assert_eq!(written[1..3], [0, 1]);
    let mut later = written.clone();
    later[2] = 2;
    let mut more = later.clone();
    more[0] += 1;
    more.extend([0x05, 0xf5]);
    let long = [&later[..], &[0; GUARD_BYTES_MAX]].concat();
    let other = vec![0xa2, 0x00, 0x07, 0x01, 0x63, b'n', b'e', b'w'];
    for (newer, version) in [(later, 2), (more, 2), (long, 2), (other, 7)] {
        assert_eq!(Guard::decode(&newer, &owner.log), Err(SetError::Newer { version }));
    }
    let mut none = written;
    none[2] = 0;
    assert_eq!(Guard::decode(&none, &owner.log), Err(SetError::Shape));
}

// GUARD-9
#[test]
fn a_holder_gives_the_phrase_after_the_delay_and_not_before() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12, 13]);
    let mut gathering = gathered(&owner, &set, &[11, 12]);
    let asked = request(&mut gathering, 1);
    let id = asked.body().id;
    let mut guard = Guard::default();
    guard.offer(set.clone(), Some(sealed));
    assert!(guard.ask(asked.clone(), &owner.log, NOW).unwrap());
    assert!(
        !guard.ask(asked, &owner.log, Timestamp(NOW.0 + DAY)).unwrap(),
        "asking again begins nothing anew"
    );
    let at = |guard: &Guard, day: u64| guard.state(id, &owner.log, Timestamp(NOW.0 + day * DAY));
    assert_eq!(at(&guard, 0), ReleaseState::Waiting { left_s: 7 * DAY });
    assert_eq!(at(&guard, 6), ReleaseState::Waiting { left_s: DAY });
    let early = Timestamp(NOW.0 + 7 * DAY - 1);
    assert_eq!(guard.state(id, &owner.log, early), ReleaseState::Waiting { left_s: 1 });
    // A clock that was set back lengthens the wait.
    let back = guard.state(id, &owner.log, Timestamp(NOW.0 - DAY));
    assert_eq!(back, ReleaseState::Waiting { left_s: 8 * DAY });
    // The wait outlives a restart.
    let kept = Guard::decode(&guard.encode(), &owner.log).unwrap();
    assert_eq!(at(&kept, 6), at(&guard, 6));
    let ReleaseState::Open { phrase } = at(&kept, 7) else { panic!("it is over") };
    assert_eq!(phrase, sealed);
    let answers = [HolderAnswer::Silent, HolderAnswer::State(ReleaseState::Open { phrase })];
    let Verdict::Phrase(found) = gathering.verdict(&answers) else { panic!("the phrase") };
    assert_eq!(found.recovery().public(), owner.phrase.recovery().public());
}

// GUARD-9: it is another request that was stopped, or none.
#[test]
fn what_no_request_asked_for_is_not_given() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let mut guard = Guard::default();
    guard.offer(set.clone(), Some(sealed));
    let far = Timestamp(NOW.0 + 100 * DAY);
    assert_eq!(guard.state(RequestId([1; 16]), &owner.log, far), ReleaseState::Absent);
    // A node that has the record alone has nothing to give.
    let mut bare = Guard::default();
    bare.offer(set.clone(), None);
    let mut gathering = gathered(&owner, &set, &[11, 12]);
    bare.ask(request(&mut gathering, 1), &owner.log, NOW).unwrap();
    assert_eq!(bare.state(RequestId([1; 16]), &owner.log, far), ReleaseState::Absent);
    // It takes the phrase later, but not another one.
    assert!(!bare.offer(set.clone(), Some(SealedPhrase([0; 48]))));
    assert!(bare.offer(set, Some(sealed)));
}

// GUARD-10
#[test]
fn any_device_of_the_vault_stops_a_request_and_nobody_else_does() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let mut gathering = gathered(&owner, &set, &[11, 12]);
    let asked = request(&mut gathering, 1);
    let id = asked.body().id;
    let far = Timestamp(NOW.0 + 100 * DAY);
    let tell = |stop: Option<&ReleaseStop>| {
        let stop = stop.map(|stop| stop.bytes().to_vec().into());
        [ToldRequest { request: asked.bytes().to_vec().into(), stop, left_s: 0 }]
    };
    let mut guard = Guard::default();
    guard.offer(set, Some(sealed));
    guard.ask(asked.clone(), &owner.log, NOW).unwrap();
    let stranger = DeviceKeys::from_seeds([9; 32], [8; 32]);
    let other = Owner::new(2);
    for by in [Principal::Device(&stranger), Principal::Recovery(&other.phrase.recovery())] {
        let void = ReleaseStop::sign(by, asked.body(), NOW);
        guard.learn(&tell(Some(&void)), &owner.log, NOW);
        assert!(matches!(guard.state(id, &owner.log, far), ReleaseState::Open { .. }));
    }
    let recovery = owner.phrase.recovery();
    for by in [Principal::Device(&owner.device), Principal::Recovery(&recovery)] {
        let mut guard = guard.clone();
        let stop = ReleaseStop::sign(by, asked.body(), NOW);
        assert!(guard.learn(&tell(Some(&stop)), &owner.log, NOW));
        assert_eq!(guard.state(id, &owner.log, far), ReleaseState::Stopped);
        assert!(!guard.learn(&tell(Some(&stop)), &owner.log, NOW), "no news");
        assert_eq!(Guard::decode(&guard.encode(), &owner.log).unwrap(), guard);
        // The word of a stop reaches a holder before the request does.
        let mut other = Guard::default();
        other.offer(guard.set().unwrap().clone(), Some(sealed));
        other.learn(&guard.told(NOW), &owner.log, NOW);
        assert!(!other.ask(asked.clone(), &owner.log, NOW).unwrap());
        assert_eq!(other.state(id, &owner.log, far), ReleaseState::Stopped);
    }
}

// GUARD-11: a thief's word is void once his device is removed; what he had stopped waits anew, and a living
// device may say it again.
#[test]
fn the_word_of_a_removed_device_is_void_and_the_delay_begins_anew() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let thief = DeviceKeys::from_seeds([0x71; 32], [0x72; 32]);
    let label = Label { name: "phone".into(), site: "home".into() };
    let newcomer = Newcomer { device: thief.public(), label, role: Role::Owner, time: NOW };
    owner.log.enrol(&owner.phrase.recovery(), &thief, &newcomer, &mut owner.rng).unwrap();
    let mut gathering = gathered(&owner, &set, &[11, 12]);
    let asked = request(&mut gathering, 1);
    let id = asked.body().id;
    let mut guard = Guard::default();
    guard.offer(set, Some(sealed));
    guard.ask(asked.clone(), &owner.log, NOW).unwrap();
    let by = |keys: &DeviceKeys| ReleaseStop::sign(Principal::Device(keys), asked.body(), NOW);
    assert_eq!(guard.stop_all(&owner.log, |_| by(&thief)), 1);
    let at = |days: u64| Timestamp(NOW.0 + days * DAY);
    assert_eq!(guard.state(id, &owner.log, at(400)), ReleaseState::Stopped);
    let mut said_again = guard.clone();
    assert!(said_again.say_again_for(thief.id(), |_| by(&owner.device)));
    let leaver = Leaver {
        device: thief.id(),
        reason: Reason::Stolen,
        last: None,
        undo_removals: false,
        time: NOW,
    };
    owner.log.remove(&owner.device, &leaver, &mut owner.rng).unwrap();
    assert_eq!(said_again.state(id, &owner.log, at(400)), ReleaseState::Stopped);
    assert!(!said_again.settle(&owner.log, at(400)), "it stands by the other's word");
    // A year has passed: nobody gets the phrase because a device was removed.
    let anew = ReleaseState::Waiting { left_s: 7 * DAY };
    assert_eq!(guard.state(id, &owner.log, at(400)), anew);
    assert!(guard.settle(&owner.log, at(400)), "which is news for everybody");
    assert_eq!(guard.state(id, &owner.log, at(400)), anew);
    assert_eq!(guard.pending(&owner.log)[0].stopped, None);
    assert!(matches!(guard.state(id, &owner.log, at(407)), ReleaseState::Open { .. }));
    assert_eq!(guard.stop_all(&owner.log, |_| by(&owner.device)), 1);
    assert_eq!(guard.state(id, &owner.log, at(407)), ReleaseState::Stopped);
}

// GUARD-9: power comes back, and the clock is put right a minute later.
#[test]
fn a_clock_that_stands_before_the_set_was_made_makes_no_delay_short() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let mut gathering = gathered(&owner, &set, &[11, 12]);
    let asked = request(&mut gathering, 1);
    let mut guard = Guard::default();
    guard.offer(set, Some(sealed));
    guard.ask(asked.clone(), &owner.log, Timestamp(0)).unwrap();
    let state = guard.state(asked.body().id, &owner.log, Timestamp(NOW.0 + 60));
    assert_eq!(state, ReleaseState::Waiting { left_s: 7 * DAY - 60 });
}

// GUARD-22
#[test]
fn a_device_of_the_vault_lets_go_of_the_sealed_phrase_once_holders_have_it() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let mut guard = Guard::default();
    guard.offer(set.clone(), Some(sealed));
    let week = Timestamp(NOW.0 + 7 * DAY);
    assert!(!guard.let_go(true, week), "nobody has it: it would be gone for good");
    assert!(guard.handed_on() && !guard.handed_on());
    let mut guard = Guard::decode(&guard.encode(), &owner.log).unwrap();
    assert!(!guard.let_go(false, Timestamp(week.0 - 1)), "some were away");
    assert_eq!((guard.complete_number(), guard.sealed()), (5, Some(sealed)));
    let mut by_time = guard.clone();
    assert!(by_time.let_go(false, week) && guard.let_go(true, NOW));
    for gone in [by_time, guard] {
        assert_eq!((gone.number(), gone.complete_number(), gone.sealed()), (5, 0, None));
    }
    // A holder that was given the record alone says that something is missing.
    let mut bare = Guard::default();
    bare.offer(set.clone(), None);
    assert_eq!(bare.complete_number(), 0);
    assert!(bare.offer(set, Some(sealed)));
    assert_eq!(bare.complete_number(), 5);
}

// GUARD-23
#[test]
fn shares_of_somebody_elses_vault_are_gathered_apart_and_a_person_says_which_is_meant() {
    let (mut owner, mut mallory) = (Owner::new(1), Owner::new(2));
    let (old, _) = owner.appoint(4, 2, &[11, 12, 13]);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12, 13]);
    let (trap, _) = mallory.appoint(9, 1, &[14]);
    let mut gathering = Gathering::default();
    let bring = |gathering: &mut Gathering, owner: &Owner, set: &GuardianSet, by: u8| {
        gathering.take(&invite(), (&helper(by), NOW), handed(owner, set, by))
    };
    assert_eq!(bring(&mut gathering, &mallory, &trap, 14).unwrap().have, 1);
    assert!(gathering.is_enough(), "of a vault that nobody asked for");
    assert!(
        gathering.secret().is_none() && gathering.request(RequestId([1; 16]), NOW, "x").is_none()
    );
    assert_eq!(bring(&mut gathering, &owner, &old, 11).unwrap().have, 1);
    assert_eq!(bring(&mut gathering, &owner, &set, 12).unwrap().have, 1);
    assert_eq!(bring(&mut gathering, &owner, &set, 13).unwrap().have, 2);
    let shown = gathering.candidates();
    assert_eq!(shown.len(), 3);
    assert!(shown.iter().take(2).all(|it| it.progress.have >= it.progress.needed));
    let own = shown.iter().find(|it| it.vault == owner.log.vault()).unwrap();
    assert_eq!((own.founded, own.guardians, own.delay_s), (NOW, 3, 7 * DAY));
    gathering.choose(owner.log.vault());
    let refused = bring(&mut gathering, &mallory, &trap, 14).unwrap_err();
    assert_eq!(refused, HandRefusal::OtherVault);
    let kept = Gathering::decode(&gathering.encode()).unwrap();
    assert_eq!((kept.chosen(), kept.set()), (Some(owner.log.vault()), Some(&set)));
    let phrase = kept.secret().unwrap().open_phrase(&owner.log.vault(), &sealed).unwrap();
    assert_eq!(phrase.recovery().public(), owner.phrase.recovery().public());
    // After a stop the same shares ask again, by another request.
    let first = request(&mut gathering, 1);
    assert_eq!(request(&mut gathering, 2), first);
    gathering.ask_again();
    assert_ne!(request(&mut gathering, 2).body().id, first.body().id);
}

// GUARD-12
#[test]
fn requests_are_few_and_a_stopped_one_makes_room() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let gathering = gathered(&owner, &set, &[11, 12]);
    let secret = gathering.secret().unwrap();
    let vault = owner.log.vault();
    let ask = |id: u8| ReleaseRequest::sign(&secret, (vault, RequestId([id; 16])), NOW, "x");
    let mut guard = Guard::default();
    guard.offer(set, Some(sealed));
    let most = u8::try_from(RELEASE_REQUESTS_MAX).unwrap();
    for id in 0..most {
        assert!(guard.ask(ask(id), &owner.log, NOW).unwrap());
    }
    assert_eq!(guard.ask(ask(most), &owner.log, NOW).unwrap_err(), AskError::Full);
    let device = &owner.device;
    let stop =
        |asked: &ReleaseRequest| ReleaseStop::sign(Principal::Device(device), asked.body(), NOW);
    guard.stop_all(&owner.log, stop);
    assert!(guard.ask(ask(most), &owner.log, NOW).unwrap());
    assert!(guard.encode().len() <= GUARD_BYTES_MAX, "{}", guard.encode().len());
    assert_eq!(Guard::decode(&guard.encode(), &owner.log).unwrap(), guard);
}

// GUARD-13
#[test]
fn forged_and_damaged_records_are_refused() {
    let mut owner = Owner::new(1);
    let (set, _) = owner.appoint(5, 2, &[11, 12, 13]);
    assert_eq!(owner.read(set.bytes()).unwrap(), set);
    let other = Owner::new(2);
    assert_eq!(other.read(set.bytes()).unwrap_err(), SetError::Vault);
    let forged = GuardianSet::decode(set.bytes(), &owner.log.vault(), other.log.recovery());
    assert_eq!(forged.unwrap_err(), SetError::Signature, "not by the phrase of this vault");
    for at in (0..set.bytes().len()).step_by(7) {
        let mut damaged = set.bytes().to_vec();
        damaged[at] ^= 1;
        assert!(owner.read(&damaged).is_err(), "byte {at}");
        assert!(owner.read(&set.bytes()[..at]).is_err());
    }
    let gathering = gathered(&owner, &set, &[11, 12]);
    let secret = gathering.secret().unwrap();
    let of = (owner.log.vault(), RequestId([1; 16]));
    let asked = ReleaseRequest::sign(&secret, of, NOW, "new-laptop");
    for at in 0..asked.bytes().len() {
        let mut damaged = asked.bytes().to_vec();
        damaged[at] ^= 1;
        assert!(ReleaseRequest::decode(&damaged, &set).is_err(), "byte {at}");
    }
    let stop = ReleaseStop::sign(Principal::Device(&owner.device), asked.body(), NOW);
    for at in 0..stop.bytes().len() {
        let mut damaged = stop.bytes().to_vec();
        damaged[at] ^= 1;
        assert!(ReleaseStop::decode(&damaged, &asked, &owner.log).is_err(), "byte {at}");
    }
    // What a hostile machine calls itself does not reach a terminal as it is.
    let named = ReleaseRequest::sign(&secret, of, NOW, "\u{1b}[2J");
    assert_eq!(named.body().from, "unknown");
}

// GUARD-14
#[test]
fn a_holder_that_gives_something_else_is_passed_over() {
    let mut owner = Owner::new(1);
    let (set, sealed) = owner.appoint(5, 2, &[11, 12]);
    let gathering = gathered(&owner, &set, &[11, 12]);
    let wrong = HolderAnswer::State(ReleaseState::Open { phrase: SealedPhrase([7; 48]) });
    let waits = |left_s| HolderAnswer::State(ReleaseState::Waiting { left_s });
    let stopped = HolderAnswer::State(ReleaseState::Stopped);
    assert!(matches!(gathering.verdict(&[wrong]), Verdict::Nobody));
    assert!(matches!(gathering.verdict(&[]), Verdict::Nobody));
    assert!(matches!(gathering.verdict(&[HolderAnswer::Unknown]), Verdict::Unknown));
    let quick = [HolderAnswer::Unknown, HolderAnswer::Silent];
    assert!(matches!(gathering.verdict(&quick), Verdict::Nobody), "not all have answered");
    assert!(matches!(gathering.verdict(&[stopped, HolderAnswer::Unknown]), Verdict::Stopped));
    let mixed = gathering.verdict(&[waits(9), stopped, waits(3), wrong]);
    assert!(matches!(mixed, Verdict::Waiting { left_s: 3, holders: 2 }), "{mixed:?}");
    let right = HolderAnswer::State(ReleaseState::Open { phrase: sealed });
    assert!(matches!(gathering.verdict(&[wrong, stopped, right]), Verdict::Phrase(_)));
}

mod bytes {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // GUARD-13
        #[test]
        fn arbitrary_bytes_never_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let owner = Owner::new(1);
            let _ = owner.read(&bytes);
            let _ = Guard::decode(&bytes, &owner.log);
            let _ = Handed::decode(&bytes);
            let _ = Gathering::decode(&bytes);
            let mut owner = owner;
            let (set, _) = owner.appoint(1, 1, &[11]);
            let mut gathering = gathered(&owner, &set, &[11]);
            let asked = request(&mut gathering, 1);
            prop_assert!(ReleaseRequest::decode(&bytes, &set).is_err());
            prop_assert!(ReleaseStop::decode(&bytes, &asked, &owner.log).is_err());
        }
    }
}
