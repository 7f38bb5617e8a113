//! The code against its definition, worked out byte by byte with tables, and against every loss.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::{ids::ShardRoot, limits::CODED_PACK_BYTES_MAX, limits::GROUP_BYTES};

fn number(number: u8) -> ShardNumber {
    ShardNumber::try_from(number).unwrap()
}

fn numbers(all: &[u8]) -> Vec<ShardNumber> {
    all.iter().copied().map(number).collect()
}

/// Bytes without a pattern that a fault could hide in.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

fn long(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap()
}

fn short(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

fn cut<'a>(shard: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &shard[short(range.start)..short(range.end)]
}

/// Logarithms and powers of x, as a reader in another language would make them.
fn tables() -> ([usize; 256], [u8; 510]) {
    let (mut logarithms, mut powers) = ([0; 256], [0; 510]);
    let mut power: u16 = 1;
    for exponent in 0..255 {
        let byte = u8::try_from(power).unwrap();
        logarithms[usize::from(byte)] = exponent;
        (powers[exponent], powers[exponent + 255]) = (byte, byte);
        power <<= 1;
        if power > 255 {
            power ^= 0x11d;
        }
    }
    (logarithms, powers)
}

/// Shard `i` by the page alone: `i / (i + j)` for the factors, one byte at a time.
fn by_definition(k: u8, i: u8, data: &[Vec<u8>]) -> Vec<u8> {
    if i < k {
        return data[usize::from(i)].clone();
    }
    let (logarithms, powers) = tables();
    let logarithm = |byte: u8| logarithms[usize::from(byte)];
    let mut shard = vec![0; data[0].len()];
    for (j, source) in (0..k).zip(data) {
        let factor = logarithm(i) + 255 - logarithm(i ^ j);
        for (sum, byte) in shard.iter_mut().zip(source) {
            if *byte != 0 {
                *sum ^= powers[(factor % 255) + logarithm(*byte)];
            }
        }
    }
    shard
}

/// The data shards by the page alone.
fn data_shards(k: u8, pack: &[u8]) -> Vec<Vec<u8>> {
    let bytes = short(Layout::new(k, long(pack.len())).unwrap().shard_bytes());
    let mut padded = pack.to_vec();
    padded.resize(bytes * usize::from(k), 0);
    padded.chunks(bytes).map(<[u8]>::to_vec).collect()
}

/// Every choice of `count` of the numbers below `of`.
fn choices(count: u8, of: u8) -> Vec<Vec<ShardNumber>> {
    let all = 0..1_u32 << of;
    let fitting = all.filter(|set| set.count_ones() == u32::from(count));
    fitting
        .map(|set| ShardNumber::below(of).filter(|n| set >> n.place() & 1 != 0).collect())
        .collect()
}

// CODE-2, CODE-4
#[test]
fn shards_are_what_the_page_says() {
    for (k, n, bytes) in
        [(1, 4, 40_000), (2, 6, 100_001), (3, 6, 1), (4, 12, 65_536), (32, 64, 999_999)]
    {
        let pack = noise(bytes);
        let shards = Coding::new(k, n).unwrap().encode(&pack).unwrap();
        let data = data_shards(k, &pack);
        for (i, shard) in (0..n).zip(&shards) {
            assert_eq!(*shard, by_definition(k, i, &data), "shard {i}, {k} of {n}");
        }
        assert_eq!(shards.len(), usize::from(n));
    }
}

// CODE-3
#[test]
fn one_data_shard_is_replication() {
    for bytes in [1, 16_383, 16_384, 16_385, 70_000] {
        let pack = noise(bytes);
        let shards = Coding::new(1, CODING_SHARDS_MAX).unwrap().encode(&pack).unwrap();
        assert!(shards.iter().all(|shard| *shard == pack));
        let back = rebuild_shard(1, number(7), &[(number(63), &pack)]).unwrap();
        assert_eq!(back, pack);
    }
}

// CODE-4
#[test]
fn a_shard_is_as_long_as_it_has_to_be() {
    let group = GROUP_BYTES;
    for (k, pack_bytes, shard_bytes) in [
        (1, 1, 1),
        (1, group + 1, group + 1),
        (1, 64 << 20, 64 << 20),
        (2, 1, 1),
        (2, group, group),
        (2, 2 * group, group),
        (2, 2 * group + 1, 2 * group),
        (3, 32 << 20, 683 * group),
        (4, 32 << 20, 8 << 20),
        (32, 64 << 20, 2 << 20),
    ] {
        let layout = Layout::new(k, pack_bytes).unwrap();
        assert_eq!(layout.shard_bytes(), shard_bytes, "{pack_bytes} bytes in {k}");
        // The data shards hold the pack, in order and without a gap.
        let mut end = 0;
        for held in ShardNumber::below(k).map(|number| layout.held(number)) {
            assert!(held.is_empty() || held.start == end);
            end = end.max(held.end);
        }
        assert_eq!(end, pack_bytes);
        assert!(layout.held(number(k)).is_empty());
    }
}

// CODE-5: a code that misses one choice of shards is none
#[test]
fn any_shards_give_the_pack_back_if_they_are_enough() {
    let (k_max, n) = (5, 9);
    for k in 1..=k_max {
        let pack = noise(usize::from(k) * 40);
        // One group is longer than this pack: short data shards by hand.
        let data: Vec<Vec<u8>> = pack.chunks(40).map(<[u8]>::to_vec).collect();
        let shards: Vec<Vec<u8>> = (0..n).map(|i| by_definition(k, i, &data)).collect();
        let every: Vec<ShardNumber> = ShardNumber::below(n).collect();
        for sources in choices(k, n) {
            let given: Vec<&[u8]> = sources.iter().map(|from| &shards[from.place()][..]).collect();
            let results = Recipe::new(k, &sources, &every).unwrap().combine(&given).unwrap();
            assert_eq!(results, shards, "from {sources:?} of {k}");
        }
    }
}

// CODE-5: the same for the largest code, by its matrix
proptest! {
    #[test]
    fn no_choice_of_rows_is_without_an_inverse(
        k in 1..=CODING_DATA_SHARDS_MAX,
        seed in proptest::array::uniform32(any::<u8>()),
    ) {
        let mut all: Vec<u8> = (0..CODING_SHARDS_MAX).collect();
        all.sort_by_key(|i| *blake3::keyed_hash(&seed, &[*i]).as_bytes());
        let rows = all.iter().take(usize::from(k)).map(|i| field::row(k, number(*i)));
        prop_assert!(field::invert_matrix(rows.collect()).is_some());
    }
}

// CODE-6
#[test]
fn more_shards_leave_those_there_are_as_they_are() {
    let pack = noise(200_000);
    for k in [1, 2, 3, 7] {
        let most = Coding::new(k, 20).unwrap().encode(&pack).unwrap();
        for n in k..20 {
            let fewer = Coding::new(k, n).unwrap().encode(&pack).unwrap();
            assert_eq!(fewer[..], most[..usize::from(n)]);
        }
        // And one alone, made later from the pack, or without it from others.
        let layout = Layout::new(k, 200_000).unwrap();
        let whole = 0..layout.shard_bytes();
        let later = layout.stripes(&pack, &[number(19)], whole).unwrap();
        assert_eq!(later[0], most[19]);
        let others: Vec<_> = (k..2 * k).map(|i| (number(i), &most[usize::from(i)][..])).collect();
        assert_eq!(rebuild_shard(k, number(19), &others).unwrap(), most[19]);
    }
}

// CODE-7
#[test]
fn stripes_of_any_length_are_ranges_of_the_shards() {
    let pack = noise(333_333);
    let coding = Coding::new(3, 7).unwrap();
    let layout = coding.layout(333_333).unwrap();
    let shards = coding.encode(&pack).unwrap();
    let all: Vec<ShardNumber> = coding.numbers().collect();
    let bytes = layout.shard_bytes();
    for range in [0..bytes, 0..1, 5..6, 100..229, 16_384..32_768, bytes - 1..bytes, 90_000..bytes] {
        let stripes = layout.stripes(&pack, &all, range.clone()).unwrap();
        for (stripe, shard) in stripes.iter().zip(&shards) {
            assert_eq!(stripe, cut(shard, &range));
        }
    }
}

// CODE-9
#[test]
fn what_no_code_has_is_refused() {
    for (k, n) in [(0, 0), (0, 3), (33, 64), (255, 255)] {
        assert_eq!(Coding::new(k, n), Err(CodingError::DataShards { met: k }));
    }
    for (k, n) in [(2, 1), (2, 65), (32, 255)] {
        assert_eq!(Coding::new(k, n), Err(CodingError::Shards { met: n.into(), data: k }));
    }
    assert_eq!(ShardNumber::try_from(64), Err(CodingError::Number { met: 64 }));
    let coding = Coding::new(2, 4).unwrap();
    for met in [0, SHARD_BYTES_MAX + 1, u64::MAX] {
        assert_eq!(coding.layout(met), Err(CodingError::PackBytes { met }));
    }
    assert_eq!(coding.encode(&[]), Err(CodingError::PackBytes { met: 0 }));
    let layout = coding.layout(100_000).unwrap();
    let expected = CodingError::OtherPack { met: 99_999, expected: 100_000 };
    assert_eq!(layout.stripes(&noise(99_999), &[], 0..1), Err(expected));
    let pack = noise(100_000);
    let range = Range { start: 5, end: 4 };
    for range in [0..0, range, 0..layout.shard_bytes() + 1, u64::MAX - 1..u64::MAX] {
        let stripes = layout.stripes(&pack, &[number(2)], range.clone());
        assert_eq!(stripes, Err(CodingError::Range { range, bytes: layout.shard_bytes() }));
    }
    assert!(matches!(layout.plan(0..100_001, &numbers(&[0, 1])), Err(CodingError::Range { .. })));
}

// CODE-9
#[test]
fn shards_that_do_not_fit_together_are_refused() {
    let lost = number(0);
    let (one, other, third) =
        ((number(1), &b"abc"[..]), (number(2), &b"def"[..]), (number(3), &b"ghi"[..]));
    let count = |met| Err(CodingError::Count { met, needed: 2 });
    assert_eq!(rebuild_shard(2, lost, &[]), count(0));
    assert_eq!(rebuild_shard(2, lost, &[one]), count(1));
    assert_eq!(rebuild_shard(2, lost, &[one, other, third]), count(3));
    assert_eq!(rebuild_shard(2, lost, &[one, one]), Err(CodingError::Twice(number(1))));
    let longer = (number(2), &b"defg"[..]);
    let unequal = Err(CodingError::Unequal { met: 4, expected: 3 });
    assert_eq!(rebuild_shard(2, lost, &[one, longer]), unequal);
    assert_eq!(rebuild_shard(0, lost, &[]), Err(CodingError::DataShards { met: 0 }));
    assert_eq!(rebuild_shard(2, lost, &[(number(1), b""), (number(2), b"")]), Ok(Vec::new()));
    let recipe = Recipe::new(2, &numbers(&[1, 2]), &numbers(&[0, 3])).unwrap();
    assert_eq!(recipe.combine(&[b"abc"]), Err(CodingError::Count { met: 1, needed: 2 }));
    let (mut room, mut shorter) = ([7; 3], [7; 2]);
    let one_place = recipe.combine_into(&[b"abc", b"def"], &mut [&mut room]);
    assert_eq!(one_place, Err(CodingError::Room { met: 1, expected: 2 }));
    let too_short = recipe.combine_into(&[b"abc", b"def"], &mut [&mut room, &mut shorter]);
    assert_eq!(too_short, Err(CodingError::Unequal { met: 2, expected: 3 }));
    assert_eq!((room, shorter), ([7; 3], [7; 2]), "nothing was written");
}

/// What a plan fetches, as a list.
fn fetches(plan: &Plan) -> Vec<(u8, Range<u64>)> {
    let fetches = plan.fetches();
    let flat = fetches
        .into_iter()
        .flat_map(|(shard, ranges)| ranges.into_iter().map(move |range| (u8::from(shard), range)));
    flat.collect()
}

// CODE-10
#[test]
fn a_plan_takes_the_bytes_themselves_where_they_can_be_had() {
    let layout = Layout::new(3, 3 << 20).unwrap();
    let (mib, group) = (1 << 20, GROUP_BYTES);
    // Within one shard that can be had: that one alone.
    let plan = layout.plan(mib + 5..mib + 6, &numbers(&[4, 3, 1, 0])).unwrap();
    assert_eq!(fetches(&plan), [(1, 0..group)]);
    // It is away: the same range of any three, in the order of preference.
    let plan = layout.plan(mib + 5..mib + 6, &numbers(&[4, 3, 0, 2])).unwrap();
    assert_eq!(fetches(&plan), [0, 3, 4].map(|shard| (shard, 0..group)));
    // Across two shards, one of them away.
    let plan = layout.plan(mib - 1..mib + group + 1, &numbers(&[5, 0, 2, 4])).unwrap();
    let start = 0..2 * group;
    let expected = [(0, start.clone()), (0, mib - group..mib), (2, start.clone()), (5, start)];
    assert_eq!(fetches(&plan), expected);
    // All of it: what is fetched anyway helps, whatever is preferred.
    let plan = layout.plan(0..3 * mib, &numbers(&[5, 4, 3, 2, 0])).unwrap();
    assert_eq!(fetches(&plan), [0, 2, 5].map(|shard| (shard, 0..mib)));
    // Also where the last data shard ends before the others do.
    let longer = Layout::new(3, 32 << 20).unwrap();
    let plan = longer.plan(0..32 << 20, &numbers(&[5, 4, 3, 2, 0])).unwrap();
    assert_eq!(fetches(&plan), [0, 2, 5].map(|shard| (shard, 0..683 * group)));
    // Too few for what is away, and enough for what is not.
    let few = numbers(&[0, 2]);
    assert_eq!(layout.plan(0..3 * mib, &few), Err(CodingError::Count { met: 2, needed: 3 }));
    assert!(layout.plan(0..mib, &few).is_ok());
    assert_eq!(layout.plan(0..1, &numbers(&[0, 1, 0])), Err(CodingError::Twice(number(0))));
}

// CODE-10
#[test]
fn a_plan_for_copies_takes_the_one_that_is_preferred() {
    let layout = Layout::new(1, 100_000).unwrap();
    let plan = layout.plan(20_000..99_999, &numbers(&[5, 0, 1])).unwrap();
    assert_eq!(fetches(&plan), [(5, 16_384..100_000)]);
    let pack = noise(100_000);
    let given = Fetched { shard: number(5), start: 0, bytes: &pack };
    assert_eq!(plan.decode(&[given]).unwrap(), pack[20_000..99_999]);
}

#[test]
fn what_was_not_given_is_named() {
    let layout = Layout::new(2, 100_000).unwrap();
    let plan = layout.plan(0..10, &numbers(&[1, 2])).unwrap();
    let bytes = [0; 16_384];
    let one = Fetched { shard: number(1), start: 0, bytes: &bytes };
    let short = Fetched { shard: number(2), start: 0, bytes: &bytes[..16_383] };
    let late = Fetched { shard: number(2), start: 1, bytes: &bytes };
    let missing = CodingError::NotGiven { shard: number(2), range: 0..16_384 };
    assert_eq!(plan.decode(&[one, short, late]), Err(missing));
}

/// A code, a pack, shards that can be had in any order, and a range of the pack.
fn case() -> impl Strategy<Value = (Coding, usize, Vec<ShardNumber>, Range<usize>)> {
    let coding = (1_u8..=8, 0_u8..=8).prop_map(|(k, more)| Coding::new(k, k + more).unwrap());
    (coding, prop_oneof![1_usize..100, 1_usize..300_000]).prop_flat_map(|(coding, bytes)| {
        let all: Vec<ShardNumber> = coding.numbers().collect();
        let least = usize::from(coding.data_shards());
        let available = subsequence(all.clone(), least..=all.len()).prop_shuffle();
        let range = (0..bytes).prop_flat_map(move |start| (Just(start), start + 1..=bytes));
        (Just(coding), Just(bytes), available, range.prop_map(|(start, end)| start..end))
    })
}

proptest! {
    // CODE-7, CODE-10
    #[test]
    fn any_range_comes_back_by_its_plan((coding, bytes, available, range) in case()) {
        let pack = noise(bytes);
        let layout = coding.layout(long(bytes)).unwrap();
        let shards = coding.encode(&pack).unwrap();
        let wanted = long(range.start)..long(range.end);
        let plan = layout.plan(wanted.clone(), &available).unwrap();
        let fetches = plan.fetches();
        let given: Vec<Fetched<'_>> = fetches
            .iter()
            .flat_map(|(shard, ranges)| ranges.iter().map(|range| {
                let bytes = cut(&shards[shard.place()], range);
                Fetched { shard: *shard, start: range.start, bytes }
            }))
            .collect();
        prop_assert_eq!(plan.decode(&given).unwrap(), &pack[range]);
        // Whole groups of shards that can be had, nothing twice, not more than is needed.
        for (shard, ranges) in &fetches {
            prop_assert!(available.contains(shard));
            prop_assert!(ranges.iter().all(|range| range.start % GROUP_BYTES == 0
                && (range.end % GROUP_BYTES == 0 || range.end == layout.shard_bytes())));
            prop_assert!(ranges.is_sorted_by(|one, next| one.end < next.start));
        }
        for span in plan.spans() {
            let held = available.iter().any(|number| layout.holds(*number, span.shard));
            let needed = if held { 1 } else { usize::from(coding.data_shards()) };
            prop_assert_eq!(span.from.len(), needed);
        }
        let end = plan.spans().iter().try_fold(wanted.start, |end, span| {
            (span.pack.start == end).then_some(span.pack.end)
        });
        prop_assert_eq!(end, Some(wanted.end));
    }

    // CODE-8
    #[test]
    fn any_shard_is_rebuilt_from_any_others((coding, bytes, available, range) in case()) {
        let pack = noise(bytes);
        let shards = coding.encode(&pack).unwrap();
        let k = coding.data_shards();
        let within = range.start.min(shards[0].len() - 1)..range.end.min(shards[0].len());
        let others: Vec<(ShardNumber, &[u8])> = available
            .iter()
            .take(usize::from(k))
            .map(|shard| (*shard, &shards[shard.place()][within.clone()]))
            .collect();
        for (lost, shard) in coding.numbers().zip(&shards) {
            prop_assert_eq!(rebuild_shard(k, lost, &others).unwrap(), &shard[within.clone()]);
        }
    }

    // CODE-7: what is wrong in one place stays in that place
    #[test]
    fn a_byte_of_a_shard_depends_on_one_byte_of_each_other(at in 0_usize..1000, flip in 1_u8..) {
        let data: Vec<Vec<u8>> = noise(4000).chunks(1000).map(<[u8]>::to_vec).collect();
        let mut changed = data.clone();
        changed[2][at] ^= flip;
        let every: Vec<ShardNumber> = ShardNumber::below(10).collect();
        let recipe = Recipe::new(4, &numbers(&[0, 1, 2, 3]), &every).unwrap();
        let combine = |data: &[Vec<u8>]| {
            let sources: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            recipe.combine(&sources).unwrap()
        };
        for (i, (one, other)) in combine(&data).iter().zip(&combine(&changed)).enumerate() {
            let different: Vec<usize> = (0..1000).filter(|at| one[*at] != other[*at]).collect();
            let expected = if i < 4 && i != 2 { Vec::new() } else { vec![at] };
            prop_assert_eq!(different, expected);
        }
    }
}

fn root(of: u8) -> ShardRoot {
    ShardRoot::from_bytes([of; 32])
}

fn roots(count: u8) -> Vec<ShardRoot> {
    (1..=count).map(root).collect()
}

// CODE-11
#[test]
fn a_record_says_what_the_code_needs() {
    let pack = CodedPack::new(2, 100_000, roots(5)).unwrap();
    assert_eq!(CodedPack::decode(&pack.encode()), Ok(pack.clone()));
    assert_eq!(pack.coding(), Coding::new(2, 5).unwrap());
    assert_eq!(pack.layout(), Layout::new(2, 100_000).unwrap());
    let shard = pack.shard(number(4)).unwrap();
    assert_eq!((shard.root, shard.bytes), (root(5), 65_536));
    assert_eq!(pack.shard(number(5)), None);
    assert_eq!(pack.number_of(&root(3)), Some(number(2)));
    assert_eq!(pack.number_of(&root(9)), None);
    let largest = CodedPack::new(32, SHARD_BYTES_MAX, roots(64)).unwrap().encode();
    assert_eq!(largest.len(), CODED_PACK_BYTES_MAX);
    assert!(CodedPack::decode(&largest).is_ok());
}

// CODE-11
#[test]
fn records_that_cannot_be_are_refused() {
    let refused = |data, pack_bytes, roots| CodedPack::new(data, pack_bytes, roots).unwrap_err();
    assert!(matches!(refused(0, 1, roots(2)), CodedPackError::Coding(_)));
    assert!(matches!(refused(3, 1, roots(2)), CodedPackError::Coding(_)));
    assert!(matches!(refused(3, 1, roots(65)), CodedPackError::Coding(_)));
    assert!(matches!(refused(3, 1, vec![root(1); 300]), CodedPackError::Coding(_)));
    assert!(matches!(refused(2, 0, roots(3)), CodedPackError::Coding(_)));
    assert!(matches!(refused(2, SHARD_BYTES_MAX + 1, roots(3)), CodedPackError::Coding(_)));
    assert_eq!(refused(1, 5, roots(2)), CodedPackError::Copies);
    assert!(CodedPack::new(1, 5, vec![root(1); 3]).is_ok());

    let good = CodedPack::new(2, 100_000, roots(3)).unwrap().encode();
    assert_eq!(good[..4], [0xa4, 0x00, 0x01, 0x01]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        CodedPack::decode(&bytes)
    };
    assert_eq!(with(2, 2), Err(CodedPackError::NewerVersion(2)));
    assert_eq!(with(4, 0), Err(CodedPackError::Coding(CodingError::DataShards { met: 0 })));
    let met = CodingError::Shards { met: 3, data: 4 };
    assert_eq!(with(4, 4), Err(CodedPackError::Coding(met)));
    let trailing = [&good[..], &[0]].concat();
    assert!(matches!(CodedPack::decode(&trailing), Err(CodedPackError::Decode(_))));
    for end in 0..good.len() {
        assert!(CodedPack::decode(&good[..end]).is_err());
    }
}

// CODE-12
#[test]
fn a_record_with_more_shards_extends_the_one_before() {
    let earlier = CodedPack::new(2, 100_000, roots(3)).unwrap();
    let later = CodedPack::new(2, 100_000, roots(6)).unwrap();
    assert!(later.extends(&earlier) && earlier.extends(&earlier));
    assert!(!earlier.extends(&later));
    let mut changed = roots(6);
    changed.swap(1, 2);
    for other in [
        CodedPack::new(2, 100_000, changed).unwrap(),
        CodedPack::new(3, 100_000, roots(6)).unwrap(),
        CodedPack::new(2, 100_001, roots(6)).unwrap(),
    ] {
        assert!(!other.extends(&earlier));
    }
}

#[test]
fn shard_numbers_are_distinct_and_in_order() {
    let all: BTreeSet<ShardNumber> = Coding::new(1, 64).unwrap().numbers().collect();
    assert_eq!(all.len(), 64);
    assert_eq!(all.first(), Some(&ShardNumber::ZERO));
    assert_eq!(all.last().map(ToString::to_string).as_deref(), Some("63"));
}
