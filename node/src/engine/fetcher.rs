//! Carries out the orders of the fetching machine: one task owns it, workers stream stripes.
//!
//! Fetched bytes go into partial shards below `fetch/`, verified as they come, so an interrupted
//! restore fetches nothing twice. What comes from whom is `larder_protocol::fetching`'s decision.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    fetching::{ByteRange, Fault, Fetching, Input, Output, Ranges, StripeFailure},
    ids::{DeviceId, ShardRoot},
    index::ShardRef,
    order::OrderId,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{sleep, sleep_until},
};
use tracing::debug;

use super::{Core, EngineError, contact, on_disk, waiting::Reach};
use crate::{command::Progress, depot::PartialShard, net::FetchError};

/// Facts and requests waiting for the machine.
const INBOX_MAX: usize = 256;
/// Between two attempts to reach a holder while something is wanted.
const RECONNECT_AFTER: Duration = Duration::from_secs(5);
/// Fetched bytes are kept for a restore that was interrupted, so long after the last of them came.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Verified bytes between two reports of one stripe.
const REPORT_BYTES: u64 = 128 * 1024;

/// Needed bytes of one shard.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) shard: ShardRef,
    pub(crate) ranges: Vec<Range<u64>>,
    /// Lower comes first; 0 for metadata.
    pub(crate) priority: u8,
    /// Who is called for it; everybody who is known when nobody is named.
    pub(crate) from: Vec<DeviceId>,
}

enum Message {
    Fetch(Want, Arc<PartialShard>, oneshot::Sender<Result<(), EngineError>>),
    Fact(Input),
}

/// The handle of the task.
#[derive(Debug, Clone)]
pub(crate) struct Fetcher {
    inbox: mpsc::Sender<Message>,
    /// Where the partial shards are.
    directory: Arc<Path>,
    partials: Arc<Partials>,
    tally: Arc<Mutex<Tally>>,
    fetched_bytes: Arc<AtomicU64>,
    reach: Arc<Reach>,
}

/// Who gave what since a fetcher was started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Verified bytes by holder.
    pub(crate) bytes: BTreeMap<DeviceId, u64>,
    /// What holders did wrong, once each.
    pub(crate) faults: BTreeSet<(DeviceId, &'static str)>,
}

/// Partial shards that are open now; one object each, however many ask.
#[derive(Debug, Default)]
struct Partials(Mutex<BTreeMap<ShardRoot, Weak<PartialShard>>>);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

impl Fetcher {
    /// Starts the task; it ends when the node closes or all handles are gone. Fetched bytes go to
    /// `directory`, which no other fetcher uses.
    pub(crate) fn start(core: &Arc<Core>, directory: PathBuf) -> Self {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let fetched_bytes = Arc::new(AtomicU64::new(0));
        let reach = Arc::new(Reach::default());
        let tally = Arc::<Mutex<Tally>>::default();
        let task = Task {
            core: Arc::downgrade(core),
            machine: Fetching::new(),
            inbox: inbox.downgrade(),
            waiting: BTreeMap::new(),
            partials: BTreeMap::new(),
            stripes: BTreeMap::new(),
            links: BTreeSet::new(),
            holders_up: BTreeSet::new(),
            fetched_bytes: Arc::clone(&fetched_bytes),
            reach: Arc::clone(&reach),
            tally: Arc::clone(&tally),
        };
        tokio::spawn(task.run(messages, core.closing.clone()));
        let directory = directory.into();
        Self { inbox, directory, partials: Arc::default(), tally, fetched_bytes, reach }
    }

    /// Bytes of shards fetched since the node was opened.
    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    /// Who gave what so far.
    pub(crate) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// How many holders are reached, when something is waited for and nothing has come for a while.
    pub(crate) fn looking(&self) -> Option<Progress> {
        self.reach.looking(self.fetched_bytes())
    }

    /// Fetches the wanted ranges of one shard; returns the shard from which they can be read.
    ///
    /// # Errors
    /// [`EngineError::NoHolder`] when no reachable holder has it, or the disk's error.
    pub(crate) async fn fetch(&self, want: Want) -> Result<Arc<PartialShard>, EngineError> {
        let partial = self.partials.open(&self.directory, want.shard).await?;
        if want.ranges.iter().all(|range| partial.has(range)) {
            return Ok(partial);
        }
        let (done, result) = oneshot::channel();
        let message = Message::Fetch(want, Arc::clone(&partial), done);
        self.inbox.send(message).await.map_err(|_| EngineError::Stopped)?;
        result.await.map_err(|_| EngineError::Stopped)??;
        Ok(partial)
    }

    /// Removes what was fetched of a shard, unless somebody reads it just now. Blocks on the disk.
    pub(crate) fn discard(&self, root: &ShardRoot) {
        let mut all = self.partials.lock();
        if all.get(root).is_some_and(|partial| partial.strong_count() > 0) {
            return;
        }
        all.remove(root);
        if let Err(error) = PartialShard::discard(&self.directory, root) {
            debug!("partial shard {}: {error}", root.short());
        }
    }

    /// Removes what was fetched for something that never went on. Blocks on the disk.
    pub(crate) fn discard_old(&self) {
        for root in PartialShard::list_older(&self.directory, KEPT_FOR) {
            self.discard(&root);
        }
    }

    /// Shards of which something was fetched. Blocks on the disk.
    pub(crate) fn leftovers(&self) -> BTreeSet<ShardRoot> {
        PartialShard::list(&self.directory)
    }
}

impl Partials {
    async fn open(
        &self,
        directory: &Arc<Path>,
        shard: ShardRef,
    ) -> Result<Arc<PartialShard>, EngineError> {
        if let Some(open) = self.lock().get(&shard.root).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let directory = Arc::clone(directory);
        let opened = Arc::new(on_disk(move || PartialShard::open(&directory, shard)).await?);
        let mut all = self.lock();
        if let Some(open) = all.get(&shard.root).and_then(Weak::upgrade) {
            return Ok(open);
        }
        all.retain(|_, partial| partial.strong_count() > 0);
        all.insert(shard.root, Arc::downgrade(&opened));
        Ok(opened)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardRoot, Weak<PartialShard>>> {
        lock(&self.0)
    }
}

/// One order: which bytes of what from whom.
struct Stripe {
    order: OrderId,
    holder: DeviceId,
    shard: ShardRef,
    range: ByteRange,
}

struct Task {
    core: Weak<Core>,
    machine: Fetching,
    inbox: mpsc::WeakSender<Message>,
    waiting: BTreeMap<ShardRoot, Vec<oneshot::Sender<Result<(), EngineError>>>>,
    partials: BTreeMap<ShardRoot, Arc<PartialShard>>,
    stripes: BTreeMap<OrderId, AbortHandle>,
    /// Holders that are connected, or being tried.
    links: BTreeSet<DeviceId>,
    /// Those of them that answered.
    holders_up: BTreeSet<DeviceId>,
    fetched_bytes: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    reach: Arc<Reach>,
}

impl Task {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        closing: tokio_util::sync::CancellationToken,
    ) {
        loop {
            let Some(core) = self.core.upgrade() else { return };
            self.drain(&core);
            let is_wanted = !self.waiting.is_empty();
            self.reach.set(is_wanted, self.links.len(), self.holders_up.len());
            let timeout = self.machine.poll_timeout().map(|instant| core.clock.moment(instant));
            let wake = async {
                match timeout {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            drop(core);
            let message = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => message,
                    None => return,
                },
                () = wake => Message::Fact(Input::TimePassed),
                () = closing.cancelled() => return,
            };
            let Some(core) = self.core.upgrade() else { return };
            match message {
                Message::Fact(input) => self.fact(&core, input),
                Message::Fetch(want, partial, done) => self.want(&core, want, partial, done),
            }
        }
    }

    fn fact(&mut self, core: &Arc<Core>, input: Input) {
        match &input {
            Input::StripeDone { order } | Input::StripeFailed { order, .. } => {
                self.stripes.remove(order);
            }
            Input::HolderUp { holder } => {
                self.holders_up.insert(*holder);
            }
            Input::HolderDown { holder } => {
                self.holders_up.remove(holder);
                self.links.remove(holder);
                if !self.waiting.is_empty() {
                    self.connect(*holder, RECONNECT_AFTER);
                }
            }
            _ => {}
        }
        self.machine.handle_input(core.clock.now(), input);
    }

    fn want(
        &mut self,
        core: &Arc<Core>,
        want: Want,
        partial: Arc<PartialShard>,
        done: oneshot::Sender<Result<(), EngineError>>,
    ) {
        let root = want.shard.root;
        let now = core.clock.now();
        let peers = match want.from.is_empty() {
            true => core.state.peers().unwrap_or_default().iter().map(|it| it.device).collect(),
            false => want.from.clone(),
        };
        if peers.is_empty() {
            // Nobody is known who could come up: there is nothing to wait for.
            let _ = done.send(Err(EngineError::NoHolder(root)));
            return;
        }
        self.waiting.entry(root).or_default().push(done);
        let present = ranges_of(partial.present());
        self.partials.insert(root, partial);
        for peer in &peers {
            self.machine.handle_input(now, Input::HolderKnown { holder: *peer });
        }
        self.machine.handle_input(
            now,
            Input::Want {
                shard: want.shard,
                ranges: ranges_of(want.ranges),
                present,
                priority: want.priority,
            },
        );
        for receipt in core.state.receipts_for(&root).unwrap_or_default() {
            let holder = receipt.body.holder;
            self.machine.handle_input(now, Input::HolderHas { holder, root });
        }
        for peer in peers {
            self.connect(peer, Duration::ZERO);
        }
    }

    fn drain(&mut self, core: &Arc<Core>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::FetchStripe { order, holder, shard, range } => {
                    let stripe = Stripe { order, holder, shard, range };
                    self.stripe(core, stripe);
                }
                Output::CancelStripe { order } => {
                    if let Some(stripe) = self.stripes.remove(&order) {
                        stripe.abort();
                    }
                }
                Output::RangesReady { root } => self.answer(root, || Ok(())),
                Output::OutOfHolders { roots } => {
                    for root in roots {
                        self.machine.handle_input(core.clock.now(), Input::Cancel { root });
                        self.answer(root, || Err(EngineError::NoHolder(root)));
                    }
                }
                Output::Blame { holder, fault, root } => {
                    lock(&self.tally).faults.insert((holder, describe(fault)));
                    core.blame(holder, describe(fault), Some(root));
                }
                Output::Halted => {
                    for root in self.waiting.keys().copied().collect::<Vec<_>>() {
                        self.machine.handle_input(core.clock.now(), Input::Cancel { root });
                        self.answer(root, || Err(EngineError::FetchDisk));
                    }
                    self.machine.handle_input(core.clock.now(), Input::Resumed);
                }
            }
        }
    }

    fn answer(&mut self, root: ShardRoot, result: impl Fn() -> Result<(), EngineError>) {
        self.partials.remove(&root);
        for waiting in self.waiting.remove(&root).unwrap_or_default() {
            // Whoever asked may have given up.
            let _ = waiting.send(result());
        }
    }

    fn connect(&mut self, holder: DeviceId, after: Duration) {
        let (Some(inbox), true) = (self.inbox.upgrade(), self.links.insert(holder)) else { return };
        let core = self.core.clone();
        tokio::spawn(async move {
            sleep(after).await;
            let Some(core) = core.upgrade() else { return };
            let input = match contact::hello(&core, holder).await {
                Ok(_) => Input::HolderUp { holder },
                Err(error) => {
                    debug!("holder {}: {error}", holder.short());
                    Input::HolderDown { holder }
                }
            };
            drop(core);
            let _ = inbox.send(Message::Fact(input)).await;
        });
    }

    fn stripe(&mut self, core: &Arc<Core>, stripe: Stripe) {
        let Stripe { order, holder, shard, range } = stripe;
        let (Some(inbox), Some(partial)) =
            (self.inbox.upgrade(), self.partials.get(&shard.root).cloned())
        else {
            return;
        };
        let peer = core.net.peer(holder);
        let (total, tally) = (Arc::clone(&self.fetched_bytes), Arc::clone(&self.tally));
        let worker = tokio::spawn(async move {
            let reached = Arc::new(AtomicU64::new(0));
            let report = Report { order, holder, start: range.start, reached, total, tally, inbox };
            let watching = report.clone();
            let bytes = range.start..range.end;
            let fetched = peer
                .fetch(std::slice::from_ref(&bytes), partial, move |came| watching.came(&came))
                .await;
            report.end(fetched).await;
        });
        self.stripes.insert(order, worker.abort_handle());
    }
}

/// Reports one stripe to the machine.
#[derive(Clone)]
struct Report {
    order: OrderId,
    holder: DeviceId,
    start: u64,
    /// Verified bytes from the start.
    reached: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    inbox: mpsc::Sender<Message>,
}

impl Report {
    fn came(&self, came: &Range<u64>) {
        let more = came.end - came.start;
        self.total.fetch_add(more, Ordering::Relaxed);
        *lock(&self.tally).bytes.entry(self.holder).or_default() += more;
        let bytes = came.end.saturating_sub(self.start);
        let before = self.reached.swap(bytes, Ordering::Relaxed);
        if bytes / REPORT_BYTES != before / REPORT_BYTES {
            // A report that is lost to a full inbox is made up for by the next one.
            let fact = Input::StripeProgressed { order: self.order, bytes };
            let _ = self.inbox.try_send(Message::Fact(fact));
        }
    }

    async fn end(self, fetched: Result<(), FetchError>) {
        let (order, holder) = (self.order, self.holder);
        let bytes = self.reached.load(Ordering::Relaxed);
        let mut facts = vec![Input::StripeProgressed { order, bytes }];
        match fetched {
            Ok(()) => facts.push(Input::StripeDone { order }),
            Err(error) => {
                debug!("a stripe from {}: {error}", holder.short());
                facts.push(Input::StripeFailed { order, failure: failure(&error) });
                if matches!(error, FetchError::Net(_)) {
                    facts.push(Input::HolderDown { holder });
                }
            }
        }
        for fact in facts {
            let _ = self.inbox.send(Message::Fact(fact)).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while holding this lock")
}

const fn failure(error: &FetchError) -> StripeFailure {
    match error {
        FetchError::WrongBytes => StripeFailure::WrongBytes,
        FetchError::Denied => StripeFailure::NotFound,
        FetchError::Unreadable => StripeFailure::Damaged,
        FetchError::Local(_) => StripeFailure::Local,
        FetchError::Stalled | FetchError::Net(_) | FetchError::Busy => StripeFailure::Lost,
    }
}

const fn describe(fault: Fault) -> &'static str {
    match fault {
        Fault::WrongBytes => "served wrong bytes",
        Fault::LostShard => "gave a receipt for a shard that it can no longer serve",
        Fault::DamagedShard => "says that its copy of a shard is damaged",
    }
}

fn ranges_of(ranges: Vec<Range<u64>>) -> Ranges {
    let mut set = Ranges::default();
    for range in ranges {
        set.insert(ByteRange { start: range.start, end: range.end });
    }
    set
}
