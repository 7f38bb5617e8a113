//! What a shell could do wrong. A check that cannot fail checks nothing: each of these is put into
//! the simulator's shells on request, and must be found.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One deliberate bug of a shell. The machines themselves are never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// A holder says that bytes and row are durable as soon as the last byte came.
    AckBeforeDurable,
    /// A holder never syncs files; rows are written well.
    SkipFileSync,
    /// A holder says that a row is durable before it is.
    SkipRowSync,
    /// A holder answers `HeadTaken` before the head is durable.
    SkipHeadSync,
    /// After a start a holder does not tell its machine which shards it keeps.
    ForgetRows,
    /// A holder does not tell its machine of a grant that was lowered.
    IgnoreLoweredGrant,
    /// A holder does not compare uploaded bytes with their root.
    SkipRootCheck,
    /// A source says that a receipt is durable and loses it.
    LoseReceipt,
    /// A source commits a head before its commit pack is durable.
    HeadBeforePacks,
    /// A source pushes a head as soon as it is written.
    PushBeforeSafe,
    /// A source shows a head to whoever asks before its packs are placed.
    ShowUnsafeHead,
    /// A source removes its local copy at the first receipt.
    DropOnFirstReceipt,
    /// A device that was set back to an old image goes on as if it were current.
    TrustRolledBackDisk,
    /// The same, but it looks before it commits a head; only not before it pushes one.
    CheckClonesAtCommitOnly,
    /// A source that was suspended does not look at its timers again.
    ForgetTimers,
    /// A source takes whatever a holder shows for a proof.
    AcceptAnyProof,
    /// A source takes one silence for a loss.
    PresumeAtOnce,
    /// A head signs for a list in which a pack is missing.
    ClaimLess,
    /// A holder takes a device that says nothing for one that needs nothing.
    TakeSilenceForConsent,
    /// A holder does not tell its tending machine that a device of a vault called or answered.
    ForgetHeard,
    /// A holder believes a fellow that it keeps what it says, whatever it shows.
    BelieveFellows,
    /// A restorer reports stripes done without verifying them.
    StripeUnverified,
    /// A restorer reports a lost connection as wrong bytes.
    LossAsWrongBytes,
}

impl Bug {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::AckBeforeDurable,
        Self::SkipFileSync,
        Self::SkipRowSync,
        Self::SkipHeadSync,
        Self::ForgetRows,
        Self::IgnoreLoweredGrant,
        Self::SkipRootCheck,
        Self::LoseReceipt,
        Self::HeadBeforePacks,
        Self::PushBeforeSafe,
        Self::ShowUnsafeHead,
        Self::DropOnFirstReceipt,
        Self::TrustRolledBackDisk,
        Self::CheckClonesAtCommitOnly,
        Self::ForgetTimers,
        Self::AcceptAnyProof,
        Self::PresumeAtOnce,
        Self::ClaimLess,
        Self::TakeSilenceForConsent,
        Self::ForgetHeard,
        Self::BelieveFellows,
        Self::StripeUnverified,
        Self::LossAsWrongBytes,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no bug is hidden");
        value.get_name().to_owned()
    }
}
