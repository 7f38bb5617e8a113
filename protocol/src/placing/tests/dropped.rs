//! Packs that no manifest needs any more.

use super::*;

// DEL-10
#[test]
fn a_dropped_pack_is_placed_no_more_whatever_is_under_way() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], Policy::default());
    driven.store(7, PackClass::Data);
    driven.store(8, PackClass::Data);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    let root = kept.root;
    let under_way: Vec<OrderId> =
        driven.uploads.iter().filter(|(_, (_, it))| it.root == root).map(|(id, _)| *id).collect();
    assert_eq!(under_way.len(), 1, "on its way to the other site");
    driven.give(Input::PackDropped { root });
    assert!(driven.has_said(&Output::ForgetReceipt { holder: by, root }));
    assert!(driven.has_said(&Output::CancelUpload { order: under_way[0] }));
    assert!(!driven.machine.is_safe(&root));
    assert_eq!(driven.machine.status().packs, 1, "the other one");
    // Answers that were under way change nothing.
    driven.said.clear();
    let upload = Upload::Stored(receipt(holder(1), kept));
    driven.give(Input::UploadEnded { order: under_way[0], upload });
    driven.give(Input::ReceiptKept { holder: by, root });
    driven.give(Input::CopyFailed { holder: by, root, fault: Some(Fault::LostShard) });
    driven.give(Input::PackDropped { root });
    assert!(!driven.said.iter().any(|it| matches!(it, Output::Blame { .. })), "{:?}", driven.said);
    // The other pack goes on.
    while !driven.uploads.is_empty() {
        let (by, other) = driven.finish_upload();
        driven.keep(by, other);
    }
    assert_eq!(driven.machine.status().safe_packs, 1);
}

// DEL-10
#[test]
fn an_offer_that_names_a_dropped_pack_is_answered_for_the_others() {
    let mut driven = Driven::new(&[(1, "a")], Policy::default());
    driven.store(7, PackClass::Data);
    driven.store(8, PackClass::Data);
    driven.give(Input::PackDropped { root: shard(7).root });
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    assert!(!driven.said.iter().any(|it| matches!(it, Output::Blame { .. })), "{:?}", driven.said);
    driven.keep(holder(1), shard(8));
    assert!(driven.machine.is_safe(&shard(8).root));
}

// DEL-10
#[test]
fn heads_that_need_a_dropped_pack_wait_no_longer_and_the_newest_is_published() {
    let mut driven = Driven::new(&[(1, "a")], Policy::default());
    let need = |seed| (shard(seed), PackClass::Data);
    for seed in [7, 8] {
        driven.store(seed, PackClass::Data);
    }
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![need(7), need(8)] });
    driven.give(Input::HeadCommitted { seq: 2, needs: vec![need(8)] });
    driven.give(Input::PackDropped { root: shard(7).root });
    driven.want_all();
    while !driven.uploads.is_empty() {
        let (by, kept) = driven.finish_upload();
        driven.keep(by, kept);
    }
    assert!(driven.has_said(&Output::HeadSafe { seq: 2 }));
    assert!(!driven.has_said(&Output::HeadSafe { seq: 1 }));
    assert!(driven.machine.status().waiting_heads.is_empty());
}
