//! The holder's machine alone.

use super::*;
use crate::ids::DeviceId;

const VAULT: VaultId = VaultId::from_bytes([1; 32]);
const OTHER: VaultId = VaultId::from_bytes([2; 32]);
const WALL: Timestamp = Timestamp(1_800_000_000);

fn member(vault: VaultId) -> Caller {
    Caller::Member { device: DeviceId::from_bytes([9; 32]), vault }
}

fn shard(seed: u8, bytes: u64) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes }
}

fn holding(grant_bytes: u64, offer_bytes: u64, free_bytes: u64) -> Holding {
    let mut holding = Holding::new();
    let terms = Terms { offer_bytes, disk_reserve_bytes: 100, retention_days: 30 };
    holding.handle_input(Input::TermsChanged(terms));
    holding.handle_input(Input::GrantChanged { vault: VAULT, bytes: grant_bytes });
    holding.handle_input(Input::DiskMeasured { free_bytes });
    holding
}

fn put(holding: &mut Holding, number: u64, caller: Caller, shard: ShardRef) -> Vec<Output> {
    let request = OrderId(number);
    let class = PackClass::Data;
    holding.handle_input(Input::PutAsked { request, caller, vault: VAULT, shard, class });
    drain(holding)
}

fn drain(holding: &mut Holding) -> Vec<Output> {
    std::iter::from_fn(|| holding.poll_output()).collect()
}

fn give(holding: &mut Holding, input: Input) -> Vec<Output> {
    holding.handle_input(input);
    drain(holding)
}

fn store(holding: &mut Holding, number: u64, shard: ShardRef) -> Row {
    let request = OrderId(number);
    assert_eq!(put(holding, number, member(VAULT), shard), [Output::Go { request, shard }]);
    let written = give(holding, Input::BytesDurable { request, wall: WALL });
    let [Output::WriteRow { row, .. }] = written.as_slice() else { panic!("{written:?}") };
    let row = *row;
    let acknowledged = give(holding, Input::RowDurable { request });
    assert_eq!(acknowledged, [Output::Acknowledge { request, row }]);
    row
}

fn refused(number: u64, reason: Refusal) -> [Output; 1] {
    [Output::Refuse { request: OrderId(number), reason }]
}

// HOLD-1, HOLD-2
#[test]
fn a_receipt_follows_the_durable_row_and_never_comes_before() {
    let mut holding = holding(1000, 1000, 1000);
    let request = OrderId(1);
    assert!(give(&mut holding, Input::RowDurable { request }).is_empty());
    put(&mut holding, 1, member(VAULT), shard(1, 10));
    assert!(give(&mut holding, Input::RowDurable { request }).is_empty());
    let written = give(&mut holding, Input::BytesDurable { request, wall: WALL });
    assert!(matches!(written.as_slice(), [Output::WriteRow { .. }]));
    assert!(give(&mut holding, Input::BytesDurable { request, wall: WALL }).is_empty());
    let acknowledged = give(&mut holding, Input::RowDurable { request });
    let [Output::Acknowledge { row, .. }] = acknowledged.as_slice() else { panic!() };
    assert_eq!(row.keep_until, WALL.after_days(RETENTION_DAYS_MIN));
    assert!(give(&mut holding, Input::RowDurable { request }).is_empty());
    // Kept already: acknowledged at once, from the durable row.
    let again = put(&mut holding, 2, member(VAULT), shard(1, 10));
    assert_eq!(again, [Output::Acknowledge { request: OrderId(2), row: *row }]);
}

// HOLD-3
#[test]
fn grant_offer_and_disk_bound_what_is_taken() {
    let mut quota = holding(25, 1000, 1000);
    store(&mut quota, 1, shard(1, 10));
    put(&mut quota, 2, member(VAULT), shard(2, 10));
    assert_eq!(put(&mut quota, 3, member(VAULT), shard(3, 6)), refused(3, Refusal::Quota));
    let mut offer = holding(1000, 15, 1000);
    store(&mut offer, 1, shard(1, 10));
    assert_eq!(put(&mut offer, 2, member(VAULT), shard(2, 6)), refused(2, Refusal::Full));
    let mut disk = holding(1000, 1000, 115);
    store(&mut disk, 1, shard(1, 10));
    assert_eq!(put(&mut disk, 2, member(VAULT), shard(2, 6)), refused(2, Refusal::Full));
    assert_eq!(disk.standing(VAULT).free_bytes, 5);
    let mut none = holding(0, 1000, 1000);
    assert_eq!(put(&mut none, 1, member(VAULT), shard(1, 1)), refused(1, Refusal::Quota));
}

// HOLD-3
#[test]
fn an_offer_counts_the_room_of_all_its_shards_together() {
    let mut holding = holding(25, 1000, 1000);
    let row = store(&mut holding, 1, shard(1, 10));
    let shards = [1, 2, 3].map(|seed| OfferedShard { shard: shard(seed, 10), class: row.class });
    let (request, caller) = (OrderId(2), member(VAULT));
    let shards = shards.to_vec();
    let answer = give(&mut holding, Input::Offered { request, caller, vault: VAULT, shards });
    let verdicts =
        vec![HeldVerdict::Kept(row), HeldVerdict::Wanted, HeldVerdict::Refused(Refusal::Quota)];
    assert_eq!(answer, [Output::AnswerOffer { request, verdicts }]);
    // An offer reserves nothing.
    assert_eq!(holding.standing(VAULT).free_bytes, 15);
}

// HOLD-4
#[test]
fn only_devices_of_the_vault_store_and_only_they_and_recovery_read() {
    let mut holding = holding(1000, 1000, 1000);
    let kept = store(&mut holding, 1, shard(1, 10)).shard;
    let key = DeviceId::from_bytes([7; 32]);
    let recovery = Caller::Recovery { key, vault: VAULT };
    let stranger = Caller::Stranger { key };
    for (number, caller) in [(2, member(OTHER)), (3, recovery), (4, stranger)] {
        let answer = put(&mut holding, number, caller, shard(2, 10));
        assert_eq!(answer, refused(number, Refusal::Forbidden));
    }
    assert_eq!(holding.may_read(&member(VAULT), kept.root), ReadVerdict::Allowed(kept));
    assert_eq!(holding.may_read(&recovery, kept.root), ReadVerdict::Allowed(kept));
    assert_eq!(holding.may_read(&member(OTHER), kept.root), ReadVerdict::Absent);
    assert_eq!(holding.may_read(&stranger, kept.root), ReadVerdict::Forbidden);
    assert!(recovery.permit(Action::AddLog, VAULT).is_ok());
    assert!(recovery.permit(Action::AddHead, VAULT).is_err());
    assert!(member(VAULT).permit(Action::ReadRecords, OTHER).is_err());
}

// GUARD-16
#[test]
fn whoever_has_the_secret_of_guardians_asks_for_the_phrase_and_nothing_else() {
    let mut holding = holding(1000, 1000, 1000);
    let kept = store(&mut holding, 1, shard(1, 10)).shard;
    let asker = Caller::Guardians { key: DeviceId::from_bytes([7; 32]), vault: VAULT };
    assert_eq!(asker.permit(Action::AskRelease, VAULT), Ok(()));
    assert_eq!(asker.permit(Action::AskRelease, OTHER), Err(Refusal::Forbidden));
    let all = [
        Action::Store,
        Action::Read,
        Action::ReadRecords,
        Action::AddLog,
        Action::AddHead,
        Action::Guard,
    ];
    assert!(all.iter().all(|action| asker.permit(*action, VAULT).is_err()));
    assert_eq!(holding.may_read(&asker, kept.root), ReadVerdict::Forbidden);
    assert_eq!(put(&mut holding, 2, asker, shard(2, 10)), refused(2, Refusal::Forbidden));
    assert!(asker.tells_requests(VAULT, Some(VAULT)).is_err());
    // And nobody asks who is known otherwise.
    assert!(member(VAULT).permit(Action::AskRelease, VAULT).is_err());
    // Devices exchange what they know; a holder of another vault tells, and is told nothing.
    assert_eq!(member(VAULT).tells_requests(VAULT, Some(OTHER)), Ok(true));
    assert_eq!(member(OTHER).tells_requests(VAULT, Some(VAULT)), Ok(false));
    assert!(member(OTHER).tells_requests(VAULT, Some(OTHER)).is_err());
    assert!(member(OTHER).tells_requests(VAULT, None).is_err());
}

// HOLD-5
#[test]
fn a_failed_upload_gives_its_room_back() {
    use PutFailure::{Aborted, Disk, DiskFull, WrongBytes};
    for (failure, reason) in [
        (Aborted, None),
        (WrongBytes, Some(Refusal::WrongBytes)),
        (Disk, Some(Refusal::Internal)),
        (DiskFull, Some(Refusal::Full)),
    ] {
        let mut holding = holding(1000, 1000, 1000);
        put(&mut holding, 1, member(VAULT), shard(1, 900));
        assert_eq!(holding.standing(VAULT).free_bytes, 0);
        let answer = give(&mut holding, Input::PutFailed { request: OrderId(1), failure });
        assert_eq!(answer, reason.map(|reason| refused(1, reason)[0].clone()).as_slice());
        let free_bytes = if failure == DiskFull { 0 } else { 900 };
        assert_eq!(holding.standing(VAULT).free_bytes, free_bytes);
        holding.handle_input(Input::DiskMeasured { free_bytes: 1000 });
        assert_eq!(holding.standing(VAULT).free_bytes, 900);
    }
    let mut holding = holding(1000, 1000, 1000);
    put(&mut holding, 1, member(VAULT), shard(1, 900));
    give(&mut holding, Input::BytesDurable { request: OrderId(1), wall: WALL });
    let answer = give(&mut holding, Input::RowFailed { request: OrderId(1) });
    let [Output::Refuse { .. }, Output::DropFile { .. }] = answer.as_slice() else { panic!() };
    assert_eq!(holding.standing(VAULT).free_bytes, 900);
}

// HOLD-6
#[test]
fn uploads_at_once_are_bounded_and_one_shard_is_received_once() {
    let mut holding = holding(1000, 1000, 2000);
    put(&mut holding, 1, member(VAULT), shard(1, 1));
    assert_eq!(put(&mut holding, 2, member(VAULT), shard(1, 1)), refused(2, Refusal::Busy));
    for number in 2..=8 {
        let seed = u8::try_from(number).unwrap();
        let answer = put(&mut holding, number, member(VAULT), shard(seed, 1));
        assert!(matches!(answer.as_slice(), [Output::Go { .. }]), "{number} {answer:?}");
    }
    assert_eq!(put(&mut holding, 9, member(VAULT), shard(9, 1)), refused(9, Refusal::Busy));
    assert_eq!(holding.puts_pending(), PUTS_PER_CALLER_MAX);
}

// HOLD-7
#[test]
fn lost_bytes_are_wanted_again_and_not_served() {
    let mut holding = holding(1000, 1000, 1000);
    let kept = store(&mut holding, 1, shard(1, 10)).shard;
    let root = kept.root;
    let marked = give(&mut holding, Input::BytesLost { root });
    assert_eq!(marked, [Output::MarkLost { vault: VAULT, root }]);
    assert_eq!(holding.may_read(&member(VAULT), root), ReadVerdict::Absent);
    assert_eq!(holding.kept_for(VAULT), (0, 0));
    // HOLD-2: a clock that went back shortens nothing.
    let request = OrderId(2);
    put(&mut holding, 2, member(VAULT), kept);
    let wall = Timestamp(WALL.0 - 86_400);
    let written = give(&mut holding, Input::BytesDurable { request, wall });
    let [Output::WriteRow { row, .. }] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!(row.keep_until, WALL.after_days(RETENTION_DAYS_MIN));
    give(&mut holding, Input::RowDurable { request });
    assert_eq!(holding.may_read(&member(VAULT), root), ReadVerdict::Allowed(kept));
    assert_eq!(holding.kept_for(VAULT), (1, 10));
}

// HOLD-8
#[test]
fn the_user_may_delete_and_the_row_goes_before_the_file() {
    let mut holding = holding(1000, 1000, 1000);
    let root = store(&mut holding, 1, shard(1, 10)).shard.root;
    let vault = VAULT;
    let erased = give(&mut holding, Input::DeleteAsked { vault, root });
    assert_eq!(erased, [Output::EraseRow { vault, root }]);
    assert_eq!(put(&mut holding, 2, member(VAULT), shard(1, 10)), refused(2, Refusal::Busy));
    assert_eq!(holding.may_read(&member(VAULT), root), ReadVerdict::Absent);
    let dropped = give(&mut holding, Input::RowErased { vault, root });
    assert_eq!(dropped, [Output::DropFile { root }]);
    assert_eq!(holding.kept_for(VAULT), (0, 0));
}

// HOLD-10
#[test]
fn what_has_to_be_shown_is_looked_at_only_if_it_is_kept_for_that_vault_and_well() {
    let mut holding = holding(10_000, 10_000, 10_000);
    store(&mut holding, 1, shard(1, 500));
    assert_eq!(holding.may_show(VAULT, shard(1, 500)), ShowVerdict::Look);
    assert_eq!(holding.may_show(VAULT, shard(1, 501)), ShowVerdict::Absent);
    assert_eq!(holding.may_show(OTHER, shard(1, 500)), ShowVerdict::Absent);
    assert_eq!(holding.may_show(VAULT, shard(2, 500)), ShowVerdict::Absent);
    give(&mut holding, Input::BytesLost { root: shard(1, 500).root });
    assert_eq!(holding.may_show(VAULT, shard(1, 500)), ShowVerdict::Damaged);
    give(&mut holding, Input::DeleteAsked { vault: VAULT, root: shard(1, 500).root });
    assert_eq!(holding.may_show(VAULT, shard(1, 500)), ShowVerdict::Absent);
}
