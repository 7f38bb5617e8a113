//! Inputs in any order, repeated, late, invented: no machine panics, and none passes its bounds.
//!
//! The worlds elsewhere give sensible inputs; here a broken shell and hostile peers do.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

use larder_protocol::{
    auditing::{self, Auditing, Finding},
    fetching::{self, ByteRange, Fetching, Ranges, StripeFailure},
    head::Claims,
    holding::{self, Caller, Circumstances, Holding, PutFailure, Row, Terms},
    ids::{DeviceId, HeadHash, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    limits::{
        AUDIT_CHALLENGES_MAX, FETCH_BYTES_TOTAL_MAX, OFFER_SHARDS_MAX, PUTS_TOTAL_MAX,
        RECURRING_REST_FACTOR, RECURRING_TIRED_MS_MAX, SCRUB_REST_FACTOR, SCRUB_SEGMENT_SHARDS_MAX,
        SHARD_BYTES_MAX, UPLOADS_TOTAL_MAX,
    },
    order::OrderId,
    placing::{self, Claim, Copies, Fault, KnownPack, Placing, Policy, Site, Upload},
    receipt::{Receipt, ReceiptBody},
    recovering::{self, HeadSeen, Recovering},
    recurring::{self, Came, Power, Recurring},
    scrubbing::{self, Found, Kept, Scrubbing},
    time::{Instant, Timestamp},
    wire::message::{ClaimsPart, OfferedShard, Refusal},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

const SEEDS: u64 = 150;
const INPUTS: usize = 300;

/// Draws small names, so that they meet, and now and then absurd numbers.
struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, count: u64) -> u64 {
        self.0.next_u64() % count
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 0
    }

    fn id(&mut self) -> [u8; 32] {
        [u8::try_from(self.below(6)).unwrap(); 32]
    }

    fn device(&mut self) -> DeviceId {
        DeviceId::from_bytes(self.id())
    }

    fn vault(&mut self) -> VaultId {
        VaultId::from_bytes([u8::try_from(self.below(2)).unwrap(); 32])
    }

    fn root(&mut self) -> ShardRoot {
        ShardRoot::from_bytes(self.id())
    }

    fn number(&mut self) -> u64 {
        match self.below(12) {
            0 => u64::MAX,
            1 => 0,
            2 => SHARD_BYTES_MAX + 1,
            _ => self.below(4 << 20),
        }
    }

    fn shard(&mut self) -> ShardRef {
        let root = self.root();
        // Mostly one length for each root, as it should be.
        let bytes = if self.below(10) == 0 {
            self.number()
        } else {
            1 + (u64::from(root.as_bytes()[0]) << 18)
        };
        ShardRef { root, bytes }
    }

    fn class(&mut self) -> PackClass {
        if self.yes() { PackClass::Data } else { PackClass::Metadata }
    }

    fn order(&mut self) -> OrderId {
        OrderId(self.below(60))
    }

    fn refusal(&mut self) -> Refusal {
        let all = [
            Refusal::Version,
            Refusal::Forbidden,
            Refusal::Quota,
            Refusal::Full,
            Refusal::Busy,
            Refusal::Malformed,
            Refusal::WrongBytes,
            Refusal::Invalid,
            Refusal::Internal,
        ];
        all[usize::try_from(self.below(9)).unwrap()]
    }

    fn receipt(&mut self) -> Receipt {
        let stored = Timestamp(self.number());
        let keep_until = stored.after_days(self.below(60));
        let (vault, shard, holder) = (self.vault(), self.shard(), self.device());
        let body = ReceiptBody { vault, shard, holder, stored, keep_until };
        Receipt { body, signature: [0; 64] }
    }

    fn many<T>(&mut self, most: u64, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| one(self)).collect()
    }

    fn ranges(&mut self) -> Ranges {
        let ranges = self.many(3, |draw| ByteRange::new(draw.number(), draw.number()));
        ranges.into_iter().collect()
    }

    fn acquaintance(&mut self) -> placing::Acquaintance {
        use placing::Acquaintance;
        match self.below(4) {
            0 => Acquaintance::Named,
            1 => Acquaintance::Silent,
            2 => Acquaintance::Idle,
            _ => Acquaintance::Granted,
        }
    }

    fn placing_input(&mut self) -> placing::Input {
        use placing::Input;
        let (holder, order) = (self.device(), self.order());
        match self.below(19) {
            0 => Input::PackStored { shard: self.shard(), class: self.class() },
            1 if self.yes() => Input::PackDropped { root: self.root() },
            1 => Input::PackLost { root: self.root() },
            2 => Input::PackKnown(KnownPack {
                shard: self.shard(),
                class: self.class(),
                here: self.yes(),
                promised_sites: u8::try_from(self.below(4)).unwrap(),
                kept_by: self.many(4, Self::device),
            }),
            3 => Input::HolderKnown {
                holder,
                site: Site(self.below(3).to_string()),
                acquaintance: self.acquaintance(),
            },
            4 if self.below(4) == 0 => Input::HolderRemoved { holder },
            4..6 => Input::HolderConnected { holder, granted_bytes: self.number() },
            6 if self.yes() => Input::HolderHeard { holder },
            6 => Input::HolderLost { holder },
            7 => Input::OfferAnswered { order, claims: self.many(7, Self::claim) },
            8 => Input::OfferFailed { order, refusal: self.yes().then(|| self.refusal()) },
            9 => Input::UploadProgressed { order },
            10 => Input::UploadEnded { order, upload: self.upload() },
            11 => Input::ReceiptKept { holder, root: self.root() },
            12 => Input::ReceiptNotKept { holder, root: self.root() },
            13 => Input::HeadCommitted {
                seq: self.number(),
                needs: self.many(8, |draw| (draw.shard(), draw.class())),
            },
            14 => Input::HeadHeld { holder, seq: self.number() },
            15 => Input::HeadPushed { order, taken: self.yes() },
            16 => Input::PolicyChanged(Policy {
                copies: Copies::Fixed(u8::try_from(self.below(4)).unwrap()),
                keep_own: self.yes(),
            }),
            17 => Input::CopyFailed {
                holder,
                root: self.root(),
                fault: self.yes().then_some(Fault::WrongProof),
            },
            18 => Input::BroughtBack { order, came: self.yes() },
            19 => {
                Input::Replied { holder, claims: self.many(4, |draw| (draw.root(), draw.claim())) }
            }
            20 => Input::ErrandsEnded { order, is_done: self.yes() },
            _ => Input::TimePassed,
        }
    }

    fn claim(&mut self) -> Claim {
        match self.below(4) {
            0 => Claim::Wanted,
            1 => Claim::Kept(self.receipt()),
            2 => Claim::Refused(self.refusal()),
            _ => Claim::Forged,
        }
    }

    fn upload(&mut self) -> Upload {
        match self.below(5) {
            0 => Upload::Stored(self.receipt()),
            1 => Upload::Forged,
            2 => Upload::Refused(self.refusal()),
            3 => Upload::Lost,
            _ => Upload::Unreadable,
        }
    }

    fn caller(&mut self) -> Caller {
        match self.below(5) {
            0 => Caller::Stranger { key: self.device() },
            1 => Caller::Recovery { key: self.device(), vault: self.vault() },
            _ => Caller::Member { device: self.device(), vault: self.vault() },
        }
    }

    fn holding_input(&mut self) -> holding::Input {
        use holding::Input;
        let (request, vault) = (self.order(), self.vault());
        match self.below(17) {
            0 => Input::RowKnown(Row {
                vault,
                shard: self.shard(),
                class: self.class(),
                stored: Timestamp(self.number()),
                keep_until: Timestamp(self.number()),
                unclaimed: self.yes().then(|| Timestamp(self.number())),
                lost: self.yes(),
            }),
            1 => Input::TermsChanged(Terms {
                offer_bytes: self.number(),
                disk_reserve_bytes: self.number(),
                retention_days: self.number(),
            }),
            2 => Input::GrantChanged { vault, bytes: self.number() },
            3 => Input::DiskMeasured { free_bytes: self.number() },
            4 => Input::Offered {
                request,
                caller: self.caller(),
                vault,
                shards: self
                    .many(8, |draw| OfferedShard { shard: draw.shard(), class: draw.class() }),
            },
            5..7 => Input::PutAsked {
                request,
                caller: self.caller(),
                vault,
                shard: self.shard(),
                class: self.class(),
            },
            7 => Input::BytesDurable { request, wall: Timestamp(self.number()) },
            8 => Input::PutFailed { request, failure: self.put_failure() },
            9 => Input::RowDurable { request },
            10 => Input::RowFailed { request },
            11 => Input::BytesLost { root: self.root() },
            12 => Input::Revived { request, is_durable: self.yes() },
            13 => Input::Served { vault, root: self.root() },
            14 => Input::EraseFailed { vault, root: self.root() },
            15 => self.claims_told(),
            _ if self.yes() => Input::DeleteAsked { vault, root: self.root() },
            _ => Input::RowErased { vault, root: self.root() },
        }
    }

    /// Now and then the list that the head signs for.
    fn claims_told(&mut self) -> holding::Input {
        let (request, vault, caller) = (self.order(), self.vault(), self.caller());
        let mut shards = self.many(8, Self::shard);
        shards.sort_unstable_by_key(|shard| shard.root);
        shards.dedup_by_key(|shard| shard.root);
        let head = self.yes().then(|| (self.below(2), Claims::of(shards.iter().copied())));
        let part = ClaimsPart {
            seq: self.below(2),
            time: Timestamp(self.number()),
            part: u32::try_from(self.below(2)).unwrap(),
            is_last: self.yes(),
            roots: shards.iter().map(|shard| shard.root).collect(),
        };
        let now = Circumstances {
            head,
            is_forked: self.below(4) == 0,
            devices: self.many(2, Self::device).into_iter().collect(),
            wall: Timestamp(self.number()),
        };
        holding::Input::ClaimsTold { request, caller, vault, part, now }
    }

    fn put_failure(&mut self) -> PutFailure {
        let all =
            [PutFailure::Aborted, PutFailure::WrongBytes, PutFailure::DiskFull, PutFailure::Disk];
        all[usize::try_from(self.below(4)).unwrap()]
    }

    fn finding(&mut self) -> Finding {
        match self.below(5) {
            0 => Finding::Wrong,
            1 => Finding::Absent,
            2 => Finding::Damaged,
            3 => Finding::Unable(self.refusal()),
            _ => Finding::Proven,
        }
    }

    fn auditing_input(&mut self) -> auditing::Input {
        use auditing::Input;
        let (holder, order) = (self.device(), self.order());
        match self.below(12) {
            0..3 => Input::Kept { holder, shard: self.shard() },
            3 => Input::Forgotten { holder, root: self.root() },
            4 => Input::ProvenBefore { holder, age_ms: self.number() },
            5 => Input::HolderConnected { holder },
            6 if self.below(4) == 0 => Input::HolderRemoved { holder },
            7 => Input::Failed { order },
            8 => Input::AskAll { holder },
            9 => Input::Answered { order, findings: self.many(4, Self::finding) },
            _ => Input::TimePassed,
        }
    }

    fn scrubbing_input(&mut self) -> scrubbing::Input {
        use scrubbing::Input;
        let order = self.order();
        match self.below(9) {
            0 => {
                let period_ms = (self.below(4) > 0).then(|| self.number());
                Input::PeriodChanged { period_ms }
            }
            1 => Input::ReadElsewhere,
            2 => Input::Listed { order, shards: self.many(6, Self::kept) },
            3 => Input::ListFailed { order },
            4 => Input::Scrubbed { order, found: self.found() },
            _ => Input::TimePassed,
        }
    }

    fn recurring_input(&mut self) -> recurring::Input {
        use recurring::Input;
        let order = self.order();
        match self.below(8) {
            0 => Input::EveryChanged { every_ms: self.yes().then(|| self.number()) },
            1 => Input::FolderAdded,
            2 => self.looked(order),
            3 => Input::BackedUp { order, came: self.came() },
            4 => Input::Thinned { order },
            _ => Input::TimePassed,
        }
    }

    fn looked(&mut self, order: OrderId) -> recurring::Input {
        let age_ms = (self.below(4) > 0).then(|| self.number());
        let power = if self.yes() { Power::Mains } else { Power::Battery };
        recurring::Input::Looked { order, age_ms, tried_ms: self.number(), power }
    }

    fn came(&mut self) -> Came {
        let all = [Came::Whole, Came::Partly, Came::Nothing, Came::MadeWay];
        all[usize::try_from(self.below(4)).unwrap()]
    }

    fn kept(&mut self) -> Kept {
        let age_ms = if self.yes() { u64::MAX } else { self.number() };
        Kept { root: self.root(), age_ms }
    }

    fn found(&mut self) -> Found {
        let all = [Found::Whole, Found::Damaged, Found::Gone, Found::Unable];
        all[usize::try_from(self.below(4)).unwrap()]
    }

    fn fetching_input(&mut self) -> fetching::Input {
        use fetching::Input;
        let (holder, order) = (self.device(), self.order());
        match self.below(12) {
            0..2 => Input::Want {
                shard: self.shard(),
                ranges: self.ranges(),
                present: self.ranges(),
                priority: u8::try_from(self.below(3)).unwrap(),
            },
            2 => Input::Cancel { root: self.root() },
            3 => Input::HolderKnown { holder },
            4 => Input::HolderUp { holder },
            5 => Input::HolderDown { holder },
            6 => Input::HolderHas { holder, root: self.root() },
            7 => Input::StripeProgressed { order, bytes: self.number() },
            8 => Input::StripeDone { order },
            9 => {
                let all = [
                    StripeFailure::WrongBytes,
                    StripeFailure::NotFound,
                    StripeFailure::Forbidden,
                    StripeFailure::Damaged,
                    StripeFailure::Lost,
                    StripeFailure::Local,
                ];
                let failure = all[usize::try_from(self.below(6)).unwrap()];
                Input::StripeFailed { order, failure }
            }
            10 => Input::Resumed,
            _ => Input::TimePassed,
        }
    }

    fn head(&mut self) -> HeadSeen {
        HeadSeen {
            device: self.device(),
            seq: self.number(),
            hash: HeadHash::from_bytes(self.id()),
            prev: self.yes().then(|| HeadHash::from_bytes(self.id())),
            seen: self
                .many(3, |draw| (draw.device(), draw.number(), HeadHash::from_bytes(draw.id()))),
        }
    }

    fn recovering_input(&mut self) -> recovering::Input {
        use recovering::Input;
        let (holder, order) = (self.device(), self.order());
        match self.below(8) {
            0..2 => Input::HolderKnown { holder },
            2 => Input::HeadKnown(self.head()),
            3 => Input::HeadAcknowledged { holder, device: self.device(), seq: self.number() },
            4..6 => Input::HeadsAnswered {
                order,
                heads: self.many(4, Self::head),
                forged: u32::try_from(self.below(2)).unwrap(),
            },
            6 => Input::HolderFailed { order },
            _ => Input::TimePassed,
        }
    }
}

/// Gives each of many seeds its own machine, and times that jump forward and back (INV-14).
fn with_seeds(mut run: impl FnMut(&mut Draw, &mut dyn FnMut(&mut Draw) -> Instant)) {
    for seed in 0..SEEDS {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let mut ms = 0;
        let mut clock = |draw: &mut Draw| {
            ms += match draw.below(10) {
                0 => 3_600_000,
                1 => 60_000,
                _ => draw.below(2_000),
            };
            Instant(0).after_ms(ms - draw.below(ms.min(500) + 1))
        };
        run(&mut draw, &mut clock);
    }
}

#[test]
fn placing_keeps_its_bounds() {
    with_seeds(|draw, clock| {
        let mut machine = Placing::new(draw.vault(), Policy::default());
        for _ in 0..INPUTS {
            machine.handle_input(clock(draw), draw.placing_input());
            while let Some(output) = machine.poll_output() {
                if let placing::Output::Offer { shards, .. } = output {
                    assert!((1..=OFFER_SHARDS_MAX).contains(&shards.len()));
                }
            }
            assert!(machine.orders_pending() <= UPLOADS_TOTAL_MAX + 2 * 6 + 1);
            let status = machine.status();
            assert!(status.safe_packs <= status.packs);
        }
    });
}

#[test]
fn auditing_keeps_its_bounds_and_takes_copies_away_by_answers_only() {
    with_seeds(|draw, clock| {
        let mut machine = Auditing::new(draw.id());
        let mut asked = Vec::new();
        for _ in 0..INPUTS {
            let mut input = draw.auditing_input();
            // Now and then a sound answer, so that more than the first question is reached.
            if draw.yes()
                && let Some((order, count)) = asked.pop()
            {
                let findings = (0..count).map(|_| draw.finding()).collect();
                input = auditing::Input::Answered { order, findings };
            }
            let is_answer = matches!(input, auditing::Input::Answered { .. });
            machine.handle_input(clock(draw), input);
            while let Some(output) = machine.poll_output() {
                match output {
                    auditing::Output::Challenge { order, challenges, .. } => {
                        assert!((1..=AUDIT_CHALLENGES_MAX).contains(&challenges.len()));
                        asked.push((order, challenges.len()));
                    }
                    auditing::Output::CopyFailed { .. } | auditing::Output::NoteProven { .. } => {
                        assert!(is_answer);
                    }
                }
            }
            assert!(machine.orders_pending() <= 6, "one for each holder");
        }
    });
}

// RECUR-2, RECUR-5
#[test]
fn recurring_does_one_thing_at_a_time_and_rests_after_each_run() {
    use recurring::{Input, Output};
    with_seeds(|draw, clock| {
        let mut machine = Recurring::new(Some(draw.number()));
        let mut asked: Option<(Output, Instant)> = None;
        let (mut now, mut rested) = (Instant(0), Instant(0));
        for _ in 0..INPUTS {
            now = now.max(clock(draw));
            // Now and then a sound answer, so that more than the first order is reached.
            let input = match asked {
                Some((Output::Look { order }, _)) if draw.yes() => draw.looked(order),
                Some((Output::BackUp { order }, _)) if draw.yes() => {
                    Input::BackedUp { order, came: draw.came() }
                }
                Some((Output::Thin { order }, _)) if draw.yes() => Input::Thinned { order },
                _ => draw.recurring_input(),
            };
            let answers = |output: &Output| match (*output, input) {
                (Output::Look { order }, Input::Looked { order: answered, .. })
                | (Output::BackUp { order }, Input::BackedUp { order: answered, .. })
                | (Output::Thin { order }, Input::Thinned { order: answered }) => order == answered,
                _ => false,
            };
            let answered = asked.take_if(|(one, _)| answers(one));
            if let (Some((Output::BackUp { .. }, begun)), Input::BackedUp { came, .. }) =
                (answered, input)
                && came != Came::MadeWay
            {
                // An hour of rest is enough, whatever the interval.
                let tired_ms = now.ms_since(begun) * RECURRING_REST_FACTOR;
                rested = now.after_ms(tired_ms.min(RECURRING_TIRED_MS_MAX));
            }
            machine.handle_input(now, input);
            while let Some(output) = machine.poll_output() {
                assert!(asked.is_none(), "{asked:?} is not answered");
                assert!(!matches!(output, Output::BackUp { .. }) || now >= rested);
                asked = Some((output, now));
            }
            assert_eq!(machine.orders_pending(), usize::from(asked.is_some()));
        }
    });
}

// SCRUB-3, SCRUB-5
#[test]
fn scrubbing_reads_one_at_a_time_rests_and_notes_only_what_was_read() {
    with_seeds(|draw, clock| {
        let mut machine = Scrubbing::new(Some(draw.number()));
        let mut asked: Option<(OrderId, ShardRoot, Instant)> = None;
        let mut listing = None;
        let (mut now, mut rested) = (Instant(0), Instant(0));
        let mut read = std::collections::BTreeSet::new();
        for _ in 0..INPUTS {
            now = now.max(clock(draw));
            let mut input = draw.scrubbing_input();
            // Now and then a sound answer, so that more than the first order is reached.
            if let Some(order) = listing.take() {
                input = scrubbing::Input::Listed { order, shards: draw.many(6, Draw::kept) };
            } else if let Some((order, ..)) = asked.filter(|_| draw.yes()) {
                input = scrubbing::Input::Scrubbed { order, found: draw.found() };
            }
            if let scrubbing::Input::Scrubbed { order, found } = &input
                && let Some((_, root, begun)) = asked.take_if(|(asked, ..)| asked == order)
            {
                rested = Instant(now.0 + (now.0 - begun.0) * SCRUB_REST_FACTOR);
                if matches!(found, Found::Whole | Found::Damaged) {
                    read.insert(root);
                }
            }
            machine.handle_input(now, input);
            while let Some(output) = machine.poll_output() {
                match output {
                    scrubbing::Output::List { order } => listing = Some(order),
                    scrubbing::Output::Scrub { order, root } => {
                        assert!(asked.is_none() && now >= rested);
                        asked = Some((order, root, now));
                    }
                    scrubbing::Output::NoteScrubbed { roots } => {
                        assert!((1..=SCRUB_SEGMENT_SHARDS_MAX).contains(&roots.len()));
                        assert!(roots.iter().all(|root| read.contains(root)));
                    }
                    scrubbing::Output::Damaged { root } => assert!(read.contains(&root)),
                }
            }
            assert!(machine.orders_pending() <= 1);
        }
    });
}

#[test]
fn holding_keeps_its_bounds_and_acknowledges_only_durable_rows() {
    with_seeds(|draw, _| {
        let mut machine = Holding::new();
        let mut durable = std::collections::BTreeSet::new();
        let mut written = std::collections::BTreeMap::new();
        for _ in 0..INPUTS {
            let input = draw.holding_input();
            match &input {
                holding::Input::RowKnown(row) => {
                    durable.insert((row.vault, row.shard.root));
                }
                holding::Input::RowDurable { request } => {
                    durable.extend(written.remove(request));
                }
                _ => {}
            }
            machine.handle_input(input);
            while let Some(output) = machine.poll_output() {
                match output {
                    holding::Output::WriteRow { request, row } => {
                        written.insert(request, (row.vault, row.shard.root));
                    }
                    holding::Output::Acknowledge { row, .. } => {
                        assert!(durable.contains(&(row.vault, row.shard.root)), "HOLD-1");
                    }
                    _ => {}
                }
            }
            assert!(machine.puts_pending() <= PUTS_TOTAL_MAX);
        }
    });
}

#[test]
fn fetching_keeps_its_bounds() {
    with_seeds(|draw, clock| {
        let mut machine = Fetching::new();
        for _ in 0..INPUTS {
            machine.handle_input(clock(draw), draw.fetching_input());
            while let Some(output) = machine.poll_output() {
                if let fetching::Output::FetchStripe { shard, range, .. } = output {
                    assert!(
                        !range.is_empty() && range.end <= shard.bytes,
                        "{range:?} of {shard:?}"
                    );
                }
            }
            assert!(machine.bytes_in_flight() <= FETCH_BYTES_TOTAL_MAX);
        }
    });
}

#[test]
fn recovering_takes_whatever_holders_say() {
    with_seeds(|draw, clock| {
        let mut machine = Recovering::new(30_000);
        for _ in 0..INPUTS {
            machine.handle_input(clock(draw), draw.recovering_input());
            while machine.poll_output().is_some() {}
            let found = machine.found();
            assert!(found.heads.len() <= 6 && found.answered.len() <= 6);
        }
    });
}
