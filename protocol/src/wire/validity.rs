//! What a message must satisfy before any machine sees it: list lengths, plausible shards,
//! answers that fit their question. Shapes were checked by the decoder, meaning is checked by the
//! machines. Source: specs/control_protocol.md.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use thiserror::Error;

use super::message::{Answer, Request, Verdict};
use crate::{
    guarding::keeping::ToldRequest,
    ids::ShardRoot,
    index::ShardRef,
    limits::{
        AUDIT_CHALLENGES_MAX, CLAIMS_PART_MAX, ERRAND_BYTES_MAX, ERRAND_PACKS_MAX, ERRANDS_MAX,
        FRAME_BYTES_MAX, GUARDIANS_RECORD_BYTES_MAX, HEAD_BYTES_MAX, HEADS_ANSWER_MAX,
        INTRODUCTION_BYTES_MAX, INVENTORY_PART_MAX, LEAVING_PART_MAX, LEAVING_WORD_BYTES_MAX,
        LOG_ENTRIES_MAX, LOG_ENTRY_BYTES_MAX, LOG_TIPS_MAX, OFFER_SHARDS_MAX,
        RELEASE_RECORD_BYTES_MAX, RELEASE_REQUESTS_MAX, REPLY_BYTES_MAX, REPLY_RECEIPTS_MAX,
        VERSIONS_MAX,
    },
    proof::PROOF_BYTES_MAX,
    receipt::Receipt,
    text::is_plain,
};

/// A limit that a well-formed message broke. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Breach {
    /// A list is empty that must not be, or too long.
    #[error("a list of {count}, {min} to {max} are allowed")]
    Count {
        /// Members met.
        count: usize,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A head or log entry inside is empty or too long.
    #[error("a record of {bytes} bytes, 1 to {max} are allowed")]
    RecordBytes {
        /// Bytes met.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// No shard has such a length.
    #[error("a shard of {bytes} bytes")]
    ShardBytes {
        /// Length met.
        bytes: u64,
    },
    /// The shard has no such chunk.
    #[error("chunk {chunk} of a shard that has no such chunk")]
    Chunk {
        /// Its number.
        chunk: u32,
    },
    /// One shard named twice in an offer.
    #[error("a shard named twice in one offer")]
    Twice,
    /// A list of roots that is not ascending, or a part that goes on with nothing.
    #[error("a list of roots out of order")]
    Order,
    /// The name of a device or a site that cannot be shown to people.
    #[error("a name of a device or a site that cannot be shown")]
    Name,
    /// The answer does not belong to the question.
    #[error("an answer to another question")]
    WrongAnswer,
}

impl Request {
    /// Checks everything that can be said about this request alone.
    ///
    /// # Errors
    /// [`Breach`]: answer with [`Refusal::Malformed`](super::message::Refusal::Malformed).
    pub fn check(&self) -> Result<(), Breach> {
        match self {
            Self::Hello { versions, site, name, .. } => {
                count(versions.len(), 1, VERSIONS_MAX)?;
                named(site.as_deref())?;
                named(name.as_deref())
            }
            Self::PushLog { entries, .. } => {
                records(entries, 1, LOG_ENTRIES_MAX, LOG_ENTRY_BYTES_MAX)
            }
            Self::PullLog { have, .. } => count(have.len(), 0, LOG_TIPS_MAX),
            Self::PushHead { head, .. } => record(head, HEAD_BYTES_MAX),
            Self::PullHeads { .. } | Self::PullPast { .. } => Ok(()),
            Self::Offer { shards, .. } => {
                count(shards.len(), 1, OFFER_SHARDS_MAX)?;
                let mut met = BTreeSet::new();
                for offered in shards {
                    plausible(&offered.shard)?;
                    if !met.insert(offered.shard.root) {
                        return Err(Breach::Twice);
                    }
                }
                Ok(())
            }
            Self::Put { shard, .. } => plausible(shard),
            Self::Audit { challenges, .. } => {
                count(challenges.len(), 1, AUDIT_CHALLENGES_MAX)?;
                let implausible = challenges.iter().find(|challenge| !challenge.is_plausible());
                implausible.map_or(Ok(()), |it| Err(Breach::Chunk { chunk: it.chunk }))
            }
            Self::Claim { part, .. } => {
                // Only the one part of a device that claims nothing is empty.
                let fewest = usize::from(part.part > 0 || !part.is_last || part.seq > 0);
                count(part.roots.len(), fewest, CLAIMS_PART_MAX)?;
                let ascends = part.roots.is_sorted_by(|one, next| one < next);
                if ascends { Ok(()) } else { Err(Breach::Order) }
            }
            Self::Guardians { set, .. } => optional(set.as_ref(), GUARDIANS_RECORD_BYTES_MAX),
            Self::AskRelease { request, .. } => record(request, RELEASE_RECORD_BYTES_MAX),
            Self::Releases { told, .. } => requests(told),
            Self::Introduce { introduction, .. } => record(introduction, INTRODUCTION_BYTES_MAX),
            Self::ListKept { .. } | Self::ListClaimed { .. } => Ok(()),
            Self::Leaving { words } => words_of(words),
            Self::LeaveErrand { errand, .. } => record(errand, ERRAND_BYTES_MAX),
            Self::PullErrands { .. } | Self::PullReply { .. } => Ok(()),
            Self::LeaveReply { reply, receipts, .. } => {
                record(reply, REPLY_BYTES_MAX)?;
                given(receipts, REPLY_RECEIPTS_MAX)
            }
        }
    }

    /// The longest frame that a sound answer to this request can have. A caller gives it to its
    /// decoder, so that a hostile callee cannot make it hold a large answer to a small question.
    pub const fn answer_bytes_max(&self) -> usize {
        // A receipt is under 250 bytes, see the test below.
        match self {
            Self::Hello { .. }
            | Self::Put { .. }
            | Self::Claim { .. }
            | Self::AskRelease { .. }
            | Self::Introduce { .. }
            | Self::LeaveErrand { .. }
            | Self::LeaveReply { .. } => 1024,
            Self::Guardians { .. } => 1024 + GUARDIANS_RECORD_BYTES_MAX,
            Self::Releases { .. } => {
                1024 + 2 * RELEASE_REQUESTS_MAX * (RELEASE_RECORD_BYTES_MAX + 32)
            }
            Self::PushLog { .. } => 64 * LOG_TIPS_MAX,
            Self::PullLog { .. }
            | Self::PushHead { .. }
            | Self::PullHeads { .. }
            | Self::PullPast { .. }
            | Self::ListKept { .. }
            | Self::ListClaimed { .. }
            | Self::Leaving { .. }
            | Self::PullErrands { .. }
            | Self::PullReply { .. } => FRAME_BYTES_MAX,
            Self::Offer { shards, .. } => 1024 + 300 * shards.len(),
            Self::Audit { challenges, .. } => 1024 + (PROOF_BYTES_MAX + 8) * challenges.len(),
        }
    }
}

impl Answer {
    /// Checks this answer against the request that it answers.
    ///
    /// # Errors
    /// [`Breach`]: the callee is to blame.
    pub fn check(&self, request: &Request) -> Result<(), Breach> {
        match (self, request) {
            (Self::Refused { .. }, _)
            | (Self::HeadTaken, Request::PushHead { .. })
            | (Self::ClaimsTaken, Request::Claim { .. })
            | (Self::Introduced, Request::Introduce { .. })
            | (Self::ErrandLeft { .. }, Request::LeaveErrand { .. })
            | (Self::ReplyTaken, Request::LeaveReply { .. })
            | (Self::Go, Request::Put { .. }) => Ok(()),
            (Self::Welcome { site, name, .. }, Request::Hello { .. }) => {
                named(site.as_deref())?;
                named(name.as_deref())
            }
            (Self::LogAt { heads }, Request::PushLog { .. }) => count(heads.len(), 0, LOG_TIPS_MAX),
            (Self::Log { entries }, Request::PullLog { .. }) => {
                records(entries, 0, LOG_ENTRIES_MAX, LOG_ENTRY_BYTES_MAX)
            }
            (
                Self::Heads { heads },
                Request::PushHead { .. } | Request::PullHeads { .. } | Request::PullPast { .. },
            ) => records(heads, 0, HEADS_ANSWER_MAX, HEAD_BYTES_MAX),
            (Self::Verdicts { verdicts }, Request::Offer { shards, .. }) => {
                count(verdicts.len(), shards.len(), shards.len())?;
                for verdict in verdicts {
                    if let Verdict::Kept(receipt) = verdict {
                        plausible(&receipt.body.shard)?;
                    }
                }
                Ok(())
            }
            (Self::Shown { shown }, Request::Audit { challenges, .. }) => {
                count(shown.len(), challenges.len(), challenges.len())
            }
            (Self::GuardiansAt { set }, Request::Guardians { .. }) => {
                optional(set.as_ref(), GUARDIANS_RECORD_BYTES_MAX)
            }
            (Self::Release { .. }, Request::AskRelease { .. }) => Ok(()),
            (Self::ReleasesAre { told }, Request::Releases { .. }) => requests(told),
            (Self::LeavingIs { words }, Request::Leaving { .. }) => words_of(words),
            (
                Self::Kept { .. }
                | Self::Claimed { .. }
                | Self::Errands { .. }
                | Self::Replied { .. },
                _,
            ) => self.check_list(request),
            // Also without a Go before: the callee kept the shard already.
            (Self::Stored { receipt }, Request::Put { .. }) => plausible(&receipt.body.shard),
            (
                Self::Welcome { .. }
                | Self::LogAt { .. }
                | Self::Log { .. }
                | Self::HeadTaken
                | Self::Heads { .. }
                | Self::Verdicts { .. }
                | Self::Go
                | Self::Stored { .. }
                | Self::Shown { .. }
                | Self::ClaimsTaken
                | Self::GuardiansAt { .. }
                | Self::Release { .. }
                | Self::ReleasesAre { .. }
                | Self::Introduced
                | Self::LeavingIs { .. }
                | Self::ErrandLeft { .. }
                | Self::ReplyTaken,
                _,
            ) => Err(Breach::WrongAnswer),
        }
    }

    /// The same of lists that are told in parts, and of what others have left.
    fn check_list(&self, request: &Request) -> Result<(), Breach> {
        match (self, request) {
            (Self::Kept { shards }, Request::ListKept { after, .. }) => {
                count(shards.len(), 0, INVENTORY_PART_MAX)?;
                shards.iter().try_for_each(|kept| plausible(&kept.shard))?;
                ascending(*after, shards.iter().map(|kept| kept.shard.root))
            }
            (Self::Claimed { head, roots }, Request::ListClaimed { after, .. }) => {
                count(roots.len(), 0, INVENTORY_PART_MAX)?;
                optional(head.as_ref(), HEAD_BYTES_MAX)?;
                ascending(*after, roots.iter().copied())
            }
            (Self::Errands { errands }, Request::PullErrands { .. }) => {
                records(errands, 0, ERRANDS_MAX, ERRAND_BYTES_MAX)
            }
            (Self::Replied { holder, reply, receipts }, Request::PullReply { after, .. }) => {
                optional(reply.as_ref(), REPLY_BYTES_MAX)?;
                given(receipts, ERRAND_PACKS_MAX)?;
                // Each goes on where the one before ended, so that asking ends.
                if holder.is_some() && holder <= after { Err(Breach::Order) } else { Ok(()) }
            }
            _ => Err(Breach::WrongAnswer),
        }
    }
}

const fn count(count: usize, min: usize, max: usize) -> Result<(), Breach> {
    if count < min || count > max { Err(Breach::Count { count, min, max }) } else { Ok(()) }
}

fn record(bytes: &ByteVec, max: usize) -> Result<(), Breach> {
    if bytes.is_empty() || bytes.len() > max {
        return Err(Breach::RecordBytes { bytes: bytes.len(), max });
    }
    Ok(())
}

fn records(all: &[ByteVec], min: usize, max: usize, bytes_max: usize) -> Result<(), Breach> {
    count(all.len(), min, max)?;
    all.iter().try_for_each(|bytes| record(bytes, bytes_max))
}

fn optional(bytes: Option<&ByteVec>, max: usize) -> Result<(), Breach> {
    bytes.map_or(Ok(()), |bytes| record(bytes, max))
}

/// A list of which each answer goes on where the one before ended, so that asking ends.
fn ascending(
    mut after: Option<ShardRoot>,
    roots: impl Iterator<Item = ShardRoot>,
) -> Result<(), Breach> {
    for root in roots {
        if after.is_some_and(|after| after >= root) {
            return Err(Breach::Order);
        }
        after = Some(root);
    }
    Ok(())
}

fn words_of(words: &[ByteVec]) -> Result<(), Breach> {
    records(words, 0, LEAVING_PART_MAX, LEAVING_WORD_BYTES_MAX)
}

fn given(receipts: &[Receipt], most: usize) -> Result<(), Breach> {
    count(receipts.len(), 0, most)?;
    receipts.iter().try_for_each(|receipt| plausible(&receipt.body.shard))
}

fn requests(told: &[ToldRequest]) -> Result<(), Breach> {
    count(told.len(), 0, RELEASE_REQUESTS_MAX)?;
    told.iter().try_for_each(|told| {
        record(&told.request, RELEASE_RECORD_BYTES_MAX)?;
        optional(told.stop.as_ref(), RELEASE_RECORD_BYTES_MAX)
    })
}

/// What people are shown.
fn named(site: Option<&str>) -> Result<(), Breach> {
    if site.is_none_or(is_plain) { Ok(()) } else { Err(Breach::Name) }
}

const fn plausible(shard: &ShardRef) -> Result<(), Breach> {
    if shard.is_plausible() { Ok(()) } else { Err(Breach::ShardBytes { bytes: shard.bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cbor,
        ids::{DeviceId, ShardRoot, VaultId},
        index::PackClass,
        limits::{RETENTION_DAYS_MIN, SHARD_BYTES_MAX},
        receipt::ReceiptBody,
        time::Timestamp,
        wire::message::{OfferedShard, Refusal},
    };

    const VAULT: VaultId = VaultId::from_bytes([1; 32]);

    fn offered(seed: u8, bytes: u64) -> OfferedShard {
        let shard = ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes };
        OfferedShard { shard, class: PackClass::Data }
    }

    fn offer(shards: Vec<OfferedShard>) -> Request {
        Request::Offer { vault: VAULT, shards }
    }

    fn largest_receipt() -> Receipt {
        let stored = Timestamp(u64::MAX);
        Receipt {
            body: ReceiptBody {
                vault: VAULT,
                shard: ShardRef { root: ShardRoot::from_bytes([2; 32]), bytes: SHARD_BYTES_MAX },
                holder: DeviceId::from_bytes([3; 32]),
                stored,
                keep_until: stored.after_days(RETENTION_DAYS_MIN),
            },
            signature: [0xff; 64],
        }
    }

    // CTRL-3
    #[test]
    fn lists_and_lengths_are_bounded() {
        assert_eq!(offer(vec![offered(1, 1)]).check(), Ok(()));
        assert_eq!(offer(vec![]).check(), Err(Breach::Count { count: 0, min: 1, max: 512 }));
        let many = vec![offered(1, 1); OFFER_SHARDS_MAX + 1];
        assert_eq!(offer(many).check(), Err(Breach::Count { count: 513, min: 1, max: 512 }));
        assert_eq!(offer(vec![offered(1, 1); 2]).check(), Err(Breach::Twice));
        for bytes in [0, SHARD_BYTES_MAX + 1, u64::MAX] {
            let bad = offer(vec![offered(1, bytes)]);
            assert_eq!(bad.check(), Err(Breach::ShardBytes { bytes }));
        }
        let long_head: ByteVec = vec![0; HEAD_BYTES_MAX + 1].into();
        assert!(Request::PushHead { vault: VAULT, head: long_head }.check().is_err());
        assert!(Request::PushHead { vault: VAULT, head: Vec::new().into() }.check().is_err());
        assert!(Request::PushLog { vault: VAULT, entries: vec![] }.check().is_err());
        assert!(
            Request::Hello {
                versions: vec![1; VERSIONS_MAX + 1],
                beacon_key: None,
                site: None,
                name: None
            }
            .check()
            .is_err()
        );
    }

    // CTRL-4, CTRL-3, PLACE-26
    #[test]
    fn a_name_or_site_that_cannot_be_shown_is_refused_in_both_directions() {
        let long = "x".repeat(257);
        let said = [
            (None, true),
            (Some("home"), true),
            (Some("a\u{1b}[2J"), false),
            (Some(&*long), false),
        ];
        for (text, is_sound) in said {
            let text = text.map(str::to_owned);
            for (site, name) in [(text.clone(), None), (None, text)] {
                let greeting = |site: Option<String>, name: Option<String>| Request::Hello {
                    versions: vec![1],
                    beacon_key: None,
                    site,
                    name,
                };
                let hello = greeting(site.clone(), name.clone());
                assert_eq!(hello.check().is_ok(), is_sound);
                let (version, standing, beacon_key) = (1, None, None);
                let welcome = Answer::Welcome { version, standing, beacon_key, site, name };
                let question = greeting(None, None);
                assert_eq!(welcome.check(&question).is_ok(), is_sound);
            }
        }
    }

    // CTRL-4
    #[test]
    fn an_answer_must_belong_to_its_question() {
        let question = offer(vec![offered(1, 1), offered(2, 1)]);
        let two = Answer::Verdicts { verdicts: vec![Verdict::Wanted; 2] };
        let three = Answer::Verdicts { verdicts: vec![Verdict::Wanted; 3] };
        assert_eq!(two.check(&question), Ok(()));
        assert!(three.check(&question).is_err());
        assert_eq!(Answer::Go.check(&question), Err(Breach::WrongAnswer));
        assert_eq!(Answer::Refused { reason: Refusal::Busy }.check(&question), Ok(()));
        let mut lying = largest_receipt();
        lying.body.shard.bytes = 0;
        let verdicts = vec![Verdict::Kept(lying), Verdict::Wanted];
        assert_eq!(
            Answer::Verdicts { verdicts }.check(&question),
            Err(Breach::ShardBytes { bytes: 0 })
        );
    }

    // CTRL-5
    #[test]
    fn the_largest_sound_answer_fits_its_bound() {
        let count = u8::try_from(200).unwrap();
        let question = offer((0..count).map(|seed| offered(seed, 1)).collect());
        let verdicts = vec![Verdict::Kept(largest_receipt()); usize::from(count)];
        let answer = Answer::Verdicts { verdicts };
        assert!(cbor::encode(&answer).len() <= question.answer_bytes_max());
        assert_eq!(answer.check(&question), Ok(()));
        // ERR-5: all receipts for one errand come in one answer.
        let question = Request::PullReply { vault: VAULT, after: None };
        let receipts = vec![largest_receipt(); ERRAND_PACKS_MAX];
        let (holder, reply) = (Some(DeviceId::from_bytes([1; 32])), None);
        let answer = Answer::Replied { holder, reply, receipts };
        assert!(cbor::encode(&answer).len() <= question.answer_bytes_max());
        assert_eq!(answer.check(&question), Ok(()));
        let again = Request::PullReply { vault: VAULT, after: holder };
        assert_eq!(answer.check(&again), Err(Breach::Order), "asking ends");
    }
}
