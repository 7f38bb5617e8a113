//! Any order of operations against a plain model, with restarts in between.

use std::collections::BTreeMap;

use larder_protocol::{ids::VaultId, time::Timestamp};
use proptest::prelude::*;

use super::{bytes, open, tenure};
use crate::depot::{Depot, Origin, ShardHasher, ShardRef, Tenure, Total};

#[derive(Debug, Clone)]
enum Operation {
    Import { content: u64, vault: u8, held: bool, until: u64 },
    Extend { content: u64, vault: u8, until: u64 },
    Remove { content: u64, vault: u8 },
    Abandon { content: u64 },
    Reopen,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let (content, vault, until) = (0..4_u64, 1..3_u8, 0..100_u64);
    let one = prop_oneof![
        4 => (content.clone(), vault.clone(), any::<bool>(), until.clone()).prop_map(
            |(content, vault, held, until)| Operation::Import { content, vault, held, until }),
        1 => (content.clone(), vault.clone(), until).prop_map(
            |(content, vault, until)| Operation::Extend { content, vault, until }),
        3 => (content.clone(), vault).prop_map(
            |(content, vault)| Operation::Remove { content, vault }),
        1 => content.prop_map(|content| Operation::Abandon { content }),
        1 => Just(Operation::Reopen),
    ];
    proptest::collection::vec(one, 1..30)
}

/// What a vault is owed: content, and until when, and whether a receipt was given.
type Model = BTreeMap<(u64, u8), (Origin, u64)>;

fn content(seed: u64) -> Vec<u8> {
    bytes(seed, 10_000 + seed as usize * 13_000)
}

fn shard(seed: u64) -> ShardRef {
    let mut hasher = ShardHasher::new();
    hasher.update(&content(seed));
    hasher.finish().0
}

fn asked(vault: u8, origin: Origin, until: u64) -> Tenure {
    Tenure { keep_until: Timestamp(until), ..tenure(vault, origin) }
}

fn check(depot: &Depot, model: &Model) {
    for (&(seed, vault), &(origin, until)) in model {
        let vault = VaultId::from_bytes([vault; 32]);
        let row = depot.row(&shard(seed).root, &vault).unwrap().unwrap();
        assert_eq!((row.origin, row.keep_until), (origin, Timestamp(until)));
        let bytes = depot.read_range(&shard(seed).root, 0..row.bytes).unwrap();
        assert_eq!(bytes, content(seed));
    }
    assert_eq!(depot.rows(None).unwrap().len(), model.len());
    for origin in [Origin::Own, Origin::Held] {
        let of = model.iter().filter(|(_, (other, _))| *other == origin);
        let total = of.fold(Total::default(), |sum, ((seed, _), _)| Total {
            shards: sum.shards + 1,
            bytes: sum.bytes + shard(*seed).bytes,
        });
        assert_eq!(depot.totals().all(origin), total);
    }
}

fn join(model: &mut Model, key: (u64, u8), origin: Origin, until: u64) {
    let kept = model.entry(key).or_insert((origin, until));
    *kept = (kept.0.max(origin), kept.1.max(until));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// DEPOT-5, DEPOT-6
    #[test]
    fn the_depot_does_what_a_plain_model_does(operations in operations()) {
        let home = tempfile::tempdir().unwrap();
        let (mut depot, mut model) = (open(home.path()), Model::new());
        for operation in operations {
            match operation {
                Operation::Import { content: seed, vault, held, until } => {
                    let origin = if held { Origin::Held } else { Origin::Own };
                    depot.import(&content(seed), asked(vault, origin, until)).unwrap();
                    join(&mut model, (seed, vault), origin, until);
                }
                Operation::Extend { content: seed, vault, until } => {
                    let tenure = asked(vault, Origin::Held, until);
                    let extended = depot.extend(&shard(seed).root, tenure);
                    assert_eq!(extended.is_ok(), model.contains_key(&(seed, vault)));
                    if extended.is_ok() {
                        join(&mut model, (seed, vault), Origin::Held, until);
                    }
                }
                Operation::Remove { content: seed, vault } => {
                    let id = VaultId::from_bytes([vault; 32]);
                    let removed = depot.remove(&shard(seed).root, &id).unwrap();
                    assert_eq!(removed, model.remove(&(seed, vault)).is_some());
                }
                Operation::Abandon { content: seed } => {
                    depot.writer(shard(seed)).unwrap().write(&content(seed)).unwrap();
                }
                Operation::Reopen => {
                    drop(depot);
                    let (again, report) = Depot::open(home.path()).unwrap();
                    assert_eq!(report, crate::depot::OpenReport::default());
                    depot = again;
                }
            }
            check(&depot, &model);
        }
    }
}
