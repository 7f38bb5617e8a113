//! The outcome of `rename`, as the vectors have it.

use super::*;

pub(super) fn sample() -> RenameOutcome {
    RenameOutcome {
        device: id("f"),
        name: "Anna's phone".to_owned(),
        before: "phone".to_owned(),
        told: vec!["nas".to_owned()],
        not_told: vec!["friend".to_owned()],
    }
}
