//! What the shell tells the machine, and what it does on its orders.

use larder_protocol::{ids::VaultId, index::PackClass, time::Timestamp};

use super::*;

// PLACE-11
#[test]
fn a_shard_held_for_another_device_is_no_local_copy() {
    let vault = VaultId::from_bytes([1; 32]);
    let row = |origin, state| ShardRow {
        bytes: 1,
        class: PackClass::Data,
        vault,
        origin,
        stored: Timestamp(0),
        keep_until: Timestamp(0),
        state,
    };
    let held = row(Origin::Held, ShardState::Ok);
    assert!(!is_to_be_placed(&held, false), "of another device, with a receipt");
    assert!(is_to_be_placed(&held, true), "its own, and another device had it kept here as well");
    assert!(is_to_be_placed(&row(Origin::Own, ShardState::Ok), true));
    assert!(is_to_be_placed(&row(Origin::Own, ShardState::Ok), false), "read here and kept");
    assert!(!is_to_be_placed(&row(Origin::Own, ShardState::Missing), true));
    assert!(!is_to_be_placed(&row(Origin::Own, ShardState::Corrupt), true));
}

// PLACE-16
#[test]
fn an_error_that_passes_is_no_loss() {
    let root = ShardRoot::from_bytes([1; 32]);
    for lost in [DepotError::Corrupt(root), DepotError::Missing(root), DepotError::Unknown(root)] {
        assert!(is_loss(&lost), "{lost}");
    }
    let files = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    let open = DepotError::Disk { doing: "open a shard", source: Arc::new(files) };
    for passes in [open, DepotError::NoSpace, DepotError::BadRow] {
        assert!(!is_loss(&passes), "{passes}");
    }
}
