//! A `revoke` with something in every field.

use super::*;

pub(super) fn sample() -> RevokeOutcome {
    RevokeOutcome {
        device: id("f"),
        name: "phone".to_owned(),
        reason: RemovalReason::Stolen,
        last_saved: Some(time(1_750_000_000)),
        told: vec!["nas".to_owned()],
        not_told: vec!["friend".to_owned()],
        guardian_of: vec!["carl".to_owned()],
    }
}
