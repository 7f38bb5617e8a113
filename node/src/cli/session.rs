//! Finds who carries out a command: the node that runs on the home, or an engine in this process.
//! Both are driven by the same code, so that a command cannot tell the difference.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use larder_protocol::relaying::RelayAddress;
use serde_json::Map;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    arguments::Global, household::has_vault, output::Output, question, signals, unlock::Unlock,
};
use crate::{
    command::{
        Command, Engine, Event, EventSink, EventStream, ExitKind, Failure, Launch, OpenOptions,
        Outcome, Question,
    },
    control::Client,
    home::{DEVICE_NAME, Home, HomeError, default_directory},
};

/// A home that another command is about to leave is waited for this long, and so is the node that a
/// script has just started, where nothing can be done without one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// A node that starts or stops is waited for this long.
const NODE_TIMEOUT: Duration = Duration::from_secs(30);
const BUSY_POLL: Duration = Duration::from_millis(50);
/// What the lock file says of a node.
pub(super) const NODE: &str = "up";

/// What is there of a restore that was interrupted.
const RESUMES: &str = "run the same command again to go on: what is done is not done twice";

/// One run of the program: which home, and how engines are made.
pub(super) struct Session<L> {
    launch: Arc<L>,
    directory: PathBuf,
    unlock: Unlock,
}

/// Who carries out a command.
enum Target {
    Node(Client),
    Here(Box<Home>),
}

impl<L: Launch + 'static> Session<L> {
    pub(super) fn new(launch: Arc<L>, global: &Global) -> Result<Self, Failure> {
        let directory = global.home.clone().or_else(default_directory).ok_or_else(|| {
            Failure::usage("no home is named and none can be guessed")
                .hint("give --home DIR, or set LARDER_HOME")
        })?;
        let unlock = Unlock::new(global.passphrase_file.clone());
        Ok(Self { launch, directory, unlock })
    }

    pub(super) fn launch(&self) -> &L {
        &self.launch
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ways to the passphrase of the device key.
    pub(super) const fn unlock(&self) -> &Unlock {
        &self.unlock
    }

    /// Carries out a command and shows it.
    pub(super) async fn ask(
        &self,
        command: Command,
        output: &mut Output,
    ) -> Result<ExitKind, Failure> {
        output.begin(&command);
        let resumes = matches!(command, Command::Restore { dry_run: false, .. });
        let outcome = self.carried_out(command, output).await.map_err(|failure| {
            // Whether the node, the socket or this process noticed it first.
            let is_interrupted = failure.kind == ExitKind::Interrupted;
            if resumes && is_interrupted { failure.hint(RESUMES) } else { failure }
        })?;
        Ok(output.outcome(&outcome, Map::new()))
    }

    /// Carries out a command whose outcome is not shown as it is.
    pub(super) async fn answer(
        &self,
        command: Command,
        output: &mut Output,
    ) -> Result<Outcome, Failure> {
        output.begin(&command);
        self.carried_out(command, output).await
    }

    /// Keeps relays in the settings of a home that may not be there yet, before a command that needs
    /// them. Without any, nothing is changed.
    pub(super) async fn keep_relays(
        &self,
        relays: &[RelayAddress],
        command: &Command,
    ) -> Result<(), Failure> {
        if relays.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = relays.iter().map(RelayAddress::to_secret_text).collect();
        match self.target(command).await? {
            Target::Here(home) => {
                home.change_setting("net.relays", Some(&texts.join(" ")))?;
                Ok(())
            }
            Target::Node(_) => {
                Err(Failure::usage("the node that runs on this home has its relays")
                    .hint("stop it with `larder down` and start it with `larder up --relay URL`"))
            }
        }
    }

    async fn carried_out(&self, command: Command, output: &mut Output) -> Result<Outcome, Failure> {
        let cancel = CancellationToken::new();
        signals::watch(cancel.clone())?;
        match self.target(&command).await? {
            Target::Node(client) => {
                let (sink, events) = EventSink::channel(cancel.clone());
                let work = tokio::spawn(client.run(command, sink));
                let asker = Asker::<L::Engine>::Node(self.directory.clone());
                drive(work, events, (&cancel, asker), output).await
            }
            Target::Here(home) => self.carry_out(*home, command, &cancel, output).await,
        }
    }

    /// Opens the engine in this process for one command.
    async fn carry_out(
        &self,
        home: Home,
        command: Command,
        cancel: &CancellationToken,
        output: &mut Output,
    ) -> Result<Outcome, Failure> {
        match &command {
            Command::ConfigGet { key } => return home.show_settings(key.as_deref()),
            // What this device of a vault is called stands in the vault's log.
            Command::ConfigSet { key, .. } if key == DEVICE_NAME && has_vault(home.directory()) => {
            }
            Command::ConfigSet { key, value } => {
                return home.change_setting(key, value.as_deref());
            }
            Command::Passphrase { act } => return home.passphrase(act),
            Command::Shutdown => {
                return Err(Failure::failed("no node is running on this home")
                    .hint("there is nothing to stop"));
            }
            Command::Invite { .. } => {
                return Err(Failure::failed("nobody could join: no node is running on this home")
                    .hint("start `larder up` beside this, then invite again"));
            }
            _ => {}
        }
        self.unlock.unlock(&home)?;
        let rests = matches!(command, Command::Trial { .. });
        let options = OpenOptions { rests, ..OpenOptions::default() };
        let engine = Arc::new(self.launch.open(home, options).await?);
        let (sink, events) = EventSink::channel(cancel.clone());
        let worker = Arc::clone(&engine);
        let work = tokio::spawn(async move { worker.run(command, sink).await });
        let asker = Asker::Here(Arc::clone(&engine));
        let result = drive(work, events, (cancel, asker), output).await;
        engine.close().await;
        result
    }

    async fn target(&self, command: &Command) -> Result<Target, Failure> {
        let purpose = purpose(command);
        let makes_home = matches!(
            command,
            Command::Recover { .. }
                | Command::RecoverByGuardians { .. }
                | Command::Trial { .. }
                | Command::Join { .. }
        );
        let needs_node = matches!(command, Command::Invite { .. });
        let started = Instant::now();
        loop {
            let client = Client::connect(&self.directory).await.map_err(|error| {
                Failure::from_error("cannot talk to the node that runs on this home", &error)
                    .hint("run larder as the user to whom the home belongs")
            })?;
            if let Some(client) = client {
                return Ok(Target::Node(client));
            }
            let opened = if makes_home {
                let seal = self.unlock.for_new_home(&self.directory)?;
                Home::create(&self.directory, purpose, seal.as_ref())
            } else {
                Home::open(&self.directory, purpose)
            };
            let patience = match &opened {
                Ok(_) if needs_node => BUSY_TIMEOUT,
                opened => patience(opened, false),
            };
            if started.elapsed() >= patience {
                return Ok(Target::Here(Box::new(opened?)));
            }
            // Given back, or the node that is about to start would find it taken.
            drop(opened);
            tokio::time::sleep(BUSY_POLL).await;
        }
    }

    /// Opens the home for this process alone; no running node will do.
    pub(super) async fn own_home(
        &self,
        open: impl Fn(&Path) -> Result<Home, HomeError>,
    ) -> Result<Home, Failure> {
        let started = Instant::now();
        loop {
            let opened = open(&self.directory);
            let listens = matches!(Client::connect(&self.directory).await, Ok(Some(_)));
            if started.elapsed() >= patience(&opened, listens) {
                return Ok(opened?);
            }
            tokio::time::sleep(BUSY_POLL).await;
        }
    }
}

/// How long it is worth trying again to open a home, given what the last try said.
fn patience(opened: &Result<Home, HomeError>, a_node_listens: bool) -> Duration {
    match opened {
        // It has the home and does not listen: it is about to, or has just stopped to.
        Err(HomeError::Busy { note, .. }) if note.purpose == NODE && !a_node_listens => {
            NODE_TIMEOUT
        }
        Err(HomeError::Busy { .. }) => BUSY_TIMEOUT,
        _ => Duration::ZERO,
    }
}

/// Shows events until the work ends. When nobody reads stdout any more, the work is told to stop.
async fn drive<E: Engine + 'static>(
    mut work: JoinHandle<Result<Outcome, Failure>>,
    mut events: EventStream,
    (cancel, asker): (&CancellationToken, Asker<E>),
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let mut open = true;
    let result = loop {
        let event = tokio::select! {
            biased;
            event = events.next(), if open => event,
            ended = &mut work => break ended,
        };
        match event {
            Some(event) => {
                if let Event::Question(question) = &event {
                    asker.ask(question.clone());
                }
                output.event(event);
            }
            None => open = false,
        }
        if output.is_broken() {
            cancel.cancel();
        }
    };
    while let Some(event) = events.try_next() {
        output.event(event);
    }
    result.unwrap_or_else(|error| Err(Failure::internal(&error)))
}

/// Where an answer goes: to whoever carries out the command that asks.
enum Asker<E> {
    Node(PathBuf),
    Here(Arc<E>),
}

impl<E: Engine + 'static> Asker<E> {
    /// Asks beside the command, which may end meanwhile because whoever it is about has left.
    fn ask(&self, question: Box<Question>) {
        let asker = match self {
            Self::Node(home) => Self::Node(home.clone()),
            Self::Here(engine) => Self::Here(Arc::clone(engine)),
        };
        tokio::spawn(async move {
            let command = question::answer(*question).await;
            if let Err(failure) = asker.answer(command).await {
                warn!("the answer was of no use: {failure}");
            }
        });
    }

    async fn answer(self, command: Command) -> Result<(), Failure> {
        let sink = EventSink::nobody(CancellationToken::new());
        let outcome = match self {
            Self::Node(home) => {
                let client = Client::connect(&home).await.map_err(|error| {
                    Failure::from_error("cannot talk to the node of this home", &error)
                })?;
                let gone = || Failure::failed("the node of this home is gone");
                client.ok_or_else(gone)?.run(command, sink).await
            }
            Self::Here(engine) => engine.run(command, sink).await,
        };
        outcome.map(drop)
    }
}

/// What the lock file says while a command works in this process.
const fn purpose(command: &Command) -> &'static str {
    match command {
        Command::Backup { .. } => "backup",
        Command::Restore { .. } => "restore",
        Command::Recover { .. } | Command::RecoverByGuardians { .. } | Command::Trial { .. } => {
            "recover"
        }
        Command::Guardians { .. } | Command::GiveShare { .. } => "guardians",
        Command::Rename { .. } => "rename",
        Command::Revoke { .. } => "revoke",
        Command::Rekey { .. } => "rekey",
        Command::Leave { .. } => "leave",
        Command::Join { .. } => "join",
        Command::Verify { .. } | Command::Drill => "verify",
        Command::Forget { .. } | Command::ForgetNamed { .. } => "forget",
        Command::Pin { .. } => "pin",
        Command::Cat { .. } => "cat",
        Command::Find { .. } => "find",
        Command::Passphrase { .. } => "passphrase",
        Command::List { .. } => "ls",
        _ => "a short command",
    }
}
