//! Tests of letting go. Two devices, `ANN` and `BEN`, belong to the vault.

use proptest::prelude::*;

use super::*;
use crate::{
    holding::{Input, PutFailure, Row, Terms},
    index::{PackClass, ShardRef},
    wire::message::OfferedShard,
};

const VAULT: VaultId = VaultId::from_bytes([1; 32]);
const ANN: DeviceId = DeviceId::from_bytes([10; 32]);
const BEN: DeviceId = DeviceId::from_bytes([11; 32]);
const DAY: u64 = 86_400;
const START: u64 = 1_800_000_000;

const fn shard(seed: u8) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 100 }
}

/// A holder, what its devices claim, and a clock for each of them.
struct World {
    holding: Holding,
    requests: u64,
    day: u64,
    devices: BTreeSet<DeviceId>,
    is_forked: bool,
    /// Days by which the clock of the device that tells is ahead.
    ahead_days: i64,
}

impl World {
    fn new(shards: impl IntoIterator<Item = u8>) -> Self {
        let mut holding = Holding::new();
        let terms = Terms { offer_bytes: 1 << 40, disk_reserve_bytes: 0, retention_days: 0 };
        holding.handle_input(Input::TermsChanged(terms));
        holding.handle_input(Input::GrantChanged { vault: VAULT, bytes: 1 << 40 });
        holding.handle_input(Input::DiskMeasured { free_bytes: 1 << 40 });
        for seed in shards {
            holding.handle_input(Input::RowKnown(Row {
                vault: VAULT,
                shard: shard(seed),
                class: PackClass::Data,
                stored: Timestamp(START),
                keep_until: Timestamp(START).after_days(30),
                unclaimed: None,
                lost: false,
            }));
        }
        let devices = BTreeSet::from([ANN, BEN]);
        Self { holding, requests: 0, day: 0, devices, is_forked: false, ahead_days: 0 }
    }

    const fn wall(&self) -> Timestamp {
        Timestamp(START + self.day * DAY)
    }

    fn request(&mut self) -> OrderId {
        self.requests += 1;
        OrderId(self.requests)
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        self.holding.handle_input(input);
        std::iter::from_fn(|| self.holding.poll_output()).collect()
    }

    fn part(&self, number: u32, is_last: bool, roots: &[u8]) -> ClaimsPart {
        let time = self.wall().0.saturating_add_signed(self.ahead_days * 86_400);
        let roots = roots.iter().map(|seed| shard(*seed).root).collect();
        ClaimsPart { seq: 1, time: Timestamp(time), part: number, is_last, roots }
    }

    fn tell(
        &mut self,
        device: DeviceId,
        part: ClaimsPart,
        head: Option<(u64, Claims)>,
    ) -> Vec<Output> {
        let request = self.request();
        let caller = Caller::Member { device, vault: VAULT };
        let (is_forked, devices, wall) = (self.is_forked, self.devices.clone(), self.wall());
        let now = Circumstances { head, is_forked, devices, wall };
        self.give(Input::ClaimsTold { request, caller, vault: VAULT, part, now })
    }

    /// A device tells that it claims these, as its head says.
    fn claims(&mut self, device: DeviceId, roots: &[u8]) -> Vec<Output> {
        let head = Some((1, Claims::of(roots.iter().map(|seed| shard(*seed)))));
        let mut told = self.tell(device, self.part(0, true, roots), head);
        let answer = told.iter().position(|it| matches!(it, Output::AnswerClaims { .. }));
        told.remove(answer.expect("a sound list is taken"));
        // TEND-4: the list is kept, to be shown to fellows, unless heads contradict each other.
        let roots: Vec<ShardRoot> = roots.iter().map(|seed| shard(*seed).root).collect();
        let kept = Output::KeepClaimed { vault: VAULT, device, roots };
        assert_eq!(told.contains(&kept), !self.is_forked);
        told.retain(|it| !matches!(it, Output::KeepClaimed { .. }));
        told
    }

    fn row(&self, seed: u8) -> Option<Row> {
        match self.holding.kept.get(&(shard(seed).root, VAULT)) {
            Some(Keeping::Kept(row)) => Some(*row),
            Some(Keeping::Erasing(_)) | None => None,
        }
    }

    fn is_unclaimed(&self, seed: u8) -> bool {
        self.row(seed).is_some_and(|row| row.unclaimed.is_some())
    }

    fn offer(&mut self, seed: u8) -> Vec<Output> {
        let request = self.request();
        let caller = Caller::Member { device: BEN, vault: VAULT };
        let shards = vec![OfferedShard { shard: shard(seed), class: PackClass::Data }];
        self.give(Input::Offered { request, caller, vault: VAULT, shards })
    }
}

fn erased(outputs: &[Output]) -> Vec<u8> {
    let roots = outputs.iter().filter_map(|output| match output {
        Output::EraseRow { root, .. } => Some(root.as_bytes()[0]),
        _ => None,
    });
    roots.collect()
}

// DEL-1, DEL-4
#[test]
fn what_no_device_claims_is_erased_after_the_wait_and_not_before() {
    let mut world = World::new(1..=9);
    world.day = 5;
    assert_eq!(
        world.claims(ANN, &[2, 3, 4, 5, 6, 7, 8, 9]),
        [],
        "one device alone decides nothing"
    );
    let noted = world.claims(BEN, &[3, 4]);
    let [Output::NoteRows { rows }] = &noted[..] else { panic!("{noted:?}") };
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].shard, rows[0].unclaimed), (shard(1), Some(world.wall())));
    assert_eq!(rows[0].keep_until, world.wall().after_days(30));
    world.day = 35;
    for device in [ANN, BEN, ANN, BEN] {
        assert_eq!(world.claims(device, &[2, 3, 4, 5, 6, 7, 8, 9]), [], "the wait is not over");
    }
    world.day = 36;
    assert_eq!(world.claims(ANN, &[2, 3, 4, 5, 6, 7, 8, 9]), [], "the other may need it by now");
    let gone = world.claims(BEN, &[2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(erased(&gone), [1]);
    let (vault, root) = (VAULT, shard(1).root);
    assert_eq!(world.give(Input::RowErased { vault, root }), [Output::DropFile { root }]);
    assert_eq!(world.holding.kept_for(VAULT), (8, 800));
}

// DEL-1
#[test]
fn silence_of_one_device_keeps_everything() {
    let mut world = World::new(1..=9);
    for day in 0..1000 {
        world.day = day;
        assert_eq!(world.claims(ANN, &[2]), []);
    }
    assert!(!world.is_unclaimed(1));
    // It comes to light that it was removed.
    world.devices = BTreeSet::from([ANN]);
    world.claims(ANN, &[2]);
    assert!(world.is_unclaimed(1) && !world.is_unclaimed(2));
}

// DEL-1, DEL-7
#[test]
fn a_device_that_was_away_for_a_year_still_has_what_it_claims() {
    let mut world = World::new(1..=9);
    world.claims(BEN, &[3, 4, 5, 6, 7, 8, 9]);
    world.claims(ANN, &[3, 4, 5, 6, 7, 8, 9]);
    assert!(world.is_unclaimed(1) && world.is_unclaimed(2));
    world.day = 400;
    assert!(erased(&world.claims(ANN, &[3, 4, 5, 6, 7, 8, 9])).is_empty());
    // It made a backup just before it went away that needs 1 again.
    let back = world.claims(BEN, &[1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(erased(&back), [2]);
    assert!(!world.is_unclaimed(1));
}

// DEL-2
#[test]
fn only_the_list_that_the_newest_head_signs_for_counts() {
    let mut world = World::new(1..=9);
    world.devices = BTreeSet::from([ANN]);
    let head = Some((1, Claims::of([shard(1), shard(2)])));
    let refused = |outputs: &[Output], why: Refusal| {
        assert!(
            matches!(outputs, [Output::Refuse { reason, .. }] if *reason == why),
            "{outputs:?}"
        );
    };
    // Cut short, empty, of another head, without a head.
    refused(&world.tell(ANN, world.part(0, true, &[1]), head), Refusal::Invalid);
    refused(&world.tell(ANN, world.part(0, true, &[]), head), Refusal::Invalid);
    let older = ClaimsPart { seq: 0, ..world.part(0, true, &[1, 2]) };
    refused(&world.tell(ANN, older, head), Refusal::Invalid);
    refused(&world.tell(ANN, world.part(0, true, &[1, 2]), None), Refusal::Invalid);
    // A device that says that it has no head, of which there is one here.
    let none = ClaimsPart { seq: 0, ..world.part(0, true, &[]) };
    refused(&world.tell(ANN, none, head), Refusal::Invalid);
    // Parts that are missing, repeated, or of another list.
    refused(&world.tell(ANN, world.part(1, true, &[2]), head), Refusal::Malformed);
    world.tell(ANN, world.part(0, false, &[1]), head);
    refused(&world.tell(ANN, world.part(2, true, &[2]), head), Refusal::Malformed);
    refused(&world.tell(ANN, world.part(1, true, &[2]), head), Refusal::Malformed);
    world.tell(ANN, world.part(0, false, &[2]), head);
    refused(&world.tell(ANN, world.part(1, true, &[1]), head), Refusal::Malformed);
    assert!((1..=9).all(|seed| !world.is_unclaimed(seed)));
    // And in parts, in order.
    world.tell(ANN, world.part(0, false, &[1]), head);
    let told = world.tell(ANN, world.part(1, true, &[2]), head);
    assert!(told.iter().any(|it| matches!(it, Output::AnswerClaims { .. })));
    assert!((3..=9).all(|seed| world.is_unclaimed(seed)));
}

// DEL-2
#[test]
fn a_device_that_never_backed_up_claims_nothing_and_has_to_say_so() {
    let mut world = World::new(1..=9);
    world.claims(ANN, &[2]);
    let none = ClaimsPart { seq: 0, ..world.part(0, true, &[]) };
    world.tell(BEN, none, None);
    assert!(world.is_unclaimed(1) && !world.is_unclaimed(2));
}

// DEL-3
#[test]
fn nothing_goes_while_two_heads_of_a_device_contradict_each_other() {
    let mut world = World::new(1..=9);
    world.is_forked = true;
    for day in [0, 31, 62, 93, 200] {
        world.day = day;
        assert_eq!((world.claims(ANN, &[2]), world.claims(BEN, &[2])), (vec![], vec![]));
    }
    assert!(!world.is_unclaimed(1));
}

// DEL-4, DEL-5
#[test]
fn no_clock_alone_shortens_the_wait() {
    let claimed: Vec<u8> = (2..=9).collect();
    // The holder's clock jumps by a year; those of the devices do not.
    let mut world = World::new(1..=9);
    world.claims(ANN, &claimed);
    world.claims(BEN, &claimed);
    (world.day, world.ahead_days) = (366, -365);
    for device in [ANN, BEN, ANN, BEN] {
        assert_eq!(world.claims(device, &claimed), []);
    }
    // By a few days: those of the devices are at the last hours of the wait.
    let mut world = World::new(1..=9);
    world.claims(ANN, &claimed);
    world.claims(BEN, &claimed);
    (world.day, world.ahead_days) = (43, -13);
    for device in [ANN, BEN, ANN, BEN] {
        assert_eq!(world.claims(device, &claimed), [], "found by the simulator, seed 229");
    }
    // The devices' clocks are ahead of the holder's, or the holder's is years behind: nobody is
    // listened to, and no wait begins that would last as long.
    for ahead_days in [2, 400, 5000] {
        let mut world = World::new(1..=9);
        world.ahead_days = ahead_days;
        let head = Some((1, Claims::of(claimed.iter().map(|seed| shard(*seed)))));
        for device in [ANN, BEN, ANN, BEN] {
            let told = world.tell(device, world.part(0, true, &claimed), head);
            assert!(
                matches!(&told[..], [Output::Refuse { reason: Refusal::Busy, .. }]),
                "{told:?}"
            );
        }
        assert!(!world.is_unclaimed(1));
    }
    // By hours they may: the wait is counted from the latest of them.
    let mut world = World::new(1..=9);
    world.ahead_days = 1;
    world.claims(ANN, &claimed);
    world.ahead_days = 0;
    world.claims(BEN, &claimed);
    assert_eq!(world.row(1).expect("kept").keep_until, world.wall().after_days(31));
}

// DEL-5
#[test]
fn a_restart_forgets_what_was_said_and_asks_everybody_again() {
    let claimed: Vec<u8> = (2..=9).collect();
    let mut world = World::new(1..=9);
    world.claims(ANN, &claimed);
    world.claims(BEN, &claimed);
    let row = world.row(1).expect("it is kept");
    // As it was in an old image of this disk, long after the wait, and 1 is claimed again since.
    let mut world = World::new(2..=9);
    world.give(Input::RowKnown(row));
    world.day = 400;
    assert!(erased(&world.claims(ANN, &claimed)).is_empty());
    world.claims(BEN, &(1..=9).collect::<Vec<_>>());
    assert!(!world.is_unclaimed(1));
}

// DEL-6
#[test]
fn a_quarter_of_the_vault_within_a_week_waits_three_times_as_long() {
    let mut world = World::new(1..=9);
    for device in [ANN, BEN] {
        world.claims(device, &[3, 4, 5, 6, 7, 8, 9]);
    }
    assert_eq!(world.row(1).expect("kept").keep_until, world.wall().after_days(30));
    world.day = 3;
    for device in [ANN, BEN] {
        world.claims(device, &[4, 5, 6, 7, 8, 9]);
    }
    assert_eq!(world.row(3).expect("kept").keep_until, world.wall().after_days(90));
    world.day = 20;
    for device in [ANN, BEN] {
        world.claims(device, &[5, 6, 7, 8, 9]);
    }
    assert_eq!(world.row(4).expect("kept").keep_until, world.wall().after_days(30));
    assert_eq!(world.holding.unclaimed_of(VAULT), (4, 400, Some(Timestamp(START).after_days(30))));
    assert_eq!(world.holding.standing(VAULT).unclaimed_bytes, 400);
}

// DEL-7
#[test]
fn an_offer_promises_again_and_answers_only_when_that_is_durable() {
    let mut world = World::new(1..=9);
    for device in [ANN, BEN] {
        world.claims(device, &(2..=9).collect::<Vec<_>>());
    }
    let ordered = world.offer(1);
    let [Output::Revive { request, rows }] = &ordered[..] else { panic!("{ordered:?}") };
    assert!(rows.len() == 1 && rows[0].unclaimed.is_none());
    let row = rows[0];
    let request = *request;
    let failed = world.give(Input::Revived { request, is_durable: false });
    let verdicts = vec![HeldVerdict::Refused(Refusal::Internal)];
    assert_eq!(failed, [Output::AnswerOffer { request, verdicts }]);
    let answered = world.offer(1);
    let verdicts = vec![HeldVerdict::Kept(row)];
    assert!(matches!(&answered[..], [Output::AnswerOffer { verdicts: it, .. }] if *it == verdicts));
}

// DEL-7
#[test]
fn what_was_said_before_an_offer_does_not_count_after_it() {
    let mut world = World::new(1..=9);
    let others: Vec<u8> = (2..=9).collect();
    world.claims(BEN, &others);
    // Ben relies on it from now on; his head is still being made.
    world.offer(1);
    world.claims(ANN, &others);
    assert!(!world.is_unclaimed(1));
    world.claims(BEN, &(1..=9).collect::<Vec<_>>());
    world.claims(ANN, &others);
    assert!(!world.is_unclaimed(1));
}

// DEL-8
#[test]
fn whoever_reads_what_nobody_claims_revives_it_and_people_are_told() {
    let mut world = World::new(1..=9);
    for device in [ANN, BEN] {
        world.claims(device, &(2..=9).collect::<Vec<_>>());
    }
    let (vault, root) = (VAULT, shard(1).root);
    let told = world.give(Input::Served { vault, root });
    assert!(matches!(&told[..], [Output::NoteRows { .. }, Output::UnclaimedServed { .. }]));
    assert!(!world.is_unclaimed(1));
    assert_eq!(world.give(Input::Served { vault, root }), []);
}

// DEL-9
#[test]
fn an_erasure_that_fails_leaves_everything_as_it_was() {
    let mut world = World::new(1..=9);
    let others: Vec<u8> = (2..=9).collect();
    for day in [0, 31] {
        world.day = day;
        world.claims(ANN, &others);
        world.claims(BEN, &others);
    }
    assert!(world.row(1).is_none(), "being erased");
    let (vault, root) = (VAULT, shard(1).root);
    assert_eq!(world.give(Input::EraseFailed { vault, root }), []);
    assert!(world.is_unclaimed(1));
    world.claims(ANN, &others);
    assert_eq!(erased(&world.claims(BEN, &others)), [1], "tried again with the next words");
}

// DEL-1
#[test]
fn only_devices_of_the_vault_are_listened_to() {
    let mut world = World::new(1..=9);
    world.devices = BTreeSet::from([ANN]);
    let key = DeviceId::from_bytes([77; 32]);
    let callers = [
        Caller::Recovery { key, vault: VAULT },
        Caller::Member { device: key, vault: VaultId::from_bytes([2; 32]) },
        Caller::Stranger { key },
    ];
    for caller in callers {
        let (request, part) = (world.request(), world.part(0, true, &[]));
        let part = ClaimsPart { seq: 0, ..part };
        let (devices, wall) = (world.devices.clone(), world.wall());
        let now = Circumstances { head: None, is_forked: false, devices, wall };
        let told = world.give(Input::ClaimsTold { request, caller, vault: VAULT, part, now });
        assert_eq!(told, [Output::Refuse { request, reason: Refusal::Forbidden }]);
    }
    assert!(!world.is_unclaimed(1));
}

#[derive(Debug, Clone)]
enum Act {
    Claim(bool, BTreeSet<u8>),
    Offer(u8),
    Read(u8),
    Restart,
    Days(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let seeds = prop::collection::btree_set(1..=6_u8, 0..6);
    let act = prop_oneof![
        6 => (any::<bool>(), seeds).prop_map(|(ann, seeds)| Act::Claim(ann, seeds)),
        1 => (1..=6_u8).prop_map(Act::Offer),
        1 => (1..=6_u8).prop_map(Act::Read),
        1 => Just(Act::Restart),
        3 => (1..60_u64).prop_map(Act::Days),
    ];
    prop::collection::vec(act, 1..80)
}

proptest! {
    // DEL-1, DEL-4: against a model that remembers everything.
    #[test]
    fn nothing_is_erased_that_was_claimed_promised_or_read_within_the_retention(acts in acts()) {
        let mut world = World::new(1..=6);
        // The last day on which anybody needed it.
        let mut needed = [0_u64; 7];
        for act in acts {
            match act {
                Act::Days(days) => world.day += days,
                Act::Claim(ann, seeds) => {
                    let roots: Vec<u8> = seeds.iter().copied().collect();
                    roots.iter().for_each(|seed| needed[usize::from(*seed)] = world.day);
                    let device = if ann { ANN } else { BEN };
                    let told = world.claims(device, &roots);
                    for seed in erased(&told) {
                        prop_assert!(world.day - needed[usize::from(seed)] > 30);
                        let (vault, root) = (VAULT, shard(seed).root);
                        world.give(Input::RowErased { vault, root });
                    }
                }
                Act::Offer(seed) => {
                    let ordered = world.offer(seed);
                    if let Some(Output::Revive { request, .. }) = ordered.first() {
                        let request = *request;
                        world.give(Input::Revived { request, is_durable: true });
                    }
                    if world.row(seed).is_some() {
                        needed[usize::from(seed)] = world.day;
                    }
                }
                Act::Read(seed) => {
                    let was_unclaimed = world.is_unclaimed(seed);
                    let (vault, root) = (VAULT, shard(seed).root);
                    world.give(Input::Served { vault, root });
                    if was_unclaimed {
                        needed[usize::from(seed)] = world.day;
                    }
                }
                Act::Restart => {
                    let rows: Vec<Row> = (1..=6).filter_map(|seed| world.row(seed)).collect();
                    let fresh = World::new([]);
                    world.holding = fresh.holding;
                    for row in rows {
                        world.give(Input::RowKnown(row));
                    }
                }
            }
        }
    }
}

/// What somebody does who has Ben's device, while Ann's goes on.
#[derive(Debug, Clone)]
enum Theft {
    /// Ben needs these alone, with a clock that is so many days ahead.
    Needs(BTreeSet<u8>, i64),
    /// The log says that Ann was removed, or that this is void.
    Removes(bool),
    Forks(bool),
    /// Ann says again that she needs everything; nobody listens while she is removed.
    AnnSays,
    Days(u64),
}

fn thefts() -> impl Strategy<Value = Vec<Theft>> {
    let seeds = prop::collection::btree_set(1..=6_u8, 0..3);
    let theft = prop_oneof![
        4 => (seeds, -400..400_i64).prop_map(|(seeds, ahead)| Theft::Needs(seeds, ahead)),
        2 => any::<bool>().prop_map(Theft::Removes),
        1 => any::<bool>().prop_map(Theft::Forks),
        2 => Just(Theft::AnnSays),
        3 => (1..20_u64).prop_map(Theft::Days),
    ];
    prop::collection::vec(theft, 1..80)
}

proptest! {
    // DEL-1, DEL-3, DEL-4: no acts of a stolen device shorten the time in which its owner can make them void.
    #[test]
    fn a_thief_who_removes_the_owner_erases_nothing_within_the_retention(thefts in thefts()) {
        let mut world = World::new(1..=6);
        world.claims(ANN, &[1, 2, 3, 4, 5, 6]);
        // The last day on which Ann belonged to the vault and had her word.
        let mut last_word = 0;
        for theft in thefts {
            match theft {
                Theft::Days(days) => world.day += days,
                Theft::Removes(true) => world.devices = [BEN].into(),
                Theft::Removes(false) => world.devices = [ANN, BEN].into(),
                Theft::Forks(is_forked) => world.is_forked = is_forked,
                Theft::AnnSays if world.devices.contains(&ANN) => {
                    world.ahead_days = 0;
                    world.claims(ANN, &[1, 2, 3, 4, 5, 6]);
                    last_word = world.day;
                }
                Theft::AnnSays => {}
                Theft::Needs(seeds, ahead) => {
                    world.ahead_days = ahead;
                    let roots: Vec<u8> = seeds.into_iter().collect();
                    let head = Some((1, Claims::of(roots.iter().map(|seed| shard(*seed)))));
                    // One from far ahead is not even listened to.
                    let told = world.tell(BEN, world.part(0, true, &roots), head);
                    for seed in erased(&told) {
                        prop_assert!(world.day - last_word > 30, "day {}", world.day);
                        world.give(Input::RowErased { vault: VAULT, root: shard(seed).root });
                    }
                }
            }
        }
    }
}

// HOLD-1, DEL-9
#[test]
fn a_shard_that_is_arriving_anew_is_not_erased_under_way() {
    let mut world = World::new(1..=9);
    let others: Vec<u8> = (2..=9).collect();
    for device in [ANN, BEN] {
        world.claims(device, &others);
    }
    world.give(Input::BytesLost { root: shard(1).root });
    let (request, caller) = (world.request(), Caller::Member { device: ANN, vault: VAULT });
    let (vault, class) = (VAULT, PackClass::Data);
    world.give(Input::PutAsked { request, caller, vault, shard: shard(1), class });
    world.day = 40;
    world.claims(ANN, &others);
    assert!(erased(&world.claims(BEN, &others)).is_empty());
    world.give(Input::BytesDurable { request, wall: world.wall() });
    let told = world.give(Input::RowDurable { request });
    assert!(matches!(&told[..], [Output::Acknowledge { .. }]), "{told:?}");
    assert!(world.row(1).is_some());
}

// DEL-7
#[test]
fn bytes_that_come_anew_are_claimed_anew() {
    let mut world = World::new(1..=9);
    for device in [ANN, BEN] {
        world.claims(device, &(2..=9).collect::<Vec<_>>());
    }
    world.give(Input::BytesLost { root: shard(1).root });
    let (request, caller) = (world.request(), Caller::Member { device: ANN, vault: VAULT });
    let (vault, class) = (VAULT, PackClass::Data);
    world.give(Input::PutAsked { request, caller, vault, shard: shard(1), class });
    world.give(Input::PutFailed { request, failure: PutFailure::Aborted });
    assert!(world.is_unclaimed(1), "nothing came");
    let request = world.request();
    world.give(Input::PutAsked { request, caller, vault, shard: shard(1), class });
    world.give(Input::BytesDurable { request, wall: world.wall() });
    world.give(Input::RowDurable { request });
    assert!(!world.is_unclaimed(1));
}
